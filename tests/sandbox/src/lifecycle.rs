//! How deployments live: through their stages, into failure, and out of the way of newer ones.

use std::sync::Arc;

use crate::config;
use crate::deployment::{Deployment, Line, Status};
use crate::refusal::Refusal;
use crate::seed::{Known, Outcome};
use crate::state::{Due, State};
use crate::switches::NoRegions;

impl State {
    /// The next stage of a deployment that is under way.
    pub fn advance_deployment(&mut self, id: &str) {
        let deployment = self.deployments[id].clone();
        let known = self.known(&deployment.release);
        let good = known.outcome != Outcome::Failed;
        let timings = self.seed.timings.clone();
        match deployment.status {
            Status::Queued => self.enter(id, Status::Initializing, Some(timings.initialize)),
            Status::Initializing if deployment.builds => {
                self.enter(id, Status::Building, Some(timings.build));
            }
            Status::Building if !good => self.fail(id, &known, "build failed"),
            Status::Initializing if !good => self.fail(id, &known, "failed to pull the image"),
            Status::Initializing | Status::Building => self.enter(
                id,
                Status::Deploying,
                Some(self.time_to_deploy(&deployment, &known)),
            ),
            Status::Deploying => self.finish(id, &deployment, &known),
            Status::NeedsApproval
            | Status::Success
            | Status::Failed
            | Status::Crashed
            | Status::Removing
            | Status::Removed => {}
        }
    }

    fn enter(&mut self, id: &str, status: Status, seconds: Option<f64>) {
        let now = self.now;
        let deployment = self.deployment_mut(id);
        deployment.status = status;
        deployment.status_at = now;
        deployment.updated = now;
        let replicas = match status {
            Status::Initializing | Status::Building | Status::Deploying => "INITIALIZING",
            Status::Success => "RUNNING",
            Status::Crashed => "CRASHED",
            Status::Failed | Status::Removed => "REMOVED",
            Status::Removing => "REMOVING",
            Status::NeedsApproval | Status::Queued => "CREATED",
        };
        deployment
            .instances
            .iter_mut()
            .for_each(|replica| replica.status = replicas);
        if let Some(seconds) = seconds {
            self.later(
                seconds,
                Due::Advance {
                    deployment: id.to_string(),
                },
            );
        }
    }

    fn time_to_deploy(&self, deployment: &Deployment, known: &Known) -> f64 {
        let timings = &self.seed.timings;
        match has_healthcheck(deployment) {
            true if !self.gets_ready(deployment, known) => {
                deployment.manifest["deploy"]["healthcheckTimeout"]
                    .as_f64()
                    .unwrap_or(300.0)
            }
            true => timings.deploy + timings.healthcheck,
            false => timings.deploy,
        }
    }

    /// Whether its healthcheck ever gets the 200 that it wants; without one, whatever starts is ready.
    fn gets_ready(&self, deployment: &Deployment, known: &Known) -> bool {
        let path = deployment.manifest["deploy"]["healthcheckPath"]
            .as_str()
            .filter(|path| !path.is_empty());
        path.is_none_or(|path| {
            known.outcome != Outcome::NeverReady && self.page_of(deployment, path).status == 200
        })
    }

    fn finish(&mut self, id: &str, deployment: &Deployment, known: &Known) {
        match known.outcome {
            Outcome::Crashed if known.after_seconds.is_none() => {
                self.say(id, false, "error", &known.log);
                self.enter(id, Status::Crashed, None);
            }
            _ if !self.gets_ready(deployment, known) => {
                self.fail(id, known, "healthcheck failed: service unavailable");
            }
            Outcome::Good
            | Outcome::Failed
            | Outcome::Crashed
            | Outcome::NeverReady
            | Outcome::NeedsApproval => self.succeed(id, known),
        }
    }

    fn fail(&mut self, id: &str, known: &Known, why: &str) {
        let building = self.deployments[id].status == Status::Building;
        self.say(id, building, "error", &known.log);
        self.say(id, building, "error", &[why.to_string()]);
        self.enter(id, Status::Failed, None);
    }

    fn succeed(&mut self, id: &str, known: &Known) {
        self.enter(id, Status::Success, None);
        self.deployment_mut(id).ran = true;
        self.say(id, false, "info", &["Starting Container".to_string()]);
        if let (Outcome::Crashed, Some(seconds)) = (known.outcome, known.after_seconds) {
            self.later(
                seconds,
                Due::Crash {
                    deployment: id.to_string(),
                },
            );
        } else {
            self.say(id, false, "info", &known.log);
        }
        let deployment = self.deployments[id].clone();
        let environment = self.environments[&deployment.environment_id].clone();
        let older: Vec<String> = self
            .history(&environment, &deployment.service_id)
            .filter(|other| {
                other.id != id && matches!(other.status, Status::Success | Status::Crashed)
            })
            .map(|other| other.id.clone())
            .collect();
        for other in older {
            self.remove(&other);
        }
    }

    /// REMOVING now, REMOVED after overlap and draining.
    pub fn remove(&mut self, id: &str) {
        let deploy = &self.deployments[id].manifest["deploy"];
        let seconds = |key: &str| deploy[key].as_f64().unwrap_or(0.0);
        let until =
            self.seed.timings.remove + seconds("overlapSeconds") + seconds("drainingSeconds");
        self.enter(id, Status::Removing, None);
        self.later(
            until,
            Due::Remove {
                deployment: id.to_string(),
            },
        );
    }

