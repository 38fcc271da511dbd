//! What must be remembered of an environment: newest commit done and accepted, suspended, applied directly.
//!
//! A mark that cannot be read is unseen, with the reason; it is never taken for none. Losing one costs little: without `done` nothing is removed until
//! another commit is done (design rule 4), without `accepted` the next fetch is accepted anew, and without the others the controller goes on.

use super::objects::{Only, Put};
use super::{Read, Store, Unreadable, segment};
use crate::plan::stance::{Direct, Suspension};
use crate::world::{Failure, Seen};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest commit that was fully done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Which.
    pub commit: String,
    /// By which epoch of the lease.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
}

/// The newest commit whose manifests were accepted as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Which.
    pub commit: String,
    /// By which epoch of the lease.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
}

/// Somebody said that it shall go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// Who.
    pub by: String,
    /// When: what was applied by hand before is forgotten.
    pub at: Timestamp,
}

/// Whether a mark was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It was.
    Done,
    /// A newer epoch was there before: whoever has the lease now knows better.
    Older {
        /// The epoch that is written there.
        than: u64,
    },
}

/// Where it is noted when somebody suspended or resumed what: one object, so that a controller hears of it with one question.
const ORDERS: &str = "orders.json";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Orders {
    environments: BTreeMap<String, Timestamp>,
}

/// When somebody last left an order, by environment.
///
/// # Errors
/// As a [`Failure`].
pub async fn orders(store: &Store) -> Result<BTreeMap<String, Timestamp>, Failure> {
    let read: Option<Orders> = store.load(ORDERS).await?;
    Ok(read.unwrap_or_default().environments)
}

/// Notes that somebody left an order for an environment: whoever leads it looks with his next question to git.
///
/// # Errors
/// As a [`Failure`]; the order holds with the next look all the same.
pub async fn note_order(store: &Store, environment: &str, now: Timestamp) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let (mut orders, only) = match store.read::<Orders>(ORDERS).await? {
            Read::Absent => (Orders::default(), Only::Absent),
            Read::Known(orders, version) => (orders, Only::Unchanged(version)),
            Read::Unreadable(_, version) => (Orders::default(), Only::Unchanged(version)),
        };
        orders.environments.insert(environment.to_owned(), now);
        if let Put::Done(_) = store.write(ORDERS, &orders, only).await? {
            return Ok(());
        }
    }
    Err(Failure::Passing(
        "the note of an order met another each time".to_owned(),
    ))
}

/// The marks of one environment.
#[derive(Debug, Clone)]
pub struct Marks {
    store: Store,
    folder: String,
}

const TRIES: usize = 4;

/// A mark and nothing are written alike, so that taking one away is a conditional write as well.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    mark: Option<T>,
}

impl Marks {
    /// Of an environment, by its name in git.
    pub fn of(store: &Store, environment: &str) -> Marks {
        Marks {
            store: store.clone(),
            folder: format!("marks/{}", segment(environment)),
        }
    }

    /// The newest commit that was fully done.
    pub async fn done(&self) -> Seen<Option<Done>> {
        self.seen("done").await
    }

