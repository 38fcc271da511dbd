//! How many requests Railway still answers to a token in this hour, by what it says itself (facts/railway.md 1, "Rate limits").

use http::HeaderMap;
use jiff::Timestamp;
use std::time::Duration;

/// What the newest answer said about the budget of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests in a window.
    pub limit: u64,
    /// Those that are left of it.
    pub remaining: u64,
    /// When the window ends.
    pub resets_at: Timestamp,
}

/// The window that Railway counts in.
const WINDOW: Duration = Duration::from_secs(3600);

impl Allowance {
    /// Out of an answer's headers; nothing where they say nothing that can be understood.
    pub(super) fn of(headers: &HeaderMap, now: Timestamp) -> Option<Allowance> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        Some(Allowance {
            limit: number("x-ratelimit-limit").filter(|limit| *limit > 0)?,
            remaining: number("x-ratelimit-remaining")?,
            resets_at: text("x-ratelimit-reset")
                .and_then(|reset| moment(reset, now))
                .unwrap_or_else(|| now.saturating_add(WINDOW).unwrap_or(Timestamp::MAX)),
        })
    }
}

/// A moment as seconds since 1970, as seconds from now, or as a date: which of them Railway sends is not documented.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let found = match text.parse::<i64>() {
        Ok(seconds) if seconds <= 2 * 3600 => now
            .checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
            .ok()?,
        Ok(seconds) => Timestamp::from_second(seconds).ok()?,
        Err(_) => text.parse().ok()?,
    };
    let latest = now.saturating_add(WINDOW).unwrap_or(Timestamp::MAX);
    Some(found.clamp(now, latest))
}
