//! The sandbox over TCP: an axum router whose broken replies close the connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;

use crate::server::{Broken, Sandbox};
use crate::subscriptions;

const MOST_BYTES: usize = 8 * 1024 * 1024;

impl Sandbox {
    pub fn router(&self) -> Router {
        let sandbox = self.clone();
        Router::new().fallback(move |request: Request<Body>| {
            let sandbox = sandbox.clone();
            async move { answer(&sandbox, request).await }
        })
    }
}

async fn answer(sandbox: &Sandbox, request: Request<Body>) -> Response<Body> {
    if subscriptions::is_upgrade(&request) {
        return subscriptions::upgrade(sandbox, request);
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_BYTES).await else {
        let mut refused = Response::new(Body::from("request entity too large"));
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    };
    match sandbox.handle(Request::from_parts(parts, body)).await {
        Ok(response) => response.map(Body::from),
        Err(broken) => Response::new(Body::new(Dropped(broken))),
    }
}

/// A body that fails at once, which makes the server drop the connection.
struct Dropped(Broken);

impl http_body::Body for Dropped {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(Some(Err(self.0)))
    }
}
