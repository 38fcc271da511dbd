//! A bucket of S3, or of something that speaks like it, and the same in memory.

use super::objects::{Found, LARGEST, Listing, Objects, Only, Put, Version};
use crate::config::Config;
use crate::tls;
use crate::world::Failure;
use crate::world::secret::Scrubber;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A part of a bucket: everything under a prefix.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    scrubber: Scrubber,
}

impl Bucket {
    /// One in memory, for simulation.
    pub fn in_memory() -> Bucket {
        Bucket {
            store: Arc::new(InMemory::new()),
            prefix: String::new(),
            scrubber: Scrubber::default(),
        }
    }

    /// A bucket of S3, with address and credentials from the variables that everybody uses for that.
    ///
    /// # Errors
    /// When credentials are missing or no client can be made.
    pub fn s3(
        bucket: &str,
        prefix: &str,
        config: &Config,
        longest: Duration,
    ) -> Result<Bucket, Failure> {
        let id = config.hidden("AWS_ACCESS_KEY_ID");
        let secret = config.hidden("AWS_SECRET_ACCESS_KEY");
        let (Some(id), Some(secret)) = (id, secret) else {
            return Err(Failure::Denied("no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL where it is not Amazon's)".to_owned()));
        };
        let token = config.hidden("AWS_SESSION_TOKEN");
        let scrubber = Scrubber::new([id, secret].into_iter().chain(token));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::configuration())
            .user_agent(concat!("reconciler/", env!("CARGO_PKG_VERSION")))
            .timeout(longest)
            .connect_timeout(longest)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|failure| Failure::Refused(format!("no client for the store: {failure}")))?;
        let region = config.plain("AWS_REGION").unwrap_or("us-east-1");
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(id.reveal())
            .with_secret_access_key(secret.reveal())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(Connector(client))
            // Not every store that speaks like S3 can delete many at once.
            .with_disable_bulk_delete(true)
            // A conditional write that is sent again meets its own first one and calls it somebody else's.
            .with_retry(RetryConfig {
                max_retries: 0,
                retry_timeout: longest,
                ..RetryConfig::default()
            });
        if let Some(token) = token {
            builder = builder.with_token(token.reveal());
        }
        if let Some(endpoint) = config.plain("AWS_ENDPOINT_URL") {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        let store = builder.build().map_err(|failure| {
            Failure::Refused(scrubber.scrub(&format!("cannot use the store: {failure}")))
        })?;
        Ok(Bucket {
            store: Arc::new(store),
            prefix: prefix.trim_matches('/').to_owned(),
            scrubber,
        })
    }

    fn path(&self, key: &str) -> Result<Path, Failure> {
        path(&format!("{}/{key}", self.prefix))
    }
}

#[async_trait]
impl Objects for Bucket {
    async fn get(&self, key: &str) -> Result<Option<Found>, Failure> {
        let found = fetch(&*self.store, &self.path(key)?).await;
        let found = found.map_err(|failure| reading(&failure, &self.scrubber))?;
        let Some((bytes, version)) = found else {
            return Ok(None);
        };
        let version = version.ok_or_else(|| {
            Failure::Refused("the store gives no ETag, so nothing can be compared".to_owned())
        })?;
        Ok(Some(Found {
            bytes,
            version: Version(version),
        }))
    }

    async fn put(&self, key: &str, bytes: Bytes, only: Only) -> Result<Put, Failure> {
        let mode = match only {
            Only::Absent => PutMode::Create,
            Only::Unchanged(version) => PutMode::Update(UpdateVersion {
                e_tag: Some(version.0),
                version: None,
            }),
            Only::Always => PutMode::Overwrite,
        };
        let path = self.path(key)?;
        let written = self
            .store
            .put_opts(&path, bytes.into(), PutOptions::from(mode))
            .await;
        match written {
            Ok(written) => match written.e_tag {
                Some(version) => Ok(Put::Done(Version(version))),
                None => Err(Failure::Refused(
                    "the store gives no ETag, so nothing can be compared".to_owned(),
                )),
            },
            Err(failure) => lost_or(failure, &self.scrubber),
        }
    }

    async fn list(&self, folder: &str) -> Result<Listing, Failure> {
        listing(&*self.store, &self.path(folder)?)
            .await
            .map_err(|failure| reading(&failure, &self.scrubber))
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(failure) => Err(writing(&failure, &self.scrubber)),
        }
    }
}

pub(super) fn path(key: &str) -> Result<Path, Failure> {
    Path::parse(key.trim_matches('/'))
        .map_err(|failure| Failure::Refused(format!("{key} is no name for an object: {failure}")))
}

