//! Every command where nothing is wrong: what it prints, what it leaves alone, how it exits.

use super::scene::{repository, scene};
use sandbox::HandEdit;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn validate_counts_what_it_read_and_asks_nobody() {
    let scene = scene();

    let text = scene.run(&["validate", "production", "staging"]);
    let json = scene.run(&["validate", "production", "-o", "json"]);
    let github = scene.run(&["validate", "production", "-o", "github"]);

    let text = text.exits(0).says_nothing();
    assert_eq!(
        text.out,
        "production: valid (6 documents in 4 files for sentia-manufacturing / production)\n\
         staging: valid (6 documents in 4 files for sentia-manufacturing / staging)\n"
    );
    assert_eq!(json.exits(0).says_nothing().out, "[]\n");
    assert_eq!(github.exits(0).says_nothing().out, "");
    assert_eq!(scene.railway.arrived(), 0);
}

#[test]
fn an_environment_is_found_from_inside_its_own_directory() {
    let scene = scene();
    let inside = |arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.current_dir(scene.path("production"));
        super::scene::Ran::of(command.output().unwrap(), arguments)
    };

    inside(&["validate"])
        .exits(0)
        .prints("production: valid (6 documents in 4 files");
    inside(&["diff"])
        .exits(1)
        .prints("sizes.yaml:6 over ../base/app.yaml:9")
        .prints("Next: reconciler apply .\n");
}

#[test]
fn diff_prints_every_step_with_its_place_on_stdout_and_exits_1() {
    let scene = scene();

    let diff = scene.run(&["diff", "production"]);
    let plan = scene.run(&["plan", "production"]);

    let diff = diff
        .exits(1)
        .says_nothing()
        .prints(
            "production · sentia-manufacturing / production\n  make   scale web 2 → 3 (us-west2)",
        )
        .prints("replicas: 3   production/sizes.yaml:6 over base/app.yaml:9")
        .prints("release web 1.4.1 → 1.4.2")
        .prints("set worker.STRIPE_KEY → secret STRIPE_KEY, sealed");
    assert!(
        diff.out
            .ends_with("1 write, 2 deployments.\nNext: reconciler apply production\n"),
        "{}",
        diff.out
    );
    assert_eq!(plan.exits(1).out, diff.out);
    scene.changed_nothing();
}

#[test]
fn diff_as_json_has_the_documented_fields_and_no_others() {
    let scene = scene();

    let diff = scene.run(&["diff", "production", "-o", "json"]);

    let plan = diff.exits(1).says_nothing().json();
    let documented = "apiVersion kind environment railway inStep toMake writes deploys steps notes";
    assert_eq!(keys(&plan), documented.split(' ').collect());
    assert_eq!(plan["apiVersion"], "reconciler/v1alpha1");
    assert_eq!(plan["kind"], "Plan");
    assert_eq!(plan["railway"]["environment"]["name"], "production");
    assert_eq!(plan["inStep"], false);
    assert_eq!(plan["writes"], 1);
    assert_eq!(plan["deploys"], serde_json::json!(["web", "worker"]));
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(plan["toMake"], steps.len());
    let always = "address field verb why ask effect";
    let may = "from to origin undo loses deploys reason deadline then wayOut cause";
    let known: BTreeSet<&str> = always.split(' ').chain(may.split(' ')).collect();
    for step in steps {
        assert!(
            always.split(' ').all(|field| step[field].is_string()),
            "{step}"
        );
        assert!(keys(step).is_subset(&known), "{step}");
        assert!(step["origin"]["line"].as_u64().unwrap() > 0);
    }
    scene.changed_nothing();
}

#[test]
fn diff_as_markdown_begins_with_the_marker_by_which_a_workflow_finds_it() {
    let scene = scene();

    let diff = scene.run(&["diff", "production", "-o", "markdown"]);

    let diff = diff
        .exits(1)
        .says_nothing()
        .prints("| make | <code>release web 1.4.1 → 1.4.2</code> |");
    assert!(diff.out.starts_with("<!-- reconciler production -->\n"));
    scene.changed_nothing();
}

#[test]
fn the_detailed_exit_code_is_that_of_terraform() {
    let scene = scene();
    let detailed: &[&str] = &["diff", "--detailed-exitcode", "production"];

    scene.run(detailed).exits(2);
    scene
        .run(&["diff", "--detailed-exitcode", "nowhere"])
        .exits(1);
    let scene = scene.in_step();
    scene
        .run(detailed)
        .exits(0)
        .prints("In step: nothing to do.\n");
}

