//! What git declared before and does not declare now (design rule 4): taken away, kept and said, or held.

use crate::kinds::environment::{self, RemovedEntry, RemovedService};
use crate::kinds::shown::{few, one_line};
use crate::kinds::step::{Address, Ask, Asked, Cause, Effect, Loss, NOTE, Step};
use crate::kinds::variable::{Variable, stored_words};
use crate::kinds::{Declared, Documents};
use crate::kinds::{queue, service};
use crate::manifest::Desired;
use crate::source::{Node, Value};
use crate::world::railway::{
    self, AUTHOR, Change, Field, Owner, Patch, PatchState, Question, Railway, Setting,
    VariableValue, Written,
};
use crate::world::{Action, Seen, World};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The steps for everything that was declared before and is not now. Nothing where it is not known what was.
pub fn steps(desired: &Desired, world: &World) -> Asked {
    let before = desired.before().filter(|_| !is_of_another(desired));
    let (Some(before), Some(railway)) = (before, world.railway.facts()) else {
        return Asked::default();
    };
    let now = desired.documents();
    let policy = desired.environment().spec.removed;
    let mut removing = Removing {
        railway,
        policy,
        asked: Asked::default(),
    };
    removing.shared(before, desired.environment());
    for (name, was) in &before.services {
        match now.services.get(name) {
            Some(is) => removing.service(was, is),
            None => removing.whole_service(was, desired.environment()),
        }
    }
    removing.migrations(before, now);
    removing.maintenances(before, now);
    removing.queues(before, now);
    removing.asked
}

/// Whether what was declared before is about another Railway environment: then it says nothing of this one.
pub fn is_of_another(desired: &Desired) -> bool {
    let was = desired
        .before()
        .and_then(|before| before.environments.values().next());
    let is = &desired.environment().spec.railway;
    was.is_some_and(|was| was.spec.railway != *is)
}

struct Removing<'a> {
    railway: &'a Railway,
    policy: environment::Removed,
    asked: Asked,
}

/// A document of now that a removed entry belonged to.
struct Holder<'a> {
    address: Address,
    document: &'a Node,
}

