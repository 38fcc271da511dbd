//! Import: what it writes asks for nothing, shows every change, and brings back what was lost.

use crate::wire::railway::{Line, URL, bearer};
use reconciler::clock::Clock;
use reconciler::import::{Chosen, files};
use reconciler::kinds::step::Ask;
use reconciler::manifest::{Desired, load};
use reconciler::plan::Plan;
use reconciler::plan::gate::Memory;
use reconciler::plan::text::{Look, text};
use reconciler::providers::address::Allowed;
use reconciler::providers::http::Transport;
use reconciler::providers::pages::Pages;
use reconciler::providers::railway::Client;
use reconciler::providers::{Outside, Scope, Secrets};
use reconciler::reconcile::{Looked, Pass, Watcher, until_in_step};
use reconciler::source::Files;
use reconciler::world::health::NOBODY_ASKS;
use reconciler::world::railway::Question;
use sandbox::{Faults, HandEdit, Sandbox, Seed, Switches};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// So many environments are generated.
const ENVIRONMENTS: u64 = 1_000;
/// Every so many of them, each importable field is changed and lost.
const EVERY: u64 = 20;

/// Chance from a seed, enough to draw environments.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// One environment as the sandbox's seed, and its settings in Railway's words.
fn environment(seed: u64) -> String {
    let chance = &mut Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut out = String::from(
        "projects:\n  shop:\n    environments:\n      production:\n        shared: { COMPANY: \"${{web.NAME}}\", PLAIN: secret-canary }\n        services:\n",
    );
    let names = ["web", "worker", "api", "nightly", "postgres"];
    let count = 1 + usize::try_from(chance.below(5)).unwrap();
    for name in &names[..count] {
        let _ = writeln!(out, "          {name}:");
        let is_built = chance.is(25);
        if is_built {
            let _ = writeln!(
                out,
                "            repo: shop/{name}\n            commit: {}\n            auto_deploy: {}",
                "a".repeat(40),
                chance.is(50)
            );
        } else {
            let image = chance.pick(&["ghcr.io/shop/app:1", "ghcr.io/shop/app:1", "redis:7.4.5"]);
            let _ = writeln!(out, "            image: {image}");
        }
        let deploy = deploy(chance);
        let has_one = deploy.get("cronSchedule").is_some();
        let _ = writeln!(out, "            deploy: {deploy}");
        let replicas = match chance.below(3) {
            _ if has_one => "{ us-west2: 1 }",
            0 => "{ us-west2: 1 }",
            1 => "{ us-west2: 3 }",
            _ => "{ us-west2: 1, europe-west4-drams3a: 2 }",
        };
        let _ = writeln!(out, "            replicas: {replicas}");
        let _ = writeln!(
            out,
            "            variables: {{ LOG_LEVEL: {}, REDIS_URL: \"redis://${{{{redis.HOST}}}}:6379\", KEY: {{ value: sealed-canary, sealed: true }}, TOKEN: secret-canary }}",
            chance.pick(&["info", "debug", "\"1.10\"", "\"yes\"", "a b"])
        );
    }
    let _ = writeln!(out, "tokens:\n  account-token: {{ kind: account }}");
    out
}

/// Settings that are not at their defaults, as Railway stores them.
fn deploy(chance: &mut Chance) -> Value {
    let mut deploy = json!({});
    let options: [(&str, Value); 9] = [
        ("startCommand", json!("node server.js")),
        ("preDeployCommand", json!(["npx prisma migrate deploy"])),
        ("healthcheckPath", json!("/live")),
        ("restartPolicyType", json!("NEVER")),
        ("cronSchedule", json!("0 3 * * *")),
        ("sleepApplication", json!(true)),
        ("overlapSeconds", json!(15)),
        ("drainingSeconds", json!(90)),
        (
            "limitOverride",
            json!({ "containers": { "cpu": 0.5, "memoryBytes": 536_870_912 } }),
        ),
    ];
    for (key, value) in options {
        // A service on a schedule does not sleep.
        let clashes = key == "sleepApplication" && deploy.get("cronSchedule").is_some();
        if chance.is(35) && !clashes {
            deploy[key] = value;
        }
    }
    if deploy.get("healthcheckPath").is_some() && chance.is(50) {
        deploy["healthcheckTimeout"] = json!(45);
    }
    deploy
}

