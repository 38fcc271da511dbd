//! Logs of builds, deployments, environments and visitors, the steps of a rollout, and the events of a project.

use sandbox::{Sandbox, Switches};
use serde_json::{Value, json};

use crate::client::*;

async fn release(sandbox: &Sandbox, image: &str) -> String {
    let part = json!({ "source": { "image": image } });
    commit(sandbox, web(part)).await.data();
    after(20).await;
    newest(sandbox)
}

fn newest(sandbox: &Sandbox) -> String {
    let view = sandbox.look();
    view.service("production", "web").newest.clone().unwrap().id
}

async fn environment_logs(sandbox: &Sandbox, arguments: &str) -> Vec<Value> {
    let query = format!(
        "{{ environmentLogs(environmentId: \"{PRODUCTION}\"{arguments}) {{ timestamp message severity tags {{ serviceId deploymentId snapshotId }} }} }}"
    );
    data(sandbox, &query).await["environmentLogs"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test(start_paused = true)]
async fn the_environment_log_is_cut_around_an_anchor() {
    let sandbox = sandbox();
    let seeded = environment_logs(&sandbox, "").await;
    for image in [
        "ghcr.io/sentia/app:1.4.2",
        "ghcr.io/sentia/app:1.4.0",
        "ghcr.io/sentia/app:1.5.0-bad",
    ] {
        release(&sandbox, image).await;
    }
    let all = environment_logs(&sandbox, "").await;
    let all = all[seeded.len()..].to_vec();
    let at = |nth: usize| all[nth]["timestamp"].as_str().unwrap();
    assert_eq!(all.len(), 5, "two starts and the three lines of a failure");

    let before = environment_logs(
        &sandbox,
        &format!(", anchorDate: \"{}\", beforeLimit: 1, afterLimit: 0", at(1)),
    )
    .await;
    let both = environment_logs(
        &sandbox,
        &format!(", anchorDate: \"{}\", beforeLimit: 1, afterLimit: 1", at(0)),
    )
    .await;
    let bounded = environment_logs(
        &sandbox,
        &format!(", beforeDate: \"{}\", anchorDate: \"{}\"", at(1), at(1)),
    )
    .await;
    let until = environment_logs(
        &sandbox,
        &format!(", beforeLimit: 2, afterDate: \"{}\"", at(1)),
    )
    .await;
    let errors = environment_logs(
        &sandbox,
        &format!(", filter: \"@level:error AND @service:{WEB}\""),
    )
    .await;
    let others = environment_logs(&sandbox, &format!(", filter: \"-@service:{WEB}\"")).await;

    assert!(!seeded.is_empty(), "what ran before has started, too");
    let starts = |row: &Value| row["message"] == "Starting Container";
    assert!(seeded.iter().all(starts), "{seeded:?}");
    let is_other = |row: &&Value| row["tags"]["serviceId"] != WEB;
    assert_eq!(before, [all[1].clone()]);
    assert_eq!(both, all[..2]);
    assert_eq!(bounded.first(), Some(&all[1]));
    assert_eq!(until, all[..2]);
    assert_eq!(errors.len(), 3);
    assert_eq!(others.len(), seeded.iter().filter(is_other).count());
}

#[tokio::test(start_paused = true)]
async fn a_build_is_in_the_environment_log_only_when_its_snapshot_is_named() {
    let sandbox = built(Switches::default());
    data(&sandbox, "mutation { serviceInstanceDeployV2(serviceId: \"api\", environmentId: \"e\", commitSha: \"bad\") }").await;
    after(20).await;
    let logs = async |filter: &str| {
        let query = "query($f: String) { environmentLogs(environmentId: \"e\", filter: $f) { message tags { snapshotId } } }";
        ask(&sandbox, query, json!({ "f": filter })).await.data()["environmentLogs"].clone()
    };
    let failed = sandbox
        .look()
        .service("production", "api")
        .newest
        .clone()
        .unwrap()
        .id;
    let about = data(&sandbox, &format!("{{ deployment(id: \"{failed}\") {{ snapshotId }} buildLogs(deploymentId: \"{failed}\", filter: \"unresolved\") {{ message }} deploymentEvents(id: \"{failed}\") {{ edges {{ node {{ step payload {{ error }} }} }} }} }}")).await;

    let plain = logs("@level:error").await;
    let named = logs(&format!(
        "@snapshot:{}",
        about["deployment"]["snapshotId"].as_str().unwrap()
    ))
    .await;

    assert_eq!(plain, json!([]));
    assert_eq!(named.as_array().unwrap().len(), 2);
    assert_eq!(about["buildLogs"].as_array().unwrap().len(), 1);
    let edges = about["deploymentEvents"]["edges"].as_array().unwrap();
    let steps: Vec<&Value> = edges.iter().map(|edge| &edge["node"]["step"]).collect();
    assert_eq!(steps, ["SNAPSHOT_CODE", "BUILD_IMAGE"]);
    assert_eq!(
        edges[1]["node"]["payload"]["error"],
        "error[E0432]: unresolved import"
    );
}

#[tokio::test(start_paused = true)]
async fn deployment_logs_have_windows_limits_and_a_time_to_live() {
    for (answer, rows) in [("false", 2), ("true", 3)] {
        let sandbox = switch("log_limit_extra", answer);
        let failed = release(&sandbox, "ghcr.io/sentia/app:1.5.0-bad").await;
        let logs = async |arguments: &str| {
            let query = format!(
                "{{ deploymentLogs(deploymentId: \"{failed}\"{arguments}) {{ timestamp message }} }}"
            );
            data(&sandbox, &query).await["deploymentLogs"]
                .as_array()
                .unwrap()
                .clone()
        };

        let all = logs("").await;
        let limited = logs(", limit: 2").await;
        let now = sandbox.now();
        let later = logs(&format!(", startDate: \"{now}\"")).await;
        let earlier = logs(&format!(", endDate: \"{now}\"")).await;
        after(31 * 86_400).await;
        let gone = logs("").await;

        assert_eq!((all.len(), limited.len()), (3, rows), "{answer}");
        assert_eq!(limited.last(), all.last(), "the newest are kept");
        assert_eq!((later.len(), earlier.len(), gone.len()), (0, 3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_talks_too_much_is_cut_short() {
    let mut seed = runbook();
    let chatty = sandbox::Known {
        log: (0..600).map(|nth| format!("line {nth}")).collect(),
        ..sandbox::Known::default()
    };
    seed.images.insert("app:chatty".into(), chatty);
    let sandbox = Sandbox::new(&seed, Switches::default(), sandbox::Faults::none(), 7);
    let id = release(&sandbox, "app:chatty").await;

    let query =
        format!("{{ deploymentLogs(deploymentId: \"{id}\", limit: 1000) {{ message severity }} }}");
    let rows = data(&sandbox, &query).await["deploymentLogs"]
        .as_array()
        .unwrap()
        .clone();

    assert_eq!(
        rows.len(),
        502,
        "the start, five hundred lines, and the warning"
    );
    assert!(
        rows[501]["message"]
            .as_str()
            .unwrap()
            .contains("Messages dropped: 100")
    );
}

#[tokio::test(start_paused = true)]
async fn a_healthcheck_that_fails_is_the_step_that_says_so() {
    let sandbox = sandbox();
    commit(&sandbox, web(json!({ "source": { "image": "ghcr.io/sentia/app:1.5.2-slow" }, "deploy": { "healthcheckTimeout": 30 } }))).await.data();
    after(10).await;
    let events = async || {
        let query = format!(
            "{{ deploymentEvents(id: \"{}\") {{ edges {{ node {{ step createdAt completedAt payload {{ attempt maxAttempts error }} }} }} }} }}",
            newest(&sandbox)
        );
        data(&sandbox, &query).await["deploymentEvents"]["edges"].clone()
    };

    let during = events().await;
    after(40).await;
    let failed = events().await;

    let last = |edges: &Value| edges.as_array().unwrap().last().unwrap()["node"].clone();
    assert_eq!(
        (&last(&during)["step"], &last(&during)["completedAt"]),
        (&json!("HEALTHCHECK"), &Value::Null)
    );
    assert_eq!(
        last(&during)["payload"],
        json!({ "attempt": null, "maxAttempts": null, "error": null })
    );
    assert!(last(&failed)["completedAt"].is_string());
    assert_eq!(
        last(&failed)["payload"],
        json!({ "attempt": 3, "maxAttempts": 3, "error": "waiting for migrations" })
    );
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_project_tell_what_happened_newest_first() {
    let sandbox = sandbox();
    let failed = release(&sandbox, "ghcr.io/sentia/app:1.5.0-bad").await;
    let events = async |more: &str| {
        let query = format!(
            "{{ events(projectId: \"{PROJECT}\"{more}) {{ edges {{ node {{ object action severity createdAt environmentId payload activityPayload environment {{ name }} project {{ name }} }} }} pageInfo {{ hasNextPage }} }} }}"
        );
        data(&sandbox, &query).await["events"]["edges"]
            .as_array()
            .unwrap()
            .clone()
    };

    let newest = events(", first: 1").await[0]["node"].clone();
    let patches = events(", filter: { object: { in: [\"EnvironmentPatch\"] } }").await;
    let others = events(&format!(", filter: {{ serviceId: {{ notIn: [\"{WEB}\"] }}, object: {{ in: [\"Deployment\"] }}, action: {{ in: [\"failed\"] }} }}")).await;
    let staging = events(&format!(
        ", environmentId: \"{STAGING}\", filter: {{ object: {{ in: [\"EnvironmentPatch\"] }} }}"
    ))
    .await;

    assert_eq!(
        (&newest["object"], &newest["action"], &newest["severity"]),
        (&json!("Deployment"), &json!("failed"), &json!("WARNING"))
    );
    assert_eq!(newest["payload"]["deploymentId"], failed);
    assert_eq!(
        (&newest["environment"]["name"], &newest["project"]["name"]),
        (&json!("production"), &json!("sentia-manufacturing"))
    );
    assert_eq!(patches.len(), 1);
    assert_eq!(
        (
            &patches[0]["node"]["action"],
            &patches[0]["node"]["payload"]["message"]
        ),
        (&json!("committed"), &json!("test"))
    );
    assert_eq!((others.len(), staging.len()), (0, 0));
    let bound = send(
        &sandbox,
        Some("staging-token"),
        &format!(
            "{{ events(projectId: \"{PROJECT}\") {{ edges {{ node {{ environmentId }} }} }} }}"
        ),
        json!({}),
    )
    .await
    .unwrap();
    assert!(
        !bound.text.contains(PRODUCTION),
        "a token sees its own environment only"
    );
}
