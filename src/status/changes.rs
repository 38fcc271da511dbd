//! What is worth telling: from one picture of an environment to the next, each thing once.

use super::conditions::{Known, conditions};
use super::event::{Event, What};
use super::view::{Commit, Condition, ConditionKind, NotAccepted, Suspension, Truth};
use super::{Item, Status};
use crate::kinds::step::Cause;
use crate::plan::{Plan, text};
use crate::world::Failure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything of an environment that people were told or would have to be told. Kept as a mark, it keeps a new controller from telling it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Picture {
    /// The conditions.
    pub conditions: Vec<Condition>,
    commit: Option<Commit>,
    not_accepted: Option<NotAccepted>,
    suspended: Option<Suspension>,
    unseen: Option<String>,
    held: BTreeMap<String, Held>,
    drift: BTreeMap<String, Drifted>,
    unhealthy: BTreeMap<String, String>,
    overdue: BTreeSet<String>,
    /// Since when reality is not as git says.
    out_since: Option<Timestamp>,
}

/// A step that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    address: String,
    what: String,
    reason: String,
    way_out: String,
    is_failure: bool,
}

/// A part that somebody changed outside of git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Drifted {
    what: String,
    who: Option<String>,
    heals_at: Option<Timestamp>,
    fought: Option<u32>,
}

impl Held {
    fn of(item: &Item) -> Held {
        Held {
            address: item.address.clone(),
            what: item.what.clone(),
            reason: item.why.clone(),
            way_out: item.way_out.clone().unwrap_or_default(),
            is_failure: matches!(item.cause, Some(Cause::Unhealthy | Cause::Refused)),
        }
    }

    /// Whether it is still the same hold. What follows the colon is a log or an answer, which changes by itself.
    fn is_as(&self, other: &Held) -> bool {
        let head = |held: &Held| held.reason.split(": ").next().map(str::to_owned);
        self.what == other.what && self.is_failure == other.is_failure && head(self) == head(other)
    }

    fn told(&self) -> What {
        let (address, what) = (self.address.clone(), self.what.clone());
        let (reason, way_out) = (self.reason.clone(), self.way_out.clone());
        if self.is_failure {
            What::Failed {
                address,
                what,
                reason,
                way_out,
            }
        } else {
            What::Held {
                address,
                what,
                reason,
                way_out,
            }
        }
    }
}

impl Picture {
    /// The picture now. What cannot be seen now stays as it was.
    pub fn of(known: &Known<'_>, before: Option<&Picture>, now: Timestamp) -> Picture {
        let previous = before.map_or(&[][..], |before| &before.conditions);
        let conditions = conditions(known, previous, now);
        let is = |kind: ConditionKind, status: Truth| {
            conditions
                .iter()
                .any(|condition| condition.kind == kind && condition.status == status)
        };
        let out_since = before.and_then(|before| before.out_since);
        let out_since = if is(ConditionKind::Synced, Truth::True) {
            None
        } else if is(ConditionKind::Synced, Truth::False) {
            out_since.or(Some(now))
        } else {
            out_since
        };
        let kept = Picture::default();
        let kept = before.unwrap_or(&kept);
        let mut picture = Picture {
            commit: known.commit.cloned().or_else(|| kept.commit.clone()),
            not_accepted: known.not_accepted.cloned(),
            suspended: known.suspended.cloned(),
            unseen: known.unseen.map(str::to_owned),
            unhealthy: known
                .health
                .iter()
                .filter_map(|health| match health.is_healthy {
                    Some(true) => None,
                    Some(false) => Some((health.service.clone(), health.words.clone())),
                    None => {
                        let was = kept.unhealthy.get(&health.service)?;
                        Some((health.service.clone(), was.clone()))
                    }
                })
                .collect(),
            held: BTreeMap::new(),
            drift: BTreeMap::new(),
            overdue: BTreeSet::new(),
            out_since,
            conditions,
        };
        match known.status.filter(|_| known.unseen.is_none()) {
            Some(status) => picture.take(status, kept),
            None => {
                picture.held.clone_from(&kept.held);
                picture.drift.clone_from(&kept.drift);
                picture.overdue.clone_from(&kept.overdue);
            }
        }
        picture
    }

    fn take(&mut self, status: &Status, kept: &Picture) {
        // What is overdue, drifts or is suspended is told as that.
        let is_told = |item: &&Item| {
            let is_alarm = item.address.starts_with("Maintenance/") && item.field == "until";
            item.rule.is_none() && !is_alarm
        };
        let key = |item: &Item| format!("{} {}", item.address, item.field);
        self.held = status
            .held
            .iter()
            .filter(is_told)
            .map(|item| (key(item), Held::of(item)))
            .collect();
        self.drift = status
            .drift
            .iter()
            .map(|drift| {
                let drifted = Drifted {
                    what: drift.what.clone(),
                    who: drift.by.clone(),
                    heals_at: drift.heals_at.as_deref().and_then(|at| at.parse().ok()),
                    fought: drift.fought,
                };
                (drift.part.clone(), drifted)
            })
            .collect();
        let overdue = status.closed.iter().filter(|closed| closed.is_overdue);
        self.overdue = overdue.map(|closed| closed.name.clone()).collect();
        if !status.unseen.is_empty() {
            // What a look lacks may be what was held before.
            for (key, held) in &kept.held {
                self.held.entry(key.clone()).or_insert_with(|| held.clone());
            }
            for (part, drift) in &kept.drift {
                self.drift
                    .entry(part.clone())
                    .or_insert_with(|| drift.clone());
            }
        }
    }
}

