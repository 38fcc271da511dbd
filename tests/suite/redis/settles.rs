//! Redis servers and queues settle on what git says whatever happens, by simulation from seeds: servers that are away or lose their memory, answers that
//! get lost, processes that die, purges that are cut half way, people who pause, let go on and restart by hand.

mod bent;
mod hands;
mod laws;
mod stage;
mod wish;

use super::model::Dice;
use bent::Bent;
use jiff::Timestamp;
use laws::{End, broken};
use reconciler::clock::Clock;
use reconciler::interrupt::{Interrupt, interrupt};
use reconciler::manifest::Desired;
use reconciler::plan::Standing;
use reconciler::plan::drift::{Content, Course};
use reconciler::plan::gate::Memory;
use reconciler::providers::Secrets;
use reconciler::reconcile::{Looked, Pass};
use reconciler::world::health::NOBODY_ASKS;
use stage::{Played, Stage, Stand};
use std::sync::Mutex;
use std::time::Duration;
use wish::Wish;

const SEEDS: u64 = 1_500;

/// One schedule.
struct Play {
    stage: Stage,
    memory: Memory,
    secrets: Secrets,
    interrupt: Interrupt,
}

/// A controller has just begun: what comes due by itself is its work, and nothing is known of what came by itself.
fn begun(now: Timestamp) -> Memory {
    let mut memory = Memory::writing_since(now);
    let content = Content {
        digest: "now".to_owned(),
        committed_at: None,
    };
    memory.follow(Course::default(), content);
    memory
}

impl Play {
    async fn pass(&mut self, desired: &Desired) -> Looked {
        let pass = Pass {
            desired,
            provider: &self.stage,
            secrets: &self.secrets,
            health: &NOBODY_ASKS,
            clock: &self.stage.clock,
        };
        let looked = pass.look(&self.memory).await.unwrap();
        pass.act(&looked, &mut self.memory, &self.interrupt).await;
        looked
    }

    fn desired(&self) -> Desired {
        self.stage
            .with(|stand, now| stand.wish.desired(&stand.consents, now))
    }

    /// Somebody reads the plan, and consents to what may be lost.
    fn consent(&self, looked: &Looked) -> bool {
        self.stage.with(|stand, _| {
            let many = stand.consents.len();
            let wanted = looked.plan.approvals.values();
            for wanted in wanted.filter(|_| stand.wish.consents) {
                let document = wanted.document(looked.plan.consent_until);
                stand.consents.insert(wanted.digest.clone(), document);
            }
            stand.consents.len() > many
        })
    }

    /// A commit, and what happens while it is in force.
    async fn live(&mut self, turns: u64) {
        let mut desired = self.desired();
        for _ in 0..turns {
            let (pause, dies) = self.stage.with(|stand, now| {
                stand.act(now);
                let pause = Duration::from_secs(5 + stand.dice.roll(12));
                (pause, stand.dice.one_in(10))
            });
            let looked = self.pass(&desired).await;
            if self.consent(&looked) {
                desired = self.desired();
            }
            if dies {
                self.memory = begun(self.stage.clock.now());
            }
            self.stage.clock.sleep(pause).await;
        }
    }

    /// Nothing goes wrong any more, and nobody touches anything; answers when the last look was, where it became quiet.
    async fn rest(&mut self) -> (Timestamp, bool) {
        self.stage.with(|stand, _| stand.faults = 0);
        self.memory = begun(self.stage.clock.now());
        let mut desired = self.desired();
        let (mut quiet, mut at) = (0, self.stage.clock.now());
        for _ in 0..90 {
            self.stage.with(|stand, now| stand.calm(now));
            at = self.stage.clock.now();
            let looked = self.pass(&desired).await;
            if self.consent(&looked) {
                desired = self.desired();
            }
            let plan = &looked.plan;
            let is_quiet = plan.writes.is_empty()
                && !matches!(plan.standing(), Standing::Waiting | Standing::Unseen);
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 6 {
                break;
            }
            self.stage.clock.sleep(Duration::from_secs(5)).await;
        }
        (at, quiet >= 6)
    }
}

async fn play(seed: u64, bent: Option<Bent>) -> Result<Played, (&'static str, String)> {
    let clock = Clock::counted("2026-11-23T02:00:00Z".parse().unwrap(), seed);
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let now = clock.now();
    let first = Wish::drawn(&mut dice, None, now);
    let stand = Stand::new(dice, first, bent, now);
    let (_stop, interrupt) = interrupt();
    let mut play = Play {
        stage: Stage {
            clock,
            stand: Mutex::new(stand),
        },
        memory: begun(now),
        secrets: Secrets::new(),
        interrupt,
    };
    let mut wishes = Vec::new();
    for commit in 0..3 {
        let (wish, turns) = play.stage.with(|stand, now| {
            if commit > 0 {
                let before = stand.wish;
                stand.wish = Wish::drawn(&mut stand.dice, Some(&before), now);
                stand.consents.clear();
            }
            (stand.wish, stand.dice.roll(14))
        });
        wishes.push(wish);
        play.live(turns).await;
    }
    let (at, is_quiet) = play.rest().await;
    play.stage.with(|stand, _| {
        let end = End {
            model: &stand.model,
            ledger: &stand.ledger,
            wish: &stand.wish,
            layout: stand.layout,
            at,
            is_given_up: !stand.consents.is_empty(),
            is_quiet,
        };
        match broken(&end) {
            Some(law) => Err((
                law,
                format!("{seed}: {law}: {wishes:#?} {:#?}", stand.model),
            )),
            None => Ok(stand.played),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn servers_and_queues_settle_on_what_git_says_and_stay_there() {
    let mut all = Played::default();
    for seed in 0..SEEDS {
        let played = play(seed, None)
            .await
            .unwrap_or_else(|(_, words)| panic!("{words}"));
        all.faults += played.faults;
        all.restarts += played.restarts;
        all.others += played.others;
        all.purges += played.purges;
        all.clears += played.clears;
    }
    println!(
        "queues: {SEEDS} schedules of servers and queues settled, with {} faults, {} restarts of ours and {} of others, {} pieces of purges and {} of clearings",
        all.faults, all.restarts, all.others, all.purges, all.clears
    );
    assert!(all.restarts > 50 && all.purges > 50 && all.clears > 50);
}

#[tokio::test(start_paused = true)]
async fn every_broken_executor_is_caught_by_its_law() {
    for (bent, law) in Bent::ALL {
        let mut found = 0;
        for seed in 0..200 {
            match play(seed, Some(bent)).await {
                Err((broken, _)) if broken == law => found += 1,
                Err(_) | Ok(_) => {}
            }
            if found > 0 {
                break;
            }
        }
        assert!(found > 0, "{bent:?} breaks `{law}` unseen");
    }
}
