//! The real binary as people and pipelines meet it: exit codes, what stands on stdout and on stderr, signals, secrets, terminals, workflows.

mod bad;
mod good;
mod killed;
mod night;
mod scene;
mod secrets;
mod server;
mod signals;
mod terminal;
mod workflows;
