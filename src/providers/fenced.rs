//! Lets writes through only while the lease surely lasts longer than the longest request.
//!
//! One window cannot be fenced: a process that is stopped after the check and before its request leaves, and goes on after its lease has passed to
//! another, sends that one request late, and nothing after it. Railway takes no epoch that would refuse it. What is set as git says it changes nothing;
//! what an older commit had asked for is put right by the next look of the other (see [`crate::plan::drift`]); a deployment or a restart happens once
//! more. See [`crate::store`] for why there is no other window.

use super::{Provider, Scope, Secrets};
use crate::interrupt::Stop;
use crate::plan::write::Write;
use crate::store::lease::Lease;
use crate::world::{Failure, Question, World};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::time::Duration;

/// A provider under a lease. Looking is free; only writes need it.
pub struct Fenced<'a> {
    /// Who looks and acts.
    pub inner: &'a dyn Provider,
    /// What allows to write.
    pub lease: &'a Lease,
    /// How long no request may take more: what the lease must last before one is sent.
    pub longest: Duration,
    /// Told when the lease does not last: the rest of the plan is not worth trying.
    pub stop: &'a Stop,
}

#[async_trait]
impl Provider for Fenced<'_> {
    async fn observe(&self, scope: &Scope) -> Result<World, Failure> {
        self.inner.observe(scope).await
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        self.inner.answer(world, questions).await;
    }

    async fn perform(
        &self,
        world: &World,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        if !self.lease.lasts(self.longest) {
            self.stop.now();
            return Err(Failure::Passing(self.words("nothing was sent")));
        }
        tokio::select! {
            biased;
            answer = self.inner.perform(world, write, secrets) => answer,
            _ = self.lease.lost() => {
                self.stop.now();
                Err(Failure::Unclear(self.words("it ended while the answer was waited for")))
            }
        }
    }
}

impl Fenced<'_> {
    fn words(&self, what: &str) -> String {
        format!(
            "the lease of {} (epoch {}) does not surely last {:?} more, as {}: {what}",
            self.lease.environment(),
            self.lease.epoch(),
            self.longest,
            self.lease.why(),
        )
    }
}
