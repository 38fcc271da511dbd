//! Many environments behind one Railway token, in memory: what is stored, what rolls out, what may still be asked in this hour.

use async_trait::async_trait;
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::controller::Prober;
use reconciler::controller::seat::Seats;
use reconciler::manifest::Checked;
use reconciler::plan::write::{What, Write};
use reconciler::providers::railway::{Allowance, TOGETHER};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::world::railway::{
    Active, Change, Deployment, History, Named, Owner, Patch, PatchState, Pulse, Question, Railway,
    Service, Setting, Settings, Source, Staged, Status, Variable, VariableValue,
    Written as WrittenAt,
};
use reconciler::world::secret::Secret;
use reconciler::world::{self, Failure, Seen, World};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a service should be, or is: the rest of it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub replicas: u32,
    pub level: u64,
}

impl Shape {
    /// As a version of the manifests asks for it.
    pub fn of(version: u64) -> Shape {
        Shape {
            replicas: 1 + u32::try_from(version % 3).unwrap(),
            level: version,
        }
    }
}

/// The services of every environment.
pub const SERVICES: [&str; 2] = ["api", "web"];
pub const IMAGE: &str = "ghcr.io/shop/app:1";
const REGION: &str = "us-west2";
const ROLLOUT: Duration = Duration::from_secs(20);
const LATENCY: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

struct Environment {
    shapes: [Shape; 2],
    deployed_at: [Timestamp; 2],
    deployments: [u64; 2],
    written_at: Timestamp,
    revision: u64,
    drifted_at: Option<Timestamp>,
    patches: VecDeque<Patch>,
}

/// How many requests there were of each sort.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests {
    pub looks: u64,
    pub answers: u64,
    pub beats: u64,
    pub writes: u64,
    pub throttled: u64,
}

impl Requests {
    pub fn all(&self) -> u64 {
        self.looks + self.answers + self.beats + self.writes
    }
}

struct State {
    environments: Vec<Environment>,
    opens: Timestamp,
    used: u64,
    told: Option<Allowance>,
    is_down: bool,
    requests: Requests,
    /// How old drift was when it was put back.
    ages: Vec<Duration>,
    most_in_an_hour: u64,
}

/// The account.
#[derive(Clone)]
pub struct Account {
    clock: Clock,
    limit: u64,
    state: Arc<Mutex<State>>,
}

/// What a request is for.
#[derive(Clone, Copy)]
enum For {
    Look,
    Answer,
    Beat,
    Write,
}

