//! The product's Railway client in front of the sandbox, in one process, under tokio's paused clock.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::config::Token;
use reconciler::execute::Outcome;
use reconciler::interrupt::interrupt;
use reconciler::manifest::{Desired, load};
use reconciler::plan::gate::Memory;
use reconciler::plan::text::{Look, text};
use reconciler::plan::{Plan, Standing};
use reconciler::providers::address::Allowed;
use reconciler::providers::http::{Broken, Transport};
use reconciler::providers::pages::Pages;
use reconciler::providers::railway::Client;
use reconciler::providers::{Outside, Secrets};
use reconciler::reconcile::{End, Looked, Pass, Watcher, until_in_step};
use reconciler::source::Files;
use reconciler::world::health::{Healths, NOBODY_ASKS};
use reconciler::world::secret::Secret;
use reconciler::world::{Failure, Seen};
use sandbox::{Effect, Faults, Sandbox, Seed, ServiceView, Switches};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// When every sandbox starts.
pub const START: &str = "2026-11-23T02:00:00Z";
/// Where the client believes Railway to be.
pub const URL: &str = "https://railway.test/graphql/v2";
/// How long an apply may take, in virtual time.
const AT_MOST: Duration = Duration::from_secs(30 * 60);

/// Changes an answer on its way to the client: what the sandbox never says, Railway may.
pub type Lens = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// A way into a sandbox, as the product takes its way to Railway.
#[derive(Clone)]
pub struct Line {
    /// The simulated Railway.
    pub sandbox: Sandbox,
    /// What is changed in its answers.
    pub lens: Option<Lens>,
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Broken> {
        let answered = self.sandbox.handle(request).await;
        let mut response = answered.map_err(|broken| match broken {
            sandbox::Broken::NotSent => Broken::NotSent("railway.test".to_owned()),
            sandbox::Broken::Lost => Broken::Lost("railway.test: the connection broke".to_owned()),
        })?;
        if let Some(lens) = &self.lens
            && let Ok(mut answer) = serde_json::from_slice(response.body())
        {
            lens(&mut answer);
            *response.body_mut() = answer.to_string().into();
        }
        Ok(response)
    }
}

/// One environment: a sandbox, manifests, secrets, and the product between them.
pub struct Stage {
    /// The simulated Railway.
    pub sandbox: Sandbox,
    /// The product's clock.
    pub clock: Clock,
    token: Token,
    lens: Option<Lens>,
    desired: Option<Desired>,
    secrets: Secrets,
}

/// How an apply went.
#[derive(Debug)]
pub struct Applied {
    /// Where it ended.
    pub end: Result<End, Failure>,
    /// Every plan on the way, as people read it.
    pub plans: Vec<String>,
}

impl Applied {
    /// Whether the last look asked for nothing.
    pub fn is_in_step(&self) -> bool {
        self.end == Ok(End::Stands(Standing::InStep))
    }

    /// The last plan, as people read it.
    pub fn last(&self) -> &str {
        self.plans.last().map_or("", String::as_str)
    }
}

impl Stage {
    /// A sandbox from a seed, with the token `production-token` of its one environment that matters.
    pub fn new(seed: &str, switches: Switches, faults: Faults) -> Stage {
        Stage::of(&Seed::parse(seed).unwrap(), switches, faults)
    }

    /// As `new`, from a seed that was read before.
    pub fn of(seed: &Seed, switches: Switches, faults: Faults) -> Stage {
        let sandbox = Sandbox::new(seed, switches, faults, 1);
        Stage {
            sandbox,
            clock: Clock::counted(START.parse().unwrap(), 1),
            token: project_token("production-token"),
            lens: None,
            desired: None,
            secrets: Secrets::new(),
        }
    }

    /// With another token.
    pub fn with_token(mut self, token: Token) -> Stage {
        self.token = token;
        self
    }

    /// With answers that are changed on their way.
    pub fn with_lens(mut self, lens: impl Fn(&mut Value) + Send + Sync + 'static) -> Stage {
        self.lens = Some(Arc::new(lens));
        self
    }

    /// With a secret that manifests refer to.
    pub fn with_secret(mut self, name: &str, value: &str) -> Stage {
        self.secrets
            .insert(name.to_owned(), Seen::Facts(Secret::new(value)));
        self
    }

    /// With these documents, as `service(…)` writes them; an Environment by names is added where there is none.
    pub fn desired(mut self, documents: &str) -> Stage {
        self.desire(documents);
        self
    }

    /// The same for a stage that is in use.
    pub fn desire(&mut self, documents: &str) {
        self.desired = Some(manifests(documents, self.clock.now()));
    }

