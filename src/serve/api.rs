//! Environments as JSON: the list with one line of each, a view, its events, and the orders that people give.

use super::board::Board;
use super::metrics::short;
use crate::status::State;
use crate::status::event::Event;
use crate::status::view::{Commit, ConditionKind, Truth, View};
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
    pub items: Vec<Summary>,
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

/// One environment in a line.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The name of the `Environment`.
    pub environment: String,
    /// How it stands on the whole, health included.
    pub state: State,
    /// Whether everything is as git says, seen, healthy, and nobody is needed.
    pub is_ready: bool,
    /// Whether somebody told the controller to only look.
    pub is_suspended: bool,
    /// Whether the newest commit is not in force.
    pub is_behind: bool,
    /// Since when it is ready or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The same in words.
    pub message: String,
    /// The commit in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// How many steps are held.
    pub held: usize,
    /// How many fields somebody changed outside of git.
    pub drift: usize,
    /// When a full look was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
}

/// The JSON Schema of the list, as it is committed in `schemas/`.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(Environments)).unwrap_or_default() + "\n"
}

/// One environment in a line.
pub(super) fn summary(view: &View) -> Summary {
    let mut conditions = view.conditions.iter();
    let ready = conditions.find(|condition| condition.kind == ConditionKind::Ready);
    let status = view.status.as_ref();
    Summary {
        environment: view.environment.clone(),
        state: state(view),
        is_ready: ready.is_some_and(|ready| ready.status == Truth::True),
        is_suspended: view.suspended.is_some(),
        is_behind: view.not_accepted.is_some(),
        since: ready.map(|ready| ready.last_transition_time.clone()),
        message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
        commit: view.commit.clone(),
        held: status.map_or(0, |status| status.held.len()),
        drift: status.map_or(0, |status| status.drift.len()),
        looked_at: view.looked_at.clone(),
    }
}

/// How it stands, with what only asking its services tells.
pub(super) fn state(view: &View) -> State {
    let is_ill = view
        .health
        .iter()
        .any(|asked| asked.is_healthy == Some(false));
    match &view.status {
        Some(status) if is_ill && status.state != State::Unknown => State::Degraded,
        Some(status) => status.state,
        None if is_ill => State::Degraded,
        None => State::Unknown,
    }
}

/// The list after a name.
pub(super) fn list(board: &Board, after: Option<&str>, most: usize) -> Environments {
    let views = board.views(after, most.saturating_add(1));
    let shown = views.get(..most).unwrap_or(&views);
    let next = shown.last().filter(|_| views.len() > most);
    Environments {
        api_version: crate::kinds::API_VERSION,
        kind: "EnvironmentList",
        items: shown.iter().map(|view| summary(view)).collect(),
        next: next.map(|view| view.environment.clone()),
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
