//! `reconciler show`: a document as it is in force, with the place of every line.

use super::Exit;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::manifest::yaml::{escaped_json, scalar};
use crate::source::{Node, Value};
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the environment.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    directory: PathBuf,
    /// A document by name or as `Kind/name`; all of them where none is given.
    document: Option<String>,
    /// How to print it; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// YAML with the place of every line.
    #[default]
    Text,
    /// A list for machines, without places.
    Json,
}

pub(super) fn show(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    let output = match chosen(arguments.output, config, screen) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let desired = match session::manifests(&arguments.directory, &Clock::wall(), screen) {
        Ok((_, desired)) => desired,
        Err(exit) => return exit,
    };
    let documents: Vec<(String, Arc<Node>)> = desired.all().collect();
    let wanted: Vec<&(String, Arc<Node>)> = match &arguments.document {
        None => documents.iter().collect(),
        Some(word) => documents
            .iter()
            .filter(|(address, _)| {
                address == word
                    || address
                        .split_once('/')
                        .is_some_and(|(_, name)| name == word)
            })
            .collect(),
    };
    if wanted.is_empty() {
        let word = arguments.document.as_deref().unwrap_or_default();
        let names = documents.iter().map(|(address, _)| {
            address
                .split_once('/')
                .map_or(address.as_str(), |(_, name)| name)
        });
        let help = crate::problem::nearest(word, names).map_or_else(
            || format!("there are {}", listed(&documents)),
            |near| format!("did you mean `{near}`?"),
        );
        screen.complain(&format!(
            "no document `{}`; {help}",
            crate::kinds::shown::one_line(word)
        ));
        return Exit::Trouble;
    }
    screen.result(&match output {
        Output::Text => wanted
            .iter()
            .map(|(_, node)| text(node))
            .collect::<Vec<_>>()
            .join("---\n"),
        Output::Json => json_text(
            &wanted
                .iter()
                .map(|(_, node)| node.to_json())
                .collect::<Vec<_>>(),
        ),
    })
}

fn listed(documents: &[(String, Arc<Node>)]) -> String {
    let names: Vec<&str> = documents
        .iter()
        .take(12)
        .map(|(address, _)| address.as_str())
        .collect();
    names.join(", ")
}

/// The columns at which the places stand.
const PLACES: usize = 56;

fn text(document: &Node) -> String {
    let mut lines = Vec::new();
    entries(document, 0, &mut lines);
    let mut out = String::new();
    for (line, place) in lines {
        let _ = writeln!(out, "{line:<PLACES$} # {place}");
    }
    out
}

fn entries(node: &Node, depth: usize, lines: &mut Vec<(String, String)>) {
    let Value::Map(entries_of) = &node.value else {
        return;
    };
    for key in ordered(entries_of.keys()) {
        let Some(entry) = entries_of.get(key) else {
            continue;
        };
        let start = format!("{}{}:", "  ".repeat(depth), scalar(key));
        match &entry.value {
            Value::Map(inner) if !inner.is_empty() => {
                lines.push((start, entry.origin.to_string()));
                entries(entry, depth + 1, lines);
            }
            // JSON is YAML: what needs no line of its own is printed in flow style.
            Value::Text(text) => lines.push((
                format!("{start} {}", scalar(text)),
                entry.origin.to_string(),
            )),
            Value::Map(_) | Value::List(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
                lines.push((
                    format!("{start} {}", escaped_json(&entry.to_json().to_string())),
                    entry.origin.to_string(),
                ));
            }
        }
    }
}

/// As people write documents: what it is, its name, the rest.
fn ordered<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let rank = |key: &String| match key.as_str() {
        "apiVersion" => 0,
        "kind" => 1,
        "metadata" => 2,
        _ => 3,
    };
    let mut keys: Vec<&String> = keys.collect();
    keys.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    keys
}
