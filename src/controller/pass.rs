//! One pass of one environment: take the lease, see what people left, look, act, and say what came of it.

use super::Happened;
use super::agenda::Next;
use super::manifests::Reader;
use crate::clock::Clock;
use crate::execute::Outcome;
use crate::interrupt::{Interrupt, Stop};
use crate::kinds::service::health::{self, Question};
use crate::kinds::step::Ask;
use crate::manifest::Desired;
use crate::plan::drift::{Content, Course};
use crate::plan::gate::Memory;
use crate::plan::stance::{self, ReportOnly};
use crate::plan::{Plan, Standing};
use crate::providers::fenced::Fenced;
use crate::providers::{Provider, Secrets};
use crate::reconcile::{Looked, Pass, scope};
use crate::repository::{Accepted, Before, Id};
use crate::status::Status;
use crate::status::changes::Picture;
use crate::store::lease::{Lease, Taken};
use crate::store::marks::Marks;
use crate::store::member::Member;
use crate::store::{Store, segment};
use crate::world::health::Healths;
use crate::world::railway::{Pulse, Railway};
use crate::world::{Failure, Seen};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What a pass is made with.
pub struct Work {
    /// The name of the `Environment`.
    pub name: String,
    /// Its directory.
    pub directory: String,
    /// What git says.
    pub in_force: Accepted,
    /// When that was committed.
    pub committed_at: Option<Timestamp>,
    /// Who looks and writes.
    pub provider: Arc<dyn Provider>,
    /// What the manifests refer to.
    pub secrets: Secrets,
    /// How its services answer.
    pub health: Healths,
    /// What this process has done there so far.
    pub memory: Memory,
    /// The lease, where it is ours already.
    pub lease: Option<Arc<Lease>>,
    /// What people were told, where the controller before left it.
    pub picture: Option<Picture>,
    /// The newest commit that was fully done, where that was read already.
    pub done: Option<Option<String>>,
    /// What was declared before, where that was read already, and for which commits.
    pub before: Option<(Option<String>, Id, Before)>,
    /// What git asks for, where that was read already.
    pub desired: Option<Desired>,
    /// Stops it between two actions.
    pub stop: Arc<Stop>,
    /// Its other end.
    pub interrupt: Interrupt,
}

/// What all passes share.
#[derive(Clone)]
pub struct Ground {
    /// Time and chance.
    pub clock: Clock,
    /// Where marks are.
    pub store: Store,
    /// This controller among others.
    pub member: Arc<Member>,
    /// Who reads manifests.
    pub reader: Reader,
    /// Railway's id of the service that this process runs in, where it runs there.
    pub own_service: Option<String>,
    /// Who tells people.
    pub(super) teller: mpsc::UnboundedSender<Happened>,
}

/// What came of a pass.
pub struct Passed {
    /// What was worked with.
    pub work: Work,
    /// What people left for the controller.
    pub marks: stance::Marks,
    /// What was seen and done.
    pub result: Result<Sight, Miss>,
    /// When it began.
    pub begun: Timestamp,
}

/// A look and what was done about it.
pub struct Sight {
    /// How the environment stands.
    pub status: Status,
    /// What was asked for.
    pub plan: Plan,
    /// What was sent.
    pub outcomes: Vec<Outcome>,
    /// To know later whether anything moved.
    pub pulse: Option<Pulse>,
    /// Railway's id of the environment.
    pub id: String,
    /// Whom to ask how they are from now on, and what.
    pub health: BTreeMap<String, Result<Question, String>>,
    /// When to look again.
    pub next: Next,
    /// Whether everything is fully done: then what this commit does not declare is gone.
    pub is_done: bool,
}

/// Why nothing was seen.
pub enum Miss {
    /// Somebody else leads it; nobody else can before this time has passed.
    Led(Duration),
    /// Somebody said stop.
    Stopped,
    /// As a failure.
    Failed(Failure),
}

/// Makes a pass.
pub async fn pass(mut work: Work, ground: Ground) -> Passed {
    let begun = ground.clock.now();
    let mut marks = stance::Marks::default();
    let result = made(&mut work, &mut marks, &ground).await;
    Passed {
        work,
        marks,
        result,
        begun,
    }
}

