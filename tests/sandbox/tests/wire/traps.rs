//! What surprises a client of Railway: throttles, second factors, copies that arrive late, and switches that few expect.

use sandbox::{Faults, HandEdit, Plan, Sandbox, Seed, Status, Switches};
use serde_json::{Value, json};

use crate::client::*;

const COPY: &str = "mutation($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id name isEphemeral } }";

fn copy(name: &str, more: Value) -> Value {
    let mut input =
        json!({ "projectId": PROJECT, "name": name, "sourceEnvironmentId": PRODUCTION });
    let more = more.as_object().unwrap().clone();
    input.as_object_mut().unwrap().extend(more);
    json!({ "i": input })
}

#[tokio::test(start_paused = true)]
async fn projects_and_environments_are_not_made_in_a_hurry() {
    let sandbox = sandbox();
    let project = "mutation { projectCreate(input: { name: \"new\" }) { id } }";

    data(&sandbox, project).await;
    let hasty = ask(&sandbox, COPY, copy("preview", json!({}))).await;
    after(31).await;
    ask(&sandbox, COPY, copy("preview", json!({}))).await.data();
    let again = ask(&sandbox, project, json!({})).await;

    assert!(
        hasty.error().contains("creating projects too quickly"),
        "{}",
        hasty.text
    );
    assert!(again.error().contains("creating projects too quickly"));
    assert_eq!(sandbox.look().projects.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_copy_may_arrive_in_the_background() {
    let sandbox = sandbox();
    let made = ask(
        &sandbox,
        COPY,
        copy("preview", json!({ "applyChangesInBackground": true })),
    )
    .await
    .data();
    let id = made["environmentCreate"]["id"]
        .as_str()
        .unwrap()
        .to_string();
    let seen = async || {
        let query = format!(
            "{{ project(id: \"{PROJECT}\") {{ environments {{ edges {{ node {{ name }} }} }} }} environment(id: \"{id}\") {{ sourceEnvironment {{ name }} serviceInstances {{ edges {{ node {{ serviceName }} }} }} volumeInstances {{ edges {{ node {{ volumeId currentSizeMB }} }} }} }} }}"
        );
        data(&sandbox, &query).await
    };
    let count =
        |read: &Value, what: &str| read["environment"][what]["edges"].as_array().unwrap().len();

    let early = seen().await;
    after(6).await;
    let late = seen().await;

    assert_eq!(
        early["project"]["environments"]["edges"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        early["environment"]["sourceEnvironment"]["name"],
        "production"
    );
    assert_eq!(
        (
            count(&early, "serviceInstances"),
            count(&late, "serviceInstances")
        ),
        (0, 3)
    );
    assert_eq!(
        (
            count(&early, "volumeInstances"),
            count(&late, "volumeInstances")
        ),
        (0, 1)
    );
    after(30).await;
    let web = sandbox.look().service("preview", "web").clone();
    assert_eq!(web.active.unwrap().status, Status::Success);
    assert!(
        web.config.get("networking").is_none(),
        "a domain is not there twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_in_the_foreground_may_take_long_and_one_may_only_be_staged() {
    let slow = switch("duplicate_seconds", "35");
    let begin = tokio::time::Instant::now();
    ask(
        &slow,
        COPY,
        copy("preview", json!({ "skipInitialDeploys": true })),
    )
    .await
    .data();
    let took = begin.elapsed().as_secs();
    let staged = sandbox();
    ask(
        &staged,
        COPY,
        copy(
            "preview",
            json!({ "stageInitialChanges": true, "ephemeral": true }),
        ),
    )
    .await
    .data();

    assert_eq!(took, 35);
    assert_eq!(slow.look().service("preview", "web").deployments, 0);
    let view = staged.look();
    assert!(view.environment("preview").services.is_empty());
    assert!(
        view.environment("preview").staged.as_ref().unwrap()["services"][WEB]["isCreated"] == true
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_refused_for_environments_too() {
    let sandbox = sandbox();
    let taken = ask(&sandbox, COPY, copy("staging", json!({}))).await;
    let rename = format!(
        "mutation {{ environmentRename(id: \"{STAGING}\", input: {{ name: \"production\" }}) {{ id }} }}"
    );

    assert!(
        taken
            .error()
            .contains("environment with that name already exists")
    );
    assert!(
        ask(&sandbox, &rename, json!({}))
            .await
            .error()
            .contains("environment with that name already exists")
    );
    let long = format!(
        "mutation {{ serviceUpdate(id: \"{WEB}\", input: {{ name: \"{}\" }}) {{ id }} }}",
        "x".repeat(40)
    );
    data(&sandbox, &long).await;
    assert!(
        ask(&switch("longest_name", "32"), &long, json!({}))
            .await
            .error()
            .contains("between 1 and 32")
    );
}

#[tokio::test(start_paused = true)]
async fn a_workspace_may_want_a_second_factor_of_people_and_not_of_tokens() {
    let mut seed = runbook();
    seed.workspace.requires_two_factor = true;
    let session = sandbox::TokenSeed {
        kind: sandbox::TokenKind::Session,
        project: None,
        environment: None,
        expires: None,
        read_only: false,
    };
    seed.tokens.insert("session-token".into(), session);
    let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);
    let query = format!("{{ project(id: \"{PROJECT}\") {{ name }} }}");

    let person = send(&sandbox, Some("session-token"), &query, json!({}))
        .await
        .unwrap();
    let own = send(
        &sandbox,
        Some("session-token"),
        "{ me { email } }",
        json!({}),
    )
    .await
    .unwrap();
    let token = ask(&sandbox, &query, json!({})).await;

    let error = person.json()["errors"][0].clone();
    assert_eq!(error["message"], "Two Factor Authentication Required");
    assert_eq!(error["extensions"]["workspaceName"], "sentia");
    assert_eq!(own.data()["me"]["email"], "operator@sentia.test");
    assert_eq!(token.data()["project"]["name"], "sentia-manufacturing");
}

#[tokio::test(start_paused = true)]
async fn a_restricted_environment_is_named_and_not_shown() {
    let mut seed = runbook();
    let project = seed.projects.get_mut("sentia-manufacturing").unwrap();
    project
        .environments
        .get_mut("production")
        .unwrap()
        .restricted = true;
    let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);

    let listed = data(&sandbox, &format!("{{ project(id: \"{PROJECT}\") {{ environments {{ edges {{ node {{ name canAccess }} }} }} }} }}")).await;
    let inside = format!("{{ environment(id: \"{PRODUCTION}\") {{ config }} }}");
    let account = ask(&sandbox, &inside, json!({})).await;
    let bound = send(&sandbox, Some("production-token"), &inside, json!({}))
        .await
        .unwrap();

    assert_eq!(
        listed["project"]["environments"]["edges"][0]["node"],
        json!({ "name": "production", "canAccess": false })
    );
    assert_eq!(account.error(), "Not Authorized");
    bound.data();
}

#[tokio::test(start_paused = true)]
async fn the_edge_may_block_for_a_day_whoever_ran_into_it() {
    let sandbox = switch("edge_block_minutes", "1440");
    let send = async |uri: &str| {
        let body = json!({ "query": "{ platformStatus { isStable } }" });
        let request = request(Some("account-token"), uri, body);
        sandbox.handle(request).await.unwrap().status().as_u16()
    };
    for _ in 0..11 {
        send("/graphql/v2").await;
    }

    after(3600).await;
    let blocked = send("/graphql/v2?source=test").await;
    after(24 * 3600).await;

    assert_eq!((blocked, send("/graphql/v2?source=test").await), (429, 200));
}

#[tokio::test(start_paused = true)]
async fn aliases_count_for_the_rate_limit_only_by_switch() {
    for (answer, left) in [("false", "9999"), ("true", "9997")] {
        let sandbox = switch("aliases_count", answer);
        let query = "{ a: platformStatus { isStable } b: platformStatus { isStable } c: platformStatus { isStable } }";
        ask(&sandbox, query, json!({})).await.data();
        let next = ask(&sandbox, "{ platformStatus { isStable } }", json!({})).await;
        let told: u32 = next.headers["x-ratelimit-remaining"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!((told + 1).to_string(), left, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn committing_nothing_is_refused_or_clears_the_record() {
    for (answer, patches) in [("false", 0), ("true", 1)] {
        let sandbox = switch("empty_commit_clears", answer);
        let query = format!(
            "mutation {{ environmentPatchCommitStaged(environmentId: \"{PRODUCTION}\", skipDeploys: true) }}"
        );
        let answer = ask(&sandbox, &query, json!({})).await;
        assert_eq!(answer.text.contains("No patch to apply"), patches == 0);
        assert_eq!(
            sandbox.look().environment("production").patches.len(),
            patches
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_service_or_a_volume_is_made_is_not_what_it_seems() {
    let service = format!(
        "mutation {{ serviceCreate(input: {{ projectId: \"{PROJECT}\", environmentId: \"{PRODUCTION}\", name: \"new\", source: {{ image: \"busybox:1\" }} }}) {{ id }} }}"
    );
    for (answer, in_staging) in [("named", false), ("all_unforked", true)] {
        let sandbox = switch("service_create_scope", answer);
        data(&sandbox, &service).await;
        let view = sandbox.look();
        assert!(view.environment("production").services.contains_key("new"));
        assert_eq!(
            view.environment("staging").services.contains_key("new"),
            in_staging,
            "{answer}"
        );
    }
    let volume = |more: &str| {
        format!(
            "mutation {{ volumeCreate(input: {{ projectId: \"{PROJECT}\", mountPath: \"/x\"{more} }}) {{ id volumeInstances {{ edges {{ node {{ id }} }} }} }} }}"
        )
    };
    for (answer, more, instances) in [
        ("nowhere", "", 0),
        ("everywhere", "", 2),
        ("everywhere", ", environmentId: null", 0),
    ] {
        let sandbox = switch("volume_without_environment", answer);
        let made = data(&sandbox, &volume(more)).await["volumeCreate"].clone();
        assert_eq!(
            made["volumeInstances"]["edges"].as_array().unwrap().len(),
            instances,
            "{answer} {more}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_a_source_may_fail_after_it_took_effect() {
    let sandbox = switch("connect_needs_every_instance", "true");
    let drop = json!({ "services": { WORKER: { "isDeleted": true } } });
    let query = "mutation($p: EnvironmentConfig, $e: String!) { environmentPatchCommit(environmentId: $e, patch: $p) }";
    ask(&sandbox, query, json!({ "p": drop, "e": STAGING }))
        .await
        .data();

    let connect = format!(
        "mutation {{ serviceConnect(id: \"{WORKER}\", input: {{ image: \"ghcr.io/sentia/app:1.4.2\" }}) {{ id }} }}"
    );
    let refused = ask(&sandbox, &connect, json!({})).await;

    assert_eq!(refused.error(), "ServiceInstance not found");
    assert_eq!(
        sandbox.look().service("production", "worker").config["source"]["image"],
        "ghcr.io/sentia/app:1.4.2"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_without_a_source_may_take_it_away() {
    for (answer, image) in [
        ("false", json!("ghcr.io/sentia/app:1.4.1")),
        ("true", Value::Null),
    ] {
        let sandbox = switch("update_without_source_clears", answer);
        data(&sandbox, &format!("mutation {{ serviceInstanceUpdate(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\", input: {{ healthcheckTimeout: 60 }}) }}")).await;
        assert_eq!(
            sandbox.look().service("production", "web").config["source"]["image"],
            image,
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_project_token_may_do_is_a_switch() {
    let domain = format!(
        "mutation {{ serviceDomainCreate(input: {{ environmentId: \"{PRODUCTION}\", serviceId: \"{WORKER}\" }}) {{ id }} }}"
    );
    for (name, query) in [
        ("project_token_may_name", domain.as_str()),
        (
            "project_token_may_back_up",
            "mutation($v: String!) { volumeInstanceBackupCreate(volumeInstanceId: $v) { workflowId } }",
        ),
    ] {
        for (answer, allowed) in [("true", true), ("false", false)] {
            let sandbox = switch(name, answer);
            let volume = sandbox.look().environment("production").volumes["redis-data"]
                .instance_id
                .clone();
            let answer = send(
                &sandbox,
                Some("production-token"),
                query,
                json!({ "v": volume }),
            )
            .await
            .unwrap();
            assert_eq!(!answer.text.contains("Not Authorized"), allowed, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_goes_away_takes_no_more_replicas() {
    let mut seed = runbook();
    seed.regions[0].replaced_by = Some("us-east4-eqdc4a".into());
    let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);
    let scale = async |count: u32| {
        let placed = json!({ "us-west2": { "numReplicas": count } });
        commit(
            &sandbox,
            web(json!({ "deploy": { "multiRegionConfig": placed } })),
        )
        .await
    };

    assert!(scale(3).await.error().contains("deprecated"));
    scale(1).await.data();
    assert_eq!(
        sandbox.look().service("production", "web").replicas["us-west2"],
        1
    );
}

#[tokio::test(start_paused = true)]
async fn without_any_region_the_total_is_null() {
    let sandbox = sandbox();
    commit(
        &sandbox,
        web(json!({ "deploy": { "multiRegionConfig": { "us-west2": null } } })),
    )
    .await
    .data();
    let read = data(&sandbox, &format!("{{ serviceInstance(serviceId: \"{WEB}\", environmentId: \"{PRODUCTION}\") {{ numReplicas }} }}")).await;
    assert_eq!(read["serviceInstance"]["numReplicas"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_generator_gives_its_value_once_and_what_is_preserved_stays() {
    let sandbox = sandbox();
    let value = || sandbox.look().service("production", "web").variables["SECRET"].clone();
    let patch = |variable: Value| web(json!({ "variables": { "SECRET": variable } }));

    commit(&sandbox, patch(json!({ "generator": "secret(32)" })))
        .await
        .data();
    let first = value();
    commit(&sandbox, patch(json!({ "generator": "secret(32)" })))
        .await
        .data();
    let second = value();
    commit(
        &sandbox,
        patch(json!({ "value": "other", "preserveExisting": true })),
    )
    .await
    .data();
    let kept = value();
    commit(&sandbox, patch(json!({ "value": "other" })))
        .await
        .data();

    assert_eq!((first.len(), &second, &kept), (32, &first, &first));
    assert_eq!(value(), "other");
}

#[tokio::test(start_paused = true)]
async fn an_incident_is_told() {
    let sandbox = sandbox();
    let status = async || {
        data(
            &sandbox,
            "{ platformStatus { isStable incident { message status url } } }",
        )
        .await["platformStatus"]
            .clone()
    };
    sandbox.by_hand(HandEdit::Incident {
        message: Some("builds are slow".into()),
    });
    let bad = status().await;
    sandbox.by_hand(HandEdit::Incident { message: None });

    assert_eq!(
        (&bad["isStable"], &bad["incident"]["message"]),
        (&json!(false), &json!("builds are slow"))
    );
    assert_eq!(
        status().await,
        json!({ "isStable": true, "incident": null })
    );
}

#[tokio::test(start_paused = true)]
async fn each_plan_has_its_own_numbers() {
    for (plan, word, hours) in [(Plan::Trial, "trial", 24), (Plan::Enterprise, "pro", 360)] {
        let seed = Seed { plan, ..runbook() };
        let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);
        let query = format!(
            "{{ project(id: \"{PROJECT}\") {{ subscriptionType subscriptionPlanLimit }} deployments(input: {{ environmentId: \"{PRODUCTION}\", serviceId: \"{WEB}\", status: {{ in: [REMOVED] }} }}) {{ edges {{ node {{ canRollback }} }} }} }}"
        );
        after((hours - 2) * 3600).await;
        let early = data(&sandbox, &query).await;
        after(3 * 3600).await;
        let late = data(&sandbox, &query).await;

        assert_eq!(early["project"]["subscriptionType"], word);
        assert!(early["project"]["subscriptionPlanLimit"]["replicas"].is_u64());
        let can = |read: &Value| read["deployments"]["edges"][0]["node"]["canRollback"].clone();
        assert_eq!(
            (can(&early), can(&late)),
            (json!(true), json!(false)),
            "{word}"
        );
    }
}
