//! The journal: nothing waits for it, and what it loses is counted.

use super::{counted, plant, seconds};
use reconciler::store::Store;
use reconciler::store::faults::{Chances, Faults};
use reconciler::store::journal::{Journal, QUEUE, journal, prune, read};
use std::time::Duration;

fn say(journal: &Journal<String>, clock: &reconciler::clock::Clock, range: std::ops::Range<u32>) {
    for number in range {
        journal.append("production", 7, clock.now(), format!("event {number}"));
    }
}

async fn newest(store: &Store, count: usize) -> Vec<String> {
    let page = read::<String>(store, "production", count).await.unwrap();
    page.entries.into_iter().map(|entry| entry.what).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_together_is_written_together_and_read_newest_first() {
    let clock = counted(1);
    let store = Store::in_memory(&clock);
    let (journal, writer) = journal(&store);
    tokio::spawn(writer.run());

    say(&journal, &clock, 0..10);
    clock.sleep(seconds(24 * 3600)).await;
    say(&journal, &clock, 10..12);
    journal.append("staging", 1, clock.now(), "elsewhere".to_owned());
    journal.flush(&clock, seconds(5)).await;

    assert_eq!(newest(&store, 3).await, ["event 11", "event 10", "event 9"]);
    assert_eq!(newest(&store, 100).await.len(), 12);
    let days = store
        .objects()
        .list("journal/production")
        .await
        .unwrap()
        .folders;
    assert_eq!(days, ["2026-11-24", "2026-11-25"]);
    let objects = store
        .objects()
        .list("journal/production/2026-11-24")
        .await
        .unwrap()
        .objects;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(objects[0].starts_with("090000.000-7-"), "{objects:?}");
    assert_eq!(journal.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_drops_and_counts_and_never_waits() {
    let clock = counted(1);
    let store = Store::in_memory(&clock);
    let (journal, writer) = journal(&store);

    say(&journal, &clock, 0..u32::try_from(QUEUE).unwrap() + 50);
    assert_eq!(journal.dropped(), 50);
    tokio::spawn(writer.run());
    journal.flush(&clock, seconds(60)).await;

    assert_eq!(newest(&store, 5000).await.len(), QUEUE);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_costs_history_and_nothing_else() {
    let clock = counted(1);
    let faults = Faults::default();
    let store = Store::in_memory(&clock);
    let (journal, writer) = journal(&store.with_faults(&faults, &clock));
    tokio::spawn(writer.run());

    faults.set(Chances::DOWN);
    say(&journal, &clock, 0..5);
    journal.flush(&clock, seconds(60)).await;
    assert_eq!(journal.dropped(), 5);
    faults.set(Chances {
        after: 40,
        ..Chances::default()
    });
    say(&journal, &clock, 5..8);
    journal.flush(&clock, seconds(60)).await;

    assert_eq!(newest(&store, 100).await, ["event 7", "event 6", "event 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_no_longer_than_it_may() {
    let clock = counted(1);
    let (journal, _writer) = journal::<String>(&Store::in_memory(&clock));
    let began = clock.moment();

    journal.flush(&clock, seconds(3)).await;

    assert_eq!(began.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_counted_and_what_is_old_is_deleted() {
    let clock = counted(1);
    let store = Store::in_memory(&clock);
    let (journal, writer) = journal(&store);
    tokio::spawn(writer.run());
    say(&journal, &clock, 0..2);
    journal.flush(&clock, Duration::from_secs(5)).await;
    plant(
        &store,
        "journal/production/2026-11-24/235959.000-1-x.json",
        "half a fi",
    )
    .await;
    plant(
        &store,
        "journal/production/2026-08-01/235959.000-1-x.json",
        "old",
    )
    .await;
    plant(&store, "journal/production/notes/by-hand.txt", "mine").await;

    let page = read::<String>(&store, "production", 100).await.unwrap();
    assert_eq!((page.entries.len(), page.unreadable), (2, 3));
    let deleted = prune(
        &store,
        "production",
        "2026-11-24T08:00:00Z".parse().unwrap(),
    )
    .await;

    assert_eq!(deleted, Ok(1));
    let left = store
        .objects()
        .list("journal/production")
        .await
        .unwrap()
        .folders;
    assert_eq!(left, ["2026-11-24", "notes"]);
}
