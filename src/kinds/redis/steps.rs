//! The steps that a server asks for: how much it holds, and how it keeps it.

use super::{Known, Memory, Persistence, Spec, known, plain, unseen};
use super::{restart, start};
use crate::kinds::step::{Ask, Asked, Cause, Effect, Step};
use crate::kinds::written::Size;
use crate::kinds::{Declared, Documents};
use crate::world::redis::{Action, Change, Of, Server};
use crate::world::{self, SETTLING, World};
use jiff::Timestamp;

/// The steps that bring a server in step.
pub fn steps(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Asked {
    let mut asked = Asked::default();
    let (of, server) = match known(&declared.name, documents, world, now) {
        Known::Server(of, server) => (of, server),
        Known::Unseen(reason) => {
            let ask = unseen(&declared.name, documents, reason);
            asked.steps.push(plain(declared, "service", "look at", ask));
            return asked;
        }
        Known::Ask(question) => {
            asked.questions.insert(question.into());
            return asked;
        }
    };
    let place = Place {
        declared,
        documents,
        of,
        server,
        now,
    };
    let spec = &declared.spec;
    let mut steps = Vec::new();
    if let Some(memory) = &spec.memory {
        steps.extend(place.memory(memory));
    }
    if let Some(persistence) = &spec.persistence {
        steps.extend(place.persistence(persistence));
    }
    let stored = start::step(declared, documents, server, world, &steps, now);
    steps.extend(restart::trap(declared, server, world));
    steps.extend(stored);
    if server.is_replica {
        let is_change = |step: &Step| step.action().is_some();
        steps.retain(|step| !is_change(step));
    } else {
        place.purges(&mut steps, &mut asked);
        let caches = declared.spec.caches.iter();
        steps.extend(caches.filter_map(|(name, cache)| place.warm(name, cache)));
        let restart = restart::step(declared, documents, world, server, now);
        steps.extend(restart.map(|step| start::first(step, &steps, now)));
    }
    asked.steps.extend(steps);
    asked
}

/// One server, and what is known around it.
pub(super) struct Place<'a> {
    pub declared: &'a Declared<Spec>,
    pub documents: &'a Documents,
    of: Of,
    pub server: &'a Server,
    pub now: Timestamp,
}

impl Place<'_> {
    pub(super) fn make(&self, change: Change) -> Ask {
        Ask::Make(world::Action::Redis(Action {
            of: self.of.clone(),
            change,
        }))
    }

    /// One setting of what runs.
    fn set(
        &self,
        field: &str,
        from: String,
        to: String,
        name: &'static str,
        value: String,
    ) -> Step {
        let ask = self.make(Change::Configure {
            values: vec![(name, value)],
            has_file: self.server.has_file,
        });
        Step {
            why: format!("{field}: {to}"),
            from: Some(from),
            to: Some(to),
            effect: Effect::Hot,
            ..plain(self.declared, field, "set", ask)
        }
    }

    fn memory(&self, wanted: &Memory) -> Vec<Step> {
        let there = &self.server.memory;
        let mut steps = Vec::new();
        if let Some(max) = wanted.max.filter(|max| max.bytes != there.max_bytes) {
            let from = match there.max_bytes {
                0 => "no limit".to_owned(),
                bytes => Size { bytes }.to_string(),
            };
            let bytes = max.bytes.to_string();
            let step = self.set("memory.max", from, max.to_string(), "maxmemory", bytes);
            steps.push(if max.bytes > there.used_bytes {
                step
            } else {
                let ask = Ask::Hold {
                    by: format!(
                        "it holds {} bytes, which is more: it would refuse every write, or throw keys away",
                        there.used_bytes
                    ),
                    way_out: "say more, or make it hold less first".to_owned(),
                    cause: Cause::Refused,
                };
                Step { ask, ..step }
            });
        }
        let policy = wanted.policy.map(super::Policy::word);
        if let Some(policy) = policy.filter(|policy| *policy != there.policy) {
            let from = there.policy.clone();
            let to = policy.to_owned();
            steps.push(self.set("memory.policy", from, to.clone(), "maxmemory-policy", to));
        }
        steps
    }

    fn persistence(&self, wanted: &Persistence) -> Vec<Step> {
        let there = &self.server.persistence;
        let mut steps = Vec::new();
        if let (Some(save), Some(current)) = (&wanted.save, &there.save)
            && save != current
        {
            let from = if current.is_empty() { "never" } else { current };
            let (from, to) = (from.to_owned(), save.clone());
            steps.push(self.set("persistence.save", from, to.clone(), "save", to));
        }
        let sync = wanted.sync.map(super::Sync::word);
        if let (Some(sync), Some(current)) = (sync, &there.sync)
            && sync != current
        {
            let (from, to) = (current.clone(), sync.to_owned());
            steps.push(self.set("persistence.sync", from, to.clone(), "appendfsync", to));
        }
        let Some(append_only) = wanted.append_only else {
            return steps;
        };
        let (field, word) = (
            "persistence.appendOnly",
            if append_only { "yes" } else { "no" },
        );
        if append_only != there.append_only {
            let (from, to) = (there.append_only.to_string(), append_only.to_string());
            let step = self.set(field, from, to, "appendonly", word.to_owned());
            let saves = there.save.as_deref().is_none_or(|save| !save.is_empty());
            steps.push(if append_only || saves {
                step
            } else {
                let ask = Ask::Hold {
                    by: "it saves no whole file either: a restart would lose everything".to_owned(),
                    way_out: "say `save` in `persistence`, too".to_owned(),
                    cause: Cause::Refused,
                };
                Step { ask, ..step }
            });
        } else if append_only && !there.append_only_is_whole {
            let deadline = self.now.saturating_add(SETTLING * 15);
            let ask = Ask::Wait {
                until: "the append-only file holds everything".to_owned(),
                deadline: deadline.unwrap_or(Timestamp::MAX),
                then: "a restart loses nothing".to_owned(),
            };
            steps.push(plain(self.declared, field, "write", ask));
        }
        steps
    }
}
