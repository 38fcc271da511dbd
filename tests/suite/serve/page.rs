//! The page as it is sent: in the order of the questions at night, with everything from outside as words and never as markup.

use super::stage::{event, events, night, stage, view};
use reconciler::status::event::What;
use reconciler::status::{Health, State};

/// Where each stands in the page.
fn places(page: &str, words: &[&str]) -> Vec<usize> {
    let place = |word: &&str| {
        page.find(*word)
            .unwrap_or_else(|| panic!("no {word} in {page}"))
    };
    words.iter().map(place).collect()
}

#[tokio::test]
async fn the_questions_are_answered_in_the_order_they_are_asked() {
    let stage = stage().await.showing([night("production")]);
    for event in events("production") {
        stage.board.tell(event);
    }
    let page = stage.get("/production").await.body;
    let order = places(
        &page,
        &[
            "<h1>production</h1>",
            "<strong>degraded</strong>",
            "min ago</time></span></p>",
            "worker does not answer: <code>/api/health</code> gave 503",
            "<code>41bd07e</code> by anna",
            "SUSPENDED",
            ">NOW<",
            "release worker 1.4.1 → 1.4.2",
            ">NEXT<",
            "scale web 2 → 3 (us-west2)",
            ">HELD<",
            "another major version",
            "way out</span> <code>reconciler approve 7f3a9c21 production</code>",
            ">NOT IN FORCE<",
            "production/sizes.yaml:9:5",
            ">CLOSED<",
            "because orders are being repaired",
            "overdue",
            ">SERVICES<",
            "unhealthy: 503 in 120 ms",
            ">DRIFT<",
            "worker.QUEUE_CONCURRENCY 5 → 50",
            "by ben, ",
            ">NOTES<",
            "not managed: metabase",
            ">UNDO<",
            "git revert 41bd07e",
            ">CONDITIONS<",
            "Ready False",
            ">EVENTS<",
            "not accepted",
        ],
    );
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn the_overview_lists_the_worst_first() {
    let mut held = view("c-held");
    held.status.as_mut().unwrap().state = State::Held;
    let unseen = {
        let mut unseen = view("b-unseen");
        unseen.status = None;
        unseen
    };
    let stage = stage()
        .await
        .showing([view("a-good"), unseen, held, night("d-bad")]);
    let page = stage.get("/").await.body;
    let order = places(
        &page,
        &[
            "href=\"/d-bad\"",
            "href=\"/b-unseen\"",
            "href=\"/c-held\"",
            "href=\"/a-good\"",
        ],
    );
    assert!(order.is_sorted(), "{order:?}");
    assert!(page.contains("<b>1</b> degraded"));
}

#[tokio::test]
async fn a_name_never_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;`x`\u{202e}\u{0}";
    let mut hostile = night("production");
    hostile.conditions[0].message = evil.to_owned();
    hostile.controller = evil.to_owned();
    let commit = hostile.commit.as_mut().unwrap();
    for field in [
        &mut commit.id,
        &mut commit.author,
        &mut commit.at,
        &mut commit.subject,
    ] {
        evil.clone_into(field);
    }
    let newest = hostile.not_accepted.as_mut().unwrap();
    newest.reason = evil.to_owned();
    newest.way_out = evil.to_owned();
    newest.problems = vec![evil.to_owned()];
    hostile.health[0].words = evil.to_owned();
    hostile.suspended.as_mut().unwrap().reason = evil.to_owned();
    let status = hostile.status.as_mut().unwrap();
    for item in status
        .now
        .iter_mut()
        .chain(&mut status.next)
        .chain(&mut status.held)
    {
        item.what = evil.to_owned();
        item.why = evil.to_owned();
        item.way_out = Some(evil.to_owned());
        item.deadline = Some(evil.to_owned());
    }
    status.closed[0].name = evil.to_owned();
    status.closed[0].services = vec![evil.to_owned()];
    status
        .services
        .push(super::stage::service(evil, Health::Healthy, evil));
    status.drift[0].what = evil.to_owned();
    status.drift[0].by = Some(evil.to_owned());
    status.notes = vec![evil.to_owned()];
    status.unmanaged = vec![evil.to_owned()];
    let mut named = hostile.clone();
    named.environment = evil.to_owned();
    let stage = stage().await.showing([hostile, named]);
    stage.board.tell(event(
        "production",
        0,
        What::Healthy {
            service: evil.to_owned(),
        },
    ));
    let named = reconciler_path(evil);
    for path in [
        "/",
        "/production",
        "/production?told=%3Cscript%3E",
        "/?find=%22%3E%3Cscript%3E",
        "/login?to=/%22%3E%3Cscript%3E",
        &named,
    ] {
        let page = stage.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let scripts = page.body.matches("<script").count();
        let ours = page
            .body
            .matches("<script src=\"/assets/page.js\" defer>")
            .count();
        assert_eq!(scripts, ours, "{path}: {}", page.body);
        for markup in ["<img", "\u{202e}", "\u{0}", "onerror=alert(1)>"] {
            assert!(!page.body.contains(markup), "{path}: {markup}");
        }
    }
}

fn reconciler_path(name: &str) -> String {
    let bytes = name.bytes().map(|byte| format!("%{byte:02X}"));
    format!("/{}", bytes.collect::<String>())
}

#[tokio::test]
async fn nothing_is_embedded_and_nothing_comes_from_elsewhere() {
    let stage = stage().await.showing([night("production")]);
    for path in ["/", "/production", "/login"] {
        let page = stage.get(path).await.body;
        for never in [
            "style=",
            "onclick",
            "http://",
            "https://",
            "javascript:",
            "<style",
        ] {
            assert!(!page.contains(never), "{path} has {never}");
        }
    }
    let page = stage.get("/production").await.body;
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\""));
}

#[tokio::test]
async fn an_environment_may_be_called_as_one_of_our_own_addresses() {
    let stage = stage().await.showing([view("metrics")]);
    let page = stage.get("/").await.body;
    assert!(page.contains("href=\"/environments/metrics\""));
    let page = stage.get("/environments/metrics").await.body;
    assert!(page.contains("<h1>metrics</h1>"));
}

#[tokio::test]
async fn a_long_list_is_cut_where_nobody_reads_on() {
    let mut large = night("production");
    let status = large.status.as_mut().unwrap();
    let one = status.next[0].clone();
    status.next = vec![one; 1000];
    let services = (0..3000)
        .map(|number| super::stage::service(&format!("s-{number}"), Health::Healthy, "up"));
    status.services = services.collect();
    let stage = stage().await.showing([large]);
    let page = stage.get("/production").await.body;
    assert!(page.contains("<summary>990 more</summary>"));
    assert!(page.contains("and 800 that only the JSON lists"));
    assert!(page.contains("and 2000 that only the JSON lists"));
    assert!(page.len() < 800_000, "{} bytes", page.len());
}
