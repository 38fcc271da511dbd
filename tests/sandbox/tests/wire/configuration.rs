//! Patches, staged changes, history and the mutations that write configuration.

use std::collections::BTreeMap;

use sandbox::{HandEdit, Switches};
use serde_json::{Value, json};

use crate::client::*;

#[tokio::test(start_paused = true)]
async fn a_patch_merges_deeply_and_null_deletes_an_entry_of_a_map() {
    let sandbox = sandbox();

    let answer = commit(
        &sandbox,
        web(json!({
            "variables": { "LOG_LEVEL": { "value": "debug" }, "PUBLIC_URL": null },
            "deploy": { "multiRegionConfig": { "us-west2": null, "europe-west4-drams3a": { "numReplicas": 3 } } },
        })),
    )
    .await
    .data();

    let returned = answer["environmentPatchCommit"].as_str().unwrap();
    assert!(
        returned.starts_with(&format!("commitChanges/{PRODUCTION}/")),
        "{returned}"
    );
    let view = sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(
        (
            web.variables["LOG_LEVEL"].as_str(),
            web.variables.get("PUBLIC_URL")
        ),
        ("debug", None)
    );
    assert_eq!(
        web.variables["DATABASE_URL"],
        "postgres://app@db.example/main"
    );
    assert_eq!(
        web.replicas,
        BTreeMap::from([("europe-west4-drams3a".to_string(), 3)])
    );
    assert_eq!(web.config["deploy"]["healthcheckPath"], "/api/live");
    assert_eq!(
        view.service("production", "worker").variables["LOG_LEVEL"],
        "info"
    );
}

