//! Connections: how many at once, how long each may take to ask and to listen, and how they end.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How many connections there are at once; more wait in the system's queue.
const MOST_CONNECTIONS: usize = 256;
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long a connection goes on taking requests. A reader that is slow to take an answer has as long again.
const LONGEST: Duration = Duration::from_secs(60);
/// How long what was begun may take at the end.
const LAST: Duration = Duration::from_secs(5);

/// Takes connections until the future is over.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    closing: watch::Sender<bool>,
    patience: Duration,
    until: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut conversations = JoinSet::new();
    let mut until = pin!(until);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut until => break,
            next = next => next,
        };
        // Those that are over are let go of.
        while conversations.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let conversation = converse(stream, router.clone(), closing.subscribe(), patience);
                conversations.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: others have to end first.
            Err(failure) => {
                tracing::warn!("cannot take a connection: {failure}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let ended = async { while conversations.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST, ended).await.is_err() {
        conversations.abort_all();
    }
}

/// One connection, until its reader or its time ends.
async fn converse(
    stream: TcpStream,
    router: Router,
    mut closing: watch::Receiver<bool>,
    patience: Duration,
) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = tokio::time::sleep(LONGEST) => {}
        _ = closing.wait_for(|closes| *closes) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LONGEST, connection).await;
}
