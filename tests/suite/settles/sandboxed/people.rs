//! What people do at the sandbox, and how they clear up in the end.

use super::super::hands::{Edit, Hand};
use super::super::model::{Part, SHARED, State, Stored};
use super::super::truth::cpu;
use super::super::wish::VariableWish;
use super::{APPLIED, Booth, PRODUCTION};
use jiff::Timestamp;
use reconciler::world::railway::{RestartPolicy, SettingValue};
use sandbox::{HandEdit, Known};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Booth {
    /// Does what somebody does, as far as the sandbox knows it.
    pub(super) fn act(&self, hand: &Hand) {
        if let Some(edit) = self.edit_of(hand) {
            self.sandbox.by_hand(edit);
        }
    }

    fn edit_of(&self, hand: &Hand) -> Option<HandEdit> {
        let (environment, service) = (PRODUCTION.to_owned(), hand.service.clone());
        if service == SHARED {
            return shared_edit(&hand.edit);
        }
        let view = self.sandbox.look();
        let view = view.environment(PRODUCTION);
        let seen = view.services.get(&service)?;
        let runs_image = seen.config["source"]["image"].is_string();
        let is_placed = seen.replicas.keys().all(|region| region == "us-west2");
        Some(match &hand.edit {
            Edit::Patch(Part::Image(_)) | Edit::Stage(Part::Image(_)) if !runs_image => {
                return None;
            }
            // What Railway refuses is no edit.
            Edit::Patch(Part::Replicas(_)) | Edit::Stage(Part::Replicas(_)) if !is_placed => {
                return None;
            }
            Edit::Patch(part) => HandEdit::Patch {
                environment,
                patch: patch(&service, part),
                deploy: true,
            },
            Edit::Stage(part) => HandEdit::Stage {
                environment,
                patch: patch(&service, part),
            },
            Edit::Direct(name, value) => HandEdit::SetVariable {
                environment,
                service: Some(service),
                name: name.clone(),
                value: value.clone(),
                deploy: true,
            },
            Edit::CommitStaged if view.staged.is_some() => HandEdit::CommitStaged {
                environment,
                deploy: true,
            },
            Edit::Redeploy if seen.newest.is_some() => HandEdit::Redeploy {
                environment,
                service,
            },
            Edit::Stop if seen.active.is_some() => HandEdit::StopDeployment {
                environment,
                service,
            },
            Edit::Remove if seen.active.is_some() => HandEdit::RemoveDeployment {
                environment,
                service,
            },
            Edit::PushToDeploy(enabled) if !runs_image => HandEdit::AutoDeploy {
                environment,
                service,
                enabled: *enabled,
            },
            Edit::Push(commit) if seen.auto_deploy && !runs_image => HandEdit::PushCommit {
                repo: "acme/app".to_owned(),
                branch: "main".to_owned(),
                sha: commit.clone(),
                known: Known::default(),
            },
            Edit::CommitStaged
            | Edit::Redeploy
            | Edit::Stop
            | Edit::Remove
            | Edit::DiscardStaged
            | Edit::RollBack
            | Edit::Push(_)
            | Edit::PushToDeploy(_)
            | Edit::Delete
            | Edit::Approve => return None,
        })
    }

    /// Faults stop, and people clear what only they can clear.
    pub(super) fn clear(&self, now: Timestamp) {
        self.note(|| "people clear up".to_owned());
        self.sandbox.stop_faults();
        if !self.schedule.is_cleared {
            return;
        }
        let view = self.sandbox.look();
        let environment = view.environment(PRODUCTION);
        let is_staged = environment.staged.is_some();
        {
            let mut notes = self.notes();
            notes.others_until = now + APPLIED;
            if is_staged {
                let names = environment.services.keys();
                notes.edits.extend(names.map(|name| (now, name.clone())));
            }
        }
        if is_staged {
            self.sandbox.by_hand(HandEdit::CommitStaged {
                environment: PRODUCTION.to_owned(),
                deploy: true,
            });
        }
        let state = self.state(None);
        for (name, variable) in self.sealed_by_mistake(&state) {
            self.notes().edits.push((now, name.clone()));
            self.sandbox.by_hand(HandEdit::DeleteVariable {
                environment: PRODUCTION.to_owned(),
                service: Some(name),
                name: variable,
                deploy: true,
            });
        }
    }

    /// What is sealed although git wants to read it.
    fn sealed_by_mistake(&self, state: &State) -> Vec<(String, String)> {
        let is_mistaken = |stored: &Stored, name: &String, wanted: &VariableWish| {
            let may_be = matches!(
                wanted,
                VariableWish::Secret { sealed: true, .. } | VariableWish::Absent
            );
            !may_be && stored.variables.get(name).is_some_and(|held| held.sealed)
        };
        let wishes = self.schedule.last_wish().services.iter();
        wishes
            .flat_map(|(service, wish)| {
                let stored = state.services.get(service);
                let variables = wish.variables.iter();
                variables.map(move |(name, wanted)| (service, stored, name, wanted))
            })
            .filter(|(_, stored, name, wanted)| {
                stored.is_some_and(|stored| is_mistaken(stored, name, wanted))
            })
            .map(|(service, _, name, _)| (service.clone(), name.clone()))
            .collect()
    }
}