fn sandboxed(seed: &str, number: u64) -> Sandbox {
    Sandbox::new(
        &Seed::parse(seed).unwrap(),
        Switches::drawn(number),
        Faults::none(),
        number,
    )
}

fn outside(sandbox: &Sandbox, clock: &Clock) -> Outside {
    let line: Arc<dyn Transport> = Arc::new(Line {
        sandbox: sandbox.clone(),
        lens: None,
    });
    Outside {
        railway: Client::new(
            Arc::clone(&line),
            URL,
            bearer("account-token"),
            clock.clone(),
        )
        .unwrap(),
        pages: Pages::new(line, Allowed::default(), None),
        redis: reconciler::providers::redis::Client::new(clock),
    }
}

fn scope() -> Scope {
    Scope {
        project: "shop".to_owned(),
        environment: "production".to_owned(),
    }
}

async fn imported(outside: &Outside) -> BTreeMap<String, String> {
    let mut seen = outside.railway.observe(&scope()).await.unwrap();
    for service in seen.services.keys().cloned().collect::<Vec<_>>() {
        outside
            .railway
            .answer(&mut seen, &Question::Push { service })
            .await;
    }
    files(&[seen], &Chosen::of(["LOG_LEVEL".to_owned()]))
}

fn desired(written: &BTreeMap<String, String>, clock: &Clock) -> Desired {
    let files = Files {
        directory: String::new(),
        texts: written
            .iter()
            .map(|(path, text)| (path.as_str().into(), text.as_str().into()))
            .collect(),
    };
    load(&files, clock.now()).unwrap_or_else(|problems| panic!("{written:#?}\n{problems:#?}"))
}

async fn plan(outside: &Outside, desired: &Desired, clock: &Clock) -> Plan {
    let pass = Pass {
        desired,
        provider: outside,
        secrets: &Secrets::new(),
        health: &NOBODY_ASKS,
        clock,
    };
    pass.look(&Memory::default()).await.unwrap().plan
}

fn shown(plan: &Plan) -> String {
    let look = Look {
        width: 200,
        color: false,
    };
    text(plan, look)
}

/// A runtime whose clock stands still until everybody waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn clock() -> Clock {
    Clock::counted("2026-11-23T02:00:00Z".parse().unwrap(), 1)
}

#[test]
fn a_diff_after_an_import_asks_for_nothing() {
    for number in 0..ENVIRONMENTS {
        run(async {
            let sandbox = sandboxed(&environment(number), number);
            tokio::time::sleep(Duration::from_secs(60)).await;
            let clock = clock();
            let outside = outside(&sandbox, &clock);

            let written = imported(&outside).await;
            let plan = plan(&outside, &desired(&written, &clock), &clock).await;

            assert!(
                plan.steps.is_empty(),
                "{number}\n{written:#?}\n{}",
                shown(&plan)
            );
            let all = format!("{written:?}");
            assert!(!all.contains("canary"), "{number}: {all}");
        });
    }
}

/// What can be changed at Railway, by the field of the manifest that shows it.
fn changes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "start",
            json!({ "deploy": { "startCommand": "node other.js" } }),
        ),
        (
            "beforeDeploy",
            json!({ "deploy": { "preDeployCommand": ["other"] } }),
        ),
        (
            "ready",
            json!({ "deploy": { "healthcheckPath": "/other" } }),
        ),
        (
            "restartPolicy",
            json!({ "deploy": { "restartPolicyType": "ALWAYS" } }),
        ),
        (
            "cron",
            json!({ "deploy": { "cronSchedule": "30 4 * * *" } }),
        ),
        ("sleep", json!({ "deploy": { "sleepApplication": false } })),
        ("handOver", json!({ "deploy": { "drainingSeconds": 7 } })),
        (
            "limits",
            json!({ "deploy": { "limitOverride": { "containers": { "memoryBytes": 1_073_741_824 } } } }),
        ),
        (
            "replicas",
            json!({ "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 2 } } } }),
        ),
        (
            "LOG_LEVEL",
            json!({ "variables": { "LOG_LEVEL": { "value": "error" } } }),
        ),
        ("REDIS_URL", json!({ "variables": { "REDIS_URL": null } })),
        (
            "image",
            json!({ "source": { "image": "ghcr.io/shop/other:9" } }),
        ),
    ]
}

