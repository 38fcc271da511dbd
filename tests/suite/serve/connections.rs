//! Connections that are slow, many, long or broken, and how the server ends.

use super::stage::{Answer, settings, stage, stage_of, view};
use reconciler::serve::Settings;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn who_is_slow_to_ask_is_let_go_of() {
    let impatient = Settings {
        patience: Duration::from_millis(50),
        ..settings()
    };
    let stage = stage_of(impatient).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: local"] {
        let answer = tokio::time::timeout(Duration::from_secs(5), stage.sends(begun.as_bytes()));
        let answer = answer.await.expect("the server closes");
        assert!([0, 408].contains(&answer.status), "{answer:?}");
    }
    assert_eq!(stage.get_bare("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_head_without_an_end_is_refused() {
    let stage = stage().await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    assert_eq!(stage.sends(long.as_bytes()).await.status, 431);
    assert_eq!(
        stage.sends(b"\x16\x03\x01\x02\x00\x01\x00").await.status,
        400
    );
}

#[tokio::test]
async fn many_who_hold_on_do_not_keep_the_next_out_for_long() {
    let impatient = Settings {
        patience: Duration::from_millis(200),
        ..settings()
    };
    let stage = stage_of(impatient).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(stage.address).await.unwrap());
    }
    let next = tokio::time::timeout(Duration::from_secs(5), stage.get_bare("/healthz"));
    assert_eq!(next.await.unwrap().status, 200);
    drop(held);
}

#[tokio::test]
async fn at_the_end_what_was_begun_is_finished_and_nobody_waits_on() {
    let stage = stage().await.showing([view("production")]);
    let tag = stage
        .get("/production")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let mut waiting = TcpStream::connect(stage.address).await.unwrap();
    let request = format!(
        "GET /production HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\nif-none-match: {tag}\r\nprefer: wait=25\r\n\r\n",
        super::stage::bearer()
    );
    waiting.write_all(request.as_bytes()).await.unwrap();
    while stage.board.followers() == 0 {
        tokio::task::yield_now().await;
    }
    let address = stage.address;
    tokio::time::timeout(Duration::from_secs(3), stage.ends())
        .await
        .expect("it ends");
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::of(&answer).status, 304);
    assert!(TcpStream::connect(address).await.is_err());
}
