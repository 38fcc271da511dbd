//! What Redis servers and queues mean together: each queue in a server that is declared, and owned once.

use super::super::Findings;
use super::super::mask::quoted;
use super::{near, place, reachable};
use crate::kinds::maintenance::{self, By};
use crate::kinds::queue::Library;
use crate::kinds::{Declared, Documents, environment as environments, glob, queue, redis};
use crate::problem::{Problem, nearest};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One server.
pub fn server(
    redis: &Declared<redis::Spec>,
    environment: Option<&Declared<environments::Spec>>,
    found: &mut Findings,
) {
    let spec = &redis.spec;
    match (&spec.service, &spec.address) {
        (None, None) => found.add(
            Problem::at(
                place(redis, &[]),
                "missing-field",
                format!("Redis/{} has neither `service` nor `address`", redis.name),
            )
            .help("write the Railway `service` that it runs in"),
        ),
        (Some(_), None) => {}
        (service, Some(_)) => {
            let at = place(redis, &["address"]);
            reachable(at, "address", environment, found);
            if service.is_some() {
                let words = "`address` and `service` both say where it is";
                found.add(
                    Problem::at(at, "two-sources", words)
                        .help("keep `service`, unless its variables cannot be read")
                        .related(place(redis, &["service"]), "the other one"),
                );
            }
        }
    }
}

/// What may be thrown away, and what a full server throws away: never what a queue needs.
pub fn caches(
    redis: &Declared<redis::Spec>,
    documents: &Documents,
    now: Timestamp,
    found: &mut Findings,
) {
    let spec = &redis.spec;
    near(redis, &["restartedAfter"], spec.restarted_after, now, found);
    let mut queues = documents.queues.values();
    let queue = queues.find(|queue| queue.spec.redis == redis.name);
    let policy = spec.memory.as_ref().and_then(|memory| memory.policy);
    if let (Some(policy), Some(queue)) = (policy, queue)
        && policy != redis::Policy::Noeviction
    {
        let words = format!(
            "`policy`: a full server would throw away jobs of Queue/{}",
            queue.name
        );
        found.add(
            Problem::at(place(redis, &["memory", "policy"]), "evicts", words)
                .help("write `policy: noeviction`; a cache that may be thrown away needs a Redis of its own")
                .related(place(queue, &["redis"]), "the queue"),
        );
    }
    let protected = redis::protected(redis, documents);
    for (name, cache) in &spec.caches {
        let path = ["caches", name, "keys"];
        near(
            redis,
            &["caches", name, "purgedAfter"],
            cache.purged_after,
            now,
            found,
        );
        let at = place(redis, &path);
        if glob::beginning(&cache.keys).is_empty() {
            let words = "`keys`: a pattern that fits what begins with anything";
            let problem = Problem::at(at, "too-wide", words);
            found.add(problem.help("begin it with what the cache's keys begin with: `cache:*`"));
            continue;
        }
        if let Some(other) = protected
            .iter()
            .find(|other| glob::may_meet(&cache.keys, other))
        {
            let words = format!("`keys`: it may fit what {} protects", quoted(other));
            let problem = Problem::at(at, "protected", words);
            found.add(problem.help("give the cache's keys a beginning of their own"));
        }
    }
}

