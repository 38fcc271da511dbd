//! `reconciler doctor --live`: asks Railway itself what nobody states about it, on a throw-away environment.

use super::Exit;
use super::output::chosen;
use super::screen::{Screen, json_text};
use super::session;
use super::signals::on_signals;
use crate::clock::Clock;
use crate::config::Config;
use crate::kinds::shown::harmless;
use crate::probe::{Audience, Finding, Manner, Names, Need, Probe, Report, Run, Sheet};
use crate::providers::railway::Client;
use clap::ValueEnum;
use clap::builder::FalseyValueParser;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "With --live")]
pub(super) struct Arguments {
    /// Ask Railway itself what nobody states about it, in a throw-away environment that is made in the project and removed.
    #[arg(long, env = "RECONCILER_LIVE", value_parser = FalseyValueParser::new())]
    live: bool,
    /// The project in which the throw-away environment is made, by name or id; a project token has its own.
    #[arg(long, value_name = "NAME", env = "RECONCILER_PROJECT")]
    project: Option<String>,
    /// The environment to look at with --read-only, by name or id; a project token has its own.
    #[arg(short, long, value_name = "NAME", env = "RECONCILER_ENVIRONMENT")]
    environment: Option<String>,
    /// Ask only what changes nothing.
    #[arg(long, env = "RECONCILER_READ_ONLY", value_parser = FalseyValueParser::new())]
    read_only: bool,
    /// Ask only these questions.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "ID",
        env = "RECONCILER_ONLY"
    )]
    only: Vec<String>,
    /// List the questions, and ask nobody.
    #[arg(long, env = "RECONCILER_LIST", value_parser = FalseyValueParser::new())]
    list: bool,
    /// Do not ask whether to go on.
    #[arg(short, long, env = "RECONCILER_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
    /// How to print it; RECONCILER_OUTPUT says it for all commands.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, and for an issue.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// As long as it takes that two runs do not meet.
const TAG: usize = 6;

impl Arguments {
    pub(super) fn is_wanted(&self) -> bool {
        self.live
    }

    /// A flag that means nothing without `--live`, where it was given by hand.
    pub(super) fn is_meant_for_it(&self) -> Option<&'static str> {
        let flags = [
            ("--list", self.list),
            ("--read-only", self.read_only),
            ("--only", !self.only.is_empty()),
            ("--output", self.output.is_some()),
        ];
        flags
            .iter()
            .find(|(_, is_given)| *is_given)
            .map(|(flag, _)| *flag)
    }
}

