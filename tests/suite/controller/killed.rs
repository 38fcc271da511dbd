//! kill -9 of the controller at random moments around a push: the next one converges, and nothing is begun twice.

use super::stage::{Chance, QUICK, Stage, stage};
use std::time::Duration;

const STAGES: u64 = 30;
const KILLS: u64 = 1;

/// A commit that makes one deployment of web and worker, or one more of web, or none; how many of each.
pub fn change(stage: &Stage, round: u64, chance: &mut Chance) -> (usize, usize) {
    let sizes = stage.scene.read("production/sizes.yaml");
    match chance.below(3) {
        0 => {
            stage.scene.release(&format!("1.5.{}", 10 + round));
            stage.push("Release");
            (1, 1)
        }
        1 => {
            let now = sandbox::Time::now();
            let kept = sizes
                .lines()
                .filter(|line| !line.contains("restartedAfter"));
            let kept: String = kept.map(|line| format!("{line}\n")).collect();
            let with = kept.replacen(
                "  replicas:",
                &format!("  restartedAfter: {now}\n  replicas:"),
                1,
            );
            stage.scene.write("production/sizes.yaml", with);
            stage.push("Restart web");
            (1, 0)
        }
        _ => {
            let more = if sizes.contains("replicas: 3\n") {
                ("3", "4")
            } else {
                ("4", "3")
            };
            stage.scene.replace(
                "production/sizes.yaml",
                &format!("replicas: {}\n", more.0),
                &format!("replicas: {}\n", more.1),
            );
            stage.push("Scale web");
            (0, 0)
        }
    }
}

fn settles(seed: u64) {
    let mut chance = Chance::of(seed);
    let stage = stage();
    let mut running = stage.start("one", QUICK);
    stage.until_done();
    for round in 0..KILLS {
        let before = stage.deployments();
        let (web, worker) = change(&stage, round, &mut chance);
        std::thread::sleep(Duration::from_millis(chance.below(3000)));

        running.kill();
        running = stage.start("one", QUICK);

        stage.until_done();
        let after = stage.deployments();
        assert_eq!(
            (
                after["web"] - before["web"],
                after["worker"] - before["worker"]
            ),
            (web, worker),
            "seed {seed}, round {round}\n{}",
            stage.logs()
        );
        assert_eq!(after["redis"], before["redis"]);
    }
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn killed_at_random_moments_the_next_process_converges_without_a_twin() {
    std::thread::scope(|scope| {
        for seed in 0..STAGES {
            scope.spawn(move || settles(seed));
        }
    });
    println!(
        "\ncontroller: {} kills of one process, all settled without a twin",
        STAGES * KILLS
    );
}
