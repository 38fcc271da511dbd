//! GraphQL itself: requests, operations, execution, and errors in Railway's shape.

use apollo_compiler::executable::{Operation, Selection};
use apollo_compiler::resolvers::{Execution, ObjectValue};
use apollo_compiler::response::{ExecutionResponse, GraphQLError, JsonMap, JsonValue};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::code_shown;
use crate::language::{Document, Language, own};
use crate::refusal::{INTERNAL, Refusal};
use crate::switches::Switches;

/// Between code and message in a resolver's error, because the executor carries only one text.
const SEPARATOR: char = '\u{1f}';
/// A request that is refused before anything is executed; answered with status 400.
#[derive(Clone, Debug)]
pub struct Invalid {
    pub code: &'static str,
    pub messages: Vec<String>,
}

/// The operation to execute.
pub fn operation<'d>(document: &'d Document, name: Option<&str>) -> Result<&'d Operation, Invalid> {
    let found = document.operations.get(name);
    Ok(&**found.map_err(|error| Invalid {
        code: "BAD_USER_INPUT",
        messages: vec![error.message().to_string()],
    })?)
}

/// The operation's name and root fields, for the transcript.
pub fn described(operation: &Operation) -> String {
    let fields: Vec<&str> = operation
        .selection_set
        .selections
        .iter()
        .map(|selection| match selection {
            Selection::Field(field) => field.name.as_str(),
            Selection::FragmentSpread(spread) => spread.fragment_name.as_str(),
            Selection::InlineFragment(_) => "...",
        })
        .collect();
    let name = operation.name.as_ref().map_or("", |name| name.as_str());
    format!("{name}({})", fields.join(" "))
}

pub fn execute(
    language: &Language,
    document: &Document,
    operation: &Operation,
    variables: &JsonMap,
    root: &dyn ObjectValue,
) -> Result<ExecutionResponse, Invalid> {
    Execution::new(&language.schema, document)
        .operation(operation)
        .implementers_map(&language.implementers)
        .raw_variable_values(variables)
        .enable_schema_introspection(true)
        .execute_sync(root)
        .map_err(|error| Invalid {
            code: "BAD_USER_INPUT",
            messages: vec![error.message().to_string()],
        })
}

/// A refusal as the executor can carry it.
pub fn carried(refusal: &Refusal) -> String {
    let mut text = format!("{}{SEPARATOR}{}", refusal.code, refusal.message);
    if let Some((key, value)) = &refusal.more {
        text.extend([SEPARATOR.to_string().as_str(), key, "=", value]);
    }
    text
}

/// Gives every error its code and trace, as Railway does.
pub fn finish(response: &mut ExecutionResponse, switches: &Switches, trace: &str) {
    for error in &mut response.errors {
        let text = std::mem::take(&mut error.message);
        let mut parts = text.split(SEPARATOR);
        // The executor puts words of its own in front.
        let code = parts.next().and_then(|before| before.rsplit(' ').next());
        let (code, message) = match (code, parts.next()) {
            (Some(code), Some(message)) => (code_shown(code, switches), message),
            // A null where the schema forbids one: Railway's opaque answer.
            _ => (INTERNAL, "Problem processing request"),
        };
        error.message = message.to_string();
        if let Some((key, value)) = parts.next().and_then(|more| more.split_once('=')) {
            error.extensions.insert(key, value.into());
        }
        extend(error, code, trace);
    }
}

fn extend(error: &mut GraphQLError, code: &str, trace: &str) {
    error.extensions.insert("code", code.into());
    error.extensions.insert("traceId", trace.into());
}

/// The body for a request that is refused as a whole.
pub fn refused(invalid: &Invalid, trace: &str) -> Value {
    let errors: Vec<Value> =
        invalid.messages.iter().map(|message| json!({ "message": message, "extensions": { "code": invalid.code, "traceId": trace } })).collect();
    json!({ "errors": errors })
}

/// What a GraphQL request says.
pub struct Body {
    pub query: String,
    pub operation: Option<String>,
    pub variables: JsonMap,
}

impl Body {
    pub fn parse(bytes: &Bytes) -> Result<Body, Invalid> {
        let invalid = |message: &str| Invalid {
            code: "BAD_REQUEST",
            messages: vec![message.to_string()],
        };
        let body: Value =
            serde_json::from_slice(bytes).map_err(|_| invalid("POST body is not valid JSON"))?;
        let query = body.get("query").and_then(Value::as_str);
        let query = query
            .ok_or_else(|| invalid("GraphQL operations must contain a non-empty `query`"))?
            .to_string();
        let operation = body
            .get("operationName")
            .and_then(Value::as_str)
            .map(str::to_string);
        let variables = match body.get("variables").map(to_wire) {
            Some(JsonValue::Object(variables)) => variables,
            None | Some(JsonValue::Null) => JsonMap::new(),
            Some(_) => return Err(invalid("`variables` has to be an object")),
        };
        Ok(Body {
            query,
            operation,
            variables,
        })
    }
}

/// Every deployment status of an answer.
pub fn each_status(data: Option<&mut JsonMap>, see: &mut impl FnMut(&mut JsonValue)) {
    for (key, value) in data.into_iter().flat_map(|map| map.iter_mut()) {
        if key.as_str() == "status" && is_deployment_status(value) {
            see(value);
        } else {
            each_status_below(value, see);
        }
    }
}

fn is_deployment_status(value: &JsonValue) -> bool {
    let known = own()
        .schema
        .get_enum("DeploymentStatus")
        .expect("the schema has it");
    value
        .as_str()
        .is_some_and(|status| known.values.contains_key(status))
}

fn each_status_below(value: &mut JsonValue, see: &mut impl FnMut(&mut JsonValue)) {
    match value {
        JsonValue::Object(map) => each_status(Some(map), see),
        JsonValue::Array(items) => items
            .iter_mut()
            .for_each(|item| each_status_below(item, see)),
        _ => {}
    }
}

/// From serde's JSON to the executor's.
pub fn to_wire(value: &Value) -> JsonValue {
    match value {
        Value::Null => JsonValue::Null,
        Value::Bool(flag) => JsonValue::Bool(*flag),
        Value::Number(number) => JsonValue::Number(number.clone()),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => JsonValue::Array(items.iter().map(to_wire).collect()),
        Value::Object(entries) => JsonValue::Object(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().into(), to_wire(value)))
                .collect(),
        ),
    }
}

/// From the executor's JSON to serde's.
pub fn from_wire(value: &JsonValue) -> Value {
    match value {
        JsonValue::Null => Value::Null,
        JsonValue::Bool(flag) => Value::Bool(*flag),
        JsonValue::Number(number) => Value::Number(number.clone()),
        JsonValue::String(text) => Value::String(text.as_str().to_string()),
        JsonValue::Array(items) => Value::Array(items.iter().map(from_wire).collect()),
        JsonValue::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().to_string(), from_wire(value)))
                .collect(),
        ),
    }
}