#[test]
fn a_strangers_pull_request_is_shown_against_the_trusted_environment_without_any_secret() {
    let scene = scene();
    scene.write(
        "theirs/environment.yaml",
        scene.read("staging/environment.yaml"),
    );
    scene.write("theirs/release.yaml", scene.read("production/release.yaml"));
    scene.replace("theirs/environment.yaml", "STAGING_", "RAILWAY_");

    let diff = scene.run(&[
        "diff",
        "theirs",
        "--untrusted",
        "--base",
        "production",
        "-o",
        "json",
    ]);

    let plan = diff.exits(1).says_nothing().json();
    assert_eq!(plan["railway"]["environment"]["name"], "production");
    let notes = plan["notes"].to_string();
    assert!(notes.contains("no secret was resolved"), "{notes}");
    scene.changed_nothing();
}

#[test]
fn untrusted_without_a_base_is_refused() {
    scene()
        .run(&["diff", "production", "--untrusted"])
        .exits(2)
        .prints_nothing()
        .says("--base <DIRECTORY>");
}

#[test]
fn apply_makes_it_so_with_one_write_and_says_so_on_stdout() {
    let scene = scene();

    let apply = scene.run(&["apply", "--yes", "production"]);

    let apply = apply
        .exits(0)
        .says("make   release web 1.4.1 → 1.4.2")
        .says("  sent: scale web 2 → 3 (us-west2) · ");
    assert!(apply.out.starts_with("In step: 1 write, "), "{}", apply.out);
    assert_eq!(scene.railway.sandbox.mutations(), 1);
    let view = scene.railway.sandbox.look();
    let web = view.service("production", "web");
    assert_eq!(web.replicas["us-west2"], 3);
    let active = web.active.as_ref().unwrap();
    assert_eq!(active.image.as_deref(), Some("ghcr.io/sentia/app:1.4.2"));

    scene
        .run(&["diff", "production"])
        .exits(0)
        .prints("In step: nothing to do.\n")
        .says_nothing();
    scene
        .run(&["apply", "production"])
        .exits(0)
        .prints("In step: 0 writes, ");
    assert_eq!(scene.railway.sandbox.mutations(), 1);
}

#[test]
fn yes_may_be_said_by_the_environment_in_any_of_the_usual_words() {
    for (word, code) in [("1", 0), ("true", 0), ("yes", 0), ("0", 2), ("false", 2)] {
        let scene = scene().set("RECONCILER_YES", word);
        scene.run(&["apply", "production"]).exits(code);
    }
}

#[test]
fn a_saved_plan_is_applied_as_it_was_shown_and_once() {
    let scene = scene();

    scene
        .run(&["diff", "production", "--out", "plan.json"])
        .exits(1)
        .prints("Next: reconciler apply plan.json\n");
    let plan: Value = serde_json::from_str(&scene.read("plan.json")).unwrap();
    let first = scene.run(&["apply", "plan.json"]);
    let again = scene.run(&["apply", "plan.json"]);

    let documented = "apiVersion kind made directory manifests railway allowed deploys";
    assert_eq!(keys(&plan), documented.split(' ').collect());
    first.exits(0).prints("In step: 1 write, ");
    again.exits(0).prints("In step: 0 writes, ");
    assert_eq!(scene.railway.sandbox.mutations(), 1);
}

#[test]
fn show_prints_documents_in_force_with_the_place_of_every_line() {
    let scene = scene();

    let all = scene.run(&["show", "production"]);
    let one = scene.run(&["show", "production", "web"]);
    let by_kind = scene.run(&["show", "production", "Service/web"]);
    let json = scene.run(&["show", "production", "web", "-o", "json"]);

    let all = all.exits(0).says_nothing();
    assert_eq!(all.out.split("---\n").count(), 6);
    let one = one.exits(0).says_nothing();
    assert!(all.out.contains(&one.out));
    assert_eq!(by_kind.exits(0).out, one.out);
    let line = |part: &str| one.out.lines().find(|line| line.contains(part)).unwrap();
    assert!(line("replicas: 3").ends_with("# production/sizes.yaml:6 over base/app.yaml:9"));
    assert!(line("LOG_LEVEL: info").ends_with("# base/app.yaml:14"));
    let json = json.exits(0).json();
    assert_eq!(json[0]["spec"]["variables"]["LOG_LEVEL"], "info");
    assert_eq!(json[0]["spec"]["replicas"], 3);
    assert_eq!(scene.railway.arrived(), 0);
}

