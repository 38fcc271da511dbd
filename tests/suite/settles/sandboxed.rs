//! The same schedules over the wire: the product's own client in front of the sandbox, and the same oracles over what the sandbox says of itself.

mod people;

use super::chance::Chance;
use super::hands::{Edit, Hand};
use super::model::State;
use super::oracles::{Violation, judge_change, unseen_page};
use super::play::{MOST_QUIET_LOOKS, Report};
use super::schedule::{MARK_OF_SECRETS, Schedule};
use super::settled::{Ground, differences};
use super::stage::Counts;
use super::switches::OverStaged;
use super::truth::{self, ACCOUNT_TOKEN, PROJECT_TOKEN};
use super::view;
use super::wish::Consent;
use crate::wire::railway::{URL, bearer, project_token};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reconciler::clock::Clock;
use reconciler::execute::Outcome;
use reconciler::interrupt::interrupt;
use reconciler::plan::gate::Memory;
use reconciler::plan::text::{Look, text, what, why};
use reconciler::plan::{Plan, Standing};
use reconciler::providers::Outside;
use reconciler::providers::address::Allowed;
use reconciler::providers::http::{Broken, Transport};
use reconciler::providers::pages::Pages;
use reconciler::providers::railway::Client;
use reconciler::reconcile::{End, Looked, Pass, Watcher, until_in_step};
use reconciler::world::health::NOBODY_ASKS;
use reconciler::world::page::Page;
use reconciler::world::{Failure, Seen};
use sandbox::{Faults, HandEdit, Sandbox, Switches};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The environment of every sandbox here.
const PRODUCTION: &str = "production";
/// What people do may take so long until it is applied.
const APPLIED: SignedDuration = SignedDuration::from_secs(10);
/// No request lasts longer: the product's own transport gives up then.
const LONGEST: Duration = Duration::from_secs(30);

/// A sandbox, the people at it, and what was judged so far.
struct Booth {
    sandbox: Sandbox,
    clock: Clock,
    schedule: Schedule,
    crash: Notify,
    notes: Mutex<Notes>,
}

struct Notes {
    chance: Chance,
    hands: VecDeque<(Timestamp, Hand)>,
    edits: Vec<(Timestamp, String)>,
    /// The state when somebody last looked, when that was, and until when changes may be somebody else's.
    last: State,
    last_at: Timestamp,
    others_until: Timestamp,
    /// The commits that may still have an effect: the one that is worked for and the one before it.
    commits: (usize, usize),
    /// The variables that were there from the start, as long as they are.
    others: truth::Named,
    /// What pages answered in the last look.
    pages: BTreeMap<String, Seen<Page>>,
    counts: Counts,
    violations: Vec<Violation>,
    plan: Option<Plan>,
    transcript: Option<Vec<String>>,
    cleared_at: Option<Timestamp>,
}

/// Plays a schedule through the sandbox, in the tokio runtime of the caller, whose clock must be paused.
pub async fn play(schedule: Schedule, is_recorded: bool) -> Report {
    play_in(sandbox(&schedule), schedule, is_recorded).await
}

/// The same while somebody changes what nobody declares, and nobody is told.
pub async fn play_with_an_intruder(schedule: Schedule) -> Report {
    let sandbox = sandbox(&schedule);
    let intruder = sandbox.clone();
    let intrudes = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        intruder.by_hand(HandEdit::SetVariable {
            environment: PRODUCTION.to_owned(),
            service: Some("postgres".to_owned()),
            name: "PGPASSWORD".to_owned(),
            value: "taken".to_owned(),
            deploy: false,
        });
    };
    tokio::join!(play_in(sandbox, schedule, false), intrudes).0
}

fn sandbox(schedule: &Schedule) -> Sandbox {
    let rate = u32::try_from(schedule.rates.looks / 2).expect("small");
    let faults = if rate == 0 {
        Faults::none()
    } else {
        Faults::seeded(schedule.seed, rate)
    };
    Sandbox::new(
        &truth::seed(&schedule.world),
        Switches::drawn(schedule.seed),
        faults,
        schedule.seed,
    )
}

