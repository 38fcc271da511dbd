//! How an environment stands: what is wrong, what is waited for and by whom, what is closed, how each service is, what drifted and who did it.

pub mod changes;
pub mod conditions;
pub mod event;
pub mod queues;
pub mod summary;
pub mod telling;
pub mod text;
pub mod view;

use crate::kinds::service::{commit_words, image_words, placement_words};
use crate::kinds::shown::{harmless, one_line};
use crate::kinds::step::{Ask, Cause, Step};
use crate::kinds::{API_VERSION, Documents};
use crate::manifest::Desired;
use crate::plan::json::RailwayTarget;
use crate::plan::{Plan, Standing, text as plan_text};
use crate::world::health::Health as Asked;
use crate::world::railway::{self, AUTHOR, Deployment, Field, Patch, PatchState, Railway, Service};
use crate::world::{Question, Seen, World};
use jiff::Timestamp;
use queues::{QueueStatus, RedisStatus};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use view::ServiceHealth;

/// How an environment stands, as `status -o json` prints it. The form is a promise: fields are added, never renamed or taken away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `reconciler/v1alpha1`.
    pub api_version: Cow<'static, str>,
    /// `Status`.
    pub kind: Cow<'static, str>,
    /// The name of the `Environment`.
    pub environment: String,
    /// The Railway project and environment by id and name, when they were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub railway: Option<RailwayTarget>,
    /// When it was seen.
    pub seen_at: String,
    /// How it stands on the whole.
    pub state: State,
    /// What goes on and is waited for.
    pub now: Vec<Item>,
    /// What git asks for and nobody has done yet.
    pub next: Vec<Item>,
    /// What somebody must see to.
    pub held: Vec<Item>,
    /// What could not be seen.
    pub unseen: Vec<Item>,
    /// What is closed to customers, and why.
    pub closed: Vec<Closed>,
    /// The services that the manifests name.
    pub services: Vec<ServiceStatus>,
    /// The Redis servers that the manifests name.
    pub redis: Vec<RedisStatus>,
    /// The queues that the manifests name.
    pub queues: Vec<QueueStatus>,
    /// What was changed outside of git, as far as Railway's history shows it.
    pub drift: Vec<Drift>,
    /// The freeze that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// Why nothing is done, where all is only reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports_only: Option<ReportsOnly>,
    /// Services that no manifest names.
    pub unmanaged: Vec<String>,
    /// What people should know beside that.
    pub notes: Vec<String>,
}

/// How an environment stands on the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Reality is as git says.
    InStep,
    /// It is on its way, and time will tell.
    Progressing,
    /// Git asks for something that is not there.
    OutOfStep,
    /// Somebody must act first.
    Held,
    /// Something failed, or did not become healthy in time.
    Degraded,
    /// Something could not be seen.
    Unknown,
}

/// One thing that goes on, is asked for, or is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The document: `Service/web`.
    pub address: String,
    /// The part of it.
    pub field: String,
    /// What it is about, from and to.
    pub what: String,
    /// Why: what is waited for, what holds it, why it is asked for.
    pub why: String,
    /// What somebody can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// What sort of hold it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When waiting has lasted too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The rule by which it waits or is held, where it could be done otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

/// A rule of the Environment, or of a person, by which something waits that could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// It did not come from git, and `drift.heal` says when it is undone.
    Drift,
    /// A freeze holds.
    Freeze,
    /// All is only reported.
    ReportsOnly,
}

/// A freeze that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// The window as it is written.
    pub window: String,
    /// When it ends.
    pub until: String,
    /// How many steps wait for that.
    pub waiting: usize,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportsOnly {
    /// Who, since when, and why.
    pub why: String,
    /// What somebody can do about it.
    pub way_out: String,
}

/// Services that are closed to customers by a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// The Maintenance.
    pub name: String,
    /// Its services.
    pub services: Vec<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was to be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether that has passed.
    pub is_overdue: bool,
    /// Whether it is closed in reality too, page included.
    pub is_in_place: bool,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The image or commit that its newest deployment runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// How many replicas where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<String>,
    /// How its newest deployment is.
    pub health: Health,
    /// The same in words, with what serves instead where it failed.
    pub words: String,
    /// Since when the newest deployment is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether anything serves.
    pub serves: bool,
    /// What it answers, where a controller asks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<ServiceHealth>,
}

