//! Mutations of stored configuration: patches, staged changes, variables, instances.

use serde_json::{Map, Value, json};

use super::{Done, Session, Which, flag, optional, text, yes};
use crate::config;
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::node::Asked;
use crate::patch::Write;
use crate::refusal::Refusal;
use crate::variables;

impl Session<'_> {
    pub(super) fn patch_commit(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let environment = asked.text("environmentId");
        self.open(environment)?;
        let (patch, message, author) = (
            asked.json("patch"),
            asked.optional("commitMessage").map(str::to_string),
            self.caller.author(),
        );
        if patch.is_null() {
            return Err(Refusal::bad_input("No patch to apply"));
        }
        let write = Write {
            mutation: "environmentPatchCommit",
            is_patch: true,
            ..Write::default()
        };
        let id = self
            .state()
            .commit(environment, patch, message, &author, write)?;
        Ok(Done::Leaf(
            format!("commitChanges/{environment}/{id}").into(),
        ))
    }

    pub(super) fn commit_staged(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let environment = asked.text("environmentId");
        self.open(environment)?;
        let (message, author) = (
            asked.optional("commitMessage").map(str::to_string),
            self.caller.author(),
        );
        let skip_deploys = asked.flag("skipDeploys").unwrap_or(false);
        let write = Write {
            mutation: "environmentPatchCommitStaged",
            skip_deploys,
            is_patch: true,
            ..Write::default()
        };
        let id = self
            .state()
            .commit_staged(environment, message, &author, write)?;
        Ok(Done::Leaf(
            format!("commitChanges/{environment}/{id}").into(),
        ))
    }

    pub(super) fn stage(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let environment = asked.text("environmentId");
        self.open(environment)?;
        let merge = asked
            .flag("merge")
            .unwrap_or(self.state.switches.stage_merge_default);
        let (input, author) = (asked.json("input"), self.caller.author());
        self.state().stage(environment, input, merge, &author)?;
        let effect = self.state.effect(
            "environmentStageChanges",
            environment,
            vec!["staged".to_string()],
        );
        self.state().outbox.push(effect);
        Ok(Done::Object(Which::Staged, environment.to_string()))
    }

    pub(super) fn write_variables(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service) = (text(&input, "environmentId"), optional(&input, "serviceId"));
        match &service {
            Some(service) => self.open_instance(&environment, service)?,
            None => self.open(&environment)?,
        }
        if self.state.environment(&environment)?.project_id != text(&input, "projectId") {
            return Err(Refusal::not_authorized());
        }
        let known: Vec<String> =
            variables::section(self.state.environment(&environment)?, service.as_deref())
                .map(|(name, _)| name.clone())
                .collect();
        let (mutation, values, skip_deploys) = match asked.field {
            "variableDelete" => (
                "variableDelete",
                deletion(&input, &known)?,
                !self.state.switches.variable_delete_deploys,
            ),
            "variableUpsert" => {
                let name = text(&input, "name");
                (
                    "variableUpsert",
                    Map::from_iter([(name, json!({ "value": input["value"] }))]),
                    flag(&input, "skipDeploys"),
                )
            }
            _ => (
                "variableCollectionUpsert",
                collection(&input, &known)?,
                flag(&input, "skipDeploys"),
            ),
        };
        let patch = match &service {
            Some(service) => json!({ "services": { service: { "variables": values } } }),
            None => json!({ "sharedVariables": values }),
        };
        let write = Write {
            mutation,
            skip_deploys,
            ..Write::default()
        };
        self.change_and_deploy(&environment, &patch, &write);
        yes()
    }

    pub(super) fn instance_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let service = asked.text("serviceId");
        let environments = match asked.optional("environmentId") {
            Some(environment) => vec![environment.to_string()],
            None => {
                let project = self.state.project_of_service(service)?.clone();
                self.caller
                    .may_write_project(&project, &self.state.switches)?;
                project.environments.clone()
            }
        };
        let mut part = instance_patch(&asked.json("input"));
        if self.state.switches.update_without_source_clears && part.get("source").is_none() {
            part["source"] = json!({ "image": null, "repo": null });
        }
        for environment in environments {
            if asked.optional("environmentId").is_some() {
                self.open_instance(&environment, service)?;
            } else if self.open_instance(&environment, service).is_err() {
                continue;
            }
            let patch = self.state.checked(
                &environment,
                json!({ "services": { service: part.clone() } }),
            )?;
            let skip_deploys = !self.state.switches.instance_update_deploys;
            let write = Write {
                mutation: "serviceInstanceUpdate",
                skip_deploys,
                ..Write::default()
            };
            self.change_and_deploy(&environment, &patch, &write);
        }
        yes()
    }

    /// Stored at once, like an update of the instance.
    pub(super) fn limits_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service) = (text(&input, "environmentId"), text(&input, "serviceId"));
        self.open_instance(&environment, &service)?;
        let mut containers = Map::new();
        if let Some(cpu) = input.get("vCPUs") {
            containers.insert("cpu".into(), cpu.clone());
        }
        if let Some(memory) = input.get("memoryGB") {
            let bytes = memory.as_f64().map(|gigabytes| (gigabytes * 1e9) as u64);
            containers.insert("memoryBytes".into(), json!(bytes));
        }
        let limits = json!({ "deploy": { "limitOverride": { "containers": containers } } });
        let patch = json!({ "services": { &service: limits } });
        let patch = self.state.checked(&environment, patch)?;
        let write = Write {
            mutation: "serviceInstanceLimitsUpdate",
            skip_deploys: !self.state.switches.instance_update_deploys,
            ..Write::default()
        };
        self.change_and_deploy(&environment, &patch, &write);
        yes()
    }

    pub(super) fn change_and_deploy(&mut self, environment: &str, patch: &Value, write: &Write) {
        let state = self.state();
        let services = state.change(environment, patch, write);
        let cause = || Cause {
            reason: "deploy",
            patch_id: None,
            of: None,
        };
        let started = services
            .iter()
            .filter_map(|service| {
                state
                    .deploy(environment, service, Commit::Current, cause())
                    .ok()
                    .flatten()
            })
            .collect();
        state.credit(write, environment, started);
    }

    pub(super) fn auto_deploy(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service, enabled) = (
            text(&input, "environmentId"),
            text(&input, "serviceId"),
            flag(&input, "enabled"),
        );
        self.open_instance(&environment, &service)?;
        let instance = self
            .state()
            .environment_mut(&environment)
            .instances
            .get_mut(&service);
        instance.expect("the instance was just opened").auto_deploy = enabled;
        self.note(
            "serviceInstanceAutoDeployUpdate",
            &environment,
            &service,
            "autoDeploy",
            None,
        );
        Ok(Done::Plain(json!({ "enabled": enabled })))
    }
}

