//! Automatic rollback (design rule 17): a release that does not stay healthy is put back, and refused for as long as git asks for exactly that.
//!
//! What was refused is written into the message of the patch that puts the release before back: one write, so that there is no moment at
//! which one is done and the other is not. A plan reads it there, and remembers nothing.

mod mark;
mod words;

use super::carried::{MADE, within};
use super::content::{self, Content, Wanted, image_words, is_same_image};
use super::fares::Restart;
use super::steps::Asking;
use crate::kinds::demand::Demand;
use crate::kinds::shown::one_line;
use crate::kinds::step::{Ask, Cause, NOTE};
use crate::kinds::written;
use crate::world::Seen;
use crate::world::railway::{
    AUTHOR, Deployment, Field, History, Patch, PatchState, Question, Source, Status,
};
use jiff::Timestamp;
use mark::{Mark, digest, marks, marks_with_names};
use std::collections::BTreeSet;
use std::time::Duration;

/// Whether the wanted content is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Nothing says so.
    Free,
    /// It was, and `restartedAfter` asks for it once more: what is written now must show in the history, or the refusal would hold again.
    OnceMore,
    /// It was, and somebody has deployed it by hand since.
    ByHand,
    /// It is.
    Refused { mark: Mark, at: Timestamp },
}

/// What the health of a release asks for.
enum Verdict {
    /// Nothing.
    Fine,
    /// More must be known.
    Ask(Vec<Question>),
    /// It is put back then, if it does not recover.
    Soon {
        at: Timestamp,
        image: String,
        words: String,
    },
    /// It would be put back, and this stands in the way.
    Cannot { by: String },
    /// What it needs cannot be seen.
    Unseen(String),
    /// It is put back now.
    Back { image: String, words: String },
}

