//! How what runs of a service fares: deployments that lag, roll out, fail, are gone, are to be restarted or stopped.

use super::Spec;
use super::carried::{Carried, carried};
use super::content::{self, Content, Wanted};
use super::steps::{Asking, not_yet};
use super::way_back::{WayBack, way_back};
use crate::kinds::shown::one_line;
use crate::kinds::step::{Ask, Cause, Effect, NOTE, PUT_BACK, Step};
use crate::kinds::variable::LATEST;
use crate::world::railway::{self, Deployment, Question, READY_SECONDS, Status};
use crate::world::{Action, Seen};
use jiff::Timestamp;
use std::time::Duration;

impl Asking<'_> {
    /// Stored as declared: what is left is whether it runs.
    pub(super) fn run(&mut self, wanted: Option<&Wanted>) {
        let Some(newest) = &self.seen.newest else {
            if let Some(wanted) = wanted {
                self.deploy(wanted, "nothing is deployed");
            }
            return;
        };
        if let Status::Unknown(word) = &newest.status {
            return self.tell("look", Ask::Unseen(unknown(word)));
        }
        let (settings, variables) = (self.managed_settings(), self.managed_variables());
        let load = self.load(wanted, &settings, &variables);
        match carried(newest, &load) {
            Carried::Yes => self.settle(newest, wanted),
            Carried::NotYet(at) => self.judge(wanted, not_yet(at)),
            Carried::No(lack) => match wanted {
                Some(wanted) => self.deploy(wanted, &lack),
                None => self.deploy_stored(lack),
            },
        }
    }

    /// The newest deployment is what is wanted: see how it fares.
    fn settle(&mut self, newest: &Deployment, wanted: Option<&Wanted>) {
        if self.instantly(newest, wanted) {
            return;
        }
        let due = restart(self.spec(), Some(newest), self.around.now);
        match &newest.status {
            Status::Rolling(word) => {
                let ask = self.rolling(newest, word, "nothing more");
                self.judge(wanted, ask);
            }
            Status::NeedsApproval => {
                let by = format!("deployment {} waits for an approval at Railway", newest.id);
                let way_out = "approve it in Railway's dashboard".to_owned();
                let cause = Cause::Somebody;
                self.judge(wanted, Ask::Hold { by, way_out, cause });
            }
            Status::Skipped | Status::Failed(_) if matches!(due, Restart::Due(_)) => {
                self.restart(newest, due);
            }
            Status::Skipped => {
                let by = format!(
                    "Railway skipped deployment {}: its checks failed, or none of its paths changed",
                    newest.id
                );
                let way_out =
                    "mend the checks, or write `restartedAfter` with the time of now".to_owned();
                let cause = Cause::Unhealthy;
                self.judge(wanted, Ask::Hold { by, way_out, cause });
            }
            Status::Failed(word) => self.failed(newest, word, wanted),
            Status::Removed => self.gone(newest, wanted, "was removed"),
            Status::Healthy if newest.stopped => self.gone(newest, wanted, "was stopped"),
            Status::Healthy => self.restart(newest, due),
            Status::Unknown(_) => {}
        }
    }

    /// What is put back by a patch is pulled and started like any release. Where Railway still keeps it, it is there sooner,
    /// and also where the registry does not answer. Says whether that is what is done.
    fn instantly(&mut self, newest: &Deployment, wanted: Option<&Wanted>) -> bool {
        let Some(wanted) = wanted.filter(|wanted| wanted.is_put_back) else {
            return false;
        };
        let is_up = !matches!(newest.status, Status::Rolling(_) | Status::Failed(_));
        let Content::Image(image) = &wanted.content else {
            return false;
        };
        if is_up || !self.is_of_a_mark(newest) {
            return false;
        }
        let settings = self.wanted_settings();
        let name = self.declared.name.clone();
        match way_back(image, &settings, &name, self.seen, self.railway) {
            WayBack::None => false,
            WayBack::Ask(questions) => {
                let questions = questions.into_iter().map(Into::into);
                self.asked.questions.extend(questions);
                false
            }
            WayBack::To(deployment) => {
                let ask = Ask::Make(Action::Railway(railway::Action::Rollback {
                    service: self.named(),
                    deployment,
                    image: image.clone(),
                }));
                let why = wanted.why.clone();
                let step = self.step(
                    "deployment",
                    PUT_BACK,
                    why,
                    &wanted.origin,
                    Effect::Instant,
                    ask,
                );
                self.asked.steps.push(Step {
                    to: Some(wanted.content.words()),
                    ..step
                });
                true
            }
        }
    }

    fn failed(&mut self, newest: &Deployment, word: &str, wanted: Option<&Wanted>) {
        let log = match &self.seen.log {
            Seen::Facts(lines) if !lines.is_empty() => format!(": {}", lines.join(" ⏎ ")),
            Seen::Facts(_) | Seen::Unseen(_) => String::new(),
            Seen::Unasked => {
                let service = self.declared.name.clone();
                self.asked
                    .questions
                    .insert(Question::Log { service }.into());
                String::new()
            }
        };
        let serving = if self.seen.is_serving() {
            "the one before it still serves"
        } else {
            "nothing serves"
        };
        let by = format!(
            "deployment {} is {}, {serving}{log}",
            newest.id,
            one_line(word)
        );
        let way_out = "git revert, declare something else, or write `restartedAfter` with the time of now to try again".to_owned();
        let cause = Cause::Unhealthy;
        self.judge(wanted, Ask::Hold { by, way_out, cause });
    }

    fn gone(&mut self, newest: &Deployment, wanted: Option<&Wanted>, what: &str) {
        match wanted {
            Some(wanted) => self.deploy(wanted, &format!("the newest deployment {what}")),
            None if self.spec().stopped == Some(false) => {
                let redeploy = railway::Action::Redeploy {
                    service: self.named(),
                    deployment: newest.id.clone(),
                };
                let origin = self.declared.origin(&["stopped"]).clone();
                let why = format!("stopped: false, and the newest deployment {what}");
                let ask = Ask::Make(Action::Railway(redeploy));
                let effect = self.redeploying();
                let step = self.step("stopped", "start", why, &origin, effect, ask);
                self.asked.steps.push(step);
            }
            None => self.tell(
                NOTE,
                Ask::Told(format!(
                    "nothing runs: the newest deployment {what}, and this document does not say what should run"
                )),
            ),
        }
    }

    fn tell(&mut self, verb: &'static str, ask: Ask) {
        let origin = &self.declared.document.origin;
        let why = "deployment".to_owned();
        let step = self.step("deployment", verb, why, origin, Effect::Nothing, ask);
        self.asked.steps.push(step);
    }

    fn deploy(&mut self, wanted: &Wanted, lack: &str) {
        let commit = match &wanted.content {
            Content::Commit(commit) => Some(commit.clone()),
            Content::Image(_) => None,
        };
        let ask = Ask::Make(Action::Railway(railway::Action::Deploy {
            service: self.named(),
            commit,
        }));
        let step = self.step(
            "deployment",
            "deploy",
            format!("{}, and {lack}", wanted.why),
            &wanted.origin,
            self.deploying(),
            ask,
        );
        self.asked.steps.push(step);
        self.planned_restart();
    }

    fn deploy_stored(&mut self, lack: String) {
        let ask = Ask::Make(Action::Railway(railway::Action::Deploy {
            service: self.named(),
            commit: None,
        }));
        let origin = self.declared.origin(&[]);
        let effect = self.deploying();
        let step = self.step("deployment", "deploy", lack, origin, effect, ask);
        self.asked.steps.push(step);
        self.planned_restart();
    }

    fn restart(&mut self, newest: &Deployment, restart: Restart) {
        let Restart::Due(after) = restart else {
            return self.planned_restart();
        };
        if self.may_lack_shared(newest) {
            let words = "the token may not see the values of its variables, and shared ones have changed: a repeat of its newest deployment might hide that it lacks them";
            return self.tell("look", Ask::Unseen(words.to_owned()));
        }
        let service = self.named();
        let action = match &newest.status {
            // What never came up has left no image to start again.
            Status::Failed(_) | Status::Skipped => railway::Action::Deploy {
                service,
                commit: newest.commit.clone(),
            },
            _ => railway::Action::Redeploy {
                service,
                deployment: newest.id.clone(),
            },
        };
        let why = format!("restartedAfter: {after}");
        let step = self.step(
            "restartedAfter",
            "restart",
            why,
            self.declared.origin(&["restartedAfter"]),
            self.redeploying(),
            Ask::Make(Action::Railway(action)),
        );
        let from = Some(format!("deployed {:.0}", newest.created_at));
        self.asked.steps.push(Step {
            from,
            to: Some(after.to_string()),
            undo: "nothing to undo",
            ..step
        });
    }

    /// Whether it cannot be seen which shared variables it refers to, and some have changed since a deployment was made.
    fn may_lack_shared(&self, newest: &Deployment) -> bool {
        let is_hidden = match &self.seen.variables {
            Seen::Facts(variables) => {
                let mut variables = variables.values();
                variables.any(|variable| variable.value.is_none() && !variable.sealed)
            }
            Seen::Unseen(_) | Seen::Unasked => true,
        };
        let changed = self.railway.history.facts().is_some_and(|history| {
            let shared = |patch: &&railway::Patch| patch.touched.contains_key("");
            let mut patches = history.patches.iter().filter(shared);
            patches.any(|patch| patch.at > newest.created_at)
        });
        is_hidden && changed
    }

    /// A restart that lies ahead or was missed; one that is due comes with any deployment that is made now.
    pub(super) fn planned_restart(&mut self) {
        let ask = match restart(self.spec(), self.seen.newest.as_ref(), self.around.now) {
            Restart::Done | Restart::Due(_) => return,
            Restart::Ahead(after) => Ask::Wait {
                until: format!("it is {after}"),
                deadline: after,
                then: "restart".to_owned(),
            },
            Restart::Missed(after) => Ask::Told(format!(
                "missed: a restart was to begin at {after}, more than an hour ago"
            )),
        };
        let step = self.step(
            "restartedAfter",
            "restart",
            "restartedAfter".to_owned(),
            self.declared.origin(&["restartedAfter"]),
            Effect::Nothing,
            ask,
        );
        self.asked.steps.push(Step {
            undo: "nothing to undo",
            ..step
        });
    }

    pub(super) fn rolling(&self, newest: &Deployment, word: &str, then: &str) -> Ask {
        let deadline = deadline(newest, &self.seen.settings.ready);
        if self.around.now > deadline {
            let by = format!(
                "deployment {} has been {} since {:.0}",
                newest.id,
                one_line(word),
                newest.created_at
            );
            let way_out = "look at its log at Railway; git revert, or write `restartedAfter` with the time of now".to_owned();
            return Ask::Hold {
                by,
                way_out,
                cause: Cause::Unhealthy,
            };
        }
        Ask::Wait {
            until: format!(
                "deployment {} is up ({})",
                content::short(&newest.id),
                one_line(word)
            ),
            deadline,
            then: then.to_owned(),
        }
    }

    /// What the newest deployment, which is what is wanted, asks for.
    fn judge(&mut self, wanted: Option<&Wanted>, ask: Ask) {
        let (why, origin) = match wanted {
            Some(wanted) => (wanted.why.clone(), &wanted.origin),
            None => (
                format!("Service/{}", self.declared.name),
                &self.declared.document.origin,
            ),
        };
        let step = self.step("deployment", "deploy", why, origin, Effect::Nothing, ask);
        self.asked.steps.push(step);
    }

    /// `stopped: true`: what serves is stopped, what rolls out is waited for, and everything else is put off.
    pub(super) fn stop(&mut self, wanted: Option<&Wanted>) {
        let origin = self.declared.origin(&["stopped"]).clone();
        let stop = |deployment: &str| {
            Ask::Make(Action::Railway(railway::Action::Stop {
                service: self.named(),
                deployment: deployment.to_owned(),
            }))
        };
        let rolling = self
            .seen
            .newest
            .as_ref()
            .and_then(|newest| match &newest.status {
                Status::Rolling(word) => Some(self.rolling(newest, word, "stop it")),
                _ => None,
            });
        let serving: Vec<Ask> = self
            .seen
            .active
            .iter()
            .filter(|active| !active.stopped)
            .map(|active| stop(&active.id))
            .collect();
        for ask in rolling.into_iter().chain(serving) {
            let why = "stopped: true".to_owned();
            let step = self.step("stopped", "stop", why, &origin, Effect::Stop, ask);
            self.asked.steps.push(step);
        }
        self.put_off(wanted);
    }
}

