//! What the message of a patch says of a release that was refused.

use crate::world::railway::{AUTHOR, Patch};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// What the history says of a release that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The service and the content that were refused.
    pub(super) refused: String,
    /// What was put in its place.
    pub(super) instead: String,
    /// For how long it was unhealthy, in words.
    pub(super) after: String,
}

/// A service and a content in so few letters that they fit in a message.
pub(super) fn digest(service: &str, image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let mut words = String::new();
    for byte in Sha256::digest(format!("{service}\n{image}")).iter().take(4) {
        let _ = write!(words, "{byte:02x}");
    }
    words
}

pub(super) fn marks(patch: &Patch) -> impl Iterator<Item = Mark> {
    marks_with_names(patch).map(|(_, mark)| mark)
}

/// The marks in the message of a patch of ours, with the services that they are about.
pub(super) fn marks_with_names(patch: &Patch) -> impl Iterator<Item = (&str, Mark)> {
    let ours = patch.message.strip_prefix(AUTHOR).unwrap_or_default();
    let parts = ours.split([';', '[']);
    parts.filter_map(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        match words.as_slice() {
            [name, "refused", refused, "for", instead, "after", after] => Some((
                *name,
                Mark {
                    refused: (*refused).to_owned(),
                    instead: (*instead).to_owned(),
                    after: (*after).to_owned(),
                },
            )),
            _ => None,
        }
    })
}
