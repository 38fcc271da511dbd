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
