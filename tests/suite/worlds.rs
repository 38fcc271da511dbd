//! Worlds as people write them in `tests/plans`: short, and with every default filled in.

use jiff::Timestamp;
use reconciler::plan::stance::{self, Marks, Stance};
use reconciler::world::health::Health;
use reconciler::world::page::Page;
use reconciler::world::railway::{
    Active, Deployment, Field, HandOver, History, Limits, Named, Patch, PatchState, READY_SECONDS,
    RESTARTS, Railway, Ready, RestartPolicy, Service, SettingName, Settings, Source, Staged,
    Status, Variable, Written as WrittenAt,
};
use reconciler::world::redis::{Count, Memory, Pause, Persistence, Queue, QueueKey, Server};
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
    /// What a controller knows beside the look; absent for a person. What it has seen before comes along from step to step.
    pub controller: Option<WrittenController>,
    #[serde(default)]
    services: BTreeMap<String, WrittenService>,
    #[serde(default)]
    elsewhere: BTreeSet<String>,
    #[serde(default)]
    shared: BTreeMap<String, Option<String>>,
    #[serde(default)]
    shared_sealed: BTreeSet<String>,
    #[serde(default)]
    staged: Vec<String>,
    staged_unseen: Option<String>,
    /// Railway's words for a patch that it could not apply and staged again.
    staged_failed: Option<String>,
    #[serde(default)]
    history: Option<Vec<WrittenPatch>>,
    /// Whether nobody has asked for the history.
    #[serde(default)]
    history_unasked: bool,
    /// Why the history cannot be seen.
    history_unseen: Option<String>,
    /// Whether older patches than those written are out of sight.
    #[serde(default)]
    history_is_cut: bool,
    /// When variables were written, as `web.LOG_LEVEL`; made at the same time where only one is given.
    written: Option<BTreeMap<String, Vec<Timestamp>>>,
    /// What addresses answer, as `503 closed for maintenance`, or why that cannot be seen.
    #[serde(default)]
    pages: BTreeMap<String, String>,
    /// Redis servers by the names of their documents; a text says why one cannot be seen.
    #[serde(default)]
    redis: BTreeMap<String, WrittenRedis>,
    #[serde(default)]
    secrets: BTreeMap<String, Option<String>>,
    #[serde(default)]
    regions: BTreeMap<String, String>,
    unseen: Option<String>,
    /// How services answer, where somebody asks them.
    #[serde(default)]
    health: BTreeMap<String, WrittenHealth>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenRedis {
    Unseen(String),
    Server(Box<WrittenServer>),
}

/// A server as written; what is not written is as a plain one has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenServer {
    replica: bool,
    has_file: bool,
    started: Option<Timestamp>,
    used: u64,
    max: u64,
    policy: Option<String>,
    save: Option<String>,
    append_only: bool,
    append_only_is_whole: Option<bool>,
    saved: Option<Timestamp>,
    is_saving: bool,
    unsaved: u64,
    queues: BTreeMap<String, WrittenQueue>,
    keys: BTreeMap<String, Option<String>>,
    counts: BTreeMap<String, u64>,
}

