//! The steps that bring a service in step: what is stored, what should run, and how it fares.

use super::Spec;
use super::carried::{self, Load, is_explained};
use super::content::{self, Wanted};
use super::settings::{self, Wish};
use crate::kinds::demand::{Demand, Needed};
use crate::kinds::difference::Then;
use crate::kinds::environment::Rollback;
use crate::kinds::step::{Ask, Asked, Cause, Effect, NOTE, Step};
use crate::kinds::variable::{self, Variable};
use crate::kinds::{Declared, Documents, shown};
use crate::problem::nearest;
use crate::source::Origin;
use crate::world::railway::{Named, Question, Railway, Service, SettingName, Settings, Source};
use crate::world::{SETTLING, Seen, World};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a service is planned with beside its own document.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// All documents of the environment.
    pub documents: &'a Documents,
    /// When a release is put back by itself.
    pub rollback: Option<Rollback>,
    /// Whether a patch that takes something from it deploys it anyway.
    pub is_patched: bool,
    /// The shared variables that the Environment declares.
    pub shared: &'a BTreeMap<String, Variable>,
    /// What other documents need of it.
    pub demands: &'a [Demand],
    /// What was seen.
    pub world: &'a World,
    /// The present moment.
    pub now: Timestamp,
}

/// The steps that bring one service in step (design rule 5).
pub fn steps(declared: &Declared<Spec>, around: Around<'_>) -> Asked {
    let railway = match &around.world.railway {
        Seen::Facts(railway) => railway,
        Seen::Unseen(reason) => return unseen(declared, reason),
        Seen::Unasked => return Asked::default(),
    };
    match railway.services.get(&declared.name) {
        Some(Seen::Facts(seen)) => Asking {
            declared,
            seen,
            railway,
            around,
            wishes: settings::wishes(declared, around.demands, seen),
            asked: Asked::default(),
        }
        .all(),
        Some(Seen::Unseen(reason)) => unseen(declared, reason),
        Some(Seen::Unasked) => Asked::default(),
        None => missing(declared, railway),
    }
}

fn plain_step(declared: &Declared<Spec>, verb: &'static str, ask: Ask) -> Step {
    Step {
        origin: Some(declared.document.origin.clone()),
        ..declared.step("service", verb, ask)
    }
}

fn unseen(declared: &Declared<Spec>, reason: &str) -> Asked {
    Asked {
        steps: vec![plain_step(declared, "look", Ask::Unseen(reason.to_owned()))],
        ..Asked::default()
    }
}

/// The controller creates no services: it names the command that does.
fn missing(declared: &Declared<Spec>, railway: &Railway) -> Asked {
    let name = &declared.name;
    let near = nearest(name, railway.services.keys().map(String::as_str));
    let (by, way_out) = if railway.elsewhere.contains(name) {
        let by = format!(
            "{name} exists in project {} but not in environment {}",
            railway.project.name, railway.environment.name
        );
        (
            by,
            format!(
                "add it to the environment in Railway's dashboard (sync the service from another environment), or take Service/{name} out"
            ),
        )
    } else {
        let by = format!(
            "there is no service {name} in project {}",
            railway.project.name
        );
        let meant = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        (by, format!("railway add --service {name}{meant}"))
    };
    Asked {
        steps: vec![plain_step(
            declared,
            "make",
            Ask::Hold {
                by,
                way_out,
                cause: Cause::Missing,
            },
        )],
        ..Asked::default()
    }
}

/// What was stored so lately that its deployment may not show yet.
pub(super) fn not_yet(at: Timestamp) -> Ask {
    let deadline = at.saturating_add(SETTLING).unwrap_or(Timestamp::MAX);
    Ask::Wait {
        until: format!("Railway shows the deployment of what was stored at {at:.0}"),
        deadline,
        then: "look again".to_owned(),
    }
}

/// One service with everything that its steps are decided from.
pub(super) struct Asking<'a> {
    pub declared: &'a Declared<Spec>,
    pub seen: &'a Service,
    pub railway: &'a Railway,
    pub around: Around<'a>,
    /// The settings as they should be.
    pub wishes: Vec<Wish>,
    pub asked: Asked,
}