    /// The same where it is known what was declared before.
    pub fn desire_after(&mut self, documents: &str, before: &str) {
        let now = self.clock.now();
        self.desired = Some(manifests(documents, now).after(&manifests(before, now)));
    }

    fn line(&self) -> Arc<dyn Transport> {
        Arc::new(Line {
            sandbox: self.sandbox.clone(),
            lens: self.lens.clone(),
        })
    }

    /// A client of its own, as each command has one.
    pub fn client(&self) -> Client {
        Client::new(self.line(), URL, self.token.clone(), self.clock.clone())
            .unwrap()
            .hiding(&self.secrets)
    }

    /// The outside, as each command has one of its own.
    pub fn outside(&self) -> Outside {
        Outside {
            railway: self.client(),
            pages: Pages::new(self.line(), Allowed::default(), None),
            redis: reconciler::providers::redis::Client::new(&self.clock),
        }
    }

    /// One look, as `reconciler diff` makes it.
    pub async fn diff(&self) -> Result<Looked, Failure> {
        let outside = self.outside();
        self.pass(&outside).look(&Memory::default()).await
    }

    /// The plan of one look, as people read it.
    pub async fn plan(&self) -> String {
        match self.diff().await {
            Ok(looked) => shown(&looked.plan),
            Err(failure) => format!("fails: {failure}"),
        }
    }

    /// Passes until in step, as `reconciler apply` makes them.
    pub async fn apply(&self) -> Applied {
        let outside = self.outside();
        let mut record = Record::default();
        let (_stop, interrupt) = interrupt();
        let end = until_in_step(&self.pass(&outside), AT_MOST, &mut record, &interrupt).await;
        Applied {
            end,
            plans: record.plans,
        }
    }

    /// An apply that must end in step, and the look after it that must ask for nothing.
    pub async fn apply_wholly(&self) -> Applied {
        let applied = self.apply().await;
        assert!(
            applied.is_in_step(),
            "{:?}\n{}",
            applied.end,
            applied.last()
        );
        let after = self.diff().await.unwrap();
        assert!(after.plan.steps.is_empty(), "{}", shown(&after.plan));
        applied
    }

    fn pass<'a>(&'a self, outside: &'a Outside) -> Pass<'a> {
        self.pass_with(outside, &NOBODY_ASKS)
    }

    /// A pass that knows how the services answer.
    pub fn pass_with<'a>(&'a self, outside: &'a Outside, health: &'a Healths) -> Pass<'a> {
        Pass {
            desired: self.desired.as_ref().expect("manifests were given"),
            provider: outside,
            secrets: &self.secrets,
            health,
            clock: &self.clock,
        }
    }

    /// The truth about a service of production.
    pub fn service(&self, name: &str) -> ServiceView {
        self.sandbox.look().service("production", name).clone()
    }

    /// What the product changed, with the names of the mutations.
    pub fn effects(&self) -> Vec<Effect> {
        self.sandbox.effects()
    }

    /// Lets virtual time pass.
    pub async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

#[derive(Default)]
struct Record {
    plans: Vec<String>,
}

impl Watcher for Record {
    fn looked(&mut self, looked: &Looked) {
        self.plans.push(shown(&looked.plan));
    }

    fn acted(&mut self, _: &Looked, _: &[Outcome]) {}

    fn allows(&mut self, _: &Plan) -> bool {
        true
    }
}

/// A plan as people read it, wide enough that nothing is broken into lines.
pub fn shown(plan: &Plan) -> String {
    text(
        plan,
        Look {
            width: 1000,
            color: false,
        },
    )
}

/// Manifests from documents without their first line.
pub fn manifests(documents: &str, now: Timestamp) -> Desired {
    let environment = "kind: Environment\nmetadata: { name: production }\nspec: { railway: { project: shop, environment: production }, secrets: { prefix: PRODUCTION_ } }";
    let needs_environment = !documents.contains("kind: Environment");
    let all: Vec<String> = documents
        .split("---\n")
        .chain(needs_environment.then_some(environment))
        .filter(|document| !document.trim().is_empty())
        .map(|document| format!("apiVersion: reconciler/v1alpha1\n{}\n", document.trim()))
        .collect();
    let files = Files {
        directory: String::new(),
        texts: [("manifests.yaml".into(), all.join("---\n").into())].into(),
    };
    load(&files, now).unwrap_or_else(|problems| panic!("{documents}\n{problems:#?}"))
}

/// An Environment by ids.
pub fn by_ids(project: &str, environment: &str) -> String {
    format!(
        "kind: Environment\nmetadata: {{ name: production }}\nspec: {{ railway: {{ project: {project}, environment: {environment} }}, secrets: {{ prefix: PRODUCTION_ }} }}\n---\n"
    )
}

