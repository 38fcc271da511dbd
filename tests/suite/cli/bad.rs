//! Bad input of every sort: the exit code, the words, and that nothing is changed.

use super::scene::{BINARY, Ran, Scene, scene, scene_with, stopwatch};
use super::server::Meets;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// The commands that read manifests and then could go on.
const READERS: &[&[&str]] = &[
    &["validate", "production"],
    &["diff", "production"],
    &["apply", "--yes", "production"],
    &["show", "production"],
];

#[track_caller]
fn refused_as(scene: &Scene, code: &str, words: &str) {
    for arguments in READERS {
        scene
            .run(arguments)
            .exits(3)
            .prints_nothing()
            .says(&format!("error[{code}]"))
            .says(words)
            .says("in the manifests; nothing was asked or changed");
    }
    let problems = scene
        .run(&["validate", "production", "-o", "json"])
        .exits(3);
    let codes: Vec<String> = problems
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["code"].as_str().unwrap().to_owned())
        .collect();
    assert!(codes.iter().any(|found| found == code), "{codes:?}");
    scene
        .run(&["validate", "production", "-o", "github"])
        .exits(3)
        .says_nothing()
        .prints("::error file=");
    assert_eq!(scene.railway.arrived(), 0, "something was asked");
}

fn service(spec: &str) -> String {
    format!(
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: api }}\nspec: {spec}\n"
    )
}

#[test]
fn manifests_that_are_not_manifests_are_refused_by_every_command_with_the_same_words() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inside = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{inside}]\n"));
    }
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for (text, code, words) in [
        (
            "spec: [unclosed\n".to_owned(),
            "yaml",
            "production/bad.yaml",
        ),
        (bomb, "yaml-alias", "production/bad.yaml"),
        (deep, "yaml-depth", "production/bad.yaml"),
        (
            service("{ replicas: 1, replicas: 2 }"),
            "duplicate-key",
            "replicas",
        ),
        (service("{ replicas: many }"), "wrong-type", "replicas"),
        (service("{ image: [a] }"), "wrong-type", "image"),
        (service("{ replica: 1 }"), "unknown-field", "replicas"),
        (
            "apiVersion: reconciler/v1alpha1\nkind: Servce\nmetadata: { name: a }\nspec: {}\n"
                .to_owned(),
            "unknown-kind",
            "Service",
        ),
        (
            "apiVersion: reconciler/v9\nkind: Service\nmetadata: { name: a }\nspec: {}\n"
                .to_owned(),
            "api-version",
            "reconciler/v1alpha1",
        ),
    ] {
        let scene = scene();
        scene.write("production/bad.yaml", &text);
        refused_as(&scene, code, words);
    }
}

