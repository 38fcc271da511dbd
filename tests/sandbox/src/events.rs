//! What happened in a project, as its activity feed tells it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::deployment::Status;
use crate::state::State;
use crate::time::Time;

const MOST_EVENTS: usize = 2_000;

#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub at: Time,
    pub project_id: String,
    pub environment_id: Option<String>,
    pub service_id: Option<String>,
    /// Such as `Deployment` and `failed`.
    pub object: &'static str,
    pub action: String,
    pub severity: &'static str,
    pub payload: Value,
}

impl State {
    /// A deployment has come to a status.
    pub fn tell_deployment(&mut self, id: &str) {
        let deployment = &self.deployments[id];
        let severity = match deployment.status {
            Status::Failed | Status::Crashed => "WARNING",
            Status::Success => "NOTICE",
            _ => "INFO",
        };
        let event = Event {
            id: String::new(),
            at: self.now,
            project_id: deployment.project_id.clone(),
            environment_id: Some(deployment.environment_id.clone()),
            service_id: Some(deployment.service_id.clone()),
            object: "Deployment",
            action: deployment.status.text().to_lowercase(),
            severity,
            payload: json!({
                "deploymentId": id,
                "serviceId": deployment.service_id,
                "status": deployment.status.text(),
                "image": deployment.release.image,
                "commitHash": deployment.release.commit,
                "branch": deployment.release.branch,
            }),
        };
        self.tell(event);
    }

    /// Something in an environment was made, changed or taken away.
    pub fn tell_environment(
        &mut self,
        environment_id: &str,
        service_id: Option<&str>,
        object: &'static str,
        action: &str,
        payload: Value,
    ) {
        let Some(environment) = self.environments.get(environment_id) else {
            return;
        };
        let severity = if action == "failed" {
            "WARNING"
        } else {
            "INFO"
        };
        let event = Event {
            id: String::new(),
            at: self.now,
            project_id: environment.project_id.clone(),
            environment_id: Some(environment_id.to_string()),
            service_id: service_id.map(str::to_string),
            object,
            action: action.to_string(),
            severity,
            payload,
        };
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        let event = Event {
            id: self.random.uuid(),
            ..event
        };
        let events = Arc::make_mut(&mut self.events);
        if events.len() >= MOST_EVENTS {
            events.pop_front();
        }
        events.push_back(Arc::new(event));
    }
}
