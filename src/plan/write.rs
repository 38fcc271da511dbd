//! The writes that carry a plan out: all configuration of an environment in one patch, everything else on its own.

use super::Plan;
use crate::kinds::approval::Used;
use crate::world::Action;
use crate::world::railway::{self, AUTHOR, Change, Owner};
use crate::world::redis;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One write: a request that changes something outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Write {
    /// Which steps of the plan it carries out, by their position.
    pub steps: Vec<usize>,
    /// What it does.
    pub what: What,
    /// The marks of the approvals that it uses.
    pub approvals: Vec<String>,
    /// The commit that asks for it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What later looks must find in its message: the releases that are refused.
    pub marks: Vec<String>,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// One patch of the environment's configuration (design rule 8).
    Patch(Vec<Change>),
    /// One action of its own.
    One(railway::Action),
    /// One change of a Redis server.
    Redis(redis::Action),
}

/// A message is not for ever long.
const MOST_MARKS: usize = 20;

/// The fewest writes that carry out every step to make.
pub fn coalesce(plan: &Plan) -> Vec<Write> {
    let mut changes = Vec::new();
    let mut patched = Vec::new();
    let mut others: Vec<Write> = Vec::new();
    for (position, step) in plan.steps.iter().enumerate() {
        match step.action() {
            Some(Action::Railway(railway::Action::Change(change))) => {
                changes.push(change.clone());
                patched.push(position);
            }
            Some(Action::Railway(action)) => {
                add(&mut others, position, What::One(action.clone()), plan);
            }
            Some(Action::Redis(action)) => {
                add(&mut others, position, What::Redis(action.clone()), plan);
            }
            None => {}
        }
    }
    let patch = (!changes.is_empty()).then_some(Write {
        steps: patched,
        what: What::Patch(changes),
        approvals: Vec::new(),
        commit: plan.commit.clone(),
        marks: plan.marks.iter().take(MOST_MARKS).cloned().collect(),
    });
    let mut writes: Vec<Write> = patch.into_iter().chain(others).collect();
    for write in &mut writes {
        write.approvals = used(&write.steps, plan);
    }
    writes
}

/// Several steps may come by one action: a way back brings image and settings.
fn add(writes: &mut Vec<Write>, position: usize, what: What, plan: &Plan) {
    match writes.iter_mut().find(|write| write.what == what) {
        Some(write) => write.steps.push(position),
        None => writes.push(Write {
            steps: vec![position],
            what,
            approvals: Vec::new(),
            commit: plan.commit.clone(),
            marks: Vec::new(),
        }),
    }
}

/// The marks of the approvals that these steps use.
fn used(steps: &[usize], plan: &Plan) -> Vec<String> {
    let used = steps.iter().filter_map(|step| plan.used.get(step));
    used.map(Used::mark).collect()
}

impl Write {
    /// A joint patch as one patch a service, what closes it apart from the rest: how a refusal finds what it means, and holds up nothing else.
    /// Nothing where there is only one. Each part bears the approvals that it uses.
    pub fn split(&self, plan: &Plan) -> Option<Vec<Write>> {
        let What::Patch(changes) = &self.what else {
            return None;
        };
        let mut parts: BTreeMap<(bool, &Owner), Vec<(usize, Change)>> = BTreeMap::new();
        for (position, change) in self.steps.iter().zip(changes) {
            let closes = plan.steps.get(*position).is_some_and(|step| step.closes);
            // What closes goes first.
            let part = parts.entry((!closes, &change.of)).or_default();
            part.push((*position, change.clone()));
        }
        if parts.len() < 2 {
            return None;
        }
        let parts = parts.into_values().map(|part| {
            let (steps, changes): (Vec<usize>, Vec<Change>) = part.into_iter().unzip();
            Write {
                approvals: used(&steps, plan),
                steps,
                what: What::Patch(changes),
                commit: self.commit.clone(),
                marks: self.marks.clone(),
            }
        });
        Some(parts.collect())
    }

    /// The message that the write leaves in Railway's history: what, for which commit, and a mark by which it is known again.
    pub fn message(&self) -> String {
        let mut fields: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        if let What::Patch(changes) = &self.what {
            for change in changes {
                fields
                    .entry(change.of.word())
                    .or_default()
                    .insert(change.set.field().to_string());
            }
        }
        let services: Vec<String> = fields
            .iter()
            .take(8)
            .map(|(service, fields)| format!("{service} {}", few(fields)))
            .collect();
        let more = fields.len().saturating_sub(services.len());
        let more = if more == 0 {
            String::new()
        } else {
            format!("; {more} more services")
        };
        let marks = self.approvals.iter().chain(&self.marks);
        let marks = marks.fold(String::new(), |mut all, mark| {
            let _ = write!(all, "; {mark}");
            all
        });
        let commit = self.commit.as_deref().map(short);
        let commit = commit.map(|commit| format!("{COMMIT}{commit}"));
        format!(
            "{AUTHOR}{}{more}{marks}{} [{}]",
            services.join("; "),
            commit.unwrap_or_default(),
            self.mark()
        )
    }

    /// The same for the same content; secrets are in it by name only.
    pub fn mark(&self) -> String {
        let content = serde_json::to_vec(&self.what).unwrap_or_default();
        let mut mark = String::with_capacity(8);
        for byte in Sha256::digest(&content).iter().take(4) {
            let _ = write!(mark, "{byte:02x}");
        }
        mark
    }
}

/// What stands before a commit in a message.
const COMMIT: &str = "; commit ";
/// So much of a commit's id is enough.
const SHORT: usize = 12;

fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// The beginning of the id of the commit for which a patch of ours was sent; nothing where it names none, or is somebody else's.
pub fn commit_of(message: &str) -> Option<&str> {
    let (rest, _) = message.strip_prefix(AUTHOR)?.rsplit_once(" [")?;
    let (_, commit) = rest.rsplit_once(COMMIT)?;
    let is_id =
        (7..=SHORT).contains(&commit.len()) && commit.bytes().all(|it| it.is_ascii_hexdigit());
    is_id.then_some(commit)
}

fn few(fields: &BTreeSet<String>) -> String {
    let named: Vec<&str> = fields.iter().take(5).map(String::as_str).collect();
    match fields.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
