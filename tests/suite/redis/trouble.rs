//! What may be wrong with a server: each has its own clear words, and nothing is harmed.

use super::server::{Server, key, question, world};
use reconciler::clock::Clock;
use reconciler::providers::redis::Client;
use reconciler::world::redis::{Change, Layout};
use reconciler::world::{Failure, Seen};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::TcpListener;

fn pause() -> Change {
    Change::Pause {
        queue: key("mail"),
        layout: Layout::Legacy,
        reasons: BTreeSet::from(["Queue/mail".to_owned()]),
    }
}

fn limit() -> Change {
    Change::MaxActive {
        queue: key("mail"),
        to: 3,
    }
}

async fn with_queue(arguments: &[&str]) -> Server {
    let server = Server::with(arguments).await;
    server
        .run::<()>("HSET bull:mail:meta opts.maxLenEvents 10000 version bullmq:5.81.5")
        .await;
    server.run::<()>("RPUSH bull:mail:wait 3 2 1").await;
    server
}

async fn unseen(server: &Server, url: &str) -> String {
    let _ = server;
    match Client::new(&Clock::wall())
        .look(&question(&["mail"]), &world(url))
        .await
    {
        Seen::Unseen(words) => words,
        other => panic!("{other:?}"),
    }
}

async fn queue_unseen(url: &str) -> String {
    match Client::new(&Clock::wall())
        .look(&question(&["mail"]), &world(url))
        .await
    {
        Seen::Facts(server) => match &server.queues[&key("mail")] {
            Seen::Unseen(words) => words.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_never_shown() {
    let server = Server::start().await;
    server.run::<()>("CONFIG SET requirepass right").await;
    let wrong = format!("redis://:hunter2wrong@127.0.0.1:{}", server.port);
    let words = unseen(&server, &wrong).await;
    let at = format!("127.0.0.1:{}", server.port);
    assert_eq!(
        words,
        format!("Redis/main cannot be reached: {at} does not accept the user or the password")
    );
    let words = unseen(&server, &server.url()).await;
    assert_eq!(
        words,
        "Redis/main says no: it asks for a password, and the address has none"
    );
    let failure = server.perform_at(limit(), &wrong).await.unwrap_err();
    assert!(matches!(failure, Failure::Passing(_)) && !failure.to_string().contains("hunter2"));
    let words = unseen(&server, "not an address of hunter2").await;
    assert!(!words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn a_replica_takes_nothing_and_says_so() {
    let server = with_queue(&[]).await;
    let replica = Server::with(&["--replicaof", "127.0.0.1", &server.port.to_string()]).await;
    for _ in 0..200 {
        if replica
            .run::<String>("INFO replication")
            .await
            .contains("master_link_status:up")
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen = replica.look(&question(&["mail"])).await;
    let seen = seen.facts().unwrap();
    assert!(seen.is_replica && seen.queues[&key("mail")].facts().unwrap().in_wait == 3);
    let failure = replica.perform(pause()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "Redis/main says no: it is a replica, which takes no writes"
    );
    assert_eq!(replica.queue("mail").await.in_wait, 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _open = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok(connection) = listener.accept().await {
            open.push(connection);
        }
    });
    let url = format!("redis://127.0.0.1:{port}");
    let seen = Client::new(&Clock::wall())
        .look(&question(&["mail"]), &world(&url))
        .await;
    let Seen::Unseen(words) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(
        words,
        format!("Redis/main cannot be reached: 127.0.0.1:{port} does not answer within 5s")
    );
}

#[tokio::test]
async fn an_address_with_encryption_is_spoken_to_so() {
    let server = Server::start().await;
    // This one speaks without; a client whose provider of ciphers is missing would panic before it notices.
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let words = unseen(&server, &url).await;
    assert!(
        words.starts_with("Redis/main cannot be reached: 127.0.0.1"),
        "{words}"
    );
}

#[tokio::test]
async fn nothing_listens_there() {
    let mut server = Server::start().await;
    server.stop();
    let words = unseen(&server, &server.url()).await;
    assert_eq!(
        words,
        format!(
            "Redis/main cannot be reached: 127.0.0.1:{}: nothing listens there",
            server.port
        )
    );
}

#[tokio::test]
async fn a_restart_between_two_looks_is_got_over() {
    let mut server = with_queue(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    assert_eq!(server.queue("mail").await.in_wait, 3);
    server.restart().await;
    assert_eq!(
        server.queue("mail").await.in_wait,
        3,
        "by a connection of its own"
    );
    server.restart().await;
    // What was sent into a connection that is gone may have arrived or not; the next look decides.
    let first = server.perform(pause()).await;
    assert!(
        matches!(first, Ok(()) | Err(Failure::Unclear(_))),
        "{first:?}"
    );
    server.perform(pause()).await.unwrap();
    let queue = server.queue("mail").await;
    assert!(
        queue.is_paused && queue.in_paused == 3 && queue.in_wait == 0,
        "{queue:?}"
    );
}

#[tokio::test]
async fn a_full_server_takes_what_limits_pauses_and_lets_go_on() {
    let server = with_queue(&[]).await;
    server
        .run::<()>("CONFIG SET maxmemory-policy noeviction")
        .await;
    server.run::<()>("CONFIG SET maxmemory 100kb").await;
    let mut connection = server.connection().await;
    let set = redis::cmd("SET")
        .arg("more")
        .arg("data")
        .query_async::<()>(&mut connection)
        .await;
    assert!(set.unwrap_err().to_string().contains("OOM"));
    server.perform(limit()).await.unwrap();
    server.perform(pause()).await.unwrap();
    let queue = server.queue("mail").await;
    assert!(queue.is_paused && queue.in_paused == 3, "{queue:?}");
    assert_eq!(queue.max_active.as_deref(), Some("3"));
    let resume = Change::Resume {
        queue: key("mail"),
        layout: Layout::Legacy,
        is_ours: true,
    };
    server.perform(resume).await.unwrap();
    let queue = server.queue("mail").await;
    assert!(!queue.is_paused && queue.in_wait == 3, "{queue:?}");
    let (key, value) = ("closed".to_owned(), "true".to_owned());
    server.perform(Change::Set { key, value }).await.unwrap();
    assert_eq!(server.run::<String>("GET closed").await, "true");
}

#[tokio::test]
async fn a_key_of_another_type_is_left_alone() {
    let server = Server::start().await;
    server
        .run::<()>("HSET bull:mail:meta opts.maxLenEvents 10000")
        .await;
    server.run::<()>("SET bull:mail:paused mine").await;
    let words = queue_unseen(&server.url()).await;
    assert_eq!(
        words,
        "the queue bull:mail cannot be seen: bull:mail:paused is a string, and BullMQ keeps a list there"
    );
    for change in [pause(), limit()] {
        let failure = server.perform(change).await.unwrap_err();
        assert!(
            failure.to_string().contains("bull:mail:paused is a string"),
            "{failure}"
        );
    }
    assert_eq!(server.run::<String>("GET bull:mail:paused").await, "mine");
    assert_eq!(server.run::<u64>("HLEN bull:mail:meta").await, 1);
}

#[tokio::test]
async fn a_user_that_may_run_no_scripts_is_told_which_right_it_lacks() {
    let server = with_queue(&[]).await;
    server
        .run::<()>("ACL SETUSER ann on >secret ~* +@all -eval -evalsha")
        .await;
    let url = format!("redis://ann:secret@127.0.0.1:{}", server.port);
    let words = queue_unseen(&url).await;
    assert!(
        words.starts_with("the queue bull:mail cannot be seen: its user lacks the right"),
        "{words}"
    );
    let failure = server.perform_at(pause(), &url).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Refused(words) if words.contains("lacks the right")),
        "{failure}"
    );
    assert_eq!(server.queue("mail").await.in_wait, 3);
}

#[tokio::test]
async fn a_cluster_is_not_looked_after() {
    let server = Server::with(&["--cluster-enabled", "yes"]).await;
    let words = unseen(&server, &server.url()).await;
    assert_eq!(
        words,
        "Redis/main is a cluster, whose nodes hold parts of the queues: none is looked after here"
    );
}

#[tokio::test]
async fn a_queue_that_is_gone_is_not_made_again() {
    let server = Server::start().await;
    for change in [pause(), limit()] {
        let failure = server.perform(change).await.unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("nobody has made the queue bull:mail"),
            "{failure}"
        );
    }
    assert_eq!(server.run::<u64>("DBSIZE").await, 0);
}
