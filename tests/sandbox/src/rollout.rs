//! How the DEPLOYING of one deployment goes: its steps, how long each takes, and what they come to.

use serde_json::{Value, json};

use crate::deployment::{Deployment, Step};
use crate::seed::{Known, Outcome};
use crate::state::State;

pub struct Rollout {
    pub steps: Vec<Planned>,
    pub end: End,
}

/// A step that is to come.
pub struct Planned {
    pub name: &'static str,
    pub seconds: f64,
    pub payload: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It serves, or its process restarts for ever: what a policy of ALWAYS makes of a crash.
    Up,
    Failed(&'static str),
    Crashed,
}

impl Rollout {
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// How long until the container is created, and takes the volume from the one before.
    pub fn seconds_before_container(&self) -> f64 {
        let before = self
            .steps
            .iter()
            .take_while(|step| step.name == "PRE_DEPLOY_COMMAND");
        before.map(|step| step.seconds).sum()
    }

    fn add(&mut self, name: &'static str, seconds: f64, payload: Value) {
        self.steps.push(Planned {
            name,
            seconds,
            payload,
        });
    }
}

impl State {
    pub fn rollout(&self, deployment: &Deployment, known: &Known) -> Rollout {
        let timings = &self.seed.timings;
        let mut rollout = Rollout {
            steps: Vec::new(),
            end: End::Up,
        };
        if let Some(region) = self.destination(deployment) {
            rollout.add(
                "MIGRATE_VOLUMES",
                timings.migrate,
                json!({ "detail": region }),
            );
        }
        if has_pre_deploy(deployment) {
            let error = known
                .pre_deploy_fails
                .then_some("pre-deploy command exited with code 1");
            let payload = json!({ "attempt": 1, "maxAttempts": 1, "error": error });
            rollout.add("PRE_DEPLOY_COMMAND", timings.pre_deploy, payload);
            if known.pre_deploy_fails {
                rollout.end = End::Failed("pre-deploy command failed");
                return rollout;
            }
        }
        rollout.end = self.container(deployment, known, &mut rollout);
        rollout
    }

    /// The container and its healthcheck.
    fn container(&self, deployment: &Deployment, known: &Known, rollout: &mut Rollout) -> End {
        let timings = &self.seed.timings;
        let crashes = known.outcome == Outcome::Crashed && known.after_seconds.is_none();
        let gives_up = crashes && !restarts_always(deployment);
        let attempts = if crashes { 1 + retries(deployment) } else { 1 };
        rollout.add(
            "CREATE_CONTAINER",
            timings.deploy,
            json!({ "attempt": attempts, "maxAttempts": 1 + retries(deployment) }),
        );
        rollout.add("CONFIGURE_NETWORK", 0.0, json!({}));
        if !has_healthcheck(deployment) {
            return if gives_up { End::Crashed } else { End::Up };
        }
        if gives_up {
            rollout.add("HEALTHCHECK", timings.healthcheck, unavailable(1));
            return End::Crashed;
        }
        if !crashes && self.gets_ready(deployment, known) {
            rollout.add("HEALTHCHECK", timings.healthcheck, json!({ "attempt": 1 }));
            return End::Up;
        }
        let timeout = deployment.seconds("healthcheckTimeout", "RAILWAY_HEALTHCHECK_TIMEOUT_SEC");
        let attempts = (timeout / 10.0).ceil().max(1.0) as u32;
        rollout.add("HEALTHCHECK", timeout, unavailable(attempts));
        End::Failed("healthcheck failed: service unavailable")
    }

    /// Whether its healthcheck ever gets the 200 that it wants.
    fn gets_ready(&self, deployment: &Deployment, known: &Known) -> bool {
        let path = deployment.manifest["deploy"]["healthcheckPath"].as_str();
        known.outcome != Outcome::NeverReady
            && self.page_of(deployment, path.unwrap_or("/")).status == 200
    }

    /// Writes planned steps down, one after the other from now on.
    pub fn begin_steps(&mut self, id: &str, steps: &[Planned]) {
        let mut at = self.now;
        let deployment = self.deployment_mut(id);
        for step in steps {
            let until = at.plus_seconds(step.seconds);
            deployment.steps.push(Step {
                name: step.name,
                from: at,
                until: Some(until),
                payload: step.payload.clone(),
            });
            at = until;
        }
    }

    pub fn begin_step(&mut self, id: &str, name: &'static str, seconds: f64) {
        let payload = json!({});
        let step = Planned {
            name,
            seconds,
            payload,
        };
        self.begin_steps(id, &[step]);
    }

    /// A step of which nobody knows how long it takes.
    pub fn open_step(&mut self, id: &str, name: &'static str) {
        self.begin_step(id, name, 0.0);
        if let Some(last) = self.deployment_mut(id).steps.last_mut() {
            last.until = None;
        }
    }

    /// Ends what is under way; what had not begun never happened.
    pub fn end_steps(&mut self, id: &str, payload: &Value) {
        let now = self.now;
        let deployment = self.deployment_mut(id);
        deployment.steps.retain(|step| step.from <= now);
        if let Some(last) = deployment.steps.last_mut()
            && last.until.is_none_or(|until| until >= now)
        {
            last.until = Some(now);
            crate::config::stack(&mut last.payload, payload);
        }
    }
}

fn unavailable(attempts: u32) -> Value {
    json!({ "attempt": attempts, "maxAttempts": attempts, "error": "service unavailable" })
}

fn has_healthcheck(deployment: &Deployment) -> bool {
    deployment.manifest["deploy"]["healthcheckPath"]
        .as_str()
        .is_some_and(|path| !path.is_empty())
}

/// A text or a list of texts.
fn has_pre_deploy(deployment: &Deployment) -> bool {
    match &deployment.manifest["deploy"]["preDeployCommand"] {
        Value::String(command) => !command.is_empty(),
        Value::Array(commands) => !commands.is_empty(),
        _ => false,
    }
}

pub fn restarts_always(deployment: &Deployment) -> bool {
    deployment.manifest["deploy"]["restartPolicyType"] == "ALWAYS"
}

/// How often a crashed process is started again.
pub fn retries(deployment: &Deployment) -> u64 {
    let deploy = &deployment.manifest["deploy"];
    if deploy["restartPolicyType"] == "NEVER" {
        return 0;
    }
    deploy["restartPolicyMaxRetries"].as_u64().unwrap_or(10)
}
