//! Mutations of the services of a project.

use serde_json::{Value, json};

use super::{Done, Session, Which, optional, text, yes};
use crate::config;
use crate::node::Asked;
use crate::patch::Write;
use crate::refusal::Refusal;
use crate::state::{Project, Service};
use crate::switches::ServiceScope;

impl Session<'_> {
    pub(super) fn service_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let project = self.open_project(&text(&input, "projectId"))?;
        let (id, now) = (self.state().random.uuid(), self.state.now);
        let name = optional(&input, "name").unwrap_or_else(|| format!("service-{}", &id[..4]));
        self.check_name(&project, &name, &id)?;
        let service = Service {
            id: id.clone(),
            name,
            icon: optional(&input, "icon"),
            created: now,
            updated: now,
        };
        self.state()
            .project_mut(&project.id)
            .services
            .insert(id.clone(), service);
        let environments = self.scope(&project, optional(&input, "environmentId"));
        for environment in environments {
            self.open(&environment)?;
            let patch = json!({ "services": { &id: created_part(&input) } });
            let patch = match self.state.checked(&environment, patch) {
                Ok(patch) => patch,
                Err(refusal) => {
                    self.state().project_mut(&project.id).services.remove(&id);
                    return Err(refusal);
                }
            };
            self.change_and_deploy(
                &environment,
                &patch,
                &Write {
                    mutation: "serviceCreate",
                    ..Write::default()
                },
            );
        }
        Ok(Done::Object(Which::Service, id))
    }

    pub(super) fn check_name(
        &self,
        project: &Project,
        name: &str,
        id: &str,
    ) -> Result<(), Refusal> {
        let longest = self.state.switches.longest_name;
        if name.is_empty() || name.len() > longest as usize {
            return Err(Refusal::bad_input(&format!(
                "Service name must be between 1 and {longest} characters"
            )));
        }
        let mut services = project.services.values();
        if services.any(|service| service.name == name && service.id != id) {
            return Err(Refusal::bad_input(&format!(
                "A service named \"{name}\" already exists in this project"
            )));
        }
        Ok(())
    }

    /// A copy of another environment is on its own; the others may share what is made in one of them.
    fn scope(&self, project: &Project, named: Option<String>) -> Vec<String> {
        let is_fork = |id: &String| {
            let environment = self.state.environments.get(id);
            environment.is_some_and(|known| known.source_id.is_some() || known.ephemeral)
        };
        let shares = self.state.switches.service_create_scope == ServiceScope::AllUnforked;
        match named {
            Some(only) if is_fork(&only) || !shares => vec![only],
            _ => project
                .environments
                .iter()
                .filter(|id| !is_fork(id))
                .cloned()
                .collect(),
        }
    }

    pub(super) fn service_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let project = self.state.project_of_service(id)?.clone();
        self.caller
            .may_write_project(&project, &self.state.switches)?;
        let input = asked.json("input");
        let now = self.state.now;
        if let Some(name) = optional(&input, "name") {
            self.check_name(&project, &name, id)?;
            self.state().rename_service(&project.id, id, &name);
        }
        let service = self
            .state()
            .project_mut(&project.id)
            .services
            .get_mut(id)
            .expect("the service was looked up before");
        service.updated = now;
        if let Some(icon) = optional(&input, "icon") {
            service.icon = Some(icon);
        }
        if let Some(environment) = project.environments.first() {
            self.note("serviceUpdate", environment, id, "name", None);
        }
        Ok(Done::Object(Which::Service, id.to_string()))
    }

    pub(super) fn service_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let project = self.state.project_of_service(id)?.clone();
        self.caller
            .may_write_project(&project, &self.state.switches)?;
        let everywhere = asked.optional("environmentId").is_none();
        let environments = asked.optional("environmentId").map_or_else(
            || project.environments.clone(),
            |only| vec![only.to_string()],
        );
        for environment in environments {
            self.open(&environment)?;
            let patch = json!({ "services": { id: { "isDeleted": true } } });
            self.change_and_deploy(
                &environment,
                &patch,
                &Write {
                    mutation: "serviceDelete",
                    ..Write::default()
                },
            );
        }
        if everywhere {
            self.state().project_mut(&project.id).services.remove(id);
        }
        yes()
    }

    pub(super) fn service_connect(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let project = self.state.project_of_service(id)?.clone();
        self.caller
            .may_write_project(&project, &self.state.switches)?;
        let input = asked.json("input");
        let mut source = json!({ "image": null, "repo": null, "branch": null });
        config::stack(
            &mut source,
            if input.is_object() {
                &input
            } else {
                &Value::Null
            },
        );
        let source = if source.is_object() {
            source
        } else {
            json!({ "image": null, "repo": null, "branch": null })
        };
        let mut is_everywhere = true;
        for environment in &project.environments {
            let is_here = self.open_instance(environment, id).is_ok();
            is_everywhere &= is_here;
            if is_here {
                let mutation = if asked.field == "serviceConnect" {
                    "serviceConnect"
                } else {
                    "serviceDisconnect"
                };
                self.change_and_deploy(
                    environment,
                    &json!({ "services": { id: { "source": source } } }),
                    &Write {
                        mutation,
                        ..Write::default()
                    },
                );
            }
        }
        if self.state.switches.connect_needs_every_instance && !is_everywhere {
            return Err(Refusal::internal("ServiceInstance not found"));
        }
        Ok(Done::Object(Which::Service, id.to_string()))
    }
}

fn created_part(input: &Value) -> Value {
    let mut part = json!({ "isCreated": true });
    if let Some(source) = input.get("source").filter(|source| source.is_object()) {
        part["source"] = source.clone();
        if let Some(branch) = optional(input, "branch") {
            part["source"]["branch"] = json!(branch);
        }
    }
    if input["registryCredentials"].is_object() {
        part["deploy"] = json!({ "registryCredentials": input["registryCredentials"] });
    }
    if input.get("variables").is_some_and(Value::is_object) {
        part["variables"] = Value::Object(
            config::entries(input.get("variables"))
                .map(|(name, value)| (name.clone(), json!({ "value": value })))
                .collect(),
        );
    }
    part
}
