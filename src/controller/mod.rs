//! When to make a pass, of which environment; never two at once for one. `git push` comes in here, and what is due.

pub mod agenda;
mod due;
pub mod led;
pub mod manifests;
mod news;
mod orders;
mod outcome;
pub mod pace;
pub mod pass;
mod refused;
pub mod seat;
pub mod settings;

use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::providers::notify::Notifier;
use crate::providers::railway::{Allowance, Client, TOGETHER};
use crate::providers::{health, notify};
use crate::repository::Id;
use crate::serve::{Asked, Board, Metrics};
use crate::status::Status;
use crate::status::event::Event;
use crate::store::Store;
use crate::store::journal::{self, Journal};
use crate::store::lease::Lease;
use crate::store::marks;
use crate::store::member::Member;
use crate::world::Failure;
use crate::world::railway::Pulse;
use async_trait::async_trait;
use due::Due;
use jiff::Timestamp;
use led::Led;
use manifests::{News, Reader};
use pace::{Pace, Purse, rests_until, spent_until};
use pass::{Ground, Passed, pass};
use seat::Seats;
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Asks of many environments at once whether anything moved, and knows the budget.
#[async_trait]
pub trait Prober: Send + Sync {
    /// As [`crate::providers::railway::Client::pulses`].
    ///
    /// # Errors
    /// As a [`Failure`].
    async fn pulses(&self, environments: &[String]) -> Result<Vec<Option<Pulse>>, Failure>;
    /// As [`crate::providers::railway::Client::allowance`].
    fn allowance(&self) -> Option<Allowance>;
    /// How many are asked for in one request.
    fn together(&self) -> usize;
}

#[async_trait]
impl Prober for Client {
    async fn pulses(&self, environments: &[String]) -> Result<Vec<Option<Pulse>>, Failure> {
        Client::pulses(self, environments).await
    }

    fn allowance(&self) -> Option<Allowance> {
        Client::allowance(self)
    }

    fn together(&self) -> usize {
        // A project token opens one environment.
        if self.is_of_one_environment() {
            1
        } else {
            TOGETHER
        }
    }
}

/// What a controller works with.
pub struct Tools {
    /// Time and chance.
    pub clock: Clock,
    /// What it is told to do.
    pub settings: Settings,
    /// Where leases, marks and the journal are.
    pub store: Store,
    /// This controller among others on the store.
    pub member: Arc<Member>,
    /// Who reads manifests.
    pub reader: Reader,
    /// Ways to the outside.
    pub seats: Arc<dyn Seats>,
    /// Who asks whether anything moved.
    pub prober: Arc<dyn Prober>,
    /// Whom to ask how they are.
    pub watch: Arc<Mutex<health::Watch>>,
    /// What is shown.
    pub board: Board,
    /// What is counted.
    pub metrics: Metrics,
    /// Who tells people.
    pub notifier: Option<Notifier>,
    /// Who sends signs of life.
    pub beats: Option<notify::Pulse>,
    /// Where it is written what happened.
    pub journal: Journal<Event>,
    /// How many days of the journal are kept.
    pub journal_days: u32,
}

/// The controller.
pub struct Controller {
    tools: Tools,
    ground: Ground,
    environments: BTreeMap<String, Box<Led>>,
    approved: BTreeSet<Id>,
    last: Arc<BTreeMap<String, Id>>,
    due: Due,
    /// The pace by which `due` is in order.
    pace: Pace,
    purse: Purse,
    fetch: Fetch,
    orders: Option<BTreeMap<String, Timestamp>>,
    beat_until: Option<Timestamp>,
    is_beating: bool,
    passes: usize,
    /// What people were told, on its way to the store.
    keeping: JoinSet<()>,
    pruned: Timestamp,
    minded: Timestamp,
    sender: mpsc::UnboundedSender<Happened>,
    happened: mpsc::UnboundedReceiver<Happened>,
}

/// When git is asked next, and whether it is being asked.
struct Fetch {
    due: Timestamp,
    is_running: bool,
    again: bool,
    lost: Option<Timestamp>,
}

/// What comes back from beside.
enum Happened {
    News(Result<News, String>),
    Orders(BTreeMap<String, Timestamp>),
    Passed(Box<Passed>),
    /// A look shows what somebody changed, and it is about to be undone.
    Drifts {
        name: String,
        status: Box<Status>,
        told: oneshot::Sender<()>,
    },
    /// It is written that everything of a commit is done.
    Marked(String, marks::Done),
    Beaten(Vec<String>, Result<Vec<Option<Pulse>>, Failure>),
}

