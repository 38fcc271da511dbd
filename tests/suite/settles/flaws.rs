//! Executors that are wrong on purpose: the oracles must find each of them, or they would not find the product wrong either.

use super::play::AnyProvider;
use super::stage::Seat;
use super::view::filled;
use async_trait::async_trait;
use reconciler::interrupt::Interrupt;
use reconciler::kinds::step::Ask;
use reconciler::plan::gate::{self, Memory};
use reconciler::plan::plan;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::reconcile::{End, Looked, Pass, Watcher};
use reconciler::world::railway::{
    Action, Change, Named, Owner, Railway, Setting, Staged, Status, VariableValue,
};
use reconciler::world::{Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: the product.
    None,
    /// Sends a write again at once when no answer came.
    RetriesBlindly,
    /// Takes what could not be seen for empty.
    TrustsPartialLooks,
    /// Takes a masked value for a value.
    ReadsMasks,
    /// Does not remember what it has sent.
    ForgetsWhatItSent,
    /// Writes while somebody has staged changes.
    CommitsOverStaged,
    /// Deletes the variables that no manifest names.
    DeletesUndeclared,
    /// Writes to a service that no manifest names.
    TouchesForeign,
    /// Scales down before it scales up.
    ScalesDownFirst,
    /// Deploys a failed deployment again and again.
    RetriesFailed,
    /// Takes a state that it does not know for a removed deployment.
    GuessesStates,
    /// Carries out the plan of a diff.
    WritesInDiff,
    /// Goes on with an older commit when a newer one is there.
    IgnoresNewerCommits,
    /// Sends every change as a patch of its own.
    PatchesEveryChange,
    /// Tells the history which value it sets.
    TellsSecrets,
    /// Gives a refused joint patch up as a whole.
    GivesUpOnRefusal,
    /// Never stores the image to which it went back.
    NeverStoresTheImage,
    /// Never deploys what is stored and does not run.
    NeverDeploysWhatIsStored,
    /// Writes everything again at every look.
    WritesAlways,
    /// Goes on when the token is denied.
    IgnoresDenial,
    /// Takes an accepted write for a done one and never looks again.
    NeverLooksAgain,
}

/// Every flaw.
pub const ALL: &[Flaw] = &[
    Flaw::RetriesBlindly,
    Flaw::TrustsPartialLooks,
    Flaw::ReadsMasks,
    Flaw::ForgetsWhatItSent,
    Flaw::CommitsOverStaged,
    Flaw::DeletesUndeclared,
    Flaw::TouchesForeign,
    Flaw::ScalesDownFirst,
    Flaw::RetriesFailed,
    Flaw::GuessesStates,
    Flaw::WritesInDiff,
    Flaw::IgnoresNewerCommits,
    Flaw::PatchesEveryChange,
    Flaw::TellsSecrets,
    Flaw::GivesUpOnRefusal,
    Flaw::NeverStoresTheImage,
    Flaw::NeverDeploysWhatIsStored,
    Flaw::WritesAlways,
    Flaw::IgnoresDenial,
    Flaw::NeverLooksAgain,
];

impl Flaw {
    /// The way to Railway, bent where the flaw lies in what is seen or sent.
    pub fn provider(self, seat: Seat<'_>) -> AnyProvider<'_> {
        match self {
            Flaw::None => Box::new(seat),
            _ => Box::new(Bent { seat, flaw: self }),
        }
    }

    /// Passes of another sort, where the flaw lies in the loop.
    pub async fn passes(
        self,
        pass: &Pass<'_>,
        watcher: &mut dyn Watcher,
        interrupt: &Interrupt,
    ) -> Option<Result<End, Failure>> {
        match self {
            Flaw::ForgetsWhatItSent
            | Flaw::GivesUpOnRefusal
            | Flaw::WritesAlways
            | Flaw::IgnoresDenial
            | Flaw::NeverLooksAgain => Some(
                Loop { flaw: self, pass }
                    .until_in_step(watcher, interrupt)
                    .await,
            ),
            _ => None,
        }
    }

    pub fn ignores_newer_commits(self) -> bool {
        self == Flaw::IgnoresNewerCommits
    }

    pub async fn after_diff(self, pass: &Pass<'_>, looked: &Looked) {
        if self == Flaw::WritesInDiff {
            let (_stop, interrupt) = reconciler::interrupt::interrupt();
            pass.act(looked, &mut Memory::default(), &interrupt).await;
        }
    }
}

/// A way to Railway that shows or sends something else.
struct Bent<'a> {
    seat: Seat<'a>,
    flaw: Flaw,
}

