//! Railway's answers as values of the world: defaults filled in, masks kept as unknown, one bad part never spoiling another.

use super::deploy::{self, text, time};
use super::exchange::Problem;
use super::history;
use super::pulse::pulse;
use super::tree;
use crate::world::railway::{
    Active, Deployment, Named, Railway, Service, SettingName, Source, Staged, Status, Variable,
    Written,
};
use crate::world::secret::{Scrubber, Secret};
use crate::world::{Failure, Seen};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The whole environment out of the answer to `OBSERVE`, or to `OBSERVE_BY_TOKEN` with `under` = `projectToken`.
///
/// # Errors
/// [`Failure::Passing`] when a part failed without which nothing can be said.
pub fn railway(
    data: &Value,
    under: &str,
    problems: &[Problem],
    more_services: &[Value],
    more_instances: &[Value],
) -> Result<Railway, Failure> {
    let root = if under.is_empty() { data } else { &data[under] };
    let (project, environment) = (&root["project"], &root["environment"]);
    let broken = broken_instances(problems, under)?;
    let named = |of: &Value| {
        Some(Named {
            id: of["id"].as_str()?.to_owned(),
            name: of["name"].as_str()?.to_owned(),
        })
    };
    let (Some(project_named), Some(environment_named), Some(config)) = (
        named(project),
        named(environment),
        environment["config"].as_object(),
    ) else {
        return Err(Failure::Passing(
            "Railway's answer lacks the project, the environment or its configuration".to_owned(),
        ));
    };
    let first = environment["serviceInstances"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| &edge["node"]);
    let mut services = BTreeMap::new();
    let configs = config.get("services").and_then(Value::as_object);
    for (position, instance) in first.chain(more_instances).enumerate() {
        let instance = tree::whole(instance);
        let Some(name) = instance["serviceName"].as_str() else {
            return Err(Failure::Passing(
                "Railway's answer lacks the name of a service".to_owned(),
            ));
        };
        let seen = match broken.get(&position) {
            Some(words) => Seen::Unseen(words.clone()),
            None => service(&instance, configs),
        };
        services.insert(name.to_owned(), seen);
    }
    let listed = project["services"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| &edge["node"]);
    let elsewhere = listed
        .chain(more_services)
        .filter_map(|node| node["name"].as_str())
        .filter(|name| !services.contains_key(*name))
        .map(str::to_owned)
        .collect();
    let (staged, history) = if under.is_empty() {
        (
            history::staged(data, problems),
            history::history(data, problems),
        )
    } else if environment["unmergedChangesCount"].as_u64() == Some(0) {
        (Seen::Facts(Staged::default()), Seen::Unasked)
    } else {
        (Seen::Unasked, Seen::Unasked)
    };
    Ok(Railway {
        project: project_named,
        environment: environment_named,
        services,
        elsewhere,
        shared: variables(config.get("sharedVariables").unwrap_or(&Value::Null)),
        staged,
        history,
        written: Seen::Unasked,
        region_names: region_names(&data["regions"]),
        pulse: pulse(environment),
    })
}

/// The instances of the first page whose part of the answer failed, by position. Any other failure in what a plan needs spoils the whole.
fn broken_instances(problems: &[Problem], under: &str) -> Result<BTreeMap<usize, String>, Failure> {
    let mut broken = BTreeMap::new();
    for problem in problems {
        let path: Vec<&str> = problem
            .path
            .iter()
            .map(String::as_str)
            .skip_while(|step| !under.is_empty() && *step == under)
            .collect();
        match path.as_slice() {
            [
                "environmentStagedChanges" | "environmentPatches" | "regions",
                ..,
            ] => {}
            ["environment", "serviceInstances", "edges", position, ..]
                if position.parse::<usize>().is_ok() =>
            {
                broken.insert(
                    position.parse().unwrap_or_default(),
                    format!("Railway says: {}", problem.message),
                );
            }
            _ => {
                return Err(Failure::Passing(format!(
                    "Railway says: {}",
                    problem.message
                )));
            }
        }
    }
    Ok(broken)
}

/// Airport code to name and back: a key of one sort may come back as the other (facts/railway.md 8, "Regions").
fn region_names(regions: &Value) -> BTreeMap<String, String> {
    let pairs = regions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|region| {
            Some((
                region["id"].as_str()?.to_owned(),
                region["name"].as_str()?.to_owned(),
            ))
        });
    pairs
        .filter(|(id, name)| id != name)
        .flat_map(|(id, name)| [(id.clone(), name.clone()), (name, id)])
        .collect()
}

