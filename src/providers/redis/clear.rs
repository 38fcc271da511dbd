//! Clears failed jobs piece by piece, each to its archive first: what cannot be archived stays.

use super::script::eval;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Store, segment};
use crate::world::Failure;
use crate::world::redis::{Archive, QueueKey};
use ::redis::RedisResult;
use ::redis::aio::MultiplexedConnection;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

const FAILED: &str = include_str!("failed.lua");
const CLEAR: &str = include_str!("clear.lua");

/// A piece ends when it is so large; one job may be larger.
const ENOUGH_BYTES: usize = 2 * 1024 * 1024;
/// What is left after this time is asked for again by the next look (design rule 12).
const LONGEST: Duration = Duration::from_secs(15);

/// Opens the stores that manifests name.
#[derive(Clone)]
pub struct Archives {
    config: Config,
    clock: Clock,
}

impl Archives {
    /// With the credentials that the process has.
    pub fn new(config: &Config, clock: &Clock) -> Archives {
        Archives {
            config: config.clone(),
            clock: clock.clone(),
        }
    }
}

/// What became of a clearing.
pub enum Stopped {
    /// The server did not do what was asked.
    Server(::redis::RedisError),
    /// The archive did not take the jobs: nothing of the piece is gone.
    Archive(Failure),
}

impl From<::redis::RedisError> for Stopped {
    fn from(error: ::redis::RedisError) -> Stopped {
        Stopped::Server(error)
    }
}

/// One job as it is archived: every field of it, by name.
#[derive(Debug, Serialize)]
struct Job {
    id: String,
    failed_at: String,
    fields: BTreeMap<String, String>,
}

/// A piece of an archive.
#[derive(Debug, Serialize)]
struct Jobs {
    queue: String,
    redis: String,
    jobs: Vec<Job>,
}

type Found = (u64, Vec<(String, String, Vec<Vec<u8>>)>);

/// Clears what failed before a moment, as far as the time allows.
pub async fn clear(
    (queue, redis): (&QueueKey, &str),
    before: Timestamp,
    archive: Option<(&Archive, &Archives)>,
    clock: &Clock,
    connection: &mut MultiplexedConnection,
) -> Result<(), Stopped> {
    let begun = clock.moment();
    let mut passed = 0;
    loop {
        let (awaited, jobs) = failed(queue, before, passed, connection).await?;
        if jobs.is_empty() && awaited == 0 {
            return Ok(());
        }
        passed += awaited;
        if !jobs.is_empty() {
            if let Some((archive, archives)) = archive {
                let kept = keep((queue, redis), &jobs, archive, archives).await;
                kept.map_err(Stopped::Archive)?;
            }
            let mut clear = eval(
                CLEAR,
                &[format!("{queue}:failed"), format!("{queue}:events")],
            );
            clear.arg(queue.to_string());
            for (id, score, _) in &jobs {
                clear.arg(id).arg(score);
            }
            clear.query_async::<u64>(connection).await?;
        }
        if begun.elapsed() > LONGEST {
            return Ok(());
        }
    }
}

async fn failed(
    queue: &QueueKey,
    before: Timestamp,
    passed: u64,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Found> {
    let mut failed = eval(FAILED, &[format!("{queue}:failed")]);
    failed.arg(queue.to_string()).arg(before.as_millisecond());
    failed.arg(passed).arg(ENOUGH_BYTES);
    failed.query_async(connection).await
}

/// Writes a piece to the store. Its name is made of its content, so that a repeat finds the first.
async fn keep(
    (queue, redis): (&QueueKey, &str),
    found: &[(String, String, Vec<Vec<u8>>)],
    archive: &Archive,
    archives: &Archives,
) -> Result<(), Failure> {
    let store = Store::open(&archive.url, &archives.config, &archives.clock)?;
    let jobs: Vec<Job> = found.iter().map(job).collect();
    let first = jobs.first().map(|job| job.failed_at.clone());
    let piece = Jobs {
        queue: queue.to_string(),
        redis: redis.to_owned(),
        jobs,
    };
    let bytes = serde_json::to_vec(&piece).unwrap_or_default();
    let mut name = String::new();
    for byte in Sha256::digest(&bytes).iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    let key = format!(
        "failed-jobs/{}/{}/{}-{name}.json",
        segment(redis),
        segment(&queue.to_string()),
        segment(&first.unwrap_or_default())
    );
    store.save(&key, &piece).await
}

fn job((id, score, fields): &(String, String, Vec<Vec<u8>>)) -> Job {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let milliseconds = score.parse::<f64>().unwrap_or_default();
    let at = Timestamp::from_millisecond(milliseconds as i64).unwrap_or_default();
    Job {
        id: id.clone(),
        failed_at: at.to_string(),
        fields: fields
            .chunks(2)
            .filter_map(|pair| Some((text(pair.first()?), text(pair.get(1)?))))
            .collect(),
    }
}