/// Whose events they are.
#[derive(Debug, Clone)]
pub struct Teller<'a> {
    /// Now.
    pub at: Timestamp,
    /// The name of the `Environment`.
    pub environment: &'a str,
    /// The controller.
    pub by: &'a str,
}

impl Teller<'_> {
    /// An event of now.
    pub fn event(&self, commit: Option<&Commit>, what: What) -> Event {
        Event {
            at: self.at,
            environment: self.environment.to_owned(),
            commit: commit.map(|commit| commit.id.clone()),
            by: self.by.to_owned(),
            what,
        }
    }
}

/// What has changed since the picture before; everything that is wrong where there is none.
pub fn changes(before: Option<&Picture>, after: &Picture, teller: &Teller<'_>) -> Vec<Event> {
    let nothing = Picture::default();
    let before = before.unwrap_or(&nothing);
    let mut all = Vec::new();
    commits(before, after, &mut all);
    suspensions(before, after, &mut all);
    match (&before.unseen, &after.unseen) {
        (None, Some(reason)) => all.push(What::Unseen {
            reason: reason.clone(),
        }),
        (Some(_), None) => all.push(What::Seen),
        (None, None) | (Some(_), Some(_)) => {}
    }
    let over = before
        .held
        .iter()
        .filter(|(key, _)| !after.held.contains_key(*key));
    all.extend(over.map(|(_, held)| What::Released {
        address: held.address.clone(),
        what: held.what.clone(),
    }));
    let is_new = |(key, held): &(&String, &Held)| {
        let was = before.held.get(*key);
        !was.is_some_and(|was| was.is_as(held))
    };
    all.extend(
        after
            .held
            .iter()
            .filter(is_new)
            .map(|(_, held)| held.told()),
    );
    drift(before, after, &mut all);
    for (service, reason) in &after.unhealthy {
        if !before.unhealthy.contains_key(service) {
            all.push(What::Unhealthy {
                service: service.clone(),
                reason: reason.clone(),
            });
        }
    }
    let well = before.unhealthy.keys();
    let well = well.filter(|service| !after.unhealthy.contains_key(*service));
    all.extend(well.map(|service| What::Healthy {
        service: service.clone(),
    }));
    let overdue = after.overdue.difference(&before.overdue);
    all.extend(overdue.map(|name| What::Overdue { name: name.clone() }));
    in_step(before, after, teller.at, &mut all);
    let commit = after.commit.as_ref();
    all.into_iter()
        .map(|what| {
            let mut event = teller.event(commit, what);
            if let (What::Suspended { .. }, Some(suspended)) = (&event.what, &after.suspended) {
                event.by.clone_from(&suspended.by);
            }
            event
        })
        .collect()
}

fn commits(before: &Picture, after: &Picture, all: &mut Vec<What>) {
    let id = |commit: &Option<Commit>| commit.as_ref().map(|commit| commit.id.clone());
    if let Some(commit) = &after.commit
        && id(&before.commit) != id(&after.commit)
    {
        all.push(What::Accepted {
            author: commit.author.clone(),
            subject: commit.subject.clone(),
        });
    }
    if let Some(refused) = &after.not_accepted
        && before.not_accepted.as_ref() != Some(refused)
    {
        let first = refused.problems.first();
        let reason = match first {
            Some(first) => format!("{}: {first}", refused.reason),
            None => refused.reason.clone(),
        };
        all.push(What::NotAccepted {
            commit: refused.commit.id.clone(),
            reason,
            way_out: refused.way_out.clone(),
        });
    }
}

fn suspensions(before: &Picture, after: &Picture, all: &mut Vec<What>) {
    match (&before.suspended, &after.suspended) {
        (was, Some(suspended)) if was.as_ref() != Some(suspended) => all.push(What::Suspended {
            reason: suspended.reason.clone(),
            until: suspended.until.as_deref().and_then(|at| at.parse().ok()),
        }),
        (Some(_), None) => all.push(What::Resumed),
        (None | Some(_), Some(_)) | (None, None) => {}
    }
}

fn drift(before: &Picture, after: &Picture, all: &mut Vec<What>) {
    for (part, drift) in &after.drift {
        let was = before.drift.get(part);
        let was_fought = was.is_some_and(|was| was.fought.is_some());
        match drift.fought {
            Some(times) if !was_fought => all.push(What::Fought {
                what: drift.what.clone(),
                times,
            }),
            None if was.is_none() => all.push(What::Drifted {
                what: drift.what.clone(),
                who: drift.who.clone(),
                heals_at: drift.heals_at,
            }),
            Some(_) | None => {}
        }
    }
}

fn in_step(before: &Picture, after: &Picture, now: Timestamp, all: &mut Vec<What>) {
    if let (Some(since), None) = (before.out_since, after.out_since) {
        let took = u64::try_from(now.duration_since(since).as_secs()).ok();
        all.push(What::InStep { took_seconds: took });
    }
}

/// What was written, and how that ended.
pub fn made(plan: &Plan, steps: &[usize], result: &Result<(), Failure>) -> What {
    let steps = steps
        .iter()
        .filter_map(|position| plan.steps.get(*position));
    What::Made {
        steps: steps.map(text::what).collect(),
        result: match result {
            Ok(()) => "sent".to_owned(),
            Err(Failure::Refused(words)) => format!("refused: {words}"),
            Err(Failure::Unclear(words)) => format!("no answer: {words}"),
            Err(failure) => format!("not sent: {failure}"),
        },
    }
}
