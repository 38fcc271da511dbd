//! What is done at night, from the first command to the last: closing and opening, consent, removal, stopping, an import.

use super::scene::{Ran, Scene, ended, git, scene, scene_of, until};
use super::server::FAST;
use sandbox::HandEdit;
use serde_json::json;
use std::fs;
use std::process::Command;
use std::time::Duration;

const APPLY: &[&str] = &["apply", "--yes", "production"];

/// Some hours from now, so that no limit of the language is met.
fn in_hours(hours: i64) -> String {
    let now = sandbox::Time::now();
    now.plus_seconds(f64::from(i32::try_from(hours).unwrap()) * 3600.0)
        .to_string()
}

fn page(scene: &Scene) -> (u16, String) {
    let answer = scene
        .railway
        .sandbox
        .page("sentia-manufacturing.up.railway.app", "/");
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    (answer.status().as_u16(), body)
}

fn close(scene: &Scene, by: &str) {
    scene.write(
        "production/maintenance.yaml",
        format!(
            "apiVersion: reconciler/v1alpha1\nkind: Maintenance\nmetadata: {{ name: site, from: base }}\nspec: {{ enabled: true, reason: orders are being repaired, until: {}{by} }}\n",
            in_hours(2)
        ),
    );
}

#[test]
fn the_site_is_closed_and_opened_again_and_the_page_is_looked_at_both_times() {
    let scene = scene().in_step();
    assert_eq!(page(&scene).0, 200);
    close(&scene, "");

    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("set web.MAINTENANCE_MODE")
        .prints("Maintenance/site is on: orders are being repaired")
        .prints("1 deployment (web)");
    scene.run(APPLY).exits(0);

    let (status, body) = page(&scene);
    assert_eq!(status, 503);
    assert!(body.contains("maintenance"), "{body}");
    scene
        .run(&["status", "production"])
        .exits(0)
        .prints("CLOSED  site: web · orders are being repaired · alarm ");
    let worker = scene.railway.deployments()["worker"];
    fs::remove_file(scene.path("production/maintenance.yaml")).unwrap();
    scene.run(APPLY).exits(0);
    assert_eq!(page(&scene).0, 200);
    assert_eq!(scene.railway.deployments()["worker"], worker, "exactly web");
}

#[test]
fn a_page_that_does_not_close_is_said_at_the_end_of_apply() {
    let scene = scene().in_step();
    close(
        &scene,
        ", page: { closed: { status: 503, contains: something else }, open: { status: 200 }, within: 1s }",
    );
    scene
        .run(APPLY)
        .exits(6)
        .prints("answers HTTP 503 without `something else`");
}

#[test]
fn an_application_that_cannot_start_is_closed_by_another_image_and_comes_back_with_its_own() {
    let scene = scene().in_step();
    scene.railway.by_hand(HandEdit::Crash {
        environment: "production".to_owned(),
        service: "web".to_owned(),
    });
    assert_eq!(page(&scene).0, 502);
    close(
        &scene,
        ", by: { image: \"ghcr.io/sentia/maintenance:1\", ready: { path: /api/live } }",
    );

    scene.run(APPLY).exits(0);

    assert_eq!(page(&scene).0, 503);
    fs::remove_file(scene.path("production/maintenance.yaml")).unwrap();
    scene.run(APPLY).exits(0);
    assert_eq!(page(&scene).0, 200);
    let view = scene.railway.sandbox.look();
    let web = view.service("production", "web").active.clone().unwrap();
    assert_eq!(web.image.as_deref(), Some("ghcr.io/sentia/app:1.4.2"));
}

/// The manifests in a clone, with the repository that it is a clone of beside them.
fn cloned(scene: Scene) -> Scene {
    let home = scene.home.path();
    fs::create_dir(home.join("origin")).unwrap();
    git(&home.join("origin"), &["init", "--bare"]);
    git(home, &["init"]);
    fs::write(home.join(".gitignore"), "origin\n").unwrap();
    git(home, &["add", "-A"]);
    git(home, &["commit", "-m", "What production should be"]);
    git(home, &["remote", "add", "origin", "origin"]);
    git(home, &["push", "-u", "origin", "main"]);
    let path = reconciler::config::Config::read()
        .plain("PATH")
        .unwrap()
        .to_owned();
    scene
        .set("PATH", path)
        .set("GIT_AUTHOR_NAME", "anna")
        .set("GIT_AUTHOR_EMAIL", "anna@sentia.test")
        .set("GIT_COMMITTER_NAME", "anna")
        .set("GIT_COMMITTER_EMAIL", "anna@sentia.test")
}

