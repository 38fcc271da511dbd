//! `kind: Redis`: a Redis server, how it is reached, and what it should be like.

mod caches;
pub mod command;
pub mod restart;
pub mod start;
mod steps;

pub use steps::steps;

use super::shown::one_line;
use super::step::{Ask, Step};
use super::variable::Reference;
use super::written::{Instant, Share, Size};
use super::{Declared, Documents, Kind, maintenance, queue};
use crate::world::railway::Service;
use crate::world::redis::{At, Of, Question, Server, purged, purging, turned, warmed};
use crate::world::{Seen, World};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A Redis server. Its address and password are read from the variables of its Railway service, or from a secret.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// The Railway service that it runs in: its variables `REDIS_URL` and `REDIS_PUBLIC_URL` say where it is.
    #[schemars(length(min = 1, max = 100))]
    pub service: Option<String>,
    /// A secret that is its whole address: for a server elsewhere, or where the variables are sealed.
    pub address: Option<SecretAddress>,
    /// How much it may hold, and what it does when that is reached.
    pub memory: Option<Memory>,
    /// How it keeps its data over a restart.
    pub persistence: Option<Persistence>,
    /// What no purge touches, whatever its pattern. The keys of declared queues never are.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 200)))]
    pub protect: Vec<String>,
    /// What may be thrown away, by names that say what it is.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub caches: BTreeMap<String, Cache>,
    /// Has been started at or after this time. Its queues are paused meanwhile, and what it holds is on the disk first. Follows the rules of `restartedAfter` of a Service.
    pub restarted_after: Option<Instant>,
}

/// How much a server may hold. It is applied to what runs, and stored in the start command of its service without a deployment. Where a Service says `start`, or the command does not plainly run `redis-server`, what it should say is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Memory {
    /// The most that it may hold.
    pub max: Option<Size>,
    /// What it does when it is full. Queues need `noeviction`.
    pub policy: Option<Policy>,
}

/// What a full server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It takes no more.
    Noeviction,
    /// It throws away what was not used for long.
    AllkeysLru,
    /// It throws away what is used seldom.
    AllkeysLfu,
    /// It throws away anything.
    AllkeysRandom,
    /// The same, only of keys that end by themselves.
    VolatileLru,
    /// The same, only of keys that end by themselves.
    VolatileLfu,
    /// The same, only of keys that end by themselves.
    VolatileRandom,
    /// What ends next by itself.
    VolatileTtl,
}

impl Policy {
    /// As the server calls it.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Noeviction => "noeviction",
            Policy::AllkeysLru => "allkeys-lru",
            Policy::AllkeysLfu => "allkeys-lfu",
            Policy::AllkeysRandom => "allkeys-random",
            Policy::VolatileLru => "volatile-lru",
            Policy::VolatileLfu => "volatile-lfu",
            Policy::VolatileRandom => "volatile-random",
            Policy::VolatileTtl => "volatile-ttl",
        }
    }
}

/// How a server keeps its data over a restart. It is applied to what runs, and then stored in the start command of its service without a deployment. Where a Service says `start`, or the command does not plainly run `redis-server`, what it should say is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Persistence {
    /// When it writes a whole file: after so many seconds, if so many keys changed; `3600 1`.
    #[schemars(regex(
        pattern = r"^[1-9][0-9]{0,6} [1-9][0-9]{0,8}( [1-9][0-9]{0,6} [1-9][0-9]{0,8}){0,4}$"
    ))]
    pub save: Option<String>,
    /// Whether every change goes to the append-only file. It is turned on in what runs before any restart: the other way round the server would start empty.
    pub append_only: Option<bool>,
    /// How often that reaches the disk.
    pub sync: Option<Sync>,
}

/// How often the append-only file reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// With every change.
    Always,
    /// Every second.
    Everysec,
    /// When the system likes.
    No,
}

impl Sync {
    /// As the server calls it.
    pub fn word(self) -> &'static str {
        match self {
            Sync::Always => "always",
            Sync::Everysec => "everysec",
            Sync::No => "no",
        }
    }
}

/// Keys that may be thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Cache {
    /// What they look like: `cache:*`.
    #[schemars(length(min = 1, max = 200))]
    pub keys: String,
    /// A whole purge has begun at or after this time. One that has not begun within an hour of it is never begun.
    pub purged_after: Option<Instant>,
    /// Is purged when the server holds more than this share of what it may hold at most: `80%`. A controller does it, at most once an hour; a purge that does not bring it below is told, and tried again after a day.
    pub purge_above: Option<Share>,
    /// The addresses that fill it again: each is asked once after a purge.
    #[serde(default)]
    #[schemars(length(max = 20), inner(regex(pattern = "^https?://[^@]+$")))]
    pub warm: Vec<String>,
}

/// A secret that is a whole address: `redis://…` or `rediss://…`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct SecretAddress {
    /// Where it comes from.
    pub from: Reference,
}

