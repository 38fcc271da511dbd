//! A sandbox behind a real port: a test can see, stop or answer itself every request to its API.

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use sandbox::{Faults, HandEdit, Sandbox, Seed, Time};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a request meets before the sandbox sees it.
#[derive(Clone)]
pub enum Meets {
    /// The sandbox answers.
    Sandbox,
    /// It is never processed, and never answered.
    Silence,
    /// It is processed, and never answered.
    SilenceAfter,
    /// This answer instead: status, content type, body.
    Words(u16, &'static str, String),
    /// So many bytes of an answer.
    Flood(usize),
    /// It is processed, then this happens, and it is never answered.
    LastBefore(Arc<dyn Fn() + Send + Sync>),
    /// It is on its way until this says so, and is processed then.
    Late(watch::Receiver<bool>),
}

type Guard = dyn Fn(usize, &str) -> Meets + Send + Sync;

/// A simulated Railway on a free port of loopback, until the process ends.
#[derive(Clone)]
pub struct Railway {
    pub sandbox: Sandbox,
    pub address: SocketAddr,
    guard: Arc<Mutex<Arc<Guard>>>,
    arrived: Arc<AtomicUsize>,
    processed: Arc<AtomicUsize>,
}

/// Deployments take a blink, so that an apply ends with its second look.
pub const FAST: &str = "timings: { queue: 0.05, initialize: 0.05, build: 0.05, pre_deploy: 0.05, deploy: 0.05, healthcheck: 0.05, restart: 0.05, remove: 0.05, backup: 0.05, migrate: 0.05 }\n";
/// Deployments take longer than any test.
pub const SLOW: &str = "timings: { build: 300, deploy: 300 }\n";

impl Railway {
    /// From a seed written as YAML; its time is now.
    pub fn of(yaml: &str) -> Railway {
        let mut seed = Seed::parse(yaml).unwrap();
        seed.start = Time::now();
        let sandbox = Sandbox::new(&seed, seed.switches.clone(), Faults::none(), 1);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let guard: Arc<Guard> = Arc::new(|_, _| Meets::Sandbox);
        let railway = Railway {
            sandbox,
            address: listener.local_addr().unwrap(),
            guard: Arc::new(Mutex::new(guard)),
            arrived: Arc::default(),
            processed: Arc::default(),
        };
        let serving = railway.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serving.serve(listener));
        });
        railway
    }

    pub fn url(&self) -> String {
        format!("http://{}/graphql/v2", self.address)
    }

    /// Where the pages of all domains are.
    pub fn edge(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every request to the API is shown to `guard`, with its number from 0.
    pub fn guarded(&self, guard: impl Fn(usize, &str) -> Meets + Send + Sync + 'static) {
        self.arrived.store(0, Ordering::SeqCst);
        self.processed.store(0, Ordering::SeqCst);
        *self.guard.lock().unwrap() = Arc::new(guard);
    }

    pub fn unguarded(&self) {
        self.guarded(|_, _| Meets::Sandbox);
    }

    /// Requests since the guard was set.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Requests that the sandbox has processed since the guard was set, answered or not.
    pub fn processed(&self) -> usize {
        self.processed.load(Ordering::SeqCst)
    }

    pub fn by_hand(&self, edit: HandEdit) {
        self.sandbox.by_hand(edit);
    }

    /// How many deployments each service of production ever had.
    pub fn deployments(&self) -> std::collections::BTreeMap<String, usize> {
        let view = self.sandbox.look();
        let services = &view.environment("production").services;
        let counts = services.iter();
        counts
            .map(|(name, service)| (name.clone(), service.deployments))
            .collect()
    }

    async fn serve(self, listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let railway = self.clone();
            tokio::spawn(async move { railway.converse(stream).await });
        }
    }

    /// HTTP/1.1 as far as one client needs it. A connection that breaks ends the conversation, nothing else.
    async fn converse(&self, mut stream: TcpStream) {
        let mut kept = BytesMut::new();
        while let Some(request) = next_request(&mut stream, &mut kept).await {
            if request.method() == http::Method::GET {
                // A visitor of one of the applications.
                let Ok(page) = self.sandbox.handle(request).await else {
                    return;
                };
                if write(&mut stream, &page).await.is_err() {
                    return;
                }
                continue;
            }
            let index = self.arrived.fetch_add(1, Ordering::SeqCst);
            let guard = self.guard.lock().unwrap().clone();
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let written = match guard(index, &body) {
                Meets::Sandbox => match self.handle(request).await {
                    Ok(response) => write(&mut stream, &response).await,
                    Err(_) => return,
                },
                Meets::Silence => return forever().await,
                Meets::SilenceAfter => {
                    let _ = self.handle(request).await;
                    return forever().await;
                }
                Meets::Words(status, sort, words) => {
                    let response = Response::builder()
                        .status(status)
                        .header("content-type", sort)
                        .body(words.into())
                        .unwrap();
                    write(&mut stream, &response).await
                }
                Meets::Flood(size) => flood(&mut stream, size).await,
                Meets::LastBefore(happens) => {
                    let _ = self.handle(request).await;
                    happens();
                    return forever().await;
                }
                Meets::Late(mut arrives) => {
                    if arrives.wait_for(|arrives| *arrives).await.is_err() {
                        return;
                    }
                    match self.handle(request).await {
                        Ok(response) => write(&mut stream, &response).await,
                        Err(_) => return,
                    }
                }
            };
            if written.is_err() {
                return;
            }
        }
    }
}

impl Railway {
    async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, sandbox::Broken> {
        let answer = self.sandbox.handle(request).await;
        self.processed.fetch_add(1, Ordering::SeqCst);
        answer
    }
}

async fn forever() {
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

async fn next_request(stream: &mut TcpStream, kept: &mut BytesMut) -> Option<Request<Bytes>> {
    let end = loop {
        if let Some(end) = kept.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(kept).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(kept.split_to(end + 4).to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?);
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        request = request.header(name, value);
    }
    while kept.len() < length {
        if stream.read_buf(kept).await.ok()? == 0 {
            return None;
        }
    }
    Some(request.body(kept.split_to(length).freeze()).unwrap())
}

async fn write(stream: &mut TcpStream, response: &Response<Bytes>) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head.push_str(&format!(
        "content-length: {}\r\n\r\n",
        response.body().len()
    ));
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(response.body()).await
}

async fn flood(stream: &mut TcpStream, size: usize) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![b' '; 1024 * 1024];
    for _ in 0..size / chunk.len() {
        stream.write_all(&chunk).await?;
    }
    Ok(())
}
