//! What goes wrong with looks and writes, drawn when they come.

use super::super::schedule::Crash;
use super::super::view::{MISSING, Missing};
use super::Scene;
use jiff::SignedDuration;
use reconciler::world::Failure;

/// What goes wrong with a look, or with the answer to a question.
pub enum LookFault {
    Fails(Failure),
    Stale(i64),
    Missing(Missing),
    Slow(u64),
}

/// What goes wrong with a write.
pub enum WriteFault {
    NotDone(Failure),
    LostBefore,
    LostAfter,
    /// Lost, and done some seconds later.
    Late(i64),
    Twice,
    Slow(u64),
    FailsWhenApplied,
    Crash(Crash),
}

impl Scene {
    /// While the token is not good enough.
    fn denied(&self) -> Option<Failure> {
        let (from, until) = self.schedule.denied?;
        (from..until)
            .contains(&self.model.now)
            .then(|| Failure::Denied("Railway says Not Authorized".to_owned()))
    }

    pub(super) fn look_fault(&mut self) -> Option<LookFault> {
        if self.is_quiet() {
            return None;
        }
        if let Some(failure) = self.denied() {
            return Some(LookFault::Fails(failure));
        }
        if !self.chance.per_mille(self.schedule.rates.looks) {
            return None;
        }
        Some(match self.chance.below(10) {
            0 => LookFault::Fails(Failure::Passing("the connection was refused".to_owned())),
            1 => LookFault::Fails(Failure::Throttled {
                until: self.model.now + SignedDuration::from_secs(3),
            }),
            2 => LookFault::Fails(Failure::Unclear("the connection was lost".to_owned())),
            3 if self.chance.percent(20) => LookFault::Fails(Failure::Refused(
                "no project `shop` that the token shows".to_owned(),
            )),
            3..6 => LookFault::Stale(i64::try_from(self.chance.between(1, 8)).expect("small")),
            6..9 => LookFault::Missing(self.chance.pick(MISSING)),
            _ => LookFault::Slow(self.chance.between(1, 20)),
        })
    }

    pub(super) fn write_fault(&mut self, number: usize) -> Option<WriteFault> {
        if let Some(crash) = self.schedule.crashes.remove(&number) {
            return Some(WriteFault::Crash(crash));
        }
        if self.is_quiet() {
            return None;
        }
        if let Some(failure) = self.denied() {
            return Some(WriteFault::NotDone(failure));
        }
        if self.chance.per_mille(self.schedule.rates.crashes) {
            let crash = self.chance.pick(&[Crash::Before, Crash::After]);
            return Some(WriteFault::Crash(crash));
        }
        if !self.chance.per_mille(self.schedule.rates.writes) {
            return None;
        }
        let now = self.model.now;
        Some(match self.chance.below(12) {
            0 => WriteFault::NotDone(Failure::Refused("Problem processing request".to_owned())),
            1 => WriteFault::NotDone(Failure::Throttled {
                until: now + SignedDuration::from_secs(self.chance.pick(&[2, 20, 90])),
            }),
            2..4 => WriteFault::NotDone(Failure::Passing("the connection was refused".to_owned())),
            4 => WriteFault::LostBefore,
            5..8 => WriteFault::LostAfter,
            8 => WriteFault::Late(i64::try_from(self.chance.between(1, 3)).expect("small")),
            9 => WriteFault::Twice,
            10 => WriteFault::Slow(self.chance.between(1, 20)),
            _ => WriteFault::FailsWhenApplied,
        })
    }
}
