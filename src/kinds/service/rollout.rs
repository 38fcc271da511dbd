//! What runs of a service and what should: release, way back, deployments that lag, fail or are to be restarted.

use super::Spec;
use super::settings::LATEST;
use crate::kinds::Declared;
use crate::kinds::release;
use crate::kinds::shown::one_line;
use crate::source::Origin;
use crate::world::railway::{
    Deployment, Field, History, PatchState, READY_SECONDS, Railway, Service, Source, Status,
};
use crate::world::{SETTLING, Seen};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a document wants to run, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub content: Content,
    pub why: String,
    pub origin: Origin,
}

/// An image, or a commit of the repository that the service is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Image(String),
    Commit(String),
}

impl Content {
    /// As people name it: the tag of an image where there is one, the start of a commit.
    pub(super) fn words(&self) -> String {
        match self {
            Content::Image(image) => image_words(image),
            Content::Commit(commit) => commit_words(commit),
        }
    }
}

/// A reference without its digest when it has a tag, too.
pub(super) fn image_words(image: &str) -> String {
    let tagged = image.split_once('@').filter(|(name, _)| {
        name.rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
    });
    one_line(tagged.map_or(image, |(name, _)| name))
}

/// From and to as people compare them: only the tags where the rest is the same.
pub(super) fn moved(from: &str, to: &str) -> (String, String) {
    let (from, to) = (image_words(from), image_words(to));
    match (from.rsplit_once(':'), to.rsplit_once(':')) {
        (Some((name, old)), Some((same, new)))
            if name == same && !old.contains('/') && old != new =>
        {
            (old.to_owned(), new.to_owned())
        }
        _ => (from, to),
    }
}

/// Enough of an id to know it by.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

pub(super) fn commit_words(commit: &str) -> String {
    one_line(commit.get(..7).unwrap_or(commit))
}

/// What the document wants to run, given what the service is built from: `Err` says why that does not fit.
pub(super) fn wanted(
    declared: &Declared<Spec>,
    releases: &BTreeMap<String, Declared<release::Spec>>,
    source: &Source,
) -> Result<Option<Wanted>, String> {
    let spec = &declared.spec;
    let (image, commit, why, origin_of): (_, _, _, &dyn Fn(&str) -> Origin) =
        match spec.release.as_ref().and_then(|name| releases.get(name)) {
            Some(release) => (
                &release.spec.image,
                &release.spec.commit,
                format!("Release/{}", release.name),
                &|field| release.origin(&[field]).clone(),
            ),
            None => (&spec.image, &spec.commit, String::new(), &|field| {
                declared.origin(&[field]).clone()
            }),
        };
    let named = |content: Content, field: &str| {
        let why = if why.is_empty() {
            format!("{field}: {}", content.words())
        } else {
            format!("{why} {}", content.words())
        };
        Ok(Some(Wanted {
            content,
            why,
            origin: origin_of(field),
        }))
    };
    match (source, image, commit) {
        (_, None, None) => Ok(None),
        (Source::Image(_) | Source::Nothing, Some(image), _) => {
            named(Content::Image(image.clone()), "image")
        }
        (Source::Repository { .. }, _, Some(commit)) => {
            named(Content::Commit(commit.clone()), "commit")
        }
        (Source::Repository { name }, Some(_), None) => Err(format!(
            "it is built from the repository {}, and only an image is declared",
            one_line(name)
        )),
        (Source::Image(_), None, Some(_)) => {
            Err("it runs an image, and only a commit is declared".to_owned())
        }
        (Source::Nothing, None, Some(_)) => {
            Err("it has no repository to build a commit from".to_owned())
        }
    }
}

/// Whether two references mean the same image: the default registry may be written or not.
pub(super) fn is_same_image(one: &str, other: &str) -> bool {
    fn short(image: &str) -> &str {
        let image = image.strip_prefix("docker.io/").unwrap_or(image);
        image.strip_prefix("library/").unwrap_or(image)
    }
    short(one) == short(other)
}

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

