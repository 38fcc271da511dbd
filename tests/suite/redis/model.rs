//! A server in memory, at the trait: what it holds, what of it is on the disk, and what a start brings back. A test in `model/real.rs` holds it to a real one.

mod lists;
mod real;

pub use lists::{Lists, Where};

use super::server::key;
use jiff::Timestamp;
use reconciler::kinds::glob;
use reconciler::world::Seen;
use reconciler::world::redis::{
    Change, Count, Memory, Persistence, Question, QueueKey, Server as Shown, purged, turned, warmed,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a server holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub queues: BTreeMap<QueueKey, Lists>,
    pub keys: BTreeMap<String, String>,
}

/// The append-only file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Log {
    #[default]
    Off,
    /// It is turned on, and holds everything from this time on.
    Rewritten(Timestamp),
    Whole,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub held: Held,
    pub settings: BTreeMap<String, String>,
    /// Its start command: what counts after a restart.
    pub command: String,
    pub started_at: Timestamp,
    /// What the last whole file holds.
    file: Held,
    saved_at: Timestamp,
    save_is_ill: bool,
    /// A file that is being written: until when, and what it will hold.
    saving: Option<(Timestamp, Held)>,
    pub log: Log,
    /// What an append-only file holds that was turned off.
    old_log: Held,
    /// The jobs that were archived. They are elsewhere, and stay.
    pub archived: BTreeSet<u64>,
}

/// How long a whole file takes, and the first append-only file.
pub const SAVE: Duration = Duration::from_secs(8);
pub const REWRITE: Duration = Duration::from_secs(30);

impl Model {
    /// One that was started with a command.
    pub fn started(command: &str, now: Timestamp) -> Model {
        let mut model = Model {
            command: command.to_owned(),
            ..Model::default()
        };
        model.restart(false, now);
        model
    }

    pub fn mail(&mut self) -> &mut Lists {
        self.held.queues.entry(key("mail")).or_default()
    }

    /// The setting of its start command.
    fn told(&self, name: &str) -> Option<String> {
        let mut words = self
            .command
            .split("--")
            .filter_map(|part| part.trim().split_once(' '));
        let value = words.find(|(word, _)| *word == name)?.1;
        Some(value.trim_matches(['"', ' ']).to_owned())
    }

    fn setting(&self, name: &str) -> String {
        self.settings.get(name).cloned().unwrap_or_default()
    }

    pub fn saves(&self) -> bool {
        !self.setting("save").is_empty()
    }

    /// Whether the next start would read the append-only file.
    pub fn is_told_to_log(&self) -> bool {
        self.told("appendonly").as_deref() == Some("yes")
    }

    /// What the next start would hold. One that is stopped in order saves first, where it saves at all.
    pub fn next(&self, is_orderly: bool) -> Held {
        if self.is_told_to_log() {
            match self.log {
                Log::Whole => self.held.clone(),
                Log::Off | Log::Rewritten(_) => self.old_log.clone(),
            }
        } else if is_orderly && self.saves() {
            self.held.clone()
        } else {
            self.file.clone()
        }
    }

    /// Started anew: what its command says counts, and what is not on the disk is lost.
    pub fn restart(&mut self, is_orderly: bool, now: Timestamp) {
        let next = self.next(is_orderly);
        if self.log == Log::Whole {
            self.old_log = self.held.clone();
        }
        if is_orderly && self.saves() {
            self.file = self.held.clone();
        }
        self.held = next;
        let named = [
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("save", ""),
            ("appendonly", "no"),
            ("appendfsync", "everysec"),
        ];
        let values = named.map(|(name, otherwise)| {
            let value = self.told(name).unwrap_or_else(|| otherwise.to_owned());
            (name.to_owned(), value)
        });
        self.settings = BTreeMap::from(values);
        self.log = if self.is_told_to_log() {
            Log::Whole
        } else {
            Log::Off
        };
        (self.started_at, self.saved_at) = (now, now);
        (self.saving, self.save_is_ill) = (None, false);
    }

    /// Begins a whole file; says no where something is being written.
    pub fn save(&mut self, now: Timestamp) -> bool {
        let is_free = self.saving.is_none() && !matches!(self.log, Log::Rewritten(_));
        if is_free {
            self.saving = Some((now + SAVE, self.held.clone()));
        }
        is_free
    }

    /// What is being written is written, or goes wrong.
    pub fn tick(&mut self, now: Timestamp, is_ill: bool) {
        if let Some((_, written)) = self.saving.take_if(|(until, _)| *until <= now) {
            self.save_is_ill = is_ill;
            if !is_ill {
                (self.file, self.saved_at) = (written, now);
            }
        }
        if matches!(self.log, Log::Rewritten(until) if until <= now) {
            self.log = Log::Whole;
        }
    }

