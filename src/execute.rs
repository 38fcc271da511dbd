//! Carries a plan's writes out, one after the other, and retries what is worth it. It makes no choices about what to do.

use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::plan::gate::Memory;
use crate::plan::write::Write;
use crate::providers::{Provider, Secrets};
use crate::world::{Failure, World};
use std::time::Duration;

/// How often a write that surely did not arrive is sent again.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// A longer wait is left to the next pass, which looks again before it writes: what was decided before may be wrong by then.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long an answer is waited for after somebody said stop: to be able to say what was done.
const MOMENT: Duration = Duration::from_secs(2);

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The steps that it was for, by their position in the plan.
    pub steps: Vec<usize>,
    /// Sent and accepted, or how it failed.
    pub result: Result<(), Failure>,
}

/// Sends every write of the plan. What is accepted, unclear or refused goes to memory, so that the gate knows it.
pub async fn execute(
    plan: &Plan,
    world: &World,
    provider: &dyn Provider,
    secrets: &Secrets,
    memory: &mut Memory,
    clock: &Clock,
    interrupt: &Interrupt,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut writes: Vec<Write> = plan.writes.iter().rev().cloned().collect();
    while let Some(write) = writes.pop() {
        if interrupt.is_set() {
            break;
        }
        let result = send(&write, world, provider, secrets, clock, interrupt).await;
        if let Err(Failure::Refused(_)) = &result
            && let Some(parts) = write.split(plan)
        {
            // A refused joint patch says nothing of who is meant: each part alone finds out (design rule 8).
            writes.extend(parts.into_iter().rev());
            continue;
        }
        remember(&write, &result, plan, world, memory, clock);
        if let Err(Failure::Denied(_)) = &result {
            writes.clear();
        }
        outcomes.push(Outcome {
            steps: write.steps,
            result,
        });
    }
    outcomes
}

async fn send(
    write: &Write,
    world: &World,
    provider: &dyn Provider,
    secrets: &Secrets,
    clock: &Clock,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = tokio::select! {
            answer = provider.perform(world, write, secrets) => answer,
            () = patience(clock, interrupt) => Err(Failure::Unclear("stopped before Railway answered".to_owned())),
        };
        let failure = match answer {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let wait = match &failure {
            Failure::Throttled { until } => until.duration_since(clock.now()).unsigned_abs(),
            Failure::Passing(_) => clock.jittered(PAUSE * 2u32.pow(tries - 1)),
            Failure::Refused(_) | Failure::Unclear(_) | Failure::Denied(_) => return Err(failure),
        };
        if tries >= TRIES || wait > LONGEST_WAIT {
            return Err(failure);
        }
        tokio::select! {
            () = clock.sleep(wait) => {}
            () = interrupt.set() => return Err(failure),
        }
    }
}

/// Returns when somebody said stop and the answer to what was sent has had its moment.
async fn patience(clock: &Clock, interrupt: &Interrupt) {
    interrupt.set().await;
    clock.sleep(MOMENT).await;
}

fn remember(
    write: &Write,
    result: &Result<(), Failure>,
    plan: &Plan,
    world: &World,
    memory: &mut Memory,
    clock: &Clock,
) {
    for step in write
        .steps
        .iter()
        .filter_map(|position| plan.steps.get(*position))
    {
        match result {
            Ok(()) | Err(Failure::Unclear(_)) => {
                memory.sent(step, clock.now());
                for name in &step.deploys {
                    let railway = world.railway.facts();
                    let service = railway.and_then(|railway| railway.services.get(name)?.facts());
                    let newest = service.and_then(|service| service.newest.as_ref());
                    memory.deploying(name, newest.map(|newest| newest.created_at), clock.now());
                }
            }
            Err(Failure::Refused(words)) => memory.refused(step, words),
            Err(Failure::Throttled { .. } | Failure::Passing(_) | Failure::Denied(_)) => {}
        }
    }
}