    pub fn removed(&mut self, id: &str) {
        self.enter(id, Status::Removed, None);
        let now = self.now;
        self.deployment_mut(id).removed_at = Some(now);
    }

    pub fn crash(&mut self, id: &str) {
        let deployment = self.deployments[id].clone();
        if deployment.status == Status::Success && !deployment.stopped {
            let known = self.known(&deployment.release);
            self.say(id, false, "error", &known.log);
            self.enter(id, Status::Crashed, None);
        }
    }

    pub fn stop(&mut self, id: &str) -> Result<(), Refusal> {
        let deployment = self.deployment(id)?;
        if !matches!(deployment.status, Status::Success | Status::Crashed) {
            return Err(Refusal::bad_input("Deployment is not running"));
        }
        let now = self.now;
        let deployment = self.deployment_mut(id);
        deployment.stopped = true;
        deployment.updated = now;
        deployment
            .instances
            .iter_mut()
            .for_each(|replica| replica.status = "STOPPED");
        Ok(())
    }

    /// In place: the same id, code and configuration.
    pub fn restart(&mut self, id: &str) -> Result<(), Refusal> {
        let deployment = self.deployment(id)?;
        if !matches!(deployment.status, Status::Success | Status::Crashed) {
            return Err(Refusal::bad_input("Deployment is not running"));
        }
        let (now, shows) = (self.now, self.switches.restart_shows);
        let deployment = self.deployment_mut(id);
        deployment.stopped = false;
        if shows {
            deployment.updated = now;
        }
        deployment
            .instances
            .iter_mut()
            .for_each(|replica| replica.status = "RESTARTING");
        self.later(
            self.seed.timings.restart,
            Due::Restarted {
                deployment: id.to_string(),
            },
        );
        Ok(())
    }

    pub fn restarted(&mut self, id: &str) {
        let deployment = &self.deployments[id];
        if deployment.stopped || !matches!(deployment.status, Status::Success | Status::Crashed) {
            return;
        }
        let (was, updated, known) = (
            deployment.status,
            deployment.updated,
            self.known(&deployment.release),
        );
        self.say(id, false, "info", &["Starting Container".to_string()]);
        if was == Status::Crashed && known.outcome != Outcome::Crashed {
            self.enter(id, Status::Success, None);
        }
        let status = if self.deployments[id].status == Status::Success {
            "RUNNING"
        } else {
            "CRASHED"
        };
        let deployment = self.deployment_mut(id);
        deployment.updated = updated;
        deployment
            .instances
            .iter_mut()
            .for_each(|replica| replica.status = status);
    }

    pub fn cancel(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.deployment(id)?.status.is_unfinished() {
            return Err(Refusal::bad_input("Deployment is not in progress"));
        }
        self.removed(id);
        Ok(())
    }

    pub fn approve(&mut self, id: &str) -> Result<(), Refusal> {
        if self.deployment(id)?.status != Status::NeedsApproval {
            return Err(Refusal::bad_input("Deployment does not need approval"));
        }
        self.enter(id, Status::Queued, Some(self.seed.timings.queue));
        Ok(())
    }

    /// Placement is hot: what runs, or is about to, follows the stored configuration without a deployment.
    pub fn scale(&mut self, environment_id: &str, service_id: &str) {
        let environment = self.environments[environment_id].clone();
        let Some(service) = environment.service(service_id) else {
            return;
        };
        let replicas = config::placement(service, &self.seed.regions);
        if replicas.is_empty() && self.switches.no_regions == NoRegions::Left {
            return;
        }
        let live: Vec<Arc<Deployment>> = self
            .history(&environment, service_id)
            .filter(|deployment| {
                deployment.status.is_unfinished()
                    || matches!(deployment.status, Status::Success | Status::Crashed)
            })
            .cloned()
            .collect();
        for deployment in live {
            let mut scaled = (*deployment).clone();
            let status = match (scaled.stopped, scaled.status) {
                (true, _) => "STOPPED",
                (false, Status::Success) => "RUNNING",
                (false, Status::Crashed) => "CRASHED",
                _ => "CREATED",
            };
            scaled.replicas = replicas.clone();
            self.place(&mut scaled, status);
            if self.switches.scale_moves_manifest {
                scaled.manifest["deploy"]["multiRegionConfig"] =
                    service["deploy"]["multiRegionConfig"].clone();
            }
            self.deployments.insert(scaled.id.clone(), Arc::new(scaled));
        }
    }

    fn say(&mut self, id: &str, building: bool, severity: &'static str, messages: &[String]) {
        let at = self.now;
        let deployment = self.deployment_mut(id);
        let log = if building {
            &mut deployment.build_log
        } else {
            &mut deployment.log
        };
        log.extend(messages.iter().map(|message| Line {
            at,
            severity,
            message: message.clone(),
        }));
    }
}

fn has_healthcheck(deployment: &Deployment) -> bool {
    deployment.manifest["deploy"]["healthcheckPath"]
        .as_str()
        .is_some_and(|path| !path.is_empty())
}
