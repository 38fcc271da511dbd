//! An in-memory Railway, written from facts/railway.md and not from the planner: what is stored, what runs, what was patched, what somebody staged.

use super::chance::Chance;
use super::deployment::{Held, Load, Made, Outcome, Run, rollout};
use super::switches::{AppliedAt, OverStaged, PatchCommit, Switches};
use jiff::{SignedDuration, Timestamp};
use reconciler::plan::write::{What, Write};
use reconciler::providers::Secrets;
use reconciler::world::railway::{
    Action, Change, Field, Ready, Setting, SettingName, SettingValue, Source, VariableValue,
};
use reconciler::world::{Failure, Seen};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Everything that a look could show.
#[derive(Debug, Clone)]
pub struct State {
    pub services: BTreeMap<String, Stored>,
    /// Oldest first.
    pub patches: Vec<Committed>,
    /// What somebody staged and did not commit.
    pub staged: Vec<(String, Part)>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub id: String,
    pub source: Source,
    /// The commit that a deployment without one builds.
    pub head: Option<String>,
    pub updates_itself: bool,
    pub ready: Ready,
    pub placement: BTreeMap<String, u32>,
    pub variables: BTreeMap<String, Held>,
    pub has_volume: bool,
    pub has_schedule: bool,
    pub updated_at: Timestamp,
    /// Oldest first.
    pub runs: Vec<Run>,
}

/// A part of a service with the value that it gets, secrets resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Image(String),
    Commit(String),
    Ready(Ready),
    Replicas(BTreeMap<String, Option<u32>>),
    Variable(String, Option<(String, bool)>),
}

impl Part {
    pub fn field(&self) -> Field {
        match self {
            Part::Image(_) => Field::Image,
            Part::Commit(_) => Field::Commit,
            Part::Ready(_) => Field::Setting(SettingName::Ready),
            Part::Replicas(_) => Field::Replicas,
            Part::Variable(name, _) => Field::Variable(name.clone()),
        }
    }
}

/// Who changed something: one of the product's requests, by its position in the log, or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Product(usize),
    Person,
}

/// A patch in the history.
#[derive(Debug, Clone)]
pub struct Committed {
    pub id: String,
    pub message: String,
    pub created_at: Timestamp,
    pub applied_at: Timestamp,
    pub touched: BTreeMap<String, BTreeSet<Field>>,
    pub failed: Option<String>,
}

/// A change of what is stored or runs that one of the product's requests caused.
#[derive(Debug, Clone)]
pub struct Applied {
    pub request: usize,
    pub before: Arc<State>,
    pub after: Arc<State>,
    pub took_staged: bool,
}

impl State {
    /// Whether the newest patch by the time that history shows could not be applied.
    pub fn newest_patch_failed(&self) -> bool {
        self.patches
            .iter()
            .max_by_key(|patch| patch.applied_at)
            .is_some_and(|patch| patch.failed.is_some())
    }
}

#[derive(Debug, Clone)]
enum Due {
    Values {
        patch: String,
        parts: Vec<(String, Part)>,
        author: Author,
        took_staged: bool,
        deploys: bool,
    },
    Deployments {
        patch: String,
        services: BTreeSet<String>,
        commits: BTreeMap<String, String>,
        author: Author,
        took_staged: bool,
    },
}

pub struct Model {
    pub switches: Switches,
    pub state: Arc<State>,
    pub now: Timestamp,
    /// The changes that the product caused since somebody last took them.
    pub applied: Vec<Applied>,
    /// What the next patch fails with when it is applied.
    pub next_patch_fails: Option<String>,
    past: VecDeque<(Timestamp, Arc<State>)>,
    due: Vec<(Timestamp, Due)>,
    ids: u64,
    chance: Chance,
}

/// Stale reads go back no further.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(15);

impl Model {
    pub fn new(state: State, switches: Switches, now: Timestamp, chance: Chance) -> Model {
        let state = Arc::new(state);
        let past = VecDeque::from([(now - SignedDuration::from_hours(1), Arc::clone(&state))]);
        Model {
            switches,
            state,
            now,
            applied: Vec::new(),
            next_patch_fails: None,
            past,
            due: Vec::new(),
            ids: 0,
            chance,
        }
    }

