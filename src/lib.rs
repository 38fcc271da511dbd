//! Keeps a Railway environment as the manifests in git say it should be.
//!
//! The modules in reading order; each uses only those above it. `reconcile` is the file to read first: it is one pass.

pub mod packed;

pub mod source;

pub mod problem;

pub mod wrap;

pub mod world;

pub mod kinds;

pub mod manifest;

pub mod plan;

pub mod import;

pub mod status;

pub mod clock;

pub mod config;

pub mod files;

pub mod git;

pub mod interrupt;

pub mod tls;

pub mod store;

pub mod providers;

pub mod execute;

pub mod reconcile;

pub mod probe;

pub mod repository;

pub mod serve;

pub mod controller;

pub mod cli;
