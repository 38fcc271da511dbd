//! What happened, appended to the store in small batches and read newest first.
//!
//! Nothing waits for it and nothing is decided by it: what does not fit into the queue or cannot be written is dropped and counted.

use super::objects::{Only, Put};
use super::{Read, Store, segment};
use crate::clock::Clock;
use crate::world::Failure;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// One entry, with when it was handed in and by which epoch of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<T> {
    /// When.
    pub at: Timestamp,
    /// By which epoch of the lease.
    pub epoch: u64,
    /// What.
    pub what: T,
}

/// A part of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The newest first.
    pub entries: Vec<Entry<T>>,
    /// How many objects on the way could not be understood.
    pub unreadable: usize,
}

/// Takes entries and has them written.
#[derive(Debug, Clone)]
pub struct Journal<T> {
    queue: mpsc::Sender<Message<T>>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message<T> {
    Entry(String, Entry<T>),
    Flush(oneshot::Sender<()>),
}

/// Writes what a journal took; run it beside everything else.
pub struct Writer<T> {
    store: Store,
    queue: mpsc::Receiver<Message<T>>,
    dropped: Arc<AtomicU64>,
}

/// As many entries wait at most; a hundred environments that say ten things each fit.
pub const QUEUE: usize = 1024;
/// So long entries are gathered, so that a pass that says ten things costs one object.
const GATHERING: Duration = Duration::from_secs(1);
const BATCH: usize = 256;
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Both ends. The writer ends when the last journal is dropped.
pub fn journal<T>(store: &Store) -> (Journal<T>, Writer<T>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    let journal = Journal {
        queue: sender,
        dropped: dropped.clone(),
    };
    let writer = Writer {
        store: store.clone(),
        queue: receiver,
        dropped,
    };
    (journal, writer)
}

impl<T> Journal<T> {
    /// Hands an entry in. Never waits.
    pub fn append(&self, environment: &str, epoch: u64, at: Timestamp, what: T) {
        let entry = Entry { at, epoch, what };
        let message = Message::Entry(environment.to_owned(), entry);
        if self.queue.try_send(message).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many entries were lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything so far is written or dropped, for at most a time: before the process ends.
    pub async fn flush(&self, clock: &Clock, at_most: Duration) {
        let (sender, written) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(sender)).await.is_ok() {
                let _ = written.await;
            }
        };
        tokio::select! {
            biased;
            () = flushed => {}
            () = clock.sleep(at_most) => {}
        }
    }
}

impl<T: Serialize + Send + Sync> Writer<T> {
    /// Writes batch after batch, until the last journal is dropped.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut messages = vec![first];
            if !matches!(messages[0], Message::Flush(_)) {
                self.gather(&mut messages).await;
            }
            let mut batches: BTreeMap<String, Vec<Entry<T>>> = BTreeMap::new();
            let mut waiting = Vec::new();
            for message in messages {
                match message {
                    Message::Entry(environment, entry) => {
                        batches.entry(environment).or_default().push(entry);
                    }
                    Message::Flush(done) => waiting.push(done),
                }
            }
            for (environment, entries) in batches {
                self.write(&environment, entries).await;
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    async fn gather(&mut self, messages: &mut Vec<Message<T>>) {
        let clock = self.store.clock.clone();
        let mut time = std::pin::pin!(clock.sleep(GATHERING));
        while messages.len() < BATCH {
            tokio::select! {
                biased;
                next = self.queue.recv() => match next {
                    Some(message) => {
                        let is_last = matches!(message, Message::Flush(_));
                        messages.push(message);
                        if is_last {
                            return;
                        }
                    }
                    None => return,
                },
                () = &mut time => return,
            }
        }
    }

    async fn write(&self, environment: &str, entries: Vec<Entry<T>>) {
        let Some(newest) = entries.last() else { return };
        let key = key(
            environment,
            newest.at,
            newest.epoch,
            &self.store.clock.word(6),
        );
        let batch = Batch { entries };
        for tried in 1..=TRIES {
            match self.store.write(&key, &batch, Only::Absent).await {
                // Nobody else has this word: it was written by the try before.
                Ok(Put::Done(_) | Put::Lost) => return,
                Err(failure) if tried == TRIES => {
                    let count = batch.entries.len();
                    tracing::warn!(environment, count, %failure, "entries of the journal are lost");
                }
                Err(_) => self.store.clock.sleep(PAUSE * tried).await,
            }
        }
        let count = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

#[derive(Serialize, Deserialize)]
struct Batch<T> {
    entries: Vec<Entry<T>>,
}

/// In the order of names an object lies where its newest entry lies in time.
fn key(environment: &str, at: Timestamp, epoch: u64, word: &str) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    let time = at.strftime("%H%M%S.%3f");
    format!(
        "{}/{}/{time}-{epoch}-{word}.json",
        folder(environment),
        at.date()
    )
}

fn folder(environment: &str) -> String {
    format!("journal/{}", segment(environment))
}

/// The newest entries of an environment, the newest first.
///
/// # Errors
/// As a [`Failure`].
pub async fn read<T: DeserializeOwned>(
    store: &Store,
    environment: &str,
    newest: usize,
) -> Result<Page<T>, Failure> {
    let folder = folder(environment);
    let mut page = Page {
        entries: Vec::new(),
        unreadable: 0,
    };
    let days = store.list(&folder).await?.folders;
    for day in days.iter().rev() {
        if page.entries.len() >= newest {
            break;
        }
        let names = store.list(&format!("{folder}/{day}")).await?.objects;
        for name in names.iter().rev() {
            if page.entries.len() >= newest {
                break;
            }
            let key = format!("{folder}/{day}/{name}");
            match store.read::<Batch<T>>(&key).await? {
                Read::Known(batch, _) => page.entries.extend(batch.entries.into_iter().rev()),
                Read::Unreadable(..) => page.unreadable += 1,
                // Deleted between the list and now.
                Read::Absent => {}
            }
        }
    }
    // Two writers at once may overlap by a batch.
    page.entries
        .sort_by_key(|entry| std::cmp::Reverse(entry.at));
    page.entries.truncate(newest);
    Ok(page)
}

/// Deletes the days that ended before a moment; returns how many objects that were.
///
/// # Errors
/// As a [`Failure`]; what was deleted by then is deleted.
pub async fn prune(
    store: &Store,
    environment: &str,
    older_than: Timestamp,
) -> Result<usize, Failure> {
    let folder = folder(environment);
    let first_kept = older_than.to_zoned(TimeZone::UTC).date();
    let mut deleted = 0;
    for day in store.list(&folder).await?.folders {
        // What is no day was not written here.
        let is_old = day.parse::<Date>().is_ok_and(|day| day < first_kept);
        if !is_old {
            continue;
        }
        for name in store.list(&format!("{folder}/{day}")).await?.objects {
            store.delete(&format!("{folder}/{day}/{name}")).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
