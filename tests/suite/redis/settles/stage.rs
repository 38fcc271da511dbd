//! The outside of a schedule: a server, the Railway service that it runs in, and all that goes wrong between us and them.

use super::super::model::{Dice, Held, Lists, Model};
use super::super::server::key;
use super::bent::Bent;
use super::laws::Ledger;
use super::wish::Wish;
use crate::worlds::Written;
use async_trait::async_trait;
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::world::page::Page;
use reconciler::world::railway;
use reconciler::world::redis::{Change, Layout, Question as Asked};
use reconciler::world::{Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// A deployment of the service that the server runs in, on its way.
#[derive(Debug, Clone, Copy)]
struct Roll {
    /// When the old one ends, and when the new one is healthy.
    ends: Timestamp,
    healthy: Timestamp,
    /// When we asked for it, where it was us.
    asked_at: Option<Timestamp>,
    is_over: bool,
}

/// What was played, to be told at the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    pub faults: u64,
    pub restarts: u64,
    pub others: u64,
    pub purges: u64,
    pub clears: u64,
}

pub struct Stand {
    pub model: Model,
    pub ledger: Ledger,
    pub dice: Dice,
    pub wish: Wish,
    pub version: &'static str,
    pub layout: Layout,
    /// The documents of those who consent, by the digests of the steps.
    pub consents: BTreeMap<String, String>,
    pub bent: Option<Bent>,
    /// Of a hundred exchanges, how many go wrong.
    pub faults: u64,
    pub jobs: u64,
    pub played: Played,
    away_until: Timestamp,
    deployments: u64,
    deployed_at: Timestamp,
    roll: Option<Roll>,
    /// Whether the server was restarted since the last look: then what was decided is about another.
    is_another: bool,
}

pub struct Stage {
    pub clock: Clock,
    pub stand: Mutex<Stand>,
}

impl Stand {
    pub fn new(mut dice: Dice, wish: Wish, bent: Option<Bent>, now: Timestamp) -> Stand {
        let version = ["bullmq:5.81.5", "bullmq:6.7.0"][dice.roll(2) as usize];
        let commands = [
            "",
            "redis-server --save 3600 1",
            "redis-server --appendonly yes",
            "redis-server --save 3600 1 --appendonly yes",
        ];
        let long_ago = now - Duration::from_secs(86_400 * 3);
        let mut model = Model::started(commands[dice.roll(4) as usize], long_ago);
        if dice.one_in(4) {
            // Somebody turned it off in what runs.
            model.perform(&configure("appendonly", "no"), long_ago, usize::MAX);
        }
        let mut stand = Stand {
            model,
            ledger: Ledger::default(),
            dice,
            wish,
            version,
            layout: if version.contains(":6") {
                Layout::V6
            } else {
                Layout::Legacy
            },
            consents: BTreeMap::new(),
            bent,
            faults: 25,
            jobs: 0,
            played: Played::default(),
            away_until: long_ago,
            deployments: 1,
            deployed_at: long_ago,
            roll: None,
            is_another: false,
        };
        stand.make();
        for name in ["session:1", "cache:1", "cache:2", "cache:3"] {
            let at = long_ago.as_millisecond().to_string();
            stand.model.held.keys.insert(name.to_owned(), at);
        }
        stand
    }

    /// The application makes its queue where there is none.
    pub fn make(&mut self) {
        let version = self.version.to_owned();
        let lists: &mut Lists = self.model.mail();
        lists.meta.entry("version".to_owned()).or_insert(version);
    }

    pub fn is_away(&self, now: Timestamp) -> bool {
        now < self.away_until
    }

    pub fn fails(&mut self) -> bool {
        let is_fault = self.dice.roll(100) < self.faults;
        self.played.faults += u64::from(is_fault);
        is_fault
    }

    /// What time brings.
    pub fn tick(&mut self, now: Timestamp) {
        let is_ill = self.faults > 0 && self.dice.one_in(6);
        self.model.tick(now, is_ill);
        if self.model.saves() && self.dice.one_in(12) {
            self.model.save(now);
        }
        if let Some(mut roll) = self.roll
            && roll.ends <= now
            && !roll.is_over
        {
            self.end(roll.asked_at, now);
            roll.is_over = true;
            self.roll = Some(roll);
        }
        self.roll.take_if(|roll| roll.healthy <= now);
    }

