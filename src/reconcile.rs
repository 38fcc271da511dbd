//! One pass: look, plan, gate, execute. And passes until nothing is asked for. The file to read first.

use crate::clock::Clock;
use crate::execute::{Outcome, execute};
use crate::interrupt::Interrupt;
use crate::manifest::Desired;
use crate::plan::gate::{self, Memory};
use crate::plan::{Plan, Standing, plan};
use crate::providers::{Provider, Scope, Secrets};
use crate::status::{self, Status};
use crate::world::health::Healths;
use crate::world::{Failure, Seen, World};
use std::time::Duration;

/// What passes work with.
pub struct Pass<'a> {
    /// What git says.
    pub desired: &'a Desired,
    /// Who looks and writes.
    pub provider: &'a dyn Provider,
    /// The secrets that the manifests refer to.
    pub secrets: &'a Secrets,
    /// How the services answer, where somebody asks them all the time.
    pub health: &'a Healths,
    /// Time and chance.
    pub clock: &'a Clock,
}

/// One look and the plan that follows from it.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What was seen.
    pub world: World,
    /// What is asked for, gated.
    pub plan: Plan,
}

/// A plan may ask another question because of the answer to the first, and one more because of that; it never needs more.
const ROUNDS: usize = 4;

impl Pass<'_> {
    /// Looks, plans, and answers the plan's questions until it has none.
    ///
    /// # Errors
    /// As a [`Failure`] when nothing could be seen.
    pub async fn look(&self, memory: &Memory) -> Result<Looked, Failure> {
        // What comes back slowly is as old as the question: settling is measured from here.
        let now = self.clock.now();
        let mut world = self.provider.observe(&scope(self.desired)).await?;
        world.secrets.clone_from(self.secrets);
        world.health.clone_from(self.health);
        for _ in 0..ROUNDS {
            let plan = gate::hold(plan(self.desired, &world, now), &world, memory, now);
            if plan.questions.is_empty() {
                return Ok(Looked { world, plan });
            }
            self.provider.answer(&mut world, &plan.questions).await;
        }
        let plan = gate::hold(plan(self.desired, &world, now), &world, memory, now);
        Ok(Looked { world, plan })
    }

    /// Looks once more where something could not be seen: an answer may lack a part once.
    ///
    /// # Errors
    /// As [`Pass::look`].
    pub async fn look_patiently(&self, memory: &Memory) -> Result<Looked, Failure> {
        let first = self.look(memory).await;
        if !matches!(&first, Ok(looked) if looked.plan.standing() == Standing::Unseen) {
            return first;
        }
        self.clock.sleep(self.clock.jittered(SOON)).await;
        self.look(memory).await
    }

    /// Looks, and learns what a status tells beside the plan.
    ///
    /// # Errors
    /// As [`Pass::look`].
    pub async fn status(&self, memory: &Memory) -> Result<Status, Failure> {
        let mut looked = self.look_patiently(memory).await?;
        Ok(self.tell(&mut looked).await)
    }

    /// What a status tells of a look, with what it wants to know beside the plan.
    pub async fn tell(&self, looked: &mut Looked) -> Status {
        let now = self.clock.now();
        // The history first, then who made it.
        for _ in 0..2 {
            let questions = status::questions(&looked.plan, &looked.world);
            if questions.is_empty() {
                break;
            }
            self.provider.answer(&mut looked.world, &questions).await;
        }
        status::status(self.desired, &looked.world, &looked.plan, now)
    }

    /// Carries out what a look asked for.
    pub async fn act(
        &self,
        looked: &Looked,
        memory: &mut Memory,
        interrupt: &Interrupt,
    ) -> Vec<Outcome> {
        execute(
            &looked.plan,
            &looked.world,
            self.provider,
            self.secrets,
            memory,
            self.clock,
            interrupt,
        )
        .await
    }
}

/// The Railway environment that the manifests describe.
pub fn scope(desired: &Desired) -> Scope {
    let railway = &desired.environment().spec.railway;
    Scope {
        project: railway.project.clone(),
        environment: railway.environment.clone(),
    }
}

