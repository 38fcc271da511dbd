//! Trouble on the way to Railway and inside it, drawn from a seed or written as a script, one per request at most.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::random::Random;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is refused; Railway never sees the request.
    NotSent,
    /// The connection drops before the request is processed.
    LostBefore,
    /// The request is processed and the reply is lost.
    LostAfter,
    /// The reply takes this many seconds.
    Delay(u32),
    TooMany {
        retry_after_seconds: u32,
        headers: bool,
    },
    /// The edge's own 429: no JSON, no headers.
    Cloudflare1015,
    /// A gateway page with this status; nothing was applied.
    ServerError(u16),
    /// Applied, then a gateway page with status 502.
    ServerErrorAfter,
    /// A read is answered from the state of some seconds ago.
    StaleRead {
        seconds_back: u32,
    },
    /// One field of a query fails: the named one, or one drawn from the sandbox's chance.
    PartialData {
        field: Option<String>,
    },
    /// One deployment status in the answer reads `SOMETHING_NEW`.
    UnknownEnum,
    ExpiredToken,
    /// Status 200 with a page for people.
    Html,
    /// The body ends early.
    TruncatedBody,
    /// A mutation is processed twice, as by a retrying proxy.
    Duplicate,
}

/// Which request meets which fault.
#[derive(Clone, Debug, Default)]
pub struct Faults(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    None,
    Seeded {
        seed: u64,
        rate_per_mille: u32,
    },
    Script(BTreeMap<usize, Fault>),
}

impl Faults {
    pub fn none() -> Faults {
        Faults(Source::None)
    }

    pub fn seeded(seed: u64, rate_per_mille: u32) -> Faults {
        Faults(Source::Seeded {
            seed,
            rate_per_mille,
        })
    }

    /// The fault for each request, counted from 0.
    pub fn script(script: BTreeMap<usize, Fault>) -> Faults {
        Faults(Source::Script(script))
    }

    pub fn are_possible(&self) -> bool {
        !matches!(self.0, Source::None)
    }

    /// The fault of one request: depends on its index alone, so that a changed client meets the same weather.
    pub fn at(&self, index: usize) -> Option<Fault> {
        match &self.0 {
            Source::None => None,
            Source::Script(script) => script.get(&index).cloned(),
            Source::Seeded {
                seed,
                rate_per_mille,
            } => {
                let mut random = Random::new(
                    seed.wrapping_add((index as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)),
                );
                random.next();
                (random.below(1000) < u64::from(*rate_per_mille)).then(|| drawn(&mut random))
            }
        }
    }
}

fn drawn(random: &mut Random) -> Fault {
    match random.below(16) {
        0 => Fault::NotSent,
        1 => Fault::LostBefore,
        2 | 3 => Fault::LostAfter,
        4 => Fault::Delay(*random.pick(&[1, 5, 20, 60])),
        5 => Fault::TooMany {
            retry_after_seconds: *random.pick(&[1, 5, 30]),
            headers: random.below(4) > 0,
        },
        6 => Fault::Cloudflare1015,
        7 => Fault::ServerError(*random.pick(&[502, 503, 504])),
        8 => Fault::ServerErrorAfter,
        9 => Fault::StaleRead {
            seconds_back: *random.pick(&[1, 3, 10]),
        },
        10 => Fault::PartialData { field: None },
        11 => Fault::UnknownEnum,
        12 => Fault::ExpiredToken,
        13 => Fault::Html,
        14 => Fault::TruncatedBody,
        _ => Fault::Duplicate,
    }
}
