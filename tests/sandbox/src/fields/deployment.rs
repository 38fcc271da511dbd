//! Fields of deployments, their logs and the steps of their rollout.

use serde_json::{Value, json};

use crate::deployment::{Deployment, Status, can_redeploy};
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::random::uuid_of;
use crate::refusal::Refusal;

pub fn deployment<'s>(
    scene: &'s Scene,
    deployment: &'s Deployment,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    Ok(match asked.field {
        "id" => Answer::text(&deployment.id),
        "status" => Answer::leaf(deployment.status.text()),
        "statusUpdatedAt" => Answer::text(deployment.status_at),
        "createdAt" => Answer::text(deployment.created),
        "updatedAt" => Answer::text(deployment.updated),
        "snapshotId" => Answer::text(&deployment.snapshot_id),
        "projectId" => Answer::text(&deployment.project_id),
        "environmentId" => Answer::text(&deployment.environment_id),
        "serviceId" => Answer::text(&deployment.service_id),
        "canRollback" => Answer::leaf(state.can_rollback(deployment)),
        "canRedeploy" => Answer::leaf(can_redeploy(deployment)),
        "deploymentStopped" => Answer::leaf(deployment.stopped),
        "meta" => Answer::json(&state.meta(deployment)),
        "instances" => Answer::plains(
            deployment
                .instances
                .iter()
                .map(|replica| json!({ "id": replica.id, "status": replica.status })),
        ),
        "environment" => Answer::one(
            state
                .environments
                .get(&deployment.environment_id)
                .map(|environment| Node::Environment(environment)),
        ),
        "service" => {
            let project = state.project(&deployment.project_id)?;
            Answer::one(
                project
                    .services
                    .get(&deployment.service_id)
                    .map(|service| Node::Service(project, service)),
            )
        }
        "creator" => {
            let person = &state.seed.workspace.person;
            Answer::plain(json!({ "id": uuid_of(person), "email": person, "name": person }))
        }
        _ => Answer::null(),
    })
}

/// A page of deployments, the newest first.
pub fn newest_first<'s, 'i>(
    scene: &'s Scene,
    ids: impl Iterator<Item = &'i String>,
    asked: &Asked<'_>,
) -> Answer<'s> {
    let mut all: Vec<(usize, &Deployment)> = ids
        .filter_map(|id| scene.state.deployments.get(id))
        .map(|found| &**found)
        .enumerate()
        .collect();
    all.sort_by_key(|(nth, deployment)| std::cmp::Reverse((deployment.created, *nth)));
    let nodes = all
        .into_iter()
        .map(|(_, deployment)| (deployment.id.clone(), Node::Deployment(deployment)));
    Page::of(nodes, asked, scene.state.switches.default_page_size)
}

/// The steps a deployment has gone through, the last one with its error.
pub fn events(deployment: &Deployment) -> Vec<Value> {
    let reached = match deployment.status {
        Status::NeedsApproval | Status::Queued => 0,
        Status::Initializing => 1,
        Status::Building => 2,
        Status::Deploying => 3,
        Status::Failed => {
            if deployment.build_log.is_empty() {
                4
            } else {
                2
            }
        }
        Status::Success | Status::Crashed | Status::Removing | Status::Removed => 4,
    };
    let steps = [
        "SNAPSHOT_CODE",
        "BUILD_IMAGE",
        "CREATE_CONTAINER",
        "HEALTHCHECK",
    ];
    let error = deployment
        .log
        .iter()
        .chain(&deployment.build_log)
        .rfind(|line| line.severity == "error")
        .map(|line| &line.message);
    let taken = steps
        .iter()
        .take(reached)
        .filter(|step| deployment.builds || **step != "BUILD_IMAGE");
    let mut all: Vec<Value> = taken
        .map(|step| json!({ "id": uuid_of(&format!("{}{step}", deployment.id)), "step": step, "createdAt": deployment.created, "payload": { "attempt": 1 } }))
        .collect();
    if let (Status::Failed | Status::Crashed, Some(last)) = (deployment.status, all.last_mut()) {
        last["payload"]["error"] = json!(error);
        last["completedAt"] = json!(deployment.status_at);
    }
    all
}
