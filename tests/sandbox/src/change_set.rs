//! Railway's own intent-level changes, by resource name, turned into a patch of the configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{self, entries};
use crate::networking::generated;
use crate::refusal::Refusal;
use crate::resources::{created, mounts, variable};
use crate::state::{Environment, Project, State};

/// What a change set comes to in one environment.
pub struct Compiled {
    pub patch: Value,
    /// The changes that change something, as they came.
    pub changes: Vec<Value>,
    pub diagnostics: Vec<Value>,
    /// Ids for what is made: services, volumes and buckets with their names.
    pub made: Made,
    /// Services with the names they get.
    pub renames: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct Made {
    pub services: BTreeMap<String, String>,
    pub volumes: BTreeMap<String, String>,
    pub buckets: BTreeMap<String, String>,
}

/// Where names lead: to what is there, or to what is being made.
pub struct Names<'s> {
    pub project: &'s Project,
    pub environment: &'s Environment,
    pub made: &'s Made,
}

impl State {
    /// Reads a change set against an environment; nothing is changed by that but the ids that are drawn.
    pub fn compile(&mut self, environment_id: &str, input: &Value) -> Result<Compiled, Refusal> {
        if input.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(Refusal::bad_input("Unsupported RailwayChangeSet version"));
        }
        let changes = input.get("changes").and_then(Value::as_array);
        let changes = changes.ok_or_else(|| Refusal::bad_input("changes must be a list"))?;
        let mut made = Made::default();
        for resource in changes.iter().filter_map(|change| change.get("resource")) {
            self.draw_ids(resource, &mut made);
        }
        let environment = self.environment(environment_id)?.clone();
        let project = self.projects[&environment.project_id].clone();
        let names = Names {
            project: &project,
            environment: &environment,
            made: &made,
        };
        let mut patch = json!({});
        let (mut kept, mut diagnostics) = (Vec::new(), Vec::new());
        let mut renames = BTreeMap::new();
        for change in changes {
            let Some(part) = names.part(change) else {
                diagnostics.push(json!({
                    "severity": "error",
                    "path": change["path"],
                    "message": format!("cannot apply {}: no such resource", change["summary"]),
                }));
                continue;
            };
            if let Some((id, name)) = names.rename(change) {
                renames.insert(id, name);
            }
            let mut after = environment.config.clone();
            config::merge(&mut after, &part, &self.switches);
            let is_rename = change["field"] == "name";
            // What is stored already is dropped, whatever the masked values looked like to the client.
            if after != environment.config || is_rename || makes_something(&part) {
                config::stack(&mut patch, &part);
                kept.push(change.clone());
            }
        }
        Ok(Compiled {
            patch,
            changes: kept,
            diagnostics,
            made,
            renames,
        })
    }

    fn draw_ids(&mut self, resource: &Value, made: &mut Made) {
        let name = resource["name"].as_str().unwrap_or_default().to_string();
        let ids = match resource["type"].as_str() {
            Some("service" | "database") => &mut made.services,
            Some("volume") => &mut made.volumes,
            Some("bucket") => &mut made.buckets,
            _ => return,
        };
        ids.insert(name.clone(), self.random.uuid());
        if resource["type"] == "database" && resource.get("volumeMounts").is_none() {
            made.volumes
                .insert(format!("{name}-volume"), self.random.uuid());
        }
    }
}

