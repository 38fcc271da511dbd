//! Loops of their own, wrong where their flaw says so and careless elsewhere.

use super::Flaw;
use reconciler::interrupt::Interrupt;
use reconciler::kinds::step::Ask;
use reconciler::plan::gate::{self, Memory};
use reconciler::plan::plan;
use reconciler::reconcile::{End, Looked, Pass, Watcher};
use reconciler::world::{Failure, Seen};
use std::time::Duration;

/// A loop of its own, wrong where the flaw says so and careless elsewhere.
pub struct Loop<'a, 'b> {
    pub flaw: Flaw,
    pub pass: &'a Pass<'b>,
}

impl Loop<'_, '_> {
    pub async fn until_in_step(
        &self,
        watcher: &mut dyn Watcher,
        interrupt: &Interrupt,
    ) -> Result<End, Failure> {
        let pass = self.pass;
        let mut memory = Memory::writing_since(pass.clock.now());
        for _ in 0..60 {
            if interrupt.is_set() {
                return Ok(End::Interrupted);
            }
            if self.flaw == Flaw::ForgetsWhatItSent {
                memory = Memory::default();
            }
            match pass.look(&memory).await {
                Ok(looked) => {
                    watcher.looked(&looked);
                    if let Some(end) = self.act(&looked, &mut memory, interrupt).await {
                        return end;
                    }
                }
                Err(failure) if self.flaw != Flaw::IgnoresDenial => return Err(failure),
                Err(_) => {}
            }
            pass.clock.sleep(Duration::from_secs(2)).await;
        }
        Ok(End::TimedOut)
    }

    async fn act(
        &self,
        looked: &Looked,
        memory: &mut Memory,
        interrupt: &Interrupt,
    ) -> Option<Result<End, Failure>> {
        let is_still = looked.plan.writes.is_empty();
        let waits = looked.plan.steps.iter().any(|step| {
            matches!(step.ask, Ask::Wait { .. })
                && (step.field != "restartedAfter" || step.deploys())
        });
        match self.flaw {
            Flaw::WritesAlways => {
                self.write_all(looked).await;
                return is_still.then_some(Ok(End::Stands(looked.plan.standing())));
            }
            _ if is_still && !waits => return Some(Ok(End::Stands(looked.plan.standing()))),
            Flaw::GivesUpOnRefusal => {
                if !self.write_once(looked, memory).await {
                    return Some(Ok(End::Stands(looked.plan.standing())));
                }
            }
            Flaw::IgnoresDenial => {
                self.pass.act(looked, memory, interrupt).await;
            }
            Flaw::NeverLooksAgain => {
                self.pass.act(looked, memory, interrupt).await;
                return Some(Ok(End::Stands(reconciler::plan::Standing::InStep)));
            }
            _ => {
                self.pass
                    .act(looked, &mut Memory::default(), interrupt)
                    .await;
            }
        }
        None
    }

    /// Sends every write once, and says whether none was refused.
    async fn write_once(&self, looked: &Looked, memory: &mut Memory) -> bool {
        let Seen::Facts(railway) = &looked.world.railway else {
            return true;
        };
        for write in &looked.plan.writes {
            let result = self
                .pass
                .provider
                .perform(&looked.world, write, self.pass.secrets)
                .await;
            for step in write
                .steps
                .iter()
                .filter_map(|position| looked.plan.steps.get(*position))
            {
                let newest = railway
                    .services
                    .get(&step.of.name)
                    .and_then(Seen::facts)
                    .and_then(|service| service.newest.as_ref());
                memory.sent(step, self.pass.clock.now());
                memory.deploying(
                    &step.of.name,
                    newest.map(|newest| newest.created_at),
                    self.pass.clock.now(),
                );
            }
            if matches!(result, Err(Failure::Refused(_) | Failure::Denied(_))) {
                return false;
            }
        }
        true
    }

    /// Sends every declared text again, whatever is stored.
    async fn write_all(&self, looked: &Looked) {
        let mut world = looked.world.clone();
        if let Seen::Facts(railway) = &mut world.railway {
            for service in railway.services.values_mut() {
                if let Seen::Facts(service) = service {
                    service.settings.ready.within_seconds += 1;
                }
            }
        }
        let now = self.pass.clock.now();
        let always = gate::hold(
            plan(self.pass.desired, &world, now),
            &world,
            &Memory::default(),
            now,
        );
        for write in &always.writes {
            let _ = self
                .pass
                .provider
                .perform(&looked.world, write, self.pass.secrets)
                .await;
        }
    }
}
