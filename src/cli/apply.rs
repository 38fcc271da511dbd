//! `reconciler apply`.

use super::Exit;
use super::direct;
use super::screen::Screen;
use super::session::{self, Seat};
use super::signals::on_signals;
use crate::clock::Clock;
use crate::config::Config;
use crate::execute::Outcome;
use crate::kinds::step::Ask;
use crate::manifest::Desired;
use crate::plan::saved::Saved;
use crate::plan::{Plan, Standing, text};
use crate::reconcile::{End, Looked, Watcher, until_in_step};
use crate::world::Failure;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the environment, or a plan that `diff --out` saved.
    #[arg(default_value = ".", env = "RECONCILER_DIRECTORY")]
    what: PathBuf,
    /// The directory of the environment at the commit before: what was declared there and is not now is removed.
    #[arg(long, value_name = "DIRECTORY", env = "RECONCILER_BASE")]
    base: Option<PathBuf>,
    /// Do not ask.
    #[arg(short, long, env = "RECONCILER_YES", value_parser = clap::builder::FalseyValueParser::new())]
    yes: bool,
    /// How long to wait at most until everything is healthy.
    #[arg(long, default_value = "30m", value_parser = humantime::parse_duration, env = "RECONCILER_TIMEOUT")]
    timeout: Duration,
    #[command(flatten)]
    direct: direct::Arguments,
}

pub(super) async fn apply(arguments: &Arguments, config: &Config, screen: &Screen) -> Exit {
    match applied(arguments, config, screen).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn applied(arguments: &Arguments, config: &Config, screen: &Screen) -> Result<Exit, Exit> {
    let clock = Clock::wall();
    let (desired, saved) = wanted(&arguments.what, &clock, screen)?;
    let desired = match &arguments.base {
        Some(_) if saved.is_some() => {
            screen.complain("a saved plan has its own base: `--base` goes to `diff --out`");
            return Err(Exit::Trouble);
        }
        base => session::after(desired, base.as_deref(), &clock, screen)?,
    };
    let (desired, told) = direct::begin(
        &arguments.direct,
        &arguments.what,
        desired,
        config,
        &clock,
        screen,
    )
    .await?;
    let seat = Seat::of(desired, clock, config, screen)?;
    let begun = seat.clock.now();
    let (interrupt, is_asking) = on_signals(|| {});
    let mut watcher = Operator {
        screen,
        is_asking,
        saved,
        consent: if arguments.yes {
            Consent::Given
        } else {
            Consent::Open
        },
        plan: None,
        written: 0,
        unanswered: 0,
        refusal: None,
    };
    let end = until_in_step(&seat.pass(), arguments.timeout, &mut watcher, &interrupt).await;
    tracing::info!(
        requests = seat.outside.railway.requests(),
        bytes = seat.outside.railway.bytes(),
        writes = watcher.written,
        "applied"
    );
    if let Some(told) = told
        && watcher.written + watcher.unanswered == 0
    {
        told.take_back(screen).await;
    }
    match end {
        Ok(end) => Ok(watcher.end(
            end,
            seat.clock.now().duration_since(begun).unsigned_abs(),
            arguments.timeout,
        )),
        Err(failure) => Err(session::trouble(&failure, screen)),
    }
}

/// A directory's manifests, or those in a saved plan.
fn wanted(what: &Path, clock: &Clock, screen: &Screen) -> Result<(Desired, Option<Saved>), Exit> {
    let names_a_plan = what.extension().is_some_and(|ending| ending == "json");
    if what.is_dir() || !(what.exists() || names_a_plan) {
        return session::manifests(what, clock, screen).map(|(_, desired)| (desired, None));
    }
    let saved: Saved = read_bounded(what)
        .map_err(|failure| failure.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|failure| failure.to_string()))
        .map_err(|words| {
            screen.complain(&format!(
                "{} is no plan that `reconciler diff --out` saved: {words}",
                what.display()
            ));
            Exit::Trouble
        })?;
    if saved.kind != "SavedPlan" || saved.api_version != crate::kinds::API_VERSION {
        screen.complain(&format!("{} is no plan of this version", what.display()));
        return Err(Exit::Trouble);
    }
    let desired = session::checked(&saved.files(), clock, screen)?;
    let desired = match saved.files_before() {
        Some(before) => desired.after(&session::checked(&before, clock, screen)?),
        None => desired,
    };
    Ok((desired, Some(saved)))
}

/// Manifests have 10 MiB at most; beyond twice that nothing is a plan.
const LARGEST_PLAN: u64 = 20 * 1024 * 1024;

fn read_bounded(what: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(what)?.take(LARGEST_PLAN);
    file.read_to_end(&mut bytes).map(|_| bytes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    Open,
    Given,
    Refused,
}

/// The person at the terminal: sees plans, is asked once, is told what happens.
struct Operator<'a> {
    screen: &'a Screen,
    is_asking: Arc<AtomicBool>,
    saved: Option<Saved>,
    consent: Consent,
    plan: Option<Plan>,
    written: usize,
    unanswered: usize,
    refusal: Option<String>,
}

