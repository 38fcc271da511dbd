//! Real Redis servers, with the queues of real BullMQ on them.

mod bullmq;
mod command;
mod failed;
mod limits;
mod looks;
mod model;
mod pauses;
mod purges;
pub(super) mod server;
mod settings;
mod settles;
mod tls;
mod trouble;

/// Whether time is judged, and not only told: by `make bench`, on a machine that does nothing else.
fn is_bench() -> bool {
    crate::settles::setting("RECONCILER_BENCH").is_some()
}
