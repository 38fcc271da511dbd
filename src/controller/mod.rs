//! When to make a pass, of which environment; never two at once for one. `git push` comes in here, and what is due.

pub mod agenda;
mod due;
pub mod led;
pub mod manifests;
pub mod pace;
pub mod pass;
mod refused;
pub mod seat;
pub mod settings;

use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::plan::stance::Suspension;
use crate::providers::notify::{Beat, Notifier};
use crate::providers::railway::{Allowance, Client, TOGETHER};
use crate::providers::{health, notify};
use crate::repository::{Accepted, Id, Verdict};
use crate::serve::{Asked, Board, Command, Git, Look, Metrics, Order};
use crate::status::Status;
use crate::status::event::Event;
use crate::status::view::{Commit, NotAccepted, ServiceHealth};
use crate::store::Store;
use crate::store::journal::{self, Journal};
use crate::store::lease::Lease;
use crate::store::marks::{self, Marks};
use crate::store::member::Member;
use crate::world::railway::Pulse;
use crate::world::{Failure, Seen};
use async_trait::async_trait;
use due::Due;
use jiff::Timestamp;
use led::Led;
use manifests::{News, Reader};
use pace::{Pace, Purse, rests_until, spent_until};
use pass::{Ground, Miss, Passed, pass};
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
    environments: BTreeMap<String, Led>,
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

/// What came of putting something in force.
struct Forced {
    is_change: bool,
    has_new_secrets: bool,
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
        let led = self.environments.get(name);
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

