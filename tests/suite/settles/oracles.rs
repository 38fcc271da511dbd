//! What must be true of every write and of everything that it changes: the invariants of facts/reliability.md, by name.

use super::deployment::{Made, Run};
use super::model::{Applied, State, Stored};
use super::schedule::MARK_OF_SECRETS;
use super::stage::{Ended, Scene, is_fresh, services};
use super::wish::{ReplicasWish, Runs, ServiceWish, VariableWish, Wish};
use jiff::Timestamp;
use reconciler::plan::write::{What, Write};
use reconciler::world::railway::{
    Action, Change, Railway, Service, Setting, SettingValue, Source, VariableValue,
};
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
    let sent = scene.sent.last().expect("one was just sent").clone();
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
    let wish = &scene.schedule.wishes[sent.commit];
    found.extend(undeclared(&sent.write, wish).map(|words| ("s1_ownership", words)));
    if let Some(shown) = &scene.shown {
        found.extend(
            unseen(&sent.write, &shown.railway).map(|words| ("s6_unseen_is_not_touched", words)),
        );
        let is_patch = matches!(sent.write.what, What::Patch(_));
        if is_patch
            && shown
                .railway
                .staged
                .facts()
                .is_some_and(|staged| !staged.paths.is_empty())
        {
            found.push((
                "s8_staged_by_hand_is_left",
                "a patch was sent although the look showed staged changes".to_owned(),
            ));
        }
    }
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

/// A fresh action after an unclear end, or an accepted one, needs a settling time.
fn repeated(scene: &Scene) -> Option<String> {
    let (last, before) = scene.sent.split_last()?;
    if !is_fresh(&last.write) {
        return None;
    }
    let mark = last.write.mark();
    let recent = before.iter().rev().take_while(|sent| {
        sent.run == last.run && last.at.duration_since(sent.at).unsigned_abs() < SETTLING
    });
    let touched = services(&last.write);
    let twin = recent
        .filter(|sent| matches!(sent.end, Ended::Unclear | Ended::Accepted))
        .find(|sent| sent.write.mark() == mark)?;
    // What people undid meanwhile is to be made again.
    let undone = scene
        .edits
        .iter()
        .any(|(at, service)| *at >= twin.looked_at && touched.contains(service));
    let wish = &scene.schedule.wishes[last.commit];
    if undone
        || touched
            .iter()
            .all(|service| restarts(wish, service, twin.at, last.at))
    {
        return None;
    }
    Some(format!(
        "sent again after {} s, the first time ended {:?}",
        last.at.duration_since(twin.at).as_secs(),
        twin.end
    ))
}

/// Whether git asks for a restart between two moments: what failed or was skipped is then deployed again.
fn restarts(wish: &Wish, service: &str, from: Timestamp, to: Timestamp) -> bool {
    let after = wish
        .services
        .get(service)
        .and_then(|service| service.restarted_after);
    after.is_some_and(|after| from <= after && after <= to)
}

