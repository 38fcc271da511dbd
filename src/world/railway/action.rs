//! What can be done to a Railway environment: parts of one patch, and actions of their own.

use super::{Field, Named, SettingValue};
use crate::world::Class;
use serde::Serialize;
use std::collections::BTreeMap;

/// One thing that can be done to a Railway environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Change a part of the configuration; all changes of a plan go in one patch.
    Change(Change),
    /// Store what already runs, without a deployment.
    Store {
        /// The service.
        service: Named,
        /// The image reference.
        image: String,
        /// The settings with which it runs.
        settings: Vec<SettingValue>,
    },
    /// Store the command of the next start, without a deployment.
    StoreStart {
        /// The service.
        service: Named,
        /// The image reference that is stored, and stays: an update without it may take it away (facts/railway.md 3.3).
        image: String,
        /// The command.
        start: String,
    },
    /// Set a variable past the patches, and deploy: nothing that somebody staged can come along.
    SetVariable {
        /// The service.
        service: Named,
        /// The variable's name.
        name: String,
        /// A value that is no secret.
        value: String,
    },
    /// Deploy what is stored, at a commit where one is given.
    Deploy {
        /// The service.
        service: Named,
        /// The commit, for a service that is built from a repository.
        commit: Option<String>,
    },
    /// Deploy again what a deployment ran, from the image that Railway kept.
    Redeploy {
        /// The service.
        service: Named,
        /// The deployment.
        deployment: String,
    },
    /// Go back to a deployment that Railway kept, image and variables.
    Rollback {
        /// The service.
        service: Named,
        /// The deployment.
        deployment: String,
        /// The image that it ran.
        image: String,
    },
    /// Stop a deployment that serves; what is stored stays.
    Stop {
        /// The service.
        service: Named,
        /// The deployment.
        deployment: String,
    },
    /// Turn deployments by push on or off.
    PushToDeploy {
        /// The service.
        service: Named,
        /// On or off.
        enabled: bool,
    },
    /// Take a service out of the environment, with its volume and all that is in it.
    Delete {
        /// The service.
        service: Named,
    },
}

/// A change to a part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whose part.
    pub of: Owner,
    /// The part and its new value.
    pub set: Setting,
}

/// Whose configuration it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    /// A service's.
    Service(Named),
    /// Shared by all services of the environment.
    Shared,
}

/// A part of the configuration with a value to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Setting {
    /// The image to run.
    Image(String),
    /// The commit to build. It rides in a patch that is sent anyway; whether Railway deploys it is open (facts/railway.md 8, "Git sources").
    Commit(String),
    /// A plain setting.
    Plain(SettingValue),
    /// The name and password for a private registry.
    Registry {
        /// The user name.
        username: VariableValue,
        /// The password.
        password: VariableValue,
    },
    /// Replicas by region; nothing takes the region away.
    Replicas(BTreeMap<String, Option<u32>>),
    /// A variable.
    Variable {
        /// Its name.
        name: String,
        /// What it should be.
        value: VariableValue,
    },
}

/// What a variable should be. A reference to a secret stays a name until it is sent (design rule 19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VariableValue {
    /// A literal, or a Railway reference as text.
    Text(String),
    /// The value of a secret.
    Secret {
        /// The name in the manifest, without the environment's prefix.
        name: String,
        /// Whether Railway shall never return it again.
        sealed: bool,
    },
    /// It shall not exist.
    Absent,
}

impl Owner {
    /// The service, where it is one's own.
    pub fn service(&self) -> Option<&Named> {
        match self {
            Owner::Service(service) => Some(service),
            Owner::Shared => None,
        }
    }

    /// The service's name, or `shared`.
    pub fn word(&self) -> &str {
        self.service()
            .map_or("shared", |service| service.name.as_str())
    }
}

impl Action {
    /// What a repeat of it does (design rule 11).
    pub fn class(&self) -> Class {
        match self {
            Action::Store { .. }
            | Action::StoreStart { .. }
            | Action::Stop { .. }
            | Action::PushToDeploy { .. } => Class::Absolute,
            Action::Delete { .. } => Class::Named,
            Action::Change(_)
            | Action::SetVariable { .. }
            | Action::Deploy { .. }
            | Action::Redeploy { .. }
            | Action::Rollback { .. } => Class::Fresh,
        }
    }

    /// In one word: two actions for the same end are two things to send.
    pub fn word(&self) -> &'static str {
        match self {
            Action::Change(_) => "patch",
            Action::Store { .. } => "store",
            Action::StoreStart { .. } => "store-start",
            Action::SetVariable { .. } => "set",
            Action::Deploy { .. } => "deploy",
            Action::Redeploy { .. } => "redeploy",
            Action::Rollback { .. } => "rollback",
            Action::Stop { .. } => "stop",
            Action::PushToDeploy { .. } => "push-to-deploy",
            Action::Delete { .. } => "delete",
        }
    }

    /// The service that it is about; none for what all services share.
    pub fn service(&self) -> Option<&Named> {
        match self {
            Action::Change(Change { of, .. }) => of.service(),
            Action::Store { service, .. }
            | Action::StoreStart { service, .. }
            | Action::SetVariable { service, .. }
            | Action::Deploy { service, .. }
            | Action::Redeploy { service, .. }
            | Action::Rollback { service, .. }
            | Action::Stop { service, .. }
            | Action::PushToDeploy { service, .. }
            | Action::Delete { service } => Some(service),
        }
    }
}

impl Setting {
    /// The part that it sets.
    pub fn field(&self) -> Field {
        match self {
            Setting::Image(_) => Field::Image,
            Setting::Commit(_) => Field::Commit,
            Setting::Plain(value) => Field::Setting(value.name()),
            Setting::Registry { .. } => Field::Registry,
            Setting::Replicas(_) => Field::Replicas,
            Setting::Variable { name, .. } => Field::Variable(name.clone()),
        }
    }
}
