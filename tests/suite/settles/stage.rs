//! Where product and simulation meet: the model behind the `Provider` trait, with faults, people, crashes and a log of everything sent.

use super::chance::Chance;
use super::hands::{self, Edit, Hand};
use super::model::{Author, Model, Part};
use super::oracles::{self, Violation};
use super::schedule::{Crash, Schedule};
use super::view::{self, MISSING, Missing};
use super::wish::VariableWish;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use reconciler::clock::Clock;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::world::railway::{self, Railway};
use reconciler::world::{Class, Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    pub write: Write,
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
}

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
    /// The services that somebody edited by hand, and when.
    pub edits: Vec<(Timestamp, String)>,
    chance: Chance,
    hands: VecDeque<(Timestamp, Hand)>,
    late: Vec<(Timestamp, Write, String, Secrets, usize)>,
    is_cleared: bool,
}

/// One look as it was answered.
#[derive(Debug, Clone)]
pub struct Shown {
    pub railway: Railway,
    pub at: Timestamp,
}

pub struct Stage {
    scene: Mutex<Scene>,
    pub crash: Notify,
    pub clock: Clock,
}

/// What goes wrong with a look.
enum LookFault {
    Fails(Failure),
    Stale(i64),
    Missing(Missing),
    Slow(u64),
}

