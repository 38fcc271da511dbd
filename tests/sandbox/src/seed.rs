//! The world a sandbox starts from, written as YAML: projects, environments, services, tokens, and which images and commits are bad.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::plan::Plan;
use crate::switches::Switches;
use crate::time::Time;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub start: Time,
    pub plan: Plan,
    /// How many requests an hour a token has, where that is not what the plan allows.
    pub requests_per_hour: Option<u32>,
    pub timings: Timings,
    pub workspace: WorkspaceSeed,
    pub regions: Vec<RegionSeed>,
    pub projects: BTreeMap<String, ProjectSeed>,
    pub tokens: BTreeMap<String, TokenSeed>,
    /// What is known about images, by reference. Any other image is good.
    pub images: BTreeMap<String, Known>,
    /// When given, the only commits that exist.
    pub commits: Option<BTreeMap<String, Known>>,
    /// Custom domains for which no certificate is ever issued.
    pub broken_domains: Vec<String>,
    /// Switches that differ from the default in this world.
    pub switches: Switches,
}

impl Seed {
    pub fn parse(yaml: &str) -> Result<Seed, String> {
        // A seed is our own file, and may hold many thousand environments.
        let options = serde_yaml::options! {
            budget: serde_yaml::budget! { max_nodes: usize::MAX, max_events: usize::MAX, max_total_scalar_bytes: usize::MAX, max_reader_input_bytes: None },
        };
        let seed: Seed = serde_yaml::from_str_with_options(yaml, options)
            .map_err(|error| format!("cannot read the seed: {error}"))?;
        seed.checked()
    }

    fn checked(self) -> Result<Seed, String> {
        for (token, about) in &self.tokens {
            let Some(project) = &about.project else {
                if about.kind == TokenKind::Project {
                    return Err(format!(
                        "token {token} is a project token without a project"
                    ));
                }
                continue;
            };
            let known = self
                .projects
                .get(project)
                .ok_or(format!("token {token} names no project of the seed"))?;
            if about
                .environment
                .as_ref()
                .is_none_or(|name| !known.environments.contains_key(name))
            {
                return Err(format!(
                    "token {token} names no environment of project {project}"
                ));
            }
        }
        Ok(self)
    }
}

impl Default for Seed {
    fn default() -> Seed {
        Seed {
            start: Time(1_795_399_200_000), // 2026-11-23T02:00:00Z
            plan: Plan::Pro,
            requests_per_hour: None,
            timings: Timings::default(),
            workspace: WorkspaceSeed::default(),
            regions: regions(),
            projects: BTreeMap::new(),
            tokens: BTreeMap::new(),
            images: BTreeMap::new(),
            commits: None,
            broken_domains: Vec::new(),
            switches: Switches::default(),
        }
    }
}

/// How long each part of a deployment's life takes, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timings {
    pub queue: f64,
    pub initialize: f64,
    pub build: f64,
    pub deploy: f64,
    /// Added to `deploy` when there is a healthcheck path.
    pub healthcheck: f64,
    pub restart: f64,
    /// The pre-deploy command.
    pub pre_deploy: f64,
    /// From a push to the end of its checks, for a service that waits for them.
    pub checks: f64,
    /// Without traffic for so long, a service that may sleep does.
    pub idle: f64,
    pub wake: f64,
    /// Moving a volume to another region.
    pub migrate: f64,
    pub backup: f64,
    /// Copying a backup into a fresh volume.
    pub restore: f64,
    /// Copying an environment in the background.
    pub duplicate: f64,
    /// Until the DNS of a new custom domain points here.
    pub dns: f64,
    /// From there to its certificate.
    pub certificate: f64,
    /// From REMOVING to REMOVED, beside overlap and draining.
    pub remove: f64,
    /// Overrides the plan's own retention.
    pub retention_hours: Option<u32>,
}

