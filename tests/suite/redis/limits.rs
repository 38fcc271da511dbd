//! A limit reaches workers under load as soon as the library's own call does, and nothing is killed.

use super::bullmq::{Application, VERSIONS};
use super::is_bench;
use super::server::{Server, key};
use reconciler::world::redis::Change;
use serde_json::{Value, json};

/// So often it is measured; the middle counts, and a bench judges it.
const TIMES: usize = 5;
/// What a busy machine may add.
const SLACK_MS: f64 = 60.0;

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn reaches(application: &mut Application, until: Value) -> f64 {
    application.order(until).await.as_f64().unwrap()
}

async fn ours(server: &Server, to: u64) {
    let queue = key("mail");
    server
        .perform(Change::MaxActive { queue, to })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_limit_reaches_workers_as_soon_as_the_librarys_own_call() {
    for version in VERSIONS.iter().filter(|version| version.limits) {
        let server = Server::start().await;
        let mut application = Application::start(*version, &server, "mail").await;
        application.work(2, 5, 50).await;
        let added = application.add(1_500).await;
        let mut lower = [Vec::new(), Vec::new()];
        let mut raise = [Vec::new(), Vec::new()];
        for _ in 0..TIMES {
            for (who, (lower, raise)) in lower.iter_mut().zip(&mut raise).enumerate() {
                for (to, until, times) in [
                    (1, json!({ "order": "until", "most": 1 }), lower),
                    (10, json!({ "order": "until", "least": 8 }), raise),
                ] {
                    if who == 0 {
                        ours(&server, to).await;
                    } else {
                        application
                            .order(json!({ "order": "limit", "to": to }))
                            .await;
                    }
                    times.push(reaches(&mut application, until).await);
                }
            }
        }
        let [lower, raise] = [lower, raise].map(|both| both.map(middle));
        println!(
            "queues: BullMQ {}: lowered in {:.0} ms (its own call {:.0}), raised in {:.0} ms (its own call {:.0})",
            version.number, lower[0], lower[1], raise[0], raise[1]
        );
        if is_bench() {
            assert!(lower[0] <= lower[1] + SLACK_MS, "{version:?}");
            assert!(raise[0] <= raise[1] + SLACK_MS, "{version:?}");
        }
        application.until_ran(added).await;
        assert_eq!(application.ran().await, (added, 0), "{version:?}");
        application.close().await;
    }
}
