//! The root fields of mutations, and the objects they answer with.

mod change_sets;
mod configuration;
mod deployments;
mod networking;
mod projects;
mod services;
mod volumes;

use std::cell::RefCell;
use std::sync::Arc;

use apollo_compiler::Name;
use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use serde_json::Value;

use crate::access::Caller;
use crate::language::Language;
use crate::node::{Asked, Node, Scene, field_error, resolve};
use crate::nothing::nothing;
use crate::refusal::Refusal;
use crate::seed::TokenKind;
use crate::state::{Project, State};

/// The state that mutations write to, one after the other.
pub struct Root<'m>(RefCell<Session<'m>>);

struct Session<'m> {
    state: &'m mut Arc<State>,
    caller: Caller,
    language: Arc<Language>,
}

/// What a mutation answers.
enum Done {
    Leaf(JsonValue),
    Plain(Value),
    Object(Which, String),
}

#[derive(Clone, Copy)]
enum Which {
    Project,
    Environment,
    Service,
    Deployment,
    Staged,
    Volume,
}

impl<'m> Root<'m> {
    pub fn new(state: &'m mut Arc<State>, caller: Caller, language: Arc<Language>) -> Root<'m> {
        Root(RefCell::new(Session {
            state,
            caller,
            language,
        }))
    }
}

impl ObjectValue for Root<'_> {
    fn type_name(&self) -> &str {
        "Mutation"
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let mut session = self.0.borrow_mut();
        let asked = Asked {
            field: info.field_name(),
            arguments: info.arguments(),
        };
        if !session.language.models("Mutation", asked.field) {
            let told = format!("the sandbox does not model {}", asked.field);
            return Err(field_error(&Refusal::internal(&told)));
        }
        let done = session
            .perform(&asked)
            .map_err(|refusal| field_error(&refusal))?;
        let (scene, type_name) = (
            || {
                Scene::new(
                    session.state.clone(),
                    session.caller.clone(),
                    session.language.clone(),
                )
            },
            info.field_definition().ty.inner_named_type().clone(),
        );
        Ok(match done {
            Done::Leaf(value) => ResolvedValue::Leaf(value),
            done => ResolvedValue::object(Outcome {
                scene: scene(),
                done,
                type_name,
            }),
        })
    }
}

/// An object that a mutation answered, in the state right after it.
struct Outcome {
    scene: Scene,
    done: Done,
    type_name: Name,
}

impl ObjectValue for Outcome {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let language = &self.scene.language;
        if !language.models(&self.type_name, info.field_name()) {
            return Ok(nothing(&self.scene, &info.field_definition().ty));
        }
        let state = &self.scene.state;
        let node = match &self.done {
            Done::Leaf(_) => unreachable!("leaves are answered without an object"),
            Done::Plain(value) => Ok(Node::Plain(std::borrow::Cow::Borrowed(value))),
            Done::Object(Which::Project, id) => {
                state.project(id).map(|project| Node::Project(project))
            }
            Done::Object(Which::Environment, id) => state
                .environment(id)
                .map(|environment| Node::Environment(environment)),
            Done::Object(Which::Service, id) => state
                .project_of_service(id)
                .map(|project| Node::Service(project, &project.services[id])),
            Done::Object(Which::Deployment, id) => state
                .deployment(id)
                .map(|deployment| Node::Deployment(deployment)),
            Done::Object(Which::Volume, id) => state
                .projects
                .values()
                .find_map(|project| Some(Node::Volume(project, project.volumes.get(id)?)))
                .ok_or_else(Refusal::not_authorized),
            Done::Object(Which::Staged, id) => state
                .environment(id)
                .map(|environment| Node::Patch(environment, &environment.staged)),
        };
        resolve(
            &self.scene,
            &node.map_err(|refusal| field_error(&refusal))?,
            info,
        )
    }
}

fn yes() -> Result<Done, Refusal> {
    Ok(Done::Leaf(true.into()))
}

