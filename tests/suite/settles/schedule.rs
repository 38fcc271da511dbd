//! A schedule: everything that happens in one simulation, drawn from its seed before it begins.

use super::chance::Chance;
use super::deployment::{Held, Load, Made, Outcome, Run};
use super::hands::Hand;
use super::model::{Committed, State, Stored};
use super::switches::Switches;
use super::wish::{Content, Family, ReplicasWish, ServiceWish, Setup, VariableWish, Wish, at};
use jiff::Timestamp;
use reconciler::providers::Secrets;
use reconciler::world::Seen;
use reconciler::world::railway::{Field, READY_SECONDS, Ready, Source};
use reconciler::world::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parsing manifests costs more than planning: schedules share so many families of desired states.
const FAMILIES: u64 = 1500;

/// When the process dies, measured by one of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    Before,
    After,
}

/// How often what goes wrong, of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    pub looks: u64,
    pub writes: u64,
    pub crashes: u64,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub switches: Switches,
    pub world: State,
    pub wishes: Vec<Wish>,
    /// When each wish is committed; the first one is there from the start.
    pub commits: Vec<Timestamp>,
    pub hands: Vec<(Timestamp, Hand)>,
    pub rates: Rates,
    /// Crashes at writes by their number, beside those by chance.
    pub crashes: BTreeMap<usize, Crash>,
    /// While the token is not good enough.
    pub denied: Option<(Timestamp, Timestamp)>,
    /// When the secret store gives new values.
    pub secrets_change_at: Timestamp,
    /// Whether a secret is missing from the store all the time.
    pub lacks_secret: bool,
    /// When faults, edits and commits stop.
    pub quiet_at: Timestamp,
    /// Whether people then clear what only people can clear.
    pub is_cleared: bool,
}

impl Schedule {
    pub fn drawn(seed: u64) -> Schedule {
        let family = Family::drawn(seed % FAMILIES);
        let chance = &mut Chance::new(seed, 2);
        let switches = Switches::drawn(chance);
        let world = world(chance, &family, &switches);
        let mut commits = vec![at(0)];
        for _ in 1..family.wishes.len() {
            let last = seconds(*commits.last().expect("there is a first"));
            commits.push(at(last + between(chance, 3, 50)));
        }
        let last_commit = seconds(*commits.last().expect("there is a first"));
        let quiet = (last_commit + between(chance, 10, 60)).max(last_one_shot(&family.wishes) + 5);
        let names: Vec<String> = world.services.keys().cloned().collect();
        let edits = chance.pick(&[0, 0, 0, 1, 1, 2, 3]);
        let mut hands: Vec<(Timestamp, Hand)> = (0..edits)
            .map(|_| {
                (
                    at(between(chance, 0, quiet - 1)),
                    Hand::drawn(chance, &names),
                )
            })
            .collect();
        hands.sort_by_key(|(at, _)| *at);
        let denied_from = between(chance, 0, quiet);
        Schedule {
            seed,
            switches,
            world,
            wishes: family.wishes,
            commits,
            hands,
            rates: Rates {
                looks: chance.pick(&[0, 50, 150, 300]),
                writes: chance.pick(&[0, 100, 250, 400]),
                crashes: chance.pick(&[0, 0, 100, 300]),
            },
            crashes: BTreeMap::new(),
            denied: chance
                .percent(5)
                .then(|| (at(denied_from), at(denied_from + 25))),
            secrets_change_at: at(between(chance, 0, quiet)),
            lacks_secret: chance.percent(3),
            quiet_at: at(quiet),
            is_cleared: chance.percent(90),
        }
    }

    /// The same without anything that goes wrong and without edits: the reference of its crashes.
    pub fn without_faults(self) -> Schedule {
        Schedule {
            rates: Rates::default(),
            hands: Vec::new(),
            denied: None,
            secrets_change_at: super::wish::start(),
            ..self
        }
    }

    /// The same with one death more.
    pub fn with_crash(mut self, write: usize, crash: Crash) -> Schedule {
        self.crashes.insert(write, crash);
        self
    }

    /// The newest commit at a moment.
    pub fn commit(&self, now: Timestamp) -> usize {
        self.commits
            .iter()
            .rposition(|at| *at <= now)
            .unwrap_or_default()
    }

    pub fn next_commit(&self, now: Timestamp) -> Option<Timestamp> {
        self.commits.iter().copied().find(|at| *at > now)
    }

    /// The secrets as the store gives them.
    pub fn secrets(&self, now: Timestamp) -> Secrets {
        let version = if now < self.secrets_change_at { 1 } else { 2 };
        let secret = |name: &str| {
            (
                name.to_owned(),
                Seen::Facts(Secret::new(secret(name, version))),
            )
        };
        let stripe = if self.lacks_secret {
            (
                "STRIPE_KEY".to_owned(),
                Seen::Unseen("the secret STRIPE_KEY is not there".to_owned()),
            )
        } else {
            secret("STRIPE_KEY")
        };
        BTreeMap::from([stripe, secret("SIGNING_KEY")])
    }
}

