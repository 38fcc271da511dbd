//! `kind: Queue`: a queue of BullMQ as it should be; how many jobs run at once, whether it is paused, how long failed jobs stay.

pub mod library;
mod steps;

pub use steps::steps;

use super::written::{Duration, Instant};
use super::{Declared, Documents, Kind};
use crate::world::redis::QueueKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A queue of BullMQ, as it lies in a Redis. Changes are applied there at once, without a deployment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// The Redis that it lies in.
    #[schemars(length(min = 1, max = 63))]
    pub redis: String,
    /// The library of the application.
    pub library: Library,
    /// The library's version, as `"5.20"`: for those that do not say it themselves, which are most before 5.21.
    #[schemars(regex(pattern = r"^[0-9]{1,3}(\.[0-9]{1,4}){0,2}$"))]
    pub version: Option<String>,
    /// The queue's name in the application; the name of this document where there is none.
    #[schemars(length(min = 1, max = 200))]
    pub name: Option<String>,
    /// What the application lets its keys begin with; `bull` unless it says otherwise.
    #[schemars(length(min = 1, max = 100))]
    pub prefix: Option<String>,
    /// How many jobs run at once at most, over all workers together. It is a ceiling: workers with a lower limit of their own stay below. Needs BullMQ 5.9.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_active: Option<u64>,
    /// Whether it is paused: no job begins, and those that run go on to their end. `false` lifts everybody's pause; where nothing is said, only our own.
    pub paused: Option<bool>,
    /// What becomes of failed jobs.
    pub failed: Option<Failed>,
}

/// The library that an application uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// BullMQ 3 to 6.
    Bullmq,
    /// Bull, which came before: it is looked at, and nothing is changed.
    Bull,
}

/// What becomes of failed jobs. Those that another job waits for always stay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Failed {
    /// How long they stay; older ones go by themselves, to the `archive` first.
    pub keep: Option<Duration>,
    /// The store of the Environment to which they go before they are taken away.
    #[schemars(length(min = 1, max = 63))]
    pub archive: Option<String>,
    /// None is left that failed before this time.
    pub cleared_before: Option<Instant>,
}

impl Kind for Spec {
    const NAME: &'static str = "Queue";
    const IS_SHARED: bool = true;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Queue
metadata: { name: orders }
spec:
  redis: main
  library: bullmq
  version: \"5.20\"                 # where it does not say so itself
  name: orders-v2                 # where the application calls it otherwise
  prefix: bull
  maxActive: 10
  paused: false
  failed: { keep: 14d, archive: backups, clearedBefore: 2026-11-23T03:20:00Z }
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.queues
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.queues
    }
}

/// What its keys begin with.
pub fn key(declared: &Declared<Spec>) -> QueueKey {
    let spec = &declared.spec;
    QueueKey {
        prefix: spec.prefix.clone().unwrap_or_else(|| "bull".to_owned()),
        name: spec.name.clone().unwrap_or_else(|| declared.name.clone()),
    }
}

/// The moment before which no failed job may be left now.
pub fn cleared_before(spec: &Spec, now: Timestamp) -> Option<Timestamp> {
    let failed = spec.failed.as_ref()?;
    let once = failed.cleared_before.map(|Instant(before)| before);
    let once = once.filter(|before| *before <= now);
    once.max(kept_from(failed, now))
}

/// The moment from which failed jobs are kept, where they are not kept for ever.
fn kept_from(failed: &Failed, now: Timestamp) -> Option<Timestamp> {
    let keep = failed.keep?;
    now.checked_sub(keep.0).ok()
}
