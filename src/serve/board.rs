//! What the controller shows: the newest view of each environment, what happened lately, whether it is ready. Written by the controller, read by everybody else.

use super::markup::escaped;
use crate::clock::Clock;
use crate::packed::Packed;
use crate::status::event::Event;
use crate::status::summary::Summary;
use crate::status::view::View;
use crate::world::secret::{Scrubber, Secret};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;

/// How many events of an environment are kept at hand at most; the journal has all of them.
pub const MOST_EVENTS: usize = 200;
/// How many of each are kept however many environments there are.
const FEWEST_EVENTS: usize = 10;
/// How many of all environments are kept, where that is not too few of each.
const ALL_EVENTS: usize = 20_000;
/// A controller that has not beaten for so long is stuck.
pub const STUCK: Duration = Duration::from_secs(60);

/// What is shown. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// Tells the boards of two processes apart.
    word: String,
    state: RwLock<State>,
    /// The revision of the newest change.
    changed: watch::Sender<u64>,
    /// The last beat, in milliseconds since 1970.
    beat: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    environments: BTreeMap<String, Entry>,
    led: BTreeSet<String>,
    git: Git,
    scrubber: Arc<Scrubber>,
}

#[derive(Debug, Default)]
struct Entry {
    summary: Option<Arc<Summary>>,
    view: Option<Packed<View>>,
    events: VecDeque<Arc<Event>>,
    revision: u64,
}

impl State {
    /// How many events of each environment are kept.
    fn share(&self) -> usize {
        let share = ALL_EVENTS / self.environments.len().max(1);
        share.clamp(FEWEST_EVENTS, MOST_EVENTS)
    }

    fn add(&mut self, environment: &str) {
        let before = self.share();
        self.environments
            .insert(environment.to_owned(), Entry::default());
        let share = self.share();
        if share < before {
            for entry in self.environments.values_mut() {
                entry.trim(share);
            }
        }
    }
}

impl Entry {
    fn trim(&mut self, share: usize) {
        while self.events.len() > share {
            self.events.pop_front();
        }
    }
}

/// Whether the repository of the manifests answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Git {
    /// Nobody has asked yet.
    #[default]
    Unasked,
    /// It answers.
    Reached,
    /// It does not; what was accepted stays in force.
    Lost {
        /// Since when.
        since: Timestamp,
        /// In the words of who asked.
        why: String,
    },
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the repository answers.
    pub git: Git,
    /// How many environments this controller leads.
    pub led: usize,
    /// How many of them were never looked at.
    pub unseen: usize,
}

impl Readiness {
    /// Whether all is known that can be shown.
    pub fn is_ready(&self) -> bool {
        self.git == Git::Reached && self.unseen == 0
    }
}

impl Board {
    /// An empty one, which counts as a beat.
    pub fn new(clock: Clock) -> Board {
        let beat = AtomicI64::new(clock.now().as_millisecond());
        Board(Arc::new(Shared {
            word: clock.word(8),
            state: RwLock::default(),
            changed: watch::channel(0).0,
            beat,
            clock,
        }))
    }

    /// Shows the newest view of an environment.
    pub fn set(&self, view: &View) {
        self.change(&view.environment.clone(), |entry, _| {
            entry.summary = Some(Arc::new(Summary::of(view)));
            entry.view = Some(Packed::of(view));
        });
    }

    /// Shows an event.
    pub fn tell(&self, event: Event) {
        self.change(&event.environment.clone(), |entry, share| {
            entry.events.push_back(Arc::new(event));
            entry.trim(share);
        });
    }

    /// Shows an environment no longer: git does not have it any more.
    pub fn forget(&self, environment: &str) {
        let mut state = self.write();
        state.led.remove(environment);
        if state.environments.remove(environment).is_some() {
            self.0.changed.send_modify(|revision| *revision += 1);
        }
    }

    /// Says which environments this controller leads.
    pub fn leads(&self, environments: BTreeSet<String>) {
        self.write().led = environments;
    }

    /// Says whether this controller leads an environment.
    pub fn lead(&self, environment: &str, leads: bool) {
        let mut state = self.write();
        if !leads {
            state.led.remove(environment);
        } else if !state.led.contains(environment) {
            state.led.insert(environment.to_owned());
        }
    }

    /// Says whether the repository answers.
    pub fn git(&self, git: Git) {
        self.write().git = git;
    }

