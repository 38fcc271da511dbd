//! What Railway does by itself: newer images, files of a repository, moved deployments, environments of pull requests.

use sandbox::{DeploymentView, Faults, HandEdit, Known, Sandbox, Seed, Switches};
use serde_json::json;

use crate::client::*;

fn newest(sandbox: &Sandbox, service: &str) -> DeploymentView {
    let view = sandbox.look();
    view.service("production", service).newest.clone().unwrap()
}

/// Image services that update themselves, beside one that does not.
const UPDATING: &str = r#"
projects:
  shop:
    id: p
    services: { web: web, store: store, fixed: fixed }
    environments:
      production:
        id: e
        services:
          web: { image: "ghcr.io/shop/web:1.2.3" }
          store: { image: "redis:latest", volume: { id: v, name: data, mount: /data } }
          fixed: { image: "ghcr.io/shop/web:1.2.3" }
tokens:
  account-token: { kind: account }
"#;

#[tokio::test(start_paused = true)]
async fn an_image_may_update_itself_within_its_window() {
    let sandbox = Sandbox::new(
        &Seed::parse(UPDATING).unwrap(),
        Switches::default(),
        Faults::none(),
        7,
    );
    let updates = json!({ "services": {
        "web": { "source": { "autoUpdates": { "type": "patch", "schedule": [{ "day": "monday", "startHour": 4, "endHour": 6 }] } } },
        "store": { "source": { "autoUpdates": { "type": "minor" } } },
    } });
    let query = "mutation($p: EnvironmentConfig) { environmentPatchCommit(environmentId: \"e\", patch: $p) }";
    ask(&sandbox, query, json!({ "p": updates })).await.data();
    after(60).await;
    let image = |service: &str| {
        sandbox.look().service("production", service).config["source"]["image"]
            .as_str()
            .unwrap()
            .to_string()
    };

    sandbox.by_hand(HandEdit::PublishTag {
        image: "ghcr.io/shop/web:1.3.0".into(),
    });
    sandbox.by_hand(HandEdit::PublishTag {
        image: "ghcr.io/shop/web:1.2.4".into(),
    });
    let before = newest(&sandbox, "store");
    sandbox.by_hand(HandEdit::PushImage {
        image: "redis:latest".into(),
        digest: "sha256:new".into(),
    });
    after(60).await;
    let early = image("web");
    let store = newest(&sandbox, "store");
    after(2 * 3600).await;

    assert_eq!(early, "ghcr.io/shop/web:1.2.3", "the window opens at four");
    assert_eq!(image("web"), "ghcr.io/shop/web:1.2.4");
    assert_eq!(
        newest(&sandbox, "web").image.as_deref(),
        Some("ghcr.io/shop/web:1.2.4")
    );
    assert_eq!(image("fixed"), "ghcr.io/shop/web:1.2.3");
    assert_ne!(store.id, before.id);
    assert_eq!(
        (image("store").as_str(), store.digest.as_deref()),
        ("redis:latest", Some("sha256:new"))
    );
    assert_eq!(
        sandbox.look().environment("production").volumes["data"]
            .backups
            .len(),
        1
    );
    let instance = sandbox.look().environment("production").volumes["data"]
        .instance_id
        .clone();
    let backups = ask(
        &sandbox,
        "query($v: String!) { volumeInstanceBackupList(volumeInstanceId: $v) { name } }",
        json!({ "v": instance }),
    )
    .await
    .data();
    assert_eq!(
        backups["volumeInstanceBackupList"][0]["name"],
        "Auto Update redis:latest"
    );
    assert_eq!(sandbox.effects().len(), 1, "none of it is the client's");
}

