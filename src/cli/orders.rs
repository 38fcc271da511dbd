//! `reconciler suspend`, `resume` and `reconcile`: orders to a controller, by its store or by its address.

use super::Exit;
use super::api::{Api, path_of};
use super::screen::Screen;
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::plan::stance::Suspension;
use crate::store::Store;
use crate::store::marks::{Marks, Resumed, note_order};
use http::Method;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Suspend {
    /// The name of the environment.
    #[arg(env = "RECONCILER_ENVIRONMENT")]
    environment: String,
    /// Why; the next person reads it.
    #[arg(short = 'm', long, value_name = "WORDS", env = "RECONCILER_REASON")]
    reason: String,
    /// When it ends by itself: `2h`.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, env = "RECONCILER_FOR")]
    lasts: Option<Duration>,
    #[command(flatten)]
    store: At,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The name of the environment.
    #[arg(env = "RECONCILER_ENVIRONMENT")]
    environment: String,
    #[command(flatten)]
    store: At,
}

#[derive(Debug, clap::Args)]
pub(super) struct Reconcile {
    /// The name of the environment.
    #[arg(env = "RECONCILER_ENVIRONMENT")]
    environment: String,
    /// Where the controller listens.
    #[arg(
        long,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        env = "RECONCILER_URL"
    )]
    url: String,
}

/// Where the controllers keep leases, marks and the journal.
#[derive(Debug, clap::Args)]
#[group(id = "store_of_controllers")]
pub(super) struct At {
    /// The store of the controllers: `file:///…` or `s3://bucket/prefix`.
    #[arg(long, value_name = "URL", env = "RECONCILER_STORE")]
    store: String,
}

impl At {
    pub(super) fn open(
        &self,
        config: &Config,
        clock: &Clock,
        screen: &Screen,
    ) -> Result<Store, Exit> {
        Store::open(&self.store, config, clock)
            .map_err(|failure| session::trouble(&failure, screen))
    }
}

pub(super) async fn suspend(arguments: &Suspend, config: &Config, screen: &Screen) -> Exit {
    let clock = Clock::wall();
    let store = match arguments.store.open(config, &clock, screen) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let now = clock.now();
    let mark = Suspension {
        by: config.person(),
        reason: arguments.reason.clone(),
        since: now,
        until: arguments
            .lasts
            .and_then(|lasts| now.checked_add(lasts).ok()),
    };
    let until = mark
        .until
        .map(|until| format!(" until {until:.0}"))
        .unwrap_or_default();
    let marks = Marks::of(&store, &arguments.environment);
    let suspended = match marks.set_suspended(Some(&mark)).await {
        Ok(()) => note_order(&store, &arguments.environment, now).await,
        failed => failed,
    };
    match suspended {
        Ok(()) => screen.result(&format!(
            "{} is suspended{until}: it is looked at and told, and nothing new is begun. `reconciler resume {}` ends it.\n",
            arguments.environment, arguments.environment
        )),
        Err(failure) => session::trouble(&failure, screen),
    }
}

pub(super) async fn resume(arguments: &Resume, config: &Config, screen: &Screen) -> Exit {
    let clock = Clock::wall();
    let store = match arguments.store.open(config, &clock, screen) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let marks = Marks::of(&store, &arguments.environment);
    let now = clock.now();
    let mark = Resumed {
        by: config.person(),
        at: now,
    };
    let resumed = match marks.resume(&mark).await {
        Ok(()) => note_order(&store, &arguments.environment, now).await,
        failed => failed,
    };
    match resumed {
        Ok(()) => screen.result(&format!(
            "{} goes on with the next look.\n",
            arguments.environment
        )),
        Err(failure) => session::trouble(&failure, screen),
    }
}

pub(super) async fn reconcile(arguments: &Reconcile, config: &Config, screen: &Screen) -> Exit {
    match ordered(arguments, config).await {
        Ok(said) => screen.result(&format!("{said}\n")),
        Err(words) => {
            screen.complain(&words);
            Exit::Trouble
        }
    }
}

async fn ordered(arguments: &Reconcile, config: &Config) -> Result<String, String> {
    let api = Api::at(&arguments.url, config)?;
    let path = format!("{}/reconcile", path_of(&arguments.environment));
    let body = serde_json::json!({ "by": config.person() }).to_string();
    let sort = [("content-type", "application/json".to_owned())];
    let answer = api.asked(Method::POST, &path, &sort, body).await?;
    let said: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    Ok(said["done"].as_str().unwrap_or_default().to_owned())
}
