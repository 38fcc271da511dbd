//! Telling people over loopback: receivers that are down, slow, wrong or elsewhere, and none of them in anybody's way.

use jiff::{SignedDuration, Timestamp};
use reconciler::clock::Clock;
use reconciler::kinds::environment::tell::About;
use reconciler::providers::address::Allowed;
use reconciler::providers::http::{Broken, Transport};
use reconciler::providers::notify::{Beat, Form, Notifier, Pulse, Receiver};
use reconciler::status::event::{Event, What};
use reconciler::world::secret::Secret;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn start() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

fn event(number: u32) -> Event {
    Event {
        at: start(),
        environment: "production".to_owned(),
        commit: Some("9c1e22a0".to_owned()),
        by: "controller".to_owned(),
        what: What::Held {
            address: "Service/web".to_owned(),
            what: format!("release web {number}"),
            reason: "it needs approval 7f3a9c21".to_owned(),
            way_out: "reconciler approve 7f3a9c21".to_owned(),
        },
    }
}

fn receiver(name: &str, form: Form, address: &str) -> Receiver {
    Receiver {
        name: name.to_owned(),
        form,
        address: Secret::new(address),
        about: vec![About::Hold],
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
enum Answer {
    Status(u16, Option<u64>),
    NotThere,
    Nothing,
}

/// Receivers without a network: what each answers, in order, and then 200; and everything that was asked.
#[derive(Default)]
struct Fake {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<(String, String, String)>>,
}

impl Fake {
    fn of(answers: &[Answer]) -> Arc<Fake> {
        Arc::new(Fake {
            answers: Mutex::new(answers.iter().cloned().collect()),
            asked: Mutex::default(),
        })
    }

    fn bodies(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, body, _)| body.clone()).collect()
    }
}

#[async_trait::async_trait]
impl Transport for Fake {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<bytes::Bytes>, Broken> {
        let uri = request.uri().to_string();
        let id = request.headers().get("Reconciler-Event");
        let id = id.map(|id| id.to_str().unwrap().to_owned());
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let is_dead = uri.contains("dead");
        self.asked
            .lock()
            .unwrap()
            .push((uri, body, id.unwrap_or_default()));
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.filter(|_| !is_dead) {
            _ if is_dead => Err(Broken::NotSent("dead".to_owned())),
            None => Ok(http::Response::new(bytes::Bytes::new())),
            Some(Answer::NotThere) => Err(Broken::NotSent("not there".to_owned())),
            Some(Answer::Nothing) => {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Err(Broken::Lost("no answer within 10s".to_owned()))
            }
            Some(Answer::Status(status, after)) => {
                let mut response = http::Response::builder().status(status);
                if let Some(after) = after {
                    response = response.header("retry-after", after);
                }
                Ok(response.body(bytes::Bytes::new()).unwrap())
            }
        }
    }
}

fn notifier(fake: &Arc<Fake>) -> Notifier {
    let transport = Arc::clone(fake) as Arc<dyn Transport>;
    Notifier::over(transport, Allowed::default(), Clock::counted(start(), 1))
}

#[test]
fn a_receiver_that_comes_back_is_told_everything_once_and_in_order() {
    runtime().block_on(async {
        let fake = Fake::of(&[
            Answer::Status(500, None),
            Answer::NotThere,
            Answer::Nothing,
            Answer::Status(429, Some(120)),
        ]);
        let notifier = notifier(&fake);
        let hook = [receiver("hook", Form::Webhook, "https://hooks.example/in")];
        notifier.tell(&hook, &event(1));
        notifier.tell(&hook, &event(2));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            notifier.counts(),
            (0, 0),
            "it was asked to wait two minutes"
        );
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert_eq!(notifier.counts(), (2, 0));
        let bodies = fake.bodies();
        assert_eq!(bodies.len(), 6);
        assert!(
            bodies[..5]
                .iter()
                .all(|body| body.contains("release web 1"))
        );
        assert!(bodies[5].contains("release web 2"));
        let ids: Vec<String> = fake
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(|it| it.2.clone())
            .collect();
        assert!(
            ids[0] == ids[4] && ids[4] != ids[5],
            "a repeat is known by its id: {ids:?}"
        );
        let told: Event = serde_json::from_str(&bodies[5]).unwrap();
        assert_eq!(told, event(2), "a webhook is sent the event itself");
    });
}

