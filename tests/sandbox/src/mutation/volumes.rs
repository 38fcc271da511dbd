//! Mutations of volumes and their backups.

use serde_json::{Value, json};

use super::{Done, Session, Which, optional, text, yes};
use crate::backups::Kind;
use crate::node::Asked;
use crate::patch::Write;
use crate::random::uuid_of;
use crate::refusal::Refusal;
use crate::switches::VolumeScope;
use crate::volumes::mount_of;

impl Session<'_> {
    pub(super) fn volume_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let project = self.open_project_or_environment(&input)?;
        self.check_pace("volumes")?;
        let most = self.state.seed.plan.most_volumes();
        if self.state.project(&project)?.volumes.len() >= most {
            let refused = format!("The plan allows at most {most} volumes in a project");
            return Err(Refusal::bad_input(&refused));
        }
        let is_null = input.get("environmentId").is_some_and(Value::is_null);
        let environments = match optional(&input, "environmentId") {
            Some(only) => vec![only],
            None if is_null => Vec::new(),
            None => match self.state.switches.volume_without_environment {
                VolumeScope::Nowhere => Vec::new(),
                VolumeScope::Everywhere => self.state.project(&project)?.environments.clone(),
            },
        };
        let id = self.state().random.uuid();
        let name = format!("{}-volume", &id[..4]);
        let size_mb = self.state.seed.plan.default_volume_mb();
        let mut volume = json!({ "isCreated": true, "sizeMB": size_mb });
        if let Some(region) = optional(&input, "region") {
            volume["region"] = json!(region);
        }
        let mut patch = json!({ "volumes": { &id: volume } });
        if let Some(service) = optional(&input, "serviceId") {
            let mount = json!({ "mountPath": text(&input, "mountPath") });
            patch["services"] = json!({ service: { "volumeMounts": { &id: mount } } });
        }
        for environment in &environments {
            self.open(environment)?;
            self.state.checked(environment, patch.clone())?;
        }
        self.state().add_volume(&project, &id, &name);
        for environment in &environments {
            self.change_volumes(environment, &patch, "volumeCreate");
            if let Some(volume) = self.state().volume_mut(environment, &id) {
                volume.mount_path = text(&input, "mountPath");
            }
        }
        Ok(Done::Object(Which::Volume, id))
    }

    pub(super) fn volume_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("volumeId");
        let project = self.open_volume(id)?;
        let input = asked.json("input");
        if let (Some(name), Some(volume)) = (
            optional(&input, "name"),
            self.state().project_mut(&project).volumes.get_mut(id),
        ) {
            volume.name = name;
        }
        let effect = self
            .state
            .effect("volumeUpdate", "", vec![format!("volumes.{id}.name")]);
        self.state().outbox.push(effect);
        Ok(Done::Object(Which::Volume, id.to_string()))
    }

    /// Mounts elsewhere, at another path, or nowhere.
    pub(super) fn volume_instance_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("volumeId");
        let project = self.open_volume(id)?;
        let input = asked.json("input");
        let environments = match asked.optional("environmentId") {
            Some(only) => vec![only.to_string()],
            None => self.state.project(&project)?.environments.clone(),
        };
        for environment in environments {
            self.open(&environment)?;
            let stored = self.state.environment(&environment)?;
            let Some(here) = stored.volume_instances.get(id) else {
                continue;
            };
            let kept = (!here.mount_path.is_empty()).then(|| here.mount_path.clone());
            let mounted = mount_of(&stored.config, id)
                .map(|(service, mount)| (service.clone(), mount.clone()));
            // An absent service detaches as well as a null one.
            let service = optional(&input, "serviceId");
            let path = optional(&input, "mountPath").or(kept);
            let patch = remount(id, mounted, service, path)?;
            let patch = self.state.checked(&environment, patch)?;
            self.change_volumes(&environment, &patch, "volumeInstanceUpdate");
        }
        yes()
    }

    pub(super) fn volume_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("volumeId");
        let project = self.open_volume(id)?;
        for environment in self.state.project(&project)?.environments.clone() {
            let stored = self.state.environment(&environment)?;
            if !stored.volume_instances.contains_key(id) {
                continue;
            }
            self.open(&environment)?;
            let mut patch = json!({ "volumes": { id: { "isDeleted": true } } });
            if let Some((service, _)) = mount_of(&self.state.environment(&environment)?.config, id)
            {
                patch["services"] = json!({ service: { "volumeMounts": { id: null } } });
            }
            self.change_volumes(&environment, &patch, "volumeDelete");
        }
        yes()
    }

    pub(super) fn backup_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, volume) = self.open_volume_instance(asked)?;
        let name = Some(asked.optional("name").unwrap_or("Manual").to_string());
        let by = uuid_of(&self.state.seed.workspace.person);
        let workflow = self.state().back_up(&environment, &volume, name, &by)?;
        self.note_volume("volumeInstanceBackupCreate", &environment, &volume, false);
        Ok(Done::Plain(json!({ "workflowId": workflow })))
    }

    pub(super) fn backup_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, volume) = self.open_volume_instance(asked)?;
        let backup = asked.text("volumeInstanceBackupId");
        let workflow = self.state().delete_backup(&environment, &volume, backup)?;
        self.note_volume("volumeInstanceBackupDelete", &environment, &volume, true);
        Ok(Done::Plain(json!({ "workflowId": workflow })))
    }

    pub(super) fn backup_lock(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, volume) = self.open_volume_instance(asked)?;
        let id = asked.text("volumeInstanceBackupId");
        self.state.backup(&environment, &volume, id)?;
        let known = self.state().volume_mut(&environment, &volume);
        let mut backups = known.into_iter().flat_map(|volume| &mut volume.backups);
        if let Some(backup) = backups.find(|backup| backup.id == id) {
            backup.expires = None;
        }
        self.note_volume("volumeInstanceBackupLock", &environment, &volume, false);
        yes()
    }

    pub(super) fn backup_restore(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, volume) = self.open_volume_instance(asked)?;
        let backup = asked.text("volumeInstanceBackupId");
        let wiped: Vec<String> = asked
            .json("wipeServiceIds")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_string))
            .collect();
        let by = self.caller.author();
        let state = self.state();
        let workflow = state.restore_backup(&environment, &volume, backup, &wiped, &by)?;
        self.note_volume("volumeInstanceBackupRestore", &environment, &volume, true);
        Ok(Done::Plain(json!({ "workflowId": workflow })))
    }

    pub(super) fn schedule_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, volume) = self.open_volume_instance(asked)?;
        let kinds = asked.json("kinds");
        let state = &self.state;
        let below = !state.seed.plan.is_professional() && !state.switches.schedules_below_pro;
        if below && kinds.as_array().is_some_and(|kinds| !kinds.is_empty()) {
            return Err(Refusal::bad_input("Backup schedules need the Pro plan"));
        }
        let stored = state.environment(&environment)?;
        let (service, _) = mount_of(&stored.config, &volume)
            .ok_or_else(|| Refusal::bad_input("Volume is not attached to a service"))?;
        let mut kinds: Vec<Kind> = kinds
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|kind| Kind::parse(kind.as_str()?))
            .collect();
        kinds.sort();
        kinds.dedup();
        let patch = json!({ "services": { service: { "volumeMounts": { &volume: { "backupSchedules": kinds } } } } });
        self.change_volumes(&environment, &patch, "volumeInstanceBackupScheduleUpdate");
        yes()
    }

    fn change_volumes(&mut self, environment: &str, patch: &Value, mutation: &'static str) {
        let write = Write {
            mutation,
            ..Write::default()
        };
        self.change_and_deploy(environment, patch, &write);
    }

    fn note_volume(
        &mut self,
        mutation: &'static str,
        environment: &str,
        volume: &str,
        destructive: bool,
    ) {
        let paths = vec![format!("volumes.{volume}.backups")];
        let mut effect = self.state.effect(mutation, environment, paths);
        effect.destructive = destructive;
        self.state().outbox.push(effect);
    }

    /// A token that is bound to an environment may make volumes there, if not in the project.
    fn open_project_or_environment(&self, input: &Value) -> Result<String, Refusal> {
        let project = text(input, "projectId");
        match optional(input, "environmentId") {
            Some(environment) => {
                self.open(&environment)?;
                let stored = self.state.environment(&environment)?;
                if stored.project_id != project {
                    return Err(Refusal::not_authorized());
                }
            }
            None => {
                self.open_project(&project)?;
            }
        }
        Ok(project)
    }

    /// The project of a volume, if the caller sees it.
    fn open_volume(&self, id: &str) -> Result<String, Refusal> {
        let mut projects = self.state.projects.values();
        let project = projects
            .find(|project| project.volumes.contains_key(id))
            .filter(|project| self.caller.sees_project(project))
            .ok_or_else(Refusal::not_authorized)?;
        Ok(project.id.clone())
    }

    fn open_volume_instance(&self, asked: &Asked<'_>) -> Result<(String, String), Refusal> {
        let found = self
            .state
            .volume_with_instance(asked.text("volumeInstanceId"));
        let (environment, volume, _) = found.ok_or_else(Refusal::not_authorized)?;
        self.open(&environment.id)?;
        self.check_project_token(self.state.switches.project_token_may_back_up)?;
        Ok((environment.id.clone(), volume.clone()))
    }
}

/// The patch that takes a volume from one mount to another.
fn remount(
    id: &str,
    mounted: Option<(String, Value)>,
    service: Option<String>,
    path: Option<String>,
) -> Result<Value, Refusal> {
    let mut patch = json!({ "services": {} });
    let mut mount = json!({});
    if let Some((old, stored)) = mounted {
        mount = stored;
        if service.as_ref() != Some(&old) {
            patch["services"][old] = json!({ "volumeMounts": { id: null } });
        }
    }
    let Some(service) = service else {
        return Ok(patch);
    };
    if let Some(path) = path {
        mount["mountPath"] = json!(path);
    }
    if mount.get("mountPath").is_none() {
        return Err(Refusal::bad_input(
            "mountPath is required to attach a volume",
        ));
    }
    patch["services"][service] = json!({ "volumeMounts": { id: mount } });
    Ok(patch)
}
