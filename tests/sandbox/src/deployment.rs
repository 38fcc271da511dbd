//! What a deployment is, and what can be asked about one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::config_file::ConfigFile;
use crate::random::digest_of;
use crate::seed::Known;
use crate::state::{Environment, State};
use crate::switches::Presence;
use crate::time::Time;

#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: String,
    pub snapshot_id: String,
    pub project_id: String,
    pub environment_id: String,
    pub service_id: String,
    pub status: Status,
    pub status_at: Time,
    pub created: Time,
    pub updated: Time,
    pub stopped: bool,
    /// Whether it ever ran, so that its image is worth keeping.
    pub ran: bool,
    pub removed_at: Option<Time>,
    pub cause: Cause,
    pub release: Release,
    /// Whether BUILDING comes before DEPLOYING.
    pub builds: bool,
    pub manifest: Value,
    pub mounts: Vec<String>,
    pub variables: BTreeMap<String, String>,
    pub sealed: BTreeSet<String>,
    pub replicas: BTreeMap<String, u32>,
    pub instances: Vec<Replica>,
    pub build_log: Vec<Line>,
    pub log: Vec<Line>,
    pub steps: Vec<Step>,
    /// Deployments of the same batch that it refers to: it comes after them.
    pub waits_for: Vec<String>,
    /// The last time that anybody asked its application for something.
    pub traffic_at: Time,
    /// The registry password that its image is pulled with.
    pub password: Option<String>,
    /// The repository's own file, where it has one.
    pub file: Option<Arc<ConfigFile>>,
}

/// A step of the rollout, as `deploymentEvents` tells it.
#[derive(Clone, Debug)]
pub struct Step {
    pub name: &'static str,
    pub from: Time,
    pub until: Option<Time>,
    pub payload: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    NeedsApproval,
    /// For the checks of its commit.
    Waiting,
    Queued,
    Initializing,
    Building,
    Deploying,
    Success,
    /// Idle: the next request wakes it.
    Sleeping,
    Failed,
    Crashed,
    /// Its checks failed, or it changes nothing that is watched.
    Skipped,
    Removing,
    Removed,
}

/// Why a deployment exists.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    pub reason: &'static str,
    pub patch_id: Option<String>,
    pub of: Option<String>,
}

/// What is deployed: an image or a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    pub image: Option<String>,
    pub digest: Option<String>,
    pub repo: Option<String>,
    pub branch: Option<String>,
    pub commit: Option<String>,
    pub message: Option<String>,
    pub author: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Replica {
    pub id: String,
    pub region: String,
    pub status: &'static str,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub at: Time,
    pub severity: &'static str,
    pub message: String,
    /// Further fields of a structured line, each as JSON.
    pub attributes: BTreeMap<String, String>,
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Status::NeedsApproval => "NEEDS_APPROVAL",
            Status::Waiting => "WAITING",
            Status::Queued => "QUEUED",
            Status::Initializing => "INITIALIZING",
            Status::Building => "BUILDING",
            Status::Deploying => "DEPLOYING",
            Status::Success => "SUCCESS",
            Status::Sleeping => "SLEEPING",
            Status::Failed => "FAILED",
            Status::Crashed => "CRASHED",
            Status::Skipped => "SKIPPED",
            Status::Removing => "REMOVING",
            Status::Removed => "REMOVED",
        }
    }

    pub fn is_unfinished(self) -> bool {
        matches!(
            self,
            Status::NeedsApproval
                | Status::Waiting
                | Status::Queued
                | Status::Initializing
                | Status::Building
                | Status::Deploying
        )
    }

    /// Whether it has been rolled out and is not on its way out.
    pub fn is_live(self) -> bool {
        matches!(self, Status::Success | Status::Sleeping | Status::Crashed)
    }
}

