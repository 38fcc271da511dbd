//! All tests of the product, in one binary: one link, one place to look.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli;
mod health;
mod import;
mod manifest;
mod order;
mod plans;
mod probes;
mod problems;
mod readme;
mod rollback;
mod settles;
mod wire;
mod worlds;
