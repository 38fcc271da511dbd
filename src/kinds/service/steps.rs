//! The steps that bring a service in step: what is stored, what runs, and how it fares.

use super::rollout::{self, Carried, Content, Restart, Wanted, WayBack};
use super::settings;
use super::{Spec, Variable};
use crate::kinds::shown::one_line;
use crate::kinds::step::{Address, Ask, Asked, Cause, Effect, Step};
use crate::kinds::{Declared, release};
use crate::problem::nearest;
use crate::source::Origin;
use crate::world::railway::{
    self, Change, Deployment, Named, Question, Railway, Service, Setting, Source, Status,
};
use crate::world::{Action, SETTLING, Seen, World};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The steps that bring one service in step (design rule 5).
pub fn steps(
    declared: &Declared<Spec>,
    releases: &BTreeMap<String, Declared<release::Spec>>,
    world: &World,
    now: Timestamp,
) -> Asked {
    let railway = match &world.railway {
        Seen::Facts(railway) => railway,
        Seen::Unseen(reason) => return unseen(declared, reason),
        Seen::Unasked => return Asked::default(),
    };
    match railway.services.get(&declared.name) {
        Some(Seen::Facts(seen)) => Asking {
            declared,
            seen,
            railway,
            world,
            now,
            asked: Asked::default(),
        }
        .all(releases),
        Some(Seen::Unseen(reason)) => unseen(declared, reason),
        Some(Seen::Unasked) => Asked::default(),
        None => missing(declared, railway),
    }
}

fn address(declared: &Declared<Spec>) -> Address {
    Address {
        kind: "Service",
        name: declared.name.clone(),
    }
}

fn plain_step(declared: &Declared<Spec>, verb: &'static str, ask: Ask) -> Step {
    Step {
        of: address(declared),
        field: "service".to_owned(),
        verb,
        from: None,
        to: None,
        why: format!("Service/{}", declared.name),
        origin: Some(declared.document.origin.clone()),
        effect: Effect::Nothing,
        undo: "",
        ask,
    }
}

fn unseen(declared: &Declared<Spec>, reason: &str) -> Asked {
    Asked {
        steps: vec![plain_step(declared, "look", Ask::Unseen(reason.to_owned()))],
        ..Asked::default()
    }
}

/// The controller creates no services: it names the command that does.
fn missing(declared: &Declared<Spec>, railway: &Railway) -> Asked {
    let name = &declared.name;
    let near = nearest(name, railway.services.keys().map(String::as_str));
    let (by, way_out) = if railway.elsewhere.contains(name) {
        let by = format!(
            "{name} exists in project {} but not in environment {}",
            railway.project.name, railway.environment.name
        );
        (
            by,
            format!(
                "add it to the environment in Railway's dashboard (sync the service from another environment), or take Service/{name} out"
            ),
        )
    } else {
        let by = format!(
            "there is no service {name} in project {}",
            railway.project.name
        );
        let meant = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        (by, format!("railway add --service {name}{meant}"))
    };
    Asked {
        steps: vec![plain_step(
            declared,
            "make",
            Ask::Hold {
                by,
                way_out,
                cause: Cause::Missing,
            },
        )],
        ..Asked::default()
    }
}

/// What was stored so lately that its deployment may not show yet.
fn not_yet(at: Timestamp) -> Ask {
    let deadline = at.saturating_add(SETTLING).unwrap_or(Timestamp::MAX);
    Ask::Wait {
        until: format!("Railway shows the deployment of what was stored at {at:.0}"),
        deadline,
        then: "look again".to_owned(),
    }
}

/// One service with everything that its steps are decided from.
struct Asking<'a> {
    declared: &'a Declared<Spec>,
    seen: &'a Service,
    railway: &'a Railway,
    world: &'a World,
    now: Timestamp,
    asked: Asked,
}

