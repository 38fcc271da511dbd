//! What must hold whatever happens: while it goes on, by a ledger that no restart forgets; and at the end, when all is quiet.

use super::super::model::{Held, Lists, Log, Model, Where};
use super::super::server::key;
use super::wish::Wish;
use jiff::Timestamp;
use reconciler::world::redis::{Change, Layout, purged, warmed};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long jobs that run are waited for before a restart.
const DRAIN: Duration = Duration::from_secs(120);
/// So much may be lost by a restart where not every change goes to the disk: what came since the last file.
const LOST: Duration = Duration::from_secs(90);

#[derive(Debug)]
struct Job {
    place: Where,
    since: Timestamp,
    /// Whether a restart brought it back from before, or lost it.
    is_excused: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    jobs: BTreeMap<u64, Job>,
    /// When the last whole purge began, and when the cache was warmed, as far as what the server holds goes.
    purged: Option<Timestamp>,
    warmed: Option<Timestamp>,
    /// The first law that was broken.
    pub broken: Option<&'static str>,
}

fn lists(held: &Held) -> Lists {
    held.queues.get(&key("mail")).cloned().unwrap_or_default()
}

fn noted(held: &Held, name: &str) -> Option<Timestamp> {
    let noted = held.keys.get(name)?.parse().ok()?;
    Timestamp::from_millisecond(noted).ok()
}

impl Ledger {
    fn holds(&mut self, law: &'static str, holds: bool) {
        if !holds {
            self.broken.get_or_insert(law);
        }
    }

    /// The application and its workers have gone on.
    pub fn worked(&mut self, held: &Held, now: Timestamp) {
        let lists = lists(held);
        for job in lists.jobs() {
            self.jobs.entry(job).or_insert(Job {
                place: Where::Waiting,
                since: now,
                is_excused: false,
            });
        }
        let mut is_done_again = false;
        for (id, job) in &mut self.jobs {
            let place = lists.place(*id);
            if place != job.place {
                is_done_again |= job.place == Where::Nowhere && !job.is_excused;
                (job.place, job.since) = (place, now);
            }
        }
        self.holds("no job is done twice", !is_done_again);
    }

    /// How long a job has been where it is.
    pub fn age(&self, job: u64, now: Timestamp) -> Duration {
        let job = self.jobs.get(&job);
        job.map_or(Duration::ZERO, |job| {
            now.duration_since(job.since).unsigned_abs()
        })
    }

    /// A change is about to be made, for the commit in force.
    pub fn asked(&mut self, change: &Change, model: &Model, wish: &Wish, now: Timestamp) {
        match change {
            Change::Purge { .. } => {
                // The look that led to it is a little older.
                let after = wish.purge.map(|purge| purge.after);
                let is_missed =
                    after.is_some_and(|after| now.duration_since(after).as_secs() > 3_600 + 60);
                self.holds(
                    "no purge comes before its time",
                    after.is_some_and(|after| after <= now),
                );
                self.holds("a missed purge never begins", !is_missed);
                let is_new = after.is_none_or(|after| self.purged.is_none_or(|at| at < after));
                self.holds("a purge happens once", is_new);
            }
            Change::Warm { .. } => {
                let is_due = match (self.purged, self.warmed) {
                    (None, _) => false,
                    (Some(purged), warmed) => warmed.is_none_or(|warmed| warmed < purged),
                };
                self.holds("a cache is warmed once after a purge", is_due);
                let is_purged = model.held.keys.contains_key(&purged("pages"));
                self.holds("warming follows a purge", is_purged);
            }
            _ => {}
        }
    }

