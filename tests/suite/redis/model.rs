//! A server in memory, at the trait: queues as our scripts and BullMQ leave them. A test here holds it to a real one.

use super::server::{Server, key, question};
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::redis::{
    Change, Layout, Memory, Pause, Persistence, Question, Queue, QueueKey, Server as Shown, turned,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One queue: what its `meta` says, and its lists with the newest job first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    pub meta: BTreeMap<String, String>,
    pub wait: Vec<u64>,
    pub paused: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub queues: BTreeMap<QueueKey, Lists>,
    pub keys: BTreeMap<String, String>,
    pub settings: BTreeMap<String, String>,
}

impl Lists {
    pub fn is_paused(&self) -> bool {
        self.meta.contains_key("paused")
    }

    /// As the library adds a job.
    pub fn add(&mut self, job: u64, layout: Layout) {
        let list = match layout {
            Layout::Legacy if self.is_paused() => &mut self.paused,
            Layout::Legacy | Layout::V6 => &mut self.wait,
        };
        list.insert(0, job);
    }

    fn pause(&mut self, layout: Layout, reasons: &BTreeSet<String>, now: Timestamp) {
        let noted = now.as_millisecond().to_string();
        if !self.is_paused() {
            self.meta.remove("reconciler:was-paused");
            self.meta.insert("reconciler:since".to_owned(), noted);
        } else if !self.meta.contains_key("reconciler:since") {
            self.meta
                .insert("reconciler:was-paused".to_owned(), "1".to_owned());
            self.meta.insert("reconciler:since".to_owned(), noted);
        }
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        self.meta.insert("paused".to_owned(), "1".to_owned());
        self.meta
            .insert("reconciler:paused-for".to_owned(), reasons.join("\n"));
        if layout == Layout::Legacy {
            self.paused.append(&mut self.wait);
        }
    }

    fn resume(&mut self, layout: Layout) {
        if layout == Layout::Legacy && self.is_paused() {
            self.paused.append(&mut self.wait);
        }
        self.wait.append(&mut self.paused);
        for field in [
            "paused",
            "reconciler:paused-for",
            "reconciler:since",
            "reconciler:was-paused",
        ] {
            self.meta.remove(field);
        }
    }

    fn shown(&self) -> Queue {
        let since = self
            .meta
            .get("reconciler:since")
            .and_then(|since| since.parse().ok());
        Queue {
            exists: true,
            version: self.meta.get("version").cloned(),
            is_paused: self.is_paused(),
            max_active: self.meta.get("concurrency").cloned(),
            in_wait: self.wait.len() as u64,
            in_paused: self.paused.len() as u64,
            pause: self.meta.get("reconciler:paused-for").map(|reasons| Pause {
                reasons: reasons.lines().map(str::to_owned).collect(),
                since: Timestamp::from_millisecond(since.unwrap_or_default()).unwrap(),
                was_paused: self.meta.contains_key("reconciler:was-paused"),
            }),
            ..Queue::default()
        }
    }
}

impl Model {
    pub fn perform(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::MaxActive { queue, to } => {
                let lists = self.queues.get_mut(queue).unwrap();
                lists.meta.insert("concurrency".to_owned(), to.to_string());
            }
            Change::Pause {
                queue,
                layout,
                reasons,
            } => self
                .queues
                .get_mut(queue)
                .unwrap()
                .pause(*layout, reasons, now),
            Change::Resume { queue, layout, .. } => {
                self.queues.get_mut(queue).unwrap().resume(*layout);
            }
            Change::Forget { queue } => {
                let lists = self.queues.get_mut(queue).unwrap();
                lists
                    .meta
                    .retain(|field, _| !field.starts_with("reconciler:"));
            }
            Change::Set { key, value } => {
                self.keys.insert(key.clone(), value.clone());
                self.keys
                    .insert(turned(key), now.as_millisecond().to_string());
            }
            Change::Unset { key } => {
                self.keys.remove(key);
                self.keys
                    .insert(turned(key), now.as_millisecond().to_string());
            }
            Change::Configure { values, .. } => {
                for (name, value) in values {
                    self.settings.insert((*name).to_owned(), value.clone());
                }
            }
            Change::Clear { .. } | Change::Save | Change::Purge { .. } | Change::Warm { .. } => {
                panic!("{change:?} is not played")
            }
        }
    }

    pub fn look(&self, question: &Question) -> Shown {
        let queues = question.queues.keys().map(|key| {
            let shown = self.queues.get(key).map(Lists::shown);
            (key.clone(), Seen::Facts(shown.unwrap_or_default()))
        });
        let setting = |name: &str| self.settings.get(name).cloned().unwrap_or_default();
        let keys = question.keys.iter();
        let keys = keys.map(|key| (key.clone(), Seen::Facts(self.keys.get(key).cloned())));
        Shown {
            version: "7.0.15".to_owned(),
            run_id: "model".to_owned(),
            started_at: Timestamp::default(),
            is_replica: false,
            has_file: false,
            latency: Duration::ZERO,
            memory: Memory {
                max_bytes: setting("maxmemory").parse().unwrap_or_default(),
                policy: setting("maxmemory-policy"),
                ..Memory::default()
            },
            persistence: Persistence {
                save: Some(setting("save")),
                sync: Some(setting("appendfsync")),
                append_only: setting("appendonly") == "yes",
                append_only_is_whole: setting("appendonly") == "yes",
                ..Persistence::default()
            },
            queues: queues.collect(),
            keys: keys.collect(),
            counts: BTreeMap::new(),
        }
    }
}

