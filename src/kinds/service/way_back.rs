//! The way back to a deployment that Railway kept: whether going there gives exactly what is declared.

use super::carried::{MADE, within};
use super::content::is_same_image;
use super::settings::is_same;
use crate::kinds::variable::{is_template, refers_to_shared};
use crate::world::Seen;
use crate::world::railway::{
    Deployment, Field, History, PatchState, Question, Railway, Service, SettingName, Settings,
    Status, Variable,
};
use crate::world::secret::Secret;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a way back to a kept deployment can be had, now or after questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WayBack {
    /// There is none.
    None,
    /// Nobody has looked.
    Ask(Vec<Question>),
    /// To this deployment, by its id.
    To(String),
}

/// A kept deployment that ran the wanted image with exactly the wanted settings and the variables that are stored.
///
/// The history must explain how the image moved since: a stale one does not, and would hide other changes.
pub(super) fn way_back(
    image: &str,
    wanted: &Settings,
    name: &str,
    service: &Service,
    railway: &Railway,
) -> WayBack {
    let kept_question = || Question::Kept {
        service: name.to_owned(),
    };
    let (kept, history) = match (&service.kept, &railway.history) {
        (Seen::Unasked, _) | (_, Seen::Unasked) => {
            return WayBack::Ask(vec![Question::History, kept_question()]);
        }
        (Seen::Facts(kept), Seen::Facts(history)) => (kept, history),
        (Seen::Unseen(_), _) | (_, Seen::Unseen(_)) => return WayBack::None,
    };
    let fits = |deployment: &&Deployment| {
        deployment.can_rollback
            && matches!(deployment.status, Status::Removed | Status::Healthy)
            && runs(deployment, image)
            && nothing_else_changed(
                deployment,
                ran_as_of(deployment, image, kept, history),
                wanted,
                service,
                history,
            )
    };
    let Some(deployment) = kept
        .iter()
        .filter(fits)
        .max_by_key(|deployment| deployment.created_at)
    else {
        return WayBack::None;
    };
    match (&deployment.variables, &railway.written) {
        (Seen::Unasked, _) | (_, Seen::Unasked) => WayBack::Ask(vec![
            Question::Snapshot {
                service: name.to_owned(),
                deployment: deployment.id.clone(),
            },
            Question::Written,
        ]),
        (Seen::Facts(ran), Seen::Facts(_)) => {
            let since = ran_as_of(deployment, image, kept, history);
            let is_exact = has_same_variables(ran, since, service, railway)
                && !may_bring_back(ran, since, service, railway, history);
            if is_exact {
                WayBack::To(deployment.id.clone())
            } else {
                WayBack::None
            }
        }
        (Seen::Unseen(_), _) | (_, Seen::Unseen(_)) => WayBack::None,
    }
}

fn runs(deployment: &Deployment, image: &str) -> bool {
    deployment
        .image
        .as_deref()
        .is_some_and(|kept| is_same_image(kept, image))
}

/// The moment whose settings and variables a kept deployment ran with: its own where a patch made it. Otherwise it may itself have been
/// a way back to an older one of the same image, or its repeat, and may have run with what there was then.
fn ran_as_of(
    deployment: &Deployment,
    image: &str,
    kept: &[Deployment],
    history: &History,
) -> Timestamp {
    let own = deployment.created_at;
    let is_patchs_own = deployment.patch.as_ref().is_some_and(|id| {
        let mut patches = history.patches.iter();
        patches.any(|patch| patch.id == *id && within(patch.at, own, MADE))
    });
    if is_patchs_own {
        return own;
    }
    let older = kept
        .iter()
        .filter(|older| older.created_at < own && runs(older, image));
    older.map(|older| older.created_at).min().unwrap_or(own)
}

/// The patches that may have changed a service after a moment, by what each touched of it or of what services share.
fn touched_since<'a>(
    since: Timestamp,
    service: &'a Service,
    history: &'a History,
) -> impl Iterator<Item = (&'a str, &'a BTreeSet<Field>)> {
    history
        .patches
        .iter()
        .filter(move |patch| patch.at > since || matches!(patch.state, PatchState::Applying))
        .flat_map(|patch| &patch.touched)
        .filter(|(id, _)| **id == service.id || id.is_empty())
        .map(|(id, fields)| (id.as_str(), fields))
}

