//! Consent to what may lose something: which steps those are, by the facts and not by the planner, and the documents that allow them.

use super::{Content, Runs, ServiceWish, SettingsWish, Wish};
use crate::settles::model::{State, Stored};
use crate::settles::switches::Switches;
use crate::settles::{schedule, view};
use jiff::Timestamp;
use reconciler::kinds::approval::Wanted;
use reconciler::plan::plan;
use reconciler::world::railway::Source;
use reconciler::world::{Seen, World};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Consent to one step, until a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consent {
    pub risk: Risk,
    pub until: Timestamp,
}

/// A step that may lose something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Risk {
    /// A database goes from one image to another.
    Image {
        service: String,
        from: String,
        to: String,
    },
    /// A service goes, with its volume where it has one.
    Deletion {
        service: String,
        id: String,
        has_volume: bool,
    },
}

impl Consent {
    /// The document, with the words and the name that the product gives the step.
    pub fn document(&self) -> String {
        self.risk.wanted().document(self.until)
    }
}

/// Whether what one image wrote may be lost under another: both keep data, and the new one is older, of another major version, or another program.
pub fn may_lose(from: &str, to: &str) -> bool {
    let (Some(one), Some(other)) = (version(from), version(to)) else {
        return false;
    };
    one.0 != other.0 || other.1 < one.1 || other.1.first() != one.1.first()
}

/// The program and the version of a database's image.
fn version(image: &str) -> Option<(&str, Vec<u32>)> {
    let (name, tag) = image.rsplit('/').next()?.split_once(':')?;
    let numbers = tag.split('.').map_while(|part| part.parse().ok()).collect();
    (name == "redis").then_some((name, numbers))
}

impl Risk {
    /// The name of the document that allows it.
    pub fn digest(&self) -> String {
        self.wanted().digest.clone()
    }

    /// What the product asks for when it meets this step in a small world of its own.
    fn wanted(&self) -> Arc<Wanted> {
        static KNOWN: LazyLock<Mutex<HashMap<Risk, Arc<Wanted>>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = known
            .entry(self.clone())
            .or_insert_with(|| Arc::new(self.asked_for()));
        Arc::clone(wanted)
    }

    fn asked_for(&self) -> Wanted {
        let (service, stored, desired) = match self {
            Risk::Image { service, from, to } => {
                let stored = Stored {
                    source: Source::Image(from.clone()),
                    has_volume: true,
                    ..Stored::new("service")
                };
                let runs = Runs::Own(Content {
                    image: Some(to.clone()),
                    commit: None,
                });
                let wish = Wish::of(service, runs);
                (service, stored, schedule::parsed(&wish.yaml()))
            }
            Risk::Deletion {
                service,
                id,
                has_volume,
            } => {
                let stored = Stored {
                    source: Source::Image("app:1".to_owned()),
                    has_volume: *has_volume,
                    ..Stored::new(id)
                };
                let before = Wish::of(service, Runs::Unsaid);
                let after = Wish {
                    services: BTreeMap::new(),
                    ..before.clone()
                };
                let before = schedule::parsed(&before.yaml());
                let desired = schedule::parsed(&after.yaml()).after(&before);
                (service, stored, desired)
            }
        };
        let state = State {
            services: BTreeMap::from([(service.clone(), Arc::new(stored))]),
            ..State::default()
        };
        let switches = Switches {
            first_look_has_history: true,
            ..Switches::plain()
        };
        let world = World {
            railway: Seen::Facts(view::railway(&state, &switches, super::start())),
            pages: BTreeMap::new(),
            redis: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: BTreeMap::new(),
        };
        let plan = plan(&desired, &world, super::start());
        let wanted = plan.approvals.into_values().next();
        wanted.unwrap_or_else(|| panic!("the product asks for no consent to {self:?}"))
    }
}

impl Wish {
    /// One service that says nothing but what it runs.
    fn of(service: &str, runs: Runs) -> Wish {
        let wish = ServiceWish {
            runs,
            replicas: None,
            settings: SettingsWish::default(),
            registry: None,
            push_to_deploy: None,
            stopped: None,
            restarted_after: None,
            variables: BTreeMap::new(),
        };
        Wish {
            release: Content {
                image: Some("app:1".to_owned()),
                commit: None,
            },
            shared: BTreeMap::new(),
            services: BTreeMap::from([(service.to_owned(), wish)]),
            maintenance: None,
            consents: Vec::new(),
            expire_seconds: 3600,
            removes_entries: true,
            holds_services: true,
            heal_seconds: None,
            freeze: None,
        }
    }
}
