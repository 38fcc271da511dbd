//! The first state, made from a seed: everything stored, deployed and healthy an hour before the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config;
use crate::deployment::{Cause, Status};
use crate::launch::Commit;
use crate::networking::{CUSTOM, SERVICE};
use crate::patch::blank;
use crate::random::{Random, uuid_of};
use crate::seed::{
    EnvironmentSeed, Outcome, ProjectSeed, Replicas, Seed, ServiceSeed, VariableSeed,
};
use crate::state::{Environment, Instance, Project, Service, State, VariableRecord, Volume};
use crate::switches::Switches;
use crate::volumes::VolumeInstance;

/// How long before the start the first deployments were made.
const AGE_SECONDS: f64 = 3600.0;

pub fn first_state(seed: &Arc<Seed>, switches: Arc<Switches>, random_seed: u64) -> State {
    let mut state = State {
        seed: seed.clone(),
        switches,
        random: Random::new(random_seed),
        now: seed.start.plus_seconds(-AGE_SECONDS),
        workspace_id: seed
            .workspace
            .id
            .clone()
            .unwrap_or_else(|| uuid_of(&seed.workspace.name)),
        projects: BTreeMap::new(),
        environments: BTreeMap::new(),
        deployments: BTreeMap::new(),
        agenda: BTreeMap::new(),
        sequence: 0,
        heads: BTreeMap::new(),
        pushed: BTreeMap::new(),
        digests: BTreeMap::new(),
        workflows: BTreeMap::new(),
        copies: BTreeMap::new(),
        made: BTreeMap::new(),
        applies: BTreeMap::new(),
        incident: None,
        slow_seconds: 0.0,
        outbox: Vec::new(),
        visits: Arc::default(),
        events: Arc::default(),
    };
    for (name, project) in &seed.projects {
        add_project(&mut state, name, project);
    }
    state.now = seed.start;
    let live: Vec<String> = state
        .deployments
        .values()
        .filter(|deployment| deployment.status.is_live())
        .map(|deployment| deployment.id.clone())
        .collect();
    for id in live {
        state.deployment_mut(&id).traffic_at = seed.start;
        state.may_sleep(&id);
    }
    state
}

fn add_project(state: &mut State, name: &str, seed: &ProjectSeed) {
    let now = state.now;
    let mut project = Project {
        id: seed.id.clone().unwrap_or_else(|| state.random.uuid()),
        name: name.to_string(),
        description: None,
        created: now,
        updated: now,
        services: BTreeMap::new(),
        volumes: BTreeMap::new(),
        buckets: BTreeMap::new(),
        environments: Vec::new(),
    };
    let used = seed
        .environments
        .values()
        .flat_map(|environment| environment.services.keys());
    let names: std::collections::BTreeSet<&String> = seed.services.keys().chain(used).collect();
    let mut ids = BTreeMap::new();
    for service in names {
        let id = seed
            .services
            .get(service)
            .cloned()
            .unwrap_or_else(|| state.random.uuid());
        ids.insert(service.clone(), id.clone());
        project.services.insert(
            id.clone(),
            Service {
                id,
                name: service.clone(),
                icon: None,
                created: now,
                updated: now,
            },
        );
    }
    let project_id = project.id.clone();
    state.projects.insert(project_id.clone(), Arc::new(project));
    for (name, environment) in &seed.environments {
        add_environment(state, &project_id, name, environment, &ids);
    }
}

fn add_environment(
    state: &mut State,
    project_id: &str,
    name: &str,
    seed: &EnvironmentSeed,
    ids: &BTreeMap<String, String>,
) {
    let id = seed.id.clone().unwrap_or_else(|| state.random.uuid());
    let mut environment = empty_environment(state, id.clone(), project_id, name);
    environment.ephemeral = seed.ephemeral;
    environment.restricted = seed.restricted;
    environment.config["sharedVariables"] = variables(&seed.shared);
    for name in seed.shared.keys() {
        environment
            .variables
            .insert((None, name.clone()), record(state));
    }
    for (service, about) in &seed.services {
        add_instance(state, &mut environment, &ids[service], about);
    }
    let config = environment.config.clone();
    state.environments.insert(id.clone(), Arc::new(environment));
    state.follow_names(&id, &Value::Null, &config);
    state.project_mut(project_id).environments.push(id.clone());
    for (service, about) in &seed.services {
        if about.running {
            first_deployments(state, &id, &ids[service], about);
        }
    }
}

pub fn empty_environment(
    state: &mut State,
    id: String,
    project_id: &str,
    name: &str,
) -> Environment {
    Environment {
        id,
        project_id: project_id.to_string(),
        name: name.to_string(),
        ephemeral: false,
        restricted: false,
        meta: Value::Null,
        source_id: None,
        created: state.now,
        updated: state.now,
        config: json!({ "services": {}, "sharedVariables": {}, "volumes": {} }),
        etag: 1,
        instances: BTreeMap::new(),
        volume_instances: BTreeMap::new(),
        variables: BTreeMap::new(),
        names: BTreeMap::new(),
        staged: blank(state.random.uuid(), state.now),
        patches: Vec::new(),
        next_patch_fails: None,
    }
}

