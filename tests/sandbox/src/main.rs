//! Serves a sandbox on loopback until it is told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use clap::Parser;
use sandbox::{Faults, PATH, Sandbox, Seed, Time, Upstream};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Railway.
#[derive(Parser)]
#[command(name = "sandbox")]
struct Options {
    /// The world to start from.
    #[arg(long)]
    seed: PathBuf,
    /// The port on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Answers to open questions, such as `mask=stars,patch_apply_lag=3`.
    #[arg(long, value_delimiter = ',')]
    switches: Vec<String>,
    /// Faults as `SEED:RATE`, the rate in requests out of a thousand.
    #[arg(long)]
    faults: Option<String>,
    /// The whole upstream schema, as introspection JSON or SDL: what is not modelled is answered with nothing.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Where ids come from.
    #[arg(long, default_value_t = 1)]
    random: u64,
    /// How many milliseconds a request is on its way.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Print the moment of every request that changed something, in milliseconds since 1970.
    #[arg(long)]
    tell: bool,
}

fn main() -> ExitCode {
    let run = || -> Result<(), String> {
        let options = Options::parse();
        let (sandbox, port) = sandbox(&options)?;
        let router = distant(&sandbox, &options);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .map_err(|error| format!("cannot start tokio: {error}"))?
            .block_on(serve(router, port))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sandbox: {message}");
            ExitCode::FAILURE
        }
    }
}

fn sandbox(options: &Options) -> Result<(Sandbox, u16), String> {
    let mut seed = Seed::parse(&read(&options.seed)?)?;
    seed.start = Time::now();
    let mut switches = seed.switches.clone();
    for pair in &options.switches {
        let (name, value) = pair
            .split_once('=')
            .ok_or(format!("`{pair}` is not of the form name=value"))?;
        switches.set(name, value)?;
    }
    let faults = options
        .faults
        .as_deref()
        .map_or(Ok(Faults::none()), parse_faults)?;
    let sandbox = match &options.schema {
        None => Sandbox::new(&seed, switches, faults, options.random),
        Some(schema) => {
            let upstream = Upstream::parse(&read(schema)?)?;
            Sandbox::within(&upstream, &seed, switches, faults, options.random)
        }
    };
    Ok((sandbox, options.port))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn parse_faults(text: &str) -> Result<Faults, String> {
    let parsed = text
        .split_once(':')
        .and_then(|(seed, rate)| Some((seed.parse().ok()?, rate.parse().ok()?)));
    let (seed, rate) = parsed.ok_or(format!("`{text}` is not of the form SEED:RATE"))?;
    Ok(Faults::seeded(seed, rate))
}

/// The sandbox at the end of a long line, which tells what passes.
fn distant(sandbox: &Sandbox, options: &Options) -> Router {
    let latency = Duration::from_millis(options.latency);
    let teller = options.tell.then(|| sandbox.clone());
    sandbox
        .router()
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let teller = teller.clone();
            async move {
                tokio::time::sleep(latency).await;
                let Some(sandbox) = teller else {
                    return next.run(request).await;
                };
                let before = sandbox.effects().len();
                let now = Time::now();
                let response = next.run(request).await;
                if sandbox.effects().len() > before {
                    println!("changed at {}", now.0);
                }
                response
            }
        }))
}

async fn serve(router: Router, port: u16) -> Result<(), String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot tell the port: {error}"))?;
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| format!("cannot watch for SIGTERM: {error}"))?;
    println!("sandbox listening on http://{address}{PATH}");
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.map_err(|error| format!("cannot serve: {error}")),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
