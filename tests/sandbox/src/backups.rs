//! Backups of volumes: taken on demand and by schedule, kept for their time, and restored into a fresh volume.

use serde::Serialize;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::state::{Due, State};
use crate::time::Time;
use crate::volumes::{VolumeInstance, Work, mount_of};

const DAY: f64 = 86_400.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    pub id: String,
    pub name: Option<String>,
    pub created: Time,
    pub expires: Option<Time>,
    pub kind: Option<Kind>,
    /// None for what Railway took by itself.
    pub by: Option<String>,
    pub size_mb: u32,
    pub used_mb: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Daily,
    Weekly,
    Monthly,
}

/// Work that goes on after its mutation has answered.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub created: Time,
    pub ends: Time,
    pub error: Option<String>,
}

impl Kind {
    pub fn parse(text: &str) -> Option<Kind> {
        match text {
            "DAILY" => Some(Kind::Daily),
            "WEEKLY" => Some(Kind::Weekly),
            "MONTHLY" => Some(Kind::Monthly),
            _ => None,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Kind::Daily => "DAILY",
            Kind::Weekly => "WEEKLY",
            Kind::Monthly => "MONTHLY",
        }
    }

    pub fn cron(self) -> &'static str {
        match self {
            Kind::Daily => "0 0 * * *",
            Kind::Weekly => "0 0 * * 0",
            Kind::Monthly => "0 0 1 * *",
        }
    }

    pub fn kept_seconds(self) -> f64 {
        match self {
            Kind::Daily => 6.0 * DAY,
            Kind::Weekly => 30.0 * DAY,
            Kind::Monthly => 90.0 * DAY,
        }
    }

    fn every_seconds(self) -> f64 {
        match self {
            Kind::Daily => DAY,
            Kind::Weekly => 7.0 * DAY,
            Kind::Monthly => 30.0 * DAY,
        }
    }
}

impl State {
    /// Begins a backup; answers the workflow.
    pub fn back_up(
        &mut self,
        environment_id: &str,
        volume_id: &str,
        name: Option<String>,
        by: &str,
    ) -> Result<String, Refusal> {
        let volume = self.steady_volume(environment_id, volume_id)?;
        if volume.used_mb > f64::from(volume.size_mb) / 2.0 {
            return Err(Refusal::bad_input(
                "Manual backups are limited to 50% of the volume's size",
            ));
        }
        let backup = Backup {
            id: self.random.uuid(),
            name,
            created: self.now,
            expires: None,
            kind: None,
            by: Some(by.to_string()),
            size_mb: 0,
            used_mb: 0.0,
        };
        let workflow = self.begin_workflow("backup", self.seed.timings.backup);
        let (environment, volume) = (environment_id.to_string(), volume_id.to_string());
        self.later(
            self.seed.timings.backup,
            Due::BackedUp {
                environment,
                volume,
                backup,
            },
        );
        Ok(workflow)
    }

    pub fn backed_up(&mut self, environment_id: &str, volume_id: &str, backup: &Backup) {
        if let Some(volume) = self.volume_mut(environment_id, volume_id) {
            let (size_mb, used_mb) = (volume.size_mb, volume.used_mb);
            volume.backups.push(Backup {
                size_mb,
                used_mb,
                ..backup.clone()
            });
        }
    }

    /// The next backup of a schedule that has run since that moment.
    pub fn back_up_later(
        &mut self,
        environment_id: &str,
        volume_id: &str,
        kind: Kind,
        since: Time,
    ) {
        self.later(
            kind.every_seconds(),
            Due::Backup {
                environment: environment_id.to_string(),
                volume: volume_id.to_string(),
                kind,
                since,
            },
        );
    }

    pub fn scheduled_backup(
        &mut self,
        environment_id: &str,
        volume_id: &str,
        kind: Kind,
        since: Time,
    ) {
        let (id, now) = (self.random.uuid(), self.now);
        let Some(volume) = self.volume_mut(environment_id, volume_id) else {
            return;
        };
        // A schedule that was taken away and given again is another one.
        if volume.gone_at.is_some() || volume.schedules.get(&kind) != Some(&since) {
            return;
        }
        volume.backups.retain(|backup| !backup.is_over(now));
        let backup = Backup {
            id,
            name: None,
            created: now,
            expires: Some(now.plus_seconds(kind.kept_seconds())),
            kind: Some(kind),
            by: None,
            size_mb: 0,
            used_mb: 0.0,
        };
        self.backed_up(environment_id, volume_id, &backup);
        self.back_up_later(environment_id, volume_id, kind, since);
    }

    pub fn delete_backup(
        &mut self,
        environment_id: &str,
        volume_id: &str,
        backup_id: &str,
    ) -> Result<String, Refusal> {
        self.backup(environment_id, volume_id, backup_id)?;
        if let Some(volume) = self.volume_mut(environment_id, volume_id) {
            volume.backups.retain(|backup| backup.id != backup_id);
        }
        Ok(self.begin_workflow("deleteBackup", 1.0))
    }

