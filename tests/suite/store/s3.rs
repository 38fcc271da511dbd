//! The store on a server that speaks like S3, as it should and as some do.

use super::member;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reconciler::clock::Clock;
use reconciler::config::Config;
use reconciler::store::Store;
use reconciler::store::journal::{journal, prune, read};
use reconciler::store::lease::Taken;
use reconciler::store::marks::{Done, Marks};
use reconciler::world::{Failure, Seen};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "a-secret-that-nobody-may-read";

/// How a server treats conditions, or that it answers nothing useful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    /// Looks first and writes then: two at once both win.
    Racy,
    /// Never heard of `If-None-Match`.
    CreatesAlways,
    /// Never heard of `If-Match`.
    ChangesAlways,
    Answers(u16),
    /// An answer that never ends.
    Endless,
}

struct Server {
    kind: Mutex<Kind>,
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl Server {
    fn set(&self, kind: Kind) {
        *self.kind.lock().unwrap() = kind;
    }
}

async fn serve(kind: Kind) -> (Arc<Server>, Store) {
    let server = Arc::new(Server {
        kind: Mutex::new(kind),
        objects: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new()
        .fallback(answer)
        .with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (server, open(&format!("http://{address}")))
}

fn open(endpoint: &str) -> Store {
    let config = Config::of([
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "a-session-token-of-some-length"),
    ]);
    Store::open("s3://bucket/team/one", &config, &Clock::wall()).unwrap()
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kind = *server.kind.lock().unwrap();
    let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
    match kind {
        Kind::Answers(status) => {
            let signature = parts.headers["authorization"].to_str().unwrap();
            let words = format!(
                "<Error><Code>Oops</Code><Message>no {SECRET} today</Message><Signed>{signature}</Signed></Error>"
            );
            return (StatusCode::from_u16(status).unwrap(), words).into_response();
        }
        Kind::Endless => {
            let much = Bytes::from(vec![b' '; 1024 * 1024]);
            let parts = futures_stream(much);
            return Response::new(parts);
        }
        Kind::Honest | Kind::Racy | Kind::CreatesAlways | Kind::ChangesAlways => {}
    }
    if !is_signed(&parts.headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let path = parts
        .uri
        .path()
        .trim_start_matches("/bucket")
        .trim_start_matches('/');
    let key = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .unwrap()
        .into_owned();
    if parts.method == Method::GET && key.is_empty() {
        return list(&server, parts.uri.query().unwrap_or_default());
    }
    match parts.method {
        Method::GET => match server.objects.lock().unwrap().get(&key) {
            Some(found) => whole(found),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Method::PUT => put(&server, kind, &key, &parts.headers, body).await,
        Method::DELETE => {
            server.objects.lock().unwrap().remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn futures_stream(chunk: Bytes) -> Body {
    struct Forever(Bytes);
    impl http_body::Body for Forever {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(self.0.clone()))))
        }
    }
    Body::new(Forever(chunk))
}

fn is_signed(headers: &HeaderMap) -> bool {
    let signature = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    signature
        .is_some_and(|signature| signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"))
        && headers.contains_key("x-amz-security-token")
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}

fn whole(bytes: &Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes.clone()));
    response
        .headers_mut()
        .insert("etag", tag(bytes).parse().unwrap());
    response.headers_mut().insert(
        "last-modified",
        "Tue, 24 Nov 2026 09:00:00 GMT".parse().unwrap(),
    );
    response
}

async fn put(server: &Server, kind: Kind, key: &str, headers: &HeaderMap, body: Bytes) -> Response {
    let holds = |there: Option<&Bytes>| {
        let creates = kind == Kind::CreatesAlways || !headers.contains_key("if-none-match");
        let changes = headers
            .get("if-match")
            .filter(|_| kind != Kind::ChangesAlways);
        (creates || there.is_none())
            && changes.is_none_or(|seen| there.is_some_and(|there| tag(there) == *seen))
    };
    if kind == Kind::Racy {
        let is_free = holds(server.objects.lock().unwrap().get(key));
        tokio::time::sleep(Duration::from_millis(5)).await;
        if !is_free {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        server
            .objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), body.clone());
    } else {
        let mut objects = server.objects.lock().unwrap();
        if !holds(objects.get(key)) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        objects.insert(key.to_owned(), body.clone());
    }
    let mut response = StatusCode::OK.into_response();
    response
        .headers_mut()
        .insert("etag", tag(&body).parse().unwrap());
    response
}

fn list(server: &Server, query: &str) -> Response {
    let prefix = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("prefix="))
        .unwrap_or_default();
    let prefix = percent_encoding::percent_decode_str(prefix)
        .decode_utf8()
        .unwrap();
    let objects = server.objects.lock().unwrap();
    let mut folders = BTreeSet::new();
    let mut xml = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
    for (key, bytes) in objects.iter() {
        let Some(rest) = key.strip_prefix(&*prefix) else {
            continue;
        };
        match rest.split_once('/') {
            Some((folder, _)) => {
                folders.insert(format!("{prefix}{folder}/"));
            }
            None => xml.push_str(&format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-11-24T09:00:00.000Z</LastModified></Contents>",
                bytes.len()
            )),
        }
    }
    for folder in folders {
        xml.push_str(&format!(
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        ));
    }
    xml.push_str("</ListBucketResult>");
    xml.into_response()
}