#[test]
fn a_dead_receiver_is_in_nobodys_way_and_its_queue_is_bounded() {
    runtime().block_on(async {
        let fake = Fake::of(&[]);
        let notifier = notifier(&fake);
        let both = [
            receiver("dead", Form::Webhook, "https://dead.example/in"),
            receiver("well", Form::Slack, "https://hooks.example/in"),
        ];
        let before = tokio::time::Instant::now();
        for number in 0..500 {
            notifier.tell(&both, &event(number));
            // The one that is well keeps up.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(
            before.elapsed() < Duration::from_secs(1),
            "telling waits for nobody"
        );
        let well = fake
            .bodies()
            .iter()
            .filter(|it| it.contains("Way out"))
            .count();
        assert_eq!(well, 500, "Slack was told all, with the way out");
        tokio::time::sleep(Duration::from_secs(10 * 24 * 3600)).await;
        assert_eq!(
            notifier.counts(),
            (500, 500),
            "what was not told was given up and counted"
        );
        let asked = fake.asked.lock().unwrap().len();
        assert!(asked < 500 + 110 * 10, "{asked} requests");
    });
}

#[test]
fn what_is_wrong_with_an_address_is_not_tried_again() {
    runtime().block_on(async {
        let wrong = [
            "http://hooks.example/in",
            "https://127.0.0.1/in",
            "https://[::ffff:169.254.169.254]/in",
            "https://10.0.0.7/in",
            "https://name:word@hooks.example/in",
            "ftp://hooks.example/in",
            "no address",
            "",
        ];
        let fake = Fake::of(&[]);
        let notifier = notifier(&fake);
        for address in wrong {
            notifier.tell(&[receiver(address, Form::Webhook, address)], &event(1));
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(notifier.counts(), (0, wrong.len() as u64));
        assert_eq!(fake.bodies(), [""; 0], "nobody was asked");
        // A redirect and a refusal are an answer, and not followed.
        for status in [301, 307, 400, 404, 410] {
            let fake = Fake::of(&[Answer::Status(status, None)]);
            let notifier = self::notifier(&fake);
            notifier.tell(
                &[receiver("it", Form::Webhook, "https://hooks.example/in")],
                &event(1),
            );
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(notifier.counts(), (0, 1), "HTTP {status}");
            assert_eq!(fake.bodies().len(), 1, "HTTP {status}");
        }
    });
}

#[test]
fn who_does_not_want_to_know_is_not_told() {
    runtime().block_on(async {
        let fake = Fake::of(&[]);
        let notifier = notifier(&fake);
        let hook = [receiver("hook", Form::Webhook, "https://hooks.example/in")];
        let seen = Event {
            what: What::Seen,
            ..event(1)
        };
        notifier.tell(&hook, &seen);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fake.bodies().len(), 0);
    });
}

/// A receiver on a real port: answers once, and gives back what it was sent.
fn listener(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        loop {
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let is_get = text.starts_with("GET ") && text.contains("\r\n\r\n");
            if read == 0 || is_get || text.contains("way out\":") || text.contains("wayOut") {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    (format!("http://{address}/hook"), heard)
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn over_tcp() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about within ten seconds");
}

#[test]
fn a_private_receiver_is_told_only_where_somebody_allowed_it() {
    let (address, heard) = listener(FINE);
    over_tcp().block_on(async {
        let allowed = Allowed::by("RECONCILER_NOTIFY_ALLOW", "127.0.0.1");
        let notifier = Notifier::new(allowed, Clock::wall()).unwrap();
        notifier.tell(&[receiver("it", Form::Webhook, &address)], &event(1));
        until(|| notifier.counts() == (1, 0)).await;
        let strict = Notifier::new(Allowed::default(), Clock::wall()).unwrap();
        let name = address.replace("http://127.0.0.1", "https://localhost");
        strict.tell(&[receiver("it", Form::Webhook, &address)], &event(1));
        until(|| strict.counts() == (0, 1)).await;
        // A name that leads inside is refused when it is resolved, and may lead elsewhere later.
        strict.tell(&[receiver("name", Form::Webhook, &name)], &event(1));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(strict.counts(), (0, 1));
    });
    let request = heard.join().unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(
        request
            .to_lowercase()
            .contains("content-type: application/json"),
        "{request}"
    );
}

#[test]
fn the_heart_beats_only_while_looks_succeed() {
    let beat = || {
        Beat::new(
            Secret::new("https://beat.example"),
            Duration::from_secs(60),
            Duration::from_secs(300),
            start(),
        )
    };
    let after = |seconds: i64| start() + SignedDuration::from_secs(seconds);
    assert!(beat().is_due(after(0)) && beat().is_due(after(300)));
    assert!(
        !beat().is_due(after(301)),
        "no look has succeeded for too long"
    );

    let (address, heard) = listener(FINE);
    over_tcp().block_on(async {
        let allowed = Allowed::by("RECONCILER_NOTIFY_ALLOW", "127.0.0.1");
        let clock = Clock::wall();
        let pulse = Pulse::new(allowed, clock.clone()).unwrap();
        let running = tokio::spawn(pulse.clone().run());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let minute = Duration::from_secs(60);
        pulse.passed(
            "production",
            Beat::new(Secret::new(address), minute, minute, clock.now()),
        );
        until(|| heard.is_finished()).await;
        running.abort();
    });
    assert!(heard.join().unwrap().starts_with("GET /hook HTTP/1.1\r\n"));
}
