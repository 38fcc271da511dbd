//! Two controllers on one store: exactly one leads, whichever of them is killed or stopped.

use super::killed::change;
use super::stage::{Chance, LEASE, QUICK, Running, Stage, stage};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const STAGES: u64 = 15;
const ROUNDS: u64 = 2;

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

fn settles(seed: u64, counts: &Counts) {
    let mut chance = Chance::of(1000 + seed);
    let stage = stage();
    let names = ["one", "two"];
    let mut both = names.map(|name| stage.start(name, QUICK));
    stage.until_done();
    stage.until("exactly one leads", || leaders(&stage, &both) == 1);
    for round in 0..ROUNDS {
        let before = stage.deployments();
        let (web, worker) = change(&stage, round, &mut chance);
        let victim = usize::from(chance.below(2) == 1);
        let is_kill = chance.below(2) == 0;
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
            let pause = [LEASE * 2, LEASE / 4][usize::from(chance.below(2) == 1)];
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

#[test]
fn two_on_one_store_converge_whichever_is_killed_or_stopped() {
    let counts = Counts::default();
    std::thread::scope(|scope| {
        for seed in 0..STAGES {
            let counts = &counts;
            scope.spawn(move || settles(seed, counts));
        }
    });
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    println!(
        "\ncontroller: {} kills, {} stops of one of two processes, all settled, {} late writes",
        count(&counts.kills),
        count(&counts.stops),
        count(&counts.late)
    );
}
