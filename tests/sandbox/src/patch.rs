//! Writing configuration: staged changes, committed patches, and the one door through which anything stored changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::{self, Touch};
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::refusal::Refusal;
use crate::report::Effect;
use crate::state::{Due, Environment, Instance, State, VariableRecord, VolumeInstance};
use crate::switches::{AppliedAt, MissingService, OverStaged, PatchCommitSha, RegionKeys};
use crate::time::Time;
use crate::variables;

/// Staged changes, or a commit in an environment's history.
#[derive(Clone, Debug)]
pub struct Patch {
    pub id: String,
    pub status: PatchStatus,
    pub message: Option<String>,
    pub created: Time,
    pub updated: Time,
    pub applied: Option<Time>,
    pub author: String,
    pub error: Option<String>,
    pub patch: Value,
    pub write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchStatus {
    Staged,
    Applying,
    Committed,
}

impl PatchStatus {
    pub fn text(self) -> &'static str {
        match self {
            PatchStatus::Staged => "STAGED",
            PatchStatus::Applying => "APPLYING",
            PatchStatus::Committed => "COMMITTED",
        }
    }
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Write {
    pub mutation: &'static str,
    pub skip_deploys: bool,
    /// It carries changes that somebody else had staged.
    pub foreign: bool,
    /// Done by a person in the dashboard: no effect of the client under test.
    pub by_hand: bool,
    /// A service named without being changed counts as changed when the switch says so.
    pub is_patch: bool,
}

impl State {
    /// Adds to, or replaces, the single staged patch of the environment.
    pub fn stage(
        &mut self,
        environment_id: &str,
        input: Value,
        merge: bool,
        author: &str,
    ) -> Result<(), Refusal> {
        let input = self.checked(environment_id, input)?;
        let (now, id, moves) = (
            self.now,
            self.random.uuid(),
            self.switches.etag_moves_on_stage,
        );
        let environment = self.environment_mut(environment_id);
        environment.etag += u64::from(moves);
        if merge {
            config::stack(&mut environment.staged.patch, &input);
        } else {
            environment.staged = blank(id, now);
            environment.staged.patch = input;
        }
        environment.staged.updated = now;
        environment.staged.author = author.to_string();
        Ok(())
    }

    /// Commits everything that is staged, whoever staged it.
    pub fn commit_staged(
        &mut self,
        environment_id: &str,
        message: Option<String>,
        author: &str,
        write: Write,
    ) -> Result<String, Refusal> {
        let environment = self.environment(environment_id)?;
        if config::size(&environment.staged.patch) == 0 {
            return Err(Refusal::bad_input("No patch to apply"));
        }
        let foreign = environment.staged.author != author;
        let staged = self.take_staged(environment_id);
        Ok(self.accept(
            environment_id,
            Patch {
                message,
                author: author.to_string(),
                write: Write { foreign, ..write },
                ..staged
            },
        ))
    }

    /// Commits a patch of its own; what happens to staged changes is a switch.
    pub fn commit(
        &mut self,
        environment_id: &str,
        patch: Value,
        message: Option<String>,
        author: &str,
        write: Write,
    ) -> Result<String, Refusal> {
        let mut patch = self.checked(environment_id, patch)?;
        let environment = self.environment(environment_id)?;
        let staged = config::size(&environment.staged.patch) > 0;
        let mut foreign = false;
        match self.switches.commit_over_staged {
            OverStaged::Refuses
                if staged
                    || environment
                        .patches
                        .iter()
                        .any(|patch| patch.status == PatchStatus::Applying) =>
            {
                return Err(Refusal::bad_input(
                    "Environment has changes that are not applied yet, please try again",
                ));
            }
            OverStaged::Merges if staged => {
                foreign = environment.staged.author != author;
                let mut all = self.take_staged(environment_id).patch;
                config::stack(&mut all, &patch);
                patch = all;
            }
            OverStaged::Refuses | OverStaged::Merges | OverStaged::Leaves => {}
        }
        let committed = Patch {
            patch,
            message,
            author: author.to_string(),
            write: Write { foreign, ..write },
            ..blank(self.random.uuid(), self.now)
        };
        Ok(self.accept(environment_id, committed))
    }

