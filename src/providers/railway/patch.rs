//! Changes as the JSON of one configuration patch: the only place where a secret's name becomes its value.

use crate::providers::Secrets;
use crate::world::railway::{Change, Ready, Setting, VariableValue};
use crate::world::{Failure, Seen};
use serde_json::{Map, Value, json};

/// The patch: what is absent stays, `null` on a map entry deletes it (facts/railway.md 2.2).
///
/// # Errors
/// [`Failure::Refused`] when a secret is not there; nothing is sent then.
pub fn patch(changes: &[Change], secrets: &Secrets) -> Result<Value, Failure> {
    let mut services = Map::new();
    for change in changes {
        let service = services
            .entry(change.service.id.clone())
            .or_insert_with(|| json!({}));
        merge(service, part(&change.set, secrets)?);
    }
    Ok(json!({ "services": services }))
}

fn part(set: &Setting, secrets: &Secrets) -> Result<Value, Failure> {
    Ok(match set {
        Setting::Image(image) => json!({ "source": { "image": image } }),
        Setting::Commit(commit) => json!({ "source": { "commitSha": commit } }),
        Setting::Ready(Ready {
            path,
            within_seconds,
        }) => {
            // Whether null or "" clears a path is open; a declared check always has a path.
            json!({ "deploy": { "healthcheckPath": path, "healthcheckTimeout": within_seconds } })
        }
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
