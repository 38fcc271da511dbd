//! What must be true of everything that the product's writes change.

use super::super::deployment::{Held, Load, Made, Run};
use super::super::law::Law;
use super::super::model::{Applied, State, Stored};
use super::super::stage::{Ended, Scene};
use super::super::wish::{ReplicasWish, VariableWish, Wish};
use super::{asks_again, closing, consent};
use reconciler::plan::write::What;
use reconciler::world::SETTLING;
use reconciler::world::railway::{Action, Owner, Setting, SettingName, Source, VariableValue};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Judges everything that the product's requests have changed since it was last judged.
pub fn judge_applied(scene: &mut Scene) {
    for applied in std::mem::take(&mut scene.model.applied) {
        // What is staged after the look is a race that nobody can win; what was shown is judged when it is sent.
        if applied.took_staged {
            continue;
        }
        let law = scene.schedule.law(scene.sent[applied.request].commit);
        let mut found = judge_change(&applied.before, &applied.after, law);
        let others = [
            ("s11_no_twin_deployment", twin_deployment(scene, &applied)),
            (
                "s4_maintenance_bracket",
                closing::bracket(scene, &applied, law),
            ),
            ("s5_stopped_stays_stopped", stopped(scene, &applied, law)),
            (
                "s3_way_back_is_exact",
                inexact_way_back(scene, &applied, law),
            ),
            ("s3_way_back_is_exact", half_stored(scene, &applied, law)),
            (
                super::policy::FREEZE,
                super::policy::begun_in_a_freeze(scene, &applied, law),
            ),
        ];
        let others = others.into_iter();
        found.extend(others.filter_map(|(oracle, words)| Some((oracle, words?))));
        found.extend(consent::used(scene, &applied).map(|words| ("s2_consent", words)));
        for (oracle, words) in found {
            scene.violate(oracle, words);
        }
    }
}

/// The deployments of a service that a change has made.
pub(super) fn new_run<'a>(applied: &'a Applied, name: &str) -> Option<(&'a Stored, &'a Run)> {
    let (was, is) = (
        applied.before.services.get(name)?,
        applied.after.services.get(name)?,
    );
    let run = is.runs.last().filter(|_| is.runs.len() > was.runs.len())?;
    Some((is, run))
}

/// Two deployments of the very same by one process within a settling time: one of them had no reason.
fn twin_deployment(scene: &Scene, applied: &Applied) -> Option<String> {
    if scene.counts.duplicates > 0 {
        return None;
    }
    applied.after.services.keys().find_map(|name| {
        let (is, new) = new_run(applied, name)?;
        let (_, before) = is.runs.split_last()?;
        let process = |run: &Run| run.by.map(|request| scene.sent[request].run);
        let last = before.last().filter(|last| {
            last.by.is_some() && process(last) == process(new) && last.load == new.load
        })?;
        let apart = new.created_at.duration_since(last.created_at);
        // What people did after the look that either follows is undone by it.
        let looked_at = |run: &Run| run.by.map(|request| scene.sent[request].looked_at);
        let undone = [last, new]
            .into_iter()
            .filter_map(looked_at)
            .any(|looked| scene.is_edited_since(name, looked));
        // Railway itself takes a shared variable to its users; and what closes is written again rather than not at all.
        let restarted = matches!(new.made, Made::Redeployed | Made::ByStoring)
            || shares(scene, applied)
            || closes(scene, applied)
            || is_split(scene, applied)
            || rotates(scene, applied, last);
        let asked = new.by.is_some_and(|request| {
            let wish = scene.schedule.law(scene.sent[request].commit).wish;
            asks_again(wish, name, last.created_at, new.created_at)
        });
        (apart.unsigned_abs() < SETTLING && !undone && !restarted && !asked).then(|| {
            format!(
                "{name}: {} and {} run the same, made {} s apart",
                last.id,
                new.id,
                apart.as_secs()
            )
        })
    })
}

/// Whether a request writes a sealed value that the one before did not: whether it is another value cannot be seen.
fn rotates(scene: &Scene, applied: &Applied, last: &Run) -> bool {
    let sealed = |request: usize| -> BTreeSet<(&Owner, &str)> {
        let What::Patch(changes) = &scene.sent[request].write.what else {
            return BTreeSet::new();
        };
        let sealed = changes.iter().filter_map(|change| match &change.set {
            Setting::Variable {
                name,
                value: VariableValue::Secret { sealed: true, .. },
            } => Some((&change.of, name.as_str())),
            _ => None,
        });
        sealed.collect()
    };
    let before = last.by.map(sealed).unwrap_or_default();
    !sealed(applied.request).is_subset(&before)
}

/// Whether a request changes what services share.
fn shares(scene: &Scene, applied: &Applied) -> bool {
    match &scene.sent[applied.request].write.what {
        What::Patch(changes) => changes.iter().any(|change| change.of == Owner::Shared),
        What::One(_) | What::Redis(_) => false,
    }
}

