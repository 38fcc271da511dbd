//! What of one environment is due when: pure.

use super::pace::Pace;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What comes next for one environment.
#[derive(Debug, Clone)]
pub struct Agenda {
    /// When a whole look is due because something happened, or is waited for.
    pub look: Option<Timestamp>,
    looked: Option<Timestamp>,
    beaten: Option<Timestamp>,
    has_pulse: bool,
    pause: Duration,
    failed: u32,
    /// Which part of the usual time passes from the first look to the second.
    phase: Option<f64>,
}

/// What came of a look, as far as it says when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something was written: it shows soon.
    Soon,
    /// Something is waited for, and time alone may bring it; or until a moment at which it changes by itself.
    Waits {
        /// That moment, where one is known.
        until: Option<Timestamp>,
    },
    /// Nothing changes by itself.
    Rests,
    /// Nothing was seen, or not all of it.
    Again,
    /// The server has said when to ask again.
    At(Timestamp),
    /// The token is not good enough: somebody must give another.
    Denied,
}

impl Next {
    /// Whether something goes on, so that there will be several looks in a row.
    pub fn is_near(self) -> bool {
        matches!(self, Next::Soon | Next::Waits { until: None })
    }
}

/// After a write.
const SOON: Duration = Duration::from_secs(2);
/// While something is waited for, looks come further and further apart.
const LATER: Duration = Duration::from_secs(30);
/// While nothing is seen.
const AGAIN: Duration = Duration::from_secs(5);
const SELDOM: Duration = Duration::from_secs(300);

impl Agenda {
    /// A look is due at once. Those whose first looks come together shall not stay together for ever: the second one comes sooner than
    /// the usual time by chance of the name.
    pub fn of(name: &str) -> Agenda {
        Agenda {
            phase: Some(phase(name)),
            ..Agenda::default()
        }
    }

    /// Something happened: a look is due now, whatever was waited for.
    pub fn wake(&mut self, now: Timestamp) {
        self.look = Some(now);
        self.pause = SOON;
    }

    /// When a look with a cause is due. The first one has none: it can wait for the budget.
    pub fn next_woken(&self) -> Option<Timestamp> {
        self.look.filter(|_| self.looked.is_some())
    }

    /// When a look without a cause is due.
    pub fn next_routine(&self, pace: &Pace) -> Timestamp {
        let Some(looked) = self.looked else {
            return self.look.unwrap_or(Timestamp::MIN);
        };
        let every = if self.has_pulse {
            pace.look
        } else {
            pace.without_pulse
        };
        after(looked, every.mul_f64(self.phase.unwrap_or(1.0)))
    }

    /// When a whole look is due.
    pub fn next_look(&self, pace: &Pace) -> Timestamp {
        let routine = self.next_routine(pace);
        self.next_woken()
            .map_or(routine, |woken| woken.min(routine))
    }

    /// When a beat is due; never before the first look, and not while a look is due sooner anyway.
    pub fn next_beat(&self, pace: &Pace) -> Option<Timestamp> {
        let since = self.looked?.max(self.beaten.unwrap_or(Timestamp::MIN));
        let beat = after(since, pace.beat);
        (self.has_pulse && beat < self.next_look(pace)).then_some(beat)
    }

    /// A beat came back. `moved` is nothing where Railway does not tell.
    pub fn beaten(&mut self, moved: Option<bool>, now: Timestamp) {
        self.beaten = Some(now);
        match moved {
            Some(true) => self.wake(now),
            Some(false) => {}
            None => self.has_pulse = false,
        }
    }

    /// A look is over; `jitter` spreads those who wait for the same.
    pub fn looked(
        &mut self,
        next: Next,
        has_pulse: bool,
        jitter: impl Fn(Duration) -> Duration,
        now: Timestamp,
    ) {
        if !matches!(next, Next::Again | Next::At(_) | Next::Denied) {
            if self.looked.is_some() {
                self.phase = None;
            }
            self.looked = Some(now);
            self.has_pulse = has_pulse;
            self.failed = 0;
        }
        let grown = |pause: Duration| (pause * 3 / 2).min(LATER);
        self.look = match next {
            Next::Soon => {
                self.pause = SOON;
                Some(after(now, jitter(SOON)))
            }
            Next::Waits { until } => {
                let pause = jitter(self.pause);
                self.pause = grown(self.pause);
                Some(until.map_or_else(|| after(now, pause), |until| until.max(after(now, SOON))))
            }
            Next::Rests => {
                self.pause = SOON;
                None
            }
            Next::Again => {
                self.failed += 1;
                let pause = AGAIN * 2u32.saturating_pow(self.failed.min(10) - 1);
                Some(after(now, jitter(pause.min(SELDOM))))
            }
            Next::At(moment) => Some(moment.max(after(now, SOON))),
            Next::Denied => Some(after(now, jitter(SELDOM))),
        };
    }
}

impl Default for Agenda {
    fn default() -> Agenda {
        Agenda {
            look: Some(Timestamp::MIN),
            looked: None,
            beaten: None,
            has_pulse: true,
            pause: SOON,
            failed: 0,
            phase: None,
        }
    }
}

/// A share of one, spread evenly over names.
fn phase(name: &str) -> f64 {
    let hash = Sha256::digest(name.as_bytes());
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX)
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    moment.saturating_add(time).unwrap_or(Timestamp::MAX)
}
