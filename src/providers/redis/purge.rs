//! Takes away what a cache holds, page by page, so that no call lasts long; and counts what would go.

use super::script::{SET, eval};
use crate::clock::Clock;
use crate::kinds::glob;
use crate::world::redis::{Count, purged, purging};
use ::redis::RedisResult;
use ::redis::aio::MultiplexedConnection;
use std::time::Duration;

/// So many keys are looked at in one call: the fastest that stays under a few milliseconds (facts/redis-bullmq.md 4).
const PAGE: usize = 1000;
/// What is left after this time is asked for again by the next look (design rule 12).
const LONGEST: Duration = Duration::from_secs(15);
/// What nobody has gone on with for so long is begun anew, milliseconds.
const FRESH: i64 = 3_600_000;
/// So often it is asked whether all memory of what went is free.
const FREEING: usize = 40;
/// Counting ends after this time: then there are at least so many.
const COUNTING: Duration = Duration::from_secs(4);

/// One page of keys, and where the next begins; 0 after the last.
async fn page(
    cursor: u64,
    pattern: &str,
    connection: &mut MultiplexedConnection,
) -> RedisResult<(u64, Vec<Vec<u8>>)> {
    let mut scan = ::redis::cmd("SCAN");
    scan.arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(PAGE);
    scan.query_async(connection).await
}

/// How many keys a pattern fits, as far as there is time.
pub async fn count(
    pattern: &str,
    clock: &Clock,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Count> {
    let begun = clock.moment();
    let mut count = Count::default();
    let mut cursor = 0;
    loop {
        let (next, keys) = page(cursor, pattern, connection).await?;
        count.keys += keys.len() as u64;
        if next == 0 {
            count.is_whole = true;
            return Ok(count);
        }
        if begun.elapsed() > COUNTING {
            return Ok(count);
        }
        cursor = next;
    }
}

/// Goes on where the last slice ended, and notes when the whole pass began once it is through: a mark before that would be a lie.
pub async fn purge(
    cache: &str,
    pattern: &str,
    protect: &[String],
    clock: &Clock,
    connection: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let begun = clock.moment();
    let place = purging(cache);
    let run = told("server", "run_id", connection).await?;
    let now = milliseconds(connection).await?;
    let left = left(&place, &run, connection).await?;
    let (mut cursor, since) = left
        .filter(|(_, since)| *since > now - FRESH)
        .unwrap_or((0, now));
    loop {
        let (next, keys) = page(cursor, pattern, connection).await?;
        let is_protected = |key: &&Vec<u8>| protect.iter().any(|it| glob::fits(it.as_bytes(), key));
        let keys: Vec<&Vec<u8>> = keys.iter().filter(|key| !is_protected(key)).collect();
        if !keys.is_empty() {
            ::redis::cmd("UNLINK")
                .arg(keys)
                .query_async::<()>(connection)
                .await?;
        }
        cursor = next;
        if cursor == 0 {
            let mut mark = eval(SET, &[purged(cache), place.clone()]);
            let held = held(clock, connection).await?;
            mark.arg(format!("{since} {held}"))
                .query_async::<()>(connection)
                .await?;
            return ::redis::cmd("DEL").arg(place).query_async(connection).await;
        }
        if begun.elapsed() > LONGEST {
            let note = format!("{run} {since} {cursor}");
            return ::redis::cmd("SET")
                .arg(place)
                .arg(note)
                .query_async(connection)
                .await;
        }
    }
}

/// How many bytes the server holds once the memory of what went is free, which takes a while behind its back.
async fn held(clock: &Clock, connection: &mut MultiplexedConnection) -> RedisResult<String> {
    for _ in 0..FREEING {
        if told("memory", "lazyfree_pending_objects", connection).await? == "0" {
            break;
        }
        clock.sleep(Duration::from_millis(50)).await;
    }
    told("memory", "used_memory", connection).await
}

/// One line of what a server tells of itself.
async fn told(
    section: &str,
    name: &str,
    connection: &mut MultiplexedConnection,
) -> RedisResult<String> {
    let info: String = ::redis::cmd("INFO")
        .arg(section)
        .query_async(connection)
        .await?;
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(own, _)| *own == name);
    Ok(line.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

/// Where the last slice ended and when the pass began; nothing after a restart, as a cursor means nothing then.
async fn left(
    place: &str,
    run: &str,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Option<(u64, i64)>> {
    let note: Option<String> = ::redis::cmd("GET")
        .arg(place)
        .query_async(connection)
        .await?;
    Ok(note.and_then(|note| {
        let mut parts = note.split(' ');
        let is_same = parts.next()? == run;
        let since = parts.next()?.parse().ok()?;
        let cursor = parts.next()?.parse().ok()?;
        is_same.then_some((cursor, since))
    }))
}

async fn milliseconds(connection: &mut MultiplexedConnection) -> RedisResult<i64> {
    let time: (i64, i64) = ::redis::cmd("TIME").query_async(connection).await?;
    Ok(time.0 * 1000 + time.1 / 1000)
}