    fn take_staged(&mut self, environment_id: &str) -> Patch {
        let fresh = blank(self.random.uuid(), self.now);
        std::mem::replace(&mut self.environment_mut(environment_id).staged, fresh)
    }

    fn accept(&mut self, environment_id: &str, patch: Patch) -> String {
        let id = patch.id.clone();
        let now = self.now;
        let environment = self.environment_mut(environment_id);
        environment.patches.push(Patch {
            status: PatchStatus::Applying,
            created: now,
            updated: now,
            ..patch
        });
        // Patches of one environment are applied in the order in which they came.
        match self.switches.patch_apply_lag {
            0 => self.apply_patch(environment_id, &id),
            lag => self.later(
                f64::from(lag),
                Due::ApplyPatch {
                    environment: environment_id.to_string(),
                    patch: id.clone(),
                },
            ),
        }
        id
    }

    pub fn apply_patch(&mut self, environment_id: &str, id: &str) {
        let Some(patch) = self.patch_mut(environment_id, id).cloned() else {
            return;
        };
        if let Some(error) = self.environment_mut(environment_id).next_patch_fails.take() {
            let now = self.now;
            let patch = self
                .patch_mut(environment_id, id)
                .expect("it was just found");
            (patch.status, patch.error, patch.updated) = (PatchStatus::Staged, Some(error), now);
            return;
        }
        let deploys = self.change(environment_id, &patch.patch, &patch.write);
        let (environment, patch) = (environment_id.to_string(), id.to_string());
        match self.switches.applied_at {
            AppliedAt::Together => {
                self.start_for_patch(environment_id, id, &deploys);
                self.finish_patch(environment_id, id);
            }
            AppliedAt::AfterDeployments => {
                self.start_for_patch(environment_id, id, &deploys);
                self.later(2.0, Due::FinishPatch { environment, patch });
            }
            AppliedAt::BeforeDeployments => {
                self.finish_patch(environment_id, id);
                self.later(
                    1.0,
                    Due::StartDeployments {
                        environment,
                        patch,
                        services: deploys,
                    },
                );
            }
        }
    }

    /// Deploys the services a patch changed, as one batch.
    pub fn start_for_patch(&mut self, environment_id: &str, id: &str, services: &[String]) {
        let Some(patch) = self.patch_mut(environment_id, id).cloned() else {
            return;
        };
        let started: Vec<String> = services
            .iter()
            .filter_map(|service| {
                let named = patch
                    .patch
                    .pointer(&format!("/services/{service}/source/commitSha"))
                    .and_then(Value::as_str);
                let honoured =
                    named.filter(|_| self.switches.patch_commit_sha == PatchCommitSha::Honoured);
                let cause = || Cause {
                    reason: "deploy",
                    patch_id: Some(id.to_string()),
                    of: None,
                };
                let commit = honoured.map_or(Commit::Current, Commit::This);
                self.deploy(environment_id, service, commit, cause())
                    .or_else(|_| self.deploy(environment_id, service, Commit::Current, cause()))
                    .ok()
                    .flatten()
            })
            .collect();
        self.credit(&patch.write, environment_id, started);
    }

    pub fn finish_patch(&mut self, environment_id: &str, id: &str) {
        let now = self.now;
        if let Some(patch) = self.patch_mut(environment_id, id) {
            (patch.status, patch.applied, patch.updated) = (PatchStatus::Committed, Some(now), now);
        }
    }

    fn patch_mut(&mut self, environment_id: &str, id: &str) -> Option<&mut Patch> {
        if !self.environments.contains_key(environment_id) {
            return None;
        }
        self.environment_mut(environment_id)
            .patches
            .iter_mut()
            .rev()
            .find(|patch| patch.id == id)
    }

