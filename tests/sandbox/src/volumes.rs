//! Volumes in an environment: how they follow the configuration, go, and move with their service into another region.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::backups::{Backup, Kind};
use crate::config::{self, entries};
use crate::deployment::Deployment;
use crate::patch::Write;
use crate::random::Random;
use crate::state::{Due, Environment, State, Volume};
use crate::time::Time;

/// A deleted volume can be had back for so long.
const RESTORABLE_SECONDS: f64 = 48.0 * 3600.0;
const WORDS: [&str; 8] = [
    "silk", "amber", "harbor", "willow", "granite", "meadow", "copper", "lantern",
];

/// A volume in one environment.
#[derive(Clone)]
pub struct VolumeInstance {
    pub id: String,
    pub size_mb: u32,
    pub used_mb: f64,
    pub created: Time,
    pub region: String,
    /// Where it is mounted, or was before it was detached.
    pub mount_path: String,
    /// The region it has to move to, because its service has moved.
    pub destination: Option<String>,
    /// What is being done to it.
    pub work: Option<Work>,
    /// When it is gone for good, once it was deleted.
    pub gone_at: Option<Time>,
    /// The backup whose data it holds.
    pub restored_from: Option<String>,
    /// Oldest first.
    pub backups: Vec<Backup>,
    /// Since when each schedule runs.
    pub schedules: BTreeMap<Kind, Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Moving,
    Restoring,
}

impl State {
    /// After a change: volumes appear, go and grow, are backed up, and learn that their service has moved.
    pub fn follow_volumes(&mut self, environment_id: &str, after: &Value) {
        let wanted: BTreeSet<String> = entries(after.get("volumes"))
            .map(|(id, _)| id.clone())
            .collect();
        self.let_go(environment_id, &wanted);
        let mounts: BTreeMap<&String, (&String, &Value)> = entries(after.get("services"))
            .flat_map(|(service, part)| {
                entries(part.get("volumeMounts")).map(move |(id, mount)| (id, (service, mount)))
            })
            .collect();
        for id in wanted {
            let here = &self.environments[environment_id].volume_instances;
            if here.get(&id).is_none_or(|known| known.gone_at.is_some()) {
                let mut volume = self.new_volume(&after["volumes"][&id]);
                if let Some(backup) = self.copies.get(&id) {
                    volume.used_mb = backup.used_mb;
                    volume.restored_from = Some(backup.id.clone());
                }
                self.name_volume(environment_id, &id);
                let environment = self.environment_mut(environment_id);
                environment.volume_instances.insert(id.clone(), volume);
                let told = json!({ "volumeId": id });
                self.tell_environment(environment_id, None, "Volume", "created", told);
            }
            self.follow_volume(environment_id, &id, after, mounts.get(&id).copied());
        }
    }

    fn follow_volume(
        &mut self,
        environment_id: &str,
        id: &str,
        after: &Value,
        mount: Option<(&String, &Value)>,
    ) {
        let regions = self.seed.regions.clone();
        let placed = mount.and_then(|(service, _)| {
            let service = &after["services"][service];
            config::placement(service, &regions).into_keys().next()
        });
        let kinds: BTreeSet<Kind> = mount
            .and_then(|(_, mount)| mount.get("backupSchedules")?.as_array())
            .into_iter()
            .flatten()
            .filter_map(|kind| Kind::parse(kind.as_str()?))
            .collect();
        let path = mount.and_then(|(_, mount)| mount.get("mountPath")?.as_str());
        let path = path.map(str::to_string);
        let now = self.now;
        let Some(volume) = self.volume_mut(environment_id, id) else {
            return;
        };
        if let Some(path) = path {
            volume.mount_path = path;
        }
        if let Some(size_mb) = after["volumes"][id].get("sizeMB").and_then(Value::as_u64) {
            volume.size_mb = size_mb as u32;
        }
        volume.destination = placed.filter(|placed| *placed != volume.region);
        volume.schedules.retain(|kind, _| kinds.contains(kind));
        let fresh: Vec<Kind> = kinds
            .into_iter()
            .filter(|kind| !volume.schedules.contains_key(kind))
            .collect();
        volume
            .schedules
            .extend(fresh.iter().map(|kind| (*kind, now)));
        for kind in fresh {
            self.back_up_later(environment_id, id, kind, now);
        }
    }

