//! Fields of projects and of the volumes that belong to them.

use std::sync::Arc;

use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::refusal::Refusal;
use crate::state::{Environment, Project, Volume};

pub fn project<'s>(
    scene: &'s Scene,
    project: &'s Project,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    let size = state.switches.default_page_size;
    let first = || {
        project
            .environments
            .iter()
            .find_map(|id| state.environments.get(id))
    };
    Ok(match asked.field {
        "id" => Answer::text(&project.id),
        "name" => Answer::text(&project.name),
        "description" => project
            .description
            .as_ref()
            .map_or_else(Answer::null, Answer::text),
        "createdAt" => Answer::text(project.created),
        "updatedAt" => Answer::text(project.updated),
        "services" => Page::of(
            project
                .services
                .values()
                .map(|service| (service.id.clone(), Node::Service(project, service))),
            asked,
            size,
        ),
        "volumes" => Page::of(
            project
                .volumes
                .values()
                .map(|volume| (volume.id.clone(), Node::Volume(project, volume))),
            asked,
            size,
        ),
        "buckets" => {
            let told = project.buckets.values().map(|bucket| {
                let node = serde_json::json!({
                    "id": bucket.id,
                    "name": bucket.name,
                    "createdAt": bucket.created,
                    "updatedAt": bucket.created,
                    "projectId": project.id,
                });
                (bucket.id.clone(), Node::Bucket(project, Box::new(node)))
            });
            Page::of(told, asked, size)
        }
        "environments" => environments(scene, project, asked),
        "deployments" => {
            let here = |environment: &&Arc<Environment>| scene.caller.sees_environment(environment);
            let environments = project
                .environments
                .iter()
                .filter_map(|id| state.environments.get(id))
                .filter(here);
            let ids = environments.flat_map(|environment| {
                environment
                    .instances
                    .values()
                    .flat_map(|instance| &instance.deployments)
            });
            super::deployment::newest_first(scene, ids, asked)
        }
        "deploymentTriggers" => {
            let environments = project
                .environments
                .iter()
                .filter_map(|id| state.environments.get(id));
            super::environment::trigger_page(
                environments.flat_map(|environment| super::triggers(environment)),
                asked,
                size,
            )
        }
        "baseEnvironment" => Answer::one(first().map(|environment| Node::Environment(environment))),
        "baseEnvironmentId" | "primaryEnvironmentId" => {
            first().map_or_else(Answer::null, |environment| Answer::text(&environment.id))
        }
        "workspace" => Answer::One(Node::Workspace),
        "workspaceId" => Answer::text(&state.workspace_id),
        "subscriptionType" => Answer::text(state.seed.plan.text()),
        "subscriptionPlanLimit" => {
            let plan = state.seed.plan;
            Answer::json(&serde_json::json!({
                "replicas": plan.most_replicas(),
                "containers": plan.container_limits()["containers"],
                "volumes": { "maxCount": plan.most_volumes(), "maxSizeMB": plan.most_volume_mb() },
            }))
        }
        "botPrEnvironments"
        | "focusedPrEnvironments"
        | "isPublic"
        | "isTempProject"
        | "prDeploys" => Answer::leaf(false),
        _ => Answer::null(),
    })
}

pub fn environments<'s>(scene: &'s Scene, project: &'s Project, asked: &Asked<'_>) -> Answer<'s> {
    let all = project
        .environments
        .iter()
        .filter_map(|id| scene.state.environments.get(id));
    let wanted = all.filter(|environment| {
        asked
            .flag("isEphemeral")
            .is_none_or(|wanted| wanted == environment.ephemeral)
    });
    Page::of(
        wanted.map(|environment| (environment.id.clone(), Node::Environment(environment))),
        asked,
        scene.state.switches.default_page_size,
    )
}

pub fn volume<'s>(
    scene: &'s Scene,
    project: &'s Project,
    volume: &'s Volume,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    Ok(match asked.field {
        "id" => Answer::text(&volume.id),
        "name" => Answer::text(&volume.name),
        "createdAt" => Answer::text(volume.created),
        "project" => Answer::One(Node::Project(project)),
        "projectId" => Answer::text(&project.id),
        "volumeInstances" => {
            let environments = scene
                .state
                .environments
                .values()
                .filter(|environment| scene.caller.sees_environment(environment));
            let here = environments.filter_map(|environment| {
                Some((
                    environment,
                    environment.volume_instances.get_key_value(&volume.id)?,
                ))
            });
            let nodes = here.map(|(environment, (id, instance))| {
                (
                    instance.id.clone(),
                    Node::VolumeInstance(environment, id, instance),
                )
            });
            Page::of(nodes, asked, scene.state.switches.default_page_size)
        }
        _ => Answer::null(),
    })
}
