//! What a test may ask afterwards: the transcript of requests, the effects really applied, and the truth inside.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config;
use crate::deployment::{Deployment, Status};
use crate::faults::Fault;
use crate::state::{Environment, State};
use crate::time::Time;
use crate::variables;
use crate::volumes::{VolumeInstance, mount_of};

/// One request as it came and went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub index: usize,
    pub at: Time,
    /// Operation name, then the root fields.
    pub operation: String,
    pub is_mutation: bool,
    /// `200`, `200 Not Authorized`, `429`, `lost`, …
    pub outcome: String,
    pub fault: Option<Fault>,
}

/// One thing the client really changed. A change made by hand is not an effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    pub at: Time,
    pub mutation: &'static str,
    pub environment: String,
    pub environment_id: String,
    /// Such as `services.web.variables.LOG_LEVEL`, or `deployments.<id>` for restarts and the like.
    pub paths: Vec<String>,
    /// A variable, mount, domain, volume or service is gone.
    pub destructive: bool,
    pub committed_foreign_stage: bool,
    pub deployments: Vec<String>,
}

/// The truth, by project name and environment name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    pub projects: BTreeMap<String, BTreeMap<String, EnvironmentView>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvironmentView {
    pub id: String,
    pub etag: String,
    /// By name, in plain text, sealed ones too.
    pub services: BTreeMap<String, ServiceView>,
    pub shared: BTreeMap<String, String>,
    /// By name.
    pub volumes: BTreeMap<String, VolumeView>,
    pub staged: Option<Value>,
    /// Messages of the committed patches, oldest first.
    pub patches: Vec<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VolumeView {
    pub id: String,
    pub instance_id: String,
    /// The name of the service that mounts it.
    pub service: Option<String>,
    pub size_mb: u32,
    pub region: String,
    pub is_deleted: bool,
    /// The backup whose data it holds.
    pub restored_from: Option<String>,
    /// Ids, oldest first.
    pub backups: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceView {
    pub id: String,
    /// Stored configuration, in plain text.
    pub config: Value,
    /// Stored variables, templates intact.
    pub variables: BTreeMap<String, String>,
    pub sealed: Vec<String>,
    /// Stored replicas by region name.
    pub replicas: BTreeMap<String, u32>,
    pub auto_deploy: bool,
    /// The deployment that serves.
    pub active: Option<DeploymentView>,
    pub newest: Option<DeploymentView>,
    pub deployments: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentView {
    pub id: String,
    pub created: Time,
    pub status: Status,
    pub stopped: bool,
    pub image: Option<String>,
    pub digest: Option<String>,
    pub commit: Option<String>,
    /// What the process has, Railway's own names left out.
    pub variables: BTreeMap<String, String>,
    /// Running replicas by region name.
    pub replicas: BTreeMap<String, u32>,
    pub reason: &'static str,
    pub patch_id: Option<String>,
    /// The deployment it repeats or goes back to.
    pub of: Option<String>,
}

impl View {
    /// The environment of that name; panics if there is none, as a test wants.
    pub fn environment(&self, name: &str) -> &EnvironmentView {
        let found = self.projects.values().find_map(|project| project.get(name));
        found.unwrap_or_else(|| panic!("no environment {name} in the sandbox"))
    }

    pub fn service(&self, environment: &str, name: &str) -> &ServiceView {
        self.environment(environment)
            .services
            .get(name)
            .unwrap_or_else(|| panic!("no service {name} in {environment}"))
    }
}

pub fn view(state: &State) -> View {
    let environments = |ids: &[String]| {
        ids.iter()
            .filter_map(|id| state.environments.get(id))
            .map(|environment| {
                (
                    environment.name.clone(),
                    environment_view(state, environment),
                )
            })
            .collect()
    };
    View {
        projects: state
            .projects
            .values()
            .map(|project| (project.name.clone(), environments(&project.environments)))
            .collect(),
    }
}

fn environment_view(state: &State, environment: &Environment) -> EnvironmentView {
    let plain = |service| {
        variables::stored(environment, service)
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect()
    };
    let services = environment.instances.iter().map(|(id, instance)| {
        let stored = environment.service(id).cloned().unwrap_or_default();
        let view = ServiceView {
            id: id.clone(),
            variables: plain(Some(id)),
            sealed: variables::sealed_names(&stored).into_iter().collect(),
            replicas: config::placement(&stored, &state.seed.regions),
            auto_deploy: instance.auto_deploy,
            active: state
                .active(environment, id)
                .map(|deployment| deployment_view(deployment)),
            newest: state
                .newest(environment, id)
                .map(|deployment| deployment_view(deployment)),
            deployments: instance.deployments.len(),
            config: stored,
        };
        (state.service_name(environment, id), view)
    });
    EnvironmentView {
        id: environment.id.clone(),
        etag: environment.etag_text(),
        services: services.collect(),
        shared: plain(None),
        volumes: volume_views(state, environment),
        staged: (config::size(&environment.staged.patch) > 0)
            .then(|| environment.staged.patch.clone()),
        patches: environment
            .patches
            .iter()
            .map(|patch| patch.message.clone())
            .collect(),
    }
}

fn volume_views(state: &State, environment: &Environment) -> BTreeMap<String, VolumeView> {
    let names = &state.projects[&environment.project_id].volumes;
    let view = |(id, here): (&String, &VolumeInstance)| {
        let view = VolumeView {
            id: id.clone(),
            instance_id: here.id.clone(),
            service: mount_of(&environment.config, id)
                .map(|(service, _)| state.service_name(environment, service)),
            size_mb: here.size_mb,
            region: here.region.clone(),
            is_deleted: here.gone_at.is_some(),
            restored_from: here.restored_from.clone(),
            backups: here
                .backups
                .iter()
                .map(|backup| backup.id.clone())
                .collect(),
        };
        (
            names.get(id).map_or(id, |volume| &volume.name).clone(),
            view,
        )
    };
    environment.volume_instances.iter().map(view).collect()
}

fn deployment_view(deployment: &Deployment) -> DeploymentView {
    let mut replicas = BTreeMap::new();
    for replica in deployment
        .instances
        .iter()
        .filter(|replica| replica.status == "RUNNING")
    {
        *replicas.entry(replica.region.clone()).or_insert(0) += 1;
    }
    DeploymentView {
        id: deployment.id.clone(),
        created: deployment.created,
        status: deployment.status,
        stopped: deployment.stopped,
        image: deployment.release.image.clone(),
        digest: deployment.release.digest.clone(),
        commit: deployment.release.commit.clone(),
        variables: deployment
            .variables
            .iter()
            .filter(|(name, _)| !name.starts_with("RAILWAY_"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        replicas,
        reason: deployment.cause.reason,
        patch_id: deployment.cause.patch_id.clone(),
        of: deployment.cause.of.clone(),
    }
}