/// Who is told what happens while passes go on.
pub trait Watcher: Send + Sync {
    /// A look and its plan.
    fn looked(&mut self, looked: &Looked);
    /// What became of the writes.
    fn acted(&mut self, looked: &Looked, outcomes: &[Outcome]);
    /// Whether the steps to make may be made; a saved plan says no to what it does not know.
    fn allows(&mut self, plan: &Plan) -> bool;
}

/// How passes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As the last look stands.
    Stands(Standing),
    /// The watcher did not allow what a later look asked for.
    NotAllowed,
    /// Waiting lasted longer than was given.
    TimedOut,
    /// Somebody stopped it.
    Interrupted,
}

/// How long between looks while something is waited for; it grows to the second.
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(10);
/// How many more looks what cannot be seen is worth: an answer may lack a part once.
const UNSEEN_LOOKS: u32 = 3;

/// Passes until a fresh look asks for nothing, or only for what somebody else must do.
///
/// # Errors
/// As a [`Failure`] when the token is not good enough, when the first look fails, or when nothing can be seen at the end.
pub async fn until_in_step(
    pass: &Pass<'_>,
    at_most: Duration,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> Result<End, Failure> {
    let mut memory = Memory::writing_since(pass.clock.now());
    keep_in_step(pass, &mut memory, at_most, watcher, interrupt).await
}

/// The same with a memory of somebody's own: a controller follows in it what came by itself, and whether it may act.
///
/// # Errors
/// As [`until_in_step`].
pub async fn keep_in_step(
    pass: &Pass<'_>,
    memory: &mut Memory,
    at_most: Duration,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> Result<End, Failure> {
    let begun = pass.clock.now();
    let mut pause = SOON;
    let mut has_seen = false;
    let mut unseen_looks = 0;
    loop {
        if interrupt.is_set() {
            return Ok(End::Interrupted);
        }
        let is_late = pass.clock.now().duration_since(begun).unsigned_abs() >= at_most;
        let look = tokio::select! {
            look = pass.look(memory) => look,
            () = interrupt.set() => return Ok(End::Interrupted),
        };
        match look {
            Ok(looked) => {
                has_seen = true;
                if let Seen::Facts(railway) = &looked.world.railway {
                    memory.saw(railway);
                }
                memory.planned(&looked.plan, &looked.world, pass.clock.now());
                watcher.looked(&looked);
                if !looked.plan.writes.is_empty() {
                    if !watcher.allows(&looked.plan) {
                        return Ok(End::NotAllowed);
                    }
                    if interrupt.is_set() {
                        return Ok(End::Interrupted);
                    }
                    let outcomes = pass.act(&looked, memory, interrupt).await;
                    watcher.acted(&looked, &outcomes);
                    if let Some(denied) = outcomes.iter().find_map(denied) {
                        return Err(denied);
                    }
                    pause = SOON;
                } else if looked.plan.standing() == Standing::Unseen && unseen_looks < UNSEEN_LOOKS
                {
                    unseen_looks += 1;
                } else if !waits(&looked.plan) {
                    return Ok(End::Stands(looked.plan.standing()));
                }
            }
            Err(failure @ (Failure::Denied(_) | Failure::Refused(_))) => return Err(failure),
            // What was never seen was never touched: there is nothing to stay for.
            Err(failure) if is_late || !has_seen => return Err(failure),
            Err(failure) => tracing::warn!(%failure, "nothing seen, looking again"),
        }
        if is_late {
            return Ok(End::TimedOut);
        }
        tokio::select! {
            () = pass.clock.sleep(pass.clock.jittered(pause)) => {}
            () = interrupt.set() => {}
        }
        pause = (pause * 3 / 2).min(LATER);
    }
}

fn denied(outcome: &Outcome) -> Option<Failure> {
    match &outcome.result {
        Err(failure @ Failure::Denied(_)) => Some(failure.clone()),
        Ok(()) | Err(_) => None,
    }
}

/// Whether time alone may change something soon.
fn waits(plan: &Plan) -> bool {
    use crate::kinds::step::Ask;
    plan.steps.iter().enumerate().any(|(position, step)| {
        matches!(step.ask, Ask::Wait { .. }) && !plan.is_for_later(position)
    })
}