/// One queue.
pub fn queue(
    queue: &Declared<queue::Spec>,
    documents: &Documents,
    now: Timestamp,
    found: &mut Findings,
) {
    let spec = &queue.spec;
    unknown_redis(queue, &["redis"], &spec.redis, documents, found);
    let fields = [
        ("maxActive", spec.max_active.is_some()),
        ("paused", spec.paused.is_some()),
        ("failed", spec.failed.is_some()),
    ];
    let changed = fields.iter().find(|(_, is_there)| *is_there);
    if let (Library::Bull, Some((field, _))) = (spec.library, changed) {
        let words = format!("`{field}`: a queue of Bull is looked at only");
        found.add(
            Problem::at(place(queue, &[field]), "not-for-bull", words)
                .help("take it out; BullMQ 3 to 6 can be changed"),
        );
    }
    let Some(failed) = &spec.failed else {
        return;
    };
    let path = ["failed", "clearedBefore"];
    near(queue, &path, failed.cleared_before, now, found);
    if failed.keep.is_some() && failed.archive.is_none() {
        let words = "`keep`: failed jobs go by themselves, and nothing keeps what they were";
        found.add(
            Problem::at(place(queue, &["failed", "keep"]), "no-archive", words).help(
                "write `archive` with a store of the Environment; or `clearedBefore`, for once",
            ),
        );
    }
    if let (Some(archive), Some(environment)) =
        (&failed.archive, documents.environments.values().next())
    {
        let stores = &environment.spec.stores;
        if !stores.contains_key(archive) {
            let problem = Problem::at(
                place(queue, &["failed", "archive"]),
                "unknown-store",
                format!("there is no store {}", quoted(archive)),
            );
            found.add_if_complete(match nearest(archive, stores.keys().map(String::as_str)) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.help("declare it in `stores` of the Environment"),
            });
        }
    }
}

/// A document that names a Redis that is nowhere.
pub fn unknown_redis<S>(
    document: &Declared<S>,
    path: &[&str],
    name: &str,
    documents: &Documents,
    found: &mut Findings,
) {
    let names = documents.redises.keys().map(String::as_str);
    unknown(
        document,
        path,
        ("Redis", "unknown-redis"),
        name,
        names,
        found,
    );
}

fn unknown<'a, S>(
    document: &Declared<S>,
    path: &[&str],
    (kind, code): (&str, &'static str),
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    found: &mut Findings,
) {
    let mut mentioned = found.mentioned.iter();
    if names.clone().any(|known| known == name)
        || mentioned.any(|(other, mentioned)| *other == kind && mentioned == name)
    {
        return;
    }
    let words = format!("there is no {kind} {}", quoted(name));
    let problem = Problem::at(place(document, path), code, words);
    found.add_if_complete(match nearest(name, names) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.help(format!("declare it: a document of `kind: {kind}`")),
    });
}

/// Two documents that say how one queue should be would fight over it.
pub fn one_owner(queues: &BTreeMap<String, Declared<queue::Spec>>, found: &mut Findings) {
    let mut owners = BTreeMap::new();
    for declared in queues.values() {
        let key = queue::key(declared);
        let Some(first) = owners.insert((&declared.spec.redis, key.clone()), declared) else {
            continue;
        };
        let words = format!(
            "Queue/{} and Queue/{} are both {} in Redis/{}",
            declared.name,
            first.name,
            quoted(&key.to_string()),
            declared.spec.redis
        );
        found.add(
            Problem::at(place(declared, &[]), "two-owners", words)
                .help("put them together in one document, or give one another `name` or `prefix`")
                .related(place(first, &[]), "the other one"),
        );
    }
}

/// What a Maintenance does with queues.
pub fn closes(
    maintenance: &Declared<maintenance::Spec>,
    documents: &Documents,
    found: &mut Findings,
) {
    let spec = &maintenance.spec;
    if let By::Key(by) = &spec.by {
        unknown_redis(maintenance, &["by", "redis"], &by.redis, documents, found);
    }
    if spec.drain.is_some() && spec.pause.is_empty() {
        let words = "`drain`: no queue is paused, so that there is nothing to wait for";
        let problem = Problem::at(place(maintenance, &["drain"]), "missing-field", words);
        found.add(problem.help("write `pause` with the queues whose jobs are waited for"));
    }
    for (position, name) in spec.pause.iter().enumerate() {
        let position = position.to_string();
        let path = ["pause", &position];
        let names = documents.queues.keys().map(String::as_str);
        unknown(
            maintenance,
            &path,
            ("Queue", "unknown-queue"),
            name,
            names,
            found,
        );
        let queue = documents.queues.get(name);
        if let Some(queue) = queue.filter(|queue| queue.spec.library == Library::Bull) {
            let words = format!("Queue/{name} is one of Bull, which is looked at only");
            found.add(
                Problem::at(place(maintenance, &path), "not-for-bull", words)
                    .help("take it out; BullMQ 3 to 6 can be paused")
                    .related(place(queue, &["library"]), "the queue"),
            );
        }
    }
}
