//! `reconciler validate`.

use super::Exit;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::files::read_directory;
use crate::kinds::shown::counted;
use crate::manifest::{annotations, load};
use clap::ValueEnum;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Directories of environments.
    #[arg(default_value = ".")]
    directories: Vec<PathBuf>,
    /// How to print problems; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// As a compiler does.
    #[default]
    Text,
    /// A list for machines, on stdout.
    Json,
    /// Annotations for GitHub Actions, on stdout.
    Github,
}

pub(super) fn validate(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    let output = match chosen(arguments.output, config, screen) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let clock = Clock::wall();
    if output == Output::Text {
        let results: Vec<Exit> = arguments
            .directories
            .iter()
            .map(|directory| in_words(directory, &clock, screen))
            .collect();
        return if results.contains(&Exit::Invalid) {
            Exit::Invalid
        } else {
            Exit::InStep
        };
    }
    let mut problems = Vec::new();
    for directory in &arguments.directories {
        match read_directory(directory).and_then(|files| load(&files, clock.now())) {
            Ok(_) => {}
            Err(found) => problems.extend(found),
        }
    }
    let text = match output {
        Output::Github => annotations(&problems),
        Output::Json | Output::Text => json_text(&problems),
    };
    screen.result(&text);
    if problems.is_empty() {
        Exit::InStep
    } else {
        Exit::Invalid
    }
}

fn in_words(directory: &std::path::Path, clock: &Clock, screen: &Screen) -> Exit {
    match session::manifests(directory, clock, screen) {
        Ok((files, desired)) => screen.result(&format!(
            "{}: valid ({} in {} for {} / {})\n",
            desired.environment().name,
            counted(desired.all().count(), "document"),
            counted(files.texts.len(), "file"),
            desired.environment().spec.railway.project,
            desired.environment().spec.railway.environment,
        )),
        Err(exit) => exit,
    }
}