    /// A change was made, or a part of it.
    pub fn performed(
        &mut self,
        change: &Change,
        before: &Held,
        model: &Model,
        (wish, is_given_up): (&Wish, bool),
        now: Timestamp,
    ) {
        let (was, is) = (lists(before), lists(&model.held));
        match change {
            Change::Purge { .. } => {
                let is_kept = |name: &&String| {
                    name.starts_with("cache:") || name.starts_with("reconciler:purging:")
                };
                let mut others = before.keys.keys().filter(|name| !is_kept(name));
                let stays = others.all(|name| model.held.keys.contains_key(name));
                self.holds("what is protected is never purged", stays && was == is);
                if !model.held.keys.contains_key("reconciler:purging:pages") {
                    let since = noted(&model.held, &purged("pages")).unwrap_or(now);
                    self.purged = Some(since.max(self.purged.unwrap_or(since)));
                }
            }
            Change::Warm { .. } => self.warmed = Some(now),
            _ => {}
        }
        let allowed = wish.cleared_before(now).unwrap_or(Timestamp::MIN);
        let gone: Vec<u64> = was
            .failed
            .keys()
            .filter(|job| !is.failed.contains_key(job))
            .copied()
            .collect();
        let has_archive = wish.failed.is_some_and(|failed| failed.archive);
        for id in gone {
            self.holds(
                "only what git names is cleared",
                was.failed[&id].as_millisecond() < allowed.as_millisecond(),
            );
            self.holds(
                "what another job waits for stays",
                !was.awaited.contains(&id),
            );
            self.holds(
                "nothing goes that is neither archived nor given up",
                model.archived.contains(&id) || !has_archive && is_given_up,
            );
            let gone = Job {
                place: Where::Nowhere,
                since: now,
                is_excused: false,
            };
            self.jobs.insert(id, gone);
        }
        let mut jobs = self.jobs.iter();
        let are_there = jobs.all(|(id, job)| is.place(*id) == job.place);
        self.holds("no change loses a job", are_there);
    }

    /// Our restart is about to be made.
    pub fn restarts(&mut self, model: &Model, wish: &Wish, is_rolling: bool, now: Timestamp) {
        let after = wish.restart.filter(|after| *after <= now);
        self.holds("no restart comes before its time", after.is_some());
        let is_missed = after.is_some_and(|after| now.duration_since(after).as_secs() > 3_600 + 60);
        self.holds("a missed restart never begins", !is_missed);
        let is_new = after.is_some_and(|after| model.started_at < after);
        self.holds("it is restarted once", is_new && !is_rolling);
        let Some(lists) = model.held.queues.get(&key("mail")) else {
            return;
        };
        self.holds("its queues are paused for a restart", lists.is_paused());
        let waited = lists.since().map(|since| now.duration_since(since));
        let is_long = waited.is_some_and(|waited| waited.unsigned_abs() >= DRAIN);
        self.holds(
            "nothing runs when it is restarted",
            lists.active.is_empty() || is_long,
        );
    }

    /// Its start command was stored; `was_told` is what it said of the append-only file before.
    pub fn stores(&mut self, model: &Model, was_told: bool) {
        let is_told = model.is_told_to_log() && !was_told;
        let would_be_empty = is_told && model.log != Log::Whole;
        self.holds("no start is stored that would begin empty", !would_be_empty);
    }

    /// It was restarted, by us where it is said when.
    pub fn restarted(&mut self, now_held: &Held, asked_at: Option<Timestamp>) {
        let lists = lists(now_held);
        let mut is_lost = false;
        for (id, job) in &mut self.jobs {
            let place = lists.place(*id);
            if place == job.place {
                continue;
            }
            is_lost |= asked_at
                .is_some_and(|at| at.duration_since(job.since).unsigned_abs() > LOST)
                && asked_at.is_some_and(|at| at > job.since);
            (job.place, job.is_excused) = (place, true);
        }
        self.holds("what is restarted is on the disk", !is_lost);
        self.purged = noted(now_held, &purged("pages"));
        self.warmed = noted(now_held, &warmed("pages"));
    }
}

/// What is known at the end, beside what the server holds.
pub struct End<'a> {
    pub model: &'a Model,
    pub ledger: &'a Ledger,
    pub wish: &'a Wish,
    pub layout: Layout,
    /// When the last look was taken.
    pub at: Timestamp,
    /// Whether somebody consented to what is lost.
    pub is_given_up: bool,
    /// Whether it was quiet for long.
    pub is_quiet: bool,
}

