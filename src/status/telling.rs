//! An event in the words in which people are told: one line that says it, why, and the way out; for Slack, and as JSON for any receiver.

use super::event::{Event, What};
use super::text::when;
use crate::kinds::shown::harmless;
use serde_json::{Value, json};

/// An event as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What happened, in one line.
    pub headline: String,
    /// Why, in the words of who knows.
    pub reason: Option<String>,
    /// What somebody can do about it.
    pub way_out: Option<String>,
}

/// Longer words are cut: a log may have come along.
const LONGEST: usize = 1500;

fn cut(text: &str) -> String {
    let text = harmless(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The event in words.
pub fn words(event: &Event) -> Words {
    let (said, reason, way_out): (String, Option<&str>, Option<String>) = match &event.what {
        What::Accepted { author, subject } => (
            format!("a commit is in force: {subject} ({author})"),
            None,
            None,
        ),
        What::NotAccepted {
            commit,
            reason,
            way_out,
        } => {
            let id = commit.get(..7).unwrap_or(commit);
            let said = format!("commit {id} is NOT in force, the one before stays");
            (said, Some(reason), Some(way_out.clone()))
        }
        What::Made { steps, result } => {
            let said = format!("{}: {result}", steps.join(" · "));
            (said, None, None)
        }
        What::InStep { took_seconds } => {
            let took = took_seconds.map(|seconds| {
                let took = std::time::Duration::from_secs(seconds);
                format!(", after {}", humantime::format_duration(took))
            });
            let said = format!("everything is as git says{}", took.unwrap_or_default());
            (said, None, None)
        }
        What::Held {
            address,
            what,
            reason,
            way_out,
        } => {
            let said = format!("HELD {address}: {what}");
            (said, Some(reason), Some(way_out.clone()))
        }
        What::Released { address, what } => {
            (format!("no longer held, {address}: {what}"), None, None)
        }
        What::Failed {
            address,
            what,
            reason,
            way_out,
        } => {
            let said = format!("FAILED {address}: {what}");
            (said, Some(reason), Some(way_out.clone()))
        }
        What::Drifted {
            what,
            who,
            heals_at,
        } => {
            let who = who.as_deref().unwrap_or("somebody");
            let way_out = match heals_at {
                Some(at) if *at > event.at => {
                    let at = when(*at, event.at);
                    format!("it is undone at {at}; to keep it, let git say the same")
                }
                Some(_) => "it is undone now; to keep it, let git say the same".to_owned(),
                None => {
                    "it stays: `drift.heal` says never; undo it, or let git say the same".to_owned()
                }
            };
            let said = format!("changed outside of git by {who}: {what}");
            (said, None, Some(way_out))
        }
        What::Fought { what, times } => {
            let said = format!("changed outside of git again and again ({times} times): {what}");
            let way_out =
                "it is not fought over: find out who or what changes it, or let git say the same";
            (said, None, Some(way_out.to_owned()))
        }
        What::Unhealthy { service, reason } => {
            let said = format!("UNHEALTHY {service}");
            let way_out = "look at its log; `git revert` is the rollback";
            (said, Some(reason), Some(way_out.to_owned()))
        }
        What::Healthy { service } => (format!("{service} answers again"), None, None),
        What::RolledBack { service, from, to } => {
            let said = format!("ROLLED BACK {service} from {from} to {to}");
            let way_out = format!("git still asks for {from}: `git revert`, or release another");
            (said, None, Some(way_out))
        }
        What::Unseen { reason } => {
            let way_out = "`reconciler doctor` tells token, reach and clocks";
            let said = "the environment cannot be seen, and nothing is done".to_owned();
            (said, Some(reason), Some(way_out.to_owned()))
        }
        What::Seen => ("the environment can be seen again".to_owned(), None, None),
        What::Suspended { reason, until } => {
            let until = until.map(|until| format!(" until {}", when(until, event.at)));
            let said = format!("suspended by {}{}", event.by, until.unwrap_or_default());
            let way_out = format!("reconciler resume {}", event.environment);
            (said, Some(reason), Some(way_out))
        }
        What::Resumed => ("resumed: differences are made again".to_owned(), None, None),
        What::Overdue { name } => {
            let said = format!("OVERDUE: Maintenance/{name} was to be open again");
            let way_out = "say `enabled: false`, or a later `until`";
            (said, None, Some(way_out.to_owned()))
        }
        What::Led { epoch } => (
            format!("{} leads from now on (epoch {epoch})", event.by),
            None,
            None,
        ),
    };
    Words {
        headline: cut(&format!("{} · {said}", event.environment)),
        reason: reason.map(cut),
        way_out: way_out.as_deref().map(cut),
    }
}

/// The message for a channel of Slack.
pub fn slack(event: &Event) -> Value {
    let Words {
        headline,
        reason,
        way_out,
    } = words(event);
    let mut lines = vec![format!("*{}*", in_slack(&headline))];
    lines.extend(reason.map(|reason| in_slack(&reason)));
    lines.extend(way_out.map(|way_out| format!("Way out: {}", in_slack(&way_out))));
    if let Some(commit) = &event.commit {
        lines.push(format!(
            "_commit {}_",
            in_slack(commit.get(..7).unwrap_or(commit))
        ));
    }
    json!({ "text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false })
}

/// Text that is only text in Slack: no link, no mention, no end of what is bold.
fn in_slack(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Slack has no escape for it.
            '*' => out.push('∗'),
            other => out.push(other),
        }
    }
    out
}

/// The message for any receiver: the event itself.
pub fn webhook(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}
