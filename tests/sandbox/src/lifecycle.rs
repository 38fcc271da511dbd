//! How deployments live: through their stages, into failure, and out of the way of newer ones.

use std::sync::Arc;

use serde_json::json;

use crate::deployment::{Deployment, Line, Status};
use crate::rollout::{End, restarts_always, retries};
use crate::seed::{Checks, Known, Outcome};
use crate::state::{Due, State};

/// A replica may not say more in one moment.
const MOST_LINES: usize = 500;

impl State {
    /// The next stage of a deployment that is under way.
    pub fn advance_deployment(&mut self, id: &str) {
        let deployment = self.deployments[id].clone();
        let known = self.known(&deployment.release);
        let timings = self.seed.timings.clone();
        match deployment.status {
            Status::Waiting if known.checks == Checks::Fail => {
                self.enter(id, Status::Skipped, None);
            }
            Status::Waiting => self.enter(id, Status::Queued, Some(timings.queue)),
            Status::Queued => {
                self.enter(id, Status::Initializing, Some(timings.initialize));
                if deployment.builds {
                    self.begin_step(id, "SNAPSHOT_CODE", timings.initialize);
                }
            }
            Status::Initializing if deployment.builds => {
                self.enter(id, Status::Building, Some(timings.build));
                self.begin_step(id, "BUILD_IMAGE", timings.build);
            }
            Status::Building if known.outcome == Outcome::Failed => {
                self.fail(id, &known, "build failed");
            }
            Status::Initializing if known.outcome == Outcome::Failed => {
                self.begin_step(id, "CREATE_CONTAINER", 0.0);
                self.fail(id, &known, "failed to pull the image");
            }
            Status::Initializing if is_locked(&known, &deployment) => {
                self.begin_step(id, "CREATE_CONTAINER", 0.0);
                let known = Known::default();
                self.fail(id, &known, "failed to pull the image: unauthorized");
            }
            Status::Initializing | Status::Building => self.begin_rollout(&deployment, &known),
            Status::Deploying => match self.rollout(&deployment, &known).end {
                End::Up => self.succeed(id, &known),
                End::Failed(why) => self.fail(id, &known, why),
                End::Crashed => self.give_up(id, &known),
            },
            Status::NeedsApproval
            | Status::Success
            | Status::Sleeping
            | Status::Failed
            | Status::Crashed
            | Status::Skipped
            | Status::Removing
            | Status::Removed => {}
        }
    }

    /// DEPLOYING, once those of the same batch are up that it refers to.
    fn begin_rollout(&mut self, deployment: &Deployment, known: &Known) {
        let id = deployment.id.as_str();
        let waits = deployment.waits_for.iter().any(|other| {
            self.deployments.get(other).is_some_and(|other| {
                other.status.is_unfinished()
                    && !matches!(other.status, Status::NeedsApproval | Status::Waiting)
            })
        });
        let is_told = || {
            deployment
                .steps
                .iter()
                .any(|step| step.name == "WAIT_FOR_DEPENDENCIES")
        };
        if waits {
            if !is_told() {
                self.open_step(id, "WAIT_FOR_DEPENDENCIES");
            }
            let deployment = id.to_string();
            return self.later(1.0, Due::Advance { deployment });
        }
        if is_told() {
            self.end_steps(id, &json!({}));
        }
        let rollout = self.rollout(deployment, known);
        self.begin_steps(id, &rollout.steps);
        self.enter(id, Status::Deploying, Some(rollout.seconds()));
        if !deployment.mounts.is_empty() {
            let deployment = id.to_string();
            let until = rollout.seconds_before_container();
            self.later(until, Due::TakeVolume { deployment });
        }
        self.begin_migration(deployment);
    }

    pub fn enter(&mut self, id: &str, status: Status, seconds: Option<f64>) {
        let now = self.now;
        let deployment = self.deployment_mut(id);
        deployment.status = status;
        deployment.status_at = now;
        deployment.updated = now;
        let replicas = match status {
            Status::Initializing | Status::Building | Status::Deploying => "INITIALIZING",
            Status::Success => "RUNNING",
            Status::Sleeping => "STOPPED",
            Status::Crashed => "CRASHED",
            Status::Failed | Status::Removed => "REMOVED",
            Status::Removing => "REMOVING",
            Status::Skipped => "SKIPPED",
            Status::Waiting | Status::NeedsApproval | Status::Queued => "CREATED",
        };
        deployment.all_replicas(replicas);
        self.tell_deployment(id);
        if let Some(seconds) = seconds {
            let deployment = id.to_string();
            self.later(seconds, Due::Advance { deployment });
        }
    }

    fn fail(&mut self, id: &str, known: &Known, why: &str) {
        let building = self.deployments[id].status == Status::Building;
        let reason = known.log.first().map_or(why, String::as_str).to_string();
        self.say(id, building, "error", &known.log);
        self.say(id, building, "error", &[why.to_string()]);
        self.end_steps(id, &json!({ "error": reason, "reason": why }));
        self.enter(id, Status::Failed, None);
        self.give_volume_back(id);
    }

