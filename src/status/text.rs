//! A status as people read it at night: how bad it is first, then what goes on, who must act, what is closed, each service, and who changed what.

use super::queues::{QueueStatus, RedisStatus};
use super::view::ServiceHealth;
use super::view::View;
use super::{Closed, Drift, Health, Item, ServiceStatus, State, Status};
use crate::kinds::shown::{few, one_line, rough};
use crate::plan::text::Look;
use crate::wrap::{fill, wrapped};
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// The status as text.
pub fn text(status: &Status, now: Timestamp, look: Look) -> String {
    let mut out = String::new();
    heading(&mut out, status, look);
    body(&mut out, status, now, look);
    out
}

/// What a controller knows of an environment as text: its status, and what only a controller knows.
pub fn view(view: &View, now: Timestamp, look: Look) -> String {
    let mut out = String::new();
    match &view.status {
        Some(status) => heading(&mut out, status, look),
        None => fill(&mut out, &view.environment, 0, "  ", look.width),
    }
    let mut say = |word: &str, words: &str, color| line(&mut out, word, words, color, look);
    if let Some(commit) = &view.commit {
        let id = commit.id.get(..7).unwrap_or(&commit.id);
        let words = format!("{id} by {}: {}", commit.author, commit.subject);
        say("COMMIT", &one_line(&words), AnsiColor::Blue);
    }
    if let Some(refused) = &view.not_accepted {
        let id = refused.commit.id.get(..7).unwrap_or(&refused.commit.id);
        let words = format!("{id} is not in force: {}", refused.reason);
        say("REFUSED", &one_line(&words), AnsiColor::Red);
        say(
            "",
            &format!("way out: {}", one_line(&refused.way_out)),
            AnsiColor::Red,
        );
    }
    if let Some(suspended) = &view.suspended {
        let until = suspended.until.as_deref().and_then(|at| at.parse().ok());
        let until = until.map(|at| format!(" · until {}", when(at, now)));
        let since = suspended.since.parse().map(|at| when(at, now));
        let words = format!(
            "by {}, {}: {}{}",
            one_line(&suspended.by),
            since.unwrap_or_default(),
            one_line(&suspended.reason),
            until.unwrap_or_default()
        );
        say("SUSPENDED", &words, AnsiColor::Yellow);
        let way_out = format!("way out: reconciler resume {}", view.environment);
        say("", &way_out, AnsiColor::Yellow);
    }
    if let Some(status) = &view.status {
        body(&mut out, status, now, look);
    }
    for health in view
        .health
        .iter()
        .filter(|health| health.is_healthy == Some(false))
    {
        let since = health.since.as_deref().and_then(|at| at.parse().ok());
        let since = since.map(|at| format!(", since {}", when(at, now)));
        let words = format!(
            "{} answers {}{}",
            health.service,
            one_line(&health.words),
            since.unwrap_or_default()
        );
        line(&mut out, "HEALTH", &words, AnsiColor::Red, look);
    }
    let next = view.next_look_at.as_deref().and_then(|at| at.parse().ok());
    let next = next.map(|at| format!(" · looks again {}", when(at, now)));
    let words = format!("{}{}", one_line(&view.controller), next.unwrap_or_default());
    line(&mut out, "by", &words, AnsiColor::Blue, look);
    out
}

