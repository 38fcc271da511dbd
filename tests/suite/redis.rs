//! Real Redis servers, with the queues of real BullMQ on them.

mod bullmq;
mod failed;
mod limits;
mod looks;
mod model;
mod pauses;
mod purges;
pub(super) mod server;
mod settings;
mod settles;
mod trouble;
