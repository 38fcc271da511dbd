//! What people do with an environment beside releases, each met by every fault at every request: it ends as it ends in calm weather.

use super::failures::every_fault;
use super::railway::*;
use sandbox::{Fault, Faults, HandEdit, ServiceView, Switches};
use serde_json::json;
use std::collections::BTreeMap;

/// What is there before, what somebody does by hand, and what git says then.
struct Story {
    name: &'static str,
    before: String,
    by_hand: Option<HandEdit>,
    then: String,
    /// Whether the manifests of before are known to the second apply.
    removes: bool,
    /// What has to be so in the end.
    holds: fn(&Stage) -> bool,
}

impl Story {
    fn new(name: &'static str, before: &str, then: &str, holds: fn(&Stage) -> bool) -> Story {
        Story {
            name,
            before: before.to_owned(),
            by_hand: None,
            then: then.to_owned(),
            removes: false,
            holds,
        }
    }
}

fn maintenance(enabled: bool, by: &str) -> String {
    let until = if enabled {
        ", until: 2026-11-23T05:00:00Z"
    } else {
        ""
    };
    format!(
        "kind: Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: {enabled}, services: [web], by: {by}{until}, page: {{ url: \"https://web.shop.example/\", closed: {{ status: 503 }}, open: {{ status: 200 }} }} }}\n---\n"
    )
}

const BY_VARIABLE: &str = "{ variable: MAINTENANCE_MODE }";
const BY_IMAGE: &str = "{ image: \"shop/closed:1\" }";
const WEB: &str = "{ image: \"ghcr.io/shop/web:1\", start: { absent: true }, beforeDeploy: { absent: true }, ready: { path: /health } }";

fn page(stage: &Stage) -> u16 {
    stage
        .sandbox
        .page("web.shop.example", "/")
        .status()
        .as_u16()
}

fn stories() -> Vec<Story> {
    let web = |spec: &str| service("web", spec);
    let staged = HandEdit::Stage {
        environment: "production".to_owned(),
        patch: json!({ "services": { "other": { "variables": { "X": { "value": "1" } } } } }),
    };
    let environment = |variables: &str| {
        format!(
            "kind: Environment\nmetadata: {{ name: production }}\nspec: {{ railway: {{ project: shop, environment: production }}, secrets: {{ prefix: PRODUCTION_ }}, variables: {variables} }}\n---\n"
        )
    };
    vec![
        Story::new(
            "every setting",
            &web("{ replicas: 2 }"),
            &web(
                "{ start: node a.js, beforeDeploy: migrate, ready: { path: /health, within: 2m }, restartPolicy: { onFailure: 3 }, handOver: { overlap: 5s, drain: 20s }, limits: { cpu: 1, memory: 512MiB } }",
            ),
            |stage| stage.service("web").config["deploy"]["drainingSeconds"] == 20,
        ),
        Story::new(
            "closing by a variable",
            &(web("{ replicas: 2 }") + &maintenance(false, BY_VARIABLE)),
            &(web("{ replicas: 2 }") + &maintenance(true, BY_VARIABLE)),
            |stage| page(stage) == 503,
        ),
        Story {
            by_hand: Some(staged),
            ..Story::new(
                "closing by a variable past what somebody staged",
                &(web("{ replicas: 2 }") + &maintenance(false, BY_VARIABLE)),
                &(web("{ replicas: 2 }") + &maintenance(true, BY_VARIABLE)),
                |stage| page(stage) == 503,
            )
        },
        Story::new(
            "opening",
            &(web("{ replicas: 2 }") + &maintenance(true, BY_VARIABLE)),
            &(web("{ replicas: 2 }") + &maintenance(false, BY_VARIABLE)),
            |stage| page(stage) == 200,
        ),
        Story::new(
            "closing by another image",
            &(web(WEB) + &maintenance(false, BY_IMAGE)),
            &(web(WEB) + &maintenance(true, BY_IMAGE)),
            |stage| page(stage) == 503,
        ),
        Story::new(
            "opening to its own image",
            &(web(WEB) + &maintenance(true, BY_IMAGE)),
            &(web(WEB) + &maintenance(false, BY_IMAGE)),
            |stage| page(stage) == 200,
        ),
        Story::new(
            "stopping",
            &web("{ replicas: 2 }"),
            &web("{ replicas: 2, stopped: true }"),
            |stage| {
                stage
                    .service("web")
                    .newest
                    .is_some_and(|newest| newest.stopped)
            },
        ),
        Story::new(
            "starting",
            &web("{ replicas: 2, stopped: true }"),
            &web("{ replicas: 2, stopped: false }"),
            |stage| {
                stage
                    .service("web")
                    .active
                    .is_some_and(|active| !active.stopped)
            },
        ),
        Story::new(
            "a shared variable",
            &(environment("{}") + &web("{ variables: { REGION: \"${{shared.REGION}}\" } }")),
            &(environment("{ REGION: eu }")
                + &web("{ variables: { REGION: \"${{shared.REGION}}\" } }")),
            |stage| {
                let active = stage.service("web").active;
                active.is_some_and(|active| active.variables["REGION"] == "eu")
            },
        ),
        Story::new(
            "pushes that deploy no more",
            &service("builder", "{ pushToDeploy: true }"),
            &service("builder", "{ pushToDeploy: false }"),
            |stage| !stage.service("builder").auto_deploy,
        ),
        Story::new(
            "the password of a private registry rotated",
            &web("{ replicas: 2 }"),
            &web(
                "{ registry: { username: deploy, password: { from: { secret: NEW_KEY } }, rotatedAfter: 2026-11-23T02:00:30Z } }",
            ),
            |stage| stage.service("web").config["deploy"]["registryCredentials"].is_object(),
        ),
        Story {
            removes: true,
            ..Story::new(
                "a variable that git declares no more",
                &web("{ variables: { LOG_LEVEL: info, OURS: \"1\" } }"),
                &web("{ variables: { LOG_LEVEL: info } }"),
                |stage| !stage.service("web").variables.contains_key("OURS"),
            )
        },
    ]
}

