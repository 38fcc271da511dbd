//! What happened to an environment: the entries of its journal, what `events` lists, what people are told.

pub use crate::kinds::environment::tell::About;
use jiff::Timestamp;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

/// Something that happened to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The name of the `Environment`.
    pub environment: String,
    /// The commit in force at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The controller or the person that did or saw it.
    pub by: String,
    /// What.
    pub what: What,
}

/// What happened. Values are words for people; no secret is ever among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum What {
    /// A commit came into force.
    Accepted {
        /// Who wrote it.
        author: String,
        /// Its first line.
        subject: String,
    },
    /// A commit did not come into force, and the one before stays.
    NotAccepted {
        /// The commit.
        commit: String,
        /// Why, with the first problem's file and line.
        reason: String,
        /// What somebody can do about it.
        way_out: String,
    },
    /// Something was written outside.
    Made {
        /// What, as the plan says it.
        steps: Vec<String>,
        /// How it ended: `sent`, `refused: …`, `no answer: …`.
        result: String,
    },
    /// Everything is as git says, after it was not.
    InStep {
        /// How long it took, where its begin was seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_seconds: Option<u64>,
    },
    /// A step is held.
    Held {
        /// `Service/web`.
        address: String,
        /// The step.
        what: String,
        /// By what.
        reason: String,
        /// What somebody can do about it.
        way_out: String,
    },
    /// A hold is over.
    Released {
        /// `Service/web`.
        address: String,
        /// The step.
        what: String,
    },
    /// Something failed, or did not become healthy in time.
    Failed {
        /// `Service/web`.
        address: String,
        /// What.
        what: String,
        /// Why, in the words of who knows.
        reason: String,
        /// What somebody can do about it.
        way_out: String,
    },
    /// Somebody changed something outside of git.
    Drifted {
        /// The part and its values.
        what: String,
        /// Who, where Railway tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
        /// When it is undone; never where this is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        heals_at: Option<Timestamp>,
    },
    /// A field that flips to and fro: it is told, and not fought over.
    Fought {
        /// The part.
        what: String,
        /// How often it flipped.
        times: u32,
    },
    /// A service does not answer as it should.
    Unhealthy {
        /// The service.
        service: String,
        /// What it answered.
        reason: String,
    },
    /// A service answers again.
    Healthy {
        /// The service.
        service: String,
    },
    /// A service was put back by itself.
    RolledBack {
        /// The service.
        service: String,
        /// The release that was refused.
        from: String,
        /// The release that runs again.
        to: String,
    },
    /// The environment cannot be seen.
    Unseen {
        /// Why.
        reason: String,
    },
    /// It can be seen again.
    Seen,
    /// Nothing is done until it is resumed.
    Suspended {
        /// Why.
        reason: String,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
    },
    /// It goes on.
    Resumed,
    /// Something is closed for longer than it was to be.
    Overdue {
        /// The Maintenance.
        name: String,
    },
    /// A controller leads the environment from now on.
    Led {
        /// Grows with every change of who leads.
        epoch: u64,
    },
}

/// The JSON Schema of an event, as it is committed in `schemas/`: what a webhook is sent.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(Event)).unwrap_or_default() + "\n"
}

impl What {
    /// What `notify` goes by.
    pub fn about(&self) -> About {
        match self {
            What::Held { .. } | What::Suspended { .. } => About::Hold,
            What::NotAccepted { .. }
            | What::Failed { .. }
            | What::Unseen { .. }
            | What::Overdue { .. } => About::Failure,
            What::Unhealthy { .. } | What::RolledBack { .. } => About::Health,
            What::Drifted { .. } | What::Fought { .. } => About::Drift,
            What::Released { .. }
            | What::Healthy { .. }
            | What::Seen
            | What::Resumed
            | What::InStep { .. } => About::Recovery,
            What::Accepted { .. } | What::Made { .. } | What::Led { .. } => About::Progress,
        }
    }

    /// The event's own word, as in its JSON.
    pub fn word(&self) -> &'static str {
        match self {
            What::Accepted { .. } => "accepted",
            What::NotAccepted { .. } => "notAccepted",
            What::Made { .. } => "made",
            What::InStep { .. } => "inStep",
            What::Held { .. } => "held",
            What::Released { .. } => "released",
            What::Failed { .. } => "failed",
            What::Drifted { .. } => "drifted",
            What::Fought { .. } => "fought",
            What::Unhealthy { .. } => "unhealthy",
            What::Healthy { .. } => "healthy",
            What::RolledBack { .. } => "rolledBack",
            What::Unseen { .. } => "unseen",
            What::Seen => "seen",
            What::Suspended { .. } => "suspended",
            What::Resumed => "resumed",
            What::Overdue { .. } => "overdue",
            What::Led { .. } => "led",
        }
    }
}
