//! Domains and TCP proxies: made and changed at once, in step with the configuration whichever way they are written.

use sandbox::{Faults, Plan, Sandbox, Seed, Switches};
use serde_json::{Value, json};

use crate::client::*;

async fn domains(sandbox: &Sandbox, service: &str) -> Value {
    let query = format!(
        "{{ domains(projectId: \"{PROJECT}\", environmentId: \"{PRODUCTION}\", serviceId: \"{service}\") {{ serviceDomains {{ id domain suffix targetPort syncStatus createdAt }} customDomains {{ id domain targetPort createdAt status {{ verified certificateStatus certificateErrorMessage certificateRetryable verificationToken verificationDnsHost dnsRecords {{ hostlabel fqdn recordType requiredValue currentValue status zone purpose }} certificates {{ domainNames keyType }} }} }} }} }}"
    );
    data(sandbox, &query).await["domains"].clone()
}

async fn networking(sandbox: &Sandbox, service: &str) -> Value {
    config(sandbox, true).await["services"][service]["networking"].clone()
}

fn at(service: &str, more: Value) -> Value {
    let mut input = json!({ "environmentId": PRODUCTION, "serviceId": service });
    let more = more.as_object().unwrap().clone();
    input.as_object_mut().unwrap().extend(more);
    json!({ "i": input })
}

const CREATE: &str = "mutation($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { id domain suffix targetPort } }";
const UPDATE: &str = "mutation($i: ServiceDomainUpdateInput!) { serviceDomainUpdate(input: $i) }";
const CUSTOM: &str = "mutation($i: CustomDomainCreateInput!) { customDomainCreate(input: $i) { id domain status { verified verificationToken dnsRecords { hostlabel requiredValue status } } } }";
const PROXY: &str = "mutation($i: TCPProxyCreateInput!) { tcpProxyCreate(input: $i) { id domain proxyPort applicationPort syncStatus } }";

#[tokio::test(start_paused = true)]
async fn a_generated_domain_is_made_renamed_and_deleted_at_once() {
    let sandbox = sandbox();
    let before = sandbox.look().service("production", "worker").deployments;

    let made = ask(&sandbox, CREATE, at(WORKER, json!({ "targetPort": 3000 })))
        .await
        .data()["serviceDomainCreate"]
        .clone();
    let domain = made["domain"].as_str().unwrap().to_string();
    let stored = networking(&sandbox, WORKER).await;
    let page = sandbox.page(&domain, "/").status();
    let variables = format!(
        "{{ variables(projectId: \"{PROJECT}\", environmentId: \"{PRODUCTION}\", serviceId: \"{WORKER}\") }}"
    );
    let rendered = data(&sandbox, &variables).await["variables"]["RAILWAY_PUBLIC_DOMAIN"].clone();
    let second = ask(&sandbox, CREATE, at(WORKER, json!({}))).await;
    let rename = at(
        WORKER,
        json!({ "serviceDomainId": made["id"], "domain": "work", "targetPort": 4000 }),
    );
    ask(&sandbox, UPDATE, rename).await.data();
    let renamed = domains(&sandbox, WORKER).await["serviceDomains"].clone();
    data(
        &sandbox,
        &format!(
            "mutation {{ serviceDomainDelete(id: {}) }}",
            renamed[0]["id"]
        ),
    )
    .await;

    assert!(domain.starts_with("worker-production-") && domain.ends_with(".up.railway.app"));
    assert_eq!(made["suffix"], "up.railway.app");
    assert_eq!(
        stored,
        json!({ "serviceDomains": { &domain: { "port": 3000 } } })
    );
    assert_eq!((page.as_u16(), rendered), (200, json!(domain)));
    assert!(second.error().contains("already has"));
    assert_eq!(
        (&renamed[0]["domain"], &renamed[0]["targetPort"]),
        (&json!("work.up.railway.app"), &json!(4000))
    );
    assert_eq!(renamed[0]["id"], made["id"]);
    assert_eq!(sandbox.page("work.up.railway.app", "/").status(), 404);
    assert_eq!(domains(&sandbox, WORKER).await["serviceDomains"], json!([]));
    let effects = sandbox.effects();
    assert!(effects.last().unwrap().destructive && !effects[0].destructive);
    assert_eq!(
        sandbox.look().service("production", "worker").deployments,
        before
    );
}