fn body(out: &mut String, status: &Status, now: Timestamp, look: Look) {
    if let Some(only) = &status.reports_only {
        line(
            out,
            "REPORTS",
            &format!("only: {}", only.why),
            AnsiColor::Yellow,
            look,
        );
        let way_out = format!("way out: {}", only.way_out);
        wrapped(out, &way_out, INDENT, DEEPER, look.width);
    }
    if let Some(frozen) = &status.frozen {
        let until = frozen.until.parse().map(|at| when(at, now));
        let waiting = match frozen.waiting {
            0 => String::new(),
            1 => " · 1 step waits".to_owned(),
            many => format!(" · {many} steps wait"),
        };
        let words = format!(
            "{} · until {}{waiting}",
            frozen.window,
            until.unwrap_or_default()
        );
        line(out, "FROZEN", &words, AnsiColor::Cyan, look);
    }
    for item in &status.now {
        // What waits for its time says when that is.
        let deadline = item.deadline.as_deref().filter(|_| item.rule.is_none());
        let deadline = deadline.and_then(|at| at.parse().ok());
        let at_most = deadline.map(|at| format!(" · by {}", when(at, now)));
        let words = format!("{}: {}{}", item.what, item.why, at_most.unwrap_or_default());
        line(out, "NOW", &words, AnsiColor::Cyan, look);
    }
    for item in &status.held {
        line(out, "HELD", &held(item), AnsiColor::Yellow, look);
        if let Some(way_out) = &item.way_out {
            let way_out = format!("way out: {way_out}");
            wrapped(out, &way_out, INDENT, DEEPER, look.width);
        }
    }
    for item in &status.unseen {
        line(out, "UNSEEN", &held(item), AnsiColor::Yellow, look);
    }
    for item in &status.next {
        let words = format!("{}   {}", item.what, item.why);
        line(out, "NEXT", &words, AnsiColor::Green, look);
    }
    for closed in &status.closed {
        let color = if closed.is_overdue {
            AnsiColor::Red
        } else {
            AnsiColor::Yellow
        };
        line(out, "CLOSED", &closed_words(closed, now), color, look);
    }
    services(out, &status.services, now, look);
    redis(out, &status.redis, look);
    queues(out, &status.queues, look);
    for drift in &status.drift {
        line(
            out,
            "drift",
            &drift_words(drift, now),
            AnsiColor::Yellow,
            look,
        );
    }
    if !status.unmanaged.is_empty() {
        let words = format!("not managed: {}", few(&status.unmanaged, 10));
        line(out, "note", &words, AnsiColor::Blue, look);
    }
    for note in &status.notes {
        line(out, "note", note, AnsiColor::Blue, look);
    }
}

fn heading(out: &mut String, status: &Status, look: Look) {
    let (word, color) = match status.state {
        State::InStep => ("IN STEP", AnsiColor::Green),
        State::Progressing => ("PROGRESSING", AnsiColor::Cyan),
        State::OutOfStep => ("OUT OF STEP", AnsiColor::Yellow),
        State::Held => ("HELD", AnsiColor::Yellow),
        State::Degraded => ("DEGRADED", AnsiColor::Red),
        State::Unknown => ("UNKNOWN", AnsiColor::Yellow),
    };
    let style = style(color, look);
    let opening = format!("{}   ", status.environment);
    let _ = write!(out, "{opening}{style}{word}{style:#}");
    let mut rest = String::new();
    if let Some(railway) = &status.railway {
        let (project, environment) = (&railway.project.name, &railway.environment.name);
        let _ = write!(rest, " · {} / {}", one_line(project), one_line(environment));
    }
    let _ = write!(rest, " · seen {}", status.seen_at);
    fill(out, &rest, opening.width() + word.len(), "  ", look.width);
}

fn held(item: &Item) -> String {
    format!("{}: {}", item.what, item.why)
}

fn closed_words(closed: &Closed, now: Timestamp) -> String {
    let mut words = format!("{}: {}", closed.name, closed.services.join(", "));
    if let Some(reason) = &closed.reason {
        let _ = write!(words, " · {reason}");
    }
    if !closed.is_in_place {
        words.push_str(" · not closed yet");
    }
    if let Some(until) = closed.until.as_deref().and_then(|at| at.parse().ok()) {
        let until = when(until, now);
        let _ = if closed.is_overdue {
            write!(words, " · OVERDUE since {until}")
        } else {
            write!(words, " · alarm {until}")
        };
    }
    words
}

fn services(out: &mut String, services: &[ServiceStatus], now: Timestamp, look: Look) {
    let column = |cell: fn(&ServiceStatus) -> &str| {
        let widths = services.iter().map(|service| cell(service).width());
        widths.max().unwrap_or(0).min(WIDEST)
    };
    let runs = |service: &ServiceStatus| service.runs.as_deref().unwrap_or("-").to_owned();
    let widths = [
        column(|service| &service.name),
        column(|service| service.runs.as_deref().unwrap_or("-")),
        column(|service| service.replicas.as_deref().unwrap_or("-")),
    ];
    for service in services {
        let color = match service.health {
            Health::Healthy => AnsiColor::Green,
            Health::Deploying => AnsiColor::Cyan,
            Health::Stopped | Health::NotRunning | Health::Unknown => AnsiColor::Yellow,
            Health::Failed | Health::Missing => AnsiColor::Red,
        };
        let since = service.since.as_deref().and_then(|at| at.parse().ok());
        let since = since.map(|at| format!(" · {}", when(at, now)));
        let replicas = service.replicas.as_deref().unwrap_or("-");
        let cells = [&service.name, &runs(service), replicas];
        let mut row = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let space = width.saturating_sub(cell.width()) + 2;
            let _ = write!(row, "{cell}{}", " ".repeat(space));
        }
        let answers = service.answers.as_ref();
        let is_unhealthy = answers.is_some_and(|answers| answers.is_healthy == Some(false));
        let words = format!(
            "{}{}{}",
            service.words,
            since.unwrap_or_default(),
            answers
                .map(|answers| answers_words(answers, now))
                .unwrap_or_default()
        );
        let color = if is_unhealthy { AnsiColor::Red } else { color };
        let style = style(color, look);
        let mark = if service.health == Health::Healthy && !is_unhealthy {
            "✓"
        } else {
            "✗"
        };
        let mark = if service.health == Health::Deploying {
            "…"
        } else {
            mark
        };
        let _ = write!(out, "  {style}{mark}{style:#} ");
        let row = format!("{row}{words}");
        fill(out, &row, 4, INDENT, look.width);
    }
}