    /// Refuses what Railway would, and brings region keys to the form that is stored.
    pub fn checked(&self, environment_id: &str, mut patch: Value) -> Result<Value, Refusal> {
        let environment = self.environment(environment_id)?;
        config::check(&patch, self.seed.plan.most_replicas(), &self.seed.regions)?;
        if self.switches.region_keys == RegionKeys::AirportCodes {
            config::canonical_keys(&mut patch, &self.seed.regions);
        }
        let project = &self.projects[&environment.project_id];
        for (id, service) in config::entries(patch.get("services")) {
            let created = service.get("isCreated") == Some(&Value::Bool(true))
                && project.services.contains_key(id);
            if !environment.instances.contains_key(id) && !created {
                return Err(match self.switches.missing_service_error {
                    MissingService::Problem => Refusal::problem(),
                    MissingService::NotAuthorized => Refusal::not_authorized(),
                });
            }
            let replicas = service
                .pointer("/deploy/multiRegionConfig")
                .into_iter()
                .flat_map(|placed| config::entries(Some(placed)));
            let most = replicas
                .filter_map(|(_, here)| here.get("numReplicas")?.as_u64())
                .max();
            if environment.has_volume(id) && most.is_some_and(|most| most > 1) {
                return Err(Refusal::bad_input("Replicas cannot be used with volumes"));
            }
        }
        if self.switches.patch_commit_sha == PatchCommitSha::Dropped {
            for service in patch
                .get_mut("services")
                .and_then(Value::as_object_mut)
                .into_iter()
                .flat_map(|all| all.values_mut())
            {
                if let Some(source) = service.get_mut("source").and_then(Value::as_object_mut) {
                    source.remove("commitSha");
                }
            }
        }
        Ok(patch)
    }

    /// The one place where stored configuration changes. Records the effect; answers which services have to deploy.
    pub fn change(&mut self, environment_id: &str, patch: &Value, write: &Write) -> Vec<String> {
        let before = self.environments[environment_id].config.clone();
        let switches = self.switches.clone();
        config::merge(
            &mut self.environment_mut(environment_id).config,
            patch,
            &switches,
        );
        let after = self.environments[environment_id].config.clone();
        let touches = config::touched(&before, &after);
        self.stamp(environment_id, patch, &touches);
        self.follow(environment_id, &before, &after, patch);
        self.record(environment_id, &touches, write);
        if write.skip_deploys {
            Vec::new()
        } else {
            self.to_deploy(environment_id, patch, &before, &after, write)
        }
    }

    /// Times and the etag.
    fn stamp(&mut self, environment_id: &str, patch: &Value, touches: &[Touch]) {
        let now = self.now;
        let only_sealed = !touches.is_empty()
            && touches
                .iter()
                .all(|touch| self.is_sealed_rotation(environment_id, touch));
        let moves = !touches.is_empty() && (!only_sealed || self.switches.etag_moves_on_sealed);
        let rewrites = self.switches.rewrite_moves_updated_at;
        let mut written: BTreeSet<(Option<String>, String)> = touches
            .iter()
            .filter_map(|touch| variable_of(&touch.path))
            .collect();
        if rewrites {
            written.extend(
                config::entries(patch.get("sharedVariables")).map(|(name, _)| (None, name.clone())),
            );
            for (service, part) in config::entries(patch.get("services")) {
                written.extend(
                    config::entries(part.get("variables"))
                        .map(|(name, _)| (Some(service.clone()), name.clone())),
                );
            }
        }
        for key in written {
            let fresh = VariableRecord {
                id: self.random.uuid(),
                created: now,
                updated: now,
            };
            let environment = self.environment_mut(environment_id);
            if variables::section(environment, key.0.as_deref()).any(|(name, _)| *name == key.1) {
                environment
                    .variables
                    .entry(key)
                    .and_modify(|record| record.updated = now)
                    .or_insert(fresh);
            } else {
                environment.variables.remove(&key);
            }
        }
        let environment = self.environment_mut(environment_id);
        environment.etag += u64::from(moves);
        if !touches.is_empty() {
            environment.updated = now;
        }
        for (id, instance) in &mut environment.instances {
            if touches.iter().any(|touch| touch.path.get(1) == Some(id)) {
                instance.updated = now;
            }
        }
    }

