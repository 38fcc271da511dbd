//! Which path is answered by what, and who is let in before.

use super::answer::{self, Bodies, Refused};
use super::board::{self, Board, Git};
use super::door::{self, Door};
use super::hooks::{Bell, Command, Hooks, Unanswered};
use super::metrics::Metrics;
use super::settings::Settings;
use super::webhook::Webhook;
use super::{api, page};
use crate::clock::Clock;
use crate::plan::text::Look;
use crate::status::text;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// What all answers are made of.
pub(super) struct Shared {
    board: Board,
    hooks: Hooks,
    metrics: Metrics,
    clock: Clock,
    door: Door,
    bodies: Bodies,
    webhook: Webhook,
    /// Readers that wait for a change.
    waiters: Semaphore,
    closes: watch::Receiver<bool>,
}

type Office = State<Arc<Shared>>;

/// How many readers may wait for a change at once; others are answered at once and ask again.
const MOST_WAITERS: usize = 64;
/// How long a reader waits for a change at most.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// The longest order or login.
const LONGEST_FORM: usize = 16 * 1024;
/// The longest reason and name that an order may carry.
const LONGEST_WORDS: usize = 300;

/// The header that says in a word how an environment stands: the `state` of its status, health included.
pub const STATE: &str = "reconciler-state";
/// How wide text may be, and how wide it is where nobody says, in columns.
const WIDTHS: std::ops::RangeInclusive<usize> = 20..=400;
const WIDTH: usize = 100;

/// All routes.
pub(super) fn router(
    settings: &Settings,
    board: Board,
    hooks: Hooks,
    metrics: Metrics,
    clock: Clock,
    closes: watch::Receiver<bool>,
) -> Router {
    let interval = settings.look_interval;
    let bell = Bell::new(hooks.clone(), clock.clone(), interval, metrics.clone());
    let shared = Arc::new(Shared {
        webhook: Webhook::of(settings, bell, clock.clone(), metrics.clone()),
        door: Door::of(settings),
        bodies: Bodies::new(settings.patience),
        waiters: Semaphore::new(MOST_WAITERS),
        board,
        hooks,
        metrics,
        clock,
        closes,
    });
    let named = "/api/v1/environments/{environment}";
    // Whoever may not come in must not learn either what is inside.
    let inside = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/api/v1/environments", get(environments))
        .route(named, get(environment))
        .route(&format!("{named}/events"), get(events))
        .route(&format!("{named}/{{order}}"), post(order))
        .route("/logout", post(logout))
        .route("/", get(overview))
        .route("/{environment}", get(environment_page))
        .route("/environments/{environment}", get(environment_page))
        .route_layer(middleware::from_fn_with_state(shared.clone(), let_in));
    let hall = Router::new()
        .route("/login", get(login).post(logged_in))
        .route("/assets/{asset}", get(asset));
    let door = middleware::from_fn_with_state(shared.clone(), by_our_name);
    let outside = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/webhooks/github", post(delivered));
    inside
        .merge(hall)
        .route_layer(door)
        .merge(outside)
        .layer(middleware::from_fn_with_state(shared.clone(), counted))
        .fallback(nowhere)
        .layer(middleware::map_response(secured))
        .with_state(shared)
}

async fn secured(response: Response) -> Response {
    answer::secured(response)
}

async fn nowhere() -> Response {
    answer::refusal(StatusCode::NOT_FOUND, "there is nothing at this address")
}

async fn counted(
    State(shared): Office,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(path) = path {
        let code = response.status().as_u16();
        shared.metrics.answered(path.as_str(), code);
    }
    response
}

async fn by_our_name(State(shared): Office, request: Request, next: Next) -> Response {
    if !shared.door.is_ours(request.uri(), request.headers()) {
        return answer::refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "this is not the name of this controller: use localhost, or set RECONCILER_HOSTS to the names under which it is reached",
        );
    }
    // Nothing is read without being asked for by its own page; what changes nothing may be linked to.
    if request.method() == Method::POST && door::is_from_elsewhere(request.headers()) {
        return answer::refusal(
            StatusCode::FORBIDDEN,
            "this was sent by a page of somebody else's",
        );
    }
    next.run(request).await
}

