//! The root fields of queries.

mod names;
mod volumes;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config;
use crate::deployment::Deployment;
use crate::fields::{self, networking};
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::random::uuid_of;
use crate::refusal::{Refusal, UNAUTHENTICATED};
use crate::seed::TokenKind;
use crate::state::{Environment, Instance, Project};
use crate::switches::SnapshotSealed;
use crate::variables;

pub fn answer<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Result<Answer<'s>, Refusal> {
    scene.caller.check()?;
    if asked.field != "me" {
        scene.caller.check_second_factor()?;
    }
    let state = &scene.state;
    let size = state.switches.default_page_size;
    match asked.field {
        "me" => scene
            .caller
            .check_kind(&[TokenKind::Account])
            .map(|()| Answer::One(Node::Person)),
        "apiToken" => {
            scene
                .caller
                .check_kind(&[TokenKind::Account, TokenKind::Workspace])?;
            Ok(Answer::plain(
                json!({ "workspaces": [{ "id": state.workspace_id, "name": state.seed.workspace.name }] }),
            ))
        }
        "workspace" => {
            scene
                .caller
                .check_kind(&[TokenKind::Account, TokenKind::Workspace])?;
            if asked.text("workspaceId") == state.workspace_id {
                Ok(Answer::One(Node::Workspace))
            } else {
                Err(Refusal::not_authorized())
            }
        }
        "projectToken" => {
            let bound = scene
                .caller
                .project_id
                .as_ref()
                .zip(scene.caller.environment_id.as_ref());
            let (project, environment) =
                bound.ok_or(Refusal::new("Project Token not found", UNAUTHENTICATED))?;
            Ok(Answer::One(Node::ProjectToken(
                state.project(project)?,
                state.environment(environment)?,
            )))
        }
        "project" => Ok(Answer::One(Node::Project(project(
            scene,
            asked.text("id"),
        )?))),
        "projects" => {
            scene
                .caller
                .check_kind(&[TokenKind::Account, TokenKind::Workspace])?;
            Ok(Page::of(
                state
                    .projects
                    .values()
                    .map(|project| (project.id.clone(), Node::Project(project))),
                asked,
                size,
            ))
        }
        "environment" => {
            let environment = environment(scene, asked.text("id"))?;
            if asked
                .optional("projectId")
                .is_some_and(|id| id != environment.project_id)
            {
                return Err(Refusal::not_authorized());
            }
            Ok(Answer::One(Node::Environment(environment)))
        }
        "environments" => Ok(fields::environments(
            scene,
            project(scene, asked.text("projectId"))?,
            asked,
        )),
        "service" => {
            let project = state.project_of_service(asked.text("id"))?;
            scene.caller.may_read_project(project, &state.switches)?;
            Ok(Answer::One(Node::Service(
                project,
                &project.services[asked.text("id")],
            )))
        }
        "serviceInstance" => {
            let (environment, id, instance) = instance(scene, asked)?;
            Ok(Answer::One(Node::Instance(environment, id, instance)))
        }
        "serviceInstanceAutoDeployStatus" => auto_deploy(scene, asked),
        "serviceInstanceIsUpdatable" => instance(scene, asked).map(|_| Answer::leaf(false)),
        "serviceInstanceLimits" | "serviceInstanceLimitOverride" => limits(scene, asked),
        "deployment" => Ok(Answer::One(Node::Deployment(deployment(
            scene,
            asked.text("id"),
        )?))),
        "deployments" => deployments(scene, asked),
        "deploymentSnapshot" => snapshot(scene, deployment(scene, asked.text("deploymentId"))?),
        "deploymentEvents" => {
            let events =
                fields::events(deployment(scene, asked.text("id"))?, state.now).into_iter();
            let nodes = events.map(|event| {
                (
                    event["id"].as_str().unwrap_or_default().to_string(),
                    Node::Plain(std::borrow::Cow::Owned(event)),
                )
            });
            Ok(Page::of(nodes, asked, size))
        }
        "deploymentLogs" | "buildLogs" => {
            let deployment = deployment(scene, asked.text("deploymentId"))?;
            let rows = fields::logs::of_deployment(scene, deployment, asked);
            Ok(Answer::plains(rows))
        }
        "environmentLogs" => {
            let environment = environment(scene, asked.text("environmentId"))?;
            let rows = fields::logs::of_environment(scene, environment, asked);
            Ok(Answer::plains(rows))
        }
        "events" => {
            let project = state.project(asked.text("projectId"))?;
            if !scene.caller.sees_project(project) {
                return Err(Refusal::not_authorized());
            }
            Ok(fields::activity::page(scene, asked))
        }
        "httpLogs" => {
            let deployment = deployment(scene, asked.text("deploymentId"))?;
            let rows = fields::logs::of_visitors(scene, deployment, asked);
            Ok(Answer::plains(rows))
        }
        "deploymentTriggers" => {
            let (environment, id, _) = instance(scene, asked)?;
            let here = fields::triggers(environment).filter(|trigger| trigger["serviceId"] == id);
            let nodes = here.map(|trigger| {
                (
                    trigger["id"].as_str().unwrap_or_default().to_string(),
                    Node::Plain(std::borrow::Cow::Owned(trigger)),
                )
            });
            Ok(Page::of(nodes, asked, size))
        }
        "domains" => instance(scene, asked)
            .map(|(environment, id, _)| Answer::plain(networking::domains(state, environment, id))),
        "customDomain" => names::named(scene, asked).map(Answer::plain),
        "domainStatus" => names::status(scene, asked),
        "customDomainAvailable" => Ok(names::available(state.wrong_with(asked.text("domain")))),
        "serviceDomainAvailable" => {
            let taken = state.is_taken(asked.text("domain"));
            Ok(names::available(taken.then_some("Domain is not available")))
        }
        "tcpProxies" => instance(scene, asked)
            .map(|(environment, id, _)| Answer::plains(networking::proxies(environment, id))),
        "environmentPatch" => patch_called(scene, asked.text("id")),
        "environmentPatches" => {
            let environment = environment(scene, asked.text("environmentId"))?;
            let newest_first = environment
                .patches
                .iter()
                .rev()
                .map(|patch| (patch.id.clone(), Node::Patch(environment, patch)));
            Ok(Page::of(newest_first, asked, size))
        }
        "environmentChangeSetApply" => {
            environment(scene, asked.text("environmentId"))?;
            state.apply_status(asked.text("id")).map(Answer::plain)
        }
        "environmentStagedChanges" => {
            let environment = environment(scene, asked.text("environmentId"))?;
            Ok(Answer::One(Node::Patch(environment, &environment.staged)))
        }
        "platformStatus" => Ok(Answer::plain(platform(&state.incident))),
        "regions" => Ok(regions(scene)),
        "variables" => variable_map(scene, asked, asked.flag("unrendered").unwrap_or(false)),
        "variablesForServiceDeployment" => variable_map(scene, asked, false),
        "volumeInstance" => {
            volumes::instance(scene, asked.text("id")).map(|(environment, volume, here)| {
                Answer::One(Node::VolumeInstance(environment, volume, here))
            })
        }
        "volumeInstanceBackupList" => volumes::backups(scene, asked.text("volumeInstanceId")),
        "volumeInstanceBackupScheduleList" => {
            volumes::schedules(scene, asked.text("volumeInstanceId"))
        }
        "workflowStatus" => Ok(Answer::plain(volumes::workflow(
            scene,
            asked.text("workflowId"),
        ))),
        _ => Err(Refusal::problem()),
    }
}

