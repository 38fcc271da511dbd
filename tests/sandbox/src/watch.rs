//! Subscriptions: a document is answered again and again, and whatever is new in the answer is sent.

use apollo_compiler::executable::OperationType;
use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonMap;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::fields;
use crate::graphql::{self, Body};
use crate::language::Document;
use crate::node::{Answer, Asked, Scene, field_error, resolved};
use crate::query;
use crate::random::uuid_of;
use crate::refusal::Refusal;
use crate::time::Time;
use crate::world::World;

/// One subscription of one connection.
pub struct Watching {
    headers: HeaderMap,
    document: Document,
    operation: Option<String>,
    variables: JsonMap,
    /// The root field, which decides what counts as new.
    field: String,
    /// Until when rows of logs have been sent.
    until: Option<Time>,
    /// Steps of a rollout as they were last sent.
    events: Vec<Value>,
    last: Option<Value>,
}

/// Fields whose rows are sent once each.
const LOGS: [&str; 4] = ["buildLogs", "deploymentLogs", "environmentLogs", "httpLogs"];

impl World {
    /// Begins a subscription; the error is the payload that tells why not.
    pub fn watch(&mut self, headers: &HeaderMap, body: Body) -> Result<Watching, Value> {
        let trace = uuid_of(&body.query);
        let told = |invalid| graphql::refused(&invalid, &trace)["errors"].clone();
        let document = self.language.document(&body.query).map_err(told)?;
        let operation = graphql::operation(&document, body.operation.as_deref()).map_err(told)?;
        let first = operation.selection_set.selections.first();
        let field = first.and_then(|selection| selection.as_field());
        match field {
            Some(field) if operation.operation_type == OperationType::Subscription => {
                let field = field.name.to_string();
                Ok(Watching {
                    headers: headers.clone(),
                    document,
                    operation: body.operation,
                    variables: body.variables,
                    field,
                    until: None,
                    events: Vec::new(),
                    last: None,
                })
            }
            _ => Err(json!([{ "message": "only subscriptions are answered here" }])),
        }
    }

    /// What is new since the last time, as payloads in order.
    pub fn look_again(&mut self, watching: &mut Watching) -> Vec<Value> {
        if LOGS.contains(&watching.field.as_str()) {
            let now = self.state.now;
            let window = watching.until.replace(now).unwrap_or(Time(i64::MIN))..now;
            let answer = self.answer(watching, 0, Some(window));
            let rows = answer["data"]
                .as_object()
                .and_then(|data| data.values().next());
            let is_news =
                rows.is_none_or(|rows| rows.as_array().is_none_or(|rows| !rows.is_empty()));
            return if is_news { vec![answer] } else { Vec::new() };
        }
        if watching.field != "deploymentEvents" {
            let answer = self.answer(watching, 0, None);
            let is_news = watching.last.replace(answer.clone()) != Some(answer.clone());
            return if is_news { vec![answer] } else { Vec::new() };
        }
        let mut news = Vec::new();
        for nth in 0.. {
            let answer = self.answer(watching, nth, None);
            let is_nothing = answer["data"].is_null();
            if is_nothing && answer["errors"][0]["message"] == "Problem processing request" {
                break; // There is no such step yet.
            }
            if watching.events.get(nth) != Some(&answer) {
                news.push(answer.clone());
                match watching.events.get_mut(nth) {
                    Some(known) => *known = answer,
                    None => watching.events.push(answer),
                }
            }
            if is_nothing {
                break;
            }
        }
        news
    }

    fn answer(
        &mut self,
        watching: &Watching,
        nth: usize,
        window: Option<std::ops::Range<Time>>,
    ) -> Value {
        let caller = Caller::of(&watching.headers, &self.state);
        let mut scene = Scene::new(self.state.clone(), caller, self.language.clone());
        scene.window = window;
        let root = Root { scene: &scene, nth };
        let operation = graphql::operation(&watching.document, watching.operation.as_deref());
        let response = operation.and_then(|operation| {
            let variables = &watching.variables;
            graphql::execute(
                &self.language,
                &watching.document,
                operation,
                variables,
                &root,
            )
        });
        let trace = uuid_of(&watching.field);
        match response {
            Ok(mut response) => {
                graphql::finish(&mut response, &self.state.switches, &trace);
                serde_json::to_value(&response).expect("a response is plain JSON")
            }
            Err(invalid) => graphql::refused(&invalid, &trace),
        }
    }
}

/// The type `Subscription` at one moment.
struct Root<'s> {
    scene: &'s Scene,
    /// Which of several events.
    nth: usize,
}

impl ObjectValue for Root<'_> {
    fn type_name(&self) -> &str {
        "Subscription"
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let asked = Asked {
            field: info.field_name(),
            arguments: info.arguments(),
        };
        let answer = match asked.field {
            "deploymentEvents" => {
                query::deployment(self.scene, asked.text("id")).map(|deployment| {
                    let events = fields::events(deployment, self.scene.state.now);
                    let event = events.into_iter().nth(self.nth);
                    event.map_or_else(Answer::null, Answer::plain)
                })
            }
            "environmentStagedPatch" => {
                let field = "environmentStagedChanges";
                query::answer(self.scene, &Asked { field, ..asked })
            }
            field if self.scene.language.models("Subscription", field) => {
                query::answer(self.scene, &asked)
            }
            field => {
                let told = format!("the sandbox does not model {field}");
                Err(Refusal::internal(&told))
            }
        };
        let answer = answer.map_err(|refusal| field_error(&refusal))?;
        let of = info.field_definition().ty.inner_named_type();
        Ok(resolved(self.scene, answer, of))
    }
}
