//! Settings with consequences: each is seen in the configuration, on the instance and in the manifest, and does what it says.

use sandbox::{
    Checks, DeploymentView, Faults, HandEdit, Known, Plan, Sandbox, Seed, Status, Switches,
};
use serde_json::{Value, json};

use crate::client::*;

/// A service `web` with a domain, a `job`, a `store` with a volume, and a repository service `api`.
const WORLD: &str = r#"
projects:
  shop:
    id: p
    services: { web: web, job: job, store: store, api: api }
    environments:
      production:
        id: 5e27a000-0000-4000-8000-0000000000e1
        services:
          web: { image: "app:1", domains: [shop.up.railway.app], variables: { A: "1" } }
          job: { image: "app:1", variables: { URL: "${{ web.RAILWAY_PUBLIC_DOMAIN }}" } }
          store: { image: "redis:7", domains: [store.up.railway.app], volume: { id: v, name: data, mount: /data } }
          api: { repo: shop/api, branch: main, commit: aaa, build: { watchPatterns: ["src/**"] } }
images:
  app:bad-migration: { pre_deploy_fails: true, log: ["relation users does not exist"] }
  app:crash: { outcome: crashed, log: ["panic: no such column"] }
  app:done: { outcome: exits, log: [done] }
  app:private: { password: s3cret }
  app:bad: { outcome: failed, log: [manifest unknown] }
  app:chatty: { log: ['{"level":"warn","message":"slow query","table":"orders","rows":12}', "plain text"] }
commits:
  aaa: {}
tokens:
  account-token: { kind: account }
"#;

fn shop() -> Sandbox {
    shop_with(Plan::Pro, Switches::default())
}

fn shop_with(plan: Plan, switches: Switches) -> Sandbox {
    let seed = Seed {
        plan,
        ..Seed::parse(WORLD).unwrap()
    };
    Sandbox::new(&seed, switches, Faults::none(), 7)
}

async fn set(sandbox: &Sandbox, service: &str, part: Value) -> Answer {
    commit(sandbox, json!({ "services": { service: part } })).await
}

async fn release(sandbox: &Sandbox, image: &str, deploy: Value) {
    let part = json!({ "source": { "image": image }, "deploy": deploy });
    set(sandbox, "web", part).await.data();
}

fn newest(sandbox: &Sandbox, service: &str) -> DeploymentView {
    let view = sandbox.look();
    view.service("production", service).newest.clone().unwrap()
}

async fn about(sandbox: &Sandbox, id: &str) -> Value {
    let query = format!(
        "{{ deployment(id: \"{id}\") {{ status deploymentStopped meta instances {{ status }} }} deploymentEvents(id: \"{id}\") {{ edges {{ node {{ step createdAt completedAt payload {{ attempt maxAttempts error reason durationMs }} }} }} }} deploymentLogs(deploymentId: \"{id}\") {{ message severity attributes {{ key value }} }} }}"
    );
    data(sandbox, &query).await
}

