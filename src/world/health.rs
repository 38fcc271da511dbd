//! How services answered when they were asked, again and again, from where the controller runs.

use crate::world::Seen;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a series of answers of one service says. It is never one answer alone: one that fails may be chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it answers as it should.
    pub is_healthy: bool,
    /// Since the first answer that was so.
    pub since: Timestamp,
    /// The last answer in words: `HTTP 500`, `503 closed (expected)`.
    pub answered: String,
    /// When that came.
    pub asked_at: Timestamp,
}

/// The health of an environment's services, by name. Who does not ask has none.
pub type Healths = BTreeMap<String, Seen<Health>>;

/// Where no controller asks.
pub static NOBODY_ASKS: Healths = BTreeMap::new();
