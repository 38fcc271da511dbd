//! `reconciler status --url`: how an environment stands as the controller that leads it knows it, once or again and again.

use super::Exit;
use super::api::{Api, path_of};
use super::screen::Screen;
use crate::clock::Clock;
use crate::config::Config;
use crate::serve::STATE;
use crate::status::State;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// How a view is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// As JSON, not as text.
    pub(super) json: bool,
    /// Again whenever it has changed.
    pub(super) watch: bool,
}

/// How long the controller is to wait for a change before it answers all the same.
const WAIT: &str = "wait=20";
/// Before it is asked again when it did not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// Before it is asked again when it did: with many readers it answers without waiting.
const MOMENT: Duration = Duration::from_secs(1);

/// One environment, or a line of each where none is named.
pub(super) async fn status(
    url: &str,
    environment: &Path,
    wanted: Wanted,
    config: &Config,
    screen: &Screen,
) -> Exit {
    let name = environment.file_name().map(|name| name.to_string_lossy());
    let api = match Api::at(url, config) {
        Ok(api) => api,
        Err(words) => return complained(&words, screen),
    };
    match name {
        Some(name) => followed(&api, &name, wanted, screen).await,
        None => listed(&api, wanted, screen).await,
    }
}

fn complained(words: &str, screen: &Screen) -> Exit {
    screen.complain(words);
    Exit::Trouble
}

async fn followed(api: &Api, name: &str, wanted: Wanted, screen: &Screen) -> Exit {
    let look = screen.look();
    let path = format!(
        "{}?width={}&color={}",
        path_of(name),
        look.width,
        look.color
    );
    let mut known: Option<String> = None;
    loop {
        let mut headers = vec![("accept", sort(wanted).to_owned())];
        if let Some(tag) = &known {
            headers.push(("if-none-match", tag.clone()));
            headers.push(("prefer", WAIT.to_owned()));
        }
        let answer = match api.asked(Method::GET, &path, &headers, String::new()).await {
            Ok(answer) => answer,
            Err(words) if wanted.watch && known.is_some() => {
                screen.complain(&words);
                Clock::wall().sleep(PAUSE).await;
                continue;
            }
            Err(words) => return complained(&words, screen),
        };
        if answer.status() != StatusCode::NOT_MODIFIED {
            let text = String::from_utf8_lossy(answer.body());
            let printed = if wanted.watch && !wanted.json {
                screen.repaint(&text)
            } else {
                screen.result(&text)
            };
            if printed != Exit::InStep {
                return printed;
            }
        }
        if !wanted.watch {
            return state_of(answer.headers()).into();
        }
        known = text(answer.headers(), "etag");
        Clock::wall().sleep(MOMENT).await;
    }
}

fn sort(wanted: Wanted) -> &'static str {
    if wanted.json {
        "application/json"
    } else {
        "text/plain"
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn state_of(headers: &HeaderMap) -> State {
    let word = text(headers, STATE).unwrap_or_default();
    serde_json::from_value(Value::String(word)).unwrap_or(State::Unknown)
}

async fn listed(api: &Api, wanted: Wanted, screen: &Screen) -> Exit {
    let json = [("accept", "application/json".to_owned())];
    let answer = api
        .asked(Method::GET, "/api/v1/environments", &json, String::new())
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(words) => return complained(&words, screen),
    };
    if wanted.json {
        return screen.result(&String::from_utf8_lossy(answer.body()));
    }
    let list: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let word = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let longest = items
        .iter()
        .map(|item| word(item, "environment").chars().count());
    let longest = longest.max().unwrap_or_default();
    let mut lines = String::new();
    for item in items {
        let name = word(item, "environment");
        let state = word(item, "state");
        let _ = writeln!(
            lines,
            "{name:longest$}  {state:11}  {}",
            word(item, "message")
        );
    }
    if items.is_empty() {
        lines.push_str("this controller leads no environment\n");
    }
    screen.result(&lines)
}
