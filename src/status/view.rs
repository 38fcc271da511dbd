//! What the controller knows of one environment: what the API, the page, the metrics and `status` show.

use super::Status;
use crate::kinds::shown::one_line;
use crate::plan::stance;
use crate::world::Seen;
use crate::world::health::{Health, Healths};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One environment, as a controller sees it. The form is a promise: fields are added, never renamed or taken away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// `reconciler/v1alpha1`.
    pub api_version: Cow<'static, str>,
    /// `EnvironmentView`.
    pub kind: Cow<'static, str>,
    /// The name of the `Environment`.
    pub environment: String,
    /// Its directory in the repository.
    pub directory: String,
    /// The commit in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The newest commit, where it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_accepted: Option<NotAccepted>,
    /// How it is, by the names that people know.
    pub conditions: Vec<Condition>,
    /// Who told the controller to only look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
    /// What each service with `health` answered.
    pub health: Vec<ServiceHealth>,
    /// The controller that leads the environment: its name and version.
    pub controller: String,
    /// When a full look was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
    /// When the next look is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_look_at: Option<String>,
    /// What the last full look showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// A commit, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Its whole id.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub at: String,
    /// Its first line.
    pub subject: String,
}

/// A commit that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotAccepted {
    /// The commit.
    pub commit: Commit,
    /// Why.
    pub reason: String,
    /// What somebody can do about it.
    pub way_out: String,
    /// Each problem with its file and line.
    pub problems: Vec<String>,
}

/// One fact about an environment, as Kubernetes tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which fact.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: Truth,
    /// One word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when it is so.
    pub last_transition_time: String,
}

/// The facts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionKind {
    /// Everything is as git says, seen, healthy, and nobody is needed.
    Ready,
    /// Reality is as git says.
    Synced,
    /// Every service answers as it should.
    Healthy,
    /// Something goes on.
    Progressing,
    /// It does not get on without somebody.
    Stalled,
    /// Somebody told the controller to only look.
    Suspended,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// Who told the controller to only look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// Until when, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl From<&stance::Suspension> for Suspension {
    fn from(mark: &stance::Suspension) -> Suspension {
        let seconds = |at| format!("{at:.0}");
        Suspension {
            by: mark.by.clone(),
            reason: mark.reason.clone(),
            since: seconds(mark.since),
            until: mark.until.map(seconds),
        }
    }
}

/// How a service answered when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// Its name.
    pub service: String,
    /// Whether it is healthy; nothing where that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_healthy: Option<bool>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What it answered last.
    pub words: String,
}

impl ServiceHealth {
    /// As it was seen; nothing where nobody asks.
    pub fn of(service: &str, health: &Seen<Health>) -> Option<ServiceHealth> {
        let (is_healthy, since, words) = match health {
            Seen::Facts(health) => (
                Some(health.is_healthy),
                Some(format!("{:.0}", health.since)),
                &health.answered,
            ),
            Seen::Unseen(words) => (None, None, words),
            Seen::Unasked => return None,
        };
        Some(ServiceHealth {
            service: service.to_owned(),
            is_healthy,
            since,
            words: one_line(words),
        })
    }

    /// All services of an environment.
    pub fn all(healths: &Healths) -> Vec<ServiceHealth> {
        let all = healths.iter();
        all.filter_map(|(service, health)| ServiceHealth::of(service, health))
            .collect()
    }
}

/// The JSON Schema of the document, as it is committed in `schemas/`.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(View)).unwrap_or_default() + "\n"
}
