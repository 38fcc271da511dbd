//! What `doctor` says of the Redis servers and queues of the manifests: whether they answer, and whether they are fit for what is declared.

use super::{Check, Grade, push};
use crate::kinds::queue::library::{self, Limits};
use crate::kinds::redis::{self, Policy, restart, start};
use crate::kinds::shown::{harmless, one_line};
use crate::kinds::step::Ask;
use crate::kinds::{Declared, Documents, queue};
use crate::world::redis::{At, Layout, Queue, Server};
use crate::world::{Seen, World};
use jiff::Timestamp;

/// Every server, with the queues in it.
pub(super) fn servers(
    documents: &Documents,
    world: &World,
    now: Timestamp,
    checks: &mut Vec<Check>,
) {
    for declared in documents.redises.values() {
        let name = &declared.name;
        match world.redis.get(name) {
            Some(Seen::Facts(server)) => {
                answers(name, server, checks);
                memory(declared, documents, server, checks);
                keeps(declared, documents, server, (world, now), checks);
                let queues = documents.queues.values();
                for queue in queues.filter(|queue| queue.spec.redis == *name) {
                    one_queue(queue, server, checks);
                }
            }
            Some(Seen::Unseen(reason)) => {
                let reason = harmless(reason);
                // Some reasons name it themselves.
                let what = if reason.starts_with("Redis/") {
                    reason.clone()
                } else {
                    format!("Redis/{name} is not found: {reason}")
                };
                push(checks, Grade::Bad, what, way_out(declared, &reason));
            }
            Some(Seen::Unasked) | None => push(
                checks,
                Grade::Doubtful,
                format!("Redis/{name} was not looked at"),
                "let Railway be seen first: it says where the server is",
            ),
        }
    }
}

/// What helps against a reason, as the provider words it.
fn way_out(declared: &Declared<redis::Spec>, reason: &str) -> String {
    let place = match redis::of(declared).at {
        At::Service(service) => format!("REDIS_URL of the service {}", one_line(&service)),
        At::Secret(secret) => format!("the secret {}", one_line(&secret)),
        At::Nowhere => "`service` or `address`".to_owned(),
    };
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&[
        "does not accept the user or the password",
        "asks for a password",
    ]) {
        format!("put the user and the password that the server has into {place}")
    } else if says(&["is a cluster", "is a sentinel"]) {
        format!("let {place} name one server that takes writes")
    } else if says(&["or newer"]) {
        "upgrade the server".to_owned()
    } else if says(&["certificate", "tls", "TLS"]) {
        "let SSL_CERT_FILE name the authority of its certificate; the address begins with rediss:// only where it speaks encrypted".to_owned()
    } else if says(&["lacks the right"]) {
        "give its user that right".to_owned()
    } else if says(&["still loading", "is busy"]) {
        "ask again in a moment".to_owned()
    } else {
        format!(
            "check {place}, and that it can be reached from here: names that end in railway.internal only can inside Railway"
        )
    }
}

fn answers(name: &str, server: &Server, checks: &mut Vec<Check>) {
    let latency = server.latency.as_secs_f64() * 1000.0;
    let version = one_line(&server.version);
    push(
        checks,
        Grade::Good,
        format!("Redis/{name} answers in {latency:.1} ms: version {version}"),
        "",
    );
    if server.is_replica {
        push(
            checks,
            Grade::Bad,
            format!("Redis/{name} is a replica, which takes no writes"),
            "let the Redis name the server that takes writes",
        );
    }
}

/// What a full server throws away.
fn memory(
    declared: &Declared<redis::Spec>,
    documents: &Documents,
    server: &Server,
    checks: &mut Vec<Check>,
) {
    let name = &declared.name;
    let mut queues = documents.queues.values();
    let queue = queues.find(|queue| queue.spec.redis == *name);
    let policy = one_line(&server.memory.policy);
    let fits = Policy::Noeviction.word();
    match queue {
        Some(queue) if policy != fits => push(
            checks,
            Grade::Doubtful,
            format!(
                "Redis/{name} has the policy {policy}: when it is full it throws away jobs of Queue/{}",
                queue.name
            ),
            format!("write `memory: {{ policy: {fits} }}`"),
        ),
        Some(_) => push(
            checks,
            Grade::Good,
            format!("Redis/{name} throws away nothing when it is full"),
            "",
        ),
        None => {}
    }
    if server.memory.evicted_keys > 0 {
        push(
            checks,
            Grade::Doubtful,
            format!(
                "Redis/{name} has thrown away {} keys because it was full",
                server.memory.evicted_keys
            ),
            "give it more memory",
        );
    }
}

