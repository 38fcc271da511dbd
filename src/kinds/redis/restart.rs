//! A restart that is asked for, in the safe order, and the trap that would start a server empty.

use super::{Known, Spec, command, known, plain, service, start};
use crate::kinds::queue::library;
use crate::kinds::step::{Ask, Cause, Effect, Step};
use crate::kinds::variable::LATEST;
use crate::kinds::written::Instant;
use crate::kinds::{Declared, Documents, queue};
use crate::world::railway::{self, Named, Setting, SettingValue, Status};
use crate::world::redis::{Action, Change, Queue, Server};
use crate::world::{self, Seen, World};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long jobs that run are waited for before a restart.
const DRAIN: Duration = Duration::from_secs(120);
/// How old the whole file may be on which a server is restarted: what came since is not in it.
const FRESH: Duration = Duration::from_secs(60);
/// A server that has just been started calls that its last save.
const STARTING: Duration = Duration::from_secs(2);

/// Whether a start may turn the append-only file on; more may stand behind it.
fn says_append_only(start: &str) -> bool {
    let settings = command::settings(start);
    let said = settings.get("appendonly");
    said.is_some_and(|said| said.to_lowercase().starts_with("yes"))
}

/// The start command says append-only, and what runs has no such file: it would start empty, and soon save that (facts/redis-bullmq.md 3.5).
pub fn is_trap(server: &Server, command: &str) -> bool {
    says_append_only(command)
        && !(server.persistence.append_only && server.persistence.append_only_is_whole)
}

/// Says loudly that a restart would lose everything.
pub fn trap(declared: &Declared<Spec>, server: &Server, world: &World) -> Option<Step> {
    let service = service(declared, world)?;
    let command = service.settings.start.as_deref()?;
    let is_mended = declared
        .spec
        .persistence
        .as_ref()
        .is_some_and(|it| it.append_only == Some(true));
    (is_trap(server, command) && !is_mended).then(|| {
        let ask = Ask::Hold {
            by: "its start command turns the append-only file on, and what runs has none: the next restart would start EMPTY".to_owned(),
            way_out: "write `persistence: { appendOnly: true }`: it is turned on in what runs first".to_owned(),
            cause: Cause::Somebody,
        };
        plain(declared, "persistence", "keep", ask)
    })
}

/// The restart that is to be made now.
fn due(declared: &Declared<Spec>, server: &Server, now: Timestamp) -> Option<Timestamp> {
    let Instant(after) = declared.spec.restarted_after?;
    (after <= now && server.started_at < after).then_some(after)
}

fn is_missed(after: Timestamp, now: Timestamp) -> bool {
    now.duration_since(after).unsigned_abs() > LATEST
}

