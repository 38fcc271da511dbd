//! Which steps must wait or be held, and why: another's staged changes, a patch under way, a write that may not show yet, a refusal.

use super::Plan;
use super::drift::{self, Content, Course};
use super::stance::{self, Stance};
use super::write::Write;
use super::write::coalesce;
use crate::kinds::service;
use crate::kinds::shown::{few, one_line};
use crate::kinds::step::{Ask, Cause, PUT_BACK, Step};
use crate::world::railway::{
    self, Change, Owner, PatchState, Question, Railway, Setting, Staged, Status, VariableValue,
};
use crate::world::redis;
use crate::world::{Action, Class, SETTLING, Seen, World};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What this process has done so far. It is a hint and no truth: with all of it lost, a repeat costs at most one deployment.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    began: Option<Timestamp>,
    sent: BTreeMap<String, Sent>,
    refused: BTreeMap<String, String>,
    deploying: BTreeMap<String, Deploying>,
    /// When something was put back last, by service: a look that does not show its mark yet would release again what was refused.
    put_back: BTreeMap<String, Timestamp>,
    /// When the newest deployment of a service was made that any look has shown.
    newest: BTreeMap<String, Timestamp>,
    /// What a controller follows; nothing for a person, for whom every difference is made at once.
    course: Option<(Course, Content)>,
    /// Whether anything is done at all.
    stance: Stance,
}

/// How often a step was sent, and when last.
#[derive(Debug, Clone)]
struct Sent {
    /// The part that it is about.
    part: String,
    /// What it is for.
    intent: String,
    at: Timestamp,
    times: u32,
}

/// When something was sent of which a deployment comes, and when the newest deployment before it was made.
#[derive(Debug, Clone)]
struct Deploying {
    at: Timestamp,
    before: Option<Timestamp>,
}

/// A step that was made so often in this span and is still asked for does not work.
const OFTEN: u32 = 3;
const SPAN: Duration = Duration::from_secs(3600);

impl Memory {
    /// The memory of somebody who will write: activity from before its time makes fresh actions wait (design rule 11).
    pub fn writing_since(now: Timestamp) -> Memory {
        Memory {
            began: Some(now),
            ..Memory::default()
        }
    }

    /// A controller follows what git asks for now; what it followed before tells what came by itself.
    pub fn follow(&mut self, course: Course, content: Content) {
        self.course = Some((course, content));
    }

    /// What the looks so far have shown: to be kept over the end of the process.
    pub fn course(&self) -> Option<&Course> {
        self.course.as_ref().map(|(course, _)| course)
    }

    /// Whether anything is done from now on.
    pub fn take(&mut self, stance: Stance) {
        self.stance = stance;
    }

    /// A look has led to this plan.
    pub fn planned(&mut self, plan: &Plan, world: &World, now: Timestamp) {
        if let Some((course, content)) = &mut self.course {
            course.follow(plan, world, content, now);
        }
    }

    /// A step was sent, whatever came of it.
    pub fn sent(&mut self, step: &Step, now: Timestamp) {
        if step.verb == PUT_BACK {
            self.put_back.insert(step.of.name.clone(), now);
        }
        let (part, intent) = (step.part(), step.intent());
        if step.action().is_some_and(sets) {
            // What asks for something else of the same part is over: asked for again it is new.
            self.sent
                .retain(|_, other| other.part != part || other.intent == intent);
        }
        let sent = self.sent.entry(sending(step)).or_insert(Sent {
            part,
            intent,
            at: now,
            times: 0,
        });
        if now.duration_since(sent.at).unsigned_abs() > SPAN {
            sent.times = 0;
        }
        sent.at = now;
        sent.times += 1;
    }

    /// A look has shown this: an older answer that comes after it is known by its older deployments.
    pub fn saw(&mut self, railway: &Railway) {
        for (name, service) in &railway.services {
            let newest = service.facts().and_then(|seen| seen.newest.as_ref());
            let Some(at) = newest.map(|newest| newest.created_at) else {
                continue;
            };
            let shown = self.newest.entry(name.clone()).or_insert(at);
            *shown = at.max(*shown);
        }
    }

    /// Something was sent of which a deployment of this service comes; `before` is when the newest one that was seen then was made.
    pub fn deploying(&mut self, service: &str, before: Option<Timestamp>, now: Timestamp) {
        let before = before.max(self.newest.get(service).copied());
        self.deploying
            .insert(service.to_owned(), Deploying { at: now, before });
    }

    /// A step was refused, in these words.
    pub fn refused(&mut self, step: &Step, words: &str) {
        self.refused.insert(step.intent(), words.to_owned());
    }
}

