//! The JSON Schema of each kind: what `load` holds a `spec` to, what editors are given and what `explain` reads.

use super::document::NAME_PATTERN;
use crate::kinds::written::{Duration, Instant, Size};
use crate::kinds::{API_VERSION, KINDS, KindInfo};
use crate::source::Entries;
use jsonschema::{Draft, Validator};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What a `spec` is held to.
pub struct Rules {
    /// The schema itself, for the words in it.
    pub schema: Value,
    /// The same, compiled.
    pub validator: Validator,
}

/// The rules of the `spec` of a kind.
pub fn rules_of(kind: &str) -> Option<&'static Rules> {
    static RULES: OnceLock<BTreeMap<&'static str, Rules>> = OnceLock::new();
    let compiled = || {
        KINDS
            .iter()
            .map(|info| (info.name, rules(&(info.spec_schema)().to_value())))
            .collect()
    };
    RULES.get_or_init(compiled).get(kind)
}

fn rules(raw: &Value) -> Rules {
    let mut schema = spec_schema(raw);
    for (name, format) in [("Duration", DURATION), ("Time", TIME), ("Size", SIZE)] {
        if let Some(Value::Object(definition)) = schema.pointer_mut(&format!("/$defs/{name}")) {
            definition.insert("format".to_owned(), json!(format));
        }
    }
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_format(DURATION, |text: &str| reads::<Duration>(text))
        .with_format(TIME, |text: &str| reads::<Instant>(text))
        .with_format(SIZE, |text: &str| reads::<Size>(text))
        .build(&schema)
        .expect("the schemas come from our own types");
    Rules { schema, validator }
}

const DURATION: &str = "reconciler-duration";
const TIME: &str = "reconciler-time";
const SIZE: &str = "reconciler-size";

/// A pattern cannot say that the 31st of February is no day.
fn reads<'a, T: Deserialize<'a>>(text: &'a str) -> bool {
    let deserializer: serde::de::value::BorrowedStrDeserializer<'_, serde::de::value::Error> =
        serde::de::value::BorrowedStrDeserializer::new(text);
    T::deserialize(deserializer).is_ok()
}

/// The schema of a `spec`, where nothing may be `null`: what is not managed is not written.
fn spec_schema(raw: &Value) -> Value {
    let mut schema = raw.clone();
    if let Value::Object(fields) = &mut schema {
        fields.remove("$schema");
        fields.remove("title");
    }
    each_schema(&mut schema, &mut without_null);
    schema
}

/// Calls a function with every object of a schema, innermost first.
fn each_schema(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            fields
                .values_mut()
                .for_each(|value| each_schema(value, change));
            change(fields);
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|value| each_schema(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            fields.remove("anyOf");
            for (key, value) in only {
                fields.entry(key).or_insert(value);
            }
        }
    }
}

/// The JSON Schema of a document of a kind, for editors. A document with `from: base` needs no required fields and may take any field back with `null`.
pub fn schema_of(kind: &str) -> Option<Value> {
    let info = KINDS.iter().find(|info| info.name == kind)?;
    Some(document_schema(
        info,
        &spec_schema(&(info.spec_schema)().to_value()),
    ))
}

fn document_schema(info: &KindInfo, spec: &Value) -> Value {
    let mut definitions = Map::new();
    let whole = hoist(spec.clone(), "", &mut definitions);
    let description = whole.get("description").cloned().unwrap_or_default();
    let mut metadata = json!({ "name": {
        "type": "string", "pattern": NAME_PATTERN, "description": "The name: letters, digits, `.`, `_` and `-`.",
    } });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": info.name,
        "description": description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "const": API_VERSION, "description": "The version of the language." },
            "kind": { "const": info.name, "description": "What sort of thing this document is about." },
            "spec": whole,
        },
    });
    if info.is_shared {
        metadata["from"] = json!({
            "const": "base", "description": "Lays this document over its namesake in the base, map key by key. `null` takes a field back to not managed.",
        });
        let mut overlay = spec.clone();
        each_schema(&mut overlay, &mut as_overlay);
        let overlay = hoist(overlay, "Overlay", &mut definitions);
        let whole = std::mem::replace(&mut schema["properties"]["spec"], json!(true));
        schema["if"] = json!({ "properties": { "metadata": { "required": ["from"] } }, "required": ["metadata"] });
        schema["then"] = json!({ "properties": { "spec": overlay } });
        schema["else"] = json!({ "properties": { "spec": whole } });
    }
    schema["properties"]["metadata"] = json!({
        "type": "object", "required": ["name"], "additionalProperties": false, "properties": metadata, "description": "What this document is called.",
    });
    schema["$defs"] = Value::Object(definitions);
    schema
}

/// Moves the definitions of a schema to those of the document, with a suffix on their names and on every reference to them.
fn hoist(mut schema: Value, suffix: &str, definitions: &mut Map<String, Value>) -> Value {
    each_schema(&mut schema, &mut |fields| {
        if let Some(Value::String(target)) = fields.get_mut("$ref") {
            target.push_str(suffix);
        }
    });
    if let Some(Value::Object(own)) = schema
        .as_object_mut()
        .and_then(|fields| fields.remove("$defs"))
    {
        definitions.extend(
            own.into_iter()
                .map(|(name, definition)| (format!("{name}{suffix}"), definition)),
        );
    }
    schema
}

