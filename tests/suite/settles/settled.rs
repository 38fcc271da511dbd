//! What must be true in the end: what git says is so, or what stands in the way is known and said.

use super::deployment::{Made, Outcome, Run, status};
use super::model::{State, Stored};
use super::schedule::{Schedule, seconds};
use super::stage::{Ended, Scene, is_fresh, services};
use super::switches::OverStaged;
use super::wish::{Content, ReplicasWish, Runs, ServiceWish, VariableWish, is_bad};
use jiff::Timestamp;
use reconciler::kinds::step::Ask;
use reconciler::plan::Plan;
use reconciler::world::Seen;
use reconciler::world::railway::{Field, Source, Status};
use std::collections::{BTreeMap, BTreeSet};

/// L1: in step, or held for a cause that the schedule explains.
pub fn judge(scene: &mut Scene, plan: &Plan) {
    for words in differences(&scene.ground(), plan) {
        scene.violate("l1_converges", words);
    }
}

/// What an end is judged by: the truth, and what explains that it is not as git says.
pub struct Ground<'a> {
    pub state: &'a State,
    pub schedule: &'a Schedule,
    pub now: Timestamp,
    /// The services that somebody edited by hand, and when.
    pub edits: &'a [(Timestamp, String)],
}

impl Scene {
    fn ground(&self) -> Ground<'_> {
        Ground {
            state: &self.model.state,
            schedule: &self.schedule,
            now: self.model.now,
            edits: &self.edits,
        }
    }
}

/// Everything that is neither in step nor held for a cause.
pub fn differences(ground: &Ground<'_>, plan: &Plan) -> Vec<String> {
    let wish = ground.schedule.wishes.last().expect("there is one");
    let mut found = Vec::new();
    let mut hindered: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (name, service) in &wish.services {
        let judged = Judged {
            ground,
            name,
            stored: &ground.state.services[name],
            wish: service,
            content: wish.content(name),
        };
        found.extend(
            judged
                .differences()
                .into_iter()
                .map(|words| format!("{name}: {words}")),
        );
        hindered.insert(name.clone(), judged.hindrances());
    }
    for step in &plan.steps {
        let what = reconciler::plan::text::what(step);
        match &step.ask {
            Ask::Told(_) => {}
            Ask::Hold { by, .. } => {
                if hindered.get(&step.of.name).is_none_or(BTreeSet::is_empty) {
                    found.push(format!("held without a cause: {what}, by {by}"));
                }
            }
            Ask::Make(_) | Ask::Wait { .. } | Ask::Unseen(_) => {
                found.push(format!("not settled: {what} {:?}", step.ask));
            }
        }
    }
    found
}

/// What the last commit owns of what is stored, and what runs, in words that two runs can be compared by: no ids and no times.
///
/// What an earlier commit has set and the last one does not name is nobody's: it depends on when the earlier one was interrupted.
pub fn stored(scene: &Scene) -> Vec<String> {
    let wish = scene.schedule.wishes.last().expect("there is one");
    let owned = |name: &str, stored: &Stored, service: &ServiceWish| {
        // What is sealed cannot be compared, so which value it has depends on who wrote it last.
        let value = |name: &String| {
            stored
                .variables
                .get(name)
                .map(|held| (Some(&held.value).filter(|_| !held.sealed), held.sealed))
        };
        let variables: Vec<String> = service
            .variables
            .keys()
            .map(|name| format!("{name} {:?}", value(name)))
            .collect();
        // A number says nothing of the region: that is wherever most of them were.
        let replicas = service.replicas.as_ref().map(|wish| match wish {
            ReplicasWish::Number(_) => format!("{}", stored.placement.values().sum::<u32>()),
            ReplicasWish::Regions(regions) => format!(
                "{:?}",
                regions
                    .keys()
                    .map(|region| stored.placement.get(region))
                    .collect::<Vec<_>>()
            ),
        });
        let ready = service.ready.as_ref().map(|_| &stored.ready);
        let runs = stored
            .runs
            .last()
            .filter(|_| service.runs != Runs::Unsaid)
            .map(|run| (&run.load.image, &run.load.commit));
        format!("{name}: {replicas:?} {ready:?} {runs:?} {variables:?}")
    };
    wish.services
        .iter()
        .map(|(name, service)| owned(name, &scene.model.state.services[name], service))
        .collect()
}

