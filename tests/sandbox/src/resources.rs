//! Resources of a change set as configuration: services, databases, volumes, buckets and groups.

use serde_json::{Map, Value, json};

use crate::change_set::Names;
use crate::config::{self, entries};

/// Keys of a service that stand in the configuration as they are.
const SAME: [&str; 5] = ["build", "deploy", "networking", "configFile", "groupId"];

/// The patch that makes a resource.
pub fn created(names: &Names<'_>, resource: &Value) -> Option<Value> {
    let name = resource["name"].as_str()?;
    let kind = resource["type"].as_str()?;
    let (section, id) = names.find(&format!("{kind}.{name}"))?;
    let part = match kind {
        "service" => service(names, resource),
        "database" => return Some(database(names, resource, &id)),
        "group" => {
            let mut group = json!({ "isCreated": true, "name": name });
            for key in ["color", "icon", "isCollapsed", "groupId"] {
                if let Some(value) = resource.get(key) {
                    group[key] = value.clone();
                }
            }
            group
        }
        _ => {
            let mut part = json!({ "isCreated": true });
            config::stack(&mut part, resource.get("config").unwrap_or(&json!({})));
            part
        }
    };
    Some(json!({ section: { id: part } }))
}

fn service(names: &Names<'_>, resource: &Value) -> Value {
    let mut part = json!({ "isCreated": true });
    for key in SAME {
        if let Some(value) = resource.get(key).filter(|value| !value.is_null()) {
            part[key] = value.clone();
        }
    }
    if let Some(source) = resource.get("source").and_then(Value::as_object) {
        let mut source = source.clone();
        source.remove("type");
        part["source"] = Value::Object(source);
    }
    let variables: Map<String, Value> = entries(resource.get("variables"))
        .filter_map(|(name, value)| Some((name.clone(), variable(names, value)?)))
        .collect();
    if !variables.is_empty() {
        part["variables"] = Value::Object(variables);
    }
    let mounts = mounts(names, &resource["volumeAttachments"]);
    if !mounts.is_empty() {
        part["volumeMounts"] = Value::Object(mounts);
    }
    part
}

/// An image with a volume of its own and the address that others refer to.
fn database(names: &Names<'_>, resource: &Value, id: &str) -> Value {
    let name = resource["name"].as_str().unwrap_or_default();
    let image = resource["image"].as_str().unwrap_or("postgres:16");
    let (output, address, path) = match resource["engine"].as_str() {
        Some("redis") => (
            "REDIS_URL",
            "redis://${{RAILWAY_PRIVATE_DOMAIN}}:6379",
            "/data",
        ),
        Some("mysql") => (
            "MYSQL_URL",
            "mysql://${{RAILWAY_PRIVATE_DOMAIN}}:3306",
            "/var/lib/mysql",
        ),
        Some("mongo") => (
            "MONGO_URL",
            "mongodb://${{RAILWAY_PRIVATE_DOMAIN}}:27017",
            "/data/db",
        ),
        _ => (
            "DATABASE_URL",
            "postgresql://postgres@${{RAILWAY_PRIVATE_DOMAIN}}:5432/railway",
            "/var/lib/postgresql/data",
        ),
    };
    let path = resource["defaultMountPath"].as_str().unwrap_or(path);
    let mut service = json!({
        "isCreated": true,
        "source": { "image": image },
        "deploy": { "requiredMountPath": path },
        "variables": { output: { "value": address }, "PASSWORD": { "generator": "secret(32)" } },
    });
    config::stack(
        &mut service["deploy"],
        resource
            .get("deploy")
            .filter(|deploy| deploy.is_object())
            .unwrap_or(&json!({})),
    );
    let mut part = json!({});
    if let Some(volume) = names.volume(&format!("{name}-volume")) {
        service["volumeMounts"] = json!({ &volume: { "mountPath": path } });
        part["volumes"] = json!({ volume: { "isCreated": true } });
    }
    part["services"] = json!({ id: service });
    part
}

/// A variable as it is stored; None for one that is to stay as it is.
pub fn variable(names: &Names<'_>, value: &Value) -> Option<Value> {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    match text("type") {
        "preserve" => None,
        "sharedReference" => Some(json!({ "value": format!("${{{{shared.{}}}}}", text("name")) })),
        "reference" => {
            let resource = text("resource");
            let name = resource.split_once('.').map_or(resource, |(_, name)| name);
            // A reference to what does not exist is stored all the same, and resolves to nothing.
            let name = names.find(resource).map_or(name, |_| name);
            Some(json!({ "value": format!("${{{{{name}.{}}}}}", text("output")) }))
        }
        "raw" => Some(value["value"].clone()),
        _ => {
            let mut value = value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.remove("type");
            }
            Some(value)
        }
    }
}

/// Mounts by volume id.
pub fn mounts(names: &Names<'_>, attachments: &Value) -> Map<String, Value> {
    let mounted = entries(Some(attachments)).filter_map(|(_, attachment)| {
        let (_, name) = attachment["volume"].as_str()?.split_once('.')?;
        let mut mount = json!({ "mountPath": attachment["mountPath"] });
        if let Some(schedules) = attachment.get("backupSchedules") {
            mount["backupSchedules"] = schedules.clone();
        }
        Some((names.volume(name)?, mount))
    });
    mounted.collect()
}
