//! What `run` is told: the repository, the store, and how often to look.

use crate::config::Config;
use crate::repository::{Accepted, Id};
use crate::world::secret::Secret;
use std::collections::BTreeSet;
use std::time::Duration;

/// Settings of a controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name among others, and in everything that it writes.
    pub name: String,
    /// How often git is asked without a push.
    pub fetch_every: Duration,
    /// How many passes go on side by side.
    pub workers: usize,
    /// The only environment that is served, where one is named.
    pub only: Option<String>,
    /// Commits of rewritten history that somebody approved.
    pub approved: BTreeSet<Id>,
    /// Railway's id of the service that it runs in, where it runs there.
    pub own_service: Option<String>,
    /// Its own secrets, to be shown nowhere.
    pub secrets: Vec<Secret>,
}

/// So many passes go on side by side: each waits for Railway most of the time.
pub const WORKERS: usize = 16;

impl Settings {
    /// With a name, and everything else from the process environment or as it is by default.
    ///
    /// # Errors
    /// In words that name the setting.
    pub fn of(
        config: &Config,
        name: String,
        fetch_every: Duration,
        only: Option<String>,
    ) -> Result<Settings, String> {
        let approved = config
            .plain("RECONCILER_ACCEPT_HISTORY")
            .unwrap_or_default();
        let approved = approved
            .split([',', ' '])
            .filter(|id| !id.is_empty())
            .map(|id| {
                id.parse().map_err(|_| {
                    format!("RECONCILER_ACCEPT_HISTORY: `{id}` is not the whole id of a commit")
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Settings {
            name,
            fetch_every,
            workers: WORKERS,
            only,
            approved,
            own_service: config.plain("RAILWAY_SERVICE_ID").map(str::to_owned),
            secrets: config.own_secrets(),
        })
    }

    /// The controller as it is shown: its name and version.
    pub fn controller(&self) -> String {
        format!("{} {}", self.name, env!("CARGO_PKG_VERSION"))
    }

    pub(super) fn serves(&self, accepted: &Accepted) -> bool {
        let name = &accepted.manifests.environment().name;
        self.only.as_ref().is_none_or(|only| only == name)
    }
}