struct Judged<'a> {
    ground: &'a Ground<'a>,
    name: &'a str,
    stored: &'a Stored,
    wish: &'a ServiceWish,
    content: Content,
}

impl Judged<'_> {
    /// What stands in the way of this service, by the truth and not by the plan.
    fn hindrances(&self) -> BTreeSet<&'static str> {
        let state = self.ground.state;
        let mut hindrances = BTreeSet::new();
        let mut add = |is: bool, what: &'static str| {
            if is {
                hindrances.insert(what);
            }
        };
        let image = self.content.image.as_deref();
        let is_image = !matches!(self.stored.source, Source::Repository { .. });
        add(!state.staged.is_empty(), "staged");
        add(state.newest_patch_failed(), "patch");
        add(
            is_image && image.is_some_and(|image| image.contains("/forbidden/")),
            "forbidden",
        );
        add(
            self.stored.updates_itself && is_image && image.is_some(),
            "moves",
        );
        add(
            self.wanted().is_none() && (image.is_some() || self.content.commit.is_some()),
            "kind",
        );
        add(is_bad(&self.relevant()), "bad");
        add(
            self.stored
                .runs
                .last()
                .is_some_and(|run| run.outcome != Outcome::Good),
            "failed",
        );
        add(self.places_wrongly(), "placement");
        for (name, wanted) in &self.wish.variables {
            add(self.is_stuck(name, wanted), "variable");
        }
        hindrances
    }

    /// The content that fits what the service is built from.
    fn wanted(&self) -> Option<String> {
        match self.stored.source {
            Source::Repository { .. } => self.content.commit.clone(),
            Source::Image(_) | Source::Nothing => self.content.image.clone(),
        }
    }

    fn relevant(&self) -> Content {
        match self.stored.source {
            Source::Repository { .. } => Content {
                image: None,
                commit: self.content.commit.clone(),
            },
            Source::Image(_) | Source::Nothing => Content {
                image: self.content.image.clone(),
                commit: None,
            },
        }
    }

    fn places_wrongly(&self) -> bool {
        let placement = &self.stored.placement;
        let total = match &self.wish.replicas {
            None => return false,
            Some(ReplicasWish::Number(count)) if placement.is_empty() => return *count != 1,
            Some(ReplicasWish::Number(count)) => *count,
            Some(ReplicasWish::Regions(regions)) => {
                regions.values().sum::<u32>()
                    + placement
                        .iter()
                        .filter(|(region, _)| !regions.contains_key(*region))
                        .map(|(_, count)| *count)
                        .sum::<u32>()
            }
        };
        total > 1 && (self.stored.has_volume || self.stored.has_schedule)
    }

    /// Sealed where git wants it readable, or its secret is missing.
    fn is_stuck(&self, name: &str, wanted: &VariableWish) -> bool {
        let held = self.stored.variables.get(name);
        let is_sealed = held.is_some_and(|held| held.sealed);
        match wanted {
            VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => is_sealed,
            VariableWish::Absent => false,
            VariableWish::Secret {
                name: secret,
                sealed,
                ..
            } => {
                let is_missing = !matches!(
                    self.ground.schedule.secrets(self.ground.now).get(secret),
                    Some(Seen::Facts(_))
                );
                (is_sealed && !*sealed) || is_missing
            }
        }
    }

    /// Everything that is not as git says although nothing stands in the way.
    fn differences(&self) -> Vec<String> {
        let hindrances = self.hindrances();
        let mut found = Vec::new();
        let patches = !["staged", "patch", "forbidden"]
            .iter()
            .any(|hindrance| hindrances.contains(hindrance));
        if patches {
            found.extend(self.replicas(&hindrances));
            found.extend(self.ready());
            found.extend(
                self.wish
                    .variables
                    .iter()
                    .filter(|(name, wanted)| !self.is_stuck(name, wanted))
                    .filter_map(|(name, wanted)| self.variable(name, wanted)),
            );
            found.extend(self.image(&hindrances));
        }
        let is_hindered = ["bad", "kind", "moves"]
            .iter()
            .any(|hindrance| hindrances.contains(hindrance));
        if patches && !is_hindered {
            found.extend(self.running());
        }
        found
    }

    fn replicas(&self, hindrances: &BTreeSet<&'static str>) -> Option<String> {
        if hindrances.contains("placement") {
            return None;
        }
        let placement = &self.stored.placement;
        let fits = match self.wish.replicas.as_ref()? {
            ReplicasWish::Number(1) if placement.is_empty() => true,
            ReplicasWish::Number(count) => {
                placement.len() == 1 && placement.values().sum::<u32>() == *count
            }
            ReplicasWish::Regions(regions) => regions
                .iter()
                .all(|(region, count)| placement.get(region) == Some(count)),
        };
        (!fits).then(|| format!("replicas are {placement:?}"))
    }

    fn ready(&self) -> Option<String> {
        let (path, within) = self.wish.ready.as_ref()?;
        let stored = &self.stored.ready;
        let fits = stored.path.as_ref() == Some(path)
            && within.is_none_or(|within| within == stored.within_seconds);
        (!fits).then(|| format!("the health check is {stored:?}"))
    }

    fn variable(&self, name: &str, wanted: &VariableWish) -> Option<String> {
        let held = self.stored.variables.get(name);
        let plain = |text: &str| text.replace("${{ ", "${{").replace(" }}", "}}");
        let fits = match wanted {
            VariableWish::Absent => held.is_none(),
            VariableWish::Secret {
                name: secret,
                sealed: true,
                rotated_after,
            } => held.is_some_and(|held| {
                let is_due = rotated_after
                    .is_some_and(|after| seconds(after) > -1800 && after <= self.ground.now);
                let rotated = !is_due
                    || held.written_at >= rotated_after.expect("it is due")
                    || self.was_touched_since(name, rotated_after.expect("it is due"));
                held.sealed
                    && rotated
                    && held.value.contains(secret.as_str()) | !held.value.is_empty()
            }),
            VariableWish::Secret {
                name: secret,
                sealed: false,
                ..
            } => {
                let secrets = self.ground.schedule.secrets(self.ground.now);
                held.is_some_and(|held| {
                    secrets
                        .get(secret)
                        .and_then(Seen::facts)
                        .is_some_and(|secret| secret.reveal() == held.value)
                })
            }
            VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => held
                .is_some_and(|held| {
                    !held.sealed && plain(&held.value) == plain(&wanted.text().expect("it is text"))
                }),
        };
        (!fits).then(|| {
            format!(
                "{name} is {:?}",
                held.map(|held| (&held.value, held.sealed))
            )
        })
    }

    /// A rotation counts as done when any patch after its time touched the variable; with too many patches since, nobody can tell.
    fn was_touched_since(&self, name: &str, after: jiff::Timestamp) -> bool {
        let field = Field::Variable(name.to_owned());
        let since: Vec<_> = self
            .ground
            .state
            .patches
            .iter()
            .filter(|patch| patch.applied_at >= after)
            .collect();
        since.len() >= 10
            || since.iter().any(|patch| {
                patch.failed.is_none()
                    && patch
                        .touched
                        .get(&self.stored.id)
                        .is_some_and(|fields| fields.contains(&field))
            })
    }

    fn image(&self, hindrances: &BTreeSet<&'static str>) -> Option<String> {
        let wanted = self.content.image.as_ref()?;
        match &self.stored.source {
            Source::Image(stored) if stored != wanted && !hindrances.contains("moves") => {
                Some(format!("the stored image is {stored}"))
            }
            Source::Image(_) | Source::Repository { .. } | Source::Nothing => None,
        }
    }

    /// Whether what runs is what is stored and wanted.
    fn running(&self) -> Vec<String> {
        let now = self.ground.now;
        let Some(newest) = self.stored.runs.last() else {
            return self
                .wanted()
                .map(|_| "nothing was ever deployed".to_owned())
                .into_iter()
                .collect();
        };
        let status = status(&self.stored.runs, self.stored.runs.len() - 1, now);
        let is_up = status == Status::Healthy && !newest.is_stopped(now);
        if self.wanted().is_none() && !is_up {
            return Vec::new();
        }
        let mut found = Vec::new();
        let runs = newest.load.image.clone().or(newest.load.commit.clone());
        if let Some(wanted) = self.wanted().filter(|wanted| runs.as_ref() != Some(wanted)) {
            found.push(format!("{runs:?} runs, and {wanted} is wanted"));
        }
        if !is_up {
            found.push(format!("the newest deployment {} is {status:?}", newest.id));
        }
        if let Some(after) = self
            .wish
            .restarted_after
            .filter(|after| seconds(*after) > -1800 && newest.created_at < *after)
        {
            found.push(format!("not restarted since {after}"));
        }
        if !self.is_murky(newest) {
            found.extend(self.carried(newest));
        }
        found
    }

    /// After edits by hand nobody outside can tell with which variables something runs: a deployment's `meta` does not say.
    fn is_murky(&self, newest: &Run) -> bool {
        self.ground
            .edits
            .iter()
            .any(|(_, edited)| edited == self.name)
            && (!matches!(newest.made, Made::FromStored | Made::ByStoring)
                || !self.ground.schedule.switches.direct_edits_in_history)
            || self.ground.schedule.switches.over_staged == OverStaged::Merges
                && !self.ground.edits.is_empty()
                && !matches!(newest.made, Made::FromStored | Made::ByStoring)
    }

    fn carried(&self, newest: &Run) -> Vec<String> {
        let declared = self.wish.variables.keys().filter(|name| {
            let value = |variables: &BTreeMap<String, super::deployment::Held>| {
                variables.get(*name).map(|held| held.value.clone())
            };
            value(&newest.load.variables) != value(&self.stored.variables)
        });
        let mut found: Vec<String> = declared
            .map(|name| format!("{} runs with another {name} than is stored", newest.id))
            .collect();
        if self.wish.ready.is_some() && newest.load.ready != self.stored.ready {
            found.push(format!(
                "{} runs with another health check than is stored",
                newest.id
            ));
        }
        found
    }
}

/// S11: so many fresh writes of a service have a reason, and no more.
pub fn judge_effort(scene: &mut Scene) {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for sent in scene.sent.iter().filter(|sent| {
        is_fresh(&sent.write)
            && matches!(sent.end, Ended::Accepted | Ended::Unclear | Ended::Crashed)
    }) {
        for service in services(&sent.write) {
            *done.entry(service).or_default() += 1;
        }
    }
    let wishes = scene.schedule.wishes.len();
    let lost = scene
        .sent
        .iter()
        .filter(|sent| matches!(sent.end, Ended::Unclear | Ended::Crashed))
        .count();
    // Every content may take a patch and a deployment; so may every edit by hand, the clearing up, and a change of secrets.
    let reasons = 2 * (wishes + scene.counts.hands + 2) + lost + scene.counts.duplicates;
    for (service, count) in done {
        if count > reasons {
            scene.violate(
                "s11_bounded_work",
                format!("{count} fresh writes for {service}, and only {reasons} reasons"),
            );
        }
    }
}