    fn is_sealed_rotation(&self, environment_id: &str, touch: &Touch) -> bool {
        let Some((service, name)) = variable_of(&touch.path) else {
            return false;
        };
        let environment = &self.environments[environment_id];
        let found =
            variables::section(environment, service.as_deref()).find(|(known, _)| **known == name);
        found.is_some_and(|(_, variable)| config::is_sealed(variable))
    }

    /// What follows a change at once: instances come and go, volumes appear, replicas scale.
    fn follow(&mut self, environment_id: &str, before: &Value, after: &Value, patch: &Value) {
        for (id, asked) in config::entries(patch.get("services")) {
            let exists = self.environments[environment_id].instances.contains_key(id);
            if asked.get("isDeleted") == Some(&Value::Bool(true)) && exists {
                self.drop_instance(environment_id, id);
            } else if asked.get("isCreated") == Some(&Value::Bool(true)) && !exists {
                self.add_instance(environment_id, id);
            }
        }
        let volumes: Vec<String> = config::entries(after.get("volumes"))
            .map(|(id, _)| id.clone())
            .collect();
        let (now, fresh) = (self.now, self.random.uuid());
        let environment = self.environment_mut(environment_id);
        environment
            .volume_instances
            .retain(|id, _| volumes.contains(id));
        for id in volumes {
            let size_mb = after["volumes"][&id]["sizeMB"].as_u64().unwrap_or(5_000) as u32;
            let id_here = format!("{}{}", &fresh[..24], &crate::random::uuid_of(&id)[24..]);
            environment
                .volume_instances
                .entry(id)
                .or_insert(VolumeInstance {
                    id: id_here,
                    size_mb,
                    created: now,
                })
                .size_mb = size_mb;
        }
        let regions = self.seed.regions.clone();
        for (id, service) in config::entries(after.get("services")) {
            let placed = |document: &Value| {
                document
                    .get("services")?
                    .get(id)
                    .map(|service| config::placement(service, &regions))
            };
            if placed(before) != Some(config::placement(service, &regions))
                && placed(before).is_some()
            {
                self.scale(environment_id, id);
            }
        }
    }

    pub fn add_instance(&mut self, environment_id: &str, service_id: &str) {
        let (id, trigger_id, now) = (self.random.uuid(), self.random.uuid(), self.now);
        let environment = self.environment_mut(environment_id);
        let services = environment.config["services"]
            .as_object_mut()
            .expect("every environment keeps a map of services");
        services.entry(service_id).or_insert(json!({}));
        environment.instances.insert(
            service_id.to_string(),
            Instance {
                id,
                created: now,
                updated: now,
                auto_deploy: true,
                trigger_id,
                deployments: Vec::new(),
                open_paths: Vec::new(),
            },
        );
    }

    fn drop_instance(&mut self, environment_id: &str, service_id: &str) {
        let environment = self.environments[environment_id].clone();
        let ids: Vec<String> = self
            .history(&environment, service_id)
            .map(|deployment| deployment.id.clone())
            .collect();
        for id in ids {
            if self.deployments[&id].removed_at.is_none() {
                self.removed(&id);
            }
        }
        let environment = self.environment_mut(environment_id);
        environment.instances.remove(service_id);
        environment
            .variables
            .retain(|(owner, _), _| owner.as_deref() != Some(service_id));
    }

