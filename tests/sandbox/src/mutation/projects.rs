//! Mutations of projects and environments.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Done, Session, Which, flag, optional, text, yes};
use crate::birth::empty_environment;
use crate::config;
use crate::node::Asked;
use crate::patch::Write;
use crate::refusal::Refusal;
use crate::seed::TokenKind;
use crate::state::Project;

impl Session<'_> {
    pub(super) fn environment_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let project = self.open_project(&text(&input, "projectId"))?;
        self.caller
            .check_kind(&[TokenKind::Account, TokenKind::Workspace])?;
        self.check_pace("projects")?;
        let name = text(&input, "name");
        if project
            .environments
            .iter()
            .filter_map(|id| self.state.environments.get(id))
            .any(|known| known.name == name)
        {
            return Err(Refusal::bad_input(
                "An environment with that name already exists",
            ));
        }
        let state = self.state();
        let id = state.random.uuid();
        let mut environment = empty_environment(state, id.clone(), &project.id, &name);
        environment.ephemeral = flag(&input, "ephemeral");
        environment.source_id = optional(&input, "sourceEnvironmentId");
        let source = environment.source_id.clone();
        state.environments.insert(id.clone(), Arc::new(environment));
        state.project_mut(&project.id).environments.push(id.clone());
        if let Some(source) = source {
            self.open(&source)?;
            let patch = copy_of(&self.state.environment(&source)?.config);
            let write = Write {
                mutation: "environmentCreate",
                skip_deploys: flag(&input, "skipInitialDeploys"),
                ..Write::default()
            };
            self.change_and_deploy(&id, &patch, &write);
        }
        Ok(Done::Object(Which::Environment, id))
    }

    pub(super) fn environment_rename(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        self.open_project(&self.state.environment(id)?.project_id.clone())?;
        let name = text(&asked.json("input"), "name");
        self.state().environment_mut(id).name = name;
        Ok(Done::Object(Which::Environment, id.to_string()))
    }

    pub(super) fn environment_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let project = self.open_project(&self.state.environment(id)?.project_id.clone())?;
        let mut effect =
            self.state
                .effect("environmentDelete", id, vec!["environment".to_string()]);
        effect.destructive = true;
        let state = self.state();
        state.environments.remove(id);
        state
            .deployments
            .retain(|_, deployment| deployment.environment_id != id);
        let kept = &state.deployments;
        state.agenda.retain(|_, due| due.is_within(kept, id));
        state
            .project_mut(&project.id)
            .environments
            .retain(|known| known != id);
        state.outbox.push(effect);
        yes()
    }

    pub(super) fn project_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        self.caller
            .check_kind(&[TokenKind::Account, TokenKind::Workspace])?;
        self.check_pace("projects")?;
        let input = asked.json("input");
        let state = self.state();
        let (id, environment_id, now) = (state.random.uuid(), state.random.uuid(), state.now);
        let name = optional(&input, "name").unwrap_or_else(|| format!("project-{}", &id[..4]));
        let project = Project {
            id: id.clone(),
            name,
            description: optional(&input, "description"),
            created: now,
            updated: now,
            services: Default::default(),
            volumes: Default::default(),
            environments: vec![environment_id.clone()],
        };
        state.projects.insert(id.clone(), Arc::new(project));
        let first =
            optional(&input, "defaultEnvironmentName").unwrap_or_else(|| "production".into());
        let environment = empty_environment(state, environment_id.clone(), &id, &first);
        state
            .environments
            .insert(environment_id, Arc::new(environment));
        Ok(Done::Object(Which::Project, id))
    }

    pub(super) fn project_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        self.open_project(id)?;
        let (input, now) = (asked.json("input"), self.state.now);
        let project = self.state().project_mut(id);
        project.updated = now;
        if let Some(name) = optional(&input, "name") {
            project.name = name;
        }
        if let Some(description) = optional(&input, "description") {
            project.description = Some(description);
        }
        Ok(Done::Object(Which::Project, id.to_string()))
    }
}

/// A copy for another environment: sealed variables and volumes stay behind.
fn copy_of(document: &Value) -> Value {
    let mut copy = json!({ "services": document["services"].clone(), "sharedVariables": document["sharedVariables"].clone() });
    for service in copy["services"]
        .as_object_mut()
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        service["isCreated"] = json!(true);
        if let Some(fields) = service.as_object_mut() {
            fields.remove("volumeMounts");
        }
        if let Some(variables) = service.get_mut("variables").and_then(Value::as_object_mut) {
            *variables = std::mem::take(variables)
                .into_iter()
                .filter(|(_, variable)| !config::is_sealed(variable))
                .collect();
        }
    }
    copy
}
