//! An in-memory Railway, written from facts/railway.md and not from the planner: what is stored, what runs, what was patched, and when each of it shows.

mod requests;
mod state;

pub use state::{Committed, Part, SHARED, Stamp, State, Stored, references};

use super::chance::Chance;
use super::deployment::{Load, Made, Outcome, Run, rollout};
use super::switches::{AppliedAt, OverStaged, PatchCommit, Switches};
use jiff::{SignedDuration, Timestamp};
use reconciler::world::railway::Field;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Who changed something: one of the product's requests, by its position in the log, or a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Product(usize),
    Person,
}

/// A change of what is stored or runs that one of the product's requests caused.
#[derive(Debug, Clone)]
pub struct Applied {
    pub request: usize,
    pub before: Arc<State>,
    pub after: Arc<State>,
    pub took_staged: bool,
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

/// What happens one after the other never has the same time: whoever compares must be able to tell.
const MOMENT: SignedDuration = SignedDuration::from_millis(1);

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
                        let Some(load) = self.load(&service, commit) else {
                            continue;
                        };
                        let start = Start {
                            made: Made::FromStored,
                            patch: Some(patch.clone()),
                            author,
                            took_staged,
                        };
                        self.start(&service, load, start);
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

    /// What a deployment of a service would run now, where it is still there.
    pub fn load(&self, service: &str, commit: Option<&str>) -> Option<Load> {
        let stored = self.state.services.get(service)?;
        Some(stored.load(commit, &self.state.shared))
    }

    /// Accepts a patch; its values show, it counts as applied and its deployments are made, each when the switches say.
    pub fn patch(&mut self, mut parts: Vec<(String, Part)>, message: &str, author: Author) {
        let took_staged = !self.state.staged.is_empty()
            && self.switches.over_staged == OverStaged::Merges
            && author != Author::Person;
        if took_staged {
            parts.splice(0..0, self.state.staged.iter().cloned());
        }
        let id = self.id("patch");
        let lag = self.lag(self.switches.patch_lag * 1000);
        let values_at = (self.last_patch_at() + MOMENT).max(self.now + lag);
        let (applied_at, deploys_at) = match self.switches.applied_at {
            AppliedAt::Together => (values_at, values_at),
            AppliedAt::AfterDeployments => (values_at + self.lag(3000), values_at),
            AppliedAt::BeforeDeployments => (values_at, values_at + self.lag(3000)),
        };
        let last_applied = self
            .state
            .patches
            .last()
            .map(|last| last.applied_at + MOMENT);
        let applied_at = last_applied.map_or(applied_at, |next| applied_at.max(next));
        let failed = self.next_patch_fails.take();
        let is_failed = failed.is_some();
        let committed = Committed {
            id: id.clone(),
            message: message.to_owned(),
            created_at: self.now,
            applied_at,
            touched: self.touched(&parts),
            failed,
        };
        self.change(Author::Person, false, |state| {
            state.patches.push(Arc::new(committed));
            if took_staged {
                state.staged.clear();
            }
        });
        if is_failed {
            return;
        }
        let honoured = self.switches.patch_commit == PatchCommit::Honoured;
        let commits = parts.iter().filter_map(|(service, part)| match part {
            Part::Commit(commit) if honoured => Some((service.clone(), commit.clone())),
            _ => None,
        });
        let deployments = Due::Deployments {
            patch: id.clone(),
            services: BTreeSet::new(),
            commits: commits.collect(),
            author,
            took_staged,
        };
        let values = Due::Values {
            patch: id,
            parts,
            author,
            took_staged,
            deploys: true,
        };
        self.due.push((values_at, values));
        self.due.push((deploys_at, deployments));
        self.advance(self.now);
    }

    fn touched(&self, parts: &[(String, Part)]) -> BTreeMap<String, BTreeSet<Field>> {
        let mut touched: BTreeMap<String, BTreeSet<Field>> = BTreeMap::new();
        for (service, part) in parts {
            let id = match self.state.services.get(service) {
                Some(stored) => stored.id.clone(),
                None => SHARED.to_owned(),
            };
            touched.entry(id).or_default().insert(part.field());
        }
        touched
    }

