//! What people do in the dashboard, and the world does by itself, while a controller works.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::deployment::Cause;
use crate::launch::Commit;
use crate::patch::Write;
use crate::refusal::Refusal;
use crate::seed::Known;
use crate::state::{Environment, State};

/// One edit. Environments and services go by name; in patches, service names stand for ids.
#[derive(Clone, Debug)]
pub enum HandEdit {
    SetVariable {
        environment: String,
        service: Option<String>,
        name: String,
        value: String,
        deploy: bool,
    },
    DeleteVariable {
        environment: String,
        service: Option<String>,
        name: String,
        deploy: bool,
    },
    /// Null for a region that is to go.
    Scale {
        environment: String,
        service: String,
        regions: BTreeMap<String, Option<u32>>,
    },
    SetImage {
        environment: String,
        service: String,
        image: String,
        deploy: bool,
    },
    /// Commits any configuration patch.
    Patch {
        environment: String,
        patch: Value,
        deploy: bool,
    },
    /// Leaves changes staged, on top of what is staged already.
    Stage {
        environment: String,
        patch: Value,
    },
    CommitStaged {
        environment: String,
        deploy: bool,
    },
    /// Railway, or a person, deploys again what is stored.
    Redeploy {
        environment: String,
        service: String,
    },
    RestartDeployment {
        environment: String,
        service: String,
    },
    StopDeployment {
        environment: String,
        service: String,
    },
    RemoveDeployment {
        environment: String,
        service: String,
    },
    /// The process that serves gives up.
    Crash {
        environment: String,
        service: String,
    },
    Rename {
        service: String,
        name: String,
    },
    AutoDeploy {
        environment: String,
        service: String,
        enabled: bool,
    },
    /// A push: services that track the branch deploy by themselves.
    PushCommit {
        repo: String,
        branch: String,
        sha: String,
        known: Known,
    },
    /// A tag is moved in the registry; only a service that updates itself deploys by that.
    PushImage {
        image: String,
        digest: String,
    },
    /// A new tag appears in the registry: services that update themselves take it.
    PublishTag {
        image: String,
    },
    /// Railway moves a deployment to another machine: the same again, as a deployment of its own.
    Migrate {
        environment: String,
        service: String,
    },
    /// One process gives up and is started again; the others go on.
    CrashReplica {
        environment: String,
        service: String,
    },
    /// Railway itself is in trouble, or well again.
    Incident {
        message: Option<String>,
    },
    /// Railway makes an environment for it.
    OpenPullRequest {
        repo: String,
        number: u32,
        branch: String,
        title: String,
    },
    ClosePullRequest {
        repo: String,
        number: u32,
    },
    /// Its data grows, or shrinks.
    FillVolume {
        environment: String,
        volume: String,
        used_mb: u32,
    },
    /// Somebody follows the link in the mail about a deleted volume.
    RestoreVolume {
        environment: String,
        volume: String,
    },
    /// The next commit to this environment fails while it is applied.
    FailNextPatch {
        environment: String,
        error: String,
    },
}

const PERSON: &str = "a person in the dashboard";

