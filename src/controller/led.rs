//! One environment as the controller knows it between passes, and how it is shown.

use super::agenda::{Agenda, Next};
use super::pass::{Miss, Passed, Sight, Work, told_key};
use crate::clock::Clock;
use crate::execute::Outcome;
use crate::interrupt::{Stop, interrupt};
use crate::kinds::API_VERSION;
use crate::kinds::step::PUT_BACK;
use crate::manifest::{Checked, Desired};
use crate::plan::Plan;
use crate::plan::gate::Memory;
use crate::plan::stance;
use crate::providers::notify::{Receiver, receivers};
use crate::providers::{Provider, Secrets};
use crate::repository::{Accepted, Before, Id};
use crate::status::Status;
use crate::status::changes::{Picture, Teller, changes, made};
use crate::status::conditions::Known;
use crate::status::event::{Event, What};
use crate::status::view::{Commit, NotAccepted, ServiceHealth, View};
use crate::store::Store;
use crate::store::journal::Journal;
use crate::store::lease::Lease;
use crate::world::Failure;
use crate::world::health::Healths;
use crate::world::railway::Pulse;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One environment.
pub struct Led {
    /// Its directory in the repository.
    pub directory: String,
    /// What is in force.
    pub in_force: Accepted,
    /// That commit, for people.
    pub commit: Commit,
    /// The newest commit, where it is not in force.
    pub not_accepted: Option<NotAccepted>,
    /// When what is due.
    pub agenda: Agenda,
    /// Who leads it, where it is us.
    pub lease: Option<Arc<Lease>>,
    /// To know whether anything moved.
    pub pulse: Option<Pulse>,
    /// Railway's id of it, once it was seen.
    pub id: Option<String>,
    /// The newest commit that was fully done.
    pub done: Option<Option<String>>,
    /// Who is told what happens.
    pub receivers: Vec<Receiver>,
    /// What people left for the controller.
    pub marks: stance::Marks,
    /// What people were told already.
    pub picture: Option<Picture>,
    provider: Arc<dyn Provider>,
    secrets: Secrets,
    before: Option<(Option<String>, Id, Before)>,
    /// What git asks for, while it is done: the next look is not far.
    desired: Option<Desired>,
    memory: Memory,
    looked_at: Option<Timestamp>,
    unseen: Unseen,
    ill: BTreeMap<String, Timestamp>,
    running: Option<Arc<Stop>>,
}

/// How long nothing could be seen.
#[derive(Default)]
struct Unseen {
    times: u32,
    why: Option<String>,
}

/// So many looks in a row may fail before people are told: one may be chance.
const OFTEN: u32 = 3;
/// So long the journal gets to hold what was told.
const PATIENCE: Duration = Duration::from_secs(30);

impl Led {
    /// A new one; a look is due.
    pub fn new(
        directory: &str,
        in_force: Accepted,
        commit: Commit,
        provider: Arc<dyn Provider>,
        secrets: Secrets,
        now: Timestamp,
    ) -> Led {
        let agenda = Agenda::of(&in_force.manifests.environment().name);
        let mut led = Led {
            directory: directory.to_owned(),
            in_force,
            commit,
            not_accepted: None,
            agenda,
            lease: None,
            pulse: None,
            id: None,
            done: None,
            receivers: Vec::new(),
            marks: stance::Marks::default(),
            picture: None,
            provider,
            secrets,
            before: None,
            desired: None,
            memory: Memory::writing_since(now),
            looked_at: None,
            unseen: Unseen::default(),
            ill: BTreeMap::new(),
            running: None,
        };
        led.hear();
        led
    }

    /// The name of the `Environment`.
    pub fn name(&self) -> &str {
        &self.in_force.manifests.environment().name
    }

    /// Whether it is ours for now.
    pub fn leads(&self) -> bool {
        let lease = self.lease.as_ref();
        lease.is_some_and(|lease| lease.lasts(Duration::ZERO))
    }

    /// Whether a pass goes on.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether this is in force already.
    pub fn has_in_force(&self, accepted: &Accepted) -> bool {
        self.in_force.commit == accepted.commit
            && Arc::ptr_eq(&self.in_force.manifests, &accepted.manifests)
    }

    /// Another commit is in force: a pass that goes on stops between two actions, and the next one follows at once.
    pub fn force(&mut self, in_force: Accepted, commit: Commit, now: Timestamp) {
        let is_other = in_force.manifests.digest() != self.in_force.manifests.digest();
        self.in_force = in_force;
        self.commit = commit;
        self.desired = None;
        if is_other {
            self.stop();
            self.agenda.wake(now);
            self.hear();
        }
    }

