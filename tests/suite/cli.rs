//! The real binary as people and pipelines meet it: exit codes, what stands on stdout and on stderr, signals, secrets, terminals, workflows.

mod bad;
mod doctor;
mod example;
mod good;
mod killed;
mod night;
mod probes;
pub(super) mod scene;
pub(super) mod secrets;
pub(super) mod server;
pub(super) mod signals;
mod terminal;
mod workflows;
