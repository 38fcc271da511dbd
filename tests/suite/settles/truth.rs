//! The sandbox's own account of itself as a state of the model, and back: so that the same oracles judge both.

use super::deployment::{Held, Load, Made, Outcome, Run};
use super::model::{REGIONS, State, Stored};
use super::wish::{self, at};
use jiff::{SignedDuration, Timestamp};
use reconciler::world::railway::{READY_SECONDS, Ready, Source};
use sandbox::{
    DeploymentView, EnvironmentView, Known, RegionSeed, Replicas, Seed, ServiceSeed, ServiceView,
    Status, TokenKind, TokenSeed, VariableSeed, VolumeSeed,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The project token of every sandbox here, and an account's.
pub const PROJECT_TOKEN: &str = "production-token";
pub const ACCOUNT_TOKEN: &str = "account-token";

/// A sandbox that begins as a schedule's world does.
pub fn seed(world: &State) -> Seed {
    let services = world
        .services
        .iter()
        .map(|(name, stored)| (name.clone(), service(stored)))
        .collect();
    let environment = sandbox::EnvironmentSeed {
        services,
        ..Default::default()
    };
    let project = sandbox::ProjectSeed {
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
        images: wish::BAD_IMAGES
            .iter()
            .map(|image| ((*image).to_owned(), known(image)))
            .collect(),
        commits: Some(
            wish::COMMITS
                .iter()
                .chain(wish::BAD_COMMITS)
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
    Known {
        outcome,
        log: vec!["Error: no such file".to_owned()],
        ..Known::default()
    }
}

fn service(stored: &Stored) -> ServiceSeed {
    let (image, repo) = match &stored.source {
        Source::Image(image) => (Some(image.clone()), None),
        Source::Repository { name } => (None, Some(name.clone())),
        Source::Nothing => (None, None),
    };
    let mut deploy = serde_json::Map::new();
    if stored.ready.within_seconds != READY_SECONDS {
        deploy.insert(
            "healthcheckTimeout".to_owned(),
            json!(stored.ready.within_seconds),
        );
    }
    if stored.has_schedule {
        deploy.insert("cronSchedule".to_owned(), json!("0 3 * * *"));
    }
    let previous = stored
        .runs
        .iter()
        .rev()
        .skip(1)
        .filter_map(|run| run.load.image.clone())
        .collect();
    let variables = stored.variables.iter().map(|(name, held)| {
        (
            name.clone(),
            VariableSeed {
                value: held.value.clone(),
                sealed: held.sealed,
            },
        )
    });
    ServiceSeed {
        image,
        repo,
        commit: stored
            .head
            .clone()
            .filter(|commit| !commit.starts_with("0000")),
        auto_deploy: false,
        healthcheck: stored.ready.path.clone(),
        replicas: if stored.placement.is_empty() {
            Replicas::Count(1)
        } else {
            Replicas::ByRegion(stored.placement.clone())
        },
        variables: variables.collect(),
        volume: stored.has_volume.then(|| VolumeSeed {
            id: None,
            name: "data".to_owned(),
            mount: "/data".to_owned(),
            size_mb: 500,
        }),
        deploy,
        previous,
        running: !stored.runs.is_empty(),
        ..ServiceSeed::default()
    }
}

/// What is stored and what runs. Without a moment: what does not change by the mere passing of time.
pub fn state(view: &EnvironmentView, moment: Option<Timestamp>) -> State {
    let services = view
        .services
        .iter()
        .map(|(name, service)| (name.clone(), stored(service, moment)))
        .collect();
    let staged = view
        .staged
        .iter()
        .map(|_| {
            (
                "staged".to_owned(),
                super::model::Part::Image(String::new()),
            )
        })
        .collect();
    State {
        services,
        patches: Vec::new(),
        staged,
    }
}

fn stored(view: &ServiceView, moment: Option<Timestamp>) -> Stored {
    let text = |part: &str, key: &str| {
        view.config[part][key]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let source = match (text("source", "image"), text("source", "repo")) {
        (Some(image), _) => Source::Image(image),
        (None, Some(name)) => Source::Repository { name },
        (None, None) => Source::Nothing,
    };
    let ready = Ready {
        path: text("deploy", "healthcheckPath"),
        within_seconds: view.config["deploy"]["healthcheckTimeout"]
            .as_u64()
            .unwrap_or(READY_SECONDS),
    };
    let written_at = moment.unwrap_or(at(0));
    let held = |(name, value): (&String, &String)| {
        (
            name.clone(),
            Held {
                value: value.clone(),
                sealed: view.sealed.contains(name),
                written_at,
            },
        )
    };
    let variables: BTreeMap<String, Held> = view.variables.iter().map(held).collect();
    Stored {
        id: view.id.clone(),
        source,
        head: None,
        updates_itself: false,
        placement: view.replicas.clone(),
        has_volume: view.config["volumeMounts"]
            .as_object()
            .is_some_and(|mounts| !mounts.is_empty()),
        has_schedule: view.config["deploy"]["cronSchedule"] != Value::Null,
        updated_at: at(0),
        runs: view
            .newest
            .iter()
            .map(|newest| run(newest, &ready, &variables, moment))
            .collect(),
        ready,
        variables,
    }
}

fn run(
    view: &DeploymentView,
    ready: &Ready,
    stored: &BTreeMap<String, Held>,
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
    // A process has references resolved; what they resolve to is not git's.
    let value = |name: &String, runs: &String| {
        stored
            .get(name)
            .filter(|held| held.value.contains("${{"))
            .map_or_else(|| runs.clone(), |held| held.value.clone())
    };
    let variables = view.variables.iter().map(|(name, runs)| {
        (
            name.clone(),
            Held {
                value: value(name, runs),
                sealed: false,
                written_at: created_at,
            },
        )
    });
    Run {
        id: view.id.clone(),
        created_at,
        up_at,
        outcome,
        load: Load {
            image: view.image.clone(),
            commit: view.commit.clone(),
            ready: ready.clone(),
            variables: variables.collect(),
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
