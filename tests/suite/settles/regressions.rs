//! Schedules that showed the product wrong once. Each is named by what must stay true.

use super::flaws::Flaw;
use super::played;
use super::schedule::Schedule;

fn settles(seed: u64) {
    let report = played(Schedule::drawn(seed), Flaw::None, true);
    assert!(
        report.violations.is_empty(),
        "{}\n{:?}",
        report.transcript.join("\n"),
        report.violations
    );
}

/// The rotation's patch was being applied when the restart was made: the restart took the place of the patch's own deployment,
/// with the key of before, and nobody noticed.
#[test]
fn nothing_is_deployed_while_a_patch_is_being_applied() {
    settles(8943);
}

/// A restart that settled before it could be made was taken for one that is planned for later, and nobody stayed to make it.
#[test]
fn a_restart_that_is_due_is_waited_for() {
    settles(20826);
}

/// A patch got no answer; a stale look then showed neither patch nor deployment, and the way back to a kept deployment was a second one.
#[test]
fn another_way_to_the_same_end_waits_for_the_first() {
    settles(512);
}

/// The first look was fresh and the answer to its question stale: the stored image was new, its patch not in the history,
/// and what had just been patched was deployed once more.
#[test]
fn a_deployment_that_does_not_show_yet_is_not_made_twice() {
    settles(173);
}

/// A look came back after 19 seconds: the facts were as old, and the settling time counted as over.
#[test]
fn a_slow_look_is_as_old_as_its_question() {
    settles(1467);
    settles(4851);
}

/// A look of 8 seconds ago showed a deployment from before the one that was known when the patch was sent, and it was taken for the patch's own.
#[test]
fn an_older_deployment_is_not_the_one_that_is_waited_for() {
    settles(40139);
    settles(92648);
}

/// The history was stale: it did not show the patch that had just changed a key, and the way back brought the key of before.
#[test]
fn there_is_no_way_back_over_a_history_that_does_not_show_the_way_there() {
    settles(58165);
}

/// A change by hand was first seen while its patch was still being applied, by a process that had just begun:
/// it was taken for something that git brought, and undone at once.
#[test]
fn what_cannot_be_judged_yet_is_judged_when_its_turn_comes() {
    settles(1_008_941);
    settles(1_019_847);
}

/// A value was in step after somebody's patch; what came later left no patch, and had the time of the old one.
#[test]
fn drift_is_not_older_than_the_last_look_that_did_not_show_it() {
    settles(1_008_728);
    settles(1_013_509);
}

/// Without the history a deployment was not asked for, and each time that it was there again it counted as a change by somebody.
#[test]
fn a_history_that_cannot_be_seen_is_nobody_s_change() {
    settles(1_016_326);
}
