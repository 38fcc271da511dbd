//! What the simulated Railway has at one moment: stored configuration, deployments, patches, what somebody staged.

use super::super::deployment::{Held, Load, Run, Variables};
use super::super::switches::{PatchCommit, Switches};
use super::super::wish::at;
use super::Author;
use jiff::Timestamp;
use reconciler::world::railway::{Field, SettingValue, Settings, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that a look could show. Most of it is shared between the moments that have it.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub services: BTreeMap<String, Arc<Stored>>,
    /// The variables that all services share.
    pub shared: Variables,
    /// Oldest first.
    pub patches: Vec<Arc<Committed>>,
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
    pub settings: Arc<Settings>,
    /// The name and password for a private registry, and when they were written.
    pub registry: Option<(String, String, Timestamp)>,
    pub push_to_deploy: bool,
    pub placement: BTreeMap<String, u32>,
    pub variables: Variables,
    pub has_volume: bool,
    pub domain: Option<String>,
    /// What a file in the repository decides.
    pub by_file: Option<SettingValue>,
    pub updated_at: Timestamp,
    /// Oldest first.
    pub runs: Vec<Arc<Run>>,
}

/// A part of a service, or of what all share, with the value that it gets, secrets resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Image(String),
    Commit(String),
    Plain(SettingValue),
    Registry(String, String),
    Replicas(BTreeMap<String, Option<u32>>),
    Variable(String, Option<(String, bool)>),
}

/// Whose part it is when it is nobody's own.
pub const SHARED: &str = "";

impl Part {
    pub fn field(&self) -> Field {
        match self {
            Part::Image(_) => Field::Image,
            Part::Commit(_) => Field::Commit,
            Part::Plain(value) => Field::Setting(value.name()),
            Part::Registry(..) => Field::Registry,
            Part::Replicas(_) => Field::Replicas,
            Part::Variable(name, _) => Field::Variable(name.clone()),
        }
    }

    /// Whether a deployment has to bring it into force.
    pub fn deploys(&self) -> bool {
        !matches!(self, Part::Replicas(_))
    }
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

/// When and by whom something is written, and how Railway takes it.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub now: Timestamp,
    pub is_ours: bool,
    pub commit: PatchCommit,
    pub rewrites_show: bool,
}

impl Stamp {
    pub fn of(author: Author, switches: &Switches, now: Timestamp) -> Stamp {
        Stamp {
            now,
            is_ours: author != Author::Person,
            commit: switches.patch_commit,
            rewrites_show: switches.rewrites_show,
        }
    }
}

impl State {
    /// Whether the newest patch by the time that history shows could not be applied.
    pub fn newest_patch_failed(&self) -> bool {
        self.patches
            .iter()
            .max_by_key(|patch| patch.applied_at)
            .is_some_and(|patch| patch.failed.is_some())
    }

    /// A service to change, where it is still there.
    pub fn service_mut(&mut self, name: &str) -> Option<&mut Stored> {
        self.services.get_mut(name).map(Arc::make_mut)
    }

    /// Sets a part; says whether that changed it.
    pub fn set(&mut self, service: &str, part: &Part, stamp: &Stamp) -> bool {
        if service == SHARED {
            return match part {
                Part::Variable(name, value) => write(&mut self.shared, name, value.as_ref(), stamp),
                _ => false,
            };
        }
        self.service_mut(service)
            .is_some_and(|stored| stored.set(part, stamp))
    }

    /// The services whose variables refer to a shared one.
    pub fn users(&self, shared: &str) -> impl Iterator<Item = &String> {
        self.services
            .iter()
            .filter(move |(_, stored)| stored.uses_shared().any(|name| name == shared))
            .map(|(name, _)| name)
    }
}

