//! A deployment's life as a function of time: what it is at a moment follows from what was decided when it was made.

use super::chance::Chance;
use super::model::references;
use super::wish::{BAD_COMMAND, CLOSED, CLOSED_IMAGE, CLOSING, PRIVATE_IMAGE};
use jiff::{SignedDuration, Timestamp};
use reconciler::world::railway::{Active, Settings, Status};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stored variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub value: String,
    pub sealed: bool,
    pub created_at: Timestamp,
    pub written_at: Timestamp,
    /// Whether the product made it.
    pub is_ours: bool,
}

/// Variables by name, shared by everybody who has the same.
pub type Variables = Arc<BTreeMap<String, Held>>;

/// What becomes of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Good,
    Fails,
    /// Comes up, and is down for good a little later.
    Crashes,
    NeedsApproval,
    Skipped,
}

/// What a deployment runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    pub image: Option<String>,
    pub commit: Option<String>,
    pub settings: Arc<Settings>,
    pub variables: Variables,
    /// The values of the shared variables that its own referred to when it was made.
    pub shared: BTreeMap<String, String>,
    /// When the credentials were written with which it was pulled.
    pub credentials_at: Option<Timestamp>,
}

/// Why a deployment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    FromStored,
    Redeployed,
    RolledBack,
    /// Nobody asked for it: storing an image deployed.
    ByStoring,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub created_at: Timestamp,
    pub up_at: Timestamp,
    pub outcome: Outcome,
    pub load: Load,
    pub made: Made,
    pub patch: Option<String>,
    pub stopped_at: Option<Timestamp>,
    pub removed_at: Option<Timestamp>,
    /// The request of the product that caused it.
    pub by: Option<usize>,
}

/// How long a crash takes after coming up.
const CRASH: SignedDuration = SignedDuration::from_secs(4);

impl Outcome {
    /// By the words in a name: the registry and the repository of the simulation.
    pub fn of(load: &Load) -> Outcome {
        let image = load.image.as_deref().unwrap_or_default();
        let commit = load.commit.as_deref().unwrap_or_default();
        let cannot_pull = image == PRIVATE_IMAGE && load.credentials_at.is_none();
        let breaks = load.settings.before_deploy.as_deref() == Some(BAD_COMMAND);
        match () {
            () if image.contains(":bad") || commit.starts_with("bad") || cannot_pull => {
                Outcome::Fails
            }
            () if commit.starts_with("5c1b") => Outcome::Skipped,
            () if image.contains(":approve") => Outcome::NeedsApproval,
            () if breaks => Outcome::Fails,
            () if image.contains(":crash") => Outcome::Crashes,
            () => Outcome::Good,
        }
    }
}

impl Load {
    /// Whether customers of it see the closed page.
    pub fn is_closed(&self) -> bool {
        let closes = |held: &Held| CLOSED.contains(&held.value.as_str());
        self.image.as_deref() == Some(CLOSED_IMAGE)
            || self.variables.get(CLOSING).is_some_and(closes)
    }

    /// A variable as the process has it.
    pub fn rendered(&self, held: &Held) -> String {
        let mut out = held.value.clone();
        for inside in references(&held.value) {
            let value = inside
                .strip_prefix("shared.")
                .map_or("resolved-5ecret", |name| {
                    self.shared.get(name).map_or("", String::as_str)
                });
            let from = out.find("${{").unwrap_or_default();
            let until = out.find("}}").map_or(out.len(), |at| at + 2);
            out.replace_range(from..until, value);
        }
        out
    }
}

/// How long a deployment takes: an image is pulled, a repository is built.
pub fn rollout(load: &Load, chance: &mut Chance) -> SignedDuration {
    let millis = if load.commit.is_some() {
        chance.between(5_000, 25_000)
    } else {
        chance.between(1_500, 12_000)
    };
    SignedDuration::from_millis(i64::try_from(millis).expect("small"))
}

impl Run {
    fn came_up(&self, now: Timestamp, replaced_at: Option<Timestamp>) -> bool {
        let in_time = replaced_at.is_none_or(|at| self.up_at <= at)
            && self.removed_at.is_none_or(|at| self.up_at < at);
        matches!(self.outcome, Outcome::Good | Outcome::Crashes) && self.up_at <= now && in_time
    }

    pub fn is_stopped(&self, now: Timestamp) -> bool {
        self.stopped_at.is_some_and(|at| at <= now)
    }
}

/// When the next one after a position was made.
fn next_at(runs: &[Arc<Run>], position: usize, now: Timestamp) -> Option<Timestamp> {
    runs.get(position + 1)
        .map(|next| next.created_at)
        .filter(|at| *at <= now)
}

/// The status of the deployment at a position among all of its service, oldest first.
pub fn status(runs: &[Arc<Run>], position: usize, now: Timestamp) -> Status {
    let run = &runs[position];
    let replaced_at = next_at(runs, position, now);
    let taken_over = || {
        (position + 1..runs.len())
            .filter(|later| runs[*later].created_at <= now)
            .any(|later| runs[later].came_up(now, next_at(runs, later, now)))
    };
    let is_gone = run.removed_at.is_some_and(|at| at <= now)
        || replaced_at.is_some_and(|at| at < run.up_at)
        || (run.outcome == Outcome::Good && taken_over());
    if is_gone {
        return Status::Removed;
    }
    match run.outcome {
        Outcome::NeedsApproval => Status::NeedsApproval,
        Outcome::Skipped if run.up_at <= now => Status::Skipped,
        _ if now < run.up_at => Status::Rolling(
            if run.load.commit.is_some() {
                "BUILDING"
            } else {
                "DEPLOYING"
            }
            .to_owned(),
        ),
        Outcome::Fails => Status::Failed("FAILED".to_owned()),
        Outcome::Crashes if run.up_at + CRASH <= now => Status::Failed("CRASHED".to_owned()),
        Outcome::Good | Outcome::Crashes | Outcome::Skipped => Status::Healthy,
    }
}

/// What serves, or would if it were not stopped: oldest first, by position.
fn up(runs: &[Arc<Run>], now: Timestamp) -> impl Iterator<Item = usize> {
    (0..runs.len()).filter(move |position| {
        runs[*position].created_at <= now && status(runs, *position, now) == Status::Healthy
    })
}

pub fn active(runs: &[Arc<Run>], now: Timestamp) -> Vec<Active> {
    up(runs, now)
        .map(|position| Active {
            id: runs[position].id.clone(),
            stopped: runs[position].is_stopped(now),
        })
        .collect()
}

/// What customers reach.
pub fn serving(runs: &[Arc<Run>], now: Timestamp) -> Option<&Run> {
    up(runs, now)
        .map(|position| &*runs[position])
        .filter(|run| !run.is_stopped(now))
        .last()
}

/// Whether Railway keeps the image of a deployment to go back to.
pub fn is_kept(runs: &[Arc<Run>], position: usize, now: Timestamp) -> bool {
    runs[position].came_up(now, next_at(runs, position, now))
        && status(runs, position, now) == Status::Removed
}
