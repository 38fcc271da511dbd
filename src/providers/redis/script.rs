//! The changes as scripts of our own, each done whole or not at all; and what a server's refusal means.

use super::{Change, purge};
use crate::clock::Clock;
use crate::kinds::shown::one_line;
use crate::world::redis::{Layout, QueueKey, turned, warmed};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, RedisError, RedisResult};

const KINDS: &str = include_str!("kinds.lua");
const MAX_ACTIVE: &str = include_str!("max_active.lua");
const PAUSE: &str = include_str!("pause.lua");
const RESUME: &str = include_str!("resume.lua");
const FORGET: &str = include_str!("forget.lua");
pub const SET: &str = include_str!("set.lua");

/// So often a script is called again that moved many jobs and has some left.
const MOST_CALLS: usize = 200;

/// Makes one change.
pub async fn run(
    change: &Change,
    clock: &Clock,
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    match change {
        Change::MaxActive { queue, to } => {
            on_queue(MAX_ACTIVE, queue, &[&to.to_string()], connection).await
        }
        Change::Pause {
            queue,
            layout,
            reasons,
        } => {
            let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
            let arguments = [word(*layout), &reasons.join("\n")];
            on_queue(PAUSE, queue, &arguments, connection).await
        }
        Change::Resume { queue, layout, .. } => {
            on_queue(RESUME, queue, &[word(*layout)], connection).await
        }
        Change::Forget { queue } => on_queue(FORGET, queue, &[], connection).await,
        Change::Set { key, value } => {
            let mut script = eval(SET, &[key, &turned(key)]);
            script.arg(value).query_async(connection).await
        }
        Change::Unset { key } => {
            eval(SET, &[key, &turned(key)])
                .query_async(connection)
                .await
        }
        Change::Configure { values, has_file } => {
            for (name, value) in values {
                let mut set = ::redis::cmd("CONFIG");
                set.arg("SET").arg(name).arg(value);
                set.query_async::<()>(connection).await?;
            }
            if *has_file {
                let mut write = ::redis::cmd("CONFIG");
                write.arg("REWRITE").query_async::<()>(connection).await?;
            }
            Ok(())
        }
        Change::Save => ::redis::cmd("BGSAVE").query_async(connection).await,
        Change::Purge {
            cache,
            pattern,
            protect,
        } => purge::purge(cache, pattern, protect, clock, connection).await,
        Change::Warm { cache, .. } => {
            // Only the note is wanted.
            let note = eval(SET, &[format!("reconciler:warming:{cache}"), warmed(cache)]);
            note.query_async(connection).await
        }
        // Its caller does that piece by piece, with an archive in between.
        Change::Clear { .. } => Ok(()),
    }
}

fn word(layout: Layout) -> &'static str {
    match layout {
        Layout::Legacy => "legacy",
        Layout::V6 => "v6",
    }
}

/// Calls a script on a queue until it has nothing left to move.
async fn on_queue(
    body: &str,
    queue: &QueueKey,
    arguments: &[&str],
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let keys = [
        "meta",
        "marker",
        "wait",
        "paused",
        "prioritized",
        "delayed",
        "events",
    ];
    let keys = keys.map(|key| format!("{queue}:{key}"));
    let text = format!("{KINDS}\n{body}");
    for _ in 0..MOST_CALLS {
        let mut script = eval(&text, &keys);
        let left: u64 = script.arg(arguments).query_async(connection).await?;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

pub fn eval(text: &str, keys: &[impl AsRef<str>]) -> Cmd {
    let mut script = ::redis::cmd("EVAL");
    script.arg(text).arg(keys.len());
    for key in keys {
        script.arg(key.as_ref());
    }
    script
}

/// Whether a repeat would be refused in the same words, whatever state the server is in.
pub fn is_for_good(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
}

/// What a server said, in words that help.
pub fn said(error: &RedisError) -> String {
    let detail = error.detail().map(one_line).unwrap_or_default();
    match error.code() {
        Some("NOAUTH") => "it asks for a password, and the address has none".to_owned(),
        Some("NOPERM") => format!("its user lacks the right: {detail}"),
        Some("READONLY") => "it is a replica, which takes no writes".to_owned(),
        Some("LOADING") => "it is still loading its data".to_owned(),
        Some("BUSY") => "it is busy with somebody's script".to_owned(),
        Some("OOM") => "it is full, and takes no more".to_owned(),
        Some("MISCONF") => "it takes no writes because its last save failed".to_owned(),
        Some("WRONGKIND" | "NOQUEUE") | None => {
            if detail.is_empty() {
                one_line(error.category())
            } else {
                detail
            }
        }
        Some(code) => format!("{} {detail}", one_line(code)),
    }
}

/// Why nothing could be sent, or nothing came.
pub fn io_words(error: &RedisError) -> String {
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connection_refusal() {
        "nothing listens there".to_owned()
    } else if error.is_connection_dropped() {
        "the connection was cut".to_owned()
    } else {
        one_line(&error.to_string())
    }
}
