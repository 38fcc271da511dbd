//! HTTP and GraphQL as such: invalid requests, aliases and fragments, pages, limits, repeatability.

use http::Request;
use sandbox::{Faults, Sandbox, Switches};
use serde_json::{Value, json};

use crate::client::*;

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_parsed_is_refused_with_400() {
    let answer = ask(&sandbox(), "query {", json!({})).await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "GRAPHQL_PARSE_FAILED")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_is_refused_with_400() {
    let answer = ask(
        &sandbox(),
        "{ platformStatus { isStable nonsense } }",
        json!({}),
    )
    .await;

    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "GRAPHQL_VALIDATION_FAILED")
    );
    assert!(answer.error().contains("nonsense"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_missing_variable_and_a_wrong_operation_name_are_refused_with_400() {
    let sandbox = sandbox();

    let missing = ask(
        &sandbox,
        "query($id: String!) { project(id: $id) { name } }",
        json!({}),
    )
    .await;
    let request = request(
        Some("account-token"),
        "/graphql/v2?s=t",
        json!({ "query": "query A { platformStatus { isStable } }", "operationName": "B" }),
    );
    let unnamed = sandbox.handle(request).await.unwrap();

    assert_eq!(
        (missing.status, missing.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    assert_eq!(unnamed.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn only_json_posted_to_the_right_path_is_answered() {
    let sandbox = sandbox();
    let status = async |request: Request<bytes::Bytes>| {
        sandbox.handle(request).await.unwrap().status().as_u16()
    };

    assert_eq!(
        status(Request::get("/graphql/v2?s=t").body("".into()).unwrap()).await,
        405
    );
    assert_eq!(
        status(Request::post("/nowhere").body("{}".into()).unwrap()).await,
        404
    );
    assert_eq!(
        status(
            Request::post("/graphql/v2?s=t")
                .body("not json".into())
                .unwrap()
        )
        .await,
        400
    );
    assert_eq!(
        status(Request::post("/graphql/v2?s=t").body("[]".into()).unwrap()).await,
        400
    );
}

#[tokio::test(start_paused = true)]
async fn aliases_fragments_and_several_operations_work() {
    let query = r#"
        query Other { platformStatus { isStable } }
        query Both($p: String!, $e: String!) {
            one: environment(id: $p) { ...Short }
            two: environment(id: $e) { ...Short services: serviceInstances(first: 1) { edges { node { ... on ServiceInstance { serviceName } } } } }
        }
        fragment Short on Environment { kind: __typename name }"#;
    let request = request(
        Some("account-token"),
        "/graphql/v2?s=t",
        json!({ "query": query, "operationName": "Both", "variables": { "p": PRODUCTION, "e": STAGING } }),
    );

    let response = sandbox().handle(request).await.unwrap();

    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        answer["data"]["one"],
        json!({ "kind": "Environment", "name": "production" })
    );
    assert_eq!(
        answer["data"]["two"]["services"]["edges"][0]["node"]["serviceName"],
        "web"
    );
}

#[tokio::test(start_paused = true)]
async fn a_field_error_names_its_path_place_code_and_trace() {
    let answer = ask(
        &sandbox(),
        "{ gone: environment(id: \"no-such\") { name } }",
        json!({}),
    )
    .await;

    assert_eq!(answer.status, 200);
    let error = answer.json()["errors"][0].clone();
    assert_eq!(error["message"], "Not Authorized");
    assert_eq!(error["path"], json!(["gone"]));
    assert_eq!(error["locations"], json!([{ "line": 1, "column": 9 }]));
    assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    assert!(error["extensions"]["traceId"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_non_null_object_without_an_id_fails_the_whole_request() {
    let query = format!(
        "{{ environment(id: \"{PRODUCTION}\") {{ variables {{ edges {{ node {{ name service {{ id }} }} }} }} }} }}"
    );

    let answer = ask(&sandbox(), &query, json!({})).await;

    assert_eq!(answer.error(), "Problem processing request");
    assert_eq!(answer.json()["data"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_walked_page_by_page_in_both_directions() {
    let sandbox = sandbox();
    let page = async |arguments: &str| {
        let query = format!(
            "{{ project(id: \"{PROJECT}\") {{ services({arguments}) {{ edges {{ cursor node {{ name }} }} pageInfo {{ hasNextPage hasPreviousPage endCursor startCursor }} }} }} }}"
        );
        data(&sandbox, &query).await["project"]["services"].clone()
    };
    let names = |page: &Value| {
        page["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| edge["node"]["name"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };

    let first = page("first: 2").await;
    let second = page(&format!(
        "first: 2, after: {}",
        first["pageInfo"]["endCursor"]
    ))
    .await;
    let back = page(&format!(
        "last: 1, before: {}",
        second["pageInfo"]["startCursor"]
    ))
    .await;
    let none = page("first: 0").await;

    assert_eq!(
        (names(&first), names(&second), names(&back)),
        (
            vec!["web".into(), "worker".into()],
            vec!["redis".to_string()],
            vec!["worker".to_string()]
        )
    );
    assert_eq!(
        (
            &first["pageInfo"]["hasNextPage"],
            &second["pageInfo"]["hasNextPage"]
        ),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (
            &second["pageInfo"]["hasPreviousPage"],
            names(&none).len(),
            &none["pageInfo"]["hasNextPage"]
        ),
        (&json!(true), 0, &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn the_default_page_size_is_a_switch() {
    let sandbox = switch("default_page_size", "5");

    let answer = data(&sandbox, &format!("{{ environment(id: \"{PRODUCTION}\") {{ variables {{ edges {{ node {{ name }} }} pageInfo {{ hasNextPage }} }} }} }}")).await;

    let page = &answer["environment"]["variables"];
    assert_eq!(
        (
            page["edges"].as_array().unwrap().len(),
            &page["pageInfo"]["hasNextPage"]
        ),
        (5, &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_the_second_and_told_in_headers() {
    let sandbox = sandbox();
    let mut last = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;
    assert_eq!(
        (
            last.headers["x-ratelimit-limit"].to_str().unwrap(),
            last.headers["x-ratelimit-remaining"].to_str().unwrap()
        ),
        ("10000", "9999")
    );
    assert!(
        last.headers.contains_key("ratelimit-policy") && !last.headers.contains_key("retry-after")
    );

    for _ in 0..50 {
        last = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;
    }
    let other = send(
        &sandbox,
        Some("production-token"),
        "{ platformStatus { isStable } }",
        json!({}),
    )
    .await
    .unwrap();
    after(1).await;
    let later = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;

    assert_eq!(
        (last.status, last.headers["retry-after"].to_str().unwrap()),
        (429, "1")
    );
    assert_eq!((other.status, later.status), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn the_hourly_limit_follows_the_plan_and_resets() {
    let mut seed = two_environments();
    seed.plan = sandbox::Plan::Free;
    let sandbox = Sandbox::new(
        &seed,
        Switches::default().with("reset_header", "seconds_left"),
        Faults::none(),
        1,
    );

    for _ in 0..100 {
        assert_eq!(
            ask(&sandbox, "{ platformStatus { isStable } }", json!({}))
                .await
                .status,
            200
        );
    }
    after(600).await;
    let over = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;
    after(3000).await;
    let reset = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;

    assert_eq!(
        (
            over.status,
            over.headers["retry-after"].to_str().unwrap(),
            over.headers["x-ratelimit-reset"].to_str().unwrap()
        ),
        (429, "3000", "3000")
    );
    assert_eq!(reset.status, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_query_string_the_edge_allows_ten_a_second() {
    let sandbox = sandbox();
    let send = async || {
        sandbox
            .handle(request(
                Some("account-token"),
                "/graphql/v2",
                json!({ "query": "{ platformStatus { isStable } }" }),
            ))
            .await
            .unwrap()
    };

    for _ in 0..10 {
        assert_eq!(send().await.status(), 200);
    }
    let trapped = send().await;

    assert_eq!(
        (trapped.status().as_u16(), trapped.body().as_ref()),
        (429, b"error code: 1015".as_ref())
    );
    assert!(!trapped.headers().contains_key("x-ratelimit-limit"));
}

async fn same_story(seed: u64) -> (String, String) {
    let sandbox = Sandbox::new(
        &two_environments(),
        Switches::drawn(seed),
        Faults::seeded(seed, 300),
        seed,
    );
    for step in 0..30 {
        let value = format!("level-{step}");
        let query = "mutation C($p: EnvironmentConfig, $e: String!) { environmentPatchCommit(environmentId: $e, patch: $p) }";
        let patch = web(json!({ "variables": { "LOG_LEVEL": { "value": value } } }));
        let _ = send(
            &sandbox,
            Some("account-token"),
            query,
            json!({ "p": patch, "e": PRODUCTION }),
        )
        .await;
        let _ = send(
            &sandbox,
            Some("account-token"),
            &format!("{{ environment(id: \"{PRODUCTION}\") {{ config configEtag }} }}"),
            json!({}),
        )
        .await;
        after(2).await;
    }
    (
        serde_json::to_string_pretty(&sandbox.transcript()).unwrap(),
        serde_json::to_string_pretty(&(sandbox.look(), sandbox.effects())).unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn the_same_seeds_tell_the_same_story() {
    for seed in 0..10 {
        assert_eq!(same_story(seed).await, same_story(seed).await);
    }
    assert_ne!(same_story(1).await, same_story(2).await);
}

#[test]
fn every_switch_takes_every_answer_it_lists() {
    let default = serde_json::to_value(Switches::default()).unwrap();
    assert_eq!(default.as_object().unwrap().len(), Switches::NAMES.len());
    for name in Switches::NAMES {
        assert!(default.get(name).is_some(), "{name} is no switch");
        for answer in Switches::answers(name) {
            Switches::default().set(name, answer).unwrap();
        }
    }
    assert!(Switches::default().set("mask", "purple").is_err());
    assert!(Switches::default().set("nonsense", "true").is_err());
    assert_eq!(Switches::drawn(3), Switches::drawn(3));
    assert_ne!(Switches::drawn(3), Switches::drawn(4));
}

#[tokio::test(start_paused = true)]
async fn no_drawn_world_ever_breaks_the_sandbox_or_its_own_answers() {
    for seed in 0..20 {
        let sandbox = Sandbox::new(
            &two_environments(),
            Switches::drawn(seed),
            Faults::none(),
            seed,
        );
        let old = sandbox
            .look()
            .service("production", "web")
            .active
            .clone()
            .unwrap()
            .id;
        let image = format!(
            "ghcr.io/sentia/app:{}",
            ["1.4.2", "1.5.0-bad", "1.5.1-crash", "1.5.2-slow"][seed as usize % 4]
        );
        let steps = [
            web(
                json!({ "source": { "image": image, "commitSha": "abc" }, "deploy": { "startCommand": null, "cronSchedule": "" } }),
            ),
            web(
                json!({ "deploy": { "multiRegionConfig": { "us-west2": null, "sfo": null, "ams": { "numReplicas": 2 } } } }),
            ),
            web(
                json!({ "variables": { "LOG_LEVEL": { "value": "x", "isSealed": true }, "NEW": { "value": "${{NEW}}${{worker.LOG_LEVEL}}" } } }),
            ),
            json!({ "sharedVariables": { "COMPANY": null }, "services": { WORKER: { "isDeleted": true } } }),
            json!({ "services": { WORKER: { "isCreated": true, "source": { "image": "redis:7.4.5" } } }, "volumes": { "v": { "sizeMB": 1, "isCreated": true } } }),
        ];
        for patch in steps {
            let first = commit(&sandbox, patch.clone()).await;
            if first.text.contains("please try again") {
                after(10).await;
                commit(&sandbox, patch).await.data();
            }
            after(seed % 5).await;
            let _ = ask(
                &sandbox,
                &format!("mutation {{ deploymentRollback(id: \"{old}\") }}"),
                json!({}),
            )
            .await;
            ask(
                &sandbox,
                crate::speed::OBSERVE,
                json!({ "p": PROJECT, "e": PRODUCTION, "decrypt": false, "n": 500 }),
            )
            .await
            .data();
        }
        after(600).await;

        let view = sandbox.look();
        for (name, service) in &view.environment("production").services {
            let newest = service.newest.as_ref().unwrap();
            assert!(
                !format!("{:?}", newest.status).contains("ing"),
                "seed {seed}: {name} is still {:?}",
                newest.status
            );
        }
        assert!(
            !view.environment("production").services["web"]
                .variables
                .is_empty()
        );
    }
}
