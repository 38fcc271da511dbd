//! What `doctor` says of Redis servers and queues, against real ones: each trouble in its own words, with what helps.

use super::scene::{Scene, scene};
use crate::redis::server::Server;
use reconciler::world::redis::{Change, Layout};
use std::collections::BTreeSet;

/// The runbook's environment, with a server of which only an address is known.
fn with_redis(address: &str, spec: &str) -> Scene {
    let scene = scene().set("PRODUCTION_REDIS_ADDRESS", address);
    scene.write(
        "production/redis.yaml",
        format!(
            "apiVersion: reconciler/v1alpha1\nkind: Redis\nmetadata: {{ name: extra }}\nspec: {{ address: {{ from: {{ secret: REDIS_ADDRESS }} }}{spec} }}\n---\napiVersion: reconciler/v1alpha1\nkind: Queue\nmetadata: {{ name: mail }}\nspec: {{ redis: extra, library: bullmq, maxActive: 5 }}\n"
        ),
    );
    scene
}

#[tokio::test]
async fn doctor_says_of_a_server_and_its_queues_that_they_are_fit() {
    let server = Server::with(&["--appendonly", "yes"]).await;
    server
        .run::<()>("HSET bull:mail:meta opts.maxLenEvents 10000 version bullmq:6.7.0")
        .await;
    server.run::<()>("RPUSH bull:mail:wait 2 1").await;
    let scene = with_redis(&server.url(), "");

    let doctor = scene.run(&["doctor", "production"]);

    let doctor = doctor
        .says_nothing()
        .prints("ok    Redis/extra answers in ")
        .prints(" ms: version ")
        .prints("ok    Redis/extra throws away nothing when it is full\n")
        .prints("ok    Queue/mail is there: BullMQ 6.7.0, a pause leaves its jobs where they are, as from version 6; 2 waiting, 0 running\n")
        .prints("warn  Queue/mail: jobs wait, and no worker is connected\n      → see the log of the service that works them\n");
    assert!(
        !doctor.out.contains("extra keeps nothing"),
        "{}",
        doctor.out
    );
    scene.changed_nothing();
}

#[tokio::test]
async fn doctor_says_what_is_not_fit_and_what_helps() {
    let server = Server::start().await;
    server
        .run::<()>("CONFIG SET maxmemory-policy allkeys-lru")
        .await;
    server
        .run::<()>("HSET bull:mail:meta opts.maxLenEvents 10000 version bullmq:5.0.0")
        .await;
    server.run::<()>("RPUSH bull:mail:wait 1").await;
    let pause = Change::Pause {
        queue: crate::redis::server::key("mail"),
        layout: Layout::V6,
        reasons: BTreeSet::from(["Queue/mail".to_owned()]),
    };
    server.perform(pause).await.unwrap();
    let scene = with_redis(&server.url(), "");

    scene
        .run(&["doctor", "production"])
        .prints("warn  Redis/extra has the policy allkeys-lru: when it is full it throws away jobs of Queue/mail\n      → write `memory: { policy: noeviction }`\n")
        .prints("warn  Redis/extra keeps nothing over a restart\n      → write `persistence: { appendOnly: true }`, or `save`\n")
        .prints("ok    Queue/mail is there: BullMQ 5.0.0, a pause moves its jobs, as before version 6; 1 waiting, 0 running\n")
        .prints("warn  Queue/mail: its library ignores `maxActive`, which came with 5.9\n")
        .prints("warn  Queue/mail: jobs lie where no worker looks for them")
        .prints("      → `diff` says what mends it\n");

    // A queue that nobody made, and one whose keys are somebody else's.
    server.run::<()>("FLUSHALL").await;
    scene
        .run(&["doctor", "production"])
        .prints("warn  Queue/mail: nothing in Redis/extra is called bull:mail\n");
    server.run::<()>("SET bull:mail:wait no").await;
    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints("FAIL  Queue/mail: the queue bull:mail cannot be seen: bull:mail:wait is a string");
    scene.changed_nothing();
}

#[tokio::test]
async fn doctor_says_why_a_server_cannot_be_seen_and_never_shows_a_password() {
    let server = Server::start().await;
    let at = format!("127.0.0.1:{}", server.port);
    server.run::<()>("CONFIG SET requirepass right").await;
    let scene = with_redis(&format!("redis://:hunter2wrong@{at}"), "");

    let wrong = scene.run(&["doctor", "production"]).exits(2).prints(&format!(
        "FAIL  Redis/extra cannot be reached: {at} does not accept the user or the password\n      → put the user and the password that the server has into the secret REDIS_ADDRESS\n"
    ));
    assert!(!wrong.out.contains("hunter2"), "{}", wrong.out);

    let scene = scene.set("PRODUCTION_REDIS_ADDRESS", server.url());
    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints("FAIL  Redis/extra says no: it asks for a password, and the address has none\n      → put the user");

    let cluster = Server::with(&["--cluster-enabled", "yes"]).await;
    let scene = scene.set("PRODUCTION_REDIS_ADDRESS", cluster.url());
    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints("FAIL  Redis/extra is a cluster, whose nodes hold parts of the queues: none is looked after here\n      → let the secret REDIS_ADDRESS name one server that takes writes\n");

    let master = Server::start().await;
    let of = master.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &of]).await;
    let scene = scene.set("PRODUCTION_REDIS_ADDRESS", replica.url());
    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints("FAIL  Redis/extra is a replica, which takes no writes\n      → let the Redis name the server that takes writes\n");

    let mut gone = Server::start().await;
    gone.stop();
    let scene = scene.set("PRODUCTION_REDIS_ADDRESS", gone.url());
    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints(&format!("FAIL  Redis/extra cannot be reached: 127.0.0.1:{}: nothing listens there\n      → check the secret REDIS_ADDRESS, and that it can be reached from here", gone.port));
    scene.changed_nothing();
}

#[tokio::test]
async fn doctor_says_whether_the_start_command_brings_back_what_is_declared() {
    let server = Server::start().await;
    let seed = super::scene::runbook().replacen(
        "variables: { REDIS_PASSWORD: { value: hunter2, sealed: true } }",
        &format!(
            "deploy: {{ startCommand: redis-server --appendonly yes }}\n            variables: {{ REDIS_URL: \"{}\" }}",
            server.url()
        ),
        1,
    );
    let scene = super::scene::scene_of(&format!("{seed}{}", super::server::FAST));
    scene.write(
        "production/redis.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Redis\nmetadata: { name: extra }\nspec: { service: redis, memory: { max: 100MiB } }\n",
    );

    scene
        .run(&["doctor", "production"])
        .exits(2)
        .prints("FAIL  Redis/extra: its start command turns the append-only file on, and what runs has none: the next restart would start EMPTY\n      → write `persistence: { appendOnly: true }`")
        .prints("warn  the start command of Redis/extra does not say what is declared\n      → the next start would not bring it back: let the start command of redis say `--maxmemory 104857600`\n");
    scene.changed_nothing();
}