impl Kind for Spec {
    const NAME: &'static str = "Redis";
    const IS_SHARED: bool = true;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Redis
metadata: { name: main }
spec:
  service: redis                  # or `address: { from: { secret: REDIS_ADDRESS } }`
  memory: { max: 400MiB, policy: noeviction }
  persistence: { save: 3600 1, appendOnly: true, sync: everysec }
  protect: [\"session:*\"]
  caches: { pages: { keys: \"cache:*\", purgedAfter: 2026-11-23T03:05:00Z, purgeAbove: 80%, warm: [\"https://shop.example/\"] } }
  restartedAfter: 2026-11-23T03:05:00Z
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.redises
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.redises
    }
}

impl Spec {
    /// The secret that it refers to.
    pub fn secret(&self) -> Option<&str> {
        let address = self.address.as_ref();
        address.map(|address| address.from.secret.as_str())
    }
}

/// What is known of a server that a document needs.
pub enum Known<'a> {
    /// What it shows.
    Server(Of, &'a Server),
    /// Why it cannot be seen.
    Unseen(String),
    /// Nobody has asked yet.
    Ask(Question),
}

/// A server by the name of its document.
pub fn known<'a>(name: &str, documents: &Documents, world: &'a World, now: Timestamp) -> Known<'a> {
    let Some(declared) = documents.redises.get(name) else {
        return Known::Unseen(format!("there is no Redis/{}", one_line(name)));
    };
    if of(declared).at == At::Nowhere {
        return Known::Unseen(HIDDEN.to_owned());
    }
    match world.redis.get(name) {
        Some(Seen::Facts(server)) => Known::Server(of(declared), server),
        Some(Seen::Unseen(reason)) => Known::Unseen(reason.clone()),
        Some(Seen::Unasked) | None => Known::Ask(question(declared, documents, now)),
    }
}

/// What is said of a server that a stranger's manifests name.
const HIDDEN: &str = "what is in it is not shown for a stranger's manifests";

/// What cannot be seen is not touched; what is not shown on purpose is only told.
pub fn unseen(name: &str, documents: &Documents, reason: String) -> Ask {
    let declared = documents.redises.get(name);
    if declared.is_some_and(|declared| of(declared).at == At::Nowhere) {
        Ask::Told(reason)
    } else {
        Ask::Unseen(reason)
    }
}

/// Where a server is.
pub fn of(declared: &Declared<Spec>) -> Of {
    let spec = &declared.spec;
    Of {
        name: declared.name.clone(),
        at: match (&spec.address, &spec.service) {
            (Some(address), _) => At::Secret(address.from.secret.clone()),
            (None, Some(service)) => At::Service(service.clone()),
            (None, None) => At::Nowhere,
        },
    }
}

/// Everything that all documents together want to know of one server: whoever asks, asks the same, and it is one round trip.
pub fn question(declared: &Declared<Spec>, documents: &Documents, now: Timestamp) -> Question {
    let name = &declared.name;
    let queues = documents.queues.values();
    let maintenances = documents.maintenances.values();
    let keys: BTreeSet<String> = maintenances
        .filter_map(|maintenance| maintenance::key(&maintenance.spec, name))
        .flat_map(|key| [key.to_owned(), turned(key)])
        .collect();
    let caches = declared.spec.caches.iter();
    let marks = caches.flat_map(|(name, cache)| {
        let above = cache.purge_above.map(|_| purging(name));
        let is_purged = cache.purged_after.is_some() || above.is_some();
        let both = is_purged.then(|| [purged(name), warmed(name)]);
        both.into_iter().flatten().chain(above)
    });
    Question {
        of: of(declared),
        queues: queues
            .filter(|queue| queue.spec.redis == *name)
            .map(|queue| (queue::key(queue), queue::cleared_before(&queue.spec, now)))
            .collect(),
        keys: keys.into_iter().chain(marks).collect(),
        counts: BTreeSet::new(),
    }
}

/// What no purge touches: what is declared so, the keys of queues, and our own.
pub fn protected(declared: &Declared<Spec>, documents: &Documents) -> Vec<String> {
    let queues = documents.queues.values();
    let queues = queues.filter(|queue| queue.spec.redis == declared.name);
    let prefixes = queues.map(|queue| format!("{}:*", queue::key(queue).prefix));
    let own = ["bull:*".to_owned(), "reconciler:*".to_owned()];
    let declared = declared.spec.protect.iter().cloned();
    let all: BTreeSet<String> = declared.chain(prefixes).chain(own).collect();
    all.into_iter().collect()
}

/// The Railway service that a server runs in.
fn service<'a>(declared: &Declared<Spec>, world: &'a World) -> Option<&'a Service> {
    let name = declared.spec.service.as_ref()?;
    world.railway.facts()?.services.get(name)?.facts()
}

fn plain(declared: &Declared<Spec>, field: &str, verb: &'static str, ask: Ask) -> Step {
    Step {
        undo: "revert",
        ..declared.step(field, verb, ask)
    }
}
