//! The one door through which anything stored changes, and what follows from a change at once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::{self, Touch};
use crate::patch::Write;
use crate::state::{Environment, Instance, State, VariableRecord};
use crate::variables;

impl State {
    /// The one place where stored configuration changes. Records the effect; answers which services have to deploy.
    pub fn change(&mut self, environment_id: &str, patch: &Value, write: &Write) -> Vec<String> {
        let before = self.environments[environment_id].config.clone();
        let switches = self.switches.clone();
        let patch = &self.generated(&before, patch);
        config::merge(
            &mut self.environment_mut(environment_id).config,
            patch,
            &switches,
        );
        let after = self.environments[environment_id].config.clone();
        let touches = config::touched(&before, &after);
        let only_schedules = only_schedules(&before, &after, &touches);
        self.stamp(environment_id, patch, &touches, only_schedules);
        self.follow(environment_id, &before, &after, patch);
        self.record(environment_id, &touches, write);
        if write.skip_deploys {
            Vec::new()
        } else {
            self.to_deploy(environment_id, patch, &before, &after, write)
        }
    }

    /// The patch as it is stored: a generator gives its value once, and what is to be preserved is left out.
    fn generated(&mut self, stored: &Value, patch: &Value) -> Value {
        let mut patch = patch.clone();
        let known = |section: &Value, name: &str| section.get(name).is_some();
        let mut random = self.random.clone();
        let mut fill = |variables: Option<&mut Value>, stored: &Value| {
            let Some(variables) = variables.and_then(Value::as_object_mut) else {
                return;
            };
            variables.retain(|name, variable| {
                variable["preserveExisting"] != true || !known(stored, name)
            });
            for (name, variable) in variables.iter_mut().filter(|(_, one)| one.is_object()) {
                let asks = variable["generator"].is_string() && variable["value"].is_null();
                if asks && !known(stored, name) {
                    let value = format!("{:016x}{:016x}", random.next(), random.next());
                    variable["value"] = json!(value);
                }
            }
        };
        fill(patch.get_mut("sharedVariables"), &stored["sharedVariables"]);
        let services = patch.get_mut("services").and_then(Value::as_object_mut);
        for (id, service) in services.into_iter().flatten() {
            fill(
                service.get_mut("variables"),
                &stored["services"][id]["variables"],
            );
        }
        self.random = random;
        patch
    }

    /// Times and the etag.
    fn stamp(
        &mut self,
        environment_id: &str,
        patch: &Value,
        touches: &[Touch],
        only_schedules: bool,
    ) {
        let now = self.now;
        let only_sealed = !touches.is_empty()
            && touches
                .iter()
                .all(|touch| self.is_sealed_rotation(environment_id, touch));
        let moves = !touches.is_empty()
            && (!only_sealed || self.switches.etag_moves_on_sealed)
            && (!only_schedules || self.switches.etag_moves_on_schedule);
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
                let told = json!({ "serviceId": id });
                self.tell_environment(environment_id, Some(id), "Service", "deleted", told);
            } else if asked.get("isCreated") == Some(&Value::Bool(true)) && !exists {
                self.add_instance(environment_id, id);
                let told = json!({ "serviceId": id });
                self.tell_environment(environment_id, Some(id), "Service", "created", told);
            }
        }
        self.follow_volumes(environment_id, after);
        self.follow_names(environment_id, before, after);
        let regions = self.seed.regions.clone();
        for (id, service) in config::entries(after.get("services")) {
            let placed = |document: &Value| {
                document
                    .get("services")?
                    .get(id)
                    .map(|service| config::placement(service, &regions))
            };
            let is_moved =
                placed(before).is_some_and(|old| old != config::placement(service, &regions));
            if is_moved && self.volume_to_move(environment_id, id).is_none() {
                self.scale(environment_id, id);
            }
        }
    }

    pub fn add_instance(&mut self, environment_id: &str, service_id: &str) {
        let (id, trigger_id, now) = (self.random.uuid(), self.random.uuid(), self.now);
        let mut others = self.environments.values();
        let open_paths = others
            .find_map(|other| Some(other.instances.get(service_id)?.open_paths.clone()))
            .unwrap_or_default();
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
                open_paths,
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
                let moves = write.is_patch
                    && old != new
                    && self.switches.volume_move_deploys
                    && self.volume_to_move(environment_id, id).is_some();
                config::deploys(old.as_ref(), new.as_ref())
                    || noop
                    || moves
                    || (self.switches.shared_variable_redeploys
                        && uses_shared(environment, id, &shared))
            })
            .cloned()
            .collect()
    }
}

/// Whether nothing but the backup schedules of mounts differs.
fn only_schedules(before: &Value, after: &Value, touches: &[Touch]) -> bool {
    touches.iter().all(|touch| {
        let path = |document: &Value| {
            let mut mount = touch
                .path
                .iter()
                .try_fold(document, |at, key| at.get(key))?
                .clone();
            mount.as_object_mut()?.remove("backupSchedules");
            Some(mount)
        };
        touch.path.iter().any(|key| key == "volumeMounts") && path(before) == path(after)
    })
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
