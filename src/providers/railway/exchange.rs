//! One GraphQL exchange with Railway: the request, and by what its answer says, one of the names of failure.

use super::allowance::Allowance;
use super::tree;
use crate::clock::Clock;
use crate::config::Token;
use crate::kinds::shown::one_line;
use crate::providers::http::{Broken, Transport};
use crate::world::Failure;
use crate::world::secret::{Scrubber, Secret};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A read is worth this many tries.
const TRIES: u32 = 4;
/// The first wait between tries; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// A throttled read waits so long at most before it gives up.
const LONGEST_WAIT: Duration = Duration::from_secs(90);
/// What a 429 without a time means (facts/railway.md 1: the edge sends none).
const UNTOLD_WAIT: Duration = Duration::from_secs(30);
/// No offset known yet.
const UNKNOWN: i64 = i64::MIN;

/// Sends documents to one address with one token.
#[derive(Clone)]
pub(super) struct Exchange {
    transport: Arc<dyn Transport>,
    uri: http::Uri,
    /// Without one, only what anybody may ask is answered.
    token: Option<Token>,
    /// What upstream words must not repeat: the token, and the secrets that the manifests refer to.
    hidden: Arc<Scrubber>,
    clock: Clock,
    count: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
    ahead: Arc<AtomicI64>,
    /// Until when nothing is sent, because Railway asked for it.
    quiet: Arc<Mutex<Option<Timestamp>>>,
    allowance: Arc<Mutex<Option<Allowance>>>,
}

/// What a read brought: data as [`tree::read`] gives it, and the places where it failed.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub data: Value,
    pub problems: Vec<Problem>,
}

/// One exchange as it came, without the secrets that are known.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers that are text, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// What was asked for; null where nothing came.
    pub data: Value,
    /// GraphQL's errors as they came.
    pub errors: Vec<Value>,
    /// From the request to the end of the answer.
    pub took: Duration,
}

/// One error of a GraphQL answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path that has no value for it.
    pub path: Vec<String>,
    /// The server's words.
    pub message: String,
}

impl Answer {
    /// The data, when nothing failed.
    pub(super) fn whole(self) -> Result<Value, Failure> {
        match self.problems.first() {
            Some(problem) => Err(failure(&one_line_long(&problem.message), "", Purpose::Read)),
            None => Ok(self.data),
        }
    }
}

