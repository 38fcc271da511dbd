//! Railway's traps, each a case named after it (facts/railway.md 2 and 8).

use super::railway::*;
use reconciler::plan::Standing;
use reconciler::reconcile::End;
use reconciler::world::Failure;
use sandbox::{Fault, Faults, HandEdit, Known, Switches};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn switched(name: &str, answer: &str) -> Stage {
    Stage::new(SHOP, Switches::default().with(name, answer), Faults::none())
}

fn by_hand(name: &str, value: &str) -> HandEdit {
    HandEdit::SetVariable {
        environment: "production".into(),
        service: Some("web".into()),
        name: name.into(),
        value: value.into(),
        deploy: true,
    }
}

/// What a plan asks for nothing but this, and nobody writes.
async fn only_tells(stage: &Stage, words: &[&str]) {
    let plan = stage.plan().await;
    for words in words {
        assert!(plan.contains(words), "`{words}` is missing in\n{plan}");
    }
    stage.apply().await;
    assert_eq!(stage.sandbox.mutations(), 0, "{plan}");
}

async fn asks_for_nothing(stage: &Stage) {
    let looked = stage.diff().await.unwrap();
    assert!(looked.plan.steps.is_empty(), "{}", shown(&looked.plan));
    assert_eq!(stage.sandbox.mutations(), 0);
}

// Defaults, masks, sealed values.

