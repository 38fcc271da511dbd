//! `kind: Redis`: a Redis server, how it is reached, and what it should be like.

use super::shown::one_line;
use super::step::{Address, Ask, Asked, Effect, Step};
use super::variable::Reference;
use super::{Declared, Documents, Kind, maintenance, queue};
use crate::world::redis::{At, Of, Question, Server, turned};
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
    match world.redis.get(name) {
        Some(Seen::Facts(server)) => Known::Server(of(declared), server),
        Some(Seen::Unseen(reason)) => Known::Unseen(reason.clone()),
        Some(Seen::Unasked) | None => Known::Ask(question(declared, documents, now)),
    }
}

/// Where a server is.
pub fn of(declared: &Declared<Spec>) -> Of {
    let spec = &declared.spec;
    Of {
        name: declared.name.clone(),
        at: match &spec.address {
            Some(address) => At::Secret(address.from.secret.clone()),
            None => At::Service(spec.service.clone().unwrap_or_default()),
        },
    }
}

/// Everything that all documents together want to know of one server: whoever asks, asks the same, and it is one round trip.
fn question(declared: &Declared<Spec>, documents: &Documents, now: Timestamp) -> Question {
    let name = &declared.name;
    let queues = documents.queues.values();
    let maintenances = documents.maintenances.values();
    let keys: BTreeSet<String> = maintenances
        .filter_map(|maintenance| maintenance::key(&maintenance.spec, name))
        .flat_map(|key| [key.to_owned(), turned(key)])
        .collect();
    Question {
        of: of(declared),
        queues: queues
            .filter(|queue| queue.spec.redis == *name)
            .map(|queue| (queue::key(queue), queue::cleared_before(&queue.spec, now)))
            .collect(),
        keys,
    }
}

/// What is to be done about a server itself.
pub fn steps(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Asked {
    let mut asked = Asked::default();
    match known(&declared.name, documents, world, now) {
        Known::Server(_, _) => {}
        Known::Unseen(reason) => {
            let ask = Ask::Unseen(reason);
            asked.steps.push(step(declared, "service", "look at", ask));
        }
        Known::Ask(question) => {
            asked.questions.insert(question.into());
        }
    }
    asked
}

fn step(declared: &Declared<Spec>, field: &str, verb: &'static str, ask: Ask) -> Step {
    Step {
        of: Address {
            kind: Spec::NAME,
            name: declared.name.clone(),
        },
        field: field.to_owned(),
        verb,
        from: None,
        to: None,
        why: format!("Redis/{}", declared.name),
        origin: Some(declared.origin(&[field]).clone()),
        effect: Effect::Nothing,
        undo: "revert",
        deploys: Vec::new(),
        loses: None,
        closes: false,
        after: Vec::new(),
        ask,
    }
}
