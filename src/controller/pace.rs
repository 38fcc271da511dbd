//! How often environments are looked at, so that idle ones keep within their share of what a token may ask: pure.

use crate::providers::railway::Allowance;
use jiff::Timestamp;
use std::time::Duration;

/// Requests an hour where Railway has not told yet: its smallest paid plan (facts/railway.md 1).
const UNTOLD: u64 = 1_000;
/// Of the budget, what beats may take and what whole looks without a cause may take; the rest is for changes.
const BEATS: f64 = 0.15;
const LOOKS: f64 = 0.05;
/// No beat comes sooner, however few environments there are.
const SOONEST_BEAT: Duration = Duration::from_secs(30);
/// A whole look without a cause comes at least so seldom: what a beat does not show (a sealed value, a backup schedule) changes seldom.
const SOONEST_LOOK: Duration = Duration::from_secs(4 * 3600);
/// Where Railway tells no pulse, whole looks take the place of beats.
const WITHOUT_PULSE: Duration = Duration::from_secs(600);
/// With less than this share of its budget left a token serves changes only.
const RESERVE: f64 = 0.15;
const HOUR: f64 = 3600.0;

/// How far apart beats and looks lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one beat of an environment to the next.
    pub beat: Duration,
    /// From one whole look at it to the next, when nothing happens.
    pub look: Duration,
    /// The same where Railway does not tell whether anything moved.
    pub without_pulse: Duration,
}

impl Pace {
    /// For so many environments, of which so many are asked for in one request.
    pub fn of(limit: Option<u64>, environments: usize, together: usize) -> Pace {
        let limit = as_float(limit.unwrap_or(UNTOLD));
        let environments = u64::try_from(environments).unwrap_or(u64::MAX).max(1);
        let together = u64::try_from(together).unwrap_or(1).max(1);
        let apart =
            |requests: u64, share: f64| seconds(HOUR * as_float(requests) / (share * limit));
        let look = apart(environments, LOOKS).max(SOONEST_LOOK);
        Pace {
            beat: apart(environments.div_ceil(together), BEATS).max(SOONEST_BEAT),
            look,
            without_pulse: apart(environments, BEATS).max(WITHOUT_PULSE).min(look),
        }
    }
}

/// Whether something without a cause may be asked now; until when not, where it may not.
pub fn rests_until(allowance: Option<Allowance>, now: Timestamp) -> Option<Timestamp> {
    let told = allowance.filter(|told| now < told.resets_at)?;
    (as_float(told.remaining) < RESERVE * as_float(told.limit)).then_some(told.resets_at)
}

/// A pass asks for no more than that: a look, two questions, a write.
const A_PASS: u64 = 4;

/// Whether another pass beside so many might ask for more than is left, whatever its cause; until when, where it might.
pub fn spent_until(
    allowance: Option<Allowance>,
    passes: usize,
    now: Timestamp,
) -> Option<Timestamp> {
    let told = allowance.filter(|told| now < told.resets_at)?;
    let passes = u64::try_from(passes).unwrap_or(u64::MAX).saturating_add(1);
    (told.remaining < passes.saturating_mul(A_PASS)).then_some(told.resets_at)
}

/// Whole looks without a cause, one after the other: so many at once, and then as the budget brings new ones.
#[derive(Debug, Clone, Copy)]
pub struct Purse {
    filled: f64,
    at: Timestamp,
}

/// So many looks may come together, for instance when the controller begins.
const BURST: f64 = 200.0;
/// The share of the budget that first looks may take.
const FIRST: f64 = 0.4;

impl Purse {
    /// A full one.
    pub fn full(now: Timestamp) -> Purse {
        Purse {
            filled: BURST,
            at: now,
        }
    }

    /// Takes one out, where there is one.
    pub fn take(&mut self, limit: Option<u64>, now: Timestamp) -> bool {
        let since = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.filled = (self.filled + since * an_hour(limit) / HOUR).min(BURST);
        self.at = now;
        let has_one = self.filled >= 1.0;
        if has_one {
            self.filled -= 1.0;
        }
        has_one
    }

    /// When there is one again.
    pub fn next(&self, limit: Option<u64>) -> Timestamp {
        let missing = (1.0 - self.filled).max(0.0);
        let time = seconds(missing * HOUR / an_hour(limit));
        self.at.saturating_add(time).unwrap_or(Timestamp::MAX)
    }
}

fn an_hour(limit: Option<u64>) -> f64 {
    FIRST * as_float(limit.unwrap_or(UNTOLD))
}

#[expect(clippy::cast_precision_loss, reason = "budgets are small")]
fn as_float(number: u64) -> f64 {
    number as f64
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