impl Account {
    pub fn new(clock: &Clock, limit: u64, environments: usize) -> Account {
        let now = clock.now();
        let environment = |_| Environment {
            shapes: [Shape::of(0); 2],
            deployed_at: [now - HOUR; 2],
            deployments: [1; 2],
            written_at: now - HOUR,
            revision: 0,
            drifted_at: None,
            patches: VecDeque::new(),
        };
        Account {
            clock: clock.clone(),
            limit,
            state: Arc::new(Mutex::new(State {
                environments: (0..environments).map(environment).collect(),
                opens: now,
                used: 0,
                told: None,
                is_down: false,
                requests: Requests::default(),
                ages: Vec::new(),
                most_in_an_hour: 0,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn requests(&self) -> Requests {
        self.state().requests
    }

    pub fn most_in_an_hour(&self) -> u64 {
        self.state().most_in_an_hour
    }

    /// Takes the ages of drift that was put back.
    pub fn take_ages(&self) -> Vec<Duration> {
        std::mem::take(&mut self.state().ages)
    }

    pub fn is_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    pub fn shapes(&self, at: usize) -> [Shape; 2] {
        self.state().environments[at].shapes
    }

    /// Drift that nobody has put back.
    pub fn drifted(&self) -> usize {
        let state = self.state();
        let drifted = state.environments.iter();
        drifted.filter(|it| it.drifted_at.is_some()).count()
    }

    /// Somebody changes something by hand.
    pub fn drift(&self, at: usize) {
        let now = self.clock.now();
        let environment = &mut self.state().environments[at];
        if environment.drifted_at.is_none() {
            environment.drifted_at = Some(now);
        }
        environment.shapes[1].replicas = 7;
        environment.touched(&[1], now);
    }

    async fn ask(&self, why: For) -> Result<(), Failure> {
        self.clock.sleep(LATENCY).await;
        let now = self.clock.now();
        let mut state = self.state();
        if state.is_down {
            return Err(Failure::Passing(
                "Railway says: 503 Service Unavailable".to_owned(),
            ));
        }
        while state.opens + HOUR <= now {
            state.opens += HOUR;
            state.used = 0;
        }
        let resets_at = state.opens + HOUR;
        if state.used >= self.limit {
            state.requests.throttled += 1;
            return Err(Failure::Throttled { until: resets_at });
        }
        state.used += 1;
        state.most_in_an_hour = state.most_in_an_hour.max(state.used);
        state.told = Some(Allowance {
            limit: self.limit,
            remaining: self.limit - state.used,
            resets_at,
        });
        let requests = &mut state.requests;
        *match why {
            For::Look => &mut requests.looks,
            For::Answer => &mut requests.answers,
            For::Beat => &mut requests.beats,
            For::Write => &mut requests.writes,
        } += 1;
        Ok(())
    }
}

impl Environment {
    fn touched(&mut self, services: &[usize], now: Timestamp) {
        self.revision += 1;
        for service in services {
            self.deployed_at[*service] = now;
            self.deployments[*service] += 1;
        }
    }

    fn pulse(&self, now: Timestamp) -> Pulse {
        let rolling = self.deployed_at.map(|at| now < at + ROLLOUT);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.revision.to_be_bytes());
        bytes[8] = u8::from(rolling[0]);
        bytes[9] = u8::from(rolling[1]);
        Pulse(bytes)
    }

    fn seen(&self, name: &str, now: Timestamp) -> Railway {
        let services = SERVICES.iter().enumerate();
        Railway {
            project: Named {
                id: "p".to_owned(),
                name: "shop".to_owned(),
            },
            environment: Named {
                id: name.to_owned(),
                name: name.to_owned(),
            },
            services: services
                .map(|(at, service)| ((*service).to_owned(), Seen::Facts(self.service(at, now))))
                .collect(),
            elsewhere: BTreeSet::new(),
            shared: Seen::Facts(BTreeMap::new()),
            staged: Seen::Facts(Staged::default()),
            history: Seen::Unasked,
            written: Seen::Unasked,
            region_names: BTreeMap::new(),
            pulse: Some(self.pulse(now)),
        }
    }

    fn service(&self, at: usize, now: Timestamp) -> Service {
        let is_rolling = now < self.deployed_at[at] + ROLLOUT;
        let id = |number: u64| format!("{}-d{number}", SERVICES[at]);
        let newest = self.deployments[at];
        let serving = if is_rolling { newest - 1 } else { newest };
        let level = Variable {
            value: Some(Secret::new(format!("level-{}", self.shapes[at].level))),
            sealed: false,
        };
        Service {
            id: format!("{}-id", SERVICES[at]),
            source: Source::Image(IMAGE.to_owned()),
            updates_itself: false,
            settings: Settings::default(),
            has_registry: None,
            placement: Seen::Facts(BTreeMap::from([(
                REGION.to_owned(),
                self.shapes[at].replicas,
            )])),
            variables: Seen::Facts(BTreeMap::from([("LEVEL".to_owned(), level)])),
            has_volume: false,
            domains: Vec::new(),
            updated_at: Some(self.deployed_at[at]),
            newest: Some(Deployment {
                id: id(newest),
                status: if is_rolling {
                    Status::Rolling("DEPLOYING".to_owned())
                } else {
                    Status::Healthy
                },
                created_at: self.deployed_at[at],
                status_at: None,
                image: Some(IMAGE.to_owned()),
                commit: None,
                patch: None,
                stopped: false,
                can_rollback: false,
                settings: Some(Settings::default()),
                by_file: BTreeMap::new(),
                variables: Seen::Unasked,
            }),
            active: vec![Active {
                id: id(serving),
                stopped: false,
            }],
            push_to_deploy: Seen::Unasked,
            kept: Seen::Unasked,
            log: Seen::Unasked,
        }
    }

    fn set(&mut self, change: &Change) -> usize {
        let Owner::Service(service) = &change.of else {
            panic!("nothing is shared: {change:?}");
        };
        let at = SERVICES.iter().position(|it| *it == service.name).unwrap();
        match &change.set {
            Setting::Replicas(regions) => self.shapes[at].replicas = regions[REGION].unwrap(),
            Setting::Variable {
                value: VariableValue::Text(text),
                ..
            } => {
                let level = text.strip_prefix("level-").unwrap();
                self.shapes[at].level = level.parse().unwrap();
            }
            other => panic!("nobody asks for {other:?}"),
        }
        at
    }
}

/// The position that a name stands for.
pub fn position(name: &str) -> usize {
    name.strip_prefix('e').unwrap().parse().unwrap()
}

#[async_trait]
impl Provider for Account {
    async fn observe(&self, scope: &Scope) -> Result<World, Failure> {
        self.ask(For::Look).await?;
        let now = self.clock.now();
        let environment = &self.state().environments[position(&scope.environment)];
        Ok(World {
            railway: Seen::Facts(environment.seen(&scope.environment, now)),
            pages: BTreeMap::new(),
            redis: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: BTreeMap::new(),
        })
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<world::Question>) {
        for question in questions {
            let asked = self.ask(For::Answer).await;
            let Seen::Facts(railway) = &mut world.railway else {
                continue;
            };
            let at = position(&railway.environment.name);
            let environment = &self.state().environments[at];
            let world::Question::Railway(question) = question else {
                panic!("nobody asks a page");
            };
            let failed = asked.err().map(|failure| failure.to_string());
            answer(railway, environment, question, failed);
        }
    }

    async fn perform(&self, world: &World, write: &Write, _: &Secrets) -> Result<(), Failure> {
        self.ask(For::Write).await?;
        let railway = world.railway.facts().unwrap();
        let What::Patch(changes) = &write.what else {
            panic!("all is done by patches: {write:?}");
        };
        let now = self.clock.now();
        let mut state = self.state();
        let environment = &mut state.environments[position(&railway.environment.name)];
        let touched: BTreeSet<usize> = changes.iter().map(|it| environment.set(it)).collect();
        let touched: Vec<usize> = touched.into_iter().collect();
        environment.touched(&touched, now);
        environment.written_at = now;
        let patch = Patch {
            id: format!("patch-{}", environment.revision),
            begun_at: now,
            at: now,
            state: PatchState::Committed,
            message: write.message(),
            by: None,
            touched: BTreeMap::new(),
        };
        environment.patches.push_front(patch);
        environment.patches.truncate(5);
        if let Some(drifted) = environment.drifted_at.take() {
            state.ages.push(now.duration_since(drifted).unsigned_abs());
        }
        Ok(())
    }
}

fn answer(
    railway: &mut Railway,
    environment: &Environment,
    question: &Question,
    failed: Option<String>,
) {
    match question {
        Question::History => {
            railway.history = failed.map_or_else(
                || {
                    Seen::Facts(History {
                        patches: environment.patches.iter().cloned().collect(),
                        is_whole: environment.patches.len() < 5,
                    })
                },
                Seen::Unseen,
            );
        }
        Question::Written => {
            let written = |service: &&str| {
                let at = WrittenAt {
                    created_at: environment.written_at,
                    updated_at: environment.written_at,
                };
                ((format!("{service}-id"), "LEVEL".to_owned()), at)
            };
            railway.written = Seen::Facts(SERVICES.iter().map(written).collect());
        }
        Question::Kept { service } => {
            if let Some(Seen::Facts(service)) = railway.services.get_mut(service) {
                service.kept = Seen::Facts(Vec::new());
            }
        }
        Question::Authors => {}
        Question::Log { .. } | Question::Snapshot { .. } | Question::Push { .. } => {
            panic!("nobody asks {question:?}")
        }
    }
}

#[async_trait]
impl Prober for Account {
    async fn pulses(&self, environments: &[String]) -> Result<Vec<Option<Pulse>>, Failure> {
        self.ask(For::Beat).await?;
        let now = self.clock.now();
        let state = self.state();
        let pulse = |name: &String| Some(state.environments[position(name)].pulse(now));
        Ok(environments.iter().map(pulse).collect())
    }

    fn allowance(&self) -> Option<Allowance> {
        self.state().told
    }

    fn together(&self) -> usize {
        TOGETHER
    }
}

impl Seats for Account {
    fn outside(&self, _: &Secrets) -> Arc<dyn Provider> {
        Arc::new(self.clone())
    }

    fn secrets(&self, _: &Checked) -> Secrets {
        Secrets::new()
    }
}
