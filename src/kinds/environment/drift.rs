//! `drift`: how long a change outside of git may stay.

use crate::kinds::written::Duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heal {
    /// As soon as it is seen.
    Now,
    /// It stays, and is told.
    Never,
    /// So long after the change.
    After(Duration),
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
            Heal::Now => Some(std::time::Duration::ZERO),
            Heal::Never => None,
            Heal::After(Duration(after)) => Some(after),
        }
    }
}

impl<'de> Deserialize<'de> for Heal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Heal, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match &*text {
            "now" => Ok(Heal::Now),
            "never" => Ok(Heal::Never),
            text => Duration::deserialize(text.into_deserializer()).map(Heal::After),
        }
    }
}

impl JsonSchema for Heal {
    fn schema_name() -> Cow<'static, str> {
        "Heal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a duration such as `10m`, or `now` or `never`",
            "pattern": r"^(now|never|[0-9]+ ?(s|m|h|d|w)( ?[0-9]+ ?(s|m|h|d|w))*)$",
        })
    }
}
