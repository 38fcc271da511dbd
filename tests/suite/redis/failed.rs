//! Clearing failed jobs: to the archive first, never one that another job waits for, and what cannot be archived stays.

use super::bullmq::{Application, VERSIONS};
use super::server::{Server, key, question};
use jiff::Timestamp;
use reconciler::world::Failure;
use reconciler::world::redis::{Archive, Change};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn clear(before: Timestamp, url: &str) -> Change {
    Change::Clear {
        queue: key("mail"),
        before,
        archive: Some(Archive {
            store: "backups".to_owned(),
            url: url.to_owned(),
        }),
    }
}

/// All objects below a folder.
pub(super) fn archived(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(archived(&path));
        } else if path.extension().is_some_and(|ending| ending == "json") {
            found.push(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
        }
    }
    found
}

/// Past all that failed so far.
fn later() -> Timestamp {
    reconciler::clock::Clock::wall().now() + Duration::from_secs(5)
}

#[tokio::test]
async fn failed_jobs_go_to_the_archive_and_then_away() {
    for version in [VERSIONS[1], VERSIONS[2], VERSIONS[4], VERSIONS[5]] {
        let server = Server::start().await;
        let mut application = Application::start(version, &server, "mail").await;
        application.work(2, 50, 0).await;
        application
            .order(json!({ "order": "add", "many": 2_500, "job": "bad" }))
            .await;
        // A failed child for which its parent still waits, with a brother.
        application
            .order(json!({ "order": "flow", "opts": {} }))
            .await;
        application.until_ran(2_501).await;
        while server.queue("mail").await.failed < 2_501 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let url = format!("file://{}", server.archive.path().display());
        let mut asked = question(&["mail"]);
        asked.queues.insert(key("mail"), Some(later()));
        let seen = server.look(&asked).await;
        let queue = seen.facts().unwrap().queues[&key("mail")]
            .facts()
            .unwrap()
            .clone();
        assert_eq!(
            (queue.failed_before, queue.has_clearable),
            (2_501, true),
            "{version:?}"
        );

        server.perform(clear(later(), &url)).await.unwrap();

        let seen = server.look(&asked).await;
        let queue = seen.facts().unwrap().queues[&key("mail")]
            .facts()
            .unwrap()
            .clone();
        assert_eq!(
            (queue.failed_before, queue.has_clearable),
            (1, false),
            "{version:?}"
        );
        let told = application.order(json!({ "order": "tell" })).await;
        assert_eq!(told["counts"]["failed"], 1, "{version:?}");
        let pieces = archived(server.archive.path());
        let jobs: Vec<&Value> = pieces
            .iter()
            .flat_map(|piece| piece["jobs"].as_array().unwrap())
            .collect();
        assert_eq!(jobs.len(), 2_500, "{version:?}");
        assert!(
            jobs.iter()
                .all(|job| job["fields"]["failedReason"] == "bad went wrong")
        );
        // Nothing is left of them but the queue itself, the parent and its children.
        let keys: Vec<String> = server.run("KEYS bull:mail:*").await;
        assert!(keys.len() < 20, "{version:?}: {keys:?}");
        application.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_archived_stays() {
    let server = Server::start().await;
    server
        .run::<()>("HSET bull:mail:meta opts.maxLenEvents 10000")
        .await;
    server
        .run::<()>("HSET bull:mail:7 name bad failedReason no")
        .await;
    server.run::<()>("ZADD bull:mail:failed 1000 7").await;
    // A bucket without credentials.
    let failure = server
        .perform(clear(later(), "s3://nobody/has/it"))
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, Failure::Passing(words) if words.starts_with("nothing is cleared that is not archived: no credentials")),
        "{failure}"
    );
    assert_eq!(server.queue("mail").await.failed, 1);
    // A job that failed after the moment stays, too.
    let before = Timestamp::from_millisecond(1000).unwrap();
    let url = format!("file://{}", server.archive.path().display());
    server.perform(clear(before, &url)).await.unwrap();
    assert_eq!(server.queue("mail").await.failed, 1);
    server.perform(clear(later(), &url)).await.unwrap();
    assert_eq!(server.queue("mail").await.failed, 0);
    assert_eq!(server.run::<u64>("EXISTS bull:mail:7").await, 0);
}
