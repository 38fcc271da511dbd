//! A plan as JSON for machines. The form is a promise: fields are added, never renamed or taken away.

use super::{Plan, text};
use crate::kinds::step::{Ask, Effect};
use serde::Serialize;

/// The document that `diff -o json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// `reconciler/v1alpha1`.
    pub api_version: &'static str,
    /// `Plan`.
    pub kind: &'static str,
    /// The name of the `Environment`.
    pub environment: String,
    /// The Railway project and environment by id and name, when they were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub railway: Option<RailwayTarget>,
    /// Whether nothing would change.
    pub in_step: bool,
    /// How many steps there are to make.
    pub to_make: usize,
    /// How many requests would change something.
    pub writes: usize,
    /// The services that would get a new deployment.
    pub deploys: Vec<String>,
    /// Every difference.
    pub steps: Vec<StepDocument>,
    /// What people should know beside the steps.
    pub notes: Vec<String>,
}

/// The Railway project and environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RailwayTarget {
    /// By id and name.
    pub project: crate::world::railway::Named,
    /// By id and name.
    pub environment: crate::world::railway::Named,
}

/// One difference.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDocument {
    /// The document that asks: `Service/web`.
    pub address: String,
    /// The part of it: `replicas`, `image`, a variable's name.
    pub field: String,
    /// What is done, in one word.
    pub verb: &'static str,
    /// What is there now; `***` for what may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it will be; `***` for what may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why.
    pub why: String,
    /// Where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginDocument>,
    /// `make`, `wait`, `hold`, `unseen` or `note`.
    pub ask: &'static str,
    /// `hot`, `redeploy`, `rebuild`, `downtime`, `instant` or `nothing`.
    pub effect: Effect,
    /// How it is undone.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub undo: &'static str,
    /// What is waited for, what holds it, why it cannot be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What somebody can do about a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// `unhealthy`, `refused`, `missing` or `somebody`, for a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<crate::kinds::step::Cause>,
}

/// Where something is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginDocument {
    /// The path of the file.
    pub file: String,
    /// Counts from 1.
    pub line: u32,
    /// The place in the base that it covers, as `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covers: Option<String>,
}

/// The plan as a document.
pub fn document(plan: &Plan) -> PlanDocument {
    PlanDocument {
        api_version: crate::kinds::API_VERSION,
        kind: "Plan",
        environment: plan.environment.clone(),
        railway: plan
            .target
            .clone()
            .map(|(project, environment)| RailwayTarget {
                project,
                environment,
            }),
        in_step: plan.is_empty(),
        to_make: plan.to_make(),
        writes: plan.writes.len(),
        deploys: text::deployed(plan),
        steps: plan.steps.iter().map(step_document).collect(),
        notes: plan.notes.clone(),
    }
}

fn step_document(step: &crate::kinds::step::Step) -> StepDocument {
    let (reason, way_out, cause) = match &step.ask {
        Ask::Make(_) => (None, None, None),
        Ask::Wait { until, .. } => (Some(until.clone()), None, None),
        Ask::Hold { by, way_out, cause } => (Some(by.clone()), Some(way_out.clone()), Some(*cause)),
        Ask::Unseen(reason) | Ask::Told(reason) => (Some(reason.clone()), None, None),
    };
    StepDocument {
        address: step.of.to_string(),
        field: step.field.clone(),
        verb: step.verb,
        from: step.from.clone(),
        to: step.to.clone(),
        why: step.why.clone(),
        origin: step.origin.as_ref().map(|origin| OriginDocument {
            file: origin.place.file.to_string(),
            line: origin.place.line,
            covers: origin.covers.as_ref().map(ToString::to_string),
        }),
        ask: text::opening(step),
        effect: step.effect,
        undo: step.undo,
        reason,
        way_out,
        cause,
    }
}