impl Names<'_> {
    /// The patch for one change; None for a resource that does not exist.
    fn part(&self, change: &Value) -> Option<Value> {
        let address = change["address"].as_str().unwrap_or_default();
        match change["kind"].as_str()? {
            "resource.create" => created(self, &change["resource"]),
            "resource.delete" => self.at(address, &json!({ "isDeleted": true })),
            "resource.update" => self.update(address, change),
            "variable.set" => {
                let value = match variable(self, &change["after"]) {
                    Some(value) => json!({ change["variable"].as_str()?: value }),
                    None => json!({}),
                };
                self.at(address, &json!({ "variables": value }))
            }
            "variable.delete" => {
                let name = change["variable"].as_str()?;
                self.at(address, &json!({ "variables": { name: null } }))
            }
            "domain.create" => {
                let (_, name) = address.split_once('.')?;
                let own = || generated(name, &self.environment.name);
                let domain = change["domain"].as_str().map_or_else(own, str::to_string);
                self.at(
                    address,
                    &json!({ "networking": { "serviceDomains": { domain: {} } } }),
                )
            }
            _ => None,
        }
    }

    fn update(&self, address: &str, change: &Value) -> Option<Value> {
        let (before, after) = (&change["before"], &change["after"]);
        let field = change["field"].as_str()?;
        let part = match field {
            "name" => json!({}),
            "source" => {
                let mut source = without(before, after);
                for (key, value) in entries(Some(after)).filter(|(key, _)| *key != "type") {
                    source[key] = value.clone();
                }
                json!({ "source": source })
            }
            "volumeAttachments" => {
                let mut all: Map<String, Value> = mounts(self, before)
                    .into_iter()
                    .map(|(id, _)| (id, Value::Null))
                    .collect();
                all.extend(mounts(self, after));
                json!({ "volumeMounts": all })
            }
            "config" => {
                let mut part = without(before, after);
                config::stack(&mut part, after);
                part
            }
            "groupId" => json!({ "groupId": after }),
            field => {
                let mut part = without(before, after);
                config::stack(&mut part, after);
                json!({ field: part })
            }
        };
        self.at(address, &part)
    }

    fn rename(&self, change: &Value) -> Option<(String, String)> {
        if change["field"] != "name" {
            return None;
        }
        let (_, id) = self.find(change["address"].as_str()?)?;
        Some((id, change["after"].as_str()?.to_string()))
    }

    /// A part of the configuration under the resource's own key.
    fn at(&self, address: &str, part: &Value) -> Option<Value> {
        let (section, id) = self.find(address)?;
        Some(json!({ section: { id: part } }))
    }

    /// The section and the id that an address such as `service.web` stands for.
    pub fn find(&self, address: &str) -> Option<(&'static str, String)> {
        let (kind, name) = address.split_once('.')?;
        let services = || {
            let known = self.project.service_called(name);
            let here = known.filter(|known| self.environment.instances.contains_key(&known.id));
            here.map(|known| known.id.clone())
                .or_else(|| self.made.services.get(name).cloned())
        };
        let found = match kind {
            "service" | "database" => ("services", services()?),
            "volume" => ("volumes", self.volume(name)?),
            "bucket" => ("buckets", self.bucket(name)?),
            "group" => ("groups", name.to_string()),
            _ => return None,
        };
        Some(found)
    }

    pub fn volume(&self, name: &str) -> Option<String> {
        let mut volumes = self.project.volumes.values();
        let known = volumes.find(|volume| volume.name == name);
        known
            .map(|volume| volume.id.clone())
            .or_else(|| self.made.volumes.get(name).cloned())
    }

    fn bucket(&self, name: &str) -> Option<String> {
        let mut buckets = self.project.buckets.values();
        let known = buckets.find(|bucket| bucket.name == name);
        known
            .map(|bucket| bucket.id.clone())
            .or_else(|| self.made.buckets.get(name).cloned())
    }
}

/// Null for everything that was there and is not wanted any more.
fn without(before: &Value, after: &Value) -> Value {
    let mut part = json!({});
    for (key, old) in entries(Some(before)).filter(|(key, _)| *key != "type") {
        match after.get(key) {
            None => part[key] = Value::Null,
            Some(new) if old.is_object() && new.is_object() => part[key] = without(old, new),
            Some(_) => {}
        }
    }
    part
}

fn makes_something(part: &Value) -> bool {
    entries(Some(part))
        .any(|(_, section)| entries(Some(section)).any(|(_, one)| one.get("isCreated").is_some()))
}
