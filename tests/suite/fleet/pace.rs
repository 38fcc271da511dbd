//! How far apart looks and beats lie, as a table.

use jiff::{SignedDuration, Timestamp};
use reconciler::controller::pace::{Pace, Purse, rests_until, spent_until};
use reconciler::providers::railway::Allowance;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

#[test]
fn beats_come_as_often_as_the_budget_allows() {
    let table: Vec<String> = [
        (None, 1, 50),
        (Some(1_000), 100, 50),
        (Some(1_000), 1_000, 50),
        (Some(10_000), 1, 1),
        (Some(10_000), 100, 50),
        (Some(10_000), 1_000, 50),
        (Some(10_000), 10_000, 50),
    ]
    .into_iter()
    .map(|(limit, environments, together)| {
        let pace = Pace::of(limit, environments, together);
        let limit = limit.map_or("untold".to_owned(), |limit: u64| limit.to_string());
        format!(
            "{limit} an hour, {environments} by {together}: beat {} s, look {} min, without pulse {} min",
            pace.beat.as_secs(),
            pace.look.as_secs() / 60,
            pace.without_pulse.as_secs() / 60
        )
    })
    .collect();
    assert_eq!(
        table,
        [
            "untold an hour, 1 by 50: beat 30 s, look 240 min, without pulse 10 min",
            "1000 an hour, 100 by 50: beat 48 s, look 240 min, without pulse 40 min",
            "1000 an hour, 1000 by 50: beat 480 s, look 1200 min, without pulse 400 min",
            "10000 an hour, 1 by 1: beat 30 s, look 240 min, without pulse 10 min",
            "10000 an hour, 100 by 50: beat 30 s, look 240 min, without pulse 10 min",
            "10000 an hour, 1000 by 50: beat 48 s, look 240 min, without pulse 40 min",
            "10000 an hour, 10000 by 50: beat 480 s, look 1200 min, without pulse 400 min",
        ]
    );
}

#[test]
fn a_token_whose_budget_is_nearly_used_up_serves_changes_only() {
    let told = |remaining| {
        Some(Allowance {
            limit: 1_000,
            remaining,
            resets_at: at(3600),
        })
    };
    assert_eq!(rests_until(None, at(0)), None);
    assert_eq!(rests_until(told(150), at(0)), None);
    assert_eq!(rests_until(told(149), at(0)), Some(at(3600)));
    // What was said of an hour that is over says nothing of this one.
    assert_eq!(rests_until(told(0), at(3600)), None);
}

#[test]
fn no_pass_begins_that_might_ask_for_more_than_is_left() {
    let told = |remaining| {
        Some(Allowance {
            limit: 1_000,
            remaining,
            resets_at: at(3600),
        })
    };
    assert_eq!(spent_until(None, 15, at(0)), None);
    assert_eq!(spent_until(told(4), 0, at(0)), None);
    assert_eq!(spent_until(told(3), 0, at(0)), Some(at(3600)));
    assert_eq!(spent_until(told(63), 15, at(0)), Some(at(3600)));
    assert_eq!(spent_until(told(0), 0, at(3600)), None);
}

#[test]
fn first_looks_come_in_one_burst_and_then_as_the_budget_brings_new_ones() {
    let mut purse = Purse::full(at(0));
    let mut taken = 0;
    while purse.take(Some(10_000), at(0)) {
        taken += 1;
    }
    assert_eq!(taken, 200);
    for second in 1..=3600 {
        while purse.take(Some(10_000), at(second)) {
            taken += 1;
        }
    }
    assert!((4_190..=4_201).contains(&taken), "{taken}");
}