#[test]
fn schemas_are_listed_printed_and_written_as_they_are_committed() {
    let scene = scene();

    let list = scene.run(&["schema"]).exits(0).says_nothing();
    let one = scene.run(&["schema", "service"]).exits(0).says_nothing();
    scene
        .run(&["schema", "--write", "new/schemas"])
        .exits(0)
        .prints_nothing()
        .says_nothing();

    assert_eq!(
        list.out,
        "Environment\nRelease\nService\nMaintenance\nQueue\nRedis\nApproval\nplan\nstatus\nview\nevent\nenvironments\n"
    );
    let service = fs::read_to_string(repository().join("schemas/service.schema.json"));
    assert_eq!(one.out, service.unwrap());
    let committed = fs::read_dir(repository().join("schemas")).unwrap();
    let committed: BTreeSet<_> = committed.map(|entry| entry.unwrap().file_name()).collect();
    let written = fs::read_dir(scene.path("new/schemas")).unwrap();
    let written: BTreeSet<_> = written.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(written, committed);
    for name in committed {
        let read = |directory| fs::read_to_string(repository().join(directory).join(&name));
        let fresh = fs::read_to_string(scene.path("new/schemas").join(&name)).unwrap();
        assert_eq!(
            fresh,
            read("schemas").unwrap(),
            "{name:?}: run `make schemas`"
        );
    }
}

#[test]
fn explain_tells_kinds_and_fields_and_what_a_misspelt_one_may_have_meant() {
    let scene = scene();

    let kind = scene.run(&["explain", "Service"]);
    let field = scene.run(&["explain", "service.ready.within"]);
    let wrong_kind = scene.run(&["explain", "servce"]);
    let wrong_field = scene.run(&["explain", "service.redy"]);

    kind.exits(0)
        .says_nothing()
        .prints("FIELDS\n")
        .prints("restartedAfter (a time");
    field
        .exits(0)
        .says_nothing()
        .prints("5m unless said otherwise");
    wrong_kind
        .exits(2)
        .prints_nothing()
        .says("did you mean `service`?");
    wrong_field
        .exits(2)
        .prints_nothing()
        .says("did you mean `ready`?");
    scene
        .run(&["schema", "Servce"])
        .exits(2)
        .prints_nothing()
        .says("did you mean `Service`?");
    scene
        .run(&["show", "production", "wb"])
        .exits(2)
        .prints_nothing()
        .says("did you mean `web`?");
}

#[test]
fn doctor_checks_manifests_token_clocks_and_environment_and_writes_nothing() {
    let scene = scene();

    scene
        .run(&["doctor", "production"])
        .exits(0)
        .says_nothing()
        .prints("ok    manifests of production are valid (4 files)\n")
        .prints("ok    Railway answers: project token for sentia-manufacturing / production\n")
        .prints("ok    environment seen: 3 services")
        .prints("warn  RAILWAY_API_URL points elsewhere than to Railway\n");
    let scene = scene.unset("PRODUCTION_STRIPE_KEY");
    scene.run(&["doctor", "production"]).exits(2).prints(
        "FAIL  the secret STRIPE_KEY is not there: PRODUCTION_STRIPE_KEY is not set, or empty\n",
    );
    let scene = scene.unset("RAILWAY_TOKEN");
    scene
        .run(&["doctor"])
        .exits(4)
        .prints("FAIL  no token for Railway\n");
    scene.changed_nothing();
}

#[test]
fn doctor_says_nothing_of_clocks_where_the_server_tells_no_time() {
    let scene = scene();
    scene.railway.guarded(|_, _| {
        super::server::Meets::Words(200, "application/json", "{\"data\":{}}".to_owned())
    });

    // The sandbox sends no Date, so nothing is said about clocks rather than something made up.
    let doctor = scene.run(&["doctor"]);

    assert!(!doctor.out.contains("clock"), "{}", doctor.out);
}

#[test]
fn completion_scripts_are_there_for_every_shell() {
    let scene = scene();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = scene.run(&["completion", shell]).exits(0).says_nothing();
        for command in ["validate", "diff", "apply", "doctor", "completion"] {
            assert!(script.out.contains(command), "{shell} lacks {command}");
        }
    }
    scene.write("complete.bash", scene.run(&["completion", "bash"]).out);
    let checked = std::process::Command::new("bash")
        .args(["-n", "complete.bash"])
        .current_dir(&scene.home)
        .status();
    assert!(checked.unwrap().success());
}

