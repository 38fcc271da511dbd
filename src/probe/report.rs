//! What came out, for people who paste it into an issue and for machines: without secrets, and without ids that tell whose it is.

use super::ask::Asker;
use super::seen::Kept;
use super::sheet::Probe;
use crate::kinds::shown::harmless;
use crate::providers::railway::Place;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So much of one value is shown.
const LONGEST: usize = 600;

/// Everything that came out of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// When it was made.
    pub at: Timestamp,
    /// Why there was no environment to ask in.
    pub barred: Option<String>,
    /// In the order in which they were asked.
    pub findings: Vec<Finding>,
    /// What could not be removed.
    pub left: Vec<String>,
    /// Whether somebody said stop.
    pub is_interrupted: bool,
}

/// What came out of one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The probe.
    pub id: String,
    /// The question in words.
    pub question: String,
    /// The section of facts/railway.md.
    pub facts: String,
    /// The answer, or why there is none.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was seen, by the names in the probe file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Value>,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// With one of the answers that are known to be possible.
    Answered {
        /// Its name.
        #[serde(rename = "answer")]
        name: String,
        /// What it means for the product.
        means: String,
    },
    /// With another answer.
    Another,
    /// Without one.
    Unanswered {
        /// In words.
        why: String,
    },
    /// It was not asked.
    NotAsked {
        /// In words.
        why: String,
    },
}

impl Outcome {
    /// In a word or a few, for the line that is printed while it goes.
    pub fn words(&self) -> String {
        match self {
            Outcome::Answered { name, .. } => name.clone(),
            Outcome::Another => "another answer".to_owned(),
            Outcome::Unanswered { why } => format!("no answer: {why}"),
            Outcome::NotAsked { why } => format!("not asked: {why}"),
        }
    }
}

/// Takes out of what is shown whatever tells whose it is.
pub(super) struct Veil<'a> {
    asker: &'a Asker<'a>,
    place: &'a Place,
    /// Ids that have a name in the probe file.
    known: Vec<(String, String)>,
}

impl<'a> Veil<'a> {
    pub(super) fn new(asker: &'a Asker<'a>, place: &'a Place, kept: &Kept) -> Veil<'a> {
        let ids = kept.iter().filter_map(|(name, value)| {
            let id = value.as_ref()?.as_str().filter(|text| is_id(text))?;
            Some((id.to_owned(), format!("<{name}>")))
        });
        Veil {
            asker,
            place,
            known: ids.collect(),
        }
    }

    /// The words without them; the same unknown id is the same word again.
    fn over(&self, text: &str) -> String {
        let mut text = self.asker.without_secrets(text);
        let project = &self.place.project.name;
        if project.len() > 2 {
            text = text.replace(project.as_str(), "<project>");
        }
        for (id, name) in &self.known {
            text = text.replace(id.as_str(), name);
        }
        without_ids(&text)
    }

    /// The same on one line, and no longer than a person reads.
    fn over_words(&self, text: &str) -> String {
        // Before the words are cut: half a secret is not found any more.
        let text = self.over(text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = harmless(&words.join(" "));
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn over_value(&self, value: &Value) -> Value {
        let value = match value {
            Value::String(text) => Value::from(self.over(text)),
            Value::Array(items) => items.iter().map(|item| self.over_value(item)).collect(),
            Value::Object(entries) => {
                let veiled = entries
                    .iter()
                    .map(|(key, value)| (self.over(key), self.over_value(value)));
                Value::Object(veiled.collect::<Map<_, _>>())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        };
        match value.to_string() {
            long if long.len() > LONGEST => {
                let cut: String = long.chars().take(LONGEST).collect();
                Value::from(format!("{cut}…"))
            }
            _ => value,
        }
    }
}

/// Every UUID by the order of its coming.
fn without_ids(text: &str) -> String {
    const LENGTH: usize = 36;
    let mut seen: Vec<&str> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        match rest.get(..LENGTH).filter(|head| is_id(head)) {
            Some(id) => {
                let at = seen.iter().position(|known| *known == id);
                let at = at.unwrap_or_else(|| {
                    seen.push(id);
                    seen.len() - 1
                });
                let _ = write!(out, "<id {}>", at + 1);
                rest = &rest[LENGTH..];
            }
            None => {
                out.push(sign);
                rest = &rest[sign.len_utf8()..];
            }
        }
    }
    out
}

fn is_id(word: &str) -> bool {
    let groups = word.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12])
        && word
            .chars()
            .all(|sign| sign == '-' || sign.is_ascii_hexdigit())
}

impl Finding {
    pub(super) fn of(probe: &Probe, outcome: Outcome, kept: &Kept, veil: &Veil<'_>) -> Finding {
        let seen = kept.iter().filter(|(name, _)| probe.keeps.contains(*name));
        let outcome = match outcome {
            Outcome::Unanswered { why } => Outcome::Unanswered {
                why: veil.over_words(&why),
            },
            Outcome::NotAsked { why } => Outcome::NotAsked {
                why: veil.over_words(&why),
            },
            outcome @ (Outcome::Answered { .. } | Outcome::Another) => outcome,
        };
        Finding {
            id: probe.id.clone(),
            question: probe.question.clone(),
            facts: probe.facts.clone(),
            outcome,
            // What was not there is told by its absence.
            seen: seen
                .filter_map(|(name, value)| Some((name.clone(), veil.over_value(value.as_ref()?))))
                .collect(),
        }
    }
}

impl Report {
    /// Whether every question that was asked has an answer, and nothing is left behind.
    pub fn is_whole(&self) -> bool {
        let has_none = |finding: &Finding| matches!(finding.outcome, Outcome::Unanswered { .. });
        self.left.is_empty() && !self.findings.iter().any(has_none)
    }

