//! One lease between two controllers: who may have it, and until when.

use super::{counted, held, member, plant, seconds, taken, terms, text};
use jiff::SignedDuration;
use reconciler::clock::Moment;
use reconciler::store::Store;
use reconciler::store::faults::{Chances, Faults};
use reconciler::store::life::{Next, Pulse, Terms, decide};
use reconciler::world::Failure;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn what_to_do_about_a_lease_follows_from_what_was_seen() {
    let now = Moment::now();
    let margin = seconds(6);
    let still = |since: u64| Pulse::Still {
        since: now - seconds(since),
        ttl: seconds(60),
    };
    let next = |holder| decide(holder, "me", now, margin);
    tokio::time::advance(seconds(100)).await;
    let now = Moment::now();
    let later = |holder| decide(holder, "me", now, margin);

    assert_eq!(next(None), Next::Take);
    assert_eq!(next(Some(("me", still(0)))), Next::Take);
    assert_eq!(next(Some(("other", Pulse::Over))), Next::Take);
    assert_eq!(
        next(Some(("other", still(0)))),
        Next::Wait {
            until: now - seconds(34)
        }
    );
    assert_eq!(later(Some(("other", still(0)))), Next::End);
}

#[test]
fn a_lease_too_short_for_its_requests_is_refused() {
    let wrong = Terms::new(seconds(40), seconds(30)).unwrap_err();
    assert!(wrong.contains("right would be at least 60s"), "{wrong}");
    assert!(Terms::new(seconds(3600), seconds(30)).is_err());
    assert_eq!(
        Terms::new(seconds(60), seconds(30)).unwrap(),
        Terms::default()
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_controller_waits_as_long_as_the_first_beats() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let lease = taken(&first, "production").await;

    for _ in 0..30 {
        first.beat().await.unwrap();
        second.beat().await.unwrap();
        held(&second, "production").await;
        tokio::time::advance(seconds(10)).await;
    }

    assert!(lease.lasts(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_has_lost_it_before_another_can_have_it() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let old = taken(&first, "production").await;
    let next = held(&second, "production").await;

    tokio::time::advance(seconds(31)).await;
    second.beat().await.unwrap();
    assert!(
        !old.lasts(terms().longest()),
        "a request of thirty seconds would outlast it"
    );
    assert!(old.lasts(seconds(28)));
    tokio::time::advance(seconds(30)).await;
    assert!(!old.lasts(Duration::ZERO));
    second.beat().await.unwrap();
    held(&second, "production").await;
    tokio::time::advance(next - seconds(61)).await;
    let new = taken(&second, "production").await;

    assert_eq!((old.epoch(), new.epoch()), (1, 2));
    assert!(new.lasts(seconds(50)));
}

#[tokio::test(start_paused = true)]
async fn a_life_that_went_silent_is_followed_by_another_that_has_to_wait() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let old = taken(&first, "production").await;
    let next = held(&second, "production").await;
    for _ in 0..7 {
        tokio::time::advance(next / 7 + seconds(1)).await;
        second.beat().await.unwrap();
    }
    let new = taken(&second, "production").await;

    first.beat().await.unwrap();

    assert_eq!(old.lost().await, "its beat was not confirmed in time");
    assert!(!old.lasts(Duration::ZERO) && new.lasts(Duration::ZERO));
    held(&first, "production").await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_another_ended_cannot_beat_again() {
    let store = Store::in_memory(&counted(1));
    let first = member(&store, "a").await;
    let lease = taken(&first, "production").await;
    let (id, paper) = (
        first.life().id().to_owned(),
        format!("controllers/{}.json", first.life().id()),
    );
    let ended = text(&store, &paper)
        .await
        .unwrap()
        .replace("\"beat\"", "\"over\": \"ended by b\", \"beat\"");
    plant(&store, &paper, &ended).await;

    first.beat().await.unwrap();

    assert_eq!(lease.lost().await, "ended by b");
    assert_ne!(first.life().id(), id);
}

#[tokio::test(start_paused = true)]
async fn leaving_frees_every_lease_at_once_and_giving_back_frees_one() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let production = taken(&first, "production").await;
    let staging = taken(&first, "staging").await;

    production.release(&first).await.unwrap();
    assert!(!production.lasts(Duration::ZERO) && staging.lasts(Duration::ZERO));
    assert_eq!(taken(&second, "production").await.epoch(), 2);
    held(&second, "staging").await;
    first.leave().await.unwrap();

    assert_eq!(staging.lost().await, "it left");
    assert_eq!(taken(&second, "staging").await.epoch(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_reply_was_lost_is_found_and_one_that_never_arrived_is_not_believed() {
    let clock = counted(1);
    let faults = Faults::default();
    let store = Store::in_memory(&clock);
    let first = member(&store.with_faults(&faults, &clock), "a").await;
    let lease = taken(&first, "production").await;
    let lost = Chances {
        after: 100,
        ..Chances::default()
    };

    tokio::time::advance(seconds(20)).await;
    faults.set(lost);
    // Reading back what became of it fails as well.
    first.beat().await.unwrap_err();
    assert!(!lease.lasts(seconds(45)));
    faults.set(Chances::default());
    first.beat().await.unwrap();
    assert!(lease.lasts(seconds(59)));

    faults.set(Chances::DOWN);
    for _ in 0..6 {
        tokio::time::advance(seconds(10)).await;
        first.beat().await.unwrap_err();
    }
    assert!(!lease.lasts(Duration::ZERO));
    assert_eq!(lease.lost().await, "its beat was not confirmed in time");
}

#[tokio::test(start_paused = true)]
async fn the_lease_ends_by_itself_and_wakes_who_waits() {
    let store = Store::in_memory(&counted(1));
    let first = member(&store, "a").await;
    let lease = taken(&first, "production").await;
    let began = Moment::now();

    let why = lease.lost().await;

    assert_eq!(why, "its beat was not confirmed in time");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_ends_the_lease_and_one_set_back_prolongs_nothing() {
    let clock = counted(1);
    let store = Store::in_memory(&clock);
    let first = member(&store, "a").await;
    let lease = taken(&first, "production").await;

    clock.jump(SignedDuration::from_hours(-5));
    tokio::time::advance(seconds(59)).await;
    assert!(lease.lasts(Duration::ZERO));
    tokio::time::advance(seconds(1)).await;
    assert!(
        !lease.lasts(Duration::ZERO),
        "a clock set back prolonged a lease"
    );

    // The machine slept: the clock that only counts stood still.
    first.beat().await.unwrap();
    let lease = taken(&first, "production").await;
    assert_eq!(lease.epoch(), 2);
    assert!(lease.lasts(seconds(30)));
    clock.jump(SignedDuration::from_mins(2));
    assert!(!lease.lasts(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn another_clock_decides_nothing() {
    let (here, there) = (counted(1), counted(2));
    let store = Store::in_memory(&here);
    let first = member(&store, "a").await;
    let second = member(&Store::of(store.objects(), "memory", &there), "b").await;
    let lease = taken(&first, "production").await;

    there.jump(SignedDuration::from_hours(24 * 365));

    second.beat().await.unwrap();
    held(&second, "production").await;
    assert!(lease.lasts(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn the_epoch_never_goes_back() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let mut newest = 0;

    for round in 0..20 {
        let member = if round % 2 == 0 { &first } else { &second };
        let lease = taken(member, "production").await;
        assert!(lease.epoch() > newest);
        newest = lease.epoch();
        lease.release(member).await.unwrap();
    }
    // A lease that somebody deleted begins above every mark.
    let marks = reconciler::store::marks::Marks::of(&store, "production");
    let done = reconciler::store::marks::Done {
        commit: "c1".to_owned(),
        epoch: newest,
        at: counted(1).now(),
    };
    marks.set_done(&done).await.unwrap();
    store
        .objects()
        .delete("lease/production.json")
        .await
        .unwrap();

    assert_eq!(taken(&first, "production").await.epoch(), newest + 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_understood_is_nobodys_to_take() {
    let store = Store::in_memory(&counted(1));
    let first = member(&store, "a").await;
    for damaged in [
        "",
        "{",
        "[]",
        r#"{"version":1}"#,
        r#"{"version":2,"epoch":7}"#,
        "\u{0}\u{ff}",
    ] {
        plant(&store, "lease/production.json", damaged).await;
        let Err(Failure::Refused(words)) = first.take("production").await else {
            panic!("{damaged:?} was taken for a lease");
        };
        assert!(
            words.contains("lease/production.json on the store is"),
            "{words}"
        );
    }
    plant(
        &store,
        "lease/production.json",
        r#"{"version":1,"epoch":7,"written":"2026-01-01T00:00:00Z","more":1}"#,
    )
    .await;
    assert_eq!(taken(&first, "production").await.epoch(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_paper_is_damaged_is_waited_for_longest() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let old = taken(&first, "production").await;
    let paper = format!("controllers/{}.json", first.life().id());
    plant(&store, &paper, "not JSON").await;

    assert!(held(&second, "production").await > seconds(600));
    first.beat().await.unwrap();

    assert!(old.lost().await.contains("damaged"));
    assert_eq!(taken(&first, "production").await.epoch(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_store_ends_the_lives_on_it() {
    let store = Store::in_memory(&counted(1));
    let first = member(&store, "a").await;
    let lease = taken(&first, "production").await;
    let paper = format!("controllers/{}.json", first.life().id());
    for key in [paper.as_str(), "lease/production.json"] {
        store.objects().delete(key).await.unwrap();
    }

    first.beat().await.unwrap();

    assert_eq!(lease.lost().await, "its paper on the store is gone");
    assert!(taken(&first, "production").await.lasts(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn names_of_environments_stay_in_their_folder() {
    let store = Store::in_memory(&counted(1));
    let first = member(&store, "a/../b").await;
    taken(&first, "../controllers/x").await;

    assert!(
        text(&store, "lease/!2e.!2fcontrollers!2fx.json")
            .await
            .is_some()
    );
}
