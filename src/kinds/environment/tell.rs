//! `notify` and `heartbeat`: who is told what happens, and who notices when nobody tells anything any more.

use crate::kinds::written::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is told what happens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`{ slack: SECRET, about: […] }` or `{ webhook: SECRET, about: […] }`")]
pub enum Notify {
    /// A channel of Slack.
    Slack(Slack),
    /// Any receiver of JSON.
    Webhook(Webhook),
}

/// A channel of Slack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Slack {
    /// The secret that holds the address of the incoming webhook, without the environment's `secrets.prefix`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub slack: String,
    /// What it is told.
    #[schemars(length(min = 1, max = 6))]
    pub about: Vec<About>,
}

/// Any receiver of JSON: it is sent the event, as `reconciler schema event` documents it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Webhook {
    /// The secret that holds the address, without the environment's `secrets.prefix`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub webhook: String,
    /// What it is told.
    #[schemars(length(min = 1, max = 6))]
    pub about: Vec<About>,
}

impl Notify {
    /// The name of the secret that holds the address.
    pub fn secret(&self) -> &str {
        match self {
            Notify::Slack(slack) => &slack.slack,
            Notify::Webhook(webhook) => &webhook.webhook,
        }
    }

    /// What it is told.
    pub fn about(&self) -> &[About] {
        match self {
            Notify::Slack(slack) => &slack.about,
            Notify::Webhook(webhook) => &webhook.about,
        }
    }

    /// The word before the secret's name.
    pub fn word(&self) -> &'static str {
        match self {
            Notify::Slack(_) => "slack",
            Notify::Webhook(_) => "webhook",
        }
    }
}

/// What an event is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// Somebody must act first.
    Hold,
    /// Something went wrong.
    Failure,
    /// A service's health.
    Health,
    /// A change outside of git.
    Drift,
    /// What was wrong is right again.
    Recovery,
    /// Everything else: commits, writes, who leads.
    Progress,
}

/// A monitor outside that raises the alarm when it hears nothing any more. It hears something only while looks succeed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Heartbeat {
    /// The secret that holds the address, without the environment's `secrets.prefix`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub secret: String,
    /// How often it hears something.
    #[serde(default = "a_minute")]
    pub every: Duration,
}

fn a_minute() -> Duration {
    Duration(std::time::Duration::from_secs(60))
}
