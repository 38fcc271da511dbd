//! What is told holds no secret, and no id that tells whose it is.

use super::stage::Stage;
use sandbox::{Faults, Switches};
use serde_json::Value;
use std::sync::{Arc, Mutex};

fn has_an_id(text: &str) -> Option<&str> {
    text.split(|sign: char| !(sign.is_ascii_hexdigit() || sign == '-'))
        .find(|word| word.split('-').map(str::len).eq([8, 4, 4, 4, 12]))
}

#[tokio::test(start_paused = true)]
async fn a_report_holds_no_token_no_value_of_others_and_no_id() {
    let made: Arc<Mutex<Vec<String>>> = Arc::default();
    let secrets = made.clone();
    let stage = Stage::new(Switches::default(), Faults::none()).with_lens(move |answer| {
        if let Some(token) = answer["data"]["projectTokenCreate"].as_str() {
            secrets.lock().unwrap().push(token.to_owned());
        }
    });

    let report = stage.ask().await;

    let made = made.lock().unwrap().clone();
    assert_eq!(made.len(), 1, "a project token was made");
    let told = format!("{}\n{}\n{}", report.text(), report.json(), stage.told());
    for secret in made.iter().map(String::as_str).chain([
        "account-token",
        "canary-of-production",
        "shared-canary",
        "operator@sentia.test",
        "sentia",
    ]) {
        assert!(!told.contains(secret), "{secret} is told");
    }
    assert_eq!(has_an_id(&told), None, "an id is told");
    assert!(!told.contains("shop"), "the project is named");
}

#[tokio::test(start_paused = true)]
async fn another_answer_is_told_with_what_was_seen_and_within_bounds() {
    let stage = Stage::new(Switches::default(), Faults::none())
        .only(&["what-a-commit-returns", "keys-of-regions", "masked-values"])
        .with_lens(|answer| {
            if let Some(returned) = answer.pointer_mut("/data/environmentPatchCommit") {
                *returned = Value::Null;
            }
            if let Some(services) = answer.pointer_mut("/data/environment/config/services") {
                for (_, service) in services.as_object_mut().into_iter().flatten() {
                    service["variables"]["PROBE"]["value"] =
                        Value::from("account-token of 5e27a000-0000-4000-8000-000000000001");
                    service["deploy"]["multiRegionConfig"] =
                        serde_json::json!({ "x": 1, "y".repeat(10_000): 2 });
                }
            }
        });

    let report = stage.ask().await;

    let text = report.text();
    assert!(text.contains("**another answer**"), "{text}");
    assert!(text.contains("\"shown\": \"*** of <id 1>\""), "{text}");
    assert!(
        text.contains("yyyyyyyy") && text.len() < 6_000,
        "{}",
        text.len()
    );
    assert!(report.is_whole());
}

#[tokio::test(start_paused = true)]
async fn what_railway_says_against_it_is_told_without_the_token() {
    let stage = Stage::new(Switches::default(), Faults::none())
        .only(&["masked-values"])
        .with_lens(|answer| {
            if answer.pointer("/data/environmentPatchCommit").is_some() {
                let words =
                    "refused for account-token\nin shop 5e27a000-0000-4000-8000-000000000001";
                let long = format!("{words} {}", "on and on ".repeat(10_000));
                *answer = serde_json::json!({ "errors": [{ "message": long }] });
            }
        });

    let report = stage.ask().await;

    let text = report.text();
    assert!(
        text.contains("**no answer**: Railway says: refused for ***"),
        "{text}"
    );
    assert!(text.contains("in <project> <id 1> on and on"), "{text}");
    assert!(text.len() < 2_000);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_comes_back_makes_it_panic() {
    type Twist = fn(&mut Value);
    let twists: &[Twist] = &[
        |answer| *answer = Value::Null,
        |answer| *answer = Value::from("words"),
        |answer| answer["data"] = Value::Null,
        |answer| answer["data"] = serde_json::json!({}),
        |answer| answer["data"] = serde_json::json!([1, "two", null]),
        |answer| answer["errors"] = serde_json::json!([]),
        |answer| answer["errors"] = serde_json::json!([null]),
        |answer| answer["errors"] = serde_json::json!([{ "message": 5, "extensions": "x" }]),
        |answer| answer["errors"] = serde_json::json!({ "message": "no list" }),
        |answer| flatten(answer),
    ];
    for twist in twists {
        let twist = *twist;
        let count = Arc::new(Mutex::new(0));
        for every in [1, 2, 5] {
            let count = count.clone();
            let stage = Stage::new(Switches::default(), Faults::none()).with_lens(move |answer| {
                let mut count = count.lock().unwrap();
                *count += 1;
                // The first request finds the project.
                if answer["data"].get("projects").is_none() && *count % every == 0 {
                    twist(answer);
                }
            });
            let report = stage.ask().await;
            report.text();
        }
    }
}

/// Every list an object, every object a list.
fn flatten(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(flatten);
            let entries = items.drain(..).enumerate();
            *value = Value::Object(entries.map(|(at, item)| (at.to_string(), item)).collect());
        }
        Value::Object(entries) => {
            let mut entries = std::mem::take(entries);
            if let Some(data) = entries.get_mut("data") {
                for (_, root) in data.as_object_mut().into_iter().flatten() {
                    flatten(root);
                }
                *value = Value::Object(entries);
                return;
            }
            *value = entries.into_iter().map(|(_, value)| value).collect();
        }
        _ => {}
    }
}