/// The configuration that an update of an instance stands for.
fn instance_patch(input: &Value) -> Value {
    let mut part = json!({});
    for (key, value) in config::entries(Some(input)) {
        let (section, key) = match key.as_str() {
            "source" => {
                config::stack(&mut part, &json!({ "source": value }));
                continue;
            }
            "railwayConfigFile" => {
                part["configFile"] = value.clone();
                continue;
            }
            "rootDirectory" => ("source", "rootDirectory"),
            "builder" | "buildCommand" | "dockerfilePath" | "nixpacksPlan" | "watchPatterns" => {
                ("build", key.as_str())
            }
            _ => ("deploy", key.as_str()),
        };
        part[section][key] = value.clone();
    }
    part
}

fn deletion(input: &Value, known: &[String]) -> Result<Map<String, Value>, Refusal> {
    let name = text(input, "name");
    if !known.contains(&name) {
        return Err(Refusal::bad_input("Variable not found"));
    }
    Ok(Map::from_iter([(name, Value::Null)]))
}

fn collection(input: &Value, known: &[String]) -> Result<Map<String, Value>, Refusal> {
    let Some(given) = input["variables"].as_object() else {
        return Err(Refusal::bad_input("variables must be an object"));
    };
    let mut values: Map<String, Value> = match flag(input, "replace") {
        true => known
            .iter()
            .map(|name| (name.clone(), Value::Null))
            .collect(),
        false => Map::new(),
    };
    for (name, value) in given {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        values.insert(name.clone(), json!({ "value": value }));
    }
    Ok(values)
}
