//! Why the newest commit is not in force, for people.

use crate::problem::Problem;
use crate::repository::Verdict;
use crate::status::view::{Commit, NotAccepted};

/// Nothing where it is in force.
pub(super) fn not_accepted(verdict: &Verdict, head: &Commit) -> Option<NotAccepted> {
    match verdict {
        Verdict::Accepted(_) | Verdict::Vanished { .. } => None,
        Verdict::KeptLast { broken, .. } => {
            let problems: Vec<String> = broken.problems.iter().map(line).collect();
            Some(NotAccepted {
                commit: head.clone(),
                reason: problems
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "its manifests cannot be read".to_owned()),
                way_out:
                    "push a commit without the problems; until then the last good one is in force"
                        .to_owned(),
                problems,
            })
        }
        Verdict::Held { head: id, .. } => Some(NotAccepted {
            commit: head.clone(),
            reason: "the history of the branch was rewritten".to_owned(),
            way_out: format!(
                "push a commit that follows the one in force, or start the controller with RECONCILER_ACCEPT_HISTORY={id}"
            ),
            problems: Vec::new(),
        }),
    }
}

fn line(problem: &Problem) -> String {
    format!("{}:{}: {}", problem.file, problem.line, problem.message)
}
