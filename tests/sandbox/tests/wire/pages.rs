//! The applications behind their domains: what a visitor sees while releases, maintenance and failures go by.

use bytes::Bytes;
use http::{Request, Response};
use sandbox::{Fault, Faults, HandEdit, Sandbox, Switches};
use serde_json::json;

use crate::client::*;

const DOMAIN: &str = "sentia-manufacturing.up.railway.app";

fn shown(response: &Response<Bytes>) -> (u16, String) {
    let body = String::from_utf8_lossy(response.body()).into_owned();
    (response.status().as_u16(), body)
}

fn page(sandbox: &Sandbox, path: &str) -> (u16, String) {
    shown(&sandbox.page(DOMAIN, path))
}

async fn visit(sandbox: &Sandbox, uri: &str, host: Option<&str>) -> (u16, String) {
    let mut request = Request::get(uri).header("user-agent", "curl/8");
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let request = request.body(Bytes::new()).unwrap();
    shown(&sandbox.handle(request).await.unwrap())
}

async fn release(sandbox: &Sandbox, image: &str) {
    commit(sandbox, web(json!({ "source": { "image": image } })))
        .await
        .data();
    after(15).await;
}

#[tokio::test(start_paused = true)]
async fn a_domain_shows_the_image_that_serves_and_a_release_changes_it() {
    let sandbox = sandbox();

    let old = page(&sandbox, "/");
    release(&sandbox, "ghcr.io/sentia/app:1.4.2").await;
    let new = page(&sandbox, "/any/path?with=query");
    release(&sandbox, "ghcr.io/sentia/app:1.5.0-bad").await;
    let kept = page(&sandbox, "/");

    assert_eq!(old, (200, "ghcr.io/sentia/app:1.4.1\n".to_string()));
    assert_eq!(new, (200, "ghcr.io/sentia/app:1.4.2\n".to_string()));
    assert_eq!(kept, new);
}

#[tokio::test(start_paused = true)]
async fn the_host_decides_between_application_and_api() {
    let sandbox = sandbox();

    let by_header = visit(
        &sandbox,
        "/",
        Some("Sentia-Manufacturing.up.railway.app:8787"),
    )
    .await;
    let by_uri = visit(&sandbox, &format!("https://{DOMAIN}/health"), None).await;
    let unknown = visit(&sandbox, "/", Some("nobody.up.railway.app")).await;
    let elsewhere = visit(&sandbox, "/", Some("127.0.0.1:8787")).await;
    let mut api = request(
        Some("account-token"),
        "/graphql/v2?s=t",
        json!({ "query": "{ platformStatus { isStable } }" }),
    );
    api.headers_mut().insert("host", DOMAIN.parse().unwrap());
    let api = sandbox.handle(api).await.unwrap();

    assert_eq!((by_header.0, by_uri.0), (200, 200));
    assert_eq!(
        unknown,
        (
            404,
            r#"{"status":"error","code":404,"message":"Application not found"}"#.to_string()
        )
    );
    assert!(elsewhere.0 == 404 && elsewhere.1.contains("Not Found"));
    assert!(shown(&api).1.contains("isStable"), "{:?}", shown(&api));
}

#[tokio::test(start_paused = true)]
async fn a_crashed_application_fails_to_respond_and_a_stopped_one_is_not_found() {
    let sandbox = sandbox();
    let (environment, service) = (|| "production".to_string(), || "web".to_string());

    sandbox.by_hand(HandEdit::RestartDeployment {
        environment: environment(),
        service: service(),
    });
    let restarting = page(&sandbox, "/");
    after(5).await;
    let back = page(&sandbox, "/");
    sandbox.by_hand(HandEdit::Crash {
        environment: environment(),
        service: service(),
    });
    let crashed = page(&sandbox, "/");
    sandbox.by_hand(HandEdit::StopDeployment {
        environment: environment(),
        service: service(),
    });
    let stopped = page(&sandbox, "/");

    assert_eq!((restarting.0, back.0), (502, 200));
    assert_eq!(crashed.0, 502);
    assert!(crashed.1.contains("Application failed to respond"));
    assert_eq!(stopped.0, 404);
    let first = sandbox.page(DOMAIN, "/");
    assert_eq!(first.headers()["x-railway-fallback"], "true");
}

