//! What every command that talks to Railway needs: manifests, a client, secrets, the clock.

use super::Exit;
use super::screen::Screen;
use crate::clock::Clock;
use crate::config::Config;
use crate::files::read_directory;
use crate::manifest::{Desired, load, render};
use crate::problem::Problem;
use crate::providers::address::Allowed;
use crate::providers::http::{LONGEST, Tcp};
use crate::providers::pages::Pages;
use crate::providers::railway::Client;
use crate::providers::{Outside, Secrets, redis};
use crate::reconcile::Pass;
use crate::source::Files;
use crate::world::Failure;
use crate::world::health::NOBODY_ASKS;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Reads and checks a directory of manifests; problems are printed.
pub(super) fn manifests(
    directory: &Path,
    clock: &Clock,
    screen: &Screen,
) -> Result<(Files, Desired), Exit> {
    let files = read_directory(directory)
        .map_err(|problems| invalid(&problems, &Files::default(), screen))?;
    let desired = checked(&files, clock, screen)?;
    Ok((files, desired))
}

/// Checks files that were read before.
pub(super) fn checked(files: &Files, clock: &Clock, screen: &Screen) -> Result<Desired, Exit> {
    load(files, clock.now()).map_err(|problems| invalid(&problems, files, screen))
}

fn invalid(problems: &[Problem], files: &Files, screen: &Screen) -> Exit {
    screen.say(render(problems, files, screen.style()).trim_end());
    let count = problems.len();
    screen.complain(&format!(
        "{count} {} in the manifests; nothing was asked or changed",
        if count == 1 { "problem" } else { "problems" }
    ));
    Exit::Invalid
}

/// What was declared before, where a directory says so: what is not declared any more is removed (design rule 4).
pub(super) fn after(
    desired: Desired,
    base: Option<&Path>,
    clock: &Clock,
    screen: &Screen,
) -> Result<Desired, Exit> {
    match base {
        Some(base) => Ok(desired.after(&manifests(base, clock, screen)?.1)),
        None => Ok(desired),
    }
}

/// What a command works with that looks at an environment.
pub(super) struct Seat {
    pub(super) desired: Desired,
    pub(super) secrets: Secrets,
    pub(super) outside: Outside,
    pub(super) clock: Clock,
}

impl Seat {
    /// With the secrets that the manifests refer to.
    pub(super) fn of(
        desired: Desired,
        clock: Clock,
        config: &Config,
        screen: &Screen,
    ) -> Result<Seat, Exit> {
        let secrets = secrets(&desired, config);
        Seat::with(secrets, desired, clock, config, screen)
    }

    /// With no secret at all.
    pub(super) fn without_secrets(
        desired: Desired,
        clock: Clock,
        config: &Config,
        screen: &Screen,
    ) -> Result<Seat, Exit> {
        Seat::with(Secrets::new(), desired, clock, config, screen)
    }

    fn with(
        secrets: Secrets,
        desired: Desired,
        clock: Clock,
        config: &Config,
        screen: &Screen,
    ) -> Result<Seat, Exit> {
        Ok(Seat {
            outside: outside(config, &clock, &secrets, screen)?,
            desired,
            secrets,
            clock,
        })
    }

    pub(super) fn pass(&self) -> Pass<'_> {
        Pass {
            desired: &self.desired,
            provider: &self.outside,
            secrets: &self.secrets,
            health: &NOBODY_ASKS,
            clock: &self.clock,
        }
    }
}

/// A client with the token of the process environment.
pub(super) fn client(config: &Config, clock: &Clock, screen: &Screen) -> Result<Client, Exit> {
    let Some(token) = config.railway_token() else {
        screen.complain("no token for Railway: set RAILWAY_TOKEN (a project token, made in the project's settings) or RAILWAY_API_TOKEN (an account or workspace token)");
        return Err(Exit::Denied);
    };
    let complain = |words: String| {
        screen.complain(&words);
        Exit::Trouble
    };
    let tcp =
        Tcp::within(longest(config, screen)?).map_err(|failure| complain(failure.to_string()))?;
    Client::new(Arc::new(tcp), config.railway_url(), token, clock.clone())
        .map_err(|failure| trouble(&failure, screen))
}

/// How long one request to Railway may take.
pub(super) fn longest(config: &Config, screen: &Screen) -> Result<Duration, Exit> {
    let longest = config.request_timeout().map_err(|words| {
        screen.complain(&words);
        Exit::Trouble
    })?;
    Ok(longest.unwrap_or(LONGEST))
}

/// The outside as a pass needs it: Railway, and the web as customers see it.
pub(super) fn outside(
    config: &Config,
    clock: &Clock,
    secrets: &Secrets,
    screen: &Screen,
) -> Result<Outside, Exit> {
    let railway = client(config, clock, screen)?.hiding(secrets);
    let pages = pages(config).map_err(|words| {
        screen.complain(&words);
        Exit::Trouble
    })?;
    Ok(Outside {
        railway,
        pages,
        redis: redis::Client::new(clock).archiving(redis::Archives::new(config, clock)),
    })
}

fn pages(config: &Config) -> Result<Pages, String> {
    let allowed = Allowed::of(config.pages_allowed());
    let through = config.pages_url().map(str::parse::<http::Uri>).transpose();
    let through = through.map_err(|_| "RECONCILER_PAGES_URL is not an address".to_owned())?;
    // Who sends everything to one place of their own has allowed it.
    let tcp = match &through {
        Some(_) => Tcp::new(),
        None => Tcp::for_pages(allowed.clone()),
    };
    let tcp = tcp.map_err(|failure| failure.to_string())?;
    Ok(Pages::new(Arc::new(tcp), allowed, through))
}

/// The secrets that the manifests refer to, with what their owner may reach.
pub(super) fn secrets(desired: &Desired, config: &Config) -> Secrets {
    let prefix = desired.environment().spec.secrets.prefix.as_deref();
    config.secrets(prefix, desired.secrets())
}

/// Prints a failure and gives its exit code.
pub(super) fn trouble(failure: &Failure, screen: &Screen) -> Exit {
    screen.complain(&failure.to_string());
    match failure {
        Failure::Denied(_) => Exit::Denied,
        Failure::Refused(_)
        | Failure::Throttled { .. }
        | Failure::Passing(_)
        | Failure::Unclear(_) => Exit::Trouble,
    }
}
