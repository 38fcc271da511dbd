//! A local folder as a store, for several processes on one machine.
//!
//! Nobody reads half a file: what is written appears whole, by a hard link where nothing may be there yet and by a rename otherwise. Comparing and
//! renaming happen under a lock of the operating system on a file of its own per key. The system takes that lock away when its holder dies, so a
//! lock file that lies around blocks nobody. A holder that is only stopped (SIGSTOP) exactly there keeps the others from that one key until it goes
//! on or is killed; they wait for a bounded time, and nothing is lost.

use super::bucket::{fetch, listing, lost_or, path, reading, writing};
use super::objects::{Found, Listing, Objects, Only, Put, Version};
use crate::world::Failure;
use crate::world::secret::Scrubber;
use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Locks and what is about to be renamed: in the same file system, and in nobody's list.
const LOCKS: &str = ".locks";

/// A folder, made when it is not there.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: LocalFileSystem,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// `Refused` when it cannot be made or is no folder.
    pub fn open(root: &Path) -> Result<Folder, Failure> {
        let refused = |failure: &dyn std::error::Error| {
            Failure::Refused(format!(
                "cannot keep the store in {}: {failure}",
                root.display()
            ))
        };
        fs::create_dir_all(root.join(LOCKS)).map_err(|failure| refused(&failure))?;
        let files = LocalFileSystem::new_with_prefix(root).map_err(|failure| refused(&failure))?;
        Ok(Folder {
            root: root.to_owned(),
            // An epoch that was given out must still be there after a loss of power.
            files: files.with_fsync(true),
        })
    }

    async fn write(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Put, Failure> {
        let version = version_of(&bytes);
        let written = self
            .files
            .put_opts(&path(key)?, bytes.into(), PutOptions::from(mode))
            .await;
        match written {
            Ok(_) => Ok(Put::Done(version)),
            Err(failure) => lost_or(failure, &Scrubber::default()),
        }
    }

    async fn exchange(&self, key: &str, bytes: Bytes, seen: Version) -> Result<Put, Failure> {
        path(key)?;
        let (file, beside) = (self.root.join(key), self.root.join(LOCKS).join(key));
        tokio::task::spawn_blocking(move || exchange(&file, &beside, &bytes, &seen))
            .await
            .map_err(|failure| Failure::Unclear(format!("the store: {failure}")))?
    }
}

#[async_trait]
impl Objects for Folder {
    async fn get(&self, key: &str) -> Result<Option<Found>, Failure> {
        let found = fetch(&self.files, &path(key)?).await;
        let found = found.map_err(|failure| reading(&failure, &Scrubber::default()))?;
        Ok(found.map(|(bytes, _)| Found {
            version: version_of(&bytes),
            bytes,
        }))
    }

    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure> {
        match only {
            Only::Absent => self.write(key, bytes, PutMode::Create).await,
            Only::Always => self.write(key, bytes, PutMode::Overwrite).await,
            Only::Unchanged(seen) => self.exchange(key, bytes, seen).await,
        }
    }

    async fn list(&self, folder: &str) -> Result<Listing, Failure> {
        listing(&self.files, &path(folder)?)
            .await
            .map_err(|failure| reading(&failure, &Scrubber::default()))
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        match self.files.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(failure) => Err(writing(&failure, &Scrubber::default())),
        }
    }
}

/// By content, as S3 does: a file system may give the number of a file and its time again to the next one.
fn version_of(bytes: &[u8]) -> Version {
    let digest = Sha256::digest(bytes);
    Version(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts new content in the place of the content that was seen.
fn exchange(file: &Path, beside: &Path, bytes: &[u8], seen: &Version) -> Result<Put, Failure> {
    let surely_not =
        |failure: io::Error| Failure::Passing(format!("the store: {}: {failure}", file.display()));
    let _lock = lock(beside)?;
    let there = match fs::read(file) {
        Ok(there) => there,
        Err(failure) if failure.kind() == ErrorKind::NotFound => return Ok(Put::Lost),
        Err(failure) => return Err(surely_not(failure)),
    };
    if version_of(&there) != *seen {
        return Ok(Put::Lost);
    }
    let fresh = with_ending(beside, "new");
    let mut written = File::create(&fresh).map_err(surely_not)?;
    written.write_all(bytes).map_err(surely_not)?;
    written.sync_all().map_err(surely_not)?;
    fs::rename(&fresh, file).map_err(surely_not)?;
    let settled = file
        .parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all());
    settled
        .map_err(|failure| Failure::Unclear(format!("the store: {}: {failure}", file.display())))?;
    Ok(Put::Done(version_of(bytes)))
}

const PAUSE: Duration = Duration::from_millis(2);
/// Sixteen of one process meet in the probe at its start, and each may wait for a slow disk.
const TRIES: u32 = 2000;

/// Held until it is dropped, or the process ends.
fn lock(beside: &Path) -> Result<File, Failure> {
    let failed = |failure: io::Error| {
        Failure::Passing(format!(
            "the store: no lock at {}: {failure}",
            beside.display()
        ))
    };
    if let Some(folder) = beside.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(with_ending(beside, "lock"))
        .map_err(failed)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(failure)) => return Err(failed(failure)),
        }
    }
    Err(Failure::Passing(format!(
        "the store: somebody holds the lock at {}",
        beside.display()
    )))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}
