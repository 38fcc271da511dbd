//! An environment in the conditions that people know from Kubernetes: which fact holds, why, and since when.

use super::view::{
    Commit, Condition, ConditionKind, NotAccepted, ServiceHealth, Suspension, Truth,
};
use super::{Health, Item, Rule, State, Status};
use crate::kinds::shown::{few, harmless};
use crate::kinds::step::Cause;
use jiff::Timestamp;

/// What is known of an environment at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What the last look showed, where there was one.
    pub status: Option<&'a Status>,
    /// Why the environment cannot be seen, once that has lasted.
    pub unseen: Option<&'a str>,
    /// The commit in force.
    pub commit: Option<&'a Commit>,
    /// The newest commit, where it is not in force.
    pub not_accepted: Option<&'a NotAccepted>,
    /// Who told the controller to only look.
    pub suspended: Option<&'a Suspension>,
    /// What each service with `health` answered.
    pub health: &'a [ServiceHealth],
}

/// What a condition says, before it is known since when.
struct Said {
    kind: ConditionKind,
    status: Truth,
    reason: &'static str,
    message: String,
}

fn said(
    kind: ConditionKind,
    status: Truth,
    reason: &'static str,
    message: impl Into<String>,
) -> Said {
    Said {
        kind,
        status,
        reason,
        message: message.into(),
    }
}

/// The conditions now. Since when each is so is taken from the previous ones, where it was so then.
pub fn conditions(known: &Known<'_>, previous: &[Condition], now: Timestamp) -> Vec<Condition> {
    let synced = synced(known);
    let healthy = healthy(known);
    let stalled = stalled(known);
    let all = [
        ready(&synced, &healthy, &stalled),
        synced,
        healthy,
        progressing(known),
        stalled,
        suspended(known),
    ];
    all.into_iter()
        .map(|said| {
            let before = previous.iter().find(|before| before.kind == said.kind);
            let before = before.filter(|before| before.status == said.status);
            Condition {
                kind: said.kind,
                status: said.status,
                reason: said.reason.to_owned(),
                message: said.message,
                last_transition_time: before.map_or_else(
                    || format!("{now:.0}"),
                    |before| before.last_transition_time.clone(),
                ),
            }
        })
        .collect()
}

const UNSEEN: &str = "Unseen";
const HEALTH_CHECK_FAILED: &str = "HealthCheckFailed";

/// The first of what is wrong, in the order of how much it matters.
fn ready(synced: &Said, healthy: &Said, stalled: &Said) -> Said {
    let kind = ConditionKind::Ready;
    if stalled.status == Truth::True {
        return said(kind, Truth::False, stalled.reason, stalled.message.clone());
    }
    let parts = [healthy, synced];
    let wrong = parts.iter().find(|part| part.status == Truth::False);
    let unknown = parts.iter().find(|part| part.status == Truth::Unknown);
    match wrong.or(unknown) {
        Some(part) => said(kind, part.status, part.reason, part.message.clone()),
        None => said(
            kind,
            Truth::True,
            "ReconciliationSucceeded",
            "everything is as git says",
        ),
    }
}

/// Why nothing can be told of what is outside.
fn not_seen(known: &Known<'_>) -> Option<String> {
    match (known.unseen, known.status) {
        (Some(reason), _) => Some(format!("it cannot be seen: {}", harmless(reason))),
        (None, None) => Some("nobody has looked yet".to_owned()),
        (None, Some(status)) => status
            .unseen
            .first()
            .map(|item| format!("{}: {}", item.address, item.why)),
    }
}

fn synced(known: &Known<'_>) -> Said {
    let kind = ConditionKind::Synced;
    if let Some(words) = not_seen(known) {
        return said(kind, Truth::Unknown, UNSEEN, words);
    }
    if let Some(refused) = known.not_accepted {
        return said(kind, Truth::False, "NotAccepted", refusal(refused));
    }
    let Some(status) = known.status else {
        return said(kind, Truth::Unknown, UNSEEN, "nobody has looked yet");
    };
    let all = || status.held.iter().chain(&status.now).chain(&status.next);
    let by = |rule: Rule| all().find(|item| item.rule == Some(rule));
    if let Some(item) = by(Rule::ReportsOnly) {
        let words = format!("{}, and nothing is done", item.what);
        said(kind, Truth::False, "Suspended", words)
    } else if let Some(drift) = status.drift.first() {
        said(kind, Truth::False, "DriftDetected", drift.what.clone())
    } else if let Some(item) = by(Rule::Freeze) {
        let words = format!("{}: {}", item.what, item.why);
        said(kind, Truth::False, "FrozenByWindow", words)
    } else if let Some(item) = all().next() {
        let words = format!("{}: {}", item.what, item.why);
        said(kind, Truth::False, "NotConverged", words)
    } else {
        said(
            kind,
            Truth::True,
            "ReconciliationSucceeded",
            "reality is as git says",
        )
    }
}

