//! Mutations of projects and environments.

use std::sync::Arc;

use super::{Done, Session, Which, flag, optional, text, yes};
use crate::birth::empty_environment;
use crate::environments::copy_of;
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
        let source = optional(&input, "sourceEnvironmentId");
        let patch = match &source {
            Some(source) => {
                self.open(source)?;
                Some(copy_of(&self.state.environment(source)?.config))
            }
            None => None,
        };
        let (name, author) = (text(&input, "name"), self.caller.author());
        let ephemeral = flag(&input, "ephemeral");
        let duplicate = self.state.seed.timings.duplicate;
        let slow = f64::from(self.state.switches.duplicate_seconds);
        let state = self.state();
        let id = state.add_environment(&project.id, &name, ephemeral, source)?;
        let Some(patch) = patch else {
            return Ok(Done::Object(Which::Environment, id));
        };
        let write = Write {
            mutation: "environmentCreate",
            skip_deploys: flag(&input, "skipInitialDeploys"),
            ..Write::default()
        };
        if flag(&input, "stageInitialChanges") {
            state.stage(&id, patch, true, &author)?;
        } else if flag(&input, "applyChangesInBackground") {
            // The list of environments has it already, its instances come later.
            state.fill_later(duplicate, &id, patch, write);
        } else {
            state.fill_environment(&id, &patch, &write);
            state.slow_seconds = slow;
        }
        Ok(Done::Object(Which::Environment, id))
    }

    pub(super) fn environment_rename(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let project = self.open_project(&self.state.environment(id)?.project_id.clone())?;
        let name = text(&asked.json("input"), "name");
        self.state.check_environment_name(&project.id, &name, id)?;
        self.state().environment_mut(id).name = name;
        Ok(Done::Object(Which::Environment, id.to_string()))
    }

    pub(super) fn environment_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        self.open_project(&self.state.environment(id)?.project_id.clone())?;
        let mut effect =
            self.state
                .effect("environmentDelete", id, vec!["environment".to_string()]);
        effect.destructive = true;
        let state = self.state();
        state.drop_environment(id);
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
            buckets: Default::default(),
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
