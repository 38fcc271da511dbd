//! The page, for a phone at night: what every page has around it, its addresses, its script and its looks.

mod environment;
mod events;
mod list;
mod overview;
mod services;

pub(super) use environment::environment;
pub(super) use overview::overview;

use super::markup::Markup;
use crate::status::State;
use crate::status::text::when;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a page knows of who reads it and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat<'a> {
    /// Changes with what is shown.
    pub(super) tag: &'a str,
    /// The present moment.
    pub(super) now: Timestamp,
    /// Whether readers log in.
    pub(super) has_lock: bool,
}

/// How bad it is, in a colour, a sign and a word: no one of them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Busy,
    Warn,
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Busy => "…",
            Tone::Warn => "!",
            Tone::Bad => "✗",
        }
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::InStep => Tone::Good,
        State::Progressing => Tone::Busy,
        State::OutOfStep | State::Held | State::Unknown => Tone::Warn,
        State::Degraded => Tone::Bad,
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::InStep => "in step",
        State::Progressing => "progressing",
        State::OutOfStep => "out of step",
        State::Held => "held",
        State::Degraded => "degraded",
        State::Unknown => "unknown",
    }
}

/// Signs that mean something in a path or a query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Words as a part of an address.
pub(super) fn encoded(words: &str) -> String {
    utf8_percent_encode(words, PATH).to_string()
}

/// The page of an environment, also of one that is called as one of our own addresses.
pub(super) fn path_of(environment: &str) -> String {
    let own = [
        "",
        ".",
        "..",
        "login",
        "logout",
        "metrics",
        "healthz",
        "readyz",
        "favicon.ico",
    ];
    if own.contains(&environment) {
        return format!("/environments/{}", encoded(environment));
    }
    format!("/{}", encoded(environment))
}

/// A path of ours and of nobody else's, to go to after a login.
pub(super) fn own_path(to: Option<&str>) -> &str {
    let is_ours = |to: &&str| {
        let mut signs = to.bytes();
        signs.next() == Some(b'/')
            && signs.next() != Some(b'/')
            && to
                .bytes()
                .all(|sign| sign.is_ascii_graphic() && sign != b'\\')
    };
    to.filter(is_ours).unwrap_or("/")
}

/// A file of the page's own, with its type.
pub(super) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    let icon = "image/svg+xml";
    match name {
        "page.css" => Some(("text/css; charset=utf-8", include_str!("page.css"))),
        "page.js" => Some(("text/javascript; charset=utf-8", include_str!("page.js"))),
        "good.svg" => Some((icon, include_str!("good.svg"))),
        "busy.svg" => Some((icon, include_str!("busy.svg"))),
        "warn.svg" => Some((icon, include_str!("warn.svg"))),
        "bad.svg" => Some((icon, include_str!("bad.svg"))),
        _ => None,
    }
}

/// A page around its main part.
fn framed(title: &str, tone: Tone, follows: bool, main: &Markup) -> String {
    let mut out = Markup::default();
    out.html("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .html("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .html("<meta name=\"color-scheme\" content=\"light dark\">\n<title>")
        .text(format!("{} {title}", tone.sign()))
        .html("</title>\n<link rel=\"icon\" id=\"icon\" type=\"image/svg+xml\" href=\"/assets/")
        .html(tone.class())
        .html(".svg\">\n<link rel=\"stylesheet\" href=\"/assets/page.css\">\n");
    if follows {
        out.html("<script src=\"/assets/page.js\" defer></script>\n")
            .html("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>\n");
    }
    out.html("</head>\n<body>\n").piece(main);
    if follows {
        out.html("<p id=\"line\" role=\"status\" hidden></p>\n");
    }
    out.html("</body>\n</html>\n");
    out.into_string()
}

/// A moment, which the script keeps true.
fn moment(out: &mut Markup, at: &str, now: Timestamp) {
    match at.parse::<Timestamp>() {
        Ok(time) => {
            out.html("<time datetime=\"").text(time);
            out.html("\">").text(when(time, now)).html("</time>");
        }
        Err(_) => {
            out.text(at);
        }
    }
}

/// Words with their `commands` set apart.
fn words(out: &mut Markup, words: &str) {
    let parts: Vec<&str> = words.split('`').collect();
    // A lone sign is nothing but itself.
    if parts.len().is_multiple_of(2) {
        out.text(words);
        return;
    }
    for (position, part) in parts.iter().enumerate() {
        if position.is_multiple_of(2) {
            out.text(part);
        } else {
            out.html("<code>").text(part).html("</code>");
        }
    }
}

/// Where nothing is.
pub(super) fn missing(name: &str) -> String {
    let mut main = Markup::default();
    main.html("<nav aria-label=\"pages\"><a href=\"/\">all environments</a></nav>\n<main>\n<h1>")
        .text(name)
        .html("</h1>\n<p class=\"lead\">There is no such environment here, or nobody has looked at it yet.</p>\n</main>\n");
    framed(name, Tone::Warn, false, &main)
}

/// Where a reader shows the token.
pub(super) fn login(to: &str, was_wrong: bool) -> String {
    let mut main = Markup::default();
    main.html("<main class=\"login\">\n<h1>reconciler</h1>\n<form method=\"post\" action=\"/login\">\n")
        .html("<input type=\"hidden\" name=\"to\" value=\"")
        .text(to)
        .html("\">\n<input name=\"user\" autocomplete=\"username\" value=\"reconciler\" hidden>\n<label for=\"token\">Token</label>\n")
        .html("<input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus")
        .html(" aria-describedby=\"hint\">\n<button>Log in</button>\n<p id=\"hint\">");
    main.html(if was_wrong {
        "<strong class=\"bad\">✗ This is not the token.</strong> It is what the controller was started with as <code>RECONCILER_HTTP_TOKEN</code>."
    } else {
        "It is what the controller was started with as <code>RECONCILER_HTTP_TOKEN</code>."
    });
    main.html("</p>\n</form>\n</main>\n");
    framed("log in", Tone::Busy, false, &main)
}

/// What comes before a page for somebody who followed a link: the same address once more, from here.
pub(super) fn again() -> String {
    let page = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" content=\"0\">\n<title>reconciler</title>\n</head>\n<body></body>\n</html>\n";
    page.to_owned()
}
