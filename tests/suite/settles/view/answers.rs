//! What a plan's questions are answered with.

use super::super::deployment::{Held, serving};
use super::super::model::{SHARED, State, Stored};
use super::super::switches::Switches;
use super::super::wish::domain;
use super::{ANSWERED, history, shown, staged};
use jiff::Timestamp;
use reconciler::world::page::Page;
use reconciler::world::railway::{Deployment, Question, Railway, Service, Written};
use reconciler::world::secret::Secret;
use reconciler::world::{self, Seen, World};
use std::collections::BTreeMap;

/// A question, and how it fares: the moment that the answer shows, or why there is none.
pub struct Asked<'a> {
    pub question: &'a world::Question,
    pub as_of: Timestamp,
    pub fails: Option<String>,
}

/// Puts the answer into what was seen before.
pub fn answer(world: &mut World, asked: Asked<'_>, state: &State, switches: &Switches) {
    let Asked {
        question,
        as_of,
        fails,
    } = asked;
    match question {
        world::Question::Railway(question) => {
            if let Seen::Facts(seen) = &mut world.railway {
                answer_railway(seen, question, fails, state, switches, as_of);
            }
        }
        world::Question::Page(question) => {
            let page = answered(fails, || page(state, &question.url, as_of));
            world.pages.insert(question.url.clone(), page);
        }
        world::Question::Redis(question) => {
            let words = "nobody plays a Redis here".to_owned();
            world
                .redis
                .insert(question.of.name.clone(), Seen::Unseen(words));
        }
    }
}

fn answered<T>(fails: Option<String>, facts: impl FnOnce() -> T) -> Seen<T> {
    match fails {
        Some(words) => Seen::Unseen(words),
        None => Seen::Facts(facts()),
    }
}

fn answer_railway(
    seen: &mut Railway,
    question: &Question,
    fails: Option<String>,
    state: &State,
    switches: &Switches,
    as_of: Timestamp,
) {
    let service = match question {
        Question::History => {
            seen.staged = answered(fails.clone(), || staged(state));
            seen.history = answered(fails, || history(state, ANSWERED, as_of));
            return;
        }
        Question::Written => {
            seen.written = answered(fails, || written(state));
            return;
        }
        // Names are for people: no plan asks for them.
        Question::Authors => return,
        Question::Kept { service }
        | Question::Log { service }
        | Question::Snapshot { service, .. }
        | Question::Push { service } => service,
    };
    let (Some(Seen::Facts(facts)), Some(stored)) =
        (seen.services.get_mut(service), state.services.get(service))
    else {
        return;
    };
    match question {
        Question::History | Question::Written | Question::Authors => {}
        Question::Kept { .. } => facts.kept = answered(fails, || kept(stored, switches, as_of)),
        Question::Log { .. } => {
            facts.log = answered(fails, || vec!["Error: no such file".to_owned()]);
        }
        Question::Push { .. } => facts.push_to_deploy = answered(fails, || stored.push_to_deploy),
        Question::Snapshot { deployment, .. } => {
            answer_snapshot(facts, deployment, fails, stored, switches);
        }
    }
}

fn answer_snapshot(
    facts: &mut Service,
    deployment: &str,
    fails: Option<String>,
    stored: &Stored,
    switches: &Switches,
) {
    let Seen::Facts(kept) = &mut facts.kept else {
        return;
    };
    if let Some(kept) = kept.iter_mut().find(|kept| kept.id == deployment) {
        let gone = || "it is not there".to_owned();
        kept.variables = match (fails, snapshot(stored, deployment, switches)) {
            (Some(words), _) => Seen::Unseen(words),
            (None, started) => started.map_or_else(|| Seen::Unseen(gone()), Seen::Facts),
        };
    }
}

/// When each variable was written.
fn written(state: &State) -> BTreeMap<(String, String), Written> {
    let services = state
        .services
        .values()
        .map(|stored| (stored.id.as_str(), &stored.variables));
    let all = services.chain([(SHARED, &state.shared)]);
    all.flat_map(|(owner, variables)| {
        variables.iter().map(move |(name, held)| {
            let written = Written {
                created_at: held.created_at,
                updated_at: held.written_at,
            };
            ((owner.to_owned(), name.clone()), written)
        })
    })
    .collect()
}

/// The variables that a deployment was started with: references are resolved, what is sealed is not told.
fn snapshot(
    stored: &Stored,
    deployment: &str,
    switches: &Switches,
) -> Option<BTreeMap<String, Option<Secret>>> {
    let run = stored.runs.iter().find(|run| run.id == deployment)?;
    let is_named = |held: &Held| !held.sealed || switches.snapshot_has_sealed;
    let value = |held: &Held| (!held.sealed).then(|| Secret::new(run.load.rendered(held)));
    let started = run.load.variables.iter();
    Some(
        started
            .filter(|(_, held)| is_named(held))
            .map(|(name, held)| (name.clone(), value(held)))
            .collect(),
    )
}

/// What Railway keeps of a service, newest first.
fn kept(stored: &Stored, switches: &Switches, at: Timestamp) -> Vec<Deployment> {
    (0..stored.runs.len())
        .rev()
        .filter(|position| stored.runs[*position].created_at <= at)
        .map(|position| shown(stored, position, at, switches))
        .collect()
}

/// What customers see at an address.
pub fn page(state: &State, url: &str, at: Timestamp) -> Page {
    let behind = state.services.iter().find(|(name, stored)| {
        stored.domain.is_some() && url.contains(&format!("//{}/", domain(name)))
    });
    let page = |status: u16, body: &str| Page {
        status,
        body: body.to_owned(),
    };
    match behind.and_then(|(_, stored)| serving(&stored.runs, at)) {
        None => page(502, "Application failed to respond"),
        Some(run) if run.load.is_closed() => page(503, "closed for maintenance"),
        Some(_) => page(200, "welcome"),
    }
}
