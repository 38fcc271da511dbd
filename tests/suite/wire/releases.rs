//! Releases on the wire: by image and by commit, back again, and those that do not come up.

use super::railway::*;
use reconciler::plan::Standing;
use reconciler::reconcile::End;
use sandbox::{Faults, HandEdit, Status, Switches};
use serde_json::json;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

fn switched(name: &str, answer: &str) -> Stage {
    Stage::new(SHOP, Switches::default().with(name, answer), Faults::none())
}

fn image(tag: &str) -> String {
    service("web", &format!("{{ image: \"ghcr.io/shop/web:{tag}\" }}"))
}

fn mutations(stage: &Stage) -> Vec<&'static str> {
    stage
        .effects()
        .iter()
        .map(|effect| effect.mutation)
        .collect()
}

fn stored_image(stage: &Stage) -> String {
    stage.service("web").config["source"]["image"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn active_image(stage: &Stage) -> String {
    stage.service("web").active.unwrap().image.unwrap()
}

// By image, and back.

#[tokio::test(start_paused = true)]
async fn a_release_by_image_is_one_patch_and_one_deployment() {
    let stage = shop().desired(&image("2"));

    stage.apply_wholly().await;

    assert_eq!(mutations(&stage), ["environmentPatchCommit"]);
    assert_eq!(stage.service("web").deployments, 3);
    assert_eq!(active_image(&stage), "ghcr.io/shop/web:2");
}

#[tokio::test(start_paused = true)]
async fn the_way_back_is_an_instant_rollback_and_then_only_what_is_stored() {
    for deploys in Switches::answers("instance_update_deploys") {
        for copies in Switches::answers("rollback_copies_patch_id") {
            let switches = Switches::default()
                .with("instance_update_deploys", deploys)
                .with("rollback_copies_patch_id", copies);
            let mut stage = Stage::new(SHOP, switches, Faults::none()).desired(&image("2"));
            stage.apply_wholly().await;

            stage.desire(&image("1"));
            stage.apply_wholly().await;

            let context = format!("instance update deploys {deploys}, patch id copied {copies}");
            assert_eq!(
                mutations(&stage),
                [
                    "environmentPatchCommit",
                    "deploymentRollback",
                    "serviceInstanceUpdate"
                ],
                "{context}"
            );
            assert_eq!(active_image(&stage), "ghcr.io/shop/web:1", "{context}");
            assert_eq!(stored_image(&stage), "ghcr.io/shop/web:1", "{context}");
            // Where Railway deploys for a stored image, that is Railway's: we send nothing for it.
            let more = usize::from(*deploys == "true");
            assert_eq!(stage.service("web").deployments, 4 + more, "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_the_history_does_not_explain_is_a_patch() {
    // The image ran before any patch that the history shows: nobody can tell what else has changed since.
    let stage = shop().desired(&image("0"));

    stage.apply_wholly().await;

    assert_eq!(mutations(&stage), ["environmentPatchCommit"]);
    assert_eq!(active_image(&stage), "ghcr.io/shop/web:0");
    assert_eq!(stored_image(&stage), "ghcr.io/shop/web:0");
}

#[tokio::test(start_paused = true)]
async fn a_way_back_beyond_a_changed_variable_is_a_patch() {
    let mut stage = shop().desired(&image("2"));
    stage.apply_wholly().await;
    stage.desire(&service(
        "web",
        "{ image: \"ghcr.io/shop/web:2\", variables: { LOG_LEVEL: debug } }",
    ));
    stage.apply_wholly().await;

    stage.desire(&service(
        "web",
        "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: debug } }",
    ));
    stage.apply_wholly().await;

    assert_eq!(mutations(&stage), ["environmentPatchCommit"; 3]);
    let active = stage.service("web").active.unwrap();
    assert_eq!(active.image.unwrap(), "ghcr.io/shop/web:1");
    assert_eq!(active.variables["LOG_LEVEL"], "debug");
}

#[tokio::test(start_paused = true)]
async fn a_way_back_beyond_a_patch_by_hand_is_a_patch() {
    let mut stage = shop().desired(&image("2"));
    stage.apply_wholly().await;
    stage.sandbox.by_hand(HandEdit::Stage {
        environment: "production".into(),
        patch: json!({ "services": { "web": { "variables": { "KEPT": { "value": "changed by hand" } } } } }),
    });
    stage.sandbox.by_hand(HandEdit::CommitStaged {
        environment: "production".into(),
        deploy: true,
    });
    stage.wait(60).await;

    stage.desire(&image("1"));
    stage.apply_wholly().await;

    assert_eq!(mutations(&stage), ["environmentPatchCommit"; 2]);
    let active = stage.service("web").active.unwrap();
    assert_eq!(active.image.unwrap(), "ghcr.io/shop/web:1");
    assert_eq!(active.variables["KEPT"], "changed by hand");
}

/// `variableUpsert` leaves no patch in the history (facts/railway.md 3.2); when the variable was written tells.
#[tokio::test(start_paused = true)]
async fn a_way_back_beyond_a_variable_that_was_set_past_the_patches_is_a_patch() {
    let mut stage = shop().desired(&image("2"));
    stage.apply_wholly().await;
    stage.sandbox.by_hand(HandEdit::SetVariable {
        environment: "production".into(),
        service: Some("web".into()),
        name: "KEPT".into(),
        value: "changed by hand".into(),
        deploy: true,
    });
    stage.wait(60).await;

    stage.desire(&image("1"));
    stage.apply_wholly().await;

    let web = stage.service("web");
    assert_eq!(web.variables["KEPT"], "changed by hand");
    assert_eq!(web.active.unwrap().variables["KEPT"], "changed by hand");
    assert!(!mutations(&stage).contains(&"deploymentRollback"));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_hand_is_rolled_forward_again() {
    let mut stage = shop().desired(&image("2"));
    stage.apply_wholly().await;
    stage.desire(&image("1"));
    stage.apply_wholly().await;
    stage.desire(&image("2"));

    stage.apply_wholly().await;

    assert_eq!(active_image(&stage), "ghcr.io/shop/web:2");
    assert_eq!(stored_image(&stage), "ghcr.io/shop/web:2");
}

// By commit.

#[tokio::test(start_paused = true)]
async fn a_release_by_commit_is_one_deployment_whatever_a_patch_does_with_commits() {
    for answer in Switches::answers("patch_commit_sha") {
        let mut stage = switched("patch_commit_sha", answer)
            .desired(&service("builder", &format!("{{ commit: {B} }}")));
        stage.apply_wholly().await;
        assert_eq!(mutations(&stage), ["serviceInstanceDeployV2"], "{answer}");

        stage.desire(&service("builder", &format!("{{ commit: {A} }}")));
        stage.apply_wholly().await;

        let builder = stage.service("builder");
        assert_eq!(builder.active.unwrap().commit.unwrap(), A, "{answer}");
        assert_eq!(builder.deployments, 3, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_together_with_a_variable_settles_whatever_a_patch_does_with_commits() {
    for answer in Switches::answers("patch_commit_sha") {
        for id in Switches::answers("meta_patch_id") {
            let switches = Switches::default()
                .with("patch_commit_sha", answer)
                .with("meta_patch_id", id);
            let stage = Stage::new(SHOP, switches, Faults::none()).desired(&service(
                "builder",
                &format!("{{ commit: {B}, variables: {{ LOG_LEVEL: debug }} }}"),
            ));

            stage.apply_wholly().await;

            let builder = stage.service("builder");
            let active = builder.active.unwrap();
            assert_eq!(active.commit.unwrap(), B, "{answer}");
            assert_eq!(active.variables["LOG_LEVEL"], "debug", "{answer}");
            let wanted = if *answer == "honoured" { 2 } else { 3 };
            assert_eq!(builder.deployments, wanted, "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_build_fails_is_told_with_its_log_and_left_alone() {
    let stage = shop().desired(&service("builder", &format!("{{ commit: {C} }}")));

    for _ in 0..3 {
        let applied = stage.apply().await;
        assert_eq!(applied.end, Ok(End::Stands(Standing::Unhealthy)));
        assert!(
            applied.last().contains("error: cannot find module"),
            "{}",
            applied.last()
        );
        assert!(applied.last().contains("the one before it still serves"));
    }

    let builder = stage.service("builder");
    assert_eq!(builder.deployments, 2);
    assert_eq!(builder.active.unwrap().commit.unwrap(), A);
}

// What does not come up.

async fn ends_unhealthy(tag: &str, words: &[&str]) -> Stage {
    let stage = shop().desired(&image(tag));
    for _ in 0..3 {
        let applied = stage.apply().await;

        assert_eq!(applied.end, Ok(End::Stands(Standing::Unhealthy)), "{tag}");
        for words in words {
            assert!(
                applied.last().contains(words),
                "{words}\n{}",
                applied.last()
            );
        }
    }
    assert_eq!(stage.service("web").deployments, 3, "tried once");
    assert_eq!(mutations(&stage), ["environmentPatchCommit"]);
    stage
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_is_told_with_its_log_and_left_alone() {
    let stage = ends_unhealthy(
        "failed",
        &[
            "FAILED",
            "the one before it still serves",
            "no such file: server.js",
        ],
    )
    .await;

    assert_eq!(active_image(&stage), "ghcr.io/shop/web:1");
}

#[tokio::test(start_paused = true)]
async fn a_crashed_deployment_is_told_with_its_log_and_left_alone() {
    ends_unhealthy("crashed", &["CRASHED", "panic: no such column"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_never_becomes_ready_is_told_and_left_alone() {
    let stage = ends_unhealthy("slow", &["FAILED", "waiting for migrations"]).await;

    assert_eq!(active_image(&stage), "ghcr.io/shop/web:1");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_crashes_later_is_told_and_left_alone() {
    let stage = shop().desired(&image("1"));
    stage.sandbox.by_hand(HandEdit::Crash {
        environment: "production".into(),
        service: "web".into(),
    });

    let applied = stage.apply().await;

    assert_eq!(applied.end, Ok(End::Stands(Standing::Unhealthy)));
    assert_eq!(stage.sandbox.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_waits_for_an_approval_is_held_for_somebody() {
    let stage = shop().desired(&image("gated"));

    let applied = stage.apply().await;

    assert_eq!(applied.end, Ok(End::Stands(Standing::Held)));
    assert!(
        applied.last().contains("waits for an approval"),
        "{}",
        applied.last()
    );
    assert_eq!(
        stage.service("web").newest.unwrap().status,
        Status::NeedsApproval
    );
}

#[tokio::test(start_paused = true)]
async fn git_revert_is_the_way_out_of_a_failed_release() {
    for tag in ["failed", "crashed", "slow"] {
        for deploys in Switches::answers("instance_update_deploys") {
            let mut stage = switched("instance_update_deploys", deploys).desired(&image(tag));
            stage.apply().await;

            stage.desire(&image("1"));
            stage.apply_wholly().await;

            assert_eq!(active_image(&stage), "ghcr.io/shop/web:1", "{tag}");
            assert_eq!(stored_image(&stage), "ghcr.io/shop/web:1", "{tag}");
            assert_eq!(stage.service("web").newest.unwrap().status, Status::Success);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_declared_now_tries_a_failed_release_once_more() {
    let mut stage = shop().desired(&image("failed"));
    stage.apply().await;
    let now = stage.clock.now();

    stage.desire(&service(
        "web",
        &format!("{{ image: \"ghcr.io/shop/web:failed\", restartedAfter: {now:.0} }}"),
    ));
    for _ in 0..3 {
        let applied = stage.apply().await;
        assert_eq!(
            applied.end,
            Ok(End::Stands(Standing::Unhealthy)),
            "{}",
            applied.last()
        );
    }

    assert_eq!(stage.service("web").deployments, 4, "once more");
}

#[tokio::test(start_paused = true)]
async fn a_declared_restart_is_one_deployment_of_the_kept_image() {
    for pulls in Switches::answers("redeploy_pulls") {
        for variables in Switches::answers("redeploy_variables") {
            let switches = Switches::default()
                .with("redeploy_pulls", pulls)
                .with("redeploy_variables", variables);
            let stage = Stage::new(SHOP, switches, Faults::none()).desired(&service(
                "web",
                "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: info }, restartedAfter: 2026-11-23T01:59:00Z }",
            ));
            let before = stage.service("web").active.unwrap();

            stage.apply_wholly().await;

            let after = stage.service("web").active.unwrap();
            assert_eq!(mutations(&stage), ["deploymentRedeploy"]);
            assert_ne!(before.id, after.id);
            assert_eq!(before.digest, after.digest);
            assert_eq!(before.variables, after.variables);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_variable_that_somebody_stored_without_a_deployment_and_without_a_patch_is_deployed() {
    let stage = shop().desired(&service(
        "web",
        "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: debug } }",
    ));
    stage.sandbox.by_hand(HandEdit::SetVariable {
        environment: "production".into(),
        service: Some("web".into()),
        name: "LOG_LEVEL".into(),
        value: "debug".into(),
        deploy: false,
    });
    stage.wait(60).await;

    let applied = stage.apply_wholly().await;

    // Railway keeps no patch of a variable that was set with `skipDeploys`: when it was written shows that it is not in force.
    let why = "LOG_LEVEL changed after the newest deployment was made";
    assert!(applied.plans[0].contains(why), "{}", applied.plans[0]);
    assert_eq!(mutations(&stage), ["serviceInstanceDeployV2"]);
    assert_eq!(
        stage.service("web").active.unwrap().variables["LOG_LEVEL"],
        "debug"
    );
}

// Secrets in what Railway says.

#[tokio::test(start_paused = true)]
async fn no_known_value_stands_in_the_log_lines_that_people_see() {
    let stage = shop()
        .with_secret("API_KEY", "rotated-value-1")
        .desired(&service(
            "web",
            "{ image: \"ghcr.io/shop/web:failed\", variables: { LEVEL: verbose-canary, NEW_KEY: { from: { secret: API_KEY }, sealed: true } } }",
        ));

    let applied = stage.apply().await;

    let last = applied.last();
    assert!(last.contains("the key was ***"), "{last}");
    for canary in ["rotated-value-1", "shared-canary", "verbose-canary"] {
        assert!(!last.contains(canary), "{canary}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_cut_off_at_the_end_of_a_line_does_not_show_its_beginning() {
    let line = format!("{} the-secret-that-is-long", "x".repeat(150));
    let mut seed = sandbox::Seed::parse(SHOP).unwrap();
    seed.images.get_mut("ghcr.io/shop/web:failed").unwrap().log = vec![line];
    let stage = Stage::of(&seed, Switches::default(), Faults::none())
        .with_secret("API_KEY", "the-secret-that-is-long")
        .desired(&service(
            "web",
            "{ image: \"ghcr.io/shop/web:failed\", variables: { NEW_KEY: { from: { secret: API_KEY }, sealed: true } } }",
        ));

    let applied = stage.apply().await;

    assert!(applied.last().contains("xxx"), "{}", applied.last());
    assert!(!applied.last().contains("the-secr"), "{}", applied.last());
}

#[tokio::test(start_paused = true)]
async fn the_value_of_a_secret_goes_into_the_patch_and_nowhere_else() {
    let stage = shop()
        .with_secret("API_KEY", "rotated-value-1")
        .desired(&service(
            "web",
            "{ variables: { NEW_KEY: { from: { secret: API_KEY } }, OTHER: { from: { secret: API_KEY }, sealed: true } } }",
        ));

    let applied = stage.apply_wholly().await;

    let web = stage.service("web");
    assert_eq!(web.variables["NEW_KEY"], "rotated-value-1");
    assert_eq!(web.variables["OTHER"], "rotated-value-1");
    assert!(!applied.plans.join("\n").contains("rotated-value-1"));
    let look = json!(stage.sandbox.look().environment("production").patches);
    assert!(!look.to_string().contains("rotated-value-1"), "{look}");
}
