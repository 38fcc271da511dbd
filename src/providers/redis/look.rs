//! One look at a server: everything that is asked for in one round trip, and what the answers mean.

use super::purge;
use super::script::said;
use crate::clock::Clock;
use crate::kinds::shown::one_line;
use crate::world::Seen;
use crate::world::redis::{Memory, Pause, Persistence, Question, Queue, QueueKey, Server};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Pipeline, RedisError, RedisResult, Script, Value, from_redis_value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const LOOK: &str = include_str!("look.lua");
/// Older servers lack what the library itself needs (facts/redis-bullmq.md 1.6).
const OLDEST: u32 = 5;
/// A reason for failing is shown once, with how often it is the reason.
const MOST_REASONS: usize = 3;

/// Asks everything at once.
pub async fn look(
    question: &Question,
    clock: &Clock,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Seen<Server>> {
    let asked = clock.moment();
    let answers: Vec<RedisResult<Value>> = pipeline(question).query_async(connection).await?;
    let latency = asked.elapsed();
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let info: String = from_redis_value(next()?)?;
    let time: (i64, i64) = from_redis_value(next()?)?;
    let (save, sync) = (next(), next());
    let clients = next();
    let info = Info::of(&info);
    if let Some(words) = info.unfit() {
        return Ok(Seen::Unseen(format!("Redis/{} {words}", question.of.name)));
    }
    let clients = clients.ok().and_then(|value| from_redis_value(value).ok());
    let clients: Option<String> = clients;
    let mut queues = BTreeMap::new();
    for key in question.queues.keys() {
        let mut seen = seen(next().and_then(queue_of), || format!("the queue {key}"));
        if let Seen::Facts(queue) = &mut seen {
            queue.workers = clients.as_deref().map(|clients| workers(clients, key));
        }
        queues.insert(key.clone(), seen);
    }
    let mut keys = BTreeMap::new();
    for key in &question.keys {
        let value = next().and_then(|value| Ok(from_redis_value(value)?));
        keys.insert(key.clone(), seen(value, || format!("the key {key}")));
    }
    let mut counts = BTreeMap::new();
    for pattern in &question.counts {
        counts.insert(
            pattern.clone(),
            purge::count(pattern, clock, connection).await?,
        );
    }
    Ok(Seen::Facts(Server {
        started_at: seconds(time.0.saturating_sub(info.number("uptime_in_seconds"))),
        version: info.text("redis_version"),
        run_id: info.text("run_id"),
        is_replica: info.text("role") == "slave",
        has_file: !info.text("config_file").is_empty(),
        latency: Duration::from_micros(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
        memory: info.memory(),
        persistence: Persistence {
            save: setting(save),
            sync: setting(sync),
            ..info.persistence()
        },
        queues,
        keys,
        counts,
    }))
}

fn pipeline(question: &Question) -> Pipeline {
    let mut all = ::redis::pipe();
    all.ignore_errors();
    all.cmd("INFO");
    all.cmd("TIME");
    all.cmd("CONFIG").arg("GET").arg("save");
    all.cmd("CONFIG").arg("GET").arg("appendfsync");
    all.cmd("CLIENT").arg("LIST");
    // The first brings the script along; the others only name it.
    let hash = Script::new(LOOK).get_hash().to_owned();
    for (position, (queue, before)) in question.queues.iter().enumerate() {
        if position == 0 {
            all.cmd("EVAL").arg(LOOK);
        } else {
            all.cmd("EVALSHA").arg(&hash);
        }
        let before = before.map(|before| before.as_millisecond().to_string());
        all.arg(1).arg(format!("{queue}:meta"));
        all.arg(queue.to_string()).arg(before.unwrap_or_default());
    }
    for key in &question.keys {
        all.cmd("GET").arg(key);
    }
    all
}

/// What was had of a part, or why not: a part that cannot be seen hides no other.
fn seen<T>(answer: RedisResult<T>, what: impl Fn() -> String) -> Seen<T> {
    answer.map_or_else(
        |error: RedisError| Seen::Unseen(format!("{} cannot be seen: {}", what(), said(&error))),
        Seen::Facts,
    )
}

fn setting(answer: RedisResult<Value>) -> Option<String> {
    let pairs: BTreeMap<String, String> = from_redis_value(answer.ok()?).ok()?;
    pairs.into_values().next()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

/// What `INFO` says, line by line.
struct Info<'a> {
    lines: BTreeMap<&'a str, &'a str>,
}

impl<'a> Info<'a> {
    fn of(text: &'a str) -> Info<'a> {
        Info {
            lines: text
                .lines()
                .filter_map(|line| line.split_once(':'))
                .collect(),
        }
    }

    fn text(&self, name: &str) -> String {
        self.lines
            .get(name)
            .map(|text| one_line(text))
            .unwrap_or_default()
    }

    fn number<N: std::str::FromStr + Default>(&self, name: &str) -> N {
        let number = self.lines.get(name).and_then(|text| text.parse().ok());
        number.unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.lines.get(name).is_some_and(|text| *text == "1")
    }

    /// Why it is no server that is looked after here.
    fn unfit(&self) -> Option<String> {
        if self.is("cluster_enabled") || self.text("redis_mode") == "cluster" {
            return Some(
                "is a cluster, whose nodes hold parts of the queues: none is looked after here"
                    .to_owned(),
            );
        }
        if self.text("redis_mode") == "sentinel" {
            return Some("is a sentinel, which only knows where a server is".to_owned());
        }
        let version = self.text("redis_version");
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major: u32| major < OLDEST) {
            return Some(format!(
                "runs {version}, and BullMQ needs {OLDEST} or newer"
            ));
        }
        None
    }

    fn memory(&self) -> Memory {
        let databases = self.lines.iter().filter(|(name, _)| {
            let number = name.strip_prefix("db");
            number.is_some_and(|number| number.bytes().all(|it| it.is_ascii_digit()))
        });
        let keys = databases.filter_map(|(_, text)| {
            text.split(',')
                .find_map(|part| part.strip_prefix("keys=")?.parse::<u64>().ok())
        });
        Memory {
            used_bytes: self.number("used_memory"),
            max_bytes: self.number("maxmemory"),
            policy: self.text("maxmemory_policy"),
            evicted_keys: self.number("evicted_keys"),
            keys: keys.sum(),
        }
    }

    fn persistence(&self) -> Persistence {
        let append_only = self.is("aof_enabled");
        // One that was started with an empty file has had nothing to rewrite.
        let has_base = self.number::<u64>("aof_base_size") > 0 || self.text("aof_rewrites") == "0";
        Persistence {
            save: None,
            append_only,
            sync: None,
            append_only_is_whole: append_only
                && !self.is("aof_rewrite_in_progress")
                && !self.is("aof_rewrite_scheduled")
                && self.text("aof_last_bgrewrite_status") == "ok"
                && has_base,
            saved_at: seconds(self.number("rdb_last_save_time")),
            save_is_well: self.text("rdb_last_bgsave_status") == "ok",
            is_saving: self.is("rdb_bgsave_in_progress"),
            unsaved_changes: self.number("rdb_changes_since_last_save"),
        }
    }
}

/// Connections that wait for jobs of a queue, or run them: workers name their connections so (facts/redis-bullmq.md 1.1).
fn workers(clients: &str, queue: &QueueKey) -> u64 {
    let own = format!("{}:{}", queue.prefix, STANDARD.encode(&queue.name));
    let is_worker = |line: &&str| {
        let name = line.split(' ').find_map(|part| part.strip_prefix("name="));
        let rest = name.and_then(|name| name.strip_prefix(&own));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(":w:"))
    };
    clients.lines().filter(is_worker).count() as u64
}

fn queue_of(answer: Value) -> RedisResult<Queue> {
    let Value::Array(parts) = answer else {
        return Err(answer_is_strange());
    };
    let mut parts = parts.into_iter();
    let mut named: BTreeMap<String, Value> = BTreeMap::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        named.insert(from_redis_value(name)?, value);
    }
    let mut fields = Fields(named);
    let meta: BTreeMap<String, String> = fields.take("meta")?;
    let reasons: Vec<String> = fields.take("reasons")?;
    let running: Vec<String> = fields.take("running")?;
    let oldest_failed: String = fields.take("oldest_failed")?;
    Ok(Queue {
        exists: fields.number("exists")? > 0,
        is_of_bull: fields.number("bull")? > 0,
        version: meta.get("version").map(|version| one_line(version)),
        is_paused: meta.contains_key("paused"),
        max_active: meta.get("concurrency").map(|limit| one_line(limit)),
        in_wait: fields.number("wait")?,
        in_paused: fields.number("paused")?,
        prioritized: fields.number("prioritized")?,
        active: fields.number("active")?,
        delayed: fields.number("delayed")?,
        failed: fields.number("failed")?,
        oldest_waiting: moment(fields.number("oldest")? as f64),
        oldest_failed: moment(oldest_failed.parse().unwrap_or_default()),
        failed_before: fields.number("failed_before")?,
        has_clearable: fields.number("clearable")? > 0,
        reasons: counted(reasons),
        running: running.iter().map(|job| one_line(job)).collect(),
        unheld: fields.number("unheld")?,
        workers: None,
        pause: pause(&meta),
    })
}

