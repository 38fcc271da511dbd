//! The page in a real browser: on a phone and on a desk, by day and by night, live, on its own, and without a complaint.

use super::chromium::Browser;
use super::stage::{TOKEN, events, night, stage, view};
use serde_json::json;
use std::path::Path;

#[tokio::test]
async fn the_page_fits_a_phone_follows_what_happens_and_asks_nobody_else() {
    let stage = stage().await.showing([
        view("staging"),
        view("production"),
        night("eu"),
        view("demo"),
    ]);
    for event in events("production").into_iter().chain(events("eu")) {
        stage.board.tell(event);
    }
    let origin = format!("http://{}", stage.address);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut browser = Browser::start().await;
    browser.screen(360, 740, "light").await;

    // Logging in leads to the page that was asked for.
    browser.goes(&format!("{origin}/production")).await;
    browser.shows(&pictures.join("login.png")).await;
    fits(&mut browser).await;
    let login =
        format!("document.getElementById('token').value = '{TOKEN}'; document.forms[0].submit()");
    browser.goes_by(&login).await;
    assert_eq!(browser.is("location.pathname").await, "/production");
    assert_eq!(browser.is("document.cookie").await, "");
    fits(&mut browser).await;
    browser.shows(&pictures.join("phone-good.png")).await;

    // It changes by itself, and what was open stays open.
    browser
        .is("document.getElementById('conditions').open = true; window.same = true")
        .await;
    stage.board.set(&night("production"));
    browser
        .becomes("document.querySelector('.state strong').textContent === 'degraded'")
        .await;
    assert_eq!(
        browser
            .is("window.same && document.getElementById('conditions').open")
            .await,
        true
    );
    assert_eq!(
        browser.is("document.title").await,
        "✗ production · degraded"
    );
    assert_eq!(
        browser.is("document.getElementById('line').hidden").await,
        true
    );
    browser
        .is("document.getElementById('conditions').open = false")
        .await;
    for (name, width, height, scheme) in [
        ("phone", 360, 740, "light"),
        ("phone-dark", 360, 740, "dark"),
        ("desk", 1280, 800, "light"),
        ("desk-dark", 1280, 800, "dark"),
    ] {
        browser.screen(width, height, scheme).await;
        fits(&mut browser).await;
        readable(&mut browser).await;
        browser.shows(&pictures.join(format!("{name}.png"))).await;
    }
    browser.goes(&format!("{origin}/")).await;
    for (name, width) in [("overview-phone", 360), ("overview-desk", 1280)] {
        browser.screen(width, 740, "light").await;
        fits(&mut browser).await;
        readable(&mut browser).await;
        browser.shows(&pictures.join(format!("{name}.png"))).await;
    }
    let worst = browser
        .is("document.querySelector('.environments .name').textContent")
        .await;
    assert_eq!(worst, "eu");

    // Without scripts it is all there, too.
    browser
        .asks(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await;
    browser.goes(&format!("{origin}/production")).await;
    let document = browser.asks("DOM.getDocument", json!({})).await;
    let root = document["root"]["nodeId"].clone();
    let html = browser
        .asks("DOM.getOuterHTML", json!({ "nodeId": root }))
        .await;
    let html = html["outerHTML"].as_str().unwrap();
    assert!(html.contains("http-equiv=\"refresh\"") && html.contains("git revert"));

    let addresses = browser.addresses();
    assert!(addresses.len() > 8, "{addresses:#?}");
    for address in addresses {
        assert!(address.starts_with(&origin), "{address}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.ends().await;
}

/// Nothing is wider than the screen.
async fn fits(browser: &mut Browser) {
    let over = browser
        .is("[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 120))")
        .await;
    assert_eq!(over, json!([]), "wider than the screen");
    assert_eq!(
        browser
            .is("document.documentElement.scrollWidth <= innerWidth")
            .await,
        true
    );
}

/// Text stands out from what is behind it as WCAG's AA asks (4.5 to 1), and landmarks and headings are there.
async fn readable(browser: &mut Browser) {
    let faint = browser.is(CONTRAST).await;
    assert_eq!(faint, json!([]), "too faint");
    let landmarks = "document.querySelectorAll('main').length === 1 && document.querySelectorAll('h1').length === 1 && document.documentElement.lang === 'en' && [...document.querySelectorAll('input')].every((e) => e.labels.length)";
    assert_eq!(browser.is(landmarks).await, true);
}

const CONTRAST: &str = r"(() => {
  const rgb = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${e.outerHTML.slice(0, 80)}`);
  }
  return faint;
})()";
