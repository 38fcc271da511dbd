//! A Railway environment as it was seen, and what can be done to it. Facts: `facts/railway.md`, sections 2 to 4.

mod action;
mod settings;

pub use action::{Action, Change, Owner, Setting, VariableValue};
pub use settings::{
    HandOver, Limits, READY_SECONDS, RESTARTS, Ready, RestartPolicy, SettingName, SettingValue,
    Settings,
};

use crate::world::Seen;
use crate::world::secret::Secret;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One environment of one project.
#[derive(Debug, Clone)]
pub struct Railway {
    /// The project.
    pub project: Named,
    /// The environment.
    pub environment: Named,
    /// The services with an instance in this environment, by name.
    pub services: BTreeMap<String, Seen<Service>>,
    /// Services of the project without an instance here, by name.
    pub elsewhere: BTreeSet<String>,
    /// The variables that all services share, templates unrendered.
    pub shared: Seen<BTreeMap<String, Variable>>,
    /// What is staged and not committed.
    pub staged: Seen<Staged>,
    /// The newest configuration patches, newest first.
    pub history: Seen<History>,
    /// When each variable was made and written last, by the service's id ("" for shared ones) and its name; asked by [`Question::Written`].
    pub written: Seen<BTreeMap<(String, String), Written>>,
    /// Region keys that mean the same place: the other name of each (facts/railway.md 8, "Regions").
    pub region_names: BTreeMap<String, String>,
    /// What it is compared with later, to know whether anything moved; nothing where Railway does not tell.
    pub pulse: Option<Pulse>,
}

/// A digest of what moves when anything happens in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse(pub [u8; 16]);

/// When a variable was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The first time.
    pub created_at: Timestamp,
    /// The last time.
    pub updated_at: Timestamp,
}

/// What is staged and not committed: somebody's changes in the dashboard, or a patch that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staged {
    /// The paths that it touches; none where nothing is staged.
    pub paths: Vec<String>,
    /// Railway's words, where it staged a patch again that it could not apply.
    pub failed: Option<String>,
}

/// An id with the name that people know it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// Railway's id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// A service's stored configuration and what runs of it.
#[derive(Debug, Clone)]
pub struct Service {
    /// The project-level id.
    pub id: String,
    /// What it is built from.
    pub source: Source,
    /// Whether Railway itself moves the image (facts/railway.md 8, "Image auto-updates").
    pub updates_itself: bool,
    /// What a deployment would carry.
    pub settings: Settings,
    /// Whether the name and password for a private registry are stored, where Railway tells.
    pub has_registry: Option<bool>,
    /// Replicas by region; empty where nothing is stored and Railway's default of one replica holds.
    pub placement: Seen<BTreeMap<String, u32>>,
    /// The service's own variables, templates unrendered.
    pub variables: Seen<BTreeMap<String, Variable>>,
    /// Whether a volume is attached: then there is one replica, and deployments have a short downtime.
    pub has_volume: bool,
    /// The addresses under which it is reached from outside, people's own first.
    pub domains: Vec<String>,
    /// When the instance was last changed, where Railway says so.
    pub updated_at: Option<Timestamp>,
    /// The newest deployment, whatever became of it.
    pub newest: Option<Deployment>,
    /// The deployments that serve: the newest, one before it, or both for a while.
    pub active: Vec<Active>,
    /// Whether a push deploys it; asked by [`Question::Push`].
    pub push_to_deploy: Seen<bool>,
    /// Older deployments that Railway can roll back to; asked by [`Question::Kept`].
    pub kept: Seen<Vec<Deployment>>,
    /// The last lines of the newest deployment's log; asked by [`Question::Log`].
    pub log: Seen<Vec<String>>,
}

/// What a service is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A container image reference.
    Image(String),
    /// A repository, built by Railway.
    Repository {
        /// `owner/name`.
        name: String,
    },
    /// Nothing yet.
    Nothing,
}