    /// The restart policy has run out.
    fn give_up(&mut self, id: &str, known: &Known) {
        let times = retries(&self.deployments[id]);
        self.say(id, false, "error", &known.log);
        if times > 0 {
            let restarts = format!("restarted {times} times, giving up");
            self.say(id, false, "error", &[restarts]);
        }
        let reason = known.log.first().cloned();
        self.end_steps(id, &json!({ "error": reason, "reason": "crashed" }));
        self.enter(id, Status::Crashed, None);
        self.give_volume_back(id);
    }

    fn succeed(&mut self, id: &str, known: &Known) {
        self.enter(id, Status::Success, None);
        let now = self.now;
        let deployment = self.deployment_mut(id);
        (deployment.ran, deployment.traffic_at) = (true, now);
        self.say_started(id);
        let deployment = self.deployments[id].clone();
        let always = restarts_always(&deployment);
        match (known.outcome, known.after_seconds) {
            (Outcome::Crashed, Some(seconds)) => {
                let deployment = id.to_string();
                self.later(seconds, Due::Crash { deployment });
            }
            (Outcome::Crashed, None) => {
                self.say(id, false, "error", &known.log);
                self.deployment_mut(id).all_replicas("RESTARTING");
            }
            (Outcome::Exits, _) if !always => {
                self.say(id, false, "info", &known.log);
                self.deployment_mut(id).all_replicas("EXITED");
            }
            _ => self.say(id, false, "info", &known.log),
        }
        self.may_sleep(id);
        let environment = self.environments[&deployment.environment_id].clone();
        let older: Vec<Arc<Deployment>> = self
            .history(&environment, &deployment.service_id)
            .filter(|other| other.id != id && other.status.is_live())
            .cloned()
            .collect();
        if let Some(other) = older.last() {
            self.begin_step(id, "DRAIN_INSTANCES", other.seconds_to_remove());
        }
        for other in older {
            self.remove(&other.id);
        }
    }

    /// REMOVING now, REMOVED after overlap and draining.
    pub fn remove(&mut self, id: &str) {
        let until = self.seed.timings.remove + self.deployments[id].seconds_to_remove();
        self.enter(id, Status::Removing, None);
        let deployment = id.to_string();
        self.later(until, Due::Remove { deployment });
    }

    pub fn removed(&mut self, id: &str) {
        let was_unfinished = self.deployments[id].status.is_unfinished();
        self.end_steps(id, &json!({ "reason": "removed" }));
        self.enter(id, Status::Removed, None);
        let now = self.now;
        self.deployment_mut(id).removed_at = Some(now);
        if was_unfinished {
            self.give_volume_back(id);
        }
    }

    /// Two containers never hold one volume: the one before stops first.
    pub fn take_volume(&mut self, id: &str) {
        if self.deployments[id].status == Status::Deploying {
            for other in self.siblings_alive(id) {
                self.deployment_mut(&other).all_replicas("STOPPED");
            }
        }
    }

    fn give_volume_back(&mut self, id: &str) {
        if self.deployments[id].mounts.is_empty() {
            return;
        }
        for other in self.siblings_alive(id) {
            let deployment = self.deployment_mut(&other);
            if deployment.status == Status::Success && !deployment.stopped {
                deployment.all_replicas("RUNNING");
            }
        }
    }

    fn siblings_alive(&self, id: &str) -> Vec<String> {
        let deployment = &self.deployments[id];
        let Some(environment) = self.environments.get(&deployment.environment_id) else {
            return Vec::new();
        };
        self.history(environment, &deployment.service_id)
            .filter(|other| other.id != id && other.status.is_live())
            .map(|other| other.id.clone())
            .collect()
    }

    /// Railway's own line, before anything that the application says.
    pub fn say_started(&mut self, id: &str) {
        self.say(id, false, "info", &["Starting Container".to_string()]);
    }

    pub fn say(&mut self, id: &str, building: bool, severity: &'static str, messages: &[String]) {
        let at = self.now;
        let deployment = self.deployment_mut(id);
        let log = if building {
            &mut deployment.build_log
        } else {
            &mut deployment.log
        };
        let said = messages.iter().take(MOST_LINES);
        log.extend(said.map(|message| Line::new(at, severity, message)));
        if let Some(dropped) = messages
            .len()
            .checked_sub(MOST_LINES)
            .filter(|few| *few > 0)
        {
            let told = format!(
                "Railway rate limit of {MOST_LINES} logs/sec reached for replica. Messages dropped: {dropped}"
            );
            log.push(Line::new(at, "warn", &told));
        }
    }
}

/// Whether it is private and the service's credentials do not open it.
fn is_locked(known: &Known, deployment: &Deployment) -> bool {
    known.password.is_some() && known.password != deployment.password
}
