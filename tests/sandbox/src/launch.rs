//! New deployments: from stored configuration, or from an older deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::config;
use crate::config_file::ConfigFile;
use crate::deployment::{Cause, Deployment, Release, Replica, Status, can_redeploy};
use crate::refusal::Refusal;
use crate::seed::Outcome;
use crate::state::{Due, Environment, State};
use crate::switches::{PatchCommitSha, PeakHours, RedeployVariables};
use crate::variables;

/// Seconds that a free deployment waits while others pay.
const QUEUE_AT_PEAK: f64 = 600.0;

/// Everything a deployment runs with.
struct Load {
    release: Release,
    builds: bool,
    manifest: Value,
    mounts: Vec<String>,
    variables: BTreeMap<String, String>,
    sealed: BTreeSet<String>,
    replicas: BTreeMap<String, u32>,
    password: Option<String>,
    file: Option<Arc<ConfigFile>>,
}

/// Which commit a new deployment of a repository takes.
#[derive(Clone, Copy)]
pub enum Commit<'c> {
    /// The one associated with the service.
    Current,
    /// The newest of the branch.
    Latest,
    This(&'c str),
}

impl State {
    /// Deploys what is stored; answers the new deployment's id, or None for a service without a source.
    pub fn deploy(
        &mut self,
        environment_id: &str,
        service_id: &str,
        commit: Commit<'_>,
        cause: Cause,
    ) -> Result<Option<String>, Refusal> {
        let environment = self.environment(environment_id)?.clone();
        if !environment.instances.contains_key(service_id) {
            return Err(Refusal::not_authorized());
        }
        self.check_hours()?;
        let Some(load) = self.stored_load(&environment, service_id, &commit)? else {
            return Ok(None);
        };
        Ok(Some(self.start(&environment, service_id, load, cause)))
    }

    /// By day, what runs for nothing has to wait or is turned away.
    fn check_hours(&self) -> Result<(), Refusal> {
        if self.is_peak(PeakHours::Rejected) {
            return Err(Refusal::bad_input(
                "Deploys from free plans are restricted in us-west2 during peak hours, 8 AM to 8 PM",
            ));
        }
        Ok(())
    }

    fn is_peak(&self, answer: PeakHours) -> bool {
        self.seed.plan.is_unpaid() && self.switches.peak_hours == answer
    }

    /// A new deployment from the kept image and with the variables and settings of an old one.
    pub fn rollback(&mut self, id: &str) -> Result<String, Refusal> {
        let old = self.deployment(id)?.clone();
        if !self.can_rollback(&old) {
            return Err(Refusal::bad_input("Deployment cannot be rolled back"));
        }
        let environment = self.environment(&old.environment_id)?.clone();
        let patch_id = old
            .cause
            .patch_id
            .clone()
            .filter(|_| self.switches.rollback_copies_patch_id);
        let cause = Cause {
            reason: "rollback",
            patch_id,
            of: Some(old.id.clone()),
        };
        Ok(self.start(
            &environment,
            &old.service_id,
            Load {
                builds: false,
                ..load_of(&old)
            },
            cause,
        ))
    }

    /// The same source again: rebuilt, or from the kept image.
    pub fn redeploy(&mut self, id: &str, previous_image: bool) -> Result<String, Refusal> {
        let old = self.deployment(id)?.clone();
        if !can_redeploy(&old) {
            return Err(Refusal::bad_input("Deployment cannot be redeployed"));
        }
        if previous_image && !self.has_image(&old) {
            return Err(Refusal::problem());
        }
        let environment = self.environment(&old.environment_id)?.clone();
        let mut load = load_of(&old);
        if self.switches.redeploy_variables == RedeployVariables::Current
            && let Some(stored) =
                self.stored_load(&environment, &old.service_id, &Commit::Current)?
        {
            load = Load {
                release: old.release.clone(),
                builds: old.release.repo.is_some(),
                ..stored
            };
        }
        load.builds = load.release.repo.is_some() && !previous_image;
        if self.switches.redeploy_pulls
            && !previous_image
            && let Some(image) = &load.release.image
        {
            load.release.digest = Some(self.digest(image));
        }
        let cause = Cause {
            reason: "redeploy",
            patch_id: None,
            of: Some(old.id.clone()),
        };
        Ok(self.start(&environment, &old.service_id, load, cause))
    }

    /// The same image and configuration on another machine.
    pub fn migrate(&mut self, id: &str) -> Result<(), Refusal> {
        let old = self.deployment(id)?.clone();
        let environment = self.environment(&old.environment_id)?.clone();
        let load = Load {
            builds: false,
            ..load_of(&old)
        };
        let cause = Cause {
            reason: "migrate",
            patch_id: None,
            of: Some(old.id.clone()),
        };
        self.start(&environment, &old.service_id, load, cause);
        Ok(())
    }

