//! From manifests to `Desired`, or to every problem of all files at once, each with file, line and what would be right.

mod check;
mod checked;
mod document;
mod explain;
mod mask;
mod overlay;
mod parse;
mod parses;
mod render;
mod schema;
mod typed;
mod words;
pub mod yaml;

pub use checked::Checked;
pub use document::is_name;
pub use explain::explain;
pub use parses::Parses;
pub use render::{Style, annotations, json, render};
pub use schema::{all_schemas, schema_of};

use crate::kinds::{Declared, Documents, KINDS, environment};
use crate::problem::Problem;
use crate::source::{Files, Node, Value};
use document::Document;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// What the manifests of one environment ask for. It can only come out of [`load`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desired {
    documents: Arc<Documents>,
    before: Option<Arc<Documents>>,
    commit: Option<String>,
}

impl Desired {
    /// The environment that the manifests describe.
    pub fn environment(&self) -> &Declared<environment::Spec> {
        let environment = self.documents.environments.values().next();
        environment.expect("`load` lets no manifests through without an Environment")
    }

    fn environment_mut(&mut self) -> &mut Declared<environment::Spec> {
        let documents = Arc::make_mut(&mut self.documents);
        let environment = documents.environments.values_mut().next();
        environment.expect("`load` lets no manifests through without an Environment")
    }

    /// All documents.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The documents of before, where it is known what they were: what is declared there and not here is removed (design rule 4).
    pub fn before(&self) -> Option<&Documents> {
        self.before.as_deref()
    }

    /// Every document as `Kind/name`, by kind and name.
    pub fn all(&self) -> impl Iterator<Item = (String, Arc<Node>)> {
        KINDS.iter().flat_map(|info| {
            let named = (info.list)(&self.documents).into_iter();
            named.map(|(name, document)| (format!("{}/{name}", info.name), document))
        })
    }

    /// The names of all secrets that the manifests refer to.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let services = self.documents.services.values();
        let of_services = services.flat_map(|service| service.spec.secrets());
        let redises = self.documents.redises.values();
        let of_redises = redises.filter_map(|redis| redis.spec.secret());
        let environment = self.environment().spec.secret_names();
        environment.chain(of_services).chain(of_redises)
    }

    /// A digest of everything that is asked for: the same for the same documents, however they are laid out in files. Secrets are in it by name only.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (title, document) in self.all() {
            let spec = document.at(&["spec"]).map(Node::to_json);
            hash.update(title.as_bytes());
            hash.update([0]);
            // The maps of JSON are sorted.
            hash.update(spec.unwrap_or_default().to_string().as_bytes());
            hash.update([0]);
        }
        let mut digest = String::with_capacity(32);
        for byte in hash.finalize().iter().take(16) {
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }

    /// The commit that asks for it, where that is known.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// The same with the commit that asks for it: what is written at Railway names it.
    #[must_use]
    pub fn at_commit(mut self, commit: &str) -> Desired {
        self.commit = Some(commit.to_owned());
        self
    }

    /// The same with what was declared before.
    #[must_use]
    pub fn after(self, before: &Desired) -> Desired {
        self.after_all([before])
    }

    /// The same with everything that was declared in any of several earlier versions, the newest first.
    /// Versions about another Railway environment say nothing of this one.
    #[must_use]
    pub fn after_all<'a>(mut self, newest_first: impl IntoIterator<Item = &'a Desired>) -> Desired {
        let own = self.environment().spec.railway.clone();
        let (ours, others): (Vec<_>, Vec<_>) = newest_first
            .into_iter()
            .partition(|version| version.environment().spec.railway == own);
        let versions = if ours.is_empty() {
            &others[..1.min(others.len())]
        } else {
            &ours
        };
        let mut versions = versions.iter();
        self.before = versions.next().map(|newest| Arc::clone(&newest.documents));
        if let Some(before) = &mut self.before {
            for older in versions {
                Arc::make_mut(before).add_declared(&older.documents);
            }
        }
        self
    }

    /// The same documents with everything that says where and with which secrets taken from another environment:
    /// a stranger's pull request must not choose them, nor the addresses that are asked (design rule 20).
    #[must_use]
    pub fn in_place_of(mut self, trusted: &Desired) -> Desired {
        let (own, other) = (self.environment_mut(), trusted.environment());
        own.name.clone_from(&other.name);
        own.spec.railway = other.spec.railway.clone();
        own.spec.secrets = other.spec.secrets.clone();
        own.spec.notify.clone_from(&other.spec.notify);
        own.spec.heartbeat.clone_from(&other.spec.heartbeat);
        // Jobs and why they failed are nobody's but the team's.
        let documents = Arc::make_mut(&mut self.documents);
        for redis in documents.redises.values_mut() {
            redis.spec.service = None;
            redis.spec.address = None;
        }
        for (name, maintenance) in &mut documents.maintenances {
            let known = trusted.documents.maintenances.get(name);
            let page = known.and_then(|known| known.spec.page.as_ref());
            if let Some(own) = &mut maintenance.spec.page {
                own.url = page.and_then(|page| page.url.clone());
            }
        }
        self
    }
}

/// Reads the manifests of one environment and its base.
pub fn load(files: &Files, now: Timestamp) -> Result<Desired, Vec<Problem>> {
    load_with(files, now, &mut Parses::keeping(0))
}

