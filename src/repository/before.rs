//! What an environment declared since the newest commit that was fully done: what of it is not declared any more is removed (design rule 4).

use super::Repository;
use super::command::Trouble;
use super::environments::{Reading, Version};
use super::id::Id;
use super::objects::Objects;
use crate::manifest::{Checked, Desired};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// More versions than this are not laid together.
const MOST_VERSIONS: usize = 200;

/// What was declared before.
#[derive(Debug, Clone)]
pub enum Before {
    /// Every version since the mark, the newest first, for [`Desired::after_all`].
    Known(Vec<Arc<Checked>>),
    /// It cannot be told, so that nothing is removed.
    Unknown(String),
}

impl Before {
    /// What manifests ask for, with what was before where that is known.
    pub fn lay_under(&self, manifests: &Checked) -> Desired {
        let desired = manifests.desired();
        let Before::Known(versions) = self else {
            return desired;
        };
        let versions = versions.iter().map(|version| {
            // Mostly nothing else was declared since.
            if version.digest() == manifests.digest() {
                desired.clone()
            } else {
                version.desired()
            }
        });
        let versions: Vec<Desired> = versions.collect();
        desired.after_all(&versions)
    }
}

impl Repository {
    /// What an environment declared from the commit that is marked as done up to one that is in force.
    ///
    /// Versions that were refused were never in force, and are passed over.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] where the mirror cannot be read.
    pub async fn before(
        &mut self,
        directory: &str,
        mark: Option<Id>,
        in_force: Id,
        now: Timestamp,
    ) -> Result<Before, Trouble> {
        let unknown = |words: String| Ok(Before::Unknown(words));
        let Some(mark) = mark else {
            return unknown("no commit is marked as done yet".to_owned());
        };
        let short = mark.short();
        if !self.mirror.has(mark).await {
            return unknown(format!(
                "commit {short}, the last one that is marked as done, is not in the mirror"
            ));
        }
        if mark != in_force && !self.mirror.is_ancestor(mark, in_force).await? {
            return unknown(format!(
                "commit {short}, the last one that is marked as done, is not in the history of {}",
                in_force.short()
            ));
        }
        let Some(oldest) = self.version(mark, directory, now).await? else {
            return unknown(format!(
                "commit {short}, the last one that is marked as done, holds no environment in {directory}"
            ));
        };
        let mut bases: BTreeSet<String> = oldest.base.into_iter().collect();
        loop {
            let paths: Vec<&str> = std::iter::once(directory)
                .chain(bases.iter().map(String::as_str))
                .collect();
            let commits = self
                .mirror
                .between(mark, in_force, &paths, MOST_VERSIONS)
                .await?;
            let Some(commits) = commits else {
                return unknown(format!(
                    "more than {MOST_VERSIONS} commits have changed {directory} since {short}, the last one that is marked as done"
                ));
            };
            let known = bases.len();
            let mut versions = Vec::new();
            for commit in commits.into_iter().filter(|commit| *commit != in_force) {
                if let Some(version) = self.version(commit, directory, now).await? {
                    bases.extend(version.base);
                    versions.push(version.manifests);
                }
            }
            // A base of one of them may have changed in yet other commits.
            if bases.len() == known {
                versions.push(oldest.manifests);
                return Ok(Before::Known(versions));
            }
        }
    }

    async fn version(
        &mut self,
        commit: Id,
        directory: &str,
        now: Timestamp,
    ) -> Result<Option<Version>, Trouble> {
        let mut reading = Reading {
            objects: Objects::open(&self.mirror.git, self.mirror.limits)?,
            commit,
            now,
            trees: Vec::new(),
        };
        reading.one(directory, &mut self.cache).await
    }
}
