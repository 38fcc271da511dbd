//! Executors that do the wrong thing, and looks that do not tell the truth: each must be caught by the law that it breaks.

use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::redis::{Change, Layout, Server};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bent {
    /// Pauses every queue as version 6 does.
    PausesAsSix,
    /// Leaves a queue paused.
    NeverResumes,
    /// Purges what is protected, too.
    PurgesAll,
    /// Notes a purge that it did not make.
    PurgesNothing,
    /// Notes no purge, so that it is asked for again.
    PurgesWithoutNote,
    /// Warms, and does not note it.
    WarmsWithoutNote,
    /// Clears without an archive.
    ClearsUnarchived,
    /// Clears jobs for which others wait.
    ClearsAwaited,
    /// Clears what failed later, too.
    ClearsTooMuch,
    /// Does not see what runs.
    SeesNothingRun,
    /// Takes what is in memory for what is on the disk.
    SeesAllSaved,
    /// Does not see that it was restarted.
    SeesNoRestart,
}

impl Bent {
    pub const ALL: [(Bent, &'static str); 12] = [
        (Bent::PausesAsSix, "a queue that we paused is not mixed"),
        (Bent::NeverResumes, "what nobody wants paused goes on"),
        (Bent::PurgesAll, "what is protected is never purged"),
        (
            Bent::PurgesNothing,
            "what was there when a purge began is gone",
        ),
        (Bent::PurgesWithoutNote, "a purge happens once"),
        (
            Bent::WarmsWithoutNote,
            "a cache is warmed once after a purge",
        ),
        (
            Bent::ClearsUnarchived,
            "nothing goes that is neither archived nor given up",
        ),
        (Bent::ClearsAwaited, "what another job waits for stays"),
        (Bent::ClearsTooMuch, "only what git names is cleared"),
        (Bent::SeesNothingRun, "nothing runs when it is restarted"),
        (Bent::SeesAllSaved, "what is restarted is on the disk"),
        (Bent::SeesNoRestart, "it is restarted once"),
    ];

    /// The change that it makes instead.
    pub fn change(self, change: Change) -> Change {
        match (self, change) {
            (Bent::PausesAsSix, Change::Pause { queue, reasons, .. }) => Change::Pause {
                queue,
                layout: Layout::V6,
                reasons,
            },
            (Bent::NeverResumes, Change::Resume { queue, .. }) => Change::Forget { queue },
            (Bent::PurgesAll, Change::Purge { cache, .. }) => Change::Purge {
                cache,
                pattern: "*".to_owned(),
                protect: Vec::new(),
            },
            (Bent::PurgesNothing, Change::Purge { cache, .. }) => Change::Purge {
                cache,
                pattern: "nothing:*".to_owned(),
                protect: Vec::new(),
            },
            (
                Bent::ClearsUnarchived,
                Change::Clear {
                    queue,
                    before,
                    archive: Some(_),
                },
            ) => Change::Clear {
                queue,
                before,
                archive: None,
            },
            (
                Bent::ClearsTooMuch,
                Change::Clear {
                    queue,
                    before,
                    archive,
                },
            ) => Change::Clear {
                queue,
                before: before + Duration::from_secs(7_200),
                archive,
            },
            (_, change) => change,
        }
    }

    /// What it shows instead.
    pub fn shown(self, server: &mut Server, now: Timestamp) {
        match self {
            Bent::SeesNothingRun => {
                for queue in server.queues.values_mut() {
                    if let Seen::Facts(queue) = queue {
                        queue.active = 0;
                    }
                }
            }
            Bent::SeesAllSaved => {
                let kept = &mut server.persistence;
                (kept.saved_at, kept.save_is_well) = (now, true);
                kept.unsaved_changes = 0;
            }
            Bent::SeesNoRestart => server.started_at = Timestamp::default(),
            _ => {}
        }
    }
}
