//! What a store must be able to do: read, write on a condition, list, delete.

use crate::world::Failure;
use async_trait::async_trait;
use bytes::Bytes;

/// Objects by key. Keys are short paths of plain signs, made by [`super::segment`].
#[async_trait]
pub trait Objects: Send + Sync {
    /// The object, or nothing.
    ///
    /// # Errors
    /// As a [`Failure`]; never `Unclear`, as nothing was changed.
    async fn get(&self, key: &str) -> Result<Option<Found>, Failure>;

    /// Writes on a condition, whole or not at all.
    ///
    /// # Errors
    /// As a [`Failure`]; `Unclear` when it may have been written, or may yet be.
    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure>;

    /// What lies directly under a folder, in the order of names.
    ///
    /// # Errors
    /// As a [`Failure`]; never a part of the list.
    async fn list(&self, folder: &str) -> Result<Listing, Failure>;

    /// Deletes; what is not there is deleted already.
    ///
    /// # Errors
    /// As a [`Failure`].
    async fn delete(&self, key: &str) -> Result<(), Failure>;
}

/// An object as it was read.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its content.
    pub bytes: Bytes,
    /// Which version of it.
    pub version: Version,
}

/// A version of an object. S3 makes it from the content alone, so content that must not be taken for another carries something of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// Nothing is there.
    Absent,
    /// What is there is this version.
    Unchanged(Version),
    /// None.
    Always,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written.
    Done(Version),
    /// Not written: the condition did not hold.
    Lost,
}

/// The names directly under a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Folders in it.
    pub folders: Vec<String>,
    /// Objects in it.
    pub objects: Vec<String>,
}

/// What a store remembers is small; what is far beyond that is not read.
pub(super) const LARGEST: usize = 8 * 1024 * 1024;
