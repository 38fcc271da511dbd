//! Once faults stop, the product settles on what git says and stays there, whatever happened before: by simulation, from seeds.
//!
//! A schedule is drawn from its seed: an environment, the commits that follow each other over it, what people do meanwhile,
//! what fails, when the process dies, and one Railway out of all those that the facts allow. The product's own passes work on
//! it under a virtual clock, and the oracles judge every write. Most schedules meet a model behind the `Provider` trait; every
//! twentieth goes over the wire to the sandbox.
//!
//! `SEED=n` plays one schedule and prints it; `RECONCILER_SCHEDULES=n` plays so many.

mod chance;
mod deployment;
mod flaws;
mod hands;
mod law;
mod model;
mod oracles;
mod play;
mod regressions;
mod sandboxed;
mod schedule;
mod settled;
mod stage;
mod switches;
mod tally;
mod truth;
mod view;
mod wish;

use flaws::Flaw;
use play::{Report, play};
pub use schedule::parsed;
use schedule::{Crash, POLICIES, Schedule};
use tally::Tally;

/// So many schedules in `make test`.
const SCHEDULES: u64 = 100_000;
/// One of so many goes through the sandbox.
const SHARE: u64 = 20;

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

fn is_sandboxed(seed: u64) -> bool {
    seed % SHARE == SHARE - 1
}

/// The product over a seed's schedule, on whichever of the two Railways the seed belongs to.
fn of_seed(seed: u64, is_recorded: bool) -> Report {
    let schedule = Schedule::drawn(seed);
    if is_sandboxed(seed) && seed < POLICIES {
        runtime().block_on(sandboxed::play(schedule, is_recorded))
    } else {
        played(schedule, Flaw::None, is_recorded)
    }
}

/// A setting of the test's own, from the process environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by whoever runs it how much to do"
)]
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_it_settles_on_what_git_says_and_stays_there() {
    if let Some(seed) = setting("SEED") {
        return replay(seed);
    }
    let schedules = setting("RECONCILER_SCHEDULES").unwrap_or(SCHEDULES);
    let tally = Tally::of(0..schedules, |seed| of_seed(seed, false));
    let sandboxed = (0..schedules).filter(|seed| is_sandboxed(*seed)).count();
    println!("settles: {schedules} schedules ({sandboxed} through the sandbox), {tally}");
    assert!(
        tally.violations.is_empty(),
        "replay with SEED=n:\n{}",
        tally.violations.join("\n")
    );
}

#[test]
fn a_controller_gives_drift_its_time_and_begins_nothing_in_a_freeze() {
    let schedules = setting("RECONCILER_SCHEDULES").unwrap_or(SCHEDULES) / 5;
    let tally = Tally::of(POLICIES..POLICIES + schedules, |seed| {
        played(Schedule::drawn(seed), Flaw::None, false)
    });
    println!("settles: {schedules} schedules with the policies of a controller, {tally}");
    assert!(
        tally.violations.is_empty(),
        "replay with SEED=n:\n{}",
        tally.violations.join("\n")
    );
}

fn replay(seed: u64) {
    let schedule = Schedule::drawn(seed);
    println!("{:#?}", schedule.switches);
    println!("removes: {}", schedule.removes);
    for (at, wish) in schedule.commits.iter().zip(schedule.wishes()) {
        println!(
            "committed {} s after the start:\n{}",
            schedule::seconds(*at),
            wish.yaml()
        );
    }
    let report = of_seed(seed, true);
    println!("{}", report.transcript.join("\n"));
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let first = |report: Report| report.transcript.join("\n");
    for seed in (0..1_000).map(|position| position * 7_919) {
        let transcript = first(of_seed(seed, true));
        assert!(!transcript.is_empty());
        assert!(
            transcript == first(of_seed(seed, true)),
            "seed {seed} went another way the second time"
        );
    }
}

#[test]
fn dying_before_or_after_any_write_ends_in_the_same_world() {
    let is_small = |seed: &u64| Schedule::drawn(*seed).wishes()[0].services.len() <= 2;
    let (mut schedules, mut points) = (0, 0);
    let mut tally = Tally::default();
    for seed in (0..4_000).filter(is_small).take(800) {
        let calm = Schedule::drawn(seed).without_faults();
        let reference = played(calm.clone(), Flaw::None, false);
        assert_eq!(reference.violations, [], "seed {seed}");
        tally.add(&reference);
        schedules += 1;
        for write in 0..reference.counts.actions {
            for crash in [Crash::Before, Crash::After] {
                let report = played(calm.clone().with_crash(write, crash), Flaw::None, false);
                let point = format!("seed {seed}, dying {crash:?} write {write}");
                assert_eq!(report.violations, [], "{point}");
                assert_eq!(report.stored, reference.stored, "{point}");
                points += 1;
            }
        }
    }
    println!(
        "settles: {points} crash points in {schedules} schedules, dying before and after every write ends in the same world; {}",
        tally.writes()
    );
    // A variable is set past the patches only where somebody staged something.
    let untried = tally.untried().filter(|word| *word != "set");
    assert_eq!(
        untried.collect::<Vec<_>>(),
        [""; 0],
        "no such write was died over"
    );
    assert!(tally.consents > 0, "no consent was died over");
}

#[test]
fn every_broken_executor_is_caught_by_its_oracle() {
    /// More schedules than any flaw needs.
    const MOST: u64 = 6_000;
    let mut missed = Vec::new();
    for (flaw, oracle) in flaws::ALL {
        let is_caught = |seed: &u64| {
            let violations = played(Schedule::drawn(*seed), *flaw, false).violations;
            violations.iter().any(|found| found.oracle == *oracle)
        };
        let first = flaw.first_seed();
        match (first..first + MOST).find(is_caught) {
            Some(seed) => println!(
                "settles: {:<28} caught by {oracle:<25} after {} schedules",
                format!("{flaw:?}"),
                seed - first + 1
            ),
            None => missed.push(flaw),
        }
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

#[test]
fn the_oracles_see_what_is_done_in_the_sandbox_behind_their_back() {
    let schedule = Schedule::drawn(1).without_faults();
    let report = runtime().block_on(sandboxed::play_with_an_intruder(schedule));
    let oracles: Vec<&str> = report.violations.iter().map(|found| found.oracle).collect();
    assert_eq!(oracles, ["s1_ownership"]);
}
