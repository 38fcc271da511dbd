//! The product's requests, as Railway takes or refuses them.

use super::super::deployment::{Made, is_kept};
use super::super::switches::OverStaged;
use super::super::view::long_region;
use super::state::{Part, SHARED, Stamp, Stored};
use super::{Author, Model, Start, is_known};
use jiff::Timestamp;
use reconciler::plan::write::{What, Write};
use reconciler::providers::Secrets;
use reconciler::world::railway::{Action, Change, Setting, SettingValue, Source, VariableValue};
use reconciler::world::{Failure, Seen};
use std::collections::BTreeMap;
use std::sync::Arc;

fn refused(words: &str) -> Failure {
    Failure::Refused(words.to_owned())
}

/// Railway's words for anything that it does not know.
fn problem() -> Failure {
    refused("Problem processing request")
}

impl Model {
    /// One request of the product.
    ///
    /// # Errors
    /// As Railway answers.
    pub fn perform(
        &mut self,
        write: &Write,
        message: &str,
        secrets: &Secrets,
        request: usize,
    ) -> Result<(), Failure> {
        let author = Author::Product(request);
        match &write.what {
            What::Patch(changes) => self.patch_of(changes, message, secrets, author),
            What::One(Action::Change(change)) => {
                self.patch_of(std::slice::from_ref(change), message, secrets, author)
            }
            What::One(action) => self.act(action, author),
            What::Redis(_) => Err(problem()),
        }
    }

    fn act(&mut self, action: &Action, author: Author) -> Result<(), Failure> {
        let service = action.service().ok_or_else(problem)?;
        self.known(&service.name, &service.id)?;
        let name = service.name.as_str();
        match action {
            Action::Change(_) => Err(problem()),
            Action::Store {
                image, settings, ..
            } => self.store_image(name, image, settings, author),
            Action::StoreStart { image, start, .. } => {
                let settings = [SettingValue::Start(Some(start.clone()))];
                self.store_image(name, image, &settings, author)
            }
            Action::SetVariable {
                name: variable,
                value,
                ..
            } => {
                self.direct(name, variable, value, author);
                Ok(())
            }
            Action::Deploy { commit, .. } => self.deploy(name, commit.as_deref(), author),
            Action::Redeploy { deployment, .. } => self.redeploy(name, deployment, author),
            Action::Rollback { deployment, .. } => self.roll_back(name, deployment, author),
            Action::Stop { deployment, .. } => self.stop(name, deployment, author),
            Action::PushToDeploy { enabled, .. } => self.set_push(name, *enabled, author),
            Action::Delete { .. } => {
                self.delete(name, author);
                Ok(())
            }
        }
    }

    fn known(&self, name: &str, id: &str) -> Result<(), Failure> {
        match self.state.services.get(name) {
            Some(stored) if stored.id == id => Ok(()),
            Some(_) | None => Err(problem()),
        }
    }

    fn patch_of(
        &mut self,
        changes: &[Change],
        message: &str,
        secrets: &Secrets,
        author: Author,
    ) -> Result<(), Failure> {
        let mut parts = Vec::new();
        for change in changes {
            let name = match change.of.service() {
                Some(service) => {
                    self.known(&service.name, &service.id)?;
                    service.name.clone()
                }
                None => SHARED.to_owned(),
            };
            parts.push((name, part(&change.set, secrets)?));
        }
        self.check(&parts)?;
        if !self.state.staged.is_empty() && self.switches.over_staged == OverStaged::Refuses {
            return Err(Failure::Passing(
                "Environment has changes that are not applied yet, please try again".to_owned(),
            ));
        }
        self.patch(parts, message, author);
        Ok(())
    }

    /// What Railway, or a policy of the workspace, refuses.
    ///
    /// # Errors
    /// In Railway's words.
    pub fn check(&self, parts: &[(String, Part)]) -> Result<(), Failure> {
        let mut placed: BTreeMap<&str, Stored> = BTreeMap::new();
        let stamp = Stamp::of(Author::Person, &self.switches, Timestamp::MIN);
        for (service, part) in parts {
            match part {
                Part::Image(image) if image.contains("/forbidden/") => {
                    return Err(refused("image blocked by a workspace policy"));
                }
                Part::Replicas(_) | Part::Plain(SettingValue::Cron(_)) => {
                    let stored = || (*self.state.services[service]).clone();
                    placed
                        .entry(service)
                        .or_insert_with(stored)
                        .set(part, &stamp);
                }
                Part::Image(_)
                | Part::Commit(_)
                | Part::Plain(_)
                | Part::Registry(..)
                | Part::Variable(..) => {}
            }
        }
        for after in placed.values() {
            if after.placement.values().any(|count| *count == 0) {
                return Err(refused("numReplicas must be at least 1"));
            }
            let several = after.placement.values().sum::<u32>() > 1;
            if several && after.has_volume {
                return Err(refused("Replicas cannot be used with volumes"));
            }
            if several && after.settings.cron.is_some() {
                return Err(refused("Replicas cannot be used with a cron schedule"));
            }
        }
        Ok(())
    }

    /// Deploys what is stored.
    ///
    /// # Errors
    /// Where the commit does not fit.
    pub fn deploy(
        &mut self,
        service: &str,
        commit: Option<&str>,
        author: Author,
    ) -> Result<(), Failure> {
        if commit.is_some_and(|commit| !is_known(commit)) {
            return Err(refused("Commit not found"));
        }
        let load = self.load(service, commit).ok_or_else(problem)?;
        self.start(service, load, Start::by(author, Made::FromStored));
        Ok(())
    }

