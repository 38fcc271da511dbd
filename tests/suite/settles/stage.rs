//! Where product and simulation meet: the model behind the `Provider` trait, with faults, people, crashes and a log of everything sent.

mod faults;
mod shown;

pub use shown::Shown;

use super::chance::Chance;
use super::hands::{self, Edit, Hand};
use super::model::{Author, Model, Part, SHARED};
use super::oracles::{self, Violation};
use super::schedule::{Crash, Schedule};
use super::view;
use super::wish::{Consent, VariableWish};
use async_trait::async_trait;
use faults::{LookFault, WriteFault};
use jiff::{SignedDuration, Timestamp};
use reconciler::clock::Clock;
use reconciler::plan::drift::Course;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::world::{Class, Failure, Question, Seen, World, railway};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// One write that the product sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: Timestamp,
    pub commit: usize,
    pub run: usize,
    /// Counts looks: which one the write follows.
    pub look: usize,
    pub looked_at: Timestamp,
    pub write: Arc<Write>,
    /// The same for the same content.
    pub mark: String,
    pub end: Ended,
}

/// What the product was told, or that it was told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Accepted,
    Refused,
    NotDone,
    Unclear,
    Denied,
    Crashed,
}

/// How much there was of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub looks: usize,
    pub actions: usize,
    pub faults: usize,
    pub crashes: usize,
    pub hands: usize,
    pub duplicates: usize,
    /// Looks since everything became quiet.
    pub quiet_looks: usize,
    /// Writes by what they do, as in [`WORDS`].
    pub by_word: [usize; WORDS.len()],
    /// Consents that were used.
    pub consents: usize,
}

/// What a write does, in one word.
pub const WORDS: [&str; 9] = [
    "patch",
    "store",
    "set",
    "deploy",
    "redeploy",
    "rollback",
    "stop",
    "push-to-deploy",
    "delete",
];

pub struct Scene {
    pub schedule: Schedule,
    pub model: Model,
    pub counts: Counts,
    pub sent: Vec<Sent>,
    pub violations: Vec<Violation>,
    /// What the last look showed to the product, before anybody else laid hands on it.
    pub shown: Option<Shown>,
    pub run: usize,
    /// The process that was told that its token is not good enough: it has to end.
    pub denied_run: Option<usize>,
    /// The newest commit that was taken up.
    pub taken_up: usize,
    pub transcript: Option<Vec<String>>,
    /// The services that somebody edited by hand, and when; "" for what all share.
    pub edits: Vec<(Timestamp, String)>,
    /// Everything that people did, and when.
    pub done: Vec<(Timestamp, Hand)>,
    /// When a look for a commit last found everything in step.
    pub in_step: BTreeMap<usize, Timestamp>,
    /// What a controller has seen so far, as its store keeps it.
    pub course: Course,
    /// The consents that were used, and by which request.
    pub used: Vec<(Consent, usize)>,
    chance: Chance,
    hands: VecDeque<(Timestamp, Hand)>,
    late: Vec<(Timestamp, Arc<Write>, String, Secrets, usize)>,
    is_cleared: bool,
}

pub struct Stage {
    scene: Mutex<Scene>,
    pub crash: Notify,
    pub clock: Clock,
}

impl Stage {
    pub fn new(schedule: Schedule, clock: Clock, is_recorded: bool) -> Stage {
        let now = clock.now();
        let chance = Chance::new(schedule.seed, 3);
        let model = Model::new(
            schedule.world.clone(),
            schedule.switches.clone(),
            now,
            Chance::new(schedule.seed, 4),
        );
        let scene = Scene {
            hands: schedule.hands.iter().cloned().collect(),
            schedule,
            model,
            counts: Counts::default(),
            sent: Vec::new(),
            violations: Vec::new(),
            shown: None,
            run: 0,
            denied_run: None,
            taken_up: 0,
            transcript: is_recorded.then(Vec::new),
            edits: Vec::new(),
            done: Vec::new(),
            in_step: BTreeMap::new(),
            course: Course::default(),
            used: Vec::new(),
            chance,
            late: Vec::new(),
            is_cleared: false,
        };
        Stage {
            scene: Mutex::new(scene),
            crash: Notify::new(),
            clock,
        }
    }

    /// The scene, brought forward to now.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        let mut scene = self.scene.lock().unwrap_or_else(PoisonError::into_inner);
        scene.advance(self.clock.now());
        scene
    }

    /// A process that works for a commit.
    pub fn seat(&self, commit: usize) -> Seat<'_> {
        let mut scene = self.scene();
        scene.run += 1;
        scene.taken_up = scene.taken_up.max(commit);
        let run = scene.run;
        scene.note(|| format!("run {run} for commit {commit}"));
        Seat {
            stage: self,
            commit,
            run,
        }
    }
}

