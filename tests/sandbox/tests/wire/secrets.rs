//! What can be read of variables: masks, seals, and references resolved.

use serde_json::{Value, json};

use crate::client::*;

#[tokio::test(start_paused = true)]
async fn masked_values_look_as_the_switch_says() {
    for (answer, mask) in [
        ("null", Value::Null),
        ("empty", json!("")),
        ("stars", json!("*****")),
    ] {
        let sandbox = switch("mask", answer);
        let variables = config(&sandbox, false).await["services"][WEB]["variables"].clone();
        assert_eq!(variables["LOG_LEVEL"]["value"], mask, "{answer}");
    }
    assert_eq!(
        config(&sandbox(), true).await["services"][WEB]["variables"]["LOG_LEVEL"]["value"],
        "info"
    );
}

#[tokio::test(start_paused = true)]
async fn no_answer_ever_holds_a_sealed_value() {
    for answer in ["absent", "null", "empty", "stars"] {
        let sandbox = switch("sealed_mask", answer);
        commit(
            &sandbox,
            web(json!({ "variables": { "FRESH": { "value": "top-secret", "isSealed": true } } })),
        )
        .await
        .data();
        after(20).await;
        let query = format!(
            r#"{{
                environment(id: "{PRODUCTION}") {{ config(decryptVariables: true) variables {{ edges {{ node {{ name isSealed references }} }} }} deployments {{ edges {{ node {{ meta }} }} }} }}
                rendered: variables(projectId: "{PROJECT}", environmentId: "{PRODUCTION}", serviceId: "{WEB}")
                unrendered: variables(projectId: "{PROJECT}", environmentId: "{PRODUCTION}", serviceId: "{WEB}", unrendered: true)
                deploying: variablesForServiceDeployment(projectId: "{PROJECT}", environmentId: "{PRODUCTION}", serviceId: "{WEB}")
                environmentPatches(environmentId: "{PRODUCTION}") {{ edges {{ node {{ patch(decryptVariables: true) }} }} }}
            }}"#
        );

        let read = ask(&sandbox, &query, json!({})).await;

        assert!(
            !read.text.contains("top-secret") && !read.text.contains("sk_live"),
            "{answer}: {}",
            read.text
        );
        let read = read.data();
        assert!(
            read["environment"]["config"]["services"][WEB]["variables"]
                .get("FRESH")
                .is_some()
        );
        assert_eq!(
            (
                read["rendered"].get("FRESH"),
                read["unrendered"].get("FRESH")
            ),
            (Some(&Value::Null), Some(&Value::Null))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_variable_stays_sealed_and_runs_with_its_value() {
    let sandbox = sandbox();

    commit(
        &sandbox,
        web(json!({ "variables": { "STRIPE_KEY": { "value": "sk_live_2", "isSealed": false } } })),
    )
    .await
    .data();
    after(20).await;

    let view = sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(
        (
            web.sealed.as_slice(),
            web.active.as_ref().unwrap().variables["STRIPE_KEY"].as_str()
        ),
        (["STRIPE_KEY".to_string()].as_slice(), "sk_live_2")
    );
}

#[tokio::test(start_paused = true)]
async fn references_are_resolved_when_rendered_and_listed_when_not() {
    let sandbox = sandbox();
    let query = format!(
        r#"{{
            rendered: variables(projectId: "{PROJECT}", environmentId: "{PRODUCTION}", serviceId: "{WEB}")
            unrendered: variables(projectId: "{PROJECT}", environmentId: "{PRODUCTION}", serviceId: "{WEB}", unrendered: true)
            shared: variables(projectId: "{PROJECT}", environmentId: "{PRODUCTION}")
            environment(id: "{PRODUCTION}") {{ variables {{ edges {{ node {{ name serviceId references }} }} }} }}
        }}"#
    );

    let read = data(&sandbox, &query).await;

    assert_eq!(
        (&read["rendered"]["COMPANY"], &read["unrendered"]["COMPANY"]),
        (
            &json!("Sentia Manufacturing"),
            &json!("${{ shared.COMPANY }}")
        )
    );
    assert_eq!(
        read["rendered"]["REDIS_URL"],
        "redis://redis.railway.internal:6379"
    );
    assert_eq!(
        (
            &read["rendered"]["RAILWAY_SERVICE_NAME"],
            read["unrendered"].get("RAILWAY_SERVICE_NAME")
        ),
        (&json!("web"), None)
    );
    assert_eq!(read["shared"], json!({ "COMPANY": "Sentia Manufacturing" }));
    let edges = read["environment"]["variables"]["edges"]
        .as_array()
        .unwrap();
    let company = edges
        .iter()
        .map(|edge| &edge["node"])
        .find(|node| node["name"] == "COMPANY" && node["serviceId"] == WEB)
        .unwrap();
    assert_eq!(company["references"], json!(["shared.COMPANY"]));
}

#[tokio::test(start_paused = true)]
async fn writing_a_variable_moves_its_time() {
    let sandbox = sandbox();
    let updated = async |name: &str| {
        let read = data(&sandbox, &format!("{{ environment(id: \"{PRODUCTION}\") {{ variables {{ edges {{ node {{ name serviceId updatedAt }} }} }} }} }}")).await;
        let edges = read["environment"]["variables"]["edges"]
            .as_array()
            .unwrap()
            .clone();
        edges
            .iter()
            .map(|edge| &edge["node"])
            .find(|node| node["name"] == name && node["serviceId"] == WEB)
            .unwrap()["updatedAt"]
            .clone()
    };
    let before = (updated("STRIPE_KEY").await, updated("LOG_LEVEL").await);
    after(60).await;

    commit(
        &sandbox,
        web(json!({ "variables": { "STRIPE_KEY": { "value": "sk_live_2", "isSealed": true } } })),
    )
    .await
    .data();

    assert_ne!(updated("STRIPE_KEY").await, before.0);
    assert_eq!(updated("LOG_LEVEL").await, before.1);
}

#[tokio::test(start_paused = true)]
async fn registry_credentials_can_only_be_written() {
    let sandbox = sandbox();

    commit(
        &sandbox,
        web(
            json!({ "deploy": { "registryCredentials": { "username": "u", "password": "p4ss" } } }),
        ),
    )
    .await
    .data();

    let query = format!(
        "{{ environment(id: \"{PRODUCTION}\") {{ config(decryptVariables: true) deployments {{ edges {{ node {{ meta }} }} }} }} }}"
    );
    assert!(!ask(&sandbox, &query, json!({})).await.text.contains("p4ss"));
}
