//! The simulated Railway as a look shows it, whole or with parts missing.

mod answers;

pub use answers::{Asked, answer, page};

use super::chance::Chance;
use super::deployment::{Held, Run, Variables, active, is_kept, status};
use super::model::{State, Stored};
use super::switches::Switches;
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::railway::{
    Deployment, History, Named, Patch, PatchState, Railway, Service, Staged, Status, Variable,
};
use reconciler::world::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Regions by airport code and name.
pub const REGIONS: &[(&str, &str)] = &[
    ("sfo", "us-west2"),
    ("ams", "europe-west4"),
    ("sin", "asia-southeast1"),
];
/// A region by its name, whichever it was called by.
pub fn long_region(region: &str) -> &str {
    REGIONS
        .iter()
        .find(|(code, _)| *code == region)
        .map_or(region, |(_, name)| name)
}

/// The id of the environment.
pub const ENVIRONMENT: &str = "environment-1";

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
    Shared,
}

pub const MISSING: &[Missing] = &[
    Missing::Service,
    Missing::Variables,
    Missing::Placement,
    Missing::Staged,
    Missing::History,
    Missing::Values,
    Missing::Status,
    Missing::Shared,
];

/// How many patches the first look brings, and how many an answer.
pub const FIRST: usize = 10;
pub const ANSWERED: usize = 30;

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
            id: ENVIRONMENT.to_owned(),
            name: "production".to_owned(),
        },
        services: state
            .services
            .iter()
            .map(|(name, stored)| (name.clone(), Seen::Facts(service(stored, switches, at))))
            .collect(),
        elsewhere: BTreeSet::new(),
        shared: Seen::Facts(shown_variables(&state.shared)),
        staged,
        history,
        written: Seen::Unasked,
        pulse: None,
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
        settings: (*stored.settings).clone(),
        has_registry: (stored.registry.is_some() && switches.registry_stars).then_some(true),
        placement: Seen::Facts(
            stored
                .placement
                .iter()
                .map(|(name, count)| (region(name), *count))
                .collect(),
        ),
        variables: Seen::Facts(shown_variables(&stored.variables)),
        has_volume: stored.has_volume,
        domains: stored.domain.iter().cloned().collect(),
        updated_at: switches.tells_updated_at.then_some(stored.updated_at),
        newest: newest.map(|position| shown(stored, position, at, switches)),
        active: active(&stored.runs, at),
        push_to_deploy: Seen::Unasked,
        kept: Seen::Unasked,
        log: Seen::Unasked,
    }
}

/// A deployment as a look shows it.
fn shown(stored: &Stored, position: usize, at: Timestamp, switches: &Switches) -> Deployment {
    let run: &Run = &stored.runs[position];
    let tells = switches.meta_settings;
    let file = stored.by_file.as_ref().filter(|_| tells);
    Deployment {
        id: run.id.clone(),
        can_rollback: is_kept(&stored.runs, position, at),
        status: status(&stored.runs, position, at),
        created_at: run.created_at,
        status_at: None,
        image: run.load.image.clone(),
        commit: run.load.commit.clone(),
        patch: run.patch.clone().filter(|_| switches.meta_patch_id),
        stopped: run.is_stopped(at),
        settings: tells.then(|| (*run.load.settings).clone()),
        by_file: file
            .map(|value| (value.name(), "railway.json".to_owned()))
            .into_iter()
            .collect(),
        variables: Seen::Unasked,
    }
}

fn shown_variables(variables: &Variables) -> BTreeMap<String, Variable> {
    let variable = |held: &Held| Variable {
        value: (!held.sealed).then(|| Secret::new(&*held.value)),
        sealed: held.sealed,
    };
    variables
        .iter()
        .map(|(name, held)| (name.clone(), variable(held)))
        .collect()
}

/// What is staged.
fn staged(state: &State) -> Staged {
    let path = |(service, part): &(String, super::model::Part)| {
        format!("services.{service}.{}", part.field())
    };
    Staged {
        paths: state.staged.iter().map(path).collect(),
        failed: None,
    }
}

fn history(state: &State, count: usize, at: Timestamp) -> History {
    let known: Vec<&Arc<_>> = state
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

/// What of a look could not be had, and of which service, where it is of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    pub what: Missing,
    pub service: String,
}

/// Takes a part of a look away.
pub fn hide(railway: &mut Railway, missing: Missing, chance: &mut Chance) -> Hidden {
    const WHY: &str = "Railway says: Problem processing request";
    let names: Vec<String> = railway.services.keys().cloned().collect();
    let name = chance.pick(&names);
    match missing {
        Missing::Service => {
            railway
                .services
                .insert(name.clone(), Seen::Unseen(WHY.to_owned()));
        }
        Missing::Staged => railway.staged = Seen::Unseen(WHY.to_owned()),
        Missing::History => railway.history = Seen::Unseen(WHY.to_owned()),
        Missing::Shared => railway.shared = Seen::Unseen(WHY.to_owned()),
        Missing::Values => {
            mask(&mut railway.shared);
            for service in railway.services.values_mut() {
                if let Seen::Facts(service) = service {
                    mask(&mut service.variables);
                }
            }
        }
        Missing::Variables | Missing::Placement | Missing::Status => {
            if let Some(Seen::Facts(service)) = railway.services.get_mut(&name) {
                hide_of(service, missing, WHY);
            }
        }
    }
    Hidden {
        what: missing,
        service: name,
    }
}

fn hide_of(service: &mut Service, missing: Missing, why: &str) {
    match missing {
        Missing::Variables => service.variables = Seen::Unseen(why.to_owned()),
        Missing::Placement => service.placement = Seen::Unseen(why.to_owned()),
        _ => {
            if let Some(newest) = &mut service.newest {
                newest.status = Status::Unknown("HIBERNATING".to_owned());
            }
        }
    }
}

fn mask(variables: &mut Seen<BTreeMap<String, Variable>>) {
    if let Seen::Facts(variables) = variables {
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
    if let Seen::Unseen(_) = railway.shared {
        railway.shared = Seen::Facts(BTreeMap::new());
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