    /// The server ends, and another starts on the same disk.
    fn end(&mut self, asked_at: Option<Timestamp>, now: Timestamp) {
        let is_orderly = self.dice.one_in(2);
        self.model.restart(is_orderly, now);
        self.ledger.restarted(&self.model.held, asked_at);
        self.away_until = now + Duration::from_secs(2 + self.dice.roll(6));
        self.is_another = true;
        match asked_at {
            Some(_) => self.played.restarts += 1,
            None => self.played.others += 1,
        }
    }

    /// Somebody else restarts it, or it dies.
    pub fn die(&mut self, now: Timestamp) {
        self.end(None, now);
    }

    /// A new deployment of its service.
    pub fn deploy(&mut self, asked_at: Option<Timestamp>, now: Timestamp) {
        let ends = now + Duration::from_secs(3 + self.dice.roll(8));
        self.deployments += 1;
        self.deployed_at = now;
        self.roll = Some(Roll {
            ends,
            healthy: ends + Duration::from_secs(5 + self.dice.roll(20)),
            asked_at,
            is_over: false,
        });
    }

    fn railway(&self) -> World {
        let status = if self.roll.is_some() {
            "DEPLOYING"
        } else {
            "SUCCESS"
        };
        let text = format!(
            "{{ now: 2026-11-23T02:00:00Z, services: {{ web: {{ image: \"app:1\", domains: [shop.example], newest: {{ id: d1, status: SUCCESS, at: 2026-11-20T09:00:00Z, image: \"app:1\" }} }}, redis: {{ image: \"redis:7\", volume: true, settings: {{ start: \"{}\" }}, newest: {{ id: r{}, status: {status}, at: {:.0}, image: \"redis:7\" }} }} }} }}",
            self.model.command, self.deployments, self.deployed_at
        );
        serde_yaml::from_str::<Written>(&text).unwrap().world()
    }

    fn shown(
        &mut self,
        question: &Asked,
        now: Timestamp,
    ) -> Seen<reconciler::world::redis::Server> {
        if self.is_away(now) || self.fails() {
            return Seen::Unseen("Redis/main does not answer".to_owned());
        }
        let mut shown = self.model.look(question);
        if let Some(bent) = self.bent {
            bent.shown(&mut shown, now);
        }
        Seen::Facts(shown)
    }

    fn answer(&mut self, world: &mut World, question: &Question, now: Timestamp) {
        match question {
            Question::Redis(question) => {
                let shown = self.shown(question, now);
                world.redis.insert(question.of.name.clone(), shown);
            }
            Question::Page(question) => {
                let is_closed = self.model.held.keys.contains_key("closed");
                let page = Page {
                    status: if is_closed { 503 } else { 200 },
                    body: String::new(),
                };
                world.pages.insert(question.url.clone(), Seen::Facts(page));
            }
            Question::Railway(_) => {}
        }
    }

    /// The restart of its service.
    fn redeploy(&mut self, now: Timestamp) -> Result<(), Failure> {
        let (is_lost, is_done) = (self.fails(), self.dice.one_in(2));
        if !is_lost || is_done {
            if !self.is_another {
                let is_rolling = self.roll.is_some();
                self.ledger
                    .restarts(&self.model, &self.wish, is_rolling, now);
            }
            // What was decided about another server is no choice of ours about this one.
            let asked_at = (!self.is_another).then_some(now);
            self.deploy(asked_at, now);
        }
        answered(is_lost, is_done)
    }

    /// The start command of its service, for the next start.
    fn store(&mut self, start: &str) -> Result<(), Failure> {
        let (is_lost, is_done) = (self.fails(), self.dice.one_in(2));
        if !is_lost || is_done {
            let was_told = self.model.is_told_to_log();
            start.clone_into(&mut self.model.command);
            if !self.is_another {
                self.ledger.stores(&self.model, was_told);
            }
        }
        answered(is_lost, is_done)
    }