impl Removing<'_> {
    fn step(&self, holder: &Holder<'_>, field: &str, verb: &'static str, ask: Ask) -> Step {
        Step {
            of: holder.address.clone(),
            field: field.to_owned(),
            verb,
            from: None,
            to: None,
            why: format!("{field} is no longer declared"),
            origin: Some(holder.document.origin.clone()),
            effect: Effect::Nothing,
            undo: "revert",
            deploys: Vec::new(),
            loses: None,
            closes: false,
            after: Vec::new(),
            ask,
        }
    }

    fn tell(&mut self, holder: &Holder<'_>, field: &str, words: String) {
        let step = self.step(holder, field, NOTE, Ask::Told(words));
        self.asked.steps.push(step);
    }

    fn shared(&mut self, before: &Documents, is: &Declared<environment::Spec>) {
        let Some(was) = before.environments.values().next() else {
            return;
        };
        let holder = Holder {
            address: Address {
                kind: "Environment",
                name: is.name.clone(),
            },
            document: &is.document,
        };
        let Seen::Facts(stored) = &self.railway.shared else {
            return;
        };
        let gone = gone(&was.spec.variables, &is.spec.variables);
        for name in gone {
            if let Some(held) = stored.get(name) {
                self.variable(&holder, &Owner::Shared, name, held, Vec::new());
            }
        }
    }

    fn service(&mut self, was: &Declared<service::Spec>, is: &Declared<service::Spec>) {
        let holder = Holder {
            address: Address {
                kind: "Service",
                name: is.name.clone(),
            },
            document: &is.document,
        };
        let Some(Seen::Facts(seen)) = self.railway.services.get(&is.name) else {
            return;
        };
        let owner = Owner::Service(railway::Named {
            id: seen.id.clone(),
            name: is.name.clone(),
        });
        // A patch would start it again.
        let is_stopped = is.spec.stopped == Some(true);
        if let Seen::Facts(stored) = &seen.variables {
            for name in gone(&was.spec.variables, &is.spec.variables) {
                match stored.get(name) {
                    Some(_) if is_stopped => {
                        let words = "it stays as it is: nothing is taken from a stopped service";
                        self.tell(&holder, name, words.to_owned());
                    }
                    Some(held) => {
                        self.variable(&holder, &owner, name, held, vec![is.name.clone()]);
                    }
                    None => {}
                }
            }
        }
        self.fields(&holder, &was.document, seen);
    }

    fn variable(
        &mut self,
        holder: &Holder<'_>,
        owner: &Owner,
        name: &str,
        held: &railway::Variable,
        deploys: Vec<String>,
    ) {
        let keeps = |reason: &str| format!("it stays as it is: {reason}");
        if self.policy.variables == RemovedEntry::Keep {
            let words = keeps("`removed.variables` says keep");
            return self.tell(holder, name, words);
        }
        let id = owner.service().map_or("", |service| service.id.as_str());
        let words = match self.maker(id, name) {
            Maker::Us => {
                let action = Action::Railway(railway::Action::Change(Change {
                    of: owner.clone(),
                    set: Setting::Variable {
                        name: name.to_owned(),
                        value: VariableValue::Absent,
                    },
                }));
                let step = self.step(holder, name, "remove", Ask::Make(action));
                self.asked.steps.push(Step {
                    from: Some(stored_words(name, held)),
                    effect: if deploys.is_empty() {
                        Effect::Nothing
                    } else {
                        Effect::Redeploy
                    },
                    deploys,
                    ..step
                });
                return;
            }
            Maker::Asked => return,
            Maker::SomebodyElse => keeps("it was there before git declared it"),
            Maker::Unseen(reason) => {
                let step = self.step(holder, name, "remove", Ask::Unseen(reason));
                return self.asked.steps.push(step);
            }
            Maker::Unknown(reason) => keeps(&format!(
                "{reason}; say `{{ absent: true }}` to take it away"
            )),
        };
        self.tell(holder, name, words);
    }

    /// Whether a commit of ours made a variable: then the patch of its making bears our name.
    fn maker(&mut self, owner: &str, name: &str) -> Maker {
        let (history, written) = match (&self.railway.history, &self.railway.written) {
            (Seen::Unasked, _) | (_, Seen::Unasked) => {
                self.asked.questions.insert(Question::History.into());
                self.asked.questions.insert(Question::Written.into());
                return Maker::Asked;
            }
            (Seen::Unseen(reason), _) | (_, Seen::Unseen(reason)) => {
                return Maker::Unseen(format!("it cannot be seen who made it ({reason})"));
            }
            (Seen::Facts(history), Seen::Facts(written)) => (history, written),
        };
        let Some(Written { created_at, .. }) = written.get(&(owner.to_owned(), name.to_owned()))
        else {
            let words = "Railway does not tell when it was made; `{ absent: true }` takes it away in any case";
            return Maker::Unseen(words.to_owned());
        };
        let field = Field::Variable(name.to_owned());
        let touches = |patch: &&Patch| {
            let touched = patch.touched.get(owner);
            touched.is_some_and(|fields| fields.contains(&field))
        };
        let made_by = history
            .patches
            .iter()
            .filter(touches)
            .filter(|patch| has_made(patch, *created_at))
            .min_by_key(|patch| patch.at.duration_since(*created_at).unsigned_abs());
        let reaches = history.is_whole
            || history
                .patches
                .last()
                .is_some_and(|oldest| oldest.at < *created_at);
        match made_by {
            Some(patch) if patch.message.starts_with(AUTHOR) => Maker::Us,
            Some(_) => Maker::SomebodyElse,
            None if reaches => Maker::SomebodyElse,
            None => Maker::Unknown(
                "it was made before everything that Railway's history still shows".to_owned(),
            ),
        }
    }

    /// Other fields stay as they are; one-shots have happened.
    fn fields(&mut self, holder: &Holder<'_>, was: &Node, seen: &railway::Service) {
        let (Some(was), is) = (was.at(&["spec"]), holder.document.at(&["spec"])) else {
            return;
        };
        let Value::Map(was) = &was.value else { return };
        for field in was.keys() {
            let is_declared = is.is_some_and(|spec| spec.at(&[field]).is_some());
            let is_content = matches!(field.as_str(), "release" | "image" | "commit" | "variables");
            if is_declared || is_content {
                continue;
            }
            let words = if field == "restartedAfter" {
                "nothing to undo: it has happened".to_owned()
            } else {
                let stored = service::stored_words(field, seen);
                let what = stored.unwrap_or_else(|| "as it is stored".to_owned());
                format!("it stays {what}; write the old value to bring it back")
            };
            self.tell(holder, field, words);
        }
    }

    fn whole_service(
        &mut self,
        was: &Declared<service::Spec>,
        environment: &Declared<environment::Spec>,
    ) {
        let Some(seen) = self.railway.services.get(&was.name) else {
            return;
        };
        let holder = Holder {
            address: Address {
                kind: "Service",
                name: was.name.clone(),
            },
            document: &environment.document,
        };
        let Seen::Facts(seen) = seen else { return };
        if self.policy.services == RemovedService::Keep {
            let words = "it is no longer managed, and stays as it is at Railway".to_owned();
            return self.tell(&holder, "service", words);
        }
        let action = Action::Railway(railway::Action::Delete {
            service: railway::Named {
                id: seen.id.clone(),
                name: was.name.clone(),
            },
        });
        let what = if seen.has_volume {
            "the service with its variables, its domains and everything on its volume"
        } else {
            "the service with its variables and domains"
        };
        let step = self.step(&holder, "service", "delete", Ask::Make(action));
        self.asked.steps.push(Step {
            why: format!("Service/{} is no longer declared", was.name),
            effect: Effect::Gone,
            undo: "none",
            loses: Some(Loss {
                words: what.to_owned(),
                facts: seen.id.clone(),
            }),
            ..step
        });
    }

    /// What an older release finds in a database that a newer one has changed.
    fn migrations(&mut self, before: &Documents, now: &Documents) {
        for (name, is) in &now.releases {
            let was = before.releases.get(name);
            let was = was.and_then(|was| was.spec.migration.as_ref());
            let (Some(was), Some(newest)) = (was, &is.spec.migration) else {
                continue;
            };
            if newest >= was {
                continue;
            }
            let holder = Holder {
                address: Address {
                    kind: "Release",
                    name: name.clone(),
                },
                document: &is.document,
            };
            let words = "the migrations in between stay in the database: the older release must work with them".to_owned();
            let step = self.step(&holder, "migration", NOTE, Ask::Told(words));
            self.asked.steps.push(Step {
                from: Some(one_line(was)),
                to: Some(one_line(newest)),
                why: "an older release does not undo migrations".to_owned(),
                origin: Some(is.origin(&["migration"]).clone()),
                ..step
            });
        }
    }

    fn maintenances(&mut self, before: &Documents, now: &Documents) {
        let gone = before
            .maintenances
            .values()
            .filter(|was| was.spec.enabled && !now.maintenances.contains_key(&was.name));
        for was in gone {
            let holder = Holder {
                address: Address {
                    kind: "Maintenance",
                    name: was.name.clone(),
                },
                document: &was.document,
            };
            let ask = Ask::Hold {
                by: format!(
                    "it was on when its document went, and {} may be closed",
                    few(&was.spec.services, 5)
                ),
                way_out: "say `enabled: false` first, and take the document away afterwards"
                    .to_owned(),
                cause: Cause::Somebody,
            };
            let step = self.step(&holder, "enabled", "open", ask);
            self.asked.steps.push(Step {
                why: format!("Maintenance/{} is no longer declared", was.name),
                ..step
            });
        }
    }

    /// A queue that was paused when its document went stays so, and nobody would look.
    fn queues(&mut self, before: &Documents, now: &Documents) {
        let is_gone = |was: &&Declared<queue::Spec>| {
            was.spec.paused == Some(true) && !now.queues.contains_key(&was.name)
        };
        for was in before.queues.values().filter(is_gone) {
            let holder = Holder {
                address: Address {
                    kind: "Queue",
                    name: was.name.clone(),
                },
                document: &was.document,
            };
            let ask = Ask::Hold {
                by: "it was paused when its document went, and stays so".to_owned(),
                way_out: "say `paused: false` first, and take the document away afterwards"
                    .to_owned(),
                cause: Cause::Somebody,
            };
            let step = self.step(&holder, "paused", "resume", ask);
            self.asked.steps.push(Step {
                why: format!("Queue/{} is no longer declared", was.name),
                ..step
            });
        }
    }
}

/// Whether a patch may have made what was made at a moment: nothing is made before its patch began, or long after it was applied.
fn has_made(patch: &Patch, created_at: Timestamp) -> bool {
    const ROUNDED: Duration = Duration::from_secs(1);
    const LATE: Duration = Duration::from_secs(120);
    let first = patch.begun_at.saturating_sub(ROUNDED);
    let last = patch.at.saturating_add(LATE);
    !matches!(patch.state, PatchState::Failed(_))
        && first.is_ok_and(|first| first <= created_at)
        && last.is_ok_and(|last| created_at <= last)
}

/// Who made a variable.
enum Maker {
    Us,
    SomebodyElse,
    /// It cannot be seen now.
    Unseen(String),
    /// It can never be seen.
    Unknown(String),
    Asked,
}

/// The names that were declared to be there, and are not declared now.
fn gone<'a>(
    was: &'a BTreeMap<String, Variable>,
    is: &BTreeMap<String, Variable>,
) -> Vec<&'a String> {
    was.iter()
        .filter(|(name, variable)| {
            !matches!(variable, Variable::Absent(_)) && !is.contains_key(*name)
        })
        .map(|(name, _)| name)
        .collect()
}
