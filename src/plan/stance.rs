//! Whether anything is done at all, or only reported: somebody suspended it, or applied by hand what git does not contain.

use super::write::commit_of;
use super::{Plan, freeze};
use crate::kinds::shown::one_line;
use crate::kinds::step::{Ask, Cause};
use crate::world::World;
use crate::world::railway::{AUTHOR, PatchState, Railway};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether anything is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stance {
    /// It is.
    #[default]
    Act,
    /// It is looked and told, and nothing is written.
    ReportOnly(ReportOnly),
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOnly {
    /// In words for people.
    pub why: String,
    /// What somebody can do about it.
    pub way_out: String,
    /// Whether what was begun is finished.
    pub finishes: bool,
}

/// Who told the controller to only look: a mark, until it is resumed or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Who applied something by hand while git was out of reach (design rule 16): a mark, until git contains it, it is resumed, or it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Direct {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Until when, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What was applied: [`crate::manifest::Desired::digest`].
    pub content: String,
    /// The commit that it was taken from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What people left for the controller to heed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Marks {
    /// Somebody told it to only look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
    /// Somebody applied something by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<Direct>,
}

fn stands(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| now < until)
}

impl Marks {
    /// Takes away what has ended, and a direct apply whose content git contains: once it has contained it, git leads again.
    /// Says whether anything went.
    pub fn tidy(&mut self, content: &str, now: Timestamp) -> bool {
        let before = self.clone();
        self.suspended.take_if(|mark| !stands(mark.until, now));
        self.direct
            .take_if(|mark| !stands(mark.until, now) || mark.content == content);
        *self != before
    }
}

/// Whether anything is done in an environment, given what git asks for and what people left.
pub fn stance(environment: &str, content: &str, marks: &Marks, now: Timestamp) -> Stance {
    let until = |until: Option<Timestamp>| {
        let until = until.map(|until| format!(", until {until:.0}"));
        until.unwrap_or_default()
    };
    let resume = format!("reconciler resume {environment}");
    if let Some(mark) = marks
        .suspended
        .as_ref()
        .filter(|mark| stands(mark.until, now))
    {
        return Stance::ReportOnly(ReportOnly {
            why: format!(
                "suspended by {} since {:.0}{}: {}",
                one_line(&mark.by),
                mark.since,
                until(mark.until),
                one_line(&mark.reason)
            ),
            way_out: resume,
            finishes: true,
        });
    }
    let direct = marks.direct.as_ref();
    match direct.filter(|mark| stands(mark.until, now) && mark.content != content) {
        Some(mark) => Stance::ReportOnly(ReportOnly {
            why: format!(
                "{} applied by hand at {:.0} what git does not contain{}: {}",
                one_line(&mark.by),
                mark.at,
                until(mark.until),
                one_line(&mark.reason)
            ),
            way_out: match &mark.commit {
                Some(commit) => format!("push commit {}, or {resume}", one_line(commit)),
                None => format!("push what was applied, or {resume}"),
            },
            finishes: false,
        }),
        None => Stance::Act,
    }
}

/// For which commit, by the beginning of its id, the newest write of ours at Railway was sent, and when; nothing where it names none.
pub fn newest_commit(world: &World) -> Option<(&str, Timestamp)> {
    let history = world.railway.facts()?.history.facts()?;
    let ours = history.patches.iter().find(|patch| {
        patch.message.starts_with(AUTHOR) && !matches!(patch.state, PatchState::Failed(_))
    })?;
    Some((commit_of(&ours.message)?, ours.at))
}

/// What to do when that commit is one that nobody here knows: somebody applied it from a laptop while the controller was gone
/// (language 2.6, rung 3). Nothing where somebody has said since that it shall go on.
pub fn stranger(
    environment: &str,
    commit: &str,
    at: Timestamp,
    resumed: Option<Timestamp>,
) -> Option<ReportOnly> {
    resumed.is_none_or(|resumed| resumed < at).then(|| ReportOnly {
        why: format!(
            "the newest write at Railway, of {at:.0}, was for commit {commit}, which is not in the repository"
        ),
        way_out: format!("push commit {commit}, or reconciler resume {environment}"),
        finishes: false,
    })
}

/// Holds every step to make. A plan that is held once stays as it is.
pub fn report_only(plan: &mut Plan, railway: Option<&Railway>, why: &ReportOnly) {
    for step in &mut plan.steps {
        let is_begun = railway.is_some_and(|railway| freeze::is_begun(step, railway));
        let goes_on = why.finishes && is_begun;
        if step.action().is_some() && !goes_on {
            step.ask = Ask::Hold {
                by: why.why.clone(),
                way_out: why.way_out.clone(),
                cause: Cause::Somebody,
            };
        }
    }
    plan.writes = super::write::coalesce(plan);
    plan.only_reports = Some(why.clone());
}
