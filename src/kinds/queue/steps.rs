//! The steps that a queue asks for: its limit first, then its pause, then its failed jobs.

use super::library::{Known, Limits, known};
use super::{Spec, kept_from, key};
use crate::kinds::redis::{self, Known as Server, restart};
use crate::kinds::shown::{few, one_line};
use crate::kinds::step::{Ask, Asked, Cause, Effect, Loss, Step};
use crate::kinds::written::Instant;
use crate::kinds::{Declared, Documents, maintenance};
use crate::source::Origin;
use crate::world::redis::{Action, Archive, Change, Of, Pause, Queue, QueueKey};
use crate::world::{self, SETTLING, Seen, World};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The steps that bring a queue in step.
pub fn steps(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Asked {
    let mut asked = Asked::default();
    let reasons = reasons(declared, documents, world, now);
    let (of, server) = match redis::known(&declared.spec.redis, documents, world, now) {
        Server::Server(of, server) => (of, server),
        Server::Unseen(reason) => {
            // The Redis itself says that it cannot be seen.
            if !reasons.is_empty() {
                let reason = format!("it could not be paused: {reason}");
                let ask = redis::unseen(&declared.spec.redis, documents, reason);
                asked.steps.push(unseen(declared, &reasons, ask));
            }
            return asked;
        }
        Server::Ask(question) => {
            asked.questions.insert(question.into());
            return asked;
        }
    };
    let key = key(declared);
    let queue = match server.queues.get(&key) {
        Some(Seen::Facts(queue)) => queue,
        Some(Seen::Unseen(reason)) => {
            asked
                .steps
                .push(unseen(declared, &reasons, Ask::Unseen(reason.clone())));
            return asked;
        }
        Some(Seen::Unasked) | None => return asked,
    };
    let place = Place {
        declared,
        documents,
        world,
        of,
        key,
        queue,
        reasons,
        now,
    };
    if !queue.exists {
        asked.steps.extend(place.not_there());
        return asked;
    }
    let known = match known(&declared.spec, queue) {
        Ok(known) => known,
        Err(words) => {
            asked.steps.push(place.not_changed(words, OTHER_LIBRARY));
            return asked;
        }
    };
    if server.is_replica {
        let words = format!(
            "Redis/{} is a replica, which takes no writes",
            declared.spec.redis
        );
        let way_out = "let the Redis name the server that takes writes";
        asked.steps.push(place.not_changed(words, way_out));
        return asked;
    }
    let limit = place.limit(&known);
    let is_limited = !matches!(&limit, Some(step) if step.action().is_some());
    asked.steps.extend(limit);
    asked.steps.extend(place.pause(&known, is_limited));
    asked.steps.extend(place.failed());
    asked
}

/// The way out where a queue is not one that can be changed.
const OTHER_LIBRARY: &str = "take `maxActive`, `paused` and `failed` out; or say `version`, where the library says it wrongly";

/// Why a queue is to be paused.
struct Reason<'a> {
    /// The document, as it is remembered in the queue: `Maintenance/site`.
    of: String,
    why: String,
    origin: &'a Origin,
}

/// All reasons for which a queue is to be paused now (design rule 7).
fn reasons<'a>(
    declared: &'a Declared<Spec>,
    documents: &'a Documents,
    world: &World,
    now: Timestamp,
) -> Vec<Reason<'a>> {
    let own = (declared.spec.paused == Some(true)).then(|| Reason {
        of: format!("Queue/{}", declared.name),
        why: "paused: true".to_owned(),
        origin: declared.origin(&["paused"]),
    });
    let closed = documents.maintenances.values().filter(|maintenance| {
        maintenance.spec.enabled && maintenance.spec.pause.contains(&declared.name)
    });
    let closed = closed.map(|maintenance| Reason {
        of: format!("Maintenance/{}", maintenance.name),
        why: maintenance::why(maintenance),
        origin: maintenance.origin(&["enabled"]),
    });
    let redis = documents.redises.get(&declared.spec.redis);
    let restarted = redis.and_then(|redis| {
        Some(Reason {
            of: format!("Redis/{}", redis.name),
            why: restart::reason(redis, declared, documents, world, now)?,
            origin: redis.origin(&["restartedAfter"]),
        })
    });
    own.into_iter().chain(closed).chain(restarted).collect()
}

