//! GitHub's webhook: what is signed with our secret and is about our branch says "look now", everything else says nothing.

use super::answer::{self, Bodies, Refused};
use super::door::{bytes_of, hmac_of, text};
use super::hooks::Bell;
use super::metrics::Metrics;
use super::settings::{Settings, Watched};
use crate::clock::Clock;
use crate::world::secret::Secret;
use axum::body::Body;
use axum::response::Response;
use hmac::Mac;
use http::{HeaderMap, Request, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The longest body of a delivery.
const LONGEST_BODY: usize = 1024 * 1024;
/// How many deliveries are remembered.
const REMEMBERED: usize = 1024;
/// The longest id of a delivery; GitHub's have 36 signs.
const LONGEST_ID: usize = 64;
/// Deliveries that come at once, and how many more each second.
const BURST: f64 = 100.0;
const EACH_SECOND: f64 = 50.0;

/// What answers deliveries.
#[derive(Debug)]
pub(super) struct Webhook {
    secrets: Vec<Secret>,
    watched: Watched,
    bell: Bell,
    clock: Clock,
    metrics: Metrics,
    state: Mutex<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    /// Deliveries that were heard, by id and by signature: GitHub signs no id, so a replay may carry another one.
    order: VecDeque<Key>,
    known: BTreeSet<Key>,
    /// How many more may come now.
    left: f64,
    at: Timestamp,
}

type Key = [u8; 32];

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Look,
    Pong,
    Duplicate,
    OtherBranch,
    OtherRepository,
    OtherEvent,
    NoSecret,
    Unsigned,
    BadType,
    BadId,
    Malformed,
    TooLarge,
    Slow,
    Throttled,
}

impl Heard {
    /// For metrics, and for GitHub's list of deliveries.
    fn word(self) -> &'static str {
        match self {
            Heard::Look => "look",
            Heard::Pong => "pong",
            Heard::Duplicate => "duplicate",
            Heard::OtherBranch => "other_branch",
            Heard::OtherRepository => "other_repository",
            Heard::OtherEvent => "other_event",
            Heard::NoSecret => "no_secret",
            Heard::Unsigned => "unsigned",
            Heard::BadType => "bad_type",
            Heard::BadId => "bad_id",
            Heard::Malformed => "malformed",
            Heard::TooLarge => "too_large",
            Heard::Slow => "slow",
            Heard::Throttled => "throttled",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Heard::Look => StatusCode::ACCEPTED,
            // GitHub shows anything else as a failed delivery, and nothing failed.
            Heard::Pong
            | Heard::Duplicate
            | Heard::OtherBranch
            | Heard::OtherRepository
            | Heard::OtherEvent => StatusCode::OK,
            Heard::NoSecret => StatusCode::NOT_FOUND,
            Heard::Unsigned => StatusCode::UNAUTHORIZED,
            Heard::BadType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Heard::BadId | Heard::Malformed => StatusCode::BAD_REQUEST,
            Heard::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Heard::Slow => StatusCode::REQUEST_TIMEOUT,
            Heard::Throttled => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// What is read of a push.
#[derive(Debug, Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    repository: Repository,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
}

impl Webhook {
    pub(super) fn of(settings: &Settings, bell: Bell, clock: Clock, metrics: Metrics) -> Webhook {
        Webhook {
            secrets: settings.webhook.clone(),
            watched: settings.watched.clone(),
            bell,
            metrics,
            state: Mutex::new(Remembered {
                order: VecDeque::new(),
                known: BTreeSet::new(),
                left: BURST,
                at: clock.now(),
            }),
            clock,
        }
    }

    /// Answers a delivery.
    pub(super) async fn delivered(&self, request: Request<Body>, bodies: &Bodies) -> Response {
        let heard = self.heard(request, bodies).await;
        self.metrics.delivered(heard.word());
        if heard == Heard::Look {
            self.bell.ring();
        }
        let body = serde_json::json!({ "result": heard.word() }).to_string() + "\n";
        let mut response = answer::of(heard.status(), answer::JSON, body);
        if heard == Heard::Throttled {
            let later = http::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, later);
        }
        response
    }