fn service(instance: &Value, configs: Option<&Map<String, Value>>) -> Seen<Service> {
    let Some(id) = instance["serviceId"].as_str() else {
        return Seen::Unseen("Railway's answer lacks its id".to_owned());
    };
    let config = configs.and_then(|configs| configs.get(id)).map(tree::whole);
    let Some(config) = config.as_ref().and_then(|config| config.as_object()) else {
        return Seen::Unseen("Railway's answer lacks its configuration".to_owned());
    };
    let newest = match &instance["latestDeployment"] {
        Value::Null => None,
        node => match deployment(node) {
            Some(deployment) => Some(deployment),
            None => return Seen::Unseen("its newest deployment cannot be read".to_owned()),
        },
    };
    let part = |name: &str| config.get(name).unwrap_or(&Value::Null);
    let deploy = part("deploy");
    let auto = &part("source")["autoUpdates"]["type"];
    Seen::Facts(Service {
        id: id.to_owned(),
        source: source(part("source")),
        updates_itself: auto.as_str().is_some_and(|kind| kind != "disabled"),
        settings: deploy::settings(deploy),
        // Null may stand for credentials that are there (facts/railway.md 2.3).
        has_registry: deploy["registryCredentials"].as_object().map(|_| true),
        placement: placement(deploy),
        variables: variables(part("variables")),
        has_volume: config
            .get("volumeMounts")
            .and_then(Value::as_object)
            .is_some_and(|mounts| mounts.values().any(|mount| !mount.is_null())),
        domains: domains(part("networking")),
        updated_at: time(&instance["updatedAt"]),
        active: active(&instance["activeDeployments"]),
        newest,
        push_to_deploy: Seen::Unasked,
        kept: Seen::Unasked,
        log: Seen::Unasked,
    })
}

fn active(deployments: &Value) -> Vec<Active> {
    let read = |node: &Value| {
        Some(Active {
            id: node["id"].as_str()?.to_owned(),
            stopped: is_stopped(node),
        })
    };
    deployments
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(read)
        .collect()
}

