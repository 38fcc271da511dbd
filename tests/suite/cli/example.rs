//! The manifests that a newcomer copies, whole: with a Redis, its queues, and a site that closes with them.

use super::scene::{Scene, runbook, whole_scene_of};
use super::server::FAST;
use crate::redis::server::Server;
use reconciler::clock::Clock;
use std::time::Duration;

/// A Redis with the queues that the application makes, and the runbook's environment in which it runs.
async fn with_queues() -> (Server, Scene) {
    let server = Server::with(&["--appendonly", "yes"]).await;
    for queue in ["orders", "emails"] {
        let made = format!("HSET bull:{queue}:meta opts.maxLenEvents 10000 version bullmq:5.81.5");
        server.run::<()>(&made).await;
    }
    let address = format!("REDIS_URL: \"{}\", REDIS_PASSWORD: {{", server.url());
    let seed = runbook().replace("REDIS_PASSWORD: {", &address);
    let scene = whole_scene_of(&format!("{seed}{FAST}"));
    (server, scene)
}

async fn meta(server: &Server, queue: &str, field: &str) -> Option<String> {
    let command = format!("HGET bull:{queue}:meta {field}");
    server.run(&command).await
}

#[test]
fn the_example_is_valid_in_every_environment() {
    let scene = whole_scene_of(&runbook());
    for environment in ["production", "staging"] {
        scene.run(&["validate", environment]).exits(0);
    }
    scene
        .run(&["show", "staging", "emails"])
        .exits(0)
        .prints("paused: true")
        .prints("maxActive: 20");
}

#[tokio::test]
async fn the_example_limits_its_queues_and_closes_and_opens_with_them() {
    let (server, scene) = with_queues().await;

    scene.run(&["apply", "--yes", "production"]).exits(0);

    assert_eq!(
        meta(&server, "orders", "concurrency").await.as_deref(),
        Some("10")
    );
    assert_eq!(
        meta(&server, "emails", "concurrency").await.as_deref(),
        Some("20")
    );
    scene.run(&["diff", "production"]).exits(0);

    let until = Clock::wall().now() + Duration::from_secs(7200);
    scene.write(
        "production/maintenance.yaml",
        format!("apiVersion: reconciler/v1alpha1\nkind: Maintenance\nmetadata: {{ name: site, from: base }}\nspec: {{ enabled: true, reason: orders are being repaired, until: {until:.0} }}\n"),
    );
    scene.run(&["apply", "--yes", "production"]).exits(0);
    for queue in ["orders", "emails"] {
        assert_eq!(meta(&server, queue, "paused").await.as_deref(), Some("1"));
    }

    std::fs::remove_file(scene.path("production/maintenance.yaml")).unwrap();
    scene.run(&["apply", "--yes", "production"]).exits(0);
    for queue in ["orders", "emails"] {
        assert_eq!(meta(&server, queue, "paused").await, None);
    }
}