    /// The commits that were in force when the process before ended, by directory.
    async fn remembered(&self) -> BTreeMap<String, Id> {
        match self.tools.store.load::<InForce>(IN_FORCE).await {
            Ok(Some(all)) => all
                .commits
                .into_iter()
                .filter_map(|(directory, id)| Some((directory, id.parse().ok()?)))
                .collect(),
            Ok(None) => BTreeMap::new(),
            Err(failure) => {
                tracing::warn!(%failure, "what was in force before cannot be read from the store");
                BTreeMap::new()
            }
        }
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

    fn fetch(&mut self) {
        self.fetch.is_running = true;
        self.fetch.again = false;
        let done = self
            .environments
            .values()
            .filter_map(|led| led.done.as_ref()?.as_deref());
        // Most environments are at the same commit.
        let done: BTreeSet<&str> = done.collect();
        let kept = done.iter().filter_map(|id| id.parse().ok()).collect();
        let (reader, sender) = (self.tools.reader.clone(), self.sender.clone());
        let (approved, last) = (self.approved.clone(), self.last.clone());
        self.read_orders();
        tokio::spawn(async move {
            let news = reader.news(approved, kept, last).await;
            let _ = sender.send(Happened::News(news));
        });
    }

    /// Whether somebody left an order in the store, by `reconciler suspend` or `resume`.
    fn read_orders(&self) {
        let (store, sender) = (self.tools.store.clone(), self.sender.clone());
        tokio::spawn(async move {
            match marks::orders(&store).await {
                Ok(orders) => drop(sender.send(Happened::Orders(orders))),
                Err(failure) => tracing::debug!(%failure, "orders cannot be read"),
            }
        });
    }

    fn ordered(&mut self, orders: BTreeMap<String, Timestamp>) {
        let now = self.now();
        if let Some(before) = &self.orders {
            for (name, at) in &orders {
                if before.get(name) != Some(at)
                    && let Some(led) = self.environments.get_mut(name)
                {
                    led.agenda.wake(now);
                    line_up(&mut self.due, name, Some(led), &self.pace);
                }
            }
        }
        self.orders = Some(orders);
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

    fn look(&mut self, look: &Look) {
        tracing::info!(why = look.why, "somebody says look now");
        let now = self.now();
        if let Some(led) = look
            .environment
            .as_ref()
            .and_then(|name| self.environments.get_mut(name))
        {
            led.agenda.wake(now);
        }
        if let Some(name) = &look.environment {
            self.line_up(name);
        }
        self.fetch_now(now);
    }

    /// What is being fetched may be older than what was pushed just now.
    fn fetch_now(&mut self, now: Timestamp) {
        if self.fetch.is_running {
            self.fetch.again = true;
        } else {
            self.fetch.due = now;
        }
    }

    fn news(&mut self, news: Result<News, String>) {
        let now = self.now();
        self.fetch.is_running = false;
        let every = self.tools.clock.jittered(self.tools.settings.fetch_every);
        self.fetch.due = if self.fetch.again {
            now
        } else {
            now.saturating_add(every).unwrap_or(Timestamp::MAX)
        };
        match news {
            Ok(news) => {
                self.git_is(news.lost.clone());
                self.take_in(&news);
            }
            Err(why) => self.git_is(Some(why)),
        }
    }

    /// Whether git answers.
    fn git_is(&mut self, lost: Option<String>) {
        let git = match lost {
            None => {
                self.fetch.lost = None;
                Git::Reached
            }
            Some(why) => {
                let since = *self.fetch.lost.get_or_insert(self.tools.clock.now());
                tracing::warn!(why, "git does not answer; what was accepted stays in force");
                Git::Lost { since, why }
            }
        };
        self.tools.board.git(git);
    }

    fn take_in(&mut self, news: &News) {
        let now = self.now();
        let mut in_force = BTreeMap::new();
        let mut changed = Vec::new();
        let mut has_new_secrets = false;
        for (directory, verdict) in &news.verdicts {
            let not_accepted = refused::not_accepted(verdict, &news.head);
            if let Some(accepted) = verdict
                .in_force()
                .filter(|it| self.tools.settings.serves(it))
            {
                in_force.insert(directory.clone(), accepted.commit);
                let commit = news.commits.get(&accepted.commit).unwrap_or(&news.head);
                let name = &accepted.desired.environment().name;
                let forced = self.force(directory, accepted, commit, not_accepted, now);
                has_new_secrets |= forced.has_new_secrets;
                if forced.is_change {
                    changed.push(name);
                }
            } else if let Some(not_accepted) = not_accepted {
                tracing::error!(
                    directory,
                    reason = not_accepted.reason,
                    "nothing is in force"
                );
            }
            if let Verdict::Vanished { .. } = verdict {
                tracing::warn!(
                    directory,
                    "the environment is not in git any more: it is no longer managed, and nothing is removed"
                );
            }
        }
        for name in self.gone(news) {
            self.forget(&name);
        }
        if has_new_secrets {
            self.hide();
        }
        self.keep_pace();
        for name in changed {
            self.tell(name);
            self.line_up(name);
        }
        self.remember(in_force);
    }

    /// Those of which nothing is in force any more.
    fn gone(&self, news: &News) -> Vec<String> {
        let is_gone = |name: &str, led: &Led| {
            let verdict = news.verdicts.get(&led.directory);
            let accepted = verdict.and_then(Verdict::in_force);
            accepted
                .filter(|it| self.tools.settings.serves(it))
                .is_none_or(|it| it.desired.environment().name != name)
        };
        let gone = self.environments.iter();
        let gone = gone.filter(|(name, led)| is_gone(name, led));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// What is in force for an environment.
    fn force(
        &mut self,
        directory: &str,
        accepted: &Accepted,
        commit: &Commit,
        not_accepted: Option<NotAccepted>,
        now: Timestamp,
    ) -> Forced {
        let name = &accepted.desired.environment().name;
        let secrets = self.tools.seats.secrets(&accepted.desired);
        let Some(led) = self
            .environments
            .get_mut(name)
            .filter(|led| led.directory == directory)
        else {
            let provider = self.tools.seats.outside(&secrets);
            let (accepted, commit) = (accepted.clone(), commit.clone());
            let mut led = Led::new(directory, accepted, commit, provider, secrets, now);
            led.not_accepted = not_accepted;
            self.environments.insert(name.clone(), led);
            return Forced {
                is_change: true,
                has_new_secrets: true,
            };
        };
        let has_new_secrets = *led.secrets() != secrets;
        let is_change =
            has_new_secrets || !led.has_in_force(accepted) || led.not_accepted != not_accepted;
        if has_new_secrets {
            led.sit(self.tools.seats.outside(&secrets), secrets);
            led.agenda.wake(now);
        }
        if is_change {
            led.not_accepted = not_accepted;
            led.force(accepted.clone(), commit.clone(), now);
        }
        Forced {
            is_change,
            has_new_secrets,
        }
    }

    /// Secrets are taken out of everything that is shown.
    fn hide(&self) {
        let all = self
            .environments
            .values()
            .flat_map(|led| led.secrets().values());
        let own = self.tools.settings.secrets.iter();
        self.tools
            .board
            .hide(all.filter_map(Seen::facts).chain(own));
    }

    fn forget(&mut self, name: &str) {
        if let Some(led) = self.environments.remove(name) {
            led.stop();
            if let Some(lease) = led.lease {
                self.give_back(lease);
            }
        }
        self.line_up(name);
        lock(&self.tools.watch).forget(name);
        if let Some(beats) = &self.tools.beats {
            beats.forget(name);
        }
        self.tools.metrics.forget(name);
        self.tools.board.forget(name);
    }

    fn remember(&mut self, in_force: BTreeMap<String, Id>) {
        if in_force == *self.last {
            return;
        }
        let commits = in_force.iter();
        let commits = commits.map(|(directory, id)| (directory.clone(), id.to_string()));
        let written = InForce {
            commits: commits.collect(),
        };
        self.last = Arc::new(in_force);
        let store = self.tools.store.clone();
        tokio::spawn(async move {
            if let Err(failure) = store.save(IN_FORCE, &written).await {
                tracing::warn!(%failure, "what is in force could not be written to the store");
            }
        });
    }

    fn passed(&mut self, passed: Passed) {
        self.passes -= 1;
        let now = self.now();
        let name = passed.work.name.clone();
        // Another may be in force by now, of which nothing is done yet.
        let commit = passed.work.in_force.commit;
        let begun = passed.begun;
        let took = now.duration_since(begun).unsigned_abs();
        let kind = counted(&passed);
        let by = self.tools.settings.name.clone();
        if let Err(Miss::Failed(failure)) = &passed.result {
            tracing::warn!(environment = name, %failure, "the pass failed");
        }
        let Some(led) = self.environments.get_mut(&name) else {
            // It went out of git meanwhile.
            if let Some(lease) = passed.work.lease {
                self.give_back(lease);
            }
            return;
        };
        let (events, sight) = led.passed(passed, &by, &self.tools.clock);
        if let Some(kind) = kind {
            self.tools.metrics.passed(&name, kind, took);
        }
        if let Some(allowance) = self.tools.prober.allowance() {
            self.tools.metrics.left("railway", allowance.remaining);
        }
        for event in events {
            self.publish(&name, event);
        }
        if let Some(sight) = sight {
            self.lives(&name);
            let mut watch = lock(&self.tools.watch);
            watch.set(&name, sight.health, &self.tools.clock);
            // Railway answered: the way out of here is open.
            watch.reached(begun, now);
            drop(watch);
            if sight.is_done {
                self.done(&name, commit);
            }
        }
        self.tell(&name);
        self.line_up(&name);
        let leads = |led: &Led| led.lease.is_some();
        if self.environments.get(&name).is_some_and(leads) {
            self.tools.board.lead(&name, true);
        } else {
            // The lease may have been lost on the way: what is known of it here is old, and somebody else shows it.
            self.tools.board.forget(&name);
        }
    }

    /// Tells what somebody changed, and says so when the journal holds it.
    fn drifts(&mut self, name: &str, status: Status, told: oneshot::Sender<()>) {
        if let Some(led) = self.environments.get_mut(name) {
            led.status = Some(status);
        }
        self.tell(name);
        let (journal, clock) = (self.tools.journal.clone(), self.tools.clock.clone());
        tokio::spawn(async move {
            journal.flush(&clock, MOMENT).await;
            let _ = told.send(());
        });
    }

    /// A look has succeeded: whoever watches the controller is told so.
    fn lives(&self, name: &str) {
        let (Some(beats), Some(led)) = (&self.tools.beats, self.environments.get(name)) else {
            return;
        };
        let Some(heartbeat) = &led.desired().environment().spec.heartbeat else {
            return beats.forget(name);
        };
        if let Some(Seen::Facts(address)) = led.secrets().get(&heartbeat.secret) {
            let patience = self.pace.beat * 3;
            let beat = Beat::new(address.clone(), heartbeat.every.0, patience, self.now());
            beats.passed(name, beat);
        }
    }

    /// Everything of a commit is done: what it does not declare is gone, and is not taken away again.
    fn done(&self, name: &str, commit: Id) {
        let now = self.now();
        let Some(led) = self.environments.get(name) else {
            return;
        };
        let commit = commit.to_string();
        let Some(lease) = &led.lease else { return };
        if led.done == Some(Some(commit.clone())) {
            return;
        }
        let mark = marks::Done {
            commit,
            epoch: lease.epoch(),
            at: now,
        };
        let marks = Marks::of(&self.tools.store, name);
        let (name, sender) = (name.to_owned(), self.sender.clone());
        tokio::spawn(async move {
            match marks.set_done(&mark).await {
                Ok(_) => drop(sender.send(Happened::Marked(name, mark))),
                // The next look tries again.
                Err(failure) => {
                    tracing::warn!(%failure, "that the commit is done could not be written to the store");
                }
            }
        });
    }

    fn marked(&mut self, name: &str, mark: marks::Done) {
        if let Some(led) = self.environments.get_mut(name)
            && let Some(lease) = &led.lease
            && lease.epoch() == mark.epoch
        {
            led.done = Some(Some(mark.commit));
        }
    }

    /// Tells what has changed since people were told last, and shows it.
    fn tell(&mut self, name: &str) {
        let now = self.now();
        let pace = self.pace;
        let by = self.tools.settings.name.clone();
        let health = ServiceHealth::all(&lock(&self.tools.watch).health(name, now));
        let Some(led) = self.environments.get_mut(name) else {
            return;
        };
        let events = led.told(&health, &by, now);
        let has_news = !events.is_empty();
        if led.leads() {
            let next = led
                .agenda
                .next_beat(&pace)
                .unwrap_or_else(|| led.agenda.next_look(&pace));
            let next = (next > Timestamp::MIN).then_some(next);
            self.tools
                .board
                .set(led.view(&self.tools.settings.controller(), health, next));
        }
        for event in events {
            self.publish(name, event);
        }
        if has_news && let Some(led) = self.environments.get(name) {
            let tools = &self.tools;
            while self.keeping.try_join_next().is_some() {}
            self.keeping
                .spawn(led.keep_picture(&tools.store, &tools.journal, &tools.clock));
        }
    }

    fn publish(&self, name: &str, event: Event) {
        let Some(led) = self.environments.get(name) else {
            return;
        };
        let words = crate::status::telling::words(&event);
        tracing::info!(
            environment = name,
            event = event.what.word(),
            "{}",
            words.headline
        );
        if let Some(notifier) = &self.tools.notifier {
            notifier.tell(&led.receivers, &event);
        }
        self.tools.board.tell(event.clone());
        let epoch = led.lease.as_ref().map_or(0, |lease| lease.epoch());
        self.tools.journal.append(name, epoch, event.at, event);
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

    async fn order(&mut self, order: Order) {
        let answer = self.carried_out(order.command).await;
        // Who asked may have gone away.
        let _ = order.reply.send(answer);
    }

    async fn carried_out(&mut self, command: Command) -> Result<String, String> {
        let now = self.now();
        let (environment, by) = match &command {
            Command::Reconcile { environment, by }
            | Command::Suspend {
                environment, by, ..
            }
            | Command::Resume { environment, by } => (environment.clone(), by.clone()),
        };
        let Some(led) = self.environments.get_mut(&environment) else {
            return Err(format!(
                "this controller knows no environment `{environment}`"
            ));
        };
        let stands = Marks::of(&self.tools.store, &environment);
        let said = match command {
            Command::Reconcile { .. } => {
                self.fetch_now(now);
                Ok(format!("{environment} is looked at now"))
            }
            Command::Suspend { reason, until, .. } => {
                let mark = Suspension {
                    by,
                    reason,
                    since: now,
                    until,
                };
                led.stop();
                stands.set_suspended(Some(&mark)).await.map(|()| {
                    format!("{environment} is suspended: it is looked at, and nothing is changed")
                })
            }
            Command::Resume { .. } => {
                let resumed = stands.resume(&marks::Resumed { by, at: now }).await;
                resumed.map(|()| format!("{environment} goes on"))
            }
        };
        if let Some(led) = self.environments.get_mut(&environment) {
            led.agenda.wake(now);
        }
        self.line_up(&environment);
        said.map_err(|failure| failure.to_string())
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

/// Where the store keeps which commit is in force.
const IN_FORCE: &str = "in-force.json";

/// The commits that are in force, by directory.
#[derive(serde::Serialize, serde::Deserialize)]
struct InForce {
    commits: BTreeMap<String, String>,
}

const AFTER_A_FAILURE: Duration = Duration::from_secs(30);

fn counted(passed: &Passed) -> Option<crate::serve::Passed> {
    use crate::plan::Standing;
    use crate::serve::Passed as Counted;
    let sight = match &passed.result {
        Ok(sight) => sight,
        Err(Miss::Failed(_)) => return Some(Counted::Failed),
        Err(Miss::Led(_) | Miss::Stopped) => return None,
    };
    Some(if !sight.outcomes.is_empty() {
        Counted::Made
    } else {
        match sight.plan.standing() {
            Standing::InStep => Counted::InStep,
            Standing::Waiting | Standing::ToMake => Counted::Waits,
            Standing::Held | Standing::Unhealthy => Counted::Held,
            Standing::Unseen => Counted::Unseen,
        }
    })
}

fn lock(watch: &Mutex<health::Watch>) -> std::sync::MutexGuard<'_, health::Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}
