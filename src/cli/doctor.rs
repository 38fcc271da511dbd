//! `reconciler doctor`: what is there, what is missing, and what to do about it.

mod servers;

use super::Exit;
use super::live;
use super::screen::Screen;
use super::session;
use crate::clock::Clock;
use crate::config::{Config, RAILWAY_API_URL};
use crate::kinds::shown::counted;
use crate::manifest::Desired;
use crate::plan::gate::Memory;
use crate::plan::text;
use crate::providers::railway::Client;
use crate::providers::{Outside, Secrets};
use crate::reconcile::Pass;
use crate::store::Store;
use crate::world::health::NOBODY_ASKS;
use crate::world::{Failure, Seen};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the environment; without one, only the way to Railway is checked. --live reads no manifests.
    #[arg(env = "RECONCILER_DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    live: live::Arguments,
}

/// The result of one check.
struct Check {
    grade: Grade,
    what: String,
    advice: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    Doubtful,
    Bad,
    Denied,
    Invalid,
}

/// A clock that is further off makes times in manifests mean something else.
const MOST_SECONDS_OFF: i64 = 30;

pub(super) async fn doctor(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    if arguments.live.is_wanted() {
        return live::live(&arguments.live, config, screen).await;
    }
    if let Some(flag) = arguments.live.is_meant_for_it() {
        screen.complain(&format!("{flag} goes with --live"));
        return Exit::Trouble;
    }
    let clock = Clock::wall();
    let mut checks = Vec::new();
    let desired = manifests(arguments, &clock, screen, &mut checks);
    let secrets = desired
        .as_ref()
        .map(|desired| session::secrets(desired, config))
        .unwrap_or_default();
    let outside = way(config, &clock, &secrets, screen, &mut checks);
    if let Some(outside) = &outside {
        token(&outside.railway, &mut checks).await;
        skew(&outside.railway, &mut checks);
    }
    if let (Some(desired), Some(outside)) = (&desired, &outside) {
        environment(desired, outside, &secrets, &clock, &mut checks).await;
    }
    store(config, &clock, &mut checks).await;
    screen.result(&report(&checks));
    match checks.iter().map(|check| check.grade).max() {
        None | Some(Grade::Good | Grade::Doubtful) => Exit::InStep,
        Some(Grade::Bad) => Exit::Trouble,
        Some(Grade::Denied) => Exit::Denied,
        Some(Grade::Invalid) => Exit::Invalid,
    }
}

fn push(checks: &mut Vec<Check>, grade: Grade, what: impl Into<String>, advice: impl Into<String>) {
    checks.push(Check {
        grade,
        what: what.into(),
        advice: advice.into(),
    });
}

fn manifests(
    arguments: &Arguments,
    clock: &Clock,
    screen: &Screen,
    checks: &mut Vec<Check>,
) -> Option<Desired> {
    let directory = arguments.directory.as_ref()?;
    match session::manifests(directory, clock, screen) {
        Ok((files, desired)) => {
            push(
                checks,
                Grade::Good,
                format!(
                    "manifests of {} are valid ({})",
                    desired.environment().name,
                    counted(files.texts.len(), "file")
                ),
                "",
            );
            Some(desired)
        }
        Err(_) => {
            push(
                checks,
                Grade::Invalid,
                "manifests are not valid",
                "mend the problems above",
            );
            None
        }
    }
}

fn way(
    config: &Config,
    clock: &Clock,
    secrets: &Secrets,
    screen: &Screen,
    checks: &mut Vec<Check>,
) -> Option<Outside> {
    let Some(token) = config.railway_token() else {
        push(
            checks,
            Grade::Denied,
            "no token for Railway",
            "set RAILWAY_TOKEN (a project token) or RAILWAY_API_TOKEN (an account or workspace token)",
        );
        return None;
    };
    if config.plain("RAILWAY_TOKEN").is_some() && config.plain("RAILWAY_API_TOKEN").is_some() {
        push(
            checks,
            Grade::Doubtful,
            "RAILWAY_TOKEN and RAILWAY_API_TOKEN are both set; the project token is used",
            "unset the one that is not meant",
        );
    }
    if config.railway_url() != RAILWAY_API_URL {
        push(
            checks,
            Grade::Doubtful,
            "RAILWAY_API_URL points elsewhere than to Railway",
            "unset it, unless a sandbox is meant",
        );
    }
    push(
        checks,
        Grade::Good,
        format!("the {} is set", token.words()),
        "",
    );
    match session::outside(config, clock, secrets, screen) {
        Ok(outside) => Some(outside),
        Err(_) => {
            push(
                checks,
                Grade::Bad,
                "no request can be sent to Railway",
                "mend the settings as the error above says",
            );
            None
        }
    }
}

