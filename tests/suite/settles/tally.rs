//! Many schedules on all processors, and what they came to.

use super::play::Report;
use super::stage::WORDS;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What many schedules came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub looks: usize,
    pub actions: usize,
    pub faults: usize,
    pub crashes: usize,
    pub hands: usize,
    pub slowest: usize,
    /// Writes by what they do.
    pub by_word: BTreeMap<&'static str, usize>,
    pub consents: usize,
    /// In the words of people, by seed.
    pub violations: Vec<String>,
}

/// Violations beyond these would only bury the first.
const SHOWN: usize = 20;

impl Tally {
    /// Plays every seed of a range. Which thread plays which makes no difference to any of them.
    pub fn of(seeds: Range<u64>, play: impl Fn(u64) -> Report + Sync) -> Tally {
        let next = AtomicU64::new(seeds.start);
        let reports = Mutex::new((Tally::default(), BTreeMap::new()));
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return;
                        }
                        let report = play(seed);
                        let mut reports = reports.lock().expect("no thread panics while it adds");
                        let (tally, violations) = &mut *reports;
                        tally.add(&report);
                        if !report.violations.is_empty() && violations.len() < SHOWN {
                            violations.insert(
                                report.seed,
                                format!("seed {}: {:?}", report.seed, report.violations),
                            );
                        }
                    }
                });
            }
        });
        let (tally, violations) = reports
            .into_inner()
            .expect("no thread panics while it adds");
        Tally {
            violations: violations.into_values().collect(),
            ..tally
        }
    }

    /// The writes by what they do, in words.
    pub fn writes(&self) -> String {
        let writes = self.by_word.iter();
        let words: Vec<String> = writes
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        format!("writes: {}", words.join(", "))
    }

    /// What no write did.
    pub fn untried(&self) -> impl Iterator<Item = &'static str> {
        let is_untried = |word: &&str| self.by_word.get(word).is_none_or(|count| *count == 0);
        WORDS.into_iter().filter(is_untried)
    }

    pub fn add(&mut self, report: &Report) {
        self.looks += report.counts.looks;
        self.actions += report.counts.actions;
        self.faults += report.counts.faults;
        self.crashes += report.counts.crashes;
        self.hands += report.counts.hands;
        self.slowest = self.slowest.max(report.counts.quiet_looks);
        self.consents += report.counts.consents;
        for (word, count) in WORDS.iter().zip(report.counts.by_word) {
            *self.by_word.entry(word).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            looks,
            actions,
            faults,
            crashes,
            hands,
            slowest,
            by_word: _,
            consents,
            violations,
        } = self;
        write!(
            out,
            "{looks} looks, {actions} actions, {faults} faults, {crashes} crashes, {hands} edits by hand, {consents} consents used, {} violations; slowest to settle {slowest} looks; {}",
            violations.len(),
            self.writes()
        )
    }
}
