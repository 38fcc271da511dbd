//! Canaries: secrets of every shape go in everywhere, and no form of them comes out anywhere.

use super::scene::{Ran, Scene, scene_of, until};
use super::server::{FAST, Meets};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sandbox::HandEdit;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const TOKEN: &str = "canary-token-7f3a9b2c-4d5e-6f70";

/// Shapes from 8 to beyond 64 characters.
const SHAPES: &[(&str, &str)] = &[
    ("EIGHT", "Cn8rx!q2"),
    ("QUOTES", "cnry\"in'quotes`and\\back-41"),
    ("UNICODE", "çañärÿ-🐤-ключ-77"),
    (
        "LINES",
        "-----BEGIN CANARY KEY-----\nMIIEcanarylineone1abcd\nMIIEcanarylinetwo2efgh\n-----END CANARY KEY-----",
    ),
    ("URL", "p@ss:c/n?r#y&d=%41 +w0rd"),
    ("BASE64", "Y2FuYXJ5LXNlY3JldC0wMQ=="),
    (
        "LONG",
        "c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77c0ffee88",
    ),
];

/// A value of its own for every place and shape.
fn canary(place: &str, shape: &str) -> String {
    format!("{place}{shape}")
}

/// Every form in which a value could come out.
pub fn forms(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value
        .bytes()
        .map(|byte| match byte {
            b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let json = Value::from(value).to_string();
    let mut forms = vec![
        value.to_owned(),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex.to_uppercase(),
        hex,
        percent.to_lowercase(),
        percent,
        json[1..json.len() - 1].to_owned(),
    ];
    let lines = value.lines().filter(|line| line.len() >= 12);
    forms.extend(lines.map(str::to_owned));
    forms
}

/// Every place where a secret lies, by a letter in front of the shape: live, sealed, shared, referenced.
const PLACES: &[&str] = &["L", "S", "H", "R"];

fn all_forms() -> BTreeSet<String> {
    let values = PLACES
        .iter()
        .flat_map(|place| SHAPES.iter().map(|(_, shape)| canary(place, shape)));
    values
        .chain([TOKEN.to_owned()])
        .flat_map(|value| forms(&value))
        .collect()
}

/// What a careless process prints: every value that its own environment tells it.
fn log_lines() -> Vec<String> {
    let told = ["L", "H", "R"];
    let shapes = SHAPES.iter();
    shapes
        .flat_map(|(name, shape)| {
            told.iter().flat_map(move |place| {
                let value = canary(place, shape);
                let text = format!(
                    "connecting with {name}={value} and {}",
                    STANDARD_NO_PAD.encode(&value)
                );
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
        })
        .collect()
}

/// Words of a server that repeats what it was sent or has stored.
fn careless_words() -> String {
    let told = ["L", "H", "R"];
    let values = SHAPES
        .iter()
        .flat_map(|(_, shape)| told.map(|place| canary(place, shape)));
    let values: Vec<String> = values.chain([TOKEN.to_owned()]).collect();
    format!("cannot store {}", values.join(" nor "))
}

fn seed() -> String {
    let variables = |place: &str, sealed: bool| -> serde_json::Map<String, Value> {
        let named = SHAPES.iter().map(|(name, shape)| {
            let value = json!({ "value": canary(place, shape), "sealed": sealed });
            (format!("{place}_{name}"), value)
        });
        named.collect()
    };
    let mut own = variables("L", false);
    own.extend(variables("S", true));
    let service = json!({ "image": "ghcr.io/canary/app:1", "replicas": 1, "variables": own });
    // One line a log: the product shows the last few, so that every image has one of its own.
    let images: serde_json::Map<String, Value> = log_lines()
        .chunks(4)
        .enumerate()
        .map(|(index, lines)| {
            (
                format!("ghcr.io/canary/app:bad{index}"),
                json!({ "outcome": "failed", "log": lines }),
            )
        })
        .collect();
    let seed = json!({
        "projects": { "canary": { "environments": { "production": { "shared": variables("H", false), "services": { "web": service } } } } },
        "images": images,
        "tokens": {
            (TOKEN): { "kind": "project", "project": "canary", "environment": "production" },
            "account-token": { "kind": "account" },
        },
    });
    // JSON is YAML, but for the one line that is added.
    let mut seed: serde_json::Map<String, Value> = serde_json::from_value(seed).unwrap();
    let fast = FAST.split_once(": ").unwrap().1;
    let fast = fast
        .trim()
        .trim_matches(['{', '}'])
        .split(", ")
        .map(|pair| {
            let (name, seconds) = pair.trim().split_once(": ").unwrap();
            (name.to_owned(), seconds.parse::<f64>().unwrap().into())
        });
    seed.insert("timings".to_owned(), Value::Object(fast.collect()));
    Value::Object(seed).to_string()
}

fn canaries() -> Scene {
    let mut scene = scene_of(&seed()).set("RAILWAY_TOKEN", TOKEN);
    for (name, shape) in SHAPES {
        scene = scene.set(&format!("PRODUCTION_{name}"), canary("R", shape));
    }
    fs::remove_dir_all(scene.path("production")).unwrap();
    scene.write(
        "production/environment.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec:\n  railway: { project: canary, environment: production }\n  secrets: { prefix: PRODUCTION_ }\n",
    );
    declare(&scene, "ghcr.io/canary/app:1");
    scene
}

/// Every live value is to change to a referenced one, some of them sealed.
fn declare(scene: &Scene, image: &str) {
    let mut text = format!(
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: web }}\nspec:\n  image: {image}\n  variables:\n"
    );
    for (name, _) in SHAPES {
        text.push_str(&format!("    L_{name}: {{ from: {{ secret: {name} }} }}\n"));
        text.push_str(&format!("    S_{name}: {{ from: {{ secret: {name} }}, sealed: true, rotatedAfter: 2026-01-01T00:00:00Z }}\n"));
        text.push_str(&format!(
            "    NEW_{name}: {{ from: {{ secret: {name} }}, sealed: true }}\n"
        ));
    }
    scene.write("production/web.yaml", text);
}

/// Everything that came out, with where.
struct Outputs {
    forms: BTreeSet<String>,
    searched: usize,
}

impl Outputs {
    #[track_caller]
    fn search(&mut self, text: &str, of: &str) {
        self.searched += 1;
        for form in &self.forms {
            assert!(!text.contains(form.as_str()), "{of} tells {form}:\n{text}");
        }
    }

    #[track_caller]
    fn run(&mut self, scene: &Scene, arguments: &[&str]) -> Ran {
        let mut last = None;
        for more in [
            &["--log", "debug"][..],
            &["--log", "trace", "--color", "always"],
        ] {
            let arguments = [more, arguments].concat();
            let ran = scene.run(&arguments);
            self.search(&ran.out, &format!("stdout of {arguments:?}"));
            self.search(&ran.err, &format!("stderr of {arguments:?}"));
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
            last = Some(ran);
        }
        last.unwrap()
    }

    fn run_all(&mut self, scene: &Scene) {
        for arguments in [
            &["validate", "production"][..],
            &["validate", "production", "-o", "json"],
            &["show", "production"],
            &["show", "production", "-o", "json"],
            &["diff", "production"],
            &["diff", "production", "-o", "json"],
            &["diff", "production", "-o", "markdown"],
            &["diff", "production", "--out", "plan.json"],
            &["diff", "production", "--untrusted", "--base", "production"],
            &["doctor", "production"],
            &["apply", "production"],
            &["explain", "service.variables"],
            &["schema", "Service"],
        ] {
            self.run(scene, arguments);
        }
        self.search(
            &fs::read_to_string(scene.path("plan.json")).unwrap_or_default(),
            "plan.json",
        );
    }
}

#[test]
fn no_form_of_a_secret_comes_out_of_any_command_in_any_output_even_when_all_goes_wrong() {
    let searches: [fn(&mut Outputs); 6] = [
        all_is_well,
        a_release_prints_its_secrets_while_it_fails,
        a_patch_cannot_be_applied_and_railway_tells_why,
        the_answer_to_a_write_repeats_them,
        the_answer_to_a_look_repeats_them,
        the_settings_are_wrong,
    ];

    let searched: usize = std::thread::scope(|scope| {
        let search = |search: fn(&mut Outputs)| {
            let mut outputs = Outputs {
                forms: all_forms(),
                searched: 0,
            };
            search(&mut outputs);
            outputs.searched
        };
        let running = searches.map(|one| scope.spawn(move || search(one)));
        running.into_iter().map(|one| one.join().unwrap()).sum()
    });

    println!(
        "\ncanaries: {searched} outputs searched for {} forms",
        all_forms().len()
    );
}

/// The process is looked at from outside, too, while it works.
fn all_is_well(outputs: &mut Outputs) {
    let scene = canaries();
    outputs.run_all(&scene);
    let mut child = scene.start(&["apply", "--yes", "plan.json"]);
    until("it asks", || scene.railway.arrived() > 0);
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    outputs.search(
        &String::from_utf8_lossy(&arguments),
        "the arguments of the process",
    );
    assert!(child.wait().unwrap().success());
    outputs
        .run(&scene, &["apply", "--yes", "production"])
        .exits(0);
    outputs.run_all(&scene);

    let view = scene.railway.sandbox.look();
    let stored = &view.service("production", "web").variables;
    for (name, shape) in SHAPES {
        let referenced = canary("R", shape);
        assert_eq!(
            stored[&format!("NEW_{name}")],
            referenced,
            "the value itself did arrive"
        );
        assert_eq!(stored[&format!("L_{name}")], referenced);
    }
    for message in &view.environment("production").patches {
        outputs.search(
            message.as_deref().unwrap_or_default(),
            "the history at Railway",
        );
    }
}

/// The environment still holds the live values then.
fn a_release_prints_its_secrets_while_it_fails(outputs: &mut Outputs) {
    for index in 0..log_lines().chunks(4).len() {
        let scene = canaries();
        scene.write(
            "production/web.yaml",
            format!(
                "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: web }}\nspec:\n  image: ghcr.io/canary/app:bad{index}\n  variables:\n{}",
                referring()
            ),
        );
        let failed = scene.run(&["apply", "--yes", "production"]).exits(6);
        outputs.search(&failed.out, "stdout of a failed release");
        outputs.search(&failed.err, "stderr of a failed release");
        failed.prints("connecting with").prints("***");
        for output in ["text", "json", "markdown"] {
            outputs.run(&scene, &["diff", "production", "-o", output]);
        }
        outputs.run(&scene, &["doctor", "production"]);
    }
}

fn a_patch_cannot_be_applied_and_railway_tells_why(outputs: &mut Outputs) {
    let scene = canaries();
    scene.railway.by_hand(HandEdit::FailNextPatch {
        environment: "production".to_owned(),
        error: careless_words(),
    });

    let apply = scene.run(&["--log", "debug", "apply", "--yes", "production"]);
    outputs.search(&apply.out, "stdout of a patch that cannot be applied");
    outputs.search(&apply.err, "stderr of a patch that cannot be applied");
    outputs.run_all(&scene);

    apply
        .exits(7)
        .prints("Railway could not apply it: cannot store ***");
}

fn the_answer_to_a_write_repeats_them(outputs: &mut Outputs) {
    for code in ["BAD_USER_INPUT", "INTERNAL_SERVER_ERROR", "UNAUTHENTICATED"] {
        let told = refusal(&careless_words(), code);
        let scene = canaries();
        scene.railway.guarded(move |_, body| {
            if body.contains("mutation Patch") {
                Meets::Words(200, "application/json", told.clone())
            } else {
                Meets::Sandbox
            }
        });

        let ran = outputs.run(&scene, &["apply", "--yes", "--timeout", "1s", "production"]);

        ran.says("***");
    }
}

/// No live value is known before the first look, so that only the token and the references are told.
fn the_answer_to_a_look_repeats_them(outputs: &mut Outputs) {
    let values = SHAPES.iter().map(|(_, shape)| canary("R", shape));
    let values: Vec<String> = values.chain([TOKEN.to_owned()]).collect();
    for code in ["BAD_USER_INPUT", "INTERNAL_SERVER_ERROR", "UNAUTHENTICATED"] {
        let told = refusal(&values.join(" "), code);
        let scene = canaries();
        scene
            .railway
            .guarded(move |_, _| Meets::Words(200, "application/json", told.clone()));

        outputs.run(&scene, &["diff", "production"]).says("***");
        outputs.run(&scene, &["doctor", "production"]).prints("***");
        outputs
            .run(&scene, &["apply", "--yes", "production"])
            .says("***");
    }
}

fn refusal(words: &str, code: &str) -> String {
    json!({ "data": null, "errors": [{ "message": words, "extensions": { "code": code } }] })
        .to_string()
}

/// The token is wrong, or not even fit to be sent; an address carries a password.
fn the_settings_are_wrong(outputs: &mut Outputs) {
    for (name, value) in [
        ("RAILWAY_TOKEN", canary("R", SHAPES[1].1)),
        ("RAILWAY_TOKEN", canary("R", SHAPES[3].1)),
        ("RAILWAY_TOKEN", canary("R", SHAPES[2].1)),
        (
            "RAILWAY_API_URL",
            format!("http://anna:{TOKEN}@127.0.0.1:9/graphql/v2"),
        ),
        (
            "RAILWAY_API_URL",
            format!("http://127.0.0.1:9/graphql/v2?key={TOKEN}"),
        ),
        ("RAILWAY_API_URL", format!("http//{TOKEN}")),
        ("http_proxy", format!("http://anna:{TOKEN}@127.0.0.1:9")),
        ("https_proxy", format!("http://anna:{TOKEN}@127.0.0.1:9")),
        ("RECONCILER_REQUEST_TIMEOUT", TOKEN.to_owned()),
    ] {
        let scene = canaries().set(name, value);
        outputs.run(&scene, &["diff", "production"]);
        outputs.run(&scene, &["doctor", "production"]);
    }
}

/// Variables that refer to every secret, so that a log may hold each of them.
fn referring() -> String {
    let lines = SHAPES
        .iter()
        .map(|(name, _)| format!("    N_{name}: {{ from: {{ secret: {name} }} }}\n"));
    lines.collect()
}
