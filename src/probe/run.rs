//! Asks one question after the other, and takes away whatever was made for that.

use super::answer::answer;
use super::ask::{Asker, Halt};
use super::ground::{Ground, Names, Service, sweep};
use super::report::{Finding, Outcome, Report, Veil};
use super::seen::Kept;
use super::sheet::{Need, Probe, Sheet};
use crate::clock::Clock;
use crate::interrupt::{Interrupt, interrupt};
use crate::providers::railway::{Client, Place};
use serde_json::Value;

/// An id that is nobody's.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// What a run works with.
pub struct Run<'a> {
    /// The questions.
    pub sheet: &'a Sheet,
    /// Those to ask.
    pub probes: Vec<&'a Probe>,
    /// Railway.
    pub client: &'a Client,
    /// The project, and an environment of it where only reading is allowed.
    pub place: &'a Place,
    /// How everything is called that is made.
    pub names: &'a Names,
    /// Whether something may be made at all.
    pub manner: Manner,
    /// Time and chance.
    pub clock: &'a Clock,
    /// Who may say stop.
    pub interrupt: &'a Interrupt,
    /// Who is told.
    pub audience: &'a dyn Audience,
}

/// What a run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Make a throw-away environment, and everything in it.
    Wholly,
    /// Ask only what changes nothing; the reason is told with what is not asked.
    Reading(&'static str),
}

/// Who is told how a run goes.
pub trait Audience: Send + Sync {
    /// A question is asked: which of how many.
    fn asks(&self, probe: &Probe, number: usize, of: usize);
    /// What came out.
    fn hears(&self, finding: &Finding);
    /// Anything else, in words.
    fn says(&self, words: &str);
}

/// The throw-away environment as far as there is one.
enum Land {
    Unmade,
    Made(Ground),
    /// With the reason.
    Barred(String),
}

