//! The real controller over a simulated account: it begins, dies, is stopped and begins again.

use super::account::Account;
use super::git::Git;
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::controller::manifests::Reader;
use reconciler::controller::settings::{Settings, WORKERS};
use reconciler::controller::{Controller, Tools};
use reconciler::interrupt::{Stop, interrupt};
use reconciler::providers::health::Watch;
use reconciler::serve::{Asked, Board, Look, Metrics, Order};
use reconciler::status::event::Event;
use reconciler::store::Store;
use reconciler::store::faults::Faults;
use reconciler::store::journal::{Journal, journal};
use reconciler::store::life::{Serves, Terms};
use reconciler::store::member::Member;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Everything around a controller, which outlives it.
pub struct Site {
    pub clock: Clock,
    pub chance: Clock,
    pub account: Account,
    pub git: Git,
    pub store: Store,
    pub faults: Faults,
    pub environments: usize,
    fetch_every: Duration,
    running: Option<Running>,
}

struct Running {
    stop: Stop,
    looks: mpsc::Sender<Look>,
    _orders: mpsc::Sender<Order>,
    controller: JoinHandle<()>,
    beside: Vec<JoinHandle<()>>,
    board: Board,
    metrics: Metrics,
    journal: Journal<Event>,
}

/// What is alive at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    pub tasks: usize,
    pub views: usize,
    pub events: usize,
    pub metrics: usize,
    pub dropped: u64,
}

pub const DAYS_KEPT: u32 = 3;

impl Site {
    pub fn new(environments: usize, limit: u64, seed: u64, fetch_every: Duration) -> Site {
        let start: Timestamp = "2026-11-23T02:00:00Z".parse().unwrap();
        let clock = Clock::counted(start, seed);
        let faults = Faults::default();
        Site {
            chance: Clock::counted(start, seed ^ 0xABCD),
            account: Account::new(&clock, limit, environments),
            git: Git::new(environments, start),
            store: Store::in_memory(&clock).with_faults(&faults, &clock),
            faults,
            clock,
            environments,
            fetch_every,
            running: None,
        }
    }

    /// A number below another.
    pub fn below(&self, end: u64) -> u64 {
        self.chance.chance() % end
    }

    pub fn any(&self) -> usize {
        let end = u64::try_from(self.environments).unwrap();
        usize::try_from(self.below(end)).unwrap()
    }

    pub async fn begin(&mut self) {
        let terms = Terms::new(Duration::from_secs(600), Duration::from_secs(30)).unwrap();
        let member = loop {
            match Member::join(&self.store, terms, "one", Serves::All).await {
                Ok(member) => break Arc::new(member),
                Err(_) => self.clock.sleep(Duration::from_secs(5)).await,
            }
        };
        let board = Board::new(self.clock.clone());
        let metrics = Metrics::new(board.clone());
        let (journal, writer) = journal::<Event>(&self.store);
        let (looks, asked_looks) = mpsc::channel(16);
        let (orders, asked_orders) = mpsc::channel(16);
        let keeping = member.clone();
        let beside = vec![
            tokio::spawn(writer.run()),
            tokio::spawn(async move { keeping.keep().await }),
        ];
        let controller = Controller::new(Tools {
            clock: self.clock.clone(),
            settings: Settings {
                own_service: None,
                name: "one".to_owned(),
                fetch_every: self.fetch_every,
                workers: WORKERS,
                only: None,
                approved: BTreeSet::new(),
                secrets: Vec::new(),
            },
            store: self.store.clone(),
            member,
            reader: Reader::begin(Box::new(self.git.clone())),
            seats: Arc::new(self.account.clone()),
            prober: Arc::new(self.account.clone()),
            watch: Arc::new(Mutex::new(Watch::default())),
            board: board.clone(),
            metrics: metrics.clone(),
            notifier: None,
            beats: None,
            journal: journal.clone(),
            journal_days: DAYS_KEPT,
        });
        let (stop, interrupt) = interrupt();
        let asked = Asked {
            looks: asked_looks,
            orders: asked_orders,
        };
        self.running = Some(Running {
            stop,
            looks,
            _orders: orders,
            controller: tokio::spawn(async move { controller.run(asked, &interrupt).await }),
            beside,
            board,
            metrics,
            journal,
        });
    }

    /// Ends in good order.
    pub async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop.now();
        running.controller.await.unwrap();
        for task in running.beside {
            task.abort();
        }
    }

    /// Ends in the middle of whatever it does.
    pub fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.controller.abort();
        for task in running.beside {
            task.abort();
        }
    }

    /// Somebody pushes, and the server says so.
    pub fn push(&self, environments: &[usize]) {
        self.git.push(environments, self.clock.now());
        if let Some(running) = &self.running {
            let look = Look {
                environment: None,
                why: "push".to_owned(),
            };
            let _ = running.looks.try_send(look);
        }
    }

    /// Environments that are not as git says.
    pub fn astray(&self) -> Vec<usize> {
        let is_astray = |at: &usize| self.account.shapes(*at) != [self.git.shape(*at); 2];
        (0..self.environments).filter(is_astray).collect()
    }

    /// Environments that are not shown as in step.
    pub fn unready(&self) -> usize {
        let board = &self.running.as_ref().unwrap().board;
        let all = board.summaries(None, usize::MAX);
        let ready = all.iter().filter(|one| one.is_ready);
        self.environments - ready.count()
    }

    pub fn alive(&self) -> Alive {
        let running = self.running.as_ref().unwrap();
        let all = running.board.summaries(None, usize::MAX);
        let events = |name: &str| running.board.events(name, usize::MAX).len();
        Alive {
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            views: all.len(),
            events: all.iter().map(|one| events(&one.environment)).sum(),
            metrics: running.metrics.text().lines().count(),
            dropped: running.journal.dropped(),
        }
    }
}
