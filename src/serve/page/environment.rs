//! One environment, in the order of the questions at night: how bad and since when, what goes on, who must act, what is closed, each service, who changed what, the way back.

use super::super::api;
use super::super::markup::Markup;
use super::super::metrics::short;
use super::events::happened;
use super::list::{close, listed, open};
use super::services::{queues, services};
use super::{Seat, Tone, framed, moment, path_of, tone, word, words};
use crate::status::event::Event;
use crate::status::summary::Summary;
use crate::status::view::{Condition, ConditionKind, NotAccepted, Truth, View};
use crate::status::{Closed, Drift, Item, Status};
use jiff::Timestamp;
use std::sync::Arc;

/// How much of a list is open; the rest is behind a line that opens it.
const OPEN_ITEMS: usize = 10;
/// How much of a list a page has at all.
const MOST_ITEMS: usize = 200;

/// The page. `told` is how an order ended that was just given.
pub(in super::super) fn environment(
    view: &View,
    events: &[Arc<Event>],
    told: Option<&str>,
    seat: &Seat<'_>,
) -> String {
    let state = view.state();
    let tone = match tone(state) {
        Tone::Good | Tone::Busy if view.not_accepted.is_some() => Tone::Warn,
        tone => tone,
    };
    let mut main = Markup::default();
    main.html("<nav aria-label=\"pages\"><a href=\"/\">all environments</a></nav>\n<main id=\"main\" data-tag=\"")
        .text(seat.tag)
        .html("\" data-tone=\"")
        .html(tone.class())
        .html("\">\n");
    heading(&mut main, view, tone, seat);
    if let Some(status) = &view.status {
        now_next_held(&mut main, view, status, seat);
        closed(&mut main, &status.closed, seat);
        services(&mut main, view, status, seat);
        queues(&mut main, status);
        drift(&mut main, &status.drift, seat);
        notes(&mut main, status);
    } else {
        not_in_force(&mut main, view.not_accepted.as_ref(), seat);
    }
    undo(&mut main, view);
    conditions(&mut main, view, seat);
    happened(&mut main, events, &view.controller, seat);
    main.html("</main>\n");
    orders(&mut main, view, told, seat);
    framed(
        &format!("{} · {}", view.environment, word(state)),
        tone,
        true,
        &main,
    )
}

fn heading(out: &mut Markup, view: &View, tone: Tone, seat: &Seat<'_>) {
    let summary = Summary::of(view);
    out.html("<header class=\"head\">\n<h1>")
        .text(&view.environment)
        .html("</h1>\n<p class=\"state ")
        .html(tone.class())
        .html("\"><span class=\"sign\" aria-hidden=\"true\">")
        .html(tone.sign())
        .html("</span> <strong>")
        .text(word(summary.state))
        .html("</strong>");
    if let Some(since) = &summary.since {
        out.html(" <span class=\"since\">since ");
        moment(out, since, seat.now);
        out.html("</span>");
    }
    out.html("</p>\n");
    if !summary.message.is_empty() {
        out.html("<p class=\"lead\">");
        words(out, &summary.message);
        out.html("</p>\n");
    }
    if let Some(commit) = &view.commit {
        out.html("<p class=\"meta\"><code>")
            .text(short(&commit.id))
            .html("</code> by ")
            .text(&commit.author)
            .html(", ");
        moment(out, &commit.at, seat.now);
        out.html(" “").text(&commit.subject).html("”</p>\n");
    }
    out.html("<p class=\"meta quiet\">");
    if let Some(looked_at) = &view.looked_at {
        out.html("seen ");
        moment(out, looked_at, seat.now);
        out.html(" by ");
    }
    out.text(&view.controller);
    if let Some(next) = &view.next_look_at {
        out.html(" · next look <span id=\"next\"")
            .html(if is_late(next, seat.now) {
                " class=\"late\">"
            } else {
                ">"
            });
        moment(out, next, seat.now);
        out.html("</span>");
    }
    if let Some(railway) = view
        .status
        .as_ref()
        .and_then(|status| status.railway.as_ref())
    {
        out.html(" · ")
            .text(&railway.project.name)
            .html(" / ")
            .text(&railway.environment.name);
    }
    out.html("</p>\n</header>\n");
    if let Some(suspended) = &view.suspended {
        open(out, "SUSPENDED", Tone::Warn);
        out.html("<p><b>Only looked at</b> <span class=\"why\">")
            .text(&suspended.reason)
            .html("</span></p>\n<p class=\"quiet\">by ")
            .text(&suspended.by)
            .html(", ");
        moment(out, &suspended.since, seat.now);
        if let Some(until) = &suspended.until {
            out.html(" · until ");
            moment(out, until, seat.now);
        }
        out.html("</p>\n");
        close(out);
    }
}

