//! `kind: Service`: what one Railway service should be.

mod carried;
mod content;
mod fares;
pub mod health;
mod placement;
mod refusal;
mod release;
pub mod series;
mod settings;
mod steps;
mod stored;
mod way_back;

pub use carried::fresh_change;
pub use content::{commit_words, image_words};
pub use health::HealthCheck;
pub use placement::words as placement_words;
pub use settings::stored_words;
pub use steps::{Around, steps};

use crate::kinds::variable::{self, Absent, Reference, Variable, VariableName};
use crate::kinds::written::{Duration, Instant, Size};
use crate::kinds::{Declared, Documents, Kind};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One Railway service of the same name. Only what is written here is managed; everything else stays as it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// The Release whose image or commit it runs.
    pub release: Option<String>,
    /// The container image that it runs, where it follows no Release.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
    )]
    pub image: Option<String>,
    /// The commit that it is built from, where it follows no Release.
    #[schemars(regex(pattern = "^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
    /// The command that starts it.
    pub start: Option<Command>,
    /// A command that runs once per deployment, before traffic. If it fails, the deployment before goes on serving.
    pub before_deploy: Option<Command>,
    /// How many replicas: a number in one region, or a map of all regions that have any. Applied without a deployment.
    pub replicas: Option<Replicas>,
    /// The health check that Railway makes while it deploys. It must answer 200 without the database, too.
    pub ready: Option<Ready>,
    /// What a controller asks all the time. Railway's own check, `ready`, ends with the deployment.
    pub health: Option<HealthCheck>,
    /// What Railway does when a process ends.
    pub restart_policy: Option<RestartPolicy>,
    /// Runs on this schedule and ends, instead of running all the time: five fields in UTC, at least five minutes apart.
    pub cron: Option<Cron>,
    /// Whether it sleeps after ten minutes without traffic, until somebody calls.
    pub sleep: Option<bool>,
    /// How a deployment takes over from the one before it.
    pub hand_over: Option<HandOver>,
    /// What one replica may use at most.
    pub limits: Option<Limits>,
    /// The name and password for the private registry that its image comes from.
    pub registry: Option<Registry>,
    /// Whether a push to its branch deploys it. A service that is held to a commit says false.
    pub push_to_deploy: Option<bool>,
    /// Whether it is stopped: nothing runs, everything stays stored, and other changes wait until it starts.
    pub stopped: Option<bool>,
    /// Has been restarted at or after this time. In the future: a planned restart. Not begun within an hour of it: never begun, and reported.
    pub restarted_after: Option<Instant>,
    /// Environment variables. Those that are not named here stay as they are.
    #[serde(default)]
    #[schemars(with = "BTreeMap<VariableName, Variable>")]
    pub variables: BTreeMap<String, Variable>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a command, or `{ absent: true }`")]
pub enum Command {
    /// As in a shell.
    Text(#[schemars(length(min = 1, max = 4096))] String),
    /// None: the image's own, or nothing.
    Absent(Absent),
}

/// How many replicas, and where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a whole number, or a map of regions to whole numbers")]
pub enum Replicas {
    /// So many, in the one region where the service is.
    Number(#[schemars(range(min = 1, max = 50))] u32),
    /// So many in each region, and none in any other.
    Regions(#[schemars(extend("minProperties" = 1))] BTreeMap<String, Count>),
}

/// A number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Count(#[schemars(range(min = 1, max = 50))] pub u32);

/// The health check that Railway makes while it deploys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`{ path, within }`, or `{ absent: true }`")]
pub enum Ready {
    /// A path that must answer.
    Check(Check),
    /// None: a started container is enough.
    Absent(Absent),
}

/// A path that must answer 200 before a deployment takes over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Check {
    /// The path that must answer 200.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// How long it may take until it does; 5m unless said otherwise.
    pub within: Option<Duration>,
}

/// What Railway does when a process ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`always`, `never`, `onFailure`, or `{ onFailure: TIMES }`")]
pub enum RestartPolicy {
    /// By a word.
    Word(RestartWord),
    /// After a failure, so many times.
    Times(RestartTimes),
}

/// When a process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RestartWord {
    /// Whenever it ends.
    Always,
    /// Never.
    Never,
    /// When it failed, ten times.
    OnFailure,
}

/// How often a failed process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct RestartTimes {
    /// How often it is started again before Railway gives it up.
    #[schemars(range(min = 1, max = 100))]
    pub on_failure: u32,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "five fields such as `*/15 * * * *`, or `{ absent: true }`")]
pub enum Cron {
    /// Five fields in UTC.
    Fields(#[schemars(regex(pattern = r"^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$"))] String),
    /// None: it runs all the time.
    Absent(Absent),
}

/// How a deployment takes over from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct HandOver {
    /// How long both run.
    pub overlap: Option<Duration>,
    /// How long the old one may take to end after it was told to.
    pub drain: Option<Duration>,
}

/// What one replica may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// Virtual processors, such as `2` or `0.5`.
    #[schemars(range(min = 0.1, max = 64))]
    pub cpu: Option<f64>,
    /// Memory.
    pub memory: Option<Size>,
}

/// The name and password for a private registry. Railway never shows them: they are written when none are stored, and with `rotatedAfter`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Registry {
    /// The user name.
    pub username: Username,
    /// The password, or a token in its place.
    pub password: Password,
    /// Have been written at or after this time: the way to rotate them. Follows the rules of `restartedAfter`.
    pub rotated_after: Option<Instant>,
}

/// The user name for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "text, or `{ from: { secret: NAME } }`")]
pub enum Username {
    /// As it is.
    Text(#[schemars(length(min = 1, max = 256))] String),
    /// The value of a secret.
    From(Password),
}

/// The value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Password {
    /// Where the value comes from.
    pub from: Reference,
}

impl Spec {
    /// The names of all secrets that it refers to.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_registry = self.registry.iter().flat_map(Registry::secrets);
        variable::secrets(self.variables.values()).chain(of_registry)
    }
}

impl Registry {
    /// The names of the secrets that it refers to.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let username = match &self.username {
            Username::Text(_) => None,
            Username::From(from) => Some(from.from.secret.as_str()),
        };
        username
            .into_iter()
            .chain([self.password.from.secret.as_str()])
    }
}

impl Kind for Spec {
    const NAME: &'static str = "Service";
    const IS_SHARED: bool = true;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Service
metadata: { name: web }
spec:
  release: app                    # or its own `image:` or `commit:`
  start: node dist/server.js      # or { absent: true }: the image's own
  beforeDeploy: npx prisma migrate deploy
  replicas: 3                     # or { us-west2: 2, europe-west4-drams3a: 1 }
  ready: { path: /api/live, within: 2m }
  health: { path: /api/health, every: 30s, failures: 3, within: 10s, status: 200 }   # or `url:`, where it is asked elsewhere
  restartPolicy: { onFailure: 5 } # or always, never
  sleep: false
  handOver: { overlap: 10s, drain: 30s }
  limits: { cpu: 2, memory: 2GiB }
  registry: { username: deploy, password: { from: { secret: REGISTRY_TOKEN } } }
  pushToDeploy: false
  stopped: false
  restartedAfter: 2026-11-23T03:05:00Z
  variables:
    LOG_LEVEL: info
    STRIPE_KEY: { from: { secret: STRIPE_KEY }, sealed: true }
    OLD_FLAG: { absent: true }
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.services
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.services
    }
}