/// Whether an action gives a part another content, and does not only deploy, start or stop what is stored.
fn sets(action: &Action) -> bool {
    match action {
        Action::Railway(action) => matches!(
            action,
            railway::Action::Change(_)
                | railway::Action::StoreStart { .. }
                | railway::Action::SetVariable { .. }
                | railway::Action::PushToDeploy { .. }
                | railway::Action::Rollback { .. }
        ),
        Action::Redis(_) => true,
    }
}

/// What is sent for a step: its intent, by its action.
fn sending(step: &Step) -> String {
    match step.action() {
        Some(Action::Railway(action)) => by(&step.intent(), action.word()),
        Some(Action::Redis(action)) => by(&step.intent(), action.word()),
        None => step.intent(),
    }
}

fn by(intent: &str, word: &str) -> String {
    format!("{intent} by {word}")
}

/// The plan with every step that may not be made now turned into a wait or a hold.
pub fn hold(mut plan: Plan, world: &World, memory: &Memory, now: Timestamp) -> Plan {
    let Seen::Facts(railway) = &world.railway else {
        if let Stance::ReportOnly(why) = &memory.stance {
            stance::report_only(&mut plan, None, why);
        }
        return plan;
    };
    let is_fresh = plan
        .steps
        .iter()
        .filter_map(Step::action)
        .any(|action| action.class() == Class::Fresh);
    if is_fresh && (railway.staged == Seen::Unasked || railway.history == Seen::Unasked) {
        plan.questions.insert(Question::History.into());
    }
    for step in &mut plan.steps {
        if let Some(instead) = instead(step, railway, memory, now) {
            step.ask = instead;
        }
    }
    if let Some((course, content)) = &memory.course {
        drift::hold(&mut plan, railway, course, content, now);
    }
    if let Stance::ReportOnly(why) = &memory.stance {
        stance::report_only(&mut plan, Some(railway), why);
    }
    one_after_the_other(&mut plan, now);
    plan.writes = coalesce(&plan);
    for write in failed_before(&plan.writes, railway) {
        for position in &write.0.steps {
            plan.steps[*position].ask = held(
                format!("Railway could not apply it: {}", one_line(&write.1)),
                "see the environment's history at Railway",
            );
        }
    }
    wait_for_nothing(&mut plan);
    plan.writes = coalesce(&plan);
    plan
}

/// A deployment of a service waits for a change of what services share that brings one, too: made at once it would run without the change,
/// or beside another that runs the same.
fn one_after_the_other(plan: &mut Plan, now: Timestamp) {
    let shares = |step: &&Step| {
        matches!(
            step.action(),
            Some(Action::Railway(railway::Action::Change(Change {
                of: Owner::Shared,
                ..
            })))
        )
    };
    let changing: BTreeSet<String> = plan
        .steps
        .iter()
        .filter(shares)
        .flat_map(|step| step.deploys.iter().cloned())
        .collect();
    for step in &mut plan.steps {
        let deploys = match step.action() {
            Some(Action::Railway(
                railway::Action::Deploy { service, .. }
                | railway::Action::Redeploy { service, .. }
                | railway::Action::Rollback { service, .. },
            )) => changing.contains(&service.name),
            _ => false,
        };
        if deploys && !step.closes {
            step.ask = Ask::Wait {
                until: "what it shares with other services is changed".to_owned(),
                deadline: now.saturating_add(SETTLING).unwrap_or(Timestamp::MAX),
                then: "look again".to_owned(),
            };
        }
    }
}

/// What waits for changes of services for which nothing is made or waited for would wait for ever: they say themselves what holds them.
fn wait_for_nothing(plan: &mut Plan) {
    let moves = |step: &&Step| match step.ask {
        Ask::Make(_) => true,
        // A restart that is planned for later changes nothing now.
        Ask::Wait { .. } => step.field != "restartedAfter" || step.deploys(),
        Ask::Hold { .. } | Ask::Unseen(_) | Ask::Told(_) => false,
    };
    let moving: BTreeSet<String> = plan
        .steps
        .iter()
        .filter(|step| step.after.is_empty())
        .filter(moves)
        .flat_map(|step| step.deploys.iter().chain([&step.of.name]))
        .cloned()
        .collect();
    for step in &mut plan.steps {
        let is_held =
            !step.after.is_empty() && step.after.iter().all(|service| !moving.contains(service));
        if let Ask::Wait { until, .. } = &step.ask
            && is_held
        {
            let services = few(&step.after, 5);
            step.ask = Ask::Told(format!("{until} once {services} can be changed"));
        }
    }
}

fn held(by: String, way_out: &str) -> Ask {
    Ask::Hold {
        by,
        way_out: way_out.to_owned(),
        cause: Cause::Refused,
    }
}