/// A secret's value; every value that must not be shown has `5ecret` in it.
pub fn secret(name: &str, version: u32) -> String {
    format!("{name}-5ecret-value-{version}")
}

/// What no output may hold.
pub const MARK_OF_SECRETS: &str = "5ecret";

pub fn seconds(at: Timestamp) -> i64 {
    at.as_second() - super::wish::start().as_second()
}

fn between(chance: &mut Chance, least: i64, most: i64) -> i64 {
    let span = u64::try_from(most - least + 1).unwrap_or(1);
    least + i64::try_from(chance.below(span)).expect("small")
}

fn last_one_shot(wishes: &[Wish]) -> i64 {
    let services = wishes.iter().flat_map(|wish| wish.services.values());
    let times = services.flat_map(|service| {
        let rotations = service
            .variables
            .values()
            .filter_map(|variable| match variable {
                VariableWish::Secret { rotated_after, .. } => *rotated_after,
                VariableWish::Text(_)
                | VariableWish::Number(_)
                | VariableWish::Flag(_)
                | VariableWish::Absent => None,
            });
        rotations.chain(service.restarted_after)
    });
    times.map(seconds).max().unwrap_or_default().max(0)
}

/// What the first wish asks for, with drift, and a service that nobody declares.
fn world(chance: &mut Chance, family: &Family, switches: &Switches) -> State {
    let wish = &family.wishes[0];
    let mut services = BTreeMap::new();
    for (position, (name, setup)) in family.setups.iter().enumerate() {
        let stored = stored(
            chance,
            position,
            setup,
            &wish.services[name],
            &wish.content(name),
        );
        services.insert(name.clone(), stored);
    }
    services.insert("postgres".to_owned(), foreign());
    let mut patches: Vec<Committed> = Vec::new();
    for position in 0..chance.below(14) {
        let at = at(-7200 + i64::try_from(position).expect("small") * 240);
        let ids: Vec<String> = services
            .values()
            .map(|stored: &Stored| stored.id.clone())
            .collect();
        let field = chance.pick(&[
            Field::Image,
            Field::Replicas,
            Field::Setting(reconciler::world::railway::SettingName::Ready),
            Field::Variable("LOG_LEVEL".to_owned()),
            Field::Variable("FOREIGN".to_owned()),
        ]);
        let touched = BTreeMap::from([(chance.pick(&ids), BTreeSet::from([field]))]);
        patches.push(Committed {
            id: format!("old-{position}"),
            message: "before".to_owned(),
            created_at: at,
            applied_at: at,
            touched,
            failed: None,
        });
    }
    if chance.percent(10) {
        // Somebody died between a patch and its deployment.
        let ids: Vec<String> = services.values().map(|stored| stored.id.clone()).collect();
        let touched = BTreeMap::from([(
            chance.pick(&ids),
            BTreeSet::from([Field::Variable("LOG_LEVEL".to_owned())]),
        )]);
        patches.push(Committed {
            id: "old-last".to_owned(),
            message: "before".to_owned(),
            created_at: at(-20),
            applied_at: at(-20),
            touched,
            failed: None,
        });
    }
    let _ = switches;
    State {
        services,
        patches,
        staged: Vec::new(),
    }
}

fn stored(
    chance: &mut Chance,
    position: usize,
    setup: &Setup,
    wish: &ServiceWish,
    content: &Content,
) -> Stored {
    let drifts = chance.percent(60);
    let image = content
        .image
        .clone()
        .filter(|_| !drifts || chance.percent(50))
        .unwrap_or_else(|| "ghcr.io/acme/app:1.4.1".to_owned());
    let commit = content
        .commit
        .clone()
        .filter(|_| !drifts || chance.percent(50))
        .unwrap_or_else(|| "1".repeat(40));
    let mut placement = match &wish.replicas {
        Some(ReplicasWish::Number(count)) => BTreeMap::from([("us-west2".to_owned(), *count)]),
        Some(ReplicasWish::Regions(regions)) => regions.clone(),
        None => BTreeMap::from([("us-west2".to_owned(), 1)]),
    };
    if setup.has_volume || setup.has_schedule {
        placement = BTreeMap::from([("us-west2".to_owned(), 1)]);
    } else if drifts && chance.percent(40) {
        placement = chance
            .pick(&[
                vec![],
                vec![("us-west2", 2)],
                vec![("europe-west4", 1), ("us-west2", 3)],
            ])
            .into_iter()
            .map(|(region, count)| (region.to_owned(), count))
            .collect();
    }
    let ready = wish.ready.clone().filter(|_| !drifts || chance.percent(50));
    let source = if setup.repository {
        Source::Repository {
            name: "acme/app".to_owned(),
        }
    } else {
        Source::Image(image)
    };
    let mut stored = Stored {
        id: format!("service-{position}"),
        source,
        head: setup.repository.then_some(commit),
        updates_itself: !setup.repository && chance.percent(2),
        ready: Ready {
            path: ready.as_ref().map(|(path, _)| path.clone()),
            within_seconds: ready
                .and_then(|(_, within)| within)
                .unwrap_or(READY_SECONDS),
        },
        placement,
        variables: variables(chance, wish, drifts),
        has_volume: setup.has_volume,
        has_schedule: setup.has_schedule,
        updated_at: at(-4000),
        runs: Vec::new(),
    };
    stored.runs = runs(chance, &stored);
    stored
}

