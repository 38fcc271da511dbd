//! What a fetch of git changes: which commit is in force for which environment.

use super::led::Led;
use super::manifests::News;
use super::{Controller, Happened, lock, refused};
use crate::repository::{Accepted, Id, Verdict};
use crate::serve::{Git, Look};
use crate::status::view::{Commit, NotAccepted};
use crate::world::Seen;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where the store keeps which commit is in force.
const IN_FORCE: &str = "in-force.json";

/// The commits that are in force, by directory.
#[derive(serde::Serialize, serde::Deserialize)]
struct InForce {
    commits: BTreeMap<String, String>,
}

/// What came of putting something in force.
struct Forced {
    is_change: bool,
    has_new_secrets: bool,
}

impl Controller {
    /// The commits that were in force when the process before ended, by directory.
    pub(super) async fn remembered(&self) -> BTreeMap<String, Id> {
        match self.tools.store.load::<InForce>(IN_FORCE).await {
            Ok(Some(all)) => all
                .commits
                .into_iter()
                .filter_map(|(directory, id)| Some((directory, id.parse().ok()?)))
                .collect(),
            Ok(None) => BTreeMap::new(),
            Err(failure) => {
                tracing::warn!(%failure, "what was in force before cannot be read from the store");
                BTreeMap::new()
            }
        }
    }

    pub(super) fn fetch(&mut self) {
        self.fetch.is_running = true;
        self.fetch.again = false;
        let done = self
            .environments
            .values()
            .filter_map(|led| led.done.as_ref()?.as_deref());
        // Most environments are at the same commit.
        let done: BTreeSet<&str> = done.collect();
        let kept = done.iter().filter_map(|id| id.parse().ok()).collect();
        let (reader, sender) = (self.tools.reader.clone(), self.sender.clone());
        let (approved, last) = (self.approved.clone(), self.last.clone());
        self.read_orders();
        tokio::spawn(async move {
            let news = reader.news(approved, kept, last).await;
            let _ = sender.send(Happened::News(news));
        });
    }

    pub(super) fn look(&mut self, look: &Look) {
        tracing::info!(why = look.why, "somebody says look now");
        let now = self.now();
        if let Some(led) = look
            .environment
            .as_ref()
            .and_then(|name| self.environments.get_mut(name))
        {
            led.agenda.wake(now);
        }
        if let Some(name) = &look.environment {
            self.line_up(name);
        }
        self.fetch_now(now);
    }

    /// What is being fetched may be older than what was pushed just now.
    pub(super) fn fetch_now(&mut self, now: Timestamp) {
        if self.fetch.is_running {
            self.fetch.again = true;
        } else {
            self.fetch.due = now;
        }
    }

    pub(super) fn news(&mut self, news: Result<News, String>) {
        let now = self.now();
        self.fetch.is_running = false;
        let every = self.tools.clock.jittered(self.tools.settings.fetch_every);
        self.fetch.due = if self.fetch.again {
            now
        } else {
            now.saturating_add(every).unwrap_or(Timestamp::MAX)
        };
        match news {
            Ok(news) => {
                self.git_is(news.lost.clone());
                self.take_in(&news);
            }
            Err(why) => self.git_is(Some(why)),
        }
    }

    /// Whether git answers.
    fn git_is(&mut self, lost: Option<String>) {
        let git = match lost {
            None => {
                self.fetch.lost = None;
                Git::Reached
            }
            Some(why) => {
                let since = *self.fetch.lost.get_or_insert(self.tools.clock.now());
                tracing::warn!(why, "git does not answer; what was accepted stays in force");
                Git::Lost { since, why }
            }
        };
        self.tools.board.git(git);
    }