    fn to_deploy(
        &self,
        environment_id: &str,
        patch: &Value,
        before: &Value,
        after: &Value,
        write: &Write,
    ) -> Vec<String> {
        let environment = &self.environments[environment_id];
        let service = |document: &'_ Value, id: &str| {
            document
                .get("services")
                .and_then(|services| services.get(id))
                .cloned()
        };
        let mut shared: BTreeSet<&String> = config::entries(after.get("sharedVariables"))
            .chain(config::entries(before.get("sharedVariables")))
            .map(|(name, _)| name)
            .collect();
        shared.retain(|name| {
            before.get("sharedVariables").and_then(|all| all.get(*name))
                != after.get("sharedVariables").and_then(|all| all.get(*name))
        });
        environment
            .instances
            .keys()
            .filter(|id| {
                let (old, new) = (service(before, id), service(after, id));
                let named = patch
                    .get("services")
                    .and_then(|services| services.get(id.as_str()))
                    .is_some();
                let noop =
                    write.is_patch && named && old == new && self.switches.noop_patch_deploys;
                config::deploys(old.as_ref(), new.as_ref())
                    || noop
                    || (self.switches.shared_variable_redeploys
                        && uses_shared(environment, id, &shared))
            })
            .cloned()
            .collect()
    }

    fn record(&mut self, environment_id: &str, touches: &[Touch], write: &Write) {
        if write.by_hand {
            return;
        }
        let environment = self.environments[environment_id].clone();
        let paths = touches
            .iter()
            .map(|touch| self.named_path(&environment, touch))
            .collect();
        let destructive = touches.iter().any(Touch::is_destructive);
        self.outbox.push(Effect {
            at: self.now,
            mutation: write.mutation,
            environment: environment.name.clone(),
            environment_id: environment.id.clone(),
            paths,
            destructive,
            committed_foreign_stage: write.foreign,
            deployments: Vec::new(),
        });
    }

    /// Credits deployments to the client; a person's are nobody's effect.
    pub fn credit(&mut self, write: &Write, environment_id: &str, started: Vec<String>) {
        if write.by_hand || started.is_empty() {
            return;
        }
        let now = self.now;
        let last = self.outbox.last_mut().filter(|effect| {
            effect.at == now
                && effect.mutation == write.mutation
                && effect.environment_id == environment_id
        });
        match last {
            Some(effect) => effect.deployments.extend(started),
            None => {
                let mut effect = self.effect(write.mutation, environment_id, Vec::new());
                effect.deployments = started;
                self.outbox.push(effect);
            }
        }
    }

    /// An effect outside the stored configuration, such as a restart.
    pub fn effect(
        &self,
        mutation: &'static str,
        environment_id: &str,
        paths: Vec<String>,
    ) -> Effect {
        Effect {
            at: self.now,
            mutation,
            environment: self
                .environments
                .get(environment_id)
                .map_or(String::new(), |environment| environment.name.clone()),
            environment_id: environment_id.to_string(),
            paths,
            destructive: false,
            committed_foreign_stage: false,
            deployments: Vec::new(),
        }
    }

    fn named_path(&self, environment: &Environment, touch: &Touch) -> String {
        let mut path = touch.path.clone();
        if path.len() > 1 && path[0] == "services" {
            path[1] = self.service_name(environment, &path[1]);
        }
        path.join(".")
    }
}

pub fn blank(id: String, now: Time) -> Patch {
    Patch {
        id,
        status: PatchStatus::Staged,
        message: None,
        created: now,
        updated: now,
        applied: None,
        author: String::new(),
        error: None,
        patch: json!({}),
        write: Write::default(),
    }
}

/// The variable that a path changes: (service or shared, name).
fn variable_of(path: &[String]) -> Option<(Option<String>, String)> {
    match path {
        [section, service, variables, name, ..]
            if section == "services" && variables == "variables" =>
        {
            Some((Some(service.clone()), name.clone()))
        }
        [section, name, ..] if section == "sharedVariables" => Some((None, name.clone())),
        _ => None,
    }
}

fn uses_shared(environment: &Environment, service_id: &str, shared: &BTreeSet<&String>) -> bool {
    !shared.is_empty()
        && variables::stored(environment, Some(service_id)).any(|(_, value)| {
            variables::references(value).iter().any(|reference| {
                reference
                    .strip_prefix("shared.")
                    .is_some_and(|name| shared.contains(&name.to_string()))
            })
        })
}
