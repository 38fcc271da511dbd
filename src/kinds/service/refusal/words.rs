//! How people are told of a release that was refused.

use super::super::content::{self, Content, Wanted, image_words, is_same_image};
use super::super::steps::Asking;
use super::mark::Mark;
use crate::kinds::shown::one_line;
use crate::kinds::step::{Ask, Effect, PUT_BACK, Step};
use crate::world::Seen;
use crate::world::railway::Source;
use std::fmt::Write as _;

impl Asking<'_> {
    /// What waits, or stands in the way, before the release before is put back.
    pub(super) fn announce(&mut self, wanted: &Wanted, before: Option<&str>, ask: Ask) {
        self.refusal_step(wanted, PUT_BACK, before, ask);
        if let Some(step) = self.asked.steps.last_mut() {
            std::mem::swap(&mut step.from, &mut step.to);
        }
    }

    pub(super) fn refusal_step(
        &mut self,
        wanted: &Wanted,
        verb: &'static str,
        from: Option<&str>,
        ask: Ask,
    ) {
        let to = match &wanted.content {
            Content::Image(image) => self.tag(image, wanted),
            Content::Commit(commit) => content::commit_words(commit),
        };
        let step = self.step(
            "image",
            verb,
            wanted.why.clone(),
            &wanted.origin,
            Effect::Nothing,
            ask,
        );
        let from = from.map(|from| self.tag(from, wanted));
        let step = Step {
            to: Some(to),
            from,
            ..step
        };
        self.asked.steps.push(step);
    }

    /// An image as people tell it from the wanted one.
    pub(super) fn tag(&self, image: &str, wanted: &Wanted) -> String {
        match (&wanted.content, &self.seen.source) {
            (Content::Image(wanted), Source::Image(stored)) if is_same_image(image, wanted) => {
                let other = if is_same_image(stored, wanted) {
                    self.seen
                        .newest
                        .as_ref()
                        .and_then(|newest| newest.image.as_deref())
                } else {
                    Some(stored.as_str())
                };
                content::moved(other.unwrap_or(wanted), image).1
            }
            (Content::Image(wanted), _) => content::moved(wanted, image).1,
            (Content::Commit(_), _) => image_words(image),
        }
    }

    /// What was released, as people name it.
    pub(super) fn title(&self, wanted: &Wanted) -> String {
        let words = wanted.content.words();
        match &self.spec().release {
            Some(name) => format!(
                "Release/{name} {}",
                words
                    .rsplit_once(':')
                    .filter(|(_, tag)| !tag.contains('/'))
                    .map_or(words.as_str(), |(_, tag)| tag)
            ),
            None => words,
        }
    }

    /// What the other services of the same release run: each is judged by itself.
    pub(super) fn others(&self) -> String {
        let Some(name) = &self.spec().release else {
            return String::new();
        };
        let services = self.around.documents.services.values();
        let others = services
            .filter(|other| other.spec.release.as_ref() == Some(name))
            .filter(|other| other.name != self.declared.name);
        let mut words = String::new();
        for other in others.take(5) {
            let seen = self.railway.services.get(&other.name).and_then(Seen::facts);
            let newest = seen.and_then(|seen| seen.newest.as_ref());
            if let Some(image) = newest.and_then(|newest| newest.image.as_deref()) {
                let image = image_words(image);
                let tag = image
                    .rsplit_once(':')
                    .map_or(image.as_str(), |(_, tag)| tag);
                let _ = write!(words, "; {} runs {tag}", other.name);
            }
        }
        words
    }

    /// Migrations are never taken back.
    pub(super) fn migrations(&self) -> String {
        let release = self.spec().release.as_ref();
        let release = release.and_then(|name| self.around.documents.releases.get(name));
        let newest = release.and_then(|release| release.spec.migration.as_deref());
        newest.map_or_else(String::new, |migration| {
            format!(
                "; migrations up to {} stay, if they ran",
                one_line(migration)
            )
        })
    }

    pub(super) fn words_of(&self, mark: &Mark) -> String {
        format!(
            "{} refused {} for {} after {}",
            self.declared.name, mark.refused, mark.instead, mark.after
        )
    }
}
