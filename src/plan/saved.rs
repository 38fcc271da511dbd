//! A plan in a file: what `apply plan.json` may do, and no more.

use super::Plan;
use crate::kinds::step::{Ask, Step};
use crate::source::Files;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The file that `diff --out` writes. It holds the manifests (secrets by name), so that nothing else is needed to apply it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saved {
    /// `reconciler/v1alpha1`.
    pub api_version: String,
    /// `SavedPlan`.
    pub kind: String,
    /// When it was made.
    pub made: Timestamp,
    /// The directory of the environment, as in the manifests' paths.
    pub directory: String,
    /// The manifests by path.
    pub manifests: BTreeMap<String, String>,
    /// What was declared before, where that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The Railway project and environment ids that it was made for.
    pub railway: Option<(String, String)>,
    /// What may be done, by intent.
    pub allowed: BTreeSet<String>,
    /// The services that may be deployed, as what follows from what is allowed.
    pub deploys: BTreeSet<String>,
}

/// The manifests of before: what is declared there and not now is removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The directory of the environment, as in the manifests' paths.
    pub directory: String,
    /// The manifests by path.
    pub manifests: BTreeMap<String, String>,
}

/// A saved plan that allows what `plan` makes and what follows from it.
pub fn saved(plan: &Plan, files: &Files, before: Option<&Files>, made: Timestamp) -> Saved {
    Saved {
        api_version: crate::kinds::API_VERSION.to_owned(),
        kind: "SavedPlan".to_owned(),
        made,
        directory: files.directory.clone(),
        manifests: texts(files),
        before: before.map(|before| Before {
            directory: before.directory.clone(),
            manifests: texts(before),
        }),
        railway: plan
            .target
            .as_ref()
            .map(|(project, environment)| (project.id.clone(), environment.id.clone())),
        allowed: plan
            .steps
            .iter()
            .filter(|step| may_follow(&step.ask))
            .map(exact)
            .collect(),
        deploys: super::text::deployed(plan).into_iter().collect(),
    }
}

fn texts(files: &Files) -> BTreeMap<String, String> {
    let texts = files.texts.iter();
    texts
        .map(|(path, text)| (path.to_string(), text.to_string()))
        .collect()
}

fn files(directory: &str, manifests: &BTreeMap<String, String>) -> Files {
    Files {
        directory: directory.to_owned(),
        texts: manifests
            .iter()
            .map(|(path, text)| (path.as_str().into(), text.as_str().into()))
            .collect(),
    }
}

/// A wait's `then` was shown to the reviewer, too.
fn may_follow(ask: &Ask) -> bool {
    matches!(ask, Ask::Make(_) | Ask::Wait { .. })
}

/// The intent with what is there before: a plan is stale when either end has moved.
fn exact(step: &Step) -> String {
    match &step.from {
        Some(from) if step.verb != "restart" => format!("{} (was {from})", step.intent()),
        Some(_) | None => step.intent(),
    }
}

impl Saved {
    /// The manifests.
    pub fn files(&self) -> Files {
        files(&self.directory, &self.manifests)
    }

    /// The manifests of before, where they were given.
    pub fn files_before(&self) -> Option<Files> {
        let before = self.before.as_ref()?;
        Some(files(&before.directory, &before.manifests))
    }

    /// The first step of a plan made now that this one does not allow.
    pub fn first_not_allowed<'a>(&self, plan: &'a Plan) -> Option<&'a Step> {
        plan.steps
            .iter()
            .find(|step| matches!(step.ask, Ask::Make(_)) && !self.allows(step))
    }

    fn allows(&self, step: &Step) -> bool {
        let follows = step.field == "deployment" && self.deploys.contains(&step.of.name);
        follows || self.allowed.contains(&exact(step))
    }

    /// Whether it was made for the environment that `plan` is about.
    pub fn is_for(&self, plan: &Plan) -> bool {
        let target = plan
            .target
            .as_ref()
            .map(|(project, environment)| (project.id.clone(), environment.id.clone()));
        self.railway.is_none() || target.is_none() || self.railway == target
    }
}
