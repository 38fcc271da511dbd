//! Every way to fail, for a read and for a write: the right name for it, words for people, no token, and nothing done twice.

use super::railway::*;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::config::Token;
use reconciler::plan::write::{What, Write};
use reconciler::providers::http::{Broken, Transport};
use reconciler::providers::railway::Client;
use reconciler::providers::{Scope, Secrets};
use reconciler::reconcile::End;
use reconciler::world::railway::{
    Change, History, Named, Owner, Railway, Setting, Staged, VariableValue,
};
use reconciler::world::secret::Secret;
use reconciler::world::{Failure, Seen};
use sandbox::{Fault, Faults, Plan, Seed, Switches};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "token-that-nobody-may-see";

/// A server that answers everything alike.
struct Always {
    answer: Answer,
    count: Mutex<usize>,
}

#[derive(Clone)]
enum Answer {
    Http(u16, HeaderMap, Vec<u8>),
    Broken(Broken),
}

#[async_trait]
impl Transport for Always {
    async fn send(&self, _: http::Request<Bytes>) -> Result<Response<Bytes>, Broken> {
        *self.count.lock().unwrap() += 1;
        match &self.answer {
            Answer::Broken(broken) => Err(broken.clone()),
            Answer::Http(status, headers, body) => {
                let mut response = Response::new(Bytes::from(body.clone()));
                *response.status_mut() = StatusCode::from_u16(*status).unwrap();
                *response.headers_mut() = headers.clone();
                Ok(response)
            }
        }
    }
}

/// What a client says of it, and how many requests it sent.
struct Told {
    failure: Failure,
    requests: usize,
    took: Duration,
}

fn clock() -> Clock {
    Clock::counted(START.parse().unwrap(), 1)
}

fn client(answer: &Answer, token: Token) -> (Arc<Always>, Client) {
    let server = Arc::new(Always {
        answer: answer.clone(),
        count: Mutex::new(0),
    });
    let client = Client::new(server.clone(), URL, token, clock()).unwrap();
    (server, client)
}

async fn read(answer: &Answer) -> Told {
    let (server, client) = client(answer, bearer(TOKEN));
    let scope = Scope {
        project: PROJECT_ID.into(),
        environment: ENVIRONMENT_ID.into(),
    };
    let began = tokio::time::Instant::now();
    let failure = client.observe(&scope).await.unwrap_err();
    let requests = *server.count.lock().unwrap();
    Told {
        failure,
        requests,
        took: began.elapsed(),
    }
}

async fn write(answer: &Answer, secrets: &Secrets) -> Told {
    let (server, client) = client(answer, bearer(TOKEN));
    let began = tokio::time::Instant::now();
    let failure = client
        .perform(&seen(), &a_patch(), secrets)
        .await
        .unwrap_err();
    let requests = *server.count.lock().unwrap();
    Told {
        failure,
        requests,
        took: began.elapsed(),
    }
}

fn seen() -> Railway {
    let named = |id: &str, name: &str| Named {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    Railway {
        project: named(PROJECT_ID, "shop"),
        environment: named(ENVIRONMENT_ID, "production"),
        services: BTreeMap::new(),
        elsewhere: BTreeSet::new(),
        shared: Seen::Facts(BTreeMap::new()),
        staged: Seen::Facts(Staged::default()),
        written: Seen::Unasked,
        history: Seen::Facts(History::default()),
        region_names: BTreeMap::new(),
        pulse: None,
    }
}

fn a_patch() -> Write {
    let change = Change {
        of: Owner::Service(Named {
            id: WEB_ID.into(),
            name: "web".into(),
        }),
        set: Setting::Variable {
            name: "LOG_LEVEL".into(),
            value: VariableValue::Text("debug".into()),
        },
    };
    Write {
        marks: Vec::new(),
        steps: vec![0],
        what: What::Patch(vec![change]),
        approvals: Vec::new(),
        commit: None,
    }
}

fn page(status: u16, body: &str) -> Answer {
    Answer::Http(status, HeaderMap::new(), body.as_bytes().to_vec())
}

fn error(message: &str, code: &str) -> Answer {
    let body = json!({ "data": null, "errors": [{ "message": message, "extensions": { "code": code, "traceId": "t" } }] });
    page(200, &body.to_string())
}

fn name(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused(_) => "Refused",
        Failure::Throttled { .. } => "Throttled",
        Failure::Passing(_) => "Passing",
        Failure::Unclear(_) => "Unclear",
        Failure::Denied(_) => "Denied",
    }
}