    /// Copies a backup into a fresh volume, then stages the swap of the two.
    pub fn restore_backup(
        &mut self,
        environment_id: &str,
        volume_id: &str,
        backup_id: &str,
        wiped: &[String],
        by: &str,
    ) -> Result<String, Refusal> {
        self.steady_volume(environment_id, volume_id)?;
        self.backup(environment_id, volume_id, backup_id)?;
        if let Some(volume) = self.volume_mut(environment_id, volume_id) {
            volume.work = Some(Work::Restoring);
        }
        for service in wiped {
            self.wipe(environment_id, service);
        }
        let seconds = self.seed.timings.restore;
        self.later(
            seconds,
            Due::Restored {
                environment: environment_id.to_string(),
                volume: volume_id.to_string(),
                backup: backup_id.to_string(),
                by: by.to_string(),
            },
        );
        Ok(self.begin_workflow("restoreBackup", seconds))
    }

    pub fn restored(&mut self, environment_id: &str, volume_id: &str, backup_id: &str, by: &str) {
        let Ok(backup) = self.backup(environment_id, volume_id, backup_id).cloned() else {
            return;
        };
        let Some(volume) = self.volume_mut(environment_id, volume_id) else {
            return;
        };
        volume.work = None;
        volume
            .backups
            .retain(|other| other.created <= backup.created);
        let region = volume.region.clone();
        let (id, environment) = (self.random.uuid(), &self.environments[environment_id]);
        let project = environment.project_id.clone();
        let mount = mount_of(&environment.config, volume_id)
            .map(|(service, mount)| (service.clone(), mount.clone()));
        self.add_volume(&project, &id, &backup.created.to_string());
        self.copies.insert(id.clone(), backup.clone());
        let mut patch = json!({ "volumes": { &id: { "isCreated": true, "sizeMB": backup.size_mb, "region": region } } });
        if let Some((service, mount)) = mount {
            patch["services"] =
                json!({ service: { "volumeMounts": { volume_id: null, &id: mount } } });
        }
        // Nothing is wrong with what the server itself stages.
        let _ = self.stage(environment_id, patch, true, by);
    }

    /// Empty again, and without backups.
    fn wipe(&mut self, environment_id: &str, service_id: &str) {
        let environment = &self.environments[environment_id];
        let ids: Vec<String> = environment
            .mounted(service_id)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(volume) = self.volume_mut(environment_id, &id) {
                volume.backups.clear();
                volume.used_mb = f64::from(volume.size_mb) / 40.0;
            }
        }
    }

    pub fn backup(
        &self,
        environment_id: &str,
        volume_id: &str,
        id: &str,
    ) -> Result<&Backup, Refusal> {
        let environment = self.environment(environment_id)?;
        let volume = environment.volume_instances.get(volume_id);
        let mut backups = volume.into_iter().flat_map(|volume| &volume.backups);
        backups
            .find(|backup| backup.id == id && !backup.is_over(self.now))
            .ok_or_else(Refusal::not_authorized)
    }

    /// A volume of which a copy can be made: mounted, and nothing else is done to it.
    fn steady_volume(
        &self,
        environment_id: &str,
        volume_id: &str,
    ) -> Result<&VolumeInstance, Refusal> {
        let environment = self.environment(environment_id)?;
        let volume = environment
            .volume_instances
            .get(volume_id)
            .ok_or_else(Refusal::not_authorized)?;
        if volume.work.is_some() || volume.gone_at.is_some() {
            return Err(Refusal::bad_input("Volume is busy, please try again"));
        }
        if mount_of(&environment.config, volume_id).is_none() {
            return Err(Refusal::bad_input("Volume is not attached to a service"));
        }
        Ok(volume)
    }

    pub fn begin_workflow(&mut self, kind: &str, seconds: f64) -> String {
        let id = format!("{kind}/{}", self.random.uuid());
        let workflow = Workflow {
            created: self.now,
            ends: self.now.plus_seconds(seconds),
            error: None,
        };
        self.workflows.insert(id.clone(), workflow);
        id
    }
}

impl Backup {
    pub fn is_over(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Sizes are told as they were last counted, which is every couple of hours.
    pub fn told(&self, now: Time, volume: &VolumeInstance) -> Value {
        const COUNTED_EVERY: i64 = 2 * 3_600_000;
        let is_counted = self.created.0 < now.0 - now.0.rem_euclid(COUNTED_EVERY);
        json!({
            "id": self.id,
            "name": self.name,
            "createdAt": self.created,
            "expiresAt": self.expires,
            "scheduleId": self.kind.map(|kind| volume.schedule_id(kind)),
            "creatorId": self.by,
            "externalId": crate::random::uuid_of(&self.id),
            "volumeInstanceSizeMB": self.size_mb,
            "usedMB": is_counted.then_some((self.used_mb / 10.0).round() as i64),
            "referencedMB": is_counted.then_some(self.used_mb.round() as i64),
        })
    }
}

impl VolumeInstance {
    pub fn schedule_id(&self, kind: Kind) -> String {
        crate::random::uuid_of(&format!("{} {}", self.id, kind.text()))
    }
}