impl State {
    pub fn by_hand(&mut self, edit: HandEdit) -> Result<(), Refusal> {
        match edit {
            HandEdit::SetVariable {
                environment,
                service,
                name,
                value,
                deploy,
            } => self.hand_patch(
                &environment,
                variable_patch(service, name, &json!({ "value": value })),
                deploy,
            ),
            HandEdit::DeleteVariable {
                environment,
                service,
                name,
                deploy,
            } => self.hand_patch(
                &environment,
                variable_patch(service, name, &Value::Null),
                deploy,
            ),
            HandEdit::Scale {
                environment,
                service,
                regions,
            } => {
                let placed: Map<String, Value> = regions
                    .into_iter()
                    .map(|(region, count)| {
                        (
                            region,
                            count.map_or(Value::Null, |count| json!({ "numReplicas": count })),
                        )
                    })
                    .collect();
                self.hand_patch(&environment, json!({ "services": { service: { "deploy": { "multiRegionConfig": placed } } } }), true)
            }
            HandEdit::SetImage {
                environment,
                service,
                image,
                deploy,
            } => self.hand_patch(
                &environment,
                json!({ "services": { service: { "source": { "image": image } } } }),
                deploy,
            ),
            HandEdit::Patch {
                environment,
                patch,
                deploy,
            } => self.hand_patch(&environment, patch, deploy),
            HandEdit::Stage { environment, patch } => {
                let (id, patch) = self.with_ids(&environment, patch)?;
                self.stage(&id, patch, true, PERSON)
            }
            HandEdit::CommitStaged {
                environment,
                deploy,
            } => {
                let id = self.environment_called(&environment)?.id.clone();
                self.commit_staged(&id, None, PERSON, hand(deploy))
                    .map(|_| ())
            }
            HandEdit::Redeploy {
                environment,
                service,
            } => {
                let (environment, service) = self.instance_called(&environment, &service)?;
                self.deploy(
                    &environment,
                    &service,
                    Commit::Current,
                    Cause {
                        reason: "redeploy",
                        patch_id: None,
                        of: None,
                    },
                )
                .map(|_| ())
            }
            HandEdit::RestartDeployment {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.restart(&id)
            }
            HandEdit::StopDeployment {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.stop(&id)
            }
            HandEdit::RemoveDeployment {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.remove(&id);
                Ok(())
            }
            HandEdit::Crash {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.crash(&id);
                Ok(())
            }
            HandEdit::Rename { service, name } => {
                let found = self.projects.values().find_map(|project| {
                    Some((
                        project.id.clone(),
                        project.service_called(&service)?.id.clone(),
                    ))
                });
                let (project, id) = found.ok_or_else(Refusal::not_authorized)?;
                self.rename_service(&project, &id, &name);
                Ok(())
            }
            HandEdit::AutoDeploy {
                environment,
                service,
                enabled,
            } => {
                let (environment, service) = self.instance_called(&environment, &service)?;
                self.environment_mut(&environment)
                    .instances
                    .get_mut(&service)
                    .expect("the instance was just found")
                    .auto_deploy = enabled;
                Ok(())
            }
            HandEdit::PushCommit {
                repo,
                branch,
                sha,
                known,
            } => {
                self.push(&repo, &branch, &sha, known);
                Ok(())
            }
            HandEdit::PushImage { image, digest } => {
                self.digests.insert(image.clone(), digest);
                self.published(&image);
                Ok(())
            }
            HandEdit::PublishTag { image } => {
                self.published(&image);
                Ok(())
            }
            HandEdit::Migrate {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.migrate(&id)
            }
            HandEdit::CrashReplica {
                environment,
                service,
            } => {
                let id = self.serving(&environment, &service)?;
                self.crash_replica(&id);
                Ok(())
            }
            HandEdit::Incident { message } => {
                self.incident = message;
                Ok(())
            }
            HandEdit::OpenPullRequest {
                repo,
                number,
                branch,
                title,
            } => self.open_pull_request(&repo, number, &branch, &title),
            HandEdit::ClosePullRequest { repo, number } => {
                self.close_pull_request(&repo, number);
                Ok(())
            }
            HandEdit::FillVolume {
                environment,
                volume,
                used_mb,
            } => {
                let (environment, id) = self.volume_called(&environment, &volume)?;
                if let Some(volume) = self.volume_mut(&environment, &id) {
                    volume.used_mb = f64::from(used_mb);
                }
                Ok(())
            }
            HandEdit::RestoreVolume {
                environment,
                volume,
            } => {
                let (environment, id) = self.volume_called(&environment, &volume)?;
                self.restore_deleted(&environment, &id);
                Ok(())
            }
            HandEdit::FailNextPatch { environment, error } => {
                let id = self.environment_called(&environment)?.id.clone();
                self.environment_mut(&id).next_patch_fails = Some(error);
                Ok(())
            }
        }
    }

    /// A commit of its own, past anything that is staged.
    fn hand_patch(&mut self, environment: &str, patch: Value, deploy: bool) -> Result<(), Refusal> {
        let (id, patch) = self.with_ids(environment, patch)?;
        let patch = self.checked(&id, patch)?;
        let services = self.change(&id, &patch, &hand(deploy));
        for service in services {
            self.deploy(
                &id,
                &service,
                Commit::Current,
                Cause {
                    reason: "deploy",
                    patch_id: None,
                    of: None,
                },
            )?;
        }
        Ok(())
    }

    fn environment_called(&self, name: &str) -> Result<&Environment, Refusal> {
        self.environments
            .values()
            .find(|environment| environment.name == name)
            .map(|found| &**found)
            .ok_or_else(Refusal::not_authorized)
    }

    fn instance_called(
        &self,
        environment: &str,
        service: &str,
    ) -> Result<(String, String), Refusal> {
        let environment = self.environment_called(environment)?;
        let id = self.projects[&environment.project_id]
            .service_called(service)
            .ok_or_else(Refusal::not_authorized)?
            .id
            .clone();
        Ok((environment.id.clone(), id))
    }

    fn volume_called(&self, environment: &str, name: &str) -> Result<(String, String), Refusal> {
        let environment = self.environment_called(environment)?;
        let mut volumes = self.projects[&environment.project_id].volumes.values();
        let volume = volumes
            .find(|volume| {
                volume.name == name && environment.volume_instances.contains_key(&volume.id)
            })
            .ok_or_else(Refusal::not_authorized)?;
        Ok((environment.id.clone(), volume.id.clone()))
    }

    fn serving(&self, environment: &str, service: &str) -> Result<String, Refusal> {
        let (environment, service) = self.instance_called(environment, service)?;
        let active = self.active(&self.environments[&environment], &service);
        active
            .map(|active| active.id.clone())
            .ok_or_else(|| Refusal::bad_input("nothing is running"))
    }

    /// The environment's id, and the patch with service names turned into ids.
    fn with_ids(&self, environment: &str, mut patch: Value) -> Result<(String, Value), Refusal> {
        let environment = self.environment_called(environment)?;
        let project = &self.projects[&environment.project_id];
        if let Some(services) = patch.get_mut("services").and_then(Value::as_object_mut) {
            let id_of = |name: String| {
                project
                    .service_called(&name)
                    .map_or(name, |service| service.id.clone())
            };
            *services = std::mem::take(services)
                .into_iter()
                .map(|(name, part)| (id_of(name), part))
                .collect();
        }
        Ok((environment.id.clone(), patch))
    }
}

pub fn hand(deploy: bool) -> Write {
    Write {
        mutation: "by hand",
        skip_deploys: !deploy,
        by_hand: true,
        ..Write::default()
    }
}

fn variable_patch(service: Option<String>, name: String, value: &Value) -> Value {
    match service {
        Some(service) => json!({ "services": { service: { "variables": { name: value } } } }),
        None => json!({ "sharedVariables": { name: value } }),
    }
}
