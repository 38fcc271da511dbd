//! What git asks for in one commit, drawn from a seed.

use super::super::model::Dice;
use jiff::{SignedDuration, Timestamp};
use reconciler::manifest::{Desired, load};
use reconciler::source::Files;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long failed jobs are kept, where they go by themselves.
pub const KEPT: Duration = Duration::from_secs(60);
/// What came due longer ago is missed.
pub const LATEST: Duration = Duration::from_secs(3600);

/// What becomes of failed jobs.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    pub before: Option<Timestamp>,
    pub keep: bool,
    pub archive: bool,
}

/// What becomes of a cache.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    pub after: Timestamp,
    pub warm: bool,
    pub protects: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub max_active: Option<u64>,
    pub paused: Option<bool>,
    pub is_closed: bool,
    pub pauses: bool,
    /// What the server may hold, and whether it keeps every change.
    pub holds: Option<u64>,
    pub keeps: Option<bool>,
    pub failed: Option<Failed>,
    pub purge: Option<Purge>,
    pub restart: Option<Timestamp>,
    /// Whether somebody consents to what may be lost.
    pub consents: bool,
}

/// A moment around a commit: missed, past, or still to come.
fn moment(dice: &mut Dice, now: Timestamp) -> Timestamp {
    let away = [-7_300, -600, -30, 0, 0, 20, 90, 200_000][dice.roll(8) as usize];
    let now = Timestamp::from_second(now.as_second()).unwrap();
    now.saturating_add(SignedDuration::from_secs(away)).unwrap()
}

impl Wish {
    /// A commit after another: what was to be done once may still stand there.
    pub fn drawn(dice: &mut Dice, before: Option<&Wish>, now: Timestamp) -> Wish {
        let stays = before.filter(|_| dice.one_in(2));
        Wish {
            max_active: dice.one_in(2).then(|| 1 + dice.roll(5)),
            paused: [None, None, Some(true), Some(false)][dice.roll(4) as usize],
            is_closed: dice.one_in(2),
            pauses: dice.roll(4) > 0,
            holds: dice.one_in(2).then(|| 100 + dice.roll(3)),
            keeps: dice.one_in(2).then_some(true),
            failed: dice.one_in(2).then(|| {
                let archive = dice.roll(3) > 0;
                Failed {
                    before: dice.roll(4).gt(&0).then(|| moment(dice, now)),
                    keep: archive && dice.one_in(2),
                    archive,
                }
            }),
            purge: match stays {
                Some(before) => before.purge,
                None => dice.one_in(2).then(|| Purge {
                    after: moment(dice, now),
                    warm: dice.one_in(2),
                    protects: dice.one_in(2),
                }),
            },
            restart: match stays {
                Some(before) => before.restart,
                None => dice.one_in(2).then(|| moment(dice, now)),
            },
            consents: dice.one_in(2),
        }
    }

    pub fn reasons(&self) -> BTreeSet<String> {
        let own = (self.paused == Some(true)).then_some("Queue/mail");
        let closed = (self.is_closed && self.pauses).then_some("Maintenance/site");
        own.into_iter().chain(closed).map(str::to_owned).collect()
    }

    /// The moment before which failed jobs may go now.
    pub fn cleared_before(&self, now: Timestamp) -> Option<Timestamp> {
        let failed = self.failed?;
        let kept = failed.keep.then(|| now - KEPT);
        failed.before.filter(|before| *before <= now).max(kept)
    }

    /// When a purge was to begin that is due now, and not missed.
    pub fn purge_due(&self, now: Timestamp) -> Option<Purge> {
        self.purge.filter(|purge| is_due(purge.after, now))
    }

    /// The same of a restart.
    pub fn restart_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.restart.filter(|after| is_due(*after, now))
    }

    fn redis(&self) -> String {
        let mut spec = vec!["service: redis".to_owned()];
        spec.extend(
            self.holds
                .map(|most| format!("memory: {{ max: {most}MiB, policy: noeviction }}")),
        );
        spec.extend(
            self.keeps
                .map(|keeps| format!("persistence: {{ save: 3600 1, appendOnly: {keeps} }}")),
        );
        spec.extend(
            self.restart
                .map(|after| format!("restartedAfter: {after:.0}")),
        );
        if let Some(purge) = &self.purge {
            let after = purge.after;
            let warm = if purge.warm {
                ", warm: [\"https://shop.example/\"]"
            } else {
                ""
            };
            spec.push(format!(
                "caches: {{ pages: {{ keys: \"cache:*\", purgedAfter: {after:.0}{warm} }} }}"
            ));
            spec.extend(
                purge
                    .protects
                    .then(|| "protect: [\"session:*\"]".to_owned()),
            );
        }
        spec.join(", ")
    }

    fn queue(&self) -> String {
        let mut spec = vec!["redis: main, library: bullmq".to_owned()];
        spec.extend(self.max_active.map(|most| format!("maxActive: {most}")));
        spec.extend(self.paused.map(|paused| format!("paused: {paused}")));
        if let Some(failed) = &self.failed {
            let fields = [
                failed
                    .before
                    .map(|before| format!("clearedBefore: {before:.0}")),
                failed.keep.then(|| format!("keep: {}s", KEPT.as_secs())),
                failed.archive.then(|| "archive: backups".to_owned()),
            ];
            let fields: Vec<String> = fields.into_iter().flatten().collect();
            spec.push(format!("failed: {{ {} }}", fields.join(", ")));
        }
        spec.join(", ")
    }

    /// The manifests, with the documents of those who consent.
    pub fn desired(&self, consents: &BTreeMap<String, String>, now: Timestamp) -> Desired {
        let head = "---\napiVersion: reconciler/v1alpha1\nkind: ";
        let text = [
            "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec: { railway: { project: p, environment: e }, stores: { backups: { url: \"s3://shop-backups/production\" } } }\n".to_owned(),
            format!("{head}Service\nmetadata: {{ name: web }}\nspec: {{ image: \"app:1\" }}\n"),
            format!("{head}Redis\nmetadata: {{ name: main }}\nspec: {{ {} }}\n", self.redis()),
            format!("{head}Queue\nmetadata: {{ name: mail }}\nspec: {{ {} }}\n", self.queue()),
            format!(
                "{head}Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: {}, services: [web], by: {{ key: closed, redis: main }}, pause: [{}], until: 2027-01-01T00:00:00Z, page: {{ closed: {{ status: 503 }}, open: {{ status: 200 }} }} }}\n",
                self.is_closed,
                if self.pauses { "mail" } else { "" },
            ),
        ];
        let consents = consents.values().map(|document| format!("---\n{document}"));
        let text: String = text.into_iter().chain(consents).collect();
        let files = Files {
            directory: String::new(),
            texts: BTreeMap::from([("all.yaml".into(), text.clone().into())]),
        };
        load(&files, now).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }
}

fn is_due(after: Timestamp, now: Timestamp) -> bool {
    after <= now && now.duration_since(after).unsigned_abs() <= LATEST
}