impl Asking<'_> {
    fn all(mut self, releases: &BTreeMap<String, Declared<release::Spec>>) -> Asked {
        let wanted = match rollout::wanted(self.declared, releases, &self.seen.source) {
            Ok(wanted) => wanted,
            Err(by) => {
                self.hold(
                    "image",
                    "release",
                    by,
                    "declare what fits its source, or change the source in Railway",
                    Cause::Missing,
                );
                None
            }
        };
        self.ask_for_history();
        let deploys = self.set_differences();
        match &wanted {
            Some(wanted) => self.release(wanted, deploys),
            None if deploys => self.planned_restart(),
            None => self.run(None),
        }
        self.asked
    }

    fn named(&self) -> Named {
        Named {
            id: self.seen.id.clone(),
            name: self.declared.name.clone(),
        }
    }

    fn step(
        &self,
        field: &str,
        verb: &'static str,
        why: String,
        origin: &Origin,
        effect: Effect,
        ask: Ask,
    ) -> Step {
        Step {
            of: address(self.declared),
            field: field.to_owned(),
            verb,
            from: None,
            to: None,
            why,
            origin: Some(origin.clone()),
            effect,
            undo: "revert",
            ask,
        }
    }

    fn hold(&mut self, field: &str, verb: &'static str, by: String, way_out: &str, cause: Cause) {
        let why = format!("Service/{}", self.declared.name);
        let ask = Ask::Hold {
            by,
            way_out: way_out.to_owned(),
            cause,
        };
        let step = self.step(
            field,
            verb,
            why,
            &self.declared.document.origin,
            Effect::Nothing,
            ask,
        );
        self.asked.steps.push(step);
    }

    /// The history is asked for when something points to a change that the newest deployment may lack, or to a rotation.
    fn ask_for_history(&mut self) {
        if self.railway.history != Seen::Unasked {
            return;
        }
        let rotates = self.declared.spec.variables.values().any(
            |variable| matches!(variable, Variable::From(from) if from.rotated_after.is_some()),
        );
        let made = self.seen.newest.as_ref().map(|newest| newest.created_at);
        let changed_since = self
            .seen
            .updated_at
            .is_none_or(|updated| made.is_none_or(|made| updated > made));
        if rotates || changed_since {
            self.asked.questions.insert(Question::History);
        }
    }

    /// Asks for all that is stored differently; says whether a deployment comes of it.
    fn set_differences(&mut self) -> bool {
        let differences = settings::differences(
            self.declared,
            self.seen,
            &self.railway.region_names,
            &self.railway.history,
            self.world,
            self.now,
        );
        let mut deploys = false;
        for difference in differences {
            let effect = match &difference.then {
                settings::Then::Set(Setting::Replicas(_)) => Effect::Hot,
                settings::Then::Set(_) => self.deploying(),
                settings::Then::Hold { .. }
                | settings::Then::Unseen(_)
                | settings::Then::Told(_) => Effect::Nothing,
            };
            deploys |= effect.deploys();
            let ask = match difference.then {
                settings::Then::Set(set) => {
                    Ask::Make(Action::Railway(railway::Action::Change(Change {
                        service: self.named(),
                        set,
                    })))
                }
                settings::Then::Hold { by, way_out, cause } => Ask::Hold { by, way_out, cause },
                settings::Then::Unseen(reason) => Ask::Unseen(reason),
                settings::Then::Told(words) => Ask::Told(words),
            };
            let step = self.step(
                &difference.field,
                difference.verb,
                difference.why,
                &difference.origin,
                effect,
                ask,
            );
            self.asked.steps.push(Step {
                from: difference.from,
                to: difference.to,
                ..step
            });
        }
        deploys
    }

    /// What a deployment means for this service.
    fn deploying(&self) -> Effect {
        match (&self.seen.source, self.seen.has_volume) {
            (_, true) => Effect::Downtime,
            (Source::Repository { .. }, false) => Effect::Rebuild,
            (Source::Image(_) | Source::Nothing, false) => Effect::Redeploy,
        }
    }

    fn release(&mut self, wanted: &Wanted, deploys: bool) {
        match &wanted.content {
            Content::Image(image) => match &self.seen.source {
                Source::Image(stored) if rollout::is_same_image(stored, image) => {
                    self.run_unless(deploys, wanted);
                }
                Source::Image(_) | Source::Nothing | Source::Repository { .. } => {
                    self.release_image(image, wanted, deploys);
                }
            },
            Content::Commit(commit) => {
                let runs = self
                    .seen
                    .newest
                    .as_ref()
                    .and_then(|newest| newest.commit.clone());
                if runs.as_ref() == Some(commit) {
                    self.run_unless(deploys, wanted);
                } else {
                    self.release_commit(commit, runs.as_deref(), wanted, deploys);
                }
            }
        }
    }

    fn run_unless(&mut self, deploys: bool, wanted: &Wanted) {
        if deploys {
            self.planned_restart();
        } else {
            self.run(Some(wanted));
        }
    }

    fn release_image(&mut self, image: &str, wanted: &Wanted, deploys: bool) {
        let (from, to) = match &self.seen.source {
            Source::Image(stored) => {
                let (from, to) = rollout::moved(stored, image);
                (Some(from), to)
            }
            Source::Nothing | Source::Repository { .. } => (None, rollout::image_words(image)),
        };
        if self.seen.updates_itself {
            let by = "Railway moves this image by itself (image auto-updates are on)".to_owned();
            return self.hold(
                "image",
                "release",
                by,
                "turn auto-updates off in the service's settings at Railway",
                Cause::Somebody,
            );
        }
        let already = if deploys {
            None
        } else {
            rollout::runs_already(image, self.seen, &self.railway.history)
        };
        let (effect, ask) = match already.as_ref().map(|newest| (newest, &newest.status)) {
            Some((_, Status::Healthy)) => {
                let store = railway::Action::StoreImage {
                    service: self.named(),
                    image: image.to_owned(),
                };
                (Effect::Nothing, Ask::Make(Action::Railway(store)))
            }
            Some((newest, Status::Rolling(word))) => (
                Effect::Instant,
                self.rolling(newest, word, "store its image"),
            ),
            Some(_) | None => self.change_image(image, deploys),
        };
        let undo = if effect == Effect::Instant {
            "revert"
        } else {
            "revert, instant while the image is kept"
        };
        let step = self.step(
            "image",
            "release",
            wanted.why.clone(),
            &wanted.origin,
            effect,
            ask,
        );
        self.asked.steps.push(Step {
            from,
            to: Some(to),
            undo,
            ..step
        });
        self.planned_restart();
    }

    /// Back to a kept deployment where nothing but the image has changed since, else by a patch.
    fn change_image(&mut self, image: &str, deploys: bool) -> (Effect, Ask) {
        let way_back = if deploys {
            WayBack::None
        } else {
            rollout::way_back(image, self.seen, self.railway)
        };
        let service = self.named();
        match way_back {
            WayBack::To(kept) => {
                let action = railway::Action::Rollback {
                    service,
                    deployment: kept.id,
                    image: image.to_owned(),
                };
                return (Effect::Instant, Ask::Make(Action::Railway(action)));
            }
            WayBack::Unasked => {
                self.asked.questions.insert(Question::History);
                self.asked.questions.insert(Question::Kept {
                    service: self.declared.name.clone(),
                });
            }
            WayBack::None => {}
        }
        let action = railway::Action::Change(Change {
            service,
            set: Setting::Image(image.to_owned()),
        });
        let effect = if self.seen.has_volume {
            Effect::Downtime
        } else {
            Effect::Redeploy
        };
        (effect, Ask::Make(Action::Railway(action)))
    }

    fn release_commit(&mut self, commit: &str, runs: Option<&str>, wanted: &Wanted, deploys: bool) {
        // A patch that is sent anyway carries the commit; whether Railway deploys it by that is open, and the next look tells.
        let action = if deploys {
            railway::Action::Change(Change {
                service: self.named(),
                set: Setting::Commit(commit.to_owned()),
            })
        } else {
            railway::Action::Deploy {
                service: self.named(),
                commit: Some(commit.to_owned()),
            }
        };
        let fresh =
            rollout::fresh_change(self.seen, &self.railway.history, self.now).filter(|_| !deploys);
        let ask = fresh.map_or(Ask::Make(Action::Railway(action)), not_yet);
        let step = self.step(
            "commit",
            "release",
            wanted.why.clone(),
            &wanted.origin,
            Effect::Rebuild,
            ask,
        );
        self.asked.steps.push(Step {
            from: runs.map(rollout::commit_words),
            to: Some(rollout::commit_words(commit)),
            ..step
        });
        self.planned_restart();
    }

    /// Stored as declared: what is left is whether it runs.
    fn run(&mut self, wanted: Option<&Wanted>) {
        let spec = &self.declared.spec;
        let Some(newest) = &self.seen.newest else {
            if let Some(wanted) = wanted {
                self.deploy(wanted, "nothing is deployed");
            }
            return;
        };
        if let Status::Unknown(word) = &newest.status {
            let reason = format!(
                "its newest deployment is in a state that this version does not know: {}",
                one_line(word)
            );
            let step = self.step(
                "deployment",
                "look",
                "deployment".to_owned(),
                &self.declared.document.origin,
                Effect::Nothing,
                Ask::Unseen(reason),
            );
            self.asked.steps.push(step);
            return;
        }
        match rollout::carried(
            newest,
            self.seen,
            wanted,
            spec,
            &self.railway.history,
            self.now,
        ) {
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
        let due = rollout::restart(&self.declared.spec, Some(newest), self.now);
        match &newest.status {
            Status::Rolling(word) => {
                let ask = self.rolling(newest, word, "nothing more");
                self.judge(wanted, ask);
            }
            Status::NeedsApproval => {
                let by = format!("deployment {} waits for an approval at Railway", newest.id);
                self.judge(
                    wanted,
                    Ask::Hold {
                        by,
                        way_out: "approve it in Railway's dashboard".to_owned(),
                        cause: Cause::Somebody,
                    },
                );
            }
            Status::Skipped if matches!(due, Restart::Due(_)) => self.restart(newest, due),
            Status::Skipped => {
                let by = format!(
                    "Railway skipped deployment {}: its checks failed, or none of its paths changed",
                    newest.id
                );
                self.judge(
                    wanted,
                    Ask::Hold {
                        by,
                        way_out: "mend the checks, or write `restartedAfter` with the time of now"
                            .to_owned(),
                        cause: Cause::Unhealthy,
                    },
                );
            }
            Status::Failed(_) if matches!(due, Restart::Due(_)) => self.restart(newest, due),
            Status::Failed(word) => self.failed(newest, word, wanted),
            Status::Removed => self.gone(wanted, "was removed"),
            Status::Healthy if newest.stopped => self.gone(wanted, "was stopped"),
            Status::Healthy => self.restart(newest, due),
            Status::Unknown(_) => {}
        }
    }

    fn failed(&mut self, newest: &Deployment, word: &str, wanted: Option<&Wanted>) {
        let log = match &self.seen.log {
            Seen::Facts(lines) if !lines.is_empty() => format!(": {}", lines.join(" ⏎ ")),
            Seen::Facts(_) | Seen::Unseen(_) => String::new(),
            Seen::Unasked => {
                self.asked.questions.insert(Question::Log {
                    service: self.declared.name.clone(),
                });
                String::new()
            }
        };
        let serving = if self.seen.is_serving {
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
        self.judge(
            wanted,
            Ask::Hold {
                by,
                way_out,
                cause: Cause::Unhealthy,
            },
        );
    }

    fn gone(&mut self, wanted: Option<&Wanted>, what: &str) {
        match wanted {
            Some(wanted) => self.deploy(wanted, &format!("the newest deployment {what}")),
            None => {
                let ask = Ask::Told(format!(
                    "nothing runs: the newest deployment {what}, and this document does not say what should run"
                ));
                let step = self.step(
                    "deployment",
                    "tell",
                    "deployment".to_owned(),
                    &self.declared.document.origin,
                    Effect::Nothing,
                    ask,
                );
                self.asked.steps.push(step);
            }
        }
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
        let step = self.step(
            "deployment",
            "deploy",
            lack,
            self.declared.origin(&["variables"]),
            self.deploying(),
            ask,
        );
        self.asked.steps.push(step);
        self.planned_restart();
    }

    fn restart(&mut self, newest: &Deployment, restart: Restart) {
        let Restart::Due(after) = restart else {
            return self.planned_restart();
        };
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
        let effect = if self.seen.has_volume {
            Effect::Downtime
        } else {
            Effect::Redeploy
        };
        let why = format!("restartedAfter: {after}");
        let step = self.step(
            "restartedAfter",
            "restart",
            why,
            self.declared.origin(&["restartedAfter"]),
            effect,
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

    /// A restart that lies ahead or was missed; one that is due comes with any deployment that is made now.
    fn planned_restart(&mut self) {
        let (ask, verb) =
            match rollout::restart(&self.declared.spec, self.seen.newest.as_ref(), self.now) {
                Restart::Done | Restart::Due(_) => return,
                Restart::Ahead(after) => (
                    Ask::Wait {
                        until: format!("it is {after}"),
                        deadline: after,
                        then: "restart".to_owned(),
                    },
                    "restart",
                ),
                Restart::Missed(after) => (
                    Ask::Told(format!(
                        "missed: a restart was to begin at {after}, more than an hour ago"
                    )),
                    "restart",
                ),
            };
        let step = self.step(
            "restartedAfter",
            verb,
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

    fn rolling(&self, newest: &Deployment, word: &str, then: &str) -> Ask {
        let deadline = rollout::deadline(newest, &self.declared.spec);
        if self.now > deadline {
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
                rollout::short(&newest.id),
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
}
