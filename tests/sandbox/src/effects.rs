//! Writing down what the client has really changed.

use crate::config::Touch;
use crate::patch::Write;
use crate::report::Effect;
use crate::state::{Environment, State};

impl State {
    pub fn record(&mut self, environment_id: &str, touches: &[Touch], write: &Write) {
        if write.by_hand {
            return;
        }
        let environment = self.environments[environment_id].clone();
        let paths = touches
            .iter()
            .map(|touch| self.named_path(&environment, touch))
            .collect();
        let destructive = touches.iter().any(Touch::is_destructive);
        self.outbox.push(Effect {
            at: self.now,
            mutation: write.mutation,
            environment: environment.name.clone(),
            environment_id: environment.id.clone(),
            paths,
            destructive,
            committed_foreign_stage: write.foreign,
            deployments: Vec::new(),
        });
    }

    /// Credits deployments to the client; a person's are nobody's effect.
    pub fn credit(&mut self, write: &Write, environment_id: &str, started: Vec<String>) {
        if write.by_hand || started.is_empty() {
            return;
        }
        let now = self.now;
        let last = self.outbox.last_mut().filter(|effect| {
            effect.at == now
                && effect.mutation == write.mutation
                && effect.environment_id == environment_id
        });
        match last {
            Some(effect) => effect.deployments.extend(started),
            None => {
                let mut effect = self.effect(write.mutation, environment_id, Vec::new());
                effect.deployments = started;
                self.outbox.push(effect);
            }
        }
    }

    /// An effect outside the stored configuration, such as a restart.
    pub fn effect(
        &self,
        mutation: &'static str,
        environment_id: &str,
        paths: Vec<String>,
    ) -> Effect {
        Effect {
            at: self.now,
            mutation,
            environment: self
                .environments
                .get(environment_id)
                .map_or(String::new(), |environment| environment.name.clone()),
            environment_id: environment_id.to_string(),
            paths,
            destructive: false,
            committed_foreign_stage: false,
            deployments: Vec::new(),
        }
    }

    fn named_path(&self, environment: &Environment, touch: &Touch) -> String {
        let mut path = touch.path.clone();
        if path.len() > 1 && path[0] == "services" {
            path[1] = self.service_name(environment, &path[1]);
        }
        path.join(".")
    }
}
