//! A server's own settings: applied to what runs, and the append-only file whole before anybody restarts.

use super::server::{Server, question};
use reconciler::world::redis::Change;
use std::time::Duration;

fn set(name: &'static str, value: &str) -> Change {
    Change::Configure {
        values: vec![(name, value.to_owned())],
        has_file: false,
    }
}

#[tokio::test]
async fn settings_are_applied_to_what_runs() {
    let server = Server::start().await;
    server.run::<()>("SET a b").await;
    for (name, value) in [
        ("maxmemory", "419430400"),
        ("maxmemory-policy", "allkeys-lru"),
        ("save", "3600 1"),
        ("appendfsync", "always"),
        ("appendonly", "yes"),
    ] {
        server.perform(set(name, value)).await.unwrap();
    }
    for _ in 0..100 {
        let seen = server.look(&question(&[])).await;
        let seen = seen.facts().unwrap().clone();
        assert_eq!(seen.memory.max_bytes, 400 << 20);
        assert_eq!(seen.memory.policy, "allkeys-lru");
        assert_eq!(seen.persistence.save.as_deref(), Some("3600 1"));
        assert_eq!(seen.persistence.sync.as_deref(), Some("always"));
        assert!(seen.persistence.append_only && !seen.has_file);
        if seen.persistence.append_only_is_whole {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the append-only file was never whole");
}

#[tokio::test]
async fn a_server_that_was_started_with_the_append_only_file_has_it_whole() {
    let mut server = Server::with(&["--appendonly", "yes"]).await;
    for _ in 0..2 {
        server.run::<()>("SET a b").await;
        let seen = server.look(&question(&[])).await;
        let kept = &seen.facts().unwrap().persistence;
        assert!(kept.append_only && kept.append_only_is_whole, "{kept:?}");
        server.restart().await;
    }
    assert_eq!(server.run::<String>("GET a").await, "b");
}

#[tokio::test]
async fn a_save_is_seen_when_it_is_done() {
    let server = Server::start().await;
    server.run::<()>("SET a b").await;
    let before = server
        .look(&question(&[]))
        .await
        .facts()
        .unwrap()
        .persistence
        .clone();
    assert!(before.unsaved_changes > 0);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.perform(Change::Save).await.unwrap();
    for _ in 0..100 {
        let now = server
            .look(&question(&[]))
            .await
            .facts()
            .unwrap()
            .persistence
            .clone();
        if now.saved_at > before.saved_at && !now.is_saving {
            assert!(now.save_is_well && now.unsaved_changes == 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no save was seen");
}
