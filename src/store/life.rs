//! The life of a controller on a store: what it says of itself, how long it may believe in itself, and when others may end it.

use crate::clock::{Clock, Moment};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a life lasts without a beat, and what is kept away from its end. The same for all controllers of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    ttl: Duration,
    beat: Duration,
    margin: Duration,
    longest: Duration,
}

/// Nobody waits longer for somebody who is gone, whatever is written.
const LONGEST_TTL: Duration = Duration::from_secs(600);

impl Terms {
    /// By how long a life lasts without a beat, and how long a request to the outside may take.
    ///
    /// # Errors
    /// When so short a life could not hold while two beats fail and one request is on its way.
    pub fn new(ttl: Duration, longest: Duration) -> Result<Terms, String> {
        let beat = ttl / 6;
        if ttl < longest + 3 * beat {
            return Err(format!(
                "a lease of {ttl:?} is too short for requests of up to {longest:?}: right would be at least {:?}",
                longest * 2
            ));
        }
        if ttl > LONGEST_TTL {
            return Err(format!(
                "a lease of {ttl:?} is too long: right would be at most {LONGEST_TTL:?}"
            ));
        }
        Ok(Terms {
            ttl,
            beat,
            margin: ttl / 10,
            longest,
        })
    }

    /// How long a life lasts without a beat.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How often it beats.
    pub fn beat(&self) -> Duration {
        self.beat
    }

    /// What is added to another's time before it counts as over, for clocks that do not run alike.
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// How long no request to the outside may take more: what a lease must last before one is sent.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

impl Default for Terms {
    /// Sixty seconds for requests of thirty: who is killed is missed for a little over a minute.
    fn default() -> Terms {
        Terms {
            ttl: Duration::from_secs(60),
            beat: Duration::from_secs(10),
            margin: Duration::from_secs(6),
            longest: Duration::from_secs(30),
        }
    }
}

/// What a controller writes of itself, in `controllers/<name>-<word>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paper {
    /// Its name, which a restart keeps.
    pub name: String,
    /// A word by chance, which a restart does not keep.
    pub word: String,
    /// Which environments it takes by itself.
    pub serves: Serves,
    /// Grows with every beat.
    pub beat: u64,
    /// How long it believes in itself without a beat.
    pub ttl_millis: u64,
    /// When, by its own clock: for people, nothing is decided by it.
    pub written: Timestamp,
    /// Set once, for good: by itself when it leaves, or by who takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
}

impl Paper {
    /// What leases name.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.word)
    }

    /// How long others wait for its next beat.
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_millis).min(LONGEST_TTL)
    }
}

/// Which environments a process takes by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Serves {
    /// Its share of all.
    All,
    /// This one, from inside it.
    One(String),
    /// None: it takes what it is told to, as `apply` does, and has no share.
    Asked,
}

/// What is seen of another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// Its paper is gone, or says that it is over: it can never beat again.
    Over,
    /// It has been seen to stand still since then.
    Still {
        /// Since when, on the clock of who looks.
        since: Moment,
        /// How long it believes in itself.
        ttl: Duration,
    },
}

/// What to do about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nobody else has it: write it with the next epoch. Also when it is mine by what is written, as an earlier giving back may still be on its way:
    /// the next version makes that one lose.
    Take,
    /// Its holder has been silent for too long: end that life by a conditional write, then look again.
    End,
    /// Its holder may live: not before then.
    Wait {
        /// When it can have been silent for too long.
        until: Moment,
    },
}

/// What to do about a lease, from who holds it and what was seen of that life.
pub fn decide(holder: Option<(&str, Pulse)>, me: &str, now: Moment, margin: Duration) -> Next {
    match holder {
        None => Next::Take,
        Some((holder, _)) if holder == me => Next::Take,
        Some((_, Pulse::Over)) => Next::Take,
        Some((_, Pulse::Still { since, ttl })) => {
            let until = since + ttl + margin;
            match now >= until {
                true => Next::End,
                false => Next::Wait { until },
            }
        }
    }
}

/// This process's own life: how long it may believe in it. Once over, it is over for good.
#[derive(Debug)]
pub struct Life {
    id: String,
    ttl: Duration,
    clock: Clock,
    confirmed: Mutex<Start>,
    over: watch::Sender<Option<String>>,
}

/// When a request that renewed a life was begun, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    moment: Moment,
    wall: Timestamp,
}

impl Start {
    pub(super) fn now(clock: &Clock) -> Start {
        Start {
            moment: clock.moment(),
            wall: clock.now(),
        }
    }
}

impl Life {
    pub(super) fn new(id: String, ttl: Duration, start: Start, clock: &Clock) -> Life {
        Life {
            id,
            ttl,
            clock: clock.clone(),
            confirmed: Mutex::new(start),
            over: watch::Sender::new(None),
        }
    }

    /// What leases name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it surely lasts this much longer. Cheap; asked before every action.
    ///
    /// The clock that only counts may stand still while the machine sleeps, and the machine's clock may be set: it lasts while both say so.
    pub fn lasts(&self, margin: Duration) -> bool {
        if self.over.borrow().is_some() {
            return false;
        }
        let left = self.left();
        if left.is_zero() {
            self.end("its beat was not confirmed in time");
        }
        left > margin
    }

    /// Returns with the reason when it is over.
    pub async fn lost(&self) -> String {
        let mut over = self.over.subscribe();
        loop {
            if let Some(why) = over.borrow_and_update().clone() {
                return why;
            }
            tokio::select! {
                biased;
                _ = over.changed() => {}
                () = self.clock.sleep(self.left()) => { self.lasts(Duration::ZERO); }
            }
        }
    }

    /// Why it is over, if it is.
    pub fn why(&self) -> Option<String> {
        self.over.borrow().clone()
    }

    pub(super) fn confirm(&self, start: Start) {
        // A late answer must not wake what others may have seen end already.
        if self.lasts(Duration::ZERO) {
            *self.confirmed() = start;
        }
    }

    pub(super) fn end(&self, why: &str) {
        self.over.send_if_modified(|over| {
            let is_first = over.is_none();
            over.get_or_insert_with(|| why.to_owned());
            is_first
        });
    }

    fn left(&self) -> Duration {
        let confirmed = *self.confirmed();
        let counted = self
            .ttl
            .saturating_sub(self.clock.moment().duration_since(confirmed.moment));
        let since = self.clock.now().duration_since(confirmed.wall);
        // A clock that was set back says nothing of how much time is gone.
        let since = since.max(SignedDuration::ZERO).unsigned_abs();
        counted.min(self.ttl.saturating_sub(since))
    }

    fn confirmed(&self) -> std::sync::MutexGuard<'_, Start> {
        self.confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
