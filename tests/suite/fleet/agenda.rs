//! What is due when for one environment, step by step.

use jiff::{SignedDuration, Timestamp};
use reconciler::controller::agenda::{Agenda, Next};
use reconciler::controller::pace::{Pace, Purse};
use std::time::Duration;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

const PACE: Pace = Pace {
    beat: Duration::from_secs(30),
    look: Duration::from_secs(14_400),
    without_pulse: Duration::from_secs(600),
};

fn looked(agenda: &mut Agenda, next: Next, now: i64) {
    agenda.looked(next, true, |time| time, at(now));
}

#[test]
fn the_first_look_is_due_at_once_and_waits_for_the_budget() {
    let agenda = Agenda::default();
    assert_eq!(agenda.next_look(&PACE), Timestamp::MIN);
    assert_eq!(agenda.next_woken(), None);
    assert_eq!(agenda.next_beat(&PACE), None);
}

#[test]
fn what_rests_is_beaten_and_seldom_looked_at() {
    let mut agenda = Agenda::default();
    looked(&mut agenda, Next::Rests, 0);
    assert_eq!(agenda.next_look(&PACE), at(14_400));
    assert_eq!(agenda.next_beat(&PACE), Some(at(30)));
    agenda.beaten(Some(false), at(31));
    assert_eq!(agenda.next_beat(&PACE), Some(at(61)));
    assert_eq!(agenda.next_look(&PACE), at(14_400));
    assert_eq!(agenda.next_woken(), None);
}

#[test]
fn what_moved_is_looked_at_at_once_whatever_the_budget() {
    let mut agenda = Agenda::default();
    looked(&mut agenda, Next::Rests, 0);
    agenda.beaten(Some(true), at(30));
    assert_eq!(agenda.next_look(&PACE), at(30));
    assert_eq!(agenda.next_woken(), Some(at(30)));
}

#[test]
fn where_no_pulse_is_told_looks_take_the_place_of_beats() {
    let mut agenda = Agenda::default();
    looked(&mut agenda, Next::Rests, 0);
    agenda.beaten(None, at(30));
    assert_eq!(agenda.next_beat(&PACE), None);
    assert_eq!(agenda.next_look(&PACE), at(600));
}

#[test]
fn while_something_is_waited_for_looks_come_further_and_further_apart() {
    let mut agenda = Agenda::default();
    let mut now = 0;
    looked(&mut agenda, Next::Soon, now);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let due = agenda.next_look(&PACE);
        pauses.push(due.duration_since(at(now)).as_secs());
        now = due.as_second();
        // Whole seconds, rounded down.
        looked(&mut agenda, Next::Waits { until: None }, now);
    }
    assert_eq!(pauses, [2, 2, 3, 4, 6, 10, 15, 22, 30]);
}

#[test]
fn failures_come_further_and_further_apart_and_are_forgotten_after_one_success() {
    let mut agenda = Agenda::default();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        looked(&mut agenda, Next::Again, 0);
        pauses.push(agenda.next_look(&PACE).as_second());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
    looked(&mut agenda, Next::Rests, 0);
    looked(&mut agenda, Next::Again, 0);
    assert_eq!(agenda.next_look(&PACE), at(5));
}

#[test]
fn a_moment_that_the_server_names_is_kept() {
    let mut agenda = Agenda::default();
    looked(&mut agenda, Next::At(at(900)), 0);
    assert_eq!(agenda.next_look(&PACE), at(900));
    looked(&mut agenda, Next::Denied, 0);
    assert_eq!(agenda.next_look(&PACE), at(300));
}

#[test]
fn the_first_looks_come_together_and_the_later_ones_do_not() {
    const LIMIT: u64 = 10_000;
    const ENVIRONMENTS: usize = 10_000;
    let pace = Pace::of(Some(LIMIT), ENVIRONMENTS, 50);
    let mut all: Vec<Agenda> = (0..ENVIRONMENTS)
        .map(|number| Agenda::of(&format!("environment-{number}")))
        .collect();
    let mut purse = Purse::full(at(0));
    let mut by_hour = [0_u64; 60];
    for minute in 0..60 * 60 {
        let now = at(minute * 60);
        let due = |agenda: &&mut Agenda| agenda.next_routine(&pace) <= now;
        for agenda in all.iter_mut().filter(due) {
            if !purse.take(Some(LIMIT), now) {
                break;
            }
            agenda.looked(Next::Rests, true, |time| time, now);
            by_hour[usize::try_from(minute / 60).unwrap()] += 1;
        }
    }
    assert!(by_hour[0] > 4_000, "{by_hour:?}");
    let later = by_hour[4..].iter().max().copied();
    assert!(later <= Some(LIMIT * 8 / 100), "{by_hour:?}");
}