/// What becomes of a step to make that may not be made now.
fn instead(step: &Step, railway: &Railway, memory: &Memory, now: Timestamp) -> Option<Ask> {
    let Ask::Make(action) = &step.ask else {
        return None;
    };
    let action = match action {
        Action::Railway(action) => action,
        Action::Redis(action) => return in_redis(step, action, memory, now),
    };
    let mut past = None;
    if let railway::Action::Change(change) = action
        && let Some(ask) = not_alone(railway)
    {
        past = past_patches(change).filter(|_| step.closes);
        // Whether anything is staged cannot be seen: closing does not wait for that.
        let goes_on = step.closes && matches!(ask, Ask::Unseen(_));
        if past.is_none() && !goes_on {
            return Some(ask);
        }
    }
    if action.class() == Class::Fresh
        && past.is_none()
        && let Some(ask) = under_way(railway, now)
        && !(step.closes && matches!(ask, Ask::Unseen(_)))
    {
        return Some(ask);
    }
    let action = past.as_ref().unwrap_or(action);
    sent_before(step, action, railway, memory, now)
        .or_else(|| past.map(|action| Ask::Make(Action::Railway(action))))
}

/// What becomes of a change of a Redis server. A look shows it at once, so that nothing has to settle.
fn in_redis(step: &Step, action: &redis::Action, memory: &Memory, now: Timestamp) -> Option<Ask> {
    let intent = step.intent();
    // What comes due by itself is no work of a person who applies (design rule 18).
    let once = match step.field.as_str() {
        "failed.keep" => Some("clearedBefore"),
        field if field.ends_with(".purgeAbove") => Some("purgedAfter"),
        _ => None,
    };
    if let Some(once) = once.filter(|_| memory.course.is_none()) {
        return Some(Ask::Told(format!(
            "due: a controller does it, or `{once}` says from when"
        )));
    }
    if let Some(words) = memory.refused.get(&intent) {
        return Some(held(
            words.clone(),
            "see to it there; a new run tries again",
        ));
    }
    let sent = memory.sent.get(&by(&intent, action.word()));
    let sent = sent.filter(|_| !action.is_piecewise());
    sent.and_then(|sent| too_often(sent, now))
}

/// What is asked for again and again does not work.
fn too_often(sent: &Sent, now: Timestamp) -> Option<Ask> {
    let is_often = sent.times >= OFTEN && now.duration_since(sent.at).unsigned_abs() < SPAN;
    is_often.then(|| {
        held(
            format!("made {} times and still not so", sent.times),
            "somebody else may be changing it, or it is stored in other words: compare with the dashboard",
        )
    })
}

/// What becomes of a step to make, by an action, because of what was sent before.
fn sent_before(
    step: &Step,
    action: &railway::Action,
    railway: &Railway,
    memory: &Memory,
    now: Timestamp,
) -> Option<Ask> {
    let intent = step.intent();
    if let Some(words) = memory.refused.get(&intent) {
        return Some(held(
            format!("Railway refuses it: {words}"),
            "declare something else; a new run tries again",
        ));
    }
    let put_back = memory.put_back.get(&step.of.name);
    if step.deploys()
        && step.verb != PUT_BACK
        && let Some(ask) = put_back.and_then(|at| settling(*at, now, "what was put back shows"))
    {
        return Some(ask);
    }
    let awaited = step
        .deploys
        .iter()
        .filter_map(|service| awaited(service, railway, memory))
        .max();
    if let Some(ask) =
        awaited.and_then(|at| settling(at, now, "the deployment of what was sent shows"))
    {
        return Some(ask);
    }
    if let Some(sent) = memory.sent.get(&by(&intent, action.word())) {
        if sent.times >= OFTEN && now.duration_since(sent.at).unsigned_abs() < SPAN {
            return Some(held(
                format!("made {} times and still not so", sent.times),
                "somebody else may be changing it, or Railway stores it in other words: compare with the dashboard",
            ));
        }
        return settling(sent.at, now, "what was sent shows");
    }
    let own = action.service().map(|service| &service.name);
    let strange = step
        .deploys
        .iter()
        .chain(own)
        .filter_map(|service| strange_activity(service, railway, memory, now))
        .max()
        .filter(|_| action.class() == Class::Fresh);
    strange.and_then(|at| settling(at, now, "a change that was just made shows whole"))
}

/// A variable can be set without a patch, so that nothing that somebody staged comes along.
fn past_patches(change: &Change) -> Option<railway::Action> {
    match (&change.of, &change.set) {
        (
            Owner::Service(service),
            Setting::Variable {
                name,
                value: VariableValue::Text(value),
            },
        ) => Some(railway::Action::SetVariable {
            service: service.clone(),
            name: name.clone(),
            value: value.clone(),
        }),
        _ => None,
    }
}

