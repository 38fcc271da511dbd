//! From where an environment is looked at and acted on: its own secrets, and clients that share one budget.

use crate::config::Config;
use crate::manifest::Checked;
use crate::plan::write::Write;
use crate::providers::{Outside, Provider, Scope, Secrets};
use crate::world::{Failure, Question, Seen, World};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes seats: for each environment the same way to the outside, with other secrets.
pub trait Seats: Send + Sync {
    /// The outside of one environment, whose words never repeat its secrets.
    fn outside(&self, secrets: &Secrets) -> Arc<dyn Provider>;
    /// The secrets that manifests refer to, as they are now.
    fn secrets(&self, manifests: &Checked) -> Secrets;
}

/// The real outside.
pub struct Outsides {
    /// The clients, without anybody's secrets.
    pub outside: Outside,
    /// Where secrets are.
    pub config: Config,
}

impl Seats for Outsides {
    fn outside(&self, secrets: &Secrets) -> Arc<dyn Provider> {
        Arc::new(ById {
            outside: Outside {
                railway: self.outside.railway.for_one().hiding(secrets),
                pages: self.outside.pages.clone(),
                redis: self.outside.redis.clone(),
            },
            known: Mutex::default(),
        })
    }

    fn secrets(&self, manifests: &Checked) -> Secrets {
        let prefix = manifests.environment().spec.secrets.prefix.as_deref();
        self.config.secrets(prefix, manifests.secrets())
    }
}

/// Resolves the names of a manifest once: from then on a look is one request.
struct ById {
    outside: Outside,
    known: Mutex<Option<(Scope, Scope)>>,
}

impl ById {
    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Scope, Scope)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Provider for ById {
    async fn observe(&self, scope: &Scope) -> Result<World, Failure> {
        let known = self.known().clone();
        let by_id = known.filter(|(named, _)| named == scope).map(|(_, id)| id);
        if let Some(by_id) = by_id {
            match self.outside.observe(&by_id).await {
                // Another one may have the name now.
                Err(Failure::Refused(_)) => *self.known() = None,
                seen => return seen,
            }
        }
        let seen = self.outside.observe(scope).await?;
        if let Seen::Facts(railway) = &seen.railway {
            let id = Scope {
                project: railway.project.id.clone(),
                environment: railway.environment.id.clone(),
            };
            *self.known() = Some((scope.clone(), id));
        }
        Ok(seen)
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        self.outside.answer(world, questions).await;
    }

    async fn perform(
        &self,
        world: &World,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        self.outside.perform(world, write, secrets).await
    }
}