async fn play_in(sandbox: Sandbox, mut schedule: Schedule, is_recorded: bool) -> Report {
    let seed = schedule.seed;
    schedule.switches.over_staged = over_staged(seed);
    let chance = &mut Chance::new(seed, 5);
    // Nobody can tell from outside with which variables something runs after an edit by hand.
    schedule.switches.direct_edits_in_history = false;
    let clock = Clock::counted(super::wish::start(), seed);
    // Only a look by names brings the history along.
    schedule.switches.first_look_has_history = chance.percent(50);
    let token = if schedule.switches.first_look_has_history {
        bearer(ACCOUNT_TOKEN)
    } else {
        project_token(PROJECT_TOKEN)
    };
    let booth = Arc::new(Booth::new(sandbox, clock.clone(), schedule, is_recorded));
    loop {
        let began_quiet = booth
            .notes()
            .cleared_at
            .is_some_and(|at| clock.now() >= at + APPLIED);
        let commit = booth.schedule.commit(clock.now());
        // What is refused is tried once by every process, and held by it: only effects count.
        let effects = booth.sandbox.effects().len();
        booth.take_up(commit);
        let secrets = booth.schedule.secrets(clock.now());
        let way: Arc<dyn Transport> = Arc::new(Way(Arc::clone(&booth)));
        let client = Client::new(Arc::clone(&way), URL, token.clone(), clock.clone());
        let outside = Outside {
            railway: client.expect("the address is one").hiding(&secrets),
            pages: Pages::new(way, Allowed::default(), None),
            redis: reconciler::providers::redis::Client::new(&clock),
        };
        let desired = booth.schedule.desired(commit);
        let pass = Pass {
            desired: &desired,
            provider: &outside,
            secrets: &secrets,
            health: &NOBODY_ASKS,
            clock: &clock,
        };
        let end = booth.process(&pass).await;
        if let Some(Ok(End::Stands(Standing::InStep))) = end {
            booth.judge_page(commit);
        }
        let is_settled = began_quiet
            && booth.sandbox.effects().len() == effects
            && matches!(end, Some(Ok(End::Stands(_))));
        if is_settled || booth.is_over() {
            booth.end(&pass).await;
            return booth.report(seed);
        }
        let pause = booth.rest(end.as_ref());
        clock.sleep(pause).await;
    }
}

