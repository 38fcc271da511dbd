//! The process is killed at every write of the demo's scenarios; the next one comes to the same end, even where the store is gone.

use super::stage::{QUICK, Running, Stage, WEB, stage_of};
use crate::cli::scene::{runbook, scene, scene_of, stopwatch};
use crate::cli::server::{FAST, Meets};
use crate::cli::signals::is_write;
use sandbox::Time;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What people do, what must come of it, and what that costs when nobody is killed.
struct Story {
    name: &'static str,
    begins: fn() -> Stage,
    plays: fn(&Play),
    /// How many writes it takes.
    writes: usize,
    /// At which of them the process is killed, and when.
    kills: &'static [(usize, Moment)],
    /// Deployments of web and worker.
    deployments: (usize, usize),
    /// The beginnings of the paths that may be written, beside deployments of web and worker.
    declared: &'static [&'static str],
    /// Of the journal's events, those that must be there whoever was killed when.
    told: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// It is not processed.
    Before,
    /// It is processed, and the answer is not sent.
    After,
}
use Moment::{After, Before};

const STORIES: &[Story] = &[
    Story {
        name: "a push that scales",
        begins: || stage_of(scene(), |_| {}),
        plays: |play| {
            play.stage.scale(3, 4);
            play.push("Four for the evening");
            play.until_done();
            assert_eq!(play.stage.replicas("web"), 4, "{}", play.told());
        },
        writes: 1,
        kills: &[(0, Before), (0, After)],
        deployments: (0, 0),
        declared: &["services.web.deploy.multiRegionConfig"],
        told: &["accepted", "inStep"],
    },
    Story {
        name: "a release and its revert",
        begins: || stage_of(scene(), |_| {}),
        plays: |play| {
            play.stage.scene.release("1.4.3");
            play.push("Release 1.4.3");
            play.until_done();
            assert_eq!(play.stage.image("web"), "ghcr.io/sentia/app:1.4.3");
            play.revert();
            play.until_done();
            assert_eq!(play.stage.image("web"), "ghcr.io/sentia/app:1.4.2");
        },
        writes: 5,
        kills: &[
            (0, Before),
            (0, After),
            (1, Before),
            (1, After),
            (2, Before),
            (2, After),
            (3, Before),
            (3, After),
            (4, Before),
            (4, After),
        ],
        deployments: (2, 2),
        declared: &["services.web.source.image", "services.worker.source.image"],
        told: &["accepted", "inStep"],
    },
    Story {
        name: "a change by hand, undone at once",
        begins: || {
            stage_of(scene(), |scene| {
                scene.replace("production/environment.yaml", "heal: 10m", "heal: now");
            })
        },
        plays: |play| {
            play.stage.dashboard(WEB, "LOG_LEVEL", "trace");
            play.look();
            let level = || play.stage.variable("web", "LOG_LEVEL");
            play.until("it is undone", || level().as_deref() == Some("info"));
        },
        writes: 1,
        kills: &[(0, Before), (0, After)],
        deployments: (2, 0),
        declared: &["services.web.variables.LOG_LEVEL"],
        told: &["drifted", "inStep"],
    },
    Story {
        name: "the site closed by a commit, and opened by its revert",
        begins: || stage_of(scene(), |_| {}),
        plays: |play| {
            let until = Time::now().plus_seconds(7200.0);
            play.stage.scene.replace(
                "base/app.yaml",
                "  enabled: false\n",
                &format!("  enabled: true\n  until: {until}\n"),
            );
            play.push("Close the site");
            play.until_done();
            let closed = || play.stage.variable("web", "MAINTENANCE_MODE");
            assert_eq!(closed().as_deref(), Some("true"), "{}", play.told());
            play.revert();
            play.until_done();
            assert_eq!(closed(), None, "{}", play.told());
        },
        writes: 2,
        kills: &[(0, Before), (0, After), (1, Before), (1, After)],
        deployments: (2, 0),
        declared: &["services.web.variables.MAINTENANCE_MODE"],
        told: &["accepted", "inStep"],
    },
    Story {
        name: "a release that answers 500, put back by itself, and its revert",
        begins: rolls_back,
        plays: put_back,
        writes: 2,
        kills: &[(0, Before), (0, After), (1, Before), (1, After)],
        deployments: (2, 0),
        declared: &["services.web.source.image"],
        told: &["accepted", "unhealthy", "failed", "inStep"],
    },
];