async fn made(work: &mut Work, marks: &mut stance::Marks, ground: &Ground) -> Result<Sight, Miss> {
    let lease = led(work, ground).await?;
    let desired = desired(work, ground).await;
    let digest = desired.digest();
    let content = Content {
        digest: digest.clone(),
        committed_at: work.committed_at,
    };
    let course = work
        .memory
        .course()
        .cloned()
        .unwrap_or_else(Course::default);
    work.memory.follow(course, content);
    let fenced = Fenced {
        inner: work.provider.as_ref(),
        lease: &lease,
        longest: ground.member.terms().longest(),
        stop: &work.stop,
    };
    let pass = Pass {
        desired: &desired,
        provider: &fenced,
        secrets: &work.secrets,
        clock: &ground.clock,
        health: &work.health,
    };
    let stands = Marks::of(&ground.store, &work.name);
    *marks = left(&stands, &digest, ground).await.map_err(Miss::Failed)?;
    let now = ground.clock.now();
    work.memory
        .take(stance::stance(&work.name, &digest, marks, now));
    let look = tokio::select! {
        look = pass.look_patiently(&work.memory) => look,
        () = work.interrupt.set() => return Err(Miss::Stopped),
    };
    let mut looked = look.map_err(Miss::Failed)?;
    if let Seen::Facts(railway) = &looked.world.railway {
        refuse_itself(&desired, railway, ground)?;
        work.memory.saw(railway);
    }
    if let Some(why) = stranger(&looked, work, &stands, ground).await {
        stance::report_only(&mut looked.plan, looked.world.railway.facts(), &why);
    }
    work.memory
        .planned(&looked.plan, &looked.world, ground.clock.now());
    if !looked.plan.writes.is_empty() && !looked.plan.drift.is_empty() {
        let status = pass.tell(&mut looked).await;
        tell_first(&work.name, status, ground).await;
    }
    let outcomes = if looked.plan.writes.is_empty() || work.interrupt.is_set() {
        Vec::new()
    } else {
        pass.act(&looked, &mut work.memory, &work.interrupt).await
    };
    let status = pass.tell(&mut looked).await;
    let now = ground.clock.now();
    let moments = [ends(marks, now), in_redis(&desired, now)];
    Ok(sight(looked, outcomes, status, &desired, moments, now))
}

/// What came of it; another look is due at the first of those moments, whatever else is waited for.
fn sight(
    looked: Looked,
    outcomes: Vec<Outcome>,
    status: Status,
    desired: &Desired,
    moments: [Option<Timestamp>; 2],
    now: Timestamp,
) -> Sight {
    let railway = looked.world.railway.facts();
    Sight {
        status,
        pulse: railway.and_then(|railway| railway.pulse),
        health: railway
            .map(|railway| health::questions(desired.documents(), railway))
            .unwrap_or_default(),
        id: railway.map_or_else(
            || scope(desired).environment,
            |railway| railway.environment.id.clone(),
        ),
        next: by(
            next(&looked, &outcomes, now),
            moments.into_iter().flatten().min(),
        ),
        is_done: outcomes.is_empty() && is_done(&looked.plan),
        plan: looked.plan,
        outcomes,
    }
}

/// Whether the newest write of ours was for a commit that is not in the repository, and nobody has said since that it shall go on.
async fn stranger(
    looked: &Looked,
    work: &Work,
    stands: &Marks,
    ground: &Ground,
) -> Option<ReportOnly> {
    if looked.plan.writes.is_empty() {
        return None;
    }
    let (commit, at) = stance::newest_commit(&looked.world)?;
    if work.in_force.commit.to_string().starts_with(commit) || ground.reader.knows(commit).await {
        return None;
    }
    let resumed = stands.resumed().await;
    let resumed = resumed.facts().and_then(Option::as_ref);
    stance::stranger(&work.name, commit, at, resumed.map(|resumed| resumed.at))
}

