//! How Redis servers and queues stand: what waits and runs, why jobs failed, who paused what, how full a server is.

use super::seconds;
use crate::kinds::shown::{counted, few, harmless, one_line, rough};
use crate::kinds::{Declared, Documents, queue};
use crate::world::redis::{Queue, Server};
use crate::world::{Seen, World};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One Redis server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisStatus {
    /// The name of its document.
    pub name: String,
    /// Whether it can be seen, takes writes and keeps what it holds.
    pub is_well: bool,
    /// How it stands, in words.
    pub words: String,
    /// What it shows, when it could be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows: Option<RedisShows>,
}

/// What a Redis server shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisShows {
    /// Its version.
    pub version: String,
    /// When it was started.
    pub started_at: String,
    /// Bytes that it takes.
    pub used_bytes: u64,
    /// What it may take at most; 0 where there is no limit.
    pub max_bytes: u64,
    /// What it does when it is full.
    pub policy: String,
    /// Keys that it threw away because it was full.
    pub evicted_keys: u64,
    /// How many keys it has.
    pub keys: u64,
    /// Whether every change goes to the append-only file.
    pub append_only: bool,
    /// When it writes a whole file; nothing where it does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save: Option<String>,
    /// When the last whole file was written.
    pub saved_at: String,
    /// Whether the last attempt at one went well.
    pub save_is_well: bool,
    /// Changes since.
    pub unsaved_changes: u64,
    /// How long its answer took, in milliseconds.
    pub latency_ms: f64,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The name of its document.
    pub name: String,
    /// The Redis that it lies in.
    pub redis: String,
    /// Whether jobs begin and end as they should, as far as it shows.
    pub is_well: bool,
    /// How it stands, in words.
    pub words: String,
    /// What it shows, when it could be seen and is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows: Option<QueueShows>,
}

/// What a queue shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueShows {
    /// The library that wrote it last, as that says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// Whether no job begins.
    pub is_paused: bool,
    /// Whether it is paused and nothing runs any more.
    pub is_quiet: bool,
    /// The documents for which we paused it.
    pub paused_for: Vec<String>,
    /// Since when we did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<String>,
    /// How many jobs run at once at most, as it is written there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active: Option<String>,
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs that run.
    pub active: u64,
    /// Jobs whose time has not come.
    pub delayed: u64,
    /// Jobs that failed for good.
    pub failed: u64,
    /// When the oldest waiting job was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_waiting: Option<String>,
    /// Workers that are connected; nothing where the server does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u64>,
    /// Jobs that run and that no worker holds.
    pub unheld: u64,
    /// Why the newest hundred failed.
    pub reasons: Vec<FailureReason>,
}

/// Why jobs failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureReason {
    /// In the application's words.
    pub words: String,
    /// How many of the newest hundred.
    pub jobs: u64,
}

/// The servers that the manifests name.
pub fn servers(documents: &Documents, world: &World) -> Vec<RedisStatus> {
    let names = documents.redises.keys();
    names
        .map(|name| {
            let unseen = |words: String| RedisStatus {
                name: name.clone(),
                is_well: false,
                words,
                shows: None,
            };
            match world.redis.get(name) {
                Some(Seen::Facts(server)) => server_status(name, server),
                Some(Seen::Unseen(reason)) => unseen(harmless(reason)),
                Some(Seen::Unasked) | None => unseen("nobody looked".to_owned()),
            }
        })
        .collect()
}

fn server_status(name: &str, server: &Server) -> RedisStatus {
    let memory = &server.memory;
    let kept = &server.persistence;
    let is_kept = kept.append_only || kept.save.as_deref().is_none_or(|save| !save.is_empty());
    // Nine tenths of it is nearly full, and full means that no job can be added.
    let is_full = memory.max_bytes > 0 && memory.used_bytes > memory.max_bytes / 10 * 9;
    let share = memory
        .used_bytes
        .saturating_mul(100)
        .checked_div(memory.max_bytes);
    let mut words = match share {
        Some(share) => format!("{share} % of {} used", size(memory.max_bytes)),
        None => format!("{} used, no limit", size(memory.used_bytes)),
    };
    let _ = write!(
        words,
        " · {} · {}",
        memory.policy,
        counted(memory.keys, "key")
    );
    if memory.evicted_keys > 0 {
        let _ = write!(
            words,
            " · {} thrown away because it was full",
            memory.evicted_keys
        );
    }
    words.push_str(match (kept.append_only, is_kept) {
        (true, _) if kept.append_only_is_whole => " · append-only file",
        (true, _) => " · append-only file, not whole yet",
        (false, true) => " · saves",
        (false, false) => " · NOTHING IS KEPT over a restart",
    });
    if !kept.save_is_well {
        words.push_str(" · its last save FAILED");
    }
    if server.is_replica {
        words.push_str(" · a replica, takes no writes");
    }
    let latency = server.latency.as_secs_f64() * 1000.0;
    let _ = write!(words, " · answers in {latency:.1} ms");
    RedisStatus {
        name: name.to_owned(),
        is_well: is_kept && kept.save_is_well && !server.is_replica && !is_full,
        words,
        shows: Some(RedisShows {
            version: server.version.clone(),
            started_at: seconds(server.started_at),
            used_bytes: memory.used_bytes,
            max_bytes: memory.max_bytes,
            policy: memory.policy.clone(),
            evicted_keys: memory.evicted_keys,
            keys: memory.keys,
            append_only: kept.append_only,
            save: kept.save.clone(),
            saved_at: seconds(kept.saved_at),
            save_is_well: kept.save_is_well,
            unsaved_changes: kept.unsaved_changes,
            latency_ms: (latency * 10.0).round() / 10.0,
        }),
    }
}