fn steps(about: &Value) -> Vec<&str> {
    let edges = about["deploymentEvents"]["edges"].as_array().unwrap();
    edges
        .iter()
        .map(|edge| edge["node"]["step"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_setting_is_seen_in_config_instance_and_manifest() {
    let sandbox = shop();
    let wanted = json!({
        "startCommand": "node server.js", "preDeployCommand": ["npm run migrate"], "healthcheckPath": "/up", "healthcheckTimeout": 60,
        "restartPolicyType": "ALWAYS", "restartPolicyMaxRetries": 3, "sleepApplication": true, "overlapSeconds": 5, "drainingSeconds": 7,
        "ipv6EgressEnabled": true,
    });
    let more = json!({ "limitOverride": { "containers": { "cpu": 2, "memoryBytes": 2_000_000_000 } }, "registryCredentials": { "username": "u", "password": "p4ss" } });
    let mut deploy = wanted.as_object().unwrap().clone();
    deploy.extend(more.as_object().unwrap().clone());

    set(&sandbox, "web", json!({ "deploy": deploy }))
        .await
        .data();
    after(30).await;

    let query = format!(
        "{{ serviceInstance(serviceId: \"web\", environmentId: \"{PRODUCTION}\") {{ startCommand preDeployCommand healthcheckPath healthcheckTimeout restartPolicyType restartPolicyMaxRetries sleepApplication overlapSeconds drainingSeconds ipv6EgressEnabled latestDeployment {{ status meta }} }} environment(id: \"{PRODUCTION}\") {{ config(decryptVariables: true) }} }}"
    );
    let read = ask(&sandbox, &query, json!({})).await;
    assert!(!read.text.contains("p4ss"), "{}", read.text);
    let read = read.data();
    let stored = &read["environment"]["config"]["services"]["web"]["deploy"];
    let instance = &read["serviceInstance"];
    let manifest = &instance["latestDeployment"]["meta"]["serviceManifest"]["deploy"];
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&stored[key], value, "config {key}");
        assert_eq!(&instance[key], value, "instance {key}");
        assert_eq!(&manifest[key], value, "manifest {key}");
    }
    assert_eq!(stored["limitOverride"], more["limitOverride"]);
    assert_eq!(manifest["limitOverride"], more["limitOverride"]);
    assert_eq!(stored["registryCredentials"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_failing_pre_deploy_command_fails_the_deployment_and_only_then() {
    let sandbox = shop();

    release(&sandbox, "app:bad-migration", json!({})).await;
    after(20).await;
    let without = newest(&sandbox, "web");
    release(
        &sandbox,
        "app:bad-migration",
        json!({ "preDeployCommand": "npm run migrate" }),
    )
    .await;
    after(20).await;
    let failed = newest(&sandbox, "web");
    release(&sandbox, "app:2", json!({})).await;
    after(20).await;
    let good = newest(&sandbox, "web");

    assert_eq!(without.status, Status::Success);
    assert_eq!(failed.status, Status::Failed);
    let about_failed = about(&sandbox, &failed.id).await;
    assert_eq!(steps(&about_failed), ["PRE_DEPLOY_COMMAND"]);
    let payload = &about_failed["deploymentEvents"]["edges"][0]["node"]["payload"];
    assert_eq!(payload["error"], "relation users does not exist");
    assert_eq!(good.status, Status::Success);
    let about_good = about(&sandbox, &good.id).await;
    assert_eq!(
        steps(&about_good),
        [
            "PRE_DEPLOY_COMMAND",
            "CREATE_CONTAINER",
            "CONFIGURE_NETWORK",
            "DRAIN_INSTANCES"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_restart_policy_decides_what_a_crash_comes_to() {
    for (policy, retries, status, says) in [
        ("ON_FAILURE", 3, Status::Crashed, "restarted 3 times"),
        ("NEVER", 3, Status::Crashed, "no such column"),
        ("ALWAYS", 3, Status::Success, "no such column"),
    ] {
        let sandbox = shop();
        let deploy = json!({ "restartPolicyType": policy, "restartPolicyMaxRetries": retries });
        release(&sandbox, "app:crash", deploy).await;
        after(20).await;

        let newest = newest(&sandbox, "web");

        assert_eq!(newest.status, status, "{policy}");
        let about = about(&sandbox, &newest.id).await;
        assert!(about.to_string().contains(says), "{policy}: {about}");
        assert_eq!(
            about.to_string().contains("restarted"),
            policy == "ON_FAILURE"
        );
        let replica = if policy == "ALWAYS" {
            "RESTARTING"
        } else {
            "CRASHED"
        };
        assert_eq!(about["deployment"]["instances"][0]["status"], replica);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_exits_well_stays_a_success() {
    for (answer, stopped) in [("false", false), ("true", true)] {
        let switches = Switches::default().with("exited_is_stopped", answer);
        let sandbox = shop_with(Plan::Pro, switches);
        release(&sandbox, "app:done", json!({})).await;
        after(20).await;

        let about = about(&sandbox, &newest(&sandbox, "web").id).await;

        let deployment = &about["deployment"];
        assert_eq!(deployment["status"], "SUCCESS");
        assert_eq!(deployment["instances"][0]["status"], "EXITED");
        assert_eq!(deployment["deploymentStopped"], stopped);
        assert_eq!(sandbox.page("shop.up.railway.app", "/").status(), 502);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cron_schedule_is_checked_and_tells_its_next_run() {
    let sandbox = shop();
    let schedule = async |text: &str| {
        let part = json!({ "deploy": { "cronSchedule": text } });
        set(&sandbox, "job", part).await
    };
    let next = async || {
        let query = format!(
            "{{ serviceInstance(serviceId: \"job\", environmentId: \"{PRODUCTION}\") {{ cronSchedule nextCronRunAt latestDeployment {{ status }} }} }}"
        );
        data(&sandbox, &query).await["serviceInstance"].clone()
    };
    assert_eq!(next().await["nextCronRunAt"], Value::Null);

    assert!(
        schedule("at night")
            .await
            .error()
            .contains("Invalid cron schedule")
    );
    assert!(schedule("*/2 * * * *").await.error().contains("5 minutes"));
    schedule("30 3 * * *").await.data();
    after(60).await;

    let told = next().await;
    assert_eq!(told["nextCronRunAt"], "2026-11-23T03:30:00.000Z");
    assert_eq!(told["latestDeployment"]["status"], "SUCCESS");
    let two = json!({ "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 2 } } } });
    assert!(
        set(&sandbox, "job", two.clone())
            .await
            .error()
            .contains("cron")
    );
    set(&sandbox, "web", two).await.data();
    let cron = json!({ "deploy": { "cronSchedule": "0 3 * * *" } });
    assert!(set(&sandbox, "web", cron).await.error().contains("cron"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_falls_asleep_and_a_request_wakes_it() {
    let sandbox = shop();
    let page = || sandbox.page("shop.up.railway.app", "/").status().as_u16();
    set(
        &sandbox,
        "web",
        json!({ "deploy": { "sleepApplication": true } }),
    )
    .await
    .data();
    after(500).await;
    page();
    after(300).await;
    assert_eq!(
        newest(&sandbox, "web").status,
        Status::Success,
        "it was visited"
    );
    after(400).await;

    let asleep = newest(&sandbox, "web");
    let serves = sandbox.look().service("production", "web").active.clone();
    let woken = page();
    let awake = newest(&sandbox, "web");
    after(700).await;

    assert_eq!(asleep.status, Status::Sleeping);
    assert_eq!(serves.unwrap().id, asleep.id);
    assert_eq!(
        (woken, awake.status, awake.id),
        (200, Status::Success, asleep.id)
    );
    assert_eq!(
        newest(&sandbox, "web").status,
        Status::Sleeping,
        "idle again"
    );
}

#[tokio::test(start_paused = true)]
async fn the_request_that_wakes_a_service_may_be_lost() {
    let switches = Switches::default().with("waking_request", "bad_gateway");
    let sandbox = shop_with(Plan::Pro, switches);
    let page = || sandbox.page("shop.up.railway.app", "/").status().as_u16();
    set(
        &sandbox,
        "web",
        json!({ "deploy": { "sleepApplication": true } }),
    )
    .await
    .data();
    after(700).await;

    let (first, second) = (page(), page());
    after(3).await;

    assert_eq!((first, second, page()), (502, 502, 200));
    let id = newest(&sandbox, "web").id;
    data(
        &sandbox,
        &format!("mutation {{ deploymentStop(id: \"{id}\") }}"),
    )
    .await;
    after(700).await;
    assert_eq!(
        newest(&sandbox, "web").status,
        Status::Success,
        "a stopped one does not fall asleep"
    );
}

#[tokio::test(start_paused = true)]
async fn the_old_deployment_overlaps_and_drains_before_it_is_gone() {
    for part in [
        json!({ "deploy": { "overlapSeconds": 20, "drainingSeconds": 30 } }),
        json!({ "variables": { "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS": { "value": "20" }, "RAILWAY_DEPLOYMENT_DRAINING_SECONDS": { "value": "30" } } }),
    ] {
        let sandbox = shop();
        set(&sandbox, "web", part).await.data();
        after(20).await;
        let old = newest(&sandbox, "web").id;
        let status = async || about(&sandbox, &old).await["deployment"]["status"].clone();

        release(&sandbox, "app:2", json!({})).await;
        after(10).await;
        let draining = status().await;
        after(40).await;
        let still = status().await;
        after(10).await;

        assert_eq!((draining, still), (json!("REMOVING"), json!("REMOVING")));
        assert_eq!(status().await, "REMOVED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_image_needs_the_right_password_and_the_pro_plan() {
    let sandbox = shop();
    let credentials = |password: &str| json!({ "registryCredentials": { "username": "u", "password": password } });

    release(&sandbox, "app:private", json!({})).await;
    after(20).await;
    let locked = newest(&sandbox, "web");
    release(&sandbox, "app:private", credentials("old")).await;
    after(20).await;
    let wrong = newest(&sandbox, "web");
    release(&sandbox, "app:private", credentials("s3cret")).await;
    after(20).await;
    let right = newest(&sandbox, "web");
    let hobby = shop_with(Plan::Hobby, Switches::default());
    let refused = set(&hobby, "web", json!({ "deploy": credentials("s3cret") })).await;
    let create = "mutation($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }";
    let input = json!({ "projectId": "p", "name": "new", "source": { "image": "app:private" }, "registryCredentials": { "username": "u", "password": "s3cret" } });
    let not_made = ask(&hobby, create, json!({ "i": input })).await;
    let made = ask(&sandbox, create, json!({ "i": input })).await;
    after(20).await;

    assert_eq!(locked.status, Status::Failed);
    assert!(
        about(&sandbox, &locked.id)
            .await
            .to_string()
            .contains("unauthorized")
    );
    assert_eq!(
        (wrong.status, right.status),
        (Status::Failed, Status::Success)
    );
    assert!(refused.error().contains("Pro plan") && not_made.error().contains("Pro plan"));
    assert!(
        !hobby
            .look()
            .environment("production")
            .services
            .contains_key("new")
    );
    made.data();
    assert_eq!(newest(&sandbox, "new").status, Status::Success);
}

fn push(sandbox: &Sandbox, sha: &str, known: Known) {
    sandbox.by_hand(HandEdit::PushCommit {
        repo: "shop/api".into(),
        branch: "main".into(),
        sha: sha.into(),
        known,
    });
}

#[tokio::test(start_paused = true)]
async fn a_push_waits_for_its_checks_and_is_skipped_when_they_fail() {
    let sandbox = shop();
    set(
        &sandbox,
        "api",
        json!({ "source": { "checkSuites": true } }),
    )
    .await
    .data();
    after(60).await;
    let failing = Known {
        checks: Checks::Fail,
        ..Known::default()
    };

    push(&sandbox, "bbb", Known::default());
    let waiting = newest(&sandbox, "api").status;
    after(60).await;
    let passed = newest(&sandbox, "api");
    push(&sandbox, "ccc", failing);
    after(60).await;
    let skipped = newest(&sandbox, "api");

    assert_eq!(waiting, Status::Waiting);
    assert_eq!(
        (passed.status, passed.commit.as_deref()),
        (Status::Success, Some("bbb"))
    );
    assert_eq!(skipped.status, Status::Skipped);
    let serves = sandbox.look().service("production", "api").active.clone();
    assert_eq!(serves.unwrap().id, passed.id);
    let triggers = data(&sandbox, &format!("{{ environment(id: \"{PRODUCTION}\") {{ deploymentTriggers {{ edges {{ node {{ checkSuites }} }} }} }} }}")).await;
    assert_eq!(
        triggers["environment"]["deploymentTriggers"]["edges"][0]["node"]["checkSuites"],
        true
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_that_changes_nothing_watched_is_skipped() {
    let sandbox = shop();
    let changing = |file: &str| Known {
        files: vec![file.into()],
        ..Known::default()
    };

    push(&sandbox, "bbb", changing("docs/a.md"));
    let skipped = newest(&sandbox, "api").status;
    push(&sandbox, "ccc", changing("src/a.js"));
    after(60).await;

    assert_eq!(skipped, Status::Skipped);
    assert_eq!(newest(&sandbox, "api").status, Status::Success);
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_volume_is_never_there_twice() {
    let sandbox = shop();
    let page = || sandbox.page("store.up.railway.app", "/").status().as_u16();
    let image = |image: &str| json!({ "source": { "image": image } });

    set(&sandbox, "store", image("redis:8")).await.data();
    let before = page();
    after(3).await;
    let during = page();
    after(10).await;
    let done = page();
    set(
        &sandbox,
        "store",
        json!({ "source": { "image": "app:crash" } }),
    )
    .await
    .data();
    after(30).await;

    assert_eq!((before, during, done), (200, 502, 200));
    assert_eq!(newest(&sandbox, "store").status, Status::Crashed);
    assert_eq!(page(), 200, "the old one has the volume back");
}

#[tokio::test(start_paused = true)]
async fn a_volume_follows_its_service_into_another_region() {
    for (answer, moves_at_once) in [("true", true), ("false", false)] {
        let switches = Switches::default().with("volume_move_deploys", answer);
        let sandbox = shop_with(Plan::Pro, switches);
        let volume = async || {
            let query = format!(
                "{{ environment(id: \"{PRODUCTION}\") {{ volumeInstances {{ edges {{ node {{ id volumeId region state }} }} }} config }} }}"
            );
            let read = data(&sandbox, &query).await["environment"].clone();
            let node = read["volumeInstances"]["edges"][0]["node"].clone();
            assert_eq!(read["config"]["volumes"]["v"]["region"], node["region"]);
            node
        };
        let old = volume().await;
        let region = json!({ "us-west2": null, "europe-west4-drams3a": { "numReplicas": 1 } });

        set(
            &sandbox,
            "store",
            json!({ "deploy": { "multiRegionConfig": region } }),
        )
        .await
        .data();
        let pending = volume().await;
        let deployments = sandbox.look().service("production", "store").deployments;
        data(&sandbox, &format!("mutation {{ serviceInstanceDeployV2(serviceId: \"store\", environmentId: \"{PRODUCTION}\") }}")).await;
        after(5).await;
        let (moving, page) = (
            volume().await,
            sandbox.page("store.up.railway.app", "/").status(),
        );
        after(40).await;
        let moved = volume().await;

        assert_eq!(
            (&old["state"], &old["region"]),
            (&json!("READY"), &json!("us-west2"))
        );
        assert_eq!(pending["state"], "MIGRATION_PENDING", "{answer}");
        assert_eq!(deployments, if moves_at_once { 2 } else { 1 });
        assert_eq!(
            (&moving["state"], page.as_u16()),
            (&json!("MIGRATING"), 502)
        );
        assert_eq!(
            (&moved["state"], &moved["region"]),
            (&json!("READY"), &json!("europe-west4-drams3a"))
        );
        assert_eq!(moved["volumeId"], old["volumeId"]);
        assert_ne!(moved["id"], old["id"]);
        let newest = newest(&sandbox, "store");
        assert_eq!(newest.replicas["europe-west4-drams3a"], 1);
        let about = about(&sandbox, &newest.id).await;
        assert_eq!(steps(&about)[0], "MIGRATE_VOLUMES");
        assert_eq!(
            about["deploymentEvents"]["edges"][0]["node"]["payload"]["durationMs"],
            20_000
        );
    }
}

#[tokio::test(start_paused = true)]
async fn in_one_batch_a_service_comes_after_those_it_refers_to() {
    let sandbox = shop();
    let image = |image: &str| json!({ "source": { "image": image }, "deploy": { "preDeployCommand": "sleep" } });

    commit(
        &sandbox,
        json!({ "services": { "web": image("app:2"), "job": { "source": { "image": "app:2" } } } }),
    )
    .await
    .data();
    after(6).await;
    let job = newest(&sandbox, "job");
    let during = about(&sandbox, &job.id).await;
    after(20).await;

    assert_eq!(job.status, Status::Initializing);
    assert_eq!(steps(&during), ["WAIT_FOR_DEPENDENCIES"]);
    assert_eq!(newest(&sandbox, "job").status, Status::Success);
    let done = about(&sandbox, &job.id).await;
    assert_eq!(
        steps(&done)[..2],
        ["WAIT_FOR_DEPENDENCIES", "CREATE_CONTAINER"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_free_plan_restarts_less_and_deploys_at_night() {
    let free = shop_with(Plan::Free, Switches::default());
    let policy = |kind: &str, retries: u32| json!({ "deploy": { "restartPolicyType": kind, "restartPolicyMaxRetries": retries } });
    assert!(
        set(&free, "web", policy("ALWAYS", 1))
            .await
            .error()
            .contains("Free plan")
    );
    assert!(
        set(&free, "web", policy("ON_FAILURE", 11))
            .await
            .error()
            .contains("Free plan")
    );
    set(&free, "web", policy("ON_FAILURE", 5)).await.data();

    let deploy = format!(
        "mutation {{ serviceInstanceDeployV2(serviceId: \"web\", environmentId: \"{PRODUCTION}\") }}"
    );
    let rejecting = shop_with(
        Plan::Free,
        Switches::default().with("peak_hours", "rejected"),
    );
    let queueing = shop_with(Plan::Free, Switches::default().with("peak_hours", "queued"));
    assert!(
        ask(&rejecting, &deploy, json!({}))
            .await
            .error()
            .contains("peak hours")
    );
    data(&queueing, &deploy).await;
    after(300).await;
    assert_eq!(newest(&queueing, "web").status, Status::Queued);
    after(400).await;
    assert_eq!(newest(&queueing, "web").status, Status::Success);
}

#[tokio::test(start_paused = true)]
async fn a_structured_log_line_is_taken_apart_and_can_be_searched() {
    let sandbox = shop();
    release(&sandbox, "app:chatty", json!({})).await;
    after(20).await;
    let id = newest(&sandbox, "web").id;
    let found = async |filter: &str| {
        let query = "query($d: String!, $f: String) { deploymentLogs(deploymentId: $d, filter: $f) { message severity attributes { key value } } }";
        ask(&sandbox, query, json!({ "d": id, "f": filter }))
            .await
            .data()["deploymentLogs"]
            .clone()
    };

    let slow = found("@table:orders AND @rows:>10 AND @level:warn").await;

    assert_eq!(
        (slow.as_array().unwrap().len(), &slow[0]["message"]),
        (1, &json!("slow query"))
    );
    assert_eq!(slow[0]["severity"], "warn");
    assert_eq!(found("plain").await.as_array().unwrap().len(), 1);
    assert_eq!(found("@rows:>12").await, json!([]));
}