/// What somebody changed is told before it is undone: afterwards no look shows it any more, and whoever takes over would never know.
async fn tell_first(name: &str, status: Status, ground: &Ground) {
    let (told, is_told) = oneshot::channel();
    let drifts = Happened::Drifts {
        name: name.to_owned(),
        status: Box::new(status),
        told,
    };
    if ground.teller.send(drifts).is_ok() {
        let _ = is_told.await;
    }
}

/// A controller that restarts or closes itself would leave everything half done (design rule 21).
fn refuse_itself(desired: &Desired, railway: &Railway, ground: &Ground) -> Result<(), Miss> {
    let Some(own) = &ground.own_service else {
        return Ok(());
    };
    let is_own = |name: &&String| match railway.services.get(*name) {
        Some(Seen::Facts(service)) => service.id == *own,
        Some(Seen::Unseen(_) | Seen::Unasked) | None => false,
    };
    match desired.documents().services.keys().find(is_own) {
        None => Ok(()),
        Some(name) => Err(Miss::Failed(Failure::Refused(format!(
            "Service/{name} is the service that this controller runs in, and it does not manage itself: take it out of the manifests"
        )))),
    }
}

/// The lease, taken where it is free.
async fn led(work: &mut Work, ground: &Ground) -> Result<Arc<Lease>, Miss> {
    let held = work
        .lease
        .take()
        .filter(|lease| lease.lasts(Duration::ZERO));
    let lease = match held {
        Some(lease) => lease,
        None => match ground.member.take(&work.name).await.map_err(Miss::Failed)? {
            Taken::Lease(lease) => {
                // Somebody else may have done more than this process knows.
                work.done = None;
                work.before = None;
                work.memory = Memory::writing_since(ground.clock.now());
                work.picture = told(&work.name, ground).await;
                Arc::new(lease)
            }
            Taken::Held { next, .. } => return Err(Miss::Led(next)),
        },
    };
    work.lease = Some(lease.clone());
    Ok(lease)
}

/// Where the store keeps what people were told already.
pub fn told_key(environment: &str) -> String {
    format!("marks/{}/told.json", segment(environment))
}

async fn told(environment: &str, ground: &Ground) -> Option<Picture> {
    match ground.store.load(&told_key(environment)).await {
        Ok(picture) => picture,
        Err(failure) => {
            tracing::warn!(%failure, "what people were told already cannot be read: they may be told again");
            None
        }
    }
}

/// What git says, with what it said since the newest commit that was fully done (design rule 4).
async fn desired(work: &mut Work, ground: &Ground) -> Desired {
    let commit = work.in_force.commit;
    let done = match &work.done {
        Some(done) => done.clone(),
        None => {
            let read = Marks::of(&ground.store, &work.name).done().await;
            let done = match read {
                Seen::Facts(done) => done.map(|done| done.commit),
                Seen::Unasked | Seen::Unseen(_) => None,
            };
            work.done = Some(done.clone());
            done
        }
    };
    let is_known =
        |(mark, in_force, _): &(Option<String>, Id, Before)| *mark == done && *in_force == commit;
    if !work.before.as_ref().is_some_and(is_known) {
        let mark = done.as_deref().and_then(|done| done.parse().ok());
        let before = ground.reader.before(&work.directory, mark, commit).await;
        work.before = Some((done, commit, before));
        work.desired = None;
    }
    let manifests = &work.in_force.manifests;
    let read = || {
        let before = work.before.as_ref().map(|(_, _, before)| before);
        let desired = before.map_or_else(|| manifests.desired(), |it| it.lay_under(manifests));
        desired.at_commit(&commit.to_string())
    };
    work.desired.get_or_insert_with(read).clone()
}