fn settling(since: Timestamp, now: Timestamp, until: &str) -> Option<Ask> {
    let settled = since.saturating_add(SETTLING).unwrap_or(Timestamp::MAX);
    (now < settled).then(|| Ask::Wait {
        until: format!("{until} (at most until {settled:.0})"),
        deadline: settled,
        then: "look again".to_owned(),
    })
}

/// What a person staged is never committed by us: whether Railway would take it along with a patch is open (facts/railway.md 9.1).
fn not_alone(railway: &Railway) -> Option<Ask> {
    let by = match &railway.staged {
        Seen::Facts(staged) if staged.paths.is_empty() => return None,
        Seen::Facts(Staged {
            failed: Some(words),
            ..
        }) => format!(
            "Railway staged a patch again that it could not apply, and a write might commit it: {}",
            one_line(words)
        ),
        Seen::Facts(staged) => format!(
            "{} staged by hand at Railway, and a write might commit them",
            if staged.paths.len() == 1 {
                "a change is".to_owned()
            } else {
                format!("{} changes are", staged.paths.len())
            }
        ),
        Seen::Unseen(reason) => {
            return Some(Ask::Unseen(format!(
                "it cannot be seen whether somebody staged changes: {reason}"
            )));
        }
        Seen::Unasked => return None,
    };
    Some(Ask::Hold {
        by,
        way_out: "deploy or discard them in Railway's dashboard".to_owned(),
        cause: Cause::Somebody,
    })
}

/// A patch that Railway is still applying is waited for: patches race with each other, and a deployment made meanwhile
/// takes the place of the patch's own and runs without what the patch changes.
fn under_way(railway: &Railway, now: Timestamp) -> Option<Ask> {
    const LONGEST: Duration = Duration::from_secs(600);
    let history = match &railway.history {
        Seen::Facts(history) => history,
        Seen::Unseen(reason) => {
            return Some(Ask::Unseen(format!(
                "it cannot be seen whether a patch is under way: {reason}"
            )));
        }
        Seen::Unasked => return None,
    };
    let newest = history.patches.first()?;
    if newest.state != PatchState::Applying {
        return None;
    }
    let deadline = newest.at.saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
    if now > deadline {
        return Some(held(
            format!("Railway has been applying a patch since {:.0}", newest.at),
            "see the environment's history at Railway, and its status page",
        ));
    }
    Some(Ask::Wait {
        until: format!("Railway has applied the patch of {:.0}", newest.at),
        deadline,
        then: "look again".to_owned(),
    })
}

/// When we sent something whose deployment no look has shown yet: until then another way to the same end would be a second one
/// (design rule 11).
fn awaited(service: &str, railway: &Railway, memory: &Memory) -> Option<Timestamp> {
    let seen = railway.services.get(service)?.facts()?;
    let newest = seen.newest.as_ref().map(|newest| newest.created_at);
    // A stale look shows an older one than was there before.
    let sent = memory.deploying.get(service);
    let sent = sent
        .filter(|sent| newest <= sent.before)
        .map(|sent| sent.at);
    let shown = memory.newest.get(service).copied();
    sent.max(shown.filter(|shown| newest < Some(*shown)))
}

/// Activity from before this process began that is not whole yet: perhaps our own last write before a crash.
fn strange_activity(
    service: &str,
    railway: &Railway,
    memory: &Memory,
    now: Timestamp,
) -> Option<Timestamp> {
    let began = memory.began?;
    let seen = railway.services.get(service)?.facts()?;
    let rolling = seen
        .newest
        .as_ref()
        .filter(|newest| matches!(newest.status, Status::Rolling(_)));
    let patched = service::fresh_change(seen, &railway.history, now);
    let activity = patched
        .into_iter()
        .chain(rolling.map(|newest| newest.created_at));
    activity
        .filter(|at| *at <= began && now.duration_since(*at).unsigned_abs() < SETTLING)
        .max()
}

/// The writes whose very content Railway could not apply the last time that anything was patched.
fn failed_before(writes: &[Write], railway: &Railway) -> Vec<(Write, String)> {
    let newest = railway
        .history
        .facts()
        .and_then(|history| history.patches.first());
    let Some((newest, PatchState::Failed(words))) = newest.map(|newest| (newest, &newest.state))
    else {
        return Vec::new();
    };
    writes
        .iter()
        .filter(|write| newest.message.ends_with(&format!("[{}]", write.mark())))
        .map(|write| (write.clone(), words.clone()))
        .collect()
}
