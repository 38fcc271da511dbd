//! The simulated world behind the door: it moves with the clock, meets requests and faults, and keeps its past.

use std::collections::VecDeque;
use std::sync::Arc;

use apollo_compiler::executable::{Operation, OperationType};
use apollo_compiler::response::{ExecutionResponse, JsonMap};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::access::{Caller, code_shown};
use crate::faults::Fault;
use crate::graphql::{self, Body, Invalid, each_status};
use crate::language::{Document, Language};
use crate::limits::{Allowance, Limits};
use crate::mutation;
use crate::node::{Failing, Scene, query_root};
use crate::random::{Random, uuid_of};
use crate::reply::Reply;
use crate::report::{Effect, Entry};
use crate::server::PATH;
use crate::state::State;
use crate::time::Time;

/// How many old states are kept for stale reads.
const MOST_SNAPSHOTS: usize = 64;

pub struct World {
    pub language: Arc<Language>,
    pub state: Arc<State>,
    pub limits: Limits,
    /// States as they were left by changes, oldest first; kept only when faults are possible.
    pub past: VecDeque<(Time, Arc<State>)>,
    pub chance: Random,
    pub transcript: Vec<Entry>,
    pub effects: Vec<Effect>,
    pub mutations: usize,
    pub arrived: usize,
}

impl World {
    pub fn come_to(&mut self, now: Time) {
        Arc::make_mut(&mut self.state).advance(now);
        self.collect();
    }

    pub fn visit(&mut self, now: Time, host: &str, request: &Request<Bytes>) -> Response<Bytes> {
        self.come_to(now);
        Arc::make_mut(&mut self.state).visit(host, request)
    }

    pub fn collect(&mut self) {
        if !self.state.outbox.is_empty() {
            let mut news = std::mem::take(&mut Arc::make_mut(&mut self.state).outbox);
            self.effects.append(&mut news);
        }
    }

    pub fn remember(&mut self, now: Time, wanted: bool) {
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

    pub fn meet(&mut self, request: &Request<Bytes>, fault: Option<&Fault>, index: usize) -> Reply {
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
        let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
        let block = self.state.switches.edge_block_minutes;
        if self.state.switches.cloudflare_trap
            && !self.limits.passes_edge(has_query, block, self.state.now)
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
            self.state.seed.requests_per_hour,
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
        if self.state.switches.aliases_count {
            let token = caller.token.clone().unwrap_or_default();
            for _ in 1..operation.selection_set.selections.len() {
                self.limits.count(
                    &token,
                    self.state.seed.plan,
                    self.state.seed.requests_per_hour,
                    self.state.now,
                );
            }
        }
        let caller = if asks_only_schema(operation) {
            if let (false, Err(refusal)) = (self.state.switches.open_introspection, caller.check())
            {
                let code = code_shown(refusal.code, &self.state.switches);
                return Ok(Reply {
                    operation: graphql::described(operation),
                    note: refusal.message.clone(),
                    ..Reply::refused(StatusCode::OK, code, &refusal.message, trace)
                });
            }
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
        let slow_seconds = self.take_slowness();
        Ok(Reply {
            operation: graphql::described(operation),
            is_mutation,
            note,
            body,
            slow_seconds,
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

    fn take_slowness(&mut self) -> f64 {
        if self.state.slow_seconds == 0.0 {
            return 0.0;
        }
        std::mem::take(&mut Arc::make_mut(&mut self.state).slow_seconds)
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
