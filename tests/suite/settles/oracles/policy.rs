//! The policies of an Environment: what did not come from git has its time, and in a freeze nothing is begun that customers could notice.

use super::super::hands::Edit;
use super::super::law::Law;
use super::super::model::{Applied, SHARED, Stored};
use super::super::schedule::Controller;
use super::super::stage::{Ended, Scene, Sent, services};
use super::change::new_run;
use super::closing::is_closed;
use jiff::{SignedDuration, Timestamp};
use reconciler::plan::write::What;
use reconciler::world::railway::{Action, Change, Field, Setting, VariableValue};

pub const FREEZE: &str = "s14_nothing_is_begun_in_a_freeze";

/// A look may be so old.
const STALE: SignedDuration = SignedDuration::from_secs(60);

/// A part that somebody changed after everything was in step, and that is undone before its time.
pub fn too_early(scene: &Scene) -> Option<String> {
    let sent = scene.sent.last()?;
    let controller = scene.schedule.controller?;
    let law = scene.schedule.law(sent.commit);
    let heal = SignedDuration::from_secs(law.wish.heal_seconds?);
    let in_step = *scene.in_step.get(&sent.commit)?;
    let What::Patch(changes) = &sent.write.what else {
        return None;
    };
    let early = |change: &&Change| {
        let edited = first_edit(scene, change, in_step - STALE, controller);
        // What was edited before the look for which all was in step may be older than it shows.
        let edited = edited.filter(|at| *at > in_step && *at < sent.looked_at);
        edited.is_some_and(|at| sent.at < at + heal) && !law.closes(change) && shows_itself(change)
    };
    let change = changes.iter().find(early)?;
    Some(format!(
        "{}.{} is undone before its time",
        change.of.word(),
        change.set.field()
    ))
}

/// Whether a difference alone tells that somebody made it: a secret store may give another value, too.
fn shows_itself(change: &Change) -> bool {
    !matches!(
        change.set,
        Setting::Registry { .. }
            | Setting::Variable {
                value: VariableValue::Secret { .. },
                ..
            }
    )
}

/// When somebody first edited a part after a moment.
fn first_edit(
    scene: &Scene,
    change: &Change,
    after: Timestamp,
    controller: Controller,
) -> Option<Timestamp> {
    let owner = change
        .of
        .service()
        .map_or(SHARED, |service| service.name.as_str());
    let field = change.set.field();
    let edits = |edit: &Edit| match edit {
        Edit::Patch(part) => part.field() == field,
        Edit::Direct(name, _) => controller.remembers && Field::Variable(name.clone()) == field,
        _ => false,
    };
    let mut done = scene.done.iter();
    let found = done.find(|(at, hand)| *at >= after && hand.service == owner && edits(&hand.edit));
    found.map(|(at, _)| *at)
}

/// Whether a write was decided on while a freeze held.
fn is_frozen(sent: &Sent, law: Law<'_>) -> bool {
    law.wish
        .freeze
        .is_some_and(|(from, to)| from <= sent.looked_at && sent.looked_at < to && sent.at < to)
}

/// In a freeze nothing is stopped and nothing is taken away.
pub fn ends_something(scene: &Scene) -> Option<String> {
    let sent = scene.sent.last()?;
    let law = scene.schedule.law(sent.commit);
    let what = match &sent.write.what {
        What::One(action @ (Action::Stop { .. } | Action::Delete { .. })) => action,
        _ => return None,
    };
    let service = what.service()?;
    // What is down already is not taken from anybody.
    let is_down = scene
        .shown
        .as_ref()
        .and_then(|shown| shown.service(&service.name))
        .is_some_and(|stored| !serves(scene, stored));
    (is_frozen(sent, law) && !is_down).then(|| format!("{} in a freeze", what.word()))
}

fn serves(scene: &Scene, stored: &Stored) -> bool {
    let at = scene
        .shown
        .as_ref()
        .map_or(scene.model.now, |shown| shown.at);
    super::super::deployment::serving(&stored.runs, at).is_some()
}

/// A deployment that was begun while a freeze held, and ends no disruption.
pub fn begun_in_a_freeze(scene: &Scene, applied: &Applied, law: Law<'_>) -> Option<String> {
    let sent = &scene.sent[applied.request];
    if !is_frozen(sent, law) {
        return None;
    }
    let shown = scene.shown.as_ref()?;
    applied.after.services.keys().find_map(|name| {
        let (is, run) = new_run(applied, name)?;
        let was = applied.before.services.get(name)?;
        let seen = shown.service(name)?;
        let closes = run.load.is_closed() || is_closed(is);
        // What is stored may have changed between the look and the deployment.
        let lifts = is_closed(was)
            || is_closed(seen)
            || seen.runs.last().is_some_and(|last| last.load.is_closed());
        let is_down = !serves(scene, seen);
        let is_finished = is_begun(scene, applied.request, name);
        (!closes && !lifts && !is_down && !is_finished)
            .then(|| format!("{name}: {} was begun in a freeze", run.id))
    })
}

/// Whether something was sent for a service before, of which this is the second half.
fn is_begun(scene: &Scene, request: usize, name: &str) -> bool {
    let (before, rest) = scene.sent.split_at(request);
    let is_second = rest.first().is_some_and(|sent| {
        matches!(
            sent.write.what,
            What::One(Action::Deploy { .. } | Action::Redeploy { .. })
        )
    });
    let is_first = |sent: &Sent| {
        !matches!(sent.end, Ended::Refused | Ended::Denied)
            && (services(&sent.write).contains(name) || services(&sent.write).contains(SHARED))
    };
    is_second && before.iter().any(is_first)
}
