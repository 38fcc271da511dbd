//! What a manifest may say and the steps that each kind asks for: one file per kind.
//!
//! A new kind is a file here with its `Spec`, its [`Kind`] and its `steps`, a row in [`KINDS`], a field in [`Documents`] and a line in [`crate::plan`].

pub mod approval;
pub mod demand;
pub mod difference;
pub mod environment;
pub mod glob;
pub mod maintenance;
pub mod queue;
pub mod redis;
pub mod release;
pub mod service;
pub mod shown;
pub mod step;
pub mod variable;
pub mod written;

use crate::source::{Node, Origin};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use step::{Address, Ask, Effect, Step};

/// The only version of the language.
pub const API_VERSION: &str = "reconciler/v1alpha1";

/// The `spec` of a kind of manifest.
pub trait Kind: DeserializeOwned + JsonSchema + 'static {
    /// The word after `kind:`.
    const NAME: &'static str;
    /// Whether it may stand in a base, for several environments.
    const IS_SHARED: bool;
    /// A manifest in which every field is shown that does not exclude another; a test reads it.
    const EXAMPLE: &'static str;

    /// Where its documents are.
    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Self>>;

    /// The same, to add one.
    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Self>>;
}

/// A kind of manifest, as far as parsing, schemas, `show` and `explain` need to know it.
#[derive(Debug)]
pub struct KindInfo {
    /// The word after `kind:`.
    pub name: &'static str,
    /// Whether it may stand in a base.
    pub is_shared: bool,
    /// A manifest of it.
    pub example: &'static str,
    /// The JSON Schema of its `spec`.
    pub spec_schema: fn() -> Schema,
    /// Adds a document whose `spec` fits the schema; says whether it could be read.
    pub add: fn(&mut Documents, String, Arc<Node>) -> bool,
    /// The names of its documents, with the documents.
    pub list: fn(&Documents) -> Listed,
}

/// Documents by name.
pub type Listed = Vec<(String, Arc<Node>)>;

impl KindInfo {
    const fn of<K: Kind>() -> KindInfo {
        KindInfo {
            name: K::NAME,
            is_shared: K::IS_SHARED,
            example: K::EXAMPLE,
            spec_schema: || schemars::schema_for!(K),
            add: add::<K>,
            list: |documents| {
                K::all(documents)
                    .iter()
                    .map(|(name, declared)| (name.clone(), Arc::clone(&declared.document)))
                    .collect()
            },
        }
    }
}

/// All kinds, in the order in which people meet them.
pub const KINDS: &[KindInfo] = &[
    KindInfo::of::<environment::Spec>(),
    KindInfo::of::<release::Spec>(),
    KindInfo::of::<service::Spec>(),
    KindInfo::of::<maintenance::Spec>(),
    KindInfo::of::<queue::Spec>(),
    KindInfo::of::<redis::Spec>(),
    KindInfo::of::<approval::Spec>(),
];

/// The documents of one environment by kind and name.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// Exactly one, once they are checked.
    pub environments: BTreeMap<String, Declared<environment::Spec>>,
    /// What runs.
    pub releases: BTreeMap<String, Declared<release::Spec>>,
    /// Where it runs.
    pub services: BTreeMap<String, Declared<service::Spec>>,
    /// What closes services to customers.
    pub maintenances: BTreeMap<String, Declared<maintenance::Spec>>,
    /// The queues of the application.
    pub queues: BTreeMap<String, Declared<queue::Spec>>,
    /// The servers that they lie in.
    pub redises: BTreeMap<String, Declared<redis::Spec>>,
    /// Consent to what may lose something.
    pub approvals: BTreeMap<String, Declared<approval::Spec>>,
}

impl Documents {
    /// Adds what an older version declared and this one does not: whole documents, and entries of documents that both have.
    pub fn add_declared(&mut self, older: &Documents) {
        let Documents {
            environments,
            releases,
            services,
            maintenances,
            queues,
            redises,
            approvals,
        } = older;
        add_documents(&mut self.environments, environments, |newer, older| {
            variable::add_declared(&mut newer.variables, &older.variables);
        });
        add_documents(&mut self.services, services, |newer, older| {
            variable::add_declared(&mut newer.variables, &older.variables);
        });
        add_documents(&mut self.releases, releases, |_, _| {});
        add_documents(&mut self.maintenances, maintenances, |_, _| {});
        add_documents(&mut self.queues, queues, |_, _| {});
        add_documents(&mut self.redises, redises, |_, _| {});
        add_documents(&mut self.approvals, approvals, |_, _| {});
    }
}

fn add_documents<S: Clone>(
    newer: &mut BTreeMap<String, Declared<S>>,
    older: &BTreeMap<String, Declared<S>>,
    add_entries: impl Fn(&mut S, &S),
) {
    for (name, older) in older {
        match newer.get_mut(name) {
            Some(newer) => {
                add_entries(&mut newer.spec, &older.spec);
                Arc::make_mut(&mut newer.document).add_entries(&older.document);
            }
            None => {
                newer.insert(name.clone(), older.clone());
            }
        }
    }
}

fn add<K: Kind>(documents: &mut Documents, name: String, document: Arc<Node>) -> bool {
    let Some(spec) = document.at(&["spec"]).map(Node::to_json) else {
        return false;
    };
    // The error of serde may quote a value, so that nobody sees it.
    let Ok(spec) = K::deserialize(spec) else {
        return false;
    };
    let declared = Declared {
        name: name.clone(),
        spec,
        document,
    };
    K::all_mut(documents).insert(name, declared);
    true
}

/// One document of the manifests, checked, with the origin of everything in it.
#[derive(Debug, Clone)]
pub struct Declared<S> {
    /// `metadata.name`.
    pub name: String,
    /// `spec`, merged where the document is laid over one of the base.
    pub spec: S,
    /// The whole merged document.
    pub document: Arc<Node>,
}

impl<S: Kind> Declared<S> {
    /// The document by kind and name.
    pub fn address(&self) -> Address {
        Address {
            kind: S::NAME,
            name: self.name.clone(),
        }
    }

    /// A step about one of its fields, `memory.max`, of which no more is said.
    pub fn step(&self, field: &str, verb: &'static str, ask: Ask) -> Step {
        let path: Vec<&str> = field.split('.').collect();
        Step {
            of: self.address(),
            field: field.to_owned(),
            verb,
            from: None,
            to: None,
            why: self.address().to_string(),
            origin: Some(self.origin(&path).clone()),
            effect: Effect::Nothing,
            undo: "",
            deploys: Vec::new(),
            loses: None,
            closes: false,
            after: Vec::new(),
            ask,
        }
    }
}

impl<S> Declared<S> {
    /// Where a part of the spec was written, by its path below `spec`.
    pub fn origin(&self, path: &[&str]) -> &Origin {
        let mut node = &*self.document;
        for step in std::iter::once(&"spec").chain(path) {
            match node.at(&[step]) {
                Some(next) => node = next,
                None => break,
            }
        }
        &node.origin
    }
}
