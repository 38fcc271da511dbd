//! A server on a free port with a board that the test writes, and a client that sends exactly what the test says.

use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::plan::json::RailwayTarget;
use reconciler::serve::{Asked, Board, Git, Hooks, Metrics, Server, Settings, Watched};
use reconciler::status::event::{Event, What};
use reconciler::status::queues::{QueueStatus, RedisStatus};
use reconciler::status::view::{
    Commit, Condition, ConditionKind, NotAccepted, ServiceHealth, Suspension, Truth, View,
};
use reconciler::status::{Closed, Drift, Health, Item, ServiceStatus, State, Status};
use reconciler::world::railway::Named;
use reconciler::world::secret::Secret;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TOKEN: &str = "a-token-of-thirty-two-signs-here";
pub const SECRET: &str = "the-webhook's-secret-has-forty-bytes-now";

/// A server that runs.
pub struct Stage {
    pub board: Board,
    pub metrics: Metrics,
    pub asked: Asked,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// Settings as most tests want them: loopback, a token, a webhook.
pub fn settings() -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: Some(Secret::new(TOKEN)),
        webhook: vec![Secret::new(SECRET)],
        hosts: Vec::new(),
        watched: Watched::of("https://github.com/sentia/manifests.git", "main"),
        patience: Duration::from_secs(5),
        look_interval: Duration::from_secs(30),
    }
}

pub async fn stage() -> Stage {
    stage_of(settings()).await
}

pub async fn stage_of(settings: Settings) -> Stage {
    stage_at(settings, Clock::wall()).await
}

pub async fn stage_at(settings: Settings, clock: Clock) -> Stage {
    let board = Board::new(clock.clone());
    let metrics = Metrics::new(board.clone());
    let (hooks, asked) = Hooks::pair();
    let server = Server::bind(settings, board.clone(), hooks, metrics.clone(), clock);
    let server = server.await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Stage {
        board,
        metrics,
        asked,
        address,
        stop,
        running,
    }
}

impl Stage {
    /// Shows these environments, all of them led, with git in reach.
    pub fn showing(self, views: impl IntoIterator<Item = View>) -> Stage {
        for view in views {
            self.board.set(&view);
        }
        self.board.git(Git::Reached);
        self
    }

    /// A request with the token.
    pub async fn get(&self, path: &str) -> Answer {
        self.asks("GET", path, &[("authorization", &bearer())], "")
            .await
    }

    /// A request without.
    pub async fn get_bare(&self, path: &str) -> Answer {
        self.asks("GET", path, &[], "").await
    }