/// The law that does not hold once all is quiet.
pub fn broken(end: &End<'_>) -> Option<&'static str> {
    let laws = pauses(end)
        .into_iter()
        .chain(settings(end))
        .chain(jobs(end))
        .chain(once(end));
    let mut laws = laws.filter(|(_, holds)| !holds).map(|(law, _)| law);
    end.ledger.broken.or_else(|| laws.next())
}

fn pauses(end: &End<'_>) -> [(&'static str, bool); 5] {
    let lists = lists(&end.model.held);
    let reasons: Vec<String> = end.wish.reasons().into_iter().collect();
    let ours = lists.meta.get("reconciler:paused-for");
    [
        (
            "only what has a reason is ours",
            if reasons.is_empty() {
                ours.is_none()
            } else {
                ours == Some(&reasons.join("\n"))
            },
        ),
        (
            "what has a reason is paused",
            reasons.is_empty() || lists.is_paused(),
        ),
        (
            "`paused: false` lets it go on",
            !reasons.is_empty() || end.wish.paused != Some(false) || !lists.is_paused(),
        ),
        (
            "what nobody wants paused goes on",
            !reasons.is_empty() || lists.by_hand || !lists.is_paused(),
        ),
        (
            "a queue that we paused is not mixed",
            reasons.is_empty() || end.layout == Layout::V6 || lists.wait.is_empty(),
        ),
    ]
}

fn settings(end: &End<'_>) -> [(&'static str, bool); 5] {
    let (model, wish) = (end.model, end.wish);
    let meta = lists(&model.held).meta;
    let is = |name: &str, value: String| model.settings.get(name) == Some(&value);
    let limit = |most: u64| meta.get("concurrency") == Some(&most.to_string());
    [
        ("it goes on writing", end.is_quiet),
        (
            "the limit is as git says",
            wish.max_active.is_none_or(limit),
        ),
        (
            "it is closed as git says",
            model.held.keys.contains_key("closed") == wish.is_closed,
        ),
        (
            "it holds as much as git says",
            wish.holds
                .is_none_or(|most| is("maxmemory", (most << 20).to_string())),
        ),
        (
            "it keeps what git says",
            wish.keeps.is_none()
                || is("appendonly", "yes".to_owned())
                    && is("save", "3600 1".to_owned())
                    && model.log == Log::Whole,
        ),
    ]
}

fn jobs(end: &End<'_>) -> [(&'static str, bool); 3] {
    let lists = lists(&end.model.held);
    let all: Vec<u64> = lists.jobs().collect();
    let each: BTreeSet<u64> = all.iter().copied().collect();
    let mut known = end.ledger.jobs.iter();
    let before = end.wish.cleared_before(end.at);
    let may_go = end
        .wish
        .failed
        .is_some_and(|failed| failed.archive || end.is_given_up);
    let mut failed = lists.failed.iter();
    let is_left = failed
        .any(|(job, at)| !lists.awaited.contains(job) && before.is_some_and(|before| *at < before));
    [
        (
            "no job is lost",
            known.all(|(id, job)| lists.place(*id) == job.place),
        ),
        ("no job is there twice", all.len() == each.len()),
        ("what failed goes as git says", !may_go || !is_left),
    ]
}

fn once(end: &End<'_>) -> [(&'static str, bool); 5] {
    let (model, ledger) = (end.model, end.ledger);
    let purge = end.wish.purge_due(end.at);
    let mark = noted(&model.held, &purged("pages"));
    let mut keys = model.held.keys.iter();
    let is_old = |(name, written): (&String, &String)| {
        let written = written.parse().map(Timestamp::from_millisecond);
        name.starts_with("cache:")
            && matches!((written, mark), (Ok(Ok(written)), Some(mark)) if written < mark)
    };
    let is_trapped = model.is_told_to_log() && model.log != Log::Whole;
    [
        (
            "it is purged as git says",
            purge.is_none_or(|purge| ledger.purged.is_some_and(|at| at >= purge.after)),
        ),
        (
            "what was there when a purge began is gone",
            !keys.any(is_old),
        ),
        (
            "it is warmed as git says",
            purge.is_none_or(|purge| !purge.warm || ledger.warmed >= ledger.purged),
        ),
        (
            "the next start keeps what git says",
            end.wish.keeps.is_none() || model.command.is_empty() || model.is_told_to_log(),
        ),
        (
            "it is restarted as git says",
            end.wish
                .restart_due(end.at)
                .is_none_or(|after| is_trapped || model.started_at >= after),
        ),
    ]
}