#[test]
fn a_diff_names_every_importable_field_that_was_changed_and_an_apply_brings_it_back() {
    let mut compared = 0;
    for number in (0..ENVIRONMENTS).step_by(usize::try_from(EVERY).unwrap()) {
        for (field, part) in changes() {
            run(async {
                let sandbox = sandboxed(&environment(number), number);
                tokio::time::sleep(Duration::from_secs(60)).await;
                let clock = clock();
                let outside = outside(&sandbox, &clock);
                let written = imported(&outside).await;
                let services = &written["services.yaml"];
                let word = if field == "image" { "release" } else { field };
                let is_imported = services.contains(&format!("  {field}: "))
                    || services.contains(&format!("{{ {field}: "))
                    || services.contains(&format!("  {word}: "));
                let before = sandbox.look().service("production", "web").clone();
                let runs_image = before.config["source"]["image"].is_string();
                // Only what `web` has is changed.
                let web = desired(&written, &clock).documents().services["web"]
                    .document
                    .to_json();
                let spec = &web["spec"];
                let has = !spec[field].is_null()
                    || !spec["variables"][field].is_null()
                    || field == "image" && runs_image;
                // A service on a schedule has one replica, and it can only move.
                let part = match field {
                    "replicas" if !spec["cron"].is_null() => {
                        json!({ "deploy": { "multiRegionConfig": { "us-west2": null, "europe-west4-drams3a": { "numReplicas": 1 } } } })
                    }
                    _ => part,
                };
                if !is_imported || !has {
                    return;
                }
                sandbox.by_hand(HandEdit::Patch {
                    environment: "production".to_owned(),
                    patch: json!({ "services": { "web": part } }),
                    deploy: true,
                });
                tokio::time::sleep(Duration::from_secs(60)).await;

                let desired = desired(&written, &clock);
                let found = plan(&outside, &desired, &clock).await;
                let names_it = found.steps.iter().any(|step| {
                    step.of.name == "web"
                        && step.field == field
                        && !matches!(step.ask, Ask::Told(_))
                });
                assert!(
                    names_it,
                    "{number}: {field}\n{written:#?}\n{}",
                    shown(&found)
                );

                apply(&outside, &desired, &clock).await;
                let after = sandbox.look().service("production", "web").clone();
                for part in ["source", "deploy", "variables"] {
                    let plain = |view: &sandbox::ServiceView| comparable(&view.config[part]);
                    assert_eq!(plain(&before), plain(&after), "{number}: {field}");
                }
                compared += 1;
            });
        }
    }
    assert!(compared > 150, "only {compared} fields were compared");
    println!(
        "import: {ENVIRONMENTS} environments, {compared} fields changed, named and brought back"
    );
}

/// Values at their default may be written out, and what is nothing may be empty.
fn comparable(part: &Value) -> Value {
    let mut part = part.clone();
    if let Some(fields) = part.as_object_mut() {
        fields.retain(|key, value| {
            let is_default = match key.as_str() {
                "restartPolicyMaxRetries" => *value == json!(10),
                "healthcheckTimeout" => *value == json!(300),
                "overlapSeconds" | "drainingSeconds" => *value == json!(0),
                _ => false,
            };
            !value.is_null() && *value != json!("") && !is_default
        });
    }
    part
}

