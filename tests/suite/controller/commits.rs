//! What git says is carried out: a scale, a revert, a removal, a problem, a webhook, and an end on request.

use super::stage::{ON_CALL, QUICK, WEBHOOK, WORKER, stage, staged};
use crate::cli::server::Meets;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

#[test]
fn a_push_converges_a_problem_keeps_the_last_good_commit_and_a_revert_goes_back() {
    let stage = stage();
    let running = stage.start("one", QUICK);
    stage.until_done();
    assert_eq!((stage.replicas("web"), stage.replicas("worker")), (3, 2));
    assert_eq!(stage.image("web"), "ghcr.io/sentia/app:1.4.2");

    stage.scale(3, 4);
    let good = stage.push("Scale web to 4");
    stage.until_done();
    assert_eq!(stage.replicas("web"), 4);

    let before = stage.effects();
    let sizes = stage.scene.read("production/sizes.yaml");
    let broken = sizes
        .replace("replicas: 4", "replicaz: 5")
        .replace("PUBLIC_URL", "OTHER");
    stage.scene.write("production/sizes.yaml", broken);
    let bad = stage.push("Scale web to 5");
    stage.until("the problem is shown", || {
        stage.api(&running, "")["notAccepted"]["commit"]["id"] == bad
    });
    let view = stage.api(&running, "");
    assert_eq!(view["commit"]["id"], good, "{view:#}");
    let reason = view["notAccepted"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("sizes.yaml") && reason.contains("replicaz"),
        "{reason}"
    );
    stage.until("it is told", || stage.told("notAccepted") == 1);
    stage.reconcile(&running).exits(0);
    assert_eq!(
        stage.effects(),
        before,
        "a commit with a problem changed something"
    );
    assert!(stage.variable("web", "PUBLIC_URL").is_some());

    let good = stage.revert();
    stage.until("the good one is in force", || {
        stage.api(&running, "")["commit"]["id"] == good
    });
    stage.scale(4, 3);
    stage.push("Back to 3");
    stage.until_done();
    stage.revert();
    stage.until_done();
    assert_eq!(stage.replicas("web"), 4, "a revert goes back");
    assert_eq!(stage.told("notAccepted"), 1, "told once");
    assert!(stage.api(&running, "")["notAccepted"].is_null());
    stage
        .order(&["history", "production"])
        .exits(0)
        .prints("Scale web to 4");
    let made = stage.events();
    assert!(
        made.iter().any(|it| it["what"]["event"] == "made"),
        "{made:#?}"
    );
    let url = running.url();
    let asks = |more: &[&str]| {
        let mut all = vec!["status"];
        all.extend(more);
        all.extend(["--url", &url]);
        stage.order_of(&all)
    };
    let status = asks(&["production"]).exits(0);
    let status = status.prints("production").prints("COMMIT");
    status.prints("Revert").prints("looks again");
    let json = asks(&["production", "-o", "json"]).exits(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kind"], "EnvironmentView");
    asks(&[]).exits(0).prints("production  inStep");
    asks(&["staging"]).exits(2).says("no such environment");
    running.ends_within(Duration::from_secs(10));
    let gone = stage.order_of(&["status", "production", "--url", &url]);
    gone.exits(2).says("no controller at");
    assert_eq!(stage.told("led"), 1, "{:#?}", stage.events());
    stage.kept_its_secrets();
}

#[test]
fn a_removed_variable_goes_and_with_an_emptied_store_nothing_goes_and_all_else_goes_on() {
    let stage = stage();
    let running = stage.start("one", QUICK);
    stage.until_done();
    stage.scene.replace(
        "production/sizes.yaml",
        "variables: {",
        "variables: { FEATURE: \"on\", KEPT: \"yes\",",
    );
    stage.push("Switch the feature on");
    stage.until_done();
    assert_eq!(stage.variable("web", "FEATURE").as_deref(), Some("on"));

    stage
        .scene
        .replace("production/sizes.yaml", " FEATURE: \"on\",", "");
    stage.push("The feature needs no switch");
    stage.until_done();
    assert_eq!(stage.variable("web", "FEATURE"), None);
    assert_eq!(
        stage.variable("web", "DATABASE_URL").as_deref(),
        Some("postgres://app@db.example/main"),
        "never declared"
    );

    running.ends_within(Duration::from_secs(10));
    let lease = stage.stored("lease/production.json");
    assert!(
        lease["holder"].is_null() && lease["epoch"].is_u64(),
        "{lease}"
    );
    fs::remove_dir_all(stage.store()).unwrap();
    stage
        .scene
        .replace("production/sizes.yaml", " KEPT: \"yes\",", "");
    stage.scale(3, 5);
    stage.push("Scale, and forget a variable");
    let running = stage.start("one", QUICK);
    stage.until_done();
    assert_eq!(stage.replicas("web"), 5);
    assert_eq!(
        stage.variable("web", "KEPT").as_deref(),
        Some("yes"),
        "nobody knows that git declared it"
    );
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn a_signed_push_is_looked_at_without_waiting_for_the_timer() {
    let stage = stage();
    let running = stage.start("one", ON_CALL);
    stage.until_done();
    stage.scale(3, 4);
    stage.push("Scale web to 4");

    let forged = stage.webhook(&running, &WEBHOOK.replace("canary", "forged"), "1");
    assert_eq!(forged, 401);
    assert_eq!(stage.webhook(&running, WEBHOOK, "2"), 202);

    stage.until_done();
    assert_eq!(stage.replicas("web"), 4);
    assert_eq!(
        stage.webhook(&running, WEBHOOK, "3"),
        200,
        "the same signed body again"
    );
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn a_commit_that_comes_into_force_during_a_look_is_not_taken_for_done() {
    let stage = staged(|scene| {
        scene.replace("production/environment.yaml", "heal: 10m", "heal: never");
        scene.replace(
            "production/sizes.yaml",
            "variables: {",
            "variables: { FEATURE: \"on\",",
        );
    });
    let running = stage.start("one", ON_CALL);
    stage.until_done();
    // Who made what stays is asked last of all: the look knows already that everything of its commit is done.
    stage.dashboard(WORKER, "LOG_LEVEL", "debug");
    let (answer, answers) = watch::channel(false);
    let is_asked = Arc::new(AtomicBool::default());
    let asked = is_asked.clone();
    stage.scene.railway.guarded(move |_, body| {
        if body.contains("query Authors") {
            asked.store(true, Ordering::SeqCst);
            return Meets::Late(answers.clone());
        }
        Meets::Sandbox
    });
    stage.reconcile(&running).exits(0);
    stage.until("it asks who it was", || is_asked.load(Ordering::SeqCst));

    stage
        .scene
        .replace("production/sizes.yaml", " FEATURE: \"on\",", "");
    let head = stage.push("The feature needs no switch");
    assert_eq!(stage.webhook(&running, WEBHOOK, "1"), 202);
    stage.until("the commit is in force", || {
        stage.stored("in-force.json")["commits"]["production"] == head
    });
    answer.send(true).unwrap();

    stage.until_done();
    assert_eq!(stage.variable("web", "FEATURE"), None, "{}", stage.logs());
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}
