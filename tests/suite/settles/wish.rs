//! Desired states: what a commit asks for, drawn from a seed and written as manifests.

use super::chance::Chance;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// When every schedule begins.
pub fn start() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().expect("a moment")
}

/// A moment by seconds from the start.
pub fn at(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// What one commit asks of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub release: Content,
    pub services: BTreeMap<String, ServiceWish>,
}

/// What runs, by either name that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub image: Option<String>,
    pub commit: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceWish {
    pub runs: Runs,
    pub replicas: Option<ReplicasWish>,
    pub ready: Option<(String, Option<u64>)>,
    pub restarted_after: Option<Timestamp>,
    pub variables: BTreeMap<String, VariableWish>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    Unsaid,
    Release,
    Own(Content),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicasWish {
    Number(u32),
    Regions(BTreeMap<String, u32>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableWish {
    Text(String),
    Number(i64),
    Flag(bool),
    Secret {
        name: String,
        sealed: bool,
        rotated_after: Option<Timestamp>,
    },
    Absent,
}

impl Wish {
    /// What a service shall run.
    pub fn content(&self, service: &str) -> Content {
        match &self.services[service].runs {
            Runs::Unsaid => Content {
                image: None,
                commit: None,
            },
            Runs::Release => self.release.clone(),
            Runs::Own(content) => content.clone(),
        }
    }

    /// The manifests, as a person would write them.
    pub fn yaml(&self) -> String {
        let mut out = String::from(
            "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec:\n  railway: { project: shop, environment: production }\n  secrets: { prefix: SHOP_ }\n",
        );
        let _ = writeln!(
            out,
            "---\napiVersion: reconciler/v1alpha1\nkind: Release\nmetadata: {{ name: app }}\nspec:"
        );
        content_lines(&mut out, &self.release);
        for (name, service) in &self.services {
            let _ = writeln!(
                out,
                "---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}"
            );
            let spec = service.lines();
            out.push_str(if spec.is_empty() {
                "spec: {}\n"
            } else {
                "spec:\n"
            });
            out.push_str(&spec);
        }
        out
    }
}

fn content_lines(out: &mut String, content: &Content) {
    if let Some(image) = &content.image {
        let _ = writeln!(out, "  image: \"{image}\"");
    }
    if let Some(commit) = &content.commit {
        let _ = writeln!(out, "  commit: \"{commit}\"");
    }
}

impl ServiceWish {
    fn lines(&self) -> String {
        let mut out = String::new();
        match &self.runs {
            Runs::Unsaid => {}
            Runs::Release => out.push_str("  release: app\n"),
            Runs::Own(content) => content_lines(&mut out, content),
        }
        match &self.replicas {
            Some(ReplicasWish::Number(count)) => {
                let _ = writeln!(out, "  replicas: {count}");
            }
            Some(ReplicasWish::Regions(regions)) => {
                let regions: Vec<String> = regions
                    .iter()
                    .map(|(region, count)| format!("{region}: {count}"))
                    .collect();
                let _ = writeln!(out, "  replicas: {{ {} }}", regions.join(", "));
            }
            None => {}
        }
        match &self.ready {
            Some((path, Some(within))) => {
                let _ = writeln!(out, "  ready: {{ path: {path}, within: {within}s }}");
            }
            Some((path, None)) => {
                let _ = writeln!(out, "  ready: {{ path: {path} }}");
            }
            None => {}
        }
        if let Some(after) = self.restarted_after {
            let _ = writeln!(out, "  restartedAfter: {after}");
        }
        if !self.variables.is_empty() {
            out.push_str("  variables:\n");
        }
        for (name, variable) in &self.variables {
            let _ = writeln!(out, "    {name}: {}", variable.yaml());
        }
        out
    }
}

impl VariableWish {
    fn yaml(&self) -> String {
        match self {
            VariableWish::Text(text) => format!("\"{text}\""),
            VariableWish::Number(number) => number.to_string(),
            VariableWish::Flag(flag) => flag.to_string(),
            VariableWish::Absent => "{ absent: true }".to_owned(),
            VariableWish::Secret {
                name,
                sealed,
                rotated_after,
            } => {
                let mut out = format!("{{ from: {{ secret: {name} }}");
                if *sealed {
                    out.push_str(", sealed: true");
                }
                if let Some(after) = rotated_after {
                    let _ = write!(out, ", rotatedAfter: {after}");
                }
                out + " }"
            }
        }
    }

    /// The value that it asks for, where it is no secret.
    pub fn text(&self) -> Option<String> {
        match self {
            VariableWish::Text(text) => Some(text.clone()),
            VariableWish::Number(number) => Some(number.to_string()),
            VariableWish::Flag(flag) => Some(flag.to_string()),
            VariableWish::Secret { .. } | VariableWish::Absent => None,
        }
    }
}

/// What a service is, apart from what git says: it never changes while a schedule lasts.
#[derive(Debug, Clone)]
pub struct Setup {
    pub repository: bool,
    pub has_volume: bool,
    pub has_schedule: bool,
}

/// Services and the commits that follow each other over them.
#[derive(Debug, Clone)]
pub struct Family {
    pub setups: BTreeMap<String, Setup>,
    pub wishes: Vec<Wish>,
}

const NAMES: &[&str] = &["web", "worker", "api", "mailer", "search"];
const IMAGES: &[&str] = &[
    "ghcr.io/acme/app:1.4.1",
    "ghcr.io/acme/app:1.4.2",
    "ghcr.io/acme/app:1.5.0",
    "docker.io/library/redis:7.4",
];
/// What fails, crashes, waits for approval, hangs or is refused by a policy.
pub const BAD_IMAGES: &[&str] = &[
    "ghcr.io/acme/app:bad",
    "ghcr.io/acme/app:crash",
    "ghcr.io/acme/app:approve",
    "ghcr.io/forbidden/app:1",
];
pub const COMMITS: &[&str] = &[
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
    "3333333333333333333333333333333333333333",
];
/// What fails, is skipped, or is not in the repository.
pub const BAD_COMMITS: &[&str] = &[
    "badbadbadbadbadbadbadbadbadbadbadbadbadb",
    "5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b",
    "0000000000000000000000000000000000000000",
];
const REGIONS: &[&str] = &["us-west2", "europe-west4", "asia-southeast1"];

/// Whether a content is one of those that do not come up.
pub fn is_bad(content: &Content) -> bool {
    content
        .image
        .as_ref()
        .is_some_and(|image| BAD_IMAGES.contains(&image.as_str()))
        || content
            .commit
            .as_ref()
            .is_some_and(|commit| BAD_COMMITS.contains(&commit.as_str()))
}

fn content(chance: &mut Chance, bad_percent: u64) -> Content {
    let images = if chance.percent(bad_percent) {
        BAD_IMAGES
    } else {
        IMAGES
    };
    let commits = if chance.percent(bad_percent) {
        BAD_COMMITS
    } else {
        COMMITS
    };
    Content {
        image: Some(chance.pick(images).to_owned()),
        commit: Some(chance.pick(commits).to_owned()),
    }
}

impl Family {
    pub fn drawn(seed: u64) -> Family {
        let chance = &mut Chance::new(seed, 1);
        let count = chance.pick(&[1, 1, 1, 2, 2, 2, 3, 3, 4, 5]);
        let setups: BTreeMap<String, Setup> = NAMES[..count]
            .iter()
            .map(|name| ((*name).to_owned(), setup(chance)))
            .collect();
        let services = setups
            .iter()
            .map(|(name, setup)| (name.clone(), service(chance, setup)))
            .collect();
        let mut wishes = vec![Wish {
            release: content(chance, 8),
            services,
        }];
        for _ in 0..chance.below(4) {
            let next = next(chance, &wishes, &setups);
            wishes.push(next);
        }
        if let Some(last) = wishes.last_mut()
            && chance.percent(85)
        {
            mend(chance, last);
        }
        Family { setups, wishes }
    }
}

fn setup(chance: &mut Chance) -> Setup {
    let has_volume = chance.percent(10);
    Setup {
        repository: chance.percent(35),
        has_volume,
        has_schedule: !has_volume && chance.percent(8),
    }
}

fn service(chance: &mut Chance, setup: &Setup) -> ServiceWish {
    let mut wish = ServiceWish {
        runs: Runs::Unsaid,
        replicas: None,
        ready: None,
        restarted_after: None,
        variables: BTreeMap::new(),
    };
    for part in 0..8 {
        edit(chance, &mut wish, setup, part);
    }
    wish
}

/// Draws one part of a service anew.
fn edit(chance: &mut Chance, wish: &mut ServiceWish, setup: &Setup, part: u64) {
    match part {
        0 => wish.runs = runs(chance, setup),
        1 => wish.replicas = replicas(chance, setup),
        2 => {
            let within = if chance.percent(40) {
                Some(chance.pick(&[60, 120, 300]))
            } else {
                None
            };
            wish.ready = chance
                .percent(35)
                .then(|| (chance.pick(&["/live", "/ready"]).to_owned(), within));
        }
        3 => {
            wish.restarted_after = chance
                .percent(15)
                .then(|| at(chance.pick(&[-10_800, -1_200, -60, 20, 45, 90])));
        }
        _ => variable(chance, wish),
    }
}

fn runs(chance: &mut Chance, setup: &Setup) -> Runs {
    match chance.below(100) {
        0..60 => Runs::Release,
        60..85 => {
            let drawn = content(chance, 12);
            let fits = !chance.percent(4);
            if setup.repository == fits {
                Runs::Own(Content {
                    image: None,
                    ..drawn
                })
            } else {
                Runs::Own(Content {
                    commit: None,
                    ..drawn
                })
            }
        }
        _ => Runs::Unsaid,
    }
}

fn replicas(chance: &mut Chance, setup: &Setup) -> Option<ReplicasWish> {
    let one_only = (setup.has_volume || setup.has_schedule) && !chance.percent(10);
    match chance.below(100) {
        0..30 => None,
        30..75 => Some(ReplicasWish::Number(if one_only {
            1
        } else {
            u32::try_from(chance.between(1, 4)).expect("small")
        })),
        _ if one_only => Some(ReplicasWish::Number(1)),
        _ => {
            let mut regions = BTreeMap::new();
            for _ in 0..chance.between(1, 2) {
                regions.insert(
                    chance.pick(REGIONS).to_owned(),
                    u32::try_from(chance.between(1, 3)).expect("small"),
                );
            }
            Some(ReplicasWish::Regions(regions))
        }
    }
}

fn variable(chance: &mut Chance, wish: &mut ServiceWish) {
    let name = chance.pick(&[
        "LOG_LEVEL",
        "WORKERS",
        "VERBOSE",
        "STRIPE_KEY",
        "SIGNING_KEY",
        "OLD_FLAG",
        "CACHE_URL",
    ]);
    if chance.percent(30) {
        wish.variables.remove(name);
        return;
    }
    let value = match name {
        "LOG_LEVEL" => VariableWish::Text(chance.pick(&["info", "debug", "warn"]).to_owned()),
        "WORKERS" => VariableWish::Number(chance.pick(&[2, 4, 8])),
        "VERBOSE" => VariableWish::Flag(chance.percent(50)),
        "STRIPE_KEY" => VariableWish::Secret {
            name: "STRIPE_KEY".to_owned(),
            sealed: false,
            rotated_after: None,
        },
        "SIGNING_KEY" => {
            let rotated_after = chance
                .percent(40)
                .then(|| at(chance.pick(&[-10_800, -600, 10, 30, 60])));
            VariableWish::Secret {
                name: "SIGNING_KEY".to_owned(),
                sealed: true,
                rotated_after,
            }
        }
        "OLD_FLAG" => VariableWish::Absent,
        _ => VariableWish::Text(
            chance
                .pick(&[
                    "${{redis.REDIS_URL}}",
                    "${{ redis.REDIS_URL }}",
                    "${{shared.CACHE}}",
                ])
                .to_owned(),
        ),
    };
    wish.variables.insert(name.to_owned(), value);
}

fn next(chance: &mut Chance, before: &[Wish], setups: &BTreeMap<String, Setup>) -> Wish {
    if chance.percent(25) {
        return chance.pick(before);
    }
    let mut wish = before.last().expect("there is a first").clone();
    if chance.percent(45) {
        wish.release = content(chance, 12);
    }
    for _ in 0..chance.between(1, 3) {
        let names: Vec<String> = wish.services.keys().cloned().collect();
        let name = chance.pick(&names);
        let part = chance.below(8);
        let service = wish
            .services
            .get_mut(&name)
            .expect("it was picked from there");
        edit(chance, service, &setups[&name], part);
    }
    wish
}

/// Puts good contents in the place of bad ones: what people do in the end.
fn mend(chance: &mut Chance, wish: &mut Wish) {
    if is_bad(&wish.release) {
        wish.release = content(chance, 0);
    }
    for service in wish.services.values_mut() {
        if let Runs::Own(own) = &mut service.runs
            && is_bad(own)
        {
            let good = content(chance, 0);
            *own = Content {
                image: own.image.as_ref().and(good.image),
                commit: own.commit.as_ref().and(good.commit),
            };
        }
    }
}
