//! Railway's own infrastructure as code: change sets by resource name, previewed, applied under an etag, and polled.

use sandbox::{Sandbox, Switches};
use serde_json::{Value, json};

use crate::client::*;

const PREVIEW: &str = "mutation($e: String!, $i: JSON!) { environmentPreviewChangeSet(environmentId: $e, input: $i) { changeSet diagnostics effects } }";
const APPLY: &str = "mutation($e: String!, $i: JSON!, $m: String, $b: String, $w: Boolean) { environmentApplyChangeSet(environmentId: $e, input: $i, commitMessage: $m, baseConfigEtag: $b, waitForCompletion: $w) { id status deploymentId stagedPatchId diagnostics changes { kind path summary status outputs } } }";

fn set(changes: Value) -> Value {
    json!({ "version": 1, "changes": changes, "diagnostics": [], "declared": [] })
}

fn variable(name: &str, after: Value) -> Value {
    json!({
        "kind": "variable.set", "address": "service.web", "variable": name, "after": after, "severity": "safe", "deployEffect": "deploy",
        "path": format!("resources.service.web.variables.{name}"), "summary": format!("Set variable web.{name}"),
    })
}

fn update(address: &str, field: &str, before: Value, after: Value) -> Value {
    json!({ "kind": "resource.update", "address": address, "field": field, "before": before, "after": after, "path": format!("resources.{address}.{field}"), "summary": "Update" })
}

async fn preview(sandbox: &Sandbox, input: Value) -> Value {
    let read = ask(sandbox, PREVIEW, json!({ "e": PRODUCTION, "i": input })).await;
    read.data()["environmentPreviewChangeSet"].clone()
}

async fn apply(sandbox: &Sandbox, changes: Value) -> Value {
    let variables =
        json!({ "e": PRODUCTION, "i": set(changes), "m": "Apply Railway configuration" });
    ask(sandbox, APPLY, variables).await.data()["environmentApplyChangeSet"].clone()
}

