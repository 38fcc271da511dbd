//! Whatever Railway does where nobody states it, a change settles, its revert settles, and what is not declared stays as it is.

use super::railway::*;
use sandbox::{Faults, ServiceView, Switches};

fn changed() -> String {
    format!(
        "{}{}",
        service(
            "web",
            "{ image: \"ghcr.io/shop/web:2\", start: node new.js, beforeDeploy: migrate, restartPolicy: { onFailure: 3 }, handOver: { overlap: 5s, drain: 20s }, limits: { cpu: 1, memory: 512MiB }, ready: { path: /up, within: 2m }, replicas: 3, variables: { LOG_LEVEL: debug, NEW_KEY: { from: { secret: NEW_KEY }, sealed: true } } }"
        ),
        service(
            "builder",
            "{ commit: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, variables: { LOG_LEVEL: debug } }"
        )
    ) + &closed(true)
}

fn closed(enabled: bool) -> String {
    let until = if enabled {
        ", until: 2026-11-23T05:00:00Z"
    } else {
        ""
    };
    format!(
        "kind: Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: {enabled}, services: [web], by: {{ variable: CLOSED }}{until} }}\n---\n"
    )
}

/// As it was before; `git revert` takes the new variable out of git, and that leaves it alone.
fn reverted() -> String {
    format!(
        "{}{}",
        service(
            "web",
            "{ image: \"ghcr.io/shop/web:1\", start: { absent: true }, beforeDeploy: { absent: true }, restartPolicy: onFailure, handOver: { overlap: 0s, drain: 0s }, ready: { path: /health, within: 5m }, replicas: 2, variables: { LOG_LEVEL: info } }"
        ),
        service(
            "builder",
            "{ commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, variables: { LOG_LEVEL: info } }"
        )
    ) + &closed(false)
}

/// What no manifest declares: services of others, and other fields of ours.
fn undeclared(stage: &Stage) -> (Vec<ServiceView>, Vec<(String, String)>, Vec<String>) {
    let view = stage.sandbox.look();
    let others = ["other", "redis"].map(|name| view.service("production", name).clone());
    let staging = view.service("staging", "elsewhere").clone();
    let web = view.service("production", "web").clone();
    let declared = ["LOG_LEVEL", "NEW_KEY"];
    let kept = web
        .variables
        .into_iter()
        .filter(|(name, _)| !declared.contains(&name.as_str()));
    let sealed = web
        .sealed
        .into_iter()
        .filter(|name| !declared.contains(&name.as_str()));
    (
        others.into_iter().chain([staging]).collect(),
        kept.collect(),
        sealed.collect(),
    )
}

fn is_as_declared(
    stage: &Stage,
    tag: &str,
    commit: &str,
    level: &str,
    replicas: u32,
    context: &str,
) {
    let (web, builder) = (stage.service("web"), stage.service("builder"));
    let (runs, builds) = (web.active.unwrap(), builder.active.unwrap());
    let image = format!("ghcr.io/shop/web:{tag}");
    assert_eq!(runs.image.as_ref(), Some(&image), "{context}");
    assert_eq!(web.config["source"]["image"], image, "{context}");
    assert_eq!(runs.variables["LOG_LEVEL"], level, "{context}");
    assert_eq!(web.variables["LOG_LEVEL"], level, "{context}");
    assert_eq!(runs.replicas["us-west2"], replicas, "{context}");
    assert_eq!(web.replicas["us-west2"], replicas, "{context}");
    assert_eq!(builds.commit, Some(commit.repeat(40)), "{context}");
    assert_eq!(builds.variables["LOG_LEVEL"], level, "{context}");
}

/// The number of requests that it took.
async fn settles(switches: Switches, context: &str) -> usize {
    let mut stage = Stage::new(SHOP, switches, Faults::none())
        .with_secret("NEW_KEY", "a value to seal")
        .desired(&changed());
    let before = undeclared(&stage);

    let applied = stage.apply().await;
    assert!(
        applied.is_in_step(),
        "{context}: {:?}\n{}",
        applied.end,
        applied.last()
    );
    is_as_declared(&stage, "2", "b", "debug", 3, context);
    assert_eq!(
        stage.service("web").active.unwrap().variables["NEW_KEY"],
        "a value to seal",
        "{context}"
    );
    stage.wait(120).await;
    stays(&stage, context).await;

    stage.desire(&reverted());
    let applied = stage.apply().await;
    assert!(
        applied.is_in_step(),
        "{context}: {:?}\n{}",
        applied.end,
        applied.last()
    );
    is_as_declared(&stage, "1", "a", "info", 2, context);
    stage.wait(120).await;
    stays(&stage, context).await;

    assert_eq!(undeclared(&stage), before, "{context}");
    // What closed the site is taken away again; nothing else is.
    let destroyed = stage
        .effects()
        .into_iter()
        .filter(|effect| effect.destructive);
    for effect in destroyed {
        let is_ours = effect.paths.iter().any(|path| path.ends_with(".CLOSED"));
        assert!(is_ours, "{context}: {effect:?}");
    }
    stage.sandbox.requests()
}

async fn stays(stage: &Stage, context: &str) {
    let looked = stage.diff().await.unwrap();
    assert!(
        looked.plan.steps.is_empty(),
        "{context}: {}",
        shown(&looked.plan)
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_and_its_revert_settle_under_every_answer_of_every_switch() {
    let (mut cases, mut requests) = (0, 0);
    for name in Switches::NAMES {
        for answer in Switches::answers(name) {
            let switches = Switches::default().with(name, answer);
            requests += settles(switches, &format!("{name} = {answer}")).await;
            cases += 1;
        }
    }
    println!("wire: {requests} requests in {cases} switch cases");
}

#[tokio::test(start_paused = true)]
async fn a_change_and_its_revert_settle_under_any_answers_together() {
    for seed in 0..200 {
        let switches = Switches::drawn(seed);
        let context = format!("seed {seed}: {switches:?}");
        settles(switches, &context).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_project_token_that_may_not_read_its_project_looks_by_itself() {
    for environment in [String::new(), by_ids(PROJECT_ID, ENVIRONMENT_ID)] {
        let switches = Switches::default().with("project_token_may_read_project", "false");
        let stage = Stage::new(SHOP, switches, Faults::none()).desired(&format!(
            "{environment}{}",
            service("web", "{ variables: { LOG_LEVEL: debug } }")
        ));

        stage.apply_wholly().await;

        assert_eq!(stage.service("web").variables["LOG_LEVEL"], "debug");
    }
}
