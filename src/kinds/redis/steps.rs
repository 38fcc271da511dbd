//! The steps that a server asks for: how much it holds, how it keeps it, and what is thrown away.

use super::{Cache, Known, Memory, Persistence, Spec, known, question, unseen};
use super::{restart, start};
use crate::kinds::shown::few;
use crate::kinds::step::{Ask, Asked, Cause, Effect, Step};
use crate::kinds::variable::LATEST;
use crate::kinds::written::{Instant, Size};
use crate::kinds::{Declared, Documents};
use crate::world::redis::{Action, Change, Of, Server, purged, warmed};
use crate::world::{self, SETTLING, World};
use jiff::Timestamp;
use std::collections::BTreeSet;

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

pub(super) fn plain(declared: &Declared<Spec>, field: &str, verb: &'static str, ask: Ask) -> Step {
    Step {
        undo: "revert",
        ..declared.step(field, verb, ask)
    }
}

/// One server, and what is known around it.
struct Place<'a> {
    declared: &'a Declared<Spec>,
    documents: &'a Documents,
    of: Of,
    server: &'a Server,
    now: Timestamp,
}

impl Place<'_> {
    fn make(&self, change: Change) -> Ask {
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

    /// Purges that are due, with the number of keys that go.
    fn purges(&self, steps: &mut Vec<Step>, asked: &mut Asked) {
        let caches = self.declared.spec.caches.iter();
        let due: Vec<(&String, &Cache, Timestamp)> = caches
            .filter_map(|(name, cache)| Some((name, cache, self.due(name, cache)?)))
            .collect();
        let uncounted = due.iter().filter(|(_, _, at)| !self.is_missed(*at));
        let patterns: BTreeSet<String> =
            uncounted.map(|(_, cache, _)| cache.keys.clone()).collect();
        if patterns
            .iter()
            .any(|pattern| !self.server.counts.contains_key(pattern))
        {
            let mut question = question(self.declared, self.documents, self.now);
            question.counts = patterns;
            asked.questions.insert(question.into());
            return;
        }
        for (name, cache, at) in due {
            let field = format!("caches.{name}");
            if self.is_missed(at) {
                let words = format!("missed: it was to be purged at {at}, more than an hour ago");
                steps.push(plain(self.declared, &field, "purge", Ask::Told(words)));
                continue;
            }
            let count = self
                .server
                .counts
                .get(&cache.keys)
                .copied()
                .unwrap_or_default();
            let at_least = if count.is_whole { "" } else { "at least " };
            let ask = self.make(Change::Purge {
                cache: name.clone(),
                pattern: cache.keys.clone(),
                protect: super::protected(self.declared, self.documents),
            });
            steps.push(Step {
                from: Some(format!(
                    "{at_least}{} {}",
                    count.keys,
                    if count.keys == 1 { "key" } else { "keys" }
                )),
                why: format!("purgedAfter: {at}"),
                effect: Effect::Purge,
                undo: "none: the application fills it again",
                ..plain(self.declared, &field, "purge", ask)
            });
        }
    }

    /// Fills a cache again that was purged and is due to be filled.
    fn warm(&self, name: &str, cache: &Cache) -> Option<Step> {
        let purge = self.noted(&purged(name))?;
        let is_warm = self.noted(&warmed(name)).is_some_and(|at| at >= purge);
        if cache.warm.is_empty() || is_warm || self.is_missed(purge) {
            return None;
        }
        let ask = self.make(Change::Warm {
            cache: name.to_owned(),
            urls: cache.warm.clone(),
        });
        Some(Step {
            to: Some(few(&cache.warm, 3)),
            why: format!("it was purged at {purge:.0}"),
            undo: "",
            ..plain(self.declared, &format!("caches.{name}"), "warm", ask)
        })
    }

    /// The moment that a key notes.
    fn noted(&self, key: &str) -> Option<Timestamp> {
        let noted = self.server.keys.get(key)?.facts()?.as_ref()?;
        Timestamp::from_millisecond(noted.parse().ok()?).ok()
    }

    /// When a purge was to begin that no mark shows.
    fn due(&self, name: &str, cache: &Cache) -> Option<Timestamp> {
        let Instant(after) = cache.purged_after?;
        // Where the mark cannot be seen, nothing is purged on a guess.
        self.server.keys.get(&purged(name))?.facts()?;
        let mark = self.noted(&purged(name));
        (after <= self.now && mark.is_none_or(|mark| mark < after)).then_some(after)
    }

    fn is_missed(&self, at: Timestamp) -> bool {
        self.now.duration_since(at).unsigned_abs() > LATEST
    }
}
