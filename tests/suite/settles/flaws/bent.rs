//! A way to Railway that shows or sends something else.

use super::super::stage::Seat;
use super::super::view::filled;
use super::super::wish::at;
use super::Flaw;
use async_trait::async_trait;
use jiff::Timestamp;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::world::page::Page;
use reconciler::world::railway::{
    AUTHOR, Action, Change, Field, Named, Owner, Patch, PatchState, Railway, Service, Setting,
    Staged, Status, Variable, VariableValue,
};
use reconciler::world::secret::Secret;
use reconciler::world::{Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet};

/// A way to Railway that shows or sends something else.
pub struct Bent<'a> {
    pub seat: Seat<'a>,
    pub flaw: Flaw,
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
            Flaw::CommitsStagedToClose | Flaw::NeverStoresTheSettings | Flaw::WritesSharedAsOwn => {
                seat.perform(world, &rewritten(self.flaw, seen, write), secrets)
                    .await
            }
            Flaw::DeletesServices => {
                if let Some(Seen::Facts(facts)) = seen.services.get("postgres") {
                    let service = Named {
                        id: facts.id.clone(),
                        name: "postgres".to_owned(),
                    };
                    let gone = of_write(write, What::One(Action::Delete { service }));
                    seat.perform(world, &gone, secrets).await?;
                }
                seat.perform(world, write, secrets).await
            }
            _ if self.drops(write) => Ok(()),
            _ => seat.perform(world, write, secrets).await,
        }
    }
}

impl Bent<'_> {
    /// Whether a write is never sent.
    fn drops(&self, write: &Write) -> bool {
        matches!(
            (self.flaw, &write.what),
            (Flaw::NeverStoresTheImage, What::One(Action::Store { .. }))
                | (
                    Flaw::NeverDeploysWhatIsStored,
                    What::One(Action::Deploy { .. })
                )
                | (Flaw::NeverStops, What::One(Action::Stop { .. }))
                | (
                    Flaw::NeverSwitchesPushes,
                    What::One(Action::PushToDeploy { .. })
                )
        )
    }

    fn bend_world(&self, world: &mut World) {
        if let Seen::Facts(railway) = &world.railway {
            world.railway = Seen::Facts(self.bend(railway.clone()));
        }
        for page in world.pages.values_mut() {
            let is_bent = match self.flaw {
                Flaw::OpensOnAnUnseenPage => matches!(page, Seen::Unseen(_)),
                Flaw::NeverWaitsForThePage => true,
                _ => false,
            };
            if is_bent {
                *page = Seen::Facts(self.wanted_page());
            }
        }
    }

    fn wanted_page(&self) -> Page {
        let scene = self.seat.stage.scene();
        let wish = &scene.schedule.wishes()[self.seat.commit];
        let is_closed = wish.maintenance.as_ref().is_some_and(|it| it.enabled);
        Page {
            status: if is_closed { 503 } else { 200 },
            body: "maintenance".to_owned(),
        }
    }

    fn bend(&self, mut railway: Railway) -> Railway {
        match self.flaw {
            Flaw::TrustsPartialLooks => filled(railway),
            Flaw::CommitsOverStaged => {
                railway.staged = Seen::Facts(Staged::default());
                railway
            }
            Flaw::ClosesOnlyWhenAllIsSeen => {
                let unseen = match (&railway.staged, &railway.history) {
                    (Seen::Unseen(words), _) | (_, Seen::Unseen(words)) => words.clone(),
                    _ => return railway,
                };
                for service in railway.services.values_mut() {
                    *service = Seen::Unseen(unseen.clone());
                }
                railway
            }
            Flaw::UsesConsentTwice => {
                if let Seen::Facts(history) = &mut railway.history {
                    for patch in &mut history.patches {
                        patch.message = patch.message.replace("approval", "");
                    }
                }
                railway
            }
            Flaw::DeletesWhatItDidNotMake => {
                claim(&mut railway);
                railway
            }
            Flaw::RollsBackOverOtherVariables => {
                if let Seen::Facts(written) = &mut railway.written {
                    for times in written.values_mut() {
                        times.updated_at = Timestamp::MIN;
                    }
                }
                railway
                    .services
                    .values_mut()
                    .for_each(|service| self.bend_service(service));
                railway
            }
            Flaw::ReadsMasks
            | Flaw::RetriesFailed
            | Flaw::GuessesStates
            | Flaw::RollsBackOverOtherSettings => {
                railway
                    .services
                    .values_mut()
                    .for_each(|service| self.bend_service(service));
                railway
            }
            _ => railway,
        }
    }

    fn bend_service(&self, service: &mut Seen<Service>) {
        let Seen::Facts(service) = service else {
            return;
        };
        if let (Flaw::ReadsMasks, Seen::Facts(variables)) = (self.flaw, &mut service.variables) {
            for variable in variables
                .values_mut()
                .filter(|variable| !variable.sealed && variable.value.is_none())
            {
                variable.value = Some(Secret::new("*****"));
            }
        }
        self.bend_kept(service);
        if let Some(newest) = &mut service.newest {
            match (&newest.status, self.flaw) {
                (Status::Failed(_), Flaw::RetriesFailed)
                | (Status::Unknown(_), Flaw::GuessesStates) => newest.status = Status::Removed,
                _ => {}
            }
        }
    }

    /// Takes a kept deployment for one that ran with what is stored now.
    fn bend_kept(&self, service: &mut Service) {
        let settings = &service.settings;
        let stored = service.variables.facts().map(|variables| {
            let value = |(name, held): (&String, &Variable)| (name.clone(), held.value.clone());
            variables.iter().map(value).collect::<BTreeMap<_, _>>()
        });
        let Seen::Facts(kept) = &mut service.kept else {
            return;
        };
        for kept in kept {
            match (self.flaw, &kept.variables, &stored) {
                (Flaw::RollsBackOverOtherSettings, ..) => kept.settings = Some(settings.clone()),
                (Flaw::RollsBackOverOtherVariables, Seen::Facts(_), Some(stored)) => {
                    kept.variables = Seen::Facts(stored.clone());
                }
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
                ..of_write(write, What::Patch(vec![change.clone()]))
            };
            self.seat.perform(world, &one, secrets).await?;
        }
        Ok(())
    }
}