/// Whether a request does nothing but close.
fn closes(scene: &Scene, applied: &Applied) -> bool {
    let sent = &scene.sent[applied.request];
    let law = scene.schedule.law(sent.commit);
    match &sent.write.what {
        What::Patch(changes) => changes.iter().all(|change| law.closes(change)),
        What::One(action) => matches!(action, Action::SetVariable { .. }),
        What::Redis(_) => false,
    }
}

/// Whether a joint patch was refused, and this is a part of it that went alone.
fn is_split(scene: &Scene, applied: &Applied) -> bool {
    let sent = &scene.sent[applied.request];
    let before = scene.sent[..applied.request].iter().rev();
    before
        .take_while(|before| before.look == sent.look && before.run == sent.run)
        .any(|before| before.end == Ended::Refused)
}

/// Nothing of a stopped service is deployed, but for a shared variable that Railway itself takes to its users.
fn stopped(scene: &Scene, applied: &Applied, law: Law<'_>) -> Option<String> {
    applied.after.services.keys().find_map(|name| {
        let (_, run) =
            new_run(applied, name).filter(|_| law.stops(name) && !shares(scene, applied))?;
        Some(format!("{name} is to be stopped, and {} was made", run.id))
    })
}

/// After a way back everything that it runs is stored, not the image alone.
fn half_stored(scene: &Scene, applied: &Applied, law: Law<'_>) -> Option<String> {
    let sent = &scene.sent[applied.request];
    let What::One(Action::Store { service, .. }) = &sent.write.what else {
        return None;
    };
    let stored = applied.after.services.get(&service.name)?;
    let runs = &stored.runs.last()?.load.settings;
    let wish = law.wish.settings(&service.name, &stored.source);
    let is_lacking = !wish.lacking(&stored.settings).is_empty() && wish.lacking(runs).is_empty();
    (is_lacking && !scene.is_edited_since(&service.name, sent.looked_at)).then(|| {
        format!(
            "{}: the settings that it runs with are not stored",
            service.name
        )
    })
}

/// A way back to a kept deployment runs what a deployment of what is wanted would run.
fn inexact_way_back(scene: &Scene, applied: &Applied, law: Law<'_>) -> Option<String> {
    let sent = &scene.sent[applied.request];
    let What::One(Action::Rollback { service, .. }) = &sent.write.what else {
        return None;
    };
    let name = &service.name;
    let (is, run) = new_run(applied, name)?;
    if scene.is_edited_since(name, sent.looked_at) || scene.is_edited_since("", sent.looked_at) {
        return None;
    }
    let mut wanted = is.load(None, &applied.after.shared);
    law.wish
        .settings(name, &is.source)
        .over(Arc::make_mut(&mut wanted.settings));
    if let Some(ready) = SettingName::ALL.iter().find(|setting| {
        let (runs, wanted) = (
            run.load.settings.value(**setting),
            wanted.settings.value(**setting),
        );
        // Without a path the time of a health check means nothing.
        let means_nothing = **setting == SettingName::Ready
            && run.load.settings.ready.path.is_none()
            && is.settings.ready.path.is_none();
        runs != wanted && !means_nothing
    }) {
        return Some(format!("{name}: {} runs with another {ready}", run.id));
    }
    let differs = |name: &&String| rendered(&run.load, name) != rendered(&wanted, name);
    let mut names = run.load.variables.keys().chain(wanted.variables.keys());
    let other = names.find(differs)?;
    Some(format!(
        "{name}: {} runs with another {other} than is stored: {:?} {:?}",
        run.id,
        rendered(&run.load, other),
        rendered(&wanted, other)
    ))
}

/// A variable as a process of this load has it.
fn rendered(load: &Load, name: &str) -> Option<String> {
    load.variables.get(name).map(|held| load.rendered(held))
}

/// Judges everything that differs between two moments by what a commit permits.
pub fn judge_change(before: &State, after: &State, law: Law<'_>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (name, was) in &before.services {
        let Some(is) = after.services.get(name) else {
            if !law.deletes(name) {
                found.push(("s2_consent", format!("{name} is gone")));
            }
            continue;
        };
        if Arc::ptr_eq(was, is) {
            continue;
        }
        match law.wish.services.get(name) {
            Some(_) => Judged { name, was, is, law }.all(&mut found),
            None if !is_stored_as(was, is) => found.push((
                "s1_ownership",
                format!("{name} is not declared and was changed"),
            )),
            None => {}
        }
    }
    if !Arc::ptr_eq(&before.shared, &after.shared) {
        let names: BTreeSet<&String> = before.shared.keys().chain(after.shared.keys()).collect();
        for name in names {
            let wish = law.wish.shared.get(name);
            let takes = law.takes_shared(name);
            let held = (before.shared.get(name), after.shared.get(name));
            found.extend(judge_variable(&format!("shared {name}"), held, wish, takes));
        }
    }
    found
}

