//! `drift`: how long a change outside of git may stay.

use crate::kinds::written::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the controller does about a change outside of git. It is told at once in any case; `apply` undoes it at once, because a person said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Drift {
    /// How long after the change it is undone: a duration, `now`, or `never`. What git itself changes is made at once.
    #[serde(default)]
    pub heal: Heal,
}

/// When a change outside of git is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a duration such as `10m`, or `now` or `never`")]
pub enum Heal {
    /// By a word.
    Word(HealWord),
    /// So long after the change.
    After(Duration),
}

/// When a change outside of git is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HealWord {
    /// As soon as it is seen.
    Now,
    /// It stays, and is told.
    Never,
}

impl Default for Heal {
    fn default() -> Heal {
        Heal::After(Duration(std::time::Duration::from_secs(600)))
    }
}

impl Heal {
    /// How long after the change; nothing where it is never undone.
    pub fn after(self) -> Option<std::time::Duration> {
        match self {
            Heal::Word(HealWord::Now) => Some(std::time::Duration::ZERO),
            Heal::Word(HealWord::Never) => None,
            Heal::After(Duration(after)) => Some(after),
        }
    }
}