#[tokio::test]
async fn a_store_that_keeps_its_word_is_proven_and_left_clean() {
    let (server, store) = serve(Kind::Honest).await;

    store.prove().await.unwrap();

    assert!(server.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_store_whose_conditions_do_not_hold_is_refused_in_clear_words() {
    let cases = [
        (
            Kind::Racy,
            "who wrote at once create (If-None-Match) the same object",
        ),
        (Kind::CreatesAlways, "(If-None-Match)"),
        (
            Kind::ChangesAlways,
            "changed an object that was not there (If-Match)",
        ),
    ];
    for (kind, expected) in cases {
        let (_server, store) = serve(kind).await;
        let failure = store.prove().await.unwrap_err();
        assert!(
            matches!(failure, Failure::Refused(_)),
            "{kind:?}: {failure:?}"
        );
        let words = failure.to_string();
        assert!(words.contains(expected), "{kind:?}: {words}");
        assert!(
            words.contains("it cannot keep two controllers apart"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn lease_marks_and_journal_live_under_the_prefix() {
    let (server, store) = serve(Kind::Honest).await;
    let first = member(&store, "a").await;
    first.beat().await.unwrap();
    let Taken::Lease(lease) = first.take("production").await.unwrap() else {
        panic!("held");
    };
    let second = member(&store, "b").await;
    second.look().await.unwrap();
    assert_eq!(second.living().len(), 2);
    assert!(matches!(
        second.take("production").await.unwrap(),
        Taken::Held { .. }
    ));

    let marks = Marks::of(&store, "production");
    let done = Done {
        commit: "c1".to_owned(),
        epoch: lease.epoch(),
        at: Clock::wall().now(),
    };
    marks.set_done(&done).await.unwrap();
    let (journal, writer) = journal(&store);
    tokio::spawn(writer.run());
    journal.append("production", 1, "2026-11-24T09:00:00Z".parse().unwrap(), 5);
    journal.flush(&Clock::wall(), Duration::from_secs(5)).await;

    assert_eq!(marks.done().await, Seen::Facts(Some(done)));
    assert_eq!(
        read::<u32>(&store, "production", 9).await.unwrap().entries[0].what,
        5
    );
    assert_eq!(
        prune(
            &store,
            "production",
            "2026-12-01T00:00:00Z".parse().unwrap()
        )
        .await,
        Ok(1)
    );
    lease.release(&first).await.unwrap();
    let keys: Vec<String> = server.objects.lock().unwrap().keys().cloned().collect();
    assert!(
        keys.contains(&"team/one/lease/production.json".to_owned()),
        "{keys:?}"
    );
    assert!(
        keys.contains(&"team/one/marks/production/done.json".to_owned()),
        "{keys:?}"
    );
    assert_eq!(keys.len(), 4, "{keys:?}");
}

#[tokio::test]
async fn a_failure_has_one_of_the_names_and_no_secret() {
    let (server, store) = serve(Kind::Honest).await;
    let marks = Marks::of(&store, "production");
    let done = Done {
        commit: "c1".to_owned(),
        epoch: 1,
        at: Clock::wall().now(),
    };
    let name = |failure: &Failure| match failure {
        Failure::Refused(_) => "refused",
        Failure::Throttled { .. } => "throttled",
        Failure::Passing(_) => "passing",
        Failure::Unclear(_) => "unclear",
        Failure::Denied(_) => "denied",
    };
    for (status, read, written) in [
        (400, "refused", "refused"),
        (301, "refused", "refused"),
        (401, "denied", "denied"),
        (403, "denied", "denied"),
        (429, "passing", "passing"),
        (503, "passing", "passing"),
        (500, "passing", "unclear"),
        (507, "passing", "unclear"),
    ] {
        server.set(Kind::Answers(status));
        let reads = marks.set_done(&done).await.unwrap_err();
        let put = store
            .objects()
            .put(
                "x",
                Bytes::from_static(b"x"),
                reconciler::store::objects::Only::Always,
            )
            .await
            .unwrap_err();
        assert_eq!(
            (name(&reads), name(&put)),
            (read, written),
            "{status}: {reads} / {put}"
        );
        for words in [reads.to_string(), put.to_string()] {
            assert!(
                !words.contains(SECRET) && !words.contains("Signature"),
                "{words}"
            );
            assert!(words.len() < 400, "{words}");
        }
    }
    // Nobody listens there.
    let nobody = open("http://127.0.0.1:9");
    let failure = nobody.prove().await.unwrap_err();
    assert!(matches!(failure, Failure::Passing(_)), "{failure:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (_server, store) = serve(Kind::Endless).await;

    let seen = Marks::of(&store, "production").done().await;

    assert!(matches!(seen, Seen::Unseen(_)), "{seen:?}");
}

#[test]
fn what_is_no_store_is_refused_with_what_would_be_right() {
    let clock = Clock::wall();
    let none = Config::default();
    for wrong in [
        "",
        "/var/lib/x",
        "ftp://x/y",
        "s3:///x",
        "file://host.example/x",
    ] {
        let failure = Store::open(wrong, &none, &clock).unwrap_err().to_string();
        assert!(
            failure.contains("right would be file:///"),
            "{wrong}: {failure}"
        );
    }
    let failure = Store::open("s3://bucket", &none, &clock).unwrap_err();
    assert!(
        failure.to_string().contains("AWS_ACCESS_KEY_ID"),
        "{failure}"
    );
    let failure = Store::open("s3://key:hidden@bucket", &none, &clock).unwrap_err();
    assert!(!failure.to_string().contains("hidden"), "{failure}");
}