#[tokio::test(start_paused = true)]
async fn maintenance_closes_every_path_but_the_open_one() {
    for mode in ["true", "1", "ON"] {
        let sandbox = sandbox();
        let patch = json!({ "variables": { "MAINTENANCE_MODE": { "value": mode } } });
        commit(&sandbox, web(patch)).await.data();
        assert_eq!(page(&sandbox, "/").0, 200, "the old one still runs");
        after(15).await;

        let closed = page(&sandbox, "/");

        assert_eq!(closed.0, 503, "{mode}");
        assert!(closed.1.contains("maintenance"), "{}", closed.1);
        assert_eq!(page(&sandbox, "/api/live").0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_may_be_a_maintenance_page_or_an_unhealthy_release() {
    let sandbox = sandbox();

    release(&sandbox, "ghcr.io/sentia/maintenance:1").await;
    let closed = page(&sandbox, "/orders");
    release(&sandbox, "ghcr.io/sentia/app:1.5.3-errors").await;
    let (front, health) = (page(&sandbox, "/"), page(&sandbox, "/api/health"));

    assert_eq!(closed, (503, "closed for maintenance".to_string()));
    assert_eq!(front.0, 200);
    assert_eq!(health, (500, "database is unreachable".to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_healthcheck_path_errs_never_gets_ready() {
    let sandbox = sandbox();
    let patch = json!({ "source": { "image": "ghcr.io/sentia/app:1.5.3-errors" }, "deploy": { "healthcheckPath": "/api/health", "healthcheckTimeout": 20 } });

    commit(&sandbox, web(patch)).await.data();
    after(30).await;

    let newest = sandbox.look().service("production", "web").newest.clone();
    assert_eq!(newest.unwrap().status, sandbox::Status::Failed);
    assert_eq!(page(&sandbox, "/").1, "ghcr.io/sentia/app:1.4.1\n");
}

#[tokio::test(start_paused = true)]
async fn visits_meet_no_fault_and_are_told_in_the_http_log() {
    let faults = Faults::script([(0, Fault::NotSent)].into());
    let sandbox = Sandbox::new(&two_environments(), Switches::default(), faults, 7);
    let id = sandbox.look().service("production", "web").active.clone();

    visit(&sandbox, "/orders", Some(DOMAIN)).await;
    sandbox.by_hand(HandEdit::Crash {
        environment: "production".into(),
        service: "web".into(),
    });
    after(1).await;
    visit(&sandbox, "/", Some(DOMAIN)).await;
    let faulty = send(&sandbox, Some("account-token"), "{ me { id } }", json!({})).await;
    let query = "query($d: String!, $f: String) { httpLogs(deploymentId: $d, beforeLimit: 10, filter: $f) { timestamp method path httpStatus host clientUa requestId upstreamErrors } }";
    let variables = |filter: &str| json!({ "d": id.as_ref().unwrap().id, "f": filter });
    let all = ask(&sandbox, query, variables("")).await.data();
    let failed = ask(&sandbox, query, variables("@httpStatus:>=500"))
        .await
        .data();

    assert!(faulty.is_err());
    assert_eq!(sandbox.requests(), 3);
    let rows = all["httpLogs"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (
            &rows[0]["path"],
            &rows[0]["httpStatus"],
            &rows[0]["clientUa"]
        ),
        (&json!("/orders"), &json!(200), &json!("curl/8"))
    );
    assert_eq!(failed["httpLogs"].as_array().unwrap().len(), 1);
    assert_eq!(failed["httpLogs"][0]["httpStatus"], 502);
}