/// The store of the controllers, where one is named: whether it can be reached, and keeps the promise that leases rest on.
async fn store(config: &Config, clock: &Clock, checks: &mut Vec<Check>) {
    let Some(address) = config.plain("RECONCILER_STORE") else {
        return;
    };
    let proven = match Store::open(address, config, clock) {
        Ok(store) => store.prove().await,
        Err(failure) => Err(failure),
    };
    match proven {
        Ok(()) => push(
            checks,
            Grade::Good,
            "the store of the controllers answers, and its conditional writes hold",
            "",
        ),
        Err(failure) => push(
            checks,
            Grade::Bad,
            format!("the store of the controllers: {failure}"),
            "check RECONCILER_STORE and the AWS_* variables",
        ),
    }
}

async fn token(client: &Client, checks: &mut Vec<Check>) {
    match client.who().await {
        Ok(who) => push(checks, Grade::Good, format!("Railway answers: {who}"), ""),
        Err(Failure::Denied(words)) => push(
            checks,
            Grade::Denied,
            words,
            "make a new token at Railway; a project token goes into RAILWAY_TOKEN, any other into RAILWAY_API_TOKEN",
        ),
        Err(failure) => push(
            checks,
            Grade::Bad,
            failure.to_string(),
            "check the network, the proxy settings and Railway's status page",
        ),
    }
}

fn skew(client: &Client, checks: &mut Vec<Check>) {
    match client.clock_ahead_seconds() {
        Some(seconds) if seconds.abs() > MOST_SECONDS_OFF => {
            push(
                checks,
                Grade::Doubtful,
                format!(
                    "this machine's clock is {} s {} Railway's",
                    seconds.abs(),
                    if seconds > 0 { "ahead of" } else { "behind" }
                ),
                "set the clock; times in manifests are compared with it",
            );
        }
        Some(seconds) => push(
            checks,
            Grade::Good,
            format!("clocks agree within {} s", seconds.abs() + 1),
            "",
        ),
        None => {}
    }
}

async fn environment(
    desired: &Desired,
    outside: &Outside,
    secrets: &Secrets,
    clock: &Clock,
    checks: &mut Vec<Check>,
) {
    for reason in secrets.values().filter_map(|secret| match secret {
        Seen::Unseen(reason) => Some(reason),
        Seen::Facts(_) | Seen::Unasked => None,
    }) {
        push(
            checks,
            Grade::Bad,
            reason.clone(),
            "set it where the controller and `apply` run",
        );
    }
    let before = outside.railway.requests();
    match (Pass {
        desired,
        provider: outside,
        secrets,
        health: &NOBODY_ASKS,
        clock,
    })
    .look_patiently(&Memory::default())
    .await
    {
        Ok(looked) => {
            let services = looked
                .world
                .railway
                .facts()
                .map_or(0, |railway| railway.services.len());
            push(
                checks,
                Grade::Good,
                format!(
                    "environment seen: {}, {}",
                    counted(services, "service"),
                    counted(outside.railway.requests() - before, "request")
                ),
                "",
            );
            push(checks, Grade::Good, text::summary(&looked.plan), "");
            let now = clock.now();
            servers::servers(desired.documents(), &looked.world, now, checks);
        }
        Err(Failure::Denied(words)) => push(
            checks,
            Grade::Denied,
            words,
            "use a token of this environment",
        ),
        Err(failure) => push(
            checks,
            Grade::Bad,
            failure.to_string(),
            "check the project and environment in the manifests",
        ),
    }
}

fn report(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let word = match check.grade {
            Grade::Good => "ok",
            Grade::Doubtful => "warn",
            Grade::Bad | Grade::Denied | Grade::Invalid => "FAIL",
        };
        let _ = writeln!(out, "{word:<5} {}", check.what);
        if !check.advice.is_empty() {
            let _ = writeln!(out, "      → {}", check.advice);
        }
    }
    out
}
