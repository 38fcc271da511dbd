//! A Redis server of a test's own: started on a free port, gone with the test.

use reconciler::clock::Clock;
use reconciler::config::Config;
use reconciler::providers::redis::{Archives, Client};
use reconciler::world::redis::{
    Action, At, Change, Of, Question, Queue, QueueKey, Server as Seen_,
};
use reconciler::world::secret::Secret;
use reconciler::world::{Failure, Seen, World};
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Server {
    child: Child,
    pub port: u16,
    arguments: Vec<String>,
    directory: TempDir,
    client: Client,
    pub archive: TempDir,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(&[]).await
    }

    /// With arguments of its own.
    pub async fn with(arguments: &[&str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let server = Server {
            child: spawn(port, &arguments, &directory),
            port,
            arguments,
            directory,
            client: Client::new(&Clock::wall())
                .archiving(Archives::new(&Config::default(), &Clock::wall())),
            archive: tempfile::tempdir().unwrap(),
        };
        server.is_up().await;
        server
    }

    /// Killed, and started again as it was.
    pub async fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.port, &self.arguments, &self.directory);
        self.is_up().await;
    }

    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn is_up(&self) {
        for _ in 0..200 {
            if matches!(self.ping().await, Ok(answer) if !answer.starts_with("-LOADING")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no redis-server came up: `tests/ready.sh test` installs one");
    }

    /// What it answers first, whether it lets anybody in or not.
    async fn ping(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(60)));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    /// One command, its words set apart by spaces.
    pub async fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut all = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            all.arg(word);
        });
        let mut connection = self.connection().await;
        all.query_async(&mut connection).await.unwrap()
    }

    pub async fn look(&self, question: &Question) -> Seen<Seen_> {
        self.client.look(question, &world(&self.url())).await
    }

    /// One queue.
    pub async fn queue(&self, name: &str) -> Queue {
        let seen = self.look(&question(&[name])).await;
        let Seen::Facts(server) = seen else {
            panic!("{seen:?}")
        };
        match &server.queues[&key(name)] {
            Seen::Facts(queue) => queue.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn perform(&self, change: Change) -> Result<(), Failure> {
        self.perform_at(change, &self.url()).await
    }

    pub async fn perform_at(&self, change: Change, url: &str) -> Result<(), Failure> {
        let action = Action { of: of(), change };
        self.client.perform(&world(url), &action).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, arguments: &[String], directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--bind",
            "127.0.0.1",
        ])
        .args(["--dir", directory.path().to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("no redis-server: `tests/ready.sh test` installs one")
}

pub fn of() -> Of {
    Of {
        name: "main".to_owned(),
        at: At::Secret("ADDRESS".to_owned()),
    }
}

/// A world in which nothing is known but where the server is.
pub fn world(url: &str) -> World {
    World {
        railway: Seen::Unasked,
        pages: BTreeMap::new(),
        redis: BTreeMap::new(),
        secrets: BTreeMap::from([("ADDRESS".to_owned(), Seen::Facts(Secret::new(url)))]),
        health: BTreeMap::new(),
    }
}

pub fn key(name: &str) -> QueueKey {
    QueueKey {
        prefix: "bull".to_owned(),
        name: name.to_owned(),
    }
}

pub fn question(queues: &[&str]) -> Question {
    Question {
        of: of(),
        queues: queues.iter().map(|name| (key(name), None)).collect(),
        keys: BTreeSet::new(),
        counts: BTreeSet::new(),
    }
}
