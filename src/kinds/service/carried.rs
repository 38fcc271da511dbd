//! Whether the newest deployment carries what is stored and wanted (design rule 5): by what it tells of itself, by the history, by when things were written.

use super::Spec;
use super::content::{Content, Wanted, commit_words, image_words, is_same_image};
use super::settings;
use crate::kinds::variable::refers_to_shared;
use crate::world::railway::{
    Deployment, Field, History, PatchState, Railway, Service, SettingName, SettingValue,
};
use crate::world::{SETTLING, Seen};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// Whether the newest deployment carries what is stored and wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    /// It does, as far as anything shows.
    Yes,
    /// It does not, with what it lacks.
    No(String),
    /// The change is so new that its deployment may not show yet.
    NotYet(Timestamp),
}

/// What is asked of a deployment.
pub(super) struct Load<'a> {
    pub service: &'a Service,
    pub railway: &'a Railway,
    pub wanted: Option<&'a Wanted>,
    pub spec: &'a Spec,
    /// The settings that somebody manages.
    pub settings: &'a BTreeSet<SettingName>,
    /// The variables that somebody manages.
    pub variables: &'a BTreeSet<String>,
    pub now: Timestamp,
}

/// Judges the newest deployment.
pub(super) fn carried(newest: &Deployment, load: &Load<'_>) -> Carried {
    let fresh = fresh_change(load.service, &load.railway.history, load.now);
    match lack(newest, load) {
        None => Carried::Yes,
        Some(words) => fresh.map_or(Carried::No(words), Carried::NotYet),
    }
}

fn lack(newest: &Deployment, load: &Load<'_>) -> Option<String> {
    let runs = match load.wanted.map(|wanted| &wanted.content) {
        Some(Content::Image(image)) => newest
            .image
            .as_deref()
            .filter(|runs| !is_same_image(runs, image))
            .map(image_words),
        Some(Content::Commit(commit)) => newest
            .commit
            .as_deref()
            .filter(|runs| runs != commit)
            .map(commit_words),
        None => None,
    };
    if let Some(runs) = runs {
        return Some(format!("the newest deployment runs {runs}"));
    }
    let history = &load.railway.history;
    let late = |fields: &BTreeSet<String>| {
        format!(
            "{} changed after the newest deployment was made",
            listed(fields)
        )
    };
    if let Some(change) = history
        .facts()
        .and_then(|history| last_change(history, load))
        && match place(newest, &change, history) {
            Place::Before => false,
            Place::After => true,
            // Unless what it wrote tells otherwise.
            Place::Close => wrote_since(newest, &change, load),
        }
    {
        return Some(late(&change.fields));
    }
    if load
        .service
        .updated_at
        .is_some_and(|at| at <= newest.created_at)
    {
        return None;
    }
    let fields: BTreeSet<String> = settings_behind(newest, load)
        .into_iter()
        .map(|name| name.word().to_owned())
        .chain(written_since(newest, load))
        .collect();
    (!fields.is_empty()).then(|| late(&fields))
}

/// The managed settings that the newest deployment runs with otherwise than they are stored: somebody stored them without a deployment.
/// What a file in the repository decides stays so with every deployment, and is not counted.
fn settings_behind(newest: &Deployment, load: &Load<'_>) -> Vec<SettingName> {
    let Some(runs) = &newest.settings else {
        return Vec::new();
    };
    let stored = &load.service.settings;
    let is_behind = |name: &&SettingName| {
        let (runs, stored) = (runs.value(**name), stored.value(**name));
        // Limits are told in as many ways as there are plans.
        !matches!(stored, SettingValue::Limits(_))
            && !newest.by_file.contains_key(*name)
            && !settings::is_same(&runs, &stored)
    };
    load.settings.iter().filter(is_behind).copied().collect()
}

/// The managed variables that were written after the newest deployment was made, past the patches.
fn written_since(newest: &Deployment, load: &Load<'_>) -> Vec<String> {
    let Seen::Facts(written) = &load.railway.written else {
        return Vec::new();
    };
    let is_late = |name: &&String| {
        written
            .get(&(load.service.id.clone(), (*name).clone()))
            .is_some_and(|written| written.updated_at > newest.created_at)
    };
    load.variables.iter().filter(is_late).cloned().collect()
}

/// Whether the time of the last change is that of a patch in the history, so that nothing was written past the patches since.
pub(super) fn is_explained(service: &Service, railway: &Railway) -> bool {
    let (Some(updated), Seen::Facts(history)) = (service.updated_at, &railway.history) else {
        return false;
    };
    history
        .patches
        .iter()
        .any(|patch| patch.touched.contains_key(&service.id) && within(patch.at, updated, MADE))
}

/// When a patch changed what the service runs, so lately that no deployment of it shows yet.
pub fn fresh_change(
    service: &Service,
    history: &Seen<History>,
    now: Timestamp,
) -> Option<Timestamp> {
    let deploys = |fields: &BTreeSet<Field>| fields.iter().any(|field| *field != Field::Replicas);
    let patch = history.facts()?.patches.iter().find(|patch| {
        patch.touched.get(&service.id).is_some_and(deploys)
            || patch
                .touched
                .get("")
                .is_some_and(|shared| !shared_used(service, shared).is_empty())
    })?;
    let shows = service.newest.as_ref().is_some_and(|newest| {
        newest.patch.as_ref() == Some(&patch.id) || newest.created_at > patch.at
    });
    let failed = matches!(patch.state, PatchState::Failed(_));
    (!shows && !failed && within(now, patch.at, SETTLING)).then_some(patch.at)
}