/// Rows of facts/railway.md 1: what is answered, its name for a read and for a write, and words that people are told.
fn table() -> Vec<(
    &'static str,
    Answer,
    &'static str,
    &'static str,
    &'static str,
)> {
    let internal = "INTERNAL_SERVER_ERROR";
    let bad = "BAD_USER_INPUT";
    let html = "<!doctype html><title>Just a moment...</title>";
    vec![
        (
            "Not Authorized",
            error("Not Authorized", internal),
            "Denied",
            "Denied",
            "wrong or expired",
        ),
        (
            "not authorized, in small letters",
            error("not authorized", internal),
            "Denied",
            "Denied",
            "wrong or expired",
        ),
        (
            "UNAUTHENTICATED",
            error("Invalid credentials", "UNAUTHENTICATED"),
            "Denied",
            "Denied",
            "Invalid credentials",
        ),
        (
            "Project Token not found",
            error("Project Token not found", internal),
            "Denied",
            "Denied",
            "Project Token not found",
        ),
        (
            "Project not found",
            error("Project not found", internal),
            "Refused",
            "Refused",
            "Project not found",
        ),
        (
            "two factors",
            error("Two Factor Authentication Required", internal),
            "Denied",
            "Denied",
            "Two Factor",
        ),
        (
            "Problem processing request",
            error("Problem processing request", internal),
            "Passing",
            "Refused",
            "Problem processing request",
        ),
        (
            "No patch to apply",
            error("No patch to apply", bad),
            "Refused",
            "Refused",
            "No patch to apply",
        ),
        (
            "Commit not found",
            error("Commit not found", internal),
            "Refused",
            "Refused",
            "Commit not found",
        ),
        (
            "STALE_ENVIRONMENT_BASE",
            error(
                "Environment changed since this plan was computed",
                "STALE_ENVIRONMENT_BASE",
            ),
            "Refused",
            "Refused",
            "changed since",
        ),
        (
            "name conflict",
            error("A service named web already exists in this project", bad),
            "Refused",
            "Refused",
            "already exists",
        ),
        (
            "change set version",
            error("Unsupported RailwayChangeSet version", bad),
            "Refused",
            "Refused",
            "Unsupported",
        ),
        (
            "overlapping writers",
            error("Domain is being created, please try again", bad),
            "Passing",
            "Passing",
            "please try again",
        ),
        (
            "too quickly",
            error("You are creating projects too quickly", bad),
            "Passing",
            "Passing",
            "too quickly",
        ),
        (
            "an internal error",
            error("Internal server error", internal),
            "Passing",
            "Unclear",
            "Internal server error",
        ),
        (
            "parse error",
            page(
                400,
                r#"{"errors":[{"message":"Syntax Error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}"#,
            ),
            "Refused",
            "Refused",
            "Syntax Error",
        ),
        (
            "validation error",
            page(
                400,
                r#"{"errors":[{"message":"Cannot query field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#,
            ),
            "Refused",
            "Refused",
            "Cannot query field",
        ),
        (
            "errors without words",
            page(200, r#"{"errors":[{}]}"#),
            "Refused",
            "Refused",
            "an error without words",
        ),
        (
            "a proxy's 400",
            page(400, "bad"),
            "Refused",
            "Refused",
            "HTTP 400",
        ),
        ("401", page(401, ""), "Denied", "Denied", "HTTP 401"),
        ("403", page(403, html), "Denied", "Denied", "HTTP 403"),
        ("404", page(404, html), "Refused", "Refused", "HTTP 404"),
        (
            "a redirect",
            page(302, ""),
            "Refused",
            "Refused",
            "HTTP 302",
        ),
        ("502", page(502, html), "Passing", "Unclear", "HTTP 502"),
        (
            "503",
            page(503, "upstream connect error"),
            "Passing",
            "Unclear",
            "HTTP 503",
        ),
        ("504", page(504, ""), "Passing", "Unclear", "HTTP 504"),
        (
            "HTML",
            page(200, html),
            "Passing",
            "Unclear",
            "without GraphQL",
        ),
        (
            "an empty answer",
            page(200, ""),
            "Passing",
            "Unclear",
            "without GraphQL",
        ),
        (
            "truncated JSON",
            page(200, r#"{"data":{"environmentPatchCo"#),
            "Passing",
            "Unclear",
            "without GraphQL",
        ),
        (
            "JSON that is no GraphQL",
            page(200, "[1, 2]"),
            "Passing",
            "Unclear",
            "without GraphQL",
        ),
        (
            "bytes",
            Answer::Http(200, HeaderMap::new(), vec![0xFF, 0xFE, 0, 1]),
            "Passing",
            "Unclear",
            "without GraphQL",
        ),
        (
            "429 without headers",
            page(429, ""),
            "Throttled",
            "Throttled",
            "asked to wait until 2026",
        ),
        (
            "Cloudflare 1015",
            page(429, "error code: 1015"),
            "Throttled",
            "Throttled",
            "asked to wait until 2026",
        ),
        (
            "server gone",
            Answer::Broken(Broken::NotSent("railway.test: connection refused".into())),
            "Passing",
            "Passing",
            "cannot reach railway.test",
        ),
        (
            "lost",
            Answer::Broken(Broken::Lost("railway.test: connection reset".into())),
            "Unclear",
            "Unclear",
            "connection reset",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_failure_has_its_name_and_words_for_people() {
    for (what, answer, for_read, for_write, words) in table() {
        let (reading, writing) = (read(&answer).await, write(&answer, &Secrets::new()).await);

        assert_eq!(
            name(&reading.failure),
            for_read,
            "reading, {what}: {}",
            reading.failure
        );
        assert_eq!(
            name(&writing.failure),
            for_write,
            "writing, {what}: {}",
            writing.failure
        );
        for told in [&reading.failure, &writing.failure] {
            assert!(told.to_string().contains(words), "{what}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_sent_once_and_a_read_again_while_that_may_help() {
    for (what, answer, for_read, _, _) in table() {
        let (reading, writing) = (read(&answer).await, write(&answer, &Secrets::new()).await);

        let tries = if ["Passing", "Unclear", "Throttled"].contains(&for_read) {
            4
        } else {
            1
        };
        assert_eq!(reading.requests, tries, "{what}");
        assert_eq!(writing.requests, 1, "{what}");
        assert_eq!(writing.took, Duration::ZERO, "{what}");
        assert!(
            reading.took <= Duration::from_secs(100),
            "{what}: {:?}",
            reading.took
        );
    }
}

#[tokio::test(start_paused = true)]
async fn neither_token_nor_secret_stands_in_a_failure() {
    let long = "x".repeat(290);
    let secret = "secret value\nin two lines";
    let secrets: Secrets = [("KEY".to_owned(), Seen::Facts(Secret::new(secret)))].into();
    for words in [
        format!("bad token {TOKEN} for {secret}"),
        format!("{long} {TOKEN} and then {TOKEN}"),
        format!("{long} {secret} and then {secret}"),
        format!("{} {secret}", "x".repeat(298 - 14)),
    ] {
        for code in ["BAD_USER_INPUT", "INTERNAL_SERVER_ERROR", "UNAUTHENTICATED"] {
            let answer = error(&words, code);

            let told = [read(&answer).await, write(&answer, &secrets).await]
                .map(|told| told.failure.to_string());

            for told in &told {
                assert!(!told.contains("token-that"), "{told}");
                assert!(!told.contains('\n') && told.chars().count() < 400, "{told}");
            }
            assert!(!told[1].contains("secret va"), "{}", told[1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_answer_of_a_partial_look_is_not_shown() {
    let stage = shop()
        .with_lens(|answer| {
            if answer["data"]["projectToken"].is_object() {
                let index = position_of_web(answer);
                answer["errors"] = json!([{ "message": "broken for production-token", "path": ["projectToken", "environment", "serviceInstances", "edges", index, "node", "latestDeployment"], "extensions": {} }]);
            }
        })
        .desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));

    let plan = stage.plan().await;

    assert!(plan.contains("unseen"), "{plan}");
    assert!(!plan.contains("production-token"), "{plan}");
}

fn position_of_web(answer: &mut Value) -> usize {
    let edges = environment_of(answer).unwrap()["serviceInstances"]["edges"]
        .as_array()
        .unwrap();
    edges
        .iter()
        .position(|edge| edge["node"]["serviceName"] == "web")
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_with_signs_that_no_header_carries_is_denied_unsent() {
    let (server, client) = client(&page(200, ""), bearer("two\nlines"));

    let failure = client.who().await.unwrap_err();

    assert!(matches!(failure, Failure::Denied(_)));
    assert!(!failure.to_string().contains("lines"), "{failure}");
    assert_eq!(*server.count.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_429_names_is_kept_by_reads_and_told_by_writes() {
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        Answer::Http(429, headers, Vec::new())
    };
    for (value, seconds) in [
        ("7", 7),
        ("60", 60),
        ("0", 1),
        ("soon", 30),
        ("-4", 30),
        ("999999999", 3600),
    ] {
        let told = write(&with(value), &Secrets::new()).await;
        let until: Timestamp =
            START.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(told.failure, Failure::Throttled { until }, "{value}");
    }

    let seven = read(&with("7")).await;
    assert_eq!(
        seven.took,
        Duration::from_secs(21),
        "three waits between four tries"
    );
    let hour = read(&with("3600")).await;
    assert_eq!(
        (hour.took, hour.requests),
        (Duration::ZERO, 1),
        "a wait that is too long is left to people"
    );
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_wastes_one_request_in_a_window() {
    // The free plan: 100 requests an hour, and all but two are gone.
    let mut seed = Seed::parse(SHOP).unwrap();
    seed.plan = Plan::Free;
    let stage = Stage::of(&seed, Switches::default(), Faults::none())
        .desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));
    for _ in 0..98 {
        stage.client().who().await.unwrap();
    }
    let before = stage.sandbox.requests();

    let end = stage.apply().await;

    let wasted = stage.sandbox.transcript()[before..]
        .iter()
        .filter(|entry| entry.outcome.starts_with("429"))
        .count();
    assert!(wasted <= 1, "{wasted} wasted: {:?}", end.end);
}

#[tokio::test(start_paused = true)]
async fn a_short_quota_is_waited_for_and_the_apply_ends_in_step() {
    for headers in [true, false] {
        for index in 0..5 {
            let fault = Fault::TooMany {
                retry_after_seconds: 20,
                headers,
            };
            let stage = releasing(Faults::script([(index, fault)].into()));

            let began = stage.clock.now();
            stage.apply_wholly().await;

            let took = stage.clock.now().duration_since(began).as_secs();
            assert!(took >= if headers { 20 } else { 30 }, "{took} s");
            let refused = stage
                .sandbox
                .transcript()
                .iter()
                .filter(|entry| entry.outcome.starts_with("429"))
                .count();
            assert_eq!(refused, 1);
        }
    }
}

// Tokens.

async fn ends_denied(token: Token, environment: &str, words: &str) {
    let text = format!("{token:?}");
    let stage = shop().with_token(token).desired(&format!(
        "{environment}{}",
        service("web", "{ variables: { LOG_LEVEL: debug } }")
    ));

    let end = stage.apply().await.end;

    let Err(failure @ Failure::Denied(_)) = &end else {
        panic!("{text}: {end:?}");
    };
    assert!(failure.to_string().contains(words), "{text}: {failure}");
    assert_eq!(stage.effects(), []);
    assert!(
        stage.sandbox.requests() <= 3,
        "a denied token is not tried again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_good_enough_is_denied_in_words() {
    let ids = by_ids(PROJECT_ID, ENVIRONMENT_ID);
    for environment in ["", ids.as_str()] {
        ends_denied(
            project_token("wrong"),
            environment,
            "Project Token not found",
        )
        .await;
        ends_denied(bearer("wrong"), environment, "wrong or expired").await;
        ends_denied(bearer("expired-token"), environment, "wrong or expired").await;
        ends_denied(
            project_token("expired-project-token"),
            environment,
            "wrong or expired",
        )
        .await;
        ends_denied(
            project_token("viewing-token"),
            environment,
            "may not do this",
        )
        .await;
        // A project token sent as an account token, and the other way round.
        ends_denied(bearer("production-token"), environment, "wrong or expired").await;
        ends_denied(
            project_token("account-token"),
            environment,
            "Project Token not found",
        )
        .await;
        ends_denied(
            project_token("staging-token"),
            environment,
            "the project token is for shop / staging, and the manifests are for",
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_between_look_and_write_ends_the_apply_with_nothing_done() {
    let stage = Stage::new(
        SHOP,
        Switches::default(),
        Faults::script([(2, Fault::ExpiredToken)].into()),
    )
    .desired(&service("web", "{ variables: { LOG_LEVEL: debug } }"));

    let end = stage.apply().await.end;

    assert!(matches!(end, Err(Failure::Denied(_))), "{end:?}");
    assert_eq!(stage.effects(), []);
}

fn gone(from: usize) -> Stage {
    let always = (from..5000).map(|index| (index, Fault::NotSent));
    releasing(Faults::script(always.collect()))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_given_up_within_seconds() {
    let stage = gone(0);

    let began = stage.clock.now();
    let end = stage.apply().await.end;

    assert_eq!(
        end,
        Err(Failure::Passing("cannot reach railway.test".to_owned()))
    );
    assert!(stage.clock.now().duration_since(began).as_secs() < 10);
    assert_eq!(stage.sandbox.requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_is_waited_for_until_the_time_is_over() {
    for from in 1..6 {
        let stage = gone(from);

        let began = stage.clock.now();
        let end = stage.apply().await.end;

        assert_eq!(
            end,
            Err(Failure::Passing("cannot reach railway.test".to_owned()))
        );
        let took = stage.clock.now().duration_since(began).as_secs();
        assert!((30 * 60..32 * 60).contains(&took), "{took} s");
        assert!(stage.sandbox.requests() < 1000);
    }
}

// Refusals of a joint patch.

#[tokio::test(start_paused = true)]
async fn a_refused_joint_patch_finds_the_service_that_is_meant() {
    let stage = shop().desired(&format!(
        "{}{}",
        service(
            "web",
            "{ replicas: { atlantis: 1 }, variables: { LOG_LEVEL: debug } }"
        ),
        service("builder", "{ variables: { LOG_LEVEL: debug } }")
    ));

    let applied = stage.apply().await;

    assert_eq!(
        applied.end,
        Ok(End::Stands(reconciler::plan::Standing::Held))
    );
    assert_eq!(stage.service("builder").variables["LOG_LEVEL"], "debug");
    assert_eq!(stage.service("web").variables["LOG_LEVEL"], "info");
    assert!(
        applied
            .last()
            .contains("Railway refuses it: Railway says: Problem processing request"),
        "{}",
        applied.last()
    );
    assert_eq!(stage.sandbox.mutations(), 3, "all, then one a service");
}

#[tokio::test(start_paused = true)]
async fn more_replicas_than_the_plan_allows_are_held_in_railway_s_words() {
    let stage = shop().desired(&service("web", "{ replicas: 50 }"));

    let applied = stage.apply().await;

    assert!(
        applied
            .last()
            .contains("the plan allows at most 42 replicas"),
        "{}",
        applied.last()
    );
    assert_eq!(stage.service("web").replicas["us-west2"], 2);
    assert_eq!(stage.sandbox.mutations(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_does_not_exist_is_held_in_railway_s_words() {
    let stage = shop().desired(&service(
        "builder",
        &format!("{{ commit: {} }}", "e".repeat(40)),
    ));

    let applied = stage.apply().await;

    assert!(
        applied.last().contains("Commit not found"),
        "{}",
        applied.last()
    );
    assert_eq!(stage.sandbox.mutations(), 1);
    assert_eq!(stage.service("builder").deployments, 1);
}

// Every fault at every request.

/// A release by image, one by commit, replicas, a variable and a sealed one.
fn release() -> String {
    format!(
        "{}{}",
        service(
            "web",
            "{ image: \"ghcr.io/shop/web:2\", replicas: 3, variables: { LOG_LEVEL: debug, NEW_KEY: { from: { secret: NEW_KEY }, sealed: true } } }"
        ),
        service(
            "builder",
            "{ commit: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb }"
        )
    )
}

fn releasing(faults: Faults) -> Stage {
    Stage::new(SHOP, Switches::default(), faults)
        .with_secret("NEW_KEY", "a value to seal")
        .desired(&release())
}

/// What the release must come to, whatever happened.
fn is_released(stage: &Stage, context: &str) {
    let (web, builder) = (stage.service("web"), stage.service("builder"));
    let active = web.active.unwrap();
    assert_eq!(
        active.image.as_deref(),
        Some("ghcr.io/shop/web:2"),
        "{context}"
    );
    assert_eq!(active.variables["LOG_LEVEL"], "debug", "{context}");
    assert_eq!(active.variables["NEW_KEY"], "a value to seal", "{context}");
    assert!(web.sealed.contains(&"NEW_KEY".to_owned()), "{context}");
    assert_eq!(web.replicas["us-west2"], 3, "{context}");
    assert_eq!(web.variables["KEPT"], "as it is", "{context}");
    assert_eq!(
        builder.active.unwrap().commit,
        Some("b".repeat(40)),
        "{context}"
    );
    assert_eq!(stage.service("other").deployments, 1, "{context}");
    assert_eq!(stage.service("redis").deployments, 1, "{context}");
    assert!(
        stage.effects().iter().all(|effect| !effect.destructive),
        "{context}"
    );
}

/// Every fault that the sandbox knows, but the one that does things twice by itself.
pub fn every_fault() -> Vec<Fault> {
    vec![
        Fault::NotSent,
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Delay(25),
        Fault::TooMany {
            retry_after_seconds: 20,
            headers: true,
        },
        Fault::TooMany {
            retry_after_seconds: 20,
            headers: false,
        },
        Fault::Cloudflare1015,
        Fault::ServerError(502),
        Fault::ServerError(503),
        Fault::ServerError(504),
        Fault::ServerErrorAfter,
        Fault::StaleRead { seconds_back: 10 },
        Fault::PartialData { field: None },
        Fault::PartialData {
            field: Some("meta".into()),
        },
        Fault::PartialData {
            field: Some("config".into()),
        },
        Fault::PartialData {
            field: Some("environmentPatches".into()),
        },
        Fault::PartialData {
            field: Some("environmentStagedChanges".into()),
        },
        Fault::UnknownEnum,
        Fault::ExpiredToken,
        Fault::Html,
        Fault::TruncatedBody,
    ]
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_at_every_request_of_a_release_ends_in_step_with_no_effect_twice() {
    let calm = releasing(Faults::none());
    assert!(calm.apply().await.is_in_step());
    let requests = calm.sandbox.requests();
    let (mut cases, mut sent) = (0, 0);
    let mut problems = Vec::new();
    for fault in &every_fault() {
        for index in 0..requests {
            let context = format!("{fault:?} at request {index}");
            let stage = releasing(Faults::script([(index, fault.clone())].into()));

            let mut applied = stage.apply().await;
            if matches!(applied.end, Err(Failure::Denied(_))) {
                // Nobody goes on with a token that is denied; a new one is put in, and the command started again.
                assert_eq!(*fault, Fault::ExpiredToken, "{context}");
                applied = stage.apply().await;
            }

            cases += 1;
            sent += stage.sandbox.requests();
            if !applied.is_in_step() {
                problems.push(format!("{context}: {:?}\n{}", applied.end, applied.last()));
                continue;
            }
            is_released(&stage, &context);
            // Two were there for web, which ran another image before, and one for builder.
            let deployments = (
                stage.service("web").deployments,
                stage.service("builder").deployments,
            );
            if deployments != (3, 2) {
                problems.push(format!(
                    "{context}: {deployments:?} deployments\n{:#?}",
                    stage.effects()
                ));
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {cases}:\n{}",
        problems.len(),
        problems.join("\n")
    );
    println!("wire: {sent} requests in {cases} cases");
}

/// Released once, and to be taken back.
async fn to_take_back(faults: Faults) -> Stage {
    let mut stage = Stage::new(SHOP, Switches::default(), faults)
        .desired(&service("web", "{ image: \"ghcr.io/shop/web:2\" }"));
    assert!(stage.apply().await.is_in_step());
    stage.wait(120).await;
    stage.desire(&service("web", "{ image: \"ghcr.io/shop/web:1\" }"));
    stage
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_at_every_request_of_a_way_back_ends_in_step_with_no_effect_twice() {
    let calm = to_take_back(Faults::none()).await;
    let first = calm.sandbox.requests();
    assert!(calm.apply().await.is_in_step());
    let last = calm.sandbox.requests();
    let mut problems = Vec::new();
    for fault in &every_fault() {
        for index in first..last {
            let context = format!("{fault:?} at request {index}");
            let stage = to_take_back(Faults::script([(index, fault.clone())].into())).await;

            let mut applied = stage.apply().await;
            if matches!(applied.end, Err(Failure::Denied(_))) {
                assert_eq!(*fault, Fault::ExpiredToken, "{context}");
                applied = stage.apply().await;
            }

            let web = stage.service("web");
            let runs = web.active.and_then(|active| active.image);
            let stored = web.config["source"]["image"].as_str().map(str::to_owned);
            let wanted = Some("ghcr.io/shop/web:1".to_owned());
            // Two from the start, the release, the way back.
            let is_right = runs == wanted && stored == wanted && web.deployments == 4;
            if !applied.is_in_step() || !is_right {
                problems.push(format!(
                    "{context}: {:?}, runs {runs:?}, stored {stored:?}, {} deployments\n{}",
                    applied.end,
                    web.deployments,
                    applied.last()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_a_proxy_sends_twice_still_ends_in_step() {
    for index in 0..8 {
        let stage = releasing(Faults::script([(index, Fault::Duplicate)].into()));

        stage.apply_wholly().await;

        is_released(&stage, &format!("twice at request {index}"));
    }
}

#[tokio::test(start_paused = true)]
async fn any_weather_ends_in_step_once_it_is_over() {
    for seed in 0..150 {
        let stage = releasing(Faults::seeded(seed, 300));
        for _ in 0..3 {
            stage.apply().await;
        }
        stage.sandbox.stop_faults();
        stage.wait(60).await;

        let applied = stage.apply().await;

        assert!(
            applied.is_in_step(),
            "seed {seed}: {:?}\n{}",
            applied.end,
            applied.last()
        );
        is_released(&stage, &format!("seed {seed}"));
    }
}
