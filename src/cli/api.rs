//! Asks a controller that runs: one request to its API, with the token of the process environment.

use crate::config::Config;
use crate::providers::http::{Tcp, Transport};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use serde_json::Value;

/// A controller at an address.
pub(super) struct Api {
    url: String,
    token: Option<HeaderValue>,
    tcp: Tcp,
}

impl Api {
    /// At that address.
    ///
    /// # Errors
    /// In words, when it cannot be asked at all.
    pub(super) fn at(url: &str, config: &Config) -> Result<Api, String> {
        let token = match config.secret("RECONCILER_HTTP_TOKEN") {
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                    .map_err(|_| {
                        "RECONCILER_HTTP_TOKEN holds signs that no token has".to_owned()
                    })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Api {
            url: url.trim_end_matches('/').to_owned(),
            token,
            tcp: Tcp::new().map_err(|failure| failure.to_string())?,
        })
    }

    /// What it answers to a request, where it does what is asked.
    ///
    /// # Errors
    /// In words: it cannot be reached, or refuses.
    pub(super) async fn asked(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Response<Bytes>, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        let request = request
            .body(Bytes::from(body))
            .map_err(|failure| format!("--url: {failure}"))?;
        let answer = self.tcp.send(request).await;
        let answer =
            answer.map_err(|failure| format!("no controller at {}: {failure}", self.url))?;
        let status = answer.status();
        if status.is_success() || status == http::StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let said = said["error"].as_str().unwrap_or_default();
        Err(format!(
            "the controller answers HTTP {}: {said}",
            status.as_u16()
        ))
    }
}

/// Where an environment is in the API.
pub(super) fn path_of(environment: &str) -> String {
    let name =
        percent_encoding::utf8_percent_encode(environment, percent_encoding::NON_ALPHANUMERIC);
    format!("/api/v1/environments/{name}")
}
