//! Mutations that start deployments, and those that act on one.

use super::{Done, Session, Which, text, yes};
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::node::Asked;
use crate::refusal::Refusal;

impl Session<'_> {
    pub(super) fn deploy(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let of = |name: &str| {
            asked
                .optional(name)
                .map_or_else(|| text(&input, name), str::to_string)
        };
        let (environment, service) = (of("environmentId"), of("serviceId"));
        self.open_instance(&environment, &service)?;
        let commit = match asked.optional("commitSha") {
            Some(sha) => Commit::This(sha),
            None if asked.flag("latestCommit") == Some(true)
                || asked.field == "environmentTriggersDeploy" =>
            {
                Commit::Latest
            }
            None => Commit::Current,
        };
        let cause = Cause {
            reason: "deploy",
            patch_id: None,
            of: None,
        };
        let (mutation, started) = match asked.field {
            "serviceInstanceRedeploy" => (
                "serviceInstanceRedeploy",
                self.state().redeploy_latest(&environment, &service)?,
            ),
            "serviceInstanceDeployV2" => (
                "serviceInstanceDeployV2",
                self.state().deploy(&environment, &service, commit, cause)?,
            ),
            "serviceInstanceDeploy" => (
                "serviceInstanceDeploy",
                self.state().deploy(&environment, &service, commit, cause)?,
            ),
            _ => (
                "environmentTriggersDeploy",
                self.state().deploy(&environment, &service, commit, cause)?,
            ),
        };
        let id = started.ok_or_else(|| Refusal::bad_input("Service has no source to deploy"))?;
        self.note(
            mutation,
            &environment,
            &service,
            "deployments",
            Some(id.clone()),
        );
        if mutation == "serviceInstanceDeployV2" {
            Ok(Done::Leaf(id.into()))
        } else {
            yes()
        }
    }

    pub(super) fn open_deployment(&self, id: &str) -> Result<(String, String), Refusal> {
        let deployment = self.state.deployment(id)?;
        self.open(&deployment.environment_id)?;
        Ok((
            deployment.environment_id.clone(),
            deployment.service_id.clone(),
        ))
    }

    pub(super) fn again(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let (environment, service) = self.open_deployment(id)?;
        self.open_instance(&environment, &service)?;
        if asked.field == "deploymentRollback" {
            let started = self.state().rollback(id)?;
            self.note(
                "deploymentRollback",
                &environment,
                &service,
                "deployments",
                Some(started),
            );
            return yes();
        }
        let started = self
            .state()
            .redeploy(id, asked.flag("usePreviousImageTag").unwrap_or(false))?;
        self.note(
            "deploymentRedeploy",
            &environment,
            &service,
            "deployments",
            Some(started.clone()),
        );
        Ok(Done::Object(Which::Deployment, started))
    }

    pub(super) fn touch_deployment(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let id = asked.text("id");
        let (environment, _) = self.open_deployment(id)?;
        let state = self.state();
        let mutation = match asked.field {
            "deploymentRestart" => state.restart(id).map(|()| "deploymentRestart"),
            "deploymentStop" => state.stop(id).map(|()| "deploymentStop"),
            "deploymentCancel" => state.cancel(id).map(|()| "deploymentCancel"),
            "deploymentApprove" => state.approve(id).map(|()| "deploymentApprove"),
            _ => {
                if state.deployment(id)?.removed_at.is_none() {
                    state.remove(id);
                }
                Ok("deploymentRemove")
            }
        }?;
        let effect = state.effect(mutation, &environment, vec![format!("deployments.{id}")]);
        state.outbox.push(effect);
        yes()
    }
}