fn add_instance(
    state: &mut State,
    environment: &mut Environment,
    service_id: &str,
    about: &ServiceSeed,
) {
    let mut config = service_config(state, about);
    if let Some(volume) = &about.volume {
        let id = volume.id.clone().unwrap_or_else(|| state.random.uuid());
        config["volumeMounts"] = json!({ &id: { "mountPath": volume.mount } });
        let placed = config::placement(&config, &state.seed.regions);
        let home = || state.seed.regions[0].name.clone();
        let region = placed.into_keys().next().unwrap_or_else(home);
        environment.config["volumes"][&id] = json!({ "sizeMB": volume.size_mb, "region": region });
        let created = state.now;
        let mut instance = VolumeInstance::new(&mut state.random, created, volume.size_mb, region);
        instance.mount_path = volume.mount.clone();
        environment.volume_instances.insert(id.clone(), instance);
        state.project_mut(&environment.project_id).volumes.insert(
            id.clone(),
            Volume {
                id,
                name: volume.name.clone(),
                created,
            },
        );
    }
    environment.config["services"][service_id] = config;
    for name in about.variables.keys() {
        environment
            .variables
            .insert((Some(service_id.to_string()), name.clone()), record(state));
    }
    let (id, trigger_id, now) = (state.random.uuid(), state.random.uuid(), state.now);
    environment.instances.insert(
        service_id.to_string(),
        Instance {
            id,
            created: now,
            updated: now,
            auto_deploy: about.auto_deploy,
            trigger_id,
            deployments: Vec::new(),
            open_paths: about.open.clone(),
        },
    );
    if let (Some(repo), Some(commit)) = (&about.repo, &about.commit) {
        let branch = about.branch.clone().unwrap_or_else(|| "main".into());
        state.heads.insert((repo.clone(), branch), commit.clone());
    }
}

fn service_config(state: &State, about: &ServiceSeed) -> Value {
    let source = [
        ("image", &about.image),
        ("repo", &about.repo),
        ("branch", &about.branch),
    ];
    let source: Map<String, Value> = source
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_string(), json!(value.as_ref()?))))
        .collect();
    let mut deploy = about.deploy.clone();
    if let Some(path) = &about.healthcheck {
        deploy.insert("healthcheckPath".into(), json!(path));
    }
    let placed: BTreeMap<String, u32> = match &about.replicas {
        Replicas::Count(count) => BTreeMap::from([(state.seed.regions[0].name.clone(), *count)]),
        Replicas::ByRegion(placed) => placed.clone(),
    };
    let placed: Map<String, Value> = placed
        .into_iter()
        .map(|(region, count)| (region, json!({ "numReplicas": count })))
        .collect();
    deploy.insert("multiRegionConfig".into(), Value::Object(placed));
    let domains: Map<String, Value> = about
        .domains
        .iter()
        .map(|domain| (domain.clone(), json!({ "port": 8080 })))
        .collect();
    let mut config =
        json!({ "source": source, "deploy": deploy, "variables": variables(&about.variables) });
    if !about.build.is_empty() {
        config["build"] = Value::Object(about.build.clone());
    }
    let custom: Map<String, Value> = about
        .custom_domains
        .iter()
        .map(|domain| (domain.clone(), json!({ "port": 8080 })))
        .collect();
    for (kind, domains) in [(SERVICE, domains), (CUSTOM, custom)] {
        if !domains.is_empty() {
            config["networking"][kind] = Value::Object(domains);
        }
    }
    config
}

fn variables(seed: &BTreeMap<String, VariableSeed>) -> Value {
    let one = |variable: &VariableSeed| match variable.sealed {
        true => json!({ "value": variable.value, "isSealed": true }),
        false => json!({ "value": variable.value }),
    };
    Value::Object(
        seed.iter()
            .map(|(name, variable)| (name.clone(), one(variable)))
            .collect(),
    )
}

fn record(state: &mut State) -> VariableRecord {
    VariableRecord {
        id: state.random.uuid(),
        created: state.now,
        updated: state.now,
    }
}

/// The older images ran one after the other and are removed; the stored one runs.
fn first_deployments(
    state: &mut State,
    environment_id: &str,
    service_id: &str,
    about: &ServiceSeed,
) {
    let stored =
        state.environments[environment_id].config["services"][service_id]["source"].clone();
    let start = state.now;
    for (nth, image) in about.previous.iter().enumerate() {
        state.now = start.plus_seconds(-600.0 * (about.previous.len() - nth) as f64);
        state.environment_mut(environment_id).config["services"][service_id]["source"]["image"] =
            json!(image);
        run_at_once(state, environment_id, service_id);
    }
    state.now = start;
    state.environment_mut(environment_id).config["services"][service_id]["source"] = stored;
    run_at_once(state, environment_id, service_id);
}

fn run_at_once(state: &mut State, environment_id: &str, service_id: &str) {
    let cause = Cause {
        reason: "deploy",
        patch_id: None,
        of: None,
    };
    let Ok(Some(id)) = state.deploy(environment_id, service_id, Commit::Current, cause) else {
        return;
    };
    state.agenda.clear();
    let environment = state.environments[environment_id].clone();
    let older: Vec<String> = state
        .history(&environment, service_id)
        .filter(|other| other.id != id)
        .map(|other| other.id.clone())
        .collect();
    for other in older {
        if state.deployments[&other].removed_at.is_none() {
            state.removed(&other);
        }
    }
    let now = state.now;
    let deployment = state.deployments[&id].clone();
    let known = state.known(&deployment.release);
    let steps = state.rollout(&deployment, &known).steps;
    state.begin_steps(&id, &steps);
    let deployment = state.deployment_mut(&id);
    (
        deployment.status,
        deployment.status_at,
        deployment.updated,
        deployment.ran,
    ) = (Status::Success, now, now, true);
    deployment.all_replicas(match known.outcome {
        Outcome::Exits => "EXITED",
        _ => "RUNNING",
    });
    state.say_started(&id);
}