/// A Service document.
pub fn service(name: &str, spec: &str) -> String {
    format!("kind: Service\nmetadata: {{ name: {name} }}\nspec: {spec}\n---\n")
}

/// A project token.
pub fn project_token(token: &str) -> Token {
    Token::Project(Secret::new(token))
}

/// An account or workspace token.
pub fn bearer(token: &str) -> Token {
    Token::Bearer(Secret::new(token))
}

/// Three services of every sort, beside one that no manifest declares.
pub const SHOP: &str = r#"
projects:
  shop:
    id: 5b000000-0000-4000-8000-000000000001
    services:
      web: 5b000000-0000-4000-8000-0000000000a1
      builder: 5b000000-0000-4000-8000-0000000000a2
      redis: 5b000000-0000-4000-8000-0000000000a3
      other: 5b000000-0000-4000-8000-0000000000a4
      elsewhere: 5b000000-0000-4000-8000-0000000000a5
    environments:
      production:
        id: 5b000000-0000-4000-8000-0000000000e1
        shared: { COMPANY: "shared-canary" }
        services:
          web:
            image: ghcr.io/shop/web:1
            previous: [ghcr.io/shop/web:0]
            healthcheck: /health
            replicas: { us-west2: 2 }
            variables:
              LOG_LEVEL: info
              KEPT: as it is
              REDIS_URL: "redis://${{redis.HOST}}:6379"
              API_KEY: { value: sealed-before, sealed: true }
          builder:
            repo: shop/builder
            commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            auto_deploy: false
            variables: { LOG_LEVEL: info }
          redis:
            image: redis:7.4.5
            volume: { name: redis-data, mount: /data }
            variables: { HOST: redis.internal }
          other:
            image: ghcr.io/shop/other:1
            variables: { MINE: "not yours", HIDDEN: { value: other-sealed, sealed: true } }
      staging:
        id: 5b000000-0000-4000-8000-0000000000e2
        services:
          elsewhere: { image: "ghcr.io/shop/elsewhere:1" }
      pr-7:
        ephemeral: true
        services:
          web: { image: "ghcr.io/shop/web:1" }
images:
  ghcr.io/shop/web:failed: { outcome: failed, log: ["no such file: server.js", "the key was rotated-value-1 of shared-canary, level verbose-canary"] }
  ghcr.io/shop/web:crashed: { outcome: crashed, log: ["panic: no such column"] }
  ghcr.io/shop/web:slow: { outcome: never_ready, log: [waiting for migrations] }
  ghcr.io/shop/web:done: { outcome: exits }
  ghcr.io/shop/web:gated: { outcome: needs_approval }
commits:
  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: {}
  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: {}
  cccccccccccccccccccccccccccccccccccccccc: { outcome: failed, log: ["error: cannot find module"] }
tokens:
  production-token: { kind: project, project: shop, environment: production }
  staging-token: { kind: project, project: shop, environment: staging }
  viewing-token: { kind: project, project: shop, environment: production, read_only: true }
  account-token: { kind: account }
  workspace-token: { kind: workspace }
  expired-token: { kind: account, expires: "2020-01-01T00:00:00Z" }
  expired-project-token: { kind: project, project: shop, environment: production, expires: "2020-01-01T00:00:00Z" }
"#;

/// The ids of the shop's production.
pub const PROJECT_ID: &str = "5b000000-0000-4000-8000-000000000001";
pub const ENVIRONMENT_ID: &str = "5b000000-0000-4000-8000-0000000000e1";
pub const WEB_ID: &str = "5b000000-0000-4000-8000-0000000000a1";

/// The shop as it likely is.
pub fn shop() -> Stage {
    Stage::new(SHOP, Switches::default(), Faults::none())
}

/// The environment of an answer to a look, whichever way it was asked for.
pub fn environment_of(answer: &mut Value) -> Option<&mut Value> {
    let data = answer.get_mut("data")?;
    let root = if data.get("projectToken").is_some() {
        data.get_mut("projectToken")?
    } else {
        data
    };
    root.get_mut("environment")
        .filter(|environment| environment.is_object())
}

/// The stored configuration of the shop's web in an answer.
pub fn web_config(answer: &mut Value) -> Option<&mut Value> {
    environment_of(answer)?
        .get_mut("config")?
        .get_mut("services")?
        .get_mut(WEB_ID)
}

/// The instance of a service in an answer.
pub fn instance<'a>(answer: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    environment_of(answer)?
        .get_mut("serviceInstances")?
        .get_mut("edges")?
        .as_array_mut()?
        .iter_mut()
        .map(|edge| &mut edge["node"])
        .find(|node| node["serviceName"] == name)
}
