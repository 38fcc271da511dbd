//! Real processes on one folder, killed and stopped at random moments.

use super::{in_folder, seconds};
use bytes::Bytes;
use reconciler::clock::Clock;
use reconciler::store::lease::Taken;
use reconciler::store::life::{Serves, Terms};
use reconciler::store::member::Member;
use reconciler::store::objects::{Only, Put};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROLE: &str = "RECONCILER_TEST_ROLE";
const FOLDER: &str = "RECONCILER_TEST_FOLDER";

/// Short, so that a takeover takes a third of a second.
fn short() -> Terms {
    Terms::new(Duration::from_millis(300), Duration::from_millis(100)).unwrap()
}

/// This test binary again, as another process.
struct Helper(Child);

impl Helper {
    fn start(role: &str, folder: &Path) -> Helper {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::processes::helper", "--nocapture"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .spawn();
        Helper(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test: what the other processes do.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own is told so by its environment"
)]
async fn helper() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else {
        return;
    };
    let folder = Path::new(&folder);
    match role.as_str() {
        "count" => count(folder).await,
        name => act(folder, name).await,
    }
}

fn say(folder: &Path, line: &str) {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    log.unwrap()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

fn lines(folder: &Path) -> Vec<String> {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Makes a number grow, again and again, and says which it wrote.
async fn count(folder: &Path) {
    let objects = in_folder(&folder.join("store")).objects();
    loop {
        let found = objects.get("count").await.unwrap().unwrap();
        let number: u64 = String::from_utf8(found.bytes.to_vec())
            .unwrap()
            .parse()
            .unwrap();
        let next = Bytes::from((number + 1).to_string());
        let put = objects
            .put("count", next, Only::Unchanged(found.version))
            .await;
        if let Ok(Put::Done(_)) = put {
            say(folder, &(number + 1).to_string());
        }
    }
}

/// Has a lease or tries to get one, and acts under it.
async fn act(folder: &Path, name: &str) {
    let store = in_folder(&folder.join("store"));
    let clock = Clock::wall();
    let member = Member::join(&store, short(), name, Serves::All)
        .await
        .unwrap();
    let work = async {
        loop {
            if let Ok(Taken::Lease(lease)) = member.take("production").await {
                while lease.lasts(short().longest()) {
                    say(folder, &format!("{} {name}", lease.epoch()));
                    clock.sleep(Duration::from_millis(3)).await;
                }
            }
            clock.sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = member.keep() => {}
    }
}

#[tokio::test]
async fn of_several_processes_exactly_one_wins_each_version_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, objects) = (
        Clock::wall(),
        in_folder(&folder.path().join("store")).objects(),
    );
    objects
        .put("count", Bytes::from("0"), Only::Absent)
        .await
        .unwrap();
    let read = async || {
        let found = objects.get("count").await.unwrap().unwrap();
        let text = String::from_utf8(found.bytes.to_vec()).unwrap();
        text.parse::<u64>()
            .unwrap_or_else(|_| panic!("a torn file: {text:?}"))
    };

    let mut helpers: Vec<Helper> = (0..3)
        .map(|_| Helper::start("count", folder.path()))
        .collect();
    let mut kills = 0;
    let mut newest = 0;
    let began = clock.moment();
    while kills < 12 {
        assert!(
            began.elapsed() < seconds(60),
            "after {kills} kills nobody wins any more"
        );
        let before = read().await;
        assert!(
            before >= newest,
            "the number went back from {newest} to {before}"
        );
        newest = before;
        clock.sleep(clock.jittered(Duration::from_millis(60))).await;
        // Whoever was killed blocks nobody: the number grows before the next one dies.
        if read().await > newest {
            helpers.remove(0).kill();
            helpers.push(Helper::start("count", folder.path()));
            kills += 1;
        }
    }
    helpers.into_iter().for_each(Helper::kill);

    let won = lines(folder.path());
    let different: BTreeSet<&String> = won.iter().collect();
    assert_eq!(won.len(), different.len(), "two won the same version");
    let last = read().await;
    let unsaid = last - u64::try_from(won.len()).unwrap();
    assert!(
        unsaid <= kills + 3,
        "{unsaid} of {last} were written without a winner"
    );
}

#[tokio::test]
async fn s6_of_two_processes_killed_and_stopped_at_random_no_older_epoch_acts_after_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::wall();
    let grows = async |from: usize| {
        let began = clock.moment();
        while lines(folder.path()).len() <= from {
            assert!(began.elapsed() < seconds(30), "nobody acts");
            clock.sleep(Duration::from_millis(5)).await;
        }
    };

    let mut helpers = vec![
        Helper::start("a", folder.path()),
        Helper::start("b", folder.path()),
    ];
    let mut stops = 0;
    for round in 0..12 {
        grows(lines(folder.path()).len()).await;
        clock
            .sleep(Duration::from_millis(clock.chance() % 150))
            .await;
        let victim = helpers.remove(usize::try_from(clock.chance() % 2).unwrap());
        if clock.chance().is_multiple_of(2) {
            victim.kill();
            helpers.push(Helper::start(&format!("r{round}"), folder.path()));
        } else {
            victim.signal("-STOP");
            stops += 1;
            // Long past its lease.
            clock.sleep(Duration::from_millis(500)).await;
            victim.signal("-CONT");
            helpers.push(victim);
        }
    }
    helpers.into_iter().for_each(Helper::kill);
    let last = Helper::start("z", folder.path());
    grows(lines(folder.path()).len()).await;
    last.kill();

    let epochs: Vec<(u64, String)> = lines(folder.path())
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(epoch, name)| (epoch.parse().unwrap(), name.to_owned()))
        .collect();
    let mut newest = 0;
    let mut late = 0;
    let mut holders = std::collections::BTreeMap::new();
    for (epoch, name) in &epochs {
        let holder = holders.entry(*epoch).or_insert_with(|| name.clone());
        assert_eq!(holder, name, "two acted with epoch {epoch}");
        late += u32::from(*epoch < newest);
        newest = newest.max(*epoch);
    }
    // Between check and write lies the window that nothing can fence: a stop there costs one late action, and no more.
    assert!(late <= stops, "{late} late actions after {stops} stops");
    assert!(newest >= 2, "the lease never moved");
}