impl Scene {
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript {
            let seconds = self
                .model
                .now
                .duration_since(super::wish::start())
                .as_secs_f64();
            transcript.push(format!("{seconds:9.3}  {}", line()));
        }
    }

    /// Chance for whoever plays.
    pub fn draw(&mut self, least: u64, most: u64) -> u64 {
        self.chance.between(least, most)
    }

    pub fn is_quiet(&self) -> bool {
        self.model.now >= self.schedule.quiet_at
    }

    /// Whether somebody edited a service by hand at or after a moment.
    pub fn is_edited_since(&self, service: &str, since: Timestamp) -> bool {
        self.edits
            .iter()
            .any(|(at, edited)| *at >= since && edited == service)
    }

    /// People, late requests and Railway itself, each in its time.
    fn advance(&mut self, now: Timestamp) {
        loop {
            let hand_at = self
                .hands
                .front()
                .map(|(at, _)| *at)
                .filter(|at| *at <= now);
            let late_at = self
                .late
                .first()
                .map(|(at, ..)| *at)
                .filter(|at| *at <= now);
            match (hand_at, late_at) {
                (Some(hand), late) if late.is_none_or(|late| hand <= late) => self.act(hand),
                (_, Some(late)) => self.arrive(late),
                _ => break,
            }
        }
        if !self.is_cleared && now >= self.schedule.quiet_at {
            self.is_cleared = true;
            self.model
                .advance(self.schedule.quiet_at.max(self.model.now));
            if self.schedule.is_cleared {
                self.clear();
            }
        }
        self.model.advance(now);
        oracles::judge_applied(self);
    }

    fn act(&mut self, at: Timestamp) {
        self.model.advance(at);
        if let Some((_, hand)) = self.hands.pop_front() {
            self.note(|| format!("by hand: {} {:?}", hand.service, hand.edit));
            self.counts.hands += 1;
            self.edits.push((at, hand.service.clone()));
            if let Edit::CommitStaged = hand.edit {
                let staged = self
                    .model
                    .state
                    .staged
                    .iter()
                    .map(|(service, _)| (at, service.clone()));
                self.edits.extend(staged);
            }
            hands::act(&mut self.model, &hand);
            self.done.push((at, hand));
        }
    }

    fn arrive(&mut self, at: Timestamp) {
        self.model.advance(at);
        let (_, write, message, secrets, request) = self.late.remove(0);
        self.note(|| format!("a lost request arrives: {message}"));
        let _ = self.model.perform(&write, &message, &secrets, request);
    }

    /// People clear what only they can clear.
    fn clear(&mut self) {
        self.note(|| "people clear up".to_owned());
        self.model
            .change(Author::Person, false, |state| state.staged.clear());
        let wish = self.schedule.last_wish().clone();
        let mut parts = Vec::new();
        for (name, service) in &wish.services {
            let Some(stored) = self.model.state.services.get(name) else {
                continue;
            };
            for (variable, wanted) in &service.variables {
                let wants_sealed = matches!(
                    wanted,
                    VariableWish::Secret { sealed: true, .. } | VariableWish::Absent
                );
                let is_sealed = stored
                    .variables
                    .get(variable)
                    .is_some_and(|held| held.sealed);
                if !wants_sealed && is_sealed {
                    parts.push((name.clone(), Part::Variable(variable.clone(), None)));
                }
            }
            if stored.placement.is_empty() && service.replicas.is_some() {
                parts.push((
                    name.clone(),
                    Part::Replicas([("us-west2".to_owned(), Some(1))].into()),
                ));
            }
        }
        if self.model.state.newest_patch_failed() && parts.is_empty() {
            parts.push((
                "postgres".to_owned(),
                Part::Variable("TOUCHED".to_owned(), Some(("by hand".to_owned(), false))),
            ));
        }
        for (name, _) in &parts {
            self.edits.push((self.model.now, name.clone()));
        }
        if !parts.is_empty() {
            self.model.patch(parts, "cleared by hand", Author::Person);
        }
        self.model.change(Author::Person, false, |state| {
            for stored in state.services.values_mut() {
                if stored.updates_itself {
                    Arc::make_mut(stored).updates_itself = false;
                }
            }
        });
    }

    fn look(&mut self) -> (Result<World, Failure>, Duration) {
        self.counts.looks += 1;
        self.counts.quiet_looks += usize::from(self.is_quiet());
        let fault = self.look_fault();
        self.counts.faults += usize::from(fault.is_some());
        if self.denied_run == Some(self.run) {
            self.violate("s11_no_storm", "a look after the token was denied");
        }
        let now = self.model.now;
        let mut delay = Duration::ZERO;
        let mut as_of = now;
        let mut missing = None;
        match fault {
            None => {}
            Some(LookFault::Fails(failure)) => {
                if matches!(failure, Failure::Denied(_)) {
                    self.denied_run = Some(self.run);
                }
                self.note(|| format!("look fails: {failure}"));
                return (Err(failure), delay);
            }
            Some(LookFault::Stale(seconds)) => as_of = now - SignedDuration::from_secs(seconds),
            Some(LookFault::Missing(part)) => missing = Some(part),
            Some(LookFault::Slow(seconds)) => delay = Duration::from_secs(seconds),
        }
        let state = self.model.as_of(as_of);
        let mut railway = view::railway(&state, &self.model.switches, as_of);
        let hidden = missing.map(|part| view::hide(&mut railway, part, &mut self.chance));
        self.note(|| match (&hidden, as_of == now) {
            (Some(hidden), _) => format!("look without {:?} of {}", hidden.what, hidden.service),
            (None, false) => format!("look, {} s old", (now - as_of).get_seconds()),
            (None, true) => "look".to_owned(),
        });
        self.shown = Some(Shown {
            at: now,
            state,
            hidden,
            staged: count(&railway.staged),
            pages: BTreeMap::new(),
        });
        let world = World {
            railway: Seen::Facts(railway),
            pages: BTreeMap::new(),
            redis: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: BTreeMap::new(),
        };
        (Ok(world), delay)
    }

    fn answer(&mut self, world: &mut World, questions: &BTreeSet<Question>) {
        let now = self.model.now;
        for question in questions {
            let fault = self.look_fault();
            self.counts.faults += usize::from(fault.is_some());
            let lag = match question {
                Question::Page(_) => self.model.switches.page_lag,
                Question::Railway(_) | Question::Redis(_) => 0,
            };
            let age = match &fault {
                Some(LookFault::Stale(seconds)) => lag + *seconds,
                _ => lag,
            };
            let as_of = now - SignedDuration::from_secs(age);
            let fails = match fault {
                Some(LookFault::Fails(failure)) => Some(failure.to_string()),
                Some(LookFault::Missing(_)) => {
                    Some("Railway says: Problem processing request".to_owned())
                }
                Some(LookFault::Stale(_) | LookFault::Slow(_)) | None => None,
            };
            self.note(|| {
                let words = fails.as_deref().map(|words| format!(": {words}"));
                format!("asks {question:?}{}", words.unwrap_or_default())
            });
            let asked = view::Asked {
                question,
                as_of,
                fails,
            };
            let state = self.model.as_of(as_of);
            view::answer(world, asked, &state, &self.model.switches);
        }
        let Some(shown) = &mut self.shown else {
            return;
        };
        // What was answered before may have been bent since by whoever asks.
        for question in questions {
            match (question, &world.railway) {
                (Question::Railway(railway::Question::History), Seen::Facts(seen)) => {
                    shown.staged = count(&seen.staged);
                }
                (Question::Page(page), _) => {
                    if let Some(answer) = world.pages.get(&page.url) {
                        shown.pages.insert(page.url.clone(), answer.clone());
                    }
                }
                (Question::Railway(_) | Question::Redis(_), _) => {}
            }
        }
    }

    /// Takes a write; the outcome as the product is told, or nothing where the process died over it.
    fn take(
        &mut self,
        seat: (usize, usize),
        write: &Write,
        message: &str,
        secrets: &Secrets,
    ) -> (Option<Result<(), Failure>>, Duration) {
        let number = self.sent.len();
        let (commit, run) = seat;
        let write = Arc::new(write.clone());
        self.counts.actions += 1;
        let word = word(&write);
        if let Some(position) = WORDS.iter().position(|known| *known == word) {
            self.counts.by_word[position] += 1;
        }
        self.sent.push(Sent {
            at: self.model.now,
            commit,
            run,
            look: self.counts.looks,
            looked_at: self.shown.as_ref().map_or(self.model.now, |shown| shown.at),
            mark: write.mark(),
            write: Arc::clone(&write),
            end: Ended::Crashed,
        });
        oracles::judge_sent(self, message);
        let fault = self.write_fault(number);
        let is_crash = matches!(fault, Some(WriteFault::Crash(_)));
        self.counts.faults += usize::from(fault.is_some() && !is_crash);
        self.counts.crashes += usize::from(is_crash);
        let mut delay = Duration::ZERO;
        let lost = || Some(Err(Failure::Unclear("the connection was lost".to_owned())));
        let result = match fault {
            None => Some(self.model.perform(&write, message, secrets, number)),
            Some(WriteFault::NotDone(failure)) => Some(Err(failure)),
            Some(WriteFault::LostBefore) => lost(),
            Some(WriteFault::LostAfter) => {
                let _ = self.model.perform(&write, message, secrets, number);
                lost()
            }
            Some(WriteFault::Late(seconds)) => {
                self.late.push((
                    self.model.now + SignedDuration::from_secs(seconds),
                    Arc::clone(&write),
                    message.to_owned(),
                    secrets.clone(),
                    number,
                ));
                lost()
            }
            Some(WriteFault::Twice) => {
                self.counts.duplicates += 1;
                let first = self.model.perform(&write, message, secrets, number);
                let _ = self.model.perform(&write, message, secrets, number);
                Some(first)
            }
            Some(WriteFault::Slow(seconds)) => {
                delay = Duration::from_secs(seconds);
                Some(self.model.perform(&write, message, secrets, number))
            }
            Some(WriteFault::FailsWhenApplied) => {
                if matches!(write.what, What::Patch(_)) {
                    self.model.next_patch_fails =
                        Some("Cannot apply: a volume is being migrated".to_owned());
                }
                let result = self.model.perform(&write, message, secrets, number);
                self.model.next_patch_fails = None;
                Some(result)
            }
            Some(WriteFault::Crash(crash)) => {
                if crash == Crash::After {
                    let _ = self.model.perform(&write, message, secrets, number);
                }
                None
            }
        };
        self.sent[number].end = ended(result.as_ref());
        if self.sent[number].end == Ended::Denied {
            self.denied_run = Some(run);
        }
        self.note(|| {
            let words = match &result {
                None => "the process dies".to_owned(),
                Some(Ok(())) => "accepted".to_owned(),
                Some(Err(failure)) => format!("{failure:?}"),
            };
            format!("write {number}: {} → {words}", write_words(&write, message))
        });
        oracles::judge_applied(self);
        (result, delay)
    }
}

