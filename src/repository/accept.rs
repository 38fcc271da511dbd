//! Which commit is in force for each environment: the newest one as a whole, or the last good one, with the reason.

use super::claims::conflicts;
use super::environments::{Broken, Look};
use super::id::Id;
use crate::manifest::Checked;
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is in force for an environment: a commit, and what it says there.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The commit.
    pub commit: Id,
    /// What it says.
    pub manifests: Arc<Checked>,
}

/// How the newest commit stands to one that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It follows.
    Follows,
    /// It does not, or the accepted one is not in the mirror: somebody has rewritten history.
    Rewritten,
    /// It does not, and a commit of the new history was approved.
    Approved,
}

/// What becomes of one environment.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The newest commit is in force.
    Accepted(Accepted),
    /// The newest commit has problems: what was in force before still is.
    KeptLast {
        /// What is in force, if anything ever was.
        last: Option<Accepted>,
        /// The commit that is refused.
        refused: Id,
        /// Why.
        broken: Broken,
    },
    /// History was rewritten, and nobody has approved it: what was in force before still is.
    Held {
        /// What is in force, if anything ever was.
        last: Option<Accepted>,
        /// The commit that waits; to approve it is to approve the history that leads to it.
        head: Id,
    },
    /// The directory is gone: nothing is managed there any more, and nothing is removed.
    Vanished {
        /// What was in force.
        last: Accepted,
        /// The commit without it.
        head: Id,
    },
}

impl Verdict {
    /// What is in force now.
    pub fn in_force(&self) -> Option<&Accepted> {
        match self {
            Verdict::Accepted(accepted) => Some(accepted),
            Verdict::KeptLast { last, .. } | Verdict::Held { last, .. } => last.as_ref(),
            Verdict::Vanished { .. } => None,
        }
    }
}

/// Decides for every environment that was in force or is in the newest commit, by directory.
///
/// `history` says how the newest commit stands to what was in force; where nothing was, the newest commit is new to it,
/// and waits only while other environments wait for the same history.
pub fn accept(
    previous: &BTreeMap<String, Accepted>,
    look: &Look,
    history: &BTreeMap<String, History>,
) -> BTreeMap<String, Verdict> {
    let is_rewritten = |directory: &str| history.get(directory) == Some(&History::Rewritten);
    let waits_for_all = previous.keys().any(|directory| is_rewritten(directory));
    let directories: BTreeSet<&String> = previous.keys().chain(look.environments.keys()).collect();
    let mut verdicts = BTreeMap::new();
    for directory in directories {
        let last = previous.get(directory).cloned();
        let waits = match &last {
            Some(_) => is_rewritten(directory),
            None => waits_for_all,
        };
        let verdict = if waits {
            Verdict::Held {
                last,
                head: look.commit,
            }
        } else {
            judged(look, directory, last)
        };
        verdicts.insert(directory.clone(), verdict);
    }
    refuse_what_others_keep(look.commit, previous, &mut verdicts);
    verdicts
}

fn judged(look: &Look, directory: &str, last: Option<Accepted>) -> Verdict {
    let refused = |last, broken| Verdict::KeptLast {
        last,
        refused: look.commit,
        broken,
    };
    if !look.problems.is_empty() {
        return refused(last, broken(look.problems.clone()));
    }
    match (look.environments.get(directory), last) {
        (Some(Ok(manifests)), _) => Verdict::Accepted(Accepted {
            commit: look.commit,
            manifests: Arc::clone(manifests),
        }),
        (Some(Err(broken)), last) => refused(last, broken.clone()),
        (None, Some(last)) => Verdict::Vanished {
            last,
            head: look.commit,
        },
        (None, None) => refused(None, broken(Vec::new())),
    }
}

/// A new version that takes what a kept older one of another directory has is refused, too; which may keep another older one.
fn refuse_what_others_keep(
    head: Id,
    previous: &BTreeMap<String, Accepted>,
    verdicts: &mut BTreeMap<String, Verdict>,
) {
    loop {
        let in_force = verdicts.iter().filter_map(|(directory, verdict)| {
            let accepted = verdict.in_force()?;
            Some((directory.as_str(), accepted.manifests.as_ref()))
        });
        let mut is_changed = false;
        for (directory, problems) in conflicts(in_force) {
            if let Some(Verdict::Accepted(_)) = verdicts.get(&directory) {
                let last = previous.get(&directory).cloned();
                let verdict = Verdict::KeptLast {
                    last,
                    refused: head,
                    broken: broken(problems),
                };
                verdicts.insert(directory, verdict);
                is_changed = true;
            }
        }
        if !is_changed {
            return;
        }
    }
}

fn broken(problems: Vec<Problem>) -> Broken {
    Broken {
        problems,
        files: crate::source::Files::default(),
    }
}
