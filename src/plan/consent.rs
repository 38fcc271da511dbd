//! Which steps need consent and have none: what may lose something is held until an Approval in git allows it (design rule 15).

use super::Plan;
use crate::kinds::approval::wanted;
use crate::kinds::shown::few;
use crate::kinds::step::{Ask, Cause};
use crate::manifest::Desired;
use crate::world::railway::Question;
use crate::world::{Seen, World};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Holds every step to make that may lose something and has no consent, and notes the consent that the others use.
pub fn ask(plan: &mut Plan, desired: &Desired, world: &World, now: Timestamp) {
    let approvals = &desired.documents().approvals;
    let expire = desired.environment().spec.approvals.expire.0;
    let Some(railway) = world.railway.facts() else {
        return;
    };
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (position, step) in plan.steps.iter_mut().enumerate() {
        let Some(wanted) = wanted(step, &railway.environment.id) else {
            continue;
        };
        known.insert(wanted.digest.clone());
        if !matches!(step.ask, Ask::Make(_)) {
            continue;
        }
        if approvals.contains_key(&wanted.digest) && railway.history == Seen::Unasked {
            plan.questions.insert(Question::History.into());
        }
        match wanted.consent(approvals, expire, railway.history.facts(), now) {
            Ok(used) => {
                plan.used.insert(position, used);
            }
            Err(reason) => {
                step.ask = Ask::Hold {
                    by: format!("{reason}: it may lose {}", wanted.loses),
                    way_out: format!("reconciler approve {}", wanted.digest),
                    cause: Cause::Consent,
                };
                plan.approvals.insert(position, wanted);
            }
        }
    }
    let idle: Vec<String> = approvals
        .keys()
        .filter(|digest| !known.contains(*digest))
        .cloned()
        .collect();
    if !idle.is_empty() {
        plan.notes.push(format!(
            "nothing asks for approval {}: it is used, or for something else",
            few(&idle, 5)
        ));
    }
}
