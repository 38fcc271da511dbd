//! How much a container may use: what the plan allows, what is set below it, and what is refused above it.

use sandbox::{Faults, Plan, Sandbox, Seed, Switches};
use serde_json::{Value, json};

use crate::client::*;

async fn told(sandbox: &Sandbox) -> (Value, Value) {
    let query = format!(
        "{{ all: serviceInstanceLimits(environmentId: \"{PRODUCTION}\", serviceId: \"{WEB}\") own: serviceInstanceLimitOverride(environmentId: \"{PRODUCTION}\", serviceId: \"{WEB}\") }}"
    );
    let told = data(sandbox, &query).await;
    (told["all"].clone(), told["own"].clone())
}

async fn update(sandbox: &Sandbox, more: Value) -> Answer {
    let mut input = json!({ "environmentId": PRODUCTION, "serviceId": WEB });
    let more = more.as_object().unwrap().clone();
    input.as_object_mut().unwrap().extend(more);
    let query = "mutation($i: ServiceInstanceLimitsUpdateInput!) { serviceInstanceLimitsUpdate(input: $i) }";
    ask(sandbox, query, json!({ "i": input })).await
}

#[tokio::test(start_paused = true)]
async fn without_an_override_the_plan_decides() {
    for (plan, cpu, memory) in [
        (Plan::Free, 1.0, 500_000_000_u64),
        (Plan::Hobby, 8.0, 8_000_000_000),
        (Plan::Pro, 24.0, 24_000_000_000),
    ] {
        let seed = Seed {
            plan,
            ..two_environments()
        };
        let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);

        let (all, own) = told(&sandbox).await;

        assert_eq!(own, Value::Null);
        assert_eq!(
            (&all["containers"]["cpu"], &all["containers"]["memoryBytes"]),
            (&json!(cpu), &json!(memory))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_is_stored_merged_and_carried_by_the_next_deployment() {
    let sandbox = sandbox();
    let deployments = || sandbox.look().service("production", "web").deployments;
    let before = deployments();

    update(&sandbox, json!({ "vCPUs": 2, "memoryGB": 4 }))
        .await
        .data();
    let (all, own) = told(&sandbox).await;
    let stored = config(&sandbox, true).await["services"][WEB]["deploy"]["limitOverride"].clone();
    assert_eq!(
        deployments(),
        before,
        "stored at once, without a deployment"
    );
    data(&sandbox, &format!("mutation {{ serviceInstanceDeployV2(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") }}")).await;
    let manifest = data(&sandbox, &format!("{{ serviceInstance(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") {{ latestDeployment {{ meta }} }} }}")).await;
    update(&sandbox, json!({ "vCPUs": null })).await.data();

    assert_eq!(
        own,
        json!({ "containers": { "cpu": 2, "memoryBytes": 4_000_000_000_u64 } })
    );
    assert_eq!((&stored, &all["containers"]["cpu"]), (&own, &json!(2)));
    assert!(all["containers"]["diskBytes"].is_u64());
    assert_eq!(
        manifest["serviceInstance"]["latestDeployment"]["meta"]["serviceManifest"]["deploy"]["limitOverride"],
        own
    );
    assert_eq!(
        told(&sandbox).await.1,
        json!({ "containers": { "memoryBytes": 4_000_000_000_u64 } })
    );
}

#[tokio::test(start_paused = true)]
async fn above_the_plan_nothing_is_stored_by_either_way() {
    let sandbox = sandbox();
    let patch = |containers: Value| {
        web(json!({ "deploy": { "limitOverride": { "containers": containers } } }))
    };

    assert!(
        update(&sandbox, json!({ "vCPUs": 25 }))
            .await
            .error()
            .contains("at most 24")
    );
    assert!(
        update(&sandbox, json!({ "memoryGB": 0 }))
            .await
            .error()
            .contains("above 0")
    );
    let refused = commit(
        &sandbox,
        patch(json!({ "memoryBytes": 25_000_000_000_u64 })),
    )
    .await;
    assert!(refused.error().contains("memoryBytes"));
    assert_eq!(
        commit(&sandbox, patch(json!({ "cpu": "two" })))
            .await
            .error(),
        "Problem processing request"
    );
    assert!(sandbox.effects().is_empty());
    commit(&sandbox, patch(json!({ "cpu": 24 }))).await.data();
    assert_eq!(told(&sandbox).await.1["containers"]["cpu"], 24);
}