impl State {
    /// A service's deployments in one environment, oldest first.
    pub fn history<'s>(
        &'s self,
        environment: &'s Environment,
        service_id: &str,
    ) -> impl DoubleEndedIterator<Item = &'s Arc<Deployment>> {
        let ids = environment
            .instances
            .get(service_id)
            .map_or(&[][..], |instance| &instance.deployments);
        ids.iter().map(|id| &self.deployments[id])
    }

    pub fn newest<'s>(
        &'s self,
        environment: &'s Environment,
        service_id: &str,
    ) -> Option<&'s Arc<Deployment>> {
        self.history(environment, service_id).next_back()
    }

    /// The one that serves.
    pub fn active<'s>(
        &'s self,
        environment: &'s Environment,
        service_id: &str,
    ) -> Option<&'s Arc<Deployment>> {
        self.history(environment, service_id)
            .rev()
            .find(|deployment| {
                matches!(deployment.status, Status::Success | Status::Sleeping)
                    || deployment.ran && deployment.status == Status::Crashed
            })
    }

    pub fn can_rollback(&self, deployment: &Deployment) -> bool {
        deployment.ran && !deployment.status.is_live() && self.has_image(deployment)
    }

    pub fn has_image(&self, deployment: &Deployment) -> bool {
        let hours = self
            .seed
            .timings
            .retention_hours
            .unwrap_or(self.seed.plan.retention_hours());
        deployment.ran
            && deployment
                .removed_at
                .is_none_or(|removed| self.now <= removed.plus_seconds(f64::from(hours) * 3600.0))
    }

    pub fn meta(&self, deployment: &Deployment) -> Value {
        let Release {
            image,
            digest,
            repo,
            branch,
            commit,
            message,
            author,
        } = &deployment.release;
        let mut meta = json!({
            "reason": deployment.cause.reason,
            "runtime": "V2",
            "logsV2": true,
            "serviceManifest": deployment.manifest,
            "volumeMounts": deployment.mounts,
        });
        let patch_id = deployment
            .cause
            .patch_id
            .as_ref()
            .filter(|_| self.switches.meta_patch_id == Presence::Present);
        let optional = [
            ("image", image.as_ref()),
            ("imageDigest", digest.as_ref()),
            ("repo", repo.as_ref()),
            ("branch", branch.as_ref()),
            ("commitHash", commit.as_ref()),
            ("commitMessage", message.as_ref()),
            ("commitAuthor", author.as_ref()),
            ("patchId", patch_id),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                meta[key] = json!(value);
            }
        }
        if let Some(file) = &deployment.file {
            meta["configFile"] = json!(file.path);
            meta["fileServiceManifest"] = file.manifest.clone();
            meta["propertyFileMapping"] = file.mapping();
        }
        if self.switches.extra_keys {
            meta["edgeRevision"] = json!({ "generation": 3 });
        }
        meta
    }

    /// The digest a reference stands for now.
    pub fn digest(&self, image: &str) -> String {
        if let Some((_, digest)) = image.split_once('@') {
            return digest.to_string();
        }
        let seeded = || {
            self.seed
                .images
                .get(image)
                .and_then(|known| known.digest.clone())
        };
        self.digests
            .get(image)
            .cloned()
            .or_else(seeded)
            .unwrap_or_else(|| digest_of(image))
    }

    /// What is known of a release; an image is looked up by reference, by digest, then by tag.
    pub fn known(&self, release: &Release) -> Known {
        if let Some(sha) = &release.commit {
            return self.known_commit(sha).cloned().unwrap_or_default();
        }
        let Some(image) = &release.image else {
            return Known::default();
        };
        let images = &self.seed.images;
        let same_digest = || {
            images
                .values()
                .find(|known| known.digest.is_some() && known.digest == release.digest)
        };
        let tag = image.split('@').next().unwrap_or(image);
        images
            .get(image)
            .or_else(same_digest)
            .or_else(|| images.get(tag))
            .cloned()
            .unwrap_or_default()
    }

    pub fn known_commit(&self, sha: &str) -> Option<&Known> {
        self.pushed
            .get(sha)
            .or_else(|| self.seed.commits.as_ref()?.get(sha))
    }

    pub fn commit_exists(&self, sha: &str) -> bool {
        self.seed.commits.is_none() || self.known_commit(sha).is_some()
    }
}

impl Deployment {
    pub fn all_replicas(&mut self, status: &'static str) {
        for replica in &mut self.instances {
            replica.status = status;
        }
    }

    /// A setting in seconds; a variable of Railway's own may say the same in another place.
    pub fn seconds(&self, setting: &str, variable: &str) -> f64 {
        let variable = self.variables.get(variable);
        variable
            .and_then(|value| value.parse().ok())
            .or_else(|| self.manifest["deploy"][setting].as_f64())
            .unwrap_or(0.0)
    }

    /// Overlap with the next one, then draining.
    pub fn seconds_to_remove(&self) -> f64 {
        let overlap = match self.mounts.is_empty() {
            true => self.seconds("overlapSeconds", "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS"),
            false => 0.0,
        };
        overlap + self.seconds("drainingSeconds", "RAILWAY_DEPLOYMENT_DRAINING_SECONDS")
    }
}

impl Line {
    /// A line that is a JSON object is taken apart, as Railway does with structured logs.
    pub fn new(at: Time, severity: &'static str, text: &str) -> Line {
        let plain = || Line {
            at,
            severity,
            message: text.to_string(),
            attributes: BTreeMap::new(),
        };
        if !text.starts_with('{') {
            return plain();
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return plain();
        };
        let message = ["message", "msg"]
            .iter()
            .find_map(|key| fields.remove(*key)?.as_str().map(str::to_string));
        let level = fields.remove("level");
        let named = level.as_ref().and_then(Value::as_str).unwrap_or(severity);
        let severity = ["debug", "info", "warn", "error"]
            .into_iter()
            .find(|known| *known == named);
        Line {
            severity: severity.unwrap_or("info"),
            message: message.unwrap_or_default(),
            attributes: fields
                .into_iter()
                .map(|(key, value)| (key, value.to_string()))
                .collect(),
            ..plain()
        }
    }
}

pub fn can_redeploy(deployment: &Deployment) -> bool {
    !deployment.status.is_unfinished()
}