#[tokio::test(start_paused = true)]
async fn null_for_a_scalar_clears_or_is_ignored_by_switch_and_an_empty_text_clears() {
    for (answer, left) in [("clears", Value::Null), ("ignored", json!("/api/live"))] {
        let sandbox = switch("null_scalar", answer);
        commit(
            &sandbox,
            web(json!({ "deploy": { "healthcheckPath": null } })),
        )
        .await
        .data();
        assert_eq!(
            config(&sandbox, true).await["services"][WEB]["deploy"]["healthcheckPath"],
            left,
            "{answer}"
        );
    }
    let sandbox = switch("null_scalar", "ignored");
    commit(&sandbox, web(json!({ "deploy": { "healthcheckPath": "" }, "variables": { "EMPTY": { "value": "" } } }))).await.data();
    let stored = config(&sandbox, true).await["services"][WEB].clone();
    assert_eq!(
        (
            &stored["deploy"]["healthcheckPath"],
            &stored["variables"]["EMPTY"]["value"]
        ),
        (&Value::Null, &json!(""))
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_are_kept() {
    let sandbox = sandbox();

    commit(&sandbox, web(json!({ "futureFeature": { "depth": 2 } })))
        .await
        .data();

    assert_eq!(
        config(&sandbox, false).await["services"][WEB]["futureFeature"],
        json!({ "depth": 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn impossible_patches_are_refused_and_change_nothing() {
    let sandbox = sandbox();
    let before = sandbox.look();
    let scale = |region: &str, count: u32| {
        web(json!({ "deploy": { "multiRegionConfig": { region: { "numReplicas": count } } } }))
    };

    assert_eq!(
        commit(&sandbox, scale("us-west2", 0)).await.code(),
        "BAD_USER_INPUT"
    );
    assert_eq!(
        commit(&sandbox, scale("us-west2", 43)).await.code(),
        "BAD_USER_INPUT"
    );
    assert_eq!(
        commit(&sandbox, scale("atlantis", 1)).await.error(),
        "Problem processing request"
    );
    assert_eq!(
        commit(
            &sandbox,
            json!({ "services": { "no-such": { "deploy": {} } } })
        )
        .await
        .error(),
        "Problem processing request"
    );
    assert_eq!(commit(&sandbox, json!({ "services": { REDIS: { "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 2 } } } } } })).await.status, 200);

    assert_eq!(sandbox.look(), before);
    assert!(sandbox.effects().is_empty());
    let other = switch("missing_service_error", "not_authorized");
    assert_eq!(
        commit(&other, json!({ "services": { "no-such": {} } }))
            .await
            .error(),
        "Not Authorized"
    );
}

#[tokio::test(start_paused = true)]
async fn effects_name_what_was_touched_and_whether_something_is_gone() {
    let sandbox = sandbox();

    commit(
        &sandbox,
        web(json!({ "variables": { "LOG_LEVEL": { "value": "debug" } } })),
    )
    .await
    .data();
    commit(&sandbox, web(json!({ "variables": { "LOG_LEVEL": null }, "source": { "image": "ghcr.io/sentia/app:1.4.2" } }))).await.data();
    commit(
        &sandbox,
        web(json!({ "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 4 } } } })),
    )
    .await
    .data();

    let effects = sandbox.effects();
    assert_eq!(effects[0].paths, ["services.web.variables.LOG_LEVEL"]);
    assert_eq!(
        (
            effects[0].mutation,
            effects[0].destructive,
            effects[0].deployments.len()
        ),
        ("environmentPatchCommit", false, 1)
    );
    assert_eq!(
        effects[1].paths,
        [
            "services.web.source.image",
            "services.web.variables.LOG_LEVEL"
        ]
    );
    assert!(effects[1].destructive);
    assert_eq!(
        (effects[2].destructive, effects[2].deployments.len()),
        (false, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_etag_moves_with_the_configuration_and_history_tells_who_and_why() {
    let sandbox = sandbox();
    let etag = async || {
        data(
            &sandbox,
            &format!("{{ environment(id: \"{PRODUCTION}\") {{ configEtag }} }}"),
        )
        .await["environment"]["configEtag"]
            .clone()
    };
    let before = etag().await;

    let id = commit(
        &sandbox,
        web(json!({ "variables": { "LOG_LEVEL": { "value": "debug" } } })),
    )
    .await
    .data()["environmentPatchCommit"]
        .clone();

    assert_ne!(etag().await, before);
    let history = data(&sandbox, &format!("{{ environmentPatches(environmentId: \"{PRODUCTION}\", first: 1) {{ edges {{ node {{ id status message appliedAt lastAppliedError patch appliedBy {{ email }} }} }} }} }}")).await;
    let newest = &history["environmentPatches"]["edges"][0]["node"];
    assert!(
        id.as_str()
            .unwrap()
            .ends_with(newest["id"].as_str().unwrap())
    );
    assert_eq!(
        (
            &newest["status"],
            &newest["message"],
            &newest["lastAppliedError"]
        ),
        (&json!("COMMITTED"), &json!("test"), &Value::Null)
    );
    assert_eq!(
        newest["patch"]["services"][WEB]["variables"]["LOG_LEVEL"]["value"],
        Value::Null
    );
    let workflow = ask(
        &sandbox,
        "query($w: String!) { workflowStatus(workflowId: $w) { status error } }",
        json!({ "w": id }),
    )
    .await
    .data();
    assert_eq!(workflow["workflowStatus"]["status"], "Complete");
}

#[tokio::test(start_paused = true)]
async fn a_patch_may_apply_late_and_its_workflow_appear_late() {
    let sandbox = with(
        Switches::default()
            .with("patch_apply_lag", "3")
            .with("workflow_lag", "2")
            .with("applied_at", "after_deployments"),
    );
    let id = commit(
        &sandbox,
        web(json!({ "variables": { "LOG_LEVEL": { "value": "debug" } } })),
    )
    .await
    .data()["environmentPatchCommit"]
        .clone();
    let status = async || {
        let workflow = ask(
            &sandbox,
            "query($w: String!) { workflowStatus(workflowId: $w) { status } }",
            json!({ "w": id }),
        )
        .await
        .data();
        let patches = data(&sandbox, &format!("{{ environmentPatches(environmentId: \"{PRODUCTION}\") {{ edges {{ node {{ status appliedAt }} }} }} }}")).await;
        (
            workflow["workflowStatus"]["status"].clone(),
            patches["environmentPatches"]["edges"][0]["node"].clone(),
        )
    };
    let level = || sandbox.look().service("production", "web").variables["LOG_LEVEL"].clone();

    assert_eq!(
        status().await,
        (
            json!("NotFound"),
            json!({ "status": "APPLYING", "appliedAt": null })
        )
    );
    assert_eq!(level(), "info");
    after(2).await;
    assert_eq!(status().await.0, "Running");
    after(1).await;
    assert_eq!(
        (level().as_str(), status().await.1["status"].as_str()),
        ("debug", Some("APPLYING"))
    );
    let created = sandbox
        .look()
        .service("production", "web")
        .newest
        .clone()
        .unwrap()
        .created;
    after(2).await;
    let (workflow, patch) = status().await;
    assert_eq!(
        (workflow, &patch["status"]),
        (json!("Complete"), &json!("COMMITTED"))
    );
    assert!(patch["appliedAt"].as_str().unwrap() > created.to_string().as_str());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_while_it_is_applied_says_so_and_applies_nothing() {
    let sandbox = switch("patch_apply_lag", "1");
    sandbox.by_hand(HandEdit::FailNextPatch {
        environment: "production".into(),
        error: "domain is taken".into(),
    });

    let id = commit(
        &sandbox,
        web(json!({ "variables": { "LOG_LEVEL": { "value": "debug" } } })),
    )
    .await
    .data()["environmentPatchCommit"]
        .clone();
    after(2).await;

    let workflow = ask(
        &sandbox,
        "query($w: String!) { workflowStatus(workflowId: $w) { status error } }",
        json!({ "w": id }),
    )
    .await
    .data();
    assert_eq!(
        workflow["workflowStatus"],
        json!({ "status": "Error", "error": "domain is taken" })
    );
    assert_eq!(
        sandbox.look().service("production", "web").variables["LOG_LEVEL"],
        "info"
    );
}

const STAGE: &str = "mutation($e: String!, $i: EnvironmentConfig!, $m: Boolean) { environmentStageChanges(environmentId: $e, input: $i, merge: $m) { id status patch(decryptVariables: true) } }";
const COMMIT_STAGED: &str = "mutation($e: String!, $s: Boolean) { environmentPatchCommitStaged(environmentId: $e, skipDeploys: $s) }";

#[tokio::test(start_paused = true)]
async fn staged_changes_pile_up_or_are_replaced_and_are_committed_all_together() {
    let sandbox = sandbox();
    let stage = async |input: Value, merge: bool| {
        ask(
            &sandbox,
            STAGE,
            json!({ "e": PRODUCTION, "i": input, "m": merge }),
        )
        .await
        .data()
    };
    let level = |value: &str| web(json!({ "variables": { "LOG_LEVEL": { "value": value } } }));

    stage(level("one"), true).await;
    stage(level("two"), false).await;
    let staged = stage(web(json!({ "variables": { "PUBLIC_URL": null } })), true).await;
    assert_eq!(
        staged["environmentStageChanges"]["patch"]["services"][WEB]["variables"],
        json!({ "LOG_LEVEL": { "value": "two" }, "PUBLIC_URL": null })
    );
    let count = data(&sandbox, &format!("{{ environment(id: \"{PRODUCTION}\") {{ unmergedChangesCount }} environmentStagedChanges(environmentId: \"{PRODUCTION}\") {{ status }} }}")).await;
    assert_eq!(
        (
            &count["environment"]["unmergedChangesCount"],
            &count["environmentStagedChanges"]["status"]
        ),
        (&json!(2), &json!("STAGED"))
    );
    assert_eq!(
        sandbox.look().service("production", "web").variables["LOG_LEVEL"],
        "info"
    );

    ask(
        &sandbox,
        COMMIT_STAGED,
        json!({ "e": PRODUCTION, "s": true }),
    )
    .await
    .data();

    let view = sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(
        (
            web.variables["LOG_LEVEL"].as_str(),
            web.variables.get("PUBLIC_URL"),
            web.deployments
        ),
        ("two", None, 2)
    );
    assert_eq!(view.environment("production").staged, None);
    assert_eq!(
        ask(&sandbox, COMMIT_STAGED, json!({ "e": PRODUCTION }))
            .await
            .error(),
        "No patch to apply"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_person_staged_is_left_or_merged_or_refuses_the_commit() {
    for (answer, level, staged, foreign) in [
        ("leaves", "info", true, Some(false)),
        ("merges", "by hand", false, Some(true)),
        ("refuses", "info", true, None),
    ] {
        let sandbox = switch("commit_over_staged", answer);
        let by_hand = json!({ "services": { "worker": { "variables": { "LOG_LEVEL": { "value": "by hand" } } } } });
        sandbox.by_hand(HandEdit::Stage {
            environment: "production".into(),
            patch: by_hand,
        });

        commit(
            &sandbox,
            web(json!({ "variables": { "MAINTENANCE_MODE": { "value": "true" } } })),
        )
        .await;

        let view = sandbox.look();
        assert_eq!(
            view.service("production", "worker").variables["LOG_LEVEL"],
            level,
            "{answer}"
        );
        assert_eq!(
            view.environment("production").staged.is_some(),
            staged,
            "{answer}"
        );
        assert_eq!(
            sandbox
                .effects()
                .first()
                .map(|effect| effect.committed_foreign_stage),
            foreign,
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn committing_what_a_person_staged_is_marked_as_foreign() {
    let sandbox = sandbox();
    sandbox.by_hand(HandEdit::Stage {
        environment: "production".into(),
        patch: json!({ "services": { "web": { "variables": { "A": { "value": "1" } } } } }),
    });

    ask(&sandbox, COMMIT_STAGED, json!({ "e": PRODUCTION }))
        .await
        .data();

    assert!(sandbox.effects()[0].committed_foreign_stage);
}

#[tokio::test(start_paused = true)]
async fn replicas_scale_hot_and_everything_else_deploys() {
    let sandbox = sandbox();

    commit(&sandbox, web(json!({ "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 1 }, "ams": { "numReplicas": 2 } } } }))).await.data();
    let scaled = sandbox.look();
    commit(
        &sandbox,
        web(json!({ "deploy": { "startCommand": "node server.js" } })),
    )
    .await
    .data();
    let changed = sandbox.look();

    let scaled = scaled.service("production", "web");
    assert_eq!(scaled.deployments, 2);
    assert_eq!(
        scaled.active.as_ref().unwrap().replicas,
        BTreeMap::from([
            ("us-west2".to_string(), 1),
            ("europe-west4-drams3a".to_string(), 2)
        ])
    );
    assert_eq!(changed.service("production", "web").deployments, 3);
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_changes_nothing_deploys_only_by_switch() {
    for (answer, deployments) in [("false", 2), ("true", 3)] {
        let sandbox = switch("noop_patch_deploys", answer);
        commit(
            &sandbox,
            web(json!({ "variables": { "LOG_LEVEL": { "value": "info" } } })),
        )
        .await
        .data();
        let view = sandbox.look();
        assert_eq!(
            (
                view.service("production", "web").deployments,
                view.environment("production").patches.len()
            ),
            (deployments, 1),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_variable_redeploys_the_services_that_use_it() {
    let sandbox = sandbox();

    commit(
        &sandbox,
        json!({ "sharedVariables": { "COMPANY": { "value": "Sentia" } } }),
    )
    .await
    .data();
    after(30).await;

    let view = sandbox.look();
    assert_eq!(
        (
            view.service("production", "web").deployments,
            view.service("production", "worker").deployments
        ),
        (3, 2)
    );
    assert_eq!(
        view.service("production", "web")
            .active
            .as_ref()
            .unwrap()
            .variables["COMPANY"],
        "Sentia"
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_update_is_stored_at_once_and_does_not_deploy() {
    let sandbox = sandbox();
    let query = "mutation($i: ServiceInstanceUpdateInput!, $s: String!, $e: String) { serviceInstanceUpdate(serviceId: $s, environmentId: $e, input: $i) }";

    let input =
        json!({ "source": { "image": "ghcr.io/sentia/app:1.4.2" }, "healthcheckTimeout": 60 });
    ask(
        &sandbox,
        query,
        json!({ "s": WEB, "e": PRODUCTION, "i": input }),
    )
    .await
    .data();
    after(60).await;

    let view = sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(
        (
            &web.config["source"]["image"],
            &web.config["deploy"]["healthcheckTimeout"]
        ),
        (&json!("ghcr.io/sentia/app:1.4.2"), &json!(60))
    );
    assert_eq!(
        web.active.as_ref().unwrap().image.as_deref(),
        Some("ghcr.io/sentia/app:1.4.1")
    );
}

#[tokio::test(start_paused = true)]
async fn variables_can_be_set_replaced_and_deleted_one_by_one() {
    let sandbox = sandbox();
    let at = |more: Value| {
        let mut input =
            json!({ "projectId": PROJECT, "environmentId": PRODUCTION, "serviceId": WORKER });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "i": input })
    };
    let upsert = "mutation($i: VariableUpsertInput!) { variableUpsert(input: $i) }";
    let collection =
        "mutation($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }";
    let delete = "mutation($i: VariableDeleteInput!) { variableDelete(input: $i) }";

    ask(
        &sandbox,
        upsert,
        at(json!({ "name": "A", "value": "1", "skipDeploys": true })),
    )
    .await
    .data();
    assert_eq!(
        sandbox.look().service("production", "worker").deployments,
        2
    );
    ask(
        &sandbox,
        collection,
        at(json!({ "variables": { "B": "2" }, "replace": true })),
    )
    .await
    .data();
    assert_eq!(
        sandbox.look().service("production", "worker").variables,
        BTreeMap::from([("B".to_string(), "2".to_string())])
    );
    ask(&sandbox, delete, at(json!({ "name": "B" })))
        .await
        .data();

    let view = sandbox.look();
    assert_eq!(
        (
            view.service("production", "worker").variables.len(),
            view.service("production", "worker").deployments
        ),
        (0, 4)
    );
    assert!(sandbox.effects()[1].destructive);
}

#[tokio::test(start_paused = true)]
async fn services_are_created_renamed_and_deleted() {
    let sandbox = sandbox();
    let create = "mutation($i: ServiceCreateInput!) { serviceCreate(input: $i) { id name project { name } } }";

    let made = ask(&sandbox, create, json!({ "i": { "projectId": PROJECT, "name": "cron", "source": { "image": "busybox:1" } } })).await.data()["serviceCreate"].clone();
    let taken = ask(
        &sandbox,
        create,
        json!({ "i": { "projectId": PROJECT, "name": "web" } }),
    )
    .await;
    let id = made["id"].as_str().unwrap();
    data(
        &sandbox,
        &format!(
            "mutation {{ serviceUpdate(id: \"{id}\", input: {{ name: \"nightly\" }}) {{ name }} }}"
        ),
    )
    .await;
    let nightly = sandbox.look();
    data(
        &sandbox,
        &format!("mutation {{ serviceDelete(id: \"{id}\") }}"),
    )
    .await;

    assert_eq!(made["project"]["name"], "sentia-manufacturing");
    assert!(taken.error().contains("already exists in this project"));
    assert_eq!(
        (
            nightly.service("production", "nightly").deployments,
            nightly.service("staging", "nightly").deployments
        ),
        (1, 1)
    );
    assert!(
        !sandbox
            .look()
            .environment("production")
            .services
            .contains_key("nightly")
    );
    assert!(sandbox.effects().last().unwrap().destructive);
}

#[tokio::test(start_paused = true)]
async fn an_environment_can_be_copied_without_its_sealed_variables() {
    let sandbox = sandbox();
    let create = "mutation($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id name sourceEnvironment { name } } }";

    let made = ask(&sandbox, create, json!({ "i": { "projectId": PROJECT, "name": "preview", "sourceEnvironmentId": PRODUCTION } })).await.data();

    assert_eq!(
        made["environmentCreate"]["sourceEnvironment"]["name"],
        "production"
    );
    let view = sandbox.look();
    let web = view.service("preview", "web");
    assert_eq!(
        (
            web.variables["LOG_LEVEL"].as_str(),
            web.variables.get("STRIPE_KEY"),
            web.deployments
        ),
        ("info", None, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_region_may_be_read_by_its_airport_code() {
    let sandbox = switch("region_keys", "airport_codes");

    let read = config(&sandbox, true).await["services"][WEB]["deploy"]["multiRegionConfig"].clone();
    commit(&sandbox, web(json!({ "deploy": { "multiRegionConfig": { "sfo": null, "ams": { "numReplicas": 1 } } } }))).await.data();

    assert_eq!(read, json!({ "sfo": { "numReplicas": 2 } }));
    assert_eq!(
        sandbox.look().service("production", "web").replicas,
        BTreeMap::from([("europe-west4-drams3a".to_string(), 1)])
    );
}

#[tokio::test(start_paused = true)]
async fn defaults_are_absent_from_the_configuration_and_shown_on_the_instance() {
    let sandbox = sandbox();
    let query = format!(
        "{{ serviceInstance(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") {{ restartPolicyType restartPolicyMaxRetries region numReplicas source {{ image repo }} }} }}"
    );

    let instance = data(&sandbox, &query).await["serviceInstance"].clone();

    assert_eq!(
        config(&sandbox, true).await["services"][WEB]["deploy"].get("restartPolicyType"),
        None
    );
    assert_eq!(
        instance,
        json!({ "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10, "region": null, "numReplicas": 2, "source": { "image": "ghcr.io/sentia/app:1.4.1", "repo": null } })
    );
    assert_eq!(
        config(&switch("config_defaults", "present"), true).await["services"][WEB]["deploy"]["restartPolicyType"],
        "ON_FAILURE"
    );
}