impl Booth {
    fn new(sandbox: Sandbox, clock: Clock, schedule: Schedule, is_recorded: bool) -> Booth {
        let others = names(&schedule.world);
        let last = truth::state(sandbox.look().environment(PRODUCTION), &others, None);
        let notes = Notes {
            chance: Chance::new(schedule.seed, 6),
            hands: schedule.hands.iter().cloned().collect(),
            edits: Vec::new(),
            last,
            last_at: Timestamp::MIN,
            others_until: Timestamp::MIN,
            commits: (0, 0),
            others,
            pages: BTreeMap::new(),
            counts: Counts::default(),
            violations: Vec::new(),
            plan: None,
            transcript: is_recorded.then(Vec::new),
            cleared_at: None,
        };
        Booth {
            sandbox,
            clock,
            schedule,
            crash: Notify::new(),
            notes: Mutex::new(notes),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the sandbox is like, judged by its own account.
    fn state(&self, moment: Option<Timestamp>) -> State {
        let others = self.notes().others.clone();
        truth::state(self.sandbox.look().environment(PRODUCTION), &others, moment)
    }

    fn note(&self, line: impl FnOnce() -> String) {
        let seconds = self
            .clock
            .now()
            .duration_since(super::wish::start())
            .as_secs_f64();
        if let Some(transcript) = &mut self.notes().transcript {
            transcript.push(format!("{seconds:9.3}  {}", line()));
        }
    }

    fn violate(&self, oracle: &'static str, words: String) {
        self.note(|| format!("VIOLATION {oracle}: {words}"));
        self.notes().violations.push(Violation { oracle, words });
    }

    fn take_up(&self, commit: usize) {
        self.note(|| format!("a process for commit {commit}"));
        let mut notes = self.notes();
        if notes.commits.1 != commit {
            notes.commits = (notes.commits.1, commit);
        }
    }

    /// One process; nothing where it died.
    async fn process(&self, pass: &Pass<'_>) -> Option<Result<End, Failure>> {
        let (stop, interrupt) = interrupt();
        let next = self.schedule.next_commit(self.clock.now());
        let mut watcher = Reader(self);
        let passes = until_in_step(pass, Duration::from_secs(900), &mut watcher, &interrupt);
        tokio::pin!(passes);
        let until_commit = next.map_or(Duration::from_secs(86_400), |at| {
            at.duration_since(self.clock.now())
                .try_into()
                .unwrap_or_default()
        });
        tokio::select! {
            biased;
            () = self.crash.notified() => return None,
            end = &mut passes => return Some(end),
            () = tokio::time::sleep(until_commit) => stop.now(),
        }
        tokio::select! {
            biased;
            () = self.crash.notified() => None,
            end = &mut passes => Some(end),
        }
    }

    fn rest(&self, end: Option<&Result<End, Failure>>) -> Duration {
        self.note(|| format!("ends: {end:?}"));
        let (least, most) = match end {
            None => (0, 30),
            Some(Ok(End::Interrupted)) => (0, 0),
            Some(Ok(_) | Err(_)) => (8, 25),
        };
        Duration::from_millis(self.notes().chance.between(least * 1000, most * 1000))
    }

    fn is_over(&self) -> bool {
        let looks = self.notes().counts.quiet_looks;
        if looks > MOST_QUIET_LOOKS {
            self.violate(
                "l1_converges",
                format!("still at it after {MOST_QUIET_LOOKS} looks"),
            );
        }
        !self.notes().violations.is_empty()
    }

    /// L1 and L2, where nothing was found before.
    async fn end(&self, pass: &Pass<'_>) {
        if !self.notes().violations.is_empty() {
            return;
        }
        let quiet_looks = self.notes().counts.quiet_looks;
        self.judge_end();
        for pause in [30, 600] {
            self.clock.sleep(Duration::from_secs(pause)).await;
            let mutations = self.sandbox.mutations();
            let looked = pass.look(&Memory::default()).await;
            let to_make: Vec<String> = looked
                .iter()
                .flat_map(|looked| &looked.plan.steps)
                .filter(|step| step.action().is_some())
                .map(|step| format!("{} ({})", what(step), why(step)))
                .collect();
            // What Railway refuses is asked for by every new process, and refused.
            let is_refused =
                self.sandbox.transcript().iter().any(|entry| {
                    entry.is_mutation && entry.fault.is_none() && entry.outcome != "200"
                });
            if !is_refused && (!to_make.is_empty() || self.sandbox.mutations() != mutations) {
                self.violate(
                    "l2_quiescence",
                    format!(
                        "although nothing has changed, to make: {}",
                        to_make.join(", ")
                    ),
                );
            }
        }
        self.notes().counts.quiet_looks = quiet_looks;
    }

    fn judge_end(&self) {
        let now = self.clock.now();
        let state = self.state(Some(now));
        let (edits, plan) = {
            let notes = self.notes();
            (notes.edits.clone(), notes.plan.clone())
        };
        let ground = Ground {
            state: &state,
            schedule: &self.schedule,
            now,
            edits: &edits,
            used: self.used(&state),
            visible: if self.schedule.switches.first_look_has_history {
                view::FIRST
            } else {
                view::ANSWERED
            },
        };
        for words in plan.iter().flat_map(|plan| differences(&ground, plan)) {
            self.violate("l1_converges", words);
        }
        let mut messages = state.patches.iter().map(|patch| &patch.message);
        if messages.any(|message| message.contains(MARK_OF_SECRETS)) {
            self.violate(
                "s9_no_secret_out",
                "a commit message shows a secret".to_owned(),
            );
        }
        // A look was at most a minute old, so what is staged longer was seen.
        let staged_at: Vec<Timestamp> = self
            .schedule
            .hands
            .iter()
            .filter(|(_, hand)| matches!(hand.edit, Edit::Stage(_)))
            .map(|(at, _)| *at)
            .collect();
        for effect in self
            .sandbox
            .effects()
            .iter()
            .filter(|effect| effect.committed_foreign_stage)
        {
            let at = Timestamp::from_millisecond(effect.at.0).expect("a moment of this century");
            if staged_at.iter().all(|staged| {
                *staged > at || at.duration_since(*staged) > SignedDuration::from_secs(60)
            }) {
                self.violate(
                    "s8_staged_by_hand_is_left",
                    "what somebody had staged long before was committed".to_owned(),
                );
            }
        }
    }

    fn report(&self, seed: u64) -> Report {
        let entries = self.sandbox.transcript();
        let mut notes = self.notes();
        let counts = Counts {
            actions: self.sandbox.mutations(),
            faults: entries.iter().filter(|entry| entry.fault.is_some()).count(),
            ..notes.counts
        };
        Report {
            seed,
            counts,
            violations: notes.violations.clone(),
            transcript: notes.transcript.take().unwrap_or_default(),
            stored: Vec::new(),
        }
    }

    /// What people do until now, and what became of anything since somebody last looked.
    fn catch_up(&self) {
        let now = self.clock.now();
        self.judge();
        loop {
            let mut notes = self.notes();
            if notes.hands.front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let hand = notes
                .hands
                .pop_front()
                .map(|(_, hand)| hand)
                .expect("there is one in front");
            notes.edits.push((now, hand.service.clone()));
            notes.counts.hands += 1;
            notes.others_until = now + APPLIED;
            drop(notes);
            self.note(|| format!("by hand: {} {:?}", hand.service, hand.edit));
            self.act(&hand);
        }
        let is_due = now >= self.schedule.quiet_at && self.notes().cleared_at.is_none();
        if is_due {
            self.notes().cleared_at = Some(now);
            self.clear(now);
        }
    }

    /// The consents that were used, by the marks that they leave in the history.
    fn used(&self, state: &State) -> Vec<Consent> {
        let wishes = self.schedule.wishes().iter();
        let consents = wishes.flat_map(|wish| &wish.consents);
        let is_used = |consent: &&Consent| {
            let mark = format!(
                "approval {} until {:.0}",
                consent.risk.digest(),
                consent.until
            );
            state
                .patches
                .iter()
                .any(|patch| patch.message.contains(&mark))
        };
        consents.filter(is_used).cloned().collect()
    }

    /// S1, S2 and S3 over everything that has changed, whichever of the last two commits it comes from.
    fn judge(&self) {
        let state = self.state(None);
        let now = self.clock.now();
        let mut notes = self.notes();
        let there = names(&state);
        notes.others.retain(|name| there.contains(name));
        let before = std::mem::replace(&mut notes.last, state.clone());
        let before_at = std::mem::replace(&mut notes.last_at, now);
        if before_at < notes.others_until || !before.staged.is_empty() {
            return;
        }
        let (earlier, later) = notes.commits;
        drop(notes);
        let found = judge_change(&before, &state, self.schedule.law(later));
        if !found.is_empty()
            && !judge_change(&before, &state, self.schedule.law(earlier)).is_empty()
        {
            for (oracle, words) in found {
                self.violate(oracle, words);
            }
        }
    }

    /// Whoever ends in step has seen the page as git wants it.
    fn judge_page(&self, commit: usize) {
        let pages = self.notes().pages.clone();
        let state = self.state(None);
        let wish = self.schedule.law(commit).wish;
        if let Some(words) = unseen_page(wish, &state, &pages) {
            self.violate("s4_page_is_seen", words);
        }
    }
}

/// Every variable that there is.
fn names(state: &State) -> truth::Named {
    let services = state.services.values();
    let own = services.flat_map(|stored| {
        let names = stored.variables.keys();
        names.map(|name| (stored.id.clone(), name.clone()))
    });
    let shared = state.shared.keys();
    own.chain(shared.map(|name| (String::new(), name.clone())))
        .collect()
}

/// What the sandbox of a seed does with a patch over what somebody staged.
fn over_staged(seed: u64) -> OverStaged {
    match Switches::drawn(seed).commit_over_staged {
        sandbox::OverStaged::Leaves => OverStaged::Leaves,
        sandbox::OverStaged::Merges => OverStaged::Merges,
        sandbox::OverStaged::Refuses => OverStaged::Refuses,
    }
}

/// One process's way to the sandbox; it may die before or after any write.
struct Way(Arc<Booth>);

#[async_trait]
impl Transport for Way {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Broken> {
        let booth = &self.0;
        let is_write = request.body().windows(9).any(|part| part == b"mutation ");
        let (dies, first) = {
            let mut notes = booth.notes();
            let is_quiet = booth.clock.now() >= booth.schedule.quiet_at;
            let dies =
                is_write && !is_quiet && notes.chance.per_mille(booth.schedule.rates.crashes);
            notes.counts.crashes += usize::from(dies);
            (dies, notes.chance.percent(50))
        };
        booth.catch_up();
        if dies && first {
            return booth.die().await;
        }
        let answer = tokio::time::timeout(LONGEST, booth.sandbox.handle(request)).await;
        if is_write {
            booth.judge();
        }
        if dies {
            return booth.die().await;
        }
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(sandbox::Broken::NotSent)) => Err(Broken::NotSent("railway.test".to_owned())),
            Ok(Err(sandbox::Broken::Lost)) => Err(Broken::Lost(
                "railway.test: the connection broke".to_owned(),
            )),
            Err(_) => Err(Broken::Lost("railway.test did not answer".to_owned())),
        }
    }
}

