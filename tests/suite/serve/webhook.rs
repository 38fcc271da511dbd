//! GitHub's webhook: only what is signed and about our branch says "look now", once an interval, and nothing grows.

use super::stage::{Answer, SECRET, Stage, settings, stage, stage_of};
use hmac::{Hmac, KeyInit, Mac};
use reconciler::serve::{Settings, Watched};
use reconciler::world::secret::Secret;
use sha2::Sha256;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NEXT: &str = "the secret that comes next, of thirty-nine";

fn push(repository: &str, reference: &str) -> String {
    serde_json::json!({
        "ref": reference, "before": "41bd07e", "after": "9c1e22a",
        "repository": { "full_name": repository, "private": true },
        "commits": [{ "message": "Scale worker" }],
    })
    .to_string()
}

fn ours() -> String {
    push("sentia/manifests", "refs/heads/main")
}

fn signed(secret: &str, body: &str) -> String {
    let mut signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    signature.update(body.as_bytes());
    let mut words = "sha256=".to_owned();
    for byte in signature.finalize().into_bytes() {
        let _ = write!(words, "{byte:02x}");
    }
    words
}

/// A delivery that is right, for tests to bend.
struct Delivery {
    body: String,
    signature: Option<String>,
    id: String,
    event: String,
    sort: String,
    more: Vec<(&'static str, String)>,
}

fn delivery(body: String) -> Delivery {
    Delivery {
        signature: Some(signed(SECRET, &body)),
        body,
        id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
        event: "push".to_owned(),
        sort: "application/json".to_owned(),
        more: Vec::new(),
    }
}

impl Delivery {
    async fn to(&self, stage: &Stage) -> Answer {
        let mut headers = vec![
            ("content-type", self.sort.as_str()),
            ("x-github-event", self.event.as_str()),
            ("x-github-delivery", self.id.as_str()),
            // What a proxy lets through is another name than ours.
            ("host", "controller.example.com"),
        ];
        if let Some(signature) = &self.signature {
            headers.push(("x-hub-signature-256", signature));
        }
        headers.extend(
            self.more
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        stage
            .asks("POST", "/webhooks/github", &headers, &self.body)
            .await
    }
}

fn result(answer: &Answer) -> (u16, String) {
    let result = answer.json()["result"].as_str().unwrap().to_owned();
    (answer.status, result)
}

#[tokio::test]
async fn a_signed_push_to_our_branch_says_look_now() {
    let mut stage = stage().await;
    let answer = delivery(ours()).to(&stage).await;
    assert_eq!(result(&answer), (202, "look".to_owned()));
    let look = stage.asked.looks.try_recv().unwrap();
    assert_eq!((look.environment, look.why.as_str()), (None, "push"));
}

#[tokio::test]
async fn everything_else_says_nothing() {
    let mut stage = stage().await;
    let right = signed(SECRET, &ours());
    let sha1 = vec![(
        "x-hub-signature",
        "sha1=0123456789012345678901234567890123456789".to_owned(),
    )];
    let big = format!("{{\"ref\":\"{}\"}}", "x".repeat(1024 * 1024));
    let with = |signature: Option<String>| Delivery {
        signature,
        ..delivery(ours())
    };
    let event = |event: &str| Delivery {
        event: event.to_owned(),
        ..delivery(ours())
    };
    let sort = |sort: &str| Delivery {
        sort: sort.to_owned(),
        ..delivery(ours())
    };
    let id = |id: String| Delivery {
        id,
        ..delivery(ours())
    };
    let table = [
        ("no signature", with(None), 401, "unsigned"),
        (
            "only SHA-1",
            Delivery {
                more: sha1,
                ..with(None)
            },
            401,
            "unsigned",
        ),
        (
            "another secret",
            with(Some(signed(NEXT, &ours()))),
            401,
            "unsigned",
        ),
        (
            "no secret",
            with(Some(signed("", &ours()))),
            401,
            "unsigned",
        ),
        (
            "of another body",
            with(Some(signed(SECRET, "{}"))),
            401,
            "unsigned",
        ),
        (
            "without its name",
            with(Some(right[7..].to_owned())),
            401,
            "unsigned",
        ),
        (
            "cut off",
            with(Some(right[..70].to_owned())),
            401,
            "unsigned",
        ),
        ("empty", with(Some("sha256=".to_owned())), 401, "unsigned"),
        (
            "no digits",
            with(Some(format!("sha256={}", "zz".repeat(32)))),
            401,
            "unsigned",
        ),
        (
            "two signatures",
            Delivery {
                more: vec![("x-hub-signature-256", right.clone())],
                ..delivery(ours())
            },
            401,
            "unsigned",
        ),
        (
            "another branch",
            delivery(push("sentia/manifests", "refs/heads/topic")),
            200,
            "other_branch",
        ),
        (
            "a tag of that name",
            delivery(push("sentia/manifests", "refs/tags/main")),
            200,
            "other_branch",
        ),
        (
            "a branch that ends so",
            delivery(push("sentia/manifests", "refs/heads/not/main")),
            200,
            "other_branch",
        ),
        (
            "another repository",
            delivery(push("sentia/web", "refs/heads/main")),
            200,
            "other_repository",
        ),
        (
            "an event of another kind",
            event("issues"),
            200,
            "other_event",
        ),
        ("no event", event(""), 200, "other_event"),
        (
            "a form",
            sort("application/x-www-form-urlencoded"),
            415,
            "bad_type",
        ),
        ("no type", sort(""), 415, "bad_type"),
        ("no id", id(String::new()), 400, "bad_id"),
        ("an endless id", id("x".repeat(65)), 400, "bad_id"),
        ("no JSON", delivery("ref=main".to_owned()), 400, "malformed"),
        ("no push", delivery("{}".to_owned()), 400, "malformed"),
        ("too much", delivery(big), 413, "too_large"),
        ("a ping", event("ping"), 200, "pong"),
    ];
    for (name, delivery, status, word) in table {
        let answer = delivery.to(&stage).await;
        assert_eq!(result(&answer), (status, word.to_owned()), "{name}");
    }
    assert!(stage.asked.looks.try_recv().is_err());
    // And the same delivery, unbent, does.
    assert_eq!(delivery(ours()).to(&stage).await.status, 202);
}

#[tokio::test]
async fn no_bit_of_a_signature_or_a_body_may_be_another() {
    let mut stage = stage().await;
    let right = signed(SECRET, &ours());
    for place in [7, 20, 40, 70] {
        let mut bent = right.clone().into_bytes();
        bent[place] = if bent[place] == b'0' { b'1' } else { b'0' };
        let bent = Delivery {
            signature: String::from_utf8(bent).ok(),
            ..delivery(ours())
        };
        assert_eq!(bent.to(&stage).await.status, 401, "sign {place}");
    }
    for place in (0..ours().len()).step_by(11) {
        let mut body = ours().into_bytes();
        body[place] ^= 1;
        let bent = Delivery {
            body: String::from_utf8(body).unwrap(),
            ..delivery(ours())
        };
        assert_eq!(bent.to(&stage).await.status, 401, "byte {place}");
    }
    assert!(stage.asked.looks.try_recv().is_err());
}

#[tokio::test]
async fn while_the_secret_changes_both_are_right() {
    let both = Settings {
        webhook: vec![Secret::new(SECRET), Secret::new(NEXT)],
        ..settings()
    };
    let stage = stage_of(both).await;
    assert_eq!(delivery(ours()).to(&stage).await.status, 202);
    let next = Delivery {
        signature: Some(signed(NEXT, &ours())),
        id: "another".to_owned(),
        ..delivery(ours())
    };
    assert_eq!(next.to(&stage).await.status, 202);
}

#[tokio::test]
async fn without_a_secret_there_is_no_webhook() {
    let none = Settings {
        webhook: Vec::new(),
        ..settings()
    };
    let stage = stage_of(none).await;
    assert_eq!(delivery(ours()).to(&stage).await.status, 404);
}

#[test]
fn the_repository_is_told_by_its_address() {
    let told = |address: &str| Watched::of(address, "main").repository;
    for address in [
        "https://github.com/sentia/manifests.git",
        "https://github.com/sentia/manifests/",
        "git@github.com:sentia/manifests.git",
        "ssh://git@github.com/sentia/manifests",
    ] {
        assert_eq!(
            told(address).as_deref(),
            Some("sentia/manifests"),
            "{address}"
        );
    }
    for address in [
        "/srv/git/manifests.git",
        "file:///srv/git/manifests.git",
        "manifests",
    ] {
        assert_eq!(told(address), None, "{address}");
    }
}

fn head(framing: &str) -> String {
    let signature = signed(SECRET, &ours());
    format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-github-event: push\r\nx-github-delivery: 1\r\nx-hub-signature-256: {signature}\r\n{framing}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_endless_body_ends_at_a_mebibyte() {
    let mut stage = stage().await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let begin = head("transfer-encoding: chunked");
    stream.write_all(begin.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    // The server does not listen any longer than it must.
    while sent < 64 * 1024 * 1024 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes were taken");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(stage.asked.looks.try_recv().is_err());
    assert!(
        stage
            .metrics
            .text()
            .contains("reconciler_webhook_total{result=\"too_large\"} 1\n")
    );
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_not_read() {
    let stage = stage().await;
    let answer = stage
        .sends(head("content-length: 10000000000").as_bytes())
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_slow_body_ends_by_its_time() {
    let impatient = Settings {
        patience: Duration::from_millis(50),
        ..settings()
    };
    let stage = stage_of(impatient).await;
    let mut begun = head("content-length: 1000");
    begun.push('{');
    let answer = stage.sends(begun.as_bytes()).await;
    assert_eq!(result(&answer), (408, "slow".to_owned()));
}

#[tokio::test]
async fn many_bodies_at_once_share_a_bound() {
    let mut stage = stage().await;
    let mut streams = Vec::new();
    let most = "x".repeat(900 * 1024);
    for _ in 0..8 {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let begun = head("content-length: 1000000") + &most;
        let _ = stream.write_all(begun.as_bytes()).await;
        streams.push(stream);
    }
    let throttled = "reconciler_webhook_total{result=\"throttled\"}";
    let refused = async {
        while !stage.metrics.text().contains(throttled) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), refused)
        .await
        .unwrap();
    assert!(stage.asked.looks.try_recv().is_err());
}

#[tokio::test]
async fn ten_thousand_replays_cause_one_look_and_nothing_grows() {
    let mut stage = stage().await;
    assert_eq!(delivery(ours()).to(&stage).await.status, 202);
    let body = ours();
    let signature = signed(SECRET, &body);
    let replay = |id: &str| {
        format!(
            "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\nx-github-event: push\r\nx-github-delivery: {id}\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut duplicates = 0;
    // Half of them as they were, half under another id, which GitHub does not sign.
    for number in 0..10_000 {
        let id = match number % 2 {
            0 => "72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned(),
            _ => format!("replay-{number}"),
        };
        let answer = stage.sends(replay(&id).as_bytes()).await;
        match answer.status {
            200 => duplicates += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!(duplicates >= 99, "{duplicates}");
    assert!(stage.asked.looks.try_recv().is_ok());
    assert!(stage.asked.looks.try_recv().is_err());
    let metrics = stage.metrics.text();
    assert!(
        metrics.contains("reconciler_webhook_looks_total 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("reconciler_webhook_total{result=\"throttled\"}"));
}

#[tokio::test]
async fn of_many_pushes_in_an_interval_the_last_is_not_lost() {
    let brisk = Settings {
        look_interval: Duration::from_millis(200),
        ..settings()
    };
    let mut stage = stage_of(brisk).await;
    for number in 0..20 {
        let body =
            push("sentia/manifests", "refs/heads/main").replace("9c1e22a", &number.to_string());
        let one = Delivery {
            id: number.to_string(),
            ..delivery(body)
        };
        assert_eq!(one.to(&stage).await.status, 202);
    }
    let mut looks = Vec::new();
    // The first at once, the second when the interval is over; a slow machine may see another.
    looks.push(stage.asked.looks.recv().await.unwrap());
    looks.push(stage.asked.looks.recv().await.unwrap());
    while let Ok(look) = stage.asked.looks.try_recv() {
        looks.push(look);
    }
    assert!(looks.len() <= 5, "{} looks", looks.len());
}
