//! What a Maintenance does in a Redis: the key that closes, and the jobs that it waits for. The queues pause themselves for it.

use super::{By, ByKey, Spec, why};
use crate::kinds::redis::{self, Known};
use crate::kinds::shown::{few, one_line};
use crate::kinds::step::{Ask, Asked, Cause, Effect, Step};
use crate::kinds::written::Duration;
use crate::kinds::{Declared, Documents, queue};
use crate::world::redis::{Action, Change, Pause, Queue, turned};
use crate::world::{self, Seen, World};
use jiff::Timestamp;

/// Turns the key that closes, or takes it away.
pub fn turn_key(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
    asked: &mut Asked,
) {
    let By::Key(by) = &declared.spec.by else {
        return;
    };
    let is_closing = declared.spec.enabled;
    let verb = if is_closing { "close" } else { "open" };
    let mut add = |from: Option<String>, ask: Ask| {
        asked.steps.push(Step {
            from,
            to: is_closing.then(|| one_line(&by.value)),
            why: why(declared),
            origin: Some(declared.origin(&["enabled"]).clone()),
            effect: Effect::Hot,
            undo: "revert",
            closes: is_closing,
            ..declared.step("by.key", verb, ask)
        });
    };
    let (of, server) = match redis::known(&by.redis, documents, world, now) {
        Known::Server(of, server) => (of, server),
        Known::Unseen(reason) => return add(None, redis::unseen(&by.redis, documents, reason)),
        Known::Ask(question) => {
            asked.questions.insert(question.into());
            return;
        }
    };
    let there = match server.keys.get(&by.key) {
        Some(Seen::Facts(there)) => there.as_deref(),
        Some(Seen::Unseen(reason)) => return add(None, Ask::Unseen(reason.clone())),
        Some(Seen::Unasked) | None => return,
    };
    if (there == Some(by.value.as_str())) == is_closing {
        return;
    }
    if server.is_replica {
        return add(
            None,
            Ask::Hold {
                by: format!("Redis/{} is a replica, which takes no writes", by.redis),
                way_out: "let `address` name the server that takes writes".to_owned(),
                cause: Cause::Refused,
            },
        );
    }
    let key = by.key.clone();
    let change = if is_closing {
        let value = by.value.clone();
        Change::Set { key, value }
    } else {
        Change::Unset { key }
    };
    // What another has put there may be a secret.
    let from = there.map(|there| {
        if there == by.value {
            one_line(there)
        } else {
            "another value".to_owned()
        }
    });
    add(from, Ask::Make(world::Action::Redis(Action { of, change })));
}

/// Whether the key is as it should be, as far as it can be seen.
pub fn is_in_place(
    by: &ByKey,
    is_closed: bool,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> bool {
    let Known::Server(_, server) = redis::known(&by.redis, documents, world, now) else {
        return false;
    };
    let there = server.keys.get(&by.key).and_then(Seen::facts);
    there.is_some_and(|there| (there.as_deref() == Some(by.value.as_str())) == is_closed)
}

/// When the key was turned last, where that is known.
pub fn turned_at(
    by: &ByKey,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Option<Timestamp> {
    let Known::Server(_, server) = redis::known(&by.redis, documents, world, now) else {
        return None;
    };
    let noted = server.keys.get(&turned(&by.key))?.facts()?;
    Timestamp::from_millisecond(noted.as_ref()?.parse().ok()?).ok()
}

/// Waits for the jobs that run in the queues that it pauses, and then says which still do.
pub fn drain(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
    asked: &mut Asked,
) {
    let Some(Duration(longest)) = declared.spec.drain.filter(|_| declared.spec.enabled) else {
        return;
    };
    for name in &declared.spec.pause {
        let Some((queue, pause)) = running(name, documents, world, now) else {
            continue;
        };
        let deadline = pause.since.saturating_add(longest);
        let deadline = deadline.unwrap_or(Timestamp::MAX);
        let many = match queue.active {
            1 => "1 job runs".to_owned(),
            many => format!("{many} jobs run"),
        };
        let ask = if now < deadline {
            Ask::Wait {
                until: format!("{many} to the end in {name}"),
                deadline,
                then: "nothing runs".to_owned(),
            }
        } else {
            let unheld = match queue.unheld {
                0 => String::new(),
                unheld => format!("; no worker holds {unheld} of them"),
            };
            let running = few(&queue.running, 5);
            Ask::Told(format!("{many} still in {name}: {running}{unheld}"))
        };
        asked.steps.push(declared.step("drain", "wait for", ask));
    }
}

/// A queue that is paused, and in which jobs run.
fn running<'a>(
    name: &str,
    documents: &Documents,
    world: &'a World,
    now: Timestamp,
) -> Option<(&'a Queue, &'a Pause)> {
    let declared = documents.queues.get(name)?;
    let redis = &declared.spec.redis;
    let Known::Server(_, server) = redis::known(redis, documents, world, now) else {
        return None;
    };
    let queue = server.queues.get(&queue::key(declared))?.facts()?;
    let pause = queue.pause.as_ref()?;
    (queue.is_paused && queue.active > 0).then_some((queue, pause))
}