/// What goes wrong with a write.
enum WriteFault {
    NotDone(Failure),
    LostBefore,
    LostAfter,
    /// Lost, and done some seconds later.
    Late(i64),
    Twice,
    Slow(u64),
    FailsWhenApplied,
    Crash(Crash),
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
        let wish = self.schedule.wishes.last().expect("there is one").clone();
        let mut parts = Vec::new();
        for (name, service) in &wish.services {
            let stored = &self.model.state.services[name];
            for (variable, wanted) in &service.variables {
                let wants_sealed = matches!(
                    wanted,
                    VariableWish::Secret { sealed: true, .. } | VariableWish::Absent
                );
                if !wants_sealed
                    && stored
                        .variables
                        .get(variable)
                        .is_some_and(|held| held.sealed)
                {
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
            self.model
                .patch(parts, "cleared by hand", Author::Person, true);
        }
        self.model.change(Author::Person, false, |state| {
            state
                .services
                .values_mut()
                .for_each(|stored| stored.updates_itself = false);
        });
    }

    fn look_fault(&mut self) -> Option<LookFault> {
        if self.is_quiet() {
            return None;
        }
        let now = self.model.now;
        if let Some((from, until)) = self.schedule.denied
            && (from..until).contains(&now)
        {
            return Some(LookFault::Fails(Failure::Denied(
                "Railway says Not Authorized".to_owned(),
            )));
        }
        if !self.chance.per_mille(self.schedule.rates.looks) {
            return None;
        }
        Some(match self.chance.below(10) {
            0 => LookFault::Fails(Failure::Passing("the connection was refused".to_owned())),
            1 => LookFault::Fails(Failure::Throttled {
                until: now + SignedDuration::from_secs(3),
            }),
            2 => LookFault::Fails(Failure::Unclear("the connection was lost".to_owned())),
            3 if self.chance.percent(20) => LookFault::Fails(Failure::Refused(
                "no project `shop` that the token shows".to_owned(),
            )),
            3..6 => LookFault::Stale(i64::try_from(self.chance.between(1, 8)).expect("small")),
            6..9 => LookFault::Missing(self.chance.pick(MISSING)),
            _ => LookFault::Slow(self.chance.between(1, 20)),
        })
    }

    fn write_fault(&mut self, number: usize) -> Option<WriteFault> {
        if let Some(crash) = self.schedule.crashes.remove(&number) {
            return Some(WriteFault::Crash(crash));
        }
        if self.is_quiet() {
            return None;
        }
        let now = self.model.now;
        if let Some((from, until)) = self.schedule.denied
            && (from..until).contains(&now)
        {
            return Some(WriteFault::NotDone(Failure::Denied(
                "Railway says Not Authorized".to_owned(),
            )));
        }
        if self.chance.per_mille(self.schedule.rates.crashes) {
            return Some(WriteFault::Crash(
                self.chance.pick(&[Crash::Before, Crash::After]),
            ));
        }
        if !self.chance.per_mille(self.schedule.rates.writes) {
            return None;
        }
        Some(match self.chance.below(12) {
            0 => WriteFault::NotDone(Failure::Refused("Problem processing request".to_owned())),
            1 => WriteFault::NotDone(Failure::Throttled {
                until: now + SignedDuration::from_secs(self.chance.pick(&[2, 20, 90])),
            }),
            2..4 => WriteFault::NotDone(Failure::Passing("the connection was refused".to_owned())),
            4 => WriteFault::LostBefore,
            5..8 => WriteFault::LostAfter,
            8 => WriteFault::Late(i64::try_from(self.chance.between(1, 3)).expect("small")),
            9 => WriteFault::Twice,
            10 => WriteFault::Slow(self.chance.between(1, 20)),
            _ => WriteFault::FailsWhenApplied,
        })
    }

    fn look(&mut self) -> (Result<Railway, Failure>, Duration) {
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
        let mut railway = view::railway(&self.model.as_of(as_of), &self.model.switches, as_of);
        if let Some(part) = missing {
            view::hide(&mut railway, part, &mut self.chance);
        }
        self.note(|| match (missing, as_of == now) {
            (Some(part), _) => format!("look without {part:?}"),
            (None, false) => format!("look, {} s old", (now - as_of).get_seconds()),
            (None, true) => "look".to_owned(),
        });
        self.shown = Some(Shown {
            railway: railway.clone(),
            at: now,
        });
        (Ok(railway), delay)
    }

    fn answer(&mut self, seen: &mut Railway, questions: &BTreeSet<Question>) {
        let now = self.model.now;
        for question in questions {
            let fault = self.look_fault();
            self.counts.faults += usize::from(fault.is_some());
            let as_of = match &fault {
                Some(LookFault::Stale(seconds)) => now - SignedDuration::from_secs(*seconds),
                _ => now,
            };
            let words = match fault {
                Some(LookFault::Fails(failure)) => Some(failure.to_string()),
                Some(LookFault::Missing(_)) => {
                    Some("Railway says: Problem processing request".to_owned())
                }
                Some(LookFault::Stale(_) | LookFault::Slow(_)) | None => None,
            };
            self.note(|| {
                format!(
                    "asks {question:?}{}",
                    words
                        .as_ref()
                        .map(|words| format!(": {words}"))
                        .unwrap_or_default()
                )
            });
            answer(&self.model, seen, question, as_of, words);
        }
        if let Some(shown) = &mut self.shown {
            shown.railway = seen.clone();
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
        self.counts.actions += 1;
        self.sent.push(Sent {
            at: self.model.now,
            commit,
            run,
            look: self.counts.looks,
            looked_at: self.shown.as_ref().map_or(self.model.now, |shown| shown.at),
            write: write.clone(),
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
            None => Some(self.model.perform(write, message, secrets, number)),
            Some(WriteFault::NotDone(failure)) => Some(Err(failure)),
            Some(WriteFault::LostBefore) => lost(),
            Some(WriteFault::LostAfter) => {
                let _ = self.model.perform(write, message, secrets, number);
                lost()
            }
            Some(WriteFault::Late(seconds)) => {
                self.late.push((
                    self.model.now + SignedDuration::from_secs(seconds),
                    write.clone(),
                    message.to_owned(),
                    secrets.clone(),
                    number,
                ));
                lost()
            }
            Some(WriteFault::Twice) => {
                self.counts.duplicates += 1;
                let first = self.model.perform(write, message, secrets, number);
                let _ = self.model.perform(write, message, secrets, number);
                Some(first)
            }
            Some(WriteFault::Slow(seconds)) => {
                delay = Duration::from_secs(seconds);
                Some(self.model.perform(write, message, secrets, number))
            }
            Some(WriteFault::FailsWhenApplied) => {
                if matches!(write.what, What::Patch(_)) {
                    self.model.next_patch_fails =
                        Some("Cannot apply: a volume is being migrated".to_owned());
                }
                let result = self.model.perform(write, message, secrets, number);
                self.model.next_patch_fails = None;
                Some(result)
            }
            Some(WriteFault::Crash(crash)) => {
                if crash == Crash::After {
                    let _ = self.model.perform(write, message, secrets, number);
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
            format!("write {number}: {} → {words}", write_words(write, message))
        });
        oracles::judge_applied(self);
        (result, delay)
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

fn write_words(write: &Write, message: &str) -> String {
    match &write.what {
        What::Patch(_) => message.to_owned(),
        What::One(action) => format!("{action:?}"),
    }
}

fn answer(
    model: &Model,
    seen: &mut Railway,
    question: &Question,
    as_of: Timestamp,
    words: Option<String>,
) {
    let state = model.as_of(as_of);
    let Question::Railway(question) = question else {
        return;
    };
    match (question, words) {
        (railway::Question::History, Some(words)) => {
            seen.staged = Seen::Unseen(words.clone());
            seen.history = Seen::Unseen(words);
        }
        (railway::Question::History, None) => {
            let (staged, history) = view::answered_history(&state, as_of);
            seen.staged = Seen::Facts(staged);
            seen.history = Seen::Facts(history);
        }
        // Names are for people: no plan asks for them.
        (railway::Question::Authors, _) => {}
        (railway::Question::Written, words) => {
            seen.written = words.map_or_else(|| Seen::Facts(view::written(&state)), Seen::Unseen);
        }
        (
            railway::Question::Snapshot {
                service,
                deployment,
            },
            words,
        ) => {
            let Some(Seen::Facts(facts)) = seen.services.get_mut(service) else {
                return;
            };
            if let Seen::Facts(kept) = &mut facts.kept
                && let Some(kept) = kept.iter_mut().find(|kept| kept.id == *deployment)
            {
                let started = view::snapshot(&state.services[service], deployment);
                kept.variables = match (started, words) {
                    (Some(started), None) => Seen::Facts(started),
                    (None, None) => Seen::Unseen("it is not there".to_owned()),
                    (_, Some(words)) => Seen::Unseen(words),
                };
            }
        }
        (railway::Question::Push { service }, words) => {
            if let Some(Seen::Facts(facts)) = seen.services.get_mut(service) {
                facts.push_to_deploy = words.map_or(Seen::Facts(false), Seen::Unseen);
            }
        }
        (railway::Question::Kept { service }, words) => {
            if let Some(Seen::Facts(facts)) = seen.services.get_mut(service) {
                facts.kept = words.map_or_else(
                    || Seen::Facts(view::kept(&state.services[service], &model.switches, as_of)),
                    Seen::Unseen,
                );
            }
        }
        (railway::Question::Log { service }, words) => {
            if let Some(Seen::Facts(facts)) = seen.services.get_mut(service) {
                facts.log = words.map_or_else(
                    || Seen::Facts(vec!["Error: no such file".to_owned()]),
                    Seen::Unseen,
                );
            }
        }
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
        Ok(World {
            railway: Seen::Facts(result?),
            pages: BTreeMap::new(),
            secrets: BTreeMap::new(),
        })
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        if let Seen::Facts(seen) = &mut world.railway {
            self.stage.scene().answer(seen, questions);
        }
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
    }
}

/// The services that a write is about.
pub fn services(write: &Write) -> BTreeSet<String> {
    match &write.what {
        What::Patch(changes) => changes
            .iter()
            .filter_map(|change| change.of.service())
            .map(|service| service.name.clone())
            .collect(),
        What::One(action) => action
            .service()
            .map(|service| service.name.clone())
            .into_iter()
            .collect(),
    }
}