#[tokio::test(start_paused = true)]
async fn a_value_at_its_default_that_the_configuration_leaves_out_is_no_difference() {
    for answer in Switches::answers("config_defaults") {
        let stage = switched("config_defaults", answer)
            .desired(&service("web", "{ ready: { path: /health, within: 5m } }"));

        asks_for_nothing(&stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_masked_value_is_unknown_and_never_written_over() {
    for mask in [Value::Null, json!(""), json!("*****"), json!("********")] {
        let shown = mask.clone();
        let stage = shop()
            .with_lens(move |answer| {
                if let Some(config) = web_config(answer) {
                    config["variables"]["LOG_LEVEL"]["value"] = shown.clone();
                }
            })
            .with_secret("KEPT", "something else")
            .desired(&service(
                "web",
                "{ variables: { LOG_LEVEL: debug, API_KEY: { from: { secret: KEPT }, sealed: true } } }",
            ));

        let plan = stage.plan().await;

        assert!(
            plan.contains("the token may not see the value of LOG_LEVEL"),
            "{mask}: {plan}"
        );
        assert_eq!(
            stage.apply().await.end,
            Ok(End::Stands(Standing::Unseen)),
            "{mask}"
        );
        assert_eq!(stage.sandbox.mutations(), 0, "{mask}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_value_is_not_compared_and_not_written_again() {
    for answer in Switches::answers("sealed_mask") {
        let stage = switched("sealed_mask", answer)
            .with_secret("API_KEY", "whatever it is")
            .desired(&service(
                "web",
                "{ variables: { API_KEY: { from: { secret: API_KEY }, sealed: true } } }",
            ));

        asks_for_nothing(&stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_value_that_git_says_openly_is_held() {
    for answer in Switches::answers("sealed_mask") {
        let stage = switched("sealed_mask", answer)
            .desired(&service("web", "{ variables: { API_KEY: open } }"));

        only_tells(&stage, &["hold", "API_KEY is sealed at Railway"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_value_that_git_does_not_seal_is_held() {
    let stage = shop()
        .with_secret("API_KEY", "a new value")
        .desired(&service(
            "web",
            "{ variables: { API_KEY: { from: { secret: API_KEY } } } }",
        ));

    only_tells(&stage, &["hold", "a sealed variable cannot be unsealed"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_open_value_that_git_seals_is_sealed_once() {
    for answer in Switches::answers("sealed_mask") {
        let stage = switched("sealed_mask", answer)
            .with_secret("LOG", "a value to seal")
            .desired(&service(
                "web",
                "{ variables: { LOG_LEVEL: { from: { secret: LOG }, sealed: true } } }",
            ));

        stage.apply_wholly().await;

        let web = stage.service("web");
        assert_eq!(web.variables["LOG_LEVEL"], "a value to seal");
        assert!(web.sealed.contains(&"LOG_LEVEL".to_owned()));
        assert_eq!(stage.effects().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_writes_a_sealed_value_once_after_its_time() {
    for (lag, applied) in [
        ("0", "together"),
        ("3", "after_deployments"),
        ("1", "before_deployments"),
    ] {
        let switches = Switches::default()
            .with("patch_apply_lag", lag)
            .with("applied_at", applied);
        let stage = Stage::new(SHOP, switches, Faults::none())
            .with_secret("API_KEY", "rotated-value-1")
            .desired(&service(
                "web",
                "{ variables: { API_KEY: { from: { secret: API_KEY }, sealed: true, rotatedAfter: 2026-11-23T01:59:30Z } } }",
            ));

        stage.apply_wholly().await;

        assert_eq!(stage.service("web").variables["API_KEY"], "rotated-value-1");
        assert_eq!(stage.sandbox.mutations(), 1, "{lag} {applied}");
        stage.apply_wholly().await;
        assert_eq!(stage.sandbox.mutations(), 1, "{lag} {applied}");
    }
}

// Variables.

#[tokio::test(start_paused = true)]
async fn white_space_inside_a_reference_means_nothing() {
    let stage = shop().desired(&service(
        "web",
        "{ variables: { REDIS_URL: \"redis://${{ redis.HOST }}:6379\" } }",
    ));

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_compared_unrendered() {
    let stage = shop().desired(&service(
        "web",
        "{ variables: { REDIS_URL: \"redis://redis.internal:6379\" } }",
    ));

    stage.apply_wholly().await;

    assert_eq!(
        stage.service("web").variables["REDIS_URL"],
        "redis://redis.internal:6379"
    );
}

#[test]
fn railway_s_own_variables_are_refused_before_anything_is_asked() {
    let problems = std::panic::catch_unwind(|| {
        manifests(
            &service("web", "{ variables: { RAILWAY_PUBLIC_DOMAIN: mine } }"),
            START.parse().unwrap(),
        )
    });

    assert!(problems.is_err());
    manifests(
        &service("web", "{ variables: { RAILWAY_RUN_UID: \"0\" } }"),
        START.parse().unwrap(),
    );
}

#[test]
fn an_empty_value_in_git_is_refused_since_it_looks_like_a_mask() {
    let problems = std::panic::catch_unwind(|| {
        manifests(
            &service("web", "{ variables: { LOG_LEVEL: \"\" } }"),
            START.parse().unwrap(),
        )
    });

    assert!(problems.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_empty_live_value_looks_like_a_mask_and_is_not_written_over() {
    let stage = shop().desired(&service("web", "{ variables: { LOG_LEVEL: info } }"));
    stage.sandbox.by_hand(by_hand("LOG_LEVEL", ""));
    stage.wait(60).await;

    only_tells(
        &stage,
        &["unseen", "the token may not see the value of LOG_LEVEL"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_variable_that_is_absent_in_git_is_left_alone_and_one_that_must_be_absent_goes() {
    let stage = shop().desired(&service(
        "web",
        "{ variables: { LOG_LEVEL: { absent: true } } }",
    ));

    stage.apply_wholly().await;

    let names: Vec<String> = stage.service("web").variables.into_keys().collect();
    assert_eq!(names, ["API_KEY", "KEPT", "REDIS_URL"]);
    assert_eq!(
        stage.effects()[0].paths,
        ["services.web.variables.LOG_LEVEL"]
    );
}

#[tokio::test(start_paused = true)]
async fn two_services_whose_names_differ_in_case_are_two_services() {
    let stage = shop().desired(&service("Web", "{ variables: { LOG_LEVEL: debug } }"));

    only_tells(&stage, &["there is no service Web", "did you mean `web`?"]).await;
}

// Replicas and regions.

#[tokio::test(start_paused = true)]
async fn the_map_of_regions_counts_and_the_legacy_total_does_not() {
    let stage = shop()
        .with_lens(|answer| {
            if let Some(config) = web_config(answer) {
                config["deploy"]["numReplicas"] = 7.into();
                config["deploy"]["region"] = "us-east4-eqdc4a".into();
            }
        })
        .desired(&service("web", "{ replicas: 2 }"));

    asks_for_nothing(&stage).await;
}

fn legacy(region: Option<&str>, count: u64) -> impl Fn(&mut Value) + Send + Sync + 'static {
    let region = region.map(str::to_owned);
    move |answer| {
        if let Some(config) = web_config(answer) {
            let deploy = config["deploy"].as_object_mut().unwrap();
            deploy.remove("multiRegionConfig");
            deploy.insert("numReplicas".into(), count.into());
            if let Some(region) = &region {
                deploy.insert("region".into(), region.as_str().into());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_with_the_legacy_region_and_total_is_in_step_when_they_fit() {
    let stage = shop()
        .with_lens(legacy(Some("us-west2"), 2))
        .desired(&service("web", "{ replicas: { us-west2: 2 } }"));

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_legacy_total_without_a_region_is_not_touched() {
    let stage = shop()
        .with_lens(legacy(None, 2))
        .desired(&service("web", "{ replicas: 3 }"));

    only_tells(&stage, &["how many replicas there are, not where"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_region_is_the_same_by_name_and_by_airport_code() {
    for keys in Switches::answers("region_keys") {
        for written in ["us-west2", "sfo"] {
            let stage = switched("region_keys", keys).desired(&service(
                "web",
                &format!("{{ replicas: {{ {written}: 2 }} }}"),
            ));

            asks_for_nothing(&stage).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_is_scaled_under_the_key_that_railway_uses() {
    for keys in Switches::answers("region_keys") {
        for written in ["us-west2", "sfo"] {
            let stage = switched("region_keys", keys).desired(&service(
                "web",
                &format!("{{ replicas: {{ {written}: 3 }} }}"),
            ));

            stage.apply_wholly().await;

            let web = stage.service("web");
            assert_eq!(web.replicas, BTreeMap::from([("us-west2".to_owned(), 3)]));
            assert_eq!(web.deployments, 2, "hot: the two from the start");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_region_is_added_and_settles_under_either_sort_of_key() {
    for keys in Switches::answers("region_keys") {
        for other in ["europe-west4-drams3a", "ams"] {
            let stage = switched("region_keys", keys).desired(&service(
                "web",
                &format!("{{ replicas: {{ us-west2: 1, {other}: 2 }} }}"),
            ));

            stage.apply_wholly().await;

            let replicas = stage.service("web").replicas;
            let wanted = [
                ("europe-west4-drams3a".to_owned(), 2),
                ("us-west2".to_owned(), 1),
            ];
            assert_eq!(replicas, BTreeMap::from(wanted), "{keys} {other}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_git_does_not_name_is_left() {
    for keys in Switches::answers("region_keys") {
        let stage =
            switched("region_keys", keys).desired(&service("web", "{ replicas: { ams: 1 } }"));

        stage.apply_wholly().await;

        let wanted = [("europe-west4-drams3a".to_owned(), 1)];
        assert_eq!(stage.service("web").replicas, BTreeMap::from(wanted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_volume_is_not_given_a_second_replica() {
    let stage = shop().desired(&service("redis", "{ replicas: 2 }"));

    only_tells(&stage, &["a volume has exactly one replica"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_on_a_schedule_is_not_given_a_second_replica() {
    let stage = shop()
        .with_lens(|answer| {
            if let Some(config) = web_config(answer) {
                config["deploy"]["cronSchedule"] = "*/10 * * * *".into();
            }
        })
        .desired(&service("web", "{ replicas: 3 }"));

    only_tells(&stage, &["a schedule has exactly one replica"]).await;
}

// Images.

#[tokio::test(start_paused = true)]
async fn an_image_that_railway_updates_by_itself_is_not_fought_over() {
    let auto = |kind: &'static str| {
        shop()
            .with_lens(move |answer| {
                if let Some(config) = web_config(answer) {
                    config["source"]["autoUpdates"] = json!({ "type": kind });
                }
            })
            .desired(&service("web", "{ image: \"ghcr.io/shop/web:2\" }"))
    };

    only_tells(&auto("minor"), &["hold", "image auto-updates are on"]).await;
    auto("disabled").apply_wholly().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moved_in_the_registry_is_no_difference() {
    let stage = shop().desired(&service("web", "{ image: \"ghcr.io/shop/web:1\" }"));
    stage.sandbox.by_hand(HandEdit::PushImage {
        image: "ghcr.io/shop/web:1".into(),
        digest: "sha256:0000".into(),
    });

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_by_digest_settles() {
    let digest = "sha256:".to_owned() + &"ab".repeat(32);
    let stage = shop().desired(&service(
        "web",
        &format!("{{ image: \"ghcr.io/shop/web:2@{digest}\" }}"),
    ));

    stage.apply_wholly().await;

    let active = stage.service("web").active.unwrap();
    assert_eq!(
        active.image.unwrap(),
        format!("ghcr.io/shop/web:2@{digest}")
    );
    assert_eq!(stage.effects().len(), 1);
}

// Deployments.

fn newest(status: &'static str) -> impl Fn(&mut Value) + Send + Sync + 'static {
    move |answer| {
        if let Some(instance) = instance(answer, "web") {
            instance["latestDeployment"]["status"] = status.into();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_sleeps_is_healthy() {
    let stage = shop().with_lens(newest("SLEEPING")).desired(&service(
        "web",
        "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: info } }",
    ));

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_status_is_not_touched() {
    for word in ["SOMETHING_NEW", ""] {
        let stage = shop()
            .with_lens(newest(word))
            .desired(&service("web", "{ image: \"ghcr.io/shop/web:1\" }"));

        only_tells(
            &stage,
            &["unseen", "a state that this version does not know"],
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_was_removed_by_hand_is_deployed_again_where_git_says_what_runs() {
    let stage = shop().desired(&service("web", "{ image: \"ghcr.io/shop/web:1\" }"));
    stage.sandbox.by_hand(HandEdit::RemoveDeployment {
        environment: "production".into(),
        service: "web".into(),
    });
    stage.wait(60).await;

    stage.apply_wholly().await;

    assert_eq!(stage.effects().len(), 1);
    assert!(stage.service("web").active.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_was_removed_by_hand_is_only_told_where_git_does_not_say_what_runs() {
    let stage = shop().desired(&service("web", "{ variables: { LOG_LEVEL: info } }"));
    stage.sandbox.by_hand(HandEdit::RemoveDeployment {
        environment: "production".into(),
        service: "web".into(),
    });
    stage.wait(60).await;

    only_tells(&stage, &["note", "nothing runs"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_was_stopped_by_hand_is_started_again_where_git_says_what_runs() {
    let stage = shop().desired(&service("web", "{ image: \"ghcr.io/shop/web:1\" }"));
    stage.sandbox.by_hand(HandEdit::StopDeployment {
        environment: "production".into(),
        service: "web".into(),
    });
    stage.wait(60).await;

    stage.apply_wholly().await;

    assert_eq!(stage.effects().len(), 1);
    assert!(!stage.service("web").active.unwrap().stopped);
}

#[tokio::test(start_paused = true)]
async fn what_sleeps_or_has_done_its_work_is_not_started_again() {
    const ASLEEP: &str = "{ image: \"ghcr.io/shop/web:1\", sleep: true }";
    const DONE: &str = "{ image: \"ghcr.io/shop/web:done\", ready: { absent: true } }";
    for answer in Switches::answers("exited_is_stopped") {
        for spec in [ASLEEP, DONE] {
            let stage = switched("exited_is_stopped", answer).desired(&service("web", spec));
            stage.apply_wholly().await;
            let made = stage.effects().len();
            stage.wait(60 * 60).await;

            let applied = stage.apply_wholly().await;

            assert_eq!(stage.effects().len(), made, "{}", applied.last());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_railway_made_by_itself_is_no_difference() {
    let stage = shop().desired(&service(
        "web",
        "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: info } }",
    ));
    stage.sandbox.by_hand(HandEdit::Redeploy {
        environment: "production".into(),
        service: "web".into(),
    });
    stage.wait(60).await;

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_repository_s_own_file_are_not_fought_over() {
    let stage = shop()
        .with_lens(|answer| {
            if let Some(instance) = instance(answer, "web") {
                let meta = &mut instance["latestDeployment"]["meta"];
                meta["configFile"] = "/railway.json".into();
                meta["fileServiceManifest"] = json!({ "deploy": { "healthcheckPath": "/other", "multiRegionConfig": { "us-west2": { "numReplicas": 9 } } } });
                meta["serviceManifest"]["deploy"]["healthcheckPath"] = "/other".into();
                meta["propertyFileMapping"] = json!({ "deploy.healthcheckPath": "$.deploy.healthcheckPath" });
            }
        })
        .desired(&service("web", "{ ready: { path: /health }, replicas: 2 }"));
    let words = "/railway.json in the repository decides it: deployments run with /other";
    only_tells(&stage, &[words]).await;

    let stage = stage.desired(&service("web", "{ ready: { path: /third }, replicas: 2 }"));
    only_tells(&stage, &[words]).await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_pushed_is_taken_back_to_the_pinned_one_once() {
    for moves in Switches::answers("pushed_commit_moves_stored") {
        let stage = switched("pushed_commit_moves_stored", moves).desired(&service(
            "builder",
            "{ commit: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa }",
        ));
        let (environment, repo) = ("production".to_owned(), "shop/builder".to_owned());
        stage.sandbox.by_hand(HandEdit::AutoDeploy {
            environment,
            service: "builder".into(),
            enabled: true,
        });
        stage.sandbox.by_hand(HandEdit::PushCommit {
            repo,
            branch: "main".into(),
            sha: "d".repeat(40),
            known: Known::default(),
        });
        stage.wait(120).await;

        stage.apply_wholly().await;

        assert_eq!(stage.effects().len(), 1);
        let commit = stage.service("builder").active.unwrap().commit;
        assert_eq!(commit, Some("a".repeat(40)));
    }
}

// What answers may look like.

#[tokio::test(start_paused = true)]
async fn unknown_keys_mean_nothing() {
    let stage = switched("extra_keys", "true")
        .with_lens(|answer| {
            if let Some(environment) = environment_of(answer) {
                environment["config"]["iacPartials"] = json!([{ "a": 1 }]);
                environment["config"]["services"][WEB_ID]["fromTheFuture"] = json!({ "b": [2] });
                environment["fromTheFuture"] = 3.into();
            }
        })
        .desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));

    stage.apply_wholly().await;

    assert_eq!(stage.service("web").variables["LOG_LEVEL"], "debug");
}

#[tokio::test(start_paused = true)]
async fn null_where_an_object_is_expected_never_leads_to_a_write() {
    type Hole = fn(&mut Value);
    let holes: [(&str, Hole); 12] = [
        ("environment", |answer| {
            answer["data"]["projectToken"]["environment"] = Value::Null;
        }),
        ("project", |answer| {
            answer["data"]["projectToken"]["project"] = Value::Null;
        }),
        ("config", |answer| put(answer, &["config"])),
        ("services of config", |answer| {
            put(answer, &["config", "services"]);
        }),
        ("one service", |answer| {
            put(answer, &["config", "services", WEB_ID]);
        }),
        ("instances", |answer| put(answer, &["serviceInstances"])),
        ("edges", |answer| {
            put(answer, &["serviceInstances", "edges"]);
        }),
        ("name", |answer| {
            instance(answer, "web")
                .into_iter()
                .for_each(|web| web["serviceName"] = Value::Null);
        }),
        ("id", |answer| {
            instance(answer, "web")
                .into_iter()
                .for_each(|web| web["serviceId"] = Value::Null);
        }),
        ("status", |answer| {
            instance(answer, "web")
                .into_iter()
                .for_each(|web| web["latestDeployment"]["status"] = Value::Null);
        }),
        ("time", |answer| {
            instance(answer, "web")
                .into_iter()
                .for_each(|web| web["latestDeployment"]["createdAt"] = "yesterday".into());
        }),
        ("pages", |answer| {
            put(answer, &["serviceInstances", "pageInfo"]);
        }),
    ];
    for (what, hole) in holes {
        let stage = shop()
            .with_lens(move |answer| {
                if answer["data"]["projectToken"].is_object() {
                    hole(answer);
                }
            })
            .desired(&service(
                "web",
                "{ image: \"ghcr.io/shop/web:2\", replicas: 3, variables: { LOG_LEVEL: debug } }",
            ));

        let applied = stage.apply().await;

        assert!(!applied.is_in_step(), "{what}");
        assert_eq!(stage.sandbox.mutations(), 0, "{what}: {}", applied.last());
        assert_eq!(stage.effects(), []);
    }
}

fn put(answer: &mut Value, path: &[&str]) {
    let Some(mut at) = environment_of(answer) else {
        return;
    };
    for step in path {
        at = &mut at[*step];
    }
    *at = Value::Null;
}

#[tokio::test(start_paused = true)]
async fn null_for_what_may_be_nothing_is_nothing() {
    let stage = shop()
        .with_lens(|answer| {
            if let Some(config) = web_config(answer) {
                config["build"] = Value::Null;
                config["networking"] = Value::Null;
                config["volumeMounts"] = Value::Null;
                config["deploy"]["cronSchedule"] = Value::Null;
                config["source"]["autoUpdates"] = Value::Null;
                config["variables"]["GONE"] = Value::Null;
                config["deploy"]["multiRegionConfig"]["us-east4-eqdc4a"] = Value::Null;
            }
            if let Some(instance) = instance(answer, "web") {
                instance["latestDeployment"]["meta"] = Value::Null;
            }
        })
        .desired(&service(
            "web",
            "{ image: \"ghcr.io/shop/web:1\", replicas: 2, variables: { LOG_LEVEL: info, GONE: { absent: true } } }",
        ));

    asks_for_nothing(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn one_service_that_cannot_be_read_stops_no_other() {
    let stage = shop()
        .with_lens(|answer| {
            if let Some(config) = web_config(answer) {
                *config = Value::Null;
            }
        })
        .desired(&format!(
            "{}{}",
            service("web", "{ variables: { LOG_LEVEL: debug } }"),
            service("builder", "{ variables: { LOG_LEVEL: debug } }")
        ));

    let applied = stage.apply().await;

    assert_eq!(applied.end, Ok(End::Stands(Standing::Unseen)));
    assert_eq!(stage.service("web").variables["LOG_LEVEL"], "info");
    assert_eq!(stage.service("builder").variables["LOG_LEVEL"], "debug");
}

// Which environment.

#[tokio::test(start_paused = true)]
async fn a_service_of_the_project_without_an_instance_here_is_named_and_not_made() {
    let stage = shop().desired(&service(
        "elsewhere",
        "{ image: \"ghcr.io/shop/elsewhere:1\" }",
    ));

    only_tells(
        &stage,
        &["elsewhere exists in project shop but not in environment production"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_nowhere_is_named_with_the_command_that_makes_it() {
    let stage = shop().desired(&service("wbe", "{ image: \"ghcr.io/shop/web:1\" }"));

    only_tells(
        &stage,
        &["railway add --service wbe", "did you mean `web`?"],
    )
    .await;
}

fn at(environment: &str) -> String {
    format!(
        "kind: Environment\nmetadata: {{ name: preview }}\nspec: {{ railway: {{ project: shop, environment: {environment} }} }}\n---\n{}",
        service("web", "{ variables: { LOG_LEVEL: debug } }")
    )
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_environment_is_not_taken_by_its_name() {
    let stage = shop()
        .with_token(bearer("account-token"))
        .desired(&at("pr-7"));

    let looked = stage.apply().await;

    assert_eq!(
        looked.end,
        Err(Failure::Refused(
            "no environment `pr-7` that project shop shows (2 there)".to_owned()
        ))
    );
    assert_eq!(stage.sandbox.mutations(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_projects_of_one_name_are_told_apart_by_id() {
    let double = |answer: &mut Value| {
        if let Some(edges) = answer.pointer_mut("/data/projects/edges") {
            let mut other = edges[0].clone();
            other["node"]["id"] = "5b000000-0000-4000-8000-000000000002".into();
            edges.as_array_mut().unwrap().push(other);
        }
    };
    let by_name = shop()
        .with_token(bearer("account-token"))
        .with_lens(double)
        .desired(&at("production"));
    let by_id = shop()
        .with_token(bearer("account-token"))
        .with_lens(double)
        .desired(&format!(
            "kind: Environment\nmetadata: {{ name: production }}\nspec: {{ railway: {{ project: {PROJECT_ID}, environment: production }} }}\n---\n{}",
            service("web", "{ variables: { LOG_LEVEL: info } }")
        ));

    assert_eq!(
        by_name.apply().await.end,
        Err(Failure::Refused(
            "2 projects are called `shop`: write the id instead".to_owned()
        ))
    );
    assert_eq!(by_name.sandbox.mutations(), 0);
    asks_for_nothing(&by_id).await;
}

#[tokio::test(start_paused = true)]
async fn more_environments_than_a_page_never_hide_the_wanted_one_silently() {
    let stage = shop()
        .with_token(bearer("account-token"))
        .with_lens(|answer| {
            let Some(edges) = answer.pointer_mut("/data/projects/edges") else {
                return;
            };
            let environments = &mut edges[0]["node"]["environments"];
            environments["edges"]
                .as_array_mut()
                .unwrap()
                .retain(|edge| edge["node"]["name"] != "production");
            environments["pageInfo"]["hasNextPage"] = true.into();
        })
        .desired(&at("production"));

    let end = stage.apply().await.end.unwrap_err();

    assert!(end.to_string().contains("write the id instead"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_the_token_may_not_open_is_denied_in_words() {
    let restricted = |answer: &mut Value| {
        if answer["data"]["environment"].is_object() {
            *answer = json!({ "data": null, "errors": [{ "message": "Not Authorized", "path": ["environment"], "extensions": { "code": "INTERNAL_SERVER_ERROR" } }] });
        }
    };
    let stage = shop()
        .with_token(bearer("account-token"))
        .with_lens(restricted)
        .desired(&at("production"));

    let end = stage.apply().await.end.unwrap_err();

    assert!(matches!(end, Failure::Denied(_)), "{end:?}");
    assert!(end.to_string().contains("Not Authorized"), "{end}");
    assert_eq!(stage.sandbox.mutations(), 0);
}

// Lag, staleness, other hands.

#[tokio::test(start_paused = true)]
async fn stale_reads_right_after_a_write_cause_no_second_deployment() {
    for first in 1..6 {
        let stale = (first..first + 4).map(|index| (index, Fault::StaleRead { seconds_back: 10 }));
        let stage = Stage::new(SHOP, Switches::default(), Faults::script(stale.collect())).desired(
            &service(
                "web",
                "{ image: \"ghcr.io/shop/web:2\", variables: { LOG_LEVEL: debug }, replicas: 3 }",
            ),
        );

        stage.apply_wholly().await;

        let deployments: usize = stage
            .effects()
            .iter()
            .map(|effect| effect.deployments.len())
            .sum();
        assert_eq!(deployments, 1, "stale from request {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_takes_its_time_is_waited_for() {
    for lag in Switches::answers("patch_apply_lag") {
        for workflow in Switches::answers("workflow_lag") {
            let switches = Switches::default()
                .with("patch_apply_lag", lag)
                .with("workflow_lag", workflow);
            let stage = Stage::new(SHOP, switches, Faults::none())
                .desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));

            stage.apply_wholly().await;

            assert_eq!(stage.effects().len(), 1, "{lag} {workflow}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_railway_cannot_apply_is_told_and_not_sent_again_and_again() {
    let stage = shop().desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));
    stage.sandbox.by_hand(HandEdit::FailNextPatch {
        environment: "production".into(),
        error: "a volume is being migrated".into(),
    });

    let applied = stage.apply().await;

    assert_eq!(applied.end, Ok(End::Stands(Standing::Held)));
    assert!(
        applied
            .last()
            .contains("Railway could not apply it: a volume is being migrated"),
        "{}",
        applied.last()
    );
    assert_eq!(stage.sandbox.mutations(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_staged_is_never_committed() {
    for answer in Switches::answers("commit_over_staged") {
        let stage = switched("commit_over_staged", answer).desired(&service(
            "web",
            "{ image: \"ghcr.io/shop/web:2\", variables: { LOG_LEVEL: debug }, replicas: 3 }",
        ));
        stage.sandbox.by_hand(HandEdit::Stage {
            environment: "production".into(),
            patch: json!({ "services": { "other": { "variables": { "MINE": { "value": "not finished" } } } } }),
        });

        let applied = stage.apply().await;

        assert_eq!(applied.end, Ok(End::Stands(Standing::Held)), "{answer}");
        assert!(
            applied
                .last()
                .contains("note: staged by hand at Railway and left alone: other.variables.MINE"),
            "{}",
            applied.last()
        );
        assert_eq!(stage.sandbox.mutations(), 0, "{answer}");
        assert_eq!(stage.service("other").variables["MINE"], "not yours");
        assert!(!applied.last().contains("not finished"));

        stage.sandbox.by_hand(HandEdit::CommitStaged {
            environment: "production".into(),
            deploy: true,
        });
        stage.wait(60).await;
        stage.apply_wholly().await;
        assert!(
            stage
                .effects()
                .iter()
                .all(|effect| !effect.committed_foreign_stage)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_staged_stops_no_release_that_needs_no_patch() {
    let stage = shop().desired(&service(
        "builder",
        "{ commit: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb }",
    ));
    stage.sandbox.by_hand(HandEdit::Stage {
        environment: "production".into(),
        patch: json!({ "services": { "other": { "variables": { "MINE": { "value": "not finished" } } } } }),
    });

    let applied = stage.apply().await;

    assert!(applied.is_in_step(), "{}", applied.last());
    assert_eq!(stage.service("other").variables["MINE"], "not yours");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_back_by_hand_is_made_again() {
    let stage = shop().desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));
    stage.apply_wholly().await;
    stage.sandbox.by_hand(by_hand("LOG_LEVEL", "trace"));
    stage.sandbox.by_hand(by_hand("KEPT", "changed by hand"));
    stage.wait(60).await;

    stage.apply_wholly().await;

    let web = stage.service("web");
    assert_eq!(web.variables["LOG_LEVEL"], "debug");
    assert_eq!(web.variables["KEPT"], "changed by hand");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_renamed_is_missing_under_its_old_name_and_nothing_is_written() {
    let stage = shop().desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));
    stage.sandbox.by_hand(HandEdit::Rename {
        service: "web".into(),
        name: "website".into(),
    });

    only_tells(&stage, &["there is no service web in project shop"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_variable_that_changed_by_hand_is_no_difference() {
    for answer in Switches::answers("shared_variable_redeploys") {
        let stage = switched("shared_variable_redeploys", answer).desired(&service(
            "web",
            "{ image: \"ghcr.io/shop/web:1\", variables: { LOG_LEVEL: info } }",
        ));
        stage.sandbox.by_hand(HandEdit::SetVariable {
            environment: "production".into(),
            service: None,
            name: "COMPANY".into(),
            value: "Another".into(),
            deploy: true,
        });
        stage.wait(60).await;

        asks_for_nothing(&stage).await;
    }
}
