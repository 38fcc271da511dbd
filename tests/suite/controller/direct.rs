//! Past git while git cannot be reached: the controllers only report until git contains what was applied.

use super::stage::{QUICK, Stage, stage};
use crate::cli::scene::Ran;
use std::time::Duration;

const DIRECT: &[&str] = &[
    "apply",
    "production",
    "--yes",
    "--direct",
    "-m",
    "GitHub is down",
];

/// The command from a laptop that cannot reach the store.
fn without_store(stage: &Stage, arguments: &[&str]) -> Ran {
    stage.scene.run(arguments)
}

fn holds_because(stage: &Stage, running: &super::stage::Running, words: &str) {
    stage.until(words, || stage.api(running, "").to_string().contains(words));
}

#[test]
fn what_was_applied_past_git_stays_until_git_contains_it() {
    let stage = stage();
    let running = stage.start("one", QUICK);
    stage.until_done();

    stage.scale(3, 4);
    let plain = stage.order(&["apply", "production", "--yes"]);
    plain.exits(7).says("leads production").says("--direct");
    let unnamed = stage.order(&["apply", "production", "--yes", "--direct"]);
    unnamed.exits(2).says("say why");
    let changed = stage.order(DIRECT);
    changed
        .exits(2)
        .says("`production/sizes.yaml` is not committed");
    assert_eq!(stage.replicas("web"), 3);

    stage.commit("Scale web to 4");
    stage.order(DIRECT).exits(0);
    assert_eq!(stage.replicas("web"), 4);
    stage.reconcile(&running).exits(0);
    holds_because(&stage, &running, "applied by hand");
    let view = stage.api(&running, "").to_string();
    assert!(
        view.contains("GitHub is down") && view.contains(&stage.head()),
        "{view}"
    );
    assert_eq!(stage.replicas("web"), 4, "not undone");

    stage.push_commits();
    stage.until_done();
    stage.scale(4, 5);
    stage.push("Scale web to 5");
    stage.until_done();
    assert_eq!(stage.replicas("web"), 5, "git leads again");
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn a_controller_that_comes_back_finds_what_was_applied_without_it() {
    let stage = stage();
    let running = stage.start("one", QUICK);
    stage.until_done();
    running.kill();

    stage.scale(3, 4);
    let applied = stage.commit("Scale web to 4");
    without_store(&stage, DIRECT).exits(0);
    let running = stage.start("one", QUICK);
    holds_because(&stage, &running, "which is not in the repository");
    let view = stage.api(&running, "").to_string();
    assert!(
        view.contains(&applied[..12]) && view.contains("reconciler resume"),
        "{view}"
    );
    assert_eq!(stage.replicas("web"), 4, "not undone");

    stage.order(&["resume", "production"]).exits(0);
    stage.until("git leads again", || stage.replicas("web") == 3);
    stage.push_commits();
    stage.until_done();
    assert_eq!(stage.replicas("web"), 4);
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}