/// A look that should have been taken some time ago: whoever takes them is stuck.
fn is_late(next: &str, now: Timestamp) -> bool {
    const LATE: i64 = 120;
    next.parse()
        .is_ok_and(|next: Timestamp| now.as_second() - next.as_second() > LATE)
}

fn now_next_held(out: &mut Markup, view: &View, status: &Status, seat: &Seat<'_>) {
    items(out, "NOW", Tone::Busy, &status.now, seat);
    items(out, "NEXT", Tone::Busy, &status.next, seat);
    items(out, "HELD", Tone::Warn, &status.held, seat);
    not_in_force(out, view.not_accepted.as_ref(), seat);
    if !status.unseen.is_empty() {
        items(out, "UNSEEN", Tone::Warn, &status.unseen, seat);
    }
}

fn items(out: &mut Markup, title: &'static str, tone: Tone, items: &[Item], seat: &Seat<'_>) {
    if items.is_empty() {
        out.html("<section class=\"row none\">\n<h2>")
            .html(title)
            .html("</h2>\n<div><p>nothing</p></div>\n</section>\n");
        return;
    }
    open(out, title, tone);
    listed(
        out,
        ("items", title),
        items,
        (OPEN_ITEMS, MOST_ITEMS),
        |out, item| {
            out.html("<p><b>");
            words(out, &item.what);
            out.html("</b> <span class=\"why\">");
            words(out, &item.why);
            out.html("</span>");
            if let Some(deadline) = &item.deadline {
                out.html(" <span class=\"quiet\">· at the latest ");
                moment(out, deadline, seat.now);
                out.html("</span>");
            }
            out.html("</p>");
            if let Some(way_out) = &item.way_out {
                way(out, way_out);
            }
        },
    );
    close(out);
}

fn way(out: &mut Markup, way_out: &str) {
    out.html("<p class=\"way\"><span>way out</span> ");
    words(out, way_out);
    out.html("</p>");
}

fn not_in_force(out: &mut Markup, newest: Option<&NotAccepted>, seat: &Seat<'_>) {
    let Some(newest) = newest else {
        return;
    };
    open(out, "NOT IN FORCE", Tone::Warn);
    out.html("<p><b>")
        .text(api::commit_words(&newest.commit))
        .html(" “")
        .text(&newest.commit.subject)
        .html("”</b> <span class=\"why\">");
    words(out, &newest.reason);
    out.html("</span> <span class=\"quiet\">· ");
    moment(out, &newest.commit.at, seat.now);
    out.html("</span></p>\n");
    way(out, &newest.way_out);
    if !newest.problems.is_empty() {
        listed(
            out,
            ("problems", "problems"),
            &newest.problems,
            (OPEN_ITEMS, MOST_ITEMS),
            |out, problem| {
                out.html("<code>").text(problem).html("</code>");
            },
        );
    }
    close(out);
}

fn closed(out: &mut Markup, closed: &[Closed], seat: &Seat<'_>) {
    if closed.is_empty() {
        return;
    }
    let is_overdue = closed.iter().any(|closed| closed.is_overdue);
    open(
        out,
        "CLOSED",
        if is_overdue { Tone::Bad } else { Tone::Warn },
    );
    listed(
        out,
        ("items", "CLOSED"),
        closed,
        (OPEN_ITEMS, MOST_ITEMS),
        |out, closed| {
            out.html("<p><b>")
                .text(&closed.name)
                .html("</b> ")
                .text(closed.services.join(", "));
            if let Some(reason) = &closed.reason {
                out.html(" <span class=\"why\">because ")
                    .text(reason)
                    .html("</span>");
            }
            if !closed.is_in_place {
                out.html(" <strong class=\"warn\">! not closed yet</strong>");
            }
            if let Some(until) = &closed.until {
                if closed.is_overdue {
                    out.html(
                        " <strong class=\"bad\">✗ overdue</strong> <span class=\"quiet\">since ",
                    );
                } else {
                    out.html(" <span class=\"quiet\">alarm ");
                }
                moment(out, until, seat.now);
                out.html("</span>");
            }
            out.html("</p>");
        },
    );
    close(out);
}

fn drift(out: &mut Markup, drift: &[Drift], seat: &Seat<'_>) {
    if drift.is_empty() {
        return;
    }
    open(out, "DRIFT", Tone::Warn);
    listed(
        out,
        ("items", "DRIFT"),
        drift,
        (OPEN_ITEMS, MOST_ITEMS),
        |out, drift| {
            out.html("<p><b>");
            words(out, &drift.what);
            out.html("</b> <span class=\"why\">");
            match &drift.by {
                Some(by) => out.html("by ").text(by),
                None => out.html("outside of git"),
            };
            out.html(", ");
            moment(out, &drift.at, seat.now);
            if let Some(message) = &drift.message {
                out.html(" “").text(message).html("”");
            }
            out.html("</span></p>");
        },
    );
    close(out);
}

