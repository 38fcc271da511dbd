//! What a kind asks for: a step with its reason, its effect and its way back.

use crate::source::Origin;
use crate::world::{Action, Question};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What one document asks for, and what it would have to know to ask for better.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The steps, in the order in which the document's fields are explained.
    pub steps: Vec<Step>,
    /// What another look could tell that changes the steps.
    pub questions: BTreeSet<Question>,
    /// What the message of the next patch must say, so that later looks see it there.
    pub marks: Vec<String>,
}

/// A document by kind and name: `Service/web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The word after `kind:`.
    pub kind: &'static str,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind, self.name)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One difference between git and the outside, with what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The document that asks.
    pub of: Address,
    /// The part of it: `replicas`, `image`, a variable's name.
    pub field: String,
    /// What is done, in one word: `scale`, `release`, `set`.
    pub verb: &'static str,
    /// What is there now, as it may be printed.
    pub from: Option<String>,
    /// What it will be, as it may be printed.
    pub to: Option<String>,
    /// Why, in a few words; [`Step::origin`] says where.
    pub why: String,
    /// Where it was written.
    pub origin: Option<Origin>,
    /// What people and customers notice of it.
    pub effect: Effect,
    /// How it is undone.
    pub undo: &'static str,
    /// The services that get a new deployment by it.
    pub deploys: Vec<String>,
    /// What may be lost for good: then it needs consent (design rule 15).
    pub loses: Option<Loss>,
    /// Whether it closes something, and so never waits for what cannot be seen (design rule 3).
    pub closes: bool,
    /// The services whose changes it waits for: where they wait for nothing, neither does it.
    pub after: Vec<String>,
    /// What is asked for.
    pub ask: Ask,
}

/// What may be lost for good by a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// In words for people.
    pub words: String,
    /// The ids and declared bounds that make it so: consent is bound to them, and to nothing that changes by itself.
    pub facts: String,
}

/// The verb of a step that does nothing but tell.
pub const NOTE: &str = "note";
/// The verb of what ends a disruption by going back to what ran before: no window holds it.
pub const PUT_BACK: &str = "put back";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Do it: the world already shows all that it needs.
    Make(Action),
    /// Look again later.
    Wait {
        /// What must be seen first.
        until: String,
        /// When waiting has lasted too long.
        deadline: Timestamp,
        /// What follows.
        then: String,
    },
    /// Do nothing before somebody acts.
    Hold {
        /// What stands in the way, in words for people.
        by: String,
        /// What somebody can do about it.
        way_out: String,
        /// What sort of hold.
        cause: Cause,
    },
    /// It cannot be seen, so it is not touched.
    Unseen(String),
    /// Nothing to do, but people should know.
    Told(String),
}

/// What sort of hold it is: it decides the exit code, and the condition on a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// What is wanted was deployed and failed, or did not become healthy in time.
    Unhealthy,
    /// The outside refuses it.
    Refused,
    /// Something that it needs is missing.
    Missing,
    /// Somebody else is at it, or must decide.
    Somebody,
    /// It may lose something, and nobody has consented.
    Consent,
}

/// What people and customers notice of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Applied to what runs, without a deployment.
    Hot,
    /// A new deployment beside the old one, which serves until the new one is ready.
    Redeploy,
    /// As [`Effect::Redeploy`], after a build.
    Rebuild,
    /// A new deployment, the old one stopped first: the service has a volume.
    Downtime,
    /// As [`Effect::Downtime`], and what the volume holds may be unreadable afterwards, or gone.
    DataLoss,
    /// Its volume moves to another region with the next deployment.
    Migration,
    /// It stops serving.
    Stop,
    /// It is gone, with everything that it holds.
    Gone,
    /// A kept deployment is started again.
    Instant,
    /// No job begins, and those that run go on to their end.
    Pause,
    /// Jobs begin again.
    Resume,
    /// Failed jobs go away.
    Clear,
    /// What a cache holds goes away, and is slow until it is there again.
    Purge,
    /// Nothing that runs is touched.
    Nothing,
}

impl Effect {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Effect::Hot => "hot, no redeploy",
            Effect::Redeploy => "redeploys",
            Effect::Rebuild => "builds and redeploys",
            Effect::Downtime => "redeploys, short downtime (it has a volume)",
            Effect::DataLoss => "redeploys, short downtime, and may lose data",
            Effect::Migration => "its volume moves with the next deployment, with a downtime",
            Effect::Stop => "it stops serving",
            Effect::Gone => "it is gone, with everything that it holds",
            Effect::Instant => "instant rollback, nothing is built or pulled",
            Effect::Pause => "jobs wait; those that run go on to their end",
            Effect::Resume => "jobs go on",
            Effect::Clear => "failed jobs go away",
            Effect::Purge => "slower until the cache is filled again",
            Effect::Nothing => "nothing that runs is touched",
        }
    }
}

impl Step {
    /// The action, when there is one to make.
    pub fn action(&self) -> Option<&Action> {
        match &self.ask {
            Ask::Make(action) => Some(action),
            Ask::Wait { .. } | Ask::Hold { .. } | Ask::Unseen(_) | Ask::Told(_) => None,
        }
    }

    /// Whether a new deployment comes of it.
    pub fn deploys(&self) -> bool {
        !self.deploys.is_empty()
    }

    /// The part that the step is about.
    pub fn part(&self) -> String {
        format!("{} {}", self.of, self.field)
    }

    /// What the step is for, the same from the first look to the last: a repeat of it is recognised by this.
    pub fn intent(&self) -> String {
        let mut intent = self.part();
        if let Some(to) = &self.to {
            intent.push_str(" → ");
            intent.push_str(to);
        }
        intent
    }
}
