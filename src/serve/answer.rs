//! Answers and bodies: what every answer carries, and how much of a body is read and how long it may take.

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::sync::Semaphore;

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything comes from us, nothing is embedded anywhere, and no form leads away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Puts into an answer what all of them carry.
pub(super) fn secured(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer of a type.
pub(super) fn of(status: StatusCode, sort: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let sort = HeaderValue::from_static(sort);
    response.headers_mut().insert(header::CONTENT_TYPE, sort);
    response
}

/// A refusal as JSON.
pub(super) fn refusal(status: StatusCode, words: &str) -> Response {
    let body = serde_json::json!({ "error": words }).to_string() + "\n";
    of(status, JSON, body)
}

/// The way to another page.
pub(super) fn see(path: &str) -> Response {
    let mut response = of(StatusCode::SEE_OTHER, TEXT, "");
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// The answer under a tag that changes with it.
pub(super) fn tagged(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    TooLarge,
    Slow,
    Broken,
    Busy,
}

/// The bodies that are being read, all together: a bound on the memory that strangers can take.
#[derive(Debug)]
pub(super) struct Bodies {
    blocks: Semaphore,
    patience: Duration,
}

const BLOCK: usize = 1024;
/// 4 MiB.
const BLOCKS: usize = 4096;

impl Bodies {
    pub(super) fn new(patience: Duration) -> Bodies {
        Bodies {
            blocks: Semaphore::new(BLOCKS),
            patience,
        }
    }

    /// A whole body, unless it is too long or takes too long. What is said of its length is believed only where it is too much.
    pub(super) async fn read(&self, body: Body, most: usize) -> Result<Vec<u8>, Refused> {
        if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > most {
            return Err(Refused::TooLarge);
        }
        let whole = tokio::time::timeout(self.patience, self.collected(body, most));
        whole.await.unwrap_or(Err(Refused::Slow))
    }

    async fn collected(&self, mut body: Body, most: usize) -> Result<Vec<u8>, Refused> {
        let mut whole = Vec::new();
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else {
                continue;
            };
            let length = whole.len() + data.len();
            if length > most {
                return Err(Refused::TooLarge);
            }
            let more = length.div_ceil(BLOCK) - whole.len().div_ceil(BLOCK);
            let more = u32::try_from(more).map_err(|_| Refused::TooLarge)?;
            let blocks = self.blocks.try_acquire_many(more);
            kept.push(blocks.map_err(|_| Refused::Busy)?);
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    }
}
