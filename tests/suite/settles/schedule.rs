//! A schedule: everything that happens in one simulation, drawn from its seed before it begins.

mod world;

use super::chance::Chance;
use super::hands::Hand;
use super::law::Law;
use super::model::State;
use super::switches::Switches;
use super::wish::{
    Family, REGISTRY_TOKEN, SIGNING_KEY, SMTP_PASSWORD, STRIPE_KEY, VariableWish, Wish, at,
};
use jiff::Timestamp;
use reconciler::manifest::Desired;
use reconciler::providers::Secrets;
use reconciler::world::Seen;
use reconciler::world::secret::Secret;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

/// Parsing manifests costs more than planning: schedules share so many families of desired states.
const FAMILIES: u64 = 1500;
/// The same of those in which a controller keeps the policies of an Environment.
const POLICY_FAMILIES: u64 = 500;
/// From this seed on a controller works, with a time for what did not come from git and windows in which nothing is begun.
pub const POLICIES: u64 = 1_000_000;

/// A family with its manifests, read once for all threads.
#[derive(Debug)]
pub struct Kin {
    family: Family,
    /// Each wish as it is, and knowing the one before it.
    desired: Vec<[Arc<Desired>; 2]>,
}

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
    kin: Arc<Kin>,
    /// Whether each commit knows what the one before it declared.
    pub removes: bool,
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
    /// A secret that is missing from the store all the time.
    pub lacks: Option<&'static str>,
    /// How a controller works, where one does.
    pub controller: Option<Controller>,
    /// When faults, edits and commits stop.
    pub quiet_at: Timestamp,
    /// Whether people then clear what only people can clear.
    pub is_cleared: bool,
}

/// How a controller works.
#[derive(Debug, Clone, Copy)]
pub struct Controller {
    /// Whether what it has seen outlasts its processes.
    pub remembers: bool,
}

impl Kin {
    fn with_policies(number: u64) -> Arc<Kin> {
        static KNOWN: LazyLock<Vec<OnceLock<Arc<Kin>>>> =
            LazyLock::new(|| (0..POLICY_FAMILIES).map(|_| OnceLock::new()).collect());
        let place = &KNOWN[usize::try_from(number).expect("a small number")];
        let family = || Family::drawn(POLICIES + number).with_policies(number);
        Arc::clone(place.get_or_init(|| Arc::new(Kin::read(family()))))
    }

    fn of(number: u64) -> Arc<Kin> {
        static KNOWN: LazyLock<Vec<OnceLock<Arc<Kin>>>> =
            LazyLock::new(|| (0..FAMILIES).map(|_| OnceLock::new()).collect());
        let place = &KNOWN[usize::try_from(number).expect("a small number")];
        Arc::clone(place.get_or_init(|| Arc::new(Kin::read(Family::drawn(number)))))
    }

    fn read(family: Family) -> Kin {
        let plain: Vec<Arc<Desired>> = family
            .wishes
            .iter()
            .map(|wish| Arc::new(parsed(&wish.yaml())))
            .collect();
        let knowing = |position: usize, desired: &Arc<Desired>| {
            let before = position.checked_sub(1).map(|before| &plain[before]);
            before.map_or_else(
                || Arc::clone(desired),
                |before| Arc::new(Desired::clone(desired).after(before)),
            )
        };
        let desired = plain
            .iter()
            .enumerate()
            .map(|(position, desired)| [Arc::clone(desired), knowing(position, desired)])
            .collect();
        Kin { family, desired }
    }
}

