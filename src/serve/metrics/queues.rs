//! Redis servers and queues as Prometheus reads them: figures of what a status shows, as many as are bounded.

use super::{Labels, count, family};
use crate::status::Status;
use crate::status::queues::{QueueShows, QueueStatus, RedisShows, RedisStatus};
use crate::status::view::View;
use jiff::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use std::fmt::Error;

/// How many servers have series of their own.
const MOST_SERVERS: usize = 1000;
/// How many queues have; `reconciler_queues_without_series` tells how many do not.
const MOST_QUEUES: usize = 2000;

/// What is read of one environment. It is small, and needs the view no longer.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    servers: Vec<ServerFigures>,
    queues: Vec<QueueFigures>,
}

#[derive(Debug, Clone)]
struct ServerFigures {
    labels: Labels,
    shows: Option<RedisShows>,
}

#[derive(Debug, Clone)]
struct QueueFigures {
    labels: Labels,
    shows: Option<QueueShows>,
    oldest_waiting_seconds: f64,
}

impl Figures {
    pub(super) fn of(view: &View) -> Figures {
        let Some(status) = &view.status else {
            return Figures::default();
        };
        let labels = |what, name: &String| {
            let environment = ("environment", view.environment.clone());
            vec![environment, (what, name.clone())]
        };
        let servers = status.redis.iter().map(|server| {
            let RedisStatus { name, shows, .. } = server;
            ServerFigures {
                labels: labels("redis", name),
                shows: shows.clone(),
            }
        });
        let queues = status.queues.iter().map(|queue| {
            let QueueStatus { name, shows, .. } = queue;
            QueueFigures {
                labels: labels("queue", name),
                shows: shows.clone(),
                oldest_waiting_seconds: shows
                    .as_ref()
                    .and_then(|shows| age(status, shows))
                    .unwrap_or_default(),
            }
        });
        Figures {
            servers: servers.collect(),
            queues: queues.collect(),
        }
    }
}

/// How long the oldest job had waited when it was seen.
fn age(status: &Status, shows: &QueueShows) -> Option<f64> {
    let seen: Timestamp = status.seen_at.parse().ok()?;
    let oldest: Timestamp = shows.oldest_waiting.as_ref()?.parse().ok()?;
    Some(seen.duration_since(oldest).as_secs_f64().max(0.0))
}

/// All families of servers and queues.
pub(super) fn encode(all: &[Figures], out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let servers = all.iter().flat_map(|figures| &figures.servers);
    let servers: Vec<&ServerFigures> = servers.take(MOST_SERVERS).collect();
    let queues = all.iter().flat_map(|figures| &figures.queues);
    let (queues, left_out): (Vec<_>, Vec<_>) = queues
        .enumerate()
        .partition(|(number, _)| *number < MOST_QUEUES);
    let queues: Vec<&QueueFigures> = queues.into_iter().map(|(_, queue)| queue).collect();
    encode_servers(&servers, out)?;
    encode_queues(&queues, out)?;
    family(
        out,
        "reconciler_queues_without_series",
        "Queues beyond those that have series of their own",
        [(Vec::new(), count(left_out.len()))],
    )
}

type OfServer = fn(&RedisShows) -> Option<f64>;

fn encode_servers(
    servers: &[&ServerFigures],
    out: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    family(
        out,
        "reconciler_redis_up",
        "1 where the Redis server could be seen",
        servers.iter().map(|server| {
            let up = f64::from(u8::from(server.shows.is_some()));
            (server.labels.clone(), up)
        }),
    )?;
    let families: [(&str, &str, OfServer); 6] = [
        (
            "reconciler_redis_memory_used_bytes",
            "Bytes that it takes",
            |shows| Some(number(shows.used_bytes)),
        ),
        (
            "reconciler_redis_memory_max_bytes",
            "Bytes that it may take at most; 0 where there is no limit",
            |shows| Some(number(shows.max_bytes)),
        ),
        (
            "reconciler_redis_last_save_timestamp_seconds",
            "When the last whole file was written",
            |shows| {
                let at: Timestamp = shows.saved_at.parse().ok()?;
                Some(at.as_duration().as_secs_f64())
            },
        ),
        (
            "reconciler_redis_last_save_failed",
            "1 where the last attempt at a whole file failed",
            |shows| Some(f64::from(u8::from(!shows.save_is_well))),
        ),
        (
            "reconciler_redis_unsaved_changes",
            "Changes since the last whole file",
            |shows| Some(number(shows.unsaved_changes)),
        ),
        (
            "reconciler_redis_latency_seconds",
            "How long its answer to a look took",
            |shows| Some(shows.latency_ms / 1000.0),
        ),
    ];
    for (name, help, of) in families {
        family(out, name, help, shown(servers, of))?;
    }
    let evicted = "reconciler_redis_evicted_keys";
    let help = "Keys that it threw away because it was full, since its start";
    let mut encoder = out.encode_descriptor(evicted, help, None, MetricType::Counter)?;
    for server in servers {
        if let Some(shows) = &server.shows {
            let counter = ConstCounter::new(shows.evicted_keys);
            counter.encode(encoder.encode_family(&server.labels)?)?;
        }
    }
    Ok(())
}

fn shown(servers: &[&ServerFigures], of: OfServer) -> Vec<(Labels, f64)> {
    let shown = servers
        .iter()
        .filter_map(|server| Some((server.labels.clone(), of(server.shows.as_ref()?)?)));
    shown.collect()
}

fn encode_queues(queues: &[&QueueFigures], out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    family(
        out,
        "reconciler_queue_up",
        "1 where the queue is there and could be seen",
        queues.iter().map(|queue| {
            let up = f64::from(u8::from(queue.shows.is_some()));
            (queue.labels.clone(), up)
        }),
    )?;
    let seen: Vec<(&QueueFigures, &QueueShows)> = queues
        .iter()
        .filter_map(|queue| Some((*queue, queue.shows.as_ref()?)))
        .collect();
    family(
        out,
        "reconciler_queue_jobs",
        "Jobs by how they stand",
        seen.iter().flat_map(|(queue, shows)| {
            let states = [
                ("waiting", shows.waiting),
                ("active", shows.active),
                ("delayed", shows.delayed),
                ("failed", shows.failed),
            ];
            states.map(|(state, jobs)| {
                let mut labels = queue.labels.clone();
                labels.push(("state", state.to_owned()));
                (labels, number(jobs))
            })
        }),
    )?;
    family(
        out,
        "reconciler_queue_oldest_waiting_age_seconds",
        "How long the oldest waiting job had waited when it was seen; 0 where none waits",
        seen.iter()
            .map(|(queue, _)| (queue.labels.clone(), queue.oldest_waiting_seconds)),
    )?;
    family(
        out,
        "reconciler_queue_workers",
        "Workers that are connected",
        seen.iter().filter_map(|(queue, shows)| {
            let workers = shows.workers?;
            Some((queue.labels.clone(), number(workers)))
        }),
    )?;
    family(
        out,
        "reconciler_queue_paused",
        "1 where no job begins",
        seen.iter().map(|(queue, shows)| {
            let paused = f64::from(u8::from(shows.is_paused));
            (queue.labels.clone(), paused)
        }),
    )
}

#[expect(clippy::cast_precision_loss, reason = "no figure comes near 2^52")]
fn number(number: u64) -> f64 {
    number as f64
}