/// A queue as written, by what its keys begin with; a text says why it cannot be seen.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WrittenQueue {
    Unseen(String),
    Queue(Box<PlainQueue>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PlainQueue {
    absent: bool,
    bull: bool,
    version: Option<String>,
    paused: bool,
    max_active: Option<String>,
    wait: u64,
    in_paused: u64,
    prioritized: u64,
    active: u64,
    delayed: u64,
    failed: u64,
    oldest_waiting: Option<Timestamp>,
    oldest_failed: Option<Timestamp>,
    failed_before: u64,
    clearable: bool,
    reasons: BTreeMap<String, u64>,
    running: Vec<String>,
    unheld: u64,
    workers: Option<u64>,
    paused_for: Option<BTreeSet<String>>,
    since: Option<Timestamp>,
    was_paused: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHealth {
    unknown: Option<String>,
    healthy_since: Option<Timestamp>,
    unhealthy_since: Option<Timestamp>,
    #[serde(default)]
    answered: String,
}

/// What a controller knows beside the look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenController {
    /// When the commit in force was made.
    pub committed: Option<Timestamp>,
    /// Whether it has just begun, and nothing of the looks before is known.
    #[serde(default)]
    pub begins: bool,
    #[serde(default)]
    pub marks: Marks,
    /// The commits of the repository, where that is asked.
    pub knows: Option<Vec<String>>,
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
    settings: WrittenSettings,
    registry: Option<bool>,
    domains: Vec<String>,
    push_to_deploy: Option<bool>,
    replicas: BTreeMap<String, u32>,
    replicas_unseen: Option<String>,
    variables: BTreeMap<String, Option<String>>,
    sealed: BTreeSet<String>,
    volume: bool,
    changed: Option<Timestamp>,
    newest: Option<WrittenDeployment>,
    serving: Option<bool>,
    kept: Option<Vec<WrittenDeployment>>,
    log: Option<Vec<String>>,
}

/// Settings as Railway stores them; what is not written is at its default.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenSettings {
    start: Option<String>,
    before_deploy: Option<String>,
    ready: Option<String>,
    ready_within: Option<u64>,
    /// `always`, `never`, or how many times after a failure.
    restart: Option<String>,
    cron: Option<String>,
    sleep: bool,
    overlap: u64,
    drain: u64,
    milli_cpu: Option<u64>,
    memory: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDeployment {
    id: String,
    status: String,
    at: Timestamp,
    /// When it came to be as it is.
    since: Option<Timestamp>,
    image: Option<String>,
    commit: Option<String>,
    patch: Option<String>,
    #[serde(default)]
    stopped: bool,
    #[serde(default)]
    kept: bool,
    /// What it runs with, where it tells.
    settings: Option<WrittenSettings>,
    /// The settings that a file in the repository decides.
    #[serde(default)]
    by_file: BTreeMap<String, String>,
    /// The variables that it was started with.
    started_with: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPatch {
    id: String,
    at: Timestamp,
    /// When it began, where that was before.
    begun: Option<Timestamp>,
    /// `applying`, `committed`, or anything else as the words of a failure.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    by: Option<String>,
    touches: BTreeMap<String, BTreeSet<String>>,
}

impl WrittenController {
    pub fn stance(&self, content: &str, world: &World, now: Timestamp) -> Stance {
        let stranger = self.knows.as_ref().and_then(|known| {
            let (commit, at) = stance::newest_commit(world)?;
            let is_known = known.iter().any(|it| it.starts_with(commit));
            let stranger = stance::stranger("production", commit, at, None);
            stranger.filter(|_| !is_known)
        });
        stranger.map_or_else(
            || stance::stance("production", content, &self.marks, now),
            Stance::ReportOnly,
        )
    }
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
            pages: self
                .pages
                .iter()
                .map(|(url, answer)| (url.clone(), page(answer)))
                .collect(),
            redis: self
                .redis
                .iter()
                .map(|(name, redis)| (name.clone(), redis.seen()))
                .collect(),
            secrets: secrets.collect(),
            health: self
                .health
                .iter()
                .map(|(name, health)| (name.clone(), health.seen(self.now)))
                .collect(),
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
            shared: Seen::Facts(
                plain(&self.shared)
                    .chain(sealed(&self.shared_sealed))
                    .collect(),
            ),
            staged: self.staged_unseen.as_ref().map_or_else(
                || {
                    Seen::Facts(Staged {
                        paths: self.staged.clone(),
                        failed: self.staged_failed.clone(),
                    })
                },
                |reason| Seen::Unseen(reason.clone()),
            ),
            history: if let Some(reason) = &self.history_unseen {
                Seen::Unseen(reason.clone())
            } else if self.history_unasked {
                Seen::Unasked
            } else {
                history
            },
            written: self.written.as_ref().map_or(Seen::Unasked, |written| {
                Seen::Facts(
                    written
                        .iter()
                        .map(|(at, times)| written_at(at, times))
                        .collect(),
                )
            }),
            pulse: None,
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

impl WrittenRedis {
    fn seen(&self) -> Seen<Server> {
        match self {
            WrittenRedis::Unseen(reason) => Seen::Unseen(reason.clone()),
            WrittenRedis::Server(server) => Seen::Facts(server.server()),
        }
    }
}

impl WrittenServer {
    fn server(&self) -> Server {
        Server {
            version: "7.0.15".to_owned(),
            run_id: "r1".to_owned(),
            started_at: self.started.unwrap_or_default(),
            is_replica: self.replica,
            has_file: self.has_file,
            latency: std::time::Duration::from_micros(400),
            memory: Memory {
                used_bytes: self.used,
                max_bytes: self.max,
                policy: self.policy.clone().unwrap_or("noeviction".to_owned()),
                evicted_keys: 0,
                keys: 0,
            },
            persistence: Persistence {
                save: Some(self.save.clone().unwrap_or("60 1".to_owned())),
                append_only: self.append_only,
                sync: Some("everysec".to_owned()),
                append_only_is_whole: self.append_only_is_whole.unwrap_or(self.append_only),
                saved_at: self.saved.unwrap_or_default(),
                save_is_well: true,
                is_saving: self.is_saving,
                unsaved_changes: self.unsaved,
            },
            queues: self
                .queues
                .iter()
                .map(|(key, queue)| (queue_key(key), queue.seen()))
                .collect(),
            keys: self
                .keys
                .iter()
                .map(|(key, value)| (key.clone(), Seen::Facts(value.clone())))
                .collect(),
            counts: self
                .counts
                .iter()
                .map(|(pattern, keys)| {
                    let count = Count {
                        keys: *keys,
                        is_whole: true,
                    };
                    (pattern.clone(), count)
                })
                .collect(),
        }
    }
}

fn queue_key(key: &str) -> QueueKey {
    let (prefix, name) = key.split_once(':').unwrap_or(("bull", key));
    QueueKey {
        prefix: prefix.to_owned(),
        name: name.to_owned(),
    }
}

impl WrittenQueue {
    fn seen(&self) -> Seen<Queue> {
        let plain = match self {
            WrittenQueue::Unseen(reason) => return Seen::Unseen(reason.clone()),
            WrittenQueue::Queue(plain) => plain,
        };
        Seen::Facts(Queue {
            exists: !plain.absent,
            is_of_bull: plain.bull,
            version: plain.version.clone(),
            is_paused: plain.paused,
            max_active: plain.max_active.clone(),
            in_wait: plain.wait,
            in_paused: plain.in_paused,
            prioritized: plain.prioritized,
            active: plain.active,
            delayed: plain.delayed,
            failed: plain.failed,
            oldest_waiting: plain.oldest_waiting,
            oldest_failed: plain.oldest_failed,
            failed_before: plain.failed_before,
            has_clearable: plain.clearable,
            reasons: plain.reasons.clone().into_iter().collect(),
            running: plain.running.clone(),
            unheld: plain.unheld,
            workers: plain.workers,
            pause: plain.paused_for.as_ref().map(|reasons| Pause {
                reasons: reasons.clone(),
                since: plain.since.unwrap_or_default(),
                was_paused: plain.was_paused,
            }),
        })
    }
}

impl WrittenHealth {
    fn seen(&self, now: Timestamp) -> Seen<Health> {
        if let Some(reason) = &self.unknown {
            return Seen::Unseen(reason.clone());
        }
        let is_healthy = self.healthy_since.is_some();
        let since = self.healthy_since.or(self.unhealthy_since);
        Seen::Facts(Health {
            is_healthy,
            since: since.expect("healthy_since or unhealthy_since"),
            answered: self.answered.clone(),
            asked_at: now,
        })
    }
}

fn page(answer: &str) -> Seen<Page> {
    let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
    match status.parse() {
        Ok(status) => Seen::Facts(Page {
            status,
            body: body.to_owned(),
        }),
        Err(_) => Seen::Unseen(answer.to_owned()),
    }
}

fn plain(
    variables: &BTreeMap<String, Option<String>>,
) -> impl Iterator<Item = (String, Variable)> + '_ {
    variables.iter().map(|(name, value)| {
        let variable = Variable {
            value: value.as_deref().map(Secret::new),
            sealed: false,
        };
        (name.clone(), variable)
    })
}

fn sealed(names: &BTreeSet<String>) -> impl Iterator<Item = (String, Variable)> + '_ {
    names.iter().map(|name| {
        let variable = Variable {
            value: None,
            sealed: true,
        };
        (name.clone(), variable)
    })
}

fn written_at(at: &str, times: &[Timestamp]) -> ((String, String), WrittenAt) {
    let (owner, name) = match at.split_once('.') {
        Some(("shared", name)) => (String::new(), name),
        Some((service, name)) => (id(service), name),
        None => panic!("`{at}` is not of the form service.NAME"),
    };
    let written = WrittenAt {
        created_at: times[0],
        updated_at: times[times.len() - 1],
    };
    ((owner, name.to_owned()), written)
}

impl WrittenSettings {
    fn settings(&self) -> Settings {
        Settings {
            start: self.start.clone(),
            before_deploy: self.before_deploy.clone(),
            ready: Ready {
                path: self.ready.clone(),
                within_seconds: self.ready_within.unwrap_or(READY_SECONDS),
            },
            restart_policy: match self.restart.as_deref() {
                None => RestartPolicy::OnFailure(RESTARTS),
                Some("always") => RestartPolicy::Always,
                Some("never") => RestartPolicy::Never,
                Some(times) => RestartPolicy::OnFailure(times.parse().unwrap()),
            },
            cron: self.cron.clone(),
            sleep: self.sleep,
            hand_over: HandOver {
                overlap_seconds: self.overlap,
                drain_seconds: self.drain,
            },
            limits: Limits {
                milli_cpu: self.milli_cpu,
                memory_bytes: self.memory,
            },
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
        let newest = self.newest.as_ref().map(WrittenDeployment::deployment);
        Seen::Facts(Service {
            id: id(name),
            source,
            updates_itself: self.updates_itself,
            settings: WrittenSettings {
                ready: self.settings.ready.clone().or(self.ready.clone()),
                ready_within: self.settings.ready_within.or(self.ready_within),
                ..self.settings.clone()
            }
            .settings(),
            has_registry: self.registry,
            placement: self
                .replicas_unseen
                .as_ref()
                .map_or(Seen::Facts(self.replicas.clone()), |reason| {
                    Seen::Unseen(reason.clone())
                }),
            variables: Seen::Facts(plain(&self.variables).chain(sealed(&self.sealed)).collect()),
            has_volume: self.volume,
            domains: self.domains.clone(),
            updated_at: self.changed,
            active: newest
                .iter()
                .filter(|_| self.serving.unwrap_or(true))
                .map(|newest| Active {
                    id: newest.id.clone(),
                    stopped: newest.stopped,
                })
                .collect(),
            newest,
            push_to_deploy: self.push_to_deploy.map_or(Seen::Unasked, Seen::Facts),
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
            status_at: self.since,
            image: self.image.clone(),
            commit: self.commit.clone(),
            patch: self.patch.clone(),
            stopped: self.stopped,
            can_rollback: self.kept,
            settings: self.settings.as_ref().map(WrittenSettings::settings),
            by_file: self
                .by_file
                .iter()
                .map(|(name, file)| (setting(name).expect("a setting"), file.clone()))
                .collect(),
            variables: self
                .started_with
                .as_ref()
                .map_or(Seen::Unasked, |variables| {
                    let secret = |value: &Option<String>| value.as_deref().map(Secret::new);
                    Seen::Facts(
                        variables
                            .iter()
                            .map(|(name, value)| (name.clone(), secret(value)))
                            .collect(),
                    )
                }),
        }
    }
}

fn setting(word: &str) -> Option<SettingName> {
    SettingName::ALL
        .into_iter()
        .find(|name| name.word() == word)
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
            "replicas" => Field::Replicas,
            "registry" => Field::Registry,
            word if setting(word).is_some() => Field::Setting(setting(word).unwrap()),
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
            begun_at: self.begun.unwrap_or(self.at),
            at: self.at,
            state,
            message: self.message.clone(),
            by: self.by.clone(),
            touched: touched.collect(),
        }
    }
}
