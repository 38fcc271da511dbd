//! Environments as JSON: in the form that the schemas promise, in parts, and only when something is new.

use super::stage::{bearer, event, events, night, stage, view};
use reconciler::serve::api;
use reconciler::status::event::What;
use std::time::Duration;

fn fits(schema: &str, document: &serde_json::Value) {
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(document)
        .map(|problem| problem.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[tokio::test]
async fn a_view_its_events_and_the_list_fit_their_schemas() {
    let stage = stage()
        .await
        .showing([night("production"), view("staging")]);
    for event in events("production") {
        stage.board.tell(event);
    }
    let answer = stage.get("/api/v1/environments/production").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let one = answer.json();
    fits(&reconciler::status::view::schema(), &one);
    assert_eq!(one["notAccepted"]["commit"]["author"], "ben");

    let list = stage.get("/api/v1/environments").await.json();
    fits(&api::schema(), &list);
    assert_eq!(list["items"][0]["state"], "degraded");
    assert_eq!(list["items"][0]["isBehind"], true);
    assert_eq!(list["items"][1]["isReady"], true);

    let told = stage
        .get("/api/v1/environments/production/events")
        .await
        .json();
    for event in told["items"].as_array().unwrap() {
        fits(&reconciler::status::event::schema(), event);
    }
    assert_eq!(told["items"][0]["what"]["event"], "notAccepted");
}

#[tokio::test]
async fn events_are_the_newest_and_no_more_than_asked_for() {
    let stage = stage().await.showing([view("production")]);
    for epoch in 0..1000 {
        stage
            .board
            .tell(event("production", 0, What::Led { epoch }));
    }
    let path = "/api/v1/environments/production/events";
    let told = stage.get(&format!("{path}?newest=3")).await.json();
    let epochs: Vec<&serde_json::Value> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["what"]["epoch"])
        .collect();
    assert_eq!(epochs, [999, 998, 997]);
    assert_eq!(stage.board.events("production", usize::MAX).len(), 200);
    for wrong in ["0", "201", "x", "-1"] {
        assert_eq!(
            stage.get(&format!("{path}?newest={wrong}")).await.status,
            400
        );
    }
}

#[tokio::test]
async fn many_environments_share_the_events_that_are_kept() {
    let stage = stage().await;
    for environment in 0..4000 {
        for epoch in 0..20 {
            let name = format!("e-{environment}");
            stage.board.tell(event(&name, 0, What::Led { epoch }));
        }
    }
    let kept = |environment: usize| {
        let name = format!("e-{environment}");
        stage.board.events(&name, usize::MAX).len()
    };
    assert!((0..4000).all(|environment| kept(environment) == 10));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let stage = stage().await.showing([view("production")]);
    for path in [
        "/api/v1/environments/nowhere",
        "/api/v1/environments/nowhere/events",
        "/api/v2/environments",
        "/nowhere",
        "/assets/nothing.js",
        "/assets/..%2f..%2fCargo.toml",
    ] {
        assert_eq!(stage.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn ten_thousand_environments_are_listed_in_parts() {
    let stage = stage().await;
    let stage = stage.showing((0..10_000).map(|number| view(&format!("e-{number:05}"))));
    let mut after = String::new();
    let mut names = Vec::new();
    loop {
        let answer = stage
            .get(&format!("/api/v1/environments?after={after}"))
            .await;
        assert!(answer.body.len() < 400_000, "{} bytes", answer.body.len());
        let list = answer.json();
        for item in list["items"].as_array().unwrap() {
            names.push(item["environment"].as_str().unwrap().to_owned());
        }
        match list["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(names.len(), 10_000);
    assert!(names.is_sorted());
    let page = stage.get("/").await;
    assert!(page.body.contains("9800 more"));
    assert!(page.body.len() < 200_000, "{} bytes", page.body.len());
    let metrics = stage.get("/metrics").await.body;
    assert!(metrics.contains("reconciler_environments_without_series 9000.0\n"));
    assert!(metrics.len() < 6_000_000, "{} bytes", metrics.len());
    assert_eq!(
        stage.get("/api/v1/environments?limit=501").await.status,
        400
    );
    let two = stage.get("/api/v1/environments?limit=2").await.json();
    assert_eq!(two["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let stage = stage().await.showing([view("production"), view("staging")]);
    let bearer = bearer();
    for path in ["/api/v1/environments/production", "/production"] {
        let first = stage.get(path).await;
        let tag = first.header("etag").unwrap();
        let again = [("authorization", bearer.as_str()), ("if-none-match", tag)];
        let same = stage.asks("GET", path, &again, "").await;
        assert_eq!((same.status, same.body.as_str()), (304, ""));
        stage.board.set(&view("staging"));
        assert_eq!(stage.asks("GET", path, &again, "").await.status, 304);
        stage.board.set(&view("production"));
        let new = stage.asks("GET", path, &again, "").await;
        assert_eq!(new.status, 200);
        assert_ne!(new.header("etag"), Some(tag));
    }
}

#[tokio::test]
async fn who_waits_is_answered_as_soon_as_something_changes() {
    let stage = stage().await.showing([view("production")]);
    let bearer = bearer();
    let first = stage.get("/production").await;
    let waits = [
        ("authorization", bearer.as_str()),
        ("if-none-match", first.header("etag").unwrap()),
        ("prefer", "wait=20"),
    ];
    let waiting = stage.asks("GET", "/production", &waits, "");
    let changing = async {
        while stage.board.followers() == 0 {
            tokio::task::yield_now().await;
        }
        stage.board.set(&night("production"));
    };
    let both = async { tokio::join!(waiting, changing).0 };
    let answer = tokio::time::timeout(Duration::from_secs(10), both).await;
    assert!(answer.unwrap().body.contains("degraded"));
}