#[async_trait]
impl Provider for Bent<'_> {
    async fn observe(&self, scope: &Scope) -> Result<World, Failure> {
        let mut world = self.seat.observe(scope).await?;
        self.bend_world(&mut world);
        Ok(world)
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        self.seat.answer(world, questions).await;
        self.bend_world(world);
    }

    async fn perform(
        &self,
        world: &World,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        let (seat, Seen::Facts(seen)) = (&self.seat, &world.railway) else {
            return Err(Failure::Passing("nothing was seen".to_owned()));
        };
        match self.flaw {
            Flaw::RetriesBlindly => {
                let first = seat.perform(world, write, secrets).await;
                if matches!(first, Err(Failure::Unclear(_))) {
                    seat.perform(world, write, secrets).await
                } else {
                    first
                }
            }
            Flaw::DeletesUndeclared => {
                seat.perform(world, &with_deletions(seen, write), secrets)
                    .await
            }
            Flaw::TouchesForeign => {
                seat.perform(world, &with_foreign(seen, write), secrets)
                    .await
            }
            Flaw::ScalesDownFirst => {
                if let Some(down) = down(seen, write) {
                    seat.perform(world, &down, secrets).await?;
                }
                seat.perform(world, write, secrets).await
            }
            Flaw::PatchesEveryChange => self.one_by_one(world, write, secrets).await,
            Flaw::TellsSecrets => {
                let values: Vec<&str> = secrets
                    .values()
                    .filter_map(Seen::facts)
                    .map(|secret| secret.reveal())
                    .collect();
                let tells = format!("{write:?}").contains("Secret");
                let message = if tells {
                    format!("{} = {}", write.message(), values.join(" "))
                } else {
                    write.message()
                };
                seat.perform_as(write, &message, secrets).await
            }
            Flaw::NeverStoresTheImage if matches!(write.what, What::One(Action::Store { .. })) => {
                Ok(())
            }
            Flaw::NeverDeploysWhatIsStored
                if matches!(write.what, What::One(Action::Deploy { .. })) =>
            {
                Ok(())
            }
            _ => seat.perform(world, write, secrets).await,
        }
    }
}

impl Bent<'_> {
    fn bend_world(&self, world: &mut World) {
        if let Seen::Facts(railway) = &world.railway {
            world.railway = Seen::Facts(self.bend(railway.clone()));
        }
    }

    fn bend(&self, mut railway: Railway) -> Railway {
        match self.flaw {
            Flaw::TrustsPartialLooks => filled(railway),
            Flaw::CommitsOverStaged => {
                railway.staged = Seen::Facts(Staged::default());
                railway
            }
            Flaw::ReadsMasks | Flaw::RetriesFailed | Flaw::GuessesStates => {
                railway
                    .services
                    .values_mut()
                    .for_each(|service| self.bend_service(service));
                railway
            }
            _ => railway,
        }
    }

    fn bend_service(&self, service: &mut Seen<reconciler::world::railway::Service>) {
        let Seen::Facts(service) = service else {
            return;
        };
        if let (Flaw::ReadsMasks, Seen::Facts(variables)) = (self.flaw, &mut service.variables) {
            for variable in variables
                .values_mut()
                .filter(|variable| !variable.sealed && variable.value.is_none())
            {
                variable.value = Some(reconciler::world::secret::Secret::new("*****"));
            }
        }
        if let Some(newest) = &mut service.newest {
            match (&newest.status, self.flaw) {
                (Status::Failed(_), Flaw::RetriesFailed)
                | (Status::Unknown(_), Flaw::GuessesStates) => newest.status = Status::Removed,
                _ => {}
            }
        }
    }

    async fn one_by_one(
        &self,
        world: &World,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        let What::Patch(changes) = &write.what else {
            return self.seat.perform(world, write, secrets).await;
        };
        for (position, change) in write.steps.iter().zip(changes) {
            let one = Write {
                steps: vec![*position],
                what: What::Patch(vec![change.clone()]),
                approvals: Vec::new(),
            };
            self.seat.perform(world, &one, secrets).await?;
        }
        Ok(())
    }
}

/// The write, and with it the end of every variable that it does not name.
fn with_deletions(seen: &Railway, write: &Write) -> Write {
    let mut write = write.clone();
    if let What::Patch(changes) = &mut write.what
        && let Some(service) = changes
            .first()
            .and_then(|change| change.of.service().cloned())
        && let Some(Seen::Facts(facts)) = seen.services.get(&service.name)
        && let Seen::Facts(variables) = &facts.variables
    {
        let gone = variables.keys().map(|name| Change {
            of: Owner::Service(service.clone()),
            set: Setting::Variable {
                name: name.clone(),
                value: VariableValue::Absent,
            },
        });
        changes.splice(0..0, gone.collect::<Vec<_>>());
    }
    write
}

/// The write, and with it a change of a service that nobody declared.
fn with_foreign(seen: &Railway, write: &Write) -> Write {
    let mut write = write.clone();
    if let (What::Patch(changes), Some(Seen::Facts(facts))) =
        (&mut write.what, seen.services.get("postgres"))
    {
        let service = Named {
            id: facts.id.clone(),
            name: "postgres".to_owned(),
        };
        changes.push(Change {
            of: Owner::Service(service),
            set: Setting::Variable {
                name: "SEEN_BY".to_owned(),
                value: VariableValue::Text("reconciler".to_owned()),
            },
        });
    }
    write
}

/// Takes every region away that the write would scale.
fn down(seen: &Railway, write: &Write) -> Option<Write> {
    let What::Patch(changes) = &write.what else {
        return None;
    };
    let down: Vec<Change> = changes
        .iter()
        .filter(|change| matches!(change.set, Setting::Replicas(_)))
        .filter_map(|change| {
            let placement = seen
                .services
                .get(change.of.word())?
                .facts()?
                .placement
                .facts()?;
            let away: BTreeMap<String, Option<u32>> = placement
                .keys()
                .map(|region| (region.clone(), None))
                .collect();
            Some(Change {
                of: change.of.clone(),
                set: Setting::Replicas(away),
            })
        })
        .collect();
    (!down.is_empty()).then(|| Write {
        steps: write.steps.clone(),
        what: What::Patch(down),
        approvals: Vec::new(),
    })
}

/// A loop of its own, wrong where the flaw says so and careless elsewhere.
struct Loop<'a, 'b> {
    flaw: Flaw,
    pass: &'a Pass<'b>,
}

impl Loop<'_, '_> {
    async fn until_in_step(
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
