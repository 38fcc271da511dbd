//! Marks: typed, written on a condition, and never taken for something else when damaged.

use super::{counted, plant};
use reconciler::plan::stance::{Direct, Suspension};
use reconciler::store::Store;
use reconciler::store::faults::{Chances, Faults};
use reconciler::store::marks::{Accepted, Done, Marks, Resumed, Set};
use reconciler::world::{Failure, Seen};

fn done(commit: &str, epoch: u64) -> Done {
    Done {
        commit: commit.to_owned(),
        epoch,
        at: "2026-11-24T09:00:00Z".parse().unwrap(),
    }
}

fn suspended(reason: &str) -> Suspension {
    Suspension {
        by: "ada".to_owned(),
        reason: reason.to_owned(),
        since: "2026-11-24T09:00:00Z".parse().unwrap(),
        until: None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_mark_is_read_as_it_was_written_and_can_be_taken_away() {
    let marks = Marks::of(&Store::in_memory(&counted(1)), "production");
    let direct = Direct {
        by: "ada".to_owned(),
        reason: "git is down".to_owned(),
        at: done("", 1).at,
        until: Some(done("", 1).at),
        content: "sha256:12".to_owned(),
        commit: None,
    };
    let accepted = Accepted {
        commit: "c2".to_owned(),
        epoch: 3,
        at: direct.at,
    };
    assert_eq!(marks.direct().await, Seen::Facts(None));

    marks.set_direct(Some(&direct)).await.unwrap();
    marks
        .set_suspended(Some(&suspended("a sale")))
        .await
        .unwrap();
    marks.set_accepted(&accepted).await.unwrap();
    marks.set_done(&done("c1", 3)).await.unwrap();

    assert_eq!(marks.direct().await, Seen::Facts(Some(direct.clone())));
    assert_eq!(
        marks.suspended().await,
        Seen::Facts(Some(suspended("a sale")))
    );
    assert_eq!(marks.accepted().await, Seen::Facts(Some(accepted)));
    assert_eq!(marks.done().await, Seen::Facts(Some(done("c1", 3))));
    marks.set_suspended(None).await.unwrap();
    marks.clear_direct(&direct).await.unwrap();
    assert_eq!(marks.suspended().await, Seen::Facts(None));
    assert_eq!(marks.direct().await, Seen::Facts(None));

    marks.set_direct(Some(&direct)).await.unwrap();
    let resumed = Resumed {
        by: "ben".to_owned(),
        at: direct.at,
    };
    marks.resume(&resumed).await.unwrap();
    assert_eq!(marks.direct().await, Seen::Facts(None));
    assert_eq!(marks.resumed().await, Seen::Facts(Some(resumed)));
}

#[tokio::test(start_paused = true)]
async fn an_older_epoch_never_overwrites_a_newer_one() {
    let marks = Marks::of(&Store::in_memory(&counted(1)), "production");
    assert_eq!(marks.set_done(&done("c1", 4)).await, Ok(Set::Done));
    assert_eq!(marks.set_done(&done("c2", 5)).await, Ok(Set::Done));

    assert_eq!(
        marks.set_done(&done("c1", 4)).await,
        Ok(Set::Older { than: 5 })
    );

    assert_eq!(marks.done().await, Seen::Facts(Some(done("c2", 5))));
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_ended_by_itself_does_not_take_the_next_one_along() {
    let marks = Marks::of(&Store::in_memory(&counted(1)), "production");
    marks
        .set_suspended(Some(&suspended("until noon")))
        .await
        .unwrap();
    marks
        .set_suspended(Some(&suspended("until evening")))
        .await
        .unwrap();

    marks
        .clear_suspended(&suspended("until noon"))
        .await
        .unwrap();

    assert_eq!(
        marks.suspended().await,
        Seen::Facts(Some(suspended("until evening")))
    );
}

#[tokio::test(start_paused = true)]
async fn a_damaged_mark_is_unseen_and_put_right_by_the_next_write() {
    let store = Store::in_memory(&counted(1));
    let marks = Marks::of(&store, "production");
    for damaged in [
        "",
        "{",
        "null",
        r#"{"version":1,"mark":{"commit":7}}"#,
        r#"{"mark":null}"#,
    ] {
        plant(&store, "marks/production/done.json", damaged).await;
        let Seen::Unseen(why) = marks.done().await else {
            panic!("{damaged:?} was understood");
        };
        assert!(
            why.starts_with("marks/production/done.json on the store is damaged"),
            "{why}"
        );
        assert_eq!(marks.set_done(&done("c1", 1)).await, Ok(Set::Done));
        assert_eq!(marks.done().await, Seen::Facts(Some(done("c1", 1))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_a_newer_reconciler_is_left_alone_and_unknown_fields_are_passed_over() {
    let store = Store::in_memory(&counted(1));
    let marks = Marks::of(&store, "production");
    plant(
        &store,
        "marks/production/done.json",
        r#"{"version":2,"mark":{"commits":[]}}"#,
    )
    .await;
    assert!(matches!(marks.done().await, Seen::Unseen(_)));
    assert!(matches!(
        marks.set_done(&done("c1", 9)).await,
        Err(Failure::Refused(_))
    ));

    plant(&store, "marks/production/done.json", r#"{"version":1,"by":"x","mark":{"commit":"c1","epoch":3,"at":"2026-11-24T09:00:00Z","new":[1]}}"#).await;
    assert_eq!(marks.done().await, Seen::Facts(Some(done("c1", 3))));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_makes_marks_unseen() {
    let clock = counted(1);
    let faults = Faults::default();
    let marks = Marks::of(
        &Store::in_memory(&clock).with_faults(&faults, &clock),
        "production",
    );
    faults.set(Chances::DOWN);

    assert_eq!(
        marks.done().await,
        Seen::Unseen("the store: cannot be reached".to_owned())
    );
    assert!(matches!(
        marks.set_done(&done("c1", 1)).await,
        Err(Failure::Passing(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_reply_was_lost_can_be_repeated() {
    let clock = counted(1);
    let faults = Faults::default();
    let marks = Marks::of(
        &Store::in_memory(&clock).with_faults(&faults, &clock),
        "production",
    );
    marks.set_done(&done("c1", 1)).await.unwrap();
    faults.set(Chances {
        after: 50,
        ..Chances::default()
    });

    while marks.set_done(&done("c2", 2)).await.is_err() {}

    faults.set(Chances::default());
    assert_eq!(marks.done().await, Seen::Facts(Some(done("c2", 2))));
}
