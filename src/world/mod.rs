//! What can be seen outside and what can be done there: the values that planning reads and asks for.

pub mod health;
pub mod page;
pub mod railway;
pub mod redis;
pub mod secret;

use crate::world::health::Healths;
use crate::world::page::Page;
use crate::world::railway::Railway;
use crate::world::secret::Secret;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that a plan of one environment reads of the outside.
#[derive(Debug, Clone)]
pub struct World {
    /// The Railway environment.
    pub railway: Seen<Railway>,
    /// Pages on the web, by address; asked by [`page::Question`].
    pub pages: BTreeMap<String, Seen<Page>>,
    /// Redis servers, by the names of their documents; asked by [`redis::Question`].
    pub redis: BTreeMap<String, Seen<redis::Server>>,
    /// The secrets that manifests refer to, by the name in the manifest (without the environment's prefix).
    pub secrets: BTreeMap<String, Seen<Secret>>,
    /// How services answer, where somebody asks them all the time.
    pub health: Healths,
}

/// A part of the outside: the facts, or why they could not be had. Unseen never leads to a write (design rule 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// The facts.
    Facts(T),
    /// Looked for and not had, with the reason in words for people.
    Unseen(String),
    /// Not looked for: a plan that needs it asks a [`Question`].
    Unasked,
}

impl<T> Seen<T> {
    /// The facts, when there are any.
    pub fn facts(&self) -> Option<&T> {
        match self {
            Seen::Facts(facts) => Some(facts),
            Seen::Unseen(_) | Seen::Unasked => None,
        }
    }
}

/// What a plan wants to know beyond the first look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Question {
    /// Something of Railway.
    Railway(railway::Question),
    /// What a page answers.
    Page(page::Question),
    /// What a Redis server shows.
    Redis(redis::Question),
}

impl From<railway::Question> for Question {
    fn from(question: railway::Question) -> Question {
        Question::Railway(question)
    }
}

impl From<page::Question> for Question {
    fn from(question: page::Question) -> Question {
        Question::Page(question)
    }
}

impl From<redis::Question> for Question {
    fn from(question: redis::Question) -> Question {
        Question::Redis(question)
    }
}

/// How an action failed; the variants are the choices that the caller has (design rule 10).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The outside said no: show its words. A repeat would get the same answer.
    #[error("{0}")]
    Refused(String),
    /// The token's quota is used up until the given time.
    #[error("asked to wait until {until}")]
    Throttled {
        /// When the next request may be sent.
        until: Timestamp,
    },
    /// Surely not done, and worth a retry: the request did not arrive, or the server said so.
    #[error("{0}")]
    Passing(String),
    /// Sent, no answer: done or not done. Never retried in place; the next look decides.
    #[error("no answer: {0}")]
    Unclear(String),
    /// The token is missing, wrong, or may not do this. Nothing else with this token is worth trying.
    #[error("{0}")]
    Denied(String),
}

/// What a repeat of an action does (design rule 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A repeat writes the same value again.
    Absolute,
    /// A repeat finds what the first one made.
    Named,
    /// A repeat is a second effect.
    Fresh,
}

/// One thing that can be done outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Something in Railway.
    Railway(railway::Action),
    /// Something in a Redis server.
    Redis(redis::Action),
}

impl Action {
    /// What a repeat of it does.
    pub fn class(&self) -> Class {
        match self {
            Action::Railway(action) => action.class(),
            Action::Redis(_) => Class::Absolute,
        }
    }
}

/// How long the outside may take until a look shows what was written: reads may be stale (facts/railway.md 8, "Stale reads").
pub const SETTLING: Duration = Duration::from_secs(20);
