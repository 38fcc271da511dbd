//! A repository in memory: a commit puts versions of environments in force.

use super::account::{IMAGE, SERVICES, Shape};
use async_trait::async_trait;
use jiff::Timestamp;
use reconciler::controller::manifests::{Manifests, News};
use reconciler::manifest::{Checked, Parses};
use reconciler::repository::{Accepted, Before, Id, Verdict};
use reconciler::source::Files;
use reconciler::status::view::Commit;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

struct State {
    commit: u64,
    at: Timestamp,
    versions: Vec<(u64, Arc<Checked>)>,
    is_down: bool,
}

/// The repository. Cheap to clone.
#[derive(Clone)]
pub struct Git(Arc<Mutex<State>>);

impl Git {
    pub fn new(environments: usize, now: Timestamp) -> Git {
        let first = |at| (0, Arc::new(checked(at, 0, now)));
        Git(Arc::new(Mutex::new(State {
            commit: 1,
            at: now,
            versions: (0..environments).map(first).collect(),
            is_down: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn is_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// What is in force in the end.
    pub fn shape(&self, at: usize) -> Shape {
        Shape::of(self.state().versions[at].0)
    }

    pub fn push(&self, environments: &[usize], now: Timestamp) {
        let mut state = self.state();
        state.commit += 1;
        state.at = now;
        for at in environments {
            let version = state.versions[*at].0 + 1;
            state.versions[*at] = (version, Arc::new(checked(*at, version, now)));
        }
    }
}

/// The name of an environment, and of its directory.
pub fn name(at: usize) -> String {
    format!("e{at:05}")
}

fn checked(at: usize, version: u64, now: Timestamp) -> Checked {
    const VERSION: &str = "apiVersion: reconciler/v1alpha1";
    let (name, shape) = (name(at), Shape::of(version));
    let mut text = format!(
        "{VERSION}\nkind: Environment\nmetadata: {{ name: {name} }}\nspec:\n  railway: {{ project: shop, environment: {name} }}\n  drift: {{ heal: now }}\n"
    );
    for service in SERVICES {
        text.push_str(&format!(
            "---\n{VERSION}\nkind: Service\nmetadata: {{ name: {service} }}\nspec: {{ image: \"{IMAGE}\", replicas: {}, variables: {{ LEVEL: level-{} }} }}\n",
            shape.replicas, shape.level
        ));
    }
    let files = Files {
        directory: String::new(),
        texts: BTreeMap::from([("environment.yaml".into(), text.into())]),
    };
    Checked::of(files, now, &mut Parses::keeping(0))
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[async_trait]
impl Manifests for Git {
    async fn news(
        &mut self,
        _: &BTreeSet<Id>,
        _: &BTreeSet<Id>,
        _: &BTreeMap<String, Id>,
    ) -> Result<News, String> {
        let state = self.state();
        if state.is_down {
            return Err("cannot fetch: connection refused".to_owned());
        }
        let commit: Id = format!("{:040x}", state.commit).parse().unwrap();
        let head = Commit {
            id: commit.to_string(),
            author: "Ada".to_owned(),
            at: format!("{:.0}", state.at),
            subject: "Scale".to_owned(),
        };
        let verdict = |(at, (_, manifests)): (usize, &(u64, Arc<Checked>))| {
            let manifests = manifests.clone();
            (name(at), Verdict::Accepted(Accepted { commit, manifests }))
        };
        Ok(News {
            lost: None,
            verdicts: state.versions.iter().enumerate().map(verdict).collect(),
            commits: BTreeMap::from([(commit, head.clone())]),
            head,
        })
    }

    async fn before(&mut self, _: &str, _: Option<Id>, _: Id) -> Before {
        Before::Known(Vec::new())
    }

    async fn knows(&mut self, _: &str) -> bool {
        true
    }
}