/// Web alone has a release of its own, and ran the one before for long enough that it is worth going back to.
fn rolls_back() -> Stage {
    let long = runbook().replace("app:1.4.0]", "app:1.4.2]").replace(
        "image: ghcr.io/sentia/app:1.4.1",
        "image: ghcr.io/sentia/app:1.4.2",
    );
    stage_of(scene_of(&format!("{long}{FAST}")), |scene| {
        scene.replace(
            "production/environment.yaml",
            "unhealthyFor: 3m",
            "unhealthyFor: 30s",
        );
        scene.replace(
            "production/sizes.yaml",
            "replicas: 3\n",
            "replicas: 3\n  health: { path: /api/health, every: 5s, failures: 1 }\n",
        );
        let release = scene.read("production/release.yaml");
        let other = release
            .replace("name: app", "name: jobs")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        scene.write("production/jobs.yaml", other);
        scene.replace(
            "production/sizes.yaml",
            "{ replicas: 2 }",
            "{ replicas: 2, release: jobs }",
        );
    })
}

fn put_back(play: &Play) {
    let (stage, tag, good) = (play.stage, "1.5.3-errors", "ghcr.io/sentia/app:1.4.2");
    stage.scene.release(tag);
    play.push("Release what does not run well");
    play.until("the bad release runs", || stage.image("web").ends_with(tag));
    play.until("it is put back", || stage.image("web") == good);
    play.until("people are told that it is refused", || {
        stage.events().iter().any(|event| {
            let what = event["what"].to_string();
            let is_hold = event["what"]["event"] == "failed" || event["what"]["event"] == "held";
            is_hold && what.contains(tag)
        })
    });
    play.revert();
    play.until_done();
    assert_eq!(stage.image("web"), good, "{}", play.told());
}

const DEPLOYMENTS: &[&str] = &[
    "deployments.",
    "services.web.deployments",
    "services.worker.deployments",
];

/// Longer than it takes to be ill for long enough twice, on a busy machine.
const MOST: Duration = Duration::from_secs(150);

/// Where the process is killed, if it is, and whether the store is emptied then.
#[derive(Clone, Copy, Debug)]
struct Blow {
    at: Option<(usize, Moment)>,
    empties: bool,
}

/// A story under way: whoever is killed is started again.
struct Play<'a> {
    stage: &'a Stage,
    words: String,
    running: Arc<Mutex<Option<Running>>>,
    blow: Blow,
    has_fallen: AtomicBool,
    writes: Arc<AtomicUsize>,
}

