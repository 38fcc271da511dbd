//! The manifests repository, as the controller reads it: a bare mirror without a work tree.
//!
//! A look: [`Repository::fetch`], [`Repository::look`] at the head, [`Repository::history`] of what is in force, [`accept()`],
//! [`Repository::before`] for what is planned next, [`Mirror::keep`] what is still needed.

mod accept;
mod access;
mod before;
mod claims;
mod command;
mod environments;
mod id;
mod mirror;
mod objects;
mod source;
mod tree;

pub use accept::{Accepted, History, Verdict, accept};
pub use access::Access;
pub use before::Before;
pub use claims::conflicts;
pub use command::{Limits, Trouble};
pub use environments::{Broken, Look};
pub use id::Id;
pub use mirror::{Commit, Fetched, Mirror};
pub use source::{Source, Way};

use environments::{Cache, Reading};
use jiff::Timestamp;
use objects::Objects;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The manifests of a branch.
#[derive(Debug)]
pub struct Repository {
    mirror: Mirror,
    cache: Cache,
}

impl Repository {
    /// The repository, with its mirror below a directory that no other process uses.
    ///
    /// # Errors
    /// As [`Mirror::open`].
    pub async fn open(
        directory: &Path,
        source: Source,
        access: Access,
        limits: Limits,
    ) -> Result<Repository, Trouble> {
        Ok(Repository {
            mirror: Mirror::open(directory, source, access, limits).await?,
            cache: Cache::new(),
        })
    }

    /// The mirror, to ask about commits.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The mirror, to keep what is needed.
    pub fn mirror_mut(&mut self) -> &mut Mirror {
        &mut self.mirror
    }

    /// Asks the server for the newest commit.
    ///
    /// # Errors
    /// As [`Mirror::fetch`].
    pub async fn fetch(&mut self) -> Result<Fetched, Trouble> {
        self.mirror.fetch().await
    }

    /// The environments of a commit; `known` are the directories that held one before.
    ///
    /// # Errors
    /// Where the mirror is damaged it is fetched anew once; what is wrong with manifests is in the [`Look`].
    pub async fn look(
        &mut self,
        commit: Id,
        known: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Look, Trouble> {
        match self.looked(commit, known, now).await {
            Err(Trouble::Damaged(words)) => {
                tracing::warn!("the mirror is fetched anew: {words}");
                self.mirror.renew().await?;
                self.looked(commit, known, now).await
            }
            other => other,
        }
    }

    async fn looked(
        &mut self,
        commit: Id,
        known: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Look, Trouble> {
        if !self.mirror.has(commit).await {
            // Its own head has to be there; another commit may be lost for good, and fetching anew would not bring it.
            let is_own = self.mirror.head().await?.is_none_or(|head| head == commit);
            let words = format!("commit {} is not in the mirror", commit.short());
            return Err(match is_own {
                true => Trouble::Damaged(words),
                false => Trouble::Refused(words),
            });
        }
        let path = self.mirror.git.source.path().to_owned();
        let mut reading = Reading {
            objects: Objects::open(&self.mirror.git, self.mirror.limits)?,
            commit,
            now,
            trees: Vec::new(),
        };
        reading.look(&path, known, &mut self.cache).await
    }

    /// How a commit stands to what is in force, by directory. `approved` are commits of rewritten history that somebody has approved,
    /// with everything that leads to them and follows them.
    ///
    /// # Errors
    /// As [`Mirror::is_ancestor`].
    pub async fn history(
        &self,
        in_force: &BTreeMap<String, Accepted>,
        head: Id,
        approved: &BTreeSet<Id>,
    ) -> Result<BTreeMap<String, History>, Trouble> {
        let commits: BTreeSet<Id> = in_force.values().map(|accepted| accepted.commit).collect();
        let mut known = BTreeMap::new();
        for commit in commits {
            known.insert(commit, self.history_of(commit, head, approved).await?);
        }
        let all = in_force.iter().filter_map(|(directory, accepted)| {
            Some((directory.clone(), *known.get(&accepted.commit)?))
        });
        Ok(all.collect())
    }

    async fn history_of(
        &self,
        accepted: Id,
        head: Id,
        approved: &BTreeSet<Id>,
    ) -> Result<History, Trouble> {
        if accepted == head || self.mirror.is_ancestor(accepted, head).await? {
            return Ok(History::Follows);
        }
        for approved in approved {
            // An approval of what was accepted since says nothing of another rewriting.
            let is_new = !self.mirror.is_ancestor(*approved, accepted).await?;
            if is_new && self.mirror.is_ancestor(*approved, head).await? {
                return Ok(History::Approved);
            }
        }
        Ok(History::Rewritten)
    }

    /// How many texts were parsed, and how many environments were loaded, since it was opened.
    pub fn counts(&self) -> (u64, u64) {
        (self.cache.parses.count(), self.cache.loads)
    }
}
