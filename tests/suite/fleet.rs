//! Many environments and one controller, in simulated days: everything converges, within the budget of the token, and nothing grows.

mod account;
mod agenda;
mod git;
mod pace;
mod site;

use account::Requests;
use reconciler::store::faults::Chances;
use site::Site;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const PRO: u64 = 10_000;
const HOBBY: u64 = 1_000;

#[expect(
    clippy::disallowed_methods,
    reason = "how long a simulation takes is real time"
)]
fn stopwatch() -> Instant {
    Instant::now()
}

fn simulate(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future);
}

/// What was measured in a time without anything but drift.
struct Measured {
    requests: Requests,
    share: f64,
    ages: Vec<Duration>,
}

impl Measured {
    fn p99(&self) -> Duration {
        let mut ages = self.ages.clone();
        ages.sort();
        let last = ages.len().saturating_sub(1);
        ages.get(last * 99 / 100).copied().unwrap_or_default()
    }

    fn tell(&self, what: &str, hours: u32, began: Instant) {
        let Requests {
            looks,
            answers,
            beats,
            writes,
            throttled,
        } = self.requests;
        println!(
            "fleet: {what}, {hours} h: {} drifts put back, p99 age {:.0} s, {:.1} % of the quota ({looks} looks, {answers} answers, {beats} beats, {writes} writes, {throttled} × 429), {:.1} s of real time",
            self.ages.len(),
            self.p99().as_secs_f64(),
            self.share * 100.0,
            began.elapsed().as_secs_f64()
        );
    }
}

/// So much drift an hour, in so many parts of all environments, spread evenly.
async fn measured(site: &Site, limit: u64, hours: u32, drifts_an_hour: u32) -> Measured {
    let before = site.account.requests();
    site.account.take_ages();
    match drifts_an_hour {
        0 => site.clock.sleep(HOUR * hours).await,
        drifts => {
            for _ in 0..drifts * hours {
                site.account.drift(site.any());
                site.clock.sleep(HOUR / drifts).await;
            }
        }
    }
    let after = site.account.requests();
    let requests = Requests {
        looks: after.looks - before.looks,
        answers: after.answers - before.answers,
        beats: after.beats - before.beats,
        writes: after.writes - before.writes,
        throttled: after.throttled,
    };
    let share = requests.all() as f64 / (limit * u64::from(hours)) as f64;
    Measured {
        requests,
        share,
        ages: site.account.take_ages(),
    }
}

#[test]
fn ten_thousand_environments_keep_within_a_third_of_a_token() {
    simulate(async {
        let began = stopwatch();
        let mut site = Site::new(10_000, PRO, 1, Duration::from_secs(60));
        site.begin().await;
        site.clock.sleep(4 * HOUR).await;
        assert_eq!(site.unready(), 0, "not everything was looked at");
        println!(
            "fleet: first looks: {:?}, {:.1} s of real time",
            site.account.requests(),
            began.elapsed().as_secs_f64()
        );
        let measured = measured(&site, PRO, 4, 100).await;
        measured.tell("10,000 environments on Pro", 4, began);
        assert_eq!(measured.requests.throttled, 0);
        assert!(measured.p99() <= Duration::from_secs(600));
        assert!(measured.share <= 0.30);
    });
}

#[test]
fn a_hobby_token_gets_slower_looks_and_no_refusals() {
    simulate(async {
        let began = stopwatch();
        let mut site = Site::new(1_000, HOBBY, 2, Duration::from_secs(60));
        site.begin().await;
        site.clock.sleep(4 * HOUR).await;
        assert_eq!(site.unready(), 0, "not everything was looked at");
        let measured = measured(&site, HOBBY, 6, 10).await;
        measured.tell("1,000 environments on Hobby", 6, began);
        assert_eq!(measured.requests.throttled, 0);
        assert!(measured.share <= 0.40);
        assert!(measured.p99() <= Duration::from_secs(1200));
    });
}

#[test]
fn a_hundred_idle_environments_keep_within_a_third_of_a_token() {
    simulate(async {
        let began = stopwatch();
        let mut site = Site::new(100, PRO, 3, Duration::from_secs(60));
        site.begin().await;
        site.clock.sleep(HOUR).await;
        let measured = measured(&site, PRO, 12, 0).await;
        measured.tell("100 idle environments on Pro", 12, began);
        assert_eq!(measured.requests.throttled, 0);
        assert!(measured.share <= 0.30);
    });
}

#[test]
fn after_thirty_days_of_trouble_everything_is_as_git_says_and_nothing_has_grown() {
    simulate(async {
        let began = stopwatch();
        let mut site = Site::new(200, HOBBY, 4, Duration::from_secs(300));
        site.begin().await;
        let mut alive = Vec::new();
        for day in 0..30 {
            let begins = site.clock.now();
            while site.clock.now() < begins + DAY {
                happen(&mut site).await;
            }
            if day % 5 == 4 {
                quiet(&mut site).await;
                assert_eq!(site.astray(), [0; 0], "after {} days", day + 1);
                assert_eq!(site.unready(), 0, "after {} days", day + 1);
                alive.push(site.alive());
                println!("fleet: day {}: {:?}", day + 1, site.alive());
            }
        }
        println!(
            "fleet: 200 environments on Hobby, 30 days: {:?}, at most {} an hour, {:.1} s of real time",
            site.account.requests(),
            site.account.most_in_an_hour(),
            began.elapsed().as_secs_f64()
        );
        assert_eq!(site.account.requests().throttled, 0);
        assert_eq!(site.account.drifted(), 0);
        let most = alive.iter().map(|it| it.tasks).max();
        assert!(most <= Some(alive[0].tasks + 20), "{alive:?}");
        assert!(alive.iter().all(|it| it.views == 200), "{alive:?}");
        assert!(alive.iter().all(|it| it.events <= 20_000), "{alive:?}");
        let series = alive.iter().map(|it| it.metrics).max();
        assert!(series <= Some(2 * alive[0].metrics), "{alive:?}");
    });
}

/// Something happens, and some time passes.
async fn happen(site: &mut Site) {
    let minutes = |site: &Site, most| Duration::from_secs(60 * (1 + site.below(most)));
    match site.below(100) {
        0..50 => site.account.drift(site.any()),
        50..85 => {
            let some: Vec<usize> = (0..=site.below(4)).map(|_| site.any()).collect();
            site.push(&some);
        }
        85..88 => {
            site.git.is_down(true);
            site.clock.sleep(minutes(site, 60)).await;
            site.git.is_down(false);
        }
        88..91 => {
            site.faults.set(Chances::DOWN);
            site.clock.sleep(minutes(site, 40)).await;
            site.faults.set(Chances::default());
        }
        91..94 => {
            site.account.is_down(true);
            site.clock.sleep(minutes(site, 60)).await;
            site.account.is_down(false);
        }
        94..97 => {
            site.stop().await;
            site.begin().await;
        }
        _ => {
            site.kill();
            site.begin().await;
        }
    }
    site.clock.sleep(minutes(site, 40)).await;
}

/// Nobody does anything for some time.
async fn quiet(site: &mut Site) {
    // A kept life must end first, and what failed for long is tried again within minutes.
    site.clock.sleep(2 * HOUR).await;
}
