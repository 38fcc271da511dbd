//! Durations, times, sizes and shares as people write them in manifests.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// A length of time: `90s`, `2m`, `4h`, `30d`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// A moment: RFC 3339 with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub Timestamp);

/// An amount of memory or storage: `512MiB`, `2GiB`, `500MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
}

/// A part of a whole: `80%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// 1 to 99.
    pub percent: u8,
}

/// What the units of a size stand for, bytes.
const UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = UNITS.iter().find_map(|(unit, bytes)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*bytes)
        });
        bytes
            .map(|bytes| Size { bytes })
            .ok_or_else(|| D::Error::custom("not a size such as `512MiB` or `2GiB`"))
    }
}

impl fmt::Display for Size {
    /// In the largest unit that divides it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits =
            |(_, bytes): &&(&str, u64)| self.bytes >= *bytes && self.bytes.is_multiple_of(*bytes);
        match UNITS.iter().filter(fits).max_by_key(|(_, bytes)| *bytes) {
            Some((unit, bytes)) => write!(out, "{}{unit}", self.bytes / bytes),
            None => write!(out, "{} bytes", self.bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.parse().ok());
        percent
            .filter(|percent| (1..=99).contains(percent))
            .map(|percent| Share { percent })
            .ok_or_else(|| D::Error::custom("not a share from `1%` to `99%`"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", self.percent)
    }
}

impl Share {
    /// Whether a part of a whole is more.
    pub fn is_less_than(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 100 > u128::from(whole) * u128::from(self.percent)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Duration)
            .map_err(|_| D::Error::custom("not a duration such as `90s`, `2m`, `4h` or `30d`"))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse::<Timestamp>()
            .map(Instant)
            .map_err(|_| D::Error::custom("not a time with a zone such as `2026-11-23T03:05:00Z`"))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(out)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a duration such as `90s`, `2m`, `4h` or `30d`",
            "pattern": r"^[0-9]+ ?(s|m|h|d|w)( ?[0-9]+ ?(s|m|h|d|w))*$",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a size such as `512MiB` or `2GiB`",
            "pattern": "^[0-9]{1,9} ?[KMGT]i?B$",
        })
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a share from `1%` to `99%`",
            "pattern": "^[1-9][0-9]?%$",
        })
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a time with a zone such as `2026-11-23T03:05:00Z`",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
        })
    }
}
