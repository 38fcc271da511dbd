//! What Prometheus reads: OpenMetrics, under the names that people know, and never more of it than is bounded.

use super::stage::{Stage, night, stage, view};
use reconciler::serve::{Passed, Requested};
use reconciler::status::queues::{QueueShows, QueueStatus, RedisShows, RedisStatus};
use reconciler::status::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

async fn text(stage: &Stage) -> String {
    let answer = stage.get("/metrics").await;
    let sort = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(sort));
    answer.body
}

/// Reads OpenMetrics as strictly as its specification: each family once, of a known type, its series together, no series twice, labels escaped, `# EOF` at the end.
fn read(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut current = "";
    let mut series = BTreeMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            match what {
                "TYPE" => {
                    assert!(
                        ["counter", "gauge", "histogram", "info"].contains(&rest),
                        "{line}"
                    );
                    assert!(types.insert(name, rest).is_none(), "{name} twice");
                    current = name;
                }
                "HELP" | "UNIT" => assert!(name == current || !types.contains_key(name), "{line}"),
                other => panic!("{other}"),
            }
            continue;
        }
        let (id, value) = line.rsplit_once(' ').unwrap();
        let name = id.split('{').next().unwrap();
        let suffixes: &[&str] = match types[current] {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(
            suffixes
                .iter()
                .any(|suffix| name == format!("{current}{suffix}")),
            "{line} in {current}"
        );
        labels(id);
        assert!(
            series
                .insert(id.to_owned(), value.parse().unwrap())
                .is_none(),
            "{id} twice"
        );
    }
    series
}

