//! `reconciler apply --direct`: past git, while git cannot be reached, with a word to the controllers (design rule 16).

use super::Exit;
use super::screen::Screen;
use super::session;
use crate::clock::Clock;
use crate::config::Config;
use crate::git::WorkTree;
use crate::manifest::Desired;
use crate::plan::stance;
use crate::store::Store;
use crate::store::lease;
use crate::store::marks::{Marks, note_order};
use crate::world::Failure;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[group(id = "past_git")]
pub(super) struct Arguments {
    /// Git cannot be reached: apply this clone's commit, and let the controllers only report until git contains it.
    #[arg(long, env = "RECONCILER_DIRECT", value_parser = clap::builder::FalseyValueParser::new())]
    direct: bool,
    /// With --direct: why. The next person reads it.
    #[arg(short = 'm', long, value_name = "WORDS", env = "RECONCILER_REASON")]
    reason: Option<String>,
    /// With --direct: after this time the controllers go on whatever git contains.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, env = "RECONCILER_FOR")]
    lasts: Option<Duration>,
    /// The store of the controllers. Where one of them leads the environment, only --direct applies.
    #[arg(long, value_name = "URL", env = "RECONCILER_STORE")]
    store: Option<String>,
}

/// A mark that tells the controllers.
pub(super) struct Told {
    marks: Marks,
    mark: stance::Direct,
}

impl Told {
    /// Nothing was changed after all: they may go on.
    pub(super) async fn take_back(&self, screen: &Screen) {
        if let Err(failure) = self.marks.clear_direct(&self.mark).await {
            screen.complain(&format!(
                "the controllers still only report ({failure}): `reconciler resume` ends it"
            ));
        }
    }
}

/// What is applied, and what the controllers were told; or why not, in words that were shown.
pub(super) async fn begin(
    arguments: &Arguments,
    what: &Path,
    desired: Desired,
    config: &Config,
    clock: &Clock,
    screen: &Screen,
) -> Result<(Desired, Option<Told>), Exit> {
    let environment = desired.environment().name.clone();
    let store = match &arguments.store {
        Some(address) => Some(
            Store::open(address, config, clock)
                .map_err(|failure| session::trouble(&failure, screen))?,
        ),
        None => None,
    };
    if !arguments.direct {
        if let Some(store) = &store {
            refuse_where_led(store, &environment, screen).await?;
        }
        return Ok((desired, None));
    }
    let refused = |words: &str| {
        screen.complain(words);
        Exit::Trouble
    };
    let Some(reason) = &arguments.reason else {
        return Err(refused("--direct goes past git: say why with `-m`"));
    };
    let commit = commit(what).await.map_err(|words| refused(&words))?;
    let mark = stance::Direct {
        by: config.person(),
        reason: reason.clone(),
        at: clock.now(),
        until: arguments
            .lasts
            .and_then(|lasts| clock.now().checked_add(lasts).ok()),
        content: desired.digest(),
        commit: Some(commit.clone()),
    };
    let told = match store {
        Some(store) => match told(&store, &environment, &mark).await {
            Ok(marks) => Some(Told { marks, mark }),
            Err(failure) => {
                screen.say(&format!(
                    "the controllers cannot be told ({failure}): they find commit {commit} in Railway's history, and only report until git contains it"
                ));
                None
            }
        },
        None => None,
    };
    Ok((desired.at_commit(&commit), told))
}

async fn told(store: &Store, environment: &str, mark: &stance::Direct) -> Result<Marks, Failure> {
    let marks = Marks::of(store, environment);
    marks.set_direct(Some(mark)).await?;
    // The mark holds with the next look all the same.
    if let Err(failure) = note_order(store, environment, mark.at).await {
        tracing::debug!(%failure, "the controllers cannot be told to look now");
    }
    Ok(marks)
}

/// The commit of a clone in which nothing else is changed: by it the controllers know again what was applied.
async fn commit(what: &Path) -> Result<String, String> {
    if !what.is_dir() {
        return Err("--direct applies a directory of a clone, and no saved plan".to_owned());
    }
    let Some(tree) = WorkTree::around(what).await else {
        return Err(
            "--direct applies a commit, and this directory is in no clone of a repository"
                .to_owned(),
        );
    };
    tree.clean_commit().await
}

async fn refuse_where_led(store: &Store, environment: &str, screen: &Screen) -> Result<(), Exit> {
    match lease::holder(store, environment).await {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => {
            screen.complain(&format!(
                "{holder} leads {environment}, and would undo what git does not contain: push it; while git cannot be reached, `--direct -m WHY`"
            ));
            Err(Exit::Held)
        }
        Err(failure) => Err(session::trouble(&failure, screen)),
    }
}
