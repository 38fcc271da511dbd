//! The model does what a real server does: the same changes to both, and after each the same is there.

use super::super::failed::archived;
use super::super::server::{Server, key, question};
use super::{Dice, Lists, Model};
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::redis::{Archive, Change, Layout, Queue};
use std::collections::BTreeSet;
use std::time::Duration;

/// When jobs fail; the clocks of both do not matter then.
fn moment(number: u64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + i64::try_from(number).unwrap()).unwrap()
}

fn drawn(dice: &mut Dice, turn: u64, server: &Server) -> Change {
    let queue = key("mail");
    let layout = if dice.one_in(3) {
        Layout::V6
    } else {
        Layout::Legacy
    };
    let reasons = ["Maintenance/site", "Queue/mail", "Redis/main"];
    match dice.roll(11) {
        0 => Change::MaxActive {
            queue,
            to: 1 + dice.roll(9),
        },
        1 | 2 => Change::Pause {
            queue,
            layout,
            reasons: reasons
                .iter()
                .filter(|_| dice.one_in(2))
                .map(|it| (*it).to_owned())
                .collect(),
        },
        3 | 4 => Change::Resume {
            queue,
            layout,
            is_ours: true,
        },
        5 => Change::Forget { queue },
        6 => {
            let (name, value) = [
                ("maxmemory", "419430400"),
                ("maxmemory", "0"),
                ("maxmemory-policy", "allkeys-lru"),
                ("maxmemory-policy", "noeviction"),
                ("save", "3600 1"),
                ("appendfsync", "always"),
            ][dice.roll(6) as usize];
            Change::Configure {
                values: vec![(name, value.to_owned())],
                has_file: false,
            }
        }
        7 => Change::Clear {
            queue,
            before: moment(turn.saturating_sub(dice.roll(40))),
            archive: dice.one_in(2).then(|| Archive {
                store: "backups".to_owned(),
                url: format!("file://{}", server.archive.path().display()),
            }),
        },
        8 => Change::Purge {
            cache: "pages".to_owned(),
            pattern: ["cache:*", "cache:?", "ca*:[0-4]*", "*"][dice.roll(4) as usize].to_owned(),
            protect: ["cache:keep:*", "cache:1*", "session:*", "bull:*", "closed*"]
                .map(str::to_owned)
                .into_iter()
                .chain(["reconciler:*".to_owned()])
                .collect(),
        },
        9 => Change::Warm {
            cache: "pages".to_owned(),
            urls: Vec::new(),
        },
        _ if dice.one_in(2) => Change::Unset {
            key: "closed".to_owned(),
        },
        _ => Change::Set {
            key: "closed".to_owned(),
            value: "true".to_owned(),
        },
    }
}

/// What the application and people do, to both.
async fn act(dice: &mut Dice, turn: u64, model: &mut Model, server: &Server) {
    match dice.roll(8) {
        0 | 1 => {
            let before = model.mail().paused.len();
            model.mail().add(turn, Layout::Legacy);
            let is_paused = model.mail().paused.len() > before;
            let list = if is_paused { "paused" } else { "wait" };
            let command = format!("LPUSH bull:mail:{list} {turn}");
            server.run::<()>(&command).await;
        }
        2 => {
            let paused = "paused".to_owned();
            model.mail().meta.insert(paused, "1".to_owned());
            server.run::<()>("HSET bull:mail:meta paused 1").await;
        }
        3 => {
            model.mail().meta.remove("paused");
            server.run::<()>("HDEL bull:mail:meta paused").await;
        }
        4 | 5 => {
            model.mail().failed.insert(turn, moment(turn));
            let at = moment(turn).as_millisecond();
            let job = format!("bull:mail:{turn}");
            let commands = [
                format!("HSET {job} name letter failedReason no"),
                format!("ZADD bull:mail:failed {at} {turn}"),
            ];
            for command in commands {
                server.run::<()>(&command).await;
            }
            if dice.one_in(3) {
                model.mail().awaited.insert(turn);
                let parent = "bull:flows:1";
                server
                    .run::<()>(&format!("HSET {job} parentKey {parent}"))
                    .await;
                let awaits = format!("SADD {parent}:dependencies {job}");
                server.run::<()>(&awaits).await;
            }
        }
        _ => {
            let key = ["cache:", "cache:keep:", "session:"][dice.roll(3) as usize];
            let key = format!("{key}{}", dice.roll(20));
            model.held.keys.insert(key.clone(), "x".to_owned());
            server.run::<()>(&format!("SET {key} x")).await;
        }
    }
}