/// An overlay holds only what differs: nothing is required, and every field may be `null`.
fn as_overlay(fields: &mut Map<String, Value>) {
    if fields.get("type") != Some(&json!("object")) {
        return;
    }
    fields.remove("required");
    fields.remove("minProperties");
    for holder in ["properties", "patternProperties"] {
        if let Some(Value::Object(entries)) = fields.get_mut(holder) {
            entries.values_mut().for_each(or_null);
        }
    }
    if let Some(entry @ Value::Object(_)) = fields.get_mut("additionalProperties") {
        or_null(entry);
    }
}

fn or_null(schema: &mut Value) {
    let mut choice = std::mem::take(schema);
    let description = choice
        .as_object_mut()
        .and_then(|fields| fields.remove("description"));
    *schema = json!({ "anyOf": [choice, { "type": "null" }] });
    if let (Some(fields), Some(description)) = (schema.as_object_mut(), description) {
        fields.insert("description".to_owned(), description);
    }
}

/// The schema files of the repository by name: one for each kind, and one that chooses by `kind`.
pub fn all_schemas() -> BTreeMap<String, String> {
    let kinds: Vec<(&str, Value)> = KINDS
        .iter()
        .filter_map(|info| Some((info.name, schema_of(info.name)?)))
        .collect();
    let mut files: BTreeMap<String, String> = kinds
        .iter()
        .map(|(kind, schema)| (file_name(kind), pretty(schema)))
        .collect();
    files.insert("manifest.schema.json".to_owned(), pretty(&any_kind(&kinds)));
    files
}

fn file_name(kind: &str) -> String {
    format!("{}.schema.json", kind.to_lowercase())
}

fn pretty(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// One schema for all kinds. A chain of conditions, so that an editor tells about the kind that was written and not about all of them.
fn any_kind(kinds: &[(&str, Value)]) -> Value {
    let mut definitions = Map::new();
    let mut conditions = Vec::new();
    for (kind, schema) in kinds {
        let mut schema = schema.clone();
        let prefix = format!("#/$defs/{kind}/$defs/");
        each_schema(&mut schema, &mut |fields| {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replacen("#/$defs/", &prefix, 1);
            }
        });
        if let Value::Object(fields) = &mut schema {
            fields.remove("$schema");
        }
        definitions.insert((*kind).to_owned(), schema);
        conditions.push(json!({
            "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
            "then": { "$ref": format!("#/$defs/{kind}") },
        }));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A manifest of reconciler",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION, "description": "The version of the language." },
            "kind": { "enum": kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), "description": "What sort of thing this document is about." },
        },
        "allOf": conditions,
        "$defs": definitions,
    })
}

/// The part of a schema that a pointer of jsonschema names, through every `$ref` on the way.
pub fn part<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut at = schema;
    for step in pointer.split('/').skip(1) {
        if step == "$ref" {
            at = resolved(schema, at);
            continue;
        }
        let step = step.replace("~1", "/").replace("~0", "~");
        at = child(at, &step).or_else(|| child(resolved(schema, at), &step))?;
    }
    Some(resolved(schema, at))
}

fn child<'a>(schema: &'a Value, step: &str) -> Option<&'a Value> {
    match schema {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => schema.get(step),
    }
}

/// What a `$ref` refers to, or the schema itself.
pub fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix('#'));
    target
        .and_then(|pointer| root.pointer(pointer))
        .unwrap_or(schema)
}

/// A part of the schema of a `spec`, on the way down beside the values that it is for.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    root: &'a Value,
    schema: &'a Value,
}

impl<'a> Shape<'a> {
    /// The shape of the whole `spec`.
    pub fn whole(root: &'a Value) -> Shape<'a> {
        Shape { root, schema: root }
    }

    fn at(self, schema: &'a Value) -> Shape<'a> {
        let schema = resolved(self.root, schema);
        Shape { schema, ..self }
    }

    /// The shapes that a value here may have.
    fn alternatives(self) -> Vec<Shape<'a>> {
        let branches = ["anyOf", "oneOf"]
            .iter()
            .filter_map(|word| self.schema.get(word)?.as_array())
            .flatten();
        let alternatives: Vec<Shape<'a>> = branches.map(|branch| self.at(branch)).collect();
        if alternatives.is_empty() {
            vec![self]
        } else {
            alternatives
        }
    }

    /// What an entry is held to, where this shape has such an entry.
    fn entry(self, field: &str) -> Option<&'a Value> {
        let named = self.schema.get("properties");
        named
            .and_then(|fields| fields.get(field))
            .or_else(|| self.any_entry())
    }

    /// What the entries of a map are held to whose names are free, in the two ways in which a schema says it.
    fn any_entry(self) -> Option<&'a Value> {
        let by_pattern = self.schema.get("patternProperties");
        by_pattern
            .and_then(|patterns| patterns.as_object()?.values().next())
            .or_else(|| self.schema.get("additionalProperties"))
            .filter(|schema| schema.is_object())
    }

    /// The shape of an entry.
    pub fn below(self, field: &str) -> Option<Shape<'a>> {
        let alternatives = self.alternatives().into_iter();
        let mut entries = alternatives.filter_map(|shape| shape.entry(field));
        entries.next().map(|schema| self.at(schema))
    }

    /// Whether a map is of another alternative than the one that it is laid over.
    pub fn is_another(self, under: &Entries, over: &Entries) -> bool {
        let alternatives = self.alternatives();
        let alone = |shape: &Shape<'_>| over.keys().all(|field| shape.entry(field).is_some());
        let together = |shape: &Shape<'_>| {
            alone(shape) && under.keys().all(|field| shape.entry(field).is_some())
        };
        alternatives.len() > 1
            && !alternatives.iter().any(together)
            && alternatives.iter().any(alone)
    }
}
