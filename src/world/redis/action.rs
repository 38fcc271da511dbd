//! What can be done to a Redis server: every change absolute, so that a repeat is harmless.

use super::{Layout, Of, QueueKey};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// One thing that can be done to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// The server.
    pub of: Of,
    /// What is done.
    pub change: Change,
}

/// A store of the Environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Its name.
    pub store: String,
    /// Where it is; credentials are never in it.
    pub url: String,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Let at most so many jobs run at once, over all workers.
    MaxActive {
        /// The queue.
        queue: QueueKey,
        /// At least 1.
        to: u64,
    },
    /// Pause a queue, or say anew why it is paused.
    Pause {
        /// The queue.
        queue: QueueKey,
        /// How its library keeps a paused queue.
        layout: Layout,
        /// For which documents.
        reasons: BTreeSet<String>,
    },
    /// Let a queue go on, and forget why it was paused.
    Resume {
        /// The queue.
        queue: QueueKey,
        /// How its library keeps a paused queue.
        layout: Layout,
        /// Whether the pause is one of ours, whose last reason is gone.
        is_ours: bool,
    },
    /// Forget why we paused a queue, and leave it as it is.
    Forget {
        /// The queue.
        queue: QueueKey,
    },
    /// Take failed jobs away that failed before a moment; those that another job waits for stay.
    Clear {
        /// The queue.
        queue: QueueKey,
        /// The moment.
        before: Timestamp,
        /// The store to which they go first.
        archive: Option<Archive>,
    },
    /// Give settings other values, in this order, and write them to the server's own file where it has one.
    Configure {
        /// Names and values.
        values: Vec<(&'static str, String)>,
        /// Whether it has such a file.
        has_file: bool,
    },
    /// Write a whole file, beside everything else.
    Save,
    /// Take away what a cache holds.
    Purge {
        /// The cache.
        cache: String,
        /// What its keys look like.
        pattern: String,
        /// What no purge touches, whatever its pattern.
        protect: Vec<String>,
    },
    /// Ask the addresses that fill a cache again, and note when.
    Warm {
        /// The cache.
        cache: String,
        /// The addresses.
        urls: Vec<String>,
    },
    /// Give a key a value.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Take a key away.
    Unset {
        /// The key.
        key: String,
    },
}

impl Action {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self.change {
            Change::MaxActive { .. } => "limit",
            Change::Pause { .. } => "pause",
            Change::Resume { .. } => "resume",
            Change::Forget { .. } => "forget",
            Change::Clear { .. } => "clear",
            Change::Configure { .. } => "configure",
            Change::Save => "save",
            Change::Purge { .. } => "purge",
            Change::Warm { .. } => "warm",
            Change::Set { .. } => "set",
            Change::Unset { .. } => "unset",
        }
    }

    /// Whether it is there because somebody changed something, and not because time has come or what we did is over.
    pub fn can_undo_somebody(&self) -> bool {
        match &self.change {
            Change::MaxActive { .. } | Change::Configure { .. } | Change::Pause { .. } => true,
            Change::Set { .. } | Change::Unset { .. } => true,
            Change::Resume { is_ours, .. } => !is_ours,
            Change::Warm { .. }
            | Change::Forget { .. }
            | Change::Clear { .. }
            | Change::Purge { .. }
            | Change::Save => false,
        }
    }

    /// Whether it is done piece by piece: what is left is asked for again by the next look.
    pub fn is_piecewise(&self) -> bool {
        matches!(
            self.change,
            Change::Clear { .. } | Change::Purge { .. } | Change::Warm { .. }
        )
    }
}