#[tokio::test(start_paused = true)]
async fn a_file_in_the_repository_overrides_settings_and_says_so() {
    let yaml = r#"
projects:
  shop:
    id: p
    services: { api: api }
    environments:
      production:
        id: 5e27a000-0000-4000-8000-0000000000e1
        services:
          api: { repo: shop/api, commit: aaa, deploy: { startCommand: stored, drainingSeconds: 5 } }
commits:
  aaa: {}
  bbb: { file: { build: { buildCommand: make }, deploy: { startCommand: from-file, multiRegionConfig: { us-west2: { numReplicas: 2 } } }, environments: { production: { deploy: { healthcheckPath: /up } } } } }
tokens:
  account-token: { kind: account }
"#;
    let sandbox = Sandbox::new(
        &Seed::parse(yaml).unwrap(),
        Switches::default(),
        Faults::none(),
        7,
    );
    data(&sandbox, &format!("mutation {{ serviceInstanceDeployV2(serviceId: \"api\", environmentId: \"{PRODUCTION}\", commitSha: \"bbb\") }}")).await;
    after(60).await;

    let query = format!(
        "{{ serviceInstance(serviceId: \"api\", environmentId: \"{PRODUCTION}\") {{ startCommand latestDeployment {{ meta instances {{ status }} }} }} }}"
    );
    let read = data(&sandbox, &query).await["serviceInstance"].clone();
    commit(&sandbox, json!({ "services": { "api": { "deploy": { "multiRegionConfig": { "us-west2": { "numReplicas": 4 } } } } } })).await.data();

    let meta = &read["latestDeployment"]["meta"];
    assert_eq!(
        read["startCommand"], "stored",
        "the file is not written back"
    );
    assert_eq!(
        meta["serviceManifest"]["deploy"]["startCommand"],
        "from-file"
    );
    assert_eq!(
        (
            &meta["serviceManifest"]["deploy"]["healthcheckPath"],
            &meta["serviceManifest"]["deploy"]["drainingSeconds"]
        ),
        (&json!("/up"), &json!(5))
    );
    assert_eq!(meta["configFile"], "railway.json");
    assert_eq!(
        meta["fileServiceManifest"]["build"],
        json!({ "buildCommand": "make" })
    );
    assert_eq!(
        meta["propertyFileMapping"]["deploy.startCommand"],
        "$.deploy.startCommand"
    );
    assert_eq!(
        read["latestDeployment"]["instances"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let api = sandbox.look().service("production", "api").clone();
    assert_eq!(
        (
            api.replicas["us-west2"],
            api.active.unwrap().replicas["us-west2"]
        ),
        (4, 2),
        "the file owns the placement"
    );
}

#[tokio::test(start_paused = true)]
async fn railway_moves_deployments_and_restarts_single_processes() {
    let sandbox = sandbox();
    let (environment, service) = (|| "production".to_string(), || "web".to_string());
    let old = newest(&sandbox, "web");

    sandbox.by_hand(HandEdit::CrashReplica {
        environment: environment(),
        service: service(),
    });
    let one_down = newest(&sandbox, "web").replicas["us-west2"];
    let page = sandbox
        .page("sentia-manufacturing.up.railway.app", "/")
        .status();
    after(5).await;
    let both = newest(&sandbox, "web").replicas["us-west2"];
    sandbox.by_hand(HandEdit::Migrate {
        environment: environment(),
        service: service(),
    });
    after(20).await;

    let moved = newest(&sandbox, "web");
    assert_eq!((one_down, page.as_u16(), both), (1, 200, 2));
    assert_ne!(moved.id, old.id);
    assert_eq!(
        (moved.reason, &moved.of, &moved.image, &moved.variables),
        ("migrate", &Some(old.id), &old.image, &old.variables)
    );
    assert_eq!(
        sandbox
            .look()
            .service("production", "web")
            .active
            .clone()
            .unwrap()
            .id,
        moved.id
    );
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_has_an_environment_of_its_own() {
    let sandbox = built(Switches::default());
    data(&sandbox, "mutation { environmentPatchCommit(environmentId: \"e\", patch: { services: { api: { variables: { KEY: { value: \"s\", isSealed: true } } } } }) }").await;
    sandbox.by_hand(HandEdit::PushCommit {
        repo: "sentia/api".into(),
        branch: "fix".into(),
        sha: "fff".into(),
        known: Known::default(),
    });
    sandbox.by_hand(HandEdit::OpenPullRequest {
        repo: "sentia/api".into(),
        number: 7,
        branch: "fix".into(),
        title: "Fix it".into(),
    });
    after(60).await;
    let environments = async |more: &str| {
        let query = format!(
            "{{ environments(projectId: \"p\"{more}) {{ edges {{ node {{ name isEphemeral meta {{ prNumber prTitle prRepo branch baseBranch }} sourceEnvironment {{ name }} }} }} }} }}"
        );
        data(&sandbox, &query).await["environments"]["edges"]
            .as_array()
            .unwrap()
            .clone()
    };

    let all = environments("").await;
    let lasting = environments(", isEphemeral: false").await;
    let view = sandbox.look();
    let api = view.service("shop-pr-7", "api");
    sandbox.by_hand(HandEdit::ClosePullRequest {
        repo: "sentia/api".into(),
        number: 7,
    });

    let node = &all[1]["node"];
    assert_eq!(
        (&node["name"], &node["isEphemeral"]),
        (&json!("shop-pr-7"), &json!(true))
    );
    assert_eq!(
        node["meta"],
        json!({ "prNumber": 7, "prTitle": "Fix it", "prRepo": "sentia/api", "branch": "fix", "baseBranch": "main" })
    );
    assert_eq!(node["sourceEnvironment"]["name"], "production");
    assert_eq!(
        (all.len(), lasting.len(), environments("").await.len()),
        (2, 1, 1)
    );
    assert_eq!(api.active.as_ref().unwrap().commit.as_deref(), Some("fff"));
    assert_eq!(
        (
            api.variables.get("KEY"),
            api.variables["LOG_LEVEL"].as_str()
        ),
        (None, "info")
    );
}