/// What people left; marks whose time is over go. What cannot be read is heeded as if somebody had said stop: it may say so.
async fn left(stands: &Marks, digest: &str, ground: &Ground) -> Result<stance::Marks, Failure> {
    let (suspended, direct) = tokio::join!(stands.suspended(), stands.direct());
    let unread = |why: String| {
        Failure::Passing(format!("nothing is done while marks cannot be read: {why}"))
    };
    let suspended = read(suspended).map_err(unread)?;
    let direct = read(direct).map_err(unread)?;
    let mut marks = stance::Marks {
        suspended: suspended.clone(),
        direct: direct.clone(),
    };
    if marks.tidy(digest, ground.clock.now()) {
        // What somebody leaves in this moment stays.
        if let Some(over) = suspended.filter(|_| marks.suspended.is_none()) {
            told_of("suspended", stands.clear_suspended(&over).await);
        }
        if let Some(over) = direct.filter(|_| marks.direct.is_none()) {
            told_of("direct", stands.clear_direct(&over).await);
        }
    }
    Ok(marks)
}

fn told_of(mark: &str, cleared: Result<(), Failure>) {
    if let Err(failure) = cleared {
        tracing::debug!(mark, %failure, "a mark whose time is over stays");
    }
}

fn read<T>(mark: Seen<Option<T>>) -> Result<Option<T>, String> {
    match mark {
        Seen::Facts(mark) => Ok(mark),
        Seen::Unasked => Ok(None),
        Seen::Unseen(why) => Err(why),
    }
}

/// Whether a plan asks for nothing, and nothing is held or unseen: then everything of the commit is done.
fn is_done(plan: &Plan) -> bool {
    plan.steps
        .iter()
        .all(|step| matches!(step.ask, Ask::Told(_)))
}

/// When the first of the marks ends by itself.
fn ends(marks: &stance::Marks, now: Timestamp) -> Option<Timestamp> {
    let suspended = marks.suspended.as_ref().and_then(|mark| mark.until);
    let direct = marks.direct.as_ref().and_then(|mark| mark.until);
    let ends = suspended.into_iter().chain(direct);
    ends.filter(|end| *end > now).min()
}

/// The same, but no later than a moment at which something changes by itself.
fn by(next: Next, moment: Option<Timestamp>) -> Next {
    match (next, moment) {
        (Next::Rests, Some(moment)) => Next::Waits {
            until: Some(moment),
        },
        (Next::Waits { until: Some(until) }, Some(moment)) => Next::Waits {
            until: Some(until.min(moment)),
        },
        (next, _) => next,
    }
}

/// When to look at queues again: Railway's pulse does not move with them.
fn in_redis(desired: &Desired, now: Timestamp) -> Option<Timestamp> {
    const EVERY: Duration = Duration::from_secs(300);
    let has_some = !desired.documents().redises.is_empty();
    has_some.then(|| now.saturating_add(EVERY).unwrap_or(Timestamp::MAX))
}

/// When to look again, from what was seen and sent.
fn next(looked: &Looked, outcomes: &[Outcome], now: Timestamp) -> Next {
    let throttled = outcomes.iter().find_map(|outcome| match &outcome.result {
        Err(Failure::Throttled { until }) => Some(*until),
        Ok(()) | Err(_) => None,
    });
    if let Some(until) = throttled {
        return Next::At(until);
    }
    if outcomes
        .iter()
        .any(|it| matches!(it.result, Err(Failure::Denied(_))))
    {
        return Next::Denied;
    }
    if !looked.plan.writes.is_empty() {
        return Next::Soon;
    }
    if looked.plan.standing() == Standing::Unseen {
        return Next::Again;
    }
    let plan = &looked.plan;
    let waits = || {
        let steps = plan.steps.iter().enumerate();
        steps.filter_map(|(position, step)| match step.ask {
            Ask::Wait { deadline, .. } => Some((position, deadline)),
            Ask::Make(_) | Ask::Hold { .. } | Ask::Unseen(_) | Ask::Told(_) => None,
        })
    };
    if waits().next().is_none() {
        return Next::Rests;
    }
    // What only a moment can bring is not asked for again and again.
    let is_for_later =
        |position: usize| plan.is_for_later(position) || plan.drift.contains_key(&position);
    if waits().all(|(position, _)| is_for_later(position)) {
        let moments = waits().map(|(_, deadline)| deadline);
        return Next::Waits {
            until: moments.filter(|moment| *moment > now).min(),
        };
    }
    Next::Waits { until: None }
}
