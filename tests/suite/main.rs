//! All tests of the product, in one binary: one link, one place to look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changes;
mod cli;
mod controller;
mod deploy;
mod fleet;
mod freeze;
mod health;
mod import;
mod manifest;
mod notify;
mod order;
mod plans;
mod probes;
mod problems;
mod readme;
mod redis;
mod repository;
mod rollback;
mod serve;
mod settles;
mod store;
mod wire;
mod worlds;