/// Whether what is stored is the same. What runs may change with a shared variable.
fn is_stored_as(was: &Stored, is: &Stored) -> bool {
    let stored = |stored: &Stored| Stored {
        head: None,
        runs: Vec::new(),
        ..stored.clone()
    };
    stored(was) == stored(is)
}

struct Judged<'a> {
    name: &'a str,
    was: &'a Stored,
    is: &'a Stored,
    law: Law<'a>,
}

impl Judged<'_> {
    fn all(&self, found: &mut Vec<(&'static str, String)>) {
        let Judged { name, was, is, law } = *self;
        let wish: &Wish = law.wish;
        let mut owns = |is_changed: bool, is_declared: bool, what: &str| {
            if is_changed && !is_declared {
                let words = format!("{name}: {what} not declared and was changed");
                found.push(("s1_ownership", words));
            }
        };
        let service = &wish.services[name];
        owns(
            was.source != is.source,
            law.moves(name),
            "what it is built from is",
        );
        owns(
            was.registry != is.registry,
            service.registry.is_some(),
            "its registry is",
        );
        let pushes = service.push_to_deploy.is_some();
        owns(
            was.push_to_deploy != is.push_to_deploy,
            pushes,
            "its deployment by push is",
        );
        for setting in SettingName::ALL {
            let differs = was.settings.value(setting) != is.settings.value(setting);
            owns(
                differs,
                law.sets(name, setting, was),
                &format!("{setting} is"),
            );
        }
        if let (Source::Repository { .. }, Source::Image(_)) = (&was.source, &is.source) {
            let words = format!("{name}: its repository was replaced by an image");
            found.push(("s1_ownership", words));
        }
        self.placement(found);
        self.variables(found);
    }

    fn variables(&self, found: &mut Vec<(&'static str, String)>) {
        let Judged { name, was, is, law } = *self;
        if Arc::ptr_eq(&was.variables, &is.variables) {
            return;
        }
        let names: BTreeSet<&String> = was.variables.keys().chain(is.variables.keys()).collect();
        for variable in names {
            let (old, new) = (was.variables.get(variable), is.variables.get(variable));
            let demanded = match new {
                Some(held) => law.closes_by(name, variable, &held.value),
                None => law.opens_by(name, variable),
            };
            if demanded {
                continue;
            }
            let wish = law.wish.services[name].variables.get(variable);
            let takes = law.takes(name, variable);
            let words = format!("{name}.{variable}");
            found.extend(judge_variable(&words, (old, new), wish, takes));
        }
    }

    fn placement(&self, found: &mut Vec<(&'static str, String)>) {
        let Judged { name, was, is, law } = *self;
        if was.placement == is.placement {
            return;
        }
        let Some(wished) = &law.wish.services[name].replicas else {
            let words = format!("{name}: its replicas are not declared and were changed");
            return found.push(("s1_ownership", words));
        };
        let gone = |region: &&String| !is.placement.contains_key(*region);
        let mut gone = was.placement.keys().filter(gone);
        if gone.any(|region| !law.leaves(name, region)) {
            let words = format!("{name}: a region is gone that is declared");
            found.push(("s3_availability_floor", words));
        }
        let floor = match wished {
            ReplicasWish::Number(count) => *count,
            ReplicasWish::Regions(regions) => regions.values().sum::<u32>(),
        };
        // Railway runs one replica where nothing is stored.
        let total = |stored: &Stored| stored.placement.values().sum::<u32>();
        let (before, after) = (total(was), total(is));
        if after < floor.min(before) || after == 0 {
            found.push((
                "s3_availability_floor",
                format!("{name}: {before} replicas became {after}, and {floor} are declared"),
            ));
        }
    }
}

/// A variable is changed only where it is declared; it goes only where it is declared absent, or where a commit of ours made it
/// and the commit before declared it.
fn judge_variable(
    name: &str,
    (old, new): (Option<&Held>, Option<&Held>),
    wish: Option<&VariableWish>,
    takes: bool,
) -> Option<(&'static str, String)> {
    let plain = |held: Option<&Held>| held.map(|held| (held.value.clone(), held.sealed));
    if plain(old) == plain(new) {
        return None;
    }
    match (wish, old, new) {
        (None, Some(held), None) if takes && held.is_ours => None,
        (None, Some(_), None) if takes => Some((
            "s1_ownership",
            format!("{name} is gone, and somebody else had made it"),
        )),
        (None, _, _) => Some((
            "s1_ownership",
            format!("{name} is not declared and was changed"),
        )),
        (Some(VariableWish::Absent), _, None) => None,
        (Some(_), Some(_), None) => Some((
            "s2_consent",
            format!("{name} is gone and not declared absent"),
        )),
        (Some(_), _, _) => None,
    }
}