/// What a restart brings back.
fn keeps(
    declared: &Declared<redis::Spec>,
    documents: &Documents,
    server: &Server,
    (world, now): (&World, Timestamp),
    checks: &mut Vec<Check>,
) {
    let name = &declared.name;
    let kept = &server.persistence;
    let saves = kept.save.as_deref().is_none_or(|save| !save.is_empty());
    if !kept.append_only && !saves {
        push(
            checks,
            Grade::Doubtful,
            format!("Redis/{name} keeps nothing over a restart"),
            "write `persistence: { appendOnly: true }`, or `save`",
        );
    }
    if !kept.save_is_well {
        push(
            checks,
            Grade::Bad,
            format!("the last save of Redis/{name} failed"),
            "see its log, and whether its disk is full",
        );
    }
    let said = [
        restart::trap(declared, server, world),
        start::step(declared, documents, server, world, &[], now),
    ];
    for step in said.into_iter().flatten() {
        match step.ask {
            Ask::Hold { by, way_out, .. } => {
                push(checks, Grade::Bad, format!("Redis/{name}: {by}"), way_out);
            }
            Ask::Told(words) => says_otherwise(name, words, checks),
            Ask::Make(_) => {
                let options = step.to.unwrap_or_default();
                let words = format!(
                    "the controller, or `apply`, stores it for the next start: `{options}`"
                );
                says_otherwise(name, words, checks);
            }
            Ask::Wait { .. } | Ask::Unseen(_) => {}
        }
    }
}

fn says_otherwise(name: &str, advice: String, checks: &mut Vec<Check>) {
    let what = format!("the start command of Redis/{name} does not say what is declared");
    push(checks, Grade::Doubtful, what, advice);
}

fn one_queue(declared: &Declared<queue::Spec>, server: &Server, checks: &mut Vec<Check>) {
    let name = &declared.name;
    let key = queue::key(declared);
    match server.queues.get(&key) {
        Some(Seen::Facts(queue)) if queue.exists => there(declared, queue, checks),
        Some(Seen::Facts(_)) => push(
            checks,
            Grade::Doubtful,
            format!(
                "Queue/{name}: nothing in Redis/{} is called {}",
                declared.spec.redis,
                one_line(&key.to_string())
            ),
            "the application makes it with its first start; `name` and `prefix` say what it calls it",
        ),
        Some(Seen::Unseen(reason)) => push(
            checks,
            Grade::Bad,
            format!("Queue/{name}: {}", harmless(reason)),
            "see which application writes there; `prefix` tells them apart",
        ),
        Some(Seen::Unasked) | None => {}
    }
}

fn there(declared: &Declared<queue::Spec>, queue: &Queue, checks: &mut Vec<Check>) {
    let name = &declared.name;
    let known = match library::known(&declared.spec, queue) {
        Ok(known) => known,
        Err(words) => {
            let advice = "say `version`, where the library says it wrongly";
            push(
                checks,
                Grade::Doubtful,
                format!("Queue/{name}: {words}"),
                advice,
            );
            return;
        }
    };
    let layout = match known.layout {
        Layout::Legacy => "a pause moves its jobs, as before version 6",
        Layout::V6 => "a pause leaves its jobs where they are, as from version 6",
    };
    match &known.version {
        Some(version) => push(
            checks,
            Grade::Good,
            format!(
                "Queue/{name} is there: BullMQ {}, {layout}; {} waiting, {} running",
                one_line(version),
                queue.waiting(),
                queue.active
            ),
            "",
        ),
        None => push(
            checks,
            Grade::Doubtful,
            format!("Queue/{name} is there, and which BullMQ it is does not show: {layout}"),
            "say `version` in the Queue",
        ),
    }
    if declared.spec.max_active.is_some() && known.limits == Limits::Ignored {
        push(
            checks,
            Grade::Doubtful,
            format!("Queue/{name}: its library ignores `maxActive`, which came with 5.9"),
            "upgrade the library, or take `maxActive` out",
        );
    }
    if queue.is_mixed(known.layout) {
        push(
            checks,
            Grade::Doubtful,
            format!(
                "Queue/{name}: jobs lie where no worker looks for them, or where the library's own resume would lose them"
            ),
            "`diff` says what mends it",
        );
    }
    if queue.workers == Some(0) && queue.waiting() > 0 {
        push(
            checks,
            Grade::Doubtful,
            format!("Queue/{name}: jobs wait, and no worker is connected"),
            "see the log of the service that works them",
        );
    }
}
