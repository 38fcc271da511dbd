//! Volumes in their environments, their backups, and the work in the background.

use serde_json::{Value, json};

use crate::node::{Answer, Scene};
use crate::patch::PatchStatus;
use crate::refusal::Refusal;
use crate::state::Environment;
use crate::switches::Workflow;
use crate::volumes::VolumeInstance;

/// A volume in an environment, by the instance's own id.
pub(super) fn instance<'s>(
    scene: &'s Scene,
    id: &str,
) -> Result<(&'s Environment, &'s str, &'s VolumeInstance), Refusal> {
    let (environment, volume, here) = scene
        .state
        .volume_with_instance(id)
        .filter(|(environment, _, _)| scene.caller.sees_environment(environment))
        .ok_or_else(Refusal::not_authorized)?;
    Ok((environment, volume, here))
}

pub(super) fn backups<'s>(scene: &'s Scene, id: &str) -> Result<Answer<'s>, Refusal> {
    let now = scene.state.now;
    let (_, _, here) = instance(scene, id)?;
    let kept = here
        .backups
        .iter()
        .rev()
        .filter(|backup| !backup.is_over(now));
    Ok(Answer::plains(kept.map(|backup| backup.told(now, here))))
}

pub(super) fn schedules<'s>(scene: &'s Scene, id: &str) -> Result<Answer<'s>, Refusal> {
    let (_, _, here) = instance(scene, id)?;
    let told = here.schedules.iter().map(|(kind, since)| {
        json!({
            "id": here.schedule_id(*kind),
            "kind": kind,
            "name": format!("{} backups", kind.text().to_lowercase()),
            "cron": kind.cron(),
            "retentionSeconds": kind.kept_seconds() as i64,
            "createdAt": since,
        })
    });
    Ok(Answer::plains(told))
}

/// `NotFound` for a while after a commit, and for anything unknown.
pub(super) fn workflow(scene: &Scene, id: &str) -> Value {
    let state = &scene.state;
    if let Some(workflow) = state.workflows.get(id) {
        let lag = f64::from(state.switches.workflow_lag);
        let status = match &workflow.error {
            _ if state.now < workflow.created.plus_seconds(lag) => "NotFound",
            _ if state.now < workflow.ends => "Running",
            Some(_) => "Error",
            None => "Complete",
        };
        return json!({ "status": status, "error": workflow.error });
    }
    let found = id.strip_prefix("commitChanges/").and_then(|rest| {
        let (environment, patch) = rest.split_once('/')?;
        state
            .environments
            .get(environment)?
            .patches
            .iter()
            .find(|known| known.id == patch)
    });
    let visible = found.filter(|patch| {
        state.switches.commit_workflow == Workflow::Known
            && state.now
                >= patch
                    .created
                    .plus_seconds(f64::from(state.switches.workflow_lag))
    });
    let status = match visible {
        None => "NotFound",
        Some(patch) if patch.error.is_some() => "Error",
        Some(patch) if patch.status == PatchStatus::Committed => "Complete",
        Some(_) => "Running",
    };
    json!({ "status": status, "error": visible.and_then(|patch| patch.error.as_ref()) })
}
