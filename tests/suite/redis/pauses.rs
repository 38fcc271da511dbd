//! Pausing and letting go on, by us and by the library, in any order and out of every mixed state: no job is lost, and none runs twice.

use super::bullmq::{Application, VERSIONS, Version};
use super::server::{Server, key};
use reconciler::world::redis::{Change, Layout};
use std::collections::BTreeSet;

const ROUNDS: u64 = 100;

fn layout(version: Version) -> Layout {
    if version.number.starts_with('6') {
        Layout::V6
    } else {
        Layout::Legacy
    }
}

fn pause(layout: Layout) -> Change {
    Change::Pause {
        queue: key("mail"),
        layout,
        reasons: BTreeSet::from(["Maintenance/site".to_owned()]),
    }
}

fn resume(layout: Layout) -> Change {
    Change::Resume {
        queue: key("mail"),
        layout,
        is_ours: true,
    }
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What people and older programs leave behind.
async fn mix(server: &Server, application: &mut Application, way: u64) {
    match way {
        // Paused as version 6 does, or by hand.
        0 => server.run::<()>("HSET bull:mail:meta paused 1").await,
        // Paused by the library, and the pause taken away by hand.
        1 => {
            application.pause().await;
            server.run::<()>("HDEL bull:mail:meta paused").await;
        }
        // Paused as version 5 does, over what waits.
        2 => {
            let script = "if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('RENAME', KEYS[1], KEYS[2]) end return redis.call('HSET', KEYS[3], 'paused', 1)";
            let mut connection = server.connection().await;
            let mut rename = redis::cmd("EVAL");
            rename.arg(script).arg(3);
            rename
                .arg("bull:mail:wait")
                .arg("bull:mail:paused")
                .arg("bull:mail:meta");
            rename.query_async::<()>(&mut connection).await.unwrap();
        }
        _ => {}
    }
}

async fn no_job_is_lost(version: Version) {
    let server = Server::start().await;
    let mut application = Application::start(version, &server, "mail").await;
    application.work(2, 3, 1).await;
    let layout = layout(version);
    let mut dice = Dice(u64::from(server.port));
    let seed = dice.0;
    let mut added = 0;
    for round in 0..ROUNDS {
        added = application.add(1 + dice.roll(6)).await;
        mix(&server, &mut application, dice.roll(5)).await;
        added = added.max(application.add(1 + dice.roll(6)).await);
        let ours = if dice.roll(2) == 0 {
            pause(layout)
        } else {
            resume(layout)
        };
        let is_pause = matches!(ours, Change::Pause { .. });
        // A repeat is harmless.
        for _ in 0..=dice.roll(2) {
            server.perform(ours.clone()).await.unwrap();
        }
        let queue = server.queue("mail").await;
        assert_eq!(queue.is_paused, is_pause, "{version:?} {seed} {round}");
        assert!(
            !queue.is_mixed(layout),
            "{version:?} {seed} {round}: {queue:?}"
        );
        match dice.roll(3) {
            0 => application.pause().await,
            1 => application.resume().await,
            _ => {}
        }
    }
    server.perform(resume(layout)).await.unwrap();
    application.until_ran(added).await;
    let (ran, twice) = application.ran().await;
    assert_eq!((ran, twice), (added, 0), "{version:?} {seed}");
    println!(
        "queues: {ROUNDS} rounds of pauses, {added} jobs, none lost or run twice, BullMQ {}",
        version.number
    );
    application.close().await;
}

#[tokio::test]
async fn no_job_is_lost_in_3() {
    no_job_is_lost(VERSIONS[0]).await;
}

#[tokio::test]
async fn no_job_is_lost_in_4() {
    no_job_is_lost(VERSIONS[1]).await;
}

#[tokio::test]
async fn no_job_is_lost_in_5_0() {
    no_job_is_lost(VERSIONS[2]).await;
}

#[tokio::test]
async fn no_job_is_lost_in_5_20() {
    no_job_is_lost(VERSIONS[3]).await;
}

#[tokio::test]
async fn no_job_is_lost_in_5_81() {
    no_job_is_lost(VERSIONS[4]).await;
}

#[tokio::test]
async fn no_job_is_lost_in_6() {
    no_job_is_lost(VERSIONS[5]).await;
}
