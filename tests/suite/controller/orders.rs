//! What people do beside git: changes by hand, suspend and resume, freeze windows.

use super::stage::{ON_CALL, QUICK, WEBHOOK, stage, staged};
use sandbox::{HandEdit, Time};
use std::time::Duration;

/// Stored only. A part that was not sent in the last seconds: what was sent may take a moment to show.
fn chatty(service: &str) -> HandEdit {
    HandEdit::SetVariable {
        environment: "production".to_owned(),
        service: Some(service.to_owned()),
        name: "LOG_LEVEL".to_owned(),
        value: "debug".to_owned(),
        deploy: false,
    }
}

#[test]
fn drift_is_told_and_healed_now_or_only_told() {
    let stage = stage();
    let level = |service| stage.variable(service, "LOG_LEVEL");
    stage.environment("drift: { heal: now }");
    stage.push("Heal at once");
    let running = stage.start("one", ON_CALL);
    stage.until_done();

    stage.scene.railway.by_hand(chatty("web"));
    stage.reconcile(&running).exits(0);
    stage.until("it is healed", || level("web").as_deref() == Some("info"));
    stage.until("it is told", || stage.told("drifted") == 1);

    stage
        .scene
        .replace("production/environment.yaml", "heal: now", "heal: never");
    stage.push("Only tell");
    assert_eq!(stage.webhook(&running, WEBHOOK, "1"), 202);
    stage.until_done();
    let before = stage.effects();
    stage.scene.railway.by_hand(chatty("worker"));
    stage.reconcile(&running).exits(0);
    stage.until("it is told", || stage.told("drifted") == 2);
    stage.until("it is shown", || {
        stage.api(&running, "")["status"]["drift"][0]["what"].is_string()
    });
    stage.reconcile(&running).exits(0);
    assert_eq!(level("worker").as_deref(), Some("debug"));
    assert_eq!(stage.effects(), before);
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn suspend_stops_writes_at_once_and_resume_goes_on() {
    let stage = stage();
    let running = stage.start("one", QUICK);
    stage.until_done();
    let before = stage.effects();

    stage
        .order(&[
            "suspend",
            "production",
            "--reason",
            "looking at the database",
        ])
        .exits(0);
    stage.scale(3, 4);
    let head = stage.push("Scale web to 4");
    stage.until("the commit is seen", || {
        let view = stage.api(&running, "");
        view["commit"]["id"] == head && view["suspended"]["reason"] == "looking at the database"
    });
    stage.until("it is told", || stage.told("suspended") == 1);
    stage.reconcile(&running).exits(0).prints("looked at now");
    assert_eq!((stage.replicas("web"), stage.effects()), (3, before));

    stage.order(&["resume", "production"]).exits(0);
    stage.until_done();
    assert_eq!(stage.replicas("web"), 4);
    stage.until("it is told", || stage.told("resumed") == 1);

    let suspend = ["suspend", "production", "--reason", "lunch", "--for", "5s"];
    stage.order(&suspend).exits(0);
    stage.scale(4, 3);
    stage.push("Scale web to 3");
    stage.until("it is told", || stage.told("suspended") == 2);
    stage.until_done();
    assert_eq!(stage.replicas("web"), 3, "it ends by itself");
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn a_freeze_holds_a_release_and_lets_a_scale_up_pass() {
    let stage = stage();
    let (from, to) = (
        Time::now().plus_seconds(-60.0),
        Time::now().plus_seconds(7200.0),
    );
    let running = stage.start("one", QUICK);
    stage.until_done();
    stage.environment(&format!("freeze: [{{ from: \"{from}\", to: \"{to}\" }}]"));
    stage.push("Nothing is begun now");
    stage.until_done();

    stage.scene.release("1.4.3");
    stage.scale(3, 4);
    stage.push("Release 1.4.3 and scale");
    stage.until("it is scaled", || stage.replicas("web") == 4);
    stage.until("the release waits for the end of the freeze", || {
        let view = stage.api(&running, "")["status"].to_string();
        view.contains("1.4.3") && view.contains("the freeze")
    });
    assert_eq!(stage.image("web"), "ghcr.io/sentia/app:1.4.2");
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}

#[test]
fn a_release_that_answers_500_is_told_without_waiting_for_the_next_look() {
    let stage = staged(|scene| {
        let health = "{ path: /api/health, every: 10s, failures: 1 }";
        scene.replace(
            "production/sizes.yaml",
            "replicas: 3\n",
            &format!("replicas: 3\n  health: {health}\n"),
        );
    });
    let running = stage.start("one", ON_CALL);
    stage.until_done();

    stage.scene.release("1.5.3-errors");
    stage.push("Release what cannot reach its database");
    assert_eq!(stage.webhook(&running, WEBHOOK, "1"), 202);

    stage.until("it is told", || stage.told("unhealthy") == 1);
    let view = stage.api(&running, "");
    assert_eq!(view["health"][0]["isHealthy"], false, "{view:#}");
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
}