impl Default for Timings {
    fn default() -> Timings {
        let retention_hours = None;
        Timings {
            queue: 1.0,
            initialize: 1.0,
            build: 6.0,
            deploy: 3.0,
            healthcheck: 3.0,
            restart: 4.0,
            pre_deploy: 2.0,
            checks: 10.0,
            idle: 600.0,
            wake: 2.0,
            migrate: 20.0,
            backup: 5.0,
            restore: 10.0,
            duplicate: 5.0,
            dns: 60.0,
            certificate: 30.0,
            remove: 2.0,
            retention_hours,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkspaceSeed {
    pub name: String,
    pub id: Option<String>,
    /// The person behind account tokens and hand edits.
    pub person: String,
    /// Images whose reference contains one of these may not be deployed.
    pub forbidden_images: Vec<String>,
    pub forbids_domains: bool,
    pub forbids_tcp_proxies: bool,
    /// Whether people have to have logged in with a second factor. Tokens need none.
    pub requires_two_factor: bool,
}

impl Default for WorkspaceSeed {
    fn default() -> WorkspaceSeed {
        WorkspaceSeed {
            name: "sentia".into(),
            id: None,
            person: "operator@sentia.test".into(),
            forbidden_images: Vec::new(),
            forbids_domains: false,
            forbids_tcp_proxies: false,
            requires_two_factor: false,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSeed {
    pub name: String,
    /// The airport code under which newer projects know it.
    pub airport: String,
    pub location: String,
    pub country: String,
    #[serde(default)]
    pub replaced_by: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectSeed {
    pub id: Option<String>,
    /// Ids of services, by name, where they matter.
    pub services: BTreeMap<String, String>,
    pub environments: BTreeMap<String, EnvironmentSeed>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentSeed {
    pub id: Option<String>,
    pub ephemeral: bool,
    /// Whether only tokens that are bound to it may look inside.
    pub restricted: bool,
    pub shared: BTreeMap<String, VariableSeed>,
    pub services: BTreeMap<String, ServiceSeed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSeed {
    pub image: Option<String>,
    pub repo: Option<String>,
    pub branch: Option<String>,
    /// The commit that the first deployment runs, and the branch's head.
    pub commit: Option<String>,
    pub auto_deploy: bool,
    pub healthcheck: Option<String>,
    pub replicas: Replicas,
    pub variables: BTreeMap<String, VariableSeed>,
    /// Domains that Railway generated.
    pub domains: Vec<String>,
    /// Domains of one's own, verified since long.
    pub custom_domains: Vec<String>,
    pub volume: Option<VolumeSeed>,
    /// Further settings, as Railway's config writes them.
    pub deploy: Map<String, Value>,
    pub build: Map<String, Value>,
    /// Images that ran here before, oldest first: they can be rolled back to.
    pub previous: Vec<String>,
    /// Whether it is deployed at the start.
    pub running: bool,
    /// Paths that its application answers even in maintenance.
    pub open: Vec<String>,
}

impl Default for ServiceSeed {
    fn default() -> ServiceSeed {
        ServiceSeed {
            image: None,
            repo: None,
            branch: None,
            commit: None,
            auto_deploy: true,
            healthcheck: None,
            replicas: Replicas::Count(1),
            variables: BTreeMap::new(),
            domains: Vec::new(),
            custom_domains: Vec::new(),
            volume: None,
            deploy: Map::new(),
            build: Map::new(),
            previous: Vec::new(),
            running: true,
            open: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Replicas {
    /// All in the first region.
    Count(u32),
    ByRegion(BTreeMap<String, u32>),
}

/// A value, or `{ value, sealed }`.
#[derive(Clone, Debug, Serialize)]
pub struct VariableSeed {
    pub value: String,
    pub sealed: bool,
}

impl<'de> Deserialize<'de> for VariableSeed {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<VariableSeed, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Plain(String),
            Full {
                value: String,
                #[serde(default)]
                sealed: bool,
            },
        }
        Ok(match Either::deserialize(input)? {
            Either::Plain(value) => VariableSeed {
                value,
                sealed: false,
            },
            Either::Full { value, sealed } => VariableSeed { value, sealed },
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSeed {
    #[serde(default)]
    pub id: Option<String>,
    pub name: String,
    pub mount: String,
    #[serde(default = "five_gigabytes")]
    pub size_mb: u32,
}

fn five_gigabytes() -> u32 {
    5_000
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSeed {
    pub kind: TokenKind,
    #[serde(default)]
    pub project: Option<String>,
    #[serde(default)]
    pub environment: Option<String>,
    #[serde(default)]
    pub expires: Option<Time>,
    #[serde(default)]
    pub read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    Account,
    Workspace,
    Project,
    /// A person's own login, without a second factor.
    Session,
}

/// What an image or a commit does when it is deployed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Known {
    pub outcome: Outcome,
    /// Given with `crashed`: it first runs this long.
    pub after_seconds: Option<f64>,
    pub log: Vec<String>,
    pub digest: Option<String>,
    pub message: Option<String>,
    pub author: Option<String>,
    /// What its application answers, by path; `*` stands for every other path.
    pub pages: BTreeMap<String, PageSeed>,
    /// Whether a pre-deploy command fails.
    pub pre_deploy_fails: bool,
    /// The registry password without which it cannot be pulled.
    pub password: Option<String>,
    /// What the repository's checks say of a commit.
    pub checks: Checks,
    /// The railway.json or railway.toml in a commit.
    pub file: Option<Box<ConfigFileSeed>>,
    /// The files that a commit changes, for watch patterns; none: anything may have changed.
    pub files: Vec<String>,
}

/// A repository's own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFileSeed {
    pub path: String,
    pub build: Map<String, Value>,
    pub deploy: Map<String, Value>,
    /// `build` and `deploy` for one environment, by name; `pr` for those of pull requests.
    pub environments: BTreeMap<String, Map<String, Value>>,
}

impl Default for ConfigFileSeed {
    fn default() -> ConfigFileSeed {
        ConfigFileSeed {
            path: "railway.json".into(),
            build: Map::new(),
            deploy: Map::new(),
            environments: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checks {
    #[default]
    Pass,
    Fail,
}

/// What an application answers on one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageSeed {
    pub status: u16,
    pub body: String,
}

impl Default for PageSeed {
    fn default() -> PageSeed {
        PageSeed {
            status: 200,
            body: String::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Good,
    /// The build or the pull fails.
    Failed,
    /// The process exits until the restart policy gives up.
    Crashed,
    /// It runs, but never answers a healthcheck.
    NeverReady,
    /// It waits for somebody to approve it, then is good.
    NeedsApproval,
    /// The process does its work and exits with 0.
    Exits,
}

fn regions() -> Vec<RegionSeed> {
    let region = |name: &str, airport: &str, location: &str, country: &str| RegionSeed {
        name: name.into(),
        airport: airport.into(),
        location: location.into(),
        country: country.into(),
        replaced_by: None,
    };
    vec![
        region("us-west2", "sfo", "US West (California)", "US"),
        region("us-east4-eqdc4a", "iad", "US East (Virginia)", "US"),
        region("europe-west4-drams3a", "ams", "EU West (Amsterdam)", "NL"),
        region(
            "asia-southeast1-eqsg3a",
            "sin",
            "Southeast Asia (Singapore)",
            "SG",
        ),
    ]
}