fn count(staged: &Seen<railway::Staged>) -> Seen<usize> {
    match staged {
        Seen::Facts(staged) => Seen::Facts(staged.paths.len()),
        Seen::Unseen(words) => Seen::Unseen(words.clone()),
        Seen::Unasked => Seen::Unasked,
    }
}

fn ended(result: Option<&Result<(), Failure>>) -> Ended {
    match result {
        None => Ended::Crashed,
        Some(Ok(())) => Ended::Accepted,
        Some(Err(Failure::Refused(_))) => Ended::Refused,
        Some(Err(Failure::Throttled { .. } | Failure::Passing(_))) => Ended::NotDone,
        Some(Err(Failure::Unclear(_))) => Ended::Unclear,
        Some(Err(Failure::Denied(_))) => Ended::Denied,
    }
}

fn word(write: &Write) -> &'static str {
    match &write.what {
        What::Patch(_) => "patch",
        What::One(action) => action.word(),
        What::Redis(action) => action.word(),
    }
}

fn write_words(write: &Write, message: &str) -> String {
    match &write.what {
        What::Patch(_) => message.to_owned(),
        What::One(action) => format!("{action:?}"),
        What::Redis(action) => format!("{action:?}"),
    }
}

/// One process's way to Railway.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    pub stage: &'a Stage,
    pub commit: usize,
    pub run: usize,
}

