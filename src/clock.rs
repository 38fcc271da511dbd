//! Now, sleep and jitter: the only door to time and chance.

use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A moment that can be compared with another of the same process, and with nothing else.
pub type Moment = tokio::time::Instant;

/// Tells the time and waits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    chance: Arc<Mutex<u64>>,
}

#[derive(Debug, Clone)]
enum Source {
    /// The machine's clock.
    Wall,
    /// A moment, and what tokio's clock has counted since: virtual where that clock is paused.
    Counted {
        start: Timestamp,
        began: Moment,
        jumped: Arc<Mutex<SignedDuration>>,
    },
}

impl Clock {
    /// The machine's clock; chance is seeded from it.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn wall() -> Clock {
        let seed = Timestamp::now().as_nanosecond().cast_unsigned();
        Clock {
            source: Source::Wall,
            chance: Arc::new(Mutex::new(
                u64::try_from(seed & u128::from(u64::MAX)).unwrap_or(1),
            )),
        }
    }

    /// A clock that begins at a moment and follows tokio's own, with chance from a seed: for simulation.
    pub fn counted(start: Timestamp, seed: u64) -> Clock {
        Clock {
            source: Source::Counted {
                start,
                began: Moment::now(),
                jumped: Arc::default(),
            },
            chance: Arc::new(Mutex::new(seed)),
        }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::Wall => Timestamp::now(),
            Source::Counted {
                start,
                began,
                jumped,
            } => {
                let jumped = *jumped.lock().unwrap_or_else(PoisonError::into_inner);
                start
                    .saturating_add(began.elapsed())
                    .and_then(|now| now.saturating_add(jumped))
                    .unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// A moment on the clock that only counts on: what people do to the machine's clock does not change it. It may stand still while the machine sleeps.
    pub fn moment(&self) -> Moment {
        Moment::now()
    }

    /// Somebody sets the machine's clock: for simulation. What only counts on does not notice.
    pub fn jump(&self, by: SignedDuration) {
        if let Source::Counted { jumped, .. } = &self.source {
            let mut jumped = jumped.lock().unwrap_or_else(PoisonError::into_inner);
            *jumped = jumped.saturating_add(by);
        }
    }

    /// Waits for a time.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Up to a fifth more or less than a time, so that many who wait do not come back together.
    pub fn jittered(&self, time: Duration) -> Duration {
        let share = self.chance() % 401;
        time.saturating_mul(u32::try_from(800 + share).unwrap_or(1000)) / 1000
    }

    /// A short word by chance, for the name of something that must not meet another of its kind.
    pub fn word(&self, length: usize) -> String {
        // Without those that people take for one another.
        let letters = b"abcdefghjkmnpqrstuvwxyz23456789";
        let letter = |chance: u64| {
            let at = usize::try_from(chance % letters.len() as u64).unwrap_or_default();
            char::from(letters[at])
        };
        (0..length).map(|_| letter(self.chance())).collect()
    }

    /// A number by chance. SplitMix64: small, and good enough to spread waits.
    pub fn chance(&self) -> u64 {
        let mut state = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