fn wanted(scene: &Scene, arguments: &[&str]) -> String {
    let mut all = vec!["diff", "production", "-o", "json"];
    all.extend(arguments);
    let plan = scene.run(&all).exits(1).json();
    plan["approvals"][0]["name"].as_str().unwrap().to_owned()
}

fn redis(scene: &Scene) -> Option<String> {
    let view = scene.railway.sandbox.look();
    view.service("production", "redis")
        .active
        .as_ref()?
        .image
        .clone()
}

#[test]
fn what_may_lose_data_waits_for_a_consent_in_git_that_is_used_once() {
    let scene = cloned(scene().in_step());
    scene.replace("base/app.yaml", "redis:7.4.5", "redis:8.0.1");
    git(scene.home.path(), &["commit", "-a", "-m", "Redis 8"]);
    scene
        .run(APPLY)
        .exits(7)
        .prints("it needs approval")
        .prints("reconciler approve ");
    assert_eq!(redis(&scene).as_deref(), Some("redis:7.4.5"));
    let digest = wanted(&scene, &[]);

    scene
        .run(&["approve", "12345678", "production", "--yes"])
        .exits(2)
        .says(&format!("these are needed: {digest}"));
    scene
        .run(&["approve", &digest, "production"])
        .exits(2)
        .says("may lose what its volume holds")
        .says("elsewhere add --yes");
    let approve = scene.run(&["approve", &digest, "production", "--yes"]);

    approve
        .exits(0)
        .prints(&format!("production/approvals/{digest}.yaml"))
        .says("committed and pushed");
    let pushed = git(
        &scene.path("origin"),
        &["log", "-1", "--format=%s %an", "main"],
    );
    assert!(
        pushed.starts_with(&format!("Approve {digest}: release Service/redis")),
        "{pushed}"
    );
    scene.run(APPLY).exits(0);
    assert_eq!(redis(&scene).as_deref(), Some("redis:8.0.1"));
    // Back, which is held as well, and forth again: what was used is used.
    scene.replace("base/app.yaml", "redis:8.0.1", "redis:7.4.5");
    scene.run(APPLY).exits(7);
    let back = wanted(&scene, &[]);
    assert_ne!(back, digest);
    scene
        .run(&["approve", &back, "production", "--yes", "--no-push"])
        .exits(0)
        .says("committed");
    scene.run(APPLY).exits(0);
    scene.replace("base/app.yaml", "redis:7.4.5", "redis:8.0.1");
    scene.run(APPLY).exits(7);
    assert_eq!(redis(&scene).as_deref(), Some("redis:7.4.5"));
}

#[test]
fn a_consent_is_a_file_where_there_is_no_git() {
    let scene = scene().in_step();
    scene.replace("base/app.yaml", "redis:7.4.5", "redis:8.0.1");
    let digest = wanted(&scene, &[]);
    scene
        .run(&["approve", &digest, "production", "--yes"])
        .exits(0)
        .says("nothing was committed");
    scene.run(APPLY).exits(0);
    assert_eq!(redis(&scene).as_deref(), Some("redis:8.0.1"));
}

fn copy_of_production(scene: &Scene) {
    for file in ["environment.yaml", "release.yaml", "sizes.yaml"] {
        scene.write(
            &format!("before/{file}"),
            scene.read(&format!("production/{file}")),
        );
    }
    scene.write("base-before/app.yaml", scene.read("base/app.yaml"));
    scene.replace("before/environment.yaml", "../base", "../base-before");
}

#[test]
fn a_variable_that_git_no_longer_declares_goes_only_where_the_base_tells_that_it_did() {
    let scene = scene().in_step();
    copy_of_production(&scene);
    scene.replace("base/app.yaml", "    QUEUE_CONCURRENCY: 5\n", "");
    let has = || {
        let view = scene.railway.sandbox.look();
        view.service("production", "worker")
            .variables
            .contains_key("QUEUE_CONCURRENCY")
    };

    scene.run(APPLY).exits(0);
    assert!(has(), "without a base nothing is removed");
    scene
        .run(&["diff", "production", "--base", "before"])
        .exits(1)
        .prints("QUEUE_CONCURRENCY");
    scene
        .run(&["apply", "--yes", "production", "--base", "before"])
        .exits(0);
    assert!(!has());
}

