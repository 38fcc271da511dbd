//! How many requests a look and a change take, and that a list counts only when its end was seen.

use super::railway::*;
use reconciler::config::Token;
use reconciler::world::Failure;
use sandbox::{Fault, Faults, Switches};
use serde_json::json;
use std::fmt::Write as _;

/// A project of so many services that are all alike.
fn many(count: usize) -> String {
    let mut seed = format!(
        "projects:\n  shop:\n    id: {PROJECT_ID}\n    environments:\n      production:\n        id: {ENVIRONMENT_ID}\n        services:\n"
    );
    for number in 0..count {
        let _ = writeln!(
            seed,
            "          s{number:04}: {{ image: \"ghcr.io/shop/app:1\", replicas: 2, variables: {{ LOG_LEVEL: info }} }}"
        );
    }
    seed.push_str("tokens:\n  production-token: { kind: project, project: shop, environment: production }\n  account-token: { kind: account }\n");
    seed
}

fn all_of(count: usize) -> String {
    (0..count)
        .map(|number| {
            service(
                &format!("s{number:04}"),
                "{ image: \"ghcr.io/shop/app:1\", replicas: 2, variables: { LOG_LEVEL: info } }",
            )
        })
        .collect()
}

async fn requests_of_a_look(count: usize, environment: &str, token: Token) -> usize {
    let stage = Stage::new(&many(count), Switches::default(), Faults::none())
        .with_token(token)
        .desired(&format!("{environment}{}", all_of(count)));

    let looked = stage.diff().await.unwrap();

    assert!(looked.plan.steps.is_empty(), "{}", shown(&looked.plan));
    assert_eq!(
        looked.world.railway.facts().unwrap().services.len(),
        count,
        "every service was seen"
    );
    stage.sandbox.requests()
}

#[tokio::test(start_paused = true)]
async fn a_look_without_a_difference_is_one_request_whatever_the_number_of_services() {
    let ids = by_ids(PROJECT_ID, ENVIRONMENT_ID);
    for count in [10, 400] {
        let account = || bearer("account-token");
        let project = || project_token("production-token");

        assert_eq!(requests_of_a_look(count, &ids, account()).await, 1);
        assert_eq!(requests_of_a_look(count, &ids, project()).await, 1);
        assert_eq!(requests_of_a_look(count, "", project()).await, 1);
        assert_eq!(requests_of_a_look(count, "", account()).await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_longer_than_a_page_are_read_to_the_end() {
    let ids = by_ids(PROJECT_ID, ENVIRONMENT_ID);

    // 1,200 services are three pages, and their instances are three pages, the first of both in one request.
    assert_eq!(
        requests_of_a_look(1200, &ids, bearer("account-token")).await,
        5
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_makes_the_look_fail() {
    let faults = [
        Fault::NotSent,
        Fault::LostBefore,
        Fault::Html,
        Fault::TruncatedBody,
        Fault::ServerError(503),
        Fault::ExpiredToken,
        Fault::PartialData {
            field: Some("pageInfo".into()),
        },
        Fault::PartialData {
            field: Some("serviceName".into()),
        },
    ];
    for fault in faults {
        // The first request is the look, all that follow are pages: of services first, then of instances.
        let only_instances =
            matches!(&fault, Fault::PartialData { field: Some(field) } if field == "serviceName");
        let first = if only_instances { 2 } else { 1 };
        for page in first..=2 {
            let script = (page..page + 20)
                .map(|index| (index, fault.clone()))
                .collect();
            let stage = Stage::new(&many(501), Switches::default(), Faults::script(script))
                .with_token(bearer("account-token"))
                .desired(&format!(
                    "{}{}",
                    by_ids(PROJECT_ID, ENVIRONMENT_ID),
                    all_of(501)
                ));

            let looked = stage.diff().await;

            assert!(looked.is_err(), "{fault:?} at page {page}");
            assert_eq!(stage.sandbox.mutations(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_passing_problem_is_a_passing_failure() {
    let stage = Stage::new(&many(700), Switches::default(), Faults::none())
        .with_token(bearer("account-token"))
        .with_lens(|answer| {
            let is_page = answer["data"]["environment"].is_null();
            if is_page {
                answer["errors"] = json!([{ "message": "Problem processing request", "path": ["project", "services", "edges", 3, "node"] }]);
            }
        })
        .desired(&format!(
            "{}{}",
            by_ids(PROJECT_ID, ENVIRONMENT_ID),
            all_of(700)
        ));

    let looked = stage.diff().await.map(|looked| shown(&looked.plan));

    assert_eq!(
        looked,
        Err(Failure::Passing(
            "Railway says: Problem processing request".to_owned()
        ))
    );
    assert_eq!(stage.sandbox.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_runs_in_a_circle_ends_the_look() {
    let stage = Stage::new(&many(700), Switches::default(), Faults::none())
        .with_token(bearer("account-token"))
        .with_lens(|answer| {
            if let Some(page) = answer.pointer_mut("/data/project/services/pageInfo") {
                page["hasNextPage"] = true.into();
                page["endCursor"] = "round and round".into();
            }
        })
        .desired(&format!(
            "{}{}",
            by_ids(PROJECT_ID, ENVIRONMENT_ID),
            all_of(700)
        ));

    let looked = stage.diff().await;

    assert_eq!(
        looked.map(|looked| shown(&looked.plan)),
        Err(Failure::Passing(
            "a list of Railway did not come to its end".to_owned()
        ))
    );
    assert!(stage.sandbox.requests() < 10);
}

#[tokio::test(start_paused = true)]
async fn twenty_variables_over_five_services_are_one_write_and_one_deployment_each() {
    let four: Vec<String> = (0..4).map(|number| format!("V{number}: new")).collect();
    let documents: String = (0..5)
        .map(|number| {
            service(
                &format!("s{number:04}"),
                &format!("{{ variables: {{ {} }} }}", four.join(", ")),
            )
        })
        .collect();
    let stage = Stage::new(&many(10), Switches::default(), Faults::none()).desired(&documents);

    stage.apply_wholly().await;

    let effects = stage.effects();
    assert_eq!(effects.len(), 1, "{effects:#?}");
    assert_eq!(effects[0].mutation, "environmentPatchCommit");
    assert_eq!(effects[0].paths.len(), 20);
    assert_eq!(effects[0].deployments.len(), 5);
    for number in 0..10 {
        let deployments = stage.service(&format!("s{number:04}")).deployments;
        assert_eq!(deployments, if number < 5 { 2 } else { 1 }, "s{number:04}");
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_alone_are_one_write_and_no_deployment() {
    let documents: String = (0..5)
        .map(|number| service(&format!("s{number:04}"), "{ replicas: 3 }"))
        .collect();
    let stage = Stage::new(&many(10), Switches::default(), Faults::none()).desired(&documents);

    stage.apply_wholly().await;

    let effects = stage.effects();
    assert_eq!(effects.len(), 1, "{effects:#?}");
    assert!(effects[0].deployments.is_empty());
    for number in 0..10 {
        let service = stage.service(&format!("s{number:04}"));
        assert_eq!(service.deployments, 1);
        let running: u32 = service.active.unwrap().replicas.values().sum();
        assert_eq!(running, if number < 5 { 3 } else { 2 });
    }
}
