//! Each fault as a client meets it, and what it leaves behind.

use std::collections::BTreeMap;

use sandbox::{Broken, Fault, Faults, Sandbox, Switches};
use serde_json::{Value, json};

use crate::client::*;

fn with_faults(faults: impl IntoIterator<Item = (usize, Fault)>) -> Sandbox {
    Sandbox::new(
        &two_environments(),
        Switches::default(),
        Faults::script(BTreeMap::from_iter(faults)),
        7,
    )
}

fn write() -> String {
    format!("mutation {{ environmentPatchCommit(environmentId: \"{PRODUCTION}\", patch: {{ services: {{ a: null }}, sharedVariables: {{ A: {{ value: \"1\" }} }} }}) }}").replace("services: { a: null }, ", "")
}

fn read() -> String {
    format!(
        "{{ environment(id: \"{PRODUCTION}\") {{ name updatedAt config(decryptVariables: true) serviceInstances {{ edges {{ node {{ latestDeployment {{ status }} sleepApplication }} }} }} }} }}"
    )
}

/// Sends one write under the fault: the reply, and whether it took effect.
async fn written(fault: Fault) -> (Result<Answer, Broken>, usize) {
    let sandbox = with_faults([(0, fault)]);
    let reply = send(&sandbox, Some("account-token"), &write(), json!({})).await;
    assert_eq!(sandbox.requests(), 1);
    (reply, sandbox.effects().len())
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_tells_nothing_about_the_effect() {
    assert!(matches!(
        written(Fault::NotSent).await,
        (Err(Broken::NotSent), 0)
    ));
    assert!(matches!(
        written(Fault::LostBefore).await,
        (Err(Broken::Lost), 0)
    ));
    assert!(matches!(
        written(Fault::LostAfter).await,
        (Err(Broken::Lost), 1)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_may_fail_before_or_after() {
    let (before, none) = written(Fault::ServerError(503)).await;
    let (after, one) = written(Fault::ServerErrorAfter).await;

    assert_eq!((before.unwrap().status, none), (503, 0));
    let after = after.unwrap();
    assert_eq!((after.status, one), (502, 1));
    assert!(after.text.contains("<html>"));
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_come_with_headers_or_without() {
    let (told, none) = written(Fault::TooMany {
        retry_after_seconds: 5,
        headers: true,
    })
    .await;
    let (bare, _) = written(Fault::TooMany {
        retry_after_seconds: 5,
        headers: false,
    })
    .await;
    let (edge, _) = written(Fault::Cloudflare1015).await;

    let (told, bare, edge) = (told.unwrap(), bare.unwrap(), edge.unwrap());
    assert_eq!(
        (
            told.status,
            told.headers["retry-after"].to_str().unwrap(),
            none
        ),
        (429, "5", 0)
    );
    assert_eq!(
        (bare.status, bare.headers.contains_key("retry-after")),
        (429, false)
    );
    assert_eq!((edge.status, edge.text.as_str()), (429, "error code: 1015"));
}

#[tokio::test(start_paused = true)]
async fn a_delay_takes_its_time_on_the_clock() {
    let begin = tokio::time::Instant::now();

    let (reply, one) = written(Fault::Delay(20)).await;

    assert_eq!(
        (reply.unwrap().status, one, begin.elapsed().as_secs()),
        (200, 1, 20)
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_a_torn_body_and_an_expired_token_are_met() {
    let (page, none) = written(Fault::Html).await;
    let (torn, one) = written(Fault::TruncatedBody).await;
    let (expired, neither) = written(Fault::ExpiredToken).await;

    assert!(page.unwrap().text.contains("<!doctype html>"));
    assert!(serde_json::from_str::<Value>(&torn.unwrap().text).is_err());
    assert_eq!(
        (expired.unwrap().error().as_str(), none, one, neither),
        ("Not Authorized", 0, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_duplicated_write_is_applied_twice() {
    let sandbox = with_faults([(0, Fault::Duplicate)]);

    send(&sandbox, Some("account-token"), &write(), json!({}))
        .await
        .unwrap()
        .data();

    assert_eq!(
        (
            sandbox.look().environment("production").patches.len(),
            sandbox.mutations(),
            sandbox.requests()
        ),
        (2, 2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_shows_the_state_of_some_seconds_ago() {
    let sandbox = with_faults([
        (2, Fault::StaleRead { seconds_back: 3 }),
        (3, Fault::StaleRead { seconds_back: 3 }),
    ]);
    let shared = async || {
        let answer = send(&sandbox, Some("account-token"), &read(), json!({}))
            .await
            .unwrap()
            .data();
        answer["environment"]["config"]["sharedVariables"]
            .get("A")
            .is_some()
    };
    after(10).await;

    send(&sandbox, Some("account-token"), &write(), json!({}))
        .await
        .unwrap()
        .data();
    let fresh = shared().await;
    let stale = shared().await;
    after(4).await;
    let caught_up = shared().await;

    assert_eq!((fresh, stale, caught_up), (true, false, true));
}

#[tokio::test(start_paused = true)]
async fn partial_data_comes_with_an_error_that_names_the_path() {
    let sandbox = with_faults([
        (
            0,
            Fault::PartialData {
                field: Some("sleepApplication".into()),
            },
        ),
        (1, Fault::PartialData { field: None }),
        (
            2,
            Fault::PartialData {
                field: Some("config".into()),
            },
        ),
    ]);
    let ask = async || {
        send(&sandbox, Some("account-token"), &read(), json!({}))
            .await
            .unwrap()
            .json()
    };

    let nullable = ask().await;
    let drawn = ask().await;
    let required = ask().await;

    assert_eq!(
        nullable["data"]["environment"]["serviceInstances"]["edges"][0]["node"]["sleepApplication"],
        Value::Null
    );
    assert_eq!(nullable["data"]["environment"]["name"], "production");
    assert_eq!(
        nullable["errors"][0]["path"],
        json!([
            "environment",
            "serviceInstances",
            "edges",
            0,
            "node",
            "sleepApplication"
        ])
    );
    assert!(drawn["errors"][0]["path"].is_array());
    assert_eq!(
        (&required["data"], &required["errors"][0]["message"]),
        (&Value::Null, &json!("Problem processing request"))
    );
}

#[tokio::test(start_paused = true)]
async fn one_status_may_be_a_word_from_the_future() {
    let sandbox = with_faults([(0, Fault::UnknownEnum)]);

    let answer = send(&sandbox, Some("account-token"), &read(), json!({}))
        .await
        .unwrap();

    assert_eq!(answer.text.matches("SOMETHING_NEW").count(), 1);
    assert_eq!(answer.text.matches("SUCCESS").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn seeded_faults_come_at_their_rate_until_they_are_stopped() {
    let sandbox = Sandbox::new(
        &two_environments(),
        Switches::default(),
        Faults::seeded(11, 300),
        7,
    );
    for _ in 0..200 {
        let _ = send(
            &sandbox,
            Some("account-token"),
            "{ platformStatus { isStable } }",
            json!({}),
        )
        .await;
        after(1).await;
    }
    let met = sandbox
        .transcript()
        .iter()
        .filter(|entry| entry.fault.is_some())
        .count();
    sandbox.stop_faults();
    for _ in 0..100 {
        assert_eq!(
            ask(&sandbox, "{ platformStatus { isStable } }", json!({}))
                .await
                .status,
            200
        );
        after(1).await;
    }

    assert!((40..80).contains(&met), "{met} of 200");
    assert_eq!(sandbox.requests(), 300);
}