/// How a service's newest deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Up, or asleep on purpose.
    Healthy,
    /// On its way.
    Deploying,
    /// Failed or crashed.
    Failed,
    /// Stopped by somebody, or as the manifest says.
    Stopped,
    /// Never deployed, removed, or waiting for somebody.
    NotRunning,
    /// The service is not there.
    Missing,
    /// It could not be seen, or Railway's word for it is not known.
    Unknown,
}

/// Something that was changed outside of git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The part: `web.LOG_LEVEL`.
    pub part: String,
    /// The part and its values: `web.LOG_LEVEL`, then what git says and what is there.
    pub what: String,
    /// When it was changed.
    pub at: String,
    /// Who, where Railway tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the controller undoes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heals_at: Option<String>,
    /// Whether it stays, because `drift.heal` says never.
    pub stays: bool,
    /// How often it was changed within ten minutes, where that is too often to fight over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fought: Option<u32>,
}

/// The JSON Schema of the document, as it is committed in `schemas/`.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(Status)).unwrap_or_default() + "\n"
}

/// What a status wants to know beyond what its plan needed: who changed what differs.
pub fn questions(plan: &Plan, world: &World) -> BTreeSet<Question> {
    let differs = !plan.drift.is_empty()
        || plan
            .steps
            .iter()
            .any(|step| matches!(step.ask, Ask::Make(_) | Ask::Hold { .. }));
    let Some(railway) = world.railway.facts().filter(|_| differs) else {
        return BTreeSet::new();
    };
    match &railway.history {
        Seen::Unasked => BTreeSet::from([railway::Question::History.into()]),
        Seen::Facts(history) => {
            let by_hand = |patch: &Patch| !patch.message.starts_with(AUTHOR) && patch.by.is_none();
            if history.patches.iter().any(by_hand) {
                BTreeSet::from([railway::Question::Authors.into()])
            } else {
                BTreeSet::new()
            }
        }
        Seen::Unseen(_) => BTreeSet::new(),
    }
}