fn labels(id: &str) {
    let Some((_, rest)) = id.split_once('{') else {
        return;
    };
    let mut rest = rest.strip_suffix('}').unwrap();
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(
            name.bytes()
                .all(|sign| sign.is_ascii_alphanumeric() || sign == b'_'),
            "{id}"
        );
        assert!(names.insert(name), "{name} twice in {id}");
        let mut escaped = false;
        let end = value.char_indices().find(|(_, sign)| {
            let ends = !escaped && *sign == '"';
            escaped = !escaped && *sign == '\\';
            ends
        });
        rest = &value[end.unwrap().0 + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[tokio::test]
async fn people_find_the_names_that_they_know() {
    let stage = stage()
        .await
        .showing([night("production"), view("staging")]);
    stage.board.leads(["production".to_owned()].into());
    stage
        .metrics
        .passed("production", Passed::Failed, Duration::from_millis(300));
    stage
        .metrics
        .passed("production", Passed::InStep, Duration::from_millis(20));
    stage.metrics.requested("railway", Requested::Throttled);
    stage.metrics.left("railway", 9_876);
    stage.metrics.busy(1, 8, 3);
    let series = read(&text(&stage).await);
    let at = |id: &str| {
        *series
            .get(id)
            .unwrap_or_else(|| panic!("no {id} in {series:#?}"))
    };
    assert_eq!(
        at(r#"reconciler_reconcile_total{environment="production",result="failed"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_reconcile_errors_total{environment="production"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_reconcile_duration_seconds_bucket{le="0.5",result="failed"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_provider_requests_total{provider="railway",result="throttled"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_provider_rate_limit_remaining{provider="railway"}"#),
        9876.0
    );
    assert_eq!(
        at(r#"reconciler_condition{environment="production",type="Ready",status="False"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_condition{environment="production",type="Ready",status="True"}"#),
        0.0
    );
    assert_eq!(
        at(r#"reconciler_held_steps{environment="production"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_drift_fields{environment="production"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_leader_election_master_status{name="production"}"#),
        1.0
    );
    assert_eq!(
        at(r#"reconciler_leader_election_master_status{name="staging"}"#),
        0.0
    );
    assert_eq!(
        at(
            r#"reconciler_resource_info{kind="Environment",name="production",environment="production",ready="False",suspended="true",revision="41bd07e"}"#
        ),
        1.0
    );
    assert_eq!(
        at(
            r#"reconciler_resource_info{kind="Service",name="worker",environment="production",ready="False",suspended="true",revision="ghcr.io/sentia/app:1.4.2"}"#
        ),
        1.0
    );
    assert!(
        at(r#"reconciler_last_successful_look_timestamp_seconds{environment="staging"}"#) > 1.7e9
    );
    assert_eq!(at("reconciler_active_workers"), 1.0);
    assert_eq!(at("reconciler_max_concurrent_reconciles"), 8.0);
    assert_eq!(at("reconciler_workqueue_depth"), 3.0);
    assert_eq!(at("reconciler_environments"), 2.0);
    stage.metrics.forget("production");
    stage.board.forget("production");
    assert!(!text(&stage).await.contains("production"));
}

#[tokio::test]
async fn a_hostile_name_stays_a_label() {
    let name = "a\"} 1\nreconciler_evil 1\n# EOF\n\\";
    let stage = stage().await.showing([night(name)]);
    stage.metrics.passed(name, Passed::Made, Duration::ZERO);
    let series = read(&text(&stage).await);
    assert!(!series.contains_key("reconciler_evil"));
}

#[tokio::test]
async fn the_series_are_bounded_whatever_the_names() {
    let stage = stage().await;
    for number in 0..1500 {
        stage
            .metrics
            .passed(&format!("e-{number:04}"), Passed::InStep, Duration::ZERO);
        stage.board.set(&view(&format!("e-{number:04}")));
    }
    for number in 0..1500 {
        stage.get_bare(&format!("/nothing/{number}")).await;
        if number == 20 {
            break;
        }
    }
    let series = read(&text(&stage).await);
    let of = |name: &str| series.keys().filter(|id| id.starts_with(name)).count();
    assert_eq!(of("reconciler_reconcile_total"), 1001);
    assert_eq!(of("reconciler_held_steps"), 1000);
    assert_eq!(of("reconciler_condition"), 18_000);
    assert_eq!(series["reconciler_environments_without_series"], 500.0);
    let others = r#"reconciler_reconcile_total{environment="_others",result="in_step"}"#;
    assert_eq!(series[others], 500.0);
    assert!(of("reconciler_http_requests_total") < 10);
}

/// A view of an environment with a Redis, and so many queues in it.
fn with_queues(name: &str, queues: usize) -> View {
    let mut view = view(name);
    let status = view.status.as_mut().unwrap();
    status.seen_at = "2026-11-23T03:10:00Z".to_owned();
    let server = |name: &str, shows: Option<RedisShows>| RedisStatus {
        name: name.to_owned(),
        is_well: shows.is_some(),
        words: "in words".to_owned(),
        shows,
    };
    let shows = RedisShows {
        version: "7.4.5".to_owned(),
        started_at: "2026-11-20T09:00:00Z".to_owned(),
        used_bytes: 1_048_576,
        max_bytes: 4_194_304,
        policy: "noeviction".to_owned(),
        evicted_keys: 7,
        keys: 12,
        append_only: false,
        save: Some("3600 1".to_owned()),
        saved_at: "1970-01-01T00:01:40Z".to_owned(),
        save_is_well: false,
        unsaved_changes: 3,
        latency_ms: 0.5,
    };
    status.redis = vec![server("main", Some(shows)), server("away", None)];
    let shows = QueueShows {
        library: Some("bullmq:5.81.5".to_owned()),
        is_paused: true,
        is_quiet: false,
        paused_for: vec!["Maintenance/site".to_owned()],
        paused_since: None,
        max_active: None,
        waiting: 4,
        active: 2,
        delayed: 1,
        failed: 9,
        oldest_waiting: Some("2026-11-23T03:08:30Z".to_owned()),
        workers: Some(3),
        unheld: 0,
        reasons: Vec::new(),
    };
    let queue = |name: String, shows: Option<QueueShows>| QueueStatus {
        name,
        redis: "main".to_owned(),
        is_well: true,
        words: "in words".to_owned(),
        shows,
    };
    status.queues = (0..queues)
        .map(|number| queue(format!("orders-{number}"), Some(shows.clone())))
        .collect();
    status.queues.push(queue("gone".to_owned(), None));
    view
}

#[tokio::test]
async fn servers_and_queues_have_the_figures_that_a_status_shows() {
    let stage = stage().await.showing([with_queues("production", 1)]);

    let series = read(&text(&stage).await);

    let of = |name: &str, what: &str, value: f64| {
        let id = format!("reconciler_{name}{{environment=\"production\",{what}}}");
        let found = series.get(&id).copied();
        assert_eq!(found, Some(value), "{id}");
    };
    let (main, orders) = (r#"redis="main""#, r#"queue="orders-0""#);
    of("redis_up", main, 1.0);
    of("redis_up", r#"redis="away""#, 0.0);
    of("redis_memory_used_bytes", main, 1_048_576.0);
    of("redis_memory_max_bytes", main, 4_194_304.0);
    of("redis_evicted_keys_total", main, 7.0);
    of("redis_last_save_timestamp_seconds", main, 100.0);
    of("redis_last_save_failed", main, 1.0);
    of("redis_unsaved_changes", main, 3.0);
    of("redis_latency_seconds", main, 0.0005);
    of("queue_up", orders, 1.0);
    of("queue_up", r#"queue="gone""#, 0.0);
    for (state, jobs) in [
        ("waiting", 4.0),
        ("active", 2.0),
        ("delayed", 1.0),
        ("failed", 9.0),
    ] {
        of("queue_jobs", &format!("{orders},state=\"{state}\""), jobs);
    }
    of("queue_oldest_waiting_age_seconds", orders, 90.0);
    of("queue_workers", orders, 3.0);
    of("queue_paused", orders, 1.0);
    // What cannot be seen has no figures that could be taken for true ones.
    let strange = |id: &&String| id.contains("away") || id.contains("gone");
    assert_eq!(series.keys().filter(strange).count(), 2);
    stage.board.forget("production");
    assert!(!text(&stage).await.contains("orders-0"));
}

#[tokio::test]
async fn the_series_of_queues_are_bounded_too() {
    let stage = stage().await.showing([with_queues("production", 2_500)]);

    let series = read(&text(&stage).await);

    let of = |name: &str| series.keys().filter(|id| id.starts_with(name)).count();
    assert_eq!(of("reconciler_queue_up"), 2_000);
    assert_eq!(of("reconciler_queue_jobs"), 8_000);
    assert_eq!(series["reconciler_queues_without_series"], 501.0);
}
