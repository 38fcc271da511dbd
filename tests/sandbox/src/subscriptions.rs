//! Subscriptions over a WebSocket, in the words of `graphql-transport-ws`: many of them on one connection.

use std::collections::BTreeMap;

use axum::body::Body as HttpBody;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, MissedTickBehavior, interval};

use crate::graphql::Body;
use crate::server::{PATH, Sandbox};
use crate::watch::Watching;
use crate::websocket::{Message, WebSocket, accept};

/// How often somebody looks whether there is news.
const LOOKS_EVERY: Duration = Duration::from_millis(250);
const PROTOCOL: &str = "graphql-transport-ws";

/// Whether a request wants to become a WebSocket.
pub fn is_upgrade(request: &Request<HttpBody>) -> bool {
    let is = |name: HeaderName, word: &str| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_lowercase().contains(word))
    };
    request.uri().path() == PATH && is(UPGRADE, "websocket") && is(CONNECTION, "upgrade")
}

/// Answers the handshake, and talks on in the background for as long as the client stays.
pub fn upgrade(sandbox: &Sandbox, mut request: Request<HttpBody>) -> Response<HttpBody> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let Some(key) = key.and_then(|key| key.to_str().ok()).map(str::to_string) else {
        let mut refused = Response::new(HttpBody::from("Sec-WebSocket-Key is missing"));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    let (sandbox, headers) = (sandbox.clone(), request.headers().clone());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(stream) = upgraded.await {
            let socket = WebSocket::new(TokioIo::new(stream));
            Conversation::new(sandbox, headers, socket).hold().await;
        }
    });
    let mut response = Response::new(HttpBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = HeaderValue::from_str(&accept(&key)).expect("base64 is fit for a header");
    let out = response.headers_mut();
    out.insert(SEC_WEBSOCKET_ACCEPT, answer);
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let protocol = HeaderName::from_static("sec-websocket-protocol");
    out.insert(protocol, HeaderValue::from_static(PROTOCOL));
    response
}

struct Conversation<S> {
    sandbox: Sandbox,
    headers: HeaderMap,
    socket: WebSocket<S>,
    subscriptions: BTreeMap<String, Watching>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn new(sandbox: Sandbox, headers: HeaderMap, socket: WebSocket<S>) -> Conversation<S> {
        Conversation {
            sandbox,
            headers,
            socket,
            subscriptions: BTreeMap::new(),
        }
    }

    async fn hold(mut self) {
        let mut looks = interval(LOOKS_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let went = tokio::select! {
                message = self.socket.receive() => match message {
                    Some(Message::Text(text)) => self.hear(&text).await,
                    Some(Message::Ping(payload)) => self.socket.pong(&payload).await,
                    Some(Message::Pong) => Ok(()),
                    Some(Message::Close) | None => break,
                },
                _ = looks.tick() => self.tell_news().await,
            };
            if went.is_err() {
                return;
            }
        }
        // The other side may be gone already.
        let _ = self.socket.close().await;
    }

    async fn hear(&mut self, text: &str) -> std::io::Result<()> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let id = message["id"].as_str().unwrap_or_default().to_string();
        match message["type"].as_str() {
            Some("connection_init") => self.say(&json!({ "type": "connection_ack" })).await,
            Some("ping") => self.say(&json!({ "type": "pong" })).await,
            Some("complete") => {
                self.subscriptions.remove(&id);
                Ok(())
            }
            Some("subscribe") => match self.subscribe(&message["payload"]) {
                Ok(watching) => {
                    self.subscriptions.insert(id, watching);
                    self.tell_news().await
                }
                Err(errors) => {
                    let error = json!({ "id": id, "type": "error", "payload": errors });
                    self.say(&error).await
                }
            },
            _ => Ok(()),
        }
    }

    fn subscribe(&self, payload: &Value) -> Result<Watching, Value> {
        let body = Body::parse(&payload.to_string().into())
            .map_err(|invalid| json!([{ "message": invalid.messages.join(", ") }]))?;
        self.sandbox.watch(&self.headers, body)
    }

    async fn tell_news(&mut self) -> std::io::Result<()> {
        let mut news = Vec::new();
        for (id, watching) in &mut self.subscriptions {
            let payloads = self.sandbox.look_again(watching);
            news.extend(
                payloads
                    .into_iter()
                    .map(|payload| json!({ "id": id, "type": "next", "payload": payload })),
            );
        }
        for message in news {
            self.say(&message).await?;
        }
        Ok(())
    }

    async fn say(&mut self, message: &Value) -> std::io::Result<()> {
        self.socket.send(&message.to_string()).await
    }
}
