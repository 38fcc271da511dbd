//! A Railway environment as it was seen, and what can be done to it. Facts: `facts/railway.md`, sections 2 to 4.

use crate::world::secret::Secret;
use crate::world::{Class, Seen};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
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
    /// What somebody staged in the dashboard and did not commit: the paths that it touches.
    pub staged: Seen<Vec<String>>,
    /// The newest configuration patches, newest first.
    pub history: Seen<History>,
    /// Region keys that mean the same place: the other name of each (facts/railway.md 8, "Regions").
    pub region_names: BTreeMap<String, String>,
}

/// An id with the name that people know it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
    /// The health check that Railway makes while deploying.
    pub ready: Ready,
    /// Replicas by region; empty where nothing is stored and Railway's default of one replica holds.
    pub placement: Seen<BTreeMap<String, u32>>,
    /// The service's own variables, templates unrendered.
    pub variables: Seen<BTreeMap<String, Variable>>,
    /// Whether a volume is attached: then there is one replica, and deployments have a short downtime.
    pub has_volume: bool,
    /// Whether it runs on a schedule: then there is one replica.
    pub has_schedule: bool,
    /// When the instance was last changed, where Railway says so.
    pub updated_at: Option<Timestamp>,
    /// The newest deployment, whatever became of it.
    pub newest: Option<Deployment>,
    /// Whether some deployment is active, be it the newest or one before it.
    pub is_serving: bool,
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

/// The health check that Railway makes while deploying, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The path that must answer 200; none means that a started container is enough.
    pub path: Option<String>,
    /// How long it may take, seconds.
    pub within_seconds: u64,
}

/// Railway's own limit for the health check, seconds (facts/railway.md 2.2).
pub const READY_SECONDS: u64 = 300;

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

/// One configuration patch that somebody committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Railway's id.
    pub id: String,
    /// When it was applied; for one under way, when it began.
    pub at: Timestamp,
    /// What became of it.
    pub state: PatchState,
    /// The commit message.
    pub message: String,
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
    /// `deploy.healthcheckPath` and `deploy.healthcheckTimeout`.
    Ready,
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
}

/// One thing that can be done to a Railway environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Change a part of the configuration; all changes of a plan go in one patch.
    Change(Change),
    /// Store the image that already runs, without a deployment.
    StoreImage {
        /// The service.
        service: Named,
        /// The image reference.
        image: String,
    },
    /// Deploy what is stored, at a commit where one is given.
    Deploy {
        /// The service.
        service: Named,
        /// The commit, for a service that is built from a repository.
        commit: Option<String>,
    },
    /// Deploy again what a deployment ran, from the image that Railway kept.
    Redeploy {
        /// The service.
        service: Named,
        /// The deployment.
        deployment: String,
    },
    /// Go back to a deployment that Railway kept, image and variables.
    Rollback {
        /// The service.
        service: Named,
        /// The deployment.
        deployment: String,
        /// The image that it ran.
        image: String,
    },
}

/// A change to a part of one service's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The service.
    pub service: Named,
    /// The part and its new value.
    pub set: Setting,
}

/// A part of a service's configuration with a value to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Setting {
    /// The image to run.
    Image(String),
    /// The commit to build. It rides in a patch that is sent anyway; whether Railway deploys it is open (facts/railway.md 8, "Git sources").
    Commit(String),
    /// The health check.
    Ready(Ready),
    /// Replicas by region; nothing takes the region away.
    Replicas(BTreeMap<String, Option<u32>>),
    /// A variable.
    Variable {
        /// Its name.
        name: String,
        /// What it should be.
        value: VariableValue,
    },
}

/// What a variable should be. A reference to a secret stays a name until it is sent (design rule 19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VariableValue {
    /// A literal, or a Railway reference as text.
    Text(String),
    /// The value of a secret.
    Secret {
        /// The name in the manifest, without the environment's prefix.
        name: String,
        /// Whether Railway shall never return it again.
        sealed: bool,
    },
    /// It shall not exist.
    Absent,
}

impl Action {
    /// What a repeat of it does (design rule 11).
    pub fn class(&self) -> Class {
        match self {
            Action::StoreImage { .. } => Class::Absolute,
            Action::Change(_)
            | Action::Deploy { .. }
            | Action::Redeploy { .. }
            | Action::Rollback { .. } => Class::Fresh,
        }
    }

    /// In one word: two actions for the same end are two things to send.
    pub fn word(&self) -> &'static str {
        match self {
            Action::Change(_) => "patch",
            Action::StoreImage { .. } => "store",
            Action::Deploy { .. } => "deploy",
            Action::Redeploy { .. } => "redeploy",
            Action::Rollback { .. } => "rollback",
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> &Named {
        match self {
            Action::Change(Change { service, .. })
            | Action::StoreImage { service, .. }
            | Action::Deploy { service, .. }
            | Action::Redeploy { service, .. }
            | Action::Rollback { service, .. } => service,
        }
    }
}

impl Setting {
    /// The part that it sets.
    pub fn field(&self) -> Field {
        match self {
            Setting::Image(_) => Field::Image,
            Setting::Commit(_) => Field::Commit,
            Setting::Ready(_) => Field::Ready,
            Setting::Replicas(_) => Field::Replicas,
            Setting::Variable { name, .. } => Field::Variable(name.clone()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Image => out.write_str("image"),
            Field::Commit => out.write_str("commit"),
            Field::Ready => out.write_str("ready"),
            Field::Replicas => out.write_str("replicas"),
            Field::Variable(name) => write!(out, "{name}"),
            Field::Other(path) => out.write_str(path),
        }
    }
}