#[test]
fn files_that_are_no_text_of_their_own_are_refused_not_followed_and_not_left_out() {
    let large = scene();
    large.write("production/large.yaml", "# filler\n".repeat(1_200_000));
    refused_as(&large, "too-large", "production/large.yaml");

    let latin = scene();
    latin.write("production/latin.yaml", b"name: caf\xe9\n");
    refused_as(&latin, "not-utf-8", "save it as UTF-8");

    let linked = scene();
    symlink(
        linked.path("staging/sizes.yaml"),
        linked.path("production/linked.yaml"),
    )
    .unwrap();
    refused_as(&linked, "not-a-file", "production/linked.yaml");

    let linked = scene();
    symlink(linked.path("staging"), linked.path("production/more")).unwrap();
    refused_as(&linked, "not-a-file", "is a link to a directory");

    let piped = scene();
    let pipe = piped.path("production/pipe.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    refused_as(&piped, "not-a-file", "production/pipe.yaml");
}

#[test]
fn a_base_that_is_a_link_is_not_followed() {
    let scene = scene();
    fs::rename(scene.path("base"), scene.path("elsewhere")).unwrap();
    symlink(scene.path("elsewhere"), scene.path("base")).unwrap();

    refused_as(
        &scene,
        "not-a-directory",
        "is a link, and links are not followed",
    );
}

#[test]
fn a_directory_holds_exactly_one_environment() {
    let two = scene();
    two.write(
        "production/second.yaml",
        two.read("staging/environment.yaml"),
    );
    refused_as(&two, "two-environments", "Environment/staging is a second");

    let none = scene();
    fs::remove_file(none.path("production/environment.yaml")).unwrap();
    refused_as(&none, "no-environment", "kind: Environment");

    let empty = scene();
    fs::remove_dir_all(empty.path("production")).unwrap();
    fs::create_dir(empty.path("production")).unwrap();
    refused_as(&empty, "no-environment", "kind: Environment");
}

#[test]
fn the_directory_above_the_environments_is_refused_for_holding_two_of_them() {
    let scene = scene();

    let validate = scene.run(&["validate", "."]);

    let validate = validate.exits(3).prints_nothing().says("Environment");
    assert!(
        !validate.err.contains("there is no such directory"),
        "{}",
        validate.err
    );
}

#[test]
fn a_directory_that_is_none_is_named() {
    let missing = scene();
    fs::remove_dir_all(missing.path("production")).unwrap();
    refused_as(&missing, "unreadable", "there is no such directory");

    let scene = scene();
    for command in ["validate", "diff", "show"] {
        scene
            .run(&[command, "production/release.yaml"])
            .exits(3)
            .prints_nothing()
            .says("is not a directory");
    }
    scene
        .run(&["apply", "--yes", "production/release.yaml"])
        .exits(2)
        .prints_nothing()
        .says("production/release.yaml is no plan that `reconciler diff --out` saved");
    scene.changed_nothing();
}

#[test]
fn a_file_without_read_permission_is_a_problem_of_its_own() {
    let scene = scene();
    let locked = scene.path("production/release.yaml");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let binary = scene.path("reconciler");
    fs::copy(BINARY, &binary).unwrap();
    fs::set_permissions(&scene.home, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(binary);
    command
        .args(["validate", "production"])
        .env_clear()
        .current_dir(&scene.home);
    // Root may read everything, so that it has to be somebody else.
    if fs::metadata(&scene.home).unwrap().uid() == 0 {
        command.uid(65_534);
    }

    let ran = Ran::of(command.output().unwrap(), &["validate", "production"]);

    ran.exits(3)
        .prints_nothing()
        .says("error[unreadable]")
        .says("production/release.yaml")
        .says("permission denied");
}

/// The commands that need Railway.
const ASKERS: &[&[&str]] = &[
    &["diff", "production"],
    &["apply", "--yes", "production"],
    &["doctor", "production"],
];

/// `doctor` reports on stdout, the others complain on stderr.
#[track_caller]
fn all_end(scene: &Scene, code: i32, words: &str) {
    std::thread::scope(|scope| {
        for arguments in ASKERS {
            scope.spawn(move || {
                let ran = scene.run(arguments).exits(code);
                if arguments[0] == "doctor" {
                    ran.says_nothing().prints("FAIL ").prints(words);
                } else {
                    ran.prints_nothing().says(words);
                }
            });
        }
    });
    assert!(scene.railway.sandbox.effects().is_empty());
}

#[test]
fn a_token_that_is_missing_wrong_expired_or_of_another_environment_exits_4() {
    let bearer = |token: &str| {
        scene()
            .unset("RAILWAY_TOKEN")
            .set("RAILWAY_API_TOKEN", token)
    };
    all_end(&scene().unset("RAILWAY_TOKEN"), 4, "no token for Railway");
    all_end(&scene().set("RAILWAY_TOKEN", ""), 4, "no token for Railway");
    all_end(
        &scene().set("RAILWAY_TOKEN", "wrong"),
        4,
        "Railway says: Project Token not found",
    );
    all_end(
        &scene().set("RAILWAY_TOKEN", "account-token"),
        4,
        "Railway says: Project Token not found",
    );
    all_end(&bearer("wrong"), 4, "the token is wrong or expired");
    all_end(&bearer("expired-token"), 4, "the token is wrong or expired");
    all_end(
        &bearer("production-token"),
        4,
        "the token is wrong or expired",
    );
    all_end(
        &scene().set("RAILWAY_TOKEN", "staging-token"),
        4,
        "the project token is for sentia-manufacturing / staging, and the manifests are for sentia-manufacturing / production",
    );
    all_end(
        &scene().set("RAILWAY_TOKEN", "a\nb"),
        4,
        "the token holds signs that no token has",
    );
}

#[test]
fn a_token_that_may_only_look_can_diff_and_cannot_apply() {
    let scene = scene()
        .unset("RAILWAY_TOKEN")
        .set("RAILWAY_API_TOKEN", "viewer-token");

    scene.run(&["diff", "production"]).exits(1).says_nothing();
    scene
        .run(&["apply", "--yes", "production"])
        .exits(4)
        .prints_nothing()
        .says("not sent (Railway says Not Authorized");

    assert!(scene.railway.sandbox.effects().is_empty());
}

#[test]
fn a_server_that_is_not_there_exits_2_and_names_the_address_without_what_may_be_secret_in_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let scene = scene().set(
        "RAILWAY_API_URL",
        format!("http://127.0.0.1:{port}/graphql/v2"),
    );

    all_end(&scene, 2, "cannot reach 127.0.0.1: Connection refused");
}

#[test]
fn a_server_that_is_not_railway_exits_2_with_a_hint_at_the_address() {
    let scene = scene();
    let page = "<!doctype html><h1>It works</h1>";
    scene
        .railway
        .guarded(move |_, _| Meets::Words(200, "text/html", page.to_owned()));

    all_end(
        &scene,
        2,
        "the server answered HTTP 200 without GraphQL; is RAILWAY_API_URL Railway's API?",
    );
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_time_of_the_settings() {
    let scene = scene().set("RECONCILER_REQUEST_TIMEOUT", "300ms");
    scene.railway.guarded(|_, _| Meets::Silence);

    all_end(&scene, 2, "127.0.0.1 did not answer within 300ms");
}

#[test]
fn a_request_timeout_that_is_none_is_refused() {
    for wrong in ["soon", "0s", "-1"] {
        scene()
            .set("RECONCILER_REQUEST_TIMEOUT", wrong)
            .run(&["diff", "production"])
            .exits(2)
            .prints_nothing()
            .says("RECONCILER_REQUEST_TIMEOUT is not a duration such as `30s`");
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let scene = scene();
    scene
        .railway
        .guarded(|_, _| Meets::Flood(100 * 1024 * 1024));
    let began = stopwatch();

    scene
        .run(&["diff", "production"])
        .exits(2)
        .prints_nothing()
        .says("the answer of 127.0.0.1 is larger than 67108864 bytes");

    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_address_that_is_none_exits_2_before_anything_is_sent() {
    for address in [
        "nonsense",
        "ftp://railway.com/graphql",
        "http://",
        "http://a b/",
        "file:///etc/passwd",
    ] {
        let scene = scene().set("RAILWAY_API_URL", address);
        for arguments in &ASKERS[..2] {
            scene
                .run(arguments)
                .exits(2)
                .prints_nothing()
                .says("RAILWAY_API_URL is not an");
        }
        scene
            .run(&["doctor"])
            .exits(2)
            .prints("FAIL  no request can be sent to Railway");
    }
}

fn planned() -> Scene {
    let scene = scene();
    scene
        .run(&["diff", "production", "--out", "plan.json"])
        .exits(1);
    scene
}

#[track_caller]
fn not_applied(scene: &Scene, code: i32, words: &str) {
    scene
        .run(&["apply", "--yes", "plan.json"])
        .exits(code)
        .prints_nothing()
        .says(words);
    scene.changed_nothing();
}

#[test]
fn a_plan_file_that_is_none_exits_2_and_changes_nothing() {
    let scene = planned();
    let good = scene.read("plan.json");
    let broken = "plan.json is no plan that `reconciler diff --out` saved";

    scene.write("plan.json", &good[..good.len() / 2]);
    not_applied(&scene, 2, broken);
    scene.write("plan.json", "");
    not_applied(&scene, 2, broken);
    scene.write("plan.json", b"\xff\xfe");
    not_applied(&scene, 2, broken);
    scene.write("plan.json", good.replacen('{', "{\n  \"force\": true,", 1));
    not_applied(&scene, 2, "unknown field `force`");
    scene.write(
        "plan.json",
        good.replacen("reconciler/v1alpha1", "reconciler/v1beta1", 1),
    );
    not_applied(&scene, 2, "plan.json is no plan of this version");
    scene.write("plan.json", good.replace("SavedPlan", "Plan"));
    not_applied(&scene, 2, "plan.json is no plan of this version");
    fs::remove_file(scene.path("plan.json")).unwrap();
    not_applied(&scene, 2, "plan.json");
    scene
        .run(&["apply", "--yes", "/dev/zero"])
        .exits(2)
        .prints_nothing();
    scene.changed_nothing();
}

#[test]
fn a_plan_for_another_environment_exits_5_and_changes_nothing() {
    let scene = planned();
    let plan = scene.read("plan.json");
    scene.write("plan.json", plan.replace("0000000000e1", "0000000000e2"));

    not_applied(
        &scene,
        5,
        "the saved plan was made for another Railway environment",
    );
}

#[test]
fn a_plan_that_reality_has_overtaken_exits_5_and_changes_nothing() {
    let scene = planned();
    scene.railway.by_hand(sandbox::HandEdit::Scale {
        environment: "production".to_owned(),
        service: "web".to_owned(),
        regions: [("us-west2".to_owned(), Some(5))].into(),
    });

    not_applied(
        &scene,
        5,
        "the saved plan is stale: it does not have `scale web 5 → 3 (us-west2)`",
    );
}

#[test]
fn a_plan_whose_manifests_were_changed_by_hand_exits_5_and_changes_nothing() {
    let scene = planned();
    let plan = scene.read("plan.json");
    scene.write("plan.json", plan.replace("app:1.4.2", "app:1.4.0"));
    not_applied(
        &scene,
        5,
        "the saved plan is stale: it does not have `release web",
    );

    let plan = plan.replace("replicas: 3", "replica: 3");
    scene.write("plan.json", plan);
    not_applied(&scene, 3, "error[unknown-field]");
}

#[test]
fn a_plan_cannot_be_saved_where_there_is_no_directory() {
    let scene = scene();
    scene
        .run(&["diff", "production", "--out", "nowhere/plan.json"])
        .exits(2)
        .prints_nothing()
        .says("cannot write the plan to nowhere/plan.json: No such file or directory");
    scene.changed_nothing();
}

#[test]
fn without_anybody_to_ask_apply_exits_2_with_a_hint_and_changes_nothing() {
    let scene = scene();
    scene
        .run(&["apply", "production"])
        .exits(2)
        .prints_nothing()
        .says("nobody can be asked here: add --yes, or apply a plan that `reconciler diff --out` saved");
    scene.changed_nothing();
}

#[test]
fn faults_on_the_way_are_no_reason_to_fail() {
    let scene = scene_with(super::server::FAST);
    let gateway = "<html>upstream connect error</html>";
    scene.railway.guarded(move |index, _| {
        if index % 2 == 0 {
            Meets::Words(502, "text/html", gateway.to_owned())
        } else {
            Meets::Sandbox
        }
    });

    scene.run(&["diff", "production"]).exits(1).says_nothing();
    scene.changed_nothing();
}

#[test]
fn a_log_filter_that_is_none_is_said_and_does_no_harm() {
    scene()
        .run(&["--log", "a=b=c", "validate", "production"])
        .exits(0)
        .says("--log is not understood, `warn` is used");
}