/// So long nothing happens at most before the controller looks around.
const TICK: Duration = Duration::from_secs(5);
/// How often it is minded how services answer.
const MINDING: Duration = Duration::from_secs(2);
/// How long passes get to end when the process shall.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the store gets for what was told, each time.
const MOMENT: Duration = Duration::from_secs(2);

impl Controller {
    /// One that has not begun.
    pub fn new(tools: Tools) -> Controller {
        let (sender, happened) = mpsc::unbounded_channel();
        let now = tools.clock.now();
        Controller {
            ground: Ground {
                clock: tools.clock.clone(),
                store: tools.store.clone(),
                member: tools.member.clone(),
                reader: tools.reader.clone(),
                own_service: tools.settings.own_service.clone(),
                teller: sender.clone(),
            },
            environments: BTreeMap::new(),
            approved: tools.settings.approved.clone(),
            last: Arc::default(),
            due: Due::default(),
            pace: Pace::of(None, 0, tools.prober.together()),
            purse: Purse::full(now),
            fetch: Fetch {
                due: now,
                is_running: false,
                again: false,
                lost: None,
            },
            orders: None,
            beat_until: None,
            is_beating: false,
            passes: 0,
            keeping: JoinSet::new(),
            pruned: now,
            minded: now,
            sender,
            happened,
            tools,
        }
    }

    /// Keeps everything in step until somebody says stop; then gives the leases back.
    pub async fn run(mut self, mut asked: Asked, interrupt: &Interrupt) {
        self.last = Arc::new(self.remembered().await);
        while !interrupt.is_set() {
            self.tools.board.beat();
            self.begin_what_is_due();
            let wait = self.wait();
            tokio::select! {
                () = interrupt.set() => {}
                Some(happened) = self.happened.recv() => self.hear(happened),
                Some(look) = asked.looks.recv() => self.look(&look),
                Some(order) = asked.orders.recv() => self.order(order).await,
                () = self.tools.clock.sleep(wait) => {}
            }
            while let Ok(happened) = self.happened.try_recv() {
                self.hear(happened);
            }
        }
        self.end().await;
    }