    /// Says that a commit is fully done. An older epoch never overwrites a newer one.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn set_done(&self, done: &Done) -> Result<Set, Failure> {
        let epoch = |there: &Done| there.epoch;
        self.set("done", done, done.epoch, epoch).await
    }

    /// The newest commit that was accepted.
    pub async fn accepted(&self) -> Seen<Option<Accepted>> {
        self.seen("accepted").await
    }

    /// Says that a commit is accepted. An older epoch never overwrites a newer one.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn set_accepted(&self, accepted: &Accepted) -> Result<Set, Failure> {
        let epoch = |there: &Accepted| there.epoch;
        self.set("accepted", accepted, accepted.epoch, epoch).await
    }

    /// Whether somebody suspended it.
    pub async fn suspended(&self) -> Seen<Option<Suspension>> {
        self.seen("suspended").await
    }

    /// Suspends it, or, with nothing, resumes it. The last one who says so wins.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn set_suspended(&self, suspended: Option<&Suspension>) -> Result<(), Failure> {
        self.replace("suspended", suspended).await
    }

    /// Whether somebody applied something past git.
    pub async fn direct(&self) -> Seen<Option<Direct>> {
        self.seen("direct").await
    }

    /// Says what was applied past git, or, with nothing, that it is over. The last one who says so wins.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn set_direct(&self, direct: Option<&Direct>) -> Result<(), Failure> {
        self.replace("direct", direct).await
    }

    /// When somebody last said that it shall go on.
    pub async fn resumed(&self) -> Seen<Option<Resumed>> {
        self.seen("resumed").await
    }

    /// Ends every order to stand still: it goes on, whatever was applied by hand before.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn resume(&self, resumed: &Resumed) -> Result<(), Failure> {
        self.set_suspended(None).await?;
        self.set_direct(None).await?;
        self.replace("resumed", Some(resumed)).await
    }

    /// Takes a mark of somebody's away only if it is still that one: what came after it stays.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn clear_direct(&self, direct: &Direct) -> Result<(), Failure> {
        self.clear("direct", direct).await
    }

    /// The same for what was suspended: an `until` that has passed.
    ///
    /// # Errors
    /// As a [`Failure`]; after `Unclear` a repeat is harmless.
    pub async fn clear_suspended(&self, suspended: &Suspension) -> Result<(), Failure> {
        self.clear("suspended", suspended).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}.json", self.folder)
    }

    async fn seen<T: DeserializeOwned>(&self, name: &str) -> Seen<Option<T>> {
        let key = self.key(name);
        match self.store.read::<Written<T>>(&key).await {
            Ok(Read::Absent) => Seen::Facts(None),
            Ok(Read::Known(written, _)) => Seen::Facts(written.mark),
            Ok(Read::Unreadable(why, _)) => Seen::Unseen(format!("{key} on the store is {why}")),
            Err(failure) => Seen::Unseen(failure.to_string()),
        }
    }

    async fn set<T: Serialize + DeserializeOwned + Sync + Send>(
        &self,
        name: &str,
        mark: &T,
        epoch: u64,
        epoch_of: impl Fn(&T) -> u64,
    ) -> Result<Set, Failure> {
        for _ in 0..TRIES {
            let (there, only) = self.there::<T>(name).await?;
            let newest = there.as_ref().map(&epoch_of).unwrap_or_default();
            if newest > epoch {
                return Ok(Set::Older { than: newest });
            }
            if self.put(name, Some(mark), only).await? != Put::Lost {
                return Ok(Set::Done);
            }
        }
        Err(self.busy(name))
    }

    async fn replace<T: Serialize + DeserializeOwned + Sync + Send>(
        &self,
        name: &str,
        mark: Option<&T>,
    ) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (there, only) = self.there::<T>(name).await?;
            let is_so_already = mark.is_none() && there.is_none() && only == Only::Absent;
            if is_so_already || self.put(name, mark, only).await? != Put::Lost {
                return Ok(());
            }
        }
        Err(self.busy(name))
    }

    async fn clear<T: Serialize + DeserializeOwned + PartialEq + Sync + Send>(
        &self,
        name: &str,
        mark: &T,
    ) -> Result<(), Failure> {
        let (there, only) = self.there::<T>(name).await?;
        if there.as_ref() == Some(mark) {
            // Who lost, lost to somebody who said something newer.
            self.put::<T>(name, None, only).await?;
        }
        Ok(())
    }

    /// What is there, and the condition that it still is. What is damaged counts as nothing here: it is put right by writing.
    async fn there<T: DeserializeOwned>(&self, name: &str) -> Result<(Option<T>, Only), Failure> {
        let key = self.key(name);
        match self.store.read::<Written<T>>(&key).await? {
            Read::Absent => Ok((None, Only::Absent)),
            Read::Known(written, version) => Ok((written.mark, Only::Unchanged(version))),
            Read::Unreadable(Unreadable::Damaged(why), version) => {
                tracing::warn!(key, why, "a damaged mark on the store is written anew");
                Ok((None, Only::Unchanged(version)))
            }
            Read::Unreadable(why @ Unreadable::Newer(_), _) => {
                Err(Failure::Refused(format!("{key} on the store is {why}")))
            }
        }
    }

    async fn put<T: Serialize + Sync>(
        &self,
        name: &str,
        mark: Option<&T>,
        only: Only,
    ) -> Result<Put, Failure> {
        let written = Written { mark };
        self.store.write(&self.key(name), &written, only).await
    }

    fn busy(&self, name: &str) -> Failure {
        Failure::Passing(format!("others write {} as well", self.key(name)))
    }
}

/// The newest epoch that any mark carries: a lease that was lost must not begin below it.
pub(super) async fn newest_epoch(store: &Store, environment: &str) -> Result<u64, Failure> {
    let marks = Marks::of(store, environment);
    let (done, _) = marks.there::<Done>("done").await?;
    let (accepted, _) = marks.there::<Accepted>("accepted").await?;
    let epochs = [
        done.map(|done| done.epoch),
        accepted.map(|accepted| accepted.epoch),
    ];
    Ok(epochs.into_iter().flatten().max().unwrap_or_default())
}
