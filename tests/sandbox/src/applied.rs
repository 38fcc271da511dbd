//! Change sets that were applied, and how far each has come.

use serde_json::{Value, json};

use crate::patch::PatchStatus;
use crate::refusal::Refusal;
use crate::state::State;

#[derive(Clone, Debug)]
pub struct Apply {
    pub environment: String,
    /// None when nothing was left to change.
    pub patch_id: Option<String>,
    pub changes: Vec<Value>,
}

impl State {
    pub fn apply_status(&self, id: &str) -> Result<Value, Refusal> {
        let apply = self.applies.get(id).ok_or_else(Refusal::not_authorized)?;
        let environment = self.environment(&apply.environment)?;
        let patch = apply
            .patch_id
            .as_ref()
            .and_then(|id| environment.patches.iter().find(|patch| patch.id == *id));
        let error = patch.and_then(|patch| patch.error.as_ref());
        let status = match (patch, error) {
            (_, Some(_)) => "failed",
            (Some(patch), None) if patch.status == PatchStatus::Applying => "applying",
            _ => "applied",
        };
        let deployment = self.deployments.values().find(|deployment| {
            apply.patch_id.is_some() && deployment.cause.patch_id == apply.patch_id
        });
        let changes: Vec<Value> = apply
            .changes
            .iter()
            .map(|change| {
                json!({
                    "kind": change["kind"],
                    "path": change["path"],
                    "summary": change["summary"],
                    "status": if status == "applying" { "pending" } else { status },
                    "outputs": {},
                })
            })
            .collect();
        let diagnostics = match error {
            Some(error) => json!([{ "severity": "error", "path": "", "message": error }]),
            None => json!([]),
        };
        Ok(json!({
            "id": id,
            "status": status,
            "deploymentId": deployment.map(|deployment| &deployment.id),
            "stagedPatchId": apply.patch_id,
            "diagnostics": diagnostics,
            "changes": changes,
        }))
    }
}
