//! `kind: Environment`: which Railway environment a directory of manifests describes, and what it may reach, and how the controller keeps it.

pub mod drift;
pub mod freeze;
pub mod tell;

use super::difference::{Difference, Then};
use super::step::{Ask, Asked, Effect, Step};
use super::variable::{self, Variable, VariableName, refers_to_shared};
use super::written::{Duration, Instant};
use super::{Declared, Documents, Kind};
use crate::world::railway::{self, Change, Owner, Question, Railway as SeenRailway};
use crate::world::{Action, Seen, World};
use drift::Drift;
use freeze::Window;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use tell::{Heartbeat, Notify};

/// Which Railway environment this directory describes. Every directory of an environment holds exactly one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// A directory of shared documents, relative to this one. A document here with `from: base` is laid over its namesake there, map entry by map entry; the other documents of the base hold as they are.
    pub base: Option<Base>,
    /// The Railway environment that the manifests describe.
    pub railway: Railway,
    /// Which secrets `{ from: { secret: NAME } }` can reach.
    #[serde(default)]
    pub secrets: Secrets,
    /// Where what must not be lost is kept: what failed jobs were, before they are cleared.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub stores: BTreeMap<String, Store>,
    /// Variables that all services share: `${{shared.NAME}}` in a service's own. Those that are not named here stay as they are.
    #[serde(default)]
    #[schemars(with = "BTreeMap<VariableName, Variable>")]
    pub variables: BTreeMap<String, Variable>,
    /// What happens to what git declared before and does not declare now.
    #[serde(default)]
    pub removed: Removed,
    /// How long consent holds.
    #[serde(default)]
    pub approvals: Approvals,
    /// What the controller does about a change outside of git.
    #[serde(default)]
    pub drift: Drift,
    /// Windows in which nothing is begun that customers could notice: no release, no redeployment, no removal. What closes, opens again, scales up or ends what was begun goes on.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub freeze: Vec<Window>,
    /// Until then no `freeze` holds: the way past one, in git like everything else.
    pub override_until: Option<Instant>,
    /// Who is told what happens, each thing once.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub notify: Vec<Notify>,
    /// Who notices when the controller itself is gone.
    pub heartbeat: Option<Heartbeat>,
    /// When a release that does not stay healthy is put back by itself; never where this is not there.
    pub rollback: Option<Rollback>,
}

/// A bucket or a folder, with a prefix of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Store {
    /// `s3://bucket/prefix`, with the credentials that the controller has for its own store; or `file:///folder`.
    #[schemars(length(min = 8, max = 500), regex(pattern = "^(s3|file)://[^@]+$"))]
    pub url: String,
}

/// What happens to what git declared before and does not declare now; it needs to be known what that was, as with `diff --base`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Removed {
    /// Variables of a service or of the environment that is still declared.
    #[serde(default)]
    pub variables: RemovedEntry,
    /// Services whose document is gone.
    #[serde(default)]
    pub services: RemovedService,
}

/// What happens to an entry that is not declared any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RemovedEntry {
    /// It is taken away, if it was made by us.
    #[default]
    Delete,
    /// It stays, and the plan says so.
    Keep,
}

/// What happens to a service that is not declared any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RemovedService {
    /// It stays until an approval allows its deletion.
    #[default]
    Hold,
    /// It stays, and the plan says so.
    Keep,
}

/// How long consent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Approvals {
    /// How far ahead the `until` of an Approval may lie at most.
    #[serde(default = "six_hours")]
    pub expire: Duration,
}

/// When a service is put back to the release before by itself. It needs `health` in the Service, or a process that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Rollback {
    /// How long it must be unhealthy.
    pub unhealthy_for: Duration,
    /// How long after the release that may begin; later it is not the release's fault.
    pub within: Duration,
}

fn six_hours() -> Duration {
    Duration(std::time::Duration::from_secs(6 * 3600))
}

impl Default for Approvals {
    fn default() -> Approvals {
        Approvals {
            expire: six_hours(),
        }
    }
}

