//! A purge: page by page, so that nobody waits for it; what is protected stays; and it is noted when a whole pass began.

use super::is_bench;
use super::server::{Server, question};
use reconciler::world::Seen;
use reconciler::world::redis::{Change, Count};
use std::time::Duration;

fn purge(pattern: &str, protect: &[&str]) -> Change {
    Change::Purge {
        cache: "pages".to_owned(),
        pattern: pattern.to_owned(),
        protect: protect.iter().map(|it| (*it).to_owned()).collect(),
    }
}

/// How many keys there are; a bench takes more, and judges the time.
fn keys() -> u64 {
    if is_bench() { 1_000_000 } else { 200_000 }
}

/// How often a command was called.
async fn calls(server: &Server, command: &str) -> u64 {
    let told: String = server.run("INFO commandstats").await;
    let start = format!("cmdstat_{command}:calls=");
    let line = told.lines().find_map(|line| line.strip_prefix(&start));
    let count = line.and_then(|rest| rest.split(',').next()?.parse().ok());
    count.unwrap_or(0)
}

/// Fills a server: every second key is the cache's.
async fn filled(keys: u64) -> Server {
    let server = Server::start().await;
    let mut connection = server.connection().await;
    let fill = "for index = ARGV[1], ARGV[2] do redis.call('SET', (index % 2 == 0 and 'cache:' or 'data:') .. index, 'x') end";
    for from in (0..keys).step_by(50_000) {
        let mut eval = redis::cmd("EVAL");
        eval.arg(fill).arg(0).arg(from).arg(from + 49_999);
        eval.query_async::<()>(&mut connection).await.unwrap();
    }
    server
}

#[tokio::test]
async fn half_of_very_many_keys_go_page_by_page() {
    let keys = keys();
    let server = filled(keys).await;
    server
        .run::<()>("CONFIG SET slowlog-log-slower-than 25000")
        .await;
    server.run::<()>("SLOWLOG RESET").await;

    // The same by hand, with every size of page: the best rate of this machine.
    let mut best = 0.0_f64;
    for size in [100, 1_000, 10_000] {
        let mut connection = server.connection().await;
        let begun = tokio::time::Instant::now();
        let mut aside = Duration::ZERO;
        let (mut cursor, mut seen) = (0_u64, 0_u64);
        while seen < keys / 10 {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg("cache:*")
                .arg("COUNT")
                .arg(size);
            let (next, keys): (u64, Vec<Vec<u8>>) =
                scan.query_async(&mut connection).await.unwrap();
            seen += keys.len() as u64;
            cursor = next;
            redis::cmd("UNLINK")
                .arg(&keys)
                .query_async::<()>(&mut connection)
                .await
                .unwrap();
            let mut again = redis::pipe();
            for key in &keys {
                again.cmd("SET").arg(key).arg("x").ignore();
            }
            // Not measured: it is put back for the next size.
            let paused = tokio::time::Instant::now();
            again.query_async::<()>(&mut connection).await.unwrap();
            aside += paused.elapsed();
        }
        best = best.max(seen as f64 / (begun.elapsed() - aside).as_secs_f64());
    }
    server.run::<()>("SLOWLOG RESET").await;
    server.run::<()>("CONFIG RESETSTAT").await;

    let begun = tokio::time::Instant::now();
    server.perform(purge("cache:*", &["bull:*"])).await.unwrap();
    let rate = (keys / 2) as f64 / begun.elapsed().as_secs_f64();

    assert_eq!(
        server
            .run::<u64>("EXISTS cache:0 cache:2 cache:199998")
            .await,
        0
    );
    assert_eq!(
        server.run::<u64>("DBSIZE").await,
        keys / 2 + 1,
        "the rest, and the note of when"
    );
    // A thousand keys a page: no call is long, and there are as few as that allows.
    let (scans, unlinks) = (calls(&server, "scan").await, calls(&server, "unlink").await);
    let pages = keys / 1_000;
    assert!((pages..=pages + 10).contains(&scans), "{scans} scans");
    assert!(unlinks <= scans, "{unlinks} unlinks in {scans} pages");
    assert_eq!(calls(&server, "keys").await, 0);
    println!(
        "queues: purge of {} of {keys} keys: {rate:.0} a second, the best page {best:.0}",
        keys / 2
    );
    if is_bench() {
        let slow = server.run::<u64>("SLOWLOG LEN").await;
        assert_eq!(slow, 0, "calls of more than 25 ms");
        assert!(rate >= 0.8 * best, "{rate} {best}");
    }
}

