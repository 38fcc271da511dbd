//! What must be remembered outside of git: lease, marks, journal, in an object store.
//!
//! | object | what it says | module |
//! |---|---|---|
//! | `controllers/<name>-<word>.json` | a process lives: its beat | [`life`] |
//! | `lease/<environment>.json` | which of them may write to an environment, and the epoch | [`lease`] |
//! | `marks/<environment>/….json` | newest commit done, accepted; suspended; applied directly | [`marks`] |
//! | `orders.json` | when somebody last suspended or resumed which environment | [`marks`] |
//! | `journal/<environment>/<day>/….json` | what happened | [`journal`] |
//!
//! Environments are told apart by their names: each repository of manifests needs a folder or a prefix of its own.
//!
//! # What the lease promises, and what it cannot
//!
//! At most one process writes to an environment (invariant S6). Every taking makes the epoch grow by a conditional write, a lease is checked before
//! every action with a margin for the longest request, and it is counted from before the request that renewed it, on this machine's own clock. Nobody
//! trusts the clock of another: who takes over has itself watched the other's beat stand still for longer than the other believes in it, and has ended
//! it by a conditional write, so that a beat that comes late is refused.
//!
//! **In the store this is strict**: every mark is written on a condition and carries the epoch, and an older epoch never overwrites a newer one.
//! **Outside it is not**: Railway takes no epoch. A process that is stopped (SIGSTOP, a paused virtual machine) *after* the check and *before* its
//! request leaves the socket, and goes on after its lease has passed to another, sends one request late. Nothing can fence that window. What is left of
//! it is small: an absolute action of an older plan is put right by the next look of the new holder, a named one finds what is there, and a fresh one
//! (a deployment, a restart) may happen once more. A request that is on its way is covered: the margin is longer than any request may take.
//!
//! Who empties the store by hand while controllers run takes the leases away under them: each of them notices with its next beat, not before.

mod bucket;
pub mod faults;
mod folder;
pub mod journal;
pub mod lease;
pub mod life;
pub mod marks;
pub mod member;
pub mod objects;
mod prove;
pub mod share;

use crate::clock::Clock;
use crate::config::Config;
use crate::world::Failure;
use bucket::Bucket;
use bytes::Bytes;
use folder::Folder;
use objects::{Found, Listing, Objects, Only, Put, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// No request to the store lasts longer.
pub const LONGEST: Duration = Duration::from_secs(10);

/// An object store, every request bounded in time and size. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    address: String,
    clock: Clock,
}

impl Store {
    /// Opens `file:///…` (made when it is not there) or `s3://bucket/prefix` (with the `AWS_*` variables). Nothing is asked yet: see [`Store::prove`].
    ///
    /// # Errors
    /// When the address is neither, when credentials are missing, when the folder cannot be made.
    pub fn open(address: &str, config: &Config, clock: &Clock) -> Result<Store, Failure> {
        let wrong = || {
            Failure::Refused(format!(
                "{address} is no store: right would be file:///var/lib/reconciler or s3://bucket/prefix"
            ))
        };
        let url = reqwest::Url::parse(address).map_err(|_| wrong())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::Refused("credentials do not belong into the store's address: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned()));
        }
        let objects: Arc<dyn Objects> = match (url.scheme(), url.host_str()) {
            ("file", _) => Arc::new(Folder::open(&url.to_file_path().map_err(|()| wrong())?)?),
            ("s3", Some(bucket)) => Arc::new(Bucket::s3(bucket, url.path(), config, LONGEST)?),
            _ => return Err(wrong()),
        };
        Ok(Store::of(objects, address, clock))
    }

    /// One in memory, for simulation.
    pub fn in_memory(clock: &Clock) -> Store {
        Store::of(Arc::new(Bucket::in_memory()), "memory", clock)
    }

    /// Over other objects: for tests, which put something in between.
    pub fn of(objects: Arc<dyn Objects>, address: &str, clock: &Clock) -> Store {
        Store {
            objects,
            address: address.to_owned(),
            clock: clock.clone(),
        }
    }

    /// What lies below: for whoever puts something in between.
    pub fn objects(&self) -> Arc<dyn Objects> {
        self.objects.clone()
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Reads an object that is written as a whole; nothing where it is not there, or is damaged: then it is said.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        match self.read(key).await? {
            Read::Known(content, _) => Ok(Some(content)),
            Read::Absent => Ok(None),
            Read::Unreadable(why, _) => {
                tracing::warn!(key, %why, "an object on the store cannot be read, and counts as lost");
                Ok(None)
            }
        }
    }

    /// Writes an object as a whole; the last one who writes wins.
    ///
    /// # Errors
    /// As a [`Failure`]; a repeat is harmless.
    pub async fn save<T: Serialize + Sync>(&self, key: &str, content: &T) -> Result<(), Failure> {
        self.write(key, content, Only::Always).await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<Option<Found>, Failure> {
        tokio::select! {
            biased;
            answer = self.objects.get(key) => answer,
            () = self.clock.sleep(LONGEST) => Err(Failure::Passing(self.silent())),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure> {
        tokio::select! {
            biased;
            answer = self.objects.put(key, bytes, only) => answer,
            () = self.clock.sleep(LONGEST) => Err(Failure::Unclear(self.silent())),
        }
    }

    async fn list(&self, folder: &str) -> Result<Listing, Failure> {
        tokio::select! {
            biased;
            answer = self.objects.list(folder) => answer,
            () = self.clock.sleep(LONGEST) => Err(Failure::Passing(self.silent())),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        tokio::select! {
            biased;
            answer = self.objects.delete(key) => answer,
            () = self.clock.sleep(LONGEST) => Err(Failure::Unclear(self.silent())),
        }
    }

    fn silent(&self) -> String {
        format!(
            "the store {} did not answer within {LONGEST:?}",
            self.address
        )
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Read<T>, Failure> {
        Ok(match self.get(key).await? {
            None => Read::Absent,
            Some(found) => match parse(&found.bytes) {
                Ok(content) => Read::Known(content, found.version),
                Err(why) => Read::Unreadable(why, found.version),
            },
        })
    }

    async fn write<T: Serialize + Sync>(
        &self,
        key: &str,
        content: &T,
        only: Only,
    ) -> Result<Put, Failure> {
        let bytes = serde_json::to_vec_pretty(&Versioned {
            version: FORMAT,
            content,
        })
        .map_err(|failure| Failure::Refused(format!("cannot write {key}: {failure}")))?;
        self.put(key, bytes.into(), only).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Store at {}", self.address)
    }
}

/// The version of everything that is written here. Unknown fields are passed over, so it only grows when an old reader would be wrong.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// An object as it was read and understood.
#[derive(Debug)]
enum Read<T> {
    Absent,
    Known(T, Version),
    Unreadable(Unreadable, Version),
}

/// Why an object could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unreadable {
    /// It is nothing that was written here.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Someone newer wrote it.
    #[error("written by a newer reconciler, as format {0}")]
    Newer(u32),
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u32,
    }
    let damaged = |failure: serde_json::Error| Unreadable::Damaged(failure.to_string());
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.version > FORMAT {
        return Err(Unreadable::Newer(head.version));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// A name as a part of a key: what is not plain is written as `!` and its hexadecimal number.
pub fn segment(name: &str) -> String {
    let mut written = String::new();
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match plain || (byte == b'.' && !written.is_empty()) {
            true => written.push(char::from(byte)),
            false => written.push_str(&format!("!{byte:02x}")),
        }
    }
    written
}
