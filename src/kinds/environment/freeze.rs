//! `freeze`: windows of time in which nothing that customers could notice is begun.
//!
//! Time zones come with the program, so that a window means the same on every machine.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

/// A window of time, every week or once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Window {
    /// When it begins: `fri 16:00` of every week, or a time with a zone.
    pub from: Edge,
    /// When it ends, in the same form.
    pub to: Edge,
    /// The zone of a weekly window, such as `Europe/Berlin`: its clock holds, in summer and in winter.
    #[schemars(length(min = 1, max = 100))]
    pub timezone: Option<String>,
}

/// Where a window begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Every week.
    Weekly(Weekday, Time),
    /// Once.
    Once(Timestamp),
}

/// The days of a week as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Edge {
    fn of(text: &str) -> Option<Edge> {
        if let Ok(at) = text.parse() {
            return Some(Edge::Once(at));
        }
        let (day, time) = text.split_once(' ')?;
        let (_, day) = DAYS.iter().find(|(word, _)| *word == day)?;
        let (hour, minute) = time.split_once(':')?;
        let time = Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()?;
        Some(Edge::Weekly(*day, time))
    }
}

impl<'de> Deserialize<'de> for Edge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Edge, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Edge::of(&text).ok_or_else(|| D::Error::custom("not a time such as `fri 16:00`"))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edge::Weekly(day, time) => {
                let word = DAYS.iter().find(|(_, known)| known == day);
                let word = word.map_or("", |(word, _)| *word);
                write!(out, "{word} {:02}:{:02}", time.hour(), time.minute())
            }
            Edge::Once(at) => write!(out, "{at:.0}"),
        }
    }
}

impl JsonSchema for Edge {
    fn schema_name() -> Cow<'static, str> {
        "Edge".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "a weekly time such as `fri 16:00`, or a time with a zone such as `2026-12-23T00:00:00Z`",
            "pattern": r"^((mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2}))$",
        })
    }
}

/// All time zones, as they are built in: the machine's own are not asked.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its name.
pub fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// The names of all time zones.
pub fn zones() -> impl Iterator<Item = String> {
    ZONES.available().map(|name| name.as_str().to_owned())
}

impl Window {
    /// When the window ends that a moment lies in; nothing where it lies in none.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        match (self.from, self.to) {
            (Edge::Once(from), Edge::Once(to)) => (from <= now && now < to).then_some(to),
            (Edge::Weekly(first, begins), Edge::Weekly(last, ends)) => {
                let zone = zone(self.timezone.as_deref()?)?;
                weekly((first, begins), (last, ends), &zone, now)
            }
            // `manifest::check` lets no such window through.
            (Edge::Once(_), Edge::Weekly(..)) | (Edge::Weekly(..), Edge::Once(_)) => None,
        }
    }

    /// As it is written: `fri 16:00 to mon 07:00 Europe/Berlin`.
    pub fn words(&self) -> String {
        let zone = self.timezone.as_deref();
        let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
        format!("{} to {}{zone}", self.from, self.to)
    }
}

/// When the weekly window ends that a moment lies in. Both edges are times on the wall: a window over a change of clocks is an hour shorter or longer,
/// an edge in the hour that is left out lies as far behind it, and one in the hour that comes twice is the first of the two.
fn weekly(
    (first, begins): (Weekday, Time),
    (last, ends): (Weekday, Time),
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let days = i64::from(first.until(last));
    let days = if days == 0 && ends <= begins { 7 } else { days };
    let today = zone.to_datetime(now).date();
    // A window of a whole week may have begun eight days ago, where the clock went back.
    (0..=8).find_map(|ago| {
        let day = today.checked_sub(Span::new().days(ago)).ok()?;
        if day.weekday() != first {
            return None;
        }
        let from = on_the_clock(day, begins, zone)?;
        let to = on_the_clock(day.checked_add(Span::new().days(days)).ok()?, ends, zone)?;
        (from <= now && now < to).then_some(to)
    })
}

fn on_the_clock(day: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let moment = day.to_datetime(time);
    zone.to_ambiguous_zoned(moment)
        .compatible()
        .ok()
        .map(|zoned| zoned.timestamp())
}

/// The window that a moment lies in, and when no window holds any more: one may go over into the next.
pub fn frozen(windows: &[Window], now: Timestamp) -> Option<(&Window, Timestamp)> {
    let open = |at: Timestamp| {
        let ends = windows
            .iter()
            .filter_map(move |window| Some((window, window.ends(at)?)));
        ends.max_by_key(|(_, ends)| *ends)
    };
    let (window, mut ends) = open(now)?;
    // Two weekly windows may fill the week together: then there is no end, and a look ahead has one.
    for _ in 0..MOST_IN_A_ROW {
        match open(ends) {
            Some((_, later)) => ends = later,
            None => break,
        }
    }
    Some((window, ends))
}

const MOST_IN_A_ROW: usize = 20;
