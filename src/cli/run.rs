//! `reconciler run`: the controller, as a process.

use super::Exit;
use super::screen::Screen;
use super::session;
use super::signals::on_signals;
use crate::clock::Clock;
use crate::config::Config;
use crate::controller::manifests::{Branch, Reader};
use crate::controller::seat::Outsides;
use crate::controller::settings::Settings;
use crate::controller::{Controller, Tools};
use crate::providers::Secrets;
use crate::providers::address::Allowed;
use crate::providers::health::{self, Watch};
use crate::providers::notify::{Notifier, Pulse};
use crate::repository::{Access, Limits, Repository, Source};
use crate::serve::{self, Board, Hooks, Metrics, Server, Watched};
use crate::status::event::Event;
use crate::store::Store;
use crate::store::journal::journal;
use crate::store::life::{Serves, Terms};
use crate::store::member::Member;
use crate::world::Failure;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The repository of the manifests: `https://…`, `ssh://…`, or a path on this machine.
    #[arg(long, value_name = "URL", env = "RECONCILER_REPOSITORY")]
    repository: String,
    /// The branch that is in force.
    #[arg(long, default_value = "main", env = "RECONCILER_BRANCH")]
    branch: String,
    /// The directory below which the environments are.
    #[arg(
        long,
        default_value = "",
        value_name = "DIRECTORY",
        env = "RECONCILER_PATH"
    )]
    path: String,
    /// Where leases, marks and the journal are: `file:///…` or `s3://bucket/prefix`. By default a folder below --home.
    #[arg(long, value_name = "URL", env = "RECONCILER_STORE")]
    store: Option<String>,
    /// A directory of its own, for the mirror of the repository.
    #[arg(
        long,
        default_value = "/var/lib/reconciler",
        value_name = "DIRECTORY",
        env = "RECONCILER_HOME"
    )]
    home: PathBuf,
    /// Serve only this environment.
    #[arg(long, value_name = "NAME", env = "RECONCILER_ENVIRONMENT")]
    environment: Option<String>,
    /// The name of this controller among others on the store.
    #[arg(long, default_value = "reconciler", env = "RECONCILER_NAME")]
    name: String,
    /// How often git is asked when nobody pushes.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration, env = "RECONCILER_FETCH_EVERY")]
    fetch_every: Duration,
    /// How long a controller may be silent before another one takes its environments.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration, env = "RECONCILER_LEASE")]
    lease: Duration,
}

/// What is kept of what happened.
const JOURNAL_DAYS: u32 = 90;

pub(super) async fn run(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    match ran(arguments, config, screen).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn ran(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Exit, Exit> {
    let clock = Clock::wall();
    let trouble = |words: String| {
        screen.complain(&words);
        Exit::Trouble
    };
    let failed = |failure: Failure| session::trouble(&failure, screen);
    let only = arguments.environment.clone();
    let only = only.filter(|name| !name.is_empty());
    let settings = Settings::of(
        config,
        arguments.name.clone(),
        arguments.fetch_every,
        only.clone(),
    )
    .map_err(trouble)?;
    let source =
        Source::new(&arguments.repository, &arguments.branch, &arguments.path).map_err(trouble)?;
    let watched = Watched::of(source.address(), source.branch());
    let http = serve::Settings::of(config, watched).map_err(trouble)?;
    let outside = session::outside(config, &clock, &Secrets::new(), screen)?;
    let longest = session::longest(config, screen)?;
    let terms = Terms::new(arguments.lease, longest).map_err(trouble)?;

    let store = store(arguments, config, &clock, screen).await?;
    let serves = only.map_or(Serves::All, Serves::One);
    // Who has joined leaves in order, also when it has only begun.
    let (interrupt, _) = on_signals(|| {});
    let member = Member::join(&store, terms, &arguments.name, serves)
        .await
        .map_err(failed)?;
    let member = Arc::new(member);
    let repository = Repository::open(
        &arguments.home,
        source,
        Access::of(config),
        Limits::default(),
    )
    .await;
    let repository = repository.map_err(|failure| trouble(failure.to_string()))?;

    let board = Board::new(clock.clone());
    let metrics = Metrics::new(board.clone());
    let (hooks, asked) = Hooks::pair();
    let server = Server::bind(http, board.clone(), hooks, metrics.clone(), clock.clone())
        .await
        .map_err(trouble)?;
    if let Ok(address) = server.address() {
        screen.say(&format!(
            "reconciler {} listens on http://{address}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let (journal, writer) = journal::<Event>(&store);
    let allowed = Allowed::by("RECONCILER_NOTIFY_ALLOW", config.notify_allowed());
    let notifier = Notifier::new(allowed.clone(), clock.clone())
        .map_err(|failure| trouble(failure.to_string()))?;
    let beats =
        Pulse::new(allowed, clock.clone()).map_err(|failure| trouble(failure.to_string()))?;
    let watch = Arc::new(Mutex::new(Watch::default()));

    tokio::spawn(writer.run());
    tokio::spawn(beats.clone().run());
    tokio::spawn(health::run(
        watch.clone(),
        outside.pages.clone(),
        clock.clone(),
        interrupt.clone(),
    ));
    let keeping = member.clone();
    tokio::spawn(async move { keeping.keep().await });
    let closing = interrupt.clone();
    let serving = tokio::spawn(server.run(async move { closing.set().await }));

    let controller = Controller::new(Tools {
        clock: clock.clone(),
        settings,
        store: store.clone(),
        member,
        reader: Reader::begin(Box::new(Branch::new(repository, clock.clone()))),
        prober: Arc::new(outside.railway.clone()),
        seats: Arc::new(Outsides {
            outside,
            config: config.clone(),
        }),
        watch,
        board,
        metrics,
        notifier: Some(notifier),
        beats: Some(beats),
        journal,
        journal_days: JOURNAL_DAYS,
    });
    controller.run(asked, &interrupt).await;
    // What was begun over HTTP gets its answer.
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    Ok(Exit::InStep)
}

/// The store, where two at once can be told apart.
async fn store(
    arguments: &Arguments,
    config: &Config,
    clock: &Clock,
    screen: &Screen,
) -> Result<Store, Exit> {
    let trouble = |words: String| {
        screen.complain(&words);
        Exit::Trouble
    };
    let failed = |failure: Failure| session::trouble(&failure, screen);
    std::fs::create_dir_all(&arguments.home).map_err(|failure| {
        trouble(format!(
            "--home {} cannot be made: {failure}",
            arguments.home.display()
        ))
    })?;
    let said = arguments.store.as_ref().filter(|text| !text.is_empty());
    let address = match said {
        Some(address) => address.clone(),
        None => local_store(&arguments.home).map_err(trouble)?,
    };
    let store = Store::open(&address, config, clock).map_err(failed)?;
    store.prove().await.map_err(failed)?;
    Ok(store)
}

/// The embedded default: a folder.
fn local_store(home: &std::path::Path) -> Result<String, String> {
    let home = home
        .canonicalize()
        .map_err(|failure| format!("--home {}: {failure}", home.display()))?;
    let folder = home.join("store");
    reqwest::Url::from_directory_path(&folder)
        .map(|url| url.to_string())
        .map_err(|()| {
            format!(
                "{} is not a path that can be written as an address",
                folder.display()
            )
        })
}
