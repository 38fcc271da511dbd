//! What the application and people do meanwhile.

use super::stage::{Stand, configure};
use jiff::Timestamp;
use std::time::Duration;

/// So long a job runs that hangs: longer than a restart waits.
const HANGS: Duration = Duration::from_secs(170);

impl Stand {
    /// The application and its workers go on; somebody may have a hand in it.
    pub fn act(&mut self, now: Timestamp) {
        if !self.is_away(now) {
            self.make();
            if self.dice.roll(3) > 0 {
                self.jobs += 1;
                let (job, layout) = (self.jobs, self.layout);
                self.model.mail().add(job, layout);
            }
            self.work(now, true);
            if self.dice.one_in(3) {
                let name = format!("cache:{}", self.dice.roll(6));
                let at = now.as_millisecond().to_string();
                self.model.held.keys.insert(name, at);
            }
        }
        self.meddle(now);
        self.ledger.worked(&self.model.held, now);
    }

    /// The workers alone go on.
    pub fn calm(&mut self, now: Timestamp) {
        if !self.is_away(now) {
            self.make();
            self.work(now, false);
        }
        self.ledger.worked(&self.model.held, now);
    }

    fn work(&mut self, now: Timestamp, may_fail: bool) {
        self.model.mail().take();
        self.ledger.worked(&self.model.held, now);
        let active = self.model.mail().active.clone();
        for job in active {
            let ends = match job % 7 {
                0 => self.ledger.age(job, now) > HANGS,
                _ => self.dice.one_in(2),
            };
            if !ends {
                continue;
            }
            let failed = (may_fail && self.dice.one_in(2)).then_some(now);
            let is_awaited = self.dice.one_in(3);
            let lists = self.model.mail();
            lists.end(job, failed);
            if failed.is_some() && is_awaited {
                lists.awaited.insert(job);
            }
        }
        if self.dice.one_in(8) {
            // A parent was taken away: nobody waits any more.
            self.model.mail().awaited.pop_first();
        }
    }

    fn meddle(&mut self, now: Timestamp) {
        let choice = self.dice.roll(24);
        match choice {
            0 => {
                let lists = self.model.mail();
                lists.by_hand = true;
                lists.meta.insert("paused".to_owned(), "1".to_owned());
            }
            1 => {
                let lists = self.model.mail();
                lists.by_hand = false;
                lists.meta.remove("paused");
            }
            2 => {
                let value = ["abc", "7", "0"][self.dice.roll(3) as usize];
                let meta = &mut self.model.mail().meta;
                meta.insert("concurrency".to_owned(), value.to_owned());
            }
            3 => {
                self.model.held.keys.remove("closed");
            }
            4 => self
                .model
                .perform(&configure("maxmemory", "7"), now, usize::MAX),
            5 => self
                .model
                .perform(&configure("appendonly", "no"), now, usize::MAX),
            6 => self.model.perform(&configure("save", ""), now, usize::MAX),
            7 if self.dice.one_in(2) => self.die(now),
            8 if self.dice.one_in(3) => self.deploy(None, now),
            _ => {}
        }
    }
}
