//! Plays a schedule with the product's own passes, and judges it.

use super::flaws::Flaw;
use super::oracles::{self, Violation};
use super::schedule::{MARK_OF_SECRETS, Schedule};
use super::stage::{Counts, Ended, Seat, Stage};
use jiff::{SignedDuration, Timestamp};
use reconciler::clock::Clock;
use reconciler::execute::Outcome;
use reconciler::interrupt::interrupt;
use reconciler::plan::drift::{Content, Course};
use reconciler::plan::gate::Memory;
use reconciler::plan::text::{Look, text, what, why};
use reconciler::plan::{Plan, Standing, json, markdown};
use reconciler::providers::Provider;
use reconciler::reconcile::{End, Looked, Pass, Watcher, keep_in_step};
use reconciler::world::Failure;
use reconciler::world::health::NOBODY_ASKS;
use std::time::Duration;

/// What came of a schedule.
#[derive(Debug, Clone)]
pub struct Report {
    pub seed: u64,
    pub counts: Counts,
    pub violations: Vec<Violation>,
    pub transcript: Vec<String>,
    /// What git owns of what is stored in the end, in words.
    pub stored: Vec<String>,
}

/// Once faults, edits and commits have stopped, so many looks must be enough (L1).
pub const MOST_QUIET_LOOKS: usize = 60;

/// How a process ended.
enum Ending {
    Died,
    Ended(Result<End, Failure>),
}

/// Plays a schedule in the tokio runtime of the caller, whose clock must be paused.
pub async fn play(schedule: Schedule, flaw: Flaw, is_recorded: bool) -> Report {
    let clock = Clock::counted(super::wish::start(), schedule.seed);
    let quiet_at = schedule.quiet_at;
    let seed = schedule.seed;
    let stage = Stage::new(schedule, clock.clone(), is_recorded);
    let mut plan = None;
    let mut is_refused;
    loop {
        // What people cleared takes its time to show.
        let began_quiet = clock.now() >= quiet_at + SignedDuration::from_secs(12);
        let (commit, sent_before) = {
            let scene = stage.scene();
            (scene.schedule.commit(clock.now()), scene.sent.len())
        };
        let mut watcher = Notes {
            stage: &stage,
            commit,
            plan: None,
            content: None,
        };
        let ending = process(&stage, commit, flaw, &mut watcher).await;
        plan = watcher.plan.or(plan);
        let pause = {
            let mut scene = stage.scene();
            if let Ending::Ended(Ok(End::Stands(Standing::InStep))) = &ending {
                oracles::judge_end(&mut scene, commit);
            }
            // What is refused is tried once by every process, and held by it.
            let has_written = scene.sent[sent_before..]
                .iter()
                .any(|sent| sent.end != Ended::Refused);
            is_refused = scene.sent.len() > sent_before;
            if !scene.violations.is_empty() {
                break;
            }
            if scene.counts.quiet_looks > MOST_QUIET_LOOKS {
                scene.violate(
                    "l1_converges",
                    format!("still at it after {MOST_QUIET_LOOKS} looks"),
                );
                break;
            }
            if let (true, false, Ending::Ended(Ok(End::Stands(_)))) =
                (began_quiet, has_written, &ending)
            {
                break;
            }
            rest(&mut scene, &ending)
        };
        clock.sleep(pause).await;
    }
    let quiet_looks = stage.scene().counts.quiet_looks;
    if stage.scene().violations.is_empty()
        && let Some(plan) = plan
    {
        super::settled::judge(&mut stage.scene(), &plan);
        super::settled::judge_effort(&mut stage.scene());
    }
    if !is_refused {
        look_on(&stage, flaw).await;
    }
    let mut scene = stage.scene();
    scene.counts.quiet_looks = quiet_looks;
    let stored = super::settled::stored(&scene);
    Report {
        seed,
        counts: scene.counts,
        violations: scene.violations.clone(),
        transcript: scene.transcript.take().unwrap_or_default(),
        stored,
    }
}

/// How long until the next process: after a death a moment, else until a poll is due.
fn rest(scene: &mut super::stage::Scene, ending: &Ending) -> Duration {
    let (least, most) = match ending {
        Ending::Died => (0, 30),
        Ending::Ended(Err(_)) => (10, 20),
        Ending::Ended(Ok(End::Interrupted)) => (0, 0),
        Ending::Ended(Ok(_)) => (8, 25),
    };
    let millis = scene.draw(least * 1000, most * 1000);
    scene.note(|| match ending {
        Ending::Died => "died".to_owned(),
        Ending::Ended(Ok(end)) => format!("ends: {end:?}"),
        Ending::Ended(Err(failure)) => format!("ends: {failure}"),
    });
    Duration::from_millis(millis)
}

