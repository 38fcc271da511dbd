//! What the controller says over HTTP: health, metrics, environments, the page; and the webhook that says look now.

mod answer;
pub mod api;
pub mod board;
mod door;
pub mod hooks;
mod markup;
pub mod metrics;
mod net;
mod page;
mod routes;
pub mod settings;
mod webhook;

pub use board::{Board, Git};
pub use hooks::{Asked, Command, Hooks, Look, Order};
pub use metrics::{Metrics, Passed, Requested};
pub use routes::STATE;
pub use settings::{Settings, Watched};

use crate::clock::Clock;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A server that listens, and answers once it runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: axum::Router,
    closing: watch::Sender<bool>,
    settings: Settings,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// When strangers could reach it without a token, or the address cannot be had.
    pub async fn bind(
        settings: Settings,
        board: Board,
        hooks: Hooks,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<Server, String> {
        let settings = settings.checked()?;
        let listen = settings.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|failure| format!("cannot listen on {listen}: {failure}"))?;
        let (closing, closes) = watch::channel(false);
        let router = routes::router(&settings, board, hooks, metrics, clock, closes);
        Ok(Server {
            listener,
            router,
            closing,
            settings,
        })
    }

    /// Where it listens: the port is known even where any was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the future is over; then what was begun is finished, for a short time.
    pub async fn run(self, until: impl Future<Output = ()>) {
        let patience = self.settings.patience;
        net::serve(self.listener, self.router, self.closing, patience, until).await;
    }
}
