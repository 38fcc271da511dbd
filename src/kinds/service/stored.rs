//! What of a service is stored otherwise than it should be, and the changes that put it right.

use super::content::{self, Wanted};
use super::fares::unknown;
use super::steps::Asking;
use super::way_back::runs_already;
use super::{placement, settings};
use crate::kinds::demand::{Demand, Needed};
use crate::kinds::difference::{Difference, Then};
use crate::kinds::step::{Ask, Effect, NOTE, Step};
use crate::kinds::variable::{self, Absent, Variable};
use crate::world::railway::{
    self, AUTHOR, Change, Field, Owner, Question, Setting, SettingValue, Source,
};
use crate::world::{Action, Seen};
use std::collections::BTreeMap;

impl Asking<'_> {
    /// Everything that is stored otherwise than it should be; what runs is `release`'s subject.
    pub(super) fn differences(&self) -> Vec<Difference> {
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
    pub(super) fn set(&mut self, differences: Vec<Difference>, wanted: Option<&Wanted>) -> bool {
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

    pub(super) fn push_to_deploy(&mut self) {
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