    /// What was there at a moment of the last seconds.
    pub fn as_of(&self, moment: Timestamp) -> Arc<State> {
        let found = self
            .past
            .iter()
            .rev()
            .find(|(at, _)| *at <= moment)
            .or(self.past.front());
        Arc::clone(&found.expect("there is always a past").1)
    }

    /// Lets happen what is due until a moment.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(position) = self.next_due(now) {
            let (at, due) = self.due.remove(position);
            self.now = at;
            match due {
                Due::Values {
                    patch,
                    parts,
                    author,
                    took_staged,
                    deploys,
                } => self.store(&patch, &parts, author, took_staged, deploys),
                Due::Deployments {
                    patch,
                    services,
                    commits,
                    author,
                    took_staged,
                } => {
                    for service in services {
                        let commit = commits
                            .get(&service)
                            .filter(|commit| is_known(commit))
                            .map(String::as_str);
                        let load = self.state.services[&service].load(commit);
                        self.start(
                            &service,
                            load,
                            Made::FromStored,
                            Some(patch.clone()),
                            author,
                            took_staged,
                        );
                    }
                }
            }
        }
        self.now = now;
    }

    fn next_due(&self, now: Timestamp) -> Option<usize> {
        self.due
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| *at <= now)
            .min_by_key(|(position, (at, _))| (*at, *position))
            .map(|(position, _)| position)
    }

    /// The one door through which anything changes.
    pub fn change<T>(
        &mut self,
        author: Author,
        took_staged: bool,
        change: impl FnOnce(&mut State) -> T,
    ) -> T {
        let before = Arc::clone(&self.state);
        let result = change(Arc::make_mut(&mut self.state));
        if let Author::Product(request) = author {
            self.applied.push(Applied {
                request,
                before,
                after: Arc::clone(&self.state),
                took_staged,
            });
        }
        self.past.push_back((self.now, Arc::clone(&self.state)));
        while self.past.len() > 2 && self.past[1].0 < self.now - REMEMBERED {
            self.past.pop_front();
        }
        result
    }

    pub fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{}", self.ids)
    }

    /// One request of the product.
    pub fn perform(
        &mut self,
        write: &Write,
        message: &str,
        secrets: &Secrets,
        request: usize,
    ) -> Result<(), Failure> {
        let author = Author::Product(request);
        match &write.what {
            What::Patch(changes) => self.patch_of(changes, message, secrets, author),
            What::One(Action::Change(change)) => {
                self.patch_of(std::slice::from_ref(change), message, secrets, author)
            }
            What::One(Action::Store { service, image, .. }) => {
                self.known(&service.name, &service.id)?;
                self.store_image(&service.name, image, author);
                Ok(())
            }
            What::One(
                Action::SetVariable { .. }
                | Action::Stop { .. }
                | Action::PushToDeploy { .. }
                | Action::Delete { .. },
            ) => Err(Failure::Refused("Problem processing request".to_owned())),
            What::One(Action::Deploy { service, commit }) => {
                self.known(&service.name, &service.id)?;
                self.deploy(&service.name, commit.as_deref(), author)
            }
            What::One(Action::Redeploy {
                service,
                deployment,
            }) => self.redeploy(&service.name, deployment, author),
            What::One(Action::Rollback {
                service,
                deployment,
                ..
            }) => self.roll_back(&service.name, deployment, author),
        }
    }

    fn known(&self, name: &str, id: &str) -> Result<(), Failure> {
        match self.state.services.get(name) {
            Some(stored) if stored.id == id => Ok(()),
            Some(_) | None => Err(Failure::Refused("Problem processing request".to_owned())),
        }
    }

    fn patch_of(
        &mut self,
        changes: &[Change],
        message: &str,
        secrets: &Secrets,
        author: Author,
    ) -> Result<(), Failure> {
        let mut parts = Vec::new();
        for change in changes {
            let Some(service) = change.of.service() else {
                return Err(Failure::Refused("Problem processing request".to_owned()));
            };
            self.known(&service.name, &service.id)?;
            let part = part(&change.set, secrets)?;
            self.check(&service.name, &part)?;
            parts.push((service.name.clone(), part));
        }
        if !self.state.staged.is_empty() && self.switches.over_staged == OverStaged::Refuses {
            return Err(Failure::Passing(
                "Environment has changes that are not applied yet, please try again".to_owned(),
            ));
        }
        self.patch(parts, message, author, true);
        Ok(())
    }

    /// What Railway, or a policy of the workspace, refuses.
    fn check(&self, service: &str, part: &Part) -> Result<(), Failure> {
        let stored = &self.state.services[service];
        match part {
            Part::Image(image) if image.contains("/forbidden/") => Err(Failure::Refused(
                "image blocked by a workspace policy".to_owned(),
            )),
            Part::Replicas(regions) if regions.values().any(|count| *count == Some(0)) => Err(
                Failure::Refused("numReplicas must be at least 1".to_owned()),
            ),
            Part::Replicas(regions)
                if stored.has_volume
                    && regions
                        .values()
                        .any(|count| count.is_some_and(|count| count > 1)) =>
            {
                Err(Failure::Refused(
                    "Replicas cannot be used with volumes".to_owned(),
                ))
            }
            Part::Image(_)
            | Part::Commit(_)
            | Part::Ready(_)
            | Part::Replicas(_)
            | Part::Variable(..) => Ok(()),
        }
    }

    /// Accepts a patch; its values show, it counts as applied and its deployments are made, each when the switches say.
    pub fn patch(
        &mut self,
        mut parts: Vec<(String, Part)>,
        message: &str,
        author: Author,
        deploys: bool,
    ) {
        let took_staged = !self.state.staged.is_empty()
            && self.switches.over_staged == OverStaged::Merges
            && author != Author::Person;
        if took_staged {
            parts.splice(0..0, self.state.staged.iter().cloned());
        }
        let id = self.id("patch");
        let lag = self.lag(self.switches.patch_lag * 1000);
        let values_at = self.last_patch_at().max(self.now + lag);
        let (applied_at, deploys_at) = match self.switches.applied_at {
            AppliedAt::Together => (values_at, values_at),
            AppliedAt::AfterDeployments => (values_at + self.lag(3000), values_at),
            AppliedAt::BeforeDeployments => (values_at, values_at + self.lag(3000)),
        };
        let mut touched: BTreeMap<String, BTreeSet<Field>> = BTreeMap::new();
        for (service, part) in &parts {
            touched
                .entry(self.state.services[service].id.clone())
                .or_default()
                .insert(part.field());
        }
        let failed = self.next_patch_fails.take();
        let committed = Committed {
            id: id.clone(),
            message: message.to_owned(),
            created_at: self.now,
            applied_at,
            touched,
            failed: failed.clone(),
        };
        self.change(Author::Person, false, |state| {
            state.patches.push(committed);
            if took_staged {
                state.staged.clear();
            }
        });
        if failed.is_some() {
            return;
        }
        let honoured = self.switches.patch_commit == PatchCommit::Honoured;
        let commits = parts.iter().filter_map(|(service, part)| match part {
            Part::Commit(commit) if honoured => Some((service.clone(), commit.clone())),
            _ => None,
        });
        let services = parts
            .iter()
            .filter(|(_, part)| !matches!(part, Part::Replicas(_)))
            .map(|(service, _)| service.clone());
        let deployments = Due::Deployments {
            patch: id.clone(),
            services: services.collect(),
            commits: commits.collect(),
            author,
            took_staged,
        };
        self.due.push((
            values_at,
            Due::Values {
                patch: id,
                parts,
                author,
                took_staged,
                deploys,
            },
        ));
        if deploys {
            self.due.push((deploys_at, deployments));
        }
        self.advance(self.now);
    }

    fn last_patch_at(&self) -> Timestamp {
        self.due
            .iter()
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(Timestamp::MIN)
    }

    fn lag(&mut self, most_millis: u64) -> SignedDuration {
        SignedDuration::from_millis(
            i64::try_from(self.chance.between(0, most_millis)).expect("small"),
        )
    }

    fn store(
        &mut self,
        patch: &str,
        parts: &[(String, Part)],
        author: Author,
        took_staged: bool,
        deploys: bool,
    ) {
        let (now, commit, noop) = (
            self.now,
            self.switches.patch_commit,
            self.switches.noop_deploys,
        );
        let mut changed: BTreeSet<String> = BTreeSet::new();
        self.change(author, took_staged, |state| {
            for (service, part) in parts {
                let stored = state
                    .services
                    .get_mut(service)
                    .expect("the patch was checked");
                let differs = stored.set(part, commit, now);
                if differs || (noop && !matches!(part, Part::Replicas(_))) {
                    stored.updated_at = now;
                }
                if (differs || noop) && !matches!(part, Part::Replicas(_)) {
                    changed.insert(service.clone());
                }
            }
        });
        for (_, due) in &mut self.due {
            if let Due::Deployments {
                patch: of,
                services,
                ..
            } = due
                && of == patch
            {
                services.retain(|service| deploys && changed.contains(service));
            }
        }
    }

    /// Deploys what is stored.
    ///
    /// # Errors
    /// Where the commit does not fit.
    pub fn deploy(
        &mut self,
        service: &str,
        commit: Option<&str>,
        author: Author,
    ) -> Result<(), Failure> {
        if commit.is_some_and(|commit| !is_known(commit)) {
            return Err(Failure::Refused("Commit not found".to_owned()));
        }
        let load = self.state.services[service].load(commit);
        self.start(service, load, Made::FromStored, None, author, false);
        Ok(())
    }

    /// Deploys again what a deployment ran.
    ///
    /// # Errors
    /// Where there is none such, or it is still on its way.
    pub fn redeploy(
        &mut self,
        service: &str,
        deployment: &str,
        author: Author,
    ) -> Result<(), Failure> {
        let stored = &self.state.services[service];
        let Some(run) = stored
            .runs
            .iter()
            .find(|run| run.id == deployment)
            .filter(|run| run.up_at <= self.now)
        else {
            return Err(Failure::Refused(
                "Deployment cannot be redeployed".to_owned(),
            ));
        };
        let mut load = run.load.clone();
        if self.switches.redeploy_takes_current {
            (load.variables, load.ready) = (stored.variables.clone(), stored.ready.clone());
        }
        self.start(service, load, Made::Redeployed, None, author, false);
        Ok(())
    }

    /// Goes back to a kept deployment: its image and its variables, while what is stored stays.
    ///
    /// # Errors
    /// Where Railway does not keep it.
    pub fn roll_back(
        &mut self,
        service: &str,
        deployment: &str,
        author: Author,
    ) -> Result<(), Failure> {
        let stored = &self.state.services[service];
        let kept = (0..stored.runs.len()).find(|position| stored.runs[*position].id == deployment);
        let kept = kept.filter(|position| {
            super::deployment::shown(&stored.runs, *position, self.now, true).can_rollback
        });
        let Some(kept) = kept.map(|position| stored.runs[position].clone()) else {
            return Err(Failure::Refused(
                "Deployment cannot be rolled back".to_owned(),
            ));
        };
        let patch = kept
            .patch
            .filter(|_| self.switches.rollback_copies_patch_id);
        self.start(service, kept.load, Made::RolledBack, patch, author, false);
        Ok(())
    }

    fn store_image(&mut self, service: &str, image: &str, author: Author) {
        let now = self.now;
        let deploys = self.switches.store_image_deploys;
        let differs = self.change(author, false, |state| {
            let stored = state.services.get_mut(service).expect("it is known");
            stored.updated_at = now;
            stored.set(&Part::Image(image.to_owned()), PatchCommit::Stored, now)
        });
        if deploys && differs {
            let load = self.state.services[service].load(None);
            self.start(service, load, Made::ByStoring, None, author, false);
        }
    }

    fn start(
        &mut self,
        service: &str,
        load: Load,
        made: Made,
        patch: Option<String>,
        author: Author,
        took_staged: bool,
    ) {
        let id = self.id("deployment");
        let outcome = if made == Made::RolledBack {
            Outcome::Good
        } else {
            Outcome::of(&load)
        };
        let up_at = self.now + rollout(&load, &mut self.chance);
        let run = Run {
            id,
            created_at: self.now,
            up_at,
            outcome,
            load,
            made,
            patch,
            stopped_at: None,
            removed_at: None,
            by: match author {
                Author::Product(request) => Some(request),
                Author::Person => None,
            },
        };
        self.change(author, took_staged, |state| {
            let stored = state
                .services
                .get_mut(service)
                .expect("only known services are deployed");
            if let Some(commit) = &run.load.commit {
                stored.head = Some(commit.clone());
            }
            stored.runs.push(run);
        });
    }
}