/// A variable as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The value, or nothing where it is masked or sealed: unknown, never a value.
    pub value: Option<Secret>,
    /// Whether no call ever returns its value.
    pub sealed: bool,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Railway's id.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came to be as it is, where Railway says so.
    pub status_at: Option<Timestamp>,
    /// The image that it runs, from its `meta`.
    pub image: Option<String>,
    /// The commit that it was built from, from its `meta`.
    pub commit: Option<String>,
    /// The patch that caused it, from its `meta`.
    pub patch: Option<String>,
    /// Whether it was stopped by hand.
    pub stopped: bool,
    /// Whether Railway still keeps its image.
    pub can_rollback: bool,
    /// What it runs with, from its `meta`.
    pub settings: Option<Settings>,
    /// The settings that a file in the repository decides, by name, and the file (facts/railway.md 8, "railway.json").
    pub by_file: BTreeMap<SettingName, String>,
    /// The variables that it was started with, `RAILWAY_…` left out; asked by [`Question::Snapshot`].
    pub variables: Seen<BTreeMap<String, Option<Secret>>>,
}

/// A deployment that serves, or would if it were not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Railway's id.
    pub id: String,
    /// Whether it was stopped by hand.
    pub stopped: bool,
}

/// A deployment's status in the words that decisions need (facts/railway.md 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// On its way, with Railway's word for how far.
    Rolling(String),
    /// Up, or asleep on purpose.
    Healthy,
    /// Failed or crashed, with Railway's word.
    Failed(String),
    /// Waits for somebody's approval in Railway.
    NeedsApproval,
    /// Railway did not deploy it: its checks failed, or its paths did not change.
    Skipped,
    /// Superseded or removed.
    Removed,
    /// A word that we do not know.
    Unknown(String),
}

/// The newest part of an environment's configuration history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// Newest first.
    pub patches: Vec<Patch>,
    /// Whether there are no older ones than these.
    pub is_whole: bool,
}

/// How the messages of our own patches begin.
pub const AUTHOR: &str = "reconciler: ";

/// One configuration patch that somebody committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Railway's id.
    pub id: String,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it was applied; for one under way, when it began.
    pub at: Timestamp,
    /// What became of it.
    pub state: PatchState,
    /// The commit message.
    pub message: String,
    /// Who committed it; asked by [`Question::Authors`].
    pub by: Option<String>,
    /// What it touched, by service id; "" for what belongs to no service.
    pub touched: BTreeMap<String, BTreeSet<Field>>,
}

/// What became of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchState {
    /// Railway is still at it.
    Applying,
    /// Stored.
    Committed,
    /// Not stored, or not wholly, with Railway's words.
    Failed(String),
}

/// A part of a service's configuration, as patches and plans name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `source.image`.
    Image,
    /// `source.commitSha`.
    Commit,
    /// A plain setting below `deploy`.
    Setting(SettingName),
    /// `deploy.registryCredentials`.
    Registry,
    /// `deploy.multiRegionConfig`, `deploy.numReplicas` and `deploy.region`: applied without a deployment.
    Replicas,
    /// A variable.
    Variable(String),
    /// Anything else, by its path.
    Other(String),
}

/// What a plan wants to know beyond the first look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Question {
    /// The configuration history and what is staged.
    History,
    /// The older deployments of a service that Railway can roll back to.
    Kept {
        /// The service's name.
        service: String,
    },
    /// The last lines of the log of a service's newest deployment.
    Log {
        /// The service's name.
        service: String,
    },
    /// The variables that a kept deployment was started with.
    Snapshot {
        /// The service's name.
        service: String,
        /// The deployment's id.
        deployment: String,
    },
    /// Who committed the patches of the history.
    Authors,
    /// When each variable of the environment was written last.
    Written,
    /// Whether a push deploys a service.
    Push {
        /// The service's name.
        service: String,
    },
}

impl Service {
    /// Whether something serves.
    pub fn is_serving(&self) -> bool {
        self.active.iter().any(|active| !active.stopped)
    }

    /// Whether it runs on a schedule: then there is one replica.
    pub fn has_schedule(&self) -> bool {
        self.settings.cron.is_some()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Image => out.write_str("image"),
            Field::Commit => out.write_str("commit"),
            Field::Setting(name) => name.fmt(out),
            Field::Registry => out.write_str("registry"),
            Field::Replicas => out.write_str("replicas"),
            Field::Variable(name) => write!(out, "{name}"),
            Field::Other(path) => out.write_str(path),
        }
    }
}