impl Exchange {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        url: &str,
        token: Token,
        clock: Clock,
    ) -> Result<Exchange, Failure> {
        // Without a query string Railway's edge limits to 10 requests a second and then blocks (facts/railway.md 1).
        let with_source = if url.contains('?') {
            url.to_owned()
        } else {
            format!("{url}?source=reconciler")
        };
        let uri: http::Uri = with_source
            .parse()
            .map_err(|_| Failure::Refused("RAILWAY_API_URL is not an address".to_owned()))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Failure::Refused(
                "RAILWAY_API_URL is not an http or https address".to_owned(),
            ));
        }
        // Libraries log the host as it is written, and what stands before it with it.
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(Failure::Refused(
                "RAILWAY_API_URL carries a user or a password, which Railway does not know: a token goes into RAILWAY_TOKEN or RAILWAY_API_TOKEN".to_owned(),
            ));
        }
        Ok(Exchange {
            transport,
            uri,
            hidden: Arc::new(Scrubber::new([token.secret()])),
            token: Some(token),
            clock,
            count: Arc::default(),
            bytes: Arc::default(),
            ahead: Arc::new(AtomicI64::new(UNKNOWN)),
            quiet: Arc::default(),
            allowance: Arc::default(),
        })
    }

    pub(super) fn hiding<'a>(self, secrets: impl IntoIterator<Item = &'a Secret>) -> Exchange {
        let hidden = Scrubber::new(secrets).and(&self.hidden);
        Exchange {
            hidden: Arc::new(hidden),
            ..self
        }
    }

    /// The same way with another token, or with none.
    pub(super) fn with_token(&self, token: Option<Token>) -> Exchange {
        let hidden = Scrubber::new(token.iter().map(Token::secret)).and(&self.hidden);
        Exchange {
            hidden: Arc::new(hidden),
            token,
            // Railway counts the requests of each token.
            quiet: Arc::default(),
            allowance: Arc::default(),
            ..self.clone()
        }
    }

    pub(super) fn hidden(&self) -> &Scrubber {
        &self.hidden
    }

    pub(super) fn requests(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn allowance(&self) -> Option<Allowance> {
        self.allowance.lock().ok().and_then(|allowance| *allowance)
    }

    pub(super) fn clock_ahead_seconds(&self) -> Option<i64> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != UNKNOWN).then_some(ahead)
    }

    /// A read, tried again while that may help.
    pub(super) async fn read(&self, document: &str, variables: Value) -> Result<Answer, Failure> {
        let body = body(document, &variables);
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.once(body.clone(), Purpose::Read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.without_secrets(failure),
            };
            let wait = match &failure {
                Failure::Throttled { until } => {
                    until.duration_since(self.clock.now()).unsigned_abs()
                }
                Failure::Passing(_) | Failure::Unclear(_) => {
                    self.clock.jittered(PAUSE * 2u32.pow(tries - 1))
                }
                Failure::Refused(_) | Failure::Denied(_) => return Err(failure),
            };
            if tries >= TRIES || wait > LONGEST_WAIT {
                return Err(failure);
            }
            tracing::debug!(tries, ?wait, %failure, "reading again");
            self.clock.sleep(wait).await;
        }
    }

    /// The wait before something is asked again.
    pub(super) async fn pause(&self) {
        self.clock.sleep(self.clock.jittered(PAUSE)).await;
    }

    /// A write, sent once: whoever called decides what an unclear end means.
    pub(super) async fn write(
        &self,
        document: &str,
        variables: Value,
        scrubber: &Scrubber,
    ) -> Result<(), Failure> {
        let answer = self.once(body(document, &variables), Purpose::Write).await;
        let failure = match answer {
            Ok(answer) if answer.problems.is_empty() => return Ok(()),
            Ok(answer) => Failure::Unclear(
                answer
                    .problems
                    .first()
                    .map(|problem| problem.message.clone())
                    .unwrap_or_default(),
            ),
            Err(failure) => failure,
        };
        // Before the words are cut: half a secret is not found any more.
        Err(self.without_secrets(reworded(failure, |text| scrubber.scrub(text))))
    }

    /// A failure in words that may be shown.
    pub(super) fn without_secrets(&self, failure: Failure) -> Failure {
        reworded(failure, |text| one_line_long(&self.hidden.scrub(text)))
    }

    /// One exchange as it came, sent once: what it says is for the caller to judge.
    pub(super) async fn reply(
        &self,
        document: &str,
        variables: &Value,
        purpose: Purpose,
    ) -> Result<Reply, Failure> {
        let begun = self.clock.now();
        let sent = self.sent(body(document, variables)).await;
        let response = sent.map_err(|failure| self.without_secrets(failure))?;
        let took = self.clock.now().duration_since(begun).unsigned_abs();
        // Before it is taken apart: a secret may stand anywhere in it.
        let text = self.hidden.scrub(&String::from_utf8_lossy(response.body()));
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_graphql = answer["data"].is_object() || answer["errors"].is_array();
        if !is_graphql && response.status().is_server_error() {
            return Err(not_graphql(response.status(), purpose));
        }
        let headers = response.headers().iter();
        Ok(Reply {
            status: response.status().as_u16(),
            headers: headers
                .filter_map(|(name, value)| {
                    let value = self.hidden.scrub(value.to_str().ok()?);
                    Some((name.as_str().to_owned(), value))
                })
                .collect(),
            errors: answer["errors"].as_array().cloned().unwrap_or_default(),
            data: answer["data"].clone(),
            took,
        })
    }

    async fn once(&self, body: Bytes, purpose: Purpose) -> Result<Answer, Failure> {
        let response = self.sent(body).await?;
        let mut answer = judge(&response, purpose)?;
        for problem in &mut answer.problems {
            problem.message = self.hidden.scrub(&problem.message);
        }
        Ok(answer)
    }

    /// Whatever comes back, but for the wish to be asked later.
    async fn sent(&self, body: Bytes) -> Result<Response<Bytes>, Failure> {
        let quiet = self.quiet.lock().map_or(None, |until| *until);
        if let Some(until) = quiet.filter(|until| self.clock.now() < *until) {
            return Err(Failure::Throttled { until });
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let response = match self.transport.send(self.request(body)?).await {
            Ok(response) => response,
            Err(Broken::NotSent(words)) => {
                return Err(Failure::Passing(format!("cannot reach {words}")));
            }
            Err(Broken::Lost(words)) => return Err(Failure::Unclear(words)),
        };
        self.bytes
            .fetch_add(response.body().len(), Ordering::Relaxed);
        let now = self.clock.now();
        self.note_offset(response.headers(), now);
        if let (Some(told), Ok(mut allowance)) = (
            Allowance::of(response.headers(), now),
            self.allowance.lock(),
        ) {
            *allowance = Some(told);
        }
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let until = retry_at(response.headers(), now);
            if let Ok(mut quiet) = self.quiet.lock() {
                *quiet = Some(until);
            }
            return Err(Failure::Throttled { until });
        }
        Ok(response)
    }

    fn request(&self, body: Bytes) -> Result<Request<Bytes>, Failure> {
        let mut request = Request::post(self.uri.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let secret = token.secret().reveal();
            let (name, value) = match token {
                Token::Project(_) => ("Project-Access-Token", secret.to_owned()),
                Token::Bearer(_) => (AUTHORIZATION.as_str(), format!("Bearer {secret}")),
            };
            let mut value = http::HeaderValue::from_str(value.trim()).map_err(|_| {
                Failure::Denied("the token holds signs that no token has".to_owned())
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        request
            .body(body)
            .map_err(|failure| Failure::Refused(failure.to_string()))
    }

    fn note_offset(&self, headers: &HeaderMap, now: Timestamp) {
        let date = headers
            .get(DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = date {
            self.ahead.store(
                now.as_second() - date.timestamp().as_second(),
                Ordering::Relaxed,
            );
        }
    }
}

/// Whether a lost answer may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It changes nothing.
    Read,
    /// It may have.
    Write,
}

fn body(document: &str, variables: &Value) -> Bytes {
    serde_json::to_vec(&json!({ "query": document, "variables": variables }))
        .unwrap_or_default()
        .into()
}

fn reworded(failure: Failure, change: impl Fn(&str) -> String) -> Failure {
    match failure {
        Failure::Refused(words) => Failure::Refused(change(&words)),
        Failure::Passing(words) => Failure::Passing(change(&words)),
        Failure::Unclear(words) => Failure::Unclear(change(&words)),
        Failure::Denied(words) => Failure::Denied(change(&words)),
        Failure::Throttled { until } => Failure::Throttled { until },
    }
}

/// Upstream words, without control characters and bounded.
pub(super) fn one_line_long(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(one_line).collect();
    let mut line = words.join(" ");
    if let Some((cut, _)) = line.char_indices().nth(300) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// What an HTTP answer means (facts/railway.md 1).
fn judge(response: &Response<Bytes>, purpose: Purpose) -> Result<Answer, Failure> {
    let status = response.status();
    let parsed = tree::read(response.body()).ok();
    let Some(mut answer) =
        parsed.filter(|answer| answer["data"].is_object() || answer["errors"].is_array())
    else {
        return Err(not_graphql(status, purpose));
    };
    let problems: Vec<Problem> = answer["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(problem)
        .collect();
    let Some(first) = problems.first() else {
        return Ok(Answer {
            data: answer["data"].take(),
            problems,
        });
    };
    let code = answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or_default();
    let failure = failure(&first.message, code, purpose);
    let is_partial = purpose == Purpose::Read
        && answer["data"].is_object()
        && !matches!(failure, Failure::Denied(_))
        && problems.iter().all(|problem| !problem.path.is_empty());
    if is_partial {
        Ok(Answer {
            data: answer["data"].take(),
            problems,
        })
    } else {
        Err(failure)
    }
}

fn retry_at(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse::<u64>().ok());
    // An hour is the longest window that Railway counts in.
    let wait = seconds.map_or(UNTOLD_WAIT, |seconds| {
        Duration::from_secs(seconds.clamp(1, 3600))
    });
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn not_graphql(status: StatusCode, purpose: Purpose) -> Failure {
    let words = format!(
        "the server answered HTTP {} without GraphQL; is RAILWAY_API_URL Railway's API?",
        status.as_u16()
    );
    match (status, purpose) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            Failure::Denied(format!("the server answered HTTP {}", status.as_u16()))
        }
        (_, Purpose::Read) if status.is_server_error() || status.is_success() => {
            Failure::Passing(words)
        }
        (_, Purpose::Write) if status.is_server_error() || status.is_success() => {
            Failure::Unclear(words)
        }
        _ => Failure::Refused(words),
    }
}

fn problem(error: &Value) -> Problem {
    let step = |step: &Value| {
        step.as_str()
            .map_or_else(|| step.to_string(), str::to_owned)
    };
    Problem {
        path: error["path"]
            .as_array()
            .into_iter()
            .flatten()
            .map(step)
            .collect(),
        message: error["message"]
            .as_str()
            .unwrap_or("an error without words")
            .to_owned(),
    }
}

/// What is surely not done, whatever code stands beside it.
const REFUSALS: &[&str] = &[
    "Project not found",
    "Commit not found",
    "No patch to apply",
    "already exists",
    "changed since this plan was computed",
];

/// The codes are not specific, so the words decide (facts/railway.md 1, table of errors).
fn failure(message: &str, code: &str, purpose: Purpose) -> Failure {
    let says = |part: &str| message.to_lowercase().contains(&part.to_lowercase());
    let words = format!("Railway says: {message}");
    if says("Not Authorized") {
        let words = "Railway says Not Authorized: the token is wrong or expired, may not do this, or the project, environment or service id does not exist";
        Failure::Denied(words.to_owned())
    } else if code == "UNAUTHENTICATED"
        || says("Project Token not found")
        || says("Two Factor Authentication Required")
    {
        Failure::Denied(words)
    } else if REFUSALS.iter().any(|words| says(words)) {
        Failure::Refused(words)
    } else if says("please try again") || says("too quickly") {
        Failure::Passing(words)
    } else {
        // The same opaque words stand for a bad id and for a passing fault; a write with them was not done.
        let is_opaque = says("Problem processing request");
        match purpose {
            Purpose::Read if is_opaque || code == "INTERNAL_SERVER_ERROR" => {
                Failure::Passing(words)
            }
            Purpose::Write if code == "INTERNAL_SERVER_ERROR" && !is_opaque => {
                Failure::Unclear(words)
            }
            Purpose::Read | Purpose::Write => Failure::Refused(words),
        }
    }
}
