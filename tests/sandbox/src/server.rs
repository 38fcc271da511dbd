//! One simulated Railway: takes HTTP requests, answers them at the clock's time, and remembers what happened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apollo_compiler::executable::{Operation, OperationType};
use apollo_compiler::response::{ExecutionResponse, JsonMap};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::access::Caller;
use crate::birth::first_state;
use crate::by_hand::HandEdit;
use crate::edge;
use crate::faults::{Fault, Faults};
use crate::graphql::{self, Body, Invalid, each_status};
use crate::language::{Document, Language, Upstream};
use crate::limits::{Allowance, Limits};
use crate::mutation;
use crate::node::{Failing, Scene, query_root};
use crate::random::{Random, uuid_of};
use crate::reply::Reply;
use crate::report::{self, Effect, Entry, View};
use crate::seed::Seed;
use crate::state::State;
use crate::switches::Switches;
use crate::time::Time;

pub const PATH: &str = "/graphql/v2";

/// How many old states are kept for stale reads.
const MOST_SNAPSHOTS: usize = 64;

#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    start: Time,
    began: Instant,
    faults: Faults,
    faults_stopped: AtomicBool,
    world: Mutex<World>,
}

struct World {
    language: Arc<Language>,
    state: Arc<State>,
    limits: Limits,
    /// States as they were left by changes, oldest first; kept only when faults are possible.
    past: VecDeque<(Time, Arc<State>)>,
    chance: Random,
    transcript: Vec<Entry>,
    effects: Vec<Effect>,
    mutations: usize,
    arrived: usize,
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
        if let Some(seconds) = delay {
            tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
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

    fn answer(&self, request: &Request<Bytes>) -> (Result<Response<Bytes>, Broken>, Option<u32>) {
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
        let delay = if let Some(Fault::Delay(seconds)) = fault {
            Some(seconds)
        } else {
            None
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

impl World {
    fn come_to(&mut self, now: Time) {
        Arc::make_mut(&mut self.state).advance(now);
        self.collect();
    }

    fn visit(&mut self, now: Time, host: &str, request: &Request<Bytes>) -> Response<Bytes> {
        self.come_to(now);
        Arc::make_mut(&mut self.state).visit(host, request)
    }

    fn collect(&mut self) {
        if !self.state.outbox.is_empty() {
            let mut news = std::mem::take(&mut Arc::make_mut(&mut self.state).outbox);
            self.effects.append(&mut news);
        }
    }

    fn remember(&mut self, now: Time, wanted: bool) {
        self.collect();
        if wanted {
            self.past.push_back((now, self.state.clone()));
        }
        if self.past.len() > MOST_SNAPSHOTS {
            self.past.pop_front();
        }
    }

    /// The state as it was, or the oldest one kept.
    fn back_then(&self, at: Time) -> Arc<State> {
        let kept = self
            .past
            .iter()
            .rev()
            .find(|(then, _)| *then <= at)
            .or(self.past.front());
        let mut state = kept.map_or_else(|| self.state.clone(), |(_, state)| state.clone());
        Arc::make_mut(&mut state).advance(at);
        state
    }

    fn meet(&mut self, request: &Request<Bytes>, fault: Option<&Fault>, index: usize) -> Reply {
        match fault {
            Some(Fault::NotSent | Fault::LostBefore) => {
                Reply::page(StatusCode::OK, "").told(request, &self.language)
            }
            Some(Fault::Cloudflare1015) => Reply::edge().told(request, &self.language),
            Some(Fault::ServerError(status)) => {
                Reply::gateway(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY))
                    .told(request, &self.language)
            }
            Some(Fault::Html) => Reply::page(
                StatusCode::OK,
                "<!doctype html><title>Railway</title><p>Just a moment...",
            )
            .told(request, &self.language),
            Some(Fault::TooMany {
                retry_after_seconds,
                headers,
            }) => {
                let resets = self.state.now.plus_seconds(f64::from(*retry_after_seconds));
                let allowance = Allowance {
                    limit: 1000,
                    remaining: 0,
                    resets,
                    retry_after_seconds: Some(*retry_after_seconds),
                };
                Reply {
                    allowance: headers.then_some(allowance),
                    ..Reply::too_many()
                }
                .told(request, &self.language)
            }
            Some(Fault::ServerErrorAfter) => {
                let reply = self.process(request, fault, index);
                Reply {
                    operation: reply.operation,
                    is_mutation: reply.is_mutation,
                    ..Reply::gateway(StatusCode::BAD_GATEWAY)
                }
            }
            Some(Fault::Duplicate) => {
                let first = self.process(request, fault, index);
                if first.is_mutation {
                    self.process(request, fault, index)
                } else {
                    first
                }
            }
            Some(Fault::TruncatedBody) => {
                let mut reply = self.process(request, fault, index);
                reply.body.truncate(reply.body.len() / 2);
                reply
            }
            None
            | Some(
                Fault::LostAfter
                | Fault::Delay(_)
                | Fault::StaleRead { .. }
                | Fault::PartialData { .. }
                | Fault::UnknownEnum
                | Fault::ExpiredToken,
            ) => self.process(request, fault, index),
        }
    }

    fn process(&mut self, request: &Request<Bytes>, fault: Option<&Fault>, index: usize) -> Reply {
        let trace = uuid_of(&format!("trace {index}"));
        if request.uri().path() != PATH {
            return Reply::refused(StatusCode::NOT_FOUND, "NOT_FOUND", "Not Found", &trace);
        }
        if request.uri().query().is_none_or(str::is_empty)
            && self.state.switches.cloudflare_trap
            && !self.limits.passes_edge(self.state.now)
        {
            return Reply::edge();
        }
        if request.method() != Method::POST {
            return Reply::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "BAD_REQUEST",
                "GraphQL requests have to be sent with POST",
                &trace,
            );
        }
        let mut caller = Caller::of(request.headers(), &self.state);
        if fault == Some(&Fault::ExpiredToken) {
            caller = caller.expired();
        }
        let allowance = self.limits.count(
            caller.token.as_deref().unwrap_or(""),
            self.state.seed.plan,
            self.state.now,
        );
        if allowance.retry_after_seconds.is_some() {
            return Reply {
                allowance: Some(allowance),
                ..Reply::too_many()
            }
            .told(request, &self.language);
        }
        let reply = match self.run(request, caller, fault, &trace) {
            Ok(reply) => reply,
            Err(invalid) => {
                let note = invalid.code.to_string();
                Reply {
                    note,
                    ..Reply::json(StatusCode::BAD_REQUEST, &graphql::refused(&invalid, &trace))
                }
            }
        };
        Reply {
            allowance: Some(allowance),
            ..reply
        }
    }

    fn run(
        &mut self,
        request: &Request<Bytes>,
        caller: Caller,
        fault: Option<&Fault>,
        trace: &str,
    ) -> Result<Reply, Invalid> {
        let asked = Body::parse(request.body())?;
        let document = self.language.document(&asked.query)?;
        let operation = graphql::operation(&document, asked.operation.as_deref())?;
        let is_mutation = operation.operation_type == OperationType::Mutation;
        if operation.operation_type == OperationType::Subscription {
            return Err(Invalid {
                code: "BAD_REQUEST",
                messages: vec!["Subscriptions need a WebSocket".to_string()],
            });
        }
        let caller = if asks_only_schema(operation) {
            Caller::nobody()
        } else {
            caller
        };
        let mut response = if is_mutation {
            self.mutations += 1;
            let language = self.language.clone();
            let root = mutation::Root::new(&mut self.state, caller, language);
            graphql::execute(
                &self.language,
                &document,
                operation,
                &asked.variables,
                &root,
            )?
        } else {
            self.query(&document, operation, &asked.variables, caller, fault)?
        };
        if fault == Some(&Fault::UnknownEnum) {
            self.misread(&mut response);
        }
        graphql::finish(&mut response, &self.state.switches, trace);
        let note = response
            .errors
            .first()
            .map_or(String::new(), |error| error.message.clone());
        let body = serde_json::to_vec(&response).expect("a response is plain JSON");
        Ok(Reply {
            operation: graphql::described(operation),
            is_mutation,
            note,
            body,
            ..Reply::json(StatusCode::OK, &Value::Null)
        })
    }

    fn query(
        &mut self,
        document: &Document,
        operation: &Operation,
        variables: &JsonMap,
        caller: Caller,
        fault: Option<&Fault>,
    ) -> Result<ExecutionResponse, Invalid> {
        let state = match fault {
            Some(Fault::StaleRead { seconds_back }) => {
                self.back_then(self.state.now.plus_seconds(-f64::from(*seconds_back)))
            }
            _ => self.state.clone(),
        };
        let language = self.language.clone();
        let mut scene = Scene::new(state, caller, language);
        if let Some(Fault::PartialData { field }) = fault {
            scene.failing = Some(match field {
                Some(field) => Failing::Named(field.clone()),
                None => {
                    // Answered once to learn how many fields there are to choose from.
                    let root = query_root(&scene);
                    graphql::execute(&self.language, document, operation, variables, &root)?;
                    Failing::Nth(self.chance.below(scene.resolved.take() as u64) as usize)
                }
            });
        }
        let root = query_root(&scene);
        graphql::execute(&self.language, document, operation, variables, &root)
    }

    /// Turns one deployment status of the answer into a word from the future.
    fn misread(&mut self, response: &mut ExecutionResponse) {
        let mut found = 0;
        each_status(response.data.as_mut(), &mut |_| found += 1);
        let chosen = self.chance.below(found);
        let mut at = 0;
        each_status(response.data.as_mut(), &mut |status| {
            if at == chosen {
                *status = "SOMETHING_NEW".into();
            }
            at += 1;
        });
    }
}

/// Introspection answers anybody, so the token does not matter.
fn asks_only_schema(operation: &Operation) -> bool {
    operation.selection_set.selections.iter().all(|selection| {
        selection
            .as_field()
            .is_some_and(|field| field.name.starts_with("__"))
    })
}