/// Whether nothing has changed since but the image, replicas, variables that are compared themselves, and settings that are the same again.
fn nothing_else_changed(
    kept: &Deployment,
    since: Timestamp,
    wanted: &Settings,
    service: &Service,
    history: &History,
) -> bool {
    let reaches = history.is_whole
        || history
            .patches
            .last()
            .is_some_and(|oldest| oldest.at <= since);
    let settings_fit = match &kept.settings {
        Some(ran) => SettingName::ALL
            .iter()
            .all(|name| is_same(&ran.value(*name), &wanted.value(*name))),
        // Then only the history tells, and it tells of what is stored.
        None => *wanted == service.settings,
    };
    let is_harmless = |field: &Field| match field {
        // A kept image is not pulled.
        Field::Image | Field::Replicas | Field::Variable(_) | Field::Registry => true,
        Field::Setting(_) => kept.settings.is_some(),
        Field::Commit | Field::Other(_) => false,
    };
    let fields: Vec<&BTreeSet<Field>> = touched_since(since, service, history)
        .map(|(_, fields)| fields)
        .collect();
    // The image did change: a history that does not show how is an old one, or lacks more.
    let explains = fields.iter().any(|fields| fields.contains(&Field::Image));
    reaches
        && explains
        && settings_fit
        && fields.iter().all(|fields| fields.iter().all(is_harmless))
}

/// Whether a deployment of a moment was started with the variables that are stored now.
fn has_same_variables(
    ran: &BTreeMap<String, Option<Secret>>,
    made_at: Timestamp,
    service: &Service,
    railway: &Railway,
) -> bool {
    let (Seen::Facts(own), Seen::Facts(shared), Seen::Facts(written)) =
        (&service.variables, &railway.shared, &railway.written)
    else {
        return false;
    };
    let is_old = |owner: &str, name: &str| {
        written
            .get(&(owner.to_owned(), name.to_owned()))
            .is_some_and(|written| written.updated_at <= made_at)
    };
    let shared_is_old = |value: &str| {
        shared
            .keys()
            .filter(|name| refers_to_shared(value, name))
            .all(|name| is_old("", name))
    };
    let is_same = |(name, stored): (&String, &Variable)| match (&stored.value, ran.get(name)) {
        // A sealed value may be left out of a snapshot, and its value always is.
        (None, _) => stored.sealed && is_old(&service.id, name),
        (Some(_), None) => false,
        (Some(value), Some(ran)) => {
            let is_equal = ran.as_ref().is_some_and(|ran| ran == value);
            let is_unchanged = is_old(&service.id, name) && shared_is_old(value.reveal());
            if is_template(value.reveal()) || ran.is_none() {
                is_unchanged
            } else {
                is_equal
            }
        }
    };
    let knows = |name: &String| own.contains_key(name) || shared.contains_key(name);
    own.iter().all(is_same) && ran.keys().all(knows)
}

/// Whether a variable was taken away since that the deployment may have been started with: a snapshot may leave out what is sealed.
fn may_bring_back(
    ran: &BTreeMap<String, Option<Secret>>,
    since: Timestamp,
    service: &Service,
    railway: &Railway,
    history: &History,
) -> bool {
    let is_stored = |owner: &str, name: &String| {
        let held = if owner.is_empty() {
            &railway.shared
        } else {
            &service.variables
        };
        held.facts().is_some_and(|held| held.contains_key(name))
    };
    touched_since(since, service, history).any(|(owner, fields)| {
        fields.iter().any(|field| match field {
            Field::Variable(name) => !is_stored(owner, name) && !ran.contains_key(name),
            Field::Image
            | Field::Commit
            | Field::Replicas
            | Field::Registry
            | Field::Setting(_)
            | Field::Other(_) => false,
        })
    })
}

/// The newest deployment of a service whose image has been put back by a rollback: only what is stored is behind.
pub(super) fn runs_already<'a>(
    image: &str,
    service: &'a Service,
    history: &Seen<History>,
) -> Option<&'a Deployment> {
    let newest = service.newest.as_ref()?;
    let last_image = history.facts()?.patches.iter().find(|patch| {
        patch
            .touched
            .get(&service.id)
            .is_some_and(|fields| fields.contains(&Field::Image))
    });
    let is_newer = last_image.is_none_or(|patch| newest.created_at > patch.at);
    let runs = newest
        .image
        .as_deref()
        .is_some_and(|runs| is_same_image(runs, image));
    (runs
        && is_newer
        && matches!(
            newest.status,
            Status::Rolling(_) | Status::Healthy | Status::Unknown(_)
        )
        && !newest.stopped)
        .then_some(newest)
}
