//! Environments as JSON: the list with one line of each, a view, its events, and the orders that people give.

use super::board::Board;
use super::metrics::short;
use crate::status::event::Event;
use crate::status::summary::Summary;
use crate::status::view::Commit;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use std::sync::Arc;

/// How many environments one answer lists at most.
pub(super) const MOST_ITEMS: usize = 500;
/// How many events one answer lists where nobody says.
pub(super) const SOME_EVENTS: usize = 50;

/// The environments that the controller shows, by name. The form is a promise: fields are added, never renamed or taken away.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environments {
    /// `reconciler/v1alpha1`.
    pub api_version: &'static str,
    /// `EnvironmentList`.
    pub kind: &'static str,
    /// One of each.
    pub items: Vec<Arc<Summary>>,
    /// The `after` of the next request, where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The events of an environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Events {
    api_version: &'static str,
    kind: &'static str,
    /// The newest first.
    items: Vec<Arc<Event>>,
}

/// The JSON Schema of the list, as it is committed in `schemas/`.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(Environments)).unwrap_or_default() + "\n"
}

/// The list after a name.
pub(super) fn list(board: &Board, after: Option<&str>, most: usize) -> Environments {
    let all = board.summaries(after, most.saturating_add(1));
    let shown = all.get(..most).unwrap_or(&all);
    let next = shown.last().filter(|_| all.len() > most);
    Environments {
        api_version: crate::kinds::API_VERSION,
        kind: "EnvironmentList",
        next: next.map(|last| last.environment.clone()),
        items: shown.to_vec(),
    }
}

/// The newest events.
pub(super) fn events(board: &Board, environment: &str, newest: usize) -> Events {
    Events {
        api_version: crate::kinds::API_VERSION,
        kind: "EventList",
        items: board.events(environment, newest),
    }
}

/// A commit in a few words: `41bd07e by anna`.
pub(super) fn commit_words(commit: &Commit) -> String {
    format!("{} by {}", short(&commit.id), commit.author)
}
