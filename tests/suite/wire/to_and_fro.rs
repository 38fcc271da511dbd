//! Git asks for one thing, then for another, then for the first again: each time it is done at once, and nobody takes it for a failure.

use super::railway::{SHOP, Stage, service};
use reconciler::interrupt::interrupt;
use reconciler::plan::gate::Memory;
use reconciler::world::Seen;
use reconciler::world::health::NOBODY_ASKS;
use sandbox::{Faults, Switches};

/// Two looks, three seconds apart, of a controller that remembers.
async fn looks(stage: &Stage, memory: &mut Memory) {
    for _ in 0..2 {
        let outside = stage.outside();
        let pass = stage.pass_with(&outside, &NOBODY_ASKS);
        let looked = pass.look(memory).await.unwrap();
        if let Seen::Facts(railway) = &looked.world.railway {
            memory.saw(railway);
        }
        let (_stop, interrupt) = interrupt();
        pass.act(&looked, memory, &interrupt).await;
        stage.wait(3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_git_asks_for_again_is_done_again() {
    let mut stage = Stage::new(SHOP, Switches::default(), Faults::none());
    let mut memory = Memory::writing_since(stage.clock.now());
    for round in 0..10 {
        let replicas = 2 + round % 2;
        stage.desire(&service("web", &format!("{{ replicas: {replicas} }}")));
        looks(&stage, &mut memory).await;
        let there: u32 = stage.service("web").replicas.values().sum();
        assert_eq!(there, replicas, "round {round}");
    }
}