    /// The newest deployment's release again, with what is stored now.
    pub fn redeploy_latest(
        &mut self,
        environment_id: &str,
        service_id: &str,
    ) -> Result<Option<String>, Refusal> {
        let environment = self.environment(environment_id)?.clone();
        let Some(newest) = self.newest(&environment, service_id).cloned() else {
            return Err(Refusal::bad_input("Service has no deployment to redeploy"));
        };
        let commit = newest
            .release
            .commit
            .as_deref()
            .map_or(Commit::Current, Commit::This);
        let Some(mut load) = self.stored_load(&environment, service_id, &commit)? else {
            return Ok(None);
        };
        if !self.switches.redeploy_pulls && load.release.image == newest.release.image {
            load.release.digest = newest.release.digest.clone();
        }
        Ok(Some(self.start(
            &environment,
            service_id,
            load,
            Cause {
                reason: "redeploy",
                patch_id: None,
                of: Some(newest.id.clone()),
            },
        )))
    }

    fn stored_load(
        &self,
        environment: &Environment,
        service_id: &str,
        commit: &Commit<'_>,
    ) -> Result<Option<Load>, Refusal> {
        let Some(service) = environment.service(service_id) else {
            return Ok(None);
        };
        let Some(release) = self.stored_release(environment, service_id, service, commit)? else {
            return Ok(None);
        };
        let file = self.config_file(environment, service, &release);
        let service = &match &file {
            Some(file) => file.over(service),
            None => service.clone(),
        };
        Ok(Some(Load {
            builds: release.repo.is_some(),
            release,
            file,
            manifest: config::manifest(service),
            mounts: config::entries(service.get("volumeMounts"))
                .filter_map(|(_, mount)| Some(mount.get("mountPath")?.as_str()?.to_string()))
                .collect(),
            variables: variables::rendered(self, environment, Some(service_id)),
            sealed: variables::sealed_names(service),
            replicas: config::placement(service, &self.seed.regions),
            password: service
                .pointer("/deploy/registryCredentials/password")
                .and_then(Value::as_str)
                .map(str::to_string),
        }))
    }

    fn stored_release(
        &self,
        environment: &Environment,
        service_id: &str,
        service: &Value,
        commit: &Commit<'_>,
    ) -> Result<Option<Release>, Refusal> {
        let text = |key| {
            config::setting(service, "source", key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_string)
        };
        if let Some(image) = text("image") {
            if let Commit::This(_) = commit {
                return Err(Refusal::internal("Commit not found"));
            }
            return Ok(Some(Release {
                digest: Some(self.digest(&image)),
                image: Some(image),
                ..Release::default()
            }));
        }
        let Some(repo) = text("repo") else {
            return Ok(None);
        };
        let branch = text("branch").unwrap_or_else(|| "main".to_string());
        let head = || self.heads.get(&(repo.clone(), branch.clone())).cloned();
        let last = || {
            self.newest(environment, service_id)
                .and_then(|newest| newest.release.commit.clone())
        };
        let stored = || {
            text("commitSha").filter(|_| self.switches.patch_commit_sha == PatchCommitSha::Honoured)
        };
        let sha = match commit {
            Commit::This(sha) if !self.commit_exists(sha) => {
                return Err(Refusal::internal("Commit not found"));
            }
            Commit::This(sha) => Some(sha.to_string()),
            Commit::Latest => head(),
            Commit::Current => stored().or_else(last).or_else(head),
        };
        let known = sha.as_ref().and_then(|sha| self.known_commit(sha));
        let message = known.and_then(|known| known.message.clone());
        let author = known.and_then(|known| known.author.clone());
        Ok(Some(Release {
            repo: Some(repo),
            branch: Some(branch),
            commit: sha,
            message,
            author,
            image: None,
            digest: None,
        }))
    }