    /// Takes these secrets out of everything that is shown from now on, whoever wrote it.
    pub fn hide<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        let secrets: Vec<&Secret> = secrets.into_iter().collect();
        // In a page a value looks otherwise where it has one of HTML's own signs.
        let in_pages: Vec<Secret> = secrets
            .iter()
            .map(|secret| Secret::new(escaped(secret.reveal())))
            .collect();
        let all = secrets.iter().copied().chain(&in_pages);
        self.write().scrubber = Arc::new(Scrubber::new(all));
    }

    /// Says that the controller is alive and gets on.
    pub fn beat(&self) {
        let now = self.0.clock.now().as_millisecond();
        self.0.beat.store(now, Ordering::Relaxed);
    }

    /// How long ago the controller has beaten.
    pub fn since_beat(&self) -> Duration {
        let beat = self.0.beat.load(Ordering::Relaxed);
        let apart = self.0.clock.now().as_millisecond().saturating_sub(beat);
        Duration::from_millis(u64::try_from(apart).unwrap_or(0))
    }

    /// Whether all is known that can be shown.
    pub fn readiness(&self) -> Readiness {
        let state = self.read();
        let is_unseen = |name: &&String| {
            let entry = state.environments.get(*name);
            let summary = entry.and_then(|entry| entry.summary.as_ref());
            summary.is_none_or(|summary| summary.looked_at.is_none())
        };
        Readiness {
            git: state.git.clone(),
            led: state.led.len(),
            unseen: state.led.iter().filter(is_unseen).count(),
        }
    }

    /// The environments that this controller leads.
    pub fn led(&self) -> BTreeSet<String> {
        self.read().led.clone()
    }

    /// The view of an environment.
    pub fn view(&self, environment: &str) -> Option<View> {
        self.read()
            .environments
            .get(environment)?
            .view
            .as_ref()?
            .open()
    }

    /// Whether an environment is shown.
    pub fn shows(&self, environment: &str) -> bool {
        let state = self.read();
        let entry = state.environments.get(environment);
        entry.is_some_and(|entry| entry.view.is_some())
    }

    /// How many environments are shown.
    pub fn count(&self) -> usize {
        let state = self.read();
        let entries = state.environments.values();
        entries.filter(|entry| entry.view.is_some()).count()
    }

    /// The first so many views, by name.
    pub fn views(&self, most: usize) -> Vec<View> {
        let state = self.read();
        let entries = state.environments.values();
        let views = entries.filter_map(|entry| entry.view.as_ref()?.open());
        views.take(most).collect()
    }

    /// Up to so many environments after a name, by name, each in a line.
    pub fn summaries(&self, after: Option<&str>, most: usize) -> Vec<Arc<Summary>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let state = self.read();
        let entries = state.environments.range::<str, _>((from, Unbounded));
        let summaries = entries.filter_map(|(_, entry)| entry.summary.clone());
        summaries.take(most).collect()
    }

    /// Up to so many events of an environment, the newest first.
    pub fn events(&self, environment: &str, newest: usize) -> Vec<Arc<Event>> {
        let state = self.read();
        let Some(entry) = state.environments.get(environment) else {
            return Vec::new();
        };
        entry.events.iter().rev().take(newest).cloned().collect()
    }

    /// A word that is another one after every change of an environment, or of any where none is given.
    pub fn tag(&self, environment: Option<&str>) -> String {
        let revision = match environment {
            None => *self.0.changed.borrow(),
            Some(name) => {
                let state = self.read();
                let entry = state.environments.get(name);
                entry.map_or(0, |entry| entry.revision)
            }
        };
        format!("\"{}-{revision}\"", self.0.word)
    }

    /// Wakes who waits after every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// How many wait for a change.
    pub fn followers(&self) -> usize {
        self.0.changed.receiver_count()
    }

    /// The text without secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        let scrubber = self.read().scrubber.clone();
        scrubber.scrub(text)
    }

    fn change(&self, environment: &str, change: impl FnOnce(&mut Entry, usize)) {
        let mut state = self.write();
        if !state.environments.contains_key(environment) {
            state.add(environment);
        }
        let share = state.share();
        if let Some(entry) = state.environments.get_mut(environment) {
            change(entry, share);
            // While the state is locked: who sees the revision sees the change.
            self.0.changed.send_modify(|revision| *revision += 1);
            entry.revision = *self.0.changed.borrow();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
