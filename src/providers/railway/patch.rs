//! Changes as the JSON of one configuration patch: the only place where a secret's name becomes its value.

use super::deploy;
use crate::providers::Secrets;
use crate::world::railway::{Change, Owner, Setting, VariableValue};
use crate::world::{Failure, Seen};
use serde_json::{Map, Value, json};

/// The patch: what is absent stays, `null` on a map entry deletes it (facts/railway.md 2.2).
///
/// # Errors
/// [`Failure::Refused`] when a secret is not there; nothing is sent then.
pub fn patch(changes: &[Change], secrets: &Secrets) -> Result<Value, Failure> {
    let mut patch = json!({});
    for change in changes {
        let part = part(&change.set, secrets)?;
        let whole = match &change.of {
            Owner::Service(service) => json!({ "services": { service.id.clone(): part } }),
            Owner::Shared => json!({ "sharedVariables": part["variables"] }),
        };
        merge(&mut patch, whole);
    }
    Ok(patch)
}

fn part(set: &Setting, secrets: &Secrets) -> Result<Value, Failure> {
    Ok(match set {
        Setting::Image(image) => json!({ "source": { "image": image } }),
        Setting::Commit(commit) => json!({ "source": { "commitSha": commit } }),
        Setting::Plain(value) => json!({ "deploy": deploy::json(value) }),
        Setting::Registry { username, password } => json!({
            "deploy": { "registryCredentials": {
                "username": text(username, secrets)?,
                "password": text(password, secrets)?,
            } }
        }),
        Setting::Replicas(regions) => {
            let regions: Map<String, Value> = regions
                .iter()
                .map(|(region, count)| {
                    (
                        region.clone(),
                        count.map_or(Value::Null, |count| json!({ "numReplicas": count })),
                    )
                })
                .collect();
            json!({ "deploy": { "multiRegionConfig": regions } })
        }
        Setting::Variable { name, value } => {
            json!({ "variables": { name: variable(value, secrets)? } })
        }
    })
}

fn text(value: &VariableValue, secrets: &Secrets) -> Result<Value, Failure> {
    Ok(variable(value, secrets)?["value"].take())
}

fn variable(value: &VariableValue, secrets: &Secrets) -> Result<Value, Failure> {
    match value {
        VariableValue::Text(text) => Ok(json!({ "value": text })),
        VariableValue::Absent => Ok(Value::Null),
        VariableValue::Secret { name, sealed } => match secrets.get(name) {
            Some(Seen::Facts(secret)) if *sealed => {
                Ok(json!({ "value": secret.reveal(), "isSealed": true }))
            }
            Some(Seen::Facts(secret)) => Ok(json!({ "value": secret.reveal() })),
            Some(Seen::Unseen(_) | Seen::Unasked) | None => {
                Err(Failure::Refused(format!("the secret {name} is not there")))
            }
        },
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