async fn let_in(State(shared): Office, request: Request, next: Next) -> Response {
    if shared.door.opens(request.headers()) {
        return next.run(request).await;
    }
    let is_reader = request.method() == Method::GET && wants_page(request.headers());
    if !is_reader {
        let words = "show the token: `Authorization: Bearer …` with what RECONCILER_HTTP_TOKEN is";
        let mut response = answer::refusal(StatusCode::UNAUTHORIZED, words);
        let scheme = HeaderValue::from_static("Bearer");
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, scheme);
        return response;
    }
    // A link from elsewhere brings no strict cookie along; the page's own second try does.
    let comes_by_link = request.headers().get("sec-fetch-site");
    if comes_by_link.is_some_and(|site| site == "cross-site" || site == "same-site") {
        return answer::of(StatusCode::OK, answer::HTML, page::again());
    }
    let to = request.uri().path();
    answer::see(&format!("/login?to={}", page::encoded(to)))
}

fn wants_page(headers: &HeaderMap) -> bool {
    door::text(headers, &header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}

async fn healthz(State(shared): Office) -> Response {
    let since = shared.board.since_beat();
    if since < board::STUCK {
        return answer::of(StatusCode::OK, answer::TEXT, "alive\n");
    }
    let words = format!("stuck: no beat for {} s\n", since.as_secs());
    answer::of(StatusCode::SERVICE_UNAVAILABLE, answer::TEXT, words)
}

/// Numbers and no names: this is said to everybody.
async fn readyz(State(shared): Office) -> Response {
    let readiness = shared.board.readiness();
    let git = match readiness.git {
        Git::Unasked => "not asked yet",
        Git::Reached => "answers",
        Git::Lost { .. } => "does not answer",
    };
    let (seen, led) = (readiness.led - readiness.unseen, readiness.led);
    let (status, word) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let words = format!("{word}: git {git}, {seen} of {led} environments looked at\n");
    answer::of(status, answer::TEXT, words)
}

async fn delivered(State(shared): Office, request: Request) -> Response {
    shared.webhook.delivered(request, &shared.bodies).await
}

async fn metrics_text(State(shared): Office) -> Response {
    let text = shared.board.scrub(&shared.metrics.text());
    answer::of(StatusCode::OK, answer::METRICS, text)
}

async fn environments(State(shared): Office, uri: Uri, headers: HeaderMap) -> Response {
    let after = asked(&uri, "after");
    let limit = asked(&uri, "limit").map(|limit| limit.parse());
    let most = match limit {
        None => api::MOST_ITEMS,
        Some(Ok(most)) if (1..=api::MOST_ITEMS).contains(&most) => most,
        Some(_) => {
            let words = format!("limit is a number from 1 to {}", api::MOST_ITEMS);
            return answer::refusal(StatusCode::BAD_REQUEST, &words);
        }
    };
    shared
        .followed(None, &headers, || {
            let list = api::list(&shared.board, after.as_deref(), most);
            Some(shared.json(&list))
        })
        .await
}

async fn environment(
    State(shared): Office,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let look = look_of(&uri, &headers);
    shared
        .followed(Some(&name), &headers, || {
            let view = shared.board.view(&name)?;
            let mut response = match look {
                Some(look) => {
                    let text = text::view(&view, shared.clock.now(), look);
                    answer::of(StatusCode::OK, answer::TEXT, shared.board.scrub(&text))
                }
                None => shared.json(&view),
            };
            let state = serde_json::to_value(view.state()).unwrap_or_default();
            if let Some(Ok(state)) = state.as_str().map(HeaderValue::from_str) {
                response.headers_mut().insert(STATE, state);
            }
            Some(response)
        })
        .await
}

/// How whoever asks for text wants to read it: `Accept: text/plain`, `width` and `color` in the query.
fn look_of(uri: &Uri, headers: &HeaderMap) -> Option<Look> {
    let accepts = door::text(headers, &header::ACCEPT)?;
    accepts.starts_with("text/plain").then(|| Look {
        width: asked(uri, "width")
            .and_then(|width| width.parse().ok())
            .filter(|width| WIDTHS.contains(width))
            .unwrap_or(WIDTH),
        color: asked(uri, "color").as_deref() == Some("true"),
    })
}

async fn events(
    State(shared): Office,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let newest = match asked(&uri, "newest").map(|newest| newest.parse()) {
        None => api::SOME_EVENTS,
        Some(Ok(newest)) if (1..=board::MOST_EVENTS).contains(&newest) => newest,
        Some(_) => {
            let words = format!("newest is a number from 1 to {}", board::MOST_EVENTS);
            return answer::refusal(StatusCode::BAD_REQUEST, &words);
        }
    };
    shared
        .followed(Some(&name), &headers, || {
            shared.board.shows(&name).then_some(())?;
            Some(shared.json(&api::events(&shared.board, &name, newest)))
        })
        .await
}

async fn overview(State(shared): Office, uri: Uri, headers: HeaderMap) -> Response {
    let wanted = asked(&uri, "find").unwrap_or_default();
    shared
        .followed(None, &headers, || {
            let all = shared.board.summaries(None, usize::MAX);
            let tag = shared.board.tag(None);
            let seat = shared.seat(&tag);
            Some(shared.page(&page::overview(&all, &wanted, &seat)))
        })
        .await
}

async fn environment_page(
    State(shared): Office,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let told = asked(&uri, "told");
    shared
        .followed(Some(&name), &headers, || {
            let Some(view) = shared.board.view(&name) else {
                let mut missing = shared.page(&page::missing(&name));
                *missing.status_mut() = StatusCode::NOT_FOUND;
                return Some(missing);
            };
            let events = shared.board.events(&name, api::SOME_EVENTS);
            let tag = shared.board.tag(Some(&name));
            let seat = shared.seat(&tag);
            Some(shared.page(&page::environment(&view, &events, told.as_deref(), &seat)))
        })
        .await
}

async fn asset(Path(name): Path<String>) -> Response {
    match page::asset(&name) {
        Some((sort, text)) => answer::of(StatusCode::OK, sort, text),
        None => nowhere().await,
    }
}

async fn login(uri: Uri, State(shared): Office) -> Response {
    if !shared.door.has_lock() {
        return answer::see("/");
    }
    let to = asked(&uri, "to");
    let page = page::login(page::own_path(to.as_deref()), false);
    answer::of(StatusCode::OK, answer::HTML, page)
}

async fn logged_in(State(shared): Office, request: Request) -> Response {
    let is_https = door::is_https(request.headers());
    let body = match shared.form(request.into_body()).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let field = |name: &str| in_form(&body, name);
    let to = field("to");
    let to = page::own_path(to.as_deref());
    let Some(cookie) = shared
        .door
        .login(&field("token").unwrap_or_default(), is_https)
    else {
        let page = page::login(to, true);
        return answer::of(StatusCode::UNAUTHORIZED, answer::HTML, page);
    };
    with_cookie(answer::see(to), &cookie)
}

async fn logout(headers: HeaderMap) -> Response {
    let cookie = Door::logout(door::is_https(&headers));
    with_cookie(answer::see("/login"), &cookie)
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// What an order may say, as JSON or as a form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    by: Option<String>,
    reason: Option<String>,
    until: Option<Timestamp>,
}

async fn order(
    State(shared): Office,
    Path((name, word)): Path<(String, String)>,
    request: Request,
) -> Response {
    if !["reconcile", "suspend", "resume"].contains(&word.as_str()) {
        return nowhere().await;
    }
    if !shared.board.shows(&name) {
        return answer::refusal(StatusCode::NOT_FOUND, "there is no such environment");
    }
    let sort = door::text(request.headers(), &header::CONTENT_TYPE);
    let is_form = sort.is_some_and(|sort| sort.starts_with("application/x-www-form-urlencoded"));
    let body = match shared.form(request.into_body()).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let said = if is_form {
        Ok(Said {
            by: in_form(&body, "by"),
            reason: in_form(&body, "reason"),
            until: None,
        })
    } else if body.is_empty() {
        Ok(Said::default())
    } else {
        serde_json::from_slice(&body)
    };
    let command = match said.map_err(|failure| failure.to_string()) {
        Ok(said) => command(&word, &name, said),
        Err(failure) => Err(format!("the order is not understood: {failure}")),
    };
    let answered = match command {
        Ok(command) => shared.hooks.order(command).await,
        Err(words) => Ok(Err(words)),
    };
    let (status, is_done, words) = match answered {
        Ok(Ok(words)) => (StatusCode::OK, true, words),
        Ok(Err(words)) => (StatusCode::UNPROCESSABLE_ENTITY, false, words),
        Err(Unanswered::Busy) => (
            StatusCode::SERVICE_UNAVAILABLE,
            false,
            "the controller has many orders before this one: try again".to_owned(),
        ),
        Err(Unanswered::Gone) => (
            StatusCode::SERVICE_UNAVAILABLE,
            false,
            "the controller is about to end".to_owned(),
        ),
        Err(Unanswered::Late) => (
            StatusCode::GATEWAY_TIMEOUT,
            false,
            "the controller has not answered yet; it may still do it".to_owned(),
        ),
    };
    if is_form {
        let words = page::encoded(&words);
        return answer::see(&format!("{}?told={words}", page::path_of(&name)));
    }
    if is_done {
        return shared.json(&serde_json::json!({ "done": words }));
    }
    answer::refusal(status, &shared.board.scrub(&words))
}

fn command(word: &str, environment: &str, said: Said) -> Result<Command, String> {
    let by = said.by.filter(|by| !by.trim().is_empty());
    let by = short_enough(by.as_deref().unwrap_or("somebody with the token"))?;
    let reason = said.reason.filter(|reason| !reason.trim().is_empty());
    let environment = environment.to_owned();
    match word {
        "suspend" => Ok(Command::Suspend {
            environment,
            by,
            reason: short_enough(&reason.ok_or("say why: `reason` is missing")?)?,
            until: said.until,
        }),
        "resume" => Ok(Command::Resume { environment, by }),
        _ => Ok(Command::Reconcile { environment, by }),
    }
}

fn short_enough(words: &str) -> Result<String, String> {
    if words.chars().count() > LONGEST_WORDS {
        return Err(format!("at most {LONGEST_WORDS} signs, please"));
    }
    Ok(crate::kinds::shown::harmless(words.trim()))
}

impl Shared {
    fn json(&self, document: &impl Serialize) -> Response {
        let text = serde_json::to_string(document).unwrap_or_default() + "\n";
        answer::of(StatusCode::OK, answer::JSON, self.board.scrub(&text))
    }

    fn page(&self, page: &str) -> Response {
        answer::of(StatusCode::OK, answer::HTML, self.board.scrub(page))
    }

    fn seat<'a>(&self, tag: &'a str) -> page::Seat<'a> {
        page::Seat {
            tag,
            now: self.clock.now(),
            has_lock: self.door.has_lock(),
        }
    }

    async fn form(&self, body: Body) -> Result<Vec<u8>, Response> {
        let read = self.bodies.read(body, LONGEST_FORM).await;
        read.map_err(|refused| {
            let (status, words) = match refused {
                Refused::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "this is too long"),
                Refused::Slow => (StatusCode::REQUEST_TIMEOUT, "this takes too long"),
                Refused::Broken => (StatusCode::BAD_REQUEST, "this broke off"),
                Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "there is too much to read"),
            };
            answer::refusal(status, words)
        })
    }

    /// An answer under its tag. Who has the newest one already may wait for the next (`Prefer: wait=20`).
    async fn followed(
        &self,
        environment: Option<&str>,
        headers: &HeaderMap,
        made: impl Fn() -> Option<Response>,
    ) -> Response {
        let known = door::text(headers, &header::IF_NONE_MATCH);
        if let Some(known) = known {
            if known == self.board.tag(environment) {
                self.wait(environment, known, headers).await;
            }
            let tag = self.board.tag(environment);
            if known == tag {
                let unchanged = answer::of(StatusCode::NOT_MODIFIED, answer::TEXT, Body::empty());
                return answer::tagged(unchanged, &tag);
            }
        }
        // Before the answer is made: a change in between shows as one.
        let tag = self.board.tag(environment);
        match made() {
            Some(response) if response.status() == StatusCode::OK => answer::tagged(response, &tag),
            Some(response) => response,
            None => answer::refusal(StatusCode::NOT_FOUND, "there is no such environment"),
        }
    }

    async fn wait(&self, environment: Option<&str>, known: &str, headers: &HeaderMap) {
        let prefer = headers
            .get("prefer")
            .and_then(|prefer| prefer.to_str().ok());
        let seconds = prefer.and_then(|prefer| prefer.trim().strip_prefix("wait=")?.parse().ok());
        let Some(longest) = seconds.map(Duration::from_secs) else {
            return;
        };
        let Ok(_place) = self.waiters.try_acquire() else {
            return;
        };
        let mut changes = self.board.changes();
        let mut closes = self.closes.clone();
        let changed = async {
            while self.board.tag(environment) == known {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(longest.min(LONGEST_WAIT)) => {}
            _ = closes.wait_for(|closes| *closes) => {}
        }
    }
}

/// What the query says under a name.
fn asked(uri: &Uri, name: &str) -> Option<String> {
    in_form(uri.query()?.as_bytes(), name)
}

fn in_form(form: &[u8], name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(form);
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