/// Whether the repository has such a commit.
fn is_known(commit: &str) -> bool {
    !commit.starts_with("0000")
}

fn part(set: &Setting, secrets: &Secrets) -> Result<Part, Failure> {
    Ok(match set {
        Setting::Image(image) => Part::Image(image.clone()),
        Setting::Commit(commit) => Part::Commit(commit.clone()),
        Setting::Plain(SettingValue::Ready(ready)) => Part::Ready(ready.clone()),
        Setting::Plain(_) | Setting::Registry { .. } => {
            return Err(Failure::Refused("Problem processing request".to_owned()));
        }
        Setting::Replicas(regions) => Part::Replicas(
            regions
                .iter()
                .map(|(region, count)| (long_region(region), *count))
                .collect(),
        ),
        Setting::Variable { name, value } => Part::Variable(
            name.clone(),
            match value {
                VariableValue::Absent => None,
                VariableValue::Text(text) => Some((text.clone(), false)),
                VariableValue::Secret { name, sealed } => match secrets.get(name) {
                    Some(Seen::Facts(secret)) => Some((secret.reveal().to_owned(), *sealed)),
                    Some(Seen::Unseen(_) | Seen::Unasked) | None => {
                        return Err(Failure::Refused(format!("the secret {name} is not there")));
                    }
                },
            },
        ),
    })
}