/// How an environment stands, from one look and its plan.
pub fn status(desired: &Desired, world: &World, plan: &Plan, now: Timestamp) -> Status {
    let documents = desired.documents();
    let items = |is: fn(&Ask) -> bool| -> Vec<Item> {
        let wanted = plan.steps.iter().enumerate();
        wanted
            .filter(|(_, step)| is(&step.ask))
            .map(|(position, step)| Item {
                rule: rule(plan, position, step),
                ..item(step)
            })
            .collect()
    };
    let railway = world.railway.facts();
    Status {
        api_version: API_VERSION.into(),
        kind: "Status".into(),
        environment: plan.environment.clone(),
        railway: RailwayTarget::of(plan),
        seen_at: seconds(now),
        state: state(plan.standing(), world),
        now: items(|ask| matches!(ask, Ask::Wait { .. })),
        next: items(|ask| matches!(ask, Ask::Make(_))),
        held: items(|ask| matches!(ask, Ask::Hold { .. })),
        unseen: items(|ask| matches!(ask, Ask::Unseen(_))),
        closed: closed(documents, plan, now),
        services: railway
            .map(|railway| services(documents, railway, world))
            .unwrap_or_default(),
        redis: queues::servers(documents, world),
        queues: queues::queues(documents, world, now),
        drift: railway
            .map(|railway| drift(plan, railway))
            .unwrap_or_default(),
        frozen: plan.freeze.as_ref().map(|freeze| Frozen {
            window: freeze.window.clone(),
            until: seconds(freeze.until),
            waiting: freeze.steps.len(),
        }),
        reports_only: plan.only_reports.as_ref().map(|only| ReportsOnly {
            why: harmless(&only.why),
            way_out: harmless(&only.way_out),
        }),
        unmanaged: railway
            .map(|railway| unmanaged(documents, railway))
            .unwrap_or_default(),
        notes: plan
            .steps
            .iter()
            .filter_map(told)
            .chain(plan.notes.iter().map(|note| harmless(note)))
            .collect(),
    }
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn state(standing: Standing, world: &World) -> State {
    let is_unhealthy = |health: &Seen<Asked>| health.facts().is_some_and(|seen| !seen.is_healthy);
    if standing < Standing::Unhealthy && world.health.values().any(is_unhealthy) {
        return State::Degraded;
    }
    match standing {
        Standing::InStep => State::InStep,
        Standing::Waiting => State::Progressing,
        Standing::ToMake => State::OutOfStep,
        Standing::Held => State::Held,
        Standing::Unhealthy => State::Degraded,
        Standing::Unseen => State::Unknown,
    }
}

fn item(step: &Step) -> Item {
    let plain = Item {
        address: step.of.to_string(),
        field: step.field.clone(),
        what: plan_text::what(step),
        why: plan_text::why(step),
        way_out: None,
        cause: None,
        deadline: None,
        rule: None,
    };
    match &step.ask {
        Ask::Make(_) | Ask::Told(_) => plain,
        Ask::Wait {
            until, deadline, ..
        } => Item {
            why: harmless(&format!("until {until}")),
            deadline: Some(seconds(*deadline)),
            ..plain
        },
        Ask::Hold { by, way_out, cause } => Item {
            why: harmless(by),
            way_out: Some(harmless(way_out)),
            cause: Some(*cause),
            ..plain
        },
        Ask::Unseen(reason) => Item {
            why: harmless(reason),
            ..plain
        },
    }
}

/// The rule by which a step waits or is held, where there is one.
fn rule(plan: &Plan, position: usize, step: &Step) -> Option<Rule> {
    let only = plan.only_reports.as_ref();
    match &step.ask {
        Ask::Hold { by, .. } if only.is_some_and(|only| only.why == *by) => Some(Rule::ReportsOnly),
        Ask::Wait { .. } if is_frozen(plan, position) => Some(Rule::Freeze),
        Ask::Wait { .. } | Ask::Hold { .. } if plan.drift.contains_key(&position) => {
            Some(Rule::Drift)
        }
        Ask::Wait { .. } => None,
        Ask::Make(_) | Ask::Hold { .. } | Ask::Unseen(_) | Ask::Told(_) => None,
    }
}

fn is_frozen(plan: &Plan, position: usize) -> bool {
    let freeze = plan.freeze.as_ref();
    freeze.is_some_and(|freeze| freeze.steps.contains_key(&position))
}

fn told(step: &Step) -> Option<String> {
    match &step.ask {
        Ask::Told(words) => Some(harmless(&format!("{}: {words}", plan_text::what(step)))),
        Ask::Make(_) | Ask::Wait { .. } | Ask::Hold { .. } | Ask::Unseen(_) => None,
    }
}

fn closed(documents: &Documents, plan: &Plan, now: Timestamp) -> Vec<Closed> {
    let enabled = documents
        .maintenances
        .values()
        .filter(|maintenance| maintenance.spec.enabled);
    enabled
        .map(|maintenance| {
            let until = maintenance.spec.until.map(|until| until.0);
            Closed {
                name: maintenance.name.clone(),
                services: maintenance.spec.services.clone(),
                reason: maintenance.spec.reason.as_deref().map(one_line),
                until: until.map(seconds),
                is_overdue: until.is_some_and(|until| until <= now),
                is_in_place: !plan.steps.iter().any(|step| {
                    step.closes
                        || step.of.name == maintenance.name
                            && step.field == "page"
                            && !matches!(step.ask, Ask::Told(_))
                }),
            }
        })
        .collect()
}

fn services(documents: &Documents, railway: &Railway, world: &World) -> Vec<ServiceStatus> {
    documents
        .services
        .keys()
        .map(|name| {
            let nothing = |health: Health, words: String| ServiceStatus {
                name: name.clone(),
                runs: None,
                replicas: None,
                health,
                words,
                since: None,
                serves: false,
                answers: None,
            };
            match railway.services.get(name) {
                None => nothing(Health::Missing, "it is not there".to_owned()),
                Some(Seen::Unseen(reason)) => nothing(
                    Health::Unknown,
                    harmless(&format!("it could not be seen: {reason}")),
                ),
                Some(Seen::Unasked) => nothing(Health::Unknown, "nobody looked".to_owned()),
                Some(Seen::Facts(service)) => ServiceStatus {
                    answers: world
                        .health
                        .get(name)
                        .and_then(|health| ServiceHealth::of(name, health)),
                    ..service_status(name, service)
                },
            }
        })
        .collect()
}

fn service_status(name: &str, service: &Service) -> ServiceStatus {
    let (health, words) = health(service);
    ServiceStatus {
        name: name.to_owned(),
        runs: service.newest.as_ref().and_then(runs),
        // Where nothing is stored, Railway runs one.
        replicas: service
            .placement
            .facts()
            .map(|stored| placement_words(stored).unwrap_or_else(|| "1".to_owned())),
        health,
        words,
        since: service
            .newest
            .as_ref()
            .map(|newest| seconds(newest.created_at)),
        serves: service.is_serving(),
        answers: None,
    }
}

fn runs(deployment: &Deployment) -> Option<String> {
    let image = deployment.image.as_deref().map(image_words);
    image.or_else(|| deployment.commit.as_deref().map(commit_words))
}

fn health(service: &Service) -> (Health, String) {
    let Some(newest) = &service.newest else {
        return (Health::NotRunning, "never deployed".to_owned());
    };
    if newest.stopped {
        return (Health::Stopped, "stopped".to_owned());
    }
    // What serves beside a deployment that does not.
    let beside = if service.is_serving() {
        "the one before it serves"
    } else {
        "nothing serves"
    };
    match &newest.status {
        railway::Status::Healthy => (Health::Healthy, "up".to_owned()),
        railway::Status::Rolling(word) => (
            Health::Deploying,
            format!("deploying, {}; {beside}", one_line(word)),
        ),
        railway::Status::Failed(word) => (
            Health::Failed,
            format!("{}; {beside}", one_line(&word.to_lowercase())),
        ),
        railway::Status::NeedsApproval => (
            Health::NotRunning,
            format!("waits for an approval at Railway; {beside}"),
        ),
        railway::Status::Skipped => (Health::NotRunning, format!("skipped by Railway; {beside}")),
        railway::Status::Removed => (Health::NotRunning, "removed".to_owned()),
        railway::Status::Unknown(word) => (Health::Unknown, one_line(word)),
    }
}

/// The differences that somebody made by hand: the newest patch that touched the part is not ours, or the controller saw them come by themselves.
fn drift(plan: &Plan, railway: &Railway) -> Vec<Drift> {
    plan.steps
        .iter()
        .enumerate()
        .filter_map(|(position, step)| {
            let drifted = plan.drift.get(&position);
            let differs =
                matches!(step.ask, Ask::Make(_) | Ask::Hold { .. }) || is_frozen(plan, position);
            let patch = by_hand(step, railway).filter(|_| differs || drifted.is_some());
            let at = drifted
                .map(|drifted| drifted.since)
                .or(patch.map(|patch| patch.at))?;
            let values = match (&step.to, &step.from) {
                (Some(git), Some(there)) => format!(" {git} → {there}"),
                (None, Some(there)) => format!(" → {there}"),
                (Some(_) | None, None) => String::new(),
            };
            let part = harmless(&format!("{}.{}", step.of.name, step.field));
            let fought = drifted.and_then(|drifted| drifted.fought);
            Some(Drift {
                what: harmless(&format!("{part}{values}")),
                part,
                at: seconds(at),
                by: patch.and_then(|patch| patch.by.as_deref().map(one_line)),
                message: patch
                    .map(|patch| one_line(&patch.message))
                    .filter(|message| !message.is_empty()),
                heals_at: drifted.and_then(|drifted| drifted.heals_at.map(seconds)),
                stays: drifted.is_some_and(|it| it.heals_at.is_none() && it.fought.is_none()),
                fought,
            })
        })
        .collect()
}

/// The newest patch that touched what a step is about, where somebody else made it.
fn by_hand<'a>(step: &Step, railway: &'a Railway) -> Option<&'a Patch> {
    let history = railway.history.facts()?;
    let id = match railway.services.get(&step.of.name) {
        Some(Seen::Facts(service)) if step.of.kind == "Service" => service.id.as_str(),
        _ if step.of.kind == "Environment" => "",
        _ => return None,
    };
    let touches = |patch: &&Patch| {
        patch.state == PatchState::Committed
            && patch
                .touched
                .get(id)
                .is_some_and(|fields| fields.iter().any(|field| is_of(field, step)))
    };
    let newest = history.patches.iter().find(touches)?;
    (!newest.message.starts_with(AUTHOR)).then_some(newest)
}

fn is_of(field: &Field, step: &Step) -> bool {
    field.to_string() == step.field
}

fn unmanaged(documents: &Documents, railway: &Railway) -> Vec<String> {
    let names = railway.services.keys();
    names
        .filter(|name| !documents.services.contains_key(*name))
        .map(|name| one_line(name))
        .collect()
}