    pub async fn asks(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let host = self.address.to_string();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += &format!("host: {host}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        self.sends(format!("{request}\r\n{body}").as_bytes()).await
    }

    /// The answer to these bytes, on a connection of their own.
    pub async fn sends(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that has heard enough answers before all is sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Answer::of(&answer)
    }

    /// Ends the server, and is over when it has ended.
    pub async fn ends(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap();
    }
}

pub fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// An answer in its parts.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn of(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer {
            status: status.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// So many seconds ago, as a view has it.
pub fn ago(seconds: i64) -> String {
    format!("{:.0}", past(seconds))
}

pub fn past(seconds: i64) -> Timestamp {
    Timestamp::from_second(Clock::wall().now().as_second() - seconds).unwrap()
}

/// An environment in step.
pub fn view(name: &str) -> View {
    let condition = |kind, status, message: &str| Condition {
        kind,
        status,
        reason: "InStep".to_owned(),
        message: message.to_owned(),
        last_transition_time: ago(7200),
    };
    View {
        api_version: "reconciler/v1alpha1".into(),
        kind: "EnvironmentView".into(),
        environment: name.to_owned(),
        directory: name.to_owned(),
        commit: Some(Commit {
            id: "41bd07e2c5f0a9d1b6e8437a5c2f9e0d1b3a4c5d".to_owned(),
            author: "anna".to_owned(),
            at: ago(7300),
            subject: "Release 1.4.2".to_owned(),
        }),
        not_accepted: None,
        conditions: vec![
            condition(
                ConditionKind::Ready,
                Truth::True,
                "everything is as git says",
            ),
            condition(ConditionKind::Synced, Truth::True, "reality is as git says"),
            condition(ConditionKind::Healthy, Truth::True, "every service answers"),
            condition(ConditionKind::Progressing, Truth::False, "nothing goes on"),
            condition(ConditionKind::Stalled, Truth::False, "nobody is needed"),
            condition(ConditionKind::Suspended, Truth::False, "it acts"),
        ],
        suspended: None,
        health: Vec::new(),
        controller: "production-controller 0.1.0".to_owned(),
        looked_at: Some(ago(4)),
        next_look_at: Some(ago(-26)),
        status: Some(Status {
            api_version: "reconciler/v1alpha1".into(),
            kind: "Status".into(),
            environment: name.to_owned(),
            railway: Some(RailwayTarget {
                project: named("p-1", "sentia-manufacturing"),
                environment: named("e-1", name),
            }),
            seen_at: ago(4),
            state: State::InStep,
            now: Vec::new(),
            next: Vec::new(),
            held: Vec::new(),
            unseen: Vec::new(),
            closed: Vec::new(),
            services: vec![service("web", Health::Healthy, "up")],
            redis: Vec::new(),
            queues: Vec::new(),
            drift: Vec::new(),
            unmanaged: Vec::new(),
            notes: Vec::new(),
            frozen: None,
            reports_only: None,
        }),
    }
}

fn named(id: &str, name: &str) -> Named {
    Named {
        id: id.to_owned(),
        name: name.to_owned(),
    }
}

pub fn service(name: &str, health: Health, words: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        runs: Some("ghcr.io/sentia/app:1.4.2".to_owned()),
        replicas: Some("3 (us-west2)".to_owned()),
        health,
        words: words.to_owned(),
        since: Some(ago(7000)),
        serves: true,
        answers: None,
    }
}