/// Until nothing is being written to the disk.
async fn is_written(server: &Server) {
    for _ in 0..500 {
        let shown = server.look(&question(&[])).await;
        let kept = shown.facts().unwrap().persistence.clone();
        if !kept.is_saving && kept.append_only == kept.append_only_is_whole {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not end");
}

/// The file, the append-only file, or the end of the server: what a start brings back is the same.
async fn keep(dice: &mut Dice, model: &mut Model, server: &mut Server) {
    let now = Timestamp::default();
    let later = now + Duration::from_secs(3600);
    match dice.roll(4) {
        0 => {
            server.perform(Change::Save).await.unwrap();
            model.perform(&Change::Save, now, usize::MAX);
        }
        1 | 2 => {
            let value = if dice.one_in(3) { "no" } else { "yes" };
            let change = Change::Configure {
                values: vec![("appendonly", value.to_owned())],
                has_file: false,
            };
            server.perform(change.clone()).await.unwrap();
            model.perform(&change, now, usize::MAX);
        }
        _ => {
            server.restart().await;
            model.restart(false, now);
        }
    }
    is_written(server).await;
    model.tick(later, false);
    // The application makes its queue again with its next start.
    for (field, value) in MADE {
        let (field, value) = (field.to_owned(), value.to_owned());
        model.mail().meta.insert(field.clone(), value.clone());
        let command = format!("HSET bull:mail:meta {field} {value}");
        server.run::<()>(&command).await;
    }
}

const MADE: [(&str, &str); 2] = [("opts.maxLenEvents", "10000"), ("version", "bullmq:5.81.5")];

/// A queue without what does not matter here.
fn plain(queue: &Queue) -> Queue {
    let mut queue = queue.clone();
    (queue.oldest_waiting, queue.workers) = (None, None);
    (queue.running, queue.reasons, queue.unheld) = (Vec::new(), Vec::new(), 0);
    if let Some(pause) = &mut queue.pause {
        pause.since = Timestamp::default();
    }
    queue
}

async fn is_the_same(seed: u64, turn: u64, model: &mut Model, server: &Server) {
    let ids = |list: &[u64]| list.iter().map(u64::to_string).collect::<Vec<String>>();
    let wait: Vec<String> = server.run("LRANGE bull:mail:wait 0 -1").await;
    let paused: Vec<String> = server.run("LRANGE bull:mail:paused 0 -1").await;
    let lists = model.mail().clone();
    let modelled = (ids(&lists.wait), ids(&lists.paused));
    assert_eq!((wait, paused), modelled, "{seed} {turn}");
    let mut asked = question(&["mail"]);
    asked.queues.insert(key("mail"), Some(moment(turn / 2)));
    asked.counts = ["cache:*", "session:?"].map(str::to_owned).into();
    let real = server.look(&asked).await;
    let (real, modelled) = (real.facts().unwrap(), model.look(&asked));
    let of = |queues: &Seen<Queue>| plain(queues.facts().unwrap());
    let queue = &key("mail");
    let queues = (of(&real.queues[queue]), of(&modelled.queues[queue]));
    assert_eq!(queues.0, queues.1, "{seed} {turn}");
    assert_eq!(real.counts, modelled.counts, "{seed} {turn}");
    assert_eq!(real.memory.max_bytes, modelled.memory.max_bytes, "{seed}");
    assert_eq!(real.memory.policy, modelled.memory.policy, "{seed} {turn}");
    let kept = |shown: &reconciler::world::redis::Server| {
        let kept = shown.persistence.clone();
        let log = (kept.append_only, kept.append_only_is_whole);
        (kept.save, kept.sync, log, kept.save_is_well)
    };
    assert_eq!(kept(real), kept(&modelled), "{seed} {turn}");
    // Where the model knows of a change that is not in the file, so does the server.
    let unsaved = (&real.persistence, &modelled.persistence);
    assert!(
        unsaved.0.unsaved_changes > 0 || unsaved.1.unsaved_changes == 0 || turn == 0,
        "{seed} {turn}"
    );
    let keys: Vec<String> = server.run("KEYS *").await;
    let keys: BTreeSet<String> = keys.into_iter().collect();
    let keys = keys.into_iter().filter(|key| !key.starts_with("bull:"));
    let modelled: Vec<String> = model.held.keys.keys().cloned().collect();
    assert_eq!(keys.collect::<Vec<String>>(), modelled, "{seed} {turn}");
}

#[tokio::test]
async fn the_model_does_what_a_real_server_does() {
    both("").await;
    both("--appendonly yes").await;
}

/// A server and the model, started with the same command.
async fn both(command: &str) {
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let mut server = Server::with(&arguments).await;
    let mut model = Model::started(command, Timestamp::default());
    *model.mail() = Lists::default();
    for (field, value) in MADE {
        let command = format!("HSET bull:mail:meta {field} {value}");
        server.run::<()>(&command).await;
        let (field, value) = (field.to_owned(), value.to_owned());
        model.mail().meta.insert(field, value);
    }
    let seed = u64::from(server.port);
    let mut dice = Dice(seed);
    for turn in 0..300 {
        match dice.roll(12) {
            0 => keep(&mut dice, &mut model, &mut server).await,
            1..=6 => act(&mut dice, turn, &mut model, &server).await,
            _ => {
                let change = drawn(&mut dice, turn, &server);
                model.perform(&change, Timestamp::default(), usize::MAX);
                server.perform(change).await.unwrap();
            }
        }
        is_the_same(seed, turn, &mut model, &server).await;
    }
    let pieces = archived(server.archive.path());
    let jobs = pieces
        .iter()
        .flat_map(|piece| piece["jobs"].as_array().unwrap());
    let jobs: BTreeSet<u64> = jobs
        .map(|job| job["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(jobs, model.archived, "{seed}");
}
