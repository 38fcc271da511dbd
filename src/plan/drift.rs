//! Which differences did not come from git, since when, and when they are undone: `drift.heal` of the Environment.
//!
//! Only a controller follows a [`Course`]; for a person who applies, every difference is made at once.

use super::write::commit_of;
use super::{Plan, freeze};
use crate::kinds::environment::drift::Heal;
use crate::kinds::step::{Ask, Cause, PUT_BACK, Step};
use crate::world::railway::{
    self, AUTHOR, Change, Patch, PatchState, Question, Railway, Setting, VariableValue,
};
use crate::world::{Action, SETTLING, Seen, World};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A difference that did not come from git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// Since when, as Railway's history tells it, else since it was first seen.
    pub since: Timestamp,
    /// Who made it, where Railway tells.
    pub by: Option<String>,
    /// When it is undone; nothing where it stays.
    pub heals_at: Option<Timestamp>,
    /// How often it was changed within ten minutes, where that is too often to fight over it.
    pub fought: Option<u32>,
}

/// What git asks for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// [`crate::manifest::Desired::digest`].
    pub digest: String,
    /// When the commit was made that asks for it, where that is known.
    pub committed_at: Option<Timestamp>,
}

/// What the looks before have shown: which differences a commit brought, and which came by themselves.
///
/// Losing it costs little: the history of Railway tells the same of everything that went through its patches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Course {
    /// The content that git asked for at the last look.
    digest: String,
    /// The parts that have not been in step since it does.
    pending: BTreeSet<String>,
    /// The parts that were out of step when it began, of which nothing could be done yet: whether git brought them shows later.
    unjudged: BTreeSet<String>,
    /// When a look last showed everything: what it did not ask for was in step.
    whole_at: Option<Timestamp>,
    /// The parts that came out of step by themselves.
    drifted: BTreeMap<String, Trace>,
}

/// What is known of one part that came out of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    /// Part and wanted value.
    intent: String,
    /// When it was changed, or first seen changed; oldest first.
    flips: Vec<Timestamp>,
    /// Whether the last look still showed it.
    is_there: bool,
    /// When a look last showed it in step.
    #[serde(default)]
    in_step: Option<Timestamp>,
}

/// What was changed so often in this time is not fought over until nobody has changed it for as long.
const OFTEN: usize = 3;
const SPAN: Duration = Duration::from_secs(600);

/// Notes every step that did not come from git, and lets those to make wait for their time.
pub fn hold(
    plan: &mut Plan,
    railway: &Railway,
    course: &Course,
    content: &Content,
    now: Timestamp,
) {
    let heal = plan.heal;
    for (position, step) in plan.steps.iter_mut().enumerate() {
        let freeze = plan.freeze.as_ref();
        let frozen = freeze.and_then(|freeze| Some((freeze.until, freeze.steps.get(&position)?)));
        let action = step.action().or(frozen.map(|(_, action)| action));
        let Some(action) = action.filter(|action| can_drift(step, action)) else {
            continue;
        };
        if course.is_of_git(step, action, content) {
            continue;
        }
        if railway.history == Seen::Unasked {
            plan.questions.insert(Question::History.into());
            continue;
        }
        if is_late(step, action, railway, plan.commit.as_deref()) {
            continue;
        }
        let Some(mut drifted) = course.judged(step, action, railway, content, heal, now) else {
            continue;
        };
        match (frozen, drifted.heals_at) {
            // The freeze ends later than its time, or holds it up then.
            (Some((until, _)), Some(heals_at)) => drifted.heals_at = Some(heals_at.max(until)),
            _ => {
                if let Some(instead) = instead(step, &drifted, now) {
                    step.ask = instead;
                }
                if let Some(freeze) = &mut plan.freeze {
                    freeze.steps.remove(&position);
                }
            }
        }
        plan.drift.insert(position, drifted);
    }
}

fn instead(step: &Step, drifted: &Drifted, now: Timestamp) -> Option<Ask> {
    let by = match &drifted.by {
        Some(by) => format!(" by {}", crate::kinds::shown::one_line(by)),
        None => String::new(),
    };
    let since = drifted.since;
    if step.closes {
        // What is to be closed does not stay open for a while.
        return None;
    }
    if let Some(times) = drifted.fought {
        return Some(Ask::Hold {
            by: format!(
                "changed outside of git {times} times within ten minutes, last{by} at {since:.0}: it is not fought over"
            ),
            way_out: "find out who or what changes it, or let git say the same; when nobody has changed it for ten minutes, `drift.heal` holds again".to_owned(),
            cause: Cause::Somebody,
        });
    }
    let Some(heals_at) = drifted.heals_at else {
        return Some(Ask::Told(format!(
            "drifted{by} at {since:.0}, and stays so: `drift.heal` says never"
        )));
    };
    (now < heals_at).then(|| Ask::Wait {
        until: format!("{heals_at:.0}: drifted{by} at {since:.0}"),
        deadline: heals_at,
        then: "undo it".to_owned(),
    })
}

