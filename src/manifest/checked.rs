//! Manifests that are in order, held as they were written, and packed: what they ask for is read from them again when it is wanted.

use super::{Desired, Parses, load, load_with, overlay};
use crate::kinds::{Declared, environment};
use crate::packed::Packed;
use crate::problem::Problem;
use crate::source::Files;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Texts = BTreeMap<Arc<str>, Arc<str>>;

/// The manifests of one environment, in order. Read, they take some twenty times the memory of their texts, and most are wanted a few times a day.
#[derive(Debug)]
pub struct Checked {
    directory: String,
    /// Its own files.
    own: Packed<Texts>,
    /// Those of the base, which other environments hold as well.
    shared: Texts,
    at: Timestamp,
    environment: Declared<environment::Spec>,
    secrets: BTreeSet<String>,
    digest: String,
}

impl Checked {
    /// Checks manifests; as [`load_with`].
    ///
    /// # Errors
    /// Every problem of all files.
    pub fn of(files: Files, at: Timestamp, parses: &mut Parses) -> Result<Checked, Vec<Problem>> {
        let desired = load_with(&files, at, parses)?;
        let directory = overlay::join("", &files.directory);
        let texts = files.texts.into_iter();
        let (own, shared) = texts.partition(|(path, _)| overlay::is_below(path, &directory));
        Ok(Checked {
            environment: desired.environment().clone(),
            secrets: desired.secrets().map(str::to_owned).collect(),
            digest: desired.digest(),
            directory: files.directory,
            own: Packed::of(&own),
            shared,
            at,
        })
    }

    /// The environment that they describe.
    pub fn environment(&self) -> &Declared<environment::Spec> {
        &self.environment
    }

    /// As [`Desired::secrets`].
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// As [`Desired::digest`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What they ask for.
    pub fn desired(&self) -> Desired {
        let own = self.own.open().into_iter().flatten();
        let files = Files {
            directory: self.directory.clone(),
            texts: own.chain(self.shared.clone()).collect(),
        };
        // The same texts at the same time are in order as they were then.
        load(&files, self.at).expect("what was checked is in order")
    }
}