impl Booth {
    async fn die<T>(&self) -> T {
        self.note(|| "the process dies".to_owned());
        self.crash.notify_one();
        std::future::pending().await
    }
}

/// Reads everything that people would be shown.
struct Reader<'a>(&'a Booth);

impl Watcher for Reader<'_> {
    fn looked(&mut self, looked: &Looked) {
        let booth = self.0;
        let shown = text(
            &looked.plan,
            Look {
                width: 160,
                color: false,
            },
        );
        if shown.contains(MARK_OF_SECRETS) {
            booth.violate("s9_no_secret_out", "a plan shows a secret".to_owned());
        }
        for line in shown.lines() {
            booth.note(|| format!("    {line}"));
        }
        let is_quiet = booth.clock.now() >= booth.schedule.quiet_at;
        let mut notes = booth.notes();
        notes.counts.looks += 1;
        notes.counts.quiet_looks += usize::from(is_quiet);
        notes.plan = Some(looked.plan.clone());
        notes.pages.clone_from(&looked.world.pages);
    }

    fn acted(&mut self, _: &Looked, outcomes: &[Outcome]) {
        let said = format!("{outcomes:?}");
        self.0.note(|| said.clone());
        if said.contains(MARK_OF_SECRETS) {
            self.0
                .violate("s9_no_secret_out", "an outcome shows a secret".to_owned());
        }
    }

    fn allows(&mut self, _: &Plan) -> bool {
        true
    }
}