/// Whether somebody may have brought it about. A one-shot that has come due was asked for by git,
/// and what stores what runs completes a step of ours.
fn can_drift(step: &Step, action: &Action) -> bool {
    let action = match action {
        Action::Railway(action) => action,
        Action::Redis(action) => return action.can_undo_somebody(),
    };
    !matches!(
        action,
        railway::Action::Store { .. } | railway::Action::Delete { .. }
    ) && step.field != "restartedAfter"
        && step.verb != PUT_BACK
}

/// Whether only the history can tell that somebody changed it: a secret store gives new values, too.
fn needs_proof(action: &Action) -> bool {
    matches!(
        action,
        Action::Railway(railway::Action::Change(Change {
            set: Setting::Registry { .. }
                | Setting::Variable {
                    value: VariableValue::Secret { .. },
                    ..
                },
            ..
        }))
    )
}

/// Whether it is a deployment of what is stored: it follows from other steps, of the service and of what services share.
fn follows(action: &Action) -> bool {
    !matches!(
        action,
        Action::Railway(
            railway::Action::Change(_)
                | railway::Action::PushToDeploy { .. }
                | railway::Action::StoreStart { .. }
        ) | Action::Redis(_)
    )
}

/// Which parts of the outside a look has shown whole.
#[derive(Debug, Clone, Copy)]
struct Sight {
    railway: bool,
    redis: bool,
}

impl Sight {
    fn of(plan: &Plan, railway: &Railway) -> Sight {
        let unseen = plan
            .steps
            .iter()
            .filter(|step| matches!(step.ask, Ask::Unseen(_)));
        let (redis, other): (Vec<&Step>, Vec<&Step>) =
            unseen.partition(|step| is_in_redis(&step.part()));
        let services = &mut railway.services.values();
        Sight {
            railway: other.is_empty()
                && !services.any(|service| matches!(service, Seen::Unseen(_)))
                // Without the history some deployments are not asked for.
                && !matches!(railway.history, Seen::Unseen(_)),
            redis: redis.is_empty(),
        }
    }

    /// Whether a part that is not asked for is in step.
    fn is_whole(self, part: &str) -> bool {
        if is_start_of_redis(part) {
            self.redis && self.railway
        } else if is_in_redis(part) {
            self.redis
        } else {
            self.railway
        }
    }
}

/// Whether a part is what a Redis has stored at Railway for its next start: what it should be is decided by what runs.
fn is_start_of_redis(part: &str) -> bool {
    part.starts_with("Redis/") && part.ends_with(" start")
}

/// Whether a part is kept in a Redis server, and not at Railway.
fn is_in_redis(part: &str) -> bool {
    let is_key = part.starts_with("Maintenance/") && part.ends_with(" by.key");
    is_key || part.starts_with("Queue/") || part.starts_with("Redis/")
}

impl Course {
    /// Whether a step is there because git asks for something new.
    fn is_of_git(&self, step: &Step, action: &Action, content: &Content) -> bool {
        if self.digest.is_empty() {
            return false;
        }
        if self.digest != content.digest {
            return !self.is_known(step);
        }
        self.pending.contains(&step.part())
            || self.was_out_of_sight(step, action)
            || follows(action) && self.is_under_way(step)
    }

    /// Whether the looks before have shown the very same out of step by itself.
    fn is_known(&self, step: &Step) -> bool {
        let known = self.drifted.get(&step.part());
        known.is_some_and(|trace| trace.is_there && trace.intent == step.intent())
    }

    /// Whether the server could not be seen since git asks for this: what differs there may be what git has changed.
    fn was_out_of_sight(&self, step: &Step, action: &Action) -> bool {
        let server = match action {
            Action::Redis(action) => &action.of.name,
            Action::Railway(_) if step.of.kind == "Redis" => &step.of.name,
            Action::Railway(_) => return false,
        };
        self.pending.contains(&out_of_sight(server))
    }

    /// Whether something of the step's document, or of what all services share, is on its way.
    fn is_under_way(&self, step: &Step) -> bool {
        let own = format!("{} ", step.of);
        let mut pending = self.pending.iter();
        pending.any(|part| part.starts_with(&own) || part.starts_with("Environment/"))
    }