fn refusal(refused: &NotAccepted) -> String {
    let id = refused.commit.id.get(..7).unwrap_or(&refused.commit.id);
    format!(
        "commit {} is not in force: {}; {}",
        harmless(id),
        harmless(&refused.reason),
        harmless(&refused.way_out)
    )
}

fn healthy(known: &Known<'_>) -> Said {
    let kind = ConditionKind::Healthy;
    let sick = known
        .health
        .iter()
        .filter(|it| it.is_healthy == Some(false));
    let sick: Vec<String> = sick
        .map(|it| format!("{} answers {}", it.service, harmless(&it.words)))
        .collect();
    if !sick.is_empty() {
        return said(kind, Truth::False, HEALTH_CHECK_FAILED, few(&sick, 5));
    }
    let Some(status) = known.status else {
        return said(kind, Truth::Unknown, UNSEEN, "nobody has looked yet");
    };
    let of = |health: Health| {
        let services = status.services.iter();
        services
            .filter(|service| service.health == health)
            .map(|service| format!("{}: {}", service.name, service.words))
            .collect::<Vec<String>>()
    };
    let failed = [
        of(Health::Failed),
        of(Health::Missing),
        of(Health::NotRunning),
    ]
    .concat();
    let unknown = of(Health::Unknown);
    let waiting = known.health.iter().filter(|it| it.is_healthy.is_none());
    let waiting: Vec<String> = waiting.map(|it| it.service.clone()).collect();
    if !failed.is_empty() {
        said(kind, Truth::False, HEALTH_CHECK_FAILED, few(&failed, 5))
    } else if let Some(reason) = known.unseen {
        let words = format!("it cannot be seen: {}", harmless(reason));
        said(kind, Truth::Unknown, UNSEEN, words)
    } else if !unknown.is_empty() {
        said(kind, Truth::Unknown, UNSEEN, few(&unknown, 5))
    } else if !waiting.is_empty() {
        let words = format!("not asked yet: {}", few(&waiting, 5));
        said(kind, Truth::Unknown, "HealthCheckPending", words)
    } else {
        said(
            kind,
            Truth::True,
            "HealthCheckSucceeded",
            "every service answers as it should",
        )
    }
}

fn progressing(known: &Known<'_>) -> Said {
    let kind = ConditionKind::Progressing;
    let status = known.status.filter(|_| known.unseen.is_none());
    let under_way = status.and_then(|status| {
        let items = status.now.iter().chain(&status.next);
        // What waits for a window or for its time does not go on.
        items.into_iter().find(|item| item.rule.is_none())
    });
    match under_way {
        Some(item) => {
            let words = format!("{}: {}", item.what, item.why);
            said(kind, Truth::True, "Progressing", words)
        }
        None => said(kind, Truth::False, "Idle", "nothing is under way"),
    }
}

fn stalled(known: &Known<'_>) -> Said {
    let kind = ConditionKind::Stalled;
    if let Some(refused) = known.not_accepted {
        return said(kind, Truth::True, "NotAccepted", refusal(refused));
    }
    let held = known.status.map_or(&[][..], |status| &status.held);
    // What a person suspended does not wait for anybody else.
    let stuck = held
        .iter()
        .find(|item| item.rule != Some(Rule::ReportsOnly));
    let is_degraded = known
        .status
        .is_some_and(|status| status.state == State::Degraded);
    match stuck {
        Some(item) => said(kind, Truth::True, cause(item), held_words(item)),
        None if is_degraded => said(
            kind,
            Truth::True,
            HEALTH_CHECK_FAILED,
            "something did not become healthy",
        ),
        None => said(kind, Truth::False, "Idle", "nothing needs anybody"),
    }
}

fn cause(item: &Item) -> &'static str {
    match item.cause {
        Some(Cause::Unhealthy) => HEALTH_CHECK_FAILED,
        Some(Cause::Refused) => "ReconciliationFailed",
        Some(Cause::Missing) => "DependencyNotReady",
        Some(Cause::Consent) => "ApprovalRequired",
        Some(Cause::Somebody) if item.rule == Some(Rule::Drift) => "DriftDetected",
        Some(Cause::Somebody) | None => "Held",
    }
}

fn held_words(item: &Item) -> String {
    match &item.way_out {
        Some(way_out) => format!("{}: {}; {way_out}", item.what, item.why),
        None => format!("{}: {}", item.what, item.why),
    }
}

fn suspended(known: &Known<'_>) -> Said {
    let kind = ConditionKind::Suspended;
    let only = known.status.and_then(|status| status.reports_only.as_ref());
    match (known.suspended, only) {
        (Some(suspension), _) => {
            let words = format!(
                "by {}: {}",
                harmless(&suspension.by),
                harmless(&suspension.reason)
            );
            said(kind, Truth::True, "Suspended", words)
        }
        (None, Some(only)) => {
            let words = format!("{}; {}", only.why, only.way_out);
            said(kind, Truth::True, "ReportsOnly", words)
        }
        (None, None) => said(kind, Truth::False, "NotSuspended", "it acts"),
    }
}
