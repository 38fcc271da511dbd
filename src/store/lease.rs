//! Who may write to an environment: a lease that lasts as long as its holder's life.
//!
//! One beat per controller carries all its leases, so what it costs does not grow with the environments: a lease is written when it is taken and when
//! it is given back, and at no other time.

use super::Store;
use super::life::Life;
use super::member::Member;
use super::objects::{Only, Put, Version};
use crate::world::Failure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is written in `lease/<environment>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Whose it is: the id of a life, or nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Grows with every taking, and never goes back.
    pub epoch: u64,
    /// When it was taken or given back, by the writer's clock: for people.
    pub written: Timestamp,
}

/// The lease of one environment. It ends with the life that it was taken in, or when it is given back.
#[derive(Debug)]
pub struct Lease {
    pub(super) environment: String,
    pub(super) epoch: u64,
    pub(super) life: Arc<Life>,
    pub(super) version: Version,
    pub(super) is_released: AtomicBool,
}

/// What came of trying to take one.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Lease(Lease),
    /// Somebody has it.
    Held {
        /// Who, by the id of a life.
        by: String,
        /// When it can be free at the earliest, if its holder is gone.
        next: Duration,
    },
}

impl Lease {
    /// Of which environment.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Grows with every taking: carried by every mark.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it surely lasts this much longer. Cheap; asked before every action.
    pub fn lasts(&self, margin: Duration) -> bool {
        !self.is_released.load(Ordering::Acquire) && self.life.lasts(margin)
    }

    /// Returns with the reason when its life is over.
    pub async fn lost(&self) -> String {
        self.life.lost().await
    }

    /// Why it does not last.
    pub fn why(&self) -> String {
        if self.is_released.load(Ordering::Acquire) {
            return "it was given back".to_owned();
        }
        let late = || "its last confirmed beat is too long ago".to_owned();
        self.life.why().unwrap_or_else(late)
    }

    /// Gives it back, so that another can have it at once. From the first moment on it does not last here.
    ///
    /// # Errors
    /// As a [`Failure`]; then the others wait for the end of this life.
    pub async fn release(&self, member: &Member) -> Result<(), Failure> {
        self.is_released.store(true, Ordering::Release);
        let written = Written {
            holder: None,
            epoch: self.epoch,
            written: member.now(),
        };
        let only = Only::Unchanged(self.version.clone());
        match member
            .store()
            .write(&key(&self.environment), &written, only)
            .await?
        {
            // Somebody else's already.
            Put::Done(_) | Put::Lost => Ok(()),
        }
    }
}

/// Whose an environment is, as the store says: the id of a life that may have ended without giving it back.
///
/// # Errors
/// As a [`Failure`].
pub async fn holder(store: &Store, environment: &str) -> Result<Option<String>, Failure> {
    let written: Option<Written> = store.load(&key(environment)).await?;
    Ok(written.and_then(|written| written.holder))
}

pub(super) fn key(environment: &str) -> String {
    format!("lease/{}.json", super::segment(environment))
}
