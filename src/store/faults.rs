//! A store that fails by chance, from a seed: for simulation.

use super::Store;
use super::objects::{Found, Listing, Objects, Only, Put};
use crate::clock::Clock;
use crate::world::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often something goes wrong, each in percent of all requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chances {
    /// It fails and nothing was done.
    pub before: u64,
    /// It is done, and the answer is lost.
    pub after: u64,
    /// It arrives only after `delay`: a write even when its sender has given up by then.
    pub slow: u64,
    /// How long a slow one takes.
    pub delay: Duration,
}

impl Chances {
    /// Nothing gets through.
    pub const DOWN: Chances = Chances {
        before: 100,
        after: 0,
        slow: 0,
        delay: Duration::ZERO,
    };
}

/// Sets the chances while the store is used.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Chances>>);

impl Faults {
    /// From now on.
    pub fn set(&self, chances: Chances) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = chances;
    }

    fn now(&self) -> Chances {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The same store, seen through faults. The clock's chance decides, so a seed repeats them.
    #[must_use]
    pub fn with_faults(&self, faults: &Faults, clock: &Clock) -> Store {
        let faulty = Faulty {
            inner: self.objects(),
            faults: faults.clone(),
            clock: clock.clone(),
        };
        Store::of(Arc::new(faulty), self.address(), clock)
    }
}

struct Faulty {
    inner: Arc<dyn Objects>,
    faults: Faults,
    clock: Clock,
}

impl Faulty {
    /// Whether the answer will be lost.
    async fn before(&self) -> Result<bool, Failure> {
        let chances = self.faults.now();
        if self.happens(chances.before) {
            return Err(Failure::Passing("the store: cannot be reached".to_owned()));
        }
        Ok(self.happens(chances.after))
    }

    /// How long a request is on its way.
    fn way(&self) -> Duration {
        let chances = self.faults.now();
        match self.happens(chances.slow) {
            true => chances.delay,
            false => Duration::ZERO,
        }
    }

    fn happens(&self, percent: u64) -> bool {
        self.clock.chance() % 100 < percent
    }
}

fn after<T>(is_lost: bool, answer: Result<T, Failure>, lost: Failure) -> Result<T, Failure> {
    if is_lost { Err(lost) } else { answer }
}

fn passing() -> Failure {
    Failure::Passing("the store: the answer was lost".to_owned())
}

fn unclear() -> Failure {
    Failure::Unclear("the store: the answer was lost".to_owned())
}

#[async_trait]
impl Objects for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Found>, Failure> {
        let is_lost = self.before().await?;
        self.clock.sleep(self.way()).await;
        after(is_lost, self.inner.get(key).await, passing())
    }

    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure> {
        let is_lost = self.before().await?;
        let (way, clock) = (self.way(), self.clock.clone());
        let (inner, key) = (self.inner.clone(), key.to_owned());
        let sent = tokio::spawn(async move {
            clock.sleep(way).await;
            inner.put(&key, bytes, only).await
        });
        let answer = sent.await.unwrap_or_else(|_| Err(unclear()));
        after(is_lost, answer, unclear())
    }

    async fn list(&self, folder: &str) -> Result<Listing, Failure> {
        let is_lost = self.before().await?;
        after(is_lost, self.inner.list(folder).await, passing())
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        let is_lost = self.before().await?;
        after(is_lost, self.inner.delete(key).await, unclear())
    }
}