fn variables(chance: &mut Chance, wish: &ServiceWish, drifts: bool) -> BTreeMap<String, Held> {
    let held = |value: String, sealed: bool| Held {
        value,
        sealed,
        written_at: at(-4000),
    };
    let mut variables = BTreeMap::from([(
        "FOREIGN".to_owned(),
        held("foreign-5ecret".to_owned(), false),
    )]);
    for (name, wanted) in &wish.variables {
        let is_other = drifts && chance.percent(40);
        let value = match wanted {
            _ if is_other && chance.percent(30) => None,
            _ if is_other => Some(held("other-5ecret".to_owned(), chance.percent(10))),
            VariableWish::Absent => None,
            VariableWish::Secret { name, sealed, .. } => Some(held(secret(name, 1), *sealed)),
            VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => {
                Some(held(wanted.text().expect("it is text"), false))
            }
        };
        if let Some(value) = value {
            variables.insert(name.clone(), value);
        }
    }
    variables
}

/// One to three deployments, the newest of what is stored.
fn runs(chance: &mut Chance, stored: &Stored) -> Vec<Run> {
    if chance.percent(4) {
        return Vec::new();
    }
    let count = i64::try_from(chance.between(1, 3)).expect("small");
    let newest_at = chance.pick(&[-3600, -3600, -3600, -600, -8]);
    let mut runs: Vec<Run> = (0..count)
        .map(|age| {
            let load = stored.load(None);
            let older = if load.image.is_some() && age > 0 {
                Load {
                    image: Some(format!("ghcr.io/acme/app:1.4.{}", 3 - age)),
                    ..load
                }
            } else {
                load
            };
            let created_at = at(newest_at - age * 9000);
            let outcome = if age == 0 {
                Outcome::of(&older)
            } else {
                Outcome::Good
            };
            let up_at = created_at + jiff::SignedDuration::from_secs(5);
            let id = format!("old-{}-{age}", stored.id);
            Run {
                id,
                created_at,
                up_at,
                outcome,
                load: older,
                made: Made::FromStored,
                patch: None,
                stopped_at: None,
                removed_at: None,
                by: None,
            }
        })
        .collect();
    runs.reverse();
    runs
}

/// A service that no manifest names: nobody of ours may touch it.
fn foreign() -> Stored {
    let mut stored = Stored {
        id: "service-foreign".to_owned(),
        source: Source::Image("postgres:17".to_owned()),
        head: None,
        updates_itself: false,
        ready: Ready {
            path: None,
            within_seconds: READY_SECONDS,
        },
        placement: BTreeMap::from([("us-west2".to_owned(), 1)]),
        variables: BTreeMap::from([(
            "PGPASSWORD".to_owned(),
            Held {
                value: "postgres-5ecret".to_owned(),
                sealed: false,
                written_at: at(-4000),
            },
        )]),
        has_volume: true,
        has_schedule: false,
        updated_at: at(-4000),
        runs: Vec::new(),
    };
    let load = stored.load(None);
    stored.runs = vec![Run {
        id: "old-foreign".to_owned(),
        created_at: at(-90_000),
        up_at: at(-89_000),
        outcome: Outcome::Good,
        load,
        made: Made::FromStored,
        patch: None,
        stopped_at: None,
        removed_at: None,
        by: None,
    }];
    stored
}

/// Manifests parsed once for all threads.
pub fn desired(yaml: &str) -> Arc<reconciler::manifest::Desired> {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};
    static PARSED: LazyLock<Mutex<HashMap<String, Arc<reconciler::manifest::Desired>>>> =
        LazyLock::new(Mutex::default);
    if let Some(known) = PARSED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(yaml)
    {
        return Arc::clone(known);
    }
    let files = reconciler::source::Files {
        directory: String::new(),
        texts: BTreeMap::from([(Arc::from("production.yaml"), Arc::from(yaml))]),
    };
    let parsed = match reconciler::manifest::load(&files, super::wish::start()) {
        Ok(desired) => Arc::new(desired),
        Err(problems) => panic!("the generator writes manifests that load:\n{yaml}\n{problems:?}"),
    };
    PARSED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(yaml.to_owned(), Arc::clone(&parsed));
    parsed
}