impl Run<'_> {
    /// Whether anything will be made.
    pub fn makes(&self) -> bool {
        self.manner == Manner::Wholly && self.probes.iter().any(|probe| needs_land(probe))
    }

    /// Asks, and leaves nothing behind that can be removed.
    pub async fn ask(&self) -> Report {
        let mut asker = Asker::new(self.client, self.clock, self.interrupt, self.audience);
        let mut land = Land::Unmade;
        let mut has_token = false;
        let mut findings = Vec::new();
        for (number, probe) in self.probes.iter().enumerate() {
            if self.interrupt.is_set() {
                break;
            }
            let outcome = match self.hindrance(probe) {
                Some(why) => (Outcome::NotAsked { why }, Kept::new()),
                None => {
                    self.audience.asks(probe, number + 1, self.probes.len());
                    let asked = self.one(probe, &mut asker, &mut land, &mut has_token);
                    match asked.await {
                        Some(outcome) => outcome,
                        None => break,
                    }
                }
            };
            let veil = Veil::new(&asker, self.place, &outcome.1);
            let finding = Finding::of(probe, outcome.0, &outcome.1, &veil);
            self.audience.hears(&finding);
            findings.push(finding);
        }
        let left = match land {
            Land::Unmade => Vec::new(),
            Land::Made(_) | Land::Barred(_) => self.leave(&asker).await,
        };
        let barred = match &land {
            Land::Barred(why) => Some(why.clone()),
            Land::Made(ground) => ground.spoiled.clone(),
            Land::Unmade => None,
        };
        Report {
            at: self.clock.now(),
            findings,
            barred: barred.filter(|_| !self.interrupt.is_set()),
            left,
            is_interrupted: self.interrupt.is_set(),
        }
    }

    /// Whoever says stop wants nothing left behind: from here on nobody is listened to.
    async fn leave(&self, asker: &Asker<'_>) -> Vec<String> {
        let (_stop, deaf) = interrupt();
        let is_unsure = asker.is_unsure();
        let asker = Asker::new(self.client, asker.clock, &deaf, asker.audience);
        sweep(&asker, &self.place.project.id, self.names, is_unsure).await
    }

    /// Why a question is not asked.
    fn hindrance(&self, probe: &Probe) -> Option<String> {
        let Manner::Reading(why) = self.manner else {
            return None;
        };
        let is_more_than_a_look = |need: &Need| *need != Need::Environment;
        if !probe.reads_only() || probe.needs.iter().any(is_more_than_a_look) {
            return Some(why.to_owned());
        }
        let lacks = probe.needs.contains(&Need::Environment) && self.place.environment.is_none();
        lacks.then(|| "needs an environment to look at: `--environment NAME`".to_owned())
    }

    /// One question, with its service before and without it afterwards; none when somebody said stop.
    async fn one(
        &self,
        probe: &Probe,
        asker: &mut Asker<'_>,
        land: &mut Land,
        has_token: &mut bool,
    ) -> Option<(Outcome, Kept)> {
        let mut kept = self.given();
        let stays = |halt| match halt {
            Halt::Unseen(why) => Some((Outcome::Unanswered { why }, Kept::new())),
            Halt::Interrupted => None,
        };
        if self.manner == Manner::Wholly && needs_land(probe) {
            let ground = match self.ground(asker, land).await {
                Ok(ground) => ground,
                Err(Halt::Unseen(why)) => return Some((Outcome::NotAsked { why }, Kept::new())),
                Err(Halt::Interrupted) => return None,
            };
            kept.insert("environment".into(), text(&ground.environment));
            if probe.needs.contains(&Need::ProjectToken) && !*has_token {
                match ground.token(asker).await {
                    Ok(token) => asker.bind(&token),
                    Err(halt) => return stays(halt),
                }
                *has_token = true;
            }
        }
        let service = match land {
            Land::Made(ground) if probe.needs.contains(&Need::Service) => {
                match ground.service(asker).await {
                    Ok(service) => Some(service),
                    Err(halt) => return stays(halt),
                }
            }
            Land::Made(_) | Land::Unmade | Land::Barred(_) => None,
        };
        if let Some(Service { id, name }) = &service {
            kept.insert("service".into(), text(id));
            kept.insert("service_name".into(), text(name));
        }
        let carried = asker.carry_out(&probe.steps, self.sheet, &mut kept).await;
        if carried != Err(Halt::Interrupted) {
            let mut late = kept.clone();
            let after = asker.carry_out(&probe.after, self.sheet, &mut late).await;
            if let Err(Halt::Unseen(words)) = after {
                tracing::debug!(probe = probe.id, words, "not cleared");
            }
            if let (Land::Made(ground), Some(service)) = (&*land, &service) {
                let has_volumes = probe.needs.contains(&Need::Volume);
                ground.clear(asker, service, has_volumes).await;
            }
        }
        let outcome = match carried {
            Err(Halt::Interrupted) => return None,
            Err(Halt::Unseen(why)) => Outcome::Unanswered { why },
            Ok(()) => match answer(probe, &kept) {
                Some(answer) => Outcome::Answered {
                    name: answer.name.clone(),
                    means: answer.means.clone(),
                },
                None => Outcome::Another,
            },
        };
        Some((outcome, kept))
    }

    /// What every question knows.
    fn given(&self) -> Kept {
        let names = [
            ("project", self.place.project.id.clone()),
            ("prefix", self.names.prefix()),
            ("environment_name", self.names.environment()),
            ("origin_name", self.names.origin()),
            ("nobody", NOBODY.to_owned()),
        ];
        let environment = self.place.environment.iter();
        names
            .into_iter()
            .chain(environment.map(|named| ("environment", named.id.clone())))
            .map(|(name, value)| (name.to_owned(), text(&value)))
            .collect()
    }

    /// The throw-away environment, made when it is needed first.
    async fn ground<'l>(&self, asker: &Asker<'_>, land: &'l mut Land) -> Result<&'l Ground, Halt> {
        if matches!(land, Land::Unmade) {
            // Even a request without an answer may have made something.
            *land = Land::Barred(String::new());
            let project = &self.place.project.id;
            *land = match Ground::make(asker, project, self.names).await {
                Ok(ground) => Land::Made(ground),
                Err(Halt::Unseen(words)) => {
                    Land::Barred(format!("no throw-away environment could be made: {words}"))
                }
                Err(Halt::Interrupted) => return Err(Halt::Interrupted),
            };
        }
        match land {
            Land::Made(ground) => match &ground.spoiled {
                Some(words) => Err(Halt::Unseen(words.clone())),
                None => Ok(ground),
            },
            Land::Barred(words) => Err(Halt::Unseen(words.clone())),
            Land::Unmade => Err(Halt::Unseen(
                "there is no throw-away environment".to_owned(),
            )),
        }
    }
}

/// Whether it is asked of the throw-away environment.
fn needs_land(probe: &Probe) -> bool {
    !(probe.reads_only() && probe.needs.is_empty())
}

fn text(text: &str) -> Option<Value> {
    Some(Value::from(text))
}
