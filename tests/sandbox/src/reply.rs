//! What goes back over HTTP: an answer, a refusal, or a page of whatever stands in between.

use apollo_compiler::executable::OperationType;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::graphql::{self, Body, Invalid};
use crate::language::Language;
use crate::limits::Allowance;
use crate::state::State;

/// A reply before it is written out.
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    pub allowance: Option<Allowance>,
    /// For the transcript.
    pub operation: String,
    pub is_mutation: bool,
    pub note: String,
    /// How long it takes.
    pub slow_seconds: f64,
}

impl Reply {
    pub fn json(status: StatusCode, body: &Value) -> Reply {
        Reply {
            status,
            content_type: "application/json; charset=utf-8",
            body: serde_json::to_vec(body).expect("a value is plain JSON"),
            allowance: None,
            operation: String::new(),
            is_mutation: false,
            note: String::new(),
            slow_seconds: 0.0,
        }
    }

    pub fn page(status: StatusCode, text: &str) -> Reply {
        Reply {
            content_type: "text/html; charset=utf-8",
            body: text.as_bytes().to_vec(),
            ..Reply::json(status, &Value::Null)
        }
    }

    pub fn refused(status: StatusCode, code: &'static str, message: &str, trace: &str) -> Reply {
        Reply::json(
            status,
            &graphql::refused(
                &Invalid {
                    code,
                    messages: vec![message.to_string()],
                },
                trace,
            ),
        )
    }

    pub fn too_many() -> Reply {
        Reply::json(
            StatusCode::TOO_MANY_REQUESTS,
            &json!({ "message": "Rate limit exceeded" }),
        )
    }

    /// What the edge answers by itself.
    pub fn edge() -> Reply {
        Reply {
            note: "error code: 1015".into(),
            content_type: "text/plain; charset=UTF-8",
            body: b"error code: 1015".to_vec(),
            ..Reply::page(StatusCode::TOO_MANY_REQUESTS, "")
        }
    }

    pub fn gateway(status: StatusCode) -> Reply {
        Reply::page(
            status,
            &format!(
                "<html><head><title>{status}</title></head><body>upstream connect error or disconnect/reset before headers</body></html>"
            ),
        )
    }

    /// With the operation named, for requests that were not executed.
    pub fn told(mut self, request: &Request<Bytes>, language: &Language) -> Reply {
        let Ok(asked) = Body::parse(request.body()) else {
            return self;
        };
        let Ok(document) = language.document(&asked.query) else {
            return self;
        };
        if let Ok(operation) = graphql::operation(&document, asked.operation.as_deref()) {
            self.operation = graphql::described(operation);
            self.is_mutation = operation.operation_type == OperationType::Mutation;
        }
        self
    }

    pub fn written(&self, state: &State) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.body.clone()));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(allowance) = &self.allowance {
            allowance.write(
                response.headers_mut(),
                state.switches.reset_header,
                state.now,
            );
        }
        response
    }
}
