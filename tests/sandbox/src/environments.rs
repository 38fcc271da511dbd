//! Environments that come and go: copies of others, made by people, tools and pull requests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::birth::empty_environment;
use crate::by_hand::hand;
use crate::config::{self, entries};
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::patch::Write;
use crate::refusal::Refusal;
use crate::state::{Due, State};

impl State {
    /// An empty environment, and its id.
    pub fn add_environment(
        &mut self,
        project_id: &str,
        name: &str,
        ephemeral: bool,
        source: Option<String>,
    ) -> Result<String, Refusal> {
        self.check_environment_name(project_id, name, "")?;
        let id = self.random.uuid();
        let mut environment = empty_environment(self, id.clone(), project_id, name);
        environment.ephemeral = ephemeral;
        environment.source_id = source;
        self.environments.insert(id.clone(), Arc::new(environment));
        self.project_mut(project_id).environments.push(id.clone());
        self.tell_environment(&id, None, "Environment", "created", json!({ "name": name }));
        Ok(id)
    }

    pub fn check_environment_name(
        &self,
        project_id: &str,
        name: &str,
        own: &str,
    ) -> Result<(), Refusal> {
        let project = self.project(project_id)?;
        let mut others = project
            .environments
            .iter()
            .filter_map(|id| self.environments.get(id));
        if others.any(|other| other.name == name && other.id != own) {
            return Err(Refusal::bad_input(
                "An environment with that name already exists",
            ));
        }
        Ok(())
    }

    /// Everything of an environment is forgotten.
    pub fn drop_environment(&mut self, id: &str) {
        self.tell_environment(id, None, "Environment", "deleted", json!({}));
        let Some(environment) = self.environments.remove(id) else {
            return;
        };
        self.deployments
            .retain(|_, deployment| deployment.environment_id != id);
        let kept = &self.deployments;
        self.agenda.retain(|_, due| due.is_within(kept, id));
        let project = self.project_mut(&environment.project_id);
        project.environments.retain(|known| known != id);
    }

    /// The copy of another environment arrives, and is deployed.
    pub fn fill_environment(&mut self, id: &str, patch: &Value, write: &Write) {
        if !self.environments.contains_key(id) {
            return;
        }
        let services = self.change(id, patch, write);
        let started = services
            .iter()
            .filter_map(|service| {
                let cause = Cause {
                    reason: "deploy",
                    patch_id: None,
                    of: None,
                };
                self.deploy(id, service, Commit::Current, cause)
                    .ok()
                    .flatten()
            })
            .collect();
        self.credit(write, id, started);
    }

    pub fn fill_later(&mut self, seconds: f64, id: &str, patch: Value, write: Write) {
        let environment = id.to_string();
        self.later(
            seconds,
            Due::FillEnvironment {
                environment,
                patch,
                write,
            },
        );
    }

    /// Railway makes an environment for a pull request: a copy of the first one, on the request's branch.
    pub fn open_pull_request(
        &mut self,
        repo: &str,
        number: u32,
        branch: &str,
        title: &str,
    ) -> Result<(), Refusal> {
        for (project_id, base) in self.bases_of(repo) {
            let project = self.project(&project_id)?;
            let name = format!("{}-pr-{number}", project.name);
            let mut patch = copy_of(&self.environments[&base].config);
            let mut base_branch = "main".to_string();
            for (_, service) in patch["services"].as_object_mut().into_iter().flatten() {
                if service["source"]["repo"] == repo {
                    if let Some(old) = service["source"]["branch"].as_str() {
                        base_branch = old.to_string();
                    }
                    service["source"]["branch"] = json!(branch);
                }
            }
            let id = self.add_environment(&project_id, &name, true, Some(base))?;
            self.environment_mut(&id).meta = json!({
                "prNumber": number, "prTitle": title, "prRepo": repo,
                "branch": branch, "baseBranch": base_branch, "skippedResourceIds": {},
            });
            self.fill_environment(&id, &patch, &hand(true));
        }
        Ok(())
    }

    pub fn close_pull_request(&mut self, repo: &str, number: u32) {
        let closed: Vec<String> = self
            .environments
            .values()
            .filter(|environment| {
                environment.meta["prRepo"] == repo && environment.meta["prNumber"] == number
            })
            .map(|environment| environment.id.clone())
            .collect();
        for id in closed {
            self.drop_environment(&id);
        }
    }

    /// The (project, first environment) pairs in which some service is built from the repository.
    fn bases_of(&self, repo: &str) -> Vec<(String, String)> {
        let bases = self.projects.values().filter_map(|project| {
            let mut own = project.environments.iter();
            let base = own.find(|id| !self.environments[*id].ephemeral)?;
            let services = &self.environments[base].config["services"];
            let mut services = entries(Some(services));
            services
                .any(|(_, service)| service["source"]["repo"] == repo)
                .then(|| (project.id.clone(), base.clone()))
        });
        bases.collect()
    }
}

/// A copy for another environment: volumes begin empty, sealed variables and domains stay behind.
pub fn copy_of(document: &Value) -> Value {
    let mut copy = document.clone();
    for (_, volume) in copy["volumes"].as_object_mut().into_iter().flatten() {
        volume["isCreated"] = json!(true);
    }
    for (_, service) in copy["services"].as_object_mut().into_iter().flatten() {
        service["isCreated"] = json!(true);
        if let Some(fields) = service.as_object_mut() {
            fields.remove("networking");
        }
        if let Some(variables) = service.get_mut("variables").and_then(Value::as_object_mut) {
            variables.retain(|_, variable| !config::is_sealed(variable));
        }
    }
    copy
}