impl Asking<'_> {
    /// What should run in place of what is wanted, where that is refused or does not stay healthy.
    pub(super) fn unless_refused(&mut self, wanted: Wanted) -> Option<Wanted> {
        let Content::Image(image) = &wanted.content else {
            self.of_commit(&wanted);
            return Some(wanted);
        };
        if wanted.closes || !matches!(self.seen.source, Source::Image(_)) {
            return Some(wanted);
        }
        self.ask_for_marks(image);
        let image = image.clone();
        match self.standing(&image) {
            Standing::OnceMore => Some(Wanted {
                by_patch: true,
                ..wanted
            }),
            Standing::ByHand => {
                let words = format!(
                    "{} was refused after a release, and somebody has deployed it again by hand",
                    image_words(&image)
                );
                self.refusal_step(&wanted, NOTE, None, Ask::Told(words));
                Some(wanted)
            }
            Standing::Refused { mark, at } => self.stay_back(wanted, &mark, at),
            Standing::Free => Some(self.judge_health(wanted)),
        }
    }

    /// The history is needed where something else runs or is stored than is wanted: a mark may say why.
    fn ask_for_marks(&mut self, image: &str) {
        let stored =
            matches!(&self.seen.source, Source::Image(stored) if is_same_image(stored, image));
        let newest = self.seen.newest.as_ref();
        let runs = newest.and_then(|newest| newest.image.as_deref());
        let is_behind = !stored || runs.is_some_and(|runs| !is_same_image(runs, image));
        // The first look shows the newest few.
        let is_short =
            self.around.rollback.is_some()
                && self.railway.history.facts().is_some_and(|history| {
                    !history.is_whole && history.patches.len() <= FIRST_LOOK
                });
        if is_behind && (self.railway.history == Seen::Unasked || is_short) {
            self.asked.questions.insert(Question::History.into());
        }
    }

    fn standing(&self, image: &str) -> Standing {
        let Some(history) = self.railway.history.facts() else {
            return Standing::Free;
        };
        let own = digest(&self.seen.id, image);
        let Some((mark, patch)) = self.newest_mark(&own, history) else {
            return Standing::Free;
        };
        let restart =
            super::fares::restart(self.spec(), self.seen.newest.as_ref(), self.around.now);
        if matches!(restart, Restart::Due(after) if after > patch.at) {
            return Standing::OnceMore;
        }
        let stored =
            matches!(&self.seen.source, Source::Image(stored) if is_same_image(stored, image));
        let last = history.patches.iter().find(|patch| self.moves(patch));
        if stored && last.is_some_and(|last| !last.message.starts_with(AUTHOR)) {
            return Standing::ByHand;
        }
        Standing::Refused { mark, at: patch.at }
    }

    /// The mark that refuses a content; another release of ours after it clears it.
    fn newest_mark<'h>(&self, refused: &str, history: &'h History) -> Option<(Mark, &'h Patch)> {
        for patch in &history.patches {
            if matches!(patch.state, PatchState::Failed(_)) || !patch.message.starts_with(AUTHOR) {
                continue;
            }
            if let Some(mark) = marks(patch).find(|mark| mark.refused == refused) {
                return Some((mark, patch));
            }
            if self.moves(patch) {
                return None;
            }
        }
        None
    }

    /// Whether a patch changes the image of this service.
    fn moves(&self, patch: &Patch) -> bool {
        let fields = patch.touched.get(&self.seen.id);
        fields.is_some_and(|fields| fields.contains(&Field::Image))
    }

    /// It is refused: what was put back stays.
    fn stay_back(&mut self, wanted: Wanted, mark: &Mark, at: Timestamp) -> Option<Wanted> {
        self.asked.marks.push(self.words_of(mark));
        let fits = |image: &&str| digest(&self.seen.id, image) == mark.instead;
        let stored = match &self.seen.source {
            Source::Image(stored) => Some(stored.as_str()),
            Source::Repository { .. } | Source::Nothing => None,
        };
        let newest = self.seen.newest.iter();
        let kept = self.seen.kept.facts().into_iter().flatten();
        let ran = newest.chain(kept).filter_map(|ran| ran.image.as_deref());
        let image = stored.into_iter().chain(ran).find(fits).map(str::to_owned);
        if image.is_none() && self.seen.kept == Seen::Unasked {
            let service = self.declared.name.clone();
            self.asked
                .questions
                .insert(Question::Kept { service }.into());
        }
        let runs = image.as_deref().map_or_else(
            || "what was put back cannot be told any more".to_owned(),
            |image| {
                let newest = self.seen.newest.as_ref();
                let is_back = newest.is_some_and(|newest| runs(newest, image));
                let verb = if is_back { "it runs" } else { "it goes to" };
                format!("{verb} {} again", self.tag(image, &wanted))
            },
        );
        let by = format!(
            "{} was refused at {at:.0}: {} was unhealthy for {} after it was deployed; {runs}{}{}{}",
            self.title(&wanted),
            self.declared.name,
            mark.after,
            self.others(),
            self.migrations(),
            image
                .as_deref()
                .map(|image| self.unhealthy_too(image))
                .unwrap_or_default(),
        );
        let way_out = "release something else, git revert, or write `restartedAfter` with the time of now to try it once more";
        let ask = Ask::Hold {
            by,
            way_out: way_out.to_owned(),
            cause: Cause::Unhealthy,
        };
        self.refusal_step(&wanted, "release", image.as_deref(), ask);
        let why = format!("{} is refused", self.title(&wanted));
        Some(instead(image?, Wanted { why, ..wanted }))
    }

    /// What is put back and unhealthy as well, once it has had its time, is not put back once more.
    fn unhealthy_too(&self, image: &str) -> String {
        let newest = self.seen.newest.as_ref();
        let up = newest.filter(|newest| newest.status == Status::Healthy && runs(newest, image));
        let patience = self
            .around
            .rollback
            .map_or(PATIENCE, |rollback| rollback.unhealthy_for.0);
        let is_early = |up: &Deployment| {
            after(up.status_at.unwrap_or(up.created_at), patience) > self.around.now
        };
        let health = self.around.world.health.get(&self.declared.name);
        match (up, health.and_then(Seen::facts)) {
            (Some(up), Some(health)) if !health.is_healthy && !is_early(up) => format!(
                ". It is unhealthy, too, since {:.0} ({}), and is not put back a second time",
                health.since,
                one_line(&health.answered)
            ),
            (Some(_) | None, _) => String::new(),
        }
    }

    /// Nothing refuses it yet: see how it fares.
    fn judge_health(&mut self, wanted: Wanted) -> Wanted {
        match self.verdict(&wanted) {
            Verdict::Fine => wanted,
            Verdict::Ask(questions) => {
                let questions = questions.into_iter().map(Into::into);
                self.asked.questions.extend(questions);
                wanted
            }
            Verdict::Soon { at, image, words } => {
                let ask = Ask::Wait {
                    until: format!("it is healthy again ({words})"),
                    deadline: at,
                    then: "put the release before it back".to_owned(),
                };
                self.announce(&wanted, Some(&image), ask);
                wanted
            }
            Verdict::Cannot { by } => {
                let way_out = "look at its log; git revert, or release something else".to_owned();
                let cause = Cause::Unhealthy;
                let ask = Ask::Hold { by, way_out, cause };
                self.announce(&wanted, None, ask);
                wanted
            }
            Verdict::Unseen(words) => {
                self.announce(&wanted, None, Ask::Unseen(words));
                wanted
            }
            Verdict::Back { image, words } => {
                let (Content::Image(refused), Some(rollback)) =
                    (&wanted.content, self.around.rollback)
                else {
                    return wanted;
                };
                let mark = Mark {
                    refused: digest(&self.seen.id, refused),
                    instead: digest(&self.seen.id, &image),
                    after: rollback.unhealthy_for.to_string().replace(' ', ""),
                };
                self.asked.marks.push(self.words_of(&mark));
                let why = format!("{words}{}{}", self.others(), self.migrations());
                instead(image, Wanted { why, ..wanted })
            }
        }
    }

    fn verdict(&self, wanted: &Wanted) -> Verdict {
        let (Some(rollback), Content::Image(image), Some(newest)) = (
            self.around.rollback,
            &wanted.content,
            self.seen.newest.as_ref(),
        ) else {
            return Verdict::Fine;
        };
        let runs = newest.image.as_deref();
        let is_closed = self.around.demands.iter().any(Demand::closes);
        if is_closed || newest.stopped || !runs.is_some_and(|runs| is_same_image(runs, image)) {
            return Verdict::Fine;
        }
        let Some((since, answered)) = self.unhealthy_since(newest) else {
            return Verdict::Fine;
        };
        let history = match (&self.railway.history, &self.seen.kept) {
            (Seen::Unasked, _) | (_, Seen::Unasked) => {
                let service = self.declared.name.clone();
                return Verdict::Ask(vec![Question::History, Question::Kept { service }]);
            }
            (Seen::Unseen(reason), _) | (_, Seen::Unseen(reason)) => {
                return Verdict::Unseen(format!(
                    "it cannot be seen whether a release made it unhealthy: {reason}"
                ));
            }
            (Seen::Facts(history), Seen::Facts(_)) => history,
        };
        let Some(released) = self.released(image, newest, since, history, rollback.within.0) else {
            return Verdict::Fine;
        };
        let words = format!(
            "{} has been unhealthy since {since:.0} ({answered}), and {} was deployed at {:.0}",
            self.declared.name,
            self.title(wanted),
            released.created_at
        );
        // A deployment has its own time from when it took over.
        let took_over = newest
            .status_at
            .filter(|_| newest.status == Status::Healthy);
        let counted = took_over.map_or(since, |took_over| since.max(took_over));
        let due = after(counted, rollback.unhealthy_for.0);
        let cannot = |reason: &str| Verdict::Cannot {
            by: format!("{words}: it is not put back by itself, {reason}"),
        };
        let Some(before) = self.before(image, released, history, rollback.unhealthy_for) else {
            return cannot("since no other release is known that ran healthy and was not refused");
        };
        if self.seen.has_volume && content::loss(image, before).is_some() {
            return cannot("since an older version may not read what its volume holds now");
        }
        if self.seen.updates_itself {
            return cannot("since Railway moves its image (image auto-updates are on)");
        }
        if self.around.now < due {
            return Verdict::Soon {
                at: due,
                image: before.to_owned(),
                words,
            };
        }
        Verdict::Back {
            image: before.to_owned(),
            words,
        }
    }

    /// Since when it is surely unhealthy, and what shows that. What is not known is neither.
    fn unhealthy_since(&self, newest: &Deployment) -> Option<(Timestamp, String)> {
        let asked = match self.around.world.health.get(&self.declared.name) {
            Some(Seen::Facts(health)) if !health.is_healthy => {
                Some((health.since, one_line(&health.answered)))
            }
            Some(Seen::Facts(_) | Seen::Unseen(_) | Seen::Unasked) | None => None,
        };
        match &newest.status {
            Status::Healthy => asked,
            // Where the one before it still serves, there is nothing to put back.
            Status::Failed(word) if !self.seen.is_serving() => asked.or_else(|| {
                let words = format!("deployment {}, nothing serves", one_line(word));
                newest.status_at.map(|at| (at, words))
            }),
            Status::Failed(_)
            | Status::Rolling(_)
            | Status::NeedsApproval
            | Status::Skipped
            | Status::Removed
            | Status::Unknown(_) => None,
        }
    }

    /// The deployment by which the wanted image came, where that was a release of ours, made it unhealthy, and lies within the time.
    fn released<'s>(
        &'s self,
        image: &str,
        newest: &'s Deployment,
        since: Timestamp,
        history: &History,
        at_most: Duration,
    ) -> Option<&'s Deployment> {
        let mut run: Vec<&Deployment> = self
            .deployments(newest)
            .take_while(|made| runs(made, image))
            .collect();
        let first = run.pop()?;
        // What was deployed in between without another image is as likely the cause.
        if run.iter().any(|made| made.created_at <= since) {
            return None;
        }
        let patch = history.patches.iter().find(|patch| self.moves(patch))?;
        let is_ours = patch.state == PatchState::Committed
            && patch.message.starts_with(AUTHOR)
            && !self.bears_a_mark(patch);
        let is_its_own = first.patch.as_ref() == Some(&patch.id)
            || first.patch.is_none()
                && (within(first.created_at, patch.at, MADE)
                    || (patch.begun_at..patch.at).contains(&first.created_at));
        let began = first.created_at.min(patch.at);
        let is_in_time = since >= began && since <= after(began, at_most);
        (is_ours && is_its_own && is_in_time).then_some(first)
    }

    /// Whether a patch put this service back: what was put back is not put back again.
    fn bears_a_mark(&self, patch: &Patch) -> bool {
        let name = &self.declared.name;
        marks_with_names(patch).any(|(of, _)| of == name)
    }

    /// All its deployments, the newest first.
    fn deployments<'s>(&'s self, newest: &'s Deployment) -> impl Iterator<Item = &'s Deployment> {
        let mut all: Vec<&Deployment> = self.seen.kept.facts().into_iter().flatten().collect();
        all.retain(|made| made.id != newest.id);
        all.push(newest);
        all.sort_by_key(|made| std::cmp::Reverse(made.created_at));
        all.into_iter()
    }

    /// The image of the newest other release that ran for long enough, and was not refused itself.
    fn before(
        &self,
        image: &str,
        released: &Deployment,
        history: &History,
        long_enough: written::Duration,
    ) -> Option<&str> {
        let refused: BTreeSet<String> = history
            .patches
            .iter()
            .flat_map(marks)
            .map(|mark| mark.refused)
            .collect();
        let newest = self.seen.newest.as_ref()?;
        let mut next = newest.created_at;
        for made in self.deployments(newest) {
            let lasted = next.duration_since(made.created_at).unsigned_abs();
            next = made.created_at;
            let Some(ran) = made.image.as_deref() else {
                continue;
            };
            let is_good = made.created_at < released.created_at
                && matches!(made.status, Status::Removed | Status::Healthy)
                && lasted >= long_enough.0
                && !is_same_image(ran, image)
                && !refused.contains(&digest(&self.seen.id, ran))
                && !self.closes_with(ran);
            if is_good {
                return Some(ran);
            }
        }
        None
    }

    /// Whether an image is one that a Maintenance closes with.
    fn closes_with(&self, image: &str) -> bool {
        let mut maintenances = self.around.documents.maintenances.values();
        maintenances.any(|maintenance| maintenance.spec.closes_with(image))
    }

    /// A commit leaves no mark anywhere: what is built from a repository is not put back by itself.
    fn of_commit(&mut self, wanted: &Wanted) {
        let (Some(rollback), Some(newest)) = (self.around.rollback, self.seen.newest.as_ref())
        else {
            return;
        };
        let Content::Commit(commit) = &wanted.content else {
            return;
        };
        let is_closed = self.around.demands.iter().any(Demand::closes);
        if is_closed || newest.commit.as_ref() != Some(commit) || newest.stopped {
            return;
        }
        let Some((since, answered)) = self.unhealthy_since(newest) else {
            return;
        };
        let began = newest.created_at;
        if since < began || since > after(began, rollback.within.0) {
            return;
        }
        let ask = Ask::Hold {
            by: format!(
                "{} has been unhealthy since {since:.0} ({answered}), and {} was deployed at {began:.0}: what is built from a repository is not put back by itself, since Railway keeps no mark of it",
                self.declared.name,
                self.title(wanted),
            ),
            way_out: "git revert".to_owned(),
            cause: Cause::Unhealthy,
        };
        self.announce(wanted, None, ask);
    }

    /// Whether the newest deployment is the one that came of putting back, and is not up: the kept image is there at once.
    pub(super) fn is_of_a_mark(&self, newest: &Deployment) -> bool {
        let patches = self
            .railway
            .history
            .facts()
            .into_iter()
            .flat_map(|history| &history.patches);
        let mut own = patches.filter(|patch| newest.patch.as_ref() == Some(&patch.id));
        own.any(|patch| self.moves(patch) && self.bears_a_mark(patch))
    }
}

/// How long what was put back has until it is told that it is unhealthy, too, where the Environment does not say.
const PATIENCE: Duration = Duration::from_secs(180);

/// Patches in the first look; more are asked for.
const FIRST_LOOK: usize = 10;

fn instead(image: String, wanted: Wanted) -> Wanted {
    Wanted {
        content: Content::Image(image),
        is_put_back: true,
        by_patch: true,
        ..wanted
    }
}

fn runs(made: &Deployment, image: &str) -> bool {
    made.image
        .as_deref()
        .is_some_and(|ran| is_same_image(ran, image))
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    moment.saturating_add(time).unwrap_or(Timestamp::MAX)
}
