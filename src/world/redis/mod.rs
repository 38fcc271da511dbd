//! A Redis server as it was seen, with the queues on it, and what can be done to them. Facts: `facts/redis-bullmq.md`.

mod action;

pub use action::{Action, Archive, Change};

use crate::world::Seen;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum At {
    /// By what the variables of a Railway service say.
    Service(String),
    /// By a secret that is its address.
    Secret(String),
    /// Not at all: a stranger's manifests do not choose what is looked at.
    Nowhere,
}

/// A server: the name of its document, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Of {
    /// `metadata.name` of the Redis.
    pub name: String,
    /// How it is reached.
    pub at: At,
}

/// Everything that a plan wants to know of one server: one question, and one round trip.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The server.
    pub of: Of,
    /// The queues, with the moment before which failed jobs are to be gone.
    pub queues: BTreeMap<QueueKey, Option<Timestamp>>,
    /// Plain keys whose values matter.
    pub keys: BTreeSet<String>,
    /// Patterns whose keys are to be counted: it takes as long as there are keys, so only what is about to be purged is.
    pub counts: BTreeSet<String>,
}

/// What a queue's keys begin with: `bull:orders`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct QueueKey {
    /// `bull`, unless the application says otherwise.
    pub prefix: String,
    /// The queue's name in the application.
    pub name: String,
}

impl fmt::Display for QueueKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.prefix, self.name)
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its version: `7.0.15`.
    pub version: String,
    /// Changes with every start.
    pub run_id: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether it takes its data from another server, and no writes.
    pub is_replica: bool,
    /// Whether it has a file to which it could write its own settings.
    pub has_file: bool,
    /// How long its answer took.
    pub latency: Duration,
    /// What it holds.
    pub memory: Memory,
    /// How it keeps its data over a restart.
    pub persistence: Persistence,
    /// The queues that were asked for.
    pub queues: BTreeMap<QueueKey, Seen<Queue>>,
    /// The plain keys that were asked for; nothing where there is none.
    pub keys: BTreeMap<String, Seen<Option<String>>>,
    /// How many keys the patterns fit that were asked for.
    pub counts: BTreeMap<String, Count>,
}

/// How many keys a pattern fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// So many were counted.
    pub keys: u64,
    /// Whether all were looked at.
    pub is_whole: bool,
}

/// What a server holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes that its data and itself take.
    pub used_bytes: u64,
    /// What it may take at most; 0 where there is no limit.
    pub max_bytes: u64,
    /// What it does when it is full: `noeviction`, `allkeys-lru`, …
    pub policy: String,
    /// Keys that it threw away because it was full, since its start.
    pub evicted_keys: u64,
    /// How many keys there are in all its databases.
    pub keys: u64,
}

/// How a server keeps its data over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Persistence {
    /// When it writes a whole file: `3600 1`; nothing where it may not be asked, and empty where it never does.
    pub save: Option<String>,
    /// Whether every change goes to the append-only file.
    pub append_only: bool,
    /// How often that reaches the disk: `everysec`.
    pub sync: Option<String>,
    /// Whether the append-only file holds everything: its first rewrite is done and went well.
    pub append_only_is_whole: bool,
    /// When the last whole file was written.
    pub saved_at: Timestamp,
    /// Whether that went well.
    pub save_is_well: bool,
    /// Whether one is being written.
    pub is_saving: bool,
    /// Changes since.
    pub unsaved_changes: u64,
}

/// One queue of BullMQ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    /// Whether anybody has made it.
    pub exists: bool,
    /// Whether its keys are those of Bull, which came before BullMQ.
    pub is_of_bull: bool,
    /// The library that wrote it last, as that says: `bullmq:5.81.5`. It is a hint: older ones say nothing.
    pub version: Option<String>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// The limit of jobs at once over all workers, as it is written there.
    pub max_active: Option<String>,
    /// Jobs in `wait`.
    pub in_wait: u64,
    /// Jobs in `paused`, which only versions before 6 fill.
    pub in_paused: u64,
    /// Waiting jobs with a priority.
    pub prioritized: u64,
    /// Jobs that run.
    pub active: u64,
    /// Jobs whose time has not come.
    pub delayed: u64,
    /// Jobs that failed for good.
    pub failed: u64,
    /// When the oldest waiting job was added.
    pub oldest_waiting: Option<Timestamp>,
    /// When the oldest failed job failed.
    pub oldest_failed: Option<Timestamp>,
    /// Failed jobs from before the moment that was asked about.
    pub failed_before: u64,
    /// Whether the first thousand of them hold one that may go: a job may not while another waits for it.
    pub has_clearable: bool,
    /// Why the newest hundred failed, and how many of them; most first.
    pub reasons: Vec<(String, u64)>,
    /// What the first jobs that run are called.
    pub running: Vec<String>,
    /// Jobs that run and that no worker holds: theirs died, or is about to.
    pub unheld: u64,
    /// The workers that wait for jobs or run them, by their connections; nothing where the server does not tell.
    pub workers: Option<u64>,
    /// Our pause, as it is remembered in the queue itself.
    pub pause: Option<Pause>,
}

/// A pause of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pause {
    /// For which documents: `Maintenance/site`.
    pub reasons: BTreeSet<String>,
    /// Since when.
    pub since: Timestamp,
    /// Whether somebody else had paused it before: then it stays paused when the last reason goes.
    pub was_paused: bool,
}

impl Queue {
    /// Jobs that wait, wherever they are kept.
    pub fn waiting(&self) -> u64 {
        self.in_wait + self.in_paused + self.prioritized
    }
}

/// How a version of BullMQ keeps a queue that is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layout {
    /// Up to 5: the list of waiting jobs changes its name. It is safe for 6 too, so what is unknown is kept so.
    Legacy,
    /// From 6: the list stays where it is.
    V6,
}

impl Queue {
    /// Whether jobs lie where the library does not look for them, or where its next step would lose them.
    pub fn is_mixed(&self, layout: Layout) -> bool {
        if self.is_paused {
            layout == Layout::Legacy && self.in_wait > 0
        } else {
            self.in_paused > 0
        }
    }
}

/// The key in which it is noted when the last whole purge of a cache began, milliseconds, and how many bytes the server held when it was through.
pub fn purged(cache: &str) -> String {
    format!("reconciler:purged:{cache}")
}

/// The key in which it is noted how far a purge of a cache has come: the run of the server, when it began, milliseconds, and the cursor.
pub fn purging(cache: &str) -> String {
    format!("reconciler:purging:{cache}")
}

/// The key in which it is noted when a cache was filled again last: milliseconds.
pub fn warmed(cache: &str) -> String {
    format!("reconciler:warmed:{cache}")
}

/// The key in which it is noted when a key was given its value, or taken away: milliseconds.
pub fn turned(key: &str) -> String {
    format!("reconciler:turned:{key}")
}
