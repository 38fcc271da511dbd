//! What a series of answers says of a service's health: one that fails may be chance, and silence says nothing.

use super::health::Answer;
use crate::world::Seen;
use crate::world::health::Health;
use jiff::Timestamp;
use std::time::Duration;

/// So many good answers in a row end what is unhealthy.
const RECOVERED: u32 = 2;
/// An answer that is older than so many turns says nothing of now.
const STALE: u32 = 4;

/// The answers of one service so far, as far as they matter.
#[derive(Debug, Clone)]
pub struct Series {
    state: State,
    /// The answers since that say otherwise.
    against: Option<Run>,
    /// The last answer in words, and when it came.
    last: Option<(String, Timestamp)>,
}

#[derive(Debug, Clone)]
enum State {
    Unknown(String),
    Known { is_healthy: bool, since: Timestamp },
}

/// Answers of one sort in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    is_good: bool,
    since: Timestamp,
    times: u32,
}

impl Default for Series {
    fn default() -> Series {
        Series {
            state: State::Unknown("not asked yet".to_owned()),
            against: None,
            last: None,
        }
    }
}

impl Series {
    /// One more answer; `failures` bad ones in a row are needed to call it unhealthy.
    pub fn heard(&mut self, answer: &Answer, failures: u32, at: Timestamp) {
        let (is_good, words) = match answer {
            Answer::Good(words) => (true, words),
            Answer::Bad(words) => (false, words),
            Answer::Silent(words) => {
                self.state = State::Unknown(words.clone());
                self.against = None;
                return;
            }
        };
        self.last = Some((words.clone(), at));
        let needed = match (&self.state, is_good) {
            (State::Known { is_healthy, .. }, _) if *is_healthy == is_good => {
                self.against = None;
                return;
            }
            (State::Known { .. }, true) => RECOVERED,
            (State::Unknown(_), true) => 1,
            (State::Known { .. } | State::Unknown(_), false) => failures.max(1),
        };
        let run = self
            .against
            .filter(|run| run.is_good == is_good)
            .map_or((at, 1), |run| (run.since, run.times + 1));
        let (since, times) = run;
        if times >= needed {
            let is_healthy = is_good;
            self.state = State::Known { is_healthy, since };
            self.against = None;
        } else {
            self.against = Some(Run {
                is_good,
                since,
                times,
            });
        }
    }

    /// What they say now, for a service that is asked so often.
    pub fn seen(&self, every: Duration, now: Timestamp) -> Seen<Health> {
        let (is_healthy, since) = match (&self.state, &self.against) {
            (State::Known { is_healthy, since }, _) => (*is_healthy, *since),
            (State::Unknown(_), Some(run)) => {
                let words = self.last.as_ref().map_or("", |(words, _)| words);
                return Seen::Unseen(format!("not clear yet: {words}, {} times", run.times));
            }
            (State::Unknown(words), None) => return Seen::Unseen(words.clone()),
        };
        match &self.last {
            Some((answered, asked_at)) if now <= stale_at(*asked_at, every) => {
                Seen::Facts(Health {
                    is_healthy,
                    since,
                    answered: answered.clone(),
                    asked_at: *asked_at,
                })
            }
            Some((_, asked_at)) => Seen::Unseen(format!("no answer since {asked_at:.0}")),
            None => Seen::Unseen("not asked yet".to_owned()),
        }
    }
}

fn stale_at(asked_at: Timestamp, every: Duration) -> Timestamp {
    let old = every.saturating_mul(STALE);
    asked_at.saturating_add(old).unwrap_or(Timestamp::MAX)
}
