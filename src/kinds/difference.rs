//! A field whose stored value is not the declared one, and what can be done about it.

use super::step::Cause;
use crate::source::Origin;
use crate::world::railway::Setting;

/// A field whose stored value is not the declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The part of the document: `replicas`, a variable's name.
    pub field: String,
    /// What is done, in one word.
    pub verb: &'static str,
    /// What is there now, as it may be printed.
    pub from: Option<String>,
    /// What it will be, as it may be printed.
    pub to: Option<String>,
    /// Why, in a few words.
    pub why: String,
    /// Where it is written.
    pub origin: Origin,
    /// Whether it closes something.
    pub closes: bool,
    /// What can be done about it.
    pub then: Then,
}

/// What can be done about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// It can be set.
    Set(Setting),
    /// Somebody must act first.
    Hold {
        /// What stands in the way.
        by: String,
        /// What somebody can do about it.
        way_out: String,
        /// What sort of hold.
        cause: Cause,
    },
    /// It cannot be seen, so it is not touched.
    Unseen(String),
    /// Nothing to do, but people should know.
    Told(String),
}
