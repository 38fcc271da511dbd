//! What was seen: values picked out of a reply and kept by name, and put where `$name` stands.

use super::sheet::is_name;
use crate::providers::railway::Reply;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Values by name; none for a place that was not there.
pub(super) type Kept = BTreeMap<String, Option<Value>>;

/// What is kept of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    /// A place in the data, as a JSON pointer in which `name=value` stands for the first of a list that has it.
    At(String),
    /// The names of the entries of a map there.
    Keys(String),
    /// How many entries a list or map there has.
    Count(String),
    /// The words of the first error, or null.
    Error,
    /// Its code, or null.
    Code,
    /// The HTTP status.
    Status,
    /// How long the reply took, or how long was waited.
    Seconds,
    /// A header.
    Header(String),
}

impl Pick {
    pub(super) fn read(text: &str) -> Result<Pick, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match (word, rest) {
            ("error", "") => Pick::Error,
            ("code", "") => Pick::Code,
            ("status", "") => Pick::Status,
            ("seconds", "") => Pick::Seconds,
            ("header", name) if !name.is_empty() => Pick::Header(name.to_lowercase()),
            ("keys", place) if place.starts_with('/') => Pick::Keys(place.to_owned()),
            ("count", place) if place.starts_with('/') => Pick::Count(place.to_owned()),
            _ if text.starts_with('/') => Pick::At(text.to_owned()),
            _ => return Err(format!("`{text}` is nothing that can be kept")),
        })
    }

    /// Whether a step that keeps it looks at what went wrong.
    pub(super) fn is_about_errors(&self) -> bool {
        matches!(self, Pick::Error | Pick::Code | Pick::Status)
    }

    /// Out of a reply, after so many seconds.
    pub(super) fn from(&self, reply: &Reply, seconds: f64, kept: &Kept) -> Option<Value> {
        let place = |pointer: &str| at(&reply.data, &words(pointer, kept)?).cloned();
        let of_first = |pointer: &str| {
            let first = reply
                .errors
                .first()
                .and_then(|first| first.pointer(pointer));
            Some(first.cloned().unwrap_or_default())
        };
        match self {
            Pick::At(pointer) => place(pointer),
            Pick::Keys(pointer) => {
                let map = place(pointer)?;
                let keys = map.as_object()?.keys().cloned();
                Some(keys.map(Value::from).collect())
            }
            Pick::Count(pointer) => match place(pointer)? {
                Value::Array(items) => Some(items.len().into()),
                Value::Object(entries) => Some(entries.len().into()),
                _ => None,
            },
            Pick::Error => of_first("/message"),
            Pick::Code => of_first("/extensions/code"),
            Pick::Status => Some(reply.status.into()),
            Pick::Seconds => Some((seconds.round() as u64).into()),
            Pick::Header(name) => Some(reply.headers.get(name)?.as_str().into()),
        }
    }
}

/// The place that a pointer leads to.
fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut steps = pointer.split('/').skip(1);
    steps.try_fold(value, |value, step| match (value, step.split_once('=')) {
        (Value::Array(items), Some((name, wanted))) => {
            let named = |item: &Value| item.get(name).is_some_and(|value| value == wanted);
            let mut items = items.iter();
            items.find(|item| named(item) || item.get("node").is_some_and(named))
        }
        (Value::Array(items), None) => items.get(step.parse::<usize>().ok()?),
        (Value::Object(entries), _) => entries.get(step),
        _ => None,
    })
}

/// A value with what was kept in the places of `$name`.
pub(super) fn filled(value: &Value, kept: &Kept) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match whole_name(text) {
            Some(name) => known(name, kept)?.clone(),
            None => Value::from(words_or(text, kept)?),
        },
        Value::Array(items) => items
            .iter()
            .map(|item| filled(item, kept))
            .collect::<Result<_, _>>()?,
        Value::Object(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                map.insert(words_or(key, kept)?, filled(value, kept)?);
            }
            Value::Object(map)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

fn whole_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

fn known<'k>(name: &str, kept: &'k Kept) -> Result<&'k Value, String> {
    let value = kept.get(name).and_then(Option::as_ref);
    value.ok_or_else(|| format!("`{name}` was not seen"))
}

fn words(text: &str, kept: &Kept) -> Option<String> {
    words_or(text, kept).ok()
}

/// Railway's own references look like `${{shared.NAME}}`: no name stands after that sign.
fn words_or(text: &str, kept: &Kept) -> Result<String, String> {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|sign| !is_name(sign)).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        if name.is_empty() {
            out.push('$');
        } else {
            match known(name, kept)? {
                Value::String(text) => out.push_str(text),
                other => out.push_str(&other.to_string()),
            }
        }
        out.push_str(rest);
    }
    Ok(out)
}
