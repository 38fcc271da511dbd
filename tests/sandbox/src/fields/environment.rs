//! Fields of environments, and of what belongs to one: patches, variables, volume instances, triggers.

use serde_json::{Value, json};

use crate::config;
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::patch::Patch;
use crate::random::uuid_of;
use crate::refusal::Refusal;
use crate::state::{Environment, VariableRecord};
use crate::variables;
use crate::volumes::{VolumeInstance, mount_of};

pub fn environment<'s>(
    scene: &'s Scene,
    environment: &'s Environment,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    let size = state.switches.default_page_size;
    let plain_facts = match asked.field {
        "id" => Some(Answer::text(&environment.id)),
        "name" => Some(Answer::text(&environment.name)),
        "projectId" => Some(Answer::text(&environment.project_id)),
        "canAccess" => Some(Answer::leaf(scene.caller.sees_environment(environment))),
        "createdAt" => Some(Answer::text(environment.created)),
        "updatedAt" => Some(Answer::text(environment.updated)),
        "isEphemeral" => Some(Answer::leaf(environment.ephemeral)),
        "deletedAt" => Some(Answer::null()),
        "meta" if environment.meta.is_null() => Some(Answer::null()),
        "meta" => Some(Answer::plain(environment.meta.clone())),
        "unmergedChangesCount" if !scene.caller.sees_environment(environment) => {
            Some(Answer::null())
        }
        "sourceEnvironment" => {
            let source = environment.source_id.as_ref();
            let source = source.and_then(|id| state.environments.get(id));
            Some(Answer::one(source.map(|source| Node::Environment(source))))
        }
        _ => None,
    };
    if let Some(answer) = plain_facts {
        return Ok(answer);
    }
    // Its name is anybody's in the project; what is inside is not.
    if !scene.caller.sees_environment(environment) {
        return Err(Refusal::not_authorized());
    }
    Ok(match asked.field {
        "config" => {
            let decrypt = asked.flag("decryptVariables").unwrap_or(false);
            Answer::json(&config::shown(
                &environment.config,
                decrypt,
                &state.switches,
                &state.seed.regions,
            ))
        }
        "configEtag" => Answer::text(environment.etag_text()),
        "unmergedChangesCount" => Answer::leaf(config::size(&environment.staged.patch) as i64),
        "canvasGroupRefs" => Answer::json(&json!({})),
        "serviceInstances" => {
            let nodes = environment.instances.iter().map(|(id, instance)| {
                (
                    instance.id.clone(),
                    Node::Instance(environment, id, instance),
                )
            });
            Page::of(nodes, asked, size)
        }
        "volumeInstances" => {
            let nodes = environment
                .volume_instances
                .iter()
                .map(|(id, here)| (here.id.clone(), Node::VolumeInstance(environment, id, here)));
            Page::of(nodes, asked, size)
        }
        "variables" => {
            let nodes = environment
                .variables
                .iter()
                .map(|(key, record)| (record.id.clone(), Node::Variable(environment, key, record)));
            Page::of(nodes, asked, size)
        }
        "deployments" => {
            let ids = environment
                .instances
                .values()
                .flat_map(|instance| &instance.deployments);
            super::deployment::newest_first(scene, ids, asked)
        }
        "deploymentTriggers" => trigger_page(triggers(environment), asked, size),
        _ => Answer::null(),
    })
}

/// One trigger for each service that deploys from a repository by itself.
pub fn triggers(environment: &Environment) -> impl Iterator<Item = Value> {
    environment
        .instances
        .iter()
        .filter(|(_, instance)| instance.auto_deploy)
        .filter_map(|(id, instance)| {
            let source = environment.service(id)?.get("source")?;
            Some(json!({
                "id": instance.trigger_id,
                "serviceId": id,
                "environmentId": environment.id,
                "projectId": environment.project_id,
                "provider": "github",
                "repository": source.get("repo")?,
                "branch": source.get("branch").and_then(Value::as_str).unwrap_or("main"),
                "checkSuites": source.get("checkSuites").and_then(Value::as_bool).unwrap_or(false),
                "validCheckSuites": 0,
            }))
        })
}

pub fn trigger_page<'s>(
    triggers: impl Iterator<Item = Value>,
    asked: &Asked<'_>,
    size: u32,
) -> Answer<'s> {
    let key = |trigger: &Value| trigger["id"].as_str().unwrap_or_default().to_string();
    Page::of(
        triggers.map(|trigger| (key(&trigger), Node::Plain(std::borrow::Cow::Owned(trigger)))),
        asked,
        size,
    )
}

