//! Controllers that freeze at any request, and stores that fail by chance: never does an older epoch act after a newer one.

use super::{counted, seconds, terms};
use async_trait::async_trait;
use bytes::Bytes;
use reconciler::clock::{Clock, Moment};
use reconciler::store::Store;
use reconciler::store::faults::{Chances, Faults};
use reconciler::store::lease::Taken;
use reconciler::store::life::Serves;
use reconciler::store::marks::{Done, Marks, Set};
use reconciler::store::member::Member;
use reconciler::store::objects::{Found, Listing, Objects, Only, Put};
use reconciler::world::{Failure, Seen};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// What was done outside, in order: by whom, with which epoch.
type Deeds = Arc<Mutex<Vec<(String, u64, Moment)>>>;

/// Until when somebody is frozen.
#[derive(Clone, Default)]
pub struct Ice(Arc<Mutex<Option<Moment>>>);

impl Ice {
    /// Whoever says so goes on only after three times the life of a lease.
    pub async fn freeze(&self) {
        *self.0.lock().unwrap() = Some(Moment::now() + 3 * terms().ttl());
        tokio::task::yield_now().await;
    }

    fn until(&self) -> Option<Moment> {
        *self.0.lock().unwrap()
    }
}

/// Freezes whoever uses it, once, at one of its requests.
struct Freezer {
    inner: Arc<dyn Objects>,
    ice: Ice,
    requests: AtomicU32,
    freezes_at: u32,
    is_before: bool,
}

impl Freezer {
    async fn passes(&self, is_before: bool) {
        let counted = self
            .requests
            .fetch_add(u32::from(is_before), Ordering::Relaxed);
        let number = counted + u32::from(is_before);
        let is_new = self.ice.until().is_none();
        if is_new && self.is_before == is_before && number == self.freezes_at {
            self.ice.freeze().await;
        }
    }
}

#[async_trait]
impl Objects for Freezer {
    async fn get(&self, key: &str) -> Result<Option<Found>, Failure> {
        self.passes(true).await;
        let answer = self.inner.get(key).await;
        self.passes(false).await;
        answer
    }

    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure> {
        self.passes(true).await;
        let answer = self.inner.put(key, bytes, only).await;
        self.passes(false).await;
        answer
    }

    async fn list(&self, folder: &str) -> Result<Listing, Failure> {
        self.inner.list(folder).await
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.inner.delete(key).await
    }
}

/// Does not let anything of it go on while it is frozen.
pub async fn freezable<T>(ice: Ice, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut thaw = pin!(tokio::time::sleep(seconds(0)));
    std::future::poll_fn(|context| {
        if let Some(until) = ice.until().filter(|until| *until > Moment::now()) {
            thaw.as_mut().reset(until);
            let _ = thaw.as_mut().poll(context);
            return Poll::Pending;
        }
        let polled = work.as_mut().poll(context);
        // It may have frozen itself just now.
        if ice.until().is_some_and(|until| until > Moment::now()) {
            context.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// A controller as simple as can be: has a lease or tries to get one, acts once a second, and marks what it did.
async fn controller(store: Store, clock: Clock, name: &str, deeds: Deeds) {
    let member = loop {
        match Member::join(&store, terms(), name, Serves::All).await {
            Ok(member) => break member,
            Err(_) => clock.sleep(seconds(1)).await,
        }
    };
    let work = async {
        loop {
            match member.take("production").await {
                Ok(Taken::Lease(lease)) => {
                    let mut count = 0;
                    while lease.lasts(terms().longest()) {
                        let deed = (name.to_owned(), lease.epoch(), clock.moment());
                        deeds.lock().unwrap().push(deed);
                        count += 1;
                        if count % 60 == 0 {
                            let done = Done {
                                commit: name.to_owned(),
                                epoch: lease.epoch(),
                                at: clock.now(),
                            };
                            let _ = Marks::of(&store, "production").set_done(&done).await;
                        }
                        if count % 200 == 0 {
                            let _ = lease.release(&member).await;
                            clock.sleep(seconds(5)).await;
                        }
                        clock.sleep(seconds(1)).await;
                    }
                }
                Ok(Taken::Held { next, .. }) => clock.sleep(next.min(seconds(5))).await,
                Err(_) => clock.sleep(seconds(1)).await,
            }
            clock.sleep(seconds(1)).await;
        }
    };
    tokio::select! {
            biased;
        () = work => {}
        () = member.keep() => {}
    }
}

fn judge(deeds: &Deeds, end: Moment, quiet: u64, what: &str) {
    let deeds = deeds.lock().unwrap();
    for pair in deeds.windows(2) {
        let ((before, old, _), (after, new, at)) = (&pair[0], &pair[1]);
        assert!(
            old <= new,
            "{what}: epoch {new} of {after} acted after {old} of {before} at {at:?}"
        );
        assert!(
            old != new || before == after,
            "{what}: two act with epoch {new}"
        );
    }
    let (_, _, last) = deeds.last().unwrap();
    assert!(end - *last < seconds(quiet), "{what}: nobody acts any more");
}

#[tokio::test(start_paused = true)]
async fn s6_a_controller_frozen_at_any_request_never_acts_after_its_successor() {
    for freezes_at in 1..=60 {
        for is_before in [true, false] {
            let clock = counted(u64::from(freezes_at));
            let store = Store::in_memory(&clock);
            let ice = Ice::default();
            let freezer = Freezer {
                inner: store.objects(),
                ice: ice.clone(),
                requests: AtomicU32::new(0),
                freezes_at,
                is_before,
            };
            let frozen = Store::of(Arc::new(freezer), "memory", &clock);
            let deeds = Deeds::default();
            let first = controller(frozen, clock.clone(), "a", deeds.clone());
            let second = controller(store, clock.clone(), "b", deeds.clone());

            tokio::select! {
            biased;
                () = freezable(ice.clone(), first) => {}
                () = second => {}
                () = clock.sleep(seconds(900)) => {}
            }

            let what = format!("frozen at request {freezes_at}, before it: {is_before}");
            assert!(ice.until().is_some(), "{what}: never frozen");
            judge(&deeds, clock.moment(), 80, &what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s6_no_seed_of_a_failing_store_lets_two_act_and_once_it_is_well_somebody_does() {
    for seed in 0..60 {
        let clock = counted(seed);
        let store = Store::in_memory(&clock);
        let faults = Faults::default();
        faults.set(Chances {
            before: 15,
            after: 15,
            slow: 20,
            delay: seconds(5 + seed % 20),
        });
        let deeds = Deeds::default();
        let start = |name: &'static str| {
            let store = store.with_faults(&faults, &clock);
            controller(store, clock.clone(), name, deeds.clone())
        };
        let weather = async {
            clock.sleep(seconds(1200)).await;
            faults.set(Chances::DOWN);
            clock.sleep(seconds(200)).await;
            faults.set(Chances::default());
            clock.sleep(seconds(300)).await;
        };

        tokio::select! {
            biased;
            () = start("a") => {}
            () = start("b") => {}
            () = start("c") => {}
            () = weather => {}
        }

        judge(&deeds, clock.moment(), 20, &format!("seed {seed}"));
        let marked = Marks::of(&store, "production").done().await;
        let newest = deeds.lock().unwrap().last().unwrap().1;
        if let Seen::Facts(Some(done)) = marked {
            assert!(done.epoch <= newest);
            let late = Done {
                epoch: done.epoch - 1,
                ..done.clone()
            };
            let marks = Marks::of(&store, "production");
            assert_eq!(
                marks.set_done(&late).await,
                Ok(Set::Older { than: done.epoch })
            );
        }
    }
}