impl Kind for Spec {
    const NAME: &'static str = "Environment";
    const IS_SHARED: bool = false;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Environment
metadata: { name: production }
spec:
  base: ../base
  railway: { project: shop, environment: production }
  secrets: { prefix: PRODUCTION_ }
  stores: { backups: { url: \"s3://shop-backups/production\" } }
  variables: { COMPANY: Shop, SMTP_PASSWORD: { from: { secret: SMTP_PASSWORD } } }
  removed: { variables: delete, services: hold }
  approvals: { expire: 6h }
  drift: { heal: 10m }            # or now, or never
  freeze: [{ from: \"fri 16:00\", to: \"mon 07:00\", timezone: Europe/Berlin }]
  overrideUntil: 2026-11-23T09:00:00Z
  notify: [{ slack: SLACK_INCIDENTS, about: [hold, failure, health, drift, recovery] }]   # or { webhook: … }
  heartbeat: { secret: HEARTBEAT_URL, every: 1m }
  rollback: { unhealthyFor: 3m, within: 30m }
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.environments
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.environments
    }
}

impl Spec {
    /// The names of all secrets that it refers to.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let told = self.notify.iter().map(Notify::secret);
        let heartbeat = self.heartbeat.iter().map(|it| it.secret.as_str());
        variable::secrets(self.variables.values())
            .chain(told)
            .chain(heartbeat)
    }

    /// The freeze window that a moment lies in, and when it ends; nothing while it is overridden.
    pub fn frozen(&self, now: Timestamp) -> Option<(&Window, Timestamp)> {
        let is_lifted = self.override_until.is_some_and(|until| now < until.0);
        freeze::frozen(&self.freeze, now).filter(|_| !is_lifted)
    }
}

/// The steps that bring the shared variables in step.
pub fn steps(declared: &Declared<Spec>, world: &World, now: Timestamp) -> Asked {
    let mut asked = Asked::default();
    let Some(railway) = world.railway.facts() else {
        return asked;
    };
    let rotates = variable::rotates(declared.spec.variables.values());
    if rotates && railway.history == Seen::Unasked {
        asked.questions.insert(Question::History.into());
    }
    let stored = match &railway.shared {
        Seen::Facts(stored) => stored,
        Seen::Unseen(reason) if !declared.spec.variables.is_empty() => {
            let ask = Ask::Unseen(reason.clone());
            asked.steps.push(step(declared, "variables", "set", ask));
            return asked;
        }
        Seen::Unseen(_) | Seen::Unasked => return asked,
    };
    for (name, variable) in &declared.spec.variables {
        let place = variable::Place {
            name,
            owner: "",
            origin: declared.origin(&["variables", name]),
            history: &railway.history,
            world,
            now,
        };
        if let Some(difference) = variable::difference(variable, stored.get(name), &place) {
            asked
                .steps
                .push(of_difference(declared, difference, railway));
        }
    }
    asked
}

fn step(declared: &Declared<Spec>, field: &str, verb: &'static str, ask: Ask) -> Step {
    Step {
        undo: "revert",
        ..declared.step(field, verb, ask)
    }
}

/// Whether Railway redeploys the services that refer to a shared variable is open (facts/railway.md 3.2); they are to be, by one way or another.
fn of_difference(declared: &Declared<Spec>, difference: Difference, railway: &SeenRailway) -> Step {
    let deploys = match &difference.then {
        Then::Set(_) => users(&difference.field, railway),
        Then::Hold { .. } | Then::Unseen(_) | Then::Told(_) => Vec::new(),
    };
    let ask = match difference.then {
        Then::Set(set) => Ask::Make(Action::Railway(railway::Action::Change(Change {
            of: Owner::Shared,
            set,
        }))),
        Then::Hold { by, way_out, cause } => Ask::Hold { by, way_out, cause },
        Then::Unseen(reason) => Ask::Unseen(reason),
        Then::Told(words) => Ask::Told(words),
    };
    let plain = step(declared, &difference.field, difference.verb, ask);
    Step {
        from: difference.from,
        to: difference.to,
        why: difference.why,
        origin: Some(difference.origin),
        effect: if deploys.is_empty() {
            Effect::Nothing
        } else {
            Effect::Redeploy
        },
        deploys,
        ..plain
    }
}

/// The services whose variables refer to a shared one.
fn users(name: &str, railway: &SeenRailway) -> Vec<String> {
    let refers = |service: &Seen<railway::Service>| {
        let variables = service
            .facts()
            .and_then(|service| service.variables.facts());
        variables.is_some_and(|variables| {
            variables
                .values()
                .filter_map(|variable| variable.value.as_ref())
                .any(|value| refers_to_shared(value.reveal(), name))
        })
    };
    railway
        .services
        .iter()
        .filter(|(_, service)| refers(service))
        .map(|(name, _)| name.clone())
        .collect()
}

/// A directory of shared documents.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a directory, or `{ path, without }`")]
pub enum Base {
    /// The directory, relative to this one.
    Path(String),
    /// The directory, and what is left out of it.
    Chosen(ChosenBase),
}

/// A directory of shared documents, and what is left out of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct ChosenBase {
    /// The directory, relative to this one.
    pub path: String,
    /// Documents that do not hold here, as `Kind/name`.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Base {
    /// The directory, relative to the environment's own.
    pub fn path(&self) -> &str {
        match self {
            Base::Path(path) => path,
            Base::Chosen(chosen) => &chosen.path,
        }
    }

    /// What is left out of it, as `Kind/name`.
    pub fn without(&self) -> &[String] {
        match self {
            Base::Path(_) => &[],
            Base::Chosen(chosen) => &chosen.without,
        }
    }
}

/// A Railway environment, by names or by ids. With ids, a look is one request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Railway {
    /// The project's name or id.
    #[schemars(length(min = 1, max = 200))]
    pub project: String,
    /// The environment's name or id.
    #[schemars(length(min = 1, max = 200))]
    pub environment: String,
}

/// Which secrets the manifests can reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Secrets {
    /// `{ secret: STRIPE_KEY }` is the environment variable of that name with this before it, and nothing else can be reached.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*_$"))]
    pub prefix: Option<String>,
}