fn shared_edit(edit: &Edit) -> Option<HandEdit> {
    let (name, value) = match edit {
        Edit::Patch(Part::Variable(name, Some((value, _)))) | Edit::Direct(name, value) => {
            (name.clone(), value.clone())
        }
        _ => return None,
    };
    Some(HandEdit::SetVariable {
        environment: PRODUCTION.to_owned(),
        service: None,
        name,
        value,
        deploy: true,
    })
}

/// A part as the JSON of a patch, by the service's name.
fn patch(service: &str, part: &Part) -> Value {
    let config = match part {
        Part::Image(image) => json!({ "source": { "image": image } }),
        Part::Commit(commit) => json!({ "source": { "commitSha": commit } }),
        Part::Plain(value) => json!({ "deploy": setting(value) }),
        Part::Registry(username, password) => {
            let credentials = json!({ "username": username, "password": password });
            json!({ "deploy": { "registryCredentials": credentials } })
        }
        Part::Replicas(regions) => {
            let regions: BTreeMap<&String, Value> = regions
                .iter()
                .map(|(region, count)| {
                    (
                        region,
                        count.map_or(Value::Null, |count| json!({ "numReplicas": count })),
                    )
                })
                .collect();
            json!({ "deploy": { "multiRegionConfig": regions } })
        }
        Part::Variable(name, Some((value, sealed))) if *sealed => {
            json!({ "variables": { name: { "value": value, "isSealed": true } } })
        }
        Part::Variable(name, Some((value, _))) => {
            json!({ "variables": { name: { "value": value } } })
        }
        Part::Variable(name, None) => json!({ "variables": { name: null } }),
    };
    json!({ "services": { service: config } })
}

fn setting(value: &SettingValue) -> Value {
    match value {
        SettingValue::Start(command) => json!({ "startCommand": command }),
        SettingValue::BeforeDeploy(command) => json!({ "preDeployCommand": command }),
        SettingValue::Ready(ready) => {
            json!({ "healthcheckPath": ready.path, "healthcheckTimeout": ready.within_seconds })
        }
        SettingValue::RestartPolicy(RestartPolicy::OnFailure(times)) => {
            json!({ "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": times })
        }
        SettingValue::RestartPolicy(RestartPolicy::Always) => {
            json!({ "restartPolicyType": "ALWAYS" })
        }
        SettingValue::RestartPolicy(RestartPolicy::Never) => {
            json!({ "restartPolicyType": "NEVER" })
        }
        SettingValue::Cron(cron) => json!({ "cronSchedule": cron }),
        SettingValue::Sleep(sleep) => json!({ "sleepApplication": sleep }),
        SettingValue::HandOver(hand_over) => json!({
            "overlapSeconds": hand_over.overlap_seconds,
            "drainingSeconds": hand_over.drain_seconds,
        }),
        SettingValue::Limits(limits) => json!({ "limitOverride": { "containers": {
            "cpu": limits.milli_cpu.map(cpu), "memoryBytes": limits.memory_bytes,
        } } }),
    }
}
