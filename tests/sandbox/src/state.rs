//! What the simulated Railway knows at one moment: projects, environments, deployments, and what is due next.
//!
//! A state stands still until somebody calls `advance`: the lifecycle is driven by the clock of the requests, never by
//! background tasks. The parts are shared between snapshots, so keeping old states for stale reads is cheap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::applied::Apply;
use crate::backups::{Backup, Kind, Workflow};
use crate::deployment::Deployment;
use crate::edge::Visit;
use crate::events::Event;
use crate::networking::Name;
use crate::patch::{Patch, Write};
use crate::random::Random;
use crate::refusal::Refusal;
use crate::report::Effect;
use crate::seed::{Known, Seed};
use crate::switches::Switches;
use crate::time::Time;
use crate::volumes::VolumeInstance;

#[derive(Clone)]
pub struct State {
    pub seed: Arc<Seed>,
    pub switches: Arc<Switches>,
    pub random: Random,
    pub now: Time,
    pub workspace_id: String,
    pub projects: BTreeMap<String, Arc<Project>>,
    pub environments: BTreeMap<String, Arc<Environment>>,
    pub deployments: BTreeMap<String, Arc<Deployment>>,
    pub agenda: BTreeMap<(Time, u64), Due>,
    pub sequence: u64,
    /// The newest commit of each (repository, branch).
    pub heads: BTreeMap<(String, String), String>,
    /// Commits and digests that came after the seed.
    pub pushed: BTreeMap<String, Known>,
    pub digests: BTreeMap<String, String>,
    pub workflows: BTreeMap<String, Workflow>,
    /// The backups whose data fresh volumes hold.
    pub copies: BTreeMap<String, Backup>,
    /// When somebody last made something of a kind.
    pub made: BTreeMap<(String, &'static str), Time>,
    /// Change sets that were applied, by id.
    pub applies: BTreeMap<String, Apply>,
    /// What Railway itself says is wrong with it at the moment.
    pub incident: Option<String>,
    /// How long the answer to the mutation under way takes.
    pub slow_seconds: f64,
    /// Effects since the server last collected them.
    pub outbox: Vec<Effect>,
    /// Requests to the applications, oldest first.
    pub visits: Arc<VecDeque<Arc<Visit>>>,
    /// What happened, oldest first.
    pub events: Arc<VecDeque<Arc<Event>>>,
}

/// Something that happens by itself at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    ApplyPatch {
        environment: String,
        patch: String,
    },
    StartDeployments {
        environment: String,
        patch: String,
        services: Vec<String>,
    },
    FinishPatch {
        environment: String,
        patch: String,
    },
    Advance {
        deployment: String,
    },
    Crash {
        deployment: String,
    },
    Restarted {
        deployment: String,
    },
    Remove {
        deployment: String,
    },
    /// The container before lets go of the volume.
    TakeVolume {
        deployment: String,
    },
    Sleep {
        deployment: String,
    },
    Wake {
        deployment: String,
    },
    ReplicaBack {
        deployment: String,
    },
    VolumeMoved {
        environment: String,
        volume: String,
    },
    VolumeGone {
        environment: String,
        volume: String,
    },
    Backup {
        environment: String,
        volume: String,
        kind: Kind,
        since: Time,
    },
    BackedUp {
        environment: String,
        volume: String,
        backup: Backup,
    },
    Restored {
        environment: String,
        volume: String,
        backup: String,
        by: String,
    },
    FillEnvironment {
        environment: String,
        patch: Value,
        write: Write,
    },
    AutoUpdate {
        environment: String,
        service: String,
        image: String,
    },
}

#[derive(Clone)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub created: Time,
    pub updated: Time,
    pub services: BTreeMap<String, Service>,
    pub volumes: BTreeMap<String, Volume>,
    pub buckets: BTreeMap<String, Bucket>,
    /// In order of creation.
    pub environments: Vec<String>,
}

#[derive(Clone)]
pub struct Service {
    pub id: String,
    pub name: String,
    pub icon: Option<String>,
    pub created: Time,
    pub updated: Time,
}

#[derive(Clone)]
pub struct Volume {
    pub id: String,
    pub name: String,
    pub created: Time,
}

#[derive(Clone)]
pub struct Bucket {
    pub id: String,
    pub name: String,
    pub created: Time,
}

#[derive(Clone)]
pub struct Environment {
    pub id: String,
    pub project_id: String,
    pub name: String,
    pub ephemeral: bool,
    /// Whether only tokens that are bound to it may look inside.
    pub restricted: bool,
    /// About the pull request that it is for.
    pub meta: Value,
    pub source_id: Option<String>,
    pub created: Time,
    pub updated: Time,
    /// The stored configuration, in plain text.
    pub config: Value,
    pub etag: u64,
    pub instances: BTreeMap<String, Instance>,
    pub volume_instances: BTreeMap<String, VolumeInstance>,
    /// When each variable was written; without a service it is shared.
    pub variables: BTreeMap<(Option<String>, String), VariableRecord>,
    /// Domains by name, proxies by service and port.
    pub names: BTreeMap<String, Name>,
    pub staged: Patch,
    /// Committed patches, oldest first.
    pub patches: Vec<Patch>,
    /// The next commit fails while it is applied, with this error.
    pub next_patch_fails: Option<String>,
}

/// A service in one environment.
#[derive(Clone)]
pub struct Instance {
    pub id: String,
    pub created: Time,
    pub updated: Time,
    pub auto_deploy: bool,
    pub trigger_id: String,
    /// Oldest first.
    pub deployments: Vec<String>,
    /// Paths that its application answers even in maintenance.
    pub open_paths: Vec<String>,
}

#[derive(Clone)]
pub struct VariableRecord {
    pub id: String,
    pub created: Time,
    pub updated: Time,
}