/// One process: works for a commit until it is in step, until a newer commit comes, or until it dies.
async fn process(stage: &Stage, commit: usize, flaw: Flaw, watcher: &mut Notes<'_>) -> Ending {
    let seat = stage.seat(commit);
    let secrets = stage.scene().schedule.secrets(stage.clock.now());
    let desired = flaw.desired(&stage.scene().schedule, commit, stage.clock.now());
    let provider = flaw.provider(seat);
    let pass = Pass {
        desired: &desired,
        provider: &*provider,
        secrets: &secrets,
        health: &NOBODY_ASKS,
        clock: &stage.clock,
    };
    if stage.scene().draw(0, 9) == 0 {
        only_look(stage, &pass, flaw).await;
    }
    let mut memory = Memory::writing_since(stage.clock.now());
    let controller = stage.scene().schedule.controller;
    if let Some(controller) = controller {
        let content = Content {
            digest: desired.digest(),
            committed_at: stage.scene().schedule.commits.get(commit).copied(),
        };
        watcher.content = Some(content.clone());
        let course = stage.scene().course.clone();
        let course = if controller.remembers {
            course
        } else {
            Course::default()
        };
        memory.follow(course, content);
    }
    let (stop, interrupt) = interrupt();
    let next_commit = stage.scene().schedule.next_commit(stage.clock.now());
    let passes = async {
        match flaw.passes(&pass, watcher, &interrupt).await {
            Some(end) => end,
            None => {
                let at_most = Duration::from_secs(900);
                keep_in_step(&pass, &mut memory, at_most, watcher, &interrupt).await
            }
        }
    };
    tokio::pin!(passes);
    let mut is_stopped = false;
    loop {
        let until_commit = next_commit.map_or(Duration::MAX, |at| until(stage, at));
        tokio::select! {
            biased;
            () = stage.crash.notified() => return Ending::Died,
            end = &mut passes => return Ending::Ended(end),
            () = tokio::time::sleep(until_commit.min(Duration::from_secs(86_400))), if !is_stopped => {
                is_stopped = true;
                if flaw.ignores_newer_commits() {
                    // The newer commit is taken up, and the older one worked for.
                    let mut scene = stage.scene();
                    scene.taken_up = scene.taken_up.max(commit + 1);
                } else {
                    stop.now();
                }
            }
        }
    }
}

fn until(stage: &Stage, at: Timestamp) -> Duration {
    at.duration_since(stage.clock.now())
        .try_into()
        .unwrap_or(Duration::ZERO)
}

/// S10: `diff` writes nothing.
async fn only_look(stage: &Stage, pass: &Pass<'_>, flaw: Flaw) {
    let before = stage.scene().sent.len();
    if let Ok(looked) = pass.look(&Memory::default()).await {
        tokio::select! {
            biased;
            () = stage.crash.notified() => {}
            () = flaw.after_diff(pass, &looked) => {}
        }
    }
    let mut scene = stage.scene();
    scene.denied_run = None;
    if scene.sent.len() != before {
        scene.violate("s10_read_only", "a diff has written");
    }
}

/// L2: whoever looks later finds nothing to do, and nothing is written.
async fn look_on(stage: &Stage, flaw: Flaw) {
    if !stage.scene().violations.is_empty() {
        return;
    }
    for pause in [30, 600] {
        stage.clock.sleep(Duration::from_secs(pause)).await;
        let commit = stage.scene().taken_up;
        let desired = flaw.desired(&stage.scene().schedule, commit, stage.clock.now());
        let seat: Seat<'_> = Seat {
            stage,
            commit,
            run: usize::MAX,
        };
        let provider = flaw.provider(seat);
        let secrets = stage.scene().schedule.secrets(stage.clock.now());
        let pass = Pass {
            desired: &desired,
            provider: &*provider,
            secrets: &secrets,
            health: &NOBODY_ASKS,
            clock: &stage.clock,
        };
        let before = stage.scene().sent.len();
        let looked = pass.look(&Memory::default()).await;
        let to_make: Vec<String> = looked
            .iter()
            .flat_map(|looked| &looked.plan.steps)
            .filter(|step| step.action().is_some())
            .map(|step| format!("{} ({})", what(step), why(step)))
            .collect();
        let mut scene = stage.scene();
        if !to_make.is_empty() || scene.sent.len() != before {
            scene.violate(
                "l2_quiescence",
                format!(
                    "although nothing has changed, to make: {}",
                    to_make.join(", ")
                ),
            );
        }
    }
}

/// Writes the transcript, and reads everything that people would be shown.
pub struct Notes<'a> {
    stage: &'a Stage,
    commit: usize,
    plan: Option<Plan>,
    /// What a controller follows.
    content: Option<Content>,
}

impl Watcher for Notes<'_> {
    fn looked(&mut self, looked: &Looked) {
        let mut scene = self.stage.scene();
        oracles::judge_plan(&mut scene, self.commit, &looked.plan);
        let now = self.stage.clock.now();
        if let Some(content) = &self.content {
            scene
                .course
                .follow(&looked.plan, &looked.world, content, now);
        }
        if looked.plan.steps.is_empty() {
            scene.in_step.insert(self.commit, now);
        }
        // Drawn in any case: a recorded schedule must go as one that is not.
        let is_drawn = scene.draw(0, 15) == 0;
        let is_read = is_drawn || scene.transcript.is_some();
        if is_read {
            let shown = text(
                &looked.plan,
                Look {
                    width: 160,
                    color: false,
                },
            );
            if shown.contains(MARK_OF_SECRETS)
                || other_forms(&looked.plan).contains(MARK_OF_SECRETS)
            {
                scene.violate("s9_no_secret_out", "a plan shows a secret");
            }
            for line in shown.lines() {
                scene.note(|| format!("    {line}"));
            }
        }
        drop(scene);
        self.plan = Some(looked.plan.clone());
    }

    fn acted(&mut self, _: &Looked, outcomes: &[Outcome]) {
        let leaks = outcomes
            .iter()
            .any(|outcome| format!("{outcome:?}").contains(MARK_OF_SECRETS));
        if leaks {
            self.stage
                .scene()
                .violate("s9_no_secret_out", "an outcome shows a secret");
        }
    }

    fn allows(&mut self, _: &Plan) -> bool {
        true
    }
}

fn other_forms(plan: &Plan) -> String {
    let json = serde_json::to_string(&json::document(plan)).unwrap_or_default();
    format!(
        "{json}{}{plan:?}",
        markdown::markdown(plan, &markdown::Page::default())
    )
}

/// For [`Flaw::provider`]: a provider that may be the seat itself.
pub type AnyProvider<'a> = Box<dyn Provider + 'a>;