/// The same, with what was parsed before. Whoever loads again later must know that time can only heal: what was in order stays so,
/// and a problem with a time far ahead ends when that time comes near.
pub fn load_with(
    files: &Files,
    now: Timestamp,
    parses: &mut Parses,
) -> Result<Desired, Vec<Problem>> {
    let mut found = Findings::default();
    let is_readable = check::limits(files, &mut found);
    let desired = if is_readable {
        read(files, now, parses, &mut found)
    } else {
        None
    };
    match desired {
        Some(desired) if found.problems.is_empty() => Ok(desired),
        _ => Err(found.sorted()),
    }
}

fn read(
    files: &Files,
    now: Timestamp,
    parses: &mut Parses,
    found: &mut Findings,
) -> Option<Desired> {
    let directory = overlay::join("", &files.directory);
    let is_own = |path: &str| overlay::is_below(path, &directory);
    let own = documents(files, is_own, parses, found);
    let environment = check::only_environment(files, &own, found);
    let base = environment
        .map(|document| overlay::base_of(document, &directory))
        .unwrap_or_default();
    check::base(files, &base, &directory, found);
    let is_shared = |path: &str| {
        base.directory
            .as_deref()
            .is_some_and(|base| base != directory && overlay::is_in(path, base))
    };
    let elsewhere = documents(
        files,
        |path| is_shared(path) && !is_own(path),
        parses,
        found,
    );
    let (shared, own) = own
        .into_iter()
        .chain(elsewhere)
        .partition(|document| is_shared(&document.place.file));
    let documents = typed::documents(overlay::lay(own, shared, &base, found), found);
    check::meaning(&documents, now, found);
    (!documents.environments.is_empty()).then_some(Desired {
        documents: Arc::new(documents),
        before: None,
        commit: None,
    })
}

/// The documents of the files at some paths, as far as their heads can be read.
fn documents(
    files: &Files,
    is_wanted: impl Fn(&str) -> bool,
    parses: &mut Parses,
    found: &mut Findings,
) -> Vec<Document> {
    let mut documents = Vec::new();
    for (path, text) in files.texts.iter().filter(|(path, _)| is_wanted(path)) {
        let parsed = Arc::unwrap_or_clone(parses.parsed(path, text));
        found.incomplete |= parsed.is_broken;
        found.problems.extend(parsed.problems);
        if documents.len() + parsed.documents.len() > check::MAX_DOCUMENTS {
            found.incomplete = true;
            let message = format!(
                "with this file there are more than {} documents",
                check::MAX_DOCUMENTS
            );
            found.add(
                Problem::of_file(path, "too-large", message)
                    .help("name the directory of one environment, not one above it"),
            );
            break;
        }
        documents.extend(
            parsed
                .documents
                .into_iter()
                .filter_map(|node| document::read(node, found)),
        );
    }
    documents
}

/// The directory of shared documents that the environment names, as people are shown it: so that its files can be read before [`load`].
///
/// Nothing where there is none, and where the manifests are too broken to tell, or hold environments in directories of their own: `load` says why.
pub fn base_directory(files: &Files) -> Option<String> {
    base_directory_with(files, &mut Parses::keeping(0))
}

/// The same, with what was parsed before.
pub fn base_directory_with(files: &Files, parses: &mut Parses) -> Option<String> {
    let directory = overlay::join("", &files.directory);
    let mut found = Findings::default();
    let mut environments = Vec::new();
    for (path, text) in files
        .texts
        .iter()
        .filter(|(path, text)| overlay::is_below(path, &directory) && text.contains("Environment"))
    {
        environments.extend(environments_in(path, text, parses, &mut found));
    }
    let file = |document: &document::Document| document.place.file.clone();
    let environment = match environments.as_slice() {
        [environment] => Some(environment),
        several => several
            .iter()
            .find(|environment| overlay::is_in(&file(environment), &directory)),
    };
    overlay::base_of(environment?, &directory).directory
}

fn environments_in(
    path: &Arc<str>,
    text: &str,
    parses: &mut Parses,
    found: &mut Findings,
) -> Vec<Document> {
    let parsed = parses.parsed(path, text);
    let heads = parsed.documents.iter().filter(|node| {
        let kind = node.at(&["kind"]).map(|kind| &kind.value);
        matches!(kind, Some(Value::Text(kind)) if kind == "Environment")
    });
    heads
        .filter_map(|node| document::read(node.clone(), found))
        .collect()
}

/// Whether a file declares an Environment, or means to and cannot be read.
pub fn declares_environment(path: &Arc<str>, text: &str, parses: &mut Parses) -> bool {
    if !text.contains("Environment") {
        return false;
    }
    let says = |line: &str| line.replace(char::is_whitespace, "") == "kind:Environment";
    let parsed = parses.parsed(path, text);
    let is_meant = parsed.is_broken && text.lines().any(says);
    is_meant || !environments_in(path, text, parses, &mut Findings::default()).is_empty()
}

/// What is wrong, and what is known to be there although it is wrong: so that one typing error is one problem.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<Problem>,
    /// Things that are declared, but not so that they could be used.
    mentioned: BTreeSet<(&'static str, String)>,
    /// Whether something could not be read at all. What seems to be missing may be in it.
    incomplete: bool,
}

impl Findings {
    fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds a problem that may be the consequence of what could not be read, unless there is such a thing.
    fn add_if_complete(&mut self, problem: Problem) {
        if !self.incomplete {
            self.add(problem);
        }
    }

    fn mention(&mut self, kind: &'static str, name: String) {
        self.mentioned.insert((kind, name));
    }

    fn sorted(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort();
        problems.dedup();
        problems
    }
}