    /// Looks again where a service became ill or well, and when it has been ill for so long that a release is put back.
    fn mind_health(&mut self, now: Timestamp) {
        let watch = lock(&self.tools.watch);
        if watch.is_empty() {
            return;
        }
        for (name, led) in &mut self.environments {
            if led.lease.is_some() && !led.is_running() && led.mind(&watch.health(name, now), now) {
                line_up(&mut self.due, name, Some(led), &self.pace);
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.tools.clock.now()
    }

    /// Takes up another pace where the budget or the number of environments has changed.
    fn keep_pace(&mut self) {
        let limit = self.tools.prober.allowance().map(|told| told.limit);
        let together = self.tools.prober.together();
        let pace = Pace::of(limit, self.environments.len(), together);
        if pace == self.pace {
            return;
        }
        self.pace = pace;
        for (name, led) in &self.environments {
            line_up(&mut self.due, name, Some(led), &pace);
        }
    }

    /// Says anew when something of an environment is due, after anything that may have changed it.
    fn line_up(&mut self, name: &str) {
        let led = self.environments.get(name).map(Box::as_ref);
        line_up(&mut self.due, name, led, &self.pace);
    }

    fn tick(&self) -> Duration {
        if lock(&self.tools.watch).is_empty() {
            TICK
        } else {
            MINDING
        }
    }

    fn wait(&self) -> Duration {
        let now = self.now();
        let allowance = self.tools.prober.allowance();
        let rests = rests_until(allowance, now).unwrap_or(now);
        let mut next = Vec::new();
        if !self.fetch.is_running {
            next.push(self.fetch.due);
        }
        if self.passes < self.tools.settings.workers {
            let spent = spent_until(allowance, self.passes, now).unwrap_or(now);
            next.extend(self.due.woken.first().map(|due| due.max(spent)));
            let limit = allowance.map(|told| told.limit);
            let allowed = self.purse.next(limit).max(rests);
            next.extend(self.due.routine.first().map(|due| due.max(allowed)));
        }
        if !self.is_beating {
            let allowed = self.beat_until.unwrap_or(now).max(rests);
            next.extend(self.due.beats.first().map(|due| due.max(allowed)));
        }
        let next = next.into_iter().min().unwrap_or(Timestamp::MAX);
        next.duration_since(now)
            .try_into()
            .unwrap_or(Duration::ZERO)
            .clamp(Duration::from_millis(20), self.tick())
    }

    /// What another may lead by now is shown as ours no longer: this process stood still, or the store did.
    fn drop_lost(&mut self) {
        let now = self.now();
        // A pass finds out by itself.
        let has_lost = |led: &Led| led.lease.is_some() && !led.leads() && !led.is_running();
        let lost = self
            .environments
            .iter_mut()
            .filter(|(_, led)| has_lost(led));
        let names: Vec<String> = lost
            .map(|(name, led)| {
                led.lease = None;
                led.agenda.wake(now);
                name.clone()
            })
            .collect();
        for name in &names {
            tracing::warn!(environment = name, "the lease was lost");
            self.tools.board.forget(name);
            self.line_up(name);
        }
    }

    fn begin_what_is_due(&mut self) {
        let now = self.now();
        self.prune(now);
        if now.duration_since(self.minded).unsigned_abs() >= MINDING {
            self.minded = now;
            self.drop_lost();
            self.mind_health(now);
        }
        if now >= self.fetch.due && !self.fetch.is_running {
            self.fetch();
        }
        self.keep_pace();
        let allowance = self.tools.prober.allowance();
        let rests = rests_until(allowance, now);
        let limit = allowance.map(|told| told.limit);
        for name in self.due.woken.by(now, self.free_workers()) {
            if spent_until(allowance, self.passes, now).is_some() {
                break;
            }
            self.pass(&name);
        }
        for name in self.due.routine.by(now, self.free_workers()) {
            if rests.is_some() || !self.purse.take(limit, now) {
                break;
            }
            self.pass(&name);
        }
        let (workers, most) = (self.passes, self.tools.settings.workers);
        let waiting = self.due.woken.by(now, usize::MAX).len();
        self.tools.metrics.busy(workers, most, waiting);
        if rests.is_none() && !self.is_beating && self.beat_until.is_none_or(|until| until <= now) {
            self.probe(now);
        }
    }

    fn free_workers(&self) -> usize {
        self.tools.settings.workers.saturating_sub(self.passes)
    }

    /// Old pages of the journal go, once a day.
    fn prune(&mut self, now: Timestamp) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if now.duration_since(self.pruned).unsigned_abs() < DAY {
            return;
        }
        self.pruned = now;
        let kept = DAY * self.tools.journal_days;
        let Ok(first_kept) = now.checked_sub(kept) else {
            return;
        };
        let led = self
            .environments
            .iter()
            .filter(|(_, led)| led.lease.is_some());
        let names: Vec<String> = led.map(|(name, _)| name.clone()).collect();
        let store = self.tools.store.clone();
        tokio::spawn(async move {
            for name in names {
                if let Err(failure) = journal::prune(&store, &name, first_kept).await {
                    tracing::warn!(environment = name, %failure, "old pages of the journal stay");
                }
            }
        });
    }

    fn pass(&mut self, name: &str) {
        if !self.tools.member.should_serve(name) {
            return self.leave(name);
        }
        let now = self.now();
        let Some(led) = self.environments.get_mut(name) else {
            return;
        };
        let health = lock(&self.tools.watch).health(name, now);
        let work = led.begin(health);
        self.passes += 1;
        self.line_up(name);
        self.tools.board.lead(name, true);
        let (ground, sender) = (self.ground.clone(), self.sender.clone());
        let span =
            tracing::info_span!("pass", environment = name, commit = %work.in_force.commit.short());
        let passing = async move {
            let passed = pass(work, ground).await;
            let _ = sender.send(Happened::Passed(Box::new(passed)));
        };
        tokio::spawn(tracing::Instrument::instrument(passing, span));
    }

    /// Another controller is to serve it: the lease goes back, and nothing is shown of it here.
    fn leave(&mut self, name: &str) {
        let Some(led) = self.environments.get_mut(name) else {
            return;
        };
        let now = self.tools.clock.now();
        let until = now.saturating_add(self.tools.member.terms().beat());
        let jitter = |time| self.tools.clock.jittered(time);
        let next = agenda::Next::At(until.unwrap_or(Timestamp::MAX));
        led.agenda.looked(next, false, jitter, now);
        if let Some(lease) = led.lease.take() {
            self.give_back(lease);
        }
        self.tools.board.forget(name);
        self.line_up(name);
    }

    fn give_back(&self, lease: Arc<Lease>) {
        let member = self.tools.member.clone();
        tokio::spawn(async move {
            if let Err(failure) = lease.release(&member).await {
                tracing::warn!(%failure, "a lease could not be given back, and ends by itself");
            }
        });
    }

    fn probe(&mut self, now: Timestamp) {
        if self.due.beats.first().is_none_or(|beat| beat > now) {
            return;
        }
        // Whoever is due soon goes along with those that are due now.
        let soon = now.saturating_add(self.pace.beat / 4);
        let soon = soon.unwrap_or(Timestamp::MAX);
        let most = self.tools.prober.together();
        let taken = self.due.beats.by(soon, most).into_iter();
        let (names, ids): (Vec<String>, Vec<String>) = taken
            .filter_map(|name| {
                let id = self.environments.get(&*name)?.id.clone()?;
                Some((name.to_string(), id))
            })
            .unzip();
        self.is_beating = true;
        let (prober, sender) = (self.tools.prober.clone(), self.sender.clone());
        tokio::spawn(async move {
            let pulses = prober.pulses(&ids).await;
            let _ = sender.send(Happened::Beaten(names, pulses));
        });
    }

    fn hear(&mut self, happened: Happened) {
        match happened {
            Happened::News(news) => self.news(news),
            Happened::Orders(orders) => self.ordered(orders),
            Happened::Passed(passed) => self.passed(*passed),
            Happened::Drifts { name, status, told } => self.drifts(&name, *status, told),
            Happened::Marked(name, mark) => self.marked(&name, mark),
            Happened::Beaten(names, pulses) => self.beaten(&names, pulses),
        }
    }

    fn beaten(&mut self, names: &[String], pulses: Result<Vec<Option<Pulse>>, Failure>) {
        let now = self.now();
        self.is_beating = false;
        let pulses = match pulses {
            Ok(pulses) => pulses,
            Err(failure) => {
                let until = match failure {
                    Failure::Throttled { until } => until,
                    _ => now
                        .saturating_add(self.tools.clock.jittered(AFTER_A_FAILURE))
                        .unwrap_or(Timestamp::MAX),
                };
                tracing::warn!(%failure, "whether anything moved cannot be seen");
                self.beat_until = Some(until);
                return;
            }
        };
        self.beat_until = None;
        for (name, pulse) in names.iter().zip(pulses) {
            if let Some(led) = self.environments.get_mut(name) {
                let moved = pulse.map(|pulse| Some(pulse) != led.pulse);
                led.agenda.beaten(moved, now);
            }
            self.line_up(name);
            self.lives(name);
        }
    }

    /// Passes end between two actions, and the leases go back, so that another controller can go on at once.
    async fn end(&mut self) {
        for led in self.environments.values() {
            led.stop();
        }
        let clock = self.tools.clock.clone();
        let ended = async {
            while self.passes > 0 {
                match self.happened.recv().await {
                    Some(happened) => self.hear(happened),
                    None => break,
                }
            }
        };
        tokio::select! {
            () = ended => {}
            () = clock.sleep(PATIENCE) => {}
        }
        let kept = async { while self.keeping.join_next().await.is_some() {} };
        tokio::select! {
            () = kept => {}
            () = clock.sleep(MOMENT) => {}
        }
        for led in self.environments.values_mut() {
            if let Some(lease) = led.lease.take()
                && let Err(failure) = lease.release(&self.tools.member).await
            {
                tracing::warn!(%failure, "a lease could not be given back, and ends by itself");
            }
        }
        if let Err(failure) = self.tools.member.leave().await {
            tracing::warn!(%failure, "the store could not be told that this controller ends");
        }
        self.tools.journal.flush(&clock, MOMENT).await;
    }
}

fn line_up(due: &mut Due, name: &str, led: Option<&Led>, pace: &Pace) {
    let led = led.filter(|led| !led.is_running());
    let is_beaten = led.is_some_and(|led| led.lease.is_some() && led.id.is_some());
    due.set(name, led.map(|led| &led.agenda), is_beaten, pace);
}

const AFTER_A_FAILURE: Duration = Duration::from_secs(30);

fn lock(watch: &Mutex<health::Watch>) -> std::sync::MutexGuard<'_, health::Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}
