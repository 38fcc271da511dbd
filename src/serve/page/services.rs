//! The services of an environment, those that are ill first, and its queues.

use super::super::markup::Markup;
use super::list::{close, listed, open};
use super::{Seat, Tone, moment, words};
use crate::status::view::{ServiceHealth, View};
use crate::status::{Health, ServiceStatus, Status};

/// How many are open; the rest is behind a line that opens it.
const OPEN: usize = 40;
/// How many a page has at all.
const MOST: usize = 1000;

/// What a service is, with what it answers when it is asked.
fn service_tone(service: &ServiceStatus, asked: Option<&ServiceHealth>) -> Tone {
    if asked.is_some_and(|asked| asked.is_healthy == Some(false)) {
        return Tone::Bad;
    }
    match service.health {
        Health::Healthy => Tone::Good,
        Health::Deploying => Tone::Busy,
        Health::Stopped | Health::NotRunning | Health::Unknown => Tone::Warn,
        Health::Failed | Health::Missing => Tone::Bad,
    }
}

pub(super) fn services(out: &mut Markup, view: &View, status: &Status, seat: &Seat<'_>) {
    if status.services.is_empty() {
        return;
    }
    let asked = |service: &ServiceStatus| {
        let mut all = view.health.iter();
        all.find(|asked| asked.service == service.name)
    };
    let rank = |tone: Tone| match tone {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Busy => 2,
        Tone::Good => 3,
    };
    let mut services: Vec<&ServiceStatus> = status.services.iter().collect();
    services.sort_by_key(|service| rank(service_tone(service, asked(service))));
    let worst = services
        .first()
        .map_or(Tone::Good, |service| service_tone(service, asked(service)));
    open(out, "SERVICES", worst);
    listed(
        out,
        ("services", "SERVICES"),
        &services,
        (OPEN, MOST),
        |out, service| {
            let asked = asked(service);
            let tone = service_tone(service, asked);
            out.html("<span class=\"sign ")
                .html(tone.class())
                .html("\" aria-hidden=\"true\">")
                .html(tone.sign())
                .html("</span><b>")
                .text(&service.name)
                .html("</b><span class=\"runs\">")
                .text(service.runs.as_deref().unwrap_or_default())
                .html("</span><span class=\"replicas\">")
                .text(service.replicas.as_deref().unwrap_or_default())
                .html("</span><span class=\"words\">");
            words(out, &service.words);
            if let Some(since) = &service.since {
                out.html(" <span class=\"quiet\">");
                moment(out, since, seat.now);
                out.html("</span>");
            }
            if let Some(asked) = asked {
                answers(out, asked, seat);
            }
            out.html("</span>");
        },
    );
    close(out);
}

fn answers(out: &mut Markup, asked: &ServiceHealth, seat: &Seat<'_>) {
    match asked.is_healthy {
        Some(true) => out.html("<span class=\"health\">health "),
        Some(false) => out.html("<span class=\"health bad\">unhealthy: "),
        None => out.html("<span class=\"health quiet\">health not known yet: "),
    };
    words(out, &asked.words);
    if let Some(since) = asked
        .since
        .as_ref()
        .filter(|_| asked.is_healthy == Some(false))
    {
        out.html(" since ");
        moment(out, since, seat.now);
    }
    out.html("</span>");
}

/// The Redis servers and the queues on them.
pub(super) fn queues(out: &mut Markup, status: &Status) {
    let servers = status.redis.iter();
    let servers = servers.map(|server| (&server.name, server.is_well, &server.words));
    let queues = status.queues.iter();
    let queues = queues.map(|queue| (&queue.name, queue.is_well, &queue.words));
    let mut rows: Vec<(&String, bool, &String)> = queues.chain(servers).collect();
    if rows.is_empty() {
        return;
    }
    let tone = |is_well: bool| if is_well { Tone::Good } else { Tone::Warn };
    rows.sort_by_key(|(_, is_well, _)| *is_well);
    let worst = rows.first().is_none_or(|(_, is_well, _)| *is_well);
    open(out, "QUEUES", tone(worst));
    listed(
        out,
        ("services", "QUEUES"),
        &rows,
        (OPEN, MOST),
        |out, (name, is_well, told)| {
            out.html("<span class=\"sign ")
                .html(tone(*is_well).class())
                .html("\" aria-hidden=\"true\">")
                .html(tone(*is_well).sign())
                .html("</span><b>")
                .text(name)
                .html("</b><span class=\"words\">");
            words(out, told);
            out.html("</span>");
        },
    );
    close(out);
}
