//! The life of deployments: releases, failures, rollback, restarts, commits.

use sandbox::{DeploymentView, HandEdit, Known, Sandbox, Status, Switches};
use serde_json::{Value, json};

use crate::client::*;

async fn release(sandbox: &Sandbox, image: &str) {
    commit(sandbox, web(json!({ "source": { "image": image } })))
        .await
        .data();
}

fn newest(sandbox: &Sandbox) -> DeploymentView {
    sandbox
        .look()
        .service("production", "web")
        .newest
        .clone()
        .unwrap()
}

fn active(sandbox: &Sandbox) -> DeploymentView {
    sandbox
        .look()
        .service("production", "web")
        .active
        .clone()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_through_its_stages_and_replaces_the_old_one() {
    let sandbox = sandbox();
    let old = active(&sandbox);

    release(&sandbox, "ghcr.io/sentia/app:1.4.2").await;

    let mut seen = vec![newest(&sandbox).status];
    for _ in 0..8 {
        after(1).await;
        seen.push(newest(&sandbox).status);
        if newest(&sandbox).status != Status::Success {
            assert_eq!(active(&sandbox).id, old.id);
        }
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            Status::Queued,
            Status::Initializing,
            Status::Deploying,
            Status::Success
        ]
    );
    assert_eq!(
        active(&sandbox).image.as_deref(),
        Some("ghcr.io/sentia/app:1.4.2")
    );
    let status = async || {
        data(
            &sandbox,
            &format!(
                "{{ deployment(id: \"{}\") {{ status canRollback }} }}",
                old.id
            ),
        )
        .await["deployment"]["status"]
            .clone()
    };
    assert_eq!(status().await, "REMOVING");
    after(5).await;
    assert_eq!(status().await, "REMOVED");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_tells_what_it_runs_and_why_it_exists() {
    let sandbox = sandbox();
    let commit = commit(&sandbox, web(json!({ "source": { "image": "ghcr.io/sentia/app:1.4.2" }, "variables": { "NEW": { "value": "1" } } }))).await.data();
    let patch = commit["environmentPatchCommit"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_string();
    after(20).await;

    let query = format!(
        "{{ serviceInstance(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") {{ latestDeployment {{ id meta instances {{ status }} }} activeDeployments {{ id }} }} }}"
    );
    let latest = data(&sandbox, &query).await["serviceInstance"].clone();
    let (meta, id) = (
        &latest["latestDeployment"]["meta"],
        &latest["latestDeployment"]["id"],
    );
    let snapshot = ask(
        &sandbox,
        "query($d: String!) { deploymentSnapshot(deploymentId: $d) { variables } }",
        json!({ "d": id }),
    )
    .await
    .data();

    assert_eq!(
        (&meta["image"], &meta["reason"], &meta["patchId"]),
        (
            &json!("ghcr.io/sentia/app:1.4.2"),
            &json!("deploy"),
            &json!(patch)
        )
    );
    assert!(meta["imageDigest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        meta["serviceManifest"]["deploy"]["restartPolicyType"],
        "ON_FAILURE"
    );
    assert_eq!(
        latest["latestDeployment"]["instances"],
        json!([{ "status": "RUNNING" }, { "status": "RUNNING" }])
    );
    assert_eq!(&latest["activeDeployments"][0]["id"], id);
    let received = &snapshot["deploymentSnapshot"]["variables"];
    assert_eq!(
        (&received["NEW"], &received["STRIPE_KEY"]),
        (&json!("1"), &Value::Null)
    );
    assert_eq!(
        received["PUBLIC_URL"],
        "https://sentia-manufacturing.up.railway.app"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_fails_with_its_log_and_leaves_the_old_one_serving() {
    for (image, status, within, says) in [
        (
            "ghcr.io/sentia/app:1.5.0-bad",
            Status::Failed,
            10,
            "Cannot find module",
        ),
        (
            "ghcr.io/sentia/app:1.5.1-crash",
            Status::Crashed,
            10,
            "no such column",
        ),
        (
            "ghcr.io/sentia/app:1.5.2-slow",
            Status::Failed,
            310,
            "healthcheck failed",
        ),
    ] {
        let sandbox = sandbox();
        let old = active(&sandbox);

        release(&sandbox, image).await;
        after(within).await;

        let failed = newest(&sandbox);
        assert_eq!(
            (failed.status, active(&sandbox).id),
            (status, old.id),
            "{image}"
        );
        let logs = ask(&sandbox, "query($d: String!) { deploymentLogs(deploymentId: $d, limit: 10, filter: \"@level:error\") { message severity tags { serviceId } } }", json!({ "d": failed.id })).await;
        assert!(logs.text.contains(says), "{}", logs.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_deployment_supersedes_one_that_is_under_way() {
    let sandbox = sandbox();
    release(&sandbox, "ghcr.io/sentia/app:1.5.2-slow").await;
    let slow = newest(&sandbox);
    after(20).await;

    release(&sandbox, "ghcr.io/sentia/app:1.4.2").await;
    after(20).await;

    assert_eq!(
        data(
            &sandbox,
            &format!("{{ deployment(id: \"{}\") {{ status }} }}", slow.id)
        )
        .await["deployment"]["status"],
        "REMOVED"
    );
    assert_eq!(
        active(&sandbox).image.as_deref(),
        Some("ghcr.io/sentia/app:1.4.2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_back_image_and_variables_but_not_the_stored_configuration() {
    let sandbox = sandbox();
    let old = active(&sandbox);
    commit(&sandbox, web(json!({ "source": { "image": "ghcr.io/sentia/app:1.4.2" }, "variables": { "LOG_LEVEL": { "value": "debug" } } }))).await.data();
    after(20).await;

    data(
        &sandbox,
        &format!("mutation {{ deploymentRollback(id: \"{}\") }}", old.id),
    )
    .await;
    after(20).await;

    let view = sandbox.look();
    let web = view.service("production", "web");
    let running = web.active.as_ref().unwrap();
    assert_eq!(
        (
            running.image.as_deref(),
            running.variables["LOG_LEVEL"].as_str()
        ),
        (Some("ghcr.io/sentia/app:1.4.1"), "info")
    );
    assert_eq!(
        (
            running.reason,
            running.of.as_ref(),
            running.patch_id.as_ref()
        ),
        ("rollback", Some(&old.id), None)
    );
    assert_eq!(
        (
            web.variables["LOG_LEVEL"].as_str(),
            &web.config["source"]["image"]
        ),
        ("debug", &json!("ghcr.io/sentia/app:1.4.2"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_possible_until_the_image_is_gone() {
    let sandbox = sandbox();
    let can = async || {
        let query = format!(
            "{{ deployments(input: {{ environmentId: \"{PRODUCTION}\", serviceId: \"{WEB}\", status: {{ in: [REMOVED] }} }}) {{ edges {{ node {{ id canRollback canRedeploy }} }} }} }}"
        );
        data(&sandbox, &query).await["deployments"]["edges"][0]["node"].clone()
    };
    let before = can().await;
    after(121 * 3600).await;
    let after = can().await;

    assert_eq!(
        (
            &before["canRollback"],
            &after["canRollback"],
            &after["canRedeploy"]
        ),
        (&json!(true), &json!(false), &json!(true))
    );
    let refused = ask(
        &sandbox,
        &format!("mutation {{ deploymentRollback(id: {}) }}", after["id"]),
        json!({}),
    )
    .await;
    assert_eq!(refused.error(), "Deployment cannot be rolled back");
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_deployment_and_shows_only_by_switch() {
    for (answer, moves) in [("true", true), ("false", false)] {
        let sandbox = switch("restart_shows", answer);
        let id = active(&sandbox).id;
        let updated = async || {
            data(
                &sandbox,
                &format!("{{ deployment(id: \"{id}\") {{ updatedAt instances {{ status }} }} }}"),
            )
            .await["deployment"]
                .clone()
        };
        let before = updated().await;

        data(
            &sandbox,
            &format!("mutation {{ deploymentRestart(id: \"{id}\") }}"),
        )
        .await;
        let during = updated().await;
        after(10).await;
        let done = updated().await;

        assert_eq!(
            (
                active(&sandbox).id,
                &during["instances"][0]["status"],
                &done["instances"][0]["status"]
            ),
            (id.clone(), &json!("RESTARTING"), &json!("RUNNING"))
        );
        assert_eq!(before["updatedAt"] != done["updatedAt"], moves, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_can_be_stopped_removed_and_cancelled() {
    let sandbox = sandbox();
    let id = active(&sandbox).id;

    data(
        &sandbox,
        &format!("mutation {{ deploymentStop(id: \"{id}\") }}"),
    )
    .await;
    let stopped = active(&sandbox);
    data(
        &sandbox,
        &format!("mutation {{ deploymentRestart(id: \"{id}\") }}"),
    )
    .await;
    after(10).await;
    let back = active(&sandbox);
    data(
        &sandbox,
        &format!("mutation {{ deploymentRemove(id: \"{id}\") }}"),
    )
    .await;
    after(5).await;
    let removed = newest(&sandbox);
    release(&sandbox, "ghcr.io/sentia/app:1.4.2").await;
    let started = newest(&sandbox).id;
    data(
        &sandbox,
        &format!("mutation {{ deploymentCancel(id: \"{started}\") }}"),
    )
    .await;
    after(20).await;

    assert_eq!(
        (stopped.stopped, stopped.status, stopped.replicas.len()),
        (true, Status::Success, 0)
    );
    assert_eq!((back.stopped, back.replicas["us-west2"]), (false, 2));
    assert_eq!((removed.id, removed.status), (id, Status::Removed));
    assert_eq!(newest(&sandbox).status, Status::Removed);
}

#[tokio::test(start_paused = true)]
async fn a_redeploy_repeats_a_deployment_and_the_latest_can_be_deployed_again() {
    let sandbox = sandbox();
    let old = active(&sandbox);

    let again = data(&sandbox, &format!("mutation {{ deploymentRedeploy(id: \"{}\", usePreviousImageTag: true) {{ id status }} }}", old.id)).await["deploymentRedeploy"].clone();
    after(20).await;
    data(&sandbox, &format!("mutation {{ serviceInstanceRedeploy(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") }}")).await;
    after(20).await;
    let id = data(&sandbox, &format!("mutation {{ serviceInstanceDeployV2(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") }}")).await["serviceInstanceDeployV2"].clone();

    assert_eq!(again["status"], "QUEUED");
    assert_eq!(id, newest(&sandbox).id);
    assert_eq!(sandbox.look().service("production", "web").deployments, 5);
}

const DEPLOY: &str = "mutation($c: String) { serviceInstanceDeployV2(serviceId: \"api\", environmentId: \"e\", commitSha: $c) }";

#[tokio::test(start_paused = true)]
async fn a_commit_is_built_and_an_unknown_one_is_refused() {
    let sandbox = built(Switches::default());
    let api = || sandbox.look().service("production", "api").clone();

    assert_eq!(
        ask(&sandbox, DEPLOY, json!({ "c": "zzz" })).await.error(),
        "Commit not found"
    );
    ask(&sandbox, DEPLOY, json!({ "c": "bbb" })).await.data();
    after(3).await;
    assert_eq!(api().newest.unwrap().status, Status::Building);
    after(20).await;
    assert_eq!(api().active.unwrap().commit.as_deref(), Some("bbb"));
    ask(&sandbox, DEPLOY, json!({ "c": "bad" })).await.data();
    after(20).await;

    let failed = api().newest.unwrap();
    let log = ask(
        &sandbox,
        "query($d: String!) { buildLogs(deploymentId: $d) { message } }",
        json!({ "d": failed.id }),
    )
    .await;
    assert_eq!(
        (failed.status, api().active.unwrap().commit.as_deref()),
        (Status::Failed, Some("bbb"))
    );
    assert!(log.text.contains("unresolved import"), "{}", log.text);
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_a_patch_is_deployed_or_stored_or_dropped() {
    for (answer, stored, runs) in [
        ("honoured", json!("bbb"), "bbb"),
        ("stored", json!("bbb"), "aaa"),
        ("dropped", Value::Null, "aaa"),
    ] {
        let sandbox = built(Switches::default().with("patch_commit_sha", answer));
        let query = "mutation { environmentPatchCommit(environmentId: \"e\", patch: { services: { api: { source: { commitSha: \"bbb\" }, variables: { A: { value: \"1\" } } } } }) }";

        data(&sandbox, query).await;
        after(30).await;

        let view = sandbox.look();
        let api = view.service("production", "api");
        assert_eq!(
            (
                &api.config["source"]["commitSha"],
                api.active.as_ref().unwrap().commit.as_deref()
            ),
            (&stored, Some(runs)),
            "{answer}"
        );
        assert_eq!(api.active.as_ref().unwrap().variables["A"], "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_deploys_by_itself_unless_that_is_switched_off() {
    let sandbox = built(Switches::default().with("pushed_commit_moves_stored", "true"));
    let push = |sha: &str| HandEdit::PushCommit {
        repo: "sentia/api".into(),
        branch: "main".into(),
        sha: sha.into(),
        known: Known::default(),
    };

    sandbox.by_hand(push("ccc"));
    after(30).await;
    let pushed = sandbox.look().service("production", "api").clone();
    data(&sandbox, "mutation { serviceInstanceAutoDeployUpdate(input: { projectId: \"p\", environmentId: \"e\", serviceId: \"api\", enabled: false }) { enabled } }").await;
    sandbox.by_hand(push("ddd"));
    after(30).await;
    let held = sandbox.look().service("production", "api").clone();
    let status = data(&sandbox, "{ serviceInstanceAutoDeployStatus(projectId: \"p\", environmentId: \"e\", serviceId: \"api\") { enabled canEnable } environment(id: \"e\") { deploymentTriggers { edges { node { id } } } } }").await;

    assert_eq!(
        (
            pushed.active.unwrap().commit.as_deref(),
            &pushed.config["source"]["commitSha"]
        ),
        (Some("ccc"), &json!("ccc"))
    );
    assert_eq!(held.active.unwrap().commit.as_deref(), Some("ccc"));
    assert_eq!(
        status["serviceInstanceAutoDeployStatus"],
        json!({ "enabled": false, "canEnable": true })
    );
    assert_eq!(
        status["environment"]["deploymentTriggers"]["edges"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_can_crash_later_and_people_can_edit_everything() {
    let sandbox = sandbox();
    let (production, web) = (|| "production".to_string(), || "web".to_string());

    sandbox.by_hand(HandEdit::Crash {
        environment: production(),
        service: web(),
    });
    assert_eq!(active(&sandbox).status, Status::Crashed);
    sandbox.by_hand(HandEdit::SetImage {
        environment: production(),
        service: web(),
        image: "ghcr.io/sentia/app:1.4.2".into(),
        deploy: true,
    });
    after(20).await;
    sandbox.by_hand(HandEdit::SetVariable {
        environment: production(),
        service: Some(web()),
        name: "LOG_LEVEL".into(),
        value: "trace".into(),
        deploy: false,
    });
    sandbox.by_hand(HandEdit::Scale {
        environment: production(),
        service: web(),
        regions: [("us-west2".to_string(), Some(5))].into(),
    });
    sandbox.by_hand(HandEdit::Rename {
        service: web(),
        name: "front".into(),
    });

    let view = sandbox.look();
    let front = view.service("production", "front");
    let running = front.active.as_ref().unwrap();
    assert_eq!(
        (
            running.status,
            running.image.as_deref(),
            running.replicas["us-west2"]
        ),
        (Status::Success, Some("ghcr.io/sentia/app:1.4.2"), 5)
    );
    assert_eq!(
        (
            front.variables["LOG_LEVEL"].as_str(),
            running.variables["LOG_LEVEL"].as_str()
        ),
        ("trace", "info")
    );
    assert!(sandbox.effects().is_empty());
}