fn undoable(declared: &Declared<Spec>, field: &str, verb: &'static str, ask: Ask) -> Step {
    Step {
        undo: "revert",
        ..declared.step(field, verb, ask)
    }
}

/// What cannot be seen is not touched; what was to be paused says that it could not be.
fn unseen(declared: &Declared<Spec>, reasons: &[Reason<'_>], ask: Ask) -> Step {
    match reasons.first() {
        Some(first) => Step {
            why: first.why.clone(),
            origin: Some(first.origin.clone()),
            ..undoable(declared, "paused", "pause", ask)
        },
        None => undoable(declared, "redis", "look at", ask),
    }
}

/// One queue, and what is known around it.
struct Place<'a> {
    declared: &'a Declared<Spec>,
    documents: &'a Documents,
    world: &'a World,
    of: Of,
    key: QueueKey,
    queue: &'a Queue,
    reasons: Vec<Reason<'a>>,
    now: Timestamp,
}

impl Place<'_> {
    fn spec(&self) -> &Spec {
        &self.declared.spec
    }

    fn plain(&self, field: &str, verb: &'static str, ask: Ask) -> Step {
        undoable(self.declared, field, verb, ask)
    }

    fn make(&self, change: Change) -> Ask {
        Ask::Make(world::Action::Redis(Action {
            of: self.of.clone(),
            change,
        }))
    }

    /// The first field that asks for a change.
    fn asks(&self) -> Option<&'static str> {
        let spec = self.spec();
        if !self.reasons.is_empty() {
            Some("paused")
        } else if spec.max_active.is_some() {
            Some("maxActive")
        } else {
            None
        }
    }

    fn not_there(&self) -> Option<Step> {
        let words = format!(
            "there is no queue {} in Redis/{}",
            one_line(&self.key.to_string()),
            self.spec().redis
        );
        let ask = match self.asks() {
            Some(_) => Ask::Hold {
                by: words,
                way_out: "the application makes it with its first start; `name` and `prefix` say what it calls it".to_owned(),
                cause: Cause::Missing,
            },
            None => Ask::Told(words),
        };
        Some(self.plain(self.asks().unwrap_or("name"), "find", ask))
    }

    fn not_changed(&self, words: String, way_out: &str) -> Step {
        let is_asked =
            self.asks().is_some() || self.spec().paused.is_some() || self.spec().failed.is_some();
        let ask = if is_asked {
            Ask::Hold {
                by: words,
                way_out: way_out.to_owned(),
                cause: Cause::Refused,
            }
        } else {
            Ask::Told(words)
        };
        self.plain("library", "change", ask)
    }

    /// The limit of jobs at once.
    fn limit(&self, known: &Known) -> Option<Step> {
        let there = self.queue.max_active.as_deref();
        let number = there.map(str::parse::<u64>);
        let Some(wanted) = self.spec().max_active else {
            // Not ours, but every worker and every producer fails by it (facts/redis-bullmq.md 1.2).
            let is_broken = matches!(number, Some(Err(_)));
            let words = "the limit that somebody wrote there is no number: the queue stands still";
            return is_broken.then(|| {
                let ask = Ask::Told(words.to_owned());
                self.plain("maxActive", "limit", ask)
            });
        };
        let refused = match known.limits {
            Limits::Heeded => None,
            Limits::Ignored => Some((
                format!(
                    "BullMQ {} ignores a limit over all workers: it came with 5.9",
                    known.version.as_deref().unwrap_or_default()
                ),
                "upgrade the library, or take `maxActive` out",
                Cause::Refused,
            )),
            Limits::Unknown => Some((
                "which BullMQ it is does not show, and before 5.9 it ignores a limit".to_owned(),
                "say `version` in the Queue",
                Cause::Missing,
            )),
        };
        let verb = match number {
            Some(Ok(there)) if there < wanted => "raise",
            Some(Ok(_)) | None => "lower",
            Some(Err(_)) => "mend",
        };
        let (ask, effect) = match refused {
            Some((by, way_out, cause)) => {
                let way_out = way_out.to_owned();
                (Ask::Hold { by, way_out, cause }, Effect::Nothing)
            }
            None if number == Some(Ok(wanted)) => return None,
            None => {
                let queue = self.key.clone();
                (
                    self.make(Change::MaxActive { queue, to: wanted }),
                    Effect::Hot,
                )
            }
        };
        Some(Step {
            from: Some(there.unwrap_or("no limit").to_owned()),
            to: Some(wanted.to_string()),
            why: format!("maxActive: {wanted}"),
            effect,
            ..self.plain("maxActive", verb, ask)
        })
    }

    /// Whether it is paused, and for which reasons.
    fn pause(&self, known: &Known, is_limited: bool) -> Option<Step> {
        let ours = self.queue.pause.as_ref();
        if !self.reasons.is_empty() {
            return self.paused(known, ours);
        }
        let is_lifted = self.spec().paused == Some(false);
        match ours {
            Some(pause) if self.queue.is_paused => {
                if pause.was_paused && !is_lifted {
                    let words = "somebody had paused it before us: it stays so";
                    Some(self.forget(pause, words))
                } else {
                    Some(self.resume(known, Some(pause), is_limited))
                }
            }
            Some(pause) => Some(self.forget(pause, "somebody has let it go on")),
            None if self.queue.is_paused && is_lifted => Some(self.resume(known, None, is_limited)),
            None if !self.queue.is_paused && self.queue.is_mixed(known.layout) => {
                Some(self.mend_running(known, is_lifted))
            }
            None => None,
        }
    }

    fn paused(&self, known: &Known, ours: Option<&Pause>) -> Option<Step> {
        let wanted: BTreeSet<String> = self.reasons.iter().map(|it| it.of.clone()).collect();
        let is_noted = ours.is_some_and(|pause| pause.reasons == wanted);
        let is_mixed = self.queue.is_mixed(known.layout);
        let ask = self.make(Change::Pause {
            queue: self.key.clone(),
            layout: known.layout,
            reasons: wanted.clone(),
        });
        let first = self.reasons.first()?;
        let words: Vec<&str> = self.reasons.iter().map(|it| it.why.as_str()).collect();
        let step = Step {
            why: words.join("; "),
            origin: Some(first.origin.clone()),
            closes: self.reasons.iter().any(|it| !it.of.starts_with("Queue/")),
            ..self.plain("paused", "pause", ask)
        };
        if !self.queue.is_paused {
            return Some(Step {
                effect: Effect::Pause,
                undo: "it goes on by itself when the last reason is gone",
                ..step
            });
        }
        if is_mixed {
            return Some(Step {
                verb: "mend",
                why: format!(
                    "{} jobs lie where the library's own resume would lose jobs",
                    self.queue.in_wait
                ),
                undo: "",
                ..step
            });
        }
        (!is_noted).then(|| Step {
            verb: "mark",
            from: Some(ours.map_or("paused by somebody".to_owned(), words_of)),
            to: Some(wanted.into_iter().collect::<Vec<_>>().join(", ")),
            undo: "",
            ..step
        })
    }

    /// Forgets our reasons, and leaves the queue as it is.
    fn forget(&self, pause: &Pause, words: &str) -> Step {
        let ask = self.make(Change::Forget {
            queue: self.key.clone(),
        });
        Step {
            from: Some(words_of(pause)),
            to: Some("nothing of ours".to_owned()),
            why: words.to_owned(),
            undo: "",
            ..self.plain("paused", "mark", ask)
        }
    }

    fn resume(&self, known: &Known, ours: Option<&Pause>, is_limited: bool) -> Step {
        let resume = self.make(Change::Resume {
            queue: self.key.clone(),
            layout: known.layout,
            is_ours: ours.is_some(),
        });
        let ask = if !is_limited {
            Ask::Wait {
                until: "the limit is in place".to_owned(),
                deadline: self.now.saturating_add(SETTLING).unwrap_or(Timestamp::MAX),
                then: "it goes on".to_owned(),
            }
        } else {
            // What was closed is open again first: nothing is hurried into what is not there.
            let held =
                ours.and_then(|pause| self.of_strangers(pause).or_else(|| self.opening(pause)));
            held.unwrap_or(resume)
        };
        let why = match ours {
            Some(pause) => format!("{} is over", words_of(pause)),
            None => "paused: false, and somebody paused it".to_owned(),
        };
        Step {
            why: match self.queue.waiting() {
                1 => format!("{why}; 1 job waits"),
                many => format!("{why}; {many} jobs wait"),
            },
            effect: Effect::Resume,
            ..self.plain("paused", "resume", ask)
        }
    }

    /// A reason whose document is gone: whether it is over, nobody says.
    fn of_strangers(&self, pause: &Pause) -> Option<Ask> {
        if self.spec().paused == Some(false) {
            return None;
        }
        let is_known = |reason: &&String| match reason.split_once('/') {
            Some(("Maintenance", name)) => self.documents.maintenances.contains_key(name),
            Some(("Redis", name)) => self.documents.redises.contains_key(name),
            Some(("Queue", name)) => *name == self.declared.name,
            Some(_) | None => false,
        };
        let stranger = pause.reasons.iter().find(|reason| !is_known(reason))?;
        Some(Ask::Hold {
            by: format!("it was paused for {stranger}, which is no longer declared"),
            way_out: "say `paused: false`".to_owned(),
            cause: Cause::Somebody,
        })
    }

    /// What keeps a queue paused for a moment more: the site that it was paused with is not open yet.
    fn opening(&self, pause: &Pause) -> Option<Ask> {
        let names = pause
            .reasons
            .iter()
            .filter_map(|reason| reason.strip_prefix("Maintenance/"));
        let mut off = names.filter_map(|name| self.documents.maintenances.get(name));
        off.find_map(|maintenance| {
            maintenance::opening(maintenance, self.documents, self.world, self.now)
        })
    }

    /// Jobs lie in a list in which a queue that runs has none.
    fn mend_running(&self, known: &Known, is_ours: bool) -> Step {
        let words = format!(
            "{} jobs lie in `paused`, where no worker looks while the queue runs",
            self.queue.in_paused
        );
        let ask = if is_ours {
            self.make(Change::Resume {
                queue: self.key.clone(),
                layout: known.layout,
                is_ours: false,
            })
        } else {
            Ask::Told(format!("{words}; `paused: false` puts them back"))
        };
        Step {
            why: words,
            undo: "",
            ..self.plain("paused", "mend", ask)
        }
    }

    fn archive(&self, name: &str) -> Option<Archive> {
        let environment = self.documents.environments.values().next()?;
        let store = environment.spec.stores.get(name)?;
        Some(Archive {
            store: name.to_owned(),
            url: store.url.clone(),
        })
    }

    /// Failed jobs that are to go.
    fn failed(&self) -> Option<Step> {
        let failed = self.spec().failed.as_ref()?;
        let before = super::cleared_before(self.spec(), self.now)?;
        if self.queue.failed_before == 0 {
            return None;
        }
        let is_once = failed
            .cleared_before
            .is_some_and(|Instant(once)| once == before);
        let is_kept = kept_from(failed, self.now) == Some(before);
        let (field, to) = match (is_once && !is_kept, failed.keep) {
            (false, Some(keep)) => ("failed.keep", format!("none older than {keep}")),
            _ => ("failed.clearedBefore", format!("none from before {before}")),
        };
        let many = self.queue.failed_before;
        let archive = failed.archive.as_ref().and_then(|name| self.archive(name));
        let is_archived = archive.is_some();
        let is_lost = !is_archived && self.queue.has_clearable;
        let ask = if self.queue.has_clearable {
            self.make(Change::Clear {
                queue: self.key.clone(),
                before,
                archive,
            })
        } else {
            Ask::Told("another job waits for each of them: they stay".to_owned())
        };
        Some(Step {
            to: Some(to.clone()),
            // How many there are changes by itself, and consent holds for what does not.
            why: match self.queue.reasons.first() {
                Some((reason, _)) => format!("{many} failed, most by `{}`", one_line(reason)),
                None => format!("{many} failed"),
            },
            effect: Effect::Clear,
            undo: if is_archived {
                "they are in the archive"
            } else {
                "none"
            },
            loses: is_lost.then(|| Loss {
                words: format!("failed jobs of {}, which nothing keeps", self.key),
                facts: format!("{} {to}", self.key),
            }),
            ..self.plain(field, "clear", ask)
        })
    }
}

fn words_of(pause: &Pause) -> String {
    let reasons: Vec<String> = pause.reasons.iter().cloned().collect();
    few(&reasons, 5)
}
