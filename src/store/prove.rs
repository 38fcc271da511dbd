//! Whether a store keeps its word about conditional writes: a race, before anything rests on it.

use super::Store;
use super::objects::{Only, Put, Version};
use crate::world::Failure;
use bytes::Bytes;
use tokio::task::JoinSet;

/// How many write at once.
const RACERS: usize = 16;
/// How often. A server that looks first and writes then lets several win in two rounds of three (facts/reliability.md).
const ROUNDS: usize = 5;
const TRIES: usize = 3;

impl Store {
    /// Lets many write one object at once, several times: exactly one may win, and be found there. Takes some 170 small requests.
    ///
    /// # Errors
    /// `Refused` when the store cannot hold a lease; otherwise as the request that failed, and nothing is known.
    pub async fn prove(&self) -> Result<(), Failure> {
        let folder = format!("probe/{}", self.clock.word(12));
        let mut keys = Vec::new();
        let mut verdict = Ok(());
        for round in 0..ROUNDS {
            let key = format!("{folder}/{round}");
            keys.push(key.clone());
            verdict = self.rounds_on(&key).await;
            if verdict.is_err() {
                break;
            }
        }
        for key in keys {
            if let Err(failure) = self.delete(&key).await {
                tracing::debug!(key, %failure, "an object of the start-up probe stays");
            }
        }
        verdict
    }

    async fn rounds_on(&self, key: &str) -> Result<(), Failure> {
        let nobodys = Version("\"00000000000000000000000000000000\"".to_owned());
        if self.wins(key, Only::Unchanged(nobodys)).await? {
            return Err(self.unfit("changed an object that was not there (If-Match)"));
        }
        let first = self.race(key, &Only::Absent).await?;
        if self.wins(key, Only::Absent).await? {
            return Err(self.unfit("created an object twice (If-None-Match)"));
        }
        self.race(key, &Only::Unchanged(first.clone())).await?;
        if self.wins(key, Only::Unchanged(first)).await? {
            return Err(self.unfit("changed a version that was no longer there (If-Match)"));
        }
        Ok(())
    }

    async fn wins(&self, key: &str, only: Only) -> Result<bool, Failure> {
        let bytes = Bytes::from(self.clock.word(16));
        Ok(self.put(key, bytes, only).await? != Put::Lost)
    }

    /// The version of the one winner. S3 may turn all of those away who met (409): then it is tried again.
    async fn race(&self, key: &str, only: &Only) -> Result<Version, Failure> {
        for _ in 0..TRIES {
            let winners = self.run(key, only).await?;
            if !winners.is_empty() {
                return self.judged(key, only, &winners).await;
            }
        }
        Err(self.unfit("let nobody win"))
    }

    /// All who were told that they had won, with what they wrote.
    async fn run(&self, key: &str, only: &Only) -> Result<Vec<(Version, Bytes)>, Failure> {
        let mut racers = JoinSet::new();
        for _ in 0..RACERS {
            let (store, key, only) = (self.clone(), key.to_owned(), only.clone());
            let bytes = Bytes::from(self.clock.word(16));
            racers.spawn(async move {
                let put = store.put(&key, bytes.clone(), only).await;
                (put, bytes)
            });
        }
        let mut winners = Vec::new();
        while let Some(raced) = racers.join_next().await {
            let (put, bytes) = raced.map_err(|failure| Failure::Passing(failure.to_string()))?;
            if let Put::Done(version) = put? {
                winners.push((version, bytes));
            }
        }
        Ok(winners)
    }

    async fn judged(
        &self,
        key: &str,
        only: &Only,
        winners: &[(Version, Bytes)],
    ) -> Result<Version, Failure> {
        let asked = match only {
            Only::Absent => "create (If-None-Match)",
            Only::Unchanged(_) | Only::Always => "change (If-Match)",
        };
        let [(version, bytes)] = winners else {
            return Err(self.unfit(&format!(
                "let {} of {RACERS} who wrote at once {asked} the same object",
                winners.len()
            )));
        };
        match self.get(key).await? {
            Some(found) if found.bytes == *bytes && found.version == *version => {
                Ok(version.clone())
            }
            Some(_) | None => Err(self.unfit("did not show what had just been written")),
        }
    }

    fn unfit(&self, what: &str) -> Failure {
        Failure::Refused(format!(
            "the store {} {what}: it cannot keep two controllers apart. Use one with conditional writes (S3, R2, MinIO, a local folder)",
            self.address()
        ))
    }
}