/// All configuration goes in one patch, unless the joint one was refused.
fn many_patches(scene: &Scene) -> Option<String> {
    let (last, before) = scene.sent.split_last()?;
    let patches = |sent: &&super::stage::Sent| {
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
    let others = earlier
        .iter()
        .filter(|sent| sent.write.mark() != last.write.mark())
        .count();
    (others > 0 && earlier.iter().all(|sent| sent.end != Ended::Refused))
        .then(|| format!("{} patches follow one look", others + 1))
}

fn undeclared(write: &Write, wish: &Wish) -> Option<String> {
    match &write.what {
        What::Patch(changes) => changes
            .iter()
            .find_map(|change| undeclared_change(change, wish)),
        What::One(Action::Change(change)) => undeclared_change(change, wish),
        What::One(action) => match action.service() {
            Some(service) if wish.services.contains_key(&service.name) => None,
            service => Some(format!("{service:?} is not declared")),
        },
    }
}

fn undeclared_change(change: &Change, wish: &Wish) -> Option<String> {
    let name = change.of.word();
    let Some(service) = wish.services.get(name) else {
        return Some(format!("{name} is not declared"));
    };
    let is_declared = match &change.set {
        Setting::Image(_) | Setting::Commit(_) => service.runs != Runs::Unsaid,
        Setting::Plain(SettingValue::Ready(_)) => service.ready.is_some(),
        Setting::Plain(_) | Setting::Registry { .. } => false,
        Setting::Replicas(_) => service.replicas.is_some(),
        Setting::Variable { name, .. } => service.variables.contains_key(name),
    };
    (!is_declared).then(|| format!("{name}: {} is not declared", change.set.field()))
}

/// Whether a write touches what the look that it follows could not see.
fn unseen(write: &Write, shown: &Railway) -> Option<String> {
    match &write.what {
        What::Patch(changes) => {
            if let Seen::Unseen(_) = shown.staged {
                return Some(
                    "a patch was sent although it could not be seen what is staged".to_owned(),
                );
            }
            changes
                .iter()
                .find_map(|change| unseen_change(change, shown))
        }
        What::One(Action::Change(change)) => unseen_change(change, shown),
        What::One(action) => {
            let service = action.service()?;
            match shown.services.get(&service.name) {
                Some(Seen::Facts(_)) => None,
                _ => Some(format!("{} was not seen", service.name)),
            }
        }
    }
}

fn unseen_change(change: &Change, shown: &Railway) -> Option<String> {
    let name = change.of.word();
    let Some(Seen::Facts(service)) = shown.services.get(name) else {
        return Some(format!("{name} was not seen"));
    };
    match &change.set {
        Setting::Replicas(_) if service.placement.facts().is_none() => {
            Some(format!("{name}: its replicas were not seen"))
        }
        Setting::Variable {
            name: variable,
            value,
        } => unseen_variable(variable, value, service).map(|words| format!("{name}: {words}")),
        Setting::Image(_)
        | Setting::Commit(_)
        | Setting::Plain(_)
        | Setting::Registry { .. }
        | Setting::Replicas(_) => None,
    }
}

fn unseen_variable(name: &str, value: &VariableValue, service: &Service) -> Option<String> {
    let Seen::Facts(variables) = &service.variables else {
        return Some("its variables were not seen".to_owned());
    };
    let is_masked = variables
        .get(name)
        .is_some_and(|stored| stored.value.is_none() && !stored.sealed);
    // What shall not exist, or shall be sealed, need not be compared.
    let compares = matches!(
        value,
        VariableValue::Text(_) | VariableValue::Secret { sealed: false, .. }
    );
    (is_masked && compares).then(|| format!("the value of {name} was masked"))
}

/// Judges everything that the product's requests have changed since it was last judged.
pub fn judge_applied(scene: &mut Scene) {
    for applied in std::mem::take(&mut scene.model.applied) {
        // What is staged after the look is a race that nobody can win; what was shown is judged when it is sent.
        if applied.took_staged {
            continue;
        }
        if let Some(words) = twin_deployment(scene, &applied) {
            scene.violate("s11_no_twin_deployment", words);
        }
        let commit = scene.sent[applied.request].commit;
        let found = judge_change(
            &applied.before,
            &applied.after,
            &scene.schedule.wishes[commit],
        );
        for (oracle, words) in found {
            scene.violate(oracle, words);
        }
    }
}

/// Two deployments of the very same by one process within a settling time: one of them had no reason.
fn twin_deployment(scene: &Scene, applied: &Applied) -> Option<String> {
    if scene.counts.duplicates > 0 {
        return None;
    }
    applied.after.services.iter().find_map(|(name, is)| {
        let was = applied.before.services.get(name)?;
        let (new, before) = is
            .runs
            .split_last()
            .filter(|_| is.runs.len() > was.runs.len())?;
        let process = |run: &Run| run.by.map(|request| scene.sent[request].run);
        let last = before.last().filter(|last| {
            last.by.is_some() && process(last) == process(new) && last.load == new.load
        })?;
        let apart = new.created_at.duration_since(last.created_at);
        // What people did after the look that either follows is undone by it.
        let looked_at = |run: &Run| run.by.map(|request| scene.sent[request].looked_at);
        let undone = scene.edits.iter().any(|(at, service)| {
            service == name
                && [last, new]
                    .into_iter()
                    .filter_map(looked_at)
                    .any(|looked| *at >= looked)
        });
        let restarted = matches!(new.made, Made::Redeployed | Made::ByStoring);
        let asked = new.by.is_some_and(|request| {
            restarts(
                &scene.schedule.wishes[scene.sent[request].commit],
                name,
                last.created_at,
                new.created_at,
            )
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

/// Judges everything that differs between two moments by what git declares.
pub fn judge_change(before: &State, after: &State, wish: &Wish) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (name, was) in &before.services {
        let Some(is) = after.services.get(name) else {
            found.push(("s2_consent", format!("{name} is gone")));
            continue;
        };
        match wish.services.get(name) {
            Some(wish) => judge_service(name, was, is, wish, &mut found),
            None if was != is => found.push((
                "s1_ownership",
                format!("{name} is not declared and was changed"),
            )),
            None => {}
        }
    }
    found
}

fn judge_service(
    name: &str,
    was: &Stored,
    is: &Stored,
    wish: &ServiceWish,
    found: &mut Vec<(&'static str, String)>,
) {
    if was.source != is.source && wish.runs == Runs::Unsaid {
        found.push((
            "s1_ownership",
            format!("{name}: what it is built from is not declared and was changed"),
        ));
    }
    if let (Source::Repository { .. }, Source::Image(_)) = (&was.source, &is.source) {
        found.push((
            "s1_ownership",
            format!("{name}: its repository was replaced by an image"),
        ));
    }
    if was.ready != is.ready && wish.ready.is_none() {
        found.push((
            "s1_ownership",
            format!("{name}: its health check is not declared and was changed"),
        ));
    }
    judge_placement(name, was, is, wish, found);
    let names: std::collections::BTreeSet<&String> =
        was.variables.keys().chain(is.variables.keys()).collect();
    for variable in names {
        let (old, new) = (was.variables.get(variable), is.variables.get(variable));
        let same = old.map(|held| (&held.value, held.sealed))
            == new.map(|held| (&held.value, held.sealed));
        match wish.variables.get(variable) {
            None if !same => found.push((
                "s1_ownership",
                format!("{name}.{variable} is not declared and was changed"),
            )),
            Some(VariableWish::Absent) | None => {}
            Some(_) if old.is_some() && new.is_none() => found.push((
                "s2_consent",
                format!("{name}.{variable} is gone and not declared absent"),
            )),
            Some(_) => {}
        }
    }
}

fn judge_placement(
    name: &str,
    was: &Stored,
    is: &Stored,
    wish: &ServiceWish,
    found: &mut Vec<(&'static str, String)>,
) {
    if was.placement == is.placement {
        return;
    }
    let Some(wished) = &wish.replicas else {
        found.push((
            "s1_ownership",
            format!("{name}: its replicas are not declared and were changed"),
        ));
        return;
    };
    let (before, after) = (total(was), total(is));
    let floor = match wished {
        ReplicasWish::Number(count) => *count,
        ReplicasWish::Regions(regions) => {
            let gone = |region: &&String| !is.placement.contains_key(*region);
            if regions
                .keys()
                .filter(gone)
                .any(|region| was.placement.contains_key(region))
            {
                found.push((
                    "s3_availability_floor",
                    format!("{name}: a region is gone that is declared"),
                ));
            }
            regions.values().sum::<u32>()
        }
    };
    if after < floor.min(before) || after == 0 {
        found.push((
            "s3_availability_floor",
            format!("{name}: {before} replicas became {after}, and {floor} are declared"),
        ));
    }
}

/// Railway runs one replica where nothing is stored.
fn total(stored: &Stored) -> u32 {
    stored.placement.values().sum::<u32>()
}