    /// What is known of a difference that no commit brought; nothing where it is ours after all.
    fn judged(
        &self,
        step: &Step,
        action: &Action,
        railway: &Railway,
        content: &Content,
        heal: Heal,
        now: Timestamp,
    ) -> Option<Drifted> {
        let trace = self.drifted.get(&step.part());
        let seen = trace.filter(|trace| trace.is_there);
        let in_step = seen.map_or(self.whole_at, |seen| seen.in_step);
        let is_unjudged = self.digest.is_empty() || self.unjudged.contains(&step.part());
        let mut patches = by_hand(step, action, railway);
        if let Some(in_step) = in_step.filter(|_| !is_unjudged) {
            // What was in step after them is out of step by something else, which left no patch.
            patches.retain(|patch| {
                patch
                    .at
                    .saturating_add(SETTLING)
                    .is_ok_and(|at| at > in_step)
            });
        }
        let last = patches.first();
        if freeze::is_begun(step, railway) || needs_proof(action) && last.is_none() {
            return None;
        }
        // Without a look before, only a change after the commit is surely none of git's.
        let is_before = |last: &&&Patch| content.committed_at.is_none_or(|at| last.at <= at);
        if is_unjudged && last.is_none_or(|last| is_before(&last)) {
            return None;
        }
        let seen = seen.and_then(|trace| trace.flips.last().copied());
        let since = last.map(|last| last.at).or(seen).unwrap_or(now);
        let mut flips: BTreeSet<Timestamp> = patches.iter().map(|patch| patch.at).collect();
        flips.extend(
            trace
                .into_iter()
                .flat_map(|trace| trace.flips.iter().copied()),
        );
        flips.insert(since);
        let fought = fought(&flips, now);
        Some(Drifted {
            since,
            by: last.and_then(|last| last.by.clone()),
            heals_at: heal
                .after()
                .filter(|_| fought.is_none())
                .map(|after| since.saturating_add(after).unwrap_or(Timestamp::MAX)),
            fought,
        })
    }

    /// Takes in what a look has shown. A look that lacks something tells nothing of what is not in its plan.
    pub fn follow(&mut self, plan: &Plan, world: &World, content: &Content, now: Timestamp) {
        let Some(railway) = world.railway.facts() else {
            return;
        };
        let asked: BTreeMap<String, (usize, &Step)> = plan
            .steps
            .iter()
            .enumerate()
            .filter(|(position, step)| is_out_of_step(step) || plan.drift.contains_key(position))
            .map(|(position, step)| (step.part(), (position, step)))
            .collect();
        let sight = Sight::of(plan, railway);
        self.trace(plan, &asked, sight, now);
        if sight.railway {
            self.whole_at = Some(now);
        }
        let others = |(_, (position, step)): &(&String, &(usize, &Step))| {
            !plan.drift.contains_key(position) && !self.is_known(step)
        };
        let others: Vec<(&String, &(usize, &Step))> = asked.iter().filter(others).collect();
        // What only waits for something else is judged when its turn comes.
        let is_judged =
            |position: usize, step: &Step| step.action().is_some() || plan.is_for_later(position);
        if self.digest != content.digest {
            self.digest.clone_from(&content.digest);
            (self.pending, self.unjudged) = (BTreeSet::new(), BTreeSet::new());
            for (part, (position, step)) in others {
                let set = if is_judged(*position, step) {
                    &mut self.pending
                } else {
                    &mut self.unjudged
                };
                set.insert(part.clone());
            }
            self.pending.extend(unseen_servers(plan));
            return;
        }
        let changes = |step: &Step| step.action().is_some_and(|action| !follows(action));
        let is_added = |part: &String, position: usize, step: &Step| {
            if self.unjudged.contains(part) {
                return is_judged(position, step);
            }
            let is_late = |action: &Action| self.was_out_of_sight(step, action);
            step.action().is_some_and(is_late) || !changes(step) && self.is_under_way(step)
        };
        let added: Vec<String> = others
            .into_iter()
            .filter(|(part, (position, step))| is_added(part, *position, step))
            .map(|(part, _)| part.clone())
            .collect();
        let stays = |part: &String| asked.contains_key(part) || !sight.is_whole(part);
        self.pending.retain(stays);
        self.unjudged.retain(stays);
        for (part, (position, step)) in &asked {
            if is_judged(*position, step) {
                self.unjudged.remove(part);
            }
        }
        self.pending.extend(added);
    }

