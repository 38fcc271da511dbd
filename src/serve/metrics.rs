//! What Prometheus reads, under the names that people's dashboards know. What stands in a view is read from the board when it is asked for.

mod queues;

use super::board::Board;
use crate::status::view::{ConditionKind, Truth, View};
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::fmt::{Debug, Error, Formatter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many environments have series of their own; `reconciler_environments_without_series` tells how many do not.
pub const MOST_ENVIRONMENTS: usize = 1000;
/// How many services have.
const MOST_SERVICES: usize = 2000;
/// What stands for the name of an environment that has none.
const OTHERS: &str = "_others";

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Nothing is asked for.
    InStep,
    /// Something was written.
    Made,
    /// Something is waited for.
    Waits,
    /// Somebody must act first.
    Held,
    /// Something could not be seen.
    Unseen,
    /// The look or the write failed.
    Failed,
}

impl Passed {
    fn word(self) -> &'static str {
        match self {
            Passed::InStep => "in_step",
            Passed::Made => "made",
            Passed::Waits => "waits",
            Passed::Held => "held",
            Passed::Unseen => "unseen",
            Passed::Failed => "failed",
        }
    }
}

/// How a request to a provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// It was answered.
    Answered,
    /// It was refused.
    Refused,
    /// It was refused because there were too many.
    Throttled,
    /// It was not answered.
    Failed,
}