    /// Volumes that the configuration no longer has are deleted, but not at once.
    fn let_go(&mut self, environment_id: &str, wanted: &BTreeSet<String>) {
        let gone_at = self.now.plus_seconds(RESTORABLE_SECONDS);
        let environment = self.environment_mut(environment_id);
        let mut doomed = Vec::new();
        for (id, volume) in &mut environment.volume_instances {
            if !wanted.contains(id) && volume.gone_at.is_none() {
                volume.gone_at = Some(gone_at);
                volume.destination = None;
                doomed.push(id.clone());
            }
        }
        for volume in doomed {
            let told = json!({ "volumeId": volume });
            self.tell_environment(environment_id, None, "Volume", "deleted", told);
            let environment = environment_id.to_string();
            self.later(
                RESTORABLE_SECONDS,
                Due::VolumeGone {
                    environment,
                    volume,
                },
            );
        }
    }

    /// The 48 hours are over, unless somebody has restored it.
    pub fn volume_gone(&mut self, environment_id: &str, id: &str) {
        let now = self.now;
        let gone_at = self
            .volume_mut(environment_id, id)
            .and_then(|volume| volume.gone_at);
        if gone_at.is_none_or(|at| at > now) {
            return;
        }
        let environment = self.environment_mut(environment_id);
        environment.volume_instances.remove(id);
        let project = environment.project_id.clone();
        let is_used = self
            .environments
            .values()
            .any(|environment| environment.volume_instances.contains_key(id));
        if !is_used {
            self.project_mut(&project).volumes.remove(id);
        }
    }

    /// What the link in the mail does: the data is back, the mount is not.
    pub fn restore_deleted(&mut self, environment_id: &str, id: &str) {
        let Some(volume) = self.volume_mut(environment_id, id) else {
            return;
        };
        volume.gone_at = None;
        let stored = json!({ "sizeMB": volume.size_mb, "region": volume.region });
        self.platform_change(environment_id, &json!({ "volumes": { id: stored } }));
    }

    fn new_volume(&mut self, stored: &Value) -> VolumeInstance {
        let regions = &self.seed.regions;
        let named = stored.get("region").and_then(Value::as_str);
        let region = named
            .and_then(|region| config::canonical_region(region, regions))
            .or(regions.first().map(|first| first.name.as_str()))
            .unwrap_or("us-west2")
            .to_string();
        let size_mb = self.seed.plan.default_volume_mb();
        VolumeInstance::new(&mut self.random, self.now, size_mb, region)
    }

    /// A volume that a patch brings up belongs to the project from then on.
    fn name_volume(&mut self, environment_id: &str, id: &str) {
        let project = self.environments[environment_id].project_id.clone();
        if self.projects[&project].volumes.contains_key(id) {
            return;
        }
        let name = format!("{}-volume", self.random.pick(&WORDS));
        self.add_volume(&project, id, &name);
    }

    pub fn add_volume(&mut self, project_id: &str, id: &str, name: &str) {
        let volume = Volume {
            id: id.to_string(),
            name: name.to_string(),
            created: self.now,
        };
        let project = self.project_mut(project_id);
        project.volumes.insert(id.to_string(), volume);
    }

    /// The volume of a service that lies in another region than the service.
    pub fn volume_to_move(&self, environment_id: &str, service_id: &str) -> Option<String> {
        let environment = self.environments.get(environment_id)?;
        let mut mounted = environment.mounted(service_id);
        mounted
            .find(|(_, volume)| volume.destination.is_some())
            .map(|(id, _)| id.clone())
    }

