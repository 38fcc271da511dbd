//! A deployment's life as a function of time: what it is at a moment follows from what was decided when it was made.

use super::chance::Chance;
use jiff::{SignedDuration, Timestamp};
use reconciler::world::Seen;
use reconciler::world::railway::{Active, Deployment, Ready, Status};
use std::collections::BTreeMap;

/// A stored variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub value: String,
    pub sealed: bool,
    pub written_at: Timestamp,
}

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
    pub ready: Ready,
    pub variables: BTreeMap<String, Held>,
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
        let says = |part: &str| {
            load.image
                .as_ref()
                .is_some_and(|image| image.contains(part))
        };
        let starts = |part: &str| {
            load.commit
                .as_ref()
                .is_some_and(|commit| commit.starts_with(part))
        };
        match () {
            () if says(":bad") || starts("bad") => Outcome::Fails,
            () if says(":crash") => Outcome::Crashes,
            () if says(":approve") => Outcome::NeedsApproval,
            () if starts("5c1b") => Outcome::Skipped,
            () => Outcome::Good,
        }
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
}

/// The status of the deployment at a position among all of its service, oldest first.
pub fn status(runs: &[Run], position: usize, now: Timestamp) -> Status {
    let run = &runs[position];
    let later: Vec<(usize, &Run)> = runs
        .iter()
        .enumerate()
        .skip(position + 1)
        .filter(|(_, later)| later.created_at <= now)
        .collect();
    let replaced_at = later.first().map(|(_, later)| later.created_at);
    let taken_over = later.iter().any(|(position, later)| {
        later.came_up(
            now,
            runs.get(position + 1)
                .map(|next| next.created_at)
                .filter(|at| *at <= now),
        )
    });
    if run.removed_at.is_some_and(|at| at <= now) || (taken_over && run.outcome == Outcome::Good) {
        return Status::Removed;
    }
    if replaced_at.is_some_and(|at| at < run.up_at) {
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

/// What serves.
pub fn active(runs: &[Run], now: Timestamp) -> Vec<Active> {
    let serves = |position: &usize| {
        runs[*position].created_at <= now && status(runs, *position, now) == Status::Healthy
    };
    (0..runs.len())
        .filter(serves)
        .map(|position| Active {
            id: runs[position].id.clone(),
            stopped: runs[position].is_stopped(now),
        })
        .collect()
}

impl Run {
    pub fn is_stopped(&self, now: Timestamp) -> bool {
        self.stopped_at.is_some_and(|at| at <= now)
    }
}

/// A deployment as a look shows it.
pub fn shown(runs: &[Run], position: usize, now: Timestamp, meta_patch_id: bool) -> Deployment {
    let run = &runs[position];
    let status = status(runs, position, now);
    let ran = run.came_up(
        now,
        runs.get(position + 1)
            .map(|next| next.created_at)
            .filter(|at| *at <= now),
    );
    Deployment {
        id: run.id.clone(),
        can_rollback: ran && status == Status::Removed,
        status,
        created_at: run.created_at,
        image: run.load.image.clone(),
        commit: run.load.commit.clone(),
        patch: run.patch.clone().filter(|_| meta_patch_id),
        stopped: run.is_stopped(now),
        settings: None,
        by_file: BTreeMap::new(),
        variables: Seen::Unasked,
    }
}