/// People's own domains first: that is where customers are.
fn domains(networking: &Value) -> Vec<String> {
    let names = |of: &str| {
        let entries = networking[of].as_object().into_iter().flatten();
        entries
            .filter(|(_, domain)| !domain.is_null())
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    [names("customDomains"), names("serviceDomains")].concat()
}

fn source(source: &Value) -> Source {
    match (text(&source["image"]), text(&source["repo"])) {
        (Some(image), _) => Source::Image(image),
        (None, Some(name)) => Source::Repository { name },
        (None, None) => Source::Nothing,
    }
}

/// Placement from `multiRegionConfig`; older services have `region` and `numReplicas` only (facts/railway.md 8, "Replicas").
fn placement(deploy: &Value) -> Seen<BTreeMap<String, u32>> {
    let Some(regions) = deploy["multiRegionConfig"]
        .as_object()
        .filter(|regions| regions.values().any(|region| !region.is_null()))
    else {
        let count = deploy["numReplicas"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok());
        return match (text(&deploy["region"]), count) {
            (Some(region), count) => Seen::Facts(BTreeMap::from([(region, count.unwrap_or(1))])),
            (None, None | Some(1)) => Seen::Facts(BTreeMap::new()),
            (None, Some(_)) => {
                Seen::Unseen("Railway tells how many replicas there are, not where".to_owned())
            }
        };
    };
    let mut placement = BTreeMap::new();
    for (region, stored) in regions.iter().filter(|(_, stored)| !stored.is_null()) {
        let count = match &stored["numReplicas"] {
            Value::Null => Some(1),
            count => count.as_u64().and_then(|count| u32::try_from(count).ok()),
        };
        let Some(count) = count else {
            return Seen::Unseen(format!("the number of replicas in {region} cannot be read"));
        };
        placement.insert(region.clone(), count);
    }
    Seen::Facts(placement)
}

fn variables(variables: &Value) -> Seen<BTreeMap<String, Variable>> {
    let Some(variables) = variables.as_object() else {
        return if variables.is_null() {
            Seen::Facts(BTreeMap::new())
        } else {
            Seen::Unseen("its variables cannot be read".to_owned())
        };
    };
    Seen::Facts(
        variables
            .iter()
            .filter(|(_, stored)| !stored.is_null())
            .map(|(name, stored)| (name.clone(), variable(stored)))
            .collect(),
    )
}

/// null, "" and stars are masks as well as values, so they say nothing (facts/railway.md 2.3).
fn variable(stored: &Value) -> Variable {
    let sealed = stored["isSealed"].as_bool() == Some(true);
    let value = stored["value"]
        .as_str()
        .filter(|value| !sealed && !is_mask(value));
    Variable {
        value: value.map(Secret::new),
        sealed,
    }
}

fn is_mask(value: &str) -> bool {
    value.chars().all(|sign| sign == '*')
}

/// The deployments of a connection, without those that cannot be read.
pub fn deployments(connection: &Value) -> Vec<Deployment> {
    connection["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|edge| deployment(&edge["node"]))
        .collect()
}

fn deployment(node: &Value) -> Option<Deployment> {
    let meta = &node["meta"];
    Some(Deployment {
        id: node["id"].as_str()?.to_owned(),
        status: status(node["status"].as_str()?),
        created_at: time(&node["createdAt"])?,
        status_at: time(&node["statusUpdatedAt"]),
        image: text(&meta["image"]),
        commit: text(&meta["commitHash"]),
        patch: text(&meta["patchId"]),
        stopped: is_stopped(node),
        can_rollback: node["canRollback"].as_bool() == Some(true),
        settings: meta["serviceManifest"]["deploy"]
            .as_object()
            .map(|_| deploy::settings(&meta["serviceManifest"]["deploy"])),
        by_file: by_file(meta),
        variables: Seen::Unasked,
    })
}

/// Whether somebody stopped it. One that sleeps, or whose processes have ended by themselves, may read as stopped as well, and is as it should be (facts/railway.md 4).
fn is_stopped(node: &Value) -> bool {
    let has_ended = |instance: &Value| instance["status"] == "EXITED";
    let instances = node["instances"].as_array();
    let ended = instances.is_some_and(|all| !all.is_empty() && all.iter().all(has_ended));
    node["deploymentStopped"].as_bool() == Some(true) && node["status"] != "SLEEPING" && !ended
}

/// The settings that `railway.json` decides, by the paths that a deployment's `meta` maps to places in it (facts/railway.md 4).
fn by_file(meta: &Value) -> BTreeMap<SettingName, String> {
    let Some(file) = text(&meta["configFile"]) else {
        return BTreeMap::new();
    };
    let mapped = meta["propertyFileMapping"]
        .as_object()
        .into_iter()
        .flatten();
    mapped
        .filter_map(|(field, _)| deploy::name(field.rsplit('.').next()?))
        .map(|name| (name, file.clone()))
        .collect()
}

/// The variables that a deployment was started with; a mask is no value.
pub fn snapshot(data: &Value) -> Seen<BTreeMap<String, Option<Secret>>> {
    let Some(variables) = data["deploymentSnapshot"]["variables"].as_object() else {
        return Seen::Unseen(
            "Railway does not tell with which variables it was started".to_owned(),
        );
    };
    let value = |value: &Value| {
        let text = value.as_str().filter(|text| !is_mask(text));
        text.map(Secret::new)
    };
    Seen::Facts(
        variables
            .iter()
            .filter(|(name, _)| !name.starts_with("RAILWAY_"))
            .map(|(name, ran)| (name.clone(), value(ran)))
            .collect(),
    )
}

/// When the variables of these nodes were made and written last.
pub fn written(nodes: &[Value]) -> BTreeMap<(String, String), Written> {
    nodes
        .iter()
        .filter_map(|node| {
            let owner = node["serviceId"].as_str().unwrap_or_default();
            let name = node["name"].as_str()?;
            let written = Written {
                created_at: time(&node["createdAt"])?,
                updated_at: time(&node["updatedAt"])?,
            };
            Some(((owner.to_owned(), name.to_owned()), written))
        })
        .collect()
}

/// facts/railway.md 4.
fn status(word: &str) -> Status {
    match word {
        "QUEUED" | "WAITING" | "INITIALIZING" | "BUILDING" | "DEPLOYING" => {
            Status::Rolling(word.to_owned())
        }
        "SUCCESS" | "SLEEPING" => Status::Healthy,
        "FAILED" | "CRASHED" => Status::Failed(word.to_owned()),
        "NEEDS_APPROVAL" => Status::NeedsApproval,
        "SKIPPED" => Status::Skipped,
        "REMOVING" | "REMOVED" => Status::Removed,
        other => Status::Unknown(other.to_owned()),
    }
}

/// The last lines of what ran, or of the build where nothing ran; every known value taken out.
pub fn last_lines(data: &Value, count: usize, scrubber: &Scrubber) -> Vec<String> {
    let lines = |of: &str| -> Vec<&str> {
        data[of]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|line| line["message"].as_str())
            .collect()
    };
    let ran = lines("ran");
    let lines = if ran.is_empty() { lines("built") } else { ran };
    let skipped = lines.len().saturating_sub(count);
    lines
        .into_iter()
        .skip(skipped)
        .map(|line| scrubber.scrub(line))
        .map(|line| {
            line.chars()
                .filter(|sign| !sign.is_control())
                .take(160)
                .collect()
        })
        .collect()
}
