//! What has to be done, decided without touching anything: `plan(desired, world, now)` and what becomes of it.

pub mod gate;
pub mod json;
pub mod markdown;
pub mod saved;
pub mod text;
pub mod write;

use crate::kinds::service;
use crate::kinds::step::{Ask, Cause, Step};
use crate::manifest::Desired;
use crate::world::railway::{Named, Question, Railway};
use crate::world::{Seen, World};
use jiff::Timestamp;
use std::collections::BTreeSet;
use write::Write;

/// All steps of one environment, with reasons, and the writes that carry them out.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The name of the `Environment`.
    pub environment: String,
    /// The Railway project and environment, once they were seen.
    pub target: Option<(Named, Named)>,
    /// Every difference, with what is to be done about it.
    pub steps: Vec<Step>,
    /// What people should know beside the steps.
    pub notes: Vec<String>,
    /// What another look could tell that changes the steps.
    pub questions: BTreeSet<Question>,
    /// The steps to make, as few writes as can be.
    pub writes: Vec<Write>,
}

/// The steps between what git says and what was seen. Same inputs, same plan.
///
/// `world` is read, never changed; nothing is remembered. [`gate::hold`] then decides which steps may be made now.
pub fn plan(desired: &Desired, world: &World, now: Timestamp) -> Plan {
    let mut plan = Plan {
        environment: desired.environment().name.clone(),
        target: world
            .railway
            .facts()
            .map(|railway| (railway.project.clone(), railway.environment.clone())),
        steps: Vec::new(),
        notes: Vec::new(),
        questions: BTreeSet::new(),
        writes: Vec::new(),
    };
    for service in desired.services().values() {
        let asked = service::steps(service, desired.releases(), world, now);
        plan.steps.extend(asked.steps);
        plan.questions.extend(asked.questions);
    }
    plan.notes = notes(world);
    plan.writes = write::coalesce(&plan.steps);
    plan
}

fn notes(world: &World) -> Vec<String> {
    let Seen::Facts(railway) = &world.railway else {
        return Vec::new();
    };
    match &railway.staged {
        Seen::Facts(staged) if !staged.is_empty() => {
            let paths: Vec<String> = staged
                .iter()
                .take(5)
                .map(|path| crate::kinds::shown::one_line(&by_name(path, railway)))
                .collect();
            vec![format!(
                "staged by hand at Railway and left alone: {}",
                paths.join(", ")
            )]
        }
        Seen::Facts(_) | Seen::Unseen(_) | Seen::Unasked => Vec::new(),
    }
}

/// `services.<id>.…` as `web.…`.
fn by_name(path: &str, railway: &Railway) -> String {
    let Some((id, rest)) = path
        .strip_prefix("services.")
        .and_then(|rest| rest.split_once('.'))
    else {
        return path.to_owned();
    };
    let name = railway
        .services
        .iter()
        .find(|(_, service)| service.facts().is_some_and(|service| service.id == id))
        .map(|(name, _)| name.as_str());
    format!("{}.{rest}", name.unwrap_or(id))
}

/// How a plan, or what is left after carrying one out, stands: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing is asked for.
    InStep,
    /// Something is to be waited for.
    Waiting,
    /// Something is to be made.
    ToMake,
    /// Something needs somebody first.
    Held,
    /// Something did not become healthy.
    Unhealthy,
    /// Something could not be seen.
    Unseen,
}

impl Plan {
    /// The gravest standing of any step.
    pub fn standing(&self) -> Standing {
        self.steps
            .iter()
            .map(standing)
            .max()
            .unwrap_or(Standing::InStep)
    }

    /// How many steps there are to make.
    pub fn to_make(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| matches!(step.ask, Ask::Make(_)))
            .count()
    }

    /// Whether the steps ask for nothing; what is told does not count.
    pub fn is_empty(&self) -> bool {
        self.standing() == Standing::InStep
    }
}

fn standing(step: &Step) -> Standing {
    match &step.ask {
        Ask::Told(_) => Standing::InStep,
        Ask::Wait { .. } => Standing::Waiting,
        Ask::Make(_) => Standing::ToMake,
        Ask::Hold {
            cause: Cause::Unhealthy,
            ..
        } => Standing::Unhealthy,
        Ask::Hold {
            cause: Cause::Refused | Cause::Missing | Cause::Somebody,
            ..
        } => Standing::Held,
        Ask::Unseen(_) => Standing::Unseen,
    }
}
