//! What has to be done, decided without touching anything: `plan(desired, world, now)` and what becomes of it.

mod consent;
pub mod drift;
pub mod freeze;
pub mod gate;
pub mod json;
pub mod markdown;
mod removal;
pub mod saved;
pub mod stance;
pub mod text;
pub mod write;

use crate::kinds::approval::Used;
use crate::kinds::demand::Demand;
use crate::kinds::environment::drift::Heal;
use crate::kinds::step::{Ask, Asked, Cause, Step};
use crate::kinds::{approval, environment, maintenance, queue, redis, service};
use crate::manifest::Desired;
use crate::world::railway::{Named, Railway};
use crate::world::{Question, Seen, World};
use drift::Drifted;
use freeze::Freeze;
use jiff::Timestamp;
use stance::ReportOnly;
use std::collections::{BTreeMap, BTreeSet};
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
    /// The documents that would consent to the steps that are held for it, by the step's position.
    pub approvals: BTreeMap<usize, approval::Wanted>,
    /// Until when such a document may hold at most, made now.
    pub consent_until: Timestamp,
    /// The approvals that steps to make use, by the step's position.
    pub used: BTreeMap<usize, Used>,
    /// What the message of a patch must say, so that later looks see it there.
    pub marks: Vec<String>,
    /// The steps to make, as few writes as can be.
    pub writes: Vec<Write>,
    /// The commit that asks for it, where that is known.
    pub commit: Option<String>,
    /// When what did not come from git is undone.
    pub heal: Heal,
    /// The freeze that holds, and what waits for its end.
    pub freeze: Option<Freeze>,
    /// The steps that did not come from git, by position; only a controller tells them apart.
    pub drift: BTreeMap<usize, Drifted>,
    /// Why nothing is done, where all is only reported.
    pub only_reports: Option<ReportOnly>,
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
        approvals: BTreeMap::new(),
        consent_until: now
            .saturating_add(desired.environment().spec.approvals.expire.0)
            .unwrap_or(Timestamp::MAX),
        used: BTreeMap::new(),
        marks: Vec::new(),
        writes: Vec::new(),
        commit: desired.commit().map(str::to_owned),
        heal: desired.environment().spec.drift.heal,
        freeze: None,
        drift: BTreeMap::new(),
        only_reports: None,
    };
    for Asked {
        steps,
        questions,
        marks,
    } in asked(desired, world, now)
    {
        plan.marks.extend(marks);
        plan.steps.extend(steps);
        plan.questions.extend(questions);
    }
    redis::restart::hold(&mut plan.steps, desired.documents(), world, now);
    consent::ask(&mut plan, desired, world, now);
    freeze::hold(&mut plan, desired, world, now);
    if removal::is_of_another(desired) {
        let words = "the base describes another Railway environment: nothing is removed by it";
        plan.notes.push(words.to_owned());
    }
    plan.notes.extend(notes(world));
    plan.writes = write::coalesce(&plan);
    plan
}

/// What every document asks for, in the order in which people read it.
fn asked(desired: &Desired, world: &World, now: Timestamp) -> Vec<Asked> {
    let documents = desired.documents();
    let mut demands: BTreeMap<String, Vec<Demand>> = BTreeMap::new();
    for maintenance in documents.maintenances.values() {
        for (service, demand) in maintenance::demands(maintenance) {
            demands.entry(service).or_default().push(demand);
        }
    }
    let removed = removal::steps(desired, world);
    let deployed = removed.steps.iter().flat_map(|step| &step.deploys);
    let patched: BTreeSet<String> = deployed.cloned().collect();
    [environment::steps(desired.environment(), world, now)]
        .into_iter()
        .chain(documents.services.values().map(|service| {
            let around = service::Around {
                documents,
                rollback: desired.environment().spec.rollback,
                is_patched: patched.contains(&service.name),
                shared: &desired.environment().spec.variables,
                demands: demands.get(&service.name).map_or(&[], Vec::as_slice),
                world,
                now,
            };
            service::steps(service, around)
        }))
        .chain([removed])
        .chain(
            documents
                .maintenances
                .values()
                .map(|maintenance| maintenance::steps(maintenance, documents, world, now)),
        )
        .chain(
            documents
                .redises
                .values()
                .map(|redis| redis::steps(redis, documents, world, now)),
        )
        .chain(
            documents
                .queues
                .values()
                .map(|queue| queue::steps(queue, documents, world, now)),
        )
        .collect()
}

fn notes(world: &World) -> Vec<String> {
    let Seen::Facts(railway) = &world.railway else {
        return Vec::new();
    };
    match &railway.staged {
        Seen::Facts(staged) if !staged.paths.is_empty() && staged.failed.is_none() => {
            let paths: Vec<String> = staged
                .paths
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
    /// Whether a step waits for a moment that may be far: nobody stays for it. A restart that is planned is one, and what a freeze holds up;
    /// a restart that is due and settles is none.
    pub fn is_for_later(&self, position: usize) -> bool {
        let is_frozen = |freeze: &Freeze| freeze.steps.contains_key(&position);
        let is_planned = |step: &Step| step.field == "restartedAfter" && !step.deploys();
        self.freeze.as_ref().is_some_and(is_frozen)
            || self.steps.get(position).is_some_and(is_planned)
    }

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
            cause: Cause::Refused | Cause::Missing | Cause::Somebody | Cause::Consent,
            ..
        } => Standing::Held,
        Ask::Unseen(_) => Standing::Unseen,
    }
}
