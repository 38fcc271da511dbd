//! The steps that bring a service in step: what is stored, what should run, and how it fares.

use super::carried::{self, Load, is_explained};
use super::content::{self, Wanted};
use super::fares::unknown;
use super::settings::{self, Wish};
use super::way_back::runs_already;
use super::{Spec, placement};
use crate::kinds::demand::{Demand, Needed};
use crate::kinds::difference::{Difference, Then};
use crate::kinds::environment::Rollback;
use crate::kinds::step::{Ask, Asked, Cause, Effect, NOTE, Step};
use crate::kinds::variable::{self, Absent, Variable};
use crate::kinds::{Declared, Documents, shown};
use crate::problem::nearest;
use crate::source::Origin;
use crate::world::railway::{
    self, AUTHOR, Change, Field, Named, Owner, Question, Railway, Service, Setting, SettingName,
    SettingValue, Settings, Source,
};
use crate::world::{Action, SETTLING, Seen, World};
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

    /// Everything that is stored otherwise than it should be; what runs is `release`'s subject.
    fn differences(&self) -> Vec<Difference> {
        let spec = self.spec();
        let mut all = Vec::new();
        if let Some(replicas) = &spec.replicas {
            let regions = &self.railway.region_names;
            all.extend(placement::difference(
                replicas,
                self.declared,
                self.seen,
                regions,
            ));
        }
        all.extend(settings::differences(&self.wishes, &self.seen.settings));
        let by_file = settings::by_file(&self.wishes, self.seen);
        for (name, words) in by_file {
            all.retain(|difference| difference.field != name.word());
            all.extend(
                self.wishes
                    .iter()
                    .filter(|wish| wish.value.name() == name)
                    .map(|wish| Difference {
                        field: name.word().to_owned(),
                        verb: NOTE,
                        from: None,
                        to: None,
                        why: wish.why.clone(),
                        origin: wish.origin.clone(),
                        closes: false,
                        then: Then::Told(words.clone()),
                    }),
            );
        }
        if let Some(registry) = &spec.registry {
            all.extend(settings::registry_difference(
                registry,
                self.declared,
                self.seen,
                &self.railway.history,
                self.around.world,
                self.around.now,
            ));
        }
        all.extend(self.variables());
        all
    }

    fn variables(&self) -> Vec<Difference> {
        let declared = self.spec().variables.iter().map(|(name, variable)| {
            let origin = self.declared.origin(&["variables", name]);
            (name.as_str(), variable.clone(), origin, None)
        });
        let demanded = self.around.demands.iter().filter_map(|demand| {
            let (name, variable) = match &demand.what {
                Needed::Variable { name, value } => (name, Variable::Text(value.clone())),
                Needed::Otherwise { name, value } if self.has(name, value) => {
                    (name, Variable::Absent(Absent { absent: true }))
                }
                Needed::Otherwise { .. } | Needed::Image(_) => return None,
            };
            Some((name.as_str(), variable, &demand.origin, Some(demand)))
        });
        let mut all = Vec::new();
        for (name, variable, origin, demand) in declared.chain(demanded) {
            let place = variable::Place {
                name,
                owner: &self.seen.id,
                origin,
                history: &self.railway.history,
                world: self.around.world,
                now: self.around.now,
            };
            let closes = demand.is_some_and(Demand::closes);
            let difference = match &self.seen.variables {
                Seen::Facts(stored) => variable::difference(&variable, stored.get(name), &place),
                // Closing does not wait for what cannot be seen.
                Seen::Unseen(_) if closes => variable::difference(&variable, None, &place),
                Seen::Unseen(_) | Seen::Unasked => None,
            };
            all.extend(
                difference
                    .map(|difference| Difference {
                        closes,
                        why: demand.map_or(difference.why, |demand| demand.why.clone()),
                        then: if closes {
                            in_any_case(difference.then, name, &variable)
                        } else {
                            difference.then
                        },
                        ..difference
                    })
                    .filter(|_| !closes || !self.was_closed(name)),
            );
        }
        if let Seen::Unseen(reason) = &self.seen.variables
            && !self.spec().variables.is_empty()
        {
            all.push(Difference {
                field: "variables".to_owned(),
                verb: "set",
                from: None,
                to: None,
                why: "variables".to_owned(),
                origin: self.declared.origin(&["variables"]).clone(),
                closes: false,
                then: Then::Unseen(reason.clone()),
            });
        }
        all
    }

    /// Whether a closing value that cannot be compared is ours: the variable is there, and the newest patch of it that was committed is one of ours.
    fn was_closed(&self, name: &str) -> bool {
        let variables = self.seen.variables.facts();
        let is_hidden = variables
            .and_then(|variables| variables.get(name))
            .is_some_and(|stored| stored.value.is_none());
        let field = Field::Variable(name.to_owned());
        let newest = self.railway.history.facts().and_then(|history| {
            history.patches.iter().find(|patch| {
                patch.state == railway::PatchState::Committed
                    && patch
                        .touched
                        .get(&self.seen.id)
                        .is_some_and(|fields| fields.contains(&field))
            })
        });
        is_hidden && newest.is_some_and(|patch| patch.message.starts_with(AUTHOR))
    }

    /// Whether a variable has a value, as far as it can be seen.
    fn has(&self, name: &str, value: &str) -> bool {
        self.seen
            .variables
            .facts()
            .and_then(|stored| stored.get(name)?.value.as_ref())
            .is_some_and(|stored| stored.reveal() == value)
    }

    /// Asks for all that is stored differently; says whether a deployment comes of it.
    fn set(&mut self, differences: Vec<Difference>, wanted: Option<&Wanted>) -> bool {
        let back = self.after_way_back(&differences, wanted);
        let mut deploys = false;
        for difference in differences {
            let is_back = back.is_some() && matches!(difference.then, Then::Set(Setting::Plain(_)));
            let effect = match &difference.then {
                Then::Set(_) if is_back => Effect::Nothing,
                Then::Set(Setting::Replicas(change)) => self.scaling(change),
                Then::Set(_) => self.deploying(),
                Then::Hold { .. } | Then::Unseen(_) | Then::Told(_) => Effect::Nothing,
            };
            let ask = match (difference.then, &back) {
                (Then::Set(_), Some(ask)) if is_back => ask.clone(),
                (Then::Set(set), _) => {
                    Ask::Make(Action::Railway(railway::Action::Change(Change {
                        of: Owner::Service(self.named()),
                        set,
                    })))
                }
                (Then::Hold { by, way_out, cause }, _) => Ask::Hold { by, way_out, cause },
                (Then::Unseen(reason), _) => Ask::Unseen(reason),
                (Then::Told(words), _) => Ask::Told(words),
            };
            let step = self.step(
                &difference.field,
                difference.verb,
                difference.why,
                &difference.origin,
                effect,
                ask,
            );
            deploys |= step.deploys();
            self.asked.steps.push(Step {
                from: difference.from,
                to: difference.to,
                closes: difference.closes,
                ..step
            });
        }
        deploys
    }

    /// What is left after a way back to a kept deployment: what it runs is to be stored, image and settings together.
    /// Nothing where the newest deployment is no such way back, or where something else has to be deployed.
    pub(super) fn after_way_back(
        &self,
        differences: &[Difference],
        wanted: Option<&Wanted>,
    ) -> Option<Ask> {
        let wanted = wanted.filter(|wanted| !wanted.by_patch)?;
        let (content::Content::Image(image), Source::Image(stored)) =
            (&wanted.content, &self.seen.source)
        else {
            return None;
        };
        if content::is_same_image(stored, image) {
            return None;
        }
        let newest = runs_already(image, self.seen, &self.railway.history)?;
        let mut settings: Vec<SettingValue> = Vec::new();
        for difference in differences {
            match &difference.then {
                Then::Set(Setting::Plain(value)) => {
                    let runs = newest.settings.as_ref()?.value(value.name());
                    if !settings::is_same(&runs, value) || !settings::can_be_stored(value) {
                        return None;
                    }
                    settings.push(value.clone());
                }
                Then::Set(Setting::Replicas(_))
                | Then::Hold { .. }
                | Then::Unseen(_)
                | Then::Told(_) => {}
                Then::Set(_) => return None,
            }
        }
        Some(match &newest.status {
            railway::Status::Rolling(word) => self.rolling(newest, word, "store what it runs"),
            railway::Status::Unknown(word) => Ask::Unseen(unknown(word)),
            _ => Ask::Make(Action::Railway(railway::Action::Store {
                service: self.named(),
                image: image.clone(),
                settings,
            })),
        })
    }

    fn scaling(&self, change: &BTreeMap<String, Option<u32>>) -> Effect {
        let moves = self
            .seen
            .placement
            .facts()
            .is_some_and(|stored| placement::moves(change, stored));
        if self.seen.has_volume && moves {
            Effect::Migration
        } else {
            Effect::Hot
        }
    }

    fn push_to_deploy(&mut self) {
        let Some(wanted) = self.spec().push_to_deploy else {
            return;
        };
        if !matches!(self.seen.source, Source::Repository { .. }) {
            return;
        }
        let word = |enabled: bool| if enabled { "on" } else { "off" }.to_owned();
        let (from, ask) = match &self.seen.push_to_deploy {
            Seen::Facts(enabled) if *enabled == wanted => return,
            Seen::Facts(enabled) => {
                let action = railway::Action::PushToDeploy {
                    service: self.named(),
                    enabled: wanted,
                };
                (Some(word(*enabled)), Ask::Make(Action::Railway(action)))
            }
            Seen::Unseen(reason) => (None, Ask::Unseen(reason.clone())),
            Seen::Unasked => {
                let service = self.declared.name.clone();
                self.asked
                    .questions
                    .insert(Question::Push { service }.into());
                return;
            }
        };
        let origin = self.declared.origin(&["pushToDeploy"]).clone();
        let why = format!("pushToDeploy: {wanted}");
        let step = self.step("pushToDeploy", "set", why, &origin, Effect::Nothing, ask);
        self.asked.steps.push(Step {
            from,
            to: Some(word(wanted)),
            ..step
        });
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

/// Closing writes over what it cannot compare, and over what is sealed.
fn in_any_case(then: Then, name: &str, variable: &Variable) -> Then {
    match (then, variable) {
        (Then::Unseen(_) | Then::Hold { .. }, Variable::Text(text)) => {
            Then::Set(Setting::Variable {
                name: name.to_owned(),
                value: railway::VariableValue::Text(text.clone()),
            })
        }
        (then, _) => then,
    }
}
