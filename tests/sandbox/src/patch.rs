//! Writing configuration: staged changes, and patches that are committed and applied.

use serde_json::{Value, json};

use crate::config;
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::refusal::Refusal;
use crate::state::{Due, State};
use crate::switches::{AppliedAt, FailedPatch, OverStaged, PatchCommitSha};
use crate::time::Time;

/// Staged changes, or a commit in an environment's history.
#[derive(Clone, Debug)]
pub struct Patch {
    pub id: String,
    pub status: PatchStatus,
    pub message: Option<String>,
    pub created: Time,
    pub updated: Time,
    pub applied: Option<Time>,
    pub author: String,
    pub error: Option<String>,
    pub patch: Value,
    pub write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchStatus {
    Staged,
    Applying,
    Committed,
    Failed,
}

impl PatchStatus {
    pub fn text(self) -> &'static str {
        match self {
            PatchStatus::Staged => "STAGED",
            PatchStatus::Applying => "APPLYING",
            PatchStatus::Committed => "COMMITTED",
            PatchStatus::Failed => "FAILED",
        }
    }
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Write {
    pub mutation: &'static str,
    pub skip_deploys: bool,
    /// It carries changes that somebody else had staged.
    pub foreign: bool,
    /// Done by a person in the dashboard: no effect of the client under test.
    pub by_hand: bool,
    /// A service named without being changed counts as changed when the switch says so.
    pub is_patch: bool,
}

impl State {
    /// Adds to, or replaces, the single staged patch of the environment.
    pub fn stage(
        &mut self,
        environment_id: &str,
        input: Value,
        merge: bool,
        author: &str,
    ) -> Result<(), Refusal> {
        let input = self.checked(environment_id, input)?;
        let (now, id, moves) = (
            self.now,
            self.random.uuid(),
            self.switches.etag_moves_on_stage,
        );
        let environment = self.environment_mut(environment_id);
        environment.etag += u64::from(moves);
        if merge {
            config::stack(&mut environment.staged.patch, &input);
        } else {
            environment.staged = blank(id, now);
            environment.staged.patch = input;
        }
        environment.staged.updated = now;
        environment.staged.author = author.to_string();
        Ok(())
    }

    /// Commits everything that is staged, whoever staged it.
    pub fn commit_staged(
        &mut self,
        environment_id: &str,
        message: Option<String>,
        author: &str,
        write: Write,
    ) -> Result<String, Refusal> {
        let environment = self.environment(environment_id)?;
        let is_empty = config::size(&environment.staged.patch) == 0;
        if is_empty && !self.switches.empty_commit_clears {
            return Err(Refusal::bad_input("No patch to apply"));
        }
        let foreign = environment.staged.author != author;
        let staged = self.take_staged(environment_id);
        Ok(self.accept(
            environment_id,
            Patch {
                message,
                author: author.to_string(),
                write: Write { foreign, ..write },
                ..staged
            },
        ))
    }

    /// Commits a patch of its own; what happens to staged changes is a switch.
    pub fn commit(
        &mut self,
        environment_id: &str,
        patch: Value,
        message: Option<String>,
        author: &str,
        write: Write,
    ) -> Result<String, Refusal> {
        let mut patch = self.checked(environment_id, patch)?;
        let environment = self.environment(environment_id)?;
        let staged = config::size(&environment.staged.patch) > 0;
        let mut foreign = false;
        match self.switches.commit_over_staged {
            OverStaged::Refuses
                if staged
                    || environment
                        .patches
                        .iter()
                        .any(|patch| patch.status == PatchStatus::Applying) =>
            {
                return Err(Refusal::bad_input(
                    "Environment has changes that are not applied yet, please try again",
                ));
            }
            OverStaged::Merges if staged => {
                foreign = environment.staged.author != author;
                let mut all = self.take_staged(environment_id).patch;
                config::stack(&mut all, &patch);
                patch = all;
            }
            OverStaged::Refuses | OverStaged::Merges | OverStaged::Leaves => {}
        }
        let committed = Patch {
            patch,
            message,
            author: author.to_string(),
            write: Write { foreign, ..write },
            ..blank(self.random.uuid(), self.now)
        };
        Ok(self.accept(environment_id, committed))
    }

    fn take_staged(&mut self, environment_id: &str) -> Patch {
        let fresh = blank(self.random.uuid(), self.now);
        std::mem::replace(&mut self.environment_mut(environment_id).staged, fresh)
    }

