//! All environments on one page, the worst first.

use super::super::api;
use super::super::markup::Markup;
use super::{Seat, Tone, framed, moment, path_of, tone, word, words};
use crate::status::State;
use crate::status::summary::Summary;
use std::sync::Arc;

/// How many environments the page lists; the others are found by a part of their name.
const MOST_ROWS: usize = 200;

/// The page.
pub(in super::super) fn overview(all: &[Arc<Summary>], find: &str, seat: &Seat<'_>) -> String {
    let mut all: Vec<&Summary> = all.iter().map(Arc::as_ref).collect();
    all.sort_by_key(|one| rank(one));
    let worst = all.first().map_or(Tone::Good, |one| tone_of(one));
    let found: Vec<&Summary> = all
        .iter()
        .copied()
        .filter(|one| one.environment.contains(find))
        .collect();
    let shown = found.get(..MOST_ROWS).unwrap_or(&found);
    let more = found.len() - shown.len();

    let mut main = Markup::default();
    main.html("<main id=\"main\" data-tag=\"")
        .text(seat.tag)
        .html("\" data-tone=\"")
        .html(worst.class())
        .html("\">\n<header class=\"head\">\n<h1>Environments</h1>\n");
    counts(&mut main, &all);
    main.html("</header>\n");
    if all.is_empty() {
        main.html("<p class=\"lead\">Nobody has looked at one yet.</p>\n");
    }
    if all.len() > MOST_ROWS || !find.is_empty() {
        main.html("<form class=\"find\" method=\"get\" action=\"/\" role=\"search\"><label for=\"find\">Find</label> <input id=\"find\" name=\"find\" value=\"")
            .text(find)
            .html("\" placeholder=\"a part of the name\"></form>\n");
    }
    main.html("<ol class=\"environments\">\n");
    for one in shown {
        row(&mut main, one, seat);
    }
    main.html("</ol>\n");
    if more > 0 {
        main.html("<p class=\"quiet\">and ")
            .text(more)
            .html(" more that stand no worse</p>\n");
    }
    main.html("</main>\n");
    if seat.has_lock {
        main.html("<footer><form method=\"post\" action=\"/logout\"><button class=\"plain\">Log out</button></form></footer>\n");
    }
    framed("environments", worst, true, &main)
}

/// The worst first. They come by name, and those that are alike stay so.
fn rank(one: &Summary) -> u8 {
    match one.state {
        State::Degraded => 0,
        State::Unknown => 1,
        State::Held => 2,
        _ if one.is_behind => 3,
        State::OutOfStep => 4,
        State::Progressing => 5,
        State::InStep if one.is_suspended => 6,
        State::InStep => 7,
    }
}

fn tone_of(one: &Summary) -> Tone {
    match tone(one.state) {
        Tone::Good | Tone::Busy if one.is_behind => Tone::Warn,
        tone => tone,
    }
}

fn counts(out: &mut Markup, all: &[&Summary]) {
    out.html("<ul class=\"counts\">\n");
    let states = [
        State::Degraded,
        State::Unknown,
        State::Held,
        State::OutOfStep,
        State::Progressing,
        State::InStep,
    ];
    for state in states {
        let count = all.iter().filter(|one| one.state == state).count();
        if count > 0 {
            out.html("<li class=\"")
                .html(tone(state).class())
                .html("\"><b>")
                .text(count)
                .html("</b> ")
                .text(word(state))
                .html("</li>\n");
        }
    }
    out.html("</ul>\n");
}

fn row(out: &mut Markup, one: &Summary, seat: &Seat<'_>) {
    let tone = tone_of(one);
    out.html("<li class=\"")
        .html(tone.class())
        .html("\"><a href=\"")
        .text(path_of(&one.environment))
        .html("\"><span class=\"sign\" aria-hidden=\"true\">")
        .html(tone.sign())
        .html("</span><span class=\"name\">")
        .text(&one.environment)
        .html("</span><span class=\"word\">")
        .text(word(one.state));
    if one.is_suspended {
        out.html(" · suspended");
    }
    if one.is_behind {
        out.html(" · newest commit not in force");
    }
    out.html("</span></a>");
    if one.state != State::InStep {
        out.html("<p>");
        words(out, &one.message);
        out.html("</p>");
    }
    out.html("<p class=\"quiet\">");
    if let Some(since) = &one.since {
        out.html("since ");
        moment(out, since, seat.now);
    }
    if let Some(commit) = &one.commit {
        out.html(" · <span class=\"id\">")
            .text(api::commit_words(commit))
            .html("</span>");
    }
    out.html("</p></li>\n");
}
