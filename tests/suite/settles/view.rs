//! The simulated Railway as a look shows it, whole or with parts missing.

use super::chance::Chance;
use super::deployment::{Held, active, shown};
use super::model::{REGIONS, State, Stored};
use super::switches::Switches;
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::railway::{
    Deployment, History, Named, Patch, PatchState, Railway, Service, Settings, Staged, Status,
    Variable, Written,
};
use reconciler::world::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};

/// What of a look cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Service,
    Variables,
    Placement,
    Staged,
    History,
    /// Every value is masked.
    Values,
    /// A deployment is in a state that nobody knows.
    Status,
}

pub const MISSING: &[Missing] = &[
    Missing::Service,
    Missing::Variables,
    Missing::Placement,
    Missing::Staged,
    Missing::History,
    Missing::Values,
    Missing::Status,
];

/// How many patches the first look brings, and how many an answer.
const FIRST: usize = 10;
const ANSWERED: usize = 30;

/// The first look.
pub fn railway(state: &State, switches: &Switches, at: Timestamp) -> Railway {
    let (staged, history) = match (switches.first_look_has_history, state.staged.is_empty()) {
        (true, _) => (
            Seen::Facts(staged(state)),
            Seen::Facts(history(state, FIRST, at)),
        ),
        (false, true) => (Seen::Facts(Staged::default()), Seen::Unasked),
        (false, false) => (Seen::Unasked, Seen::Unasked),
    };
    Railway {
        project: Named {
            id: "project-1".to_owned(),
            name: "shop".to_owned(),
        },
        environment: Named {
            id: "environment-1".to_owned(),
            name: "production".to_owned(),
        },
        services: state
            .services
            .iter()
            .map(|(name, stored)| (name.clone(), Seen::Facts(service(stored, switches, at))))
            .collect(),
        elsewhere: BTreeSet::new(),
        shared: Seen::Facts(BTreeMap::new()),
        staged,
        history,
        written: Seen::Unasked,
        region_names: REGIONS
            .iter()
            .flat_map(|(code, name)| {
                [
                    ((*code).to_owned(), (*name).to_owned()),
                    ((*name).to_owned(), (*code).to_owned()),
                ]
            })
            .collect(),
    }
}

fn service(stored: &Stored, switches: &Switches, at: Timestamp) -> Service {
    let region = |name: &str| match REGIONS.iter().find(|(_, long)| *long == name) {
        Some((code, _)) if switches.airport_codes => (*code).to_owned(),
        Some(_) | None => name.to_owned(),
    };
    let newest = stored.runs.iter().rposition(|run| run.created_at <= at);
    Service {
        id: stored.id.clone(),
        source: stored.source.clone(),
        updates_itself: stored.updates_itself,
        settings: Settings {
            ready: stored.ready.clone(),
            cron: stored.has_schedule.then(|| "0 3 * * *".to_owned()),
            ..Settings::default()
        },
        has_registry: None,
        placement: Seen::Facts(
            stored
                .placement
                .iter()
                .map(|(name, count)| (region(name), *count))
                .collect(),
        ),
        variables: Seen::Facts(
            stored
                .variables
                .iter()
                .map(|(name, held)| (name.clone(), variable(held)))
                .collect(),
        ),
        has_volume: stored.has_volume,
        domains: Vec::new(),
        updated_at: switches.tells_updated_at.then_some(stored.updated_at),
        newest: newest.map(|position| shown(&stored.runs, position, at, switches.meta_patch_id)),
        active: active(&stored.runs, at),
        push_to_deploy: Seen::Unasked,
        kept: Seen::Unasked,
        log: Seen::Unasked,
    }
}

fn variable(held: &Held) -> Variable {
    Variable {
        value: (!held.sealed).then(|| Secret::new(&*held.value)),
        sealed: held.sealed,
    }
}

/// What is staged.
pub fn staged(state: &State) -> Staged {
    let path = |(service, part): &(String, super::model::Part)| {
        format!("services.{service}.{}", part.field())
    };
    Staged {
        paths: state.staged.iter().map(path).collect(),
        failed: None,
    }
}

/// When each variable was written, as far as it is told.
pub fn written(state: &State) -> BTreeMap<(String, String), Written> {
    let of_service = |stored: &Stored| {
        let id = stored.id.clone();
        stored
            .variables
            .iter()
            .map(move |(name, held)| {
                let written = Written {
                    created_at: held.written_at,
                    updated_at: held.written_at,
                };
                ((id.clone(), name.clone()), written)
            })
            .collect::<Vec<_>>()
    };
    state.services.values().flat_map(of_service).collect()
}

