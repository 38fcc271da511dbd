//! Two controllers on one store: exactly one leads, whichever of them is killed or stopped.

use super::killed::change;
use super::stage::{Chance, LEASE, QUICK, Running, Stage, stage};
use crate::cli::scene::stopwatch;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const STAGES: u64 = 32;
/// So many moments in all, unless `RECONCILER_MOMENTS` says otherwise.
const MOMENTS: u64 = 200;

/// How many show production as theirs.
pub fn leaders(stage: &Stage, both: &[Running; 2]) -> usize {
    let shows = |running: &&Running| stage.api(running, "")["environment"] == "production";
    both.iter().filter(shows).count()
}

#[derive(Default)]
struct Counts {
    kills: AtomicUsize,
    stops: AtomicUsize,
    late: AtomicUsize,
}

fn settles(seed: u64, rounds: u64, counts: &Counts) {
    let mut chance = Chance::of(1000 + seed);
    let stage = stage();
    let names = ["one", "two"];
    let mut both = names.map(|name| stage.start(name, QUICK));
    stage.until_done();
    stage.until("exactly one leads", || leaders(&stage, &both) == 1);
    for round in 0..rounds {
        let before = stage.deployments();
        let (web, worker) = change(&stage, round, &mut chance);
        let victim = usize::from(chance.below(2) == 1);
        let is_kill = chance.below(100) < 55;
        std::thread::sleep(Duration::from_millis(chance.below(3000)));

        if is_kill {
            both[victim].signal("KILL");
            counts.kills.fetch_add(1, Ordering::SeqCst);
            stage.until_done();
            both[victim] = stage.start(names[victim], QUICK);
        } else {
            both[victim].signal("STOP");
            counts.stops.fetch_add(1, Ordering::SeqCst);
            // Longer than the other waits, or a moment only.
            let pause = [LEASE * 5 / 4, LEASE / 4][usize::from(chance.below(2) == 1)];
            std::thread::sleep(pause);
            both[victim].signal("CONT");
        }

        stage.until_done();
        stage.until("exactly one leads", || leaders(&stage, &both) == 1);
        let after = stage.deployments();
        let more = (after["web"] - before["web"] + after["worker"] - before["worker"])
            .checked_sub(web + worker)
            .unwrap_or_else(|| panic!("too few deployments, seed {seed}, round {round}"));
        // Only a request that left after its process was stopped can be late (see `store`), and it is one.
        let most = if is_kill { 0 } else { 2 };
        assert!(
            more <= most,
            "{more} twins, seed {seed}, round {round}\n{}",
            stage.logs()
        );
        counts
            .late
            .fetch_add(usize::from(more > 0), Ordering::SeqCst);
    }
    for running in both {
        running.ends_within(Duration::from_secs(10));
    }
    stage.kept_its_secrets();
}

/// How many moments whoever runs the tests wants.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by whoever runs it how much to do"
)]
fn moments() -> u64 {
    let wanted = std::env::var("RECONCILER_MOMENTS");
    let wanted = wanted.ok().and_then(|number| number.parse().ok());
    wanted.unwrap_or(MOMENTS)
}

#[test]
fn two_on_one_store_converge_whichever_is_killed_or_stopped() {
    let (moments, began) = (moments(), stopwatch());
    let counts = Counts::default();
    std::thread::scope(|scope| {
        for seed in 0..STAGES {
            let counts = &counts;
            let rounds = moments / STAGES + u64::from(seed < moments % STAGES);
            scope.spawn(move || settles(seed, rounds, counts));
        }
    });
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let (kills, stops) = (count(&counts.kills), count(&counts.stops));
    if moments >= MOMENTS {
        assert!(
            kills >= 100 && stops >= 70,
            "{kills} kills, {stops} stops: too few of one sort"
        );
    }
    println!(
        "\ncontroller: {kills} kills, {stops} stops of one of two processes, all settled, {} late writes, in {:.0} s",
        count(&counts.late),
        began.elapsed().as_secs_f64(),
    );
}
