//! `reconciler approve`: writes the consent that a held step needs, commits it and pushes it.

use super::Exit;
use super::screen::Screen;
use super::session::{self, Seat};
use crate::clock::Clock;
use crate::config::Config;
use crate::git::WorkTree;
use crate::kinds::approval::Wanted;
use crate::kinds::shown::one_line;
use crate::plan::Plan;
use crate::plan::gate::Memory;
use crate::problem::nearest;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The digest that the held step names.
    digest: String,
    /// The directory of the environment.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    directory: PathBuf,
    /// The directory of the environment at the commit before, where the step comes from a removal.
    #[arg(long, value_name = "DIRECTORY", env = "RECONCILER_BASE")]
    base: Option<PathBuf>,
    /// How long it holds; at most `approvals.expire` of the Environment.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, env = "RECONCILER_FOR")]
    lasts: Option<Duration>,
    /// Do not ask.
    #[arg(short, long, env = "RECONCILER_YES", value_parser = clap::builder::FalseyValueParser::new())]
    yes: bool,
    /// Write the file, and commit nothing.
    #[arg(long, env = "RECONCILER_NO_COMMIT", value_parser = clap::builder::FalseyValueParser::new())]
    no_commit: bool,
    /// Commit the file, and push nothing.
    #[arg(long, env = "RECONCILER_NO_PUSH", value_parser = clap::builder::FalseyValueParser::new())]
    no_push: bool,
}

pub(super) async fn approve(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    match approved(arguments, config, screen).await {
        Ok(()) => Exit::InStep,
        Err(exit) => exit,
    }
}

async fn approved(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<(), Exit> {
    let clock = Clock::wall();
    let (_, desired) = session::manifests(&arguments.directory, &clock, screen)?;
    let desired = session::after(desired, arguments.base.as_deref(), &clock, screen)?;
    let seat = Seat::of(desired, clock, config, screen)?;
    let looked = seat
        .pass()
        .look_patiently(&Memory::default())
        .await
        .map_err(|failure| session::trouble(&failure, screen))?;
    let wanted = asked_for(&looked.plan, &arguments.digest).map_err(|words| {
        screen.complain(&words);
        Exit::Trouble
    })?;
    let expire = seat.desired.environment().spec.approvals.expire.0;
    let lasts = arguments.lasts.unwrap_or(expire).min(expire);
    let until = seat
        .clock
        .now()
        .saturating_add(lasts)
        .unwrap_or(jiff::Timestamp::MAX);
    screen.say(&format!(
        "{}\n  may lose {}\n  holds until {until:.0}, once",
        wanted.allow, wanted.loses
    ));
    let may_go_on = arguments.yes || screen.asks() && screen.confirms("Approve?");
    if !may_go_on {
        screen.complain("nothing was written; at a terminal you are asked, elsewhere add --yes");
        return Err(Exit::Trouble);
    }
    let file = write(&arguments.directory, wanted, until).map_err(|words| {
        screen.complain(&words);
        Exit::Trouble
    })?;
    screen.result(&format!("{}\n", file.display()));
    publish(arguments, wanted, &file, screen).await
}

/// The step that a digest names.
fn asked_for<'a>(plan: &'a Plan, digest: &str) -> Result<&'a Wanted, String> {
    let found = plan
        .approvals
        .values()
        .find(|wanted| wanted.digest == digest);
    found.ok_or_else(|| {
        let known: Vec<&str> = plan
            .approvals
            .values()
            .map(|wanted| wanted.digest.as_str())
            .collect();
        let digest = one_line(digest);
        match (nearest(&digest, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => format!("no step needs approval {digest}; did you mean {near}?"),
            (None, []) => format!("no step needs approval {digest}, or any other"),
            (None, known) => format!(
                "no step needs approval {digest}; these are needed: {}",
                known.join(", ")
            ),
        }
    })
}

fn write(directory: &Path, wanted: &Wanted, until: jiff::Timestamp) -> Result<PathBuf, String> {
    let folder = directory.join("approvals");
    let file = folder.join(format!("{}.yaml", wanted.digest));
    let written =
        fs::create_dir_all(&folder).and_then(|()| fs::write(&file, wanted.document(until)));
    match written {
        Ok(()) => Ok(file),
        Err(failure) => Err(format!("cannot write {}: {failure}", file.display())),
    }
}

async fn publish(
    arguments: &Arguments,
    wanted: &Wanted,
    file: &Path,
    screen: &Screen,
) -> Result<(), Exit> {
    if arguments.no_commit {
        return Ok(());
    }
    let trouble = |words: String| {
        screen.complain(&words);
        Exit::Trouble
    };
    let Some(tree) = WorkTree::around(&arguments.directory).await else {
        screen.say("not in a git work tree: the file is written, and nothing was committed");
        return Ok(());
    };
    let file = file.strip_prefix(&arguments.directory).unwrap_or(file);
    let message = format!("Approve {}: {}", wanted.digest, wanted.allow);
    tree.commit(file, &message).await.map_err(trouble)?;
    if arguments.no_push {
        screen.say("committed");
        return Ok(());
    }
    tree.push().await.map_err(trouble)?;
    screen.say("committed and pushed");
    Ok(())
}