impl Schedule {
    pub fn drawn(seed: u64) -> Schedule {
        let has_policies = seed >= POLICIES;
        let kin = if has_policies {
            Kin::with_policies(seed % POLICY_FAMILIES)
        } else {
            Kin::of(seed % FAMILIES)
        };
        let family = &kin.family;
        let chance = &mut Chance::new(seed, 2);
        let switches = Switches::drawn(chance);
        let world = world::drawn(chance, family);
        let mut commits = vec![at(0)];
        for _ in 1..family.wishes.len() {
            let last = seconds(*commits.last().expect("there is a first"));
            commits.push(at(last + between(chance, 3, 50)));
        }
        let last_commit = seconds(*commits.last().expect("there is a first"));
        let quiet = (last_commit + between(chance, 10, 60)).max(last_one_shot(&family.wishes) + 5);
        let quiet = quiet.max(last_freeze(&family.wishes) + 5);
        // More edits of one part would be too many to fight over.
        let edits = if has_policies {
            chance.pick(&[0, 1, 2, 2])
        } else {
            chance.pick(&[0, 0, 0, 1, 1, 2, 3])
        };
        let mut hands: Vec<(Timestamp, Hand)> = (0..edits)
            .map(|_| {
                let moment = at(between(chance, 0, quiet - 1));
                (moment, Hand::drawn(chance, &family.setups))
            })
            .collect();
        hands.sort_by_key(|(at, _)| *at);
        let denied_from = between(chance, 0, quiet);
        Schedule {
            seed,
            switches,
            world,
            removes: chance.percent(60),
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
            lacks: chance
                .percent(4)
                .then(|| chance.pick(&[STRIPE_KEY, STRIPE_KEY, REGISTRY_TOKEN, SMTP_PASSWORD])),
            controller: has_policies.then(|| Controller {
                remembers: chance.percent(75),
            }),
            quiet_at: at(quiet),
            is_cleared: chance.percent(90),
            kin,
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

    /// What each commit asks for.
    pub fn wishes(&self) -> &[Wish] {
        &self.kin.family.wishes
    }

    pub fn last_wish(&self) -> &Wish {
        self.wishes().last().expect("there is one")
    }

    /// A commit's manifests, with those of the commit before it where this schedule removes.
    pub fn desired(&self, commit: usize) -> Arc<Desired> {
        Arc::clone(&self.kin.desired[commit][usize::from(self.removes)])
    }

    /// What a commit permits.
    pub fn law(&self, commit: usize) -> Law<'_> {
        let before = commit.checked_sub(1).filter(|_| self.removes);
        Law {
            wish: &self.wishes()[commit],
            before: before.map(|before| &self.wishes()[before]),
        }
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
        [STRIPE_KEY, SIGNING_KEY, REGISTRY_TOKEN, SMTP_PASSWORD]
            .into_iter()
            .map(|name| {
                // Whoever keeps the registry keeps its token.
                let version = if name == REGISTRY_TOKEN { 1 } else { version };
                let seen = if self.lacks == Some(name) {
                    Seen::Unseen(format!("the secret {name} is not there"))
                } else {
                    Seen::Facts(Secret::new(secret(name, version)))
                };
                (name.to_owned(), seen)
            })
            .collect()
    }

    /// Whether the store has a secret.
    pub fn has_secret(&self, name: &str) -> bool {
        self.lacks != Some(name)
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
    let shared = wishes.iter().flat_map(|wish| wish.shared.values());
    let services = || wishes.iter().flat_map(|wish| wish.services.values());
    let own = services().flat_map(|service| service.variables.values());
    let rotations = shared.chain(own).filter_map(VariableWish::rotated_after);
    let others = services().flat_map(|service| {
        let registry = service.registry.as_ref();
        registry
            .and_then(|registry| registry.rotated_after)
            .into_iter()
            .chain(service.restarted_after)
    });
    let times = rotations.chain(others);
    times.map(seconds).max().unwrap_or_default().max(0)
}

fn last_freeze(wishes: &[Wish]) -> i64 {
    let ends = wishes.iter().filter_map(|wish| wish.freeze);
    ends.map(|(_, to)| seconds(to)).max().unwrap_or_default()
}

/// Manifests as the product reads them.
pub fn parsed(yaml: &str) -> Desired {
    let files = reconciler::source::Files {
        directory: String::new(),
        texts: BTreeMap::from([(Arc::from("production.yaml"), Arc::from(yaml))]),
    };
    match reconciler::manifest::load(&files, super::wish::start()) {
        Ok(desired) => desired,
        Err(problems) => panic!("the generator writes manifests that load:\n{yaml}\n{problems:?}"),
    }
}
