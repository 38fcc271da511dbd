//! `reconciler status`: how the environment stands, once or again and again.

use super::Exit;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session::{self, Seat};
use super::view;
use crate::clock::Clock;
use crate::config::Config;
use crate::plan::gate::Memory;
use crate::status::{Status, text};
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the environment; with --url, its name.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    directory: PathBuf,
    /// The directory of the environment at the commit before: what was declared there and is not now is removed.
    #[arg(long, value_name = "DIRECTORY", env = "RECONCILER_BASE")]
    base: Option<PathBuf>,
    /// How to print it; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// Look again and again, and print what has changed, until Ctrl-C.
    #[arg(short, long, env = "RECONCILER_WATCH", value_parser = clap::builder::FalseyValueParser::new())]
    watch: bool,
    /// How long between two looks of `--watch`.
    #[arg(long, default_value = "15s", value_name = "DURATION", value_parser = pause, env = "RECONCILER_EVERY")]
    every: Duration,
    /// Ask the controller that listens there for the environment of that name; without a name, for a line of each.
    #[arg(long, value_name = "URL", env = "RECONCILER_URL")]
    url: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// A look costs requests of the token's hourly quota (facts/railway.md 1).
const SHORTEST: Duration = Duration::from_secs(2);

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|failure| failure.to_string())?;
    if pause < SHORTEST {
        return Err("at least 2s: every look costs requests".to_owned());
    }
    Ok(pause)
}

pub(super) async fn status(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    let told = async {
        match told(arguments, config, screen).await {
            Ok(exit) | Err(exit) => exit,
        }
    };
    if !arguments.watch {
        return told.await;
    }
    tokio::select! {
        exit = told => exit,
        _ = tokio::signal::ctrl_c() => {
            screen.say("");
            Exit::Interrupted
        }
    }
}

async fn told(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Exit, Exit> {
    let clock = Clock::wall();
    let output = chosen(arguments.output, config, screen)?;
    if let Some(url) = &arguments.url {
        let wanted = view::Wanted {
            json: output == Output::Json,
            watch: arguments.watch,
        };
        return Ok(view::status(url, &arguments.directory, wanted, config, screen).await);
    }
    let (_, desired) = session::manifests(&arguments.directory, &clock, screen)?;
    let desired = session::after(desired, arguments.base.as_deref(), &clock, screen)?;
    let seat = Seat::of(desired, clock, config, screen)?;
    let mut before = None;
    loop {
        screen.moving("looking …");
        match seat.pass().status(&Memory::default()).await {
            Ok(status) => {
                let same = Some(without_time(&status));
                if same != before || (output == Output::Text && screen.repaints()) {
                    let printed = print(&status, output, arguments.watch, &seat.clock, screen);
                    if printed != Exit::InStep {
                        return Ok(printed);
                    }
                }
                before = same;
                if !arguments.watch {
                    return Ok(status.state.into());
                }
            }
            Err(failure) => {
                let exit = session::trouble(&failure, screen);
                if !arguments.watch || exit == Exit::Denied {
                    return Err(exit);
                }
            }
        }
        seat.clock.sleep(seat.clock.jittered(arguments.every)).await;
    }
}

fn print(status: &Status, output: Output, again: bool, clock: &Clock, screen: &Screen) -> Exit {
    let text = match output {
        Output::Text => text::text(status, clock.now(), screen.look()),
        Output::Json => json_text(status),
    };
    if again && output == Output::Text {
        screen.repaint(&text)
    } else {
        screen.result(&text)
    }
}

/// What is compared between two looks.
fn without_time(status: &Status) -> String {
    let status = Status {
        seen_at: String::new(),
        ..status.clone()
    };
    serde_json::to_string(&status).unwrap_or_default()
}
