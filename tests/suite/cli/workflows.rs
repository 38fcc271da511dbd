//! The workflows in `deploy/github`: what they may do, and that their commands do it, with a `gh` that only writes down what it is asked.

use super::scene::{Ran, Scene, git, scene};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/github")
}

fn workflows() -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deploy()).unwrap().map(Result::unwrap) {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "yml")
        {
            let text = fs::read_to_string(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            let value =
                serde_yaml::from_str(&text).unwrap_or_else(|failure| panic!("{name}: {failure}"));
            found.push((name, text, value));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found.len(), 4);
    found
}

fn steps(workflow: &Value) -> Vec<&Value> {
    let jobs = workflow["jobs"].as_object().into_iter().flatten();
    let of_jobs = jobs.filter_map(|(_, job)| job["steps"].as_array());
    let of_action = workflow["runs"]["steps"].as_array();
    of_jobs.chain(of_action).flatten().collect()
}

#[test]
fn nothing_that_a_stranger_writes_is_put_into_a_script() {
    for (name, _, workflow) in workflows() {
        for step in steps(&workflow) {
            let script = step["run"].as_str().unwrap_or_default();
            assert!(!script.contains("${{"), "{name}: {script}");
        }
    }
}

#[test]
fn a_pull_request_is_given_few_rights_and_nothing_of_it_is_run() {
    let all = workflows();
    let (_, text, workflow) = all
        .iter()
        .find(|(name, ..)| name == "pull-request.yml")
        .unwrap();
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    let jobs = &workflow["jobs"];
    assert_eq!(
        jobs["validate"]["permissions"],
        serde_json::json!({ "contents": "read" })
    );
    assert!(
        !jobs["validate"].to_string().contains("secrets."),
        "validation needs no secret"
    );
    let rights = jobs["diff"]["permissions"].as_object().unwrap();
    assert_eq!(rights["contents"], "read");
    assert_eq!(rights.len(), 3);
    // The only secrets are the tokens that look.
    for secret in text.split("secrets.").skip(1) {
        assert!(secret.starts_with("RAILWAY_TOKEN_"), "{secret}");
    }
    for step in steps(workflow) {
        if step["uses"]
            .as_str()
            .is_some_and(|uses| uses.starts_with("actions/checkout"))
        {
            assert_eq!(step["with"]["persist-credentials"], false);
        }
        let script = step["run"].as_str().unwrap_or_default();
        assert!(
            script.is_empty() || script.starts_with("reconciler"),
            "{script}"
        );
    }
}

/// A `gh` that writes down what it is asked and knows the comments that it was given.
const GH: &str = r#"#!/usr/bin/env bash
printf '%s\n' "$*" >>"$GH_LOG"
for argument in "$@"; do
    case $argument in
    body=@*) cp "${argument#body=@}" "$GH_LOG.body" ;;
    */comments) [[ " $* " == *" --method "* ]] || cat "$GH_KNOWN" 2>/dev/null || true ;;
    esac
done
"#;

struct Stage {
    scene: Scene,
}

