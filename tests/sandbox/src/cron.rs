//! Crontab expressions as Railway takes them: five fields, UTC, at least five minutes between two runs.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::time::Time;

/// Two runs may not be closer than this.
const SHORTEST_MINUTES: u32 = 5;
/// A schedule that fires on no day of so many never does.
const MOST_DAYS: u32 = 366 * 5;

#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    any_day: bool,
    any_weekday: bool,
}

impl Cron {
    /// Reads an expression; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("Invalid cron schedule: \"{text}\""));
        };
        let field = |field: &str, low, high| {
            parsed(field, low, high).ok_or(format!("Invalid cron schedule: \"{text}\""))
        };
        let cron = Cron {
            minutes: field(minute, 0, 59)?,
            hours: field(hour, 0, 23)?,
            days: field(day, 1, 31)?,
            months: field(month, 1, 12)?,
            weekdays: field(weekday, 0, 7)?
                .into_iter()
                .map(|weekday| weekday % 7)
                .collect(),
            any_day: *day == "*",
            any_weekday: *weekday == "*",
        };
        if cron.is_too_frequent() {
            return Err(format!(
                "Cron schedule must be at least {SHORTEST_MINUTES} minutes apart"
            ));
        }
        Ok(cron)
    }

    /// The first run after a moment.
    pub fn next(&self, after: Time) -> Option<Time> {
        let start = Timestamp::from_millisecond(after.0).ok()?;
        let start = start.to_zoned(TimeZone::UTC).datetime();
        let mut date = start.date();
        for day in 0..MOST_DAYS {
            if self.runs_on(date) {
                let runs = self
                    .hours
                    .iter()
                    .flat_map(|hour| self.minutes.iter().map(|minute| (*hour, *minute)));
                for (hour, minute) in runs {
                    let run = DateTime::from_parts(date, Clock::constant(hour, minute, 0, 0));
                    if day > 0 || run > start {
                        let run = run.to_zoned(TimeZone::UTC).ok()?;
                        return Some(Time(run.timestamp().as_millisecond()));
                    }
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    /// As in every cron: when both kinds of day are given, either will do.
    fn runs_on(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self
            .weekdays
            .contains(&date.weekday().to_sunday_zero_offset());
        let is_day = match (self.any_day, self.any_weekday) {
            (false, false) => day || weekday,
            _ => day && weekday,
        };
        self.months.contains(&date.month()) && is_day
    }

    fn is_too_frequent(&self) -> bool {
        let minutes: Vec<u32> = self.minutes.iter().map(|minute| *minute as u32).collect();
        let within = minutes
            .windows(2)
            .any(|pair| pair[1] - pair[0] < SHORTEST_MINUTES);
        let hours: Vec<i8> = self.hours.iter().copied().collect();
        let follow = hours.windows(2).any(|pair| pair[1] - pair[0] == 1)
            || (hours.first() == Some(&0) && hours.last() == Some(&23));
        let across = match (minutes.first(), minutes.last()) {
            (Some(first), Some(last)) => follow && first + 60 - last < SHORTEST_MINUTES,
            _ => false,
        };
        within || across
    }
}

/// `*`, `3`, `1-5`, `*/15`, `1-30/2`, and lists of these.
fn parsed(field: &str, low: i8, high: i8) -> Option<BTreeSet<i8>> {
    let mut all = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None if part.contains('/') => (range.parse().ok()?, high),
            None => (range.parse().ok()?, range.parse().ok()?),
        };
        if first < low || last > high || first > last {
            return None;
        }
        all.extend((first..=last).step_by(step));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> String {
        let after = Time::parse(after).unwrap_or_default();
        let run = Cron::parse(schedule).ok().and_then(|cron| cron.next(after));
        run.map_or("never".into(), |run| run.to_string())
    }

    #[test]
    fn the_next_run_is_found_over_days_and_years() {
        for (schedule, after, run) in [
            (
                "0 3 * * *",
                "2026-11-23T02:59:59Z",
                "2026-11-23T03:00:00.000Z",
            ),
            (
                "0 3 * * *",
                "2026-11-23T03:00:00Z",
                "2026-11-24T03:00:00.000Z",
            ),
            (
                "*/15 * * * *",
                "2026-11-23T03:01:00Z",
                "2026-11-23T03:15:00.000Z",
            ),
            (
                "30 14 * 1 0",
                "2026-11-23T03:01:00Z",
                "2027-01-03T14:30:00.000Z",
            ),
            (
                "0 0 29 2 *",
                "2026-11-23T03:01:00Z",
                "2028-02-29T00:00:00.000Z",
            ),
            (
                "0 9 1 * 1-5",
                "2026-11-28T09:00:00Z",
                "2026-11-30T09:00:00.000Z",
            ),
            (
                "0 9 * * 7",
                "2026-11-23T09:00:00Z",
                "2026-11-29T09:00:00.000Z",
            ),
            ("0 0 31 2 *", "2026-11-23T09:00:00Z", "never"),
        ] {
            assert_eq!(next(schedule, after), run, "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_or_too_frequent_is_refused() {
        for schedule in [
            "",
            "* * * *",
            "61 * * * *",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@daily",
        ] {
            assert!(Cron::parse(schedule).is_err(), "{schedule}");
        }
        for schedule in ["* * * * *", "*/4 * * * *", "0,3 5 * * *", "2,59 * * * *"] {
            assert!(Cron::parse(schedule).is_err(), "{schedule}");
        }
        for schedule in ["*/5 * * * *", "2,57 * * * *", "2,59 5 * * *"] {
            assert!(Cron::parse(schedule).is_ok(), "{schedule}");
        }
    }
}
