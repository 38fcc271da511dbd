//! Writes go through a lease that lasts, and through no other; the one window that cannot be fenced is shown as it is.

use super::frozen::{Ice, freezable};
use super::{counted, held, member, seconds, taken, terms};
use async_trait::async_trait;
use reconciler::clock::Clock;
use reconciler::interrupt::interrupt;
use reconciler::plan::write::{What, Write};
use reconciler::providers::fenced::Fenced;
use reconciler::providers::{Provider, Scope, Secrets};
use reconciler::store::Store;
use reconciler::world::{Failure, Question, Seen, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Takes some time until the answer to a write comes.
struct Slow {
    clock: Clock,
    after: Duration,
    sent: Mutex<u32>,
}

impl Slow {
    fn sent(&self) -> u32 {
        *self.sent.lock().unwrap()
    }
}

#[async_trait]
impl Provider for Slow {
    async fn observe(&self, _: &Scope) -> Result<World, Failure> {
        Ok(world())
    }

    async fn answer(&self, _: &mut World, _: &BTreeSet<Question>) {}

    async fn perform(&self, _: &World, _: &Write, _: &Secrets) -> Result<(), Failure> {
        *self.sent.lock().unwrap() += 1;
        self.clock.sleep(self.after).await;
        Ok(())
    }
}

fn world() -> World {
    World {
        railway: Seen::Unasked,
        pages: BTreeMap::new(),
        redis: BTreeMap::new(),
        secrets: BTreeMap::new(),
        health: BTreeMap::new(),
    }
}

fn write() -> Write {
    Write {
        steps: vec![0],
        what: What::Patch(Vec::new()),
        approvals: Vec::new(),
        commit: None,
        marks: Vec::new(),
    }
}

fn slow(clock: &Clock, after: Duration) -> Slow {
    Slow {
        clock: clock.clone(),
        after,
        sent: Mutex::new(0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_goes_through_while_the_lease_outlasts_it_and_not_after() {
    let clock = counted(1);
    let first = member(&Store::in_memory(&clock), "a").await;
    let lease = taken(&first, "production").await;
    let inner = slow(&clock, Duration::ZERO);
    let (stop, interrupted) = interrupt();
    let fenced = Fenced {
        inner: &inner,
        lease: &lease,
        longest: terms().longest(),
        stop: &stop,
    };

    fenced
        .perform(&world(), &write(), &Secrets::new())
        .await
        .unwrap();
    assert!(!interrupted.is_set());
    tokio::time::advance(seconds(31)).await;
    let failure = fenced
        .perform(&world(), &write(), &Secrets::new())
        .await
        .unwrap_err();

    assert_eq!(inner.sent(), 1);
    assert!(interrupted.is_set());
    assert_eq!(
        failure.to_string(),
        "the lease of production (epoch 1) does not surely last 30s more, as its last confirmed beat is too long ago: nothing was sent"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_back_lets_nothing_through() {
    let clock = counted(1);
    let first = member(&Store::in_memory(&clock), "a").await;
    let lease = taken(&first, "production").await;
    let inner = slow(&clock, Duration::ZERO);
    let (stop, _interrupted) = interrupt();
    let fenced = Fenced {
        inner: &inner,
        lease: &lease,
        longest: terms().longest(),
        stop: &stop,
    };

    lease.release(&first).await.unwrap();

    let failure = fenced
        .perform(&world(), &write(), &Secrets::new())
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("it was given back"),
        "{failure}"
    );
    assert_eq!(inner.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_while_an_answer_is_waited_for_makes_it_unclear() {
    let clock = counted(1);
    let first = member(&Store::in_memory(&clock), "a").await;
    let lease = taken(&first, "production").await;
    let inner = slow(&clock, seconds(3600));
    let (stop, interrupted) = interrupt();
    let fenced = Fenced {
        inner: &inner,
        lease: &lease,
        longest: terms().longest(),
        stop: &stop,
    };

    let answer = fenced.perform(&world(), &write(), &Secrets::new()).await;

    assert!(matches!(answer, Err(Failure::Unclear(_))), "{answer:?}");
    assert!(interrupted.is_set());
}

/// Is stopped as a whole process, exactly between the check of the lease and its request.
struct Stopped {
    ice: Ice,
    log: Log,
}

#[async_trait]
impl Provider for Stopped {
    async fn observe(&self, _: &Scope) -> Result<World, Failure> {
        Ok(world())
    }

    async fn answer(&self, _: &mut World, _: &BTreeSet<Question>) {}

    async fn perform(&self, _: &World, _: &Write, _: &Secrets) -> Result<(), Failure> {
        self.ice.freeze().await;
        self.log.lock().unwrap().push("the first sends, late");
        tokio::time::sleep(seconds(1)).await;
        Ok(())
    }
}

type Log = Arc<Mutex<Vec<&'static str>>>;

/// The honest limit of S6: Railway takes no epoch, so what is stopped exactly between check and send is sent once it goes on.
#[tokio::test(start_paused = true)]
async fn s6_a_stop_between_check_and_send_is_the_one_window_that_cannot_be_fenced() {
    let clock = counted(1);
    let store = Store::in_memory(&clock);
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    let lease = taken(&first, "production").await;
    held(&second, "production").await;
    let (ice, log) = (Ice::default(), Log::default());
    let inner = Stopped {
        ice: ice.clone(),
        log: log.clone(),
    };
    let (stop, interrupted) = interrupt();
    let fenced = Fenced {
        inner: &inner,
        lease: &lease,
        longest: terms().longest(),
        stop: &stop,
    };
    let (world, write, secrets) = (world(), write(), Secrets::new());

    let successor = async {
        for _ in 0..7 {
            clock.sleep(seconds(10)).await;
            second.beat().await.unwrap();
        }
        let epoch = taken(&second, "production").await.epoch();
        log.lock().unwrap().push("the second has the lease");
        epoch
    };
    let sent = freezable(ice, fenced.perform(&world, &write, &secrets));
    let (late, epoch) = tokio::join!(sent, successor);

    assert_eq!(epoch, 2);
    assert_eq!(
        *log.lock().unwrap(),
        ["the second has the lease", "the first sends, late"]
    );
    // It is one request, it is not taken for done, and nothing follows it.
    assert!(matches!(late, Err(Failure::Unclear(_))), "{late:?}");
    assert!(interrupted.is_set());
    fenced.perform(&world, &write, &secrets).await.unwrap_err();
    assert_eq!(log.lock().unwrap().len(), 2);
}
