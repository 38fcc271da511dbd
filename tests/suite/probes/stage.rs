//! A run in front of the sandbox, in one process, under tokio's paused clock.

use crate::wire::railway::{Lens, Line, START, URL, bearer, project_token};
use async_trait::async_trait;
use bytes::Bytes;
use reconciler::clock::Clock;
use reconciler::config::Token;
use reconciler::interrupt::{Stop, interrupt};
use reconciler::probe::{Audience, Finding, Manner, Names, Outcome, Probe, Report, Run, Sheet};
use reconciler::providers::http::{Broken, Transport};
use reconciler::providers::railway::{Client, Purpose};
use sandbox::{Faults, Plan, Sandbox, Seed, Switches, View};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A project in which others work.
pub const SHOP: &str = r#"
projects:
  shop:
    environments:
      production:
        shared: { COMPANY: shared-canary }
        services:
          web: { image: "ghcr.io/shop/web:1", variables: { KEY: canary-of-production } }
          redis: { image: "redis:7.4.5", volume: { name: redis-data, mount: /data } }
      staging:
        services:
          web: { image: "ghcr.io/shop/web:1" }
images:
  docker.io/library/hello-world:latest: { outcome: exits, log: ["", "Hello from Docker!", "This message shows that it works."] }
tokens:
  account-token: { kind: account }
  workspace-token: { kind: workspace }
  viewing-token: { kind: account, read_only: true }
  production-token: { kind: project, project: shop, environment: production }
"#;

/// Who asks, and how.
pub struct Stage {
    pub sandbox: Sandbox,
    pub sheet: Sheet,
    pub manner: Manner,
    pub environment: Option<&'static str>,
    token: Token,
    only: Vec<String>,
    lens: Option<Lens>,
    /// After so many requests somebody says stop.
    stop_after: Option<usize>,
    told: Mutex<Vec<String>>,
}

/// The way to the sandbox, on which somebody may say stop.
struct Way {
    line: Line,
    sent: AtomicUsize,
    stop_after: Option<usize>,
    stop: Stop,
}

#[async_trait]
impl Transport for Way {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Broken> {
        if Some(self.sent.fetch_add(1, Ordering::SeqCst)) == self.stop_after {
            self.stop.now();
        }
        self.line.send(request).await
    }
}

impl Audience for Stage {
    fn asks(&self, _: &Probe, _: usize, _: usize) {}

    fn hears(&self, finding: &Finding) {
        self.says(&format!("{}: {}", finding.id, finding.outcome.words()));
    }

    fn says(&self, words: &str) {
        self.told.lock().unwrap().push(words.to_owned());
    }
}

impl Stage {
    /// With the token of an account.
    pub fn new(switches: Switches, faults: Faults) -> Stage {
        Stage::on(Plan::Pro, switches, faults)
    }

    /// On another plan.
    pub fn on(plan: Plan, switches: Switches, faults: Faults) -> Stage {
        let mut seed = Seed::parse(SHOP).unwrap();
        seed.plan = plan;
        Stage {
            sandbox: Sandbox::new(&seed, switches, faults, 1),
            sheet: Sheet::read().unwrap(),
            manner: Manner::Wholly,
            environment: None,
            token: bearer("account-token"),
            only: Vec::new(),
            lens: None,
            stop_after: None,
            told: Mutex::default(),
        }
    }

    pub fn only(mut self, ids: &[&str]) -> Stage {
        self.only = ids.iter().map(|id| (*id).to_owned()).collect();
        self
    }

    pub fn with_bearer(mut self, token: &str) -> Stage {
        self.token = bearer(token);
        self
    }

    pub fn with_project_token(mut self, token: &str) -> Stage {
        self.token = project_token(token);
        self.manner = Manner::Reading("needs an account token");
        self
    }

    pub fn with_lens(mut self, lens: impl Fn(&mut Value) + Send + Sync + 'static) -> Stage {
        self.lens = Some(Arc::new(lens));
        self
    }

    pub fn stopped_after(mut self, requests: usize) -> Stage {
        self.stop_after = Some(requests);
        self
    }

    pub async fn ask(&self) -> Report {
        let clock = Clock::counted(START.parse().unwrap(), 1);
        let (stop, interrupt) = interrupt();
        let way = Way {
            line: Line {
                sandbox: self.sandbox.clone(),
                lens: self.lens.clone(),
            },
            // The first request only finds the project.
            sent: AtomicUsize::new(0),
            stop_after: self.stop_after,
            stop,
        };
        let client = Client::new(Arc::new(way), URL, self.token.clone(), clock.clone()).unwrap();
        let place = client.place(Some("shop"), self.environment).await.unwrap();
        let run = Run {
            sheet: &self.sheet,
            probes: self.sheet.chosen(&self.only).unwrap(),
            client: &client,
            place: &place,
            names: &Names::of("abcdef"),
            manner: self.manner,
            clock: &clock,
            interrupt: &interrupt,
            audience: self,
        };
        run.ask().await
    }

    /// What was said while it went.
    pub fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }

    /// Everything that is there: environments with what is in them, services, volumes and tokens of the project.
    pub async fn there(&self) -> (View, Value) {
        let line = Line {
            sandbox: self.sandbox.clone(),
            lens: None,
        };
        let clock = Clock::counted(START.parse().unwrap(), 1);
        let client = Client::new(Arc::new(line), URL, bearer("account-token"), clock).unwrap();
        let document = "query { projects { edges { node { id services { edges { node { name } } } volumes { edges { node { name } } } environments { edges { node { name } } } } } } }";
        let all = client
            .reply(document, &json!({}), Purpose::Read)
            .await
            .unwrap();
        let project = &all.data["projects"]["edges"][0]["node"]["id"];
        let document = "query Tokens($project: String!) { projectTokens(projectId: $project) { edges { node { name } } } }";
        let tokens = client
            .reply(document, &json!({ "project": project }), Purpose::Read)
            .await
            .unwrap();
        (self.sandbox.look(), json!([all.data, tokens.data]))
    }
}

/// The answer to one question, in a word.
pub fn answer<'r>(report: &'r Report, id: &str) -> &'r str {
    let finding = report.findings.iter().find(|finding| finding.id == id);
    let finding = finding.unwrap_or_else(|| panic!("{id} was not asked"));
    match &finding.outcome {
        Outcome::Answered { name, .. } => name,
        other => panic!("{id}: {other:?}\n{:?}", finding.seen),
    }
}
