//! Once faults stop, the product settles on what git says and stays there, whatever happened before: by simulation, from seeds.
//!
//! A schedule is drawn from its seed: an environment, the commits that follow each other over it, what people do meanwhile,
//! what fails, when the process dies, and one Railway out of all those that the facts allow. The product's own passes work on
//! it through the `Provider` trait, under a virtual clock, and the oracles judge every write.
//!
//! `SEED=n` plays one schedule and prints it; `RECONCILER_SCHEDULES=n` plays so many.

mod chance;
mod deployment;
mod flaws;
mod hands;
mod model;
mod oracles;
mod play;
mod regressions;
mod schedule;
mod settled;
mod stage;
mod switches;
mod tally;
mod view;
mod wish;

use flaws::Flaw;
use play::{Report, play};
use schedule::{Crash, Schedule, desired};
use std::time::Duration;
use tally::Tally;

/// So many schedules in `make test`.
const SCHEDULES: u64 = 100_000;

/// A runtime whose clock stands still until everybody waits.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

fn played(schedule: Schedule, flaw: Flaw, is_recorded: bool) -> Report {
    runtime().block_on(play(schedule, flaw, is_recorded))
}

/// A setting of the test's own, from the process environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by whoever runs it how much to do"
)]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_it_settles_on_what_git_says_and_stays_there() {
    if let Some(seed) = setting("SEED") {
        return replay(seed);
    }
    let schedules = setting("RECONCILER_SCHEDULES").unwrap_or(SCHEDULES);
    let tally = Tally::of(0..schedules, |seed| {
        played(Schedule::drawn(seed), Flaw::None, false)
    });
    println!("settles: {tally}");
    assert!(
        tally.violations.is_empty(),
        "replay with SEED=n:\n{}",
        tally.violations.join("\n")
    );
    assert!(tally.slowest <= play::MOST_QUIET_LOOKS);
}

fn replay(seed: u64) {
    let schedule = Schedule::drawn(seed);
    println!("{:#?}", schedule.switches);
    for (at, wish) in schedule.commits.iter().zip(&schedule.wishes) {
        println!(
            "committed {} s after the start:\n{}",
            schedule::seconds(*at),
            wish.yaml()
        );
    }
    let report = played(schedule, Flaw::None, true);
    println!("{}", report.transcript.join("\n"));
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    for seed in (0..1_000).map(|position| position * 7_919) {
        let twice: Vec<String> = (0..2)
            .map(|_| {
                played(Schedule::drawn(seed), Flaw::None, true)
                    .transcript
                    .join("\n")
            })
            .collect();
        assert!(
            !twice[0].is_empty() && twice[0] == twice[1],
            "seed {seed} went another way the second time"
        );
    }
}

#[test]
fn dying_before_or_after_any_write_ends_in_the_same_world() {
    let mut points = 0;
    let mut seeds = 0;
    for seed in (0..2_000)
        .filter(|seed| Schedule::drawn(*seed).wishes[0].services.len() <= 2)
        .take(400)
    {
        let calm = Schedule::drawn(seed).without_faults();
        let reference = played(calm.clone(), Flaw::None, false);
        assert_eq!(reference.violations, [], "seed {seed}");
        seeds += 1;
        for write in 0..reference.counts.actions {
            for crash in [Crash::Before, Crash::After] {
                let report = played(calm.clone().with_crash(write, crash), Flaw::None, false);
                assert_eq!(
                    report.violations,
                    [],
                    "seed {seed}, {crash:?} write {write}"
                );
                assert_eq!(
                    report.stored, reference.stored,
                    "seed {seed}, {crash:?} write {write}"
                );
                points += 1;
            }
        }
    }
    println!(
        "settles: {points} crash points in {seeds} schedules, every one ends in the same world"
    );
}

#[test]
fn every_broken_executor_is_caught_by_an_oracle() {
    /// More schedules than any flaw has needed.
    const MOST: u64 = 3_000;
    let mut missed = Vec::new();
    for flaw in flaws::ALL {
        let caught = (0..MOST).find_map(|seed| {
            played(Schedule::drawn(seed), *flaw, false)
                .violations
                .first()
                .map(|violation| (seed + 1, violation.oracle))
        });
        match caught {
            Some((schedules, oracle)) => println!(
                "settles: {:<26} caught by {oracle:<26} after {schedules} schedules",
                format!("{flaw:?}")
            ),
            None => missed.push(flaw),
        }
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

/// Kept for whoever measures: what one schedule costs.
#[test]
fn manifests_are_parsed_once() {
    let yaml = Schedule::drawn(1).wishes[0].yaml();
    assert!(std::sync::Arc::ptr_eq(&desired(&yaml), &desired(&yaml)));
    assert!(
        Duration::from_secs(20) <= reconciler::world::SETTLING,
        "stale looks of the simulation lie within the settling time"
    );
}
