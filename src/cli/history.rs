//! `reconciler events` and `history`: what happened to an environment, read from the journal of its controllers.

use super::Exit;
use super::orders::At;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::status::event::{About, Event, What};
use crate::status::telling;
use crate::store::journal::read;
use clap::ValueEnum;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of the environment.
    #[arg(env = "RECONCILER_ENVIRONMENT")]
    environment: String,
    /// So many, the newest last.
    #[arg(short, long, default_value_t = 50, env = "RECONCILER_NEWEST")]
    newest: usize,
    /// How to print it; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    store: At,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Everything that happened.
pub(super) async fn events(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    told(arguments, config, screen, |_| true).await
}

/// Commits and what was written for them.
pub(super) async fn history(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    let is_history = |event: &Event| {
        event.what.about() == About::Progress && !matches!(event.what, What::Led { .. })
            || matches!(
                event.what,
                What::InStep { .. } | What::RolledBack { .. } | What::NotAccepted { .. }
            )
    };
    told(arguments, config, screen, is_history).await
}

/// So many are read for each that is shown, since others lie between them.
const READ: usize = 20;

async fn told(
    arguments: &Arguments,
    config: &Config,
    screen: &Screen,
    is_wanted: impl Fn(&Event) -> bool,
) -> Exit {
    let output = match chosen(arguments.output, config, screen) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let clock = Clock::wall();
    let store = match arguments.store.open(config, &clock, screen) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let most = arguments.newest.saturating_mul(READ);
    let page = match read::<Event>(&store, &arguments.environment, most).await {
        Ok(page) => page,
        Err(failure) => return session::trouble(&failure, screen),
    };
    if page.unreadable > 0 {
        screen.complain(&format!(
            "{} pages of the journal cannot be read",
            page.unreadable
        ));
    }
    let wanted = page
        .entries
        .into_iter()
        .map(|entry| entry.what)
        .filter(is_wanted);
    let mut wanted: Vec<Event> = wanted.take(arguments.newest).collect();
    wanted.reverse();
    match output {
        Output::Json => screen.result(&json_text(&wanted)),
        Output::Text if wanted.is_empty() => {
            screen.result(&format!("nothing is told of {}\n", arguments.environment))
        }
        Output::Text => screen.result(&wanted.iter().map(line).collect::<String>()),
    }
}

fn line(event: &Event) -> String {
    let words = telling::words(event);
    let commit = event
        .commit
        .as_deref()
        .and_then(|commit| commit.get(..7))
        .unwrap_or("       ");
    let mut line = format!("{:.0}  {commit}  {}\n", event.at, words.headline);
    for more in [words.reason, words.way_out].into_iter().flatten() {
        let _ = writeln!(line, "                               {more}");
    }
    line
}