fn project<'s>(scene: &'s Scene, id: &str) -> Result<&'s Project, Refusal> {
    let project = scene.state.project(id)?;
    scene
        .caller
        .may_read_project(project, &scene.state.switches)?;
    Ok(project)
}

fn environment<'s>(scene: &'s Scene, id: &str) -> Result<&'s Environment, Refusal> {
    let environment = scene.state.environment(id)?;
    if scene.caller.sees_environment(environment) {
        Ok(environment)
    } else {
        Err(Refusal::not_authorized())
    }
}

fn instance<'s>(
    scene: &'s Scene,
    asked: &Asked<'_>,
) -> Result<(&'s Environment, &'s str, &'s Instance), Refusal> {
    let environment = environment(scene, asked.text("environmentId"))?;
    let (id, instance) = environment
        .instances
        .get_key_value(asked.text("serviceId"))
        .ok_or_else(Refusal::not_authorized)?;
    Ok((environment, id, instance))
}

pub fn deployment<'s>(scene: &'s Scene, id: &str) -> Result<&'s Deployment, Refusal> {
    let deployment = scene.state.deployment(id)?;
    environment(scene, &deployment.environment_id)?;
    Ok(deployment)
}

/// How Railway itself is doing.
fn platform(incident: &Option<String>) -> Value {
    let told = incident.as_ref().map(|message| {
        json!({
            "id": uuid_of(message),
            "message": message,
            "status": "INVESTIGATING",
            "url": "https://status.railway.com",
        })
    });
    json!({ "isStable": told.is_none(), "incident": told, "maintenance": null })
}

fn auto_deploy<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Result<Answer<'s>, Refusal> {
    let (environment, id, instance) = instance(scene, asked)?;
    let has_repo = environment
        .service(id)
        .and_then(|service| service.get("source")?.get("repo"))
        .is_some();
    let reason = (!has_repo).then_some("service has no repository");
    Ok(Answer::plain(
        json!({ "enabled": has_repo && instance.auto_deploy, "canEnable": has_repo, "reason": reason }),
    ))
}

fn limits<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Result<Answer<'s>, Refusal> {
    let (environment, id, _) = instance(scene, asked)?;
    let stored = environment
        .service(id)
        .and_then(|service| config::setting(service, "deploy", "limitOverride"));
    if asked.field == "serviceInstanceLimitOverride" {
        return Ok(stored.map_or_else(Answer::null, Answer::json));
    }
    let mut merged = scene.state.seed.plan.container_limits();
    config::stack(&mut merged, stored.unwrap_or(&json!({})));
    Ok(Answer::json(&merged))
}