#[tokio::test(start_paused = true)]
async fn a_domain_in_a_patch_is_a_domain_like_any_other() {
    let sandbox = sandbox();
    let patch = json!({ "networking": { "serviceDomains": { "shop.up.railway.app": { "port": 80 } }, "tcpProxies": { "6379": {} } } });

    commit(&sandbox, json!({ "services": { REDIS: patch } }))
        .await
        .data();
    let made = domains(&sandbox, REDIS).await;
    let proxies = data(&sandbox, &format!("{{ tcpProxies(environmentId: \"{PRODUCTION}\", serviceId: \"{REDIS}\") {{ id applicationPort proxyPort domain createdAt }} }}")).await["tcpProxies"].clone();
    data(
        &sandbox,
        &format!(
            "mutation {{ tcpProxyDelete(id: {}) serviceDomainDelete(id: {}) }}",
            proxies[0]["id"], made["serviceDomains"][0]["id"]
        ),
    )
    .await;

    assert_eq!(made["serviceDomains"][0]["domain"], "shop.up.railway.app");
    assert_eq!(proxies[0]["applicationPort"], 6379);
    assert_eq!(
        networking(&sandbox, REDIS).await,
        json!({ "serviceDomains": {}, "tcpProxies": {} })
    );
}

#[tokio::test(start_paused = true)]
async fn a_custom_domain_needs_dns_and_gets_a_certificate() {
    let sandbox = sandbox();
    let input = at(
        WEB,
        json!({ "projectId": PROJECT, "domain": "Shop.Sentia.test", "targetPort": 8080 }),
    );

    let made = ask(&sandbox, CUSTOM, input.clone()).await.data()["customDomainCreate"].clone();
    let early = sandbox.page("shop.sentia.test", "/").status();
    let taken = ask(&sandbox, CUSTOM, input).await;
    after(61).await;
    let verified = domains(&sandbox, WEB).await["customDomains"][0].clone();
    after(30).await;
    let valid = domains(&sandbox, WEB).await["customDomains"][0].clone();
    let id = &made["id"];
    data(&sandbox, &format!("mutation {{ customDomainUpdate(id: {id}, environmentId: \"{PRODUCTION}\", targetPort: 9090) }}")).await;
    let one = data(&sandbox, &format!("{{ customDomain(id: {id}, projectId: \"{PROJECT}\") {{ domain targetPort cnameCheck {{ status }} }} domainStatus(id: {id}, projectId: \"{PROJECT}\") {{ certificateStatus domain {{ __typename domain ... on CustomDomain {{ isRailwayDomain }} }} }} }}")).await;
    let page = sandbox.page("shop.sentia.test", "/").status();
    data(
        &sandbox,
        &format!("mutation {{ customDomainDelete(id: {id}) }}"),
    )
    .await;

    assert_eq!(made["domain"], "shop.sentia.test");
    assert_eq!(made["status"]["verified"], false);
    let record = &made["status"]["dnsRecords"][0];
    assert_eq!(
        (&record["hostlabel"], &record["status"]),
        (&json!("shop"), &json!("DNS_RECORD_STATUS_REQUIRES_UPDATE"))
    );
    assert!(
        made["status"]["verificationToken"]
            .as_str()
            .unwrap()
            .starts_with("railway-verify=")
    );
    assert_eq!((early.as_u16(), page.as_u16()), (404, 200));
    assert!(taken.error().contains("already in use"));
    assert_eq!(
        (
            &verified["status"]["verified"],
            &verified["status"]["certificateStatus"]
        ),
        (&json!(true), &json!("CERTIFICATE_STATUS_TYPE_ISSUING"))
    );
    let status = &valid["status"];
    assert_eq!(status["certificateStatus"], "CERTIFICATE_STATUS_TYPE_VALID");
    assert_eq!(
        status["dnsRecords"][0]["currentValue"],
        status["dnsRecords"][0]["requiredValue"]
    );
    assert_eq!(
        status["certificates"][0]["domainNames"],
        json!(["shop.sentia.test"])
    );
    assert_eq!(
        one["customDomain"],
        json!({ "domain": "shop.sentia.test", "targetPort": 9090, "cnameCheck": { "status": "VALID" } })
    );
    assert_eq!(
        one["domainStatus"]["domain"],
        json!({ "__typename": "CustomDomain", "domain": "shop.sentia.test", "isRailwayDomain": false })
    );
    assert_eq!(domains(&sandbox, WEB).await["customDomains"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_may_be_refused_and_asked_for_again() {
    let mut seed = two_environments();
    seed.broken_domains = vec!["bad.sentia.test".into()];
    let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);
    let made = ask(
        &sandbox,
        CUSTOM,
        at(
            WEB,
            json!({ "projectId": PROJECT, "domain": "bad.sentia.test" }),
        ),
    )
    .await
    .data()["customDomainCreate"]
        .clone();
    after(120).await;

    let failed = domains(&sandbox, WEB).await["customDomains"][0]["status"].clone();
    data(
        &sandbox,
        &format!(
            "mutation {{ customDomainIssueCertificate(id: {}) }}",
            made["id"]
        ),
    )
    .await;
    let again = domains(&sandbox, WEB).await["customDomains"][0]["status"].clone();

    assert_eq!(
        (
            &failed["certificateStatus"],
            &failed["certificateRetryable"]
        ),
        (&json!("CERTIFICATE_STATUS_TYPE_ISSUE_FAILED"), &json!(true))
    );
    assert!(failed["certificateErrorMessage"].is_string());
    assert_eq!(
        again["certificateStatus"],
        "CERTIFICATE_STATUS_TYPE_VALIDATING_OWNERSHIP"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tcp_proxy_is_told_to_the_process() {
    let sandbox = sandbox();

    let made = ask(
        &sandbox,
        PROXY,
        at(REDIS, json!({ "applicationPort": 6379 })),
    )
    .await
    .data()["tcpProxyCreate"]
        .clone();
    let twice = ask(
        &sandbox,
        PROXY,
        at(REDIS, json!({ "applicationPort": 6379 })),
    )
    .await;
    let absurd = ask(
        &sandbox,
        PROXY,
        at(REDIS, json!({ "applicationPort": 70_000 })),
    )
    .await;
    let variables = format!(
        "{{ variables(projectId: \"{PROJECT}\", environmentId: \"{PRODUCTION}\", serviceId: \"{REDIS}\") }}"
    );
    let rendered = data(&sandbox, &variables).await["variables"].clone();

    assert!(
        made["domain"]
            .as_str()
            .unwrap()
            .ends_with(".proxy.rlwy.net")
    );
    assert_eq!(rendered["RAILWAY_TCP_PROXY_DOMAIN"], made["domain"]);
    assert_eq!(
        rendered["RAILWAY_TCP_PROXY_PORT"],
        made["proxyPort"].to_string()
    );
    assert_eq!(rendered["RAILWAY_TCP_APPLICATION_PORT"], "6379");
    assert_eq!(
        (
            &rendered["RAILWAY_VOLUME_NAME"],
            &rendered["RAILWAY_VOLUME_MOUNT_PATH"]
        ),
        (&json!("redis-data"), &json!("/data"))
    );
    assert!(twice.error().contains("already exists") && absurd.error().contains("65535"));
    assert_eq!(
        networking(&sandbox, REDIS).await["tcpProxies"],
        json!({ "6379": {} })
    );
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_meets_a_patch_has_to_try_again() {
    let sandbox = switch("patch_apply_lag", "3");
    commit(
        &sandbox,
        web(json!({ "variables": { "A": { "value": "1" } } })),
    )
    .await
    .data();

    let during = ask(&sandbox, CREATE, at(WORKER, json!({}))).await;
    after(4).await;
    let later = ask(&sandbox, CREATE, at(WORKER, json!({}))).await;

    assert!(
        during.error().contains("please try again"),
        "{}",
        during.text
    );
    later.data();
}

#[tokio::test(start_paused = true)]
async fn availability_plans_and_policies_are_told() {
    let sandbox = sandbox();
    let available = data(&sandbox, "{ free: customDomainAvailable(domain: \"a.sentia.test\") { available message } bad: customDomainAvailable(domain: \"nonsense\") { available message } own: serviceDomainAvailable(domain: \"sentia-manufacturing.up.railway.app\") { available } }").await;
    let hobby = Seed {
        plan: Plan::Hobby,
        ..two_environments()
    };
    let hobby = Sandbox::new(&hobby, Switches::default(), Faults::none(), 7);
    let custom = async |name: &str| {
        ask(
            &hobby,
            CUSTOM,
            at(WEB, json!({ "projectId": PROJECT, "domain": name })),
        )
        .await
    };
    custom("a.sentia.test").await.data();
    custom("b.sentia.test").await.data();
    let third = custom("c.sentia.test").await;
    let mut strict = two_environments();
    (
        strict.workspace.forbids_domains,
        strict.workspace.forbids_tcp_proxies,
    ) = (true, true);
    strict.workspace.forbidden_images = vec!["/forbidden/".into()];
    let strict = Sandbox::new(&strict, Switches::default(), Faults::none(), 7);

    assert_eq!(
        available["free"],
        json!({ "available": true, "message": "" })
    );
    assert_eq!(available["bad"]["available"], false);
    assert_eq!(available["own"]["available"], false);
    assert!(third.error().contains("at most 2"));
    assert!(
        ask(&strict, CREATE, at(WORKER, json!({})))
            .await
            .error()
            .contains("policy")
    );
    assert!(
        ask(
            &strict,
            PROXY,
            at(REDIS, json!({ "applicationPort": 6379 }))
        )
        .await
        .error()
        .contains("policy")
    );
    let image = commit(
        &strict,
        web(json!({ "source": { "image": "ghcr.io/forbidden/app:1" } })),
    )
    .await;
    assert!(image.error().contains("policy"));
}
