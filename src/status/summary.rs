//! One environment in a line: what lists of many show, and nothing that only a view of one needs.

use super::State;
use super::view::{Commit, ConditionKind, Truth, View};
use schemars::JsonSchema;
use serde::Serialize;

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

impl Summary {
    /// A view in a line.
    pub fn of(view: &View) -> Summary {
        let mut conditions = view.conditions.iter();
        let ready = conditions.find(|condition| condition.kind == ConditionKind::Ready);
        let status = view.status.as_ref();
        Summary {
            environment: view.environment.clone(),
            state: view.state(),
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
}

impl View {
    /// How it stands, with what only asking its services tells.
    pub fn state(&self) -> State {
        let mut health = self.health.iter();
        let is_ill = health.any(|asked| asked.is_healthy == Some(false));
        match &self.status {
            Some(status) if is_ill && status.state != State::Unknown => State::Degraded,
            Some(status) => status.state,
            None if is_ill => State::Degraded,
            None => State::Unknown,
        }
    }
}
