//! One simulated Railway: takes HTTP requests, answers them at the clock's time, and remembers what happened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::birth::first_state;
use crate::by_hand::HandEdit;
use crate::edge;
use crate::faults::{Fault, Faults};
use crate::graphql::Body;
use crate::language::{Language, Upstream};
use crate::limits::Limits;
use crate::random::Random;
use crate::report::{self, Effect, Entry, View};
use crate::seed::Seed;
use crate::switches::Switches;
use crate::time::Time;
use crate::watch::Watching;
use crate::world::World;

pub const PATH: &str = "/graphql/v2";

#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    start: Time,
    began: Instant,
    faults: Faults,
    faults_stopped: AtomicBool,
    world: Mutex<World>,
}

/// There is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection was refused: the request was never seen.
    NotSent,
    /// The connection dropped: nobody can tell whether the request was processed.
    Lost,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Broken::NotSent => "connection refused",
            Broken::Lost => "connection reset by peer",
        })
    }
}

impl std::error::Error for Broken {}

impl Sandbox {
    pub fn new(seed: &Seed, switches: Switches, faults: Faults, random_seed: u64) -> Sandbox {
        let language = Language::spoken(None, &switches);
        Sandbox::speaking(language, seed, switches, faults, random_seed)
    }

    /// A sandbox that takes every document of the upstream schema.
    ///
    /// What it models it answers as ever; any other selection is answered with null, or with an empty list, a zero or
    /// an empty object where null is not allowed. A mutation that it does not model is refused.
    pub fn within(
        upstream: &Upstream,
        seed: &Seed,
        switches: Switches,
        faults: Faults,
        random_seed: u64,
    ) -> Sandbox {
        let language = Language::spoken(Some(upstream), &switches);
        Sandbox::speaking(language, seed, switches, faults, random_seed)
    }

    fn speaking(
        language: Arc<Language>,
        seed: &Seed,
        switches: Switches,
        faults: Faults,
        random_seed: u64,
    ) -> Sandbox {
        let state = Arc::new(first_state(
            &Arc::new(seed.clone()),
            Arc::new(switches),
            random_seed,
        ));
        let past = if faults.are_possible() {
            VecDeque::from([(seed.start, state.clone())])
        } else {
            VecDeque::new()
        };
        let chance = Random::new(random_seed ^ 0x5EED_FA17);
        let world = World {
            language,
            state,
            limits: Limits::default(),
            past,
            chance,
            transcript: Vec::new(),
            effects: Vec::new(),
            mutations: 0,
            arrived: 0,
        };
        let faults_stopped = AtomicBool::new(false);
        Sandbox(Arc::new(Inner {
            start: seed.start,
            began: Instant::now(),
            faults,
            faults_stopped,
            world: Mutex::new(world),
        }))
    }

    /// Answers one request, or breaks as a network does.
    ///
    /// A request for a domain of some service is answered as the application behind it would. Such visits meet no
    /// fault and count neither as requests nor in the transcript: these tell what Railway's API was asked.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        if let Some(page) = self.visited(&request) {
            return Ok(page);
        }
        let (reply, delay) = self.answer(&request);
        if delay > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(delay)).await;
        }
        reply
    }

    /// What a visitor of a domain is shown, as over HTTP: a page of the application, or the edge's own 404 or 502.
    pub fn page(&self, host: &str, path: &str) -> Response<Bytes> {
        let uri = http::Uri::builder().path_and_query(path).build();
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri.unwrap_or_default();
        self.world().visit(self.now(), &edge::bare(host), &request)
    }

    /// Every request so far, in the order in which they were processed.
    pub fn transcript(&self) -> Vec<Entry> {
        self.world().transcript.clone()
    }

    /// Everything the client really changed, in order.
    pub fn effects(&self) -> Vec<Effect> {
        let now = self.now();
        let mut world = self.world();
        world.come_to(now);
        world.effects.clone()
    }

    /// The truth at this moment.
    pub fn look(&self) -> View {
        let now = self.now();
        let mut world = self.world();
        world.come_to(now);
        report::view(&world.state)
    }

    /// An edit that is not the client's; panics if it names something that does not exist.
    pub fn by_hand(&self, edit: HandEdit) {
        let now = self.now();
        let mut world = self.world();
        world.come_to(now);
        let told = format!("{edit:?}");
        if let Err(refusal) = Arc::make_mut(&mut world.state).by_hand(edit) {
            panic!("the sandbox refuses {told}: {}", refusal.message);
        }
        world.remember(now, self.0.faults.are_possible());
    }

    /// From now on nothing goes wrong any more.
    pub fn stop_faults(&self) {
        self.0.faults_stopped.store(true, Ordering::SeqCst);
    }

    /// How many requests came, broken ones too.
    pub fn requests(&self) -> usize {
        self.world().transcript.len()
    }

    /// How many operations were mutations that reached Railway.
    pub fn mutations(&self) -> usize {
        self.world().mutations
    }

    /// The time inside: the start plus what tokio's clock has moved since.
    pub fn now(&self) -> Time {
        self.0
            .start
            .plus_milliseconds(self.0.began.elapsed().as_millis() as i64)
    }

    pub(crate) fn watch(&self, headers: &HeaderMap, body: Body) -> Result<Watching, Value> {
        let (now, mut world) = (self.now(), self.world());
        world.come_to(now);
        world.watch(headers, body)
    }

    pub(crate) fn look_again(&self, watching: &mut Watching) -> Vec<Value> {
        let (now, mut world) = (self.now(), self.world());
        world.come_to(now);
        world.look_again(watching)
    }

    /// The answer, if the request is not for the API.
    fn visited(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let host = edge::host_of(request).filter(|_| request.uri().path() != PATH)?;
        let (now, mut world) = (self.now(), self.world());
        world
            .state
            .is_edge_host(&host)
            .then(|| world.visit(now, &host, request))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request<Bytes>) -> (Result<Response<Bytes>, Broken>, f64) {
        let now = self.now();
        let mut world = self.world();
        let index = world.arrived;
        world.arrived += 1;
        let stopped = self.0.faults_stopped.load(Ordering::SeqCst);
        let fault = self.0.faults.at(index).filter(|_| !stopped);
        world.come_to(now);
        let reply = world.meet(request, fault.as_ref(), index);
        world.collect();
        if reply.is_mutation {
            world.remember(now, self.0.faults.are_possible());
        }
        let result = match (&fault, &reply) {
            (Some(Fault::NotSent), _) => Err(Broken::NotSent),
            (Some(Fault::LostBefore | Fault::LostAfter), _) => Err(Broken::Lost),
            _ => Ok(reply.written(&world.state)),
        };
        let outcome = match &result {
            Err(Broken::NotSent) => "not sent".to_string(),
            Err(Broken::Lost) => "lost".to_string(),
            Ok(_) if reply.note.is_empty() => reply.status.as_u16().to_string(),
            Ok(_) => format!("{} {}", reply.status.as_u16(), reply.note),
        };
        let delay = match fault {
            Some(Fault::Delay(seconds)) => f64::from(seconds),
            _ => reply.slow_seconds,
        };
        world.transcript.push(Entry {
            index,
            at: now,
            operation: reply.operation,
            is_mutation: reply.is_mutation,
            outcome,
            fault,
        });
        (result, delay)
    }
}