/// Judges the newest deployment by what its `meta` tells and by the configuration history (design rule 5).
pub(super) fn carried(
    newest: &Deployment,
    service: &Service,
    wanted: Option<&Wanted>,
    spec: &Spec,
    history: &Seen<History>,
    now: Timestamp,
) -> Carried {
    let lack = match wanted.map(|wanted| &wanted.content) {
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
    let fresh = fresh_change(service, history, now);
    if let Some(runs) = lack {
        return fresh.map_or_else(
            || Carried::No(format!("the newest deployment runs {runs}")),
            Carried::NotYet,
        );
    }
    match history
        .facts()
        .and_then(|history| last_change(history, &service.id, spec))
    {
        Some((at, id, fields)) if !is_older(newest, at, &id, history) => fresh.map_or_else(
            || {
                Carried::No(format!(
                    "{} changed after the newest deployment was made",
                    listed(&fields)
                ))
            },
            Carried::NotYet,
        ),
        _ => Carried::Yes,
    }
}

/// When a patch changed what the service runs, so lately that no deployment of it shows yet.
pub fn fresh_change(
    service: &Service,
    history: &Seen<History>,
    now: Timestamp,
) -> Option<Timestamp> {
    let deploys = |fields: &BTreeSet<Field>| fields.iter().any(|field| *field != Field::Replicas);
    let patch = history
        .facts()?
        .patches
        .iter()
        .find(|patch| patch.touched.get(&service.id).is_some_and(deploys))?;
    let shows = service.newest.as_ref().is_some_and(|newest| {
        newest.patch.as_ref() == Some(&patch.id) || newest.created_at > patch.at
    });
    let failed = matches!(patch.state, PatchState::Failed(_));
    (!shows && !failed && within(now, patch.at, SETTLING)).then_some(patch.at)
}

/// The newest committed patch that changed a declared part which only a deployment brings into force.
fn last_change(
    history: &History,
    service: &str,
    spec: &Spec,
) -> Option<(Timestamp, String, BTreeSet<String>)> {
    history.patches.iter().find_map(|patch| {
        if patch.state != PatchState::Committed {
            return None;
        }
        let touched: BTreeSet<String> = patch
            .touched
            .get(service)?
            .iter()
            .filter(|field| needs_deployment(field, spec))
            .map(ToString::to_string)
            .collect();
        (!touched.is_empty()).then(|| (patch.at, patch.id.clone(), touched))
    })
}

fn needs_deployment(field: &Field, spec: &Spec) -> bool {
    match field {
        Field::Variable(name) => spec.variables.contains_key(name),
        Field::Ready => spec.ready.is_some(),
        // What runs is judged by the deployment itself.
        Field::Image | Field::Commit | Field::Replicas | Field::Other(_) => false,
    }
}

/// Whether a patch lies before a deployment: by the patch that made the deployment, else by time.
fn is_older(newest: &Deployment, at: Timestamp, id: &str, history: &Seen<History>) -> bool {
    if newest.patch.as_deref() == Some(id) || newest.created_at >= at {
        return true;
    }
    let made_by_older = newest.patch.as_deref().is_some_and(|made_by| {
        history
            .facts()
            .is_some_and(|history| history.patches.iter().any(|patch| patch.id == made_by))
    });
    // A deployment may be made a moment before its own patch counts as applied.
    !made_by_older && within(at, newest.created_at, Duration::from_secs(10))
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

/// Whether a way back to a kept deployment can be had, now or after a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WayBack {
    /// There is none.
    None,
    /// Nobody has looked.
    Unasked,
    /// To this deployment.
    To(Deployment),
}

/// A kept deployment with the wanted image since whose time nothing but the image has changed: going back to it gives exactly what is declared.
pub(super) fn way_back(image: &str, service: &Service, railway: &Railway) -> WayBack {
    let (kept, history) = match (&service.kept, &railway.history) {
        (Seen::Unasked, _) | (_, Seen::Unasked) => return WayBack::Unasked,
        (Seen::Facts(kept), Seen::Facts(history)) => (kept, history),
        (Seen::Unseen(_), _) | (_, Seen::Unseen(_)) => return WayBack::None,
    };
    let fits = |deployment: &&Deployment| {
        deployment.can_rollback
            && matches!(deployment.status, Status::Removed | Status::Healthy)
            && deployment
                .image
                .as_deref()
                .is_some_and(|kept| is_same_image(kept, image))
            && only_the_image_changed(deployment.created_at, &service.id, history)
    };
    match kept
        .iter()
        .filter(fits)
        .max_by_key(|deployment| deployment.created_at)
    {
        Some(deployment) => WayBack::To(deployment.clone()),
        None => WayBack::None,
    }
}

fn only_the_image_changed(since: Timestamp, service: &str, history: &History) -> bool {
    let reaches = history.is_whole
        || history
            .patches
            .last()
            .is_some_and(|oldest| oldest.at <= since);
    // Shared variables belong to no service and may reach every one.
    let harmless = |fields: &BTreeSet<Field>| {
        fields
            .iter()
            .all(|field| matches!(field, Field::Image | Field::Replicas))
    };
    let fields: Vec<(&String, &BTreeSet<Field>)> = history
        .patches
        .iter()
        .filter(|patch| patch.at > since || matches!(patch.state, PatchState::Applying))
        .flat_map(|patch| &patch.touched)
        .filter(|(id, _)| *id == service || id.is_empty())
        .collect();
    // The image did change: a history that does not show how is an old one, or lacks more.
    let explains = fields
        .iter()
        .any(|(_, fields)| fields.contains(&Field::Image));
    reaches
        && explains
        && fields
            .iter()
            .all(|(id, fields)| !id.is_empty() && harmless(fields))
}

/// The newest deployment of a service whose image has been put back by a rollback: only the stored image is behind.
pub(super) fn runs_already(
    image: &str,
    service: &Service,
    history: &Seen<History>,
) -> Option<Deployment> {
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
        && matches!(newest.status, Status::Rolling(_) | Status::Healthy)
        && !newest.stopped)
        .then(|| newest.clone())
}

/// When a deployment has taken too long: a build's time and the health check's own.
pub(super) fn deadline(newest: &Deployment, spec: &Spec) -> Timestamp {
    const BUILD: Duration = Duration::from_secs(20 * 60);
    let within = spec
        .ready
        .as_ref()
        .and_then(|ready| ready.within)
        .map_or(Duration::from_secs(READY_SECONDS), |within| within.0);
    newest
        .created_at
        .saturating_add(BUILD + within)
        .unwrap_or(Timestamp::MAX)
}

/// What a declared restart asks for, given when the newest deployment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// It has happened, or none is declared.
    Done,
    /// It lies ahead.
    Ahead(Timestamp),
    /// It is to be made now.
    Due(Timestamp),
    /// It was not begun in time and never will be.
    Missed(Timestamp),
}

/// A restart is a deployment made at or after its time: an in-place restart leaves no trace that a look could show (facts/railway.md 3.3).
pub(super) fn restart(spec: &Spec, newest: Option<&Deployment>, now: Timestamp) -> Restart {
    let Some(after) = spec.restarted_after.map(|after| after.0) else {
        return Restart::Done;
    };
    if newest.is_some_and(|newest| newest.created_at >= after) {
        Restart::Done
    } else if now < after {
        Restart::Ahead(after)
    } else if now.duration_since(after).unsigned_abs() > LATEST {
        Restart::Missed(after)
    } else {
        Restart::Due(after)
    }
}