/// Writes a variable; says whether that changed it.
fn write(
    variables: &mut Variables,
    name: &str,
    value: Option<&(String, bool)>,
    stamp: &Stamp,
) -> bool {
    let before = variables.get(name);
    let Some((value, seals)) = value else {
        return before.is_some() && Arc::make_mut(variables).remove(name).is_some();
    };
    // What is sealed stays sealed, whatever overwrites it.
    let sealed = *seals || before.is_some_and(|held| held.sealed);
    let is_same = before.is_some_and(|held| held.value == *value && held.sealed == sealed);
    if is_same && !stamp.rewrites_show {
        return false;
    }
    let (created_at, is_ours) = before.map_or((stamp.now, stamp.is_ours), |held| {
        (held.created_at, held.is_ours)
    });
    Arc::make_mut(variables).insert(
        name.to_owned(),
        Held {
            value: value.clone(),
            sealed,
            created_at,
            written_at: stamp.now,
            is_ours,
        },
    );
    !is_same
}

impl Stored {
    /// A service that has nothing yet.
    pub fn new(id: &str) -> Stored {
        Stored {
            id: id.to_owned(),
            source: Source::Nothing,
            head: None,
            updates_itself: false,
            settings: Arc::default(),
            registry: None,
            push_to_deploy: false,
            placement: BTreeMap::from([("us-west2".to_owned(), 1)]),
            variables: Variables::default(),
            has_volume: false,
            domain: None,
            by_file: None,
            updated_at: at(-4000),
            runs: Vec::new(),
        }
    }

    pub fn set(&mut self, part: &Part, stamp: &Stamp) -> bool {
        match part {
            Part::Image(image) => {
                let source = Source::Image(image.clone());
                let differs = self.source != source;
                self.source = source;
                differs
            }
            // Stored beside the repository; what a deployment builds is the commit of the one before, unless told.
            Part::Commit(_) => stamp.commit != PatchCommit::Dropped,
            Part::Plain(value) => {
                let differs = self.settings.value(value.name()) != *value;
                if differs {
                    Arc::make_mut(&mut self.settings).set(value.clone());
                }
                differs
            }
            Part::Registry(username, password) => {
                let is_same = self.registry.as_ref().is_some_and(|(name, word, _)| {
                    (name.as_str(), word.as_str()) == (username.as_str(), password.as_str())
                });
                self.registry = Some((username.clone(), password.clone(), stamp.now));
                !is_same
            }
            Part::Replicas(regions) => {
                let before = self.placement.clone();
                for (region, count) in regions {
                    match count {
                        Some(count) => self.placement.insert(region.clone(), *count),
                        None => self.placement.remove(region),
                    };
                }
                self.placement != before
            }
            Part::Variable(name, value) => write(&mut self.variables, name, value.as_ref(), stamp),
        }
    }

    /// What a deployment would run now, given what all services share.
    pub fn load(&self, commit: Option<&str>, shared: &Variables) -> Load {
        let image = match &self.source {
            Source::Image(image) => Some(image.clone()),
            Source::Repository { .. } | Source::Nothing => None,
        };
        let commit = match &self.source {
            Source::Repository { .. } => commit.map(str::to_owned).or_else(|| self.head.clone()),
            Source::Image(_) | Source::Nothing => None,
        };
        let mut settings = Arc::clone(&self.settings);
        if let Some(value) = &self.by_file {
            Arc::make_mut(&mut settings).set(value.clone());
        }
        let used = self
            .uses_shared()
            .filter_map(|name| Some((name.to_owned(), shared.get(name)?.value.clone())));
        Load {
            image,
            commit,
            settings,
            shared: used.collect(),
            variables: Arc::clone(&self.variables),
            credentials_at: self.registry.as_ref().map(|(.., at)| *at),
        }
    }

    /// Whether Railway allows it one replica only.
    pub fn has_one(&self) -> bool {
        self.has_volume || self.settings.cron.is_some()
    }

    /// The shared variables that its own refer to.
    pub fn uses_shared(&self) -> impl Iterator<Item = &str> {
        self.variables
            .values()
            .flat_map(|held| references(&held.value))
            .filter_map(|inside| inside.strip_prefix("shared."))
    }
}

/// What stands between `${{` and `}}`, white space gone.
pub fn references(value: &str) -> impl Iterator<Item = &str> {
    value
        .split("${{")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
}