impl State {
    /// Brings everything that is due up to `now` to pass, each at its own time.
    pub fn advance(&mut self, now: Time) {
        while let Some(entry) = self
            .agenda
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let (at, _) = *entry.key();
            let due = entry.remove();
            self.now = at;
            self.happen(due);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::ApplyPatch { environment, patch } => self.apply_patch(&environment, &patch),
            Due::StartDeployments {
                environment,
                patch,
                services,
            } => {
                self.start_for_patch(&environment, &patch, &services);
            }
            Due::FinishPatch { environment, patch } => self.finish_patch(&environment, &patch),
            Due::Advance { deployment } => self.advance_deployment(&deployment),
            Due::Crash { deployment } => self.crash(&deployment),
            Due::Restarted { deployment } => self.restarted(&deployment),
            Due::Remove { deployment } => self.removed(&deployment),
            Due::TakeVolume { deployment } => self.take_volume(&deployment),
            Due::Sleep { deployment } => self.maybe_sleep(&deployment),
            Due::Wake { deployment } => self.woken(&deployment),
            Due::ReplicaBack { deployment } => self.replica_back(&deployment),
            Due::VolumeMoved {
                environment,
                volume,
            } => self.volume_moved(&environment, &volume),
            Due::VolumeGone {
                environment,
                volume,
            } => self.volume_gone(&environment, &volume),
            Due::Backup {
                environment,
                volume,
                kind,
                since,
            } => self.scheduled_backup(&environment, &volume, kind, since),
            Due::BackedUp {
                environment,
                volume,
                backup,
            } => self.backed_up(&environment, &volume, &backup),
            Due::Restored {
                environment,
                volume,
                backup,
                by,
            } => self.restored(&environment, &volume, &backup, &by),
            Due::FillEnvironment {
                environment,
                patch,
                write,
            } => self.fill_environment(&environment, &patch, &write),
            Due::AutoUpdate {
                environment,
                service,
                image,
            } => self.auto_update(&environment, &service, &image),
        }
    }

    pub fn later(&mut self, seconds: f64, due: Due) {
        self.sequence += 1;
        self.agenda
            .insert((self.now.plus_seconds(seconds), self.sequence), due);
    }

    pub fn project(&self, id: &str) -> Result<&Arc<Project>, Refusal> {
        self.projects
            .get(id)
            .ok_or_else(|| Refusal::internal("Project not found"))
    }

    pub fn environment(&self, id: &str) -> Result<&Arc<Environment>, Refusal> {
        self.environments
            .get(id)
            .ok_or_else(Refusal::not_authorized)
    }

    pub fn deployment(&self, id: &str) -> Result<&Arc<Deployment>, Refusal> {
        self.deployments.get(id).ok_or_else(Refusal::not_authorized)
    }

    /// The project a service belongs to.
    pub fn project_of_service(&self, service_id: &str) -> Result<&Arc<Project>, Refusal> {
        let found = self
            .projects
            .values()
            .find(|project| project.services.contains_key(service_id));
        found.ok_or_else(Refusal::not_authorized)
    }

    pub fn environment_mut(&mut self, id: &str) -> &mut Environment {
        Arc::make_mut(
            self.environments
                .get_mut(id)
                .expect("the environment was looked up before"),
        )
    }

    pub fn project_mut(&mut self, id: &str) -> &mut Project {
        Arc::make_mut(
            self.projects
                .get_mut(id)
                .expect("the project was looked up before"),
        )
    }

    pub fn deployment_mut(&mut self, id: &str) -> &mut Deployment {
        Arc::make_mut(
            self.deployments
                .get_mut(id)
                .expect("deployments are never forgotten"),
        )
    }

    pub fn rename_service(&mut self, project_id: &str, service_id: &str, name: &str) {
        let now = self.now;
        if let Some(service) = self.project_mut(project_id).services.get_mut(service_id) {
            service.name = name.to_string();
            service.updated = now;
        }
    }

    pub fn service_name(&self, environment: &Environment, service_id: &str) -> String {
        let project = self.projects.get(&environment.project_id);
        project
            .and_then(|project| project.services.get(service_id))
            .map_or(service_id, |service| &service.name)
            .to_string()
    }
}

impl Due {
    /// Whether it still has something to act on once an environment is gone.
    pub fn is_within(&self, deployments: &BTreeMap<String, Arc<Deployment>>, gone: &str) -> bool {
        match self {
            Due::ApplyPatch { environment, .. }
            | Due::StartDeployments { environment, .. }
            | Due::FinishPatch { environment, .. }
            | Due::VolumeMoved { environment, .. }
            | Due::VolumeGone { environment, .. }
            | Due::Backup { environment, .. }
            | Due::BackedUp { environment, .. }
            | Due::Restored { environment, .. }
            | Due::FillEnvironment { environment, .. }
            | Due::AutoUpdate { environment, .. } => environment != gone,
            Due::Advance { deployment }
            | Due::Crash { deployment }
            | Due::Restarted { deployment }
            | Due::Remove { deployment }
            | Due::TakeVolume { deployment }
            | Due::Sleep { deployment }
            | Due::Wake { deployment }
            | Due::ReplicaBack { deployment } => deployments.contains_key(deployment),
        }
    }
}

impl Project {
    pub fn service_called(&self, name: &str) -> Option<&Service> {
        self.services.values().find(|service| service.name == name)
    }
}

impl Environment {
    pub fn service(&self, id: &str) -> Option<&Value> {
        self.config.get("services")?.get(id)
    }

    pub fn etag_text(&self) -> String {
        format!(
            "{:016x}",
            crate::random::hash(&format!("{}:{}", self.id, self.etag))
        )
    }
}
