//! The cases of `tests/plans`: manifests, a sequence of worlds, and the plan that follows from each.
//!
//! A `-status.txt` beside a plan holds what `status` tells of the same look.
//!
//! `UPDATE_PLANS=1` writes plans and statuses anew; read the difference before you commit it.

use crate::worlds::Written;
use reconciler::manifest::{Desired, load};
use reconciler::plan::drift::{Content, Course};
use reconciler::plan::gate::{self, Memory};
use reconciler::plan::text::{Look, text};
use reconciler::plan::{Plan, plan};
use reconciler::source::Files;
use reconciler::status;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut cases: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn desired(path: &Path, now: jiff::Timestamp) -> Desired {
    let text = fs::read_to_string(path).unwrap();
    let has_own = text.contains("kind: Environment");
    let environment = "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec:\n  railway: { project: sentia-manufacturing, environment: production }\n  secrets: { prefix: PRODUCTION_ }\n";
    let texts = [
        ("environment.yaml", environment),
        ("manifests.yaml", text.as_str()),
    ];
    let files = Files {
        directory: String::new(),
        texts: texts
            .into_iter()
            .skip(usize::from(has_own))
            .map(|(path, text)| (path.into(), text.into()))
            .collect(),
    };
    load(&files, now).unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display()))
}

/// One step of a case.
struct Planned {
    /// How the names of its files begin.
    step: PathBuf,
    plan: Plan,
    status: String,
}

/// The steps of the sequence: each has a world, and the newest manifests up to it hold.
fn planned(case: &Path) -> Vec<Planned> {
    let mut manifests = case.join("manifests.yaml");
    let mut course = Course::default();
    let mut plans = Vec::new();
    for step in 1.. {
        let world = case.join(format!("{step}-world.yaml"));
        if !world.exists() {
            break;
        }
        let newer = case.join(format!("{step}-manifests.yaml"));
        if newer.exists() {
            manifests = newer;
        }
        let text = fs::read_to_string(&world).unwrap();
        let written: Written = serde_yaml::from_str(&text)
            .unwrap_or_else(|failure| panic!("{}: {failure}", world.display()));
        let mut memory = written
            .began
            .map_or_else(Memory::default, Memory::writing_since);
        let world = written.world();
        let mut wanted = desired(&manifests, written.now);
        let before = case.join(format!("{step}-before.yaml"));
        if before.exists() {
            wanted = wanted.after(&desired(&before, written.now));
        }
        if let Some(controller) = &written.controller {
            if controller.begins {
                course = Course::default();
            }
            let content = Content {
                digest: wanted.digest(),
                committed_at: controller.committed,
            };
            memory.take(controller.stance(&content.digest, &world, written.now));
            memory.follow(course, content);
        }
        let plan = gate::hold(
            plan(&wanted, &world, written.now),
            &world,
            &memory,
            written.now,
        );
        memory.planned(&plan, &world, written.now);
        course = memory.course().cloned().unwrap_or_default();
        plans.push(Planned {
            step: case.join(step.to_string()),
            status: status::text::text(
                &status::status(&wanted, &world, &plan, written.now),
                written.now,
                LOOK,
            ),
            plan,
        });
    }
    assert!(!plans.is_empty(), "{} has no world", case.display());
    plans
}

const LOOK: Look = Look {
    width: 100,
    color: false,
};

fn shown(plan: &Plan) -> String {
    let mut out = text(plan, LOOK);
    for question in &plan.questions {
        let _ = writeln!(out, "asks: {question:?}");
    }
    for write in &plan.writes {
        let _ = writeln!(
            out,
            "write {}{}: {}",
            write.mark(),
            write
                .approvals
                .iter()
                .chain(&write.marks)
                .map(|mark| format!(" ({mark})"))
                .collect::<String>(),
            serde_json::to_string(&write.what).unwrap()
        );
    }
    out
}

#[track_caller]
fn holds(path: &Path, found: &str, update: bool) {
    if update {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let place = path.display();
    assert_eq!(expected, found, "{place} (UPDATE_PLANS=1 writes it anew)");
}

#[test]
fn every_case_gives_its_plans() {
    let update = reconciler::config::Config::read()
        .plain("UPDATE_PLANS")
        .is_some();
    let (mut plans, mut statuses) = (0, 0);
    for case in cases() {
        for planned in planned(&case) {
            let file = |what: &str| PathBuf::from(format!("{}-{what}.txt", planned.step.display()));
            holds(&file("plan"), &shown(&planned.plan), update);
            plans += 1;
            if file("status").exists() {
                holds(&file("status"), &planned.status, update);
                statuses += 1;
            }
        }
    }
    println!(
        "plans: {plans} plans and {statuses} statuses in {} cases",
        cases().len()
    );
}

#[test]
fn the_same_inputs_give_the_same_plan_byte_for_byte() {
    for case in cases() {
        let (once, again) = (planned(&case), planned(&case));
        for (one, other) in once.iter().zip(&again) {
            assert_eq!(shown(&one.plan), shown(&other.plan));
        }
    }
}
