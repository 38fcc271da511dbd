//! A page on the web as a customer would see it.

use serde::Serialize;
use std::fmt;

/// What an address answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The beginning of its text. It is somebody else's: it is compared, and never shown.
    pub body: String,
}

impl fmt::Debug for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HTTP {} with {} bytes", self.status, self.body.len())
    }
}

/// What a plan wants to know of a page: what it answers now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Question {
    /// The address.
    pub url: String,
}