async fn etag(sandbox: &Sandbox) -> String {
    let query = format!("{{ environment(id: \"{PRODUCTION}\") {{ configEtag }} }}");
    data(sandbox, &query).await["environment"]["configEtag"]
        .as_str()
        .unwrap()
        .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_preview_drops_what_is_so_already_and_changes_nothing() {
    let sandbox = sandbox();
    let before = sandbox.look();
    let changes = json!([
        variable("LOG_LEVEL", json!({ "type": "literal", "value": "info" })),
        variable("STRIPE_KEY", json!({ "type": "preserve" })),
        variable("NEW", json!({ "type": "reference", "resource": "database.redis", "output": "REDIS_URL" })),
        { "kind": "resource.delete", "address": "service.nowhere", "path": "resources.service.nowhere", "summary": "Delete service nowhere" },
    ]);

    let told = preview(&sandbox, set(changes)).await;

    let kept = told["changeSet"]["changes"].as_array().unwrap();
    assert_eq!((kept.len(), &kept[0]["variable"]), (1, &json!("NEW")));
    assert_eq!(
        told["effects"],
        json!([{ "address": "service.web", "path": "resources.service.web.variables.NEW", "deployEffect": "deploy" }])
    );
    assert_eq!(told["diagnostics"][0]["severity"], "error");
    assert_eq!(sandbox.look(), before);
    assert!(sandbox.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn changes_by_name_become_one_commit() {
    let sandbox = sandbox();
    let deploy = json!({ "healthcheckPath": "/api/live", "multiRegionConfig": { "us-west2": { "numReplicas": 2 } } });
    let changes = json!([
        variable("LOG_LEVEL", json!({ "type": "literal", "value": "debug" })),
        variable("REDIS", json!({ "type": "reference", "resource": "database.redis", "output": "REDIS_URL" })),
        variable("COMPANY_NAME", json!({ "type": "sharedReference", "name": "COMPANY" })),
        { "kind": "variable.delete", "address": "service.web", "variable": "PUBLIC_URL", "path": "p", "summary": "s" },
        update("service.web", "source", json!({ "type": "image", "image": "ghcr.io/sentia/app:1.4.1" }), json!({ "type": "image", "image": "ghcr.io/sentia/app:1.4.2" })),
        update("service.web", "deploy", deploy, json!({ "startCommand": "node server.js", "multiRegionConfig": { "europe-west4-drams3a": { "numReplicas": 1 } } })),
        update("service.worker", "name", json!("worker"), json!("jobs")),
        update("volume.redis-data", "config", json!({ "sizeMB": 5000 }), json!({ "sizeMB": 8000 })),
        update("database.redis", "volumeAttachments", json!({ "redis-data": { "volume": "volume.redis-data", "mountPath": "/data" } }), json!({ "redis-data": { "volume": "volume.redis-data", "mountPath": "/data", "backupSchedules": ["DAILY"] } })),
    ]);

    let told = apply(&sandbox, changes).await;
    after(20).await;

    assert_eq!(
        (&told["status"], &told["diagnostics"]),
        (&json!("applied"), &json!([]))
    );
    assert_eq!(told["changes"].as_array().unwrap().len(), 9);
    assert_eq!(
        (&told["changes"][0]["kind"], &told["changes"][0]["status"]),
        (&json!("variable.set"), &json!("applied"))
    );
    let view = sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(
        web.newest.as_ref().unwrap().id,
        told["deploymentId"].as_str().unwrap()
    );
    assert_eq!(
        (
            web.variables["LOG_LEVEL"].as_str(),
            web.variables["REDIS"].as_str(),
            web.variables["COMPANY_NAME"].as_str()
        ),
        ("debug", "${{redis.REDIS_URL}}", "${{shared.COMPANY}}")
    );
    assert!(!web.variables.contains_key("PUBLIC_URL") && web.sealed == ["STRIPE_KEY"]);
    assert_eq!(
        web.config["source"],
        json!({ "image": "ghcr.io/sentia/app:1.4.2" })
    );
    assert_eq!(
        web.config["deploy"],
        json!({ "startCommand": "node server.js", "multiRegionConfig": { "europe-west4-drams3a": { "numReplicas": 1 } } })
    );
    assert!(view.environment("production").services.contains_key("jobs"));
    assert_eq!(
        view.environment("production").volumes["redis-data"].size_mb,
        8000
    );
    assert_eq!(
        view.service("production", "redis").config["volumeMounts"]["5e27a000-0000-4000-8000-0000000000d1"]
            ["backupSchedules"],
        json!(["DAILY"])
    );
    assert_eq!(
        view.environment("production").patches,
        [Some("Apply Railway configuration".to_string())]
    );
}

#[tokio::test(start_paused = true)]
async fn resources_are_made_and_deleted() {
    let sandbox = sandbox();
    let service = json!({
        "type": "service", "name": "api", "address": "service.api", "source": { "type": "image", "image": "busybox:1" }, "deploy": { "startCommand": "sleep" },
        "variables": { "URL": { "type": "reference", "resource": "database.pg", "output": "DATABASE_URL" }, "KEPT": { "type": "preserve" } },
        "volumeAttachments": { "files": { "volume": "volume.files", "mountPath": "/files" } },
    });
    let create = |resource: Value| json!({ "kind": "resource.create", "address": resource["address"], "resource": resource, "path": "p", "summary": "Create" });
    let changes = json!([
        create(service),
        create(json!({ "type": "database", "name": "pg", "address": "database.pg", "engine": "postgres", "image": "postgres:17" })),
        create(json!({ "type": "volume", "name": "files", "address": "volume.files", "config": { "sizeMB": 1000 } })),
        create(json!({ "type": "bucket", "name": "uploads", "address": "bucket.uploads", "config": { "region": "sjc" } })),
        create(json!({ "type": "group", "name": "backend", "address": "group.backend", "color": "red" })),
        { "kind": "domain.create", "address": "service.api", "path": "p", "summary": "Domain" },
    ]);

    let told = apply(&sandbox, changes).await;
    after(30).await;

    assert_eq!(told["status"], "applied");
    let view = sandbox.look();
    let production = view.environment("production");
    let (api, pg) = (&production.services["api"], &production.services["pg"]);
    assert_eq!(
        api.active.as_ref().unwrap().variables["URL"],
        "postgresql://postgres@pg.railway.internal:5432/railway"
    );
    assert!(api.active.is_some() && pg.active.is_some() && !api.variables.contains_key("KEPT"));
    assert_eq!(
        (
            production.volumes["files"].size_mb,
            production.volumes["files"].service.as_deref()
        ),
        (1000, Some("api"))
    );
    assert_eq!(
        production.volumes["pg-volume"].service.as_deref(),
        Some("pg")
    );
    assert!(
        api.config["networking"]["serviceDomains"]["api-production.up.railway.app"].is_object()
    );
    assert!(!view.environment("staging").services.contains_key("api"));
    let stored = config(&sandbox, true).await;
    assert_eq!(stored["groups"]["backend"]["color"], "red");
    let buckets = data(&sandbox, &format!("{{ project(id: \"{PROJECT}\") {{ buckets {{ edges {{ node {{ id name project {{ name }} }} }} }} }} }}")).await["project"]["buckets"]["edges"].clone();
    assert_eq!(buckets[0]["node"]["name"], "uploads");
    assert_eq!(
        stored["buckets"][buckets[0]["node"]["id"].as_str().unwrap()]["region"],
        "sjc"
    );

    let delete = json!([{ "kind": "resource.delete", "address": "service.api", "path": "p", "summary": "Delete service api", "severity": "destructive" }]);
    apply(&sandbox, delete).await;
    assert!(
        !sandbox
            .look()
            .environment("production")
            .services
            .contains_key("api")
    );
    assert!(sandbox.effects().last().unwrap().destructive);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_stale_is_refused() {
    let sandbox = sandbox();
    let base = etag(&sandbox).await;
    let changes = set(json!([variable(
        "A",
        json!({ "type": "literal", "value": "1" })
    )]));
    let apply = async || {
        ask(
            &sandbox,
            APPLY,
            json!({ "e": PRODUCTION, "i": changes, "b": base }),
        )
        .await
    };

    let first = apply().await;
    let second = apply().await;

    assert_eq!(
        first.data()["environmentApplyChangeSet"]["status"],
        "applied"
    );
    assert_eq!(second.code(), "STALE_ENVIRONMENT_BASE");
    assert!(
        second
            .error()
            .contains("changed since this plan was computed")
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_can_be_waited_for_or_polled() {
    let changes = || {
        set(json!([variable(
            "A",
            json!({ "type": "literal", "value": "1" })
        )]))
    };
    let slow = || with(Switches::default().with("patch_apply_lag", "3"));
    let (waiting, polling) = (slow(), slow());
    let begin = tokio::time::Instant::now();
    let waited = ask(&waiting, APPLY, json!({ "e": PRODUCTION, "i": changes() }))
        .await
        .data()["environmentApplyChangeSet"]
        .clone();
    let took = begin.elapsed().as_secs();

    let begun = ask(
        &polling,
        APPLY,
        json!({ "e": PRODUCTION, "i": changes(), "w": false }),
    )
    .await
    .data()["environmentApplyChangeSet"]
        .clone();
    after(4).await;
    let query = "query($e: String!, $id: String!) { environmentChangeSetApply(environmentId: $e, id: $id) { id status deploymentId changes { status } } }";
    let done = ask(
        &polling,
        query,
        json!({ "e": PRODUCTION, "id": begun["id"] }),
    )
    .await
    .data()["environmentChangeSetApply"]
        .clone();

    assert_eq!((&waited["status"], took), (&json!("applied"), 3));
    assert_eq!(
        (&begun["status"], &begun["changes"][0]["status"]),
        (&json!("applying"), &json!("pending"))
    );
    assert_eq!(
        (&done["status"], &done["changes"][0]["status"]),
        (&json!("applied"), &json!("applied"))
    );
    assert!(done["deploymentId"].is_string());
    polling.by_hand(sandbox::HandEdit::FailNextPatch {
        environment: "production".into(),
        error: "no room".into(),
    });
    let failing = set(json!([variable(
        "A",
        json!({ "type": "literal", "value": "2" })
    )]));
    let failing = ask(
        &polling,
        APPLY,
        json!({ "e": PRODUCTION, "i": failing, "w": false }),
    )
    .await
    .data()["environmentApplyChangeSet"]
        .clone();
    after(4).await;
    let failed = ask(
        &polling,
        query,
        json!({ "e": PRODUCTION, "id": failing["id"] }),
    )
    .await
    .data()["environmentChangeSetApply"]
        .clone();
    assert_eq!(failed["status"], "failed");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_applied_is_refused_whole() {
    let sandbox = sandbox();
    let before = sandbox.look();
    let refused = async |input: Value| {
        ask(&sandbox, APPLY, json!({ "e": PRODUCTION, "i": input }))
            .await
            .error()
    };
    let create = |resource: Value| {
        set(
            json!([{ "kind": "resource.create", "address": resource["address"], "resource": resource, "path": "p", "summary": "Create" }]),
        )
    };

    assert!(
        refused(json!({ "version": 2, "changes": [] }))
            .await
            .contains("Unsupported RailwayChangeSet version")
    );
    assert!(refused(json!({ "version": 1 })).await.contains("list"));
    assert!(refused(set(json!([{ "kind": "resource.delete", "address": "service.x", "path": "p", "summary": "Delete service x" }]))).await.contains("no such resource"));
    assert!(
        refused(create(
            json!({ "type": "service", "name": "web", "address": "service.web" })
        ))
        .await
        .contains("already exists in this project")
    );
    let cron = json!({ "type": "service", "name": "new", "address": "service.new", "source": { "type": "image", "image": "a" }, "deploy": { "cronSchedule": "often" } });
    assert!(
        refused(create(cron))
            .await
            .contains("Invalid cron schedule")
    );
    let domain = update(
        "service.web",
        "networking",
        json!({}),
        json!({ "customDomains": { "shop.test": {} } }),
    );
    assert!(
        refused(set(json!([domain])))
            .await
            .contains("cannot be registered")
    );
    assert_eq!(sandbox.look(), before);
    let project = data(
        &sandbox,
        &format!(
            "{{ project(id: \"{PROJECT}\") {{ services {{ edges {{ node {{ name }} }} }} }} }}"
        ),
    )
    .await;
    assert_eq!(
        project["project"]["services"]["edges"]
            .as_array()
            .unwrap()
            .len(),
        3,
        "nothing is left of the refused ones"
    );
    let bound = switch("project_token_may_apply", "false");
    let changes = set(json!([variable(
        "A",
        json!({ "type": "literal", "value": "1" })
    )]));
    let answer = send(
        &bound,
        Some("production-token"),
        APPLY,
        json!({ "e": PRODUCTION, "i": changes }),
    )
    .await
    .unwrap();
    assert_eq!(answer.error(), "Not Authorized");
}