    fn trace(
        &mut self,
        plan: &Plan,
        asked: &BTreeMap<String, (usize, &Step)>,
        sight: Sight,
        now: Timestamp,
    ) {
        for (part, trace) in &mut self.drifted {
            trace.is_there &= asked.contains_key(part) || !sight.is_whole(part);
        }
        for (part, (position, step)) in asked {
            let Some(drifted) = plan.drift.get(position) else {
                continue;
            };
            let trace = self.drifted.entry(part.clone()).or_insert(Trace {
                intent: String::new(),
                flips: Vec::new(),
                is_there: false,
                in_step: None,
            });
            if !trace.is_there {
                trace.in_step = self.whole_at;
            }
            trace.is_there = true;
            trace.intent = step.intent();
            if !trace.flips.contains(&drifted.since) {
                trace.flips.push(drifted.since);
                trace.flips.sort();
            }
        }
        // What is long over tells nothing any more.
        self.drifted.retain(|_, trace| {
            let last = trace.flips.last().copied().unwrap_or(Timestamp::MIN);
            trace.is_there || now.duration_since(last).unsigned_abs() < SPAN * 2
        });
        for trace in self.drifted.values_mut() {
            let last = trace.flips.last().copied();
            trace.flips.retain(|at| {
                Some(*at) == last || now.duration_since(*at).unsigned_abs() < SPAN * 2
            });
        }
    }
}

/// What stands for everything in a server that cannot be seen.
fn out_of_sight(server: &str) -> String {
    format!("Redis/{server} *")
}

fn unseen_servers(plan: &Plan) -> impl Iterator<Item = String> + '_ {
    let unseen = plan
        .steps
        .iter()
        .filter(|step| step.of.kind == "Redis" && matches!(step.ask, Ask::Unseen(_)));
    unseen.map(|step| out_of_sight(&step.of.name))
}

fn is_out_of_step(step: &Step) -> bool {
    match step.ask {
        Ask::Make(_) | Ask::Wait { .. } | Ask::Hold { .. } => true,
        Ask::Unseen(_) | Ask::Told(_) => false,
    }
}

/// How often a part was changed within ten minutes, where that was often and not long ago.
fn fought(flips: &BTreeSet<Timestamp>, now: Timestamp) -> Option<u32> {
    let ago = |at: &Timestamp| now.duration_since(*at).unsigned_abs();
    if ago(flips.last()?) >= SPAN {
        return None;
    }
    let times: Vec<Timestamp> = flips
        .iter()
        .copied()
        .filter(|at| ago(at) < SPAN * 2)
        .collect();
    let is_dense = |some: &[Timestamp]| match (some.first(), some.last()) {
        (Some(first), Some(last)) => last.duration_since(*first).unsigned_abs() < SPAN,
        _ => false,
    };
    // Once it has begun, it lasts until it is quiet.
    let begun = times.windows(OFTEN).any(is_dense);
    begun.then_some(u32::try_from(times.len()).unwrap_or(u32::MAX))
}

/// Whether a patch of ours brought it about that was sent for another commit, and came after one for the commit that is in force: it was on its way
/// while the lease passed to another (see [`crate::providers::fenced`]). Nobody chose it, so it is not drift, and waits for nothing.
fn is_late(step: &Step, action: &Action, railway: &Railway, commit: Option<&str>) -> bool {
    let Some(commit) = commit else {
        return false;
    };
    let is_of_now = |patch: &Patch| commit_of(&patch.message).map(|of| commit.starts_with(of));
    let Some(newest) = touching(step, action, railway).next() else {
        return false;
    };
    let patches = railway.history.facts().map(|history| &history.patches);
    let before = patches.into_iter().flatten();
    let mut before = before.skip_while(|patch| patch.id != newest.id).skip(1);
    is_of_now(newest) == Some(false) && before.any(|patch| is_of_now(patch) == Some(true))
}

/// The patches that touched what a step is about, newest first.
fn touching<'a>(
    step: &'a Step,
    action: &'a Action,
    railway: &'a Railway,
) -> impl Iterator<Item = &'a Patch> {
    let id = match (railway.services.get(&step.of.name), action) {
        (Some(Seen::Facts(service)), _) if step.of.kind == "Service" => Some(service.id.as_str()),
        (_, Action::Railway(action)) if step.of.kind == "Redis" => {
            action.service().map(|service| service.id.as_str())
        }
        _ if step.of.kind == "Environment" => Some(""),
        _ => None,
    };
    let patches = railway.history.facts().map(|history| &history.patches);
    patches.into_iter().flatten().filter(move |patch| {
        let fields = id.and_then(|id| patch.touched.get(id));
        patch.state == PatchState::Committed
            && fields.is_some_and(|fields| fields.iter().any(|it| it.to_string() == step.field))
    })
}

/// The patches of other people that touched what a step is about since our last one, newest first.
fn by_hand<'a>(step: &'a Step, action: &'a Action, railway: &'a Railway) -> Vec<&'a Patch> {
    let mut newest = touching(step, action, railway).peekable();
    // Where the newest is ours, the difference came past the patches.
    if newest
        .peek()
        .is_some_and(|patch| patch.message.starts_with(AUTHOR))
    {
        return Vec::new();
    }
    newest
        .filter(|patch| !patch.message.starts_with(AUTHOR))
        .collect()
}
