//! `doctor --live`: what it prints and how it ends, against a Railway on a port.

use super::scene::{Scene, ended, scene_with, until};
use super::server::{FAST, Meets};
use super::signals::signal;
use super::terminal::on_terminal;
use sandbox::View;
use std::time::Duration;

const PROJECT: &str = "sentia-manufacturing";
/// Three questions that are soon asked: one that only reads, one that writes, one that deploys.
const FEW: &str = "how-the-limit-resets,masked-values,variables-of-a-snapshot";
const LIVE: &[&str] = &[
    "doctor",
    "--live",
    "--project",
    PROJECT,
    "--yes",
    "--only",
    FEW,
];

fn with_account() -> Scene {
    scene_with(&format!("{FAST}switches: {{ creation_pace: 0 }}\n"))
        .unset("RAILWAY_TOKEN")
        .set("RAILWAY_API_TOKEN", "account-token")
}

/// Nothing but what was there at the beginning.
#[track_caller]
fn is_as_before(scene: &Scene, before: &View) {
    assert_eq!(scene.railway.sandbox.look(), *before);
}

#[test]
fn it_asks_and_reports_and_leaves_nothing_behind() {
    let scene = with_account();
    let before = scene.railway.sandbox.look();

    let ran = scene.run(LIVE).exits(0);

    let ran = ran
        .prints("# What Railway does where nobody says so\n")
        .prints("3 answered\n")
        .prints("## masked-values\n\nWhat stands for a variable's value when values are not to be told? (facts/railway.md 2.3 and 9)\n\n**null**: It is a mask.")
        .says("how-the-limit-resets: epoch\n")
        .says("variables-of-a-snapshot: they-are\n")
        .says("removing environment reconciler-probe-");
    assert!(!ran.out.contains(PROJECT) && !ran.out.contains("account-token"));
    assert!(scene.railway.sandbox.mutations() > 6);
    is_as_before(&scene, &before);
}

#[test]
fn machines_get_the_same() {
    let scene = with_account();

    let ran = scene.run(&[LIVE, &["-o", "json"]].concat()).exits(0);

    let json = ran.json();
    assert_eq!(json["kind"], "ProbeReport");
    let masked = &json["findings"][1];
    assert_eq!(masked["id"], "masked-values");
    assert_eq!(masked["outcome"], "answered");
    assert_eq!(masked["answer"], "null");
    assert_eq!(masked["seen"]["shown"], serde_json::Value::Null);
    assert_eq!(json["left"], serde_json::json!([]));
}