#[tokio::test]
async fn what_is_protected_stays_whatever_the_pattern() {
    let server = Server::start().await;
    for key in ["cache:1", "cache:keep:2", "bull:mail:meta", "cache:a b"] {
        let mut connection = server.connection().await;
        redis::cmd("SET")
            .arg(key)
            .arg("x")
            .query_async::<()>(&mut connection)
            .await
            .unwrap();
    }
    let mut asked = question(&[]);
    asked.counts.insert("cache:*".to_owned());
    let seen = server.look(&asked).await;
    let Seen::Facts(seen) = seen else {
        panic!("{seen:?}")
    };
    let count = Count {
        keys: 3,
        is_whole: true,
    };
    assert_eq!(seen.counts["cache:*"], count);

    server
        .perform(purge("cache:*", &["cache:keep:*", "bull:*"]))
        .await
        .unwrap();

    assert_eq!(server.run::<u64>("EXISTS cache:1").await, 0);
    assert_eq!(
        server
            .run::<u64>("EXISTS cache:keep:2 bull:mail:meta")
            .await,
        2
    );
    let (mark, left) = mark(&server).await;
    assert!(mark > 1_700_000_000_000);
    let told: String = server.run("INFO memory").await;
    let used = told
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().parse().unwrap();
    assert!(used.abs_diff(left) < used / 4, "{left} of {used}");
    let (cache, urls) = ("pages".to_owned(), Vec::new());
    server.perform(Change::Warm { cache, urls }).await.unwrap();
    assert!(server.run::<i64>("GET reconciler:warmed:pages").await >= mark);
    // A full server refuses what is new, and still lets itself be purged and marked.
    server.run::<()>("SET cache:9 x").await;
    server.run::<()>("CONFIG SET maxmemory 100kb").await;
    server
        .perform(purge("cache:*", &["cache:keep:*"]))
        .await
        .unwrap();
    assert_eq!(server.run::<u64>("EXISTS cache:9").await, 0);
    assert!(self::mark(&server).await.0 >= mark);
}

/// When the last whole purge began, and what the server held when it was through.
async fn mark(server: &Server) -> (i64, u64) {
    let noted: String = server.run("GET reconciler:purged:pages").await;
    let (since, left) = noted.split_once(' ').unwrap();
    (since.parse().unwrap(), left.parse().unwrap())
}

#[tokio::test]
async fn a_purge_that_helped_notes_that_the_memory_is_free() {
    let server = filled(50_000).await;
    let full: String = server.run("INFO memory").await;
    let used = |told: &str| -> u64 {
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().parse().unwrap()
    };

    server.perform(purge("cache:*", &["bull:*"])).await.unwrap();

    let (_, left) = mark(&server).await;
    assert!(left < used(&full) * 8 / 10, "{left} of {}", used(&full));
}

#[tokio::test]
async fn a_pass_that_nobody_went_on_with_for_an_hour_is_begun_anew() {
    let server = Server::start().await;
    let told: String = server.run("INFO server").await;
    let run = told.lines().find_map(|line| line.strip_prefix("run_id:"));
    let (now, _): (i64, i64) = server.run("TIME").await;
    for (minutes, is_kept) in [(50, true), (70, false)] {
        let since = (now - minutes * 60) * 1000;
        let mut connection = server.connection().await;
        redis::cmd("SET")
            .arg("reconciler:purging:pages")
            .arg(format!("{} {since} 0", run.unwrap()))
            .query_async::<()>(&mut connection)
            .await
            .unwrap();

        server.perform(purge("cache:*", &["bull:*"])).await.unwrap();

        assert_eq!(mark(&server).await.0 == since, is_kept, "{minutes} minutes");
    }
}