    /// The cheap refusals come first: nothing of a body is read for somebody who could not have signed it.
    async fn heard(&self, request: Request<Body>, bodies: &Bodies) -> Heard {
        if self.secrets.is_empty() {
            return Heard::NoSecret;
        }
        if !self.has_room() {
            return Heard::Throttled;
        }
        let (head, body) = request.into_parts();
        if !is_json(&head.headers) {
            return Heard::BadType;
        }
        let Some(signature) = signature(&head.headers) else {
            return Heard::Unsigned;
        };
        let body = match bodies.read(body, LONGEST_BODY).await {
            Ok(body) => body,
            Err(Refused::TooLarge) => return Heard::TooLarge,
            Err(Refused::Slow) => return Heard::Slow,
            Err(Refused::Broken) => return Heard::Malformed,
            Err(Refused::Busy) => return Heard::Throttled,
        };
        // Each of them is tried, so that the time tells nothing of which one fits.
        let fits = |secret: &Secret| {
            let mut ours = hmac_of(secret);
            ours.update(&body);
            ours.verify_slice(&signature).is_ok()
        };
        if self.secrets.iter().filter(|secret| fits(secret)).count() == 0 {
            return Heard::Unsigned;
        }
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let id = header("x-github-delivery").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
        let (Some(id), event) = (id, header("x-github-event")) else {
            return Heard::BadId;
        };
        match event {
            Some("ping") => Heard::Pong,
            Some("push") => match serde_json::from_slice::<Push>(&body) {
                Ok(push) => self.pushed(&push, id, &signature),
                Err(_) => Heard::Malformed,
            },
            Some(_) | None => Heard::OtherEvent,
        }
    }

    fn pushed(&self, push: &Push, id: &str, signature: &[u8]) -> Heard {
        let watched = &self.watched;
        let is_ours = |ours: &String| ours.eq_ignore_ascii_case(&push.repository.full_name);
        if !watched.repository.as_ref().is_none_or(is_ours) {
            return Heard::OtherRepository;
        }
        if push.reference.strip_prefix("refs/heads/") != Some(watched.branch.as_str()) {
            return Heard::OtherBranch;
        }
        let keys = [key(b"id", id.as_bytes()), key(b"signature", signature)];
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.remembers(&keys) {
            return Heard::Duplicate;
        }
        Heard::Look
    }

    fn has_room(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.duration_since(state.at).as_secs_f64().max(0.0);
        state.left = (state.left + since * EACH_SECOND).min(BURST);
        state.at = now;
        if state.left < 1.0 {
            return false;
        }
        state.left -= 1.0;
        true
    }
}

impl Remembered {
    /// Whether one of them was heard before; else both are from now on.
    fn remembers(&mut self, keys: &[Key; 2]) -> bool {
        let heard: Vec<Key> = keys
            .iter()
            .filter(|key| self.known.contains(*key))
            .copied()
            .collect();
        if heard.is_empty() {
            for key in keys {
                self.known.insert(*key);
                self.order.push_back(*key);
            }
            while self.order.len() > REMEMBERED {
                if let Some(oldest) = self.order.pop_front() {
                    self.known.remove(&oldest);
                }
            }
            return false;
        }
        // What is replayed stays known the longest.
        self.order.retain(|key| !heard.contains(key));
        self.order.extend(heard);
        true
    }
}

fn key(sort: &[u8], of: &[u8]) -> Key {
    let mut digest = Sha256::new();
    digest.update(sort);
    digest.update(of);
    digest.finalize().into()
}

fn is_json(headers: &HeaderMap) -> bool {
    let sort = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let sort = sort.split(';').next().unwrap_or_default().trim();
    sort.eq_ignore_ascii_case("application/json")
}

/// The bytes of `X-Hub-Signature-256`; the older header with SHA-1 is not looked at.
fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut all = headers.get_all("x-hub-signature-256").into_iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let bytes = bytes_of(only.to_str().ok()?.strip_prefix("sha256=")?)?;
    (bytes.len() == 32).then_some(bytes)
}