    fn take_in(&mut self, news: &News) {
        let now = self.now();
        let mut in_force = BTreeMap::new();
        let mut changed = Vec::new();
        let mut has_new_secrets = false;
        for (directory, verdict) in &news.verdicts {
            let not_accepted = refused::not_accepted(verdict, &news.head);
            if let Some(accepted) = verdict
                .in_force()
                .filter(|it| self.tools.settings.serves(it))
            {
                in_force.insert(directory.clone(), accepted.commit);
                let commit = news.commits.get(&accepted.commit).unwrap_or(&news.head);
                let name = &accepted.manifests.environment().name;
                let forced = self.force(directory, accepted, commit, not_accepted, now);
                has_new_secrets |= forced.has_new_secrets;
                if forced.is_change {
                    changed.push(name);
                }
            } else if let Some(not_accepted) = not_accepted {
                tracing::error!(
                    directory,
                    reason = not_accepted.reason,
                    "nothing is in force"
                );
            }
            if let Verdict::Vanished { .. } = verdict {
                tracing::warn!(
                    directory,
                    "the environment is not in git any more: it is no longer managed, and nothing is removed"
                );
            }
        }
        for name in self.gone(news) {
            self.forget(&name);
        }
        if has_new_secrets {
            self.hide();
        }
        self.keep_pace();
        for name in changed {
            self.tell(name, None);
            self.line_up(name);
        }
        self.remember(in_force);
    }

    /// Those of which nothing is in force any more.
    fn gone(&self, news: &News) -> Vec<String> {
        let is_gone = |name: &str, led: &Led| {
            let verdict = news.verdicts.get(&led.directory);
            let accepted = verdict.and_then(Verdict::in_force);
            accepted
                .filter(|it| self.tools.settings.serves(it))
                .is_none_or(|it| it.manifests.environment().name != name)
        };
        let gone = self.environments.iter();
        let gone = gone.filter(|(name, led)| is_gone(name, led));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// What is in force for an environment.
    fn force(
        &mut self,
        directory: &str,
        accepted: &Accepted,
        commit: &Commit,
        not_accepted: Option<NotAccepted>,
        now: Timestamp,
    ) -> Forced {
        let name = &accepted.manifests.environment().name;
        let secrets = self.tools.seats.secrets(&accepted.manifests);
        let Some(led) = self
            .environments
            .get_mut(name)
            .filter(|led| led.directory == directory)
        else {
            let provider = self.tools.seats.outside(&secrets);
            let (accepted, commit) = (accepted.clone(), commit.clone());
            let mut led = Led::new(directory, accepted, commit, provider, secrets, now);
            led.not_accepted = not_accepted;
            self.environments.insert(name.clone(), Box::new(led));
            return Forced {
                is_change: true,
                has_new_secrets: true,
            };
        };
        let has_new_secrets = *led.secrets() != secrets;
        let is_change =
            has_new_secrets || !led.has_in_force(accepted) || led.not_accepted != not_accepted;
        if has_new_secrets {
            led.sit(self.tools.seats.outside(&secrets), secrets);
            led.agenda.wake(now);
        }
        if is_change {
            led.not_accepted = not_accepted;
            led.force(accepted.clone(), commit.clone(), now);
        }
        Forced {
            is_change,
            has_new_secrets,
        }
    }

    /// Secrets are taken out of everything that is shown.
    fn hide(&self) {
        let all = self
            .environments
            .values()
            .flat_map(|led| led.secrets().values());
        let own = self.tools.settings.secrets.iter();
        self.tools
            .board
            .hide(all.filter_map(Seen::facts).chain(own));
    }

    fn forget(&mut self, name: &str) {
        if let Some(led) = self.environments.remove(name) {
            led.stop();
            if let Some(lease) = led.lease {
                self.give_back(lease);
            }
        }
        self.line_up(name);
        lock(&self.tools.watch).forget(name);
        if let Some(beats) = &self.tools.beats {
            beats.forget(name);
        }
        self.tools.metrics.forget(name);
        self.tools.board.forget(name);
    }

    fn remember(&mut self, in_force: BTreeMap<String, Id>) {
        if in_force == *self.last {
            return;
        }
        let commits = in_force.iter();
        let commits = commits.map(|(directory, id)| (directory.clone(), id.to_string()));
        let written = InForce {
            commits: commits.collect(),
        };
        self.last = Arc::new(in_force);
        let store = self.tools.store.clone();
        tokio::spawn(async move {
            if let Err(failure) = store.save(IN_FORCE, &written).await {
                tracing::warn!(%failure, "what is in force could not be written to the store");
            }
        });
    }
}
