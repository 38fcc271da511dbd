//! Queues settle on what git says whatever happens, by simulation from seeds: servers that are away, answers that get lost, processes that die,
//! people who pause and let go on by hand.

use super::model::{Dice, Lists, Model};
use super::server::key;
use crate::worlds::Written;
use async_trait::async_trait;
use jiff::SignedDuration;
use reconciler::clock::Clock;
use reconciler::interrupt::interrupt;
use reconciler::manifest::{Desired, load};
use reconciler::plan::gate::Memory;
use reconciler::plan::write::{What, Write};
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::reconcile::Pass;
use reconciler::source::Files;
use reconciler::world::health::NOBODY_ASKS;
use reconciler::world::page::Page;
use reconciler::world::redis::{Change, Layout};
use reconciler::world::{Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 1_500;

/// What git asks for in one commit.
#[derive(Debug, Clone, Copy)]
struct Wish {
    max_active: Option<u64>,
    paused: Option<bool>,
    is_closed: bool,
    pauses: bool,
    /// What the server may hold, and whether it keeps every change.
    holds: Option<u64>,
    keeps: Option<bool>,
}

impl Wish {
    fn drawn(dice: &mut Dice) -> Wish {
        Wish {
            max_active: (dice.roll(2) == 0).then(|| 1 + dice.roll(5)),
            paused: [None, Some(true), Some(false)][dice.roll(3) as usize],
            is_closed: dice.roll(2) == 0,
            pauses: dice.roll(4) > 0,
            holds: (dice.roll(2) == 0).then(|| 100 + dice.roll(3)),
            keeps: (dice.roll(2) == 0).then_some(true),
        }
    }

    fn reasons(&self) -> BTreeSet<String> {
        let own = (self.paused == Some(true)).then_some("Queue/mail");
        let closed = (self.is_closed && self.pauses).then_some("Maintenance/site");
        own.into_iter().chain(closed).map(str::to_owned).collect()
    }

    fn desired(&self) -> Desired {
        let field = |name: &str, value: Option<String>| {
            value
                .map(|value| format!(", {name}: {value}"))
                .unwrap_or_default()
        };
        let head = "---\napiVersion: reconciler/v1alpha1\nkind: ";
        let text = [
            "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec: { railway: { project: p, environment: e } }\n".to_owned(),
            format!("{head}Service\nmetadata: {{ name: web }}\nspec: {{ image: \"app:1\" }}\n"),
            format!(
                "{head}Redis\nmetadata: {{ name: main }}\nspec: {{ service: redis{}{} }}\n",
                field("memory", self.holds.map(|most| format!("{{ max: {most}MiB, policy: noeviction }}"))),
                field("persistence", self.keeps.map(|keeps| format!("{{ save: 3600 1, appendOnly: {keeps} }}"))),
            ),
            format!(
                "{head}Queue\nmetadata: {{ name: mail }}\nspec: {{ redis: main, library: bullmq{}{} }}\n",
                field("maxActive", self.max_active.map(|most| most.to_string())),
                field("paused", self.paused.map(|paused| paused.to_string())),
            ),
            format!(
                "{head}Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: {}, services: [web], by: {{ key: closed, redis: main }}, pause: [{}], until: 2027-01-01T00:00:00Z, page: {{ closed: {{ status: 503 }}, open: {{ status: 200 }} }} }}\n",
                self.is_closed,
                if self.pauses { "mail" } else { "" },
            ),
        ];
        let files = Files {
            directory: String::new(),
            texts: BTreeMap::from([("all.yaml".into(), text.concat().into())]),
        };
        load(&files, "2026-11-23T02:00:00Z".parse().unwrap()).unwrap()
    }
}

struct Stage {
    model: Mutex<Model>,
    dice: Mutex<Dice>,
    clock: Clock,
    /// Whether every pause is made as version 6 does: what the laws must catch.
    is_bent: bool,
    /// Of a hundred exchanges, how many go wrong.
    faults: Mutex<u64>,
}

impl Stage {
    fn fails(&self) -> bool {
        let most = *self.faults.lock().unwrap();
        self.dice.lock().unwrap().roll(100) < most
    }

    fn railway(&self) -> World {
        let text = "{ now: 2026-11-23T02:00:00Z, services: { web: { image: \"app:1\", domains: [shop.example], newest: { id: d1, status: SUCCESS, at: 2026-11-20T09:00:00Z, image: \"app:1\" } } } }";
        serde_yaml::from_str::<Written>(text).unwrap().world()
    }

    /// What people and the application do.
    fn act(&self, job: u64, layout: Layout) {
        let mut model = self.model.lock().unwrap();
        let lists = model.queues.get_mut(&key("mail")).unwrap();
        let mut dice = self.dice.lock().unwrap();
        lists.add(job, layout);
        match dice.roll(8) {
            0 => {
                lists.meta.insert("paused".to_owned(), "1".to_owned());
            }
            1 => {
                lists.meta.remove("paused");
            }
            2 => {
                let value = ["abc", "7", "0"][dice.roll(3) as usize];
                lists
                    .meta
                    .insert("concurrency".to_owned(), value.to_owned());
            }
            3 => {
                model.keys.remove("closed");
            }
            4 => {
                model
                    .settings
                    .insert("maxmemory".to_owned(), "7".to_owned());
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Provider for Stage {
    async fn observe(&self, _: &Scope) -> Result<World, Failure> {
        Ok(self.railway())
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        for question in questions {
            match question {
                Question::Redis(question) => {
                    let shown = if self.fails() {
                        Seen::Unseen("Redis/main does not answer".to_owned())
                    } else {
                        Seen::Facts(self.model.lock().unwrap().look(question))
                    };
                    world.redis.insert(question.of.name.clone(), shown);
                }
                Question::Page(question) => {
                    let is_closed = self.model.lock().unwrap().keys.contains_key("closed");
                    let page = Page {
                        status: if is_closed { 503 } else { 200 },
                        body: String::new(),
                    };
                    world.pages.insert(question.url.clone(), Seen::Facts(page));
                }
                Question::Railway(_) => {}
            }
        }
    }

    async fn perform(&self, _: &World, write: &Write, _: &Secrets) -> Result<(), Failure> {
        let What::Redis(action) = &write.what else {
            panic!("{:?}: nothing of Railway differs", write.what)
        };
        let (is_lost, is_done) = (self.fails(), self.dice.lock().unwrap().roll(2) == 0);
        if !is_lost || is_done {
            let now = self.clock.now();
            let change = match action.change.clone() {
                Change::Pause { queue, reasons, .. } if self.is_bent => Change::Pause {
                    queue,
                    layout: Layout::V6,
                    reasons,
                },
                change => change,
            };
            self.model.lock().unwrap().perform(&change, now);
        }
        match (is_lost, is_done) {
            (false, _) => Ok(()),
            (true, true) => Err(Failure::Unclear("no answer".to_owned())),
            (true, false) => Err(Failure::Passing("not sent".to_owned())),
        }
    }
}

async fn play(seed: u64, is_bent: bool) -> Result<(), String> {
    let clock = Clock::counted("2026-11-23T02:00:00Z".parse().unwrap(), seed);
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let version = ["bullmq:5.81.5", "bullmq:6.7.0"][dice.roll(2) as usize];
    let layout = if version.contains(":6") {
        Layout::V6
    } else {
        Layout::Legacy
    };
    let mut model = Model::default();
    let lists = Lists {
        meta: BTreeMap::from([("version".to_owned(), version.to_owned())]),
        ..Lists::default()
    };
    model.queues.insert(key("mail"), lists);
    let wishes: Vec<Wish> = (0..3).map(|_| Wish::drawn(&mut dice)).collect();
    let stage = Stage {
        model: Mutex::new(model),
        dice: Mutex::new(dice),
        clock: clock.clone(),
        is_bent,
        faults: Mutex::new(25),
    };
    let (secrets, (_stop, interrupt)) = (Secrets::new(), interrupt());
    let mut memory = Memory::writing_since(clock.now());
    let mut jobs = 0;
    for wish in &wishes {
        let desired = wish.desired();
        let pass = Pass {
            desired: &desired,
            provider: &stage,
            secrets: &secrets,
            health: &NOBODY_ASKS,
            clock: &clock,
        };
        let turns = stage.dice.lock().unwrap().roll(6);
        for _ in 0..turns {
            jobs += 1;
            stage.act(jobs, layout);
            let looked = pass.look(&memory).await.unwrap();
            pass.act(&looked, &mut memory, &interrupt).await;
            if stage.dice.lock().unwrap().roll(10) == 0 {
                memory = Memory::writing_since(clock.now());
            }
            clock.sleep(Duration::from_secs(5)).await;
        }
    }
    // Nothing goes wrong any more, and nobody touches anything.
    *stage.faults.lock().unwrap() = 0;
    clock.jump(SignedDuration::from_hours(2));
    let wish = wishes[2];
    let desired = wish.desired();
    let pass = Pass {
        desired: &desired,
        provider: &stage,
        secrets: &secrets,
        health: &NOBODY_ASKS,
        clock: &clock,
    };
    let mut quiet = 0;
    for _ in 0..12 {
        let looked = pass.look(&memory).await.unwrap();
        quiet = if looked.plan.writes.is_empty() {
            quiet + 1
        } else {
            0
        };
        pass.act(&looked, &mut memory, &interrupt).await;
        clock.sleep(Duration::from_secs(5)).await;
    }
    let model = stage.model.lock().unwrap();
    match broken(&model, wish, layout, jobs).or((quiet < 6).then_some("it goes on writing")) {
        Some(law) => Err(format!("{seed}: {law}: {wishes:?} {model:?}")),
        None => Ok(()),
    }
}

/// The law that does not hold once all is quiet.
fn broken(model: &Model, wish: Wish, layout: Layout, jobs: u64) -> Option<&'static str> {
    let lists = &model.queues[&key("mail")];
    let reasons: Vec<String> = wish.reasons().into_iter().collect();
    let ours = lists.meta.get("reconciler:paused-for");
    let kept: BTreeSet<u64> = lists.wait.iter().chain(&lists.paused).copied().collect();
    let is_twice = lists.wait.len() + lists.paused.len() != kept.len();
    let is = |name: &str, value: String| model.settings.get(name) == Some(&value);
    let limit = |most: u64| lists.meta.get("concurrency") == Some(&most.to_string());
    let laws = [
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
            !reasons.is_empty() || wish.paused != Some(false) || !lists.is_paused(),
        ),
        (
            "a queue that we paused is not mixed",
            reasons.is_empty() || layout == Layout::V6 || lists.wait.is_empty(),
        ),
        (
            "the limit is as git says",
            wish.max_active.is_none_or(limit),
        ),
        (
            "it is closed as git says",
            model.keys.contains_key("closed") == wish.is_closed,
        ),
        (
            "it holds as much as git says",
            wish.holds
                .is_none_or(|most| is("maxmemory", (most << 20).to_string())),
        ),
        (
            "it keeps what git says",
            wish.keeps.is_none() || is("appendonly", "yes".to_owned()),
        ),
        ("no job is lost", kept == (1..=jobs).collect()),
        ("no job is there twice", !is_twice),
    ];
    laws.iter().find(|(_, holds)| !holds).map(|(law, _)| *law)
}

#[tokio::test(start_paused = true)]
async fn queues_settle_on_what_git_says_and_stay_there() {
    for seed in 0..SEEDS {
        play(seed, false).await.unwrap();
    }
    println!("queues: {SEEDS} schedules of queues settled");
}

#[tokio::test(start_paused = true)]
async fn a_broken_executor_is_caught() {
    let mut caught = 0;
    for seed in 0..40 {
        caught += usize::from(play(seed, true).await.is_err());
    }
    assert!(caught > 0);
}