impl Stage {
    /// The trusted manifests beside those of a pull request.
    fn new() -> Stage {
        let scene = scene().in_step();
        for directory in ["trusted", "proposed"] {
            for file in [
                "base/app.yaml",
                "production/environment.yaml",
                "production/release.yaml",
                "production/sizes.yaml",
            ] {
                scene.write(&format!("{directory}/{file}"), scene.read(file));
            }
        }
        scene.write("bin/gh", GH);
        let gh = scene.path("bin/gh");
        fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).unwrap();
        Stage { scene }
    }

    fn command(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_reconciler"))
            .parent()
            .unwrap();
        let path = reconciler::config::Config::read()
            .plain("PATH")
            .unwrap()
            .to_owned();
        let here = self.scene.path("bin");
        let mut command = self.scene.command(&[]);
        let settings: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new(deploy().join("bin").join(script));
        command
            .env_clear()
            .envs(settings)
            .env(
                "PATH",
                format!("{}:{}:{path}", here.display(), binary.display()),
            )
            .env("GH_LOG", self.scene.path("gh.log"))
            .env("GH_KNOWN", self.scene.path("gh.known"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn comment(&self) -> Ran {
        let token = "production-token";
        let output = self
            .command("reconciler-comment")
            .current_dir(self.scene.path("proposed"))
            .env_remove("RAILWAY_TOKEN")
            .env("RAILWAY_TOKEN_production", token)
            .env("ENVIRONMENTS", "production")
            .env("TRUSTED", "../trusted")
            .env("PULL_REQUEST", "7")
            .env("HEAD_SHA", "4f2a91c0")
            .env("HEAD_REPOSITORY", "ben/shop")
            .env("HEAD_BRANCH", "redis-8")
            .env("GITHUB_REPOSITORY", "shop/shop")
            .env("GITHUB_SERVER_URL", "https://github.example")
            .output()
            .unwrap();
        Ran::of(output, &["comment"])
    }

    fn asked(&self) -> String {
        self.scene.read("gh.log")
    }

    fn body(&self) -> String {
        self.scene.read("gh.log.body")
    }
}

#[test]
fn one_comment_is_made_and_then_kept_up_to_date() {
    let stage = Stage::new();
    stage.comment().exits(0);
    assert!(stage.body().starts_with("<!-- reconciler -->\n"));
    assert!(stage.body().contains("In step: nothing to do."));
    assert!(
        stage
            .asked()
            .contains("--method POST repos/shop/shop/issues/7/comments")
    );
    assert!(stage.asked().contains(
        "state=success -f context=reconciler/production -f description=nothing would change"
    ));

    stage.scene.write("gh.known", "4711\n");
    stage.scene.write("gh.log", "");
    stage
        .scene
        .replace("proposed/base/app.yaml", "redis:7.4.5", "redis:8.0.1");
    stage.comment().exits(0);

    assert!(
        stage
            .asked()
            .contains("--method PATCH repos/shop/shop/issues/comments/4711")
    );
    assert!(!stage.asked().contains("POST repos/shop/shop/issues"));
    assert!(stage.asked().contains(
        "state=pending -f context=reconciler/production -f description=1 step needs an approval"
    ));
    let link = "(https://github.example/ben/shop/new/redis-8?filename=production%2Fapprovals%2F";
    assert!(stage.body().contains(link), "{}", stage.body());
    stage.scene.railway.sandbox.mutations();
}

#[test]
fn a_plan_that_cannot_be_made_is_said_in_the_comment_and_fails() {
    let stage = Stage::new();
    stage.scene.replace(
        "proposed/production/sizes.yaml",
        "replicas: 3",
        "replica: 3",
    );
    stage.comment().exits(1).says("did you mean `replicas`?");
    assert!(
        stage
            .body()
            .contains("The plan could not be made (exit code 3)")
    );
    assert!(stage.asked().contains("state=failure"));
}

#[test]
fn a_strangers_manifests_reach_neither_another_environment_nor_a_secret() {
    let stage = Stage::new();
    stage.scene.replace(
        "proposed/production/environment.yaml",
        "environment: production",
        "environment: staging",
    );
    stage.comment().exits(0);
    assert!(!stage.body().contains("staging"), "{}", stage.body());
    assert!(!stage.body().contains("sk_live"), "{}", stage.body());
}

fn rollback(stage: &Stage, arguments: &[&str]) -> Ran {
    let output = stage
        .command("reconciler-rollback")
        .args(arguments)
        .current_dir(stage.scene.path("clone"))
        .env("ACTOR", "anna")
        .output()
        .unwrap();
    Ran::of(output, arguments)
}

/// A clone with two commits: what production is, and a release.
fn with_history() -> Stage {
    let stage = Stage::new();
    let scene = &stage.scene;
    let clone = scene.path("clone");
    fs::create_dir(scene.path("origin")).unwrap();
    git(&scene.path("origin"), &["init", "--bare"]);
    fs::rename(scene.path("proposed"), &clone).unwrap();
    git(&clone, &["init"]);
    git(&clone, &["add", "-A"]);
    git(&clone, &["commit", "-m", "What production should be"]);
    git(&clone, &["remote", "add", "origin", "../origin"]);
    git(&clone, &["push", "-u", "origin", "main"]);
    scene.replace(
        "clone/production/release.yaml",
        "app:1.4.2",
        "app:1.5.0-bad",
    );
    git(&clone, &["commit", "-a", "-m", "Release 1.5.0"]);
    git(&clone, &["push"]);
    stage
}

#[test]
fn a_rollback_reverts_shows_and_pushes() {
    let stage = with_history();

    rollback(&stage, &["production", "HEAD", "it does not start"])
        .exits(0)
        .prints("production · sentia-manufacturing / production")
        .prints("Revert \"Release 1.5.0\"");

    let pushed = git(
        &stage.scene.path("origin"),
        &["log", "-1", "--format=%B %an", "main"],
    );
    assert!(pushed.contains("it does not start"), "{pushed}");
    assert!(pushed.trim_end().ends_with("anna"), "{pushed}");
    assert!(
        stage
            .scene
            .read("clone/production/release.yaml")
            .contains("app:1.4.2")
    );
}

#[test]
fn a_rollback_that_makes_no_sense_pushes_nothing() {
    let stage = with_history();
    let head = || git(&stage.scene.path("origin"), &["rev-parse", "main"]);
    let before = head();

    rollback(&stage, &["production", "nonsense", "why"])
        .exits(2)
        .says("there is no commit nonsense");
    // The first commit made everything: without it nothing is left that is valid.
    rollback(&stage, &["production", "HEAD~1", "why"]).exits(2);
    stage.scene.replace(
        "clone/production/release.yaml",
        "app:1.5.0-bad",
        "app:1.4.2",
    );
    git(
        &stage.scene.path("clone"),
        &["commit", "-a", "-m", "Back by hand"],
    );
    rollback(&stage, &["production", "HEAD~1", "why"]).exits(2);

    assert_eq!(head(), before);
}
