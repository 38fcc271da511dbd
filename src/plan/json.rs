//! A plan as JSON for machines. The form is a promise: fields are added, never renamed or taken away.

use super::{Plan, text};
use crate::kinds::step::{Ask, Cause, Effect, Step};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

/// The document that `diff -o json` prints.
#[derive(Debug, Serialize, JsonSchema)]
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
    /// The documents that would consent to what is held for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalDocument>,
}

/// A document that would consent to a held step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDocument {
    /// The name of the Approval.
    pub name: String,
    /// The step in words.
    pub allow: String,
    /// What may be lost.
    pub loses: String,
    /// The text of the file.
    pub document: String,
}

/// The Railway project and environment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RailwayTarget {
    /// By id and name.
    pub project: crate::world::railway::Named,
    /// By id and name.
    pub environment: crate::world::railway::Named,
}

impl RailwayTarget {
    /// What a plan is for, where that was seen.
    pub fn of(plan: &Plan) -> Option<RailwayTarget> {
        let (project, environment) = plan.target.clone()?;
        Some(RailwayTarget {
            project,
            environment,
        })
    }
}

/// One difference.
#[derive(Debug, Serialize, JsonSchema)]
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
    /// `hot`, `redeploy`, `rebuild`, `downtime`, `dataLoss`, `migration`, `stop`, `gone`, `instant` or `nothing`.
    pub effect: Effect,
    /// How it is undone.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub undo: &'static str,
    /// What may be lost for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses: Option<String>,
    /// The services that get a new deployment by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deploys: Vec<String>,
    /// What is waited for, what holds it, why it cannot be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When waiting has lasted too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What follows the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// What somebody can do about a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// `unhealthy`, `refused`, `missing`, `somebody` or `consent`, for a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// Where something is written.
#[derive(Debug, Serialize, JsonSchema)]
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

/// The JSON Schema of the document, as it is committed in `schemas/`.
pub fn schema() -> String {
    serde_json::to_string_pretty(&schema_for!(PlanDocument)).unwrap_or_default() + "\n"
}

/// The plan as a document.
pub fn document(plan: &Plan) -> PlanDocument {
    PlanDocument {
        api_version: crate::kinds::API_VERSION,
        kind: "Plan",
        environment: plan.environment.clone(),
        railway: RailwayTarget::of(plan),
        in_step: plan.is_empty(),
        to_make: plan.to_make(),
        writes: plan.writes.len(),
        deploys: text::deployed(plan),
        steps: plan.steps.iter().map(step_document).collect(),
        notes: plan.notes.clone(),
        approvals: plan
            .approvals
            .values()
            .map(|wanted| ApprovalDocument {
                name: wanted.digest.clone(),
                allow: wanted.allow.clone(),
                loses: wanted.loses.clone(),
                document: wanted.document(plan.consent_until),
            })
            .collect(),
    }
}

fn step_document(step: &Step) -> StepDocument {
    let plain = StepDocument {
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
        loses: step.loses.as_ref().map(|loss| loss.words.clone()),
        deploys: step.deploys.clone(),
        reason: None,
        deadline: None,
        then: None,
        way_out: None,
        cause: None,
    };
    match step.ask.clone() {
        Ask::Make(_) => plain,
        Ask::Wait {
            until,
            deadline,
            then,
        } => StepDocument {
            reason: Some(until),
            deadline: Some(deadline.to_string()),
            then: Some(then),
            ..plain
        },
        Ask::Hold { by, way_out, cause } => StepDocument {
            reason: Some(by),
            way_out: Some(way_out),
            cause: Some(cause),
            ..plain
        },
        Ask::Unseen(reason) | Ask::Told(reason) => StepDocument {
            reason: Some(reason),
            ..plain
        },
    }
}
