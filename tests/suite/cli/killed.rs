//! The process is killed at every request of an apply; the next apply ends in step, at the cost of one deployment a service at most.

use super::scene::{Scene, scene, scene_with, until};
use super::server::{FAST, Meets};
use std::process::Child;
use std::sync::{Arc, Mutex};

const APPLY: &[&str] = &["apply", "--yes", "production"];

/// What is there before, and what git says then.
struct Story {
    name: &'static str,
    begins: fn() -> Scene,
    changes: fn(&Scene),
    /// The beginnings of the paths that may be written, beside deployments of web and worker.
    declared: &'static [&'static str],
}

const STORIES: &[Story] = &[
    Story {
        name: "a release with variables and a scale",
        begins: scene,
        changes: |_| {},
        declared: &[
            "services.web.deploy.multiRegionConfig",
            "services.web.deploy.healthcheck",
            "services.web.source.image",
            "services.web.variables.PUBLIC_URL",
            "services.web.variables.REDIS_URL",
            "services.worker.deploy.multiRegionConfig",
            "services.worker.source.image",
            "services.worker.variables.QUEUE_CONCURRENCY",
            "services.worker.variables.REDIS_URL",
            "services.worker.variables.STRIPE_KEY",
        ],
    },
    Story {
        name: "an instant rollback",
        begins: || {
            let scene = scene_with(FAST).in_step();
            scene.release("1.4.3");
            scene.in_step()
        },
        changes: |scene| scene.release("1.4.2"),
        declared: &["services.web.source.image", "services.worker.source.image"],
    },
    Story {
        name: "a restart beside a scale",
        begins: || scene().in_step(),
        changes: |scene| {
            let now = sandbox::Time::now();
            let sizes = scene.read("production/sizes.yaml");
            let sizes = sizes.replace(
                "replicas: 3",
                &format!("replicas: 2\n  restartedAfter: {now}"),
            );
            scene.write("production/sizes.yaml", sizes);
        },
        declared: &["services.web.deploy.multiRegionConfig"],
    },
    Story {
        name: "closing the site",
        begins: || scene().in_step(),
        changes: |scene| {
            let until = sandbox::Time::now().plus_seconds(7200.0);
            scene.replace(
                "base/app.yaml",
                "  enabled: false\n",
                &format!("  enabled: true\n  until: {until}\n"),
            );
        },
        declared: &["services.web.variables.MAINTENANCE_MODE"],
    },
    Story {
        name: "stopping a service",
        begins: || scene().in_step(),
        changes: |scene| {
            scene.replace(
                "production/sizes.yaml",
                "spec: { replicas: 2 }",
                "spec: { replicas: 2, stopped: true }",
            );
        },
        declared: &[],
    },
];

const DEPLOYMENTS: &[&str] = &[
    "deployments.",
    "services.web.deployments",
    "services.worker.deployments",
];

#[derive(Clone, Copy, Debug)]
enum Moment {
    Before,
    After,
}

/// Applies, killed at that request; whether it came so far.
fn killed(scene: &Scene, at: usize, moment: Moment) -> bool {
    let child: Arc<Mutex<Option<Child>>> = Arc::default();
    let victim = child.clone();
    let mut holder = child.lock().unwrap();
    scene
        .railway
        .guarded(move |index, _| match (index == at, moment) {
            (false, _) => Meets::Sandbox,
            (true, Moment::Before) => {
                kill(&victim);
                Meets::Silence
            }
            // The answer is written into a connection that nobody reads.
            (true, Moment::After) => Meets::SilenceAfter,
        });
    *holder = Some(scene.start(APPLY));
    drop(holder);
    let has_ended = || {
        let mut child = child.lock().unwrap();
        child.as_mut().unwrap().try_wait().unwrap().is_some()
    };
    until("the process ends or is killed", || {
        if scene.railway.processed() > at {
            kill(&child);
        }
        has_ended()
    });
    let child = child.lock().unwrap().take().unwrap();
    let status = child.wait_with_output().unwrap().status;
    scene.railway.unguarded();
    status.code().is_none()
}

fn kill(child: &Mutex<Option<Child>>) {
    child.lock().unwrap().as_mut().unwrap().kill().unwrap();
}

fn told(story: &Story, at: usize, moment: Moment) -> String {
    format!("{}, killed {moment:?} request {at}", story.name)
}

/// Deployments by service after an undisturbed apply, and how many requests it took.
fn undisturbed(story: &Story) -> (std::collections::BTreeMap<String, usize>, usize) {
    let scene = (story.begins)();
    (story.changes)(&scene);
    scene.railway.unguarded();
    scene.run(APPLY).exits(0);
    let requests = scene.railway.arrived();
    scene.run(&["diff", "production"]).exits(0);
    (scene.railway.deployments(), requests)
}

fn settles(
    story: &Story,
    at: usize,
    moment: Moment,
    most: &std::collections::BTreeMap<String, usize>,
) -> bool {
    let told = told(story, at, moment);
    let scene = (story.begins)();
    let before = scene.railway.sandbox.effects().len();
    (story.changes)(&scene);

    let was_killed = killed(&scene, at, moment);
    let apply = scene.run(APPLY);
    let diff = scene.run(&["diff", "production"]);

    assert_eq!(apply.code, Some(0), "{told}: {}{}", apply.out, apply.err);
    assert_eq!(diff.code, Some(0), "{told}: {}{}", diff.out, diff.err);
    let deployments = scene.railway.deployments();
    for (service, count) in &deployments {
        assert!(
            *count <= most[service] + 1,
            "{told}: {service} has {count} deployments, {} without",
            most[service]
        );
    }
    assert_eq!(deployments["redis"], most["redis"], "{told}");
    for effect in &scene.railway.sandbox.effects()[before..] {
        assert!(
            !effect.destructive && !effect.committed_foreign_stage,
            "{told}: {effect:?}"
        );
        assert_eq!(effect.environment, "production", "{told}");
        for path in &effect.paths {
            let is_declared = DEPLOYMENTS
                .iter()
                .chain(story.declared)
                .any(|declared| path.starts_with(declared));
            assert!(is_declared, "{told}: {path} was written");
        }
    }
    was_killed
}

#[test]
fn killed_at_any_request_the_next_apply_ends_in_step_at_the_cost_of_one_deployment_at_most() {
    let mut points = Vec::new();
    for story in STORIES {
        let (most, requests) = undisturbed(story);
        for at in 0..requests {
            for moment in [Moment::Before, Moment::After] {
                points.push((story, at, moment, most.clone()));
            }
        }
    }

    let kills: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = points
            .iter()
            .map(|(story, at, moment, most)| {
                scope.spawn(move || usize::from(settles(story, *at, *moment, most)))
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });

    assert_eq!(
        kills,
        points.len(),
        "some processes ended before they were killed"
    );
    println!("\nkills: {kills} kills, all settled");
}