impl Asking<'_> {
    fn all(mut self) -> Asked {
        let wanted = self.wanted();
        self.ask_for_history();
        if self.declared.spec.stopped == Some(true) {
            self.stop(wanted.as_ref());
            return self.asked;
        }
        let wanted = wanted.and_then(|wanted| self.unless_refused(wanted));
        let deploys = self.set(self.differences(), wanted.as_ref()) || self.around.is_patched;
        self.push_to_deploy();
        match &wanted {
            Some(wanted) => self.release(wanted, deploys),
            None if deploys => self.planned_restart(),
            None => self.run(None),
        }
        self.asked
    }

    fn wanted(&mut self) -> Option<Wanted> {
        let around = self.around;
        let wanted = content::wanted(
            self.declared,
            &around.documents.releases,
            around.demands,
            &self.seen.source,
        );
        match wanted {
            Ok(wanted) => wanted,
            Err(by) => {
                self.hold(
                    "image",
                    "release",
                    by,
                    "declare what fits its source, or change the source in Railway",
                    Cause::Missing,
                );
                None
            }
        }
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.declared.spec
    }

    pub(super) fn named(&self) -> Named {
        Named {
            id: self.seen.id.clone(),
            name: self.declared.name.clone(),
        }
    }

    /// The settings as they will be stored.
    pub(super) fn wanted_settings(&self) -> Settings {
        let mut settings = self.seen.settings.clone();
        for wish in &self.wishes {
            settings.set(wish.value.clone());
        }
        settings
    }

    /// The settings that somebody manages.
    pub(super) fn managed_settings(&self) -> BTreeSet<SettingName> {
        self.wishes.iter().map(|wish| wish.value.name()).collect()
    }

    /// The variables that somebody manages.
    pub(super) fn managed_variables(&self) -> BTreeSet<String> {
        let demanded = self
            .around
            .demands
            .iter()
            .filter_map(|demand| match &demand.what {
                Needed::Variable { name, .. } | Needed::Otherwise { name, .. } => {
                    Some(name.clone())
                }
                Needed::Image(_) => None,
            });
        self.spec()
            .variables
            .keys()
            .cloned()
            .chain(demanded)
            .collect()
    }

    pub(super) fn step(
        &self,
        field: &str,
        verb: &'static str,
        why: String,
        origin: &Origin,
        effect: Effect,
        ask: Ask,
    ) -> Step {
        let deploys = matches!(
            effect,
            Effect::Redeploy
                | Effect::Rebuild
                | Effect::Downtime
                | Effect::DataLoss
                | Effect::Instant
        );
        Step {
            of: self.declared.address(),
            field: field.to_owned(),
            verb,
            from: None,
            to: None,
            why,
            origin: Some(origin.clone()),
            effect,
            undo: "revert",
            deploys: if deploys {
                vec![self.declared.name.clone()]
            } else {
                Vec::new()
            },
            loses: None,
            closes: false,
            after: Vec::new(),
            ask,
        }
    }

    pub(super) fn hold(
        &mut self,
        field: &str,
        verb: &'static str,
        by: String,
        way_out: &str,
        cause: Cause,
    ) {
        let why = format!("Service/{}", self.declared.name);
        let ask = Ask::Hold {
            by,
            way_out: way_out.to_owned(),
            cause,
        };
        let step = self.step(
            field,
            verb,
            why,
            &self.declared.document.origin,
            Effect::Nothing,
            ask,
        );
        self.asked.steps.push(step);
    }

    /// What a deployment means for this service.
    pub(super) fn deploying(&self) -> Effect {
        match (&self.seen.source, self.seen.has_volume) {
            (_, true) => Effect::Downtime,
            (Source::Repository { .. }, false) => Effect::Rebuild,
            (Source::Image(_) | Source::Nothing, false) => Effect::Redeploy,
        }
    }

    /// What a deployment of a kept image means for this service.
    pub(super) fn redeploying(&self) -> Effect {
        if self.seen.has_volume {
            Effect::Downtime
        } else {
            Effect::Redeploy
        }
    }

    /// The history is asked for when something points to a change that the newest deployment may lack, or to a one-shot;
    /// when it does not explain the change either, so is when variables were written.
    fn ask_for_history(&mut self) {
        let rotates =
            variable::rotates(self.spec().variables.values()) || self.spec().registry.is_some();
        let made = self.seen.newest.as_ref().map(|newest| newest.created_at);
        let is_changed_since = self
            .seen
            .updated_at
            .is_none_or(|updated| made.is_none_or(|made| updated > made));
        if self.railway.history == Seen::Unasked {
            if rotates || is_changed_since || self.uses_shared() {
                self.asked.questions.insert(Question::History.into());
            }
        } else if self.railway.written == Seen::Unasked
            && (is_changed_since && self.is_unexplained() || self.is_close())
        {
            self.asked.questions.insert(Question::Written.into());
        }
    }

    /// Whether something was changed past the patches, perhaps a managed variable.
    fn is_unexplained(&self) -> bool {
        !self.managed_variables().is_empty()
            && self.seen.newest.is_some()
            && self.seen.updated_at.is_some()
            && !is_explained(self.seen, self.railway)
    }

    fn is_close(&self) -> bool {
        let (settings, variables) = (self.managed_settings(), self.managed_variables());
        carried::is_close(&self.load(None, &settings, &variables))
    }

    /// What is asked of a deployment, given what somebody manages.
    pub(super) fn load<'l>(
        &'l self,
        wanted: Option<&'l Wanted>,
        settings: &'l BTreeSet<SettingName>,
        variables: &'l BTreeSet<String>,
    ) -> Load<'l> {
        Load {
            service: self.seen,
            railway: self.railway,
            wanted,
            spec: self.spec(),
            settings,
            variables,
            now: self.around.now,
        }
    }

    /// Whether it refers to a shared variable that is managed: when that changes, the service itself does not.
    fn uses_shared(&self) -> bool {
        let variables = self.seen.variables.facts().into_iter().flatten();
        let mut values = variables.filter_map(|(_, variable)| variable.value.as_ref());
        values.any(|value| {
            let mut shared = self.around.shared.keys();
            shared.any(|name| variable::refers_to_shared(value.reveal(), name))
        })
    }

    /// What a stopped service is not given now.
    pub(super) fn put_off(&mut self, wanted: Option<&Wanted>) {
        let mut waiting: Vec<String> = self
            .differences()
            .into_iter()
            .filter(|difference| matches!(difference.then, Then::Set(_)))
            .map(|difference| difference.field)
            .collect();
        if let (Some(content::Content::Image(image)), Source::Image(stored)) =
            (wanted.map(|wanted| &wanted.content), &self.seen.source)
            && !content::is_same_image(image, stored)
        {
            waiting.push("image".to_owned());
        }
        if waiting.is_empty() {
            return;
        }
        let ask = Ask::Told(format!(
            "kept for when it starts: {}",
            shown::few(&waiting, 5)
        ));
        let origin = self.declared.document.origin.clone();
        let why = format!("Service/{}", self.declared.name);
        let step = self.step("stopped", NOTE, why, &origin, Effect::Nothing, ask);
        self.asked.steps.push(step);
    }
}
