//! Look outside and act there: one folder per provider, over one transport.

pub mod http;
pub mod railway;

use crate::plan::write::Write;
use crate::world::railway::{Question, Railway};
use crate::world::secret::Secret;
use crate::world::{Failure, Seen};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};

/// Which Railway environment, by name or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
}

/// Secrets by the name in the manifests.
pub type Secrets = BTreeMap<String, Seen<Secret>>;

/// Somebody who looks at a Railway environment and writes to it. It makes no choices.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One look at everything that a plan needs.
    ///
    /// # Errors
    /// As a [`Failure`]: what could not be seen at all. What could not be seen in part is unseen inside the answer.
    async fn observe(&self, scope: &Scope) -> Result<Railway, Failure>;

    /// Answers a plan's questions into what was seen before; what cannot be answered becomes unseen.
    async fn answer(&self, seen: &mut Railway, questions: &BTreeSet<Question>);

    /// Sends one write, once.
    ///
    /// # Errors
    /// As a [`Failure`], by what the caller can do about it.
    async fn perform(
        &self,
        seen: &Railway,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure>;
}
