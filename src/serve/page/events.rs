//! What happened in an environment, the newest first.

use super::super::markup::Markup;
use super::super::metrics::short;
use super::list::{close, listed, open};
use super::{Seat, Tone, moment, words};
use crate::status::event::{About, Event, What};
use std::sync::Arc;

/// How many are open; the rest is behind a line that opens it.
const OPEN: usize = 8;

pub(super) fn happened(out: &mut Markup, events: &[Arc<Event>], controller: &str, seat: &Seat<'_>) {
    if events.is_empty() {
        return;
    }
    open(out, "EVENTS", Tone::Good);
    let all = (OPEN, events.len());
    listed(out, ("events", "EVENTS"), events, all, |out, event| {
        moment(out, &event.at.to_string(), seat.now);
        let tone = match event.what.about() {
            About::Failure | About::Health => match event.what {
                What::RolledBack { .. } => Tone::Warn,
                _ => Tone::Bad,
            },
            About::Hold | About::Drift => Tone::Warn,
            About::Recovery => Tone::Good,
            About::Progress => Tone::Busy,
        };
        out.html("<span class=\"kind ")
            .html(tone.class())
            .html("\">")
            .text(spaced(event.what.word()))
            .html("</span><span class=\"words\">");
        words(out, &what(&event.what));
        if controller.starts_with(&event.by) {
            out.html("</span>");
            return;
        }
        out.html(" <span class=\"quiet\">")
            .text(&event.by)
            .html("</span></span>");
    });
    close(out);
}

/// `notAccepted` as `not accepted`.
fn spaced(word: &str) -> String {
    let mut out = String::new();
    for sign in word.chars() {
        if sign.is_ascii_uppercase() {
            out.push(' ');
        }
        out.push(sign.to_ascii_lowercase());
    }
    out
}

fn what(what: &What) -> String {
    match what {
        What::Accepted { author, subject } => format!("“{subject}” by {author}"),
        What::NotAccepted { commit, reason, .. } => format!("{}: {reason}", short(commit)),
        What::Made { steps, result } => format!("{} · {result}", steps.join(" · ")),
        What::InStep { took_seconds } => took_seconds
            .map(|seconds| format!("after {seconds} s"))
            .unwrap_or_default(),
        What::Held { what, reason, .. } | What::Failed { what, reason, .. } => {
            format!("{what}: {reason}")
        }
        What::Released { what, .. } => what.clone(),
        What::Drifted { what, who, .. } => match who {
            Some(who) => format!("{what} by {who}"),
            None => what.clone(),
        },
        What::Fought { what, times } => format!("{what} flipped {times} times"),
        What::Unhealthy { service, reason } => format!("{service}: {reason}"),
        What::Healthy { service } => service.clone(),
        What::RolledBack { service, from, to } => format!("{service} {from} → {to}"),
        What::Unseen { reason } | What::Suspended { reason, .. } => reason.clone(),
        What::Seen | What::Resumed => String::new(),
        What::Overdue { name } => format!("{name} is closed for longer than it was to be"),
        What::Led { epoch } => format!("epoch {epoch}"),
    }
}