impl Session<'_> {
    fn perform(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        self.caller.check_writer()?;
        match asked.field {
            "environmentPatchCommit" => self.patch_commit(asked),
            "environmentPatchCommitStaged" => self.commit_staged(asked),
            "environmentPreviewChangeSet" => self.change_set_preview(asked),
            "environmentApplyChangeSet" => self.change_set_apply(asked),
            "environmentStageChanges" => self.stage(asked),
            "variableUpsert" | "variableDelete" | "variableCollectionUpsert" => {
                self.write_variables(asked)
            }
            "serviceInstanceUpdate" => self.instance_update(asked),
            "serviceInstanceLimitsUpdate" => self.limits_update(asked),
            "serviceInstanceAutoDeployUpdate" => self.auto_deploy(asked),
            "serviceInstanceDeployV2"
            | "serviceInstanceDeploy"
            | "serviceInstanceRedeploy"
            | "environmentTriggersDeploy" => self.deploy(asked),
            "deploymentRollback" | "deploymentRedeploy" => self.again(asked),
            "deploymentRestart" | "deploymentStop" | "deploymentRemove" | "deploymentCancel"
            | "deploymentApprove" => self.touch_deployment(asked),
            "serviceCreate" => self.service_create(asked),
            "serviceUpdate" => self.service_update(asked),
            "serviceDelete" => self.service_delete(asked),
            "serviceConnect" | "serviceDisconnect" => self.service_connect(asked),
            "environmentCreate" => self.environment_create(asked),
            "environmentRename" => self.environment_rename(asked),
            "environmentDelete" => self.environment_delete(asked),
            "serviceDomainCreate" => self.service_domain_create(asked),
            "serviceDomainUpdate" => self.service_domain_update(asked),
            "customDomainCreate" => self.custom_domain_create(asked),
            "customDomainUpdate" => self.custom_domain_update(asked),
            "customDomainIssueCertificate" => self.issue_certificate(asked),
            "tcpProxyCreate" => self.proxy_create(asked),
            "serviceDomainDelete" | "customDomainDelete" | "tcpProxyDelete" => {
                self.name_delete(asked)
            }
            "volumeCreate" => self.volume_create(asked),
            "volumeUpdate" => self.volume_update(asked),
            "volumeDelete" => self.volume_delete(asked),
            "volumeInstanceUpdate" => self.volume_instance_update(asked),
            "volumeInstanceBackupCreate" => self.backup_create(asked),
            "volumeInstanceBackupDelete" => self.backup_delete(asked),
            "volumeInstanceBackupLock" => self.backup_lock(asked),
            "volumeInstanceBackupRestore" => self.backup_restore(asked),
            "volumeInstanceBackupScheduleUpdate" => self.schedule_update(asked),
            "projectCreate" => self.project_create(asked),
            "projectUpdate" => self.project_update(asked),
            _ => Err(Refusal::problem()),
        }
    }

    fn state(&mut self) -> &mut State {
        Arc::make_mut(self.state)
    }

    /// The environment, if the caller may write there.
    fn open(&self, environment_id: &str) -> Result<(), Refusal> {
        let environment = self.state.environment(environment_id)?;
        if self.caller.sees_environment(environment) {
            Ok(())
        } else {
            Err(Refusal::not_authorized())
        }
    }

    /// The project, if the caller may write to it.
    fn open_project(&self, id: &str) -> Result<Arc<Project>, Refusal> {
        let project = self.state.project(id)?.clone();
        self.caller
            .may_write_project(&project, &self.state.switches)?;
        Ok(project)
    }

    fn check_project_token(&self, may: bool) -> Result<(), Refusal> {
        match self.caller.kind {
            Some(TokenKind::Project) if !may => Err(Refusal::not_authorized()),
            _ => Ok(()),
        }
    }

    /// One token does not create things as fast as it likes.
    fn check_pace(&mut self, what: &'static str) -> Result<(), Refusal> {
        let pace = f64::from(self.state.switches.creation_pace);
        let (key, now) = ((self.caller.author(), what), self.state.now);
        let last = self.state.made.get(&key);
        if last.is_some_and(|last| now < last.plus_seconds(pace)) {
            let refused = format!("You are creating {what} too quickly, please wait a little");
            return Err(Refusal::bad_input(&refused));
        }
        self.state().made.insert(key, now);
        Ok(())
    }

    fn open_instance(&self, environment_id: &str, service_id: &str) -> Result<(), Refusal> {
        self.open(environment_id)?;
        let environment = self.state.environment(environment_id)?;
        if environment.instances.contains_key(service_id) {
            Ok(())
        } else {
            Err(Refusal::not_authorized())
        }
    }

    fn note(
        &mut self,
        mutation: &'static str,
        environment: &str,
        service: &str,
        what: &str,
        started: Option<String>,
    ) {
        let name = self
            .state
            .environments
            .get(environment)
            .map_or(service.to_string(), |environment| {
                self.state.service_name(environment, service)
            });
        let mut effect = self.state.effect(
            mutation,
            environment,
            vec![format!("services.{name}.{what}")],
        );
        effect.deployments = started.into_iter().collect();
        self.state().outbox.push(effect);
    }
}

fn text(input: &Value, key: &str) -> String {
    optional(input, key).unwrap_or_default()
}

fn optional(input: &Value, key: &str) -> Option<String> {
    input.get(key)?.as_str().map(str::to_string)
}

fn flag(input: &Value, key: &str) -> bool {
    input.get(key).and_then(Value::as_bool).unwrap_or(false)
}