/// The variables that a deployment was started with.
pub fn snapshot(stored: &Stored, deployment: &str) -> Option<BTreeMap<String, Option<Secret>>> {
    let run = stored.runs.iter().find(|run| run.id == deployment)?;
    let started = run.load.variables.iter().map(|(name, held)| {
        // A reference is rendered, and what is sealed is not told.
        let is_told = !held.sealed && !held.value.contains("${{");
        (name.clone(), is_told.then(|| Secret::new(&*held.value)))
    });
    Some(started.collect())
}

fn history(state: &State, count: usize, at: Timestamp) -> History {
    let known: Vec<_> = state
        .patches
        .iter()
        .rev()
        .filter(|patch| patch.created_at <= at)
        .collect();
    let mut patches: Vec<Patch> = known
        .iter()
        .take(count)
        .map(|patch| Patch {
            id: patch.id.clone(),
            begun_at: patch.created_at,
            at: if patch.applied_at <= at {
                patch.applied_at
            } else {
                patch.created_at
            },
            state: match &patch.failed {
                _ if at < patch.applied_at => PatchState::Applying,
                Some(words) => PatchState::Failed(words.clone()),
                None => PatchState::Committed,
            },
            message: patch.message.clone(),
            by: None,
            touched: patch.touched.clone(),
        })
        .collect();
    patches.sort_by_key(|patch| std::cmp::Reverse(patch.at));
    History {
        patches,
        is_whole: known.len() <= count,
    }
}

/// What the question for the history is answered with.
pub fn answered_history(state: &State, at: Timestamp) -> (Staged, History) {
    (staged(state), history(state, ANSWERED, at))
}

/// What Railway keeps of a service, newest first.
pub fn kept(stored: &Stored, switches: &Switches, at: Timestamp) -> Vec<Deployment> {
    (0..stored.runs.len())
        .rev()
        .filter(|position| stored.runs[*position].created_at <= at)
        .map(|position| shown(&stored.runs, position, at, switches.meta_patch_id))
        .collect()
}

/// Takes a part of a look away.
pub fn hide(railway: &mut Railway, missing: Missing, chance: &mut Chance) {
    const WHY: &str = "Railway says: Problem processing request";
    let names: Vec<String> = railway.services.keys().cloned().collect();
    let name = chance.pick(&names);
    match missing {
        Missing::Service => {
            railway.services.insert(name, Seen::Unseen(WHY.to_owned()));
        }
        Missing::Staged => railway.staged = Seen::Unseen(WHY.to_owned()),
        Missing::History => railway.history = Seen::Unseen(WHY.to_owned()),
        Missing::Values => railway.services.values_mut().for_each(mask),
        Missing::Variables | Missing::Placement | Missing::Status => {
            let Some(Seen::Facts(service)) = railway.services.get_mut(&name) else {
                return;
            };
            match missing {
                Missing::Variables => service.variables = Seen::Unseen(WHY.to_owned()),
                Missing::Placement => service.placement = Seen::Unseen(WHY.to_owned()),
                _ => {
                    if let Some(newest) = &mut service.newest {
                        newest.status = Status::Unknown("HIBERNATING".to_owned());
                    }
                }
            }
        }
    }
}

fn mask(service: &mut Seen<Service>) {
    if let Seen::Facts(service) = service
        && let Seen::Facts(variables) = &mut service.variables
    {
        variables
            .values_mut()
            .for_each(|variable| variable.value = None);
    }
}

/// Fills what could not be seen with what a careless reader would take for it: for the broken executors.
pub fn filled(mut railway: Railway) -> Railway {
    if let Seen::Unseen(_) = railway.staged {
        railway.staged = Seen::Facts(Staged::default());
    }
    if let Seen::Unseen(_) = railway.history {
        railway.history = Seen::Facts(History {
            patches: Vec::new(),
            is_whole: true,
        });
    }
    for service in railway.services.values_mut() {
        if let Seen::Facts(service) = service {
            if let Seen::Unseen(_) = service.variables {
                service.variables = Seen::Facts(BTreeMap::new());
            }
            if let Seen::Unseen(_) = service.placement {
                service.placement = Seen::Facts(BTreeMap::from([("us-west2".to_owned(), 1)]));
            }
        }
    }
    railway
}