    fn start(
        &mut self,
        environment: &Arc<Environment>,
        service_id: &str,
        load: Load,
        cause: Cause,
    ) -> String {
        self.supersede(environment, service_id);
        let Load {
            release,
            builds,
            manifest,
            mounts,
            variables,
            sealed,
            replicas,
            password,
            file,
        } = load;
        let (id, snapshot_id) = (self.random.uuid(), self.random.uuid());
        let waits =
            self.known(&release).outcome == Outcome::NeedsApproval && cause.reason != "rollback";
        let mut deployment = Deployment {
            id: id.clone(),
            snapshot_id,
            project_id: environment.project_id.clone(),
            environment_id: environment.id.clone(),
            service_id: service_id.to_string(),
            status: if waits {
                Status::NeedsApproval
            } else {
                Status::Queued
            },
            status_at: self.now,
            created: self.now,
            updated: self.now,
            stopped: false,
            ran: false,
            removed_at: None,
            cause,
            release,
            builds,
            manifest,
            mounts,
            variables,
            sealed,
            replicas,
            instances: Vec::new(),
            build_log: Vec::new(),
            log: Vec::new(),
            steps: Vec::new(),
            waits_for: Vec::new(),
            traffic_at: self.now,
            password,
            file,
        };
        let own = [
            ("RAILWAY_DEPLOYMENT_ID", Some(id.clone())),
            ("RAILWAY_SNAPSHOT_ID", Some(deployment.snapshot_id.clone())),
            ("RAILWAY_GIT_COMMIT_SHA", deployment.release.commit.clone()),
            ("RAILWAY_GIT_BRANCH", deployment.release.branch.clone()),
            ("RAILWAY_GIT_AUTHOR", deployment.release.author.clone()),
            (
                "RAILWAY_GIT_COMMIT_MESSAGE",
                deployment.release.message.clone(),
            ),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                deployment.variables.insert(name.to_string(), value);
            }
        }
        self.place(&mut deployment, "CREATED");
        self.deployments.insert(id.clone(), Arc::new(deployment));
        self.tell_deployment(&id);
        let etag_moves = self.switches.etag_moves_on_deploy;
        let environment = self.environment_mut(&environment.id);
        environment.etag += u64::from(etag_moves);
        environment
            .instances
            .get_mut(service_id)
            .expect("a deployed service has an instance")
            .deployments
            .push(id.clone());
        if !waits {
            let is_queued = self.is_peak(PeakHours::Queued);
            let extra = if is_queued { QUEUE_AT_PEAK } else { 0.0 };
            self.later(
                self.seed.timings.queue + extra,
                Due::Advance {
                    deployment: id.clone(),
                },
            );
        }
        id
    }

    /// Deployments of one batch come after those of the services that theirs refers to.
    pub fn order(&mut self, environment_id: &str, batch: &[String]) {
        let environment = self.environments[environment_id].clone();
        let by_service: BTreeMap<String, String> = batch
            .iter()
            .map(|id| (self.deployments[id].service_id.clone(), id.clone()))
            .collect();
        let refers: BTreeMap<&String, BTreeSet<String>> = by_service
            .keys()
            .map(|service| (service, self.referred(&environment, service)))
            .collect();
        for (service, id) in &by_service {
            // In a circle of references nobody waits for anybody.
            let first = refers[service]
                .iter()
                .filter(|other| {
                    by_service.contains_key(*other) && !reaches(&refers, other, service)
                })
                .map(|other| by_service[other].clone())
                .collect();
            self.deployment_mut(id).waits_for = first;
        }
    }

    /// The services that the variables of one refer to.
    fn referred(&self, environment: &Environment, service_id: &str) -> BTreeSet<String> {
        let project = &self.projects[&environment.project_id];
        variables::stored(environment, Some(service_id))
            .flat_map(|(_, value)| variables::references(value))
            .filter_map(|reference| {
                let (name, _) = reference.split_once('.')?;
                project.service_called(name).map(|found| found.id.clone())
            })
            .collect()
    }

    /// A newer deployment ends the unfinished ones.
    fn supersede(&mut self, environment: &Environment, service_id: &str) {
        let unfinished: Vec<String> = self
            .history(environment, service_id)
            .filter(|deployment| deployment.status.is_unfinished())
            .map(|deployment| deployment.id.clone())
            .collect();
        for id in unfinished {
            self.removed(&id);
        }
    }

    /// One replica entry per placed replica; the ones that stay keep their ids.
    pub fn place(&mut self, deployment: &mut Deployment, status: &'static str) {
        let mut placed = Vec::new();
        for (region, count) in deployment.replicas.clone() {
            let mut kept: Vec<Replica> = deployment
                .instances
                .iter()
                .filter(|replica| replica.region == region)
                .cloned()
                .collect();
            kept.truncate(count as usize);
            while kept.len() < count as usize {
                kept.push(Replica {
                    id: self.random.uuid(),
                    region: region.clone(),
                    status,
                });
            }
            placed.append(&mut kept);
        }
        deployment.instances = placed;
    }
}

/// Whether references lead from one service to the other.
fn reaches(refers: &BTreeMap<&String, BTreeSet<String>>, from: &String, to: &String) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            open.extend(refers.get(at).into_iter().flatten());
        }
    }
    false
}

fn load_of(old: &Deployment) -> Load {
    Load {
        release: old.release.clone(),
        builds: old.builds,
        manifest: old.manifest.clone(),
        mounts: old.mounts.clone(),
        variables: old.variables.clone(),
        sealed: old.sealed.clone(),
        replicas: old.replicas.clone(),
        password: old.password.clone(),
        file: old.file.clone(),
    }
}