    /// Makes a change; piece by piece at most so much of it.
    pub fn perform(&mut self, change: &Change, now: Timestamp, most: usize) {
        let mut noted = |name: String| {
            let now = now.as_millisecond().to_string();
            self.held.keys.insert(name, now);
        };
        match change {
            Change::Set { key, .. } | Change::Unset { key } => noted(turned(key)),
            Change::Warm { cache, .. } => noted(warmed(cache)),
            _ => {}
        }
        match change {
            Change::MaxActive { queue, to } => {
                let lists = self.held.queues.get_mut(queue).unwrap();
                lists.meta.insert("concurrency".to_owned(), to.to_string());
            }
            Change::Pause {
                queue,
                layout,
                reasons,
            } => {
                let lists = self.held.queues.get_mut(queue).unwrap();
                lists.pause(*layout, reasons, now);
            }
            Change::Resume { queue, layout, .. } => {
                self.held.queues.get_mut(queue).unwrap().resume(*layout);
            }
            Change::Forget { queue } => {
                let lists = self.held.queues.get_mut(queue).unwrap();
                lists
                    .meta
                    .retain(|field, _| !field.starts_with("reconciler:"));
            }
            Change::Set { key, value } => {
                self.held.keys.insert(key.clone(), value.clone());
            }
            Change::Unset { key } => {
                self.held.keys.remove(key);
            }
            Change::Configure { values, .. } => {
                for (name, value) in values {
                    self.configure(name, value, now);
                }
            }
            Change::Clear {
                queue,
                before,
                archive,
            } => {
                let lists = self.held.queues.get_mut(queue).unwrap();
                let gone = lists.clear(*before, most);
                if archive.is_some() {
                    self.archived.extend(gone);
                }
            }
            Change::Purge {
                cache,
                pattern,
                protect,
            } => self.purge(cache, pattern, protect, now, most),
            Change::Save => {
                self.save(now);
            }
            Change::Warm { .. } => {}
        }
    }

    fn configure(&mut self, name: &str, value: &str, now: Timestamp) {
        if name == "appendonly" {
            match (value, self.log) {
                ("yes", Log::Off) => self.log = Log::Rewritten(now + REWRITE),
                ("no", Log::Whole) => {
                    (self.old_log, self.log) = (self.held.clone(), Log::Off);
                }
                ("no", _) => self.log = Log::Off,
                _ => {}
            }
        }
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Goes on where the last piece ended. A restart makes the note of that worthless.
    fn purge(
        &mut self,
        cache: &str,
        pattern: &str,
        protect: &[String],
        now: Timestamp,
        most: usize,
    ) {
        let place = format!("reconciler:purging:{cache}");
        let run = self.started_at.as_millisecond().to_string();
        let note = self.held.keys.get(&place).cloned().unwrap_or_default();
        let left: Vec<&str> = note.split(' ').collect();
        let (since, from) = match left.as_slice() {
            [other, since, from] if *other == run => {
                ((*since).to_owned(), Some((*from).to_owned()))
            }
            _ => (now.as_millisecond().to_string(), None),
        };
        let fits = |pattern: &String, key: &str| glob::fits(pattern.as_bytes(), key.as_bytes());
        let pattern = pattern.to_owned();
        let found = self.held.keys.keys().filter(|key| {
            fits(&pattern, key)
                && from
                    .as_ref()
                    .is_none_or(|from| key.as_str() > from.as_str())
        });
        let page: Vec<String> = found.take(most).cloned().collect();
        for key in &page {
            if !protect.iter().any(|pattern| fits(pattern, key)) {
                self.held.keys.remove(key);
            }
        }
        match page.last() {
            Some(last) if page.len() == most => {
                let note = format!("{run} {since} {last}");
                self.held.keys.insert(place, note);
            }
            _ => {
                self.held.keys.insert(purged(cache), since);
                self.held.keys.remove(&place);
            }
        }
    }

    pub fn look(&self, question: &Question) -> Shown {
        let queues = question.queues.iter().map(|(key, before)| {
            let shown = self.held.queues.get(key).map(|lists| lists.shown(*before));
            (key.clone(), Seen::Facts(shown.unwrap_or_default()))
        });
        let keys = question.keys.iter();
        let keys = keys.map(|key| (key.clone(), Seen::Facts(self.held.keys.get(key).cloned())));
        let counts = question.counts.iter().map(|pattern| {
            let all = self.held.keys.keys();
            let fit = all.filter(|key| glob::fits(pattern.as_bytes(), key.as_bytes()));
            let count = Count {
                keys: fit.count() as u64,
                is_whole: true,
            };
            (pattern.clone(), count)
        });
        Shown {
            version: "7.0.15".to_owned(),
            run_id: self.started_at.to_string(),
            started_at: self.started_at,
            is_replica: false,
            has_file: false,
            latency: Duration::ZERO,
            memory: Memory {
                max_bytes: self.setting("maxmemory").parse().unwrap_or_default(),
                policy: self.setting("maxmemory-policy"),
                ..Memory::default()
            },
            persistence: Persistence {
                save: Some(self.setting("save")),
                sync: Some(self.setting("appendfsync")),
                append_only: self.log != Log::Off,
                append_only_is_whole: self.log == Log::Whole,
                saved_at: self.saved_at,
                save_is_well: !self.save_is_ill,
                is_saving: self.saving.is_some(),
                unsaved_changes: u64::from(self.held != self.file),
            },
            queues: queues.collect(),
            keys: keys.collect(),
            counts: counts.collect(),
        }
    }
}

/// Numbers from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}
