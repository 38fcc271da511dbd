//! What waits because a freeze holds: nothing that customers could notice is begun, and nothing that was begun is left.

use super::Plan;
use crate::kinds::Declared;
use crate::kinds::maintenance::{self, By};
use crate::kinds::step::{Ask, Effect, PUT_BACK, Step};
use crate::manifest::Desired;
use crate::world::railway::{
    self, AUTHOR, Change, Field, Owner, PatchState, Question, Railway, Service, Setting, Source,
};
use crate::world::{Action, Seen, World};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A freeze that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// The window as it is written.
    pub window: String,
    /// When it ends.
    pub until: Timestamp,
    /// The steps that wait for its end, by their position, with what would be done.
    pub steps: BTreeMap<usize, Action>,
}

/// Lets every step to make wait that begins something which customers could notice, while a freeze holds.
pub fn hold(plan: &mut Plan, desired: &Desired, world: &World, now: Timestamp) {
    let Some((window, until)) = desired.environment().spec.frozen(now) else {
        return;
    };
    let mut freeze = Freeze {
        window: window.words(),
        until,
        steps: BTreeMap::new(),
    };
    let Some(railway) = world.railway.facts() else {
        plan.freeze = Some(freeze);
        return;
    };
    for (position, step) in plan.steps.iter_mut().enumerate() {
        let Some(action) = step.action().cloned() else {
            continue;
        };
        if !is_noticed(step, railway) || is_way_out(step, desired, railway) {
            continue;
        }
        if finishes(step) && railway.history == Seen::Unasked {
            plan.questions.insert(Question::History.into());
        }
        if is_begun(step, railway) {
            continue;
        }
        freeze.steps.insert(position, action);
        step.ask = Ask::Wait {
            until: format!(
                "the freeze {} ends, {until:.0}; `overrideUntil` in the Environment lifts it before",
                freeze.window
            ),
            deadline: until,
            then: "make it".to_owned(),
        };
    }
    plan.freeze = Some(freeze);
}

/// Whether customers could notice it if it went wrong. More replicas are no risk, and neither is what only stores what runs.
fn is_noticed(step: &Step, railway: &Railway) -> bool {
    match (step.effect, step.action()) {
        // Fewer jobs at once are noticed; more are not, and neither is what lets jobs go on.
        (_, Some(Action::Redis(_))) => matches!(step.verb, "lower" | "purge" | "restart"),
        (Effect::Hot, Some(Action::Railway(railway::Action::Change(change)))) => {
            !scales_up(change, railway)
        }
        (Effect::Nothing, Some(Action::Railway(action))) => {
            step.verb == "remove"
                || match action {
                    // Railway may deploy what is only stored.
                    railway::Action::Delete { .. }
                    | railway::Action::Store { .. }
                    | railway::Action::StoreStart { .. } => true,
                    // Who refers to what is shared cannot always be seen.
                    railway::Action::Change(change) => change.of == Owner::Shared,
                    _ => false,
                }
        }
        _ => true,
    }
}

fn scales_up(change: &Change, railway: &Railway) -> bool {
    let Setting::Replicas(regions) = &change.set else {
        return false;
    };
    let service = railway.services.get(change.of.word()).and_then(Seen::facts);
    let Some(stored) = service.and_then(|service| service.placement.facts()) else {
        return false;
    };
    let has = |region: &String| {
        let other = railway.region_names.get(region);
        let stored = stored.get(region).or_else(|| stored.get(other?));
        stored.copied().unwrap_or_default()
    };
    regions
        .iter()
        .all(|(region, count)| count.is_some_and(|count| count >= has(region)))
}

/// Whether it ends a disruption: then it passes every window (design rule 9). Closing passes, too.
fn is_way_out(step: &Step, desired: &Desired, railway: &Railway) -> bool {
    let service = railway.services.get(&step.of.name).and_then(Seen::facts);
    let service = service.filter(|_| step.of.kind == "Service");
    let maintenances = &desired.documents().maintenances;
    step.closes
        || step.verb == PUT_BACK
        || service.is_some_and(|service| is_down(service) || lifts(step, service, maintenances))
}

/// Whether nothing serves of what was there before.
fn is_down(service: &Service) -> bool {
    service.newest.is_some() && !service.is_serving()
}

/// Whether it takes away what a Maintenance that is off has put there.
fn lifts(
    step: &Step,
    service: &Service,
    maintenances: &BTreeMap<String, Declared<maintenance::Spec>>,
) -> bool {
    let off = maintenances.values().map(|maintenance| &maintenance.spec);
    off.filter(|spec| !spec.enabled && spec.services.contains(&step.of.name))
        .any(|spec| match &spec.by {
            By::Variable(by) => step.field == by.variable,
            By::Key(_) => false,
            By::Image(by) => {
                matches!(&service.source, Source::Image(image) if *image == by.image)
            }
        })
}

/// Whether it may be the second half of something.
fn finishes(step: &Step) -> bool {
    let deploys = matches!(
        step.action(),
        Some(Action::Railway(
            railway::Action::Deploy { .. } | railway::Action::Redeploy { .. }
        ))
    );
    deploys && step.field != "restartedAfter"
}

/// Whether it completes what a write of ours has begun: what that stored is not deployed yet.
pub fn is_begun(step: &Step, railway: &Railway) -> bool {
    let service = railway.services.get(&step.of.name).and_then(Seen::facts);
    let (Some(service), Seen::Facts(history)) = (service, &railway.history) else {
        return false;
    };
    let deploys = |fields: &BTreeSet<Field>| fields.iter().any(|field| *field != Field::Replicas);
    let newest = history.patches.iter().find(|patch| {
        !matches!(patch.state, PatchState::Failed(_))
            && patch.touched.get(&service.id).is_some_and(deploys)
    });
    let made = service.newest.as_ref().map(|newest| newest.created_at);
    finishes(step)
        && newest.is_some_and(|patch| {
            patch.message.starts_with(AUTHOR) && made.is_none_or(|made| made < patch.at)
        })
}
