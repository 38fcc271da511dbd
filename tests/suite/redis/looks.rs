//! One look: everything of one server in one round trip, and what it tells of its queues.

use super::bullmq::{Application, VERSIONS};
use super::server::{Server, question, world};
use reconciler::manifest::load;
use reconciler::plan::{Standing, plan};
use reconciler::source::Files;
use reconciler::world::Seen;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn one_look_of_fifty_queues_is_one_round_trip() {
    let server = Server::start().await;
    let names: Vec<String> = (0..50).map(|index| format!("q{index}")).collect();
    for name in &names {
        let command = format!("HSET bull:{name}:meta opts.maxLenEvents 10000 version bullmq:6.7.0");
        server.run::<()>(&command).await;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let question = question(&names);
    // The first connects, and that greets.
    server.look(&question).await;
    let reads = |info: String| -> u64 {
        let mut lines = info.lines();
        let line = lines.find_map(|line| line.strip_prefix("total_reads_processed:"));
        line.unwrap().parse().unwrap()
    };
    let mut connection = server.connection().await;
    let mut info = redis::cmd("INFO");
    info.arg("stats");
    let before = reads(info.query_async(&mut connection).await.unwrap());
    let seen = server.look(&question).await;
    let after = reads(info.query_async(&mut connection).await.unwrap());
    let queues = &seen.facts().unwrap().queues;
    assert!(queues.len() == 50 && queues.values().all(|queue| queue.facts().is_some()));
    // The second INFO is one itself.
    assert_eq!(
        after - before - 1,
        1,
        "reads of the server from its sockets"
    );
}

#[tokio::test]
async fn a_look_tells_what_waits_and_runs_and_why_jobs_failed() {
    for version in VERSIONS {
        let server = Server::start().await;
        let mut application = Application::start(version, &server, "mail").await;
        application
            .order(json!({ "order": "add", "many": 3, "job": "bad" }))
            .await;
        application.work(2, 2, 250).await;
        application.until_ran(3).await;
        while server.queue("mail").await.failed < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        application
            .order(json!({ "order": "add", "many": 20, "job": "slow" }))
            .await;
        application
            .order(json!({ "order": "add", "many": 2, "opts": { "delay": 3_600_000 } }))
            .await;
        application
            .order(json!({ "order": "until", "least": 2 }))
            .await;
        let queue = server.queue("mail").await;
        assert!(queue.exists && !queue.is_of_bull, "{version:?}");
        assert_eq!(queue.delayed, 2, "{version:?}");
        assert_eq!(queue.failed, 3, "{version:?}");
        assert_eq!(
            queue.reasons,
            [("bad went wrong".to_owned(), 3)],
            "{version:?}"
        );
        assert!(
            queue.active >= 2 && queue.running[0].starts_with("slow "),
            "{version:?}: {queue:?}"
        );
        assert!(
            queue.waiting() >= 8 && queue.oldest_waiting.is_some(),
            "{version:?}: {queue:?}"
        );
        assert_eq!(queue.unheld, 0, "{version:?}");
        assert_eq!(queue.workers, Some(2), "{version:?}");
        let told = queue.version.as_deref();
        assert!(
            told.is_none_or(|told| told.contains(version.number)),
            "{told:?}"
        );
        application.close().await;
    }
}

#[tokio::test]
async fn what_nobody_made_is_told_as_such() {
    let server = Server::start().await;
    assert!(!server.queue("mail").await.exists);
    server.run::<()>("SET bull:mail:meta-paused 1").await;
    server.run::<()>("LPUSH bull:mail:wait 1").await;
    assert!(server.queue("mail").await.is_of_bull);
    let seen = server.look(&question(&[])).await;
    assert!(matches!(seen, Seen::Facts(_)));
}

#[test]
fn a_strangers_manifests_show_nothing_of_a_server() {
    let now = "2026-11-23T02:00:00Z".parse().unwrap();
    let files = |more: &str| {
        Files {
        directory: String::new(),
        texts: BTreeMap::from([("all.yaml".into(), format!("apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: {{ name: production }}\nspec: {{ railway: {{ project: p, environment: e }} }}\n{more}").into())]),
    }
    };
    let stranger = load(&files("---\napiVersion: reconciler/v1alpha1\nkind: Redis\nmetadata: { name: main }\nspec: { service: redis, restartedAfter: 2026-11-23T01:59:00Z }\n---\napiVersion: reconciler/v1alpha1\nkind: Queue\nmetadata: { name: mail }\nspec: { redis: main, library: bullmq, paused: true }\n"), now).unwrap();
    let trusted = load(&files(""), now).unwrap();

    let plan = plan(&stranger.in_place_of(&trusted), &world(""), now);

    assert!(plan.questions.is_empty() && plan.writes.is_empty());
    assert_eq!(
        plan.standing(),
        Standing::InStep,
        "a stranger's pull request is no trouble"
    );
    assert_eq!(plan.steps.len(), 2);
}