pub(super) async fn live(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    match asked(arguments, config, screen).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn asked(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Exit, Exit> {
    let output = chosen(arguments.output, config, screen)?;
    let trouble = |words: String| {
        screen.complain(&words);
        Exit::Trouble
    };
    let sheet = Sheet::read().map_err(trouble)?;
    let probes = sheet.chosen(&arguments.only).map_err(trouble)?;
    if arguments.list {
        return Ok(screen.result(&match output {
            Output::Text => list(&probes, &sheet),
            Output::Json => json_list(&probes, &sheet),
        }));
    }
    let clock = Clock::wall();
    let client = session::client(config, &clock, screen)?;
    let place = client
        .place(
            arguments.project.as_deref(),
            arguments.environment.as_deref(),
        )
        .await
        .map_err(|failure| session::trouble(&failure, screen))?;
    let manner = manner(arguments, &client);
    let names = Names::of(&clock.word(TAG));
    let project = place.project.name.clone();
    let leaves = format!(
        "left behind in project {project}, perhaps: the environments {} and {}, and services {}-…; remove them at Railway",
        names.environment(),
        names.origin(),
        names.prefix()
    );
    let (interrupt, is_asking) = on_signals(move || {
        let _ = writeln!(stderr().lock(), "{}", harmless(&leaves));
    });
    let run = Run {
        sheet: &sheet,
        probes,
        client: &client,
        place: &place,
        names: &names,
        manner,
        clock: &clock,
        interrupt: &interrupt,
        audience: screen,
    };
    if run.makes() && !arguments.yes {
        may_make(&run, screen, &is_asking).map_err(trouble)?;
    }
    let report = run.ask().await;
    tracing::info!(requests = client.requests(), "asked");
    screen.result(&match output {
        Output::Text => report.text(),
        Output::Json => json_text(&report.json()),
    });
    Ok(exit(&report, screen))
}

fn manner(arguments: &Arguments, client: &Client) -> Manner {
    if client.is_of_one_environment() {
        Manner::Reading("needs an account token: a project token makes no environments")
    } else if arguments.read_only {
        Manner::Reading("writes, and --read-only was said")
    } else {
        Manner::Wholly
    }
}

/// Whether somebody at the terminal agrees to a throw-away environment; else why nothing is done.
fn may_make(run: &Run<'_>, screen: &Screen, is_asking: &AtomicBool) -> Result<(), String> {
    if !screen.asks() {
        return Err("nobody can be asked here whether to make a throw-away environment: add --yes, or --read-only".to_owned());
    }
    screen.say(&warning(run));
    is_asking.store(true, Ordering::SeqCst);
    let goes_on = screen.confirms("Go on?");
    is_asking.store(false, Ordering::SeqCst);
    if goes_on {
        Ok(())
    } else {
        Err("nothing was asked or made".to_owned())
    }
}

fn exit(report: &Report, screen: &Screen) -> Exit {
    for thing in &report.left {
        screen.complain(&format!("left behind: {thing}; remove it at Railway"));
    }
    if report.is_interrupted {
        let left = if report.left.is_empty() {
            "; nothing is left behind"
        } else {
            ""
        };
        screen.complain(&format!("interrupted{left}"));
        return Exit::Interrupted;
    }
    match &report.barred {
        Some(words) => {
            screen.complain(words);
            if words.contains("Not Authorized") {
                Exit::Denied
            } else {
                Exit::Trouble
            }
        }
        None if report.is_whole() => Exit::InStep,
        None => Exit::Trouble,
    }
}

/// What will be made, and what it costs.
fn warning(run: &Run<'_>) -> String {
    let count = |need: Need| {
        let probes = run.probes.iter();
        probes.filter(|probe| probe.needs.contains(&need)).count()
    };
    format!(
        "This makes the environment {} in project {}, and an empty one that it is a copy of. In it, one after the other and each for its own question: {} services, {} of them with a small public image that is deployed, {} with volumes; some domains, and a project token. Everything is removed afterwards. Deployments cost a little; all questions together take some 700 requests and half an hour.",
        run.names.environment(),
        run.place.project.name,
        count(Need::Service),
        count(Need::Deployment),
        count(Need::Volume),
    )
}

impl Audience for Screen {
    fn asks(&self, probe: &Probe, number: usize, of: usize) {
        self.moving(&format!("{number}/{of} {} …", probe.id));
    }

    fn hears(&self, finding: &Finding) {
        self.say(&format!("{}: {}", finding.id, finding.outcome.words()));
    }

    fn says(&self, words: &str) {
        self.say(&format!("  {words}"));
    }
}

fn list(probes: &[&Probe], sheet: &Sheet) -> String {
    let mut out = String::new();
    for probe in probes {
        let needs: Vec<&str> = probe.needs.iter().map(|need| need.words()).collect();
        let changes = if probe.reads_only() {
            "changes nothing"
        } else {
            "writes"
        };
        let needs = match needs.as_slice() {
            [] => changes.to_owned(),
            needs => format!("{changes}, needs {}", needs.join(", ")),
        };
        let answers: Vec<&str> = sheet.answers(probe).collect();
        let _ = write!(
            out,
            "{}\n  {} (facts/railway.md {})\n  {} · {needs}\n",
            probe.id,
            probe.question,
            probe.facts,
            answers.join(" | ")
        );
    }
    let _ = write!(out, "\nNot asked:\n");
    for not in &sheet.not_probed {
        let _ = write!(
            out,
            "{}\n  {} (facts/railway.md {})\n  {}\n",
            not.id, not.question, not.facts, not.why
        );
    }
    out
}

fn json_list(probes: &[&Probe], sheet: &Sheet) -> String {
    let probes: Vec<_> = probes
        .iter()
        .map(|probe| {
            let needs: Vec<&str> = probe.needs.iter().map(|need| need.words()).collect();
            let answers: Vec<&str> = sheet.answers(probe).collect();
            json!({
                "id": probe.id, "question": probe.question, "facts": probe.facts,
                "answers": answers, "needs": needs, "readsOnly": probe.reads_only(),
            })
        })
        .collect();
    let not_probed: Vec<_> = sheet
        .not_probed
        .iter()
        .map(|not| json!({ "id": not.id, "question": not.question, "facts": not.facts, "why": not.why }))
        .collect();
    json_text(&json!({
        "apiVersion": crate::kinds::API_VERSION,
        "kind": "ProbeList",
        "probes": probes,
        "notProbed": not_probed,
    }))
}