    /// Deploys again what a deployment ran.
    ///
    /// # Errors
    /// Where there is none such, or it is still on its way.
    pub fn redeploy(
        &mut self,
        service: &str,
        deployment: &str,
        author: Author,
    ) -> Result<(), Failure> {
        let stored = self.state.services.get(service).ok_or_else(problem)?;
        let Some(run) = stored
            .runs
            .iter()
            .find(|run| run.id == deployment)
            .filter(|run| run.up_at <= self.now)
        else {
            return Err(refused("Deployment cannot be redeployed"));
        };
        let mut load = run.load.clone();
        if self.switches.redeploy_takes_current {
            let current = stored.load(None, &self.state.shared);
            (load.variables, load.shared) = (current.variables, current.shared);
            load.settings = current.settings;
        }
        self.start(service, load, Start::by(author, Made::Redeployed));
        Ok(())
    }

    /// Goes back to a kept deployment: its image, its settings and its variables, while what is stored stays.
    ///
    /// # Errors
    /// Where Railway does not keep it.
    pub fn roll_back(
        &mut self,
        service: &str,
        deployment: &str,
        author: Author,
    ) -> Result<(), Failure> {
        let stored = self.state.services.get(service).ok_or_else(problem)?;
        let kept = (0..stored.runs.len())
            .find(|position| stored.runs[*position].id == deployment)
            .filter(|position| is_kept(&stored.runs, *position, self.now))
            .map(|position| Arc::clone(&stored.runs[position]));
        let Some(kept) = kept else {
            return Err(refused("Deployment cannot be rolled back"));
        };
        let patch = kept
            .patch
            .clone()
            .filter(|_| self.switches.rollback_copies_patch_id);
        let start = Start {
            patch,
            ..Start::by(author, Made::RolledBack)
        };
        self.start(service, kept.load.clone(), start);
        Ok(())
    }

    fn store_image(
        &mut self,
        service: &str,
        image: &str,
        settings: &[SettingValue],
        author: Author,
    ) -> Result<(), Failure> {
        // Railway's update of an instance has no field for them (`ServiceInstanceUpdateInput`).
        if settings
            .iter()
            .any(|value| matches!(value, SettingValue::Limits(_)))
        {
            return Err(problem());
        }
        let stamp = Stamp::of(author, &self.switches, self.now);
        let differs = self.change(author, false, |state| {
            let Some(stored) = state.service_mut(service) else {
                return false;
            };
            stored.updated_at = stamp.now;
            let mut differs = stored.set(&Part::Image(image.to_owned()), &stamp);
            for value in settings {
                differs |= stored.set(&Part::Plain(value.clone()), &stamp);
            }
            differs
        });
        if self.switches.store_image_deploys
            && differs
            && let Some(load) = self.load(service, None)
        {
            self.start(service, load, Start::by(author, Made::ByStoring));
        }
        Ok(())
    }

    fn stop(&mut self, service: &str, deployment: &str, author: Author) -> Result<(), Failure> {
        let now = self.now;
        let is_found = self.change(author, false, |state| {
            let stored = state.service_mut(service)?;
            let run = stored.runs.iter_mut().find(|run| run.id == deployment)?;
            let run = Arc::make_mut(run);
            run.stopped_at = run.stopped_at.or(Some(now));
            Some(())
        });
        is_found.ok_or_else(problem)
    }

    fn set_push(&mut self, service: &str, enabled: bool, author: Author) -> Result<(), Failure> {
        let repository = matches!(
            self.state.services[service].source,
            Source::Repository { .. }
        );
        if !repository {
            return Err(refused("Service has no repository"));
        }
        self.change(author, false, |state| {
            if let Some(stored) = state.service_mut(service) {
                stored.push_to_deploy = enabled;
            }
        });
        Ok(())
    }

    /// Takes a service out of the environment.
    pub fn delete(&mut self, service: &str, author: Author) {
        self.change(author, false, |state| {
            state.services.remove(service);
            state.staged.retain(|(of, _)| of != service);
        });
    }
}

fn part(set: &Setting, secrets: &Secrets) -> Result<Part, Failure> {
    let value = |value: &VariableValue| match value {
        VariableValue::Absent => Ok(None),
        VariableValue::Text(text) => Ok(Some((text.clone(), false))),
        VariableValue::Secret { name, sealed } => match secrets.get(name) {
            Some(Seen::Facts(secret)) => Ok(Some((secret.reveal().to_owned(), *sealed))),
            Some(Seen::Unseen(_) | Seen::Unasked) | None => {
                Err(Failure::Refused(format!("the secret {name} is not there")))
            }
        },
    };
    let text = |of: &VariableValue| Ok(value(of)?.map(|(text, _)| text).unwrap_or_default());
    Ok(match set {
        Setting::Image(image) => Part::Image(image.clone()),
        Setting::Commit(commit) => Part::Commit(commit.clone()),
        Setting::Plain(value) => Part::Plain(value.clone()),
        Setting::Registry { username, password } => {
            Part::Registry(text(username)?, text(password)?)
        }
        Setting::Replicas(regions) => Part::Replicas(
            regions
                .iter()
                .map(|(region, count)| (long_region(region).to_owned(), *count))
                .collect(),
        ),
        Setting::Variable { name, value: of } => Part::Variable(name.clone(), value(of)?),
    })
}