/// Numbers from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn drawn(dice: &mut Dice) -> Change {
    let queue = key("mail");
    let layout = if dice.roll(3) == 0 {
        Layout::V6
    } else {
        Layout::Legacy
    };
    let reasons = ["Maintenance/site", "Queue/mail", "Redis/main"];
    match dice.roll(8) {
        0 => Change::MaxActive {
            queue,
            to: 1 + dice.roll(9),
        },
        1 | 2 => Change::Pause {
            queue,
            layout,
            reasons: reasons
                .iter()
                .filter(|_| dice.roll(2) == 0)
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
        _ if dice.roll(2) == 0 => Change::Unset {
            key: "closed".to_owned(),
        },
        _ => Change::Set {
            key: "closed".to_owned(),
            value: "true".to_owned(),
        },
    }
}

#[tokio::test]
async fn the_model_does_what_a_real_server_does() {
    let server = Server::start().await;
    let mut model = Model::default();
    let mut meta = BTreeMap::new();
    for (field, value) in [("opts.maxLenEvents", "10000"), ("version", "bullmq:5.81.5")] {
        server
            .run::<()>(&format!("HSET bull:mail:meta {field} {value}"))
            .await;
        meta.insert(field.to_owned(), value.to_owned());
    }
    let lists = Lists {
        meta,
        ..Lists::default()
    };
    model.queues.insert(key("mail"), lists);
    let seed = u64::from(server.port);
    let mut dice = Dice(seed);
    for turn in 0..400 {
        let lists = model.queues.get_mut(&key("mail")).unwrap();
        match dice.roll(5) {
            0 | 1 => {
                let before = lists.paused.len();
                lists.add(turn, Layout::Legacy);
                let list = if lists.paused.len() > before {
                    "paused"
                } else {
                    "wait"
                };
                server
                    .run::<()>(&format!("LPUSH bull:mail:{list} {turn}"))
                    .await;
            }
            2 if dice.roll(2) == 0 => {
                lists.meta.insert("paused".to_owned(), "1".to_owned());
                server.run::<()>("HSET bull:mail:meta paused 1").await;
            }
            2 => {
                lists.meta.remove("paused");
                server.run::<()>("HDEL bull:mail:meta paused").await;
            }
            _ => {
                let change = drawn(&mut dice);
                model.perform(&change, Timestamp::default());
                server.perform(change).await.unwrap();
            }
        }
        let lists = &model.queues[&key("mail")];
        let ids = |list: &[u64]| list.iter().map(u64::to_string).collect::<Vec<String>>();
        let wait: Vec<String> = server.run("LRANGE bull:mail:wait 0 -1").await;
        let paused: Vec<String> = server.run("LRANGE bull:mail:paused 0 -1").await;
        assert_eq!(
            (wait, paused),
            (ids(&lists.wait), ids(&lists.paused)),
            "{seed} {turn}"
        );
        let (mut real, mut modelled) = (server.queue("mail").await, lists.shown());
        for shown in [&mut real, &mut modelled] {
            shown.oldest_waiting = None;
            shown.workers = None;
            if let Some(pause) = &mut shown.pause {
                pause.since = Timestamp::default();
            }
        }
        assert_eq!(real, modelled, "{seed} {turn}");
    }
    let asked = question(&[]);
    let real = server.look(&asked).await;
    let (real, modelled) = (real.facts().unwrap(), model.look(&asked));
    assert_eq!(real.memory.max_bytes, modelled.memory.max_bytes, "{seed}");
    for (name, there) in [
        ("maxmemory-policy", &real.memory.policy),
        ("save", real.persistence.save.as_ref().unwrap()),
        ("appendfsync", real.persistence.sync.as_ref().unwrap()),
    ] {
        let set = model.settings.get(name);
        assert!(set.is_none_or(|set| set == there), "{seed} {name}");
    }
    let closed: Option<String> = server.run("GET closed").await;
    assert_eq!(closed.as_ref(), model.keys.get("closed"));
}