#[test]
fn the_list_asks_nobody() {
    let scene = with_account().unset("RAILWAY_API_TOKEN");

    scene
        .run(&["doctor", "--live", "--list"])
        .exits(0)
        .says_nothing()
        .prints("clearing-with-null\n  Does null in a patch take a setting back? (facts/railway.md 3.1 and 9)\n  clears | ignored · writes, needs a service of its own\n")
        .prints("Not asked:\nedge-without-a-query\n");
    let json = scene
        .run(&["doctor", "--live", "--list", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(json["kind"], "ProbeList");
    assert!(json["probes"].as_array().unwrap().len() > 60);
    assert!(json["notProbed"].as_array().unwrap().len() > 10);
    assert_eq!(scene.railway.arrived(), 0);
}

#[test]
fn without_a_person_or_a_yes_nothing_is_made() {
    let scene = with_account();

    scene
        .run(&["doctor", "--live", "--project", PROJECT])
        .exits(2)
        .prints_nothing()
        .says("nobody can be asked here whether to make a throw-away environment: add --yes, or --read-only");

    scene.changed_nothing();
}

#[test]
fn a_person_is_told_what_will_be_made_before_it_is() {
    let scene = with_account();
    let live = &LIVE[..4];
    let no = on_terminal(&scene, live, &[]).types("Go on? [y/N]", "n\r");
    no.exits(2)
        .prints("This makes the environment reconciler-probe-")
        .prints("Deployments cost a little")
        .prints("nothing was asked or made");
    on_terminal(&scene, live, &[])
        .types("Go on? [y/N]", "\u{3}")
        .exits(130);
    scene.changed_nothing();

    let before = scene.railway.sandbox.look();
    let live = [live, &["--only", "masked-values"]].concat();
    let yes = on_terminal(&scene, &live, &[]).types("Go on? [y/N]", "y\r");

    yes.exits(0).prints("1 answered");
    is_as_before(&scene, &before);
}

#[test]
fn reading_only_needs_no_yes_and_makes_nothing() {
    let scene = with_account();

    scene
        .run(&[
            "doctor",
            "--live",
            "--project",
            PROJECT,
            "--read-only",
            "--environment",
            "production",
        ])
        .exits(0)
        .prints("7 answered · ")
        .prints("## keys-of-the-configuration\n")
        .prints("## Not asked: writes, and --read-only was said\n");
    scene
        .run(&["doctor", "--live", "--project", PROJECT, "--read-only"])
        .exits(0)
        .prints("## Not asked: needs an environment to look at: `--environment NAME`\n\nkeys-of-the-configuration\n");

    scene.changed_nothing();
}

#[test]
fn a_project_token_reads_and_names_what_needs_another_token() {
    let scene = scene_with(FAST);

    scene
        .run(&["doctor", "--live"])
        .exits(0)
        .prints("7 answered · ")
        .prints("## Not asked: needs an account token: a project token makes no environments\n");
    scene
        .run(&["doctor", "--live", "--project", "another"])
        .exits(4)
        .says("the project token is for sentia-manufacturing / production");

    scene.changed_nothing();
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    let scene = with_account();
    for flag in [
        &["--list"][..],
        &["--read-only"],
        &["--only", "masked-values"],
    ] {
        scene
            .run(&[&["doctor"], flag].concat())
            .exits(2)
            .prints_nothing()
            .says(&format!("{} goes with --live", flag[0]));
    }
    let live = |scene: &Scene, more: &[&str]| {
        let all = [&["doctor", "--live", "--yes"], more].concat();
        scene.run(&all).prints_nothing()
    };
    live(&scene, &[])
        .exits(2)
        .says("say which project: `--project NAME`");
    live(&scene, &["--project", "sentia-manufactoring"])
        .exits(2)
        .says("did you mean `sentia-manufacturing`?");
    live(&scene, &["--project", PROJECT, "--environment", "prod"])
        .exits(2)
        .says("no environment `prod`");
    live(&scene, &["--project", PROJECT, "--only", "masked-value"])
        .exits(2)
        .says("no probe is called `masked-value`, did you mean `masked-values`?");
    let expired = scene.set("RAILWAY_API_TOKEN", "expired-token");
    live(&expired, &["--project", PROJECT])
        .exits(4)
        .says("Not Authorized");
    let none = expired.unset("RAILWAY_API_TOKEN");
    live(&none, &["--project", PROJECT])
        .exits(4)
        .says("no token for Railway");
    let viewer = none.set("RAILWAY_API_TOKEN", "viewer-token");
    viewer
        .run(LIVE)
        .exits(4)
        .says("no throw-away environment could be made: Railway says: Not Authorized")
        .prints("1 answered · 2 not asked");
    assert!(viewer.railway.sandbox.effects().is_empty());
}

#[test]
fn a_question_without_an_answer_is_trouble() {
    let scene = with_account();
    let before = scene.railway.sandbox.look();
    scene.railway.guarded(|_, body| match body {
        body if body.contains("mutation Commit") => Meets::Words(
            200,
            "application/json",
            r#"{"errors":[{"message":"no, for account-token"}]}"#.to_owned(),
        ),
        _ => Meets::Sandbox,
    });

    scene
        .run(LIVE)
        .exits(2)
        .prints("1 answered · 2 without an answer")
        .prints("**no answer**: Railway says: no, for ***");

    scene.railway.unguarded();
    is_as_before(&scene, &before);
}

#[test]
fn a_signal_ends_it_when_everything_is_removed() {
    for name in ["INT", "TERM"] {
        let scene = with_account();
        let before = scene.railway.sandbox.look();
        // The deployment never comes up, so that it waits.
        scene.railway.guarded(|_, body| match body {
            body if body.contains("query Service(") => Meets::Words(
                200,
                "application/json",
                r#"{"data":{"serviceInstance":null}}"#.to_owned(),
            ),
            _ => Meets::Sandbox,
        });
        let child = scene.start(LIVE);
        until("it waits for a deployment", || {
            scene.railway.sandbox.look().projects[PROJECT]
                .iter()
                .any(|(name, environment)| {
                    name.starts_with("reconciler-probe-")
                        && environment
                            .services
                            .values()
                            .any(|service| service.deployments > 0)
                })
        });

        signal(&child, name);

        ended(child, Duration::from_secs(20), LIVE)
            .exits(130)
            .prints("2 answered · interrupted")
            .says("interrupted; nothing is left behind");
        scene.railway.unguarded();
        is_as_before(&scene, &before);
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_names_what_is_left() {
    let scene = with_account();
    scene.railway.guarded(|_, body| match body {
        body if body.contains("mutation Commit") || body.contains("query Environments") => {
            Meets::Silence
        }
        _ => Meets::Sandbox,
    });
    let child = scene.start(LIVE);
    until("it writes", || scene.railway.arrived() > 8);

    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");

    ended(child, Duration::from_secs(3), LIVE).exits(130).says(
        "left behind in project sentia-manufacturing, perhaps: the environments reconciler-probe-",
    );
}