/// Why a queue of a server is paused: it is about to be restarted. One that is not there or cannot be paused is not asked to.
pub fn reason(
    declared: &Declared<Spec>,
    queue: &Declared<queue::Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Option<String> {
    let Known::Server(_, server) = known(&declared.name, documents, world, now) else {
        return None;
    };
    let after = due(declared, server, now).filter(|after| !is_missed(*after, now))?;
    if stuck(declared, server, world, now).is_some() {
        // Jobs do not wait for a restart that is not made.
        return None;
    }
    let seen = server.queues.get(&queue::key(queue)).and_then(Seen::facts);
    if seen.is_some_and(|seen| !seen.exists || !can_pause(queue, seen)) {
        return None;
    }
    Some(format!(
        "Redis/{} is restarted: restartedAfter: {after}",
        declared.name
    ))
}

/// A restart, in the safe order: nothing runs, everything is on the disk, and then the deployment is made again.
pub fn step(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    server: &Server,
    now: Timestamp,
) -> Option<Step> {
    let after = due(declared, server, now)?;
    let name = declared.spec.service.clone().unwrap_or_default();
    let ask = if is_missed(after, now) {
        Ask::Told(format!(
            "missed: it was to be restarted at {after}, more than an hour ago"
        ))
    } else {
        stuck(declared, server, world, now)
            .or_else(|| waits(declared, documents, server, (after, now)))
            .unwrap_or_else(|| restart(declared, &name, server, world, (after, now)))
    };
    let restarts = matches!(&ask, Ask::Make(world::Action::Railway(_)));
    let verb = match &ask {
        Ask::Make(world::Action::Redis(_)) => "save",
        _ => "restart",
    };
    Some(Step {
        why: format!("restartedAfter: {after}"),
        effect: if restarts {
            Effect::Downtime
        } else {
            Effect::Nothing
        },
        undo: "",
        deploys: if restarts { vec![name] } else { Vec::new() },
        ..plain(declared, "restartedAfter", verb, ask)
    })
}

/// What keeps it from being restarted, whatever its queues do.
fn stuck(declared: &Declared<Spec>, server: &Server, world: &World, now: Timestamp) -> Option<Ask> {
    let railway = world.railway.facts()?;
    let name = declared.spec.service.as_ref();
    let service = match name.and_then(|name| railway.services.get(name)) {
        Some(service) => service.facts()?,
        None => {
            return Some(by_hand(
                "no Railway service is named that could be restarted",
            ));
        }
    };
    if service.newest.is_none() {
        return Some(by_hand("it was never deployed"));
    }
    let command = service.settings.start.as_deref().unwrap_or_default();
    is_trap(server, command).then(|| empty(declared, now))
}

fn by_hand(by: &str) -> Ask {
    Ask::Hold {
        by: by.to_owned(),
        way_out: "restart it by hand".to_owned(),
        cause: Cause::Missing,
    }
}

/// A start that would find nothing is waited with, or held.
fn empty(redis: &Declared<Spec>, now: Timestamp) -> Ask {
    let kept = redis.spec.persistence.as_ref();
    if kept.is_some_and(|it| it.append_only == Some(true)) {
        return Ask::Wait {
            until: format!(
                "the append-only file of Redis/{} holds everything: before, it would start EMPTY",
                redis.name
            ),
            deadline: now.saturating_add(LATEST).unwrap_or(Timestamp::MAX),
            then: "make it".to_owned(),
        };
    }
    Ask::Hold {
        by: format!("Redis/{} would start EMPTY: its start command turns the append-only file on, and what runs has none that is whole", redis.name),
        way_out: "write `persistence: { appendOnly: true }` in the Redis: it is turned on in what runs first".to_owned(),
        cause: Cause::Somebody,
    }
}

/// Waits for the queues: paused, and nothing runs, or for long enough.
fn waits(
    declared: &Declared<Spec>,
    documents: &Documents,
    server: &Server,
    (after, now): (Timestamp, Timestamp),
) -> Option<Ask> {
    let queues = documents.queues.values();
    let mut own = queues.filter(|queue| queue.spec.redis == declared.name);
    own.find_map(|queue| {
        let seen = match server.queues.get(&queue::key(queue))? {
            Seen::Facts(seen) => seen,
            Seen::Unseen(reason) => return Some(Ask::Unseen(reason.clone())),
            Seen::Unasked => return None,
        };
        let can_pause = can_pause(queue, seen);
        if !seen.exists || seen.active == 0 && (seen.is_paused || !can_pause) {
            return None;
        }
        // A pause that somebody has lifted is none.
        let pause = seen.pause.as_ref().filter(|_| seen.is_paused);
        let since = match pause {
            Some(pause) => pause.since,
            None if can_pause => now,
            None => after,
        };
        let deadline = since.saturating_add(DRAIN).unwrap_or(Timestamp::MAX);
        (now < deadline).then(|| Ask::Wait {
            until: format!(
                "nothing runs in {}, where {} now",
                queue.name,
                match seen.active {
                    1 => "1 job does".to_owned(),
                    many => format!("{many} jobs do"),
                }
            ),
            deadline,
            then: "it is restarted".to_owned(),
        })
    })
}

/// What is looked at only is never paused.
fn can_pause(queue: &Declared<queue::Spec>, seen: &Queue) -> bool {
    library::known(&queue.spec, seen).is_ok()
}

/// Whether the next start brings back what it holds. The start command says from which file: an append-only file that was only turned on in what runs
/// is not read.
fn is_on_disk(server: &Server, start: &str, now: Timestamp) -> bool {
    let kept = &server.persistence;
    let keeps_settings = server.has_file && !command::settings(start).contains_key("appendonly");
    if says_append_only(start) || keeps_settings && kept.append_only {
        return kept.append_only && kept.append_only_is_whole;
    }
    let is_saved = kept.saved_at.duration_since(server.started_at)
        > SignedDuration::try_from(STARTING).unwrap_or_default();
    let is_fresh = is_saved && now.duration_since(kept.saved_at).unsigned_abs() <= FRESH;
    // What was read from an append-only file does not count as a change, and is in no whole file.
    let is_same = kept.unsaved_changes == 0 && !kept.append_only;
    kept.save_is_well && (is_fresh || is_same)
}

fn restart(
    declared: &Declared<Spec>,
    name: &str,
    server: &Server,
    world: &World,
    (after, now): (Timestamp, Timestamp),
) -> Ask {
    let Some(service) = service(declared, world) else {
        return by_hand("its Railway service cannot be seen");
    };
    let newest = match service.newest.as_ref() {
        Some(newest) if matches!(newest.status, Status::Rolling(_)) => {
            return Ask::Wait {
                until: format!("deployment {} is up", newest.id),
                deadline: after.saturating_add(LATEST).unwrap_or(Timestamp::MAX),
                then: "look again".to_owned(),
            };
        }
        Some(newest) => newest,
        None => return by_hand("it was never deployed"),
    };
    let command = service.settings.start.as_deref().unwrap_or_default();
    if is_on_disk(server, command, now) {
        return Ask::Make(world::Action::Railway(railway::Action::Redeploy {
            service: Named {
                id: service.id.clone(),
                name: name.to_owned(),
            },
            deployment: newest.id.clone(),
        }));
    }
    if server.persistence.is_saving {
        return Ask::Wait {
            until: "what it holds is on the disk".to_owned(),
            deadline: after.saturating_add(LATEST).unwrap_or(Timestamp::MAX),
            then: "it is restarted".to_owned(),
        };
    }
    Ask::Make(world::Action::Redis(Action {
        of: super::of(declared),
        change: Change::Save,
    }))
}

/// Holds every deployment of a server's service that would start it empty; what is stored for a start waits for what else is changed there.
pub fn hold(steps: &mut [Step], documents: &Documents, world: &World, now: Timestamp) {
    start::after_others(steps, now);
    for redis in documents.redises.values() {
        let Some(name) = &redis.spec.service else {
            continue;
        };
        let stored = service(redis, world).and_then(|service| service.settings.start.as_deref());
        let wanted = steps.iter().find_map(|step| start_of(step, name));
        let Some(command) = wanted.or(stored.map(str::to_owned)) else {
            continue;
        };
        let is_safe = match known(&redis.name, documents, world, now) {
            Known::Server(_, server) => !is_trap(server, &command),
            Known::Unseen(_) => !says_append_only(&command),
            Known::Ask(_) => true,
        };
        if is_safe {
            continue;
        }
        let deploys = |step: &&mut Step| step.action().is_some() && step.deploys.contains(name);
        for step in steps.iter_mut().filter(deploys) {
            step.ask = empty(redis, now);
        }
    }
}

/// The start command that a step gives a service.
fn start_of(step: &Step, service: &str) -> Option<String> {
    match step.action()? {
        world::Action::Railway(railway::Action::Change(change)) if change.of.word() == service => {
            match &change.set {
                Setting::Plain(SettingValue::Start(start)) => start.clone(),
                _ => None,
            }
        }
        _ => None,
    }
}