    /// With other secrets from now on.
    pub fn sit(&mut self, provider: Arc<dyn Provider>, secrets: Secrets) {
        self.provider = provider;
        self.secrets = secrets;
        self.hear();
    }

    /// The secrets that it works with.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn hear(&mut self) {
        let spec = &self.in_force.manifests.environment().spec;
        let (known, missing) = receivers(self.name(), spec, &self.secrets);
        for words in missing {
            tracing::warn!(
                environment = self.name(),
                "somebody cannot be told: {words}"
            );
        }
        self.receivers = known;
    }

    /// How its services answer: a look is due where one became ill or well, and when one has been ill for as long as it takes to put its release back.
    /// Whether a look became due.
    pub fn mind(&mut self, health: &Healths, now: Timestamp) -> bool {
        let ill = health.iter().filter_map(|(service, health)| {
            let health = health.facts()?;
            (!health.is_healthy).then(|| (service.clone(), health.since))
        });
        let ill: BTreeMap<String, Timestamp> = ill.collect();
        if ill != self.ill {
            self.ill = ill;
            self.agenda.wake(now);
            return true;
        }
        let Some(rollback) = &self.in_force.manifests.environment().spec.rollback else {
            return false;
        };
        let looked_at = self.looked_at.unwrap_or(Timestamp::MIN);
        let is_due = |since: &Timestamp| {
            let due = since.saturating_add(rollback.unhealthy_for.0);
            due.is_ok_and(|due| looked_at < due && due <= now)
        };
        let is_due = self.ill.values().any(is_due);
        if is_due {
            self.agenda.wake(now);
        }
        is_due
    }

    /// Stops a pass between two actions.
    pub fn stop(&self) {
        if let Some(running) = &self.running {
            running.now();
        }
    }

    /// What a pass works with; until [`Led::passed`] there is no other.
    pub fn begin(&mut self, health: Healths) -> Work {
        let (stop, interrupt) = interrupt();
        let stop = Arc::new(stop);
        self.running = Some(stop.clone());
        Work {
            name: self.name().to_owned(),
            directory: self.directory.clone(),
            in_force: self.in_force.clone(),
            committed_at: self.commit.at.parse().ok(),
            provider: self.provider.clone(),
            secrets: self.secrets.clone(),
            health,
            memory: std::mem::take(&mut self.memory),
            lease: self.lease.clone(),
            picture: None,
            done: self.done.take(),
            before: self.before.take(),
            desired: self.desired.take(),
            stop,
            interrupt,
        }
    }

    /// What came of a pass. The result says what people are to be told.
    pub fn passed(
        &mut self,
        passed: Passed,
        by: &str,
        clock: &Clock,
    ) -> (Vec<Event>, Option<Sight>) {
        let now = clock.now();
        let work = passed.work;
        self.running = None;
        let is_of_now = work.in_force.commit == self.in_force.commit;
        let is_new = self.lease.is_none() && work.lease.is_some();
        (self.memory, self.lease, self.done, self.before) =
            (work.memory, work.lease, work.done, work.before);
        if work.picture.is_some() {
            self.picture = work.picture;
        }
        let teller = Teller {
            at: now,
            environment: &work.name,
            by,
        };
        let mut events = Vec::new();
        if let Some(lease) = self
            .lease
            .as_ref()
            .filter(|_| is_new && self.looked_at.is_none())
        {
            let led = What::Led {
                epoch: lease.epoch(),
            };
            events.push(teller.event(Some(&self.commit), led));
        }
        let jitter = |time| clock.jittered(time);
        let sight = match passed.result {
            Ok(sight) => {
                self.marks = passed.marks;
                self.unseen = Unseen::default();
                self.looked_at = Some(passed.begun);
                for outcome in &sight.outcomes {
                    let what = made(&sight.plan, &outcome.steps, &outcome.result);
                    events.push(teller.event(Some(&self.commit), what));
                    let put_back = put_back(&sight.plan, outcome);
                    events.extend(put_back.map(|what| teller.event(Some(&self.commit), what)));
                }
                self.pulse = sight.pulse;
                self.id = Some(sight.id.clone());
                self.desired = work.desired.filter(|_| is_of_now && sight.next.is_near());
                self.agenda
                    .looked(sight.next, sight.pulse.is_some(), jitter, now);
                Some(sight)
            }
            Err(miss) => {
                self.missed(miss, jitter, now);
                None
            }
        };
        if !is_of_now {
            self.agenda.wake(now);
        }
        (events, sight)
    }

    /// Nothing was seen: when to look again.
    fn missed(&mut self, miss: Miss, jitter: impl Fn(Duration) -> Duration, now: Timestamp) {
        let next = match miss {
            Miss::Stopped => return self.agenda.wake(now),
            Miss::Led(next) => Next::At(now.saturating_add(next).unwrap_or(Timestamp::MAX)),
            Miss::Failed(failure) => {
                self.unseen.times += 1;
                self.unseen.why = Some(failure.to_string());
                match failure {
                    Failure::Throttled { until } => Next::At(until),
                    Failure::Denied(_) | Failure::Refused(_) => Next::Denied,
                    Failure::Passing(_) | Failure::Unclear(_) => Next::Again,
                }
            }
        };
        self.agenda.looked(next, false, jitter, now);
    }

    /// The events since the last picture, which is this one from now on.
    pub fn told(
        &mut self,
        status: Option<&Status>,
        health: &[ServiceHealth],
        by: &str,
        now: Timestamp,
    ) -> Vec<Event> {
        if !self.leads() {
            return Vec::new();
        }
        let suspended = self.marks.suspended.as_ref().map(Into::into);
        let known = Known {
            status,
            unseen: self
                .unseen
                .why
                .as_deref()
                .filter(|_| self.unseen.times >= OFTEN),
            commit: Some(&self.commit),
            not_accepted: self.not_accepted.as_ref(),
            suspended: suspended.as_ref(),
            health,
        };
        let picture = Picture::of(&known, self.picture.as_ref(), now);
        let teller = Teller {
            at: now,
            environment: self.name(),
            by,
        };
        let events = changes(self.picture.as_ref(), &picture, &teller);
        self.picture = Some(picture);
        events
    }

    /// Leaves what people were told to whoever leads it next; not before the journal holds it, for what counts as told is not told again.
    pub fn keep_picture(
        &self,
        store: &Store,
        journal: &Journal<Event>,
        clock: &Clock,
    ) -> impl Future<Output = ()> + use<> {
        let (picture, lease) = (self.picture.clone(), self.lease.clone());
        let (store, key) = (store.clone(), told_key(self.name()));
        let (journal, clock) = (journal.clone(), clock.clone());
        async move {
            journal.flush(&clock, PATIENCE).await;
            // Where it was lost, somebody else knows better.
            if !lease.is_some_and(|lease| lease.lasts(Duration::ZERO)) {
                return;
            }
            if let Err(failure) = store.save(&key, &picture).await {
                tracing::warn!(%failure, "what people were told could not be written to the store");
            }
        }
    }

    /// How it is shown.
    pub fn view(
        &self,
        controller: &str,
        status: Option<Status>,
        health: Vec<ServiceHealth>,
        next: Option<Timestamp>,
    ) -> View {
        let seconds = |at: Timestamp| format!("{at:.0}");
        View {
            api_version: API_VERSION.into(),
            kind: "EnvironmentView".into(),
            environment: self.name().to_owned(),
            directory: self.directory.clone(),
            commit: Some(self.commit.clone()),
            not_accepted: self.not_accepted.clone(),
            conditions: self
                .picture
                .as_ref()
                .map(|picture| picture.conditions.clone())
                .unwrap_or_default(),
            suspended: self.marks.suspended.as_ref().map(Into::into),
            health,
            controller: controller.to_owned(),
            looked_at: self.looked_at.map(seconds),
            next_look_at: next.map(seconds),
            status,
        }
    }

    /// What git says.
    pub fn manifests(&self) -> &Checked {
        &self.in_force.manifests
    }
}

/// The services that were put back to the release before.
fn put_back(plan: &Plan, outcome: &Outcome) -> impl Iterator<Item = What> {
    let is_sent = outcome.result.is_ok();
    let steps = outcome.steps.iter().filter_map(|at| plan.steps.get(*at));
    let put_back =
        steps.filter(move |step| is_sent && step.verb == PUT_BACK && step.field == "image");
    put_back.map(|step| What::RolledBack {
        service: step.of.name.clone(),
        from: step.from.clone().unwrap_or_default(),
        to: step.to.clone().unwrap_or_default(),
    })
}
