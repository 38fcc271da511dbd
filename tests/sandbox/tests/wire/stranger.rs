//! What a command-line tool that knows nothing of us sends: one story with a project token, one with an account's.

use std::path::Path;

use sandbox::{Faults, SDL, Sandbox, Switches, Upstream};
use serde_json::{Value, json};

use crate::client::*;

/// A sandbox that speaks the published schema, where that is at hand.
fn open_to_strangers() -> Sandbox {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/railway-schema.json");
    let schema = std::fs::read_to_string(path).unwrap_or_else(|_| SDL.to_string());
    let upstream = Upstream::parse(&schema).unwrap();
    Sandbox::within(
        &upstream,
        &runbook(),
        Switches::default(),
        Faults::none(),
        7,
    )
}

async fn told(sandbox: &Sandbox, token: &str, query: &str, variables: Value) -> Value {
    let answer = send(sandbox, Some(token), query, variables).await.unwrap();
    answer.data()
}

#[tokio::test(start_paused = true)]
async fn a_project_token_is_enough_for_status_scale_redeploy_and_variables() {
    let sandbox = open_to_strangers();
    let token = "production-token";

    // Who am I bound to, and what is there? The other environments are named, and only that.
    let bound = told(
        &sandbox,
        token,
        "query Bound { projectToken { id project { id name } environment { id name } } }",
        json!({}),
    )
    .await;
    let project = bound["projectToken"]["project"]["id"].clone();
    let environment = bound["projectToken"]["environment"]["id"].clone();
    let overview = "query Overview($id: String!) { project(id: $id) { name deletedAt workspace { name } buckets { edges { node { name } } } environments { edges { node { id name canAccess deletedAt unmergedChangesCount isEphemeral sourceEnvironment { id } meta { prNumber } } } } services { edges { node { id name } } } } }";
    let overview =
        told(&sandbox, token, overview, json!({ "id": project })).await["project"].clone();
    let instances = "query Instances($e: String!, $p: String!, $n: Int) { environment(id: $e, projectId: $p) { serviceInstances(first: $n) { edges { node { serviceId serviceName numReplicas source { image repo } latestDeployment { id status canRedeploy meta deploymentStopped instances { id status } } domains { serviceDomains { domain } customDomains { domain } } cronSchedule startCommand } } pageInfo { hasNextPage endCursor } } volumeInstances(first: 0) { edges { node { id } } } } }";
    let all = told(
        &sandbox,
        token,
        instances,
        json!({ "e": environment, "p": project, "n": 500 }),
    )
    .await;
    let web = all["environment"]["serviceInstances"]["edges"]
        .as_array()
        .unwrap()
        .iter()
        .find(|edge| edge["node"]["serviceName"] == "web")
        .unwrap()["node"]
        .clone();

    assert_eq!(
        overview["environments"]["edges"][1]["node"]["canAccess"],
        false
    );
    assert_eq!(
        overview["environments"]["edges"][1]["node"]["unmergedChangesCount"],
        Value::Null
    );
    assert_eq!(
        web["domains"]["serviceDomains"][0]["domain"],
        "sentia-manufacturing.up.railway.app"
    );

    // Scale: regions, the configuration as it is, then one patch.
    let regions = told(&sandbox, token, "query Regions($p: String) { regions(projectId: $p) { name region country location workspaceId deploymentConstraints { deprecationInfo { isDeprecated replacementRegion } } } }", json!({ "p": project })).await;
    assert_eq!(regions["regions"].as_array().unwrap().len(), 4);
    let scale = json!({ "services": { WEB: { "deploy": { "multiRegionConfig": { "us-west2": null, "europe-west4-drams3a": { "numReplicas": 3 } } } } } });
    told(&sandbox, token, "mutation Scale($e: String!, $p: EnvironmentConfig!, $m: String) { environmentPatchCommit(environmentId: $e, patch: $p, commitMessage: $m) }", json!({ "e": environment, "p": scale })).await;

    // Variables, without and with a deployment; then the same deployment again.
    let set =
        json!({ "p": project, "e": environment, "s": WEB, "v": { "HELLO": "world" }, "k": true });
    told(&sandbox, token, "mutation Set($p: String!, $s: String!, $e: String!, $v: EnvironmentVariables!, $k: Boolean) { variableCollectionUpsert(input: { projectId: $p, environmentId: $e, serviceId: $s, variables: $v, skipDeploys: $k }) }", set).await;
    let read = told(&sandbox, token, "query Read($p: String!, $e: String!, $s: String!) { variablesForServiceDeployment(projectId: $p, environmentId: $e, serviceId: $s) }", json!({ "p": project, "e": environment, "s": WEB })).await;
    let again = told(
        &sandbox,
        token,
        "mutation Again($id: String!) { deploymentRedeploy(id: $id) { id } }",
        json!({ "id": web["latestDeployment"]["id"] }),
    )
    .await;
    after(20).await;
    let status = told(
        &sandbox,
        token,
        "query Status($id: String!) { deployment(id: $id) { status } }",
        json!({ "id": again["deploymentRedeploy"]["id"] }),
    )
    .await;
    told(
        &sandbox,
        token,
        "mutation Restart($id: String!) { deploymentRestart(id: $id) }",
        json!({ "id": again["deploymentRedeploy"]["id"] }),
    )
    .await;
    after(10).await;

    assert_eq!(read["variablesForServiceDeployment"]["HELLO"], "world");
    assert_eq!(status["deployment"]["status"], "SUCCESS");
    let running = sandbox
        .look()
        .service("production", "web")
        .active
        .clone()
        .unwrap();
    assert_eq!(
        (
            running.replicas["europe-west4-drams3a"],
            running.variables["HELLO"].as_str()
        ),
        (3, "world")
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_plans_and_applies_its_configuration_until_nothing_is_left() {
    let sandbox = open_to_strangers();
    let token = "account-token";
    let listed = "query Mine { me { name email workspaces { id name projects(first: 500) { edges { node { id name createdAt deletedAt environments { edges { node { id name canAccess } } } services { edges { node { id name } } } } } } } } }";
    let mine = told(&sandbox, token, listed, json!({})).await;
    let project = &mine["me"]["workspaces"][0]["projects"]["edges"][0]["node"];
    assert_eq!(project["name"], "sentia-manufacturing");

    // A newer field is tried first; the refusal names it, and the tool goes on without.
    let newer = "query Now($e: String!) { environment(id: $e) { config configEtag iacPartials } }";
    let newer = send(&sandbox, Some(token), newer, json!({ "e": PRODUCTION }))
        .await
        .unwrap();
    assert!(newer.error().contains("iacPartials"), "{}", newer.text);
    let now = "query Now($e: String!, $d: Boolean) { environment(id: $e) { id name projectId config(decryptVariables: $d) configEtag canvasGroupRefs } }";
    let now =
        told(&sandbox, token, now, json!({ "e": PRODUCTION, "d": false })).await["environment"]
            .clone();

    // Masked values look like changes; the preview drops those that are none.
    let literal = |name: &str, value: &str| json!({ "kind": "variable.set", "address": "service.web", "variable": name, "before": { "type": "preserve" }, "after": { "type": "literal", "value": value }, "path": name, "summary": name, "severity": "safe", "deployEffect": "deploy" });
    let set = json!({ "version": 1, "changes": [literal("LOG_LEVEL", "info"), literal("MAINTENANCE_MODE", "true")], "diagnostics": [], "declared": ["service.web"] });
    let preview = "mutation Preview($e: String!, $i: JSON!) { environmentPreviewChangeSet(environmentId: $e, input: $i) { changeSet diagnostics effects } }";
    let previewed = told(
        &sandbox,
        token,
        preview,
        json!({ "e": PRODUCTION, "i": set }),
    )
    .await["environmentPreviewChangeSet"]
        .clone();
    let left = previewed["changeSet"].clone();
    assert_eq!(left["changes"].as_array().unwrap().len(), 1);
    let apply = "mutation Apply($e: String!, $i: JSON!, $b: String) { environmentApplyChangeSet(environmentId: $e, input: $i, commitMessage: \"apply\", baseConfigEtag: $b, waitForCompletion: false) { id status deploymentId stagedPatchId diagnostics changes { kind path summary status outputs } } }";
    let applied = told(
        &sandbox,
        token,
        apply,
        json!({ "e": PRODUCTION, "i": left, "b": now["configEtag"] }),
    )
    .await["environmentApplyChangeSet"]
        .clone();
    after(20).await;
    let again = told(
        &sandbox,
        token,
        preview,
        json!({ "e": PRODUCTION, "i": set }),
    )
    .await;

    assert_eq!(applied["status"], "applied");
    assert_eq!(
        again["environmentPreviewChangeSet"]["changeSet"]["changes"],
        json!([])
    );
    assert_eq!(
        sandbox
            .page("sentia-manufacturing.up.railway.app", "/")
            .status(),
        503
    );
}
