//! How a service gets what it should run: by a patch, by the way back to a kept deployment, by a deployment of a commit.

use super::carried::fresh_change;
use super::content::{self, Content, Wanted};
use super::settings;
use super::steps::{Asking, not_yet};
use super::way_back::{WayBack, runs_already, way_back};
use crate::kinds::step::{Ask, Cause, Effect, PUT_BACK, Step};
use crate::world::Action;
use crate::world::railway::{self, Change, Owner, Setting, Source};

impl Asking<'_> {
    /// What should run, given whether a deployment comes of other changes anyway.
    pub(super) fn release(&mut self, wanted: &Wanted, deploys: bool) {
        match &wanted.content {
            Content::Image(image) => match &self.seen.source {
                Source::Image(stored) if content::is_same_image(stored, image) => {
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
                let (from, to) = content::moved(stored, image);
                (Some(from), to)
            }
            Source::Nothing | Source::Repository { .. } => (None, content::image_words(image)),
        };
        if self.seen.updates_itself && !wanted.closes {
            let by = "Railway moves this image by itself (image auto-updates are on)".to_owned();
            return self.hold(
                "image",
                "release",
                by,
                "turn auto-updates off in the service's settings at Railway",
                Cause::Somebody,
            );
        }
        let differences = settings::differences(&self.wishes, &self.seen.settings);
        let after_way_back = if deploys {
            None
        } else {
            self.after_way_back(&differences, Some(wanted))
        };
        let loss = match &self.seen.source {
            Source::Image(stored) if self.seen.has_volume => content::loss(stored, image),
            Source::Image(_) | Source::Nothing | Source::Repository { .. } => None,
        };
        let (effect, ask) = match after_way_back {
            Some(ask @ Ask::Make(_)) => (Effect::Nothing, ask),
            Some(ask) => (Effect::Instant, ask),
            // Only a patch leaves a mark of the consent that it used.
            None if loss.is_some() => self.patch_image(image),
            None if wanted.by_patch => self.patch_image(image),
            None => self.change_image(image, deploys),
        };
        let undo = if effect == Effect::Instant {
            "revert"
        } else {
            "revert, instant while the image is kept"
        };
        let loses = loss.filter(|_| effect != Effect::Nothing);
        let effect = if loses.is_some() {
            Effect::DataLoss
        } else {
            effect
        };
        let verb = if wanted.is_put_back {
            PUT_BACK
        } else {
            "release"
        };
        let step = self.step(
            "image",
            verb,
            wanted.why.clone(),
            &wanted.origin,
            effect,
            ask,
        );
        self.asked.steps.push(Step {
            from,
            to: Some(to),
            undo: if loses.is_some() {
                "none without a copy of its volume"
            } else if wanted.is_put_back {
                "`restartedAfter` tries it once more"
            } else {
                undo
            },
            loses,
            closes: wanted.closes,
            ..step
        });
        self.planned_restart();
    }

    /// Back to a kept deployment where that gives exactly what is wanted, else by a patch.
    fn change_image(&mut self, image: &str, deploys: bool) -> (Effect, Ask) {
        // Where it runs already, going back once more would change nothing.
        let has_gone = runs_already(image, self.seen, &self.railway.history).is_some();
        let may_go = (!deploys || self.only_settings_deploy()) && !self.around.is_patched;
        let back = if !has_gone && may_go {
            let wanted = self.wanted_settings();
            way_back(image, &wanted, &self.declared.name, self.seen, self.railway)
        } else {
            WayBack::None
        };
        match back {
            WayBack::To(deployment) => {
                let action = Action::Railway(railway::Action::Rollback {
                    service: self.named(),
                    deployment,
                    image: image.to_owned(),
                });
                self.go_back_with_settings(&action);
                return (Effect::Instant, Ask::Make(action));
            }
            WayBack::Ask(questions) => {
                let questions = questions.into_iter().map(Into::into);
                self.asked.questions.extend(questions);
            }
            WayBack::None => {}
        }
        self.patch_image(image)
    }

    fn patch_image(&self, image: &str) -> (Effect, Ask) {
        let action = railway::Action::Change(Change {
            of: Owner::Service(self.named()),
            set: Setting::Image(image.to_owned()),
        });
        (self.redeploying(), Ask::Make(Action::Railway(action)))
    }

    fn is_settings_step(step: &Step) -> bool {
        match &step.ask {
            Ask::Make(Action::Railway(railway::Action::Change(Change {
                set: Setting::Plain(value),
                ..
            }))) => settings::can_be_stored(value),
            _ => false,
        }
    }

    /// Whether plain settings are all that has to be deployed beside the image.
    fn only_settings_deploy(&self) -> bool {
        self.asked
            .steps
            .iter()
            .filter(|step| step.deploys())
            .all(Asking::is_settings_step)
    }

    /// A kept deployment has its settings, too: they come back with it, and are stored afterwards.
    fn go_back_with_settings(&mut self, action: &Action) {
        for step in self
            .asked
            .steps
            .iter_mut()
            .filter(|step| Asking::is_settings_step(step))
        {
            step.ask = Ask::Make(action.clone());
            step.effect = Effect::Instant;
        }
    }

    fn release_commit(&mut self, commit: &str, runs: Option<&str>, wanted: &Wanted, deploys: bool) {
        // A patch that is sent anyway carries the commit; whether Railway deploys it by that is open, and the next look tells.
        let action = if deploys {
            railway::Action::Change(Change {
                of: Owner::Service(self.named()),
                set: Setting::Commit(commit.to_owned()),
            })
        } else {
            railway::Action::Deploy {
                service: self.named(),
                commit: Some(commit.to_owned()),
            }
        };
        let fresh =
            fresh_change(self.seen, &self.railway.history, self.around.now).filter(|_| !deploys);
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
            from: runs.map(content::commit_words),
            to: Some(content::commit_words(commit)),
            ..step
        });
        self.planned_restart();
    }
}