/// When a deployment has taken too long: a build's time and the health check's own.
fn deadline(newest: &Deployment, ready: &railway::Ready) -> Timestamp {
    const BUILD: Duration = Duration::from_secs(20 * 60);
    let within = Duration::from_secs(ready.within_seconds.max(READY_SECONDS));
    newest
        .created_at
        .saturating_add(BUILD + within)
        .unwrap_or(Timestamp::MAX)
}

/// What a declared restart asks for, given when the newest deployment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// It has happened, or none is declared.
    Done,
    /// It lies ahead.
    Ahead(Timestamp),
    /// It is to be made now.
    Due(Timestamp),
    /// It was not begun in time and never will be.
    Missed(Timestamp),
}

/// A restart is a deployment made at or after its time: an in-place restart leaves no trace that a look could show (facts/railway.md 3.3).
pub(super) fn restart(spec: &Spec, newest: Option<&Deployment>, now: Timestamp) -> Restart {
    let Some(after) = spec.restarted_after.map(|after| after.0) else {
        return Restart::Done;
    };
    if newest.is_some_and(|newest| newest.created_at >= after) {
        Restart::Done
    } else if now < after {
        Restart::Ahead(after)
    } else if now.duration_since(after).unsigned_abs() > LATEST {
        Restart::Missed(after)
    } else {
        Restart::Due(after)
    }
}

/// A state that nobody knows is none to act on.
pub(super) fn unknown(word: &str) -> String {
    format!(
        "its newest deployment is in a state that this version does not know: {}",
        one_line(word)
    )
}