/// The parts of a script's answer, by name.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn take<T: ::redis::FromRedisValue>(&mut self, name: &str) -> RedisResult<T> {
        let value = self.0.remove(name).ok_or_else(answer_is_strange)?;
        Ok(from_redis_value(value)?)
    }

    /// 0 where it was not asked for.
    fn number(&mut self, name: &str) -> RedisResult<u64> {
        match self.0.remove(name) {
            Some(value) => Ok(from_redis_value(value)?),
            None => Ok(0),
        }
    }
}

fn answer_is_strange() -> RedisError {
    let kind = ::redis::ErrorKind::UnexpectedReturnType;
    (kind, "the answer is not understood").into()
}

fn moment(milliseconds: f64) -> Option<Timestamp> {
    let is_one = milliseconds >= 1.0;
    is_one.then(|| Timestamp::from_millisecond(milliseconds as i64).ok())?
}

fn counted(reasons: Vec<String>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(one_line(&reason)).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts.truncate(MOST_REASONS);
    counts
}

/// Our pause, as the scripts leave it in `meta`.
fn pause(meta: &BTreeMap<String, String>) -> Option<Pause> {
    let reasons = meta.get("reconciler:paused-for")?;
    let since = meta
        .get("reconciler:since")
        .and_then(|since| since.parse().ok());
    Some(Pause {
        reasons: reasons.lines().map(one_line).collect(),
        since: moment(since.unwrap_or_default()).unwrap_or_default(),
        was_paused: meta.contains_key("reconciler:was-paused"),
    })
}
