//! Whether the controller lives and is ready, said to everybody.

use super::stage::{settings, stage, stage_at, view};
use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::serve::Git;
use reconciler::status::view::View;
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn health_is_said_without_a_token() {
    let stage = stage().await;
    let answer = stage.get_bare("/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "alive\n"));
}

#[tokio::test]
async fn a_controller_that_does_not_beat_is_stuck_until_it_beats() {
    let clock = Clock::counted(Timestamp::UNIX_EPOCH, 1);
    let stage = stage_at(settings(), clock).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let stuck = stage.get_bare("/healthz").await;
    assert_eq!(stuck.status, 503);
    assert!(stuck.body.starts_with("stuck: no beat for 61 s"));
    stage.board.beat();
    assert_eq!(stage.get_bare("/healthz").await.status, 200);
}

#[tokio::test]
async fn it_is_ready_once_git_answers_and_every_led_environment_was_looked_at() {
    let stage = stage().await;
    let led = ["production", "staging"].map(str::to_owned);
    stage.board.leads(BTreeSet::from(led));
    let ready = async || {
        let answer = stage.get_bare("/readyz").await;
        (answer.status, answer.body)
    };
    let (status, words) = ready().await;
    assert_eq!(status, 503);
    assert_eq!(
        words,
        "not ready: git not asked yet, 0 of 2 environments looked at\n"
    );

    stage.board.git(Git::Reached);
    stage.board.set(&view("production"));
    stage.board.set(&View {
        looked_at: None,
        ..view("staging")
    });
    assert_eq!(ready().await.0, 503);

    stage.board.set(&view("staging"));
    let (status, words) = ready().await;
    assert_eq!(status, 200);
    assert_eq!(words, "ready: git answers, 2 of 2 environments looked at\n");

    stage.board.git(Git::Lost {
        since: Timestamp::UNIX_EPOCH,
        why: "https://anna:hunter2@example.com does not answer".to_owned(),
    });
    let (status, words) = ready().await;
    assert_eq!(status, 503);
    assert!(!words.contains("hunter2"), "{words}");
}
