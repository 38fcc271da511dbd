//! Worlds as people write them in `tests/plans`: short, and with every default filled in.

use jiff::Timestamp;
use reconciler::world::railway::{
    Deployment, Field, History, Named, Patch, PatchState, READY_SECONDS, Railway, Ready, Service,
    Source, Status, Variable,
};
use reconciler::world::secret::Secret;
use reconciler::world::{Seen, World};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// One look, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub now: Timestamp,
    /// When the process began to write; absent for `diff`.
    pub began: Option<Timestamp>,
    #[serde(default)]
    services: BTreeMap<String, WrittenService>,
    #[serde(default)]
    elsewhere: BTreeSet<String>,
    #[serde(default)]
    staged: Vec<String>,
    staged_unseen: Option<String>,
    #[serde(default)]
    history: Option<Vec<WrittenPatch>>,
    /// Whether older patches than those written are out of sight.
    #[serde(default)]
    history_is_cut: bool,
    #[serde(default)]
    secrets: BTreeMap<String, Option<String>>,
    #[serde(default)]
    regions: BTreeMap<String, String>,
    unseen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenService {
    unseen: Option<String>,
    image: Option<String>,
    repository: Option<String>,
    updates_itself: bool,
    ready: Option<String>,
    ready_within: Option<u64>,
    replicas: BTreeMap<String, u32>,
    replicas_unseen: Option<String>,
    variables: BTreeMap<String, Option<String>>,
    sealed: BTreeSet<String>,
    volume: bool,
    schedule: bool,
    changed: Option<Timestamp>,
    newest: Option<WrittenDeployment>,
    serving: Option<bool>,
    kept: Option<Vec<WrittenDeployment>>,
    log: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDeployment {
    id: String,
    status: String,
    at: Timestamp,
    image: Option<String>,
    commit: Option<String>,
    patch: Option<String>,
    #[serde(default)]
    stopped: bool,
    #[serde(default)]
    kept: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPatch {
    id: String,
    at: Timestamp,
    /// `applying`, `committed`, or anything else as the words of a failure.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    message: String,
    touches: BTreeMap<String, BTreeSet<String>>,
}

impl Written {
    pub fn world(&self) -> World {
        let railway = match &self.unseen {
            Some(reason) => Seen::Unseen(reason.clone()),
            None => Seen::Facts(self.railway()),
        };
        let secrets = self.secrets.iter().map(|(name, value)| {
            let seen = match value {
                Some(value) => Seen::Facts(Secret::new(value.as_str())),
                None => Seen::Unseen(format!(
                    "the secret {name} is not there: PRODUCTION_{name} is not set, or empty"
                )),
            };
            (name.clone(), seen)
        });
        World {
            railway,
            secrets: secrets.collect(),
        }
    }

    fn railway(&self) -> Railway {
        let history = self.history.as_ref().map_or(
            Seen::Facts(History {
                patches: Vec::new(),
                is_whole: true,
            }),
            |patches| {
                Seen::Facts(History {
                    patches: patches.iter().map(WrittenPatch::patch).collect(),
                    is_whole: !self.history_is_cut,
                })
            },
        );
        Railway {
            project: Named {
                id: "p".to_owned(),
                name: "sentia-manufacturing".to_owned(),
            },
            environment: Named {
                id: "e".to_owned(),
                name: "production".to_owned(),
            },
            services: self
                .services
                .iter()
                .map(|(name, service)| (name.clone(), service.seen(name)))
                .collect(),
            elsewhere: self.elsewhere.clone(),
            staged: self
                .staged_unseen
                .as_ref()
                .map_or(Seen::Facts(self.staged.clone()), |reason| {
                    Seen::Unseen(reason.clone())
                }),
            history,
            region_names: self
                .regions
                .iter()
                .flat_map(|(one, other)| {
                    [(one.clone(), other.clone()), (other.clone(), one.clone())]
                })
                .collect(),
        }
    }
}

/// The id of a service is its name with `-id`, so that a case can speak of it.
fn id(name: &str) -> String {
    format!("{name}-id")
}

impl WrittenService {
    fn seen(&self, name: &str) -> Seen<Service> {
        if let Some(reason) = &self.unseen {
            return Seen::Unseen(reason.clone());
        }
        let source = match (&self.image, &self.repository) {
            (Some(image), _) => Source::Image(image.clone()),
            (None, Some(name)) => Source::Repository { name: name.clone() },
            (None, None) => Source::Nothing,
        };
        let plain = self.variables.iter().map(|(name, value)| {
            (
                name.clone(),
                Variable {
                    value: value.as_deref().map(Secret::new),
                    sealed: false,
                },
            )
        });
        let sealed = self.sealed.iter().map(|name| {
            (
                name.clone(),
                Variable {
                    value: None,
                    sealed: true,
                },
            )
        });
        let newest = self.newest.as_ref().map(WrittenDeployment::deployment);
        Seen::Facts(Service {
            id: id(name),
            source,
            updates_itself: self.updates_itself,
            ready: Ready {
                path: self.ready.clone(),
                within_seconds: self.ready_within.unwrap_or(READY_SECONDS),
            },
            placement: self
                .replicas_unseen
                .as_ref()
                .map_or(Seen::Facts(self.replicas.clone()), |reason| {
                    Seen::Unseen(reason.clone())
                }),
            variables: Seen::Facts(plain.chain(sealed).collect()),
            has_volume: self.volume,
            has_schedule: self.schedule,
            updated_at: self.changed,
            is_serving: self.serving.unwrap_or(newest.is_some()),
            newest,
            kept: self.kept.as_ref().map_or(Seen::Unasked, |kept| {
                Seen::Facts(kept.iter().map(WrittenDeployment::deployment).collect())
            }),
            log: self.log.clone().map_or(Seen::Unasked, Seen::Facts),
        })
    }
}

impl WrittenDeployment {
    fn deployment(&self) -> Deployment {
        let status = match self.status.as_str() {
            "SUCCESS" | "SLEEPING" => Status::Healthy,
            "FAILED" | "CRASHED" => Status::Failed(self.status.clone()),
            "REMOVED" => Status::Removed,
            "SKIPPED" => Status::Skipped,
            "NEEDS_APPROVAL" => Status::NeedsApproval,
            "BUILDING" | "DEPLOYING" | "QUEUED" => Status::Rolling(self.status.clone()),
            other => Status::Unknown(other.to_owned()),
        };
        Deployment {
            id: self.id.clone(),
            status,
            created_at: self.at,
            image: self.image.clone(),
            commit: self.commit.clone(),
            patch: self.patch.clone(),
            stopped: self.stopped,
            can_rollback: self.kept,
        }
    }
}

impl WrittenPatch {
    fn patch(&self) -> Patch {
        let state = match self.state.as_deref() {
            None | Some("committed") => PatchState::Committed,
            Some("applying") => PatchState::Applying,
            Some(words) => PatchState::Failed(words.to_owned()),
        };
        let field = |field: &String| match field.as_str() {
            "image" => Field::Image,
            "commit" => Field::Commit,
            "ready" => Field::Ready,
            "replicas" => Field::Replicas,
            name if name
                .chars()
                .all(|sign| sign.is_ascii_uppercase() || sign == '_') =>
            {
                Field::Variable(name.to_owned())
            }
            other => Field::Other(other.to_owned()),
        };
        let touched = self.touches.iter().map(|(name, fields)| {
            (
                if name == "shared" {
                    String::new()
                } else {
                    id(name)
                },
                fields.iter().map(field).collect(),
            )
        });
        Patch {
            id: self.id.clone(),
            at: self.at,
            state,
            message: self.message.clone(),
            touched: touched.collect(),
        }
    }
}