fn redis(out: &mut String, servers: &[RedisStatus], look: Look) {
    let widths = servers.iter().map(|server| server.name.width());
    let width = widths.max().unwrap_or(0).min(WIDEST);
    for server in servers {
        row(
            out,
            (&server.name, width),
            &server.words,
            server.is_well,
            look,
        );
    }
}

fn queues(out: &mut String, queues: &[QueueStatus], look: Look) {
    let widths = queues.iter().map(|queue| queue.name.width());
    let width = widths.max().unwrap_or(0).min(WIDEST);
    for queue in queues {
        row(out, (&queue.name, width), &queue.words, queue.is_well, look);
    }
}

/// A line with a sign, a name and words.
fn row(out: &mut String, (name, width): (&str, usize), words: &str, is_well: bool, look: Look) {
    let (mark, color) = if is_well {
        ("✓", AnsiColor::Green)
    } else {
        ("✗", AnsiColor::Yellow)
    };
    let style = style(color, look);
    let _ = write!(out, "  {style}{mark}{style:#} ");
    let space = width.saturating_sub(name.width()) + 2;
    let row = format!("{name}{}{words}", " ".repeat(space));
    fill(out, &row, 4, INDENT, look.width);
}

fn answers_words(answers: &ServiceHealth, now: Timestamp) -> String {
    let since = answers.since.as_deref().and_then(|at| at.parse().ok());
    let since = since.map(|at| when(at, now)).unwrap_or_default();
    match answers.is_healthy {
        Some(true) => format!(" · health {}", answers.words),
        Some(false) => format!(" · UNHEALTHY {}, since {since}", answers.words),
        None => format!(" · health unknown: {}", answers.words),
    }
}

fn drift_words(drift: &Drift, now: Timestamp) -> String {
    let mut words = drift.what.clone();
    let at = drift.at.parse().map(|at| when(at, now)).unwrap_or_default();
    let _ = match &drift.by {
        Some(by) => write!(words, "   by {by}, {at}"),
        None => write!(words, "   outside of git, {at}"),
    };
    if let Some(message) = &drift.message {
        let _ = write!(words, " · “{message}”");
    }
    let heals = drift.heals_at.as_deref().and_then(|at| at.parse().ok());
    match heals {
        Some(heals) if now < heals => {
            let _ = write!(words, " · undone {}", when(heals, now));
        }
        Some(_) => words.push_str(" · undone now"),
        None => {}
    }
    if drift.stays {
        words.push_str(" · stays: `drift.heal` says never");
    }
    if let Some(times) = drift.fought {
        let _ = write!(words, " · changed {times} times, not fought over");
    }
    words
}

/// What stands under the word that opens a line.
const INDENT: &str = "          ";
const DEEPER: &str = "            ";
/// A column is no wider; what is longer moves the rest of its line.
const WIDEST: usize = 30;

fn line(out: &mut String, word: &str, words: &str, color: AnsiColor, look: Look) {
    let style = style(color, look);
    let _ = write!(out, "  {style}{word:<7}{style:#} ");
    fill(out, words, INDENT.len(), INDENT, look.width);
}

fn style(color: AnsiColor, look: Look) -> Style {
    if look.color {
        Style::new().fg_color(Some(color.into())).bold()
    } else {
        Style::new()
    }
}

/// A time as people say it: how long ago or from now, and the clock.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let apart = now.duration_since(at);
    let clock = if apart.unsigned_abs() < std::time::Duration::from_secs(20 * 3600) {
        at.strftime("%H:%M UTC").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    };
    let span = rough(apart.unsigned_abs());
    if apart.is_negative() {
        format!("{clock}, in {span}")
    } else {
        format!("{clock}, {span} ago")
    }
}
