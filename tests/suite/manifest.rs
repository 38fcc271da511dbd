//! Manifests: what is accepted, what is refused and in which words, and that no text can break or betray anything.

use jiff::Timestamp;
use reconciler::kinds::maintenance::By;
use reconciler::kinds::service::{Ready, Replicas};
use reconciler::kinds::variable::Variable;
use reconciler::manifest::{self, Desired, Style};
use reconciler::problem::Problem;
use reconciler::source::Files;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

const ENVIRONMENT: &str = "\
apiVersion: reconciler/v1alpha1
kind: Environment
metadata: { name: production }
spec:
  base: ../base
  railway: { project: shop, environment: production }
  secrets: { prefix: PRODUCTION_ }
";

const BASE: &str = "\
apiVersion: reconciler/v1alpha1
kind: Service
metadata: { name: web }
spec:
  release: app
  replicas: 1
  ready: { path: /api/live, within: 2m }
  variables:
    LOG_LEVEL: info
    OLD: \"1\"
---
apiVersion: reconciler/v1alpha1
kind: Service
metadata: { name: worker }
spec:
  release: app
";

const RELEASE: &str = "\
apiVersion: reconciler/v1alpha1
kind: Release
metadata: { name: app }
spec: { image: \"ghcr.io/owner/app:1.4.2\" }
";

fn now() -> Timestamp {
    "2026-11-23T03:00:00Z".parse().expect("a constant")
}

fn files(texts: &[(&str, &str)]) -> Files {
    Files {
        directory: "production".to_owned(),
        texts: texts
            .iter()
            .map(|(path, text)| (Arc::from(*path), Arc::from(*text)))
            .collect(),
    }
}

/// The good environment with one more file.
fn with(file: &str) -> Files {
    files(&[
        ("base/app.yaml", BASE),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/extra.yaml", file),
        ("production/release.yaml", RELEASE),
    ])
}

/// The good environment with a Service of its own.
fn with_service(spec: &str) -> Files {
    with(&service("api", spec))
}

fn service(name: &str, spec: &str) -> String {
    let mut text = format!(
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n"
    );
    for line in spec.lines() {
        writeln!(text, "  {line}").expect("a string takes everything");
    }
    text
}

fn load(files: &Files) -> Result<Desired, Vec<Problem>> {
    manifest::load(files, now())
}

fn good(files: &Files) -> Desired {
    load(files).unwrap_or_else(|problems| panic!("{}", render(&problems, files)))
}

fn problems(files: &Files) -> Vec<Problem> {
    load(files)
        .map(|_| Vec::new())
        .unwrap_or_else(|problems| problems)
}

fn render(problems: &[Problem], files: &Files) -> String {
    manifest::render(
        problems,
        files,
        Style {
            color: false,
            width: 100,
        },
    )
}

fn rendered(files: &Files) -> String {
    render(&problems(files), files)
}

/// One line for each problem: `file:line [code] message; help (related)`.
fn brief(files: &Files) -> Vec<String> {
    let brief = |problem: &Problem| {
        let help = problem
            .help
            .as_ref()
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        let related = problem
            .related
            .as_ref()
            .map(|related| format!(" ({}:{} {})", related.file, related.line, related.label))
            .unwrap_or_default();
        format!(
            "{}:{} [{}] {}{help}{related}",
            problem.file, problem.line, problem.code, problem.message
        )
    };
    problems(files).iter().map(brief).collect()
}

#[track_caller]
fn assert_brief(files: &Files, expected: &[&str]) {
    assert_eq!(brief(files), expected);
}

#[test]
fn a_whole_environment_with_its_base_is_read() {
    let desired = good(&with_service(
        "image: redis:7.4.5\nreplicas: { us-west2: 2, europe-west4-drams3a: 1 }\nvariables: { A: 1, B: true, C: text, D: { absent: true } }",
    ));

    assert_eq!(desired.environment().name, "production");
    assert_eq!(
        desired.documents().services.keys().collect::<Vec<_>>(),
        ["api", "web", "worker"]
    );
    assert_eq!(
        desired.documents().releases["app"].spec.image.as_deref(),
        Some("ghcr.io/owner/app:1.4.2")
    );
    let api = &desired.documents().services["api"].spec;
    assert!(matches!(&api.replicas, Some(Replicas::Regions(regions)) if regions.len() == 2));
    assert_eq!(api.variables["A"], Variable::Number(1));
    assert_eq!(api.variables["B"], Variable::Flag(true));
    assert_eq!(api.variables["C"], Variable::Text("text".to_owned()));
}

#[test]
fn an_overlay_is_laid_map_by_map_and_remembers_what_it_covers() {
    let overlay = "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: web, from: base }\nspec:\n  replicas: 3\n  ready: { within: 1m }\n  variables: { OLD: null, NEW: x }\n";
    let desired = good(&with(overlay));

    let web = &desired.documents().services["web"];
    assert_eq!(web.spec.replicas, Some(Replicas::Number(3)));
    assert_eq!(web.spec.release.as_deref(), Some("app"));
    assert!(matches!(&web.spec.ready, Some(Ready::Check(check)) if check.path == "/api/live"));
    assert_eq!(
        web.spec.variables.keys().collect::<Vec<_>>(),
        ["LOG_LEVEL", "NEW"]
    );
    assert_eq!(
        web.origin(&["replicas"]).to_string(),
        "production/extra.yaml:5 over base/app.yaml:6"
    );
    assert_eq!(
        web.origin(&["ready", "within"]).to_string(),
        "production/extra.yaml:6 over base/app.yaml:7"
    );
    assert_eq!(
        web.origin(&["ready", "path"]).to_string(),
        "base/app.yaml:7"
    );
    assert_eq!(
        web.origin(&["variables", "NEW"]).to_string(),
        "production/extra.yaml:7"
    );
}

/// Where a field has alternatives, the overlay's takes the whole place of the other: nobody writes `variable: null` at night.
#[test]
fn an_overlay_may_choose_another_alternative() {
    let shared = format!(
        "{}---\napiVersion: reconciler/v1alpha1\nkind: Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: false, services: [web], by: {{ variable: CLOSED, value: 'yes' }} }}\n",
        BASE.replace("OLD: \"1\"", "OLD: { from: { secret: OLD } }")
    );
    let overlay = |spec: &str| {
        format!(
            "apiVersion: reconciler/v1alpha1\nkind: Maintenance\nmetadata: {{ name: site, from: base }}\nspec: {spec}\n---\n{}",
            service(
                "web, from: base",
                "start: { absent: true }\nbeforeDeploy: { absent: true }\nvariables: { OLD: { absent: true } }"
            )
        )
    };
    let load = |spec: &str| {
        let mut files = with(&overlay(spec));
        files
            .texts
            .insert("base/app.yaml".into(), shared.as_str().into());
        good(&files)
    };

    let another = load("{ by: { image: \"closed:1\" } }");
    let same = load("{ by: { value: closed } }");

    let by = |desired: &Desired| desired.documents().maintenances["site"].spec.by.clone();
    assert!(matches!(by(&another), By::Image(by) if by.image == "closed:1"));
    assert!(
        matches!(by(&same), By::Variable(by) if by.variable == "CLOSED" && by.value == "closed")
    );
    let web = &another.documents().services["web"].spec;
    assert!(matches!(web.variables["OLD"], Variable::Absent(_)));
}

#[test]
fn the_base_directory_can_be_told_before_anything_else_is_right() {
    assert_eq!(manifest::base_directory(&with("")).as_deref(), Some("base"));
    assert_eq!(
        manifest::base_directory(&with("{")).as_deref(),
        Some("base")
    );
    assert_eq!(
        manifest::base_directory(&files(&[("production/a.yaml", "{")])),
        None
    );
    let mut here = files(&[("environment.yaml", ENVIRONMENT)]);
    here.directory = String::new();
    assert_eq!(manifest::base_directory(&here).as_deref(), Some("../base"));
    let elsewhere = ENVIRONMENT.replace(
        "../base",
        "{ path: ./shared/../common, without: [Service/web] }",
    );
    assert_eq!(
        manifest::base_directory(&files(&[("production/e.yaml", &elsewhere)])).as_deref(),
        Some("production/common")
    );
}

#[test]
fn a_base_in_a_parent_directory_is_read_one_level_deep() {
    let environment = ENVIRONMENT.replace("../base", "..");
    let mut files = files(&[
        ("app.yaml", BASE),
        ("production/environment.yaml", &environment),
        ("production/release.yaml", RELEASE),
        ("other/x.yaml", "{"),
    ]);

    assert_eq!(good(&files).documents().services.len(), 2);
    files.texts.insert(
        Arc::from("more.yaml"),
        Arc::from(service("third", "image: x").as_str()),
    );
    assert_eq!(good(&files).documents().services.len(), 3);
}

#[test]
fn without_leaves_documents_of_the_base_out() {
    let environment =
        ENVIRONMENT.replace("../base", "{ path: ../base, without: [Service/worker] }");
    let files = files(&[
        ("base/app.yaml", BASE),
        ("production/environment.yaml", &environment),
        ("production/release.yaml", RELEASE),
    ]);

    assert_eq!(
        good(&files).documents().services.keys().collect::<Vec<_>>(),
        ["web"]
    );
}

#[test]
fn a_mistyped_field_is_shown_as_rustc_shows_it() {
    assert_eq!(
        rendered(&with_service("replica: 3")),
        "\
error[unknown-field]: unknown field `replica`, did you mean `replicas`?
 --> production/extra.yaml:5:3
  |
5 |   replica: 3
  |   ^^^^^^^

1 problem
"
    );
}

#[test]
fn an_unknown_field_comes_with_the_known_ones() {
    assert_eq!(
        rendered(&with_service("port: 80")),
        "\
error[unknown-field]: unknown field `port`
 --> production/extra.yaml:5:3
  |
5 |   port: 80
  |   ^^^^
  |
  = help: known here: `beforeDeploy`, `commit`, `cron`, `handOver`, `health`, `image`, `limits`, `pushToDeploy`, `ready`, `registry`, `release`, `replicas`, `restartPolicy`, `restartedAfter`, `sleep`, `start`, `stopped`, `variables`

1 problem
"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_told_in_words() {
    assert_eq!(
        rendered(&with_service("replicas: three")),
        "\
error[wrong-type]: `replicas`: expected a whole number, or a map of regions to whole numbers, found text
 --> production/extra.yaml:5:3
  |
5 |   replicas: three
  |   ^^^^^^^^

1 problem
"
    );
}

#[test]
fn an_overlay_without_a_namesake_names_the_nearest() {
    assert_eq!(
        rendered(&with(&service("wroker, from: base", "replicas: 2"))),
        "\
error[no-namesake]: Service/wroker is laid over the base, and `base` holds no Service/wroker
 --> production/extra.yaml:3:13
  |
3 | metadata: { name: wroker, from: base }
  |             ^^^^
  |
  = help: did you mean `worker`?

1 problem
"
    );
}

#[test]
fn a_namesake_without_from_base_shows_both_places() {
    assert_eq!(
        rendered(&with(&service("web", "replicas: 2"))),
        "\
error[namesake]: Service/web is in the base, too
 --> production/extra.yaml:3:13
  |
3 | metadata: { name: web }
  |             ^^^^
 ::: base/app.yaml:3
  |
3 | metadata: { name: web }
  | -------- in the base
  |
  = help: write `from: base` beside its name to lay it over that one, or give it another name

1 problem
"
    );
}

#[test]
fn a_broken_value_laid_over_a_good_one_shows_what_it_covers() {
    assert_eq!(
        rendered(&with(&service("web, from: base", "replicas: 99"))),
        "\
error[range]: `replicas`: expected at most 50
 --> production/extra.yaml:5:3
  |
5 |   replicas: 99
  |   ^^^^^^^^
 ::: base/app.yaml:6
  |
6 |   replicas: 1
  |   -------- it lies over this

1 problem
"
    );
}

#[test]
fn an_excerpt_of_variables_shows_keys_only() {
    assert_eq!(
        rendered(&with_service(
            "variables:\n  GOOD: hunter2\n  A: { from: { secrt: hunter3 }, sealed: true }   # hunter4"
        )),
        "\
error[unknown-field]: unknown field `secrt`, did you mean `secret`?
 --> production/extra.yaml:7:18
  |
7 |     A: { from: { secrt: *** }, sealed: ***
  |                  ^^^^^

1 problem
"
    );
}

#[test]
fn broken_yaml_is_shown_without_its_values() {
    assert_eq!(
        rendered(&with("spec:\n  variables:\n    A: \"hunter2\n")),
        "\
error[yaml]: a quoted text is not closed
 --> production/extra.yaml:3:8
  |
3 |     A: ***
  |        ^^^
  |
  = help: add the closing quote

1 problem
"
    );
}

#[test]
fn a_key_written_twice_shows_the_first() {
    assert_eq!(
        rendered(&with_service("replicas: 1\nreplicas: 2")),
        "\
error[duplicate-key]: the key `replicas` is written twice
 --> production/extra.yaml:6:3
  |
6 |   replicas: 2
  |   ^^^^^^^^
 ::: production/extra.yaml:5
  |
5 |   replicas: 1
  |   -------- first written here
  |
  = help: keep one of them

1 problem
"
    );
}

#[test]
fn a_problem_of_a_directory_has_no_excerpt() {
    assert_eq!(
        rendered(&files(&[("production/release.yaml", RELEASE)])),
        "\
error[no-environment]: no manifest here is of `kind: Environment`
--> production
 = help: add one: it says which Railway environment the directory describes (`reconciler explain environment`)

1 problem
"
    );
}

#[test]
fn github_annotations_are_escaped() {
    let files = files(&[
        ("production/a,b:c.yaml", &service("web", "port%: 1")),
        (
            "production/environment.yaml",
            &ENVIRONMENT.replace("  base: ../base\n", ""),
        ),
    ]);

    assert_eq!(
        manifest::annotations(&problems(&files)),
        "::error file=production/a%2Cb%3Ac.yaml,line=5,col=3,title=unknown-field::unknown field `port%25`%0Aknown here: `beforeDeploy`, `commit`, `cron`, `handOver`, `health`, `image`, `limits`, `pushToDeploy`, `ready`, `registry`, `release`, `replicas`, `restartPolicy`, `restartedAfter`, `sleep`, `start`, `stopped`, `variables`\n"
    );
}

#[test]
fn problems_are_json_for_machines() {
    let json: serde_json::Value =
        serde_json::from_str(&manifest::json(&problems(&with_service("replica: 3"))))
            .expect("it is JSON");

    assert_eq!(
        json,
        serde_json::json!([{ "file": "production/extra.yaml", "line": 5, "column": 3, "code": "unknown-field", "message": "unknown field `replica`, did you mean `replicas`?" }])
    );
}

#[test]
fn every_rule_of_a_spec_has_its_words() {
    let cases = [
        (
            "replicas:",
            "[no-value] `replicas` has no value; write a value, or leave the line out: what is not written is not managed",
        ),
        (
            "replicas: {}",
            "[length] `replicas`: needs at least one entry",
        ),
        ("replicas: 0", "[range] `replicas`: expected at least 1"),
        ("replicas: 51", "[range] `replicas`: expected at most 50"),
        (
            "replicas: 2.5",
            "[wrong-type] `replicas`: expected a whole number, or a map of regions to whole numbers, found a decimal number",
        ),
        (
            "replicas: { a: many }",
            "[wrong-type] `a`: expected a whole number, found text",
        ),
        (
            "replicas: { a: 30, b: 30 }",
            "[range] `replicas`: 60 in all regions together, expected at most 50",
        ),
        (
            "release: 1",
            "[wrong-type] `release`: expected text, found a number",
        ),
        (
            "release: ap",
            "[unknown-release] there is no Release `ap`; did you mean `app`?",
        ),
        (
            "release: other",
            "[unknown-release] there is no Release `other`; known releases: `app`",
        ),
        ("image: \"\"", "[length] `image`: must not be empty"),
        (
            "image: a b",
            "[format] `image`: expected an image reference such as `ghcr.io/owner/app:1.4.2`",
        ),
        (
            "commit: 4f2a91c",
            "[format] `commit`: expected a full commit id of 40 hexadecimal digits",
        ),
        (
            "ready: { within: 1m }",
            "[missing-field] `ready`: missing field `path`; `reconciler explain service.ready` shows all of its fields",
        ),
        (
            "ready: { pth: / }",
            "[unknown-field] unknown field `pth`, did you mean `path`?",
        ),
        (
            "ready: { path: live }",
            "[format] `path`: expected a path that begins with `/`",
        ),
        (
            "ready: { path: /, within: 90 }",
            "[wrong-type] `within`: expected a duration such as `90s`, `2m`, `4h` or `30d`, found a number",
        ),
        (
            "ready: { path: /, within: soon }",
            "[format] `within`: expected a duration such as `90s`, `2m`, `4h` or `30d`",
        ),
        (
            "ready: { path: /, within: 99999999999999999999999s }",
            "[format] `within`: expected a duration such as `90s`, `2m`, `4h` or `30d`",
        ),
        (
            "ready: [1]",
            "[wrong-type] `ready`: expected `{ path, within }`, or `{ absent: true }`, found a list",
        ),
        (
            "start: [node]",
            "[wrong-type] `start`: expected a command, or `{ absent: true }`, found a list",
        ),
        ("start: \"\"", "[length] `start`: must not be empty"),
        (
            "start: { absent: false }",
            "[value] `absent`: expected `true`",
        ),
        (
            "restartPolicy: sometimes",
            "[value] `restartPolicy`: expected one of `always`, `never`, `onFailure`",
        ),
        (
            "restartPolicy: { onFailure: 0 }",
            "[range] `onFailure`: expected at least 1",
        ),
        (
            "restartPolicy: { onFailures: 3 }",
            "[unknown-field] unknown field `onFailures`, did you mean `onFailure`?",
        ),
        (
            "cron: every day",
            "[format] `cron`: expected five fields in UTC such as `*/15 * * * *`: minute, hour, day, month, weekday",
        ),
        (
            "cron: \"0 0 3 * * *\"",
            "[format] `cron`: expected five fields in UTC such as `*/15 * * * *`: minute, hour, day, month, weekday",
        ),
        (
            "sleep: sometimes",
            "[wrong-type] `sleep`: expected `true` or `false`, found text",
        ),
        (
            "handOver: { overlap: 10 }",
            "[wrong-type] `overlap`: expected a duration such as `90s`, `2m`, `4h` or `30d`, found a number",
        ),
        (
            "limits: { memory: 2G }",
            "[format] `memory`: expected a size such as `512MiB` or `2GiB`",
        ),
        ("limits: { cpu: 100 }", "[range] `cpu`: expected at most 64"),
        (
            "limits: { disk: 1GiB }",
            "[unknown-field] unknown field `disk`; known here: `cpu`, `memory`",
        ),
        (
            "registry: { username: deploy }",
            "[missing-field] `registry`: missing field `password`; `reconciler explain service.registry` shows all of its fields",
        ),
        (
            "registry: { username: deploy, password: hunter2 }",
            "[wrong-type] `password`: expected a map, found text",
        ),
        (
            "pushToDeploy: main",
            "[wrong-type] `pushToDeploy`: expected `true` or `false`, found text",
        ),
        (
            "restartedAfter: yesterday",
            "[format] `restartedAfter`: expected a time with a zone such as `2026-11-23T03:05:00Z`",
        ),
        (
            "restartedAfter: 2026-02-31T00:00:00Z",
            "[format] `restartedAfter`: expected a time with a zone such as `2026-11-23T03:05:00Z`",
        ),
        (
            "restartedAfter: 2026-12-23T00:00:00Z",
            "[far-ahead] `restartedAfter`: more than 7 days ahead; it says that something has happened at or after this time; a planned one can be at most 7 days ahead",
        ),
        (
            "variables: [A]",
            "[wrong-type] `variables`: expected a map, found a list",
        ),
        (
            "variables: { A-B: 1 }",
            "[variable-name] `A-B` cannot be the name of a variable; letters, digits and `_`; the first is not a digit",
        ),
        (
            "variables: { A: 1.10 }",
            "[decimal-number] `A`: a decimal number needs quotes; without them `1.10` would be `1.1`",
        ),
        (
            "variables: { A: 9999999999999999999 }",
            "[decimal-number] `A`: the number is too large; write it in quotes where text is meant",
        ),
        (
            "variables: { A: }",
            "[no-value] `A` has no value; write a value, or leave the line out: what is not written is not managed",
        ),
        (
            "variables: { A: [x] }",
            "[wrong-type] `A`: expected text, a whole number, true or false, `{ from: { secret: NAME } }` or `{ absent: true }`, found a list",
        ),
        (
            "variables: { A: {} }",
            "[wrong-type] `A`: expected text, a whole number, true or false, `{ from: { secret: NAME } }` or `{ absent: true }`, found an empty map",
        ),
        (
            "variables: { A: { absent: false } }",
            "[value] `absent`: expected `true`",
        ),
        (
            "variables: { A: { form: { secret: X } } }",
            "[unknown-field] unknown field `form`, did you mean `from`?",
        ),
        (
            "variables: { A: { from: x } }",
            "[wrong-type] `from`: expected a map, found text",
        ),
        (
            "variables: { A: { from: { secret: x } } }",
            "[format] `secret`: expected the name of a secret in upper case, such as `STRIPE_KEY`",
        ),
        (
            "variables: { A: { from: { secret: X }, hunter2: 1 } }",
            "[unknown-field] `A`: a field that is not known here; expected text, `{ from: { secret: NAME } }` or `{ absent: true }`",
        ),
        (
            "variables: { A: { from: { secret: X }, sealed: maybe } }",
            "[wrong-type] `sealed`: expected `true` or `false`, found text",
        ),
        (
            "variables: { A: { from: { secret: X }, rotatedAfter: 2027-01-01T00:00:00Z } }",
            "[far-ahead] `rotatedAfter`: more than 7 days ahead; it says that something has happened at or after this time; a planned one can be at most 7 days ahead",
        ),
        (
            "variables: { A: \"\" }",
            "[empty-value] `A`: an empty value cannot be told from a masked one at Railway; write `{ absent: true }`, or leave it out",
        ),
        (
            "variables: { RAILWAY_TOKEN: x }",
            "[reserved-variable] `RAILWAY_TOKEN`: Railway sets this variable itself; of the names that begin with `RAILWAY_` only these can be set: RAILWAY_RUN_UID, RAILWAY_DOCKERFILE_PATH, RAILWAY_HEALTHCHECK_TIMEOUT_SEC, RAILWAY_DEPLOYMENT_OVERLAP_SECONDS, RAILWAY_DEPLOYMENT_DRAINING_SECONDS, RAILWAY_SHM_SIZE_BYTES",
        ),
        (
            "variables: { RAILWAY_RUN_UIDS: x }",
            "[reserved-variable] `RAILWAY_RUN_UIDS`: Railway sets this variable itself; did you mean `RAILWAY_RUN_UID`?",
        ),
        (
            "replicas: 0x3",
            "[odd-number] a number is written with digits only; put it in quotes where text is meant",
        ),
        (
            "variables: { A: True }",
            "[odd-boolean] `true` and `false` are written in lower case; put it in quotes where text is meant",
        ),
        (
            "variables: { A: !!str 5 }",
            "[yaml-tag] tags such as `!!str` are not allowed; quote text that looks like something else",
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(
            brief(&with_service(spec)),
            [format!("production/extra.yaml:5 {expected}")],
            "{spec}"
        );
    }
}

#[test]
fn two_sources_are_one_too_many() {
    assert_brief(
        &with_service("release: app\nimage: x"),
        &[
            "production/extra.yaml:6 [two-sources] `image` and `release` both say what Service/api runs; keep one of them (production/extra.yaml:5 the other one)",
        ],
    );
}

#[test]
fn the_time_of_the_health_check_has_one_owner() {
    assert_brief(
        &with_service(
            "ready: { path: /, within: 1m }\nvariables: { RAILWAY_HEALTHCHECK_TIMEOUT_SEC: 60 }",
        ),
        &[
            "production/extra.yaml:6 [two-owners] `RAILWAY_HEALTHCHECK_TIMEOUT_SEC` and `ready.within` say the same thing; keep `ready.within` (production/extra.yaml:5 the other one)",
        ],
    );
    good(&with_service(
        "ready: { path: / }\nvariables: { RAILWAY_HEALTHCHECK_TIMEOUT_SEC: 60, RAILWAY_RUN_UID: 0 }",
    ));
}

#[test]
fn a_secret_needs_a_prefix_in_the_environment() {
    let environment = ENVIRONMENT
        .replace("  base: ../base\n", "")
        .replace("  secrets: { prefix: PRODUCTION_ }\n", "");
    let files = files(&[
        (
            "production/a.yaml",
            &service("web", "variables: { A: { from: { secret: X } } }"),
        ),
        ("production/environment.yaml", &environment),
    ]);

    assert_brief(
        &files,
        &[
            "production/a.yaml:5 [no-secrets] `A`: the environment lets no secret be reached; write `secrets: { prefix: … }` in the spec of the Environment (production/environment.yaml:4 without `secrets.prefix`)",
        ],
    );
}

#[test]
fn heads_of_documents_have_their_words() {
    let head =
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: api }\nspec: {}\n";
    let known = "known kinds: `Environment`, `Release`, `Service`, `Maintenance`, `Queue`, `Redis`, `Approval`";
    let cases = [
        (head.replace("Service", "Servce"), "2 [unknown-kind] unknown kind `Servce`, did you mean `Service`?".to_owned()),
        (head.replace("Service", "Deployment"), format!("2 [unknown-kind] unknown kind `Deployment`; {known}")),
        (head.replace("Service", "Drill"), format!("2 [unsupported-kind] kind `Drill` is not supported by this version; {known}")),
        (head.replace("Service", "[x]"), format!("2 [wrong-type] `kind`: expected the name of a kind, found a list; {known}")),
        (head.replace("kind: Service\n", ""), format!("1 [missing-field] missing field `kind`; {known}")),
        (head.replace("v1alpha1", "v2"), "1 [api-version] this version of the language is not known; write `apiVersion: reconciler/v1alpha1`".to_owned()),
        (head.replace("apiVersion: reconciler/v1alpha1\n", ""), "1 [missing-field] missing field `apiVersion`; write `apiVersion: reconciler/v1alpha1`".to_owned()),
        (head.replace("metadata: { name: api }\n", ""), "1 [missing-field] missing field `metadata`; write `metadata: { name: … }`".to_owned()),
        (head.replace("{ name: api }", "api"), "3 [wrong-type] `metadata`: expected a map, found text; write `metadata: { name: … }`".to_owned()),
        (head.replace("{ name: api }", "{}"), "3 [missing-field] missing field `name`; write `metadata: { name: … }`".to_owned()),
        (head.replace("name: api", "name: 7"), "3 [wrong-type] `name`: expected text, found a number; put it in quotes where it looks like something else".to_owned()),
        (head.replace("name: api", "name: a b"), "3 [name] `name`: this cannot be a name; letters, digits, `.`, `_` and `-`, at most 63, the first a letter or a digit".to_owned()),
        (head.replace("name: api", "nme: api"), "3 [unknown-field] unknown field `nme`, did you mean `name`?".to_owned()),
        (head.replace("name: api", "name: web, from: bsae"), "3 [from] `from`: a document can only be laid over one of the base; write `from: base`".to_owned()),
        (head.replace("name: api", "name: web, frm: base"), "3 [unknown-field] unknown field `frm`, did you mean `from`?".to_owned()),
        (head.replace("spec: {}\n", ""), "1 [missing-field] missing field `spec`; write `spec: {}` to declare nothing but the name".to_owned()),
        (head.replace("spec:", "specs:"), "4 [unknown-field] unknown field `specs`, did you mean `spec`?".to_owned()),
        (head.replace("{}", "x"), "4 [wrong-type] `spec`: expected a map, found text".to_owned()),
        (head.replace("{}", ""), "4 [no-value] `spec` has no value; write a value, or leave the line out: what is not written is not managed".to_owned()),
        ("hello\n".to_owned(), "1 [not-a-map] a document must be a map, this is text; write `apiVersion`, `kind`, `metadata` and `spec`".to_owned()),
        ("- 1\n".to_owned(), "1 [not-a-map] a document must be a map, this is a list; write `apiVersion`, `kind`, `metadata` and `spec`".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(
            brief(&with(&text)),
            [format!("production/extra.yaml:{expected}")],
            "{text}"
        );
    }
}

#[test]
fn relations_between_documents_have_their_words() {
    let twice = format!(
        "{}---\n{}",
        service("api", "image: a"),
        service("api", "image: b")
    );
    assert_brief(
        &with(&twice),
        &[
            "production/extra.yaml:9 [duplicate] Service/api is declared twice; put everything about it in one document (production/extra.yaml:3 first declared here)",
        ],
    );

    let twice = format!(
        "{}---\n{}",
        service("web, from: base", "replicas: 2"),
        service("web, from: base", "replicas: 3")
    );
    assert_brief(
        &with(&twice),
        &[
            "production/extra.yaml:9 [two-overlays] Service/web is laid over the base twice; put everything about it in one document (production/extra.yaml:3 first declared here)",
        ],
    );

    let cased = format!(
        "{}---\n{}",
        service("api", "image: a"),
        service("API", "image: b")
    );
    assert_brief(
        &with(&cased),
        &[
            "production/extra.yaml:9 [name] Service/API and Service/api differ only in upper and lower case; give one of them another name (production/extra.yaml:3 the other one)",
        ],
    );

    assert_brief(
        &with(&ENVIRONMENT.replace("name: production", "name: second")),
        &[
            "production/extra.yaml:3 [two-environments] a directory describes one environment, and Environment/second is a second; give each environment a directory of its own (production/environment.yaml:3 the first)",
        ],
    );

    let empty = RELEASE
        .replace("{ image: \"ghcr.io/owner/app:1.4.2\" }", "{}")
        .replace("name: app", "name: empty");
    assert_brief(
        &with(&empty),
        &[
            "production/extra.yaml:4 [missing-field] Release/empty has neither `image` nor `commit`; write the `image` that its services run, or the `commit` that they are built from",
        ],
    );

    assert_brief(
        &with(&service("fresh, from: base", "image: x")),
        &[
            "production/extra.yaml:3 [no-namesake] Service/fresh is laid over the base, and `base` holds no Service/fresh; take `from: base` away to declare something new",
        ],
    );
}

#[test]
fn a_base_has_its_words() {
    let with_base = |base: &str, shared: &str| {
        files(&[
            ("base/app.yaml", shared),
            (
                "production/environment.yaml",
                &ENVIRONMENT.replace("../base", base),
            ),
            ("production/release.yaml", RELEASE),
        ])
    };
    assert_brief(
        &with_base("../bas", BASE),
        &[
            "production/environment.yaml:5 [base] `base`: `bas` holds no manifests; the path is relative to the directory of this file, and one level deep",
        ],
    );
    assert_brief(
        &with_base(".", BASE),
        &[
            "production/environment.yaml:5 [base] `base`: this is the directory of the environment itself; write `base: ../base`",
        ],
    );
    assert_brief(
        &with_base("/etc", BASE),
        &[
            "production/environment.yaml:5 [base] `base`: expected a directory relative to this one; write `base: ../base`",
        ],
    );
    assert_brief(
        &with_base("7", BASE),
        &[
            "production/environment.yaml:5 [base] `base`: expected a directory relative to this one; write `base: ../base`",
            "production/environment.yaml:5 [wrong-type] `base`: expected a directory, or `{ path, without }`, found a number",
        ],
    );
    assert_brief(
        &with_base("{ path: ../base, without: [Service/wroker] }", BASE),
        &[
            "production/environment.yaml:5 [without] `without`: the base holds no `Service/wroker`; did you mean `Service/worker`?",
        ],
    );
    let shared = format!("{BASE}---\n{ENVIRONMENT}");
    assert_brief(
        &with_base("../base", &shared),
        &[
            "base/app.yaml:20 [not-shared] Environment/production cannot be shared: it is about one environment; move it to the directory of the environment that it is about",
        ],
    );
    let shared = format!("{BASE}---\n{}", service("x, from: base", "image: x"));
    assert_brief(
        &with_base("../base", &shared),
        &[
            "base/app.yaml:20 [from] Service/x is in the base and cannot be laid over it; take `from: base` away, or move the document to an environment",
        ],
    );
    let left_out = files(&[
        ("base/app.yaml", BASE),
        (
            "production/environment.yaml",
            &ENVIRONMENT.replace("../base", "{ path: ../base, without: [Service/web] }"),
        ),
        ("production/release.yaml", RELEASE),
        (
            "production/sizes.yaml",
            &service("web, from: base", "replicas: 2"),
        ),
    ]);
    assert_brief(
        &left_out,
        &[
            "production/sizes.yaml:3 [no-namesake] Service/web is laid over a document that `without` leaves out; take `from: base` away, or the entry of `without`",
        ],
    );
    let alone = files(&[
        (
            "production/environment.yaml",
            &ENVIRONMENT.replace("  base: ../base\n", ""),
        ),
        (
            "production/sizes.yaml",
            &service("web, from: base", "replicas: 2"),
        ),
    ]);
    assert_brief(
        &alone,
        &[
            "production/sizes.yaml:3 [no-namesake] Service/web is laid over the base, and the environment has none; write `base: ../base` in the spec of the Environment, or take `from: base` away",
        ],
    );
}

#[test]
fn one_typing_error_is_one_problem() {
    let broken_release = RELEASE.replace("image:", "imag:");
    let broken = files(&[
        ("base/app.yaml", BASE),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/release.yaml", &broken_release),
    ]);
    assert_brief(
        &broken,
        &["production/release.yaml:4 [unknown-field] unknown field `imag`, did you mean `image`?"],
    );

    let mistyped = RELEASE.replace("Release", "Relase");
    let mistyped = files(&[
        ("base/app.yaml", BASE),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/release.yaml", &mistyped),
    ]);
    assert_brief(
        &mistyped,
        &[
            "production/release.yaml:2 [unknown-kind] unknown kind `Relase`, did you mean `Release`?",
        ],
    );

    let unreadable = files(&[
        ("base/app.yaml", BASE),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/release.yaml", "{"),
    ]);
    assert_eq!(brief(&unreadable).len(), 1);

    let environment = files(&[
        ("base/app.yaml", BASE),
        (
            "production/environment.yaml",
            &ENVIRONMENT.replace("railway", "railwy"),
        ),
        ("production/release.yaml", RELEASE),
    ]);
    assert_brief(
        &environment,
        &[
            "production/environment.yaml:6 [unknown-field] unknown field `railwy`, did you mean `railway`?",
        ],
    );

    let base = BASE.replace("replicas: 1", "replica: 1");
    let base = files(&[
        ("base/app.yaml", &base),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/release.yaml", RELEASE),
        (
            "production/sizes.yaml",
            &service("web, from: base", "variables: { X: y }"),
        ),
    ]);
    assert_brief(
        &base,
        &["base/app.yaml:6 [unknown-field] unknown field `replica`, did you mean `replicas`?"],
    );
}

#[test]
fn text_that_is_no_yaml_is_told_in_words() {
    let cases = [
        ("a: &x [1]\n", 1, "yaml-alias"),
        ("a: *x\n", 1, "yaml-alias"),
        ("<<: { a: 1 }\n", 1, "yaml-merge-key"),
        ("a: !foo x\n", 1, "yaml-tag"),
        ("a: !!binary aGk=\n", 1, "yaml-tag"),
        ("a:\n\tb: 1\n", 2, "yaml-tab"),
        ("a: b: c\n", 1, "yaml"),
        ("a: [1, 2\n", 1, "yaml"),
        ("a: }\n", 1, "yaml"),
        ("a: \"\\q\"\n", 1, "yaml"),
        ("a: \"b\" c\n", 1, "yaml"),
        ("a: 1\n b: 2\n", 2, "yaml"),
        ("- a\nb: 1\n", 2, "yaml"),
        ("a: @x\n", 1, "yaml"),
        ("a: - b\n", 1, "yaml"),
        ("? [a]\n: b\n", 1, "yaml"),
        ("~: x\n", 1, "yaml"),
        ("a: 1\u{1b}[31m\n", 1, "control-character"),
        ("a: \u{202e}x\n", 1, "control-character"),
        ("a: 1\rb: 2\n", 1, "control-character"),
        ("a: 1\na: 2\n", 2, "duplicate-key"),
    ];
    for (text, line, code) in cases {
        let problems = problems(&with(text));
        assert!(
            problems
                .iter()
                .any(|problem| (problem.line, problem.code) == (line, code)
                    && problem.message != "this cannot be read as YAML"),
            "{text:?}: {problems:?}"
        );
    }
}

#[test]
fn a_hostile_file_costs_one_problem() {
    let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let cases = [
        ("x".repeat(10 * 1024 * 1024 - 4096), "too-large"),
        ("x".repeat(1024 * 1024 + 1), "too-large"),
        (bomb, "yaml-alias"),
        ("[".repeat(5000), "yaml-depth"),
        ("{a: ".repeat(5000), "yaml-depth"),
        ("- ".repeat(5000), "yaml-depth"),
        (
            (0..200).fold(String::new(), |text, n| {
                format!("{text}{}a:\n", " ".repeat(n))
            }),
            "yaml-depth",
        ),
        ("- 1\n".repeat(200_000), "too-large"),
    ];
    for (text, code) in cases {
        let codes: Vec<&str> = problems(&with(&text))
            .iter()
            .map(|problem| problem.code)
            .collect();
        assert_eq!(
            codes,
            [code],
            "{}",
            text.chars().take(40).collect::<String>()
        );
    }
    let documents = service("x", "image: x") + &"---\na: 1\n".repeat(12_000);
    assert!(
        problems(&with(&documents))
            .iter()
            .any(|problem| problem.code == "too-large")
    );
    let long = service("x", &format!("image: {}", "x".repeat(900_000)));
    assert!(rendered(&with(&long)).len() < 1_000);
}

#[test]
fn of_very_many_problems_the_first_are_shown() {
    let files = with(&format!("a: [{}]\n", "True,".repeat(20_000)));

    let shown = rendered(&files);

    assert!(
        shown.ends_with("20005 problems in 1 file, the first 200 are shown\n"),
        "{shown}"
    );
    assert!(shown.len() < 100_000);
}

#[test]
fn too_many_files_are_not_read() {
    let mut many = with("");
    for number in 0..2_000 {
        many.texts.insert(
            Arc::from(format!("production/{number}.yaml")),
            Arc::from("{"),
        );
    }
    assert_brief(
        &many,
        &[
            "production:0 [too-large] 2004 files are more than the 2000 that are read; name the directory of one environment, not one above it",
        ],
    );

    let mut large = with("");
    for number in 0..11 {
        large.texts.insert(
            Arc::from(format!("production/{number}.yaml")),
            Arc::from("#".repeat(1_000_000)),
        );
    }
    assert_brief(
        &large,
        &[
            "production:0 [too-large] the files are larger than 10 MiB together; name the directory of one environment, not one above it",
        ],
    );
}

#[test]
fn what_is_only_unusual_is_accepted() {
    good(&with(""));
    good(&with("---\n"));
    good(&with("---\n---\n...\n"));
    good(&with("# only a comment\n"));
    good(&with("null\n"));
    good(&with(&format!("\u{feff}{}", service("api", "image: x"))));
    good(&with(&service("api", "image: x").replace('\n', "\r\n")));
    good(&with(
        &service("api", "variables: { ÄÖÜ_: x }").replace("ÄÖÜ_", "A"),
    ));
    good(&with(&service("api", "variables: { A: \"日本語 🚀\" }")));
    good(&with(&service("api", "variables: {}")));
}

#[test]
fn words_that_other_parsers_turn_into_something_else_stay_text() {
    let desired = good(&with_service(
        "variables: { A: no, B: on, C: 0755, D: 1_000, E: 2026-11-23, F: 12:30, G: .inf, H: y }",
    ));

    let variables = &desired.documents().services["api"].spec.variables;
    for (name, text) in [
        ("A", "no"),
        ("B", "on"),
        ("C", "0755"),
        ("D", "1_000"),
        ("E", "2026-11-23"),
        ("F", "12:30"),
        ("H", "y"),
    ] {
        assert_eq!(variables[name], Variable::Text(text.to_owned()), "{name}");
    }
}

#[test]
fn null_anywhere_is_a_problem_and_never_a_panic() {
    let whole = service(
        "api",
        "image: x\nreplicas: 1\nready: { path: /, within: 1m }\nvariables: { A: b }",
    );
    for value in [
        "reconciler/v1alpha1",
        "Service",
        "{ name: api }",
        "api",
        "x",
        "1",
        "{ path: /, within: 1m }",
        "/",
        "1m",
        "{ A: b }",
        "b",
    ] {
        let text = whole.replacen(&format!(": {value}"), ": null", 1);
        assert!(!problems(&with(&text)).is_empty(), "{text}");
    }
}

#[test]
fn published_schemas_are_fresh() {
    for (name, schema) in manifest::all_schemas() {
        let path = format!("{}/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == schema,
            "{path} is out of date: write the output of `reconciler schema` there"
        );
    }
}

#[test]
fn editors_see_what_load_sees() {
    let schemas = manifest::all_schemas();
    let any: serde_json::Value =
        serde_json::from_str(&schemas["manifest.schema.json"]).expect("it is JSON");
    let any = jsonschema::options().build(&any).expect("it is a schema");
    let is_valid = |text: &str| {
        let document: serde_json::Value = serde_yaml::from_str(text).expect("it is YAML");
        let kind = document["kind"].as_str().unwrap_or_default();
        let own = manifest::schema_of(kind).map(|schema| {
            jsonschema::options()
                .build(&schema)
                .expect("it is a schema")
                .is_valid(&document)
        });
        assert!(
            own.is_none_or(|own| own == any.is_valid(&document)),
            "{text}"
        );
        any.is_valid(&document)
    };

    assert!(is_valid(ENVIRONMENT));
    assert!(is_valid(RELEASE));
    assert!(is_valid(&service(
        "web",
        "ready: { path: /, within: 1m }\nvariables: { A: 1 }"
    )));
    assert!(is_valid(&service(
        "web, from: base",
        "ready: { within: 1m }\nreplicas: null\nvariables: { A: null }"
    )));
    assert!(!is_valid(&service("web", "ready: { within: 1m }")));
    assert!(!is_valid(&service("web", "replicas: null")));
    assert!(!is_valid(&service(
        "web, from: base",
        "redy: { within: 1m }"
    )));
    assert!(!is_valid(&service(
        "web, from: base",
        "ready: { within: 1 }"
    )));
    assert!(!is_valid(
        &ENVIRONMENT.replace("name: production", "name: production, from: base")
    ));
    assert!(!is_valid(&RELEASE.replace("v1alpha1", "v1")));
    assert!(!is_valid(&RELEASE.replace("Release", "Relase")));
}

#[test]
fn explain_knows_every_field_of_every_kind() {
    let text = manifest::explain("service.ready", 110).expect("it is a field");
    assert_eq!(
        text,
        "\
service.ready
  The health check that Railway makes while it deploys. It must answer 200 without the database, too.

TYPE      `{ path, within }`, or `{ absent: true }`

FIELDS
  path (text, required)
      The path that must answer 200
  within (a duration)
      How long it may take until it does; 5m unless said otherwise
  absent (true or false, required)
      Always `true`

EXAMPLE
    ready: { path: /api/live, within: 2m }
"
    );
    for kind in [
        "environment",
        "release",
        "service",
        "maintenance",
        "queue",
        "approval",
    ] {
        let text = manifest::explain(kind, 100).expect("it is a kind");
        let fields = text.lines().filter(|line| {
            line.starts_with("  ") && line.ends_with(')') && !line.starts_with("   ")
        });
        for field in fields.filter_map(|line| line.trim().split(' ').next()) {
            let below = manifest::explain(&format!("{kind}.{field}"), 100).expect("it is a field");
            assert!(
                below.contains(&format!("EXAMPLE\n    {field}:")),
                "the example of {kind} does not show {field}"
            );
        }
    }
    assert!(
        manifest::explain("", 100)
            .expect("an overview")
            .contains("release")
    );
    assert!(manifest::explain("service.variables.ANY.from.secret", 100).is_ok());
    assert_eq!(
        manifest::explain("servce", 100).expect_err("no kind"),
        "there is no kind `servce`, did you mean `service`?"
    );
    assert_eq!(
        manifest::explain("service.redy", 100).expect_err("no field"),
        "`service` has no field `redy`, did you mean `ready`?"
    );
    assert_eq!(
        manifest::explain("service.ready.path.x", 100).expect_err("no field"),
        "`service.ready.path` has no field `x`: nothing is below it"
    );
    assert_eq!(
        manifest::explain("service.ready.zzzzzz", 100).expect_err("no field"),
        "`service.ready` has no field `zzzzzz`; there are `path`, `within`, `absent`"
    );
}

#[test]
fn the_examples_of_explain_are_good_manifests() {
    let texts: BTreeMap<Arc<str>, Arc<str>> = ["environment", "release", "service"]
        .into_iter()
        .map(|kind| {
            let text = manifest::explain(kind, 100).expect("it is a kind");
            let example = text
                .split_once("EXAMPLE\n")
                .map(|(_, example)| example)
                .unwrap_or_default();
            let example: String = example
                .lines()
                .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
                .collect();
            (
                Arc::from(format!("production/{kind}.yaml")),
                Arc::from(example),
            )
        })
        .collect();
    let mut files = Files {
        directory: "production".to_owned(),
        texts,
    };
    files
        .texts
        .insert(Arc::from("base/x.yaml"), Arc::from("# nothing\n"));

    assert_eq!(
        good(&files).documents().services["web"]
            .spec
            .variables
            .len(),
        3
    );
}

const CANARY: &str = "hunter2canary";

/// Every face of the problems of some files.
fn faces(files: &Files) -> Vec<String> {
    let problems = problems(files);
    vec![
        render(&problems, files),
        manifest::render(
            &problems,
            files,
            Style {
                color: true,
                width: 60,
            },
        ),
        manifest::annotations(&problems),
        manifest::json(&problems),
        format!("{problems:?}"),
    ]
}

#[test]
fn no_face_shows_a_value_of_a_variable() {
    let specs = [
        "variables: CANARY",
        "variables: [CANARY]",
        "variables: [{ CANARY: 1 }]",
        "variables: { A: [CANARY], B: 1.5 }",
        "variables: { A: { CANARY: 1 } }",
        "variables: { A: { CANARY: { x: y } } }",
        "variables: { A: { from: CANARY } }",
        "variables: { A: { from: { secret: CANARY } } }",
        "variables: { A: { from: { CANARY: X } } }",
        "variables: { A: { from: { secret: X, CANARY: X } } }",
        "variables: { A: { absent: CANARY } }",
        "variables: { A: { from: { secret: X }, sealed: CANARY, rotatedAfter: CANARY } }",
        "variables: { A: CANARY, A: CANARY }",
        "variables: { RAILWAY_X: CANARY }",
        "variables: { A-B: CANARY }",
        "variables: { A: CANARY, B: }",
        "variables:\n  A: |\n    CANARY\n  B:",
        "variables:\n  A: >-\n    x\n    CANARY: y\n  B: [1]\n",
        "variables:\n  A: \"x\n    CANARY\"\n  B:",
        "variables:\n  A: { # CANARY\n    x: CANARY }",
        "variables:\n  CANARY",
        "variables:\n  A: CANARY\n B: x",
        "variables:\n  A: \"CANARY",
        "variables:\n  A: CANARY: x",
        "variables:\n  A: @CANARY",
        "variables:\n  A: &CANARY x",
        "variables:\n  A: *CANARY",
        "variables:\n  A: !CANARY x",
        "variables:\n\tA: CANARY",
        "variables: { A: \"CANARY\\q\" }",
        "variables: { A: \u{1b}CANARY }",
        "variables: { A: CANARY",
        "variables: { A: True, B: CANARY } # CANARY",
        "password: CANARY",
        "apiToken: [CANARY]",
        "databaseUrl:\n  - CANARY",
        "start: [node --password=CANARY]",
        "start: [postgres://u:CANARY@host/db]",
        "variables:\n  A: x\n  ? [CANARY]\n  : y",
        "variables:\n  ? A\n  : [CANARY]\n",
    ];
    for spec in specs {
        let files = with_service(&spec.replace("CANARY", CANARY));
        for face in faces(&files) {
            assert!(!face.contains(CANARY), "{spec}\n{face}");
        }
        assert!(!problems(&files).is_empty(), "{spec}");
    }
}

#[test]
fn no_face_passes_a_control_character_on() {
    for odd in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}', '\u{2028}'] {
        let escaped = format!("\"\\U{:08x}[31mx\": 1", u32::from(odd));
        for files in [
            with_service(&escaped),
            with_service(&format!("x{odd}: 1")),
            with_service(&format!("image: {odd}\nx: {odd}")),
        ] {
            let problems = problems(&files);
            assert!(!problems.is_empty());
            let shown = [render(&problems, &files), manifest::annotations(&problems)].concat();
            assert!(!shown.contains(odd), "{shown:?}");
        }
    }
}

/// The numbers of Vigna's splitmix64: the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (bound.max(1) as u64)).unwrap_or(0)
    }
}

fn mutated(text: &str, chance: &mut Chance) -> String {
    const PIECES: &[&str] = &[
        "\n",
        "  ",
        "\t",
        ":",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "|",
        ">",
        "#",
        "&a ",
        "*a",
        "!t ",
        "!!str ",
        "<<: ",
        "---\n",
        "...\n",
        "null",
        "~",
        "1.5",
        "0x1",
        "-1",
        "\u{feff}",
        "\u{0}",
        "é",
        "🚀",
        "from: base",
        "metadata:",
        "spec:",
        "kind: Environment",
        "%",
        "@",
        "?",
        "\r",
        "999999999999999999999",
        "true",
        "name: web",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=chance.below(3) {
        let at = chance.below(chars.len() + 1);
        match chance.below(4) {
            0 => {
                let end = (at + chance.below(12)).min(chars.len());
                chars.drain(at..end);
            }
            1 => {
                let piece = PIECES[chance.below(PIECES.len())];
                chars.splice(at..at, piece.chars());
            }
            2 => {
                let from = chance.below(chars.len());
                let end = (from + chance.below(60)).min(chars.len());
                let copied: Vec<char> = chars[from..end].to_vec();
                chars.splice(at..at, copied);
            }
            _ => {
                if let Some(c) = chars.get_mut(at) {
                    *c = PIECES[chance.below(PIECES.len())]
                        .chars()
                        .next()
                        .unwrap_or('x');
                }
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn no_text_breaks_anything() {
    let overlay = "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: web, from: base }\nspec:\n  replicas: { us-west2: 2 }\n  restartedAfter: 2026-11-23T03:05:00Z\n  variables:\n    STRIPE_KEY: { from: { secret: STRIPE_KEY }, sealed: true }\n    A: |\n      some\n      text\n";
    let whole = [
        ("base/app.yaml", BASE),
        ("production/environment.yaml", ENVIRONMENT),
        ("production/release.yaml", RELEASE),
        ("production/sizes.yaml", overlay),
    ];
    let mut chance = Chance(20_261_123);
    for round in 0..3_000 {
        let mut texts: Vec<(&str, String)> = whole
            .iter()
            .map(|(path, text)| (*path, (*text).to_owned()))
            .collect();
        let victim = chance.below(texts.len());
        texts[victim].1 = mutated(&texts[victim].1, &mut chance);
        let borrowed: Vec<(&str, &str)> = texts
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let files = files(&borrowed);

        let problems = problems(&files);
        for problem in &problems {
            let lines = files
                .texts
                .get(problem.file.as_str())
                .map_or(0, |text| text.lines().count());
            assert!(
                problem.line as usize <= lines.max(1),
                "round {round}: {problem:?}\n{texts:?}"
            );
            assert!(
                !problem.message.chars().any(char::is_control),
                "round {round}: {problem:?}"
            );
        }
        if round % 20 == 0 {
            let _ = manifest::base_directory(&files);
            assert!(
                faces(&files).iter().all(|face| !face.contains('\0')),
                "round {round}"
            );
        }
    }
}
