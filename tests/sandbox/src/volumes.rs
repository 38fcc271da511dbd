//! Volumes in an environment: how they follow the configuration, and their service into another region.

use serde_json::{Value, json};

use crate::config;
use crate::deployment::Deployment;
use crate::patch::Write;
use crate::random::uuid_of;
use crate::state::{Due, Environment, State, VolumeInstance};

/// Of a volume for which nobody says how large it is to be.
const DEFAULT_MB: u64 = 5_000;

impl State {
    /// After a change: volumes appear, go and grow, and learn that their service has moved.
    pub fn follow_volumes(&mut self, environment_id: &str, after: &Value) {
        let (now, fresh) = (self.now, self.random.uuid());
        let regions = self.seed.regions.clone();
        let home = regions.first().map_or("us-west2", |region| &region.name);
        let environment = self.environment_mut(environment_id);
        let wanted = after.get("volumes");
        environment
            .volume_instances
            .retain(|id, _| wanted.is_some_and(|all| all.get(id).is_some()));
        for (id, stored) in config::entries(wanted) {
            let size_mb = stored.get("sizeMB").and_then(Value::as_u64);
            let service = config::entries(after.get("services"))
                .map(|(_, service)| service)
                .find(|service| service.pointer(&format!("/volumeMounts/{id}")).is_some());
            let placed =
                service.and_then(|service| config::placement(service, &regions).into_keys().next());
            let region = stored.get("region").and_then(Value::as_str);
            let region = region
                .and_then(|region| config::canonical_region(region, &regions))
                .map(str::to_string)
                .or_else(|| placed.clone())
                .unwrap_or_else(|| home.to_string());
            let volume = environment
                .volume_instances
                .entry(id.clone())
                .or_insert_with(|| VolumeInstance {
                    id: format!("{}{}", &fresh[..24], &uuid_of(id)[24..]),
                    size_mb: 0,
                    created: now,
                    region,
                    destination: None,
                    is_moving: false,
                });
            volume.size_mb = size_mb.unwrap_or(DEFAULT_MB) as u32;
            volume.destination = placed.filter(|placed| *placed != volume.region);
        }
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
            moving.is_moving = true;
        }
        self.later(
            self.seed.timings.migrate,
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
        volume.is_moving = false;
        let Some(region) = volume.destination.take() else {
            return;
        };
        (volume.id, volume.region) = (id, region.clone());
        let patch = json!({ "volumes": { volume_id: { "region": region } } });
        let write = Write {
            mutation: "Railway itself",
            skip_deploys: true,
            by_hand: true,
            ..Write::default()
        };
        self.change(environment_id, &patch, &write);
    }

    pub fn volume_mut(&mut self, environment_id: &str, id: &str) -> Option<&mut VolumeInstance> {
        if !self.environments.contains_key(environment_id) {
            return None;
        }
        let environment = self.environment_mut(environment_id);
        environment.volume_instances.get_mut(id)
    }
}

impl VolumeInstance {
    pub fn state(&self) -> &'static str {
        match (self.is_moving, &self.destination) {
            (true, _) => "MIGRATING",
            (false, Some(_)) => "MIGRATION_PENDING",
            (false, None) => "READY",
        }
    }
}

impl Environment {
    /// The volumes that a service mounts.
    pub fn mounted(&self, service_id: &str) -> impl Iterator<Item = (&String, &VolumeInstance)> {
        let mounts = self
            .service(service_id)
            .and_then(|service| service.get("volumeMounts"));
        config::entries(mounts).filter_map(|(id, _)| self.volume_instances.get_key_value(id))
    }
}
