//! The shared transport: one request, one answer, bounded in time and size.

use super::address::{Allowed, Resolver};
use crate::tls;
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

/// Of a page no more is read.
const PAGE: usize = 64 * 1024;
/// A page that takes longer is as good as down.
const LONGEST_PAGE: Duration = Duration::from_secs(10);

/// The transport over TCP and TLS.
#[derive(Debug, Clone)]
pub struct Tcp {
    client: reqwest::Client,
    longest: Duration,
    beyond: Beyond,
}

/// What becomes of an answer that is too long.
#[derive(Debug, Clone, Copy)]
enum Beyond {
    Refused(usize),
    Cut(usize),
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
        Tcp::built(builder(longest), longest, Beyond::Refused(LARGEST))
    }

    /// A transport for pages of the web: no proxy, only addresses that may be asked, and only the beginning of what they answer.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn for_pages(allowed: Allowed) -> Result<Tcp, Broken> {
        let builder = builder(LONGEST_PAGE)
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { allowed }));
        Tcp::built(builder, LONGEST_PAGE, Beyond::Cut(PAGE))
    }

    fn built(
        builder: reqwest::ClientBuilder,
        longest: Duration,
        beyond: Beyond,
    ) -> Result<Tcp, Broken> {
        let client = builder
            .build()
            .map_err(|failure| Broken::NotSent(causes(&failure)))?;
        Ok(Tcp {
            client,
            longest,
            beyond,
        })
    }
}

fn builder(longest: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::configuration())
        .user_agent(concat!("reconciler/", env!("CARGO_PKG_VERSION")))
        .timeout(longest)
        .connect_timeout(longest.min(Duration::from_secs(10)))
        .redirect(reqwest::redirect::Policy::none())
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
            match self.beyond {
                Beyond::Refused(most) if body.len() + chunk.len() > most => {
                    return Err(Broken::Lost(format!(
                        "the answer of {host} is larger than {most} bytes"
                    )));
                }
                Beyond::Cut(most) if body.len() + chunk.len() > most => {
                    body.extend_from_slice(&chunk[..most - body.len()]);
                    break;
                }
                Beyond::Refused(_) | Beyond::Cut(_) => body.extend_from_slice(&chunk),
            }
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
