//! What must be true of every write: the invariants of facts/reliability.md, by name. What becomes of a write is judged in `change`.

mod change;
mod closing;
mod consent;
mod policy;

pub use change::{judge_applied, judge_change};
pub use closing::{is_closed, judge_end, judge_plan, shows, unseen_page, url};

use super::law::Law;
use super::schedule::MARK_OF_SECRETS;
use super::stage::{Ended, Scene, Sent, Shown, services};
use super::wish::{VariableWish, Wish};
use jiff::Timestamp;
use reconciler::plan::write::{What, Write};
use reconciler::world::railway::{Action, Change, Setting, VariableValue};
use reconciler::world::{SETTLING, Seen};

/// Something that must never be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub oracle: &'static str,
    pub words: String,
}

impl Scene {
    pub fn violate(&mut self, oracle: &'static str, words: impl Into<String>) {
        let words = words.into();
        self.note(|| format!("VIOLATION {oracle}: {words}"));
        self.violations.push(Violation { oracle, words });
    }
}

/// Judges the write that was sent last, before anything becomes of it.
pub fn judge_sent(scene: &mut Scene, message: &str) {
    let sent = scene.sent.last().expect("one was just sent");
    let law = scene.schedule.law(sent.commit);
    let mut found: Vec<(&'static str, String)> = Vec::new();
    if message.contains(MARK_OF_SECRETS) {
        found.push((
            "s9_no_secret_out",
            format!("the commit message is {message}"),
        ));
    }
    if sent.commit < scene.taken_up {
        found.push((
            "s7_forward_only",
            format!(
                "commit {} writes after commit {} was taken up",
                sent.commit, scene.taken_up
            ),
        ));
    }
    found.extend(forbidden(scene, sent, law).map(|words| ("s1_ownership", words)));
    if let Some(shown) = &scene.shown {
        found.extend(unseen(&sent.write, shown, law));
        found.extend(consent::lacking(&sent.write, shown, law.wish));
        found.extend(stopped(&sent.write, law).map(|words| ("s5_stopped_stays_stopped", words)));
    }
    found.extend(policy::too_early(scene).map(|words| ("s13_drift_has_its_time", words)));
    found.extend(policy::ends_something(scene).map(|words| (policy::FREEZE, words)));
    found.extend(repeated(scene).map(|words| ("s11_no_blind_repeat", words)));
    found.extend(many_patches(scene).map(|words| ("s12_one_patch_a_look", words)));
    if scene.denied_run == Some(sent.run) {
        found.push((
            "s11_no_storm",
            "a write after the token was denied".to_owned(),
        ));
    }
    for (oracle, words) in found {
        scene.violate(oracle, words);
    }
}

/// S1: only what the commit declares or demands is written, or taken away because the commit before declared it.
fn forbidden(scene: &Scene, sent: &Sent, law: Law<'_>) -> Option<String> {
    let state = scene
        .shown
        .as_ref()
        .map_or(&*scene.model.state, |shown| &shown.state);
    match &sent.write.what {
        What::Patch(changes) => changes.iter().find_map(|change| law.forbids(change, state)),
        What::One(action) => law.forbids_action(action, state),
        What::Redis(action) => Some(format!("{action:?} of a server that nobody declares")),
    }
}

/// A fresh action after an unclear end, or an accepted one, needs a settling time.
fn repeated(scene: &Scene) -> Option<String> {
    let (last, before) = scene.sent.split_last()?;
    let recent = before.iter().rev().take_while(|sent| {
        sent.run == last.run && last.at.duration_since(sent.at).unsigned_abs() < SETTLING
    });
    let twin = recent
        .filter(|sent| matches!(sent.end, Ended::Unclear | Ended::Accepted))
        .find(|sent| sent.mark == last.mark)?;
    let touched = services(&last.write);
    // What people undid meanwhile is to be made again.
    let undone = touched
        .iter()
        .any(|service| scene.is_edited_since(service, twin.looked_at));
    let wish = scene.schedule.law(last.commit).wish;
    if undone
        || touched
            .iter()
            .all(|service| asks_again(wish, service, twin.at, last.at))
    {
        return None;
    }
    Some(format!(
        "sent again after {} s, the first time ended {:?}",
        last.at.duration_since(twin.at).as_secs(),
        twin.end
    ))
}

/// Whether git asks for a restart or a rotation around two moments: then the very same is deployed again.
fn asks_again(wish: &Wish, service: &str, from: Timestamp, to: Timestamp) -> bool {
    let Some(service) = wish.services.get(service) else {
        return false;
    };
    let registry = service.registry.as_ref();
    let own = service.variables.values();
    let rotations = own
        .chain(wish.shared.values())
        .filter_map(VariableWish::rotated_after)
        .chain(registry.and_then(|registry| registry.rotated_after));
    let is_around = |after: Timestamp| from - SETTLING <= after && after <= to;
    let restarts = service.restarted_after;
    restarts.is_some_and(|after| from <= after && after <= to)
        || rotations.into_iter().any(is_around)
}

/// All configuration goes in one patch, unless the joint one was refused.
fn many_patches(scene: &Scene) -> Option<String> {
    let (last, before) = scene.sent.split_last()?;
    let patches = |sent: &&Sent| {
        matches!(sent.write.what, What::Patch(_)) && sent.look == last.look && sent.run == last.run
    };
    if !matches!(last.write.what, What::Patch(_)) {
        return None;
    }
    let earlier: Vec<_> = before
        .iter()
        .rev()
        .take_while(|sent| sent.look == last.look)
        .filter(patches)
        .collect();
    let others = earlier.iter().filter(|sent| sent.mark != last.mark).count();
    (others > 0 && earlier.iter().all(|sent| sent.end != Ended::Refused))
        .then(|| format!("{} patches follow one look", others + 1))
}

/// A service that is stopped is given nothing, and nothing of it is deployed.
fn stopped(write: &Write, law: Law<'_>) -> Option<String> {
    let is_stopped = |service: &str| law.stops(service);
    let service = match &write.what {
        What::Patch(changes) => changes
            .iter()
            .filter_map(|change| change.of.service())
            .find(|service| is_stopped(&service.name)),
        What::One(Action::Stop { .. } | Action::Delete { .. }) | What::Redis(_) => None,
        What::One(action) => action.service().filter(|service| is_stopped(&service.name)),
    };
    service.map(|service| format!("{} is to be stopped, and is written to", service.name))
}

/// S6 and S8: whether a write touches what the look that it follows could not see, or may commit what somebody staged.
fn unseen(write: &Write, shown: &Shown, law: Law<'_>) -> Option<(&'static str, String)> {
    const UNSEEN: &str = "s6_unseen_is_not_touched";
    let changes = match &write.what {
        What::Patch(changes) => changes.as_slice(),
        What::One(Action::Change(change)) => std::slice::from_ref(change),
        What::One(action) => {
            let service = action.service()?;
            let words = format!("{} was not seen", service.name);
            return shown
                .service(&service.name)
                .is_none()
                .then_some((UNSEEN, words));
        }
        What::Redis(_) => return None,
    };
    let closes = changes.iter().all(|change| law.closes(change));
    match shown.staged {
        Seen::Facts(0) => {}
        Seen::Facts(_) => {
            let words = "a patch was sent although the look showed staged changes";
            return Some(("s8_staged_by_hand_is_left", words.to_owned()));
        }
        Seen::Unseen(_) if closes => {}
        Seen::Unseen(_) | Seen::Unasked => {
            let words = "a patch was sent although nobody could see what is staged";
            return Some((UNSEEN, words.to_owned()));
        }
    }
    changes
        .iter()
        .find_map(|change| unseen_change(change, shown, law.closes(change)))
        .map(|words| (UNSEEN, words))
}

fn unseen_change(change: &Change, shown: &Shown, closes: bool) -> Option<String> {
    let name = change.of.word();
    let variables = match change.of.service() {
        None if !shown.has_shared() => {
            return Some("the shared variables were not seen".to_owned());
        }
        None => &shown.state.shared,
        Some(_) => match shown.service(name) {
            Some(stored) => &stored.variables,
            None => return Some(format!("{name} was not seen")),
        },
    };
    let is_own = change.of.service().is_some();
    match &change.set {
        Setting::Replicas(_) if !shown.has_placement(name) => {
            Some(format!("{name}: its replicas were not seen"))
        }
        // What closes is written in any case.
        Setting::Variable { .. } if closes => None,
        Setting::Variable { .. } if is_own && !shown.has_variables(name) => {
            Some(format!("{name}: its variables were not seen"))
        }
        Setting::Variable {
            name: variable,
            value,
        } => {
            let held = variables.get(variable);
            let is_masked = !shown.has_values() && held.is_some_and(|held| !held.sealed);
            // What shall not exist, or shall be sealed, need not be compared.
            let compares = matches!(
                value,
                VariableValue::Text(_) | VariableValue::Secret { sealed: false, .. }
            );
            (is_masked && compares).then(|| format!("{name}: the value of {variable} was masked"))
        }
        Setting::Image(_)
        | Setting::Commit(_)
        | Setting::Plain(_)
        | Setting::Registry { .. }
        | Setting::Replicas(_) => None,
    }
}
