//! Values as YAML that people read: plain where it means the same, quoted where it would not.

use crate::kinds::shown::acts_on_the_screen;
use serde_json::Value;
use std::fmt::Write as _;

/// Text as a YAML scalar: plain where YAML cannot take it for anything but text, else in quotes.
pub fn scalar(text: &str) -> String {
    let starts_plainly = text
        .chars()
        .next()
        .is_some_and(|sign| sign.is_ascii_alphabetic() || sign == '/' || sign == '_');
    let is_plain = starts_plainly
        && text
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || "-_./@: ".contains(sign))
        && !text.contains(": ")
        && !text.ends_with([':', ' ']);
    let means_something = matches!(
        text.to_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if (is_plain && !means_something) || is_measure(text) {
        text.to_owned()
    } else {
        escaped_json(&Value::from(text).to_string())
    }
}

/// Digits and a unit, such as `45s` and `512MiB`: nothing that YAML takes for a number.
fn is_measure(text: &str) -> bool {
    let unit = text.trim_start_matches(|sign: char| sign.is_ascii_digit());
    (1..=3).contains(&unit.len())
        && unit.len() < text.len()
        && unit.chars().all(|sign| sign.is_ascii_alphabetic())
}

/// JSON is YAML: strings are the only place where signs can stand that act on a screen, and they can be written in JSON's own way.
pub fn escaped_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign == '\n' || !acts_on_the_screen(sign) {
            out.push(sign);
            continue;
        }
        for unit in sign.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// A key and its value on lines of their own, small maps in one line.
pub fn entry(out: &mut String, key: &str, value: &Value, depth: usize) {
    /// A map that is longer than this gets a line for each entry.
    const LONGEST: usize = 90;
    let indent = "  ".repeat(depth);
    let key = scalar(key);
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let flow = flow(value);
            if indent.len() + key.len() + flow.len() <= LONGEST {
                let _ = writeln!(out, "{indent}{key}: {flow}");
                return;
            }
            let _ = writeln!(out, "{indent}{key}:");
            for (name, inner) in entries {
                entry(out, name, inner, depth + 1);
            }
        }
        other => {
            let _ = writeln!(out, "{indent}{key}: {}", flow(other));
        }
    }
}

/// What a small map is about comes first.
const FIRST: &[&str] = &["name", "path", "project", "cpu", "overlap"];

fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| !FIRST.contains(&key.as_str()));
            let inner: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", inner.join(", "))
        }
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