impl Requested {
    fn word(self) -> &'static str {
        match self {
            Requested::Answered => "answered",
            Requested::Refused => "refused",
            Requested::Throttled => "throttled",
            Requested::Failed => "failed",
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// What is counted. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Metrics(Arc<Counted>);

struct Counted {
    registry: Registry,
    named: Mutex<BTreeSet<String>>,
    passes: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    requests: Family<Labels, Counter>,
    remaining: Family<Labels, Gauge>,
    webhooks: Family<Labels, Counter>,
    looks: Counter,
    answers: Family<Labels, Counter>,
    workers: Gauge,
    most_workers: Gauge,
    waiting: Gauge,
}

impl Debug for Metrics {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result<(), Error> {
        out.write_str("Metrics")
    }
}

impl Metrics {
    /// With what the board shows.
    pub fn new(board: Board) -> Metrics {
        let durations: fn() -> Histogram =
            || Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let mut counted = Counted {
            registry: Registry::default(),
            named: Mutex::default(),
            passes: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(durations),
            requests: Family::default(),
            remaining: Family::default(),
            webhooks: Family::default(),
            looks: Counter::default(),
            answers: Family::default(),
            workers: Gauge::default(),
            most_workers: Gauge::default(),
            waiting: Gauge::default(),
        };
        counted.register(board);
        Metrics(Arc::new(counted))
    }

    /// A pass of an environment is over.
    pub fn passed(&self, environment: &str, passed: Passed, took: Duration) {
        let name = self.name_of(environment);
        let result = passed.word().to_owned();
        let counted = &self.0;
        if passed == Passed::Failed {
            let labels = vec![("environment", name.clone())];
            counted.errors.get_or_create(&labels).inc();
        }
        let labels = vec![("environment", name), ("result", result.clone())];
        counted.passes.get_or_create(&labels).inc();
        let labels = vec![("result", result)];
        let duration = counted.durations.get_or_create(&labels);
        duration.observe(took.as_secs_f64());
    }

    /// A request to a provider is over.
    pub fn requested(&self, provider: &'static str, requested: Requested) {
        let labels = vec![
            ("provider", provider.to_owned()),
            ("result", requested.word().to_owned()),
        ];
        self.0.requests.get_or_create(&labels).inc();
    }

    /// A provider has told how many requests are left.
    pub fn left(&self, provider: &'static str, remaining: u64) {
        let labels = vec![("provider", provider.to_owned())];
        let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
        self.0.remaining.get_or_create(&labels).set(remaining);
    }

    /// How many passes go on, how many may at most, and how many environments wait for one.
    pub fn busy(&self, workers: usize, most: usize, waiting: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.0.workers.set(count(workers));
        self.0.most_workers.set(count(most));
        self.0.waiting.set(count(waiting));
    }

    /// An environment is not there any more, and neither are its series.
    pub fn forget(&self, environment: &str) {
        self.named().remove(environment);
        let name = || ("environment", environment.to_owned());
        self.0.errors.remove(&vec![name()]);
        for passed in [
            Passed::InStep,
            Passed::Made,
            Passed::Waits,
            Passed::Held,
            Passed::Unseen,
            Passed::Failed,
        ] {
            let labels = vec![name(), ("result", passed.word().to_owned())];
            self.0.passes.remove(&labels);
        }
    }

    /// A delivery of the webhook is answered; `result` is a word of the source code.
    pub(super) fn delivered(&self, result: &'static str) {
        let labels = vec![("result", result.to_owned())];
        self.0.webhooks.get_or_create(&labels).inc();
    }

    /// The webhook has asked for a look.
    pub(super) fn looked_by_webhook(&self) {
        self.0.looks.inc();
    }

    /// A request is answered; `route` is the pattern of its path, as the source code has it.
    pub(super) fn answered(&self, route: &str, code: u16) {
        let labels = vec![("route", route.to_owned()), ("code", code.to_string())];
        self.0.answers.get_or_create(&labels).inc();
    }

    /// All of it as OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// The name, for as many as have series of their own.
    fn name_of(&self, environment: &str) -> String {
        let mut named = self.named();
        let has_series = named.contains(environment)
            || named.len() < MOST_ENVIRONMENTS && named.insert(environment.to_owned());
        drop(named);
        if has_series { environment } else { OTHERS }.to_owned()
    }

    fn named(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        let named = self.0.named.lock();
        named.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn register(&mut self, board: Board) {
        let registry = &mut self.registry;
        registry.register(
            "reconciler_reconcile",
            "Passes by how they ended",
            self.passes.clone(),
        );
        registry.register(
            "reconciler_reconcile_errors",
            "Passes that failed",
            self.errors.clone(),
        );
        registry.register(
            "reconciler_reconcile_duration_seconds",
            "How long passes took",
            self.durations.clone(),
        );
        registry.register(
            "reconciler_provider_requests",
            "Requests to providers by how they ended",
            self.requests.clone(),
        );
        registry.register(
            "reconciler_provider_rate_limit_remaining",
            "Requests that a provider still allows",
            self.remaining.clone(),
        );
        registry.register(
            "reconciler_webhook",
            "Deliveries of the webhook by how they were answered",
            self.webhooks.clone(),
        );
        registry.register(
            "reconciler_webhook_looks",
            "Looks that the webhook asked for",
            self.looks.clone(),
        );
        registry.register(
            "reconciler_http_requests",
            "Answers over HTTP",
            self.answers.clone(),
        );
        registry.register(
            "reconciler_active_workers",
            "Passes that go on",
            self.workers.clone(),
        );
        registry.register(
            "reconciler_max_concurrent_reconciles",
            "Passes that may go on side by side",
            self.most_workers.clone(),
        );
        registry.register(
            "reconciler_workqueue_depth",
            "Environments that wait for a pass",
            self.waiting.clone(),
        );
        registry.register_collector(Box::new(Shown(board)));
    }
}

/// What the board shows, as gauges.
#[derive(Debug)]
struct Shown(Board);

impl Collector for Shown {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.count();
        let views = self.0.views(MOST_ENVIRONMENTS);
        let left_out = all.saturating_sub(views.len());
        let led = self.0.led();
        family(
            &mut out,
            "reconciler_build_info",
            "The version that runs",
            [(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
        )?;
        family(
            &mut out,
            "reconciler_environments",
            "Environments that are shown",
            [(Vec::new(), count(all))],
        )?;
        family(
            &mut out,
            "reconciler_environments_without_series",
            "Environments beyond those that have series of their own",
            [(Vec::new(), count(left_out))],
        )?;
        family(
            &mut out,
            "reconciler_resource_info",
            "What is managed, and how it stands",
            views
                .iter()
                .map(resource)
                .chain(views.iter().flat_map(services).take(MOST_SERVICES)),
        )?;
        family(
            &mut out,
            "reconciler_condition",
            "The conditions of an environment: 1 where the status is the one named",
            views.iter().flat_map(conditions),
        )?;
        family(
            &mut out,
            "reconciler_drift_fields",
            "Fields that somebody changed outside of git",
            views.iter().map(|view| {
                let drift = view.status.as_ref().map_or(0, |status| status.drift.len());
                (named(view), count(drift))
            }),
        )?;
        family(
            &mut out,
            "reconciler_held_steps",
            "Steps that somebody must see to",
            views.iter().map(|view| {
                let held = view.status.as_ref().map_or(0, |status| status.held.len());
                (named(view), count(held))
            }),
        )?;
        let figures: Vec<queues::Figures> = views.iter().map(queues::Figures::of).collect();
        queues::encode(&figures, &mut out)?;
        family(
            &mut out,
            "reconciler_leader_election_master_status",
            "1 where this controller leads the environment",
            views.iter().map(|view| {
                let leads = led.contains(&view.environment);
                let labels = vec![("name", view.environment.clone())];
                (labels, f64::from(u8::from(leads)))
            }),
        )?;
        family(
            &mut out,
            "reconciler_last_successful_look_timestamp_seconds",
            "When a full look was taken",
            views.iter().filter_map(|view| {
                let at: Timestamp = view.looked_at.as_deref()?.parse().ok()?;
                Some((named(view), at.as_duration().as_secs_f64()))
            }),
        )?;
        family(
            &mut out,
            "reconciler_followers",
            "Readers of the page that wait for a change",
            [(Vec::new(), count(self.0.followers()))],
        )?;
        let beat = self.0.since_beat().as_secs_f64();
        family(
            &mut out,
            "reconciler_seconds_since_beat",
            "How long ago the controller was seen to get on",
            [(Vec::new(), beat)],
        )
    }
}

fn family(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Labels, f64)>,
) -> Result<(), Error> {
    let mut encoder = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        if labels.is_empty() {
            ConstGauge::new(value).encode(encoder)?;
            return Ok(());
        }
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
fn count(count: usize) -> f64 {
    count as f64
}

fn named(view: &View) -> Labels {
    vec![("environment", view.environment.clone())]
}

fn resource(view: &View) -> (Labels, f64) {
    let mut conditions = view.conditions.iter();
    let ready = conditions
        .find(|condition| condition.kind == ConditionKind::Ready)
        .map(|condition| truth(condition.status));
    let revision = view.commit.as_ref().map(|commit| short(&commit.id));
    let labels = vec![
        ("kind", "Environment".to_owned()),
        ("name", view.environment.clone()),
        ("environment", view.environment.clone()),
        ("ready", ready.unwrap_or("Unknown").to_owned()),
        ("suspended", view.suspended.is_some().to_string()),
        ("revision", revision.unwrap_or_default()),
    ];
    (labels, 1.0)
}

fn services(view: &View) -> Vec<(Labels, f64)> {
    use crate::status::Health;
    let services = view.status.iter().flat_map(|status| &status.services);
    services
        .map(|service| {
            let asked = view
                .health
                .iter()
                .find(|asked| asked.service == service.name);
            let ready = match (asked.and_then(|asked| asked.is_healthy), service.health) {
                (Some(false), _) | (_, Health::Failed | Health::Missing) => "False",
                (Some(true) | None, Health::Healthy) => "True",
                (Some(true) | None, Health::Stopped | Health::NotRunning | Health::Deploying) => {
                    "False"
                }
                (Some(true) | None, Health::Unknown) => "Unknown",
            };
            let labels = vec![
                ("kind", "Service".to_owned()),
                ("name", service.name.clone()),
                ("environment", view.environment.clone()),
                ("ready", ready.to_owned()),
                ("suspended", view.suspended.is_some().to_string()),
                ("revision", service.runs.clone().unwrap_or_default()),
            ];
            (labels, 1.0)
        })
        .collect()
}

fn conditions(view: &View) -> Vec<(Labels, f64)> {
    let each = view.conditions.iter().flat_map(|condition| {
        [Truth::True, Truth::False, Truth::Unknown].map(|status| {
            let labels = vec![
                ("environment", view.environment.clone()),
                ("type", format!("{:?}", condition.kind)),
                ("status", truth(status).to_owned()),
            ];
            (labels, f64::from(u8::from(condition.status == status)))
        })
    });
    each.collect()
}

fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    }
}

/// The first seven signs of a commit's id.
pub(super) fn short(id: &str) -> String {
    id.chars().take(7).collect()
}