async fn apply(outside: &Outside, desired: &Desired, clock: &Clock) {
    struct Silent;
    impl Watcher for Silent {
        fn looked(&mut self, _: &Looked) {}
        fn acted(&mut self, _: &Looked, _: &[reconciler::execute::Outcome]) {}
        fn allows(&mut self, _: &Plan) -> bool {
            true
        }
    }
    let pass = Pass {
        desired,
        provider: outside,
        secrets: &Secrets::new(),
        health: &NOBODY_ASKS,
        clock,
    };
    let (_stop, interrupt) = reconciler::interrupt::interrupt();
    let end = until_in_step(&pass, Duration::from_secs(1800), &mut Silent, &interrupt).await;
    let left = plan(outside, desired, clock).await;
    assert!(left.is_empty(), "{end:?}\n{}", shown(&left));
}

#[test]
fn an_import_applied_to_a_blank_environment_restores_it() {
    for number in (0..ENVIRONMENTS).step_by(usize::try_from(EVERY).unwrap()) {
        run(async {
            let seed = environment(number);
            let (full, blank) = (sandboxed(&seed, number), sandboxed(&blanked(&seed), number));
            tokio::time::sleep(Duration::from_secs(60)).await;
            let clock = clock();
            let written = imported(&outside(&full, &clock)).await;
            let desired = desired(&written, &clock);

            let to = outside(&blank, &clock);
            apply(&to, &desired, &clock).await;

            let again = imported(&to).await;
            let services = |files: &BTreeMap<String, String>| files.get("services.yaml").cloned();
            assert_eq!(services(&written), services(&again), "{number}");
        });
    }
}

/// The same services without their settings and variables, in one region.
fn blanked(seed: &str) -> String {
    let mut out = String::new();
    for line in seed.lines() {
        let field = line.trim_start();
        let blank = match field.split(':').next() {
            Some("deploy") => "            deploy: {}".to_owned(),
            Some("replicas") => "            replicas: { us-west2: 1 }".to_owned(),
            Some("variables") => "            variables: {}".to_owned(),
            Some("image") => "            image: ghcr.io/shop/app:0".to_owned(),
            _ => line.to_owned(),
        };
        let _ = writeln!(out, "{blank}");
    }
    out
}

#[test]
fn two_environments_share_a_base_and_keep_what_is_their_own() {
    run(async {
        let seed = "
projects:
  shop:
    environments:
      production:
        services:
          web: { image: \"shop/app:1\", healthcheck: /live, replicas: { us-west2: 3 }, variables: { LOG_LEVEL: info, SAME: \"${{redis.URL}}\" } }
          worker: { image: \"shop/app:1\" }
          only: { image: \"shop/only:1\" }
      staging:
        services:
          web: { image: \"shop/app:2\", healthcheck: /live, replicas: { us-west2: 1 }, variables: { LOG_LEVEL: debug, SAME: \"${{redis.URL}}\" } }
          worker: { image: \"shop/app:2\" }
tokens:
  account-token: { kind: account }
";
        let sandbox = sandboxed(seed, 3);
        let clock = clock();
        let outside = outside(&sandbox, &clock);
        let mut seen = Vec::new();
        for environment in ["production", "staging"] {
            let scope = Scope {
                project: "shop".to_owned(),
                environment: environment.to_owned(),
            };
            seen.push(outside.railway.observe(&scope).await.unwrap());
        }

        let written = files(&seen, &Chosen::of(["LOG_*".to_owned()]));

        let base = &written["base/services.yaml"];
        assert!(
            base.contains("release: app") && base.contains("SAME") && base.contains("/live"),
            "{base}"
        );
        assert!(
            !base.contains("LOG_LEVEL") && !base.contains("only"),
            "{base}"
        );
        assert!(written["production/services.yaml"].contains("name: web, from: base"));
        assert!(written["production/services.yaml"].contains("name: only }"));
        assert!(written["production/release.yaml"].contains("shop/app:1"));
        assert!(written["staging/release.yaml"].contains("shop/app:2"));
        assert!(!written["staging/services.yaml"].contains("/live"));
    });
}