#[test]
fn every_command_has_help_and_the_version_is_told() {
    let scene = scene();
    scene
        .run(&["--version"])
        .exits(0)
        .says_nothing()
        .prints(concat!("reconciler ", env!("CARGO_PKG_VERSION")));
    scene
        .run(&["--help"])
        .exits(0)
        .says_nothing()
        .prints("5  the saved plan is stale");
    scene
        .run(&[])
        .exits(2)
        .prints_nothing()
        .says("Usage: reconciler");
    for command in [
        "validate",
        "diff",
        "plan",
        "apply",
        "import",
        "approve",
        "status",
        "show",
        "schema",
        "explain",
        "doctor",
        "completion",
    ] {
        scene
            .run(&[command, "--help"])
            .exits(0)
            .says_nothing()
            .prints("Usage: reconciler");
        scene.run(&[command, "--version"]).exits(0).says_nothing();
    }
    scene
        .run(&["dif"])
        .exits(2)
        .prints_nothing()
        .says("a similar subcommand exists: 'diff'");
}

#[test]
fn a_release_that_fails_exits_6_with_the_reason_and_one_that_is_held_exits_7() {
    let scene = scene().in_step();
    scene.release("1.5.0-bad");
    scene
        .run(&["apply", "--yes", "production"])
        .exits(6)
        .prints("the one before it still serves")
        .prints("Cannot find module './server.js'");

    let scene = super::scene::scene().in_step();
    scene.write(
        "production/extra.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: wrker }\nspec: { image: redis:7.4.5 }\n",
    );
    scene
        .run(&["apply", "--yes", "production"])
        .exits(7)
        .prints("there is no service wrker in project")
        .prints("did you mean `worker`?");
}

#[test]
fn what_is_not_healthy_within_the_timeout_exits_6() {
    let scene = super::scene::scene_with(super::server::SLOW);
    scene
        .run(&["apply", "--yes", "--timeout", "3s", "production"])
        .exits(6)
        .says("error: not in step within 3s")
        .prints("wait   deploy web");
}

#[test]
fn status_tells_in_one_look_how_it_stands_and_who_changed_what_by_hand() {
    let scene = scene();

    scene
        .run(&["status", "production"])
        .exits(1)
        .says_nothing()
        .prints("production   OUT OF STEP · sentia-manufacturing / production · seen ")
        .prints("  NEXT    scale web 2 → 3 (us-west2)")
        .prints("✓ web     ghcr.io/sentia/app:1.4.1  2 (us-west2)  up · ");
    let scene = scene.in_step();
    let before = scene.railway.arrived();
    scene
        .run(&["status", "production"])
        .exits(0)
        .prints("production   IN STEP · ");
    assert_eq!(scene.railway.arrived() - before, 1, "one look");
    let environment = "production".to_owned();
    scene.railway.by_hand(HandEdit::Stage {
        environment: environment.clone(),
        patch: json!({ "services": { "web": { "variables": { "LOG_LEVEL": { "value": "debug" } } } } }),
    });
    scene.railway.by_hand(HandEdit::CommitStaged {
        environment,
        deploy: true,
    });

    let status = scene.run(&["status", "production", "-o", "json"]);

    let status = status.exits(1).says_nothing().json();
    assert_eq!(status["state"], "outOfStep");
    assert_eq!(status["drift"][0]["what"], "web.LOG_LEVEL info → debug");
    assert!(status["drift"][0]["by"].is_string(), "{status:#}");
    assert_eq!(status["services"][0]["name"], "redis");
    scene.release("1.5.0-bad");
    scene.run(&["apply", "--yes", "production"]).exits(6);
    scene
        .run(&["status", "production"])
        .exits(6)
        .prints("production   DEGRADED · ")
        .prints("way out: git revert")
        .prints("failed; the one before it serves");
}

/// A flag is a nuisance in a container: each can be a variable.
#[test]
fn every_flag_has_a_twin_among_the_variables() {
    let scene = scene();
    let overview = scene.run(&["--help"]).exits(0).out;
    let commands = overview
        .split("Commands:")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help");
    let mut flags = 0;
    for command in commands {
        let help = scene.run(&[command, "--help"]).exits(0).out;
        let mut options: Vec<String> = Vec::new();
        for line in help.split("Options:").nth(1).unwrap_or_default().lines() {
            let begins = line.trim_start().starts_with('-');
            match options.last_mut() {
                Some(last) if !begins => *last += line,
                _ => options.push(line.to_owned()),
            }
        }
        for option in options {
            let words = option.split_whitespace().collect::<Vec<_>>().join(" ");
            let Some(flag) = words
                .split([' ', ','])
                .find_map(|word| word.strip_prefix("--"))
            else {
                continue;
            };
            if ["help", "version"].contains(&flag) {
                continue;
            }
            let twin = format!("RECONCILER_{}", flag.to_uppercase().replace('-', "_"));
            assert!(words.contains(&twin), "{command} --{flag}: {words}");
            flags += 1;
        }
    }
    assert!(flags > 30, "only {flags} flags were seen");
}