fn notes(out: &mut Markup, status: &Status) {
    if status.notes.is_empty() && status.unmanaged.is_empty() {
        return;
    }
    open(out, "NOTES", Tone::Good);
    let unmanaged = (!status.unmanaged.is_empty()).then(|| {
        let names = crate::kinds::shown::few(&status.unmanaged, 10);
        format!("not managed: {names}")
    });
    let all: Vec<&String> = status.notes.iter().chain(&unmanaged).collect();
    listed(
        out,
        ("items", "NOTES"),
        &all,
        (OPEN_ITEMS, MOST_ITEMS),
        |out, note| {
            out.html("<p>");
            words(out, note);
            out.html("</p>");
        },
    );
    close(out);
}

fn undo(out: &mut Markup, view: &View) {
    let Some(commit) = &view.commit else {
        return;
    };
    open(out, "UNDO", Tone::Good);
    out.html("<p><code class=\"command\">git revert ")
        .text(short(&commit.id))
        .html("</code> <span class=\"quiet\">and push; what that would do: <code>reconciler diff</code></span></p>\n");
    close(out);
}

fn conditions(out: &mut Markup, view: &View, seat: &Seat<'_>) {
    if view.conditions.is_empty() {
        return;
    }
    open(out, "CONDITIONS", Tone::Good);
    out.html("<details id=\"conditions\"><summary>");
    for (position, condition) in view.conditions.iter().enumerate() {
        if position > 0 {
            out.html(" · ");
        }
        let tone = condition_tone(condition);
        out.html("<span class=\"")
            .html(tone.class())
            .html("\">")
            .text(format!("{:?} {:?}", condition.kind, condition.status))
            .html("</span>");
    }
    out.html("</summary>\n<ul class=\"items\">\n");
    for condition in &view.conditions {
        out.html("<li><p><b>")
            .text(format!("{:?} {:?}", condition.kind, condition.status))
            .html("</b> ")
            .text(&condition.reason)
            .html(" <span class=\"why\">");
        words(out, &condition.message);
        out.html("</span> <span class=\"quiet\">since ");
        moment(out, &condition.last_transition_time, seat.now);
        out.html("</span></p></li>\n");
    }
    out.html("</ul>\n</details>\n");
    close(out);
}

/// For some of them it is bad to hold, for others not to.
fn condition_tone(condition: &Condition) -> Tone {
    let is_good = match condition.kind {
        ConditionKind::Ready | ConditionKind::Synced | ConditionKind::Healthy => Truth::True,
        ConditionKind::Progressing | ConditionKind::Stalled | ConditionKind::Suspended => {
            Truth::False
        }
    };
    match condition.status {
        Truth::Unknown => Tone::Warn,
        status if status == is_good => Tone::Good,
        _ if condition.kind == ConditionKind::Progressing => Tone::Busy,
        _ if condition.kind == ConditionKind::Suspended => Tone::Warn,
        _ => Tone::Bad,
    }
}

/// What a reader can ask of the controller. Outside of what the script replaces: nobody loses half a sentence.
fn orders(out: &mut Markup, view: &View, told: Option<&str>, seat: &Seat<'_>) {
    let path = format!("/api/v1/environments/{}", super::encoded(&view.environment));
    let begin = |out: &mut Markup, order: &'static str| {
        out.html("<form method=\"post\" action=\"")
            .text(&path)
            .html("/")
            .html(order)
            .html("\">");
    };
    out.html("<footer aria-label=\"orders\">\n");
    if let Some(told) = told {
        out.html("<p class=\"told\" role=\"status\">")
            .text(told)
            .html(" <a href=\"")
            .text(path_of(&view.environment))
            .html("\">dismiss</a></p>\n");
    }
    begin(out, "reconcile");
    out.html("<button>Look now</button></form>\n<details id=\"suspend\"><summary>Suspend or resume</summary>\n");
    begin(out, "suspend");
    out.html("<label>Why <input name=\"reason\" required maxlength=\"300\"></label> <label>Who <input name=\"by\" required maxlength=\"100\" autocomplete=\"name\"></label> <button>Suspend</button></form>\n");
    begin(out, "resume");
    out.html("<label>Who <input name=\"by\" required maxlength=\"100\" autocomplete=\"name\"></label> <button>Resume</button></form>\n</details>\n");
    if seat.has_lock {
        out.html("<form method=\"post\" action=\"/logout\"><button class=\"plain\">Log out</button></form>\n");
    }
    out.html("</footer>\n");
}