    /// For people, and for an issue.
    pub fn text(&self) -> String {
        let mut out = format!(
            "# What Railway does where nobody says so\n\nreconciler {} · {:.0}\n{}\n",
            env!("CARGO_PKG_VERSION"),
            self.at,
            self.summary()
        );
        for finding in &self.findings {
            if !matches!(finding.outcome, Outcome::NotAsked { .. }) {
                out.push_str(&finding.text());
            }
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for finding in &self.findings {
            if let Outcome::NotAsked { why } = &finding.outcome {
                reasons.entry(why).or_default().push(&finding.id);
            }
        }
        for (why, ids) in reasons {
            let _ = write!(out, "\n## Not asked: {why}\n\n{}\n", ids.join(", "));
        }
        if !self.left.is_empty() {
            let _ = write!(
                out,
                "\n## Left behind: remove it at Railway\n\n- {}\n",
                self.left.join("\n- ")
            );
        }
        out
    }

    /// Counts.
    pub fn summary(&self) -> String {
        let count = |fits: &dyn Fn(&Outcome) -> bool| {
            let all = self.findings.iter();
            all.filter(|finding| fits(&finding.outcome)).count()
        };
        let parts = [
            (
                count(&|outcome| matches!(outcome, Outcome::Answered { .. })),
                "answered",
            ),
            (
                count(&|outcome| *outcome == Outcome::Another),
                "with another answer",
            ),
            (
                count(&|outcome| matches!(outcome, Outcome::Unanswered { .. })),
                "without an answer",
            ),
            (
                count(&|outcome| matches!(outcome, Outcome::NotAsked { .. })),
                "not asked",
            ),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        let end = if self.is_interrupted {
            " · interrupted"
        } else {
            ""
        };
        format!("{}{end}", parts.join(" · "))
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "apiVersion": crate::kinds::API_VERSION,
            "kind": "ProbeReport",
            "version": env!("CARGO_PKG_VERSION"),
            "at": self.at,
            "interrupted": self.is_interrupted,
            "findings": self.findings,
            "left": self.left,
        })
    }
}

impl Finding {
    fn text(&self) -> String {
        let mut out = format!(
            "\n## {}\n\n{} (facts/railway.md {})\n\n",
            self.id, self.question, self.facts
        );
        let _ = match &self.outcome {
            Outcome::Answered { name, means } => writeln!(out, "**{name}**: {means}"),
            Outcome::Another => {
                let seen = serde_json::to_string_pretty(&self.seen).unwrap_or_default();
                write!(
                    out,
                    "**another answer**, please report it:\n\n```json\n{seen}\n```\n"
                )
            }
            Outcome::Unanswered { why } => writeln!(out, "**no answer**: {why}"),
            Outcome::NotAsked { why } => writeln!(out, "**not asked**: {why}"),
        };
        out
    }
}