    /// Where this deployment has to take the volume of its service first.
    pub fn destination(&self, deployment: &Deployment) -> Option<String> {
        let volume = self.volume_to_move(&deployment.environment_id, &deployment.service_id)?;
        let environment = self.environments.get(&deployment.environment_id)?;
        environment.volume_instances[&volume].destination.clone()
    }

    pub fn begin_migration(&mut self, deployment: &Deployment) {
        let environment = deployment.environment_id.clone();
        let Some(volume) = self.volume_to_move(&environment, &deployment.service_id) else {
            return;
        };
        if let Some(moving) = self.volume_mut(&environment, &volume) {
            moving.work = Some(Work::Moving);
        }
        let seconds = self.seed.timings.migrate;
        self.later(
            seconds,
            Due::VolumeMoved {
                environment,
                volume,
            },
        );
    }

    /// It has arrived, and is another instance there.
    pub fn volume_moved(&mut self, environment_id: &str, volume_id: &str) {
        let id = self.random.uuid();
        let Some(volume) = self.volume_mut(environment_id, volume_id) else {
            return;
        };
        volume.work = None;
        let Some(region) = volume.destination.take() else {
            return;
        };
        (volume.id, volume.region) = (id, region.clone());
        self.platform_change(
            environment_id,
            &json!({ "volumes": { volume_id: { "region": region } } }),
        );
    }

    /// A change that Railway makes by itself.
    pub fn platform_change(&mut self, environment_id: &str, patch: &Value) {
        let write = Write {
            mutation: "Railway itself",
            skip_deploys: true,
            by_hand: true,
            ..Write::default()
        };
        self.change(environment_id, patch, &write);
    }

    pub fn volume_mut(&mut self, environment_id: &str, id: &str) -> Option<&mut VolumeInstance> {
        if !self.environments.contains_key(environment_id) {
            return None;
        }
        let environment = self.environment_mut(environment_id);
        environment.volume_instances.get_mut(id)
    }

    /// The environment and the volume that an instance's id stands for.
    pub fn volume_with_instance(
        &self,
        id: &str,
    ) -> Option<(&Environment, &String, &VolumeInstance)> {
        self.environments.values().find_map(|environment| {
            let mut all = environment.volume_instances.iter();
            let (volume, here) = all.find(|(_, here)| here.id == id)?;
            Some((&**environment, volume, here))
        })
    }
}

impl VolumeInstance {
    pub fn new(random: &mut Random, now: Time, size_mb: u32, region: String) -> VolumeInstance {
        VolumeInstance {
            id: random.uuid(),
            size_mb,
            // The file system takes its part from the beginning.
            used_mb: f64::from(size_mb) / 40.0,
            created: now,
            region,
            mount_path: String::new(),
            destination: None,
            work: None,
            gone_at: None,
            restored_from: None,
            backups: Vec::new(),
            schedules: BTreeMap::new(),
        }
    }

    pub fn state(&self) -> &'static str {
        match (self.work, &self.destination, self.gone_at) {
            (_, _, Some(_)) => "DELETING",
            (Some(Work::Moving), _, _) => "MIGRATING",
            (Some(Work::Restoring), _, _) => "RESTORING",
            (None, Some(_), _) => "MIGRATION_PENDING",
            (None, None, _) => "READY",
        }
    }
}

impl Environment {
    /// The volumes that a service mounts.
    pub fn mounted(&self, service_id: &str) -> impl Iterator<Item = (&String, &VolumeInstance)> {
        let mounts = self
            .service(service_id)
            .and_then(|service| service.get("volumeMounts"));
        entries(mounts).filter_map(|(id, _)| self.volume_instances.get_key_value(id))
    }
}

/// The service that mounts a volume, and how.
pub fn mount_of<'c>(document: &'c Value, volume_id: &str) -> Option<(&'c String, &'c Value)> {
    entries(document.get("services"))
        .find_map(|(id, service)| Some((id, service.get("volumeMounts")?.get(volume_id)?)))
}