fn deployments<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Result<Answer<'s>, Refusal> {
    let input = asked.json("input");
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let listed = |key: &str, status: &str| {
        let list = input
            .get("status")
            .and_then(|filter| filter.get(key))
            .and_then(Value::as_array);
        list.map(|all| all.iter().any(|one| one == status))
    };
    if let Some(id) = text("environmentId") {
        environment(scene, id)?;
    }
    if let Some(id) = text("projectId") {
        let project = scene.state.project(id)?;
        if !scene.caller.sees_project(project) {
            return Err(Refusal::not_authorized());
        }
    }
    let environments = scene.state.environments.values().filter(|environment| {
        let wanted = text("environmentId").is_none_or(|id| id == environment.id)
            && text("projectId").is_none_or(|id| id == environment.project_id);
        wanted && scene.caller.sees_environment(environment)
    });
    let instances = environments
        .flat_map(|environment| &environment.instances)
        .filter(|(id, _)| text("serviceId").is_none_or(|wanted| wanted == *id));
    let ids = instances
        .flat_map(|(_, instance)| &instance.deployments)
        .filter(|id| {
            let status = scene.state.deployments[*id].status.text();
            listed("in", status).unwrap_or(true) && !listed("notIn", status).unwrap_or(false)
        });
    let mut all: Vec<&Deployment> = ids.map(|id| &*scene.state.deployments[id]).collect();
    all.reverse();
    all.sort_by_key(|deployment| std::cmp::Reverse(deployment.created));
    let nodes = all
        .into_iter()
        .map(|deployment| (deployment.id.clone(), Node::Deployment(deployment)));
    Ok(Page::of(
        nodes,
        asked,
        scene.state.switches.default_page_size,
    ))
}

/// What the deployment received, sealed values hidden.
fn snapshot<'s>(scene: &'s Scene, deployment: &'s Deployment) -> Result<Answer<'s>, Refusal> {
    let switches = &scene.state.switches;
    let shown = deployment
        .variables
        .iter()
        .filter(|(name, _)| switches.snapshot_includes_railway || !name.starts_with("RAILWAY_"));
    let values: BTreeMap<&String, Value> = shown
        .filter_map(|(name, value)| {
            match (deployment.sealed.contains(name), switches.snapshot_sealed) {
                (false, _) => Some((name, json!(value))),
                (true, SnapshotSealed::Null) => Some((name, Value::Null)),
                (true, SnapshotSealed::Stars) => Some((name, json!("*****"))),
                (true, SnapshotSealed::Absent) => None,
            }
        })
        .collect();
    Ok(Answer::plain(
        json!({ "id": deployment.snapshot_id, "createdAt": deployment.created, "updatedAt": deployment.created, "variables": values }),
    ))
}

/// Names with values; a sealed one is there, without its value.
fn variable_map<'s>(
    scene: &'s Scene,
    asked: &Asked<'_>,
    unrendered: bool,
) -> Result<Answer<'s>, Refusal> {
    let environment = environment(scene, asked.text("environmentId"))?;
    if environment.project_id != asked.text("projectId") {
        return Err(Refusal::not_authorized());
    }
    let service_id = asked.optional("serviceId");
    if service_id.is_some_and(|id| !environment.instances.contains_key(id)) {
        return Err(Refusal::not_authorized());
    }
    let mut values: BTreeMap<String, Value> = match unrendered {
        true => variables::stored(environment, service_id)
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect(),
        false => variables::rendered(&scene.state, environment, service_id)
            .into_iter()
            .map(|(name, value)| (name, json!(value)))
            .collect(),
    };
    for (name, variable) in variables::section(environment, service_id) {
        if config::is_sealed(variable) {
            values.insert(name.clone(), Value::Null);
        }
    }
    Ok(Answer::json(&json!(values)))
}

fn regions<'s>(scene: &'s Scene) -> Answer<'s> {
    Answer::plains(scene.state.seed.regions.iter().map(|region| {
        let deprecation = region
            .replaced_by
            .as_ref()
            .map(|by| json!({ "isDeprecated": true, "replacementRegion": by }));
        json!({
            "id": region.airport,
            "name": region.name,
            "region": region.airport,
            "location": region.location,
            "country": region.country,
            "deploymentConstraints": { "deprecationInfo": deprecation },
        })
    }))
}

fn patch_called<'s>(scene: &'s Scene, id: &str) -> Result<Answer<'s>, Refusal> {
    let seen = scene
        .state
        .environments
        .values()
        .filter(|environment| scene.caller.sees_environment(environment));
    let mut all = seen.flat_map(|environment| {
        environment
            .patches
            .iter()
            .chain([&environment.staged])
            .map(move |patch| (environment, patch))
    });
    let (environment, patch) = all
        .find(|(_, patch)| patch.id == id)
        .ok_or_else(Refusal::not_authorized)?;
    Ok(Answer::One(Node::Patch(environment, patch)))
}