/// An environment in a bad night: something of everything.
pub fn night(name: &str) -> View {
    let mut view = view(name);
    let item = |what: &str, why: &str, way_out: Option<&str>| Item {
        address: "Service/worker".to_owned(),
        field: "image".to_owned(),
        what: what.to_owned(),
        why: why.to_owned(),
        way_out: way_out.map(str::to_owned),
        cause: None,
        deadline: None,
        rule: None,
    };
    let ready = &mut view.conditions[0];
    ready.status = Truth::False;
    ready.reason = "HealthCheckFailed".to_owned();
    ready.message = "worker does not answer: `/api/health` gave 503".to_owned();
    ready.last_transition_time = ago(840);
    view.conditions[2].status = Truth::False;
    view.conditions[3].status = Truth::True;
    view.not_accepted = Some(NotAccepted {
        commit: Commit {
            id: "9c1e22a0d4b7f1e3".to_owned(),
            author: "ben".to_owned(),
            at: ago(300),
            subject: "Scale worker".to_owned(),
        },
        reason: "the manifests have 1 problem".to_owned(),
        way_out: "mend production/sizes.yaml and push".to_owned(),
        problems: vec![
            "production/sizes.yaml:9:5: unknown field `replica`, did you mean `replicas`?"
                .to_owned(),
        ],
    });
    view.health = vec![
        ServiceHealth {
            service: "worker".to_owned(),
            is_healthy: Some(false),
            since: Some(ago(840)),
            words: "503 in 120 ms, 6 times".to_owned(),
        },
        ServiceHealth {
            service: "web".to_owned(),
            is_healthy: Some(true),
            since: Some(ago(90000)),
            words: "200 in 34 ms".to_owned(),
        },
    ];
    view.suspended = Some(Suspension {
        by: "anna".to_owned(),
        reason: "looking for the loop".to_owned(),
        since: ago(600),
        until: Some(ago(-3000)),
    });
    let Some(status) = &mut view.status else {
        panic!("it has one");
    };
    status.state = State::Degraded;
    status.now = vec![Item {
        deadline: Some(ago(-90)),
        ..item(
            "release worker 1.4.1 → 1.4.2",
            "until deployment d-8f2 is up: DEPLOYING, 0:21, usually 0:52",
            None,
        )
    }];
    status.next = vec![item(
        "scale web 2 → 3 (us-west2)",
        "replicas: 3   production/sizes.yaml:6 over base/app.yaml:9",
        None,
    )];
    status.held = vec![item(
        "release redis 7.4.5 → 8.0.1",
        "another major version may not read the files of the one before",
        Some("`reconciler approve 7f3a9c21 production`, or revert the commit"),
    )];
    status.closed = vec![Closed {
        name: "site".to_owned(),
        services: vec!["web".to_owned()],
        reason: Some("orders are being repaired".to_owned()),
        until: Some(ago(120)),
        is_overdue: true,
        is_in_place: true,
    }];
    status.services = vec![
        service("web", Health::Healthy, "up"),
        service(
            "worker",
            Health::Deploying,
            "deploying, DEPLOYING; the one before it serves",
        ),
        service("redis", Health::Healthy, "up"),
        ServiceStatus {
            runs: None,
            replicas: None,
            since: None,
            serves: false,
            ..service(
                "a-service-with-a-very-long-name-that-somebody-chose",
                Health::Missing,
                "it is not there",
            )
        },
    ];
    status.redis = vec![RedisStatus {
        name: "main".to_owned(),
        is_well: true,
        words: "61 % of 3 GiB used · noeviction · 812340 keys · append-only file".to_owned(),
        shows: None,
    }];
    status.queues = vec![QueueStatus {
        name: "orders".to_owned(),
        redis: "main".to_owned(),
        is_well: false,
        words: "PAUSED for Maintenance/site · 1204 waiting, oldest 14 min · 0 running of 10"
            .to_owned(),
        shows: None,
    }];
    status.drift = vec![Drift {
        part: "worker.QUEUE_CONCURRENCY".to_owned(),
        heals_at: None,
        stays: false,
        fought: None,
        what: "worker.QUEUE_CONCURRENCY 5 → 50".to_owned(),
        at: ago(1200),
        by: Some("ben".to_owned()),
        message: Some("trying something".to_owned()),
    }];
    status.unmanaged = vec!["metabase".to_owned()];
    status.notes = vec![
        "1.4.2 has a migration, `20261105_add_vat`, that a way back leaves in place".to_owned(),
    ];
    view
}

pub fn event(environment: &str, seconds_ago: i64, what: What) -> Event {
    Event {
        at: past(seconds_ago),
        environment: environment.to_owned(),
        commit: Some("41bd07e".to_owned()),
        by: "production-controller".to_owned(),
        what,
    }
}

/// What led to the night.
pub fn events(environment: &str) -> Vec<Event> {
    let words = str::to_owned;
    vec![
        event(
            environment,
            7300,
            What::Accepted {
                author: words("anna"),
                subject: words("Release 1.4.2"),
            },
        ),
        event(
            environment,
            7250,
            What::Made {
                steps: vec![
                    words("release web 1.4.1 → 1.4.2"),
                    words("release worker 1.4.1 → 1.4.2"),
                ],
                result: words("sent"),
            },
        ),
        event(
            environment,
            7200,
            What::InStep {
                took_seconds: Some(48),
            },
        ),
        event(
            environment,
            1200,
            What::Drifted {
                what: words("worker.QUEUE_CONCURRENCY 5 → 50"),
                who: Some(words("ben")),
                heals_at: None,
            },
        ),
        event(
            environment,
            840,
            What::Unhealthy {
                service: words("worker"),
                reason: words("503 in 120 ms"),
            },
        ),
        event(
            environment,
            600,
            What::Suspended {
                reason: words("looking for the loop"),
                until: None,
            },
        ),
        event(
            environment,
            300,
            What::NotAccepted {
                commit: words("9c1e22a0d4b7f1e3"),
                reason: words("production/sizes.yaml:9 unknown field `replica`"),
                way_out: words("mend it"),
            },
        ),
    ]
}