/// An amount, in a unit in which it can be read.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    match fits {
        Some((unit, word)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            match tenths % 10 {
                0 => format!("{} {word}", tenths / 10),
                rest => format!("{}.{rest} {word}", tenths / 10),
            }
        }
        None => format!("{bytes} bytes"),
    }
}

/// The queues that the manifests name.
pub fn queues(documents: &Documents, world: &World, now: Timestamp) -> Vec<QueueStatus> {
    let queues = documents.queues.values();
    queues
        .map(|declared| queue_status(declared, world, now))
        .collect()
}

fn queue_status(declared: &Declared<queue::Spec>, world: &World, now: Timestamp) -> QueueStatus {
    let redis = &declared.spec.redis;
    let status = |words: String| QueueStatus {
        name: declared.name.clone(),
        redis: redis.clone(),
        is_well: false,
        words,
        shows: None,
    };
    let server = match world.redis.get(redis) {
        Some(Seen::Facts(server)) => server,
        Some(Seen::Unseen(_)) => return status(format!("Redis/{redis} could not be seen")),
        Some(Seen::Unasked) | None => return status("nobody looked".to_owned()),
    };
    match server.queues.get(&queue::key(declared)) {
        Some(Seen::Facts(queue)) if queue.exists => QueueStatus {
            is_well: is_well(queue),
            shows: Some(shows(queue)),
            ..status(words(queue, now))
        },
        Some(Seen::Facts(_)) => status("it is not there".to_owned()),
        Some(Seen::Unseen(reason)) => status(harmless(reason)),
        Some(Seen::Unasked) | None => status("nobody looked".to_owned()),
    }
}

/// Whether jobs begin and end as they should, as far as it shows: what waits has a worker, and what runs is held by one.
fn is_well(queue: &Queue) -> bool {
    let has_worker = queue.workers.is_none_or(|workers| workers > 0) || queue.waiting() == 0;
    !queue.is_paused && has_worker && queue.unheld == 0
}

fn words(queue: &Queue, now: Timestamp) -> String {
    let mut words = String::new();
    if queue.is_paused {
        let reasons: Vec<String> = match &queue.pause {
            Some(pause) => pause.reasons.iter().cloned().collect(),
            None => Vec::new(),
        };
        let by = match reasons.as_slice() {
            [] => "by somebody".to_owned(),
            reasons => format!("for {}", few(reasons, 5)),
        };
        let _ = write!(words, "PAUSED {by} · ");
    }
    let _ = write!(words, "{} waiting", queue.waiting());
    if let Some(oldest) = queue.oldest_waiting {
        let age = rough(now.duration_since(oldest).unsigned_abs());
        let _ = write!(words, ", oldest {age}");
    }
    let _ = write!(words, " · {} running", queue.active);
    match &queue.max_active {
        Some(most) => {
            let _ = write!(words, " of {}", one_line(most));
        }
        None => words.push_str(", no limit"),
    }
    if queue.unheld > 0 {
        let _ = write!(words, ", {} of them held by NO WORKER", queue.unheld);
    }
    if queue.delayed > 0 {
        let _ = write!(words, " · {} delayed", queue.delayed);
    }
    if queue.failed > 0 {
        let _ = write!(words, " · {} failed", queue.failed);
    }
    if let Some((reason, times)) = queue.reasons.first() {
        let _ = write!(words, ", {times} by `{}`", one_line(reason));
    }
    match queue.workers {
        Some(0) if queue.waiting() > 0 => words.push_str(" · NO WORKER is connected"),
        Some(1) => words.push_str(" · 1 worker"),
        Some(many) => {
            let _ = write!(words, " · {many} workers");
        }
        None => {}
    }
    words
}

fn shows(queue: &Queue) -> QueueShows {
    let pause = queue.pause.as_ref().filter(|_| queue.is_paused);
    let reasons = queue.reasons.iter();
    QueueShows {
        library: queue.version.clone(),
        is_paused: queue.is_paused,
        is_quiet: queue.is_paused && queue.active == 0,
        paused_for: pause
            .map(|pause| pause.reasons.iter().cloned().collect())
            .unwrap_or_default(),
        paused_since: pause.map(|pause| seconds(pause.since)),
        max_active: queue.max_active.clone(),
        waiting: queue.waiting(),
        active: queue.active,
        delayed: queue.delayed,
        failed: queue.failed,
        oldest_waiting: queue.oldest_waiting.map(seconds),
        workers: queue.workers,
        unheld: queue.unheld,
        reasons: reasons
            .map(|(words, jobs)| FailureReason {
                words: one_line(words),
                jobs: *jobs,
            })
            .collect(),
    }
}
