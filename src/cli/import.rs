//! `reconciler import`: writes manifests of what is there.

use super::Exit;
use super::screen::Screen;
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::import::{Chosen, files};
use crate::providers::Scope;
use crate::providers::railway::Client;
use crate::world::railway::{Question, Railway, Source};
use crate::world::{Failure, Seen};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory to write to; with several environments, each gets one below it, beside a `base`.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    directory: PathBuf,
    /// The Railway project, by name or id; a project token has its own.
    #[arg(long, requires = "environment", env = "RECONCILER_PROJECT")]
    project: Option<String>,
    /// The Railway environment, by name or id; several are imported together.
    #[arg(
        short,
        long,
        requires = "project",
        value_delimiter = ',',
        env = "RECONCILER_ENVIRONMENT"
    )]
    environment: Vec<String>,
    /// Variables to write with their values, beside references to others: names, or beginnings as `SMTP_*`. Never name a secret here.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME",
        env = "RECONCILER_VARIABLES"
    )]
    variables: Vec<String>,
    /// Write over files that are there.
    #[arg(long, env = "RECONCILER_FORCE", value_parser = clap::builder::FalseyValueParser::new())]
    force: bool,
}

pub(super) async fn import(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    match imported(arguments, config, screen).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn imported(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Exit, Exit> {
    let clock = Clock::wall();
    let client = session::client(config, &clock, screen)?;
    let trouble = |failure: Failure| session::trouble(&failure, screen);
    let scopes = scopes(arguments, &client).await.map_err(trouble)?;
    let mut seen = Vec::new();
    for scope in &scopes {
        seen.push(look(&client, scope).await.map_err(trouble)?);
    }
    let files = files(&seen, &Chosen::of(arguments.variables.clone()));
    let written = write(&arguments.directory, &files, arguments.force).map_err(|words| {
        screen.complain(&words);
        Exit::Trouble
    })?;
    check(&arguments.directory, &files, &clock, screen)?;
    Ok(screen.result(&(written.join("\n") + "\n")))
}

/// What is imported: what was named, else what a project token is for.
async fn scopes(arguments: &Arguments, client: &Client) -> Result<Vec<Scope>, Failure> {
    if let Some(project) = &arguments.project {
        let named = |environment: &String| Scope {
            project: project.clone(),
            environment: environment.clone(),
        };
        return Ok(arguments.environment.iter().map(named).collect());
    }
    match client.own().await? {
        Some(scope) => Ok(vec![scope]),
        None => Err(Failure::Refused(
            "which environment? name it with --project and --environment, or use a project token"
                .to_owned(),
        )),
    }
}

async fn look(client: &Client, scope: &Scope) -> Result<Railway, Failure> {
    let mut seen = client.observe(scope).await?;
    let built: Vec<String> = seen
        .services
        .iter()
        .filter(|(_, service)| {
            service
                .facts()
                .is_some_and(|service| matches!(service.source, Source::Repository { .. }))
        })
        .map(|(name, _)| name.clone())
        .collect();
    for service in built {
        client.answer(&mut seen, &Question::Push { service }).await;
    }
    let unread = seen
        .services
        .values()
        .any(|service| matches!(service, Seen::Unseen(_)));
    if unread {
        tracing::warn!("some services could not be read, and are left out");
    }
    Ok(seen)
}

fn write(
    directory: &Path,
    files: &BTreeMap<String, String>,
    force: bool,
) -> Result<Vec<String>, String> {
    let paths: Vec<PathBuf> = files.keys().map(|file| directory.join(file)).collect();
    if let Some(there) = paths.iter().find(|path| path.exists() && !force) {
        return Err(format!(
            "{} is there already; nothing was written (--force writes over it)",
            there.display()
        ));
    }
    for (path, text) in paths.iter().zip(files.values()) {
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(path, text));
        written.map_err(|failure| format!("cannot write {}: {failure}", path.display()))?;
    }
    Ok(paths
        .iter()
        .map(|path| path.display().to_string())
        .collect())
}

/// What was written is read again: it must be what `diff` would take.
fn check(
    directory: &Path,
    files: &BTreeMap<String, String>,
    clock: &Clock,
    screen: &Screen,
) -> Result<(), Exit> {
    let environments = files
        .keys()
        .filter_map(|file| file.strip_suffix("environment.yaml"));
    for folder in environments {
        session::manifests(&directory.join(folder), clock, screen)?;
    }
    Ok(())
}