/// The shared variables among these fields that a service refers to.
fn shared_used(service: &Service, fields: &BTreeSet<Field>) -> Vec<String> {
    let Seen::Facts(variables) = &service.variables else {
        return Vec::new();
    };
    let is_used = |name: &str| {
        variables
            .values()
            .filter_map(|variable| variable.value.as_ref())
            .any(|value| refers_to_shared(value.reveal(), name))
    };
    fields
        .iter()
        .filter_map(|field| match field {
            Field::Variable(name) if is_used(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// A committed patch that changed managed parts which only a deployment brings into force.
struct LastChange {
    at: Timestamp,
    id: String,
    /// In words.
    fields: BTreeSet<String>,
    /// The variables among them, by owner and name.
    variables: Vec<(String, String)>,
}

/// The newest one of those.
fn last_change(history: &History, load: &Load<'_>) -> Option<LastChange> {
    history.patches.iter().find_map(|patch| {
        if patch.state != PatchState::Committed {
            return None;
        }
        let id = &load.service.id;
        let own: Vec<&Field> = patch
            .touched
            .get(id)
            .into_iter()
            .flatten()
            .filter(|field| needs_deployment(field, load))
            .collect();
        let shared = patch
            .touched
            .get("")
            .map(|fields| shared_used(load.service, fields))
            .unwrap_or_default();
        let variables = own.iter().filter_map(|field| match field {
            Field::Variable(name) => Some((id.clone(), name.clone())),
            _ => None,
        });
        let variables = variables
            .chain(shared.iter().map(|name| (String::new(), name.clone())))
            .collect();
        let fields: BTreeSet<String> = own
            .iter()
            .map(ToString::to_string)
            .chain(shared.iter().map(|name| format!("shared {name}")))
            .collect();
        (!fields.is_empty()).then(|| LastChange {
            at: patch.at,
            id: patch.id.clone(),
            fields,
            variables,
        })
    })
}

/// Whether the newest deployment was made so close to the last change of what it carries that only the times of variables can tell which came first.
pub(super) fn is_close(load: &Load<'_>) -> bool {
    let history = &load.railway.history;
    let change = history.facts().and_then(|facts| last_change(facts, load));
    let newest = load.service.newest.as_ref();
    newest.zip(change).is_some_and(|(newest, change)| {
        !change.variables.is_empty() && place(newest, &change, history) == Place::Close
    })
}

/// Whether a variable of a change was written after a deployment was made.
fn wrote_since(newest: &Deployment, change: &LastChange, load: &Load<'_>) -> bool {
    let written = load.railway.written.facts();
    written.is_some_and(|written| {
        let times = change.variables.iter().filter_map(|name| written.get(name));
        times
            .into_iter()
            .any(|times| times.updated_at > newest.created_at)
    })
}

fn needs_deployment(field: &Field, load: &Load<'_>) -> bool {
    match field {
        Field::Variable(name) => load.variables.contains(name),
        Field::Setting(name) => load.settings.contains(name),
        Field::Registry => load.spec.registry.is_some(),
        // What runs is judged by the deployment itself.
        Field::Image | Field::Commit | Field::Replicas | Field::Other(_) => false,
    }
}

/// Where a change lies, seen from a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    After,
    /// After, and no further than a patch's own deployment may be made before the patch counts as applied.
    Close,
}

/// How long a deployment may be made before its own patch counts as applied, and the other way round.
pub(super) const MADE: Duration = Duration::from_secs(10);

/// Whether a patch lies before a deployment: by the patch that made the deployment, else by time.
fn place(newest: &Deployment, change: &LastChange, history: &Seen<History>) -> Place {
    if newest.patch.as_deref() == Some(&change.id) || newest.created_at >= change.at {
        return Place::Before;
    }
    let patches = history.facts().map(|history| &history.patches);
    let made_by = newest
        .patch
        .as_deref()
        .zip(patches)
        .and_then(|(id, patches)| patches.iter().find(|patch| patch.id == id));
    match made_by {
        Some(made_by) if made_by.at >= change.at => Place::Before,
        Some(_) => Place::After,
        None if within(change.at, newest.created_at, MADE) => Place::Close,
        None => Place::After,
    }
}

fn listed(fields: &BTreeSet<String>) -> String {
    let names: Vec<&str> = fields.iter().take(3).map(String::as_str).collect();
    let more = fields.len().saturating_sub(names.len());
    if more == 0 {
        names.join(", ")
    } else {
        format!("{} and {more} more", names.join(", "))
    }
}

/// Whether two moments are no further apart than a span, whichever comes first.
pub(super) fn within(one: Timestamp, other: Timestamp, span: Duration) -> bool {
    one.duration_since(other).unsigned_abs() < span
}
