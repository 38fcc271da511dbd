//! Who is let in: the token, the login, our own names, and nobody's page on a reader's behalf.

use super::stage::{SECRET, TOKEN, bearer, settings, stage, stage_of, view};
use reconciler::config::Config;
use reconciler::serve::{Settings, Watched};

const CLOSED: [&str; 7] = [
    "/metrics",
    "/api/v1/environments",
    "/api/v1/environments/production",
    "/api/v1/environments/production/events",
    "/",
    "/production",
    "/environments/production",
];

fn of(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let config = Config::of(variables.iter().copied());
    Settings::of(&config, Watched::of("/srv/manifests", "main"))
}

#[tokio::test]
async fn every_route_but_health_asks_for_the_token() {
    let stage = stage().await.showing([view("production")]);
    for path in CLOSED {
        assert_eq!(stage.get_bare(path).await.status, 401, "{path}");
        let wrong = [("authorization", "Bearer not-the-token-of-this-controller")];
        assert_eq!(
            stage.asks("GET", path, &wrong, "").await.status,
            401,
            "{path}"
        );
        let basic = format!("Basic {TOKEN}");
        let basic = [("authorization", basic.as_str())];
        assert_eq!(
            stage.asks("GET", path, &basic, "").await.status,
            401,
            "{path}"
        );
        assert_eq!(stage.get(path).await.status, 200, "{path}");
    }
    for order in ["reconcile", "suspend", "resume"] {
        let path = format!("/api/v1/environments/production/{order}");
        assert_eq!(stage.asks("POST", &path, &[], "").await.status, 401);
    }
    // What is there and what is not look the same from outside.
    let missing = stage.get_bare("/api/v1/environments/nowhere").await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn on_loopback_no_token_is_needed_where_none_is_set() {
    let open = Settings {
        token: None,
        ..settings()
    };
    let stage = stage_of(open).await.showing([view("production")]);
    for path in CLOSED {
        assert_eq!(stage.get_bare(path).await.status, 200, "{path}");
    }
}

#[test]
fn beyond_loopback_it_does_not_start_without_a_token() {
    let refusal = of(&[("RECONCILER_LISTEN", "0.0.0.0:8080")]).unwrap_err();
    assert!(refusal.contains("can be reached from other machines"));
    assert!(refusal.contains("RECONCILER_HTTP_TOKEN"));
    let both = [
        ("RECONCILER_LISTEN", "[::]:8080"),
        ("RECONCILER_HTTP_TOKEN", TOKEN),
    ];
    assert!(of(&both).is_ok());
    assert_eq!(of(&[]).unwrap().listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn what_could_be_guessed_is_no_token_and_no_secret() {
    let short = of(&[("RECONCILER_HTTP_TOKEN", "hunter2")]).unwrap_err();
    assert!(short.contains("at least 16 bytes") && !short.contains("hunter2"));
    let short = of(&[(
        "RECONCILER_WEBHOOK_SECRET",
        "only-thirty-one-bytes-of-secret",
    )]);
    assert!(short.unwrap_err().contains("at least 32 bytes"));
    let next = of(&[("RECONCILER_WEBHOOK_SECRET_NEXT", "short")]);
    assert!(
        next.unwrap_err()
            .starts_with("RECONCILER_WEBHOOK_SECRET_NEXT")
    );
    let wrong = of(&[("RECONCILER_LISTEN", "8080")]).unwrap_err();
    assert!(wrong.contains("`0.0.0.0:8080`"));
}

#[tokio::test]
async fn a_name_that_somebody_bound_to_our_address_is_not_answered() {
    let listed = Settings {
        hosts: vec!["controller.example.com".to_owned()],
        ..settings()
    };
    let stage = stage_of(listed).await.showing([view("production")]);
    let bearer = bearer();
    let asked = async |host: &str| {
        let headers = [("host", host), ("authorization", bearer.as_str())];
        stage
            .asks("GET", "/api/v1/environments", &headers, "")
            .await
            .status
    };
    for host in [
        "localhost",
        "localhost:8080",
        "127.0.0.1:1",
        "[::1]:8080",
        "LOCALHOST",
        "Controller.example.com",
    ] {
        assert_eq!(asked(host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8080",
        "",
        "[::2]",
    ] {
        assert_eq!(asked(host).await, 421, "{host}");
    }
    let absolute = format!(
        "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(stage.sends(absolute.as_bytes()).await.status, 421);
    // A platform asks for health under a name of its own.
    let health = [("host", "healthcheck.railway.app")];
    assert_eq!(stage.asks("GET", "/healthz", &health, "").await.status, 200);
}

#[tokio::test]
async fn nobodys_page_gives_orders_for_a_reader() {
    let open = Settings {
        token: None,
        ..settings()
    };
    let stage = stage_of(open).await.showing([view("production")]);
    let path = "/api/v1/environments/production/resume";
    for elsewhere in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let answer = stage.asks("POST", path, &[elsewhere], "").await;
        assert_eq!(answer.status, 403, "{elsewhere:?}");
    }
}

#[tokio::test]
async fn a_login_brings_a_cookie_that_is_not_the_token() {
    let stage = stage().await.showing([view("production")]);
    let html = ("accept", "text/html");
    let sent = stage.asks("GET", "/production", &[html], "").await;
    assert_eq!(sent.status, 303);
    assert_eq!(sent.header("location"), Some("/login?to=%2Fproduction"));
    let form = stage.get_bare("/login?to=%2Fproduction").await;
    assert!(form.body.contains("name=\"to\" value=\"/production\""));

    let sort = ("content-type", "application/x-www-form-urlencoded");
    let wrong = stage
        .asks("POST", "/login", &[sort], "to=/production&token=wrong")
        .await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let body = format!("to=/production&token={TOKEN}");
    let right = stage.asks("POST", "/login", &[sort], &body).await;
    assert_eq!(right.header("location"), Some("/production"));
    let cookie = right.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
    assert!(!cookie.contains(TOKEN) && !cookie.contains("Secure"));
    let https = [sort, ("x-forwarded-proto", "https")];
    let https = stage.asks("POST", "/login", &https, &body).await;
    assert!(https.header("set-cookie").unwrap().contains("; Secure"));

    let pair = cookie.split(';').next().unwrap();
    let with = |pair: &str| format!("theme=dark; {pair}");
    let page = stage
        .asks("GET", "/production", &[("cookie", &with(pair))], "")
        .await;
    assert_eq!(page.status, 200);
    let last = if pair.ends_with('0') { "1" } else { "0" };
    let bent = format!("{}{last}", &pair[..pair.len() - 1]);
    let bent = stage
        .asks("GET", "/production", &[("cookie", &with(&bent))], "")
        .await;
    assert_eq!(bent.status, 401);
    let empty = stage
        .asks("GET", "/production", &[("cookie", "reconciler=")], "")
        .await;
    assert_eq!(empty.status, 401);
}

#[tokio::test]
async fn after_a_login_one_goes_to_no_address_but_ours() {
    let stage = stage().await;
    let sort = ("content-type", "application/x-www-form-urlencoded");
    for to in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "",
        "/a%0d%0ab",
    ] {
        let body = format!("to={to}&token={TOKEN}");
        let answer = stage.asks("POST", "/login", &[sort], &body).await;
        assert_eq!(answer.header("location"), Some("/"), "{to}");
    }
}

#[tokio::test]
async fn a_link_from_elsewhere_tries_once_more_from_here() {
    let stage = stage().await.showing([view("production")]);
    let by_link = [("accept", "text/html"), ("sec-fetch-site", "cross-site")];
    let first = stage.asks("GET", "/production", &by_link, "").await;
    assert_eq!(first.status, 200);
    assert!(first.body.contains("http-equiv=\"refresh\""));
    assert!(!first.body.contains("production"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_strangers_out() {
    let stage = stage().await.showing([view("production")]);
    let answers = [
        stage.get("/production").await,
        stage.get("/api/v1/environments").await,
        stage.get("/metrics").await,
        stage.get_bare("/healthz").await,
        stage.get_bare("/login").await,
        stage.get_bare("/assets/page.js").await,
        stage.get_bare("/nothing/here").await,
        stage.get_bare("/metrics").await,
        stage.asks("DELETE", "/healthz", &[], "").await,
        stage.asks("POST", "/webhooks/github", &[], "").await,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn no_secret_is_in_any_answer() {
    let stage = stage().await;
    let own = settings();
    let hidden = reconciler::world::secret::Secret::new("sk_live_<&\"quoted>_value");
    stage.board.hide(own.secrets().chain([&hidden]));
    let mut leaking = super::stage::night("production");
    leaking.conditions[0].message = format!("{TOKEN} {SECRET} {}", hidden.reveal());
    let status = leaking.status.as_mut().unwrap();
    status.services[0].words = hidden.reveal().to_owned();
    status.services[0].runs = Some(TOKEN.to_owned());
    let stage = stage.showing([leaking]);
    for path in CLOSED.into_iter().chain(["/login", "/readyz", "/healthz"]) {
        let answer = stage.get(path).await;
        let told = format!("{}{}", answer.head, answer.body);
        for secret in [TOKEN, SECRET, "sk_live_", "quoted"] {
            assert!(!told.contains(secret), "{path} tells {secret}");
        }
    }
}
