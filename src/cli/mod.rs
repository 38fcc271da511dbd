//! The commands: what each takes, and which exit code means what.

mod api;
mod apply;
mod approve;
mod diff;
mod direct;
mod doctor;
mod history;
mod import;

mod live;

mod orders;
mod output;
mod run;
mod schema;
mod screen;
mod session;
mod show;
mod signals;
mod status;
mod validate;
mod view;

use crate::config::Config;
use crate::manifest::explain;
use crate::status::State;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use screen::Screen;
use std::process::ExitCode;

/// Keeps a Railway environment as the manifests in git say it should be.
#[derive(Debug, Parser)]
#[command(name = "reconciler", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, env = "RECONCILER_COLOR")]
    color: Color,
    /// What to log on stderr: error, warn, info, debug, or a filter such as `reconciler=debug`.
    #[arg(long, global = true, default_value = "warn", env = "RECONCILER_LOG")]
    log: String,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  in step                     5  the saved plan is stale
    1  diff: changes are there     6  not healthy in time
    2  trouble                     7  held: somebody must act
    3  invalid manifests         130  interrupted
    4  token or rights

Tokens come from RAILWAY_TOKEN or RAILWAY_API_TOKEN.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check manifests without asking anybody: every problem at once, with its place.
    Validate(validate::Arguments),
    /// Show what would change, and why. Writes nothing.
    #[command(visible_alias = "plan")]
    Diff(diff::Arguments),
    /// Make it so, and look again until nothing is asked for.
    Apply(apply::Arguments),
    /// Write manifests of what is there: only what is not a default, and no secret.
    Import(import::Arguments),
    /// Consent to a held step that may lose something: writes the document, commits and pushes it.
    Approve(approve::Arguments),
    /// Show how the environment stands: what is wrong, what is waited for, what is closed, each service, who changed what.
    Status(status::Arguments),
    /// Keep the environments of a repository in step with a branch, all the time.
    Run(run::Arguments),
    /// Show what controllers wrote, for which commits, from the journal on their store.
    History(history::Arguments),
    /// Show everything that happened, from the journal on the store of the controllers.
    Events(history::Arguments),
    /// Tell the controllers to only look: nothing new is begun until it is resumed.
    Suspend(orders::Suspend),
    /// Let the controllers go on, also after a direct apply.
    Resume(orders::Resume),
    /// Let a running controller look at git and Railway now.
    Reconcile(orders::Reconcile),
    /// Print a document as it is in force, with the place of every line.
    Show(show::Arguments),
    /// Print the JSON Schema of a kind, or of `diff -o json` as `plan` and `status -o json` as `status`; or write all of them.
    Schema(schema::Arguments),
    /// Explain a kind or a field: `explain service.ready.within`.
    Explain {
        /// A kind, or a path of fields below it.
        path: String,
    },
    /// Check the token, the reach of Railway, clocks, secrets and manifests: the first command at night. With --live, ask Railway itself what nobody states.
    Doctor(doctor::Arguments),
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is as it should be.
    InStep,
    /// `diff` found something that would change.
    Differs,
    /// Something else went wrong.
    Trouble,
    /// The manifests are invalid.
    Invalid,
    /// The token is missing, wrong, or may not do this.
    Denied,
    /// A saved plan no longer fits.
    Stale,
    /// Something did not become healthy in time.
    Unhealthy,
    /// Somebody must act first.
    Held,
    /// Stopped by a signal.
    Interrupted,
}

/// The exit code that says how an environment stands.
impl From<State> for Exit {
    fn from(state: State) -> Exit {
        match state {
            State::InStep => Exit::InStep,
            State::Progressing | State::OutOfStep => Exit::Differs,
            State::Held => Exit::Held,
            State::Degraded => Exit::Unhealthy,
            State::Unknown => Exit::Trouble,
        }
    }
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::InStep => 0,
            Exit::Differs => 1,
            Exit::Trouble => 2,
            Exit::Invalid => 3,
            Exit::Denied => 4,
            Exit::Stale => 5,
            Exit::Unhealthy => 6,
            Exit::Held => 7,
            Exit::Interrupted => 130,
        }
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() {
                Exit::Trouble.code()
            } else {
                0
            });
        }
    };
    let config = Config::read();
    let screen = Screen::of(&config, cli.color);
    log_to_stderr(&cli.log, &screen);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(failure) => {
            screen.complain(&format!("cannot start: {failure}"));
            return ExitCode::from(Exit::Trouble.code());
        }
    };
    let exit = runtime.block_on(command(cli.command, &config, &screen));
    // A lookup of names may still run in the background: nobody waits for it.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}

async fn command(command: Command, config: &Config, screen: &Screen) -> Exit {
    match command {
        Command::Validate(arguments) => validate::validate(&arguments, config, screen),
        Command::Diff(arguments) => diff::diff(&arguments, config, screen).await,
        Command::Apply(arguments) => apply::apply(&arguments, config, screen).await,
        Command::Import(arguments) => import::import(&arguments, config, screen).await,
        Command::Approve(arguments) => approve::approve(&arguments, config, screen).await,
        Command::Status(arguments) => status::status(&arguments, config, screen).await,
        Command::Run(arguments) => run::run(&arguments, config, screen).await,
        Command::History(arguments) => history::history(&arguments, config, screen).await,
        Command::Events(arguments) => history::events(&arguments, config, screen).await,
        Command::Suspend(arguments) => orders::suspend(&arguments, config, screen).await,
        Command::Resume(arguments) => orders::resume(&arguments, config, screen).await,
        Command::Reconcile(arguments) => orders::reconcile(&arguments, config, screen).await,
        Command::Show(arguments) => show::show(&arguments, config, screen),
        Command::Schema(arguments) => schema::schema(&arguments, screen),
        Command::Explain { path } => match explain(&path, screen.width()) {
            Ok(text) => screen.result(&text),
            Err(words) => {
                screen.complain(&words);
                Exit::Trouble
            }
        },
        Command::Doctor(arguments) => doctor::doctor(&arguments, config, screen).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reconciler", &mut script);
            screen.result(&String::from_utf8_lossy(&script))
        }
    }
}

fn log_to_stderr(filter: &str, screen: &Screen) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|failure| {
        screen.complain(&format!(
            "--log is not understood, `warn` is used: {failure}"
        ));
        EnvFilter::new("warn")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(screen.errors_in_color())
        .with_target(false)
        .compact()
        .init();
}
