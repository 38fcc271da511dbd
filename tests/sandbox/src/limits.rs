//! Requests counted per token, by the hour and by the second, and the headers that tell how many are left.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::plan::Plan;
use crate::switches::ResetHeader;
use crate::time::Time;

const HOUR: i64 = 3_600_000;
/// The edge's own limit for requests without a query string.
const EDGE_PER_SECOND: u32 = 10;

#[derive(Default)]
pub struct Limits {
    hours: BTreeMap<String, Window>,
    seconds: BTreeMap<String, Window>,
    edge: Window,
    /// Until when the edge blocks everybody.
    blocked: Option<Time>,
}

#[derive(Clone, Copy, Default)]
struct Window {
    began: Time,
    used: u32,
}

/// Where one request leaves its token.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    pub resets: Time,
    /// Set when the request is one too many.
    pub retry_after_seconds: Option<u32>,
}

impl Limits {
    /// `an_hour` takes the place of what the plan allows.
    pub fn count(&mut self, token: &str, plan: Plan, an_hour: Option<u32>, now: Time) -> Allowance {
        let hour = self
            .hours
            .entry(token.to_string())
            .or_default()
            .turned(now, HOUR);
        let second = self
            .seconds
            .entry(token.to_string())
            .or_default()
            .turned(now, 1000);
        let limit = an_hour.unwrap_or(plan.requests_per_hour());
        let resets = hour.began.plus_milliseconds(HOUR);
        let retry_after_seconds = if hour.used >= limit {
            Some(((resets.0 - now.0) / 1000).max(1) as u32)
        } else if an_hour.is_none()
            && plan
                .requests_per_second()
                .is_some_and(|most| second.used >= most)
        {
            Some(1)
        } else {
            hour.used += 1;
            second.used += 1;
            None
        };
        Allowance {
            limit,
            remaining: limit.saturating_sub(hour.used),
            resets,
            retry_after_seconds,
        }
    }

    /// Whether the edge lets a request pass. It counts those without a query string, and may block all after too many.
    pub fn passes_edge(&mut self, has_query: bool, block_minutes: u32, now: Time) -> bool {
        if self.blocked.is_some_and(|until| now < until) {
            return false;
        }
        if has_query {
            return true;
        }
        let window = self.edge.turned(now, 1000);
        window.used += 1;
        let passes = window.used <= EDGE_PER_SECOND;
        if !passes && block_minutes > 0 {
            self.blocked = Some(now.plus_seconds(f64::from(block_minutes) * 60.0));
        }
        passes
    }
}

impl Window {
    fn turned(&mut self, now: Time, length: i64) -> &mut Window {
        if self.used == 0 || now.0 >= self.began.0 + length {
            *self = Window {
                began: now,
                used: 0,
            };
        }
        self
    }
}

impl Allowance {
    pub fn write(&self, headers: &mut HeaderMap, form: ResetHeader, now: Time) {
        let reset = match form {
            ResetHeader::Epoch => (self.resets.0 / 1000).to_string(),
            ResetHeader::SecondsLeft => ((self.resets.0 - now.0) / 1000).to_string(),
            ResetHeader::Rfc3339 => self.resets.to_string(),
        };
        put(headers, "x-ratelimit-limit", &self.limit.to_string());
        put(
            headers,
            "x-ratelimit-remaining",
            &self.remaining.to_string(),
        );
        put(headers, "x-ratelimit-reset", &reset);
        put(
            headers,
            "ratelimit-policy",
            &format!("{};w=3600", self.limit),
        );
        if let Some(seconds) = self.retry_after_seconds {
            put(headers, "retry-after", &seconds.to_string());
        }
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(
        HeaderName::from_static(name),
        HeaderValue::from_str(value).expect("digits and dates are fit for a header"),
    );
}