    fn last_patch_at(&self) -> Timestamp {
        self.due.iter().map(|(at, _)| *at).max().unwrap_or(self.now)
    }

    fn lag(&mut self, most_millis: u64) -> SignedDuration {
        SignedDuration::from_millis(
            i64::try_from(self.chance.between(0, most_millis)).expect("small"),
        )
    }

    /// Stores the values of a patch, and says which deployments come of it.
    fn store(
        &mut self,
        patch: &str,
        parts: &[(String, Part)],
        author: Author,
        took_staged: bool,
        deploys: bool,
    ) {
        let stamp = Stamp::of(author, &self.switches, self.now);
        let (noop, shared_redeploys) = (self.switches.noop_deploys, self.switches.shared_redeploys);
        let mut changed: BTreeSet<String> = BTreeSet::new();
        self.change(author, took_staged, |state| {
            for (service, part) in parts {
                let differs = state.set(service, part, &stamp);
                if !differs && !noop {
                    continue;
                }
                if let Part::Variable(name, _) = part
                    && service == SHARED
                {
                    let users = state.users(name).filter(|_| shared_redeploys && differs);
                    changed.extend(users.cloned().collect::<Vec<_>>());
                    continue;
                }
                if let Some(stored) = state
                    .service_mut(service)
                    .filter(|_| differs || part.deploys())
                {
                    stored.updated_at = stamp.now;
                    if part.deploys() {
                        changed.insert(service.clone());
                    }
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
                && deploys
            {
                services.clone_from(&changed);
            }
        }
    }

    /// Sets a variable past the patches: stored at once, deployed at once, nothing that is staged comes along.
    pub fn direct(&mut self, service: &str, name: &str, value: &str, author: Author) {
        let part = Part::Variable(name.to_owned(), Some((value.to_owned(), false)));
        let in_history = self.switches.direct_edits_in_history.then(|| Committed {
            id: self.id("patch"),
            message: format!("set {name}"),
            created_at: self.now,
            applied_at: self.now,
            touched: self.touched(&[(service.to_owned(), part.clone())]),
            failed: None,
        });
        let patch = in_history.as_ref().map(|committed| committed.id.clone());
        let stamp = Stamp::of(author, &self.switches, self.now);
        let differs = self.change(author, false, |state| {
            state.patches.extend(in_history.map(Arc::new));
            let differs = state.set(service, &part, &stamp);
            if let Some(stored) = state.service_mut(service) {
                stored.updated_at = stamp.now;
            }
            differs
        });
        let users: Vec<String> = match service {
            SHARED if self.switches.shared_redeploys => self.state.users(name).cloned().collect(),
            SHARED => Vec::new(),
            own => vec![own.to_owned()],
        };
        if !differs && !self.switches.noop_deploys {
            return;
        }
        for user in users {
            if let Some(load) = self.load(&user, None) {
                let start = Start {
                    patch: patch.clone(),
                    ..Start::by(author, Made::FromStored)
                };
                self.start(&user, load, start);
            }
        }
    }

    fn start(&mut self, service: &str, load: Load, start: Start) {
        let Start {
            made,
            patch,
            author,
            took_staged,
        } = start;
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
            if let Some(stored) = state.service_mut(service) {
                if let Some(commit) = &run.load.commit {
                    stored.head = Some(commit.clone());
                }
                stored.runs.push(Arc::new(run));
            }
        });
    }
}

/// How a deployment comes to be.
struct Start {
    made: Made,
    patch: Option<String>,
    author: Author,
    took_staged: bool,
}

impl Start {
    fn by(author: Author, made: Made) -> Start {
        Start {
            made,
            patch: None,
            author,
            took_staged: false,
        }
    }
}

/// Whether the repository has such a commit.
fn is_known(commit: &str) -> bool {
    !commit.starts_with("0000")
}
