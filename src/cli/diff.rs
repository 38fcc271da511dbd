//! `reconciler diff`.

use super::Exit;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session::{self, Seat};
use crate::clock::Clock;
use crate::config::Config;
use crate::manifest::Desired;
use crate::plan::gate::Memory;
use crate::plan::{Plan, Standing, json, markdown, saved, text};
use crate::providers::Secrets;
use crate::world::Seen;
use clap::ValueEnum;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the environment.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    directory: PathBuf,
    /// How to print the plan; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// Save the plan: `apply FILE` then does this and nothing else.
    #[arg(long, value_name = "FILE", env = "RECONCILER_OUT")]
    out: Option<PathBuf>,
    /// How many bytes Markdown may have.
    #[arg(long, default_value_t = markdown::LARGEST, value_name = "BYTES", env = "RECONCILER_MAX_SIZE")]
    max_size: usize,
    /// With Markdown: the address that opens an editor for a new file of the branch, for links that approve; at GitHub `…/OWNER/REPOSITORY/new/BRANCH`.
    #[arg(long, value_name = "URL", env = "RECONCILER_EDIT_URL")]
    edit_url: Option<String>,
    /// Exit as Terraform does: 0 no change, 2 changes, 1 trouble.
    #[arg(long, env = "RECONCILER_DETAILED_EXITCODE", value_parser = clap::builder::FalseyValueParser::new())]
    detailed_exitcode: bool,
    /// For a stranger's pull request: resolve no secret, and take every place and address from `--base`.
    #[arg(long, requires = "base", env = "RECONCILER_UNTRUSTED", value_parser = clap::builder::FalseyValueParser::new())]
    untrusted: bool,
    /// The directory of the environment at the commit before: what was declared there and is not now is removed.
    #[arg(long, value_name = "DIRECTORY", env = "RECONCILER_BASE")]
    base: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Changes only, for people.
    #[default]
    Text,
    /// For machines.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

pub(super) async fn diff(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    let exit = match planned(arguments, config, screen).await {
        Ok(plan) => exit_of(&plan),
        Err(exit) => exit,
    };
    if arguments.detailed_exitcode {
        detailed(exit)
    } else {
        exit
    }
}

async fn planned(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Plan, Exit> {
    let clock = Clock::wall();
    let output = chosen(arguments.output, config, screen)?;
    let (files, desired) = session::manifests(&arguments.directory, &clock, screen)?;
    let base = arguments.base.as_ref();
    let base = base
        .map(|base| session::manifests(base, &clock, screen))
        .transpose()?;
    let (before, desired) = match base {
        Some((files, base)) if arguments.untrusted => {
            (Some(files), desired.in_place_of(&base).after(&base))
        }
        Some((files, base)) => (Some(files), desired.after(&base)),
        None => (None, desired),
    };
    let seat = if arguments.untrusted {
        Seat::without_secrets(desired, clock, config, screen)?
    } else {
        Seat::of(desired, clock, config, screen)?
    };
    screen.moving("looking …");
    let looked = seat
        .pass()
        .look_patiently(&Memory::default())
        .await
        .map_err(|failure| session::trouble(&failure, screen))?;
    let mut plan = looked.plan;
    if let Some(note) = not_compared(&seat.desired, &seat.secrets) {
        plan.notes.push(note);
    }
    if let Some(out) = &arguments.out {
        save(
            out,
            &saved::saved(&plan, &files, before.as_ref(), seat.clock.now()),
            screen,
        )?;
    }
    tracing::info!(
        requests = seat.outside.railway.requests(),
        bytes = seat.outside.railway.bytes(),
        steps = plan.steps.len(),
        "looked"
    );
    screen.result(&match output {
        Output::Text => text::text(&plan, screen.look()) + &what_next(&plan, arguments),
        Output::Json => json_text(&json::document(&plan)),
        Output::Markdown => markdown::markdown(&plan, &page(arguments)),
    });
    Ok(plan)
}

fn page(arguments: &Arguments) -> markdown::Page {
    markdown::Page {
        largest: arguments.max_size,
        editor: arguments.edit_url.clone(),
        directory: arguments.directory.to_string_lossy().into_owned(),
    }
}

fn not_compared(desired: &Desired, secrets: &Secrets) -> Option<String> {
    let refers = desired.secrets().next().is_some();
    let unasked = !secrets
        .values()
        .any(|secret| matches!(secret, Seen::Facts(_) | Seen::Unseen(_)));
    (refers && unasked).then(|| {
        "no secret was resolved: the values of variables from secrets were not compared".to_owned()
    })
}

fn what_next(plan: &Plan, arguments: &Arguments) -> String {
    if plan.to_make() == 0 {
        return String::new();
    }
    let what = arguments.out.as_ref().unwrap_or(&arguments.directory);
    format!(
        "Next: reconciler apply {}\n",
        quoted(&what.to_string_lossy())
    )
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |sign: char| sign.is_alphanumeric() || "-_./+,:@".contains(sign);
    if !path.is_empty() && path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

fn save(out: &Path, saved: &saved::Saved, screen: &Screen) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(saved).unwrap_or_default();
    std::fs::write(out, text + "\n").map_err(|failure| {
        screen.complain(&format!(
            "cannot write the plan to {}: {failure}",
            out.display()
        ));
        Exit::Trouble
    })
}

fn exit_of(plan: &Plan) -> Exit {
    match plan.standing() {
        Standing::InStep => Exit::InStep,
        Standing::Waiting | Standing::ToMake | Standing::Held | Standing::Unhealthy => {
            Exit::Differs
        }
        Standing::Unseen => Exit::Trouble,
    }
}

fn detailed(exit: Exit) -> Exit {
    match exit {
        Exit::InStep => Exit::InStep,
        Exit::Differs => Exit::Trouble,
        Exit::Trouble
        | Exit::Invalid
        | Exit::Denied
        | Exit::Stale
        | Exit::Unhealthy
        | Exit::Held
        | Exit::Interrupted => Exit::Differs,
    }
}