/// Regions by airport code and name.
pub const REGIONS: &[(&str, &str)] = &[
    ("sfo", "us-west2"),
    ("ams", "europe-west4"),
    ("sin", "asia-southeast1"),
];

fn long_region(region: &str) -> String {
    REGIONS
        .iter()
        .find(|(code, _)| *code == region)
        .map_or(region, |(_, name)| *name)
        .to_owned()
}

impl Stored {
    /// Sets a part; says whether that changed it.
    pub fn set(&mut self, part: &Part, commit: PatchCommit, now: Timestamp) -> bool {
        let before = self.clone();
        match part {
            Part::Image(image) => self.source = Source::Image(image.clone()),
            Part::Commit(_) if commit == PatchCommit::Dropped => {}
            // Stored beside the repository; what a deployment builds is the commit of the one before, unless told.
            Part::Commit(_) => {}
            Part::Ready(ready) => self.ready = ready.clone(),
            Part::Replicas(regions) => {
                for (region, count) in regions {
                    match count {
                        Some(count) => self.placement.insert(region.clone(), *count),
                        None => self.placement.remove(region),
                    };
                }
            }
            Part::Variable(name, Some((value, sealed))) => {
                // What is sealed stays sealed, whatever overwrites it.
                let sealed = *sealed || self.variables.get(name).is_some_and(|held| held.sealed);
                let written_at = now;
                self.variables.insert(
                    name.clone(),
                    Held {
                        value: value.clone(),
                        sealed,
                        written_at,
                    },
                );
            }
            Part::Variable(name, None) => {
                self.variables.remove(name);
            }
        }
        !self.is_stored_as(&before)
            || matches!(part, Part::Commit(_)) && commit != PatchCommit::Dropped
    }

    /// Whether what is stored is the same, whenever it was written.
    pub fn is_stored_as(&self, other: &Stored) -> bool {
        let plain = |stored: &Stored| {
            stored
                .variables
                .iter()
                .map(|(name, held)| (name.clone(), held.value.clone(), held.sealed))
                .collect::<Vec<_>>()
        };
        self.source == other.source
            && self.ready == other.ready
            && self.placement == other.placement
            && plain(self) == plain(other)
    }

    /// What a deployment would run now.
    pub fn load(&self, commit: Option<&str>) -> Load {
        let image = match &self.source {
            Source::Image(image) => Some(image.clone()),
            Source::Repository { .. } | Source::Nothing => None,
        };
        let commit = match &self.source {
            Source::Repository { .. } => commit.map(str::to_owned).or_else(|| self.head.clone()),
            Source::Image(_) | Source::Nothing => None,
        };
        Load {
            image,
            commit,
            ready: self.ready.clone(),
            variables: self.variables.clone(),
        }
    }
}
