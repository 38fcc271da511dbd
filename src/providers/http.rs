//! The shared transport: one request, one answer, bounded in time and size.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;

/// Sends a request and brings the answer; the product over TCP, a simulation in the process.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One exchange.
    ///
    /// # Errors
    /// As [`Broken`], by whether the request may have arrived.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Broken>;
}

/// An exchange without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The request surely did not arrive.
    #[error("cannot reach {0}")]
    NotSent(String),
    /// It was sent, and no whole answer came.
    #[error("{0}")]
    Lost(String),
}

/// No action lasts longer (design rule 12).
pub const LONGEST: Duration = Duration::from_secs(30);
/// An environment of 1,000 services is 1.3 MB (facts/performance.md); what is far beyond any real answer is not read.
const LARGEST: usize = 64 * 1024 * 1024;

/// The transport over TCP and TLS.
#[derive(Debug, Clone)]
pub struct Tcp {
    client: reqwest::Client,
    longest: Duration,
}

impl Tcp {
    /// A client with the machine's certificates, or Mozilla's where it has none.
    ///
    /// # Errors
    /// When the proxy settings of the process environment cannot be used.
    pub fn new() -> Result<Tcp, Broken> {
        Tcp::within(LONGEST)
    }

    /// The same with another bound on the time of one exchange.
    ///
    /// # Errors
    /// As [`Tcp::new`].
    pub fn within(longest: Duration) -> Result<Tcp, Broken> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls())
            .user_agent(concat!("reconciler/", env!("CARGO_PKG_VERSION")))
            .timeout(longest)
            .connect_timeout(longest.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|failure| Broken::NotSent(causes(&failure)))?;
        Ok(Tcp { client, longest })
    }
}

/// One TLS configuration for every client: reqwest's own fails on a machine without certificates (facts/crates.md 4.1).
fn tls() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the protocol versions that rustls is built with")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[async_trait]
impl Transport for Tcp {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Broken> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let request = request
            .try_into()
            .map_err(|failure: reqwest::Error| Broken::NotSent(causes(&failure)))?;
        let mut answer = self
            .client
            .execute(request)
            .await
            .map_err(|failure| self.broken(&host, &failure))?;
        let mut response = http::Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|failure| {
            Broken::Lost(format!(
                "the answer of {host} broke off: {}",
                causes(&failure)
            ))
        })? {
            if body.len() + chunk.len() > LARGEST {
                return Err(Broken::Lost(format!(
                    "the answer of {host} is larger than {LARGEST} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        response
            .body(body.freeze())
            .map_err(|failure| Broken::Lost(failure.to_string()))
    }
}

impl Tcp {
    fn broken(&self, host: &str, failure: &reqwest::Error) -> Broken {
        if failure.is_connect() || failure.is_builder() {
            Broken::NotSent(format!("{host}: {}", causes(failure)))
        } else if failure.is_timeout() {
            Broken::Lost(format!("{host} did not answer within {:?}", self.longest))
        } else {
            Broken::Lost(format!("{host}: {}", causes(failure)))
        }
    }
}

/// The last cause says most; the address is left out, it may carry a password.
fn causes(failure: &dyn std::error::Error) -> String {
    let mut deepest = failure;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
