//! `kind: Approval`: consent to one step that may lose something, named by the step's digest and used once.

use super::step::Step;
use super::written::Instant;
use super::{Declared, Documents, Kind};
use crate::world::railway::{History, PatchState};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Consent to one step that may lose something. `diff` prints the document that a held step needs; its name is the step's digest.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// The step in its own words, so that nobody approves a number.
    #[schemars(length(min = 1, max = 500))]
    pub allow: String,
    /// What may be lost, in the step's own words.
    #[schemars(length(min = 1, max = 500))]
    pub loses: String,
    /// Until when it holds, at most `approvals.expire` of the Environment ahead.
    pub until: Instant,
}

impl Kind for Spec {
    const NAME: &'static str = "Approval";
    const IS_SHARED: bool = false;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Approval
metadata: { name: 7f3a9c21 }
spec:
  allow: release Service/redis 7.4.5 → 8.0.0
  loses: another major version may not read the files
  until: 2026-11-23T09:00:00Z
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.approvals
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.approvals
    }
}

/// What a step that may lose something needs: the text of the document that would consent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The digest of the step: of its environment, its thing, what is done, from and to. Never of time, commit or live counts.
    pub digest: String,
    /// The step in words.
    pub allow: String,
    /// What may be lost.
    pub loses: String,
}

/// What a step needs, when it may lose something. `environment` is Railway's id.
pub fn wanted(step: &Step, environment: &str) -> Option<Wanted> {
    let loss = step.loses.as_ref()?;
    let allow = words(step);
    let mut hash = Sha256::new();
    for part in [environment, &step.of.to_string(), step.verb, &loss.facts] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut digest = String::with_capacity(8);
    for byte in hash.finalize().iter().take(4) {
        let _ = write!(digest, "{byte:02x}");
    }
    Some(Wanted {
        digest,
        allow,
        loses: loss.words.clone(),
    })
}

fn words(step: &Step) -> String {
    let mut words = format!("{} {}", step.verb, step.of);
    match (&step.from, &step.to) {
        (Some(from), Some(to)) => {
            let _ = write!(words, " {from} → {to}");
        }
        (None, Some(to)) => {
            let _ = write!(words, " → {to}");
        }
        (Some(from), None) => {
            let _ = write!(words, " {from}");
        }
        (None, None) => {}
    }
    words
}

impl Wanted {
    /// The document, as it is put into `approvals/` of the environment.
    pub fn document(&self, until: Timestamp) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "apiVersion: {}\nkind: Approval\nmetadata: {{ name: {} }}\nspec:\n  allow: {}\n  loses: {}\n  until: {until:.0}\n",
            super::API_VERSION,
            quoted(&self.digest),
            quoted(&self.allow),
            quoted(&self.loses),
        )
    }

    /// Whether an approval consents to it now: `Err` says why it does not.
    ///
    /// # Errors
    /// In words for people.
    pub fn consent(
        &self,
        approvals: &BTreeMap<String, Declared<Spec>>,
        expire: Duration,
        history: Option<&History>,
        now: Timestamp,
    ) -> Result<Used, String> {
        let Some(approval) = approvals.get(&self.digest) else {
            return Err(format!("it needs approval {}", self.digest));
        };
        let used = Used {
            digest: self.digest.clone(),
            until: approval.spec.until.0,
        };
        if approval.spec.allow != self.allow || approval.spec.loses != self.loses {
            Err(format!(
                "approval {} is for other words than the step's own",
                self.digest
            ))
        } else if approval.spec.until.0 <= now {
            Err(format!(
                "approval {} ended at {}",
                self.digest, approval.spec.until
            ))
        } else if !history.is_some_and(|history| reaches(history, approval.spec.until.0, expire)) {
            Err(format!(
                "it cannot be seen whether approval {} was used before",
                self.digest
            ))
        } else if history.is_some_and(|history| {
            let mark = used.mark();
            let mut done = history
                .patches
                .iter()
                .filter(|patch| !matches!(patch.state, PatchState::Failed(_)));
            done.any(|patch| patch.message.contains(&mark))
        }) {
            Err(format!("approval {} was used before", self.digest))
        } else {
            Ok(used)
        }
    }
}

/// Whether a history goes back to the first moment at which an approval could have been used.
fn reaches(history: &History, until: Timestamp, expire: Duration) -> bool {
    let first = until.saturating_sub(expire).unwrap_or(Timestamp::MIN);
    history.is_whole
        || history
            .patches
            .last()
            .is_some_and(|oldest| oldest.at < first)
}

/// An approval that a write uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    digest: String,
    until: Timestamp,
}

impl Used {
    /// The mark that it leaves in the history of Railway, by which it is known to be used.
    pub fn mark(&self) -> String {
        format!("approval {} until {:.0}", self.digest, self.until)
    }
}