impl Seat<'_> {
    /// As `perform`, with a message that somebody else chose.
    pub async fn perform_as(
        &self,
        write: &Write,
        message: &str,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        let (result, delay) =
            self.stage
                .scene()
                .take((self.commit, self.run), write, message, secrets);
        let Some(result) = result else {
            self.stage.crash.notify_one();
            return std::future::pending().await;
        };
        self.stage.clock.sleep(delay + LATENCY).await;
        result
    }
}

/// What every exchange takes.
const LATENCY: Duration = Duration::from_millis(120);

#[async_trait]
impl Provider for Seat<'_> {
    async fn observe(&self, _: &Scope) -> Result<World, Failure> {
        let (result, delay) = self.stage.scene().look();
        self.stage.clock.sleep(delay + LATENCY).await;
        result
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        self.stage.scene().answer(world, questions);
        self.stage.clock.sleep(LATENCY).await;
    }

    async fn perform(&self, _: &World, write: &Write, secrets: &Secrets) -> Result<(), Failure> {
        self.perform_as(write, &write.message(), secrets).await
    }
}

/// Whether a repeat of a write is a second effect.
pub fn is_fresh(write: &Write) -> bool {
    match &write.what {
        What::Patch(_) => true,
        What::One(action) => action.class() == Class::Fresh,
        What::Redis(_) => false,
    }
}

/// The services that a write is about; "" for what all share.
pub fn services(write: &Write) -> BTreeSet<String> {
    let name = |service: Option<&railway::Named>| {
        service.map_or(SHARED.to_owned(), |service| service.name.clone())
    };
    match &write.what {
        What::Patch(changes) => changes
            .iter()
            .map(|change| name(change.of.service()))
            .collect(),
        What::One(action) => BTreeSet::from([name(action.service())]),
        What::Redis(_) => BTreeSet::new(),
    }
}