pub fn patch<'s>(
    scene: &'s Scene,
    environment: &'s Environment,
    patch: &'s Patch,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    Ok(match asked.field {
        "id" => Answer::text(&patch.id),
        "status" => Answer::text(patch.status.text()),
        "message" => patch
            .message
            .as_ref()
            .map_or_else(Answer::null, Answer::text),
        "createdAt" => Answer::text(patch.created),
        "updatedAt" => Answer::text(patch.updated),
        "appliedAt" => patch.applied.map_or_else(Answer::null, Answer::text),
        "lastAppliedError" => patch.error.as_ref().map_or_else(Answer::null, Answer::text),
        "appliedBy" if patch.applied.is_some() => Answer::plain(
            json!({ "id": uuid_of(&patch.author), "email": state.seed.workspace.person, "name": patch.author, "username": patch.author }),
        ),
        "environment" => Answer::One(Node::Environment(environment)),
        "environmentId" => Answer::text(&environment.id),
        "patch" => {
            let decrypt = asked.flag("decryptVariables").unwrap_or(false);
            Answer::json(&config::shown(
                &patch.patch,
                decrypt,
                &state.switches,
                &state.seed.regions,
            ))
        }
        _ => Answer::null(),
    })
}

pub fn variable<'s>(
    scene: &'s Scene,
    environment: &'s Environment,
    key: &'s (Option<String>, String),
    record: &'s VariableRecord,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let (service_id, name) = key;
    let stored = || {
        variables::section(environment, service_id.as_deref())
            .find(|(known, _)| *known == name)
            .map(|(_, variable)| variable)
    };
    Ok(match asked.field {
        "id" => Answer::text(&record.id),
        "name" => Answer::text(name),
        "createdAt" => Answer::text(record.created),
        "updatedAt" => Answer::text(record.updated),
        "environment" => Answer::One(Node::Environment(environment)),
        "environmentId" => Answer::text(&environment.id),
        "serviceId" => service_id.as_ref().map_or_else(Answer::null, Answer::text),
        "service" => service_node(scene, environment, service_id.as_deref())?,
        "isSealed" => Answer::leaf(stored().is_some_and(config::is_sealed)),
        "references" => {
            let value = stored()
                .and_then(|variable| variable.get("value")?.as_str())
                .unwrap_or_default();
            Answer::json(&json!(variables::references(value)))
        }
        _ => Answer::null(),
    })
}

pub fn volume_instance<'s>(
    scene: &'s Scene,
    environment: &'s Environment,
    volume_id: &'s str,
    here: &'s VolumeInstance,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let mounted = || mount_of(&environment.config, volume_id).map(|(service, _)| service);
    Ok(match asked.field {
        "id" => Answer::text(&here.id),
        "volumeId" => Answer::text(volume_id),
        "externalId" => Answer::text(uuid_of(&here.id)),
        "createdAt" => Answer::text(here.created),
        "environment" => Answer::One(Node::Environment(environment)),
        "environmentId" => Answer::text(&environment.id),
        "serviceId" => mounted().map_or_else(Answer::null, Answer::text),
        "service" => service_node(scene, environment, mounted().map(String::as_str))?,
        "mountPath" => Answer::text(&here.mount_path),
        "region" => Answer::text(&here.region),
        "sizeMB" => Answer::leaf(i64::from(here.size_mb)),
        "currentSizeMB" => Answer::leaf(here.used_mb),
        "state" => Answer::text(here.state()),
        "isPendingDeletion" => Answer::leaf(here.gone_at.is_some()),
        "deletedAt" => here.gone_at.map_or_else(Answer::null, Answer::text),
        "volume" => {
            let project = scene.state.project(&environment.project_id)?;
            Answer::one(
                project
                    .volumes
                    .get(volume_id)
                    .map(|volume| Node::Volume(project, volume)),
            )
        }
        _ => Answer::null(),
    })
}

/// Null without a service: where the schema forbids it, the whole request fails as the real one does.
fn service_node<'s>(
    scene: &'s Scene,
    environment: &Environment,
    service_id: Option<&str>,
) -> Result<Answer<'s>, Refusal> {
    let project = scene.state.project(&environment.project_id)?;
    Ok(Answer::one(
        service_id
            .and_then(|id| project.services.get(id))
            .map(|service| Node::Service(project, service)),
    ))
}
