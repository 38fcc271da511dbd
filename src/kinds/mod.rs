//! What a manifest may say and the steps that each kind asks for: one file per kind.
//!
//! A new kind is a file here with its `Spec` and `steps`, a row in [`KINDS`], a field in [`crate::manifest::Desired`] and a line in [`crate::plan`].

pub mod environment;
pub mod release;
pub mod service;
pub mod shown;
pub mod step;
pub mod written;

use crate::source::{Node, Origin};
use schemars::Schema;
use std::sync::Arc;

/// The only version of the language.
pub const API_VERSION: &str = "reconciler/v1alpha1";

/// A kind of manifest, as far as parsing, schemas and `explain` need to know it.
#[derive(Debug)]
pub struct KindInfo {
    /// The word after `kind:`.
    pub name: &'static str,
    /// The JSON Schema of its `spec`.
    pub spec_schema: fn() -> Schema,
}

/// All kinds, in the order in which people meet them.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        name: "Environment",
        spec_schema: || schemars::schema_for!(environment::Spec),
    },
    KindInfo {
        name: "Release",
        spec_schema: || schemars::schema_for!(release::Spec),
    },
    KindInfo {
        name: "Service",
        spec_schema: || schemars::schema_for!(service::Spec),
    },
];

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