/// Takes every variable for one that a patch of ours has made long ago.
fn claim(railway: &mut Railway) {
    let (Seen::Facts(history), Seen::Facts(written)) = (&mut railway.history, &mut railway.written)
    else {
        return;
    };
    let made_at = at(-1_000_000);
    let mut touched: BTreeMap<String, BTreeSet<Field>> = BTreeMap::new();
    for ((owner, name), times) in written.iter_mut() {
        times.created_at = made_at;
        let fields = touched.entry(owner.clone()).or_default();
        fields.insert(Field::Variable(name.clone()));
    }
    history.patches.push(Patch {
        id: "claimed".to_owned(),
        begun_at: made_at,
        at: made_at,
        state: PatchState::Committed,
        message: format!("{AUTHOR}everything"),
        by: None,
        touched,
    });
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
    (!down.is_empty()).then(|| of_write(write, What::Patch(down)))
}

/// The same write with something else to do.
fn of_write(write: &Write, what: What) -> Write {
    Write {
        marks: Vec::new(),
        steps: write.steps.clone(),
        what,
        approvals: write.approvals.clone(),
        commit: write.commit.clone(),
    }
}

/// The write as a flawed executor sends it.
fn rewritten(flaw: Flaw, seen: &Railway, write: &Write) -> Write {
    let what = match (flaw, &write.what) {
        (
            Flaw::CommitsStagedToClose,
            What::One(Action::SetVariable {
                service,
                name,
                value,
            }),
        ) => What::Patch(vec![Change {
            of: Owner::Service(service.clone()),
            set: Setting::Variable {
                name: name.clone(),
                value: VariableValue::Text(value.clone()),
            },
        }]),
        (Flaw::NeverStoresTheSettings, What::One(Action::Store { service, image, .. })) => {
            What::One(Action::Store {
                service: service.clone(),
                image: image.clone(),
                settings: Vec::new(),
            })
        }
        (Flaw::WritesSharedAsOwn, What::Patch(changes)) => {
            let own = seen.services.iter().find_map(|(name, service)| {
                Some(Named {
                    id: service.facts()?.id.clone(),
                    name: name.clone(),
                })
            });
            let own = |change: &Change| match (&change.of, &own) {
                (Owner::Shared, Some(service)) => Change {
                    of: Owner::Service(service.clone()),
                    set: change.set.clone(),
                },
                _ => change.clone(),
            };
            What::Patch(changes.iter().map(own).collect())
        }
        (_, what) => what.clone(),
    };
    of_write(write, what)
}
