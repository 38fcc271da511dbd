//! Which answer fits what was seen.

use super::seen::{Kept, filled};
use super::sheet::{Answer, Case, Probe};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// What a value has to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparison {
    /// This value, or what was kept under `$name`.
    Is(Value),
    Not(Box<Comparison>),
    AnyOf(Vec<Comparison>),
    /// Whether its place was not there at all.
    Missing(bool),
    /// A text with these words in it, or a list or map with such a text, in capitals or not.
    Contains(Value),
    Lacks(Value),
    /// A list with all of these.
    Holds(Vec<Value>),
    /// A list with none but these.
    Within(Vec<Value>),
    /// A number or a time after another one, by so much at least.
    Above(Value, Option<Value>),
    Below(Value, Option<Value>),
    /// A text that is a moment.
    Time,
}

/// The answer that fits first, unless none does.
pub(super) fn answer<'p>(probe: &'p Probe, kept: &Kept) -> Option<&'p Answer> {
    let mut answers = probe.answers.iter();
    answers.find(|answer| answer.when.iter().any(|case| fits(case, kept)))
}

/// Whether everything is as a case says.
pub(super) fn fits(case: &Case, kept: &Kept) -> bool {
    case.iter().all(|(name, comparison)| {
        kept.get(name)
            .is_some_and(|value| comparison.holds(value.as_ref(), kept))
    })
}

impl Comparison {
    /// A plain value, or a map with one of the words that compare.
    pub(super) fn read(value: Value) -> Result<Comparison, String> {
        let Value::Object(mut words) = value else {
            return Ok(Comparison::Is(value));
        };
        let by = words.remove("by");
        let mut words = words.into_iter();
        let (Some((word, value)), None) = (words.next(), words.next()) else {
            return Err("a comparison has one word".to_owned());
        };
        let is_far = matches!(word.as_str(), "above" | "below");
        if by.is_some() && !is_far {
            return Err("`by` belongs to `above` and `below`".to_owned());
        }
        let list = |value: Value| match value {
            Value::Array(items) => Ok(items),
            _ => Err(format!("`{word}` takes a list")),
        };
        Ok(match word.as_str() {
            "is" => Comparison::Is(value),
            "not" => Comparison::Not(Box::new(Comparison::read(value)?)),
            "any of" => {
                let all = list(value)?.into_iter().map(Comparison::read);
                Comparison::AnyOf(all.collect::<Result<_, _>>()?)
            }
            "missing" => match value {
                Value::Bool(missing) => Comparison::Missing(missing),
                _ => return Err("`missing` is true or false".to_owned()),
            },
            "contains" => Comparison::Contains(value),
            "lacks" => Comparison::Lacks(value),
            "holds" => Comparison::Holds(list(value)?),
            "within" => Comparison::Within(list(value)?),
            "above" => Comparison::Above(value, by),
            "below" => Comparison::Below(value, by),
            "looks like" if value == "a time" => Comparison::Time,
            _ => return Err(format!("`{word}` compares nothing")),
        })
    }

    fn holds(&self, value: Option<&Value>, kept: &Kept) -> bool {
        let filled = |wanted: &Value| filled(wanted, kept).ok();
        match (self, value) {
            (Comparison::Missing(missing), value) => value.is_none() == *missing,
            (Comparison::AnyOf(all), value) => all.iter().any(|one| one.holds(value, kept)),
            (_, None) => false,
            (Comparison::Is(wanted), Some(value)) => filled(wanted).as_ref() == Some(value),
            // What was never seen differs from nothing.
            (Comparison::Not(other), Some(value)) => match &**other {
                Comparison::Is(wanted) => filled(wanted).is_some_and(|wanted| wanted != *value),
                other => !other.holds(Some(value), kept),
            },
            (Comparison::Contains(wanted), Some(value)) => {
                filled(wanted).is_some_and(|wanted| contains(value, &wanted))
            }
            (Comparison::Lacks(wanted), Some(value)) => {
                filled(wanted).is_some_and(|wanted| !contains(value, &wanted))
            }
            (Comparison::Holds(wanted), Some(Value::Array(items))) => {
                let mut wanted = wanted.iter().map(filled);
                wanted.all(|wanted| wanted.is_some_and(|wanted| items.contains(&wanted)))
            }
            (Comparison::Within(allowed), Some(Value::Array(items))) => {
                items.iter().all(|item| allowed.contains(item))
            }
            (Comparison::Above(than, by), Some(value)) => {
                filled(than).is_some_and(|than| exceeds(value, &than, by.as_ref()))
            }
            (Comparison::Below(than, by), Some(value)) => {
                filled(than).is_some_and(|than| exceeds(&than, value, by.as_ref()))
            }
            (Comparison::Time, Some(value)) => moment(value).is_some(),
            (Comparison::Holds(_) | Comparison::Within(_), Some(_)) => false,
        }
    }
}

/// Whether a text has the words, or something inside a list or map does; anything but words is to be there as it is.
fn contains(value: &Value, wanted: &Value) -> bool {
    let says = |text: &str| {
        let wanted = wanted.as_str().map(str::to_lowercase);
        wanted.is_some_and(|wanted| text.to_lowercase().contains(&wanted))
    };
    match value {
        Value::String(text) => says(text),
        Value::Array(items) => items.iter().any(|item| contains(item, wanted)),
        Value::Object(entries) => entries
            .iter()
            .any(|(key, value)| says(key) || contains(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value == wanted,
    }
}

/// Whether one is more than the other, as numbers or as times; by so much at least where that is said.
fn exceeds(more: &Value, less: &Value, by: Option<&Value>) -> bool {
    if let (Some(more), Some(less)) = (number(more), number(less)) {
        return match by {
            None => more > less,
            Some(by) => number(by).is_some_and(|by| more >= less + by),
        };
    }
    let (Some(more), Some(less)) = (moment(more), moment(less)) else {
        return false;
    };
    match by {
        None => more > less,
        Some(by) => span(by)
            .and_then(|by| less.checked_add(by).ok())
            .is_some_and(|least| more >= least),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn span(value: &Value) -> Option<Duration> {
    humantime::parse_duration(value.as_str()?).ok()
}
