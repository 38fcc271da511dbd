//! Fields of services, of their instances in an environment, and of domains and proxies.

use serde_json::{Value, json};

use crate::config;
use crate::cron::Cron;
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::refusal::Refusal;
use crate::state::{Environment, Instance, Project, Service};
use crate::switches::ActiveDeployments;

pub fn service<'s>(
    scene: &'s Scene,
    project: &'s Project,
    service: &'s Service,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    let size = state.switches.default_page_size;
    let environments = || {
        project
            .environments
            .iter()
            .filter_map(|id| state.environments.get(id))
            .filter(|environment| scene.caller.sees_environment(environment))
    };
    Ok(match asked.field {
        "id" => Answer::text(&service.id),
        "name" => Answer::text(&service.name),
        "icon" => service
            .icon
            .as_ref()
            .map_or_else(Answer::null, Answer::text),
        "createdAt" => Answer::text(service.created),
        "updatedAt" => Answer::text(service.updated),
        "project" => Answer::One(Node::Project(project)),
        "projectId" => Answer::text(&project.id),
        "hasHiddenRegistryCredentialsFromTemplate" | "isRestricted" => Answer::leaf(false),
        "serviceInstances" => {
            let here = environments().filter_map(|environment| {
                Some((
                    environment,
                    environment.instances.get_key_value(&service.id)?,
                ))
            });
            Page::of(
                here.map(|(environment, (id, instance))| {
                    (
                        instance.id.clone(),
                        Node::Instance(environment, id, instance),
                    )
                }),
                asked,
                size,
            )
        }
        "deployments" => {
            let ids = environments()
                .filter_map(|environment| environment.instances.get(&service.id))
                .flat_map(|instance| &instance.deployments);
            super::deployment::newest_first(scene, ids, asked)
        }
        "repoTriggers" => {
            let all = environments().flat_map(|environment| super::triggers(environment));
            super::environment::trigger_page(
                all.filter(|trigger| trigger["serviceId"] == service.id.as_str()),
                asked,
                size,
            )
        }
        _ => Answer::null(),
    })
}

pub fn instance<'s>(
    scene: &'s Scene,
    environment: &'s Environment,
    service_id: &'s str,
    instance: &'s Instance,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    let project = state.project(&environment.project_id)?;
    let stored = environment.service(service_id).unwrap_or(&Value::Null);
    let setting = |section: &str, key: &str| {
        config::setting(stored, section, key).map_or_else(Answer::null, Answer::json)
    };
    let or = |key: &str, default: Value| {
        Answer::json(config::setting(stored, "deploy", key).unwrap_or(&default))
    };
    Ok(match asked.field {
        "id" => Answer::text(&instance.id),
        "serviceId" => Answer::text(service_id),
        "serviceName" => Answer::text(state.service_name(environment, service_id)),
        "service" => Answer::one(
            project
                .services
                .get(service_id)
                .map(|service| Node::Service(project, service)),
        ),
        "environmentId" => Answer::text(&environment.id),
        "createdAt" => Answer::text(instance.created),
        "updatedAt" => Answer::text(instance.updated),
        "isUpdatable" => Answer::leaf(false),
        "latestDeployment" => Answer::one(
            state
                .newest(environment, service_id)
                .map(|newest| Node::Deployment(newest)),
        ),
        "activeDeployments" => active(scene, environment, service_id),
        "domains" => Answer::plain(super::networking::domains(state, environment, service_id)),
        "source" => match stored.get("source") {
            Some(source) => {
                Answer::plain(json!({ "image": source.get("image"), "repo": source.get("repo") }))
            }
            None => Answer::null(),
        },
        "rootDirectory" => setting("source", "rootDirectory"),
        "upstreamUrl" => setting("source", "upstreamUrl"),
        "railwayConfigFile" => stored
            .get("configFile")
            .map_or_else(Answer::null, Answer::json),
        // A bare total, and no region: placement is only in the configuration.
        "numReplicas" => {
            let placed = config::placement(stored, &state.seed.regions);
            let total = placed.values().map(|count| i64::from(*count)).sum::<i64>();
            match placed.is_empty() {
                true => Answer::null(),
                false => Answer::leaf(total),
            }
        }
        "nextCronRunAt" => config::setting(stored, "deploy", "cronSchedule")
            .and_then(|schedule| Cron::parse(schedule.as_str()?).ok()?.next(state.now))
            .map_or_else(Answer::null, Answer::text),
        "region" | "deletedAt" | "railpackInfo" => Answer::null(),
        "restartPolicyType" => or("restartPolicyType", json!("ON_FAILURE")),
        "restartPolicyMaxRetries" => or("restartPolicyMaxRetries", json!(10)),
        "sleepApplication" => or("sleepApplication", json!(false)),
        "builder" => match config::setting(stored, "build", "builder").and_then(Value::as_str) {
            // The enum of instances has no DOCKERFILE.
            Some(builder) if builder != "DOCKERFILE" => Answer::text(builder),
            _ => Answer::text("RAILPACK"),
        },
        "watchPatterns" => {
            Answer::json(config::setting(stored, "build", "watchPatterns").unwrap_or(&json!([])))
        }
        "buildCommand" | "dockerfilePath" | "nixpacksPlan" => setting("build", asked.field),
        field => setting("deploy", field),
    })
}

fn active<'s>(scene: &'s Scene, environment: &'s Environment, service_id: &str) -> Answer<'s> {
    let too = scene.state.switches.active_deployments == ActiveDeployments::UnfinishedToo;
    let serving = scene
        .state
        .active(environment, service_id)
        .map(|active| active.id.clone());
    let all = scene.state.history(environment, service_id).rev();
    let shown = all.filter(|deployment| {
        Some(&deployment.id) == serving.as_ref() || (too && deployment.status.is_unfinished())
    });
    Answer::Many(
        shown
            .map(|deployment| Node::Deployment(deployment))
            .collect(),
    )
}
