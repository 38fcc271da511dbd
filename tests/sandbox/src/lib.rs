//! A simulated Railway that speaks Railway's GraphQL-over-HTTP protocol, for demos, drills and tests.
//!
//! It is typed after the upstream schema and serves any valid selection of the types it models. It keeps configuration,
//! staged and committed patches, deployments with their lifecycle, tokens and rate limits, and takes faults from a seed.
//! What nobody states about the real thing is one of the [`Switches`].
//!
//! On the same port it serves the applications: a request whose host is a domain of some service is answered as the
//! deployment behind it would, see [`Sandbox::page`].
//!
//! Given the whole upstream schema (`--schema FILE`, or [`Sandbox::within`]) it takes every document of it and answers what
//! it does not model with nothing, so that a stranger's tool can talk to it. Subscriptions are answered over a WebSocket at
//! the same address. A tool that sends no query string needs `--switches cloudflare_trap=false`.
//!
//! Over TCP: `cargo run -p sandbox -- --seed seeds/runbook.yaml`. In-process, under tokio's (paused) clock:
//!
//! ```
//! use sandbox::{Faults, Sandbox, Seed, Switches};
//!
//! let seed = Seed::parse(r#"
//! projects:
//!   shop:
//!     environments:
//!       production:
//!         services:
//!           web:
//!             image: ghcr.io/shop/web:1
//!             healthcheck: /health
//!             replicas: 2                      # or { us-west2: 1, europe-west4-drams3a: 1 }
//!             variables: { LOG_LEVEL: info, API_KEY: { value: s3cret, sealed: true } }
//!             previous: [ghcr.io/shop/web:0]   # ran before; can be rolled back to
//! images:
//!   ghcr.io/shop/web:bad: { outcome: failed, log: [no such file] }   # or crashed, never_ready, needs_approval
//!   ghcr.io/shop/closed:1: { pages: { "*": { status: 503, body: closed for maintenance } } }
//! tokens:
//!   production-token: { kind: project, project: shop, environment: production }
//! "#)?;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 1);
//! let request = http::Request::post("/graphql/v2?source=docs")
//!     .header("Project-Access-Token", "production-token")
//!     .body(r#"{"query":"{ projectToken { environment { name } } }"}"#.into())
//!     .unwrap();
//! let reply = sandbox.handle(request).await.unwrap();
//! assert_eq!(reply.body(), r#"{"data":{"projectToken":{"environment":{"name":"production"}}}}"#.as_bytes());
//! # });
//! # Ok::<(), String>(())
//! ```

#![expect(
    missing_docs,
    reason = "fields and variants here are named as Railway names them"
)]

mod faults;
mod seed;
mod switches;
mod time;

mod applied;
mod backups;
mod birth;
mod by_hand;
mod change;
mod change_set;
mod check;
mod config;
mod config_file;
mod cron;
mod deployment;
mod edge;
mod effects;
mod environments;
mod events;
mod launch;
mod lifecycle;
mod networking;
mod operate;
mod patch;
mod plan;
mod push;
mod random;
mod refusal;
mod report;
mod resources;
mod rollout;
mod state;
mod updates;
mod variables;
mod volumes;

mod access;
mod fields;
mod filter;
mod graphql;
mod introspection;
mod language;
mod limits;
mod mutation;
mod node;
mod nothing;
mod page;
mod query;
mod reply;
mod server;
mod subscriptions;
mod tcp;
mod watch;
mod websocket;
mod world;

pub use by_hand::HandEdit;
pub use deployment::Status;
pub use faults::{Fault, Faults};
pub use language::{SDL, Upstream};
pub use plan::Plan;
pub use report::{DeploymentView, Effect, Entry, EnvironmentView, ServiceView, View, VolumeView};
pub use seed::*;
pub use server::{Broken, PATH, Sandbox};
pub use switches::*;
pub use time::Time;
