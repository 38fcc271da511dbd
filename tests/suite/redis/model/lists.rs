//! One queue in memory: what its `meta` says, and its lists as our scripts and BullMQ leave them.

use jiff::Timestamp;
use reconciler::world::redis::{Layout, Pause, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// Lists have the newest job first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    pub meta: BTreeMap<String, String>,
    pub wait: Vec<u64>,
    pub paused: Vec<u64>,
    pub active: Vec<u64>,
    /// When each failed.
    pub failed: BTreeMap<u64, Timestamp>,
    /// The failed ones for which another job waits.
    pub awaited: BTreeSet<u64>,
    /// Whether somebody else paused it.
    pub by_hand: bool,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Waiting,
    Active,
    Failed,
    Nowhere,
}

impl Lists {
    pub fn is_paused(&self) -> bool {
        self.meta.contains_key("paused")
    }

    pub fn jobs(&self) -> impl Iterator<Item = u64> + '_ {
        let lists = self.wait.iter().chain(&self.paused).chain(&self.active);
        lists.chain(self.failed.keys()).copied()
    }

    pub fn place(&self, job: u64) -> Where {
        if self.wait.contains(&job) || self.paused.contains(&job) {
            Where::Waiting
        } else if self.active.contains(&job) {
            Where::Active
        } else if self.failed.contains_key(&job) {
            Where::Failed
        } else {
            Where::Nowhere
        }
    }

    /// As the library adds a job.
    pub fn add(&mut self, job: u64, layout: Layout) {
        let list = match layout {
            Layout::Legacy if self.is_paused() => &mut self.paused,
            Layout::Legacy | Layout::V6 => &mut self.wait,
        };
        list.insert(0, job);
    }

    /// A worker takes the oldest job, as far as the limit allows.
    pub fn take(&mut self) {
        let limit = self.meta.get("concurrency").map(|limit| limit.parse());
        let limit = limit.map_or(3, |limit| limit.unwrap_or(0)).min(3);
        if !self.is_paused()
            && self.active.len() < limit
            && let Some(job) = self.wait.pop()
        {
            self.active.insert(0, job);
        }
    }

    /// A job that runs ends; one that failed stays.
    pub fn end(&mut self, job: u64, failed: Option<Timestamp>) {
        self.active.retain(|other| *other != job);
        self.failed.extend(failed.map(|at| (job, at)));
    }

    pub fn pause(&mut self, layout: Layout, reasons: &BTreeSet<String>, now: Timestamp) {
        let noted = now.as_millisecond().to_string();
        if !self.is_paused() {
            self.meta.remove("reconciler:was-paused");
            self.meta.insert("reconciler:since".to_owned(), noted);
        } else if !self.meta.contains_key("reconciler:since") {
            self.meta
                .insert("reconciler:was-paused".to_owned(), "1".to_owned());
            self.meta.insert("reconciler:since".to_owned(), noted);
        }
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        self.meta.insert("paused".to_owned(), "1".to_owned());
        self.meta
            .insert("reconciler:paused-for".to_owned(), reasons.join("\n"));
        if layout == Layout::Legacy {
            self.paused.append(&mut self.wait);
        }
    }

    pub fn resume(&mut self, layout: Layout) {
        if layout == Layout::Legacy && self.is_paused() {
            self.paused.append(&mut self.wait);
        }
        self.wait.append(&mut self.paused);
        self.by_hand = false;
        for field in [
            "paused",
            "reconciler:paused-for",
            "reconciler:since",
            "reconciler:was-paused",
        ] {
            self.meta.remove(field);
        }
    }

    /// Takes failed jobs away, at most so many; answers which went.
    pub fn clear(&mut self, before: Timestamp, most: usize) -> Vec<u64> {
        let may_go = self.failed.iter().filter(|(job, at)| {
            at.as_millisecond() < before.as_millisecond() && !self.awaited.contains(job)
        });
        let gone: Vec<u64> = may_go.map(|(job, _)| *job).take(most).collect();
        self.failed.retain(|job, _| !gone.contains(job));
        gone
    }

    /// Since when our pause is.
    pub fn since(&self) -> Option<Timestamp> {
        let since = self.meta.get("reconciler:since")?.parse().ok()?;
        Timestamp::from_millisecond(since).ok()
    }

    pub fn shown(&self, before: Option<Timestamp>) -> Queue {
        let old = |at: &&Timestamp| {
            before.is_some_and(|before| at.as_millisecond() < before.as_millisecond())
        };
        let mut may_go = self
            .failed
            .iter()
            .filter(|(job, _)| !self.awaited.contains(job));
        Queue {
            exists: true,
            version: self.meta.get("version").cloned(),
            is_paused: self.is_paused(),
            max_active: self.meta.get("concurrency").cloned(),
            in_wait: self.wait.len() as u64,
            in_paused: self.paused.len() as u64,
            active: self.active.len() as u64,
            failed: self.failed.len() as u64,
            oldest_failed: self.failed.values().min().copied(),
            failed_before: self.failed.values().filter(old).count() as u64,
            has_clearable: may_go.any(|(_, at)| old(&at)),
            pause: self.meta.get("reconciler:paused-for").map(|reasons| Pause {
                reasons: reasons.lines().map(str::to_owned).collect(),
                since: self.since().unwrap_or_default(),
                was_paused: self.meta.contains_key("reconciler:was-paused"),
            }),
            ..Queue::default()
        }
    }
}