impl Watcher for Operator<'_> {
    fn looked(&mut self, looked: &Looked) {
        // What only tells or holds is printed once, at the end.
        let goes_on = looked
            .plan
            .steps
            .iter()
            .any(|step| matches!(step.ask, Ask::Make(_) | Ask::Wait { .. }));
        if self.plan.is_none() && self.saved.is_none() && goes_on {
            self.screen
                .say(text::text(&looked.plan, self.screen.look()).trim_end());
        }
        if let Some(line) = waiting(&looked.plan) {
            self.screen.progress(&line);
        }
        self.plan = Some(looked.plan.clone());
    }

    fn allows(&mut self, plan: &Plan) -> bool {
        if let Some(saved) = &self.saved {
            if !saved.is_for(plan) {
                self.refusal =
                    Some("the saved plan was made for another Railway environment".to_owned());
            } else if let Some(step) = saved.first_not_allowed(plan) {
                self.refusal = Some(format!(
                    "the saved plan is stale: it does not have `{}`; make it again with `reconciler diff --out`",
                    text::what(step)
                ));
            }
            return self.refusal.is_none();
        }
        if self.consent == Consent::Open {
            self.consent = if !self.screen.asks() {
                self.refusal = Some("nobody can be asked here: add --yes, or apply a plan that `reconciler diff --out` saved".to_owned());
                Consent::Refused
            } else if self.asks("Apply?") {
                Consent::Given
            } else {
                self.refusal = Some("nothing was changed".to_owned());
                Consent::Refused
            };
        }
        self.consent == Consent::Given
    }

    fn acted(&mut self, looked: &Looked, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let what: Vec<String> = outcome
                .steps
                .iter()
                .filter_map(|position| looked.plan.steps.get(*position))
                .map(text::what)
                .collect();
            self.written += usize::from(outcome.result.is_ok());
            self.unanswered += usize::from(matches!(outcome.result, Err(Failure::Unclear(_))));
            let word = match &outcome.result {
                Ok(()) => "sent".to_owned(),
                Err(Failure::Refused(words)) => format!("refused ({words})"),
                Err(Failure::Unclear(words)) => format!("no answer ({words}), looking again"),
                Err(failure) => format!("not sent ({failure})"),
            };
            self.screen.say(&format!("  {word}: {}", few(&what)));
        }
    }
}

fn few(what: &[String]) -> String {
    let shown: Vec<&str> = what.iter().take(6).map(String::as_str).collect();
    match what.len().saturating_sub(shown.len()) {
        0 => shown.join(" · "),
        more => format!("{} · and {more} more", shown.join(" · ")),
    }
}

fn waiting(plan: &Plan) -> Option<String> {
    let mut waits: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.ask {
            Ask::Wait { until, .. } => Some(format!("{} until {until}", step.of.name)),
            Ask::Make(_) | Ask::Hold { .. } | Ask::Unseen(_) | Ask::Told(_) => None,
        })
        .collect();
    // Everything of a service waits for the same.
    waits.dedup();
    (!waits.is_empty()).then(|| format!("  waiting: {}", few(&waits)))
}

impl Operator<'_> {
    fn asks(&self, question: &str) -> bool {
        self.is_asking.store(true, Ordering::SeqCst);
        let affirmed = self.screen.confirms(question);
        self.is_asking.store(false, Ordering::SeqCst);
        affirmed
    }

    fn end(&self, end: End, took: Duration, at_most: Duration) -> Exit {
        let writes = format!(
            "{} {}",
            self.written,
            if self.written == 1 { "write" } else { "writes" }
        );
        let took = humantime::format_duration(Duration::from_secs(took.as_secs()));
        match end {
            End::Stands(Standing::InStep | Standing::Waiting) if self.is_frozen() => {
                self.left();
                Exit::Held
            }
            End::Stands(Standing::InStep | Standing::Waiting) => {
                self.screen.result(&format!("In step: {writes}, {took}.\n"));
                Exit::InStep
            }
            End::Stands(standing) => {
                self.left();
                match standing {
                    Standing::Unhealthy => Exit::Unhealthy,
                    Standing::Unseen => Exit::Trouble,
                    Standing::InStep | Standing::Waiting | Standing::ToMake | Standing::Held => {
                        Exit::Held
                    }
                }
            }
            End::NotAllowed => {
                self.screen
                    .complain(self.refusal.as_deref().unwrap_or("not allowed"));
                if self.saved.is_some() {
                    Exit::Stale
                } else {
                    Exit::Trouble
                }
            }
            End::TimedOut => {
                self.left();
                self.screen.complain(&format!(
                    "not in step within {}",
                    humantime::format_duration(at_most)
                ));
                Exit::Unhealthy
            }
            End::Interrupted => {
                let unanswered = match self.unanswered {
                    0 => String::new(),
                    count => format!(" and {count} without an answer"),
                };
                self.screen.complain(&format!("interrupted after {writes}{unanswered}; what was sent goes on at Railway, and `reconciler diff` shows what is left"));
                Exit::Interrupted
            }
        }
    }

    /// Whether something waits for the end of a freeze.
    fn is_frozen(&self) -> bool {
        let freeze = self.plan.as_ref().and_then(|plan| plan.freeze.as_ref());
        freeze.is_some_and(|freeze| !freeze.steps.is_empty())
    }

    fn left(&self) {
        if let Some(plan) = &self.plan {
            self.screen.result(&text::text(plan, self.screen.look()));
        }
    }
}
