//! Mutations of Railway's own infrastructure as code: preview a change set, apply it, and say how far it has come.

use serde_json::{Value, json};

use super::{Done, Session};
use crate::applied::Apply;
use crate::change_set::Compiled;
use crate::networking::check_change_set;
use crate::node::Asked;
use crate::patch::Write;
use crate::refusal::{Refusal, STALE};
use crate::state::{Bucket, Service};

impl Session<'_> {
    /// What would be done; nothing is.
    pub(super) fn change_set_preview(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let environment = asked.text("environmentId");
        self.open(environment)?;
        let mut input = asked.json("input");
        let mut draft = (**self.state).clone();
        let compiled = draft.compile(environment, &input)?;
        let effects: Vec<Value> = compiled
            .changes
            .iter()
            .map(|change| {
                json!({
                    "address": change["address"],
                    "path": change["path"],
                    "deployEffect": change.get("deployEffect").cloned().unwrap_or(json!("unknown")),
                })
            })
            .collect();
        input["changes"] = json!(compiled.changes);
        Ok(Done::Plain(json!({
            "changeSet": input,
            "diagnostics": compiled.diagnostics,
            "effects": effects,
        })))
    }

    pub(super) fn change_set_apply(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let environment = asked.text("environmentId");
        self.open(environment)?;
        self.check_project_token(self.state.switches.project_token_may_apply)?;
        let input = asked.json("input");
        let known = self.state.environment(environment)?;
        let base = asked.optional("baseConfigEtag");
        if base.is_some_and(|base| base != known.etag_text()) {
            let told = format!(
                "Environment {} changed since this plan was computed",
                known.name
            );
            return Err(Refusal::new(&told, STALE));
        }
        let project_id = known.project_id.clone();
        let compiled = self.state().compile(environment, &input)?;
        if let Some(wrong) = compiled.diagnostics.first() {
            let told = wrong["message"].as_str().unwrap_or_default();
            return Err(Refusal::bad_input(told));
        }
        if !compiled.made.services.is_empty() {
            self.open_project(&project_id)?;
        }
        let patch = self.make_resources(&project_id, environment, &compiled)?;
        let message = asked.optional("commitMessage").map(str::to_string);
        let author = self.caller.author();
        let write = Write {
            mutation: "environmentApplyChangeSet",
            is_patch: true,
            ..Write::default()
        };
        let waits = asked.flag("waitForCompletion").unwrap_or(true);
        let state = self.state();
        let patch_id = match patch.as_object().is_some_and(|patch| patch.is_empty()) {
            true => None,
            false => Some(state.commit(environment, patch, message, &author, write)?),
        };
        for (service, name) in &compiled.renames {
            state.rename_service(&project_id, service, name);
        }
        let id = state.random.uuid();
        let apply = Apply {
            environment: environment.to_string(),
            patch_id,
            changes: compiled.changes,
        };
        state.applies.insert(id.clone(), apply);
        if waits {
            state.slow_seconds = f64::from(state.switches.patch_apply_lag);
        }
        let mut told = self.state.apply_status(&id)?;
        // Who waits is told the end, however long it took.
        if waits && told["status"] == "applying" {
            told["status"] = json!("applied");
        }
        Ok(Done::Plain(told))
    }

    /// What belongs to the project is made there first, and taken back if the environment refuses the rest.
    fn make_resources(
        &mut self,
        project_id: &str,
        environment: &str,
        compiled: &Compiled,
    ) -> Result<Value, Refusal> {
        let (now, made) = (self.state.now, &compiled.made);
        let before = self.state.project(project_id)?.clone();
        for name in made.services.keys() {
            self.check_name(&before, name, "")?;
        }
        let state = self.state();
        for (name, id) in &made.services {
            let service = Service {
                id: id.clone(),
                name: name.clone(),
                icon: None,
                created: now,
                updated: now,
            };
            let services = &mut state.project_mut(project_id).services;
            services.insert(id.clone(), service);
        }
        for (name, id) in &made.volumes {
            state.add_volume(project_id, id, name);
        }
        for (name, id) in &made.buckets {
            let bucket = Bucket {
                id: id.clone(),
                name: name.clone(),
                created: now,
            };
            let buckets = &mut state.project_mut(project_id).buckets;
            buckets.insert(id.clone(), bucket);
        }
        let checked = check_change_set(
            &compiled.patch,
            &self.state.environments[environment].config,
        )
        .and_then(|()| self.state.checked(environment, compiled.patch.clone()));
        if checked.is_err() {
            self.state().projects.insert(project_id.to_string(), before);
        }
        checked
    }
}