impl<'a> Play<'a> {
    fn of(stage: &'a Stage, story: &Story, blow: Blow) -> Play<'a> {
        Play {
            stage,
            words: format!("{}, {blow:?}", story.name),
            running: Arc::default(),
            blow,
            has_fallen: AtomicBool::default(),
            writes: Arc::default(),
        }
    }

    /// From now on its writes are counted, and it is killed at that one.
    fn is_watched(&self) {
        let (running, writes) = (self.running.clone(), self.writes.clone());
        let at = self.blow.at;
        self.stage.scene.railway.guarded(move |_, body| {
            if !is_write(body) {
                return Meets::Sandbox;
            }
            let number = writes.fetch_add(1, Ordering::SeqCst);
            let victim = running.clone();
            let kill = move || {
                let running = victim.lock().unwrap().take();
                running.expect("it runs while it writes").kill();
            };
            match at.filter(|(at, _)| *at == number) {
                None => Meets::Sandbox,
                Some((_, Before)) => {
                    kill();
                    Meets::Silence
                }
                Some((_, After)) => Meets::LastBefore(Arc::new(kill)),
            }
        });
    }

    /// Starts the process where none runs.
    fn mend(&self) {
        let mut running = self.running.lock().unwrap();
        if running.is_some() {
            return;
        }
        if self.stage.has_begun() {
            self.has_fallen.store(true, Ordering::SeqCst);
            if self.blow.empties {
                fs::remove_dir_all(self.stage.store()).unwrap();
            }
        }
        *running = Some(self.stage.start("one", QUICK));
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = stopwatch();
        loop {
            self.mend();
            if is_so() {
                return;
            }
            assert!(began.elapsed() < MOST, "never: {what}\n{}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn until_done(&self) {
        self.until("everything is done", || self.stage.is_done());
    }

    fn push(&self, subject: &str) {
        self.stage.push(subject);
    }

    fn revert(&self) {
        self.stage.revert();
    }

    /// Somebody asks for a look now; whoever is started again looks anyway.
    fn look(&self) {
        let url = self.running.lock().unwrap().as_ref().map(Running::url);
        if let Some(url) = url {
            let arguments = ["reconcile", "production", "--url", &url];
            self.stage.scene.run(&arguments);
        }
    }

    fn told(&self) -> String {
        let effects = self.stage.scene.railway.sandbox.effects();
        format!("{}\n{effects:#?}\n{}", self.words, self.stage.logs())
    }
}

/// The guard keeps a hand on the process as long as the sandbox lives: whoever failed must not leave it behind.
impl Drop for Play<'_> {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(running.take());
    }
}

/// How often it was killed.
fn settles(story: &Story, blow: Blow) -> usize {
    let stage = (story.begins)();
    let play = Play::of(&stage, story, blow);
    play.until_done();
    let (before, effects) = (stage.deployments(), stage.effects());
    play.is_watched();

    (story.plays)(&play);
    play.until_done();

    let told = &play.told();
    // With the store the history is gone, and what is so already is no news.
    let demanded = if blow.empties {
        &["accepted"]
    } else {
        story.told
    };
    for event in demanded {
        play.until(&format!("{event} is told"), || stage.told(event) > 0);
    }
    let has_fallen = play.has_fallen.load(Ordering::SeqCst);
    assert_eq!(has_fallen, blow.at.is_some(), "{told}");
    if !has_fallen {
        assert_eq!(play.writes.load(Ordering::SeqCst), story.writes, "{told}");
    }
    let after = stage.deployments();
    let more = |service| after[service] - before[service];
    assert_eq!((more("web"), more("worker")), story.deployments, "{told}");
    assert_eq!(more("redis"), 0, "{told}");
    for effect in &stage.scene.railway.sandbox.effects()[effects..] {
        assert!(!effect.committed_foreign_stage, "{told}");
        assert_eq!(effect.environment, "production", "{told}");
        let is_declared = |path: &String| {
            let mut declared = DEPLOYMENTS.iter().chain(story.declared);
            declared.any(|declared| path.starts_with(declared))
        };
        assert!(effect.paths.iter().all(is_declared), "{effect:?}\n{told}");
    }
    play.until("nothing is asked for", || {
        stage.scene.run(&["diff", "production"]).code == Some(0)
    });
    let running = play.running.lock().unwrap().take().unwrap();
    running.ends_within(Duration::from_secs(10));
    stage.kept_its_secrets();
    usize::from(has_fallen)
}

#[test]
fn killed_at_any_write_of_a_scenario_the_next_process_comes_to_the_same_end() {
    let mut runs = Vec::new();
    for story in STORIES {
        let blow = |at, empties| Blow { at, empties };
        runs.push((story, blow(None, false)));
        let kills = story.kills.iter().copied();
        runs.extend(kills.map(|at| (story, blow(Some(at), false))));
        runs.push((story, blow(story.kills.last().copied(), true)));
    }

    let kills: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = runs
            .into_iter()
            .map(|(story, blow)| scope.spawn(move || settles(story, blow)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });

    println!(
        "\ncontroller: {kills} kills at the writes of {} scenarios, all settled without a twin",
        STORIES.len()
    );
}