/// The content of an object and its ETag, when it is there.
pub(super) async fn fetch(
    store: &dyn ObjectStore,
    path: &Path,
) -> Result<Option<(Bytes, Option<String>)>, object_store::Error> {
    let answer = match store.get(path).await {
        Ok(answer) => answer,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    if answer.meta.size > LARGEST as u64 {
        return Err(object_store::Error::NotSupported {
            source: format!(
                "{path} has {} bytes, more than anything that is kept here",
                answer.meta.size
            )
            .into(),
        });
    }
    let version = answer.meta.e_tag.clone();
    Ok(Some((answer.bytes().await?, version)))
}

/// The names directly under a folder.
pub(super) async fn listing(
    store: &dyn ObjectStore,
    folder: &Path,
) -> Result<Listing, object_store::Error> {
    let found = match store.list_with_delimiter(Some(folder)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(Listing::default()),
        Err(failure) => return Err(failure),
    };
    let name = |path: &Path| path.filename().map(str::to_owned);
    let mut listing = Listing {
        folders: found.common_prefixes.iter().filter_map(name).collect(),
        objects: found
            .objects
            .iter()
            .filter_map(|object| name(&object.location))
            .collect(),
    };
    listing.folders.sort();
    listing.objects.sort();
    Ok(listing)
}

/// A write whose condition did not hold, or another failure.
pub(super) fn lost_or(failure: object_store::Error, scrubber: &Scrubber) -> Result<Put, Failure> {
    match failure {
        // S3 also answers `409 Conflict` where two met: this one was not written.
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Ok(Put::Lost)
        }
        failure => Err(writing(&failure, scrubber)),
    }
}

/// By what the caller of a read can do.
pub(super) fn reading(failure: &object_store::Error, scrubber: &Scrubber) -> Failure {
    match writing(failure, scrubber) {
        Failure::Unclear(words) => Failure::Passing(words),
        failure => failure,
    }
}

/// By what the caller of a write can do.
pub(super) fn writing(failure: &object_store::Error, scrubber: &Scrubber) -> Failure {
    use object_store::Error as E;
    let words = words(failure, scrubber);
    match failure {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Failure::Denied(words),
        E::NotFound { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::InvalidPath { .. }
        | E::UnknownConfigurationKey { .. } => Failure::Refused(words),
        _ => match (cause::<Answered>(failure), cause::<HttpError>(failure)) {
            (Some(answered), _) => match answered.status {
                429 | 503 => Failure::Passing(words),
                500.. => Failure::Unclear(words),
                _ => Failure::Refused(words),
            },
            (None, Some(broken)) if broken.kind() == HttpErrorKind::Connect => {
                Failure::Passing(words)
            }
            (None, _) => Failure::Unclear(words),
        },
    }
}

const LONGEST_WORDS: usize = 300;

fn words(failure: &object_store::Error, scrubber: &Scrubber) -> String {
    let mut deepest: &dyn Error = failure;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let words = match cause::<Answered>(failure) {
        Some(answered) => answered.to_string(),
        None => deepest.to_string(),
    };
    let words: String = scrubber.scrub(&words).chars().take(LONGEST_WORDS).collect();
    format!("the store: {words}")
}

fn cause<'a, T: Error + 'static>(failure: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(failure);
    while let Some(failure) = next {
        if let Some(found) = failure.downcast_ref() {
            return Some(found);
        }
        next = failure.source();
    }
    None
}

/// What a server said that is neither yes nor one of the answers that object_store tells apart.
#[derive(Debug)]
struct Answered {
    status: u16,
    words: String,
}

impl fmt::Display for Answered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "answered {} {}", self.status, self.words)
    }
}

impl Error for Answered {}

/// Our own client for object_store: one TLS configuration, answers bounded in size.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Bounded(self.0.clone())))
    }
}

#[derive(Debug)]
struct Bounded(reqwest::Client);

#[async_trait]
impl HttpService for Bounded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = HttpService::call(&self.0, request).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body
            .map_err(|failure| HttpError::new_boxed(HttpErrorKind::Decode, failure))?
            .to_bytes();
        let status = parts.status.as_u16();
        if status >= 300 && ![304, 401, 403, 404, 409, 412].contains(&status) {
            let words = said(&String::from_utf8_lossy(&body));
            let answered = Answered { status, words };
            return Err(HttpError::new(HttpErrorKind::Unknown, answered));
        }
        let body = match parts.status.is_success() {
            true => body,
            false => said(&String::from_utf8_lossy(&body)).into(),
        };
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

/// The message in an error of S3; what else is in it (the signed text, the key's id) is nobody's business.
fn said(body: &str) -> String {
    let between = |from: &str, to: &str| {
        let (_, rest) = body.split_once(from)?;
        Some(rest.split_once(to)?.0.to_owned())
    };
    let code = between("<Code>", "</Code>").unwrap_or_default();
    let message = between("<Message>", "</Message>").unwrap_or_default();
    format!("{code} {message}").trim().to_owned()
}
