//! Fields of deployments, their logs and the steps of their rollout.

use serde_json::{Value, json};

use crate::deployment::{Deployment, can_redeploy};
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::random::uuid_of;
use crate::refusal::Refusal;
use crate::time::Time;

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
        "deploymentStopped" => {
            let exited = || {
                let mut replicas = deployment.instances.iter();
                let has_any = !deployment.instances.is_empty();
                has_any && replicas.all(|replica| ["EXITED", "STOPPED"].contains(&replica.status))
            };
            let shows = state.switches.exited_is_stopped;
            Answer::leaf(deployment.stopped || (shows && exited()))
        }
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
        "staticUrl" | "url" => {
            let stored = state
                .environments
                .get(&deployment.environment_id)
                .and_then(|environment| environment.service(&deployment.service_id));
            let domain = stored.and_then(crate::networking::public_domain);
            domain.map_or_else(Answer::null, Answer::text)
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

/// The steps a deployment has gone through, and the one it is at.
pub fn events(deployment: &Deployment, now: Time) -> Vec<Value> {
    let begun = deployment.steps.iter().filter(|step| step.from <= now);
    let told = begun.enumerate().map(|(nth, step)| {
        let completed = step.until.filter(|until| *until <= now);
        let mut payload = step.payload.clone();
        if completed.is_none() {
            // Nobody knows yet how it goes.
            payload = json!({});
        } else if let Some(until) = completed {
            payload["durationMs"] = json!(until.0 - step.from.0);
        }
        json!({
            "id": uuid_of(&format!("{} {nth}", deployment.id)),
            "step": step.name,
            "createdAt": step.from,
            "completedAt": completed,
            "payload": payload,
        })
    });
    told.collect()
}