/// The story up to the moment in which git says something new.
async fn begun(story: &Story, faults: Faults) -> Stage {
    let seed = SHOP.replace(
        "            healthcheck: /health\n",
        "            healthcheck: /health\n            open: [/health]\n            custom_domains: [web.shop.example]\n",
    );
    let seed = seed.replace(
        "\nimages:\n",
        "\nimages:\n  shop/closed:1: { pages: { \"*\": { status: 503, body: closed } } }\n",
    );
    let mut stage = Stage::new(&seed, Switches::default(), faults)
        .with_secret("NEW_KEY", "a value to seal")
        .desired(&story.before);
    let applied = stage.apply().await;
    assert!(applied.is_in_step(), "{}: {}", story.name, applied.last());
    stage.wait(120).await;
    if let Some(edit) = &story.by_hand {
        stage.sandbox.by_hand(edit.clone());
    }
    if story.removes {
        stage.desire_after(&story.then, &story.before);
    } else {
        stage.desire(&story.then);
    }
    stage
}

/// What is compared between two runs: everything but ids and times.
fn ended(stage: &Stage) -> BTreeMap<String, String> {
    let view = stage.sandbox.look();
    let services = &view.environment("production").services;
    let told = |service: &ServiceView| {
        let runs = service.active.as_ref().map(|active| {
            (
                active.image.clone(),
                active.commit.clone(),
                active.stopped,
                active.variables.clone(),
            )
        });
        format!(
            "{} deployments, runs {runs:?}, stored {} {:?} {:?} {}",
            service.deployments,
            service.config["deploy"],
            service.variables,
            service.replicas,
            service.auto_deploy
        )
    };
    services
        .iter()
        .map(|(name, service)| (name.clone(), told(service)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_at_every_request_of_every_story_ends_as_in_calm_weather() {
    let (mut cases, mut sent) = (0, 0);
    let mut problems = Vec::new();
    for story in stories() {
        let calm = begun(&story, Faults::none()).await;
        let (first, before) = (calm.sandbox.requests(), calm.sandbox.mutations());
        let applied = calm.apply().await;
        assert!(
            applied.is_in_step(),
            "{}: {:?}\n{}",
            story.name,
            applied.end,
            applied.last()
        );
        let told = applied.plans.join("\n");
        let ends = ended(&calm);
        assert!((story.holds)(&calm), "{}\n{told}\n{ends:#?}", story.name);
        assert!(calm.sandbox.mutations() > before, "{}", story.name);
        let wanted = ended(&calm);
        for fault in &every_fault() {
            for index in first..calm.sandbox.requests() {
                let context = format!("{}: {fault:?} at request {}", story.name, index - first);
                let stage = begun(&story, Faults::script([(index, fault.clone())].into())).await;

                let mut applied = stage.apply().await;
                if matches!(applied.end, Err(reconciler::world::Failure::Denied(_))) {
                    assert_eq!(*fault, Fault::ExpiredToken, "{context}");
                    applied = stage.apply().await;
                }

                cases += 1;
                sent += stage.sandbox.requests();
                let found = ended(&stage);
                if !applied.is_in_step() || found != wanted || !(story.holds)(&stage) {
                    problems.push(format!(
                        "{context}: {:?}\n{}\nwanted {wanted:#?}\nfound {found:#?}",
                        applied.end,
                        applied.last()
                    ));
                }
            }
        }
    }
    println!(
        "wire: {sent} requests in {cases} cases of {} stories",
        stories().len()
    );
    assert!(
        problems.is_empty(),
        "{} of {cases}:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
