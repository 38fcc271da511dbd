//! The name of something in git: a commit, a directory or a file, by its content.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An object's name, whole: 40 hexadecimal digits, or 64 in a repository with SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id {
    bytes: [u8; 32],
    length: u8,
}

/// What is no name of an object.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a commit is written with all its 40 digits")]
pub struct NoId;

impl Id {
    /// The first digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Id, NoId> {
        if !matches!(text.len(), 40 | 64) {
            return Err(NoId);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = pair.iter().map(|digit| char::from(*digit).to_digit(16));
            let pair: Option<Vec<u32>> = pair.collect();
            let [high, low] = pair.ok_or(NoId)?[..] else {
                return Err(NoId);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| NoId)?;
        }
        Ok(Id {
            bytes,
            length: if text.len() == 40 { 20 } else { 32 },
        })
    }
}

impl TryFrom<String> for Id {
    type Error = NoId;

    fn try_from(text: String) -> Result<Id, NoId> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.to_string()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..usize::from(self.length)]
            .iter()
            .try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