    fn perform(&mut self, change: &Change, now: Timestamp) -> Result<(), Failure> {
        if self.faults > 0 && self.dice.one_in(80) {
            self.die(now);
        }
        if self.is_away(now) {
            return Err(Failure::Passing("nothing listens there".to_owned()));
        }
        let queue = self.model.held.queues.contains_key(&key("mail"));
        if !queue && is_of_queue(change) {
            return Err(Failure::Passing("NOQUEUE".to_owned()));
        }
        let (is_lost, is_done) = (self.fails(), self.dice.one_in(2));
        if matches!(change, Change::Warm { .. }) && is_lost && !is_done {
            return Err(Failure::Passing("the page does not answer".to_owned()));
        }
        if !is_lost || is_done {
            self.change(change, now);
        }
        answered(is_lost, is_done)
    }

    /// A change as it arrives, whole or piece by piece.
    fn change(&mut self, change: &Change, now: Timestamp) {
        if !self.is_another {
            self.ledger.asked(change, &self.model, &self.wish, now);
        }
        let before: Held = self.model.held.clone();
        let most = if self.faults > 0 && self.dice.one_in(2) {
            1 + self.dice.roll(2) as usize
        } else {
            usize::MAX
        };
        let made = match self.bent {
            Some(bent) => bent.change(change.clone()),
            None => change.clone(),
        };
        let awaited = self.model.mail().awaited.clone();
        if self.bent == Some(Bent::ClearsAwaited) {
            self.model.mail().awaited.clear();
        }
        self.model.perform(&made, now, most);
        self.model.mail().awaited = awaited;
        self.played.purges += u64::from(matches!(change, Change::Purge { .. }));
        self.played.clears += u64::from(matches!(change, Change::Clear { .. }));
        let is_given_up = !self.consents.is_empty();
        let wish = (&self.wish, is_given_up);
        self.ledger
            .performed(change, &before, &self.model, wish, now);
        let unnoted = match self.bent {
            Some(Bent::PurgesWithoutNote) => "reconciler:purged:pages",
            Some(Bent::WarmsWithoutNote) => "reconciler:warmed:pages",
            _ => return,
        };
        self.model.held.keys.remove(unnoted);
    }
}

fn is_of_queue(change: &Change) -> bool {
    matches!(
        change,
        Change::MaxActive { .. }
            | Change::Pause { .. }
            | Change::Resume { .. }
            | Change::Forget { .. }
            | Change::Clear { .. }
    )
}

pub fn configure(name: &'static str, value: &str) -> Change {
    Change::Configure {
        values: vec![(name, value.to_owned())],
        has_file: false,
    }
}

fn answered(is_lost: bool, is_done: bool) -> Result<(), Failure> {
    match (is_lost, is_done) {
        (false, _) => Ok(()),
        (true, true) => Err(Failure::Unclear("no answer".to_owned())),
        (true, false) => Err(Failure::Passing("not sent".to_owned())),
    }
}

impl Stage {
    /// Does something with the stand as it is now.
    pub fn with<T>(&self, what: impl FnOnce(&mut Stand, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut stand = self.stand.lock().unwrap();
        stand.tick(now);
        what(&mut stand, now)
    }
}

#[async_trait]
impl Provider for Stage {
    async fn observe(&self, _: &Scope) -> Result<World, Failure> {
        self.with(|stand, _| {
            stand.is_another = false;
            Ok(stand.railway())
        })
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        self.with(|stand, now| {
            for question in questions {
                stand.answer(world, question, now);
            }
        });
    }

    async fn perform(&self, _: &World, write: &Write, _: &Secrets) -> Result<(), Failure> {
        self.with(|stand, now| match &write.what {
            What::Redis(action) => stand.perform(&action.change, now),
            What::One(railway::Action::Redeploy { service, .. }) if service.name == "redis" => {
                stand.redeploy(now)
            }
            What::One(railway::Action::StoreStart { service, start, .. })
                if service.name == "redis" =>
            {
                stand.store(start)
            }
            other => panic!("{other:?}: nothing else of Railway differs"),
        })
    }
}