#[test]
fn a_service_that_git_no_longer_names_is_deleted_with_consent_only() {
    // Whether a project token may delete is open; an account's may.
    let scene = scene()
        .in_step()
        .unset("RAILWAY_TOKEN")
        .set("RAILWAY_API_TOKEN", "account-token");
    copy_of_production(&scene);
    let text = scene.read("base/app.yaml");
    let (before, after) = text
        .split_once(
            "---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: redis }",
        )
        .unwrap();
    let after = after.split_once("---\n").unwrap().1;
    scene.write("base/app.yaml", format!("{before}---\n{after}"));
    scene.replace(
        "production/environment.yaml",
        "  base: ../base\n",
        "  base: ../base\n  removed: { services: hold }\n",
    );
    let base = ["--base", "before"];

    scene
        .run(&["apply", "--yes", "production", "--base", "before"])
        .exits(7)
        .prints("redis");
    let digest = wanted(&scene, &base);
    scene
        .run(&[
            "approve",
            &digest,
            "production",
            "--yes",
            "--base",
            "before",
        ])
        .exits(0);
    scene
        .run(&["apply", "--yes", "production", "--base", "before"])
        .exits(0);

    let view = scene.railway.sandbox.look();
    let services = &view.environment("production").services;
    assert!(!services.contains_key("redis"));
    assert!(view.environment("staging").services.contains_key("redis"));
}

#[test]
fn a_service_is_stopped_and_started_by_one_word() {
    let scene = scene().in_step();
    let runs = || {
        let view = scene.railway.sandbox.look();
        let worker = view.service("production", "worker").active.clone();
        worker.is_some_and(|worker| !worker.stopped)
    };
    scene.replace(
        "production/sizes.yaml",
        "spec: { replicas: 2 }",
        "spec: { replicas: 2, stopped: true }",
    );
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("stop worker")
        .prints("it stops serving");
    scene.run(APPLY).exits(0);
    assert!(!runs());
    scene.run(&["diff", "production"]).exits(0);
    scene.replace("production/sizes.yaml", ", stopped: true", "");
    scene.run(APPLY).exits(0);
    assert!(runs());
}

#[test]
fn an_import_round_trips_and_writes_over_nothing() {
    let scene = scene();
    scene
        .run(&["import", "copy"])
        .exits(0)
        .prints("copy/environment.yaml\n")
        .prints("copy/release.yaml\n")
        .prints("copy/services.yaml\n");

    scene
        .run(&["diff", "copy"])
        .exits(0)
        .prints("In step: nothing to do.");
    let written = scene.read("copy/services.yaml") + &scene.read("copy/environment.yaml");
    for secret in ["sk_live_example", "hunter2", "postgres://app@db.example"] {
        assert!(!written.contains(secret), "{written}");
    }
    assert!(
        written.contains("redis://${{redis.RAILWAY_PRIVATE_DOMAIN}}:6379"),
        "{written}"
    );
    scene
        .run(&["import", "copy"])
        .exits(2)
        .prints_nothing()
        .says(
            "copy/environment.yaml is there already; nothing was written (--force writes over it)",
        );
    scene
        .run(&["import", "copy", "--force", "--variables", "LOG_LEVEL"])
        .exits(0);
    assert!(scene.read("copy/services.yaml").contains("LOG_LEVEL: info"));
    let scene = scene
        .unset("RAILWAY_TOKEN")
        .set("RAILWAY_API_TOKEN", "account-token");
    scene
        .run(&["import", "both"])
        .exits(2)
        .says("which environment?");
    scene
        .run(&[
            "import",
            "both",
            "--project",
            "sentia-manufacturing",
            "--environment",
            "production",
            "--environment",
            "staging",
        ])
        .exits(0)
        .prints("both/base/services.yaml\n");
    for environment in ["production", "staging"] {
        scene
            .run(&["diff", &format!("both/{environment}")])
            .exits(0);
    }
    scene
        .run(&[
            "import",
            "none",
            "--project",
            "sentia-manufacturing",
            "--environment",
            "wrong",
        ])
        .exits(2)
        .says("wrong");
    assert!(!scene.path("none").exists());
    scene.changed_nothing();
}

