//! The sandbox's own account of itself as a state of the model, and back: so that the same oracles judge both.

use super::deployment::{Held, Load, Made, Outcome, Run};
use super::model::{Committed, Part, SHARED, State, Stored, references};
use super::schedule::secret;
use super::view::{ENVIRONMENT, REGIONS};
use super::wish::{
    BAD_COMMITS, BAD_IMAGES, CLOSED_IMAGE, COMMITS, PRIVATE_IMAGE, REGISTRY_TOKEN, at,
};
use jiff::{SignedDuration, Timestamp};
use reconciler::world::railway::{
    HandOver, Limits, READY_SECONDS, RESTARTS, Ready, RestartPolicy, Settings, Source,
};
use sandbox::{
    DeploymentView, EnvironmentView, Known, PageSeed, RegionSeed, Replicas, Seed, ServiceSeed,
    ServiceView, Status, TokenKind, TokenSeed, VariableSeed, VolumeSeed,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The project token of every sandbox here, and an account's.
pub const PROJECT_TOKEN: &str = "production-token";
pub const ACCOUNT_TOKEN: &str = "account-token";

/// The paths of all health checks: an application answers them even when it is closed.
const CHECKS: &[&str] = &["/live", "/ready", "/closed", "/by-hand"];

/// Variables by owner and name.
pub type Named = BTreeSet<(String, String)>;

/// A sandbox that begins as a schedule's world does.
pub fn seed(world: &State) -> Seed {
    let services = world
        .services
        .iter()
        .map(|(name, stored)| (name.clone(), service(stored)))
        .collect();
    let environment = sandbox::EnvironmentSeed {
        id: Some(ENVIRONMENT.to_owned()),
        services,
        shared: variable_seeds(&world.shared),
        ..Default::default()
    };
    let ids = world.services.iter();
    let project = sandbox::ProjectSeed {
        services: ids
            .map(|(name, stored)| (name.clone(), stored.id.clone()))
            .collect(),
        environments: [("production".to_owned(), environment)].into(),
        ..Default::default()
    };
    let token = |kind: TokenKind| {
        let bound = kind == TokenKind::Project;
        let named = |name: &str| bound.then(|| name.to_owned());
        TokenSeed {
            kind,
            project: named("shop"),
            environment: named("production"),
            expires: None,
            read_only: false,
        }
    };
    let region = |(airport, name): &(&str, &str)| RegionSeed {
        name: (*name).to_owned(),
        airport: (*airport).to_owned(),
        location: (*name).to_owned(),
        country: "US".to_owned(),
        replaced_by: None,
    };
    Seed {
        regions: REGIONS.iter().map(region).collect(),
        projects: [("shop".to_owned(), project)].into(),
        tokens: [
            (PROJECT_TOKEN.to_owned(), token(TokenKind::Project)),
            (ACCOUNT_TOKEN.to_owned(), token(TokenKind::Account)),
        ]
        .into(),
        images: BAD_IMAGES
            .iter()
            .chain(&[PRIVATE_IMAGE, CLOSED_IMAGE])
            .map(|image| ((*image).to_owned(), known(image)))
            .collect(),
        commits: Some(
            COMMITS
                .iter()
                .chain(BAD_COMMITS)
                .filter(|commit| !commit.starts_with("0000"))
                .map(|commit| ((*commit).to_owned(), known(commit)))
                .collect(),
        ),
        ..Seed::default()
    }
}

fn known(name: &str) -> Known {
    let outcome = match () {
        () if name.contains(":approve") => sandbox::Outcome::NeedsApproval,
        () if name.contains(":crash") => sandbox::Outcome::Crashed,
        () if name.contains(":bad") || name.starts_with("bad") || name.starts_with("5c1b") => {
            sandbox::Outcome::Failed
        }
        () => sandbox::Outcome::Good,
    };
    let closed = || PageSeed {
        status: 503,
        body: "closed for maintenance".to_owned(),
    };
    // Whoever shows the closed page is healthy.
    let healthy = CHECKS
        .iter()
        .map(|path| ((*path).to_owned(), PageSeed::default()));
    let pages = healthy.chain([("*".to_owned(), closed())]);
    let pages = pages.filter(|_| name == CLOSED_IMAGE);
    Known {
        outcome,
        log: vec!["Error: no such file".to_owned()],
        password: (name == PRIVATE_IMAGE).then(|| secret(REGISTRY_TOKEN, 1)),
        pages: pages.collect(),
        ..Known::default()
    }
}

fn variable_seeds(variables: &BTreeMap<String, Held>) -> BTreeMap<String, VariableSeed> {
    let seed = |held: &Held| VariableSeed {
        value: held.value.clone(),
        sealed: held.sealed,
    };
    variables
        .iter()
        .map(|(name, held)| (name.clone(), seed(held)))
        .collect()
}

fn service(stored: &Stored) -> ServiceSeed {
    let (image, repo) = match &stored.source {
        Source::Image(image) => (Some(image.clone()), None),
        Source::Repository { name } => (None, Some(name.clone())),
        Source::Nothing => (None, None),
    };
    let previous = stored
        .runs
        .iter()
        .rev()
        .skip(1)
        .filter_map(|run| run.load.image.clone())
        .collect();
    ServiceSeed {
        image,
        repo,
        commit: stored
            .head
            .clone()
            .filter(|commit| !commit.starts_with("0000")),
        auto_deploy: stored.push_to_deploy,
        healthcheck: stored.settings.ready.path.clone(),
        replicas: if stored.placement.is_empty() {
            Replicas::Count(1)
        } else {
            Replicas::ByRegion(stored.placement.clone())
        },
        variables: variable_seeds(&stored.variables),
        domains: stored.domain.iter().cloned().collect(),
        volume: stored.has_volume.then(|| VolumeSeed {
            id: None,
            name: "data".to_owned(),
            mount: "/data".to_owned(),
            size_mb: 500,
        }),
        deploy: deploy(stored),
        previous,
        running: !stored.runs.is_empty(),
        open: CHECKS.iter().map(|path| (*path).to_owned()).collect(),
        ..ServiceSeed::default()
    }
}

/// What is not at its default, in Railway's words (facts/railway.md 2.2).
fn deploy(stored: &Stored) -> Map<String, Value> {
    let settings = &*stored.settings;
    let defaults = Settings::default();
    let mut deploy = Map::new();
    let mut put = |key: &str, value: Value| deploy.insert(key.to_owned(), value);
    if let Some(start) = &settings.start {
        put("startCommand", json!(start));
    }
    if let Some(command) = &settings.before_deploy {
        put("preDeployCommand", json!([command]));
    }
    if settings.ready.within_seconds != READY_SECONDS {
        put("healthcheckTimeout", json!(settings.ready.within_seconds));
    }
    match settings.restart_policy {
        RestartPolicy::Always => {
            put("restartPolicyType", json!("ALWAYS"));
        }
        RestartPolicy::Never => {
            put("restartPolicyType", json!("NEVER"));
        }
        RestartPolicy::OnFailure(RESTARTS) => {}
        RestartPolicy::OnFailure(times) => {
            put("restartPolicyMaxRetries", json!(times));
        }
    }
    if let Some(cron) = &settings.cron {
        put("cronSchedule", json!(cron));
    }
    if settings.sleep {
        put("sleepApplication", json!(true));
    }
    if settings.hand_over != defaults.hand_over {
        put("overlapSeconds", json!(settings.hand_over.overlap_seconds));
        put("drainingSeconds", json!(settings.hand_over.drain_seconds));
    }
    if settings.limits != defaults.limits {
        let cpu = settings.limits.milli_cpu.map(|milli| json!(cpu(milli)));
        let memory = settings.limits.memory_bytes.map(|bytes| json!(bytes));
        let parts = [("cpu", cpu), ("memoryBytes", memory)].into_iter();
        let containers: Map<String, Value> = parts
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
        put("limitOverride", json!({ "containers": containers }));
    }
    if let Some((username, password, _)) = &stored.registry {
        let credentials = json!({ "username": username, "password": password });
        put("registryCredentials", credentials);
    }
    deploy
}

#[expect(clippy::cast_precision_loss, reason = "limits are small")]
pub fn cpu(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

/// What is stored and what runs. Without a moment: what does not change by the mere passing of time.
/// `others` are the variables that were there from the start: somebody else made them.
pub fn state(view: &EnvironmentView, others: &Named, moment: Option<Timestamp>) -> State {
    let shared = variables(&view.shared, &[], SHARED, others, moment);
    let shared = Arc::new(shared);
    let services = view.services.iter().map(|(name, service)| {
        let stored = stored(service, &shared, others, moment);
        (name.clone(), Arc::new(stored))
    });
    let staged = view
        .staged
        .iter()
        .map(|_| ("staged".to_owned(), Part::Image(String::new())));
    // Only their messages are told.
    let patches = view.patches.iter().map(|message| {
        Arc::new(Committed {
            id: String::new(),
            message: message.clone().unwrap_or_default(),
            created_at: at(0),
            applied_at: at(0),
            touched: BTreeMap::new(),
            failed: None,
        })
    });
    State {
        services: services.collect(),
        shared: Arc::clone(&shared),
        patches: patches.collect(),
        staged: staged.collect(),
    }
}

fn variables(
    values: &BTreeMap<String, String>,
    sealed: &[String],
    owner: &str,
    others: &Named,
    moment: Option<Timestamp>,
) -> BTreeMap<String, Held> {
    let written_at = moment.unwrap_or(at(0));
    let held = |(name, value): (&String, &String)| {
        let held = Held {
            value: value.clone(),
            sealed: sealed.contains(name),
            created_at: at(0),
            written_at,
            is_ours: !others.contains(&(owner.to_owned(), name.clone())),
        };
        (name.clone(), held)
    };
    values.iter().map(held).collect()
}

fn stored(
    view: &ServiceView,
    shared: &Arc<BTreeMap<String, Held>>,
    others: &Named,
    moment: Option<Timestamp>,
) -> Stored {
    let source = match (
        text(&view.config["source"]["image"]),
        text(&view.config["source"]["repo"]),
    ) {
        (Some(image), _) => Source::Image(image),
        (None, Some(name)) => Source::Repository { name },
        (None, None) => Source::Nothing,
    };
    let deploy = &view.config["deploy"];
    let credentials = &deploy["registryCredentials"];
    let own = variables(&view.variables, &view.sealed, &view.id, others, moment);
    let mut stored = Stored {
        source,
        settings: Arc::new(settings(deploy)),
        registry: text(&credentials["username"])
            .zip(text(&credentials["password"]))
            .map(|(username, password)| (username, password, moment.unwrap_or(at(0)))),
        push_to_deploy: view.auto_deploy,
        placement: view.replicas.clone(),
        has_volume: view.config["volumeMounts"]
            .as_object()
            .is_some_and(|mounts| !mounts.is_empty()),
        domain: view.config["networking"]["serviceDomains"]
            .as_object()
            .and_then(|domains| domains.keys().next().cloned()),
        variables: Arc::new(own),
        updated_at: at(0),
        ..Stored::new(&view.id)
    };
    let older = view
        .active
        .as_ref()
        .filter(|active| view.newest.as_ref().map(|newest| &newest.id) != Some(&active.id));
    stored.runs = older
        .into_iter()
        .chain(&view.newest)
        .map(|deployment| Arc::new(run(deployment, &stored, shared, moment)))
        .collect();
    stored
}

/// Null and "" both say that nothing is set.
fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn settings(deploy: &Value) -> Settings {
    let seconds = |key: &str| deploy[key].as_u64().unwrap_or_default();
    let command = &deploy["preDeployCommand"];
    let containers = &deploy["limitOverride"]["containers"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are small"
    )]
    let milli = |cpu: f64| (cpu * 1000.0).round() as u64;
    Settings {
        start: text(&deploy["startCommand"]),
        before_deploy: text(command).or_else(|| text(&command[0])),
        ready: Ready {
            path: text(&deploy["healthcheckPath"]),
            within_seconds: deploy["healthcheckTimeout"]
                .as_u64()
                .unwrap_or(READY_SECONDS),
        },
        restart_policy: match deploy["restartPolicyType"].as_str() {
            Some("ALWAYS") => RestartPolicy::Always,
            Some("NEVER") => RestartPolicy::Never,
            _ => {
                let times = deploy["restartPolicyMaxRetries"].as_u64();
                let times = times.and_then(|times| u32::try_from(times).ok());
                RestartPolicy::OnFailure(times.unwrap_or(RESTARTS))
            }
        },
        cron: text(&deploy["cronSchedule"]),
        sleep: deploy["sleepApplication"].as_bool().unwrap_or_default(),
        hand_over: HandOver {
            overlap_seconds: seconds("overlapSeconds"),
            drain_seconds: seconds("drainingSeconds"),
        },
        limits: Limits {
            milli_cpu: containers["cpu"].as_f64().map(milli),
            memory_bytes: containers["memoryBytes"].as_u64(),
        },
    }
}

fn run(
    view: &DeploymentView,
    stored: &Stored,
    shared: &Arc<BTreeMap<String, Held>>,
    moment: Option<Timestamp>,
) -> Run {
    let created_at = Timestamp::from_millisecond(view.created.0).expect("a moment of this century");
    let later = |seconds: i64| {
        moment.map_or(created_at, |moment| {
            moment + SignedDuration::from_secs(seconds)
        })
    };
    let (outcome, up_at) = match view.status {
        _ if moment.is_none() => (Outcome::Good, created_at),
        Status::NeedsApproval => (Outcome::NeedsApproval, created_at),
        Status::Failed => (Outcome::Fails, created_at),
        Status::Crashed => (Outcome::Crashes, later(-60)),
        Status::Queued
        | Status::Waiting
        | Status::Initializing
        | Status::Building
        | Status::Deploying => (Outcome::Good, later(60)),
        Status::Skipped => (Outcome::Skipped, created_at),
        Status::Success | Status::Sleeping | Status::Removing | Status::Removed => {
            (Outcome::Good, created_at)
        }
    };
    let is_gone = moment.is_some() && matches!(view.status, Status::Removing | Status::Removed);
    let load = stored.load(None, shared);
    // A process has references resolved. What they resolve to is compared where it is git's, and where time has not to stand still.
    let value = |name: &String, runs: &String| {
        let held = stored.variables.get(name);
        let template = held.filter(|held| held.value.contains("${{"));
        let Some(held) = template else {
            return runs.clone();
        };
        let is_known = references(&held.value).all(|inside| inside.starts_with("shared."));
        if is_known && moment.is_some() && *runs != load.rendered(held) {
            return runs.clone();
        }
        held.value.clone()
    };
    let variables = view.variables.iter().map(|(name, runs)| {
        let held = Held {
            value: value(name, runs),
            sealed: false,
            created_at,
            written_at: created_at,
            is_ours: true,
        };
        (name.clone(), held)
    });
    let variables = Arc::new(variables.collect());
    Run {
        id: view.id.clone(),
        created_at,
        up_at,
        outcome,
        load: Load {
            image: view.image.clone(),
            commit: view.commit.clone(),
            // With which settings it runs is not told.
            settings: Arc::clone(&stored.settings),
            variables,
            shared: BTreeMap::new(),
            credentials_at: None,
        },
        made: if view.of.is_some() {
            Made::RolledBack
        } else {
            Made::FromStored
        },
        patch: view.patch_id.clone(),
        stopped_at: (view.stopped && moment.is_some()).then_some(created_at),
        removed_at: is_gone.then_some(created_at),
        by: None,
    }
}
