//! Nothing is left behind, and nothing else is touched: after a whole run, after a stop at any request, and whatever goes wrong.

use super::stage::Stage;
use reconciler::probe::Outcome;
use sandbox::{Fault, Faults, Switches};
use serde_json::json;

/// Questions that make one of everything: environments and copies, services, volumes, domains, tokens, deployments.
const SOME: &[&str] = &[
    "pace-of-environments",
    "names-that-are-taken",
    "project-token-backs-up",
    "project-token-makes-a-domain",
    "patch-over-staged-changes",
    "copying-in-the-background",
    "sharing-a-variable",
    "moving-a-volume",
];

async fn is_as_before(stage: &Stage, before: &(sandbox::View, serde_json::Value), when: &str) {
    let after = stage.there().await;
    assert_eq!(after.1, before.1, "{when}\n{}", stage.told());
    assert_eq!(after.0, before.0, "{when}\n{}", stage.told());
    for effect in stage.sandbox.effects() {
        let is_ours = effect.environment.starts_with("reconciler-probe-abcdef");
        assert!(
            is_ours || effect.paths.iter().all(|path| path.starts_with("volumes.")),
            "{when}: {effect:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_run_leaves_everything_as_it_was() {
    let stage = Stage::new(Switches::default(), Faults::none());
    let before = stage.there().await;

    let report = stage.ask().await;

    assert_eq!(report.left, Vec::<String>::new());
    is_as_before(&stage, &before, "after a whole run").await;
    assert!(stage.sandbox.mutations() > 200);
    println!(
        "probes: a whole run is {} requests",
        stage.sandbox.requests()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_request_leaves_everything_as_it_was() {
    let whole = Stage::new(Switches::default(), Faults::none()).only(SOME);
    whole.ask().await;
    let requests = whole.sandbox.requests();
    assert!(requests > 80, "{requests}");

    for request in 1..requests {
        let stage = Stage::new(Switches::default(), Faults::none())
            .only(SOME)
            .stopped_after(request);
        let before = stage.there().await;

        let report = stage.ask().await;

        assert!(report.is_interrupted);
        assert_eq!(report.left, Vec::<String>::new());
        is_as_before(&stage, &before, &format!("stopped at request {request}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_goes_wrong_leaves_everything_as_it_was() {
    let whole = Stage::new(Switches::default(), Faults::none()).only(SOME);
    whole.there().await;
    whole.ask().await;
    // Every write, and some of what is read between.
    let entries = whole.sandbox.transcript();
    let entries = entries
        .iter()
        .filter(|entry| entry.is_mutation || entry.index % 5 == 0);
    let requests: Vec<usize> = entries
        .map(|entry| entry.index)
        .filter(|index| *index > 2)
        .collect();
    let faults = [
        Fault::NotSent,
        Fault::LostAfter,
        Fault::ServerErrorAfter,
        Fault::ServerError(503),
        Fault::Html,
        Fault::TruncatedBody,
        Fault::TooMany {
            retry_after_seconds: 120,
            headers: true,
        },
        Fault::ExpiredToken,
    ];
    for fault in faults {
        for &request in &requests {
            let script = [(request, fault.clone())].into();
            let stage = Stage::new(Switches::default(), Faults::script(script)).only(SOME);
            let before = stage.there().await;

            let report = stage.ask().await;

            let when = format!("{fault:?} at request {request}");
            assert_eq!(report.left, Vec::<String>::new(), "{when}");
            is_as_before(&stage, &before, &when).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_is_named() {
    // Everything from the removal of the first service on meets a token that has run out.
    let whole = Stage::new(Switches::default(), Faults::none()).only(&["masked-values"]);
    whole.ask().await;
    let removals = whole.sandbox.transcript();
    let first = removals
        .iter()
        .position(|entry| entry.operation.contains("DeleteService"))
        .unwrap();
    let script = (first..first + 100)
        .map(|request| (request, Fault::ExpiredToken))
        .collect();
    let stage = Stage::new(Switches::default(), Faults::script(script)).only(&["masked-values"]);

    let report = stage.ask().await;

    assert!(!report.is_whole());
    let left = report.left.join("\n");
    assert!(left.contains("reconciler-probe-abcdef"), "{left}");
    assert!(report.text().contains("## Left behind"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_appears_elsewhere_ends_all_that_writes() {
    // As if a copy were no copy: Railway made the service in another environment, too.
    let stage = Stage::new(Switches::default(), Faults::none())
        .only(&["how-the-limit-resets", "masked-values", "sealed-values"])
        .with_lens(|answer| {
            let edges = answer.pointer_mut("/data/service/serviceInstances/edges");
            if let Some(serde_json::Value::Array(edges)) = edges {
                edges.push(json!({ "node": { "environmentId": "production" } }));
            }
        });
    let before = stage.there().await;

    let report = stage.ask().await;

    assert!(matches!(
        report.findings[0].outcome,
        Outcome::Answered { .. }
    ));
    assert!(matches!(
        report.findings[1].outcome,
        Outcome::Unanswered { .. }
    ));
    assert!(matches!(
        report.findings[2].outcome,
        Outcome::NotAsked { .. }
    ));
    let why = report.barred.clone().unwrap();
    assert!(
        why.contains("in other environments of the project"),
        "{why}"
    );
    is_as_before(&stage, &before, "after the stop").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_write_makes_nothing() {
    let stage = Stage::new(Switches::default(), Faults::none()).with_bearer("viewing-token");
    let before = stage.there().await;

    let report = stage.ask().await;

    assert!(report.barred.clone().unwrap().contains("Not Authorized"));
    is_as_before(&stage, &before, "after the refusal").await;
}

#[tokio::test(start_paused = true)]
async fn reading_only_changes_nothing() {
    let mut stage = Stage::new(Switches::default(), Faults::none());
    stage.manner = reconciler::probe::Manner::Reading("reading only");
    stage.environment = Some("production");

    let report = stage.ask().await;

    assert_eq!(stage.sandbox.mutations(), 0);
    let is_answered = |outcome: &Outcome| matches!(outcome, Outcome::Answered { .. });
    let answered = report
        .findings
        .iter()
        .filter(|finding| is_answered(&finding.outcome));
    assert_eq!(answered.count(), 7);
    let others = report
        .findings
        .iter()
        .filter(|finding| !is_answered(&finding.outcome));
    for finding in others {
        assert_eq!(
            finding.outcome,
            Outcome::NotAsked {
                why: "reading only".to_owned()
            }
        );
    }
}
