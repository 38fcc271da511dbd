//! What is done to a deployment that runs: stop, restart, scale, put to sleep and wake; and approve or cancel one that does not yet.

use std::sync::Arc;

use crate::config;
use crate::deployment::{Deployment, Status};
use crate::refusal::Refusal;
use crate::rollout::restarts_always;
use crate::seed::Outcome;
use crate::state::{Due, State};
use crate::switches::NoRegions;

impl State {
    /// A process that serves ends with an error.
    pub fn crash(&mut self, id: &str) {
        let deployment = self.deployments[id].clone();
        if deployment.status != Status::Success || deployment.stopped {
            return;
        }
        let known = self.known(&deployment.release);
        self.say(id, false, "error", &known.log);
        if restarts_always(&deployment) {
            self.deployment_mut(id).all_replicas("RESTARTING");
            let deployment = id.to_string();
            self.later(self.seed.timings.restart, Due::Restarted { deployment });
        } else {
            self.enter(id, Status::Crashed, None);
        }
    }

    /// One of several processes ends, and is started again.
    pub fn crash_replica(&mut self, id: &str) {
        let deployment = self.deployment_mut(id);
        let mut replicas = deployment.instances.iter_mut();
        let Some(replica) = replicas.find(|replica| replica.status == "RUNNING") else {
            return;
        };
        replica.status = "RESTARTING";
        let deployment = id.to_string();
        self.later(self.seed.timings.restart, Due::ReplicaBack { deployment });
    }

    pub fn replica_back(&mut self, id: &str) {
        let deployment = self.deployment_mut(id);
        if deployment.status == Status::Success && !deployment.stopped {
            let mut replicas = deployment.instances.iter_mut();
            if let Some(replica) = replicas.find(|replica| replica.status == "RESTARTING") {
                replica.status = "RUNNING";
            }
        }
    }

    pub fn stop(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.deployment(id)?.status.is_live() {
            return Err(Refusal::bad_input("Deployment is not running"));
        }
        let now = self.now;
        let deployment = self.deployment_mut(id);
        deployment.stopped = true;
        deployment.updated = now;
        deployment.all_replicas("STOPPED");
        Ok(())
    }

    /// In place: the same id, code and configuration.
    pub fn restart(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.deployment(id)?.status.is_live() {
            return Err(Refusal::bad_input("Deployment is not running"));
        }
        let (now, shows) = (self.now, self.switches.restart_shows);
        let deployment = self.deployment_mut(id);
        deployment.stopped = false;
        if shows {
            deployment.updated = now;
        }
        deployment.all_replicas("RESTARTING");
        let deployment = id.to_string();
        self.later(self.seed.timings.restart, Due::Restarted { deployment });
        Ok(())
    }

    pub fn restarted(&mut self, id: &str) {
        let deployment = &self.deployments[id];
        if deployment.stopped || !deployment.status.is_live() {
            return;
        }
        let (was, updated, known) = (
            deployment.status,
            deployment.updated,
            self.known(&deployment.release),
        );
        let always = restarts_always(deployment);
        self.say_started(id);
        let recovers = known.outcome != Outcome::Crashed;
        if was == Status::Sleeping || (was == Status::Crashed && recovers) {
            self.enter(id, Status::Success, None);
        }
        let now = self.now;
        let deployment = self.deployment_mut(id);
        let is_up = deployment.status == Status::Success;
        (deployment.updated, deployment.traffic_at) = (updated, now);
        deployment.all_replicas(if is_up { "RUNNING" } else { "CRASHED" });
        if let (true, true, Outcome::Crashed, Some(seconds)) =
            (is_up, always, known.outcome, known.after_seconds)
        {
            let deployment = id.to_string();
            self.later(seconds, Due::Crash { deployment });
        }
        if was == Status::Sleeping {
            self.sleep_later(id);
        }
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

    /// Puts an idle deployment to sleep, or looks again when it may have become idle.
    pub fn maybe_sleep(&mut self, id: &str) {
        let deployment = &self.deployments[id];
        if deployment.status != Status::Success || deployment.stopped {
            return;
        }
        let idle_at = deployment.traffic_at.plus_seconds(self.seed.timings.idle);
        if idle_at <= self.now {
            self.enter(id, Status::Sleeping, None);
        } else {
            self.sleep_later(id);
        }
    }

    /// From now on it sleeps when it is idle, if that is wanted.
    pub fn may_sleep(&mut self, id: &str) {
        if self.deployments[id].manifest["deploy"]["sleepApplication"] == true {
            self.sleep_later(id);
        }
    }

    fn sleep_later(&mut self, id: &str) {
        let idle_at = self.deployments[id]
            .traffic_at
            .plus_seconds(self.seed.timings.idle);
        let seconds = (idle_at.0 - self.now.0) as f64 / 1000.0;
        let deployment = id.to_string();
        self.later(seconds, Due::Sleep { deployment });
    }

    /// Traffic has come: a sleeping deployment is up again.
    pub fn woken(&mut self, id: &str) {
        if self.deployments[id].status == Status::Sleeping {
            self.enter(id, Status::Success, None);
            self.say_started(id);
            let now = self.now;
            self.deployment_mut(id).traffic_at = now;
            self.sleep_later(id);
        }
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
            .filter(|deployment| deployment.status.is_unfinished() || deployment.status.is_live())
            .filter(|deployment| {
                let file = deployment.file.as_ref();
                !file.is_some_and(|file| file.owns_placement())
            })
            .cloned()
            .collect();
        for deployment in live {
            let mut scaled = (*deployment).clone();
            let status = match (scaled.stopped, scaled.status) {
                (true, _) | (false, Status::Sleeping) => "STOPPED",
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
}