    fn accept(&mut self, environment_id: &str, patch: Patch) -> String {
        let id = patch.id.clone();
        let now = self.now;
        let environment = self.environment_mut(environment_id);
        environment.patches.push(Patch {
            status: PatchStatus::Applying,
            created: now,
            updated: now,
            ..patch
        });
        // Patches of one environment are applied in the order in which they came.
        match self.switches.patch_apply_lag {
            0 => self.apply_patch(environment_id, &id),
            lag => self.later(
                f64::from(lag),
                Due::ApplyPatch {
                    environment: environment_id.to_string(),
                    patch: id.clone(),
                },
            ),
        }
        id
    }

    pub fn apply_patch(&mut self, environment_id: &str, id: &str) {
        let Some(patch) = self.patch_mut(environment_id, id).cloned() else {
            return;
        };
        if let Some(error) = self.environment_mut(environment_id).next_patch_fails.take() {
            let now = self.now;
            let status = match self.switches.failed_patch {
                FailedPatch::Staged => PatchStatus::Staged,
                FailedPatch::Failed => PatchStatus::Failed,
            };
            let patch = self
                .patch_mut(environment_id, id)
                .expect("it was just found");
            (patch.status, patch.error, patch.updated) = (status, Some(error), now);
            let told = json!({ "patchId": id, "message": patch.message });
            self.tell_environment(environment_id, None, "EnvironmentPatch", "failed", told);
            return;
        }
        let deploys = self.change(environment_id, &patch.patch, &patch.write);
        let (environment, patch) = (environment_id.to_string(), id.to_string());
        match self.switches.applied_at {
            AppliedAt::Together => {
                self.start_for_patch(environment_id, id, &deploys);
                self.finish_patch(environment_id, id);
            }
            AppliedAt::AfterDeployments => {
                self.start_for_patch(environment_id, id, &deploys);
                self.later(2.0, Due::FinishPatch { environment, patch });
            }
            AppliedAt::BeforeDeployments => {
                self.finish_patch(environment_id, id);
                self.later(
                    1.0,
                    Due::StartDeployments {
                        environment,
                        patch,
                        services: deploys,
                    },
                );
            }
        }
    }

    /// Deploys the services a patch changed, as one batch.
    pub fn start_for_patch(&mut self, environment_id: &str, id: &str, services: &[String]) {
        let Some(patch) = self.patch_mut(environment_id, id).cloned() else {
            return;
        };
        let started: Vec<String> = services
            .iter()
            .filter_map(|service| {
                let named = patch
                    .patch
                    .pointer(&format!("/services/{service}/source/commitSha"))
                    .and_then(Value::as_str);
                let honoured =
                    named.filter(|_| self.switches.patch_commit_sha == PatchCommitSha::Honoured);
                let cause = || Cause {
                    reason: "deploy",
                    patch_id: Some(id.to_string()),
                    of: None,
                };
                let commit = honoured.map_or(Commit::Current, Commit::This);
                self.deploy(environment_id, service, commit, cause())
                    .or_else(|_| self.deploy(environment_id, service, Commit::Current, cause()))
                    .ok()
                    .flatten()
            })
            .collect();
        self.order(environment_id, &started);
        self.credit(&patch.write, environment_id, started);
    }

    pub fn finish_patch(&mut self, environment_id: &str, id: &str) {
        let now = self.now;
        if let Some(patch) = self.patch_mut(environment_id, id) {
            (patch.status, patch.applied, patch.updated) = (PatchStatus::Committed, Some(now), now);
            let told = json!({ "patchId": id, "message": patch.message });
            self.tell_environment(environment_id, None, "EnvironmentPatch", "committed", told);
        }
    }

    fn patch_mut(&mut self, environment_id: &str, id: &str) -> Option<&mut Patch> {
        if !self.environments.contains_key(environment_id) {
            return None;
        }
        self.environment_mut(environment_id)
            .patches
            .iter_mut()
            .rev()
            .find(|patch| patch.id == id)
    }
}

pub fn blank(id: String, now: Time) -> Patch {
    Patch {
        id,
        status: PatchStatus::Staged,
        message: None,
        created: now,
        updated: now,
        applied: None,
        author: String::new(),
        error: None,
        patch: json!({}),
        write: Write::default(),
    }
}