/// What a comparison of configuration alone does not see.
#[test]
fn a_moved_region_a_changed_commit_and_another_major_version_of_a_database_are_seen() {
    let seed = format!(
        "
projects:
  shop:
    environments:
      production:
        services:
          web: {{ image: \"shop/app:1\", replicas: {{ us-west2: 1 }} }}
          api: {{ repo: shop/api, commit: {old} }}
          redis: {{ image: \"redis:7.4.5\", volume: {{ name: data, mount: /data }}, replicas: {{ us-west2: 1 }} }}
tokens:
  production-token: {{ kind: project, project: shop, environment: production }}
{FAST}",
        old = "a".repeat(40)
    );
    let scene = scene_of(&seed);
    fs::remove_dir_all(scene.path("production")).unwrap();
    let service = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
        )
    };
    scene.write(
        "production/all.yaml",
        format!(
            "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: {{ name: production }}\nspec: {{ railway: {{ project: shop, environment: production }} }}\n{}{}{}",
            service("web", "{ replicas: { us-west2: 1 } }"),
            service("api", &format!("{{ commit: {} }}", "a".repeat(40))),
            service("redis", "{ image: \"redis:7.4.5\" }"),
        ),
    );
    scene.run(APPLY).exits(0);
    scene.run(&["diff", "production"]).exits(0);
    let edit = |patch: serde_json::Value| {
        scene.railway.by_hand(HandEdit::Patch {
            environment: "production".to_owned(),
            patch: json!({ "services": patch }),
            deploy: true,
        });
    };

    edit(
        json!({ "web": { "deploy": { "multiRegionConfig": { "us-west2": null, "europe-west4-drams3a": { "numReplicas": 1 } } } } }),
    );
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("scale web 1 (europe-west4-drams3a) → 1 (us-west2)");
    edit(json!({ "api": { "source": { "commitSha": "b".repeat(40) } } }));
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("release api bbbbbbb → aaaaaaa");
    edit(json!({ "redis": { "source": { "image": "redis:8.0.1" } } }));
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("release redis 8.0.1 → 7.4.5")
        .prints("it needs approval");
}

#[test]
fn the_form_of_a_result_may_be_chosen_once_for_all_commands() {
    let scene = scene().set("RECONCILER_OUTPUT", "markdown");
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("<!-- reconciler production -->");
    // It has no such form, and prints text.
    scene
        .run(&["validate", "production"])
        .exits(0)
        .prints("production: valid");
    scene
        .run(&["diff", "production", "-o", "text"])
        .exits(1)
        .prints("production · sentia-manufacturing / production");
    let scene = scene.set("RECONCILER_OUTPUT", "JSON");
    scene.run(&["status", "production"]).exits(1).json();
    scene.run(&["validate", "production"]).exits(0).json();
    let scene = scene.set("RECONCILER_OUTPUT", "yaml");
    scene
        .run(&["diff", "production"])
        .exits(2)
        .prints_nothing()
        .says("RECONCILER_OUTPUT is `yaml`; there are text, json, markdown, github");
}

#[test]
fn a_status_that_is_watched_tells_what_has_changed_until_ctrl_c() {
    let scene = scene().in_step();
    let arguments: &[&str] = &["status", "production", "--watch", "--every", "2s"];
    let before = scene.railway.arrived();
    let child = scene.start(arguments);
    until("it has looked", || scene.railway.arrived() > before);
    scene.railway.by_hand(HandEdit::StopDeployment {
        environment: "production".to_owned(),
        service: "worker".to_owned(),
    });
    until("it has looked again", || {
        scene.railway.arrived() >= before + 4
    });
    let interrupted = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(interrupted.unwrap().success());

    let ran: Ran = ended(child, Duration::from_secs(6), arguments)
        .exits(130)
        .prints("IN STEP")
        .prints("OUT OF STEP");
    assert_eq!(ran.out.matches("IN STEP").count(), 1, "{}", ran.out);
    scene
        .run(&["status", "production", "--every", "1s"])
        .exits(2)
        .says("at least 2s");
}
