//! When a cache is thrown away, by a moment or because the server is full, and when it is filled again.

use super::steps::Place;
use super::{Cache, plain, question};
use crate::kinds::shown::{counted, few};
use crate::kinds::step::{Ask, Asked, Effect, Step};
use crate::kinds::variable::LATEST;
use crate::kinds::written::{Instant, Share, Size};
use crate::world::redis::{Change, Count, purged, purging, warmed};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// A cache that fills the server is purged no more often.
const HOURLY: Duration = Duration::from_secs(3600);
/// A purge that did not help is tried again after so long: the cache may have grown since.
const DAILY: Duration = Duration::from_secs(24 * 3600);

/// What becomes of a cache now.
enum Turn {
    /// It is purged.
    Purge { field: String, why: String },
    /// It is not, and people should know why.
    Told(String),
}

impl Place<'_> {
    /// Purges that are due, with the number of keys that go.
    pub(super) fn purges(&self, steps: &mut Vec<Step>, asked: &mut Asked) {
        let caches = self.declared.spec.caches.iter();
        let turns: Vec<(&String, &Cache, Turn)> = caches
            .filter_map(|(name, cache)| Some((name, cache, self.turn(name, cache)?)))
            .collect();
        let is_purged = |turn: &Turn| matches!(turn, Turn::Purge { .. });
        let uncounted = turns.iter().filter(|(_, _, turn)| is_purged(turn));
        let patterns: BTreeSet<String> =
            uncounted.map(|(_, cache, _)| cache.keys.clone()).collect();
        let counts = &self.server.counts;
        if patterns.iter().any(|pattern| !counts.contains_key(pattern)) {
            let mut question = question(self.declared, self.documents, self.now);
            question.counts = patterns;
            asked.questions.insert(question.into());
            return;
        }
        for (name, cache, turn) in turns {
            let count = counts.get(&cache.keys).copied().unwrap_or_default();
            steps.push(self.purge(name, cache, turn, count));
        }
    }

    fn purge(&self, name: &str, cache: &Cache, turn: Turn, count: Count) -> Step {
        let (field, why) = match turn {
            Turn::Purge { field, why } => (field, why),
            Turn::Told(words) => {
                let field = format!("caches.{name}");
                return plain(self.declared, &field, "purge", Ask::Told(words));
            }
        };
        let at_least = if count.is_whole { "" } else { "at least " };
        let ask = self.make(Change::Purge {
            cache: name.to_owned(),
            pattern: cache.keys.clone(),
            protect: super::protected(self.declared, self.documents),
        });
        Step {
            from: Some(format!("{at_least}{}", counted(count.keys, "key"))),
            why,
            effect: Effect::Purge,
            undo: "none: the application fills it again",
            ..plain(self.declared, &field, "purge", ask)
        }
    }

    /// By the moment that is declared, else because the server is full.
    fn turn(&self, name: &str, cache: &Cache) -> Option<Turn> {
        let above = cache.purge_above.and_then(|share| self.above(name, share));
        let Some(at) = self.due(name, cache) else {
            return above;
        };
        if !self.is_missed(at) {
            return Some(Turn::Purge {
                field: format!("caches.{name}"),
                why: format!("purgedAfter: {at}"),
            });
        }
        let words = format!("missed: it was to be purged at {at}, more than an hour ago");
        Some(match above {
            Some(Turn::Purge { field, why }) => Turn::Purge { field, why },
            Some(Turn::Told(_)) | None => Turn::Told(words),
        })
    }

    /// Whether the server holds too much: what is begun is brought to its end, and nothing is purged again that did not help.
    fn above(&self, name: &str, share: Share) -> Option<Turn> {
        // Where the marks cannot be seen, nothing is purged on a guess.
        let keys = [purged(name), purging(name)];
        keys.iter()
            .try_for_each(|key| self.server.keys.get(key)?.facts().map(|_| ()))?;
        let memory = &self.server.memory;
        if memory.max_bytes == 0 {
            let words =
                format!("`purgeAbove: {share}` is a share of `memory.max`, and it has no limit");
            return Some(Turn::Told(words));
        }
        let bytes = memory.max_bytes;
        let percent = u128::from(memory.used_bytes) * 100 / u128::from(bytes);
        let holds = format!("holds {percent} % of {}", Size { bytes });
        let purge = |why: String| Turn::Purge {
            field: format!("caches.{name}.purgeAbove"),
            why,
        };
        let begun = self.noted(&purging(name), 1);
        if begun.is_some_and(|at| !self.is_over(at, HOURLY)) {
            return Some(purge(format!("{holds}, purgeAbove: {share}, half done")));
        }
        if !share.is_less_than(memory.used_bytes, bytes) {
            return None;
        }
        let Some(last) = self.noted(&purged(name), 0) else {
            return Some(purge(format!("{holds}, purgeAbove: {share}")));
        };
        let left: Option<u64> = self.part(&purged(name), 1).and_then(|it| it.parse().ok());
        let helped = left.is_none_or(|left| !share.is_less_than(left, bytes));
        let told = |words: &str| Some(Turn::Told(format!("{holds}: {words}")));
        if !helped && !self.is_over(last, DAILY) {
            return told(&format!(
                "a purge at {last:.0} did not bring it to {share}, so that this cache is not what fills it"
            ));
        }
        if !self.is_over(last, HOURLY) {
            return told(&format!(
                "it was purged at {last:.0}, and no more than once an hour"
            ));
        }
        Some(purge(format!("{holds}, purgeAbove: {share}")))
    }

    /// Fills a cache again that was purged and is due to be filled.
    pub(super) fn warm(&self, name: &str, cache: &Cache) -> Option<Step> {
        let purge = self.noted(&purged(name), 0)?;
        let is_warm = self.noted(&warmed(name), 0).is_some_and(|at| at >= purge);
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

    /// One word of what a key notes.
    fn part(&self, key: &str, position: usize) -> Option<&str> {
        let noted = self.server.keys.get(key)?.facts()?.as_ref()?;
        noted.split(' ').nth(position)
    }

    /// The moment that a key notes.
    fn noted(&self, key: &str, position: usize) -> Option<Timestamp> {
        let noted = self.part(key, position)?;
        Timestamp::from_millisecond(noted.parse().ok()?).ok()
    }

    /// When a purge was to begin that no mark shows.
    fn due(&self, name: &str, cache: &Cache) -> Option<Timestamp> {
        let Instant(after) = cache.purged_after?;
        // Where the mark cannot be seen, nothing is purged on a guess.
        self.server.keys.get(&purged(name))?.facts()?;
        let mark = self.noted(&purged(name), 0);
        (after <= self.now && mark.is_none_or(|mark| mark < after)).then_some(after)
    }

    fn is_missed(&self, at: Timestamp) -> bool {
        self.is_over(at, LATEST)
    }

    /// Whether more time than this has gone since.
    fn is_over(&self, at: Timestamp, span: Duration) -> bool {
        self.now.duration_since(at).unsigned_abs() > span
    }
}
