//! The commands: what each takes, and which exit code means what.

mod apply;
mod diff;
mod doctor;
mod screen;
mod session;
mod show;
mod validate;

use crate::config::Config;
use crate::manifest::{all_schemas, explain, schema_of};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use screen::Screen;
use std::path::PathBuf;
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
Exit codes: 0 in step · 1 `diff`: something would change · 2 trouble · 3 invalid manifests · 4 token or rights
            5 the saved plan is stale · 6 not healthy in time · 7 held: somebody must act · 130 interrupted";

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
    /// Print a document as it is in force, with the place of every line.
    Show(show::Arguments),
    /// Print the JSON Schema of a kind, or write all of them.
    Schema(SchemaArguments),
    /// Explain a kind or a field: `explain service.ready.within`.
    Explain {
        /// A kind, or a path of fields below it.
        path: String,
    },
    /// Check the token, the reach of Railway, clocks, secrets and manifests. The first command at night.
    Doctor(doctor::Arguments),
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, clap::Args)]
struct SchemaArguments {
    /// The kind, such as `Service`.
    kind: Option<String>,
    /// Write all schemas into this directory.
    #[arg(long, conflicts_with = "kind")]
    write: Option<PathBuf>,
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
        Command::Validate(arguments) => validate::validate(&arguments, screen),
        Command::Diff(arguments) => diff::diff(&arguments, config, screen).await,
        Command::Apply(arguments) => apply::apply(&arguments, config, screen).await,
        Command::Show(arguments) => show::show(&arguments, screen),
        Command::Schema(arguments) => schema(&arguments, screen),
        Command::Explain { path } => match explain(&path) {
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

fn schema(arguments: &SchemaArguments, screen: &Screen) -> Exit {
    if let Some(directory) = &arguments.write {
        let written = std::fs::create_dir_all(directory).and_then(|()| {
            all_schemas()
                .into_iter()
                .try_for_each(|(name, text)| std::fs::write(directory.join(name), text))
        });
        return match written {
            Ok(()) => Exit::InStep,
            Err(failure) => {
                screen.complain(&format!(
                    "cannot write schemas to {}: {failure}",
                    directory.display()
                ));
                Exit::Trouble
            }
        };
    }
    let Some(kind) = &arguments.kind else {
        let kinds: Vec<&str> = crate::kinds::KINDS.iter().map(|kind| kind.name).collect();
        return screen.result(&format!("{}\n", kinds.join("\n")));
    };
    let known = crate::kinds::KINDS
        .iter()
        .find(|info| info.name.eq_ignore_ascii_case(kind));
    match known
        .and_then(|info| schema_of(info.name))
        .and_then(|schema| serde_json::to_string_pretty(&schema).ok())
    {
        Some(text) => screen.result(&format!("{text}\n")),
        None => {
            let meant =
                crate::problem::nearest(kind, crate::kinds::KINDS.iter().map(|info| info.name));
            let help = meant.map_or_else(
                || "`reconciler schema` lists the kinds".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            screen.complain(&format!(
                "there is no kind `{}`; {help}",
                crate::kinds::shown::one_line(kind)
            ));
            Exit::Trouble
        }
    }
}

fn log_to_stderr(filter: &str, screen: &Screen) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(screen.errors_in_color())
        .with_target(false)
        .compact()
        .init();
}
