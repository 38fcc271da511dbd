//! The environment's configuration document: how patches merge into it, what of it deploys, and how it is shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::seed::RegionSeed;
use crate::switches::{Mask, NullScalar, Presence, RegionKeys, SealedMask, Switches};

/// Merges a patch into a document: absent leaves alone, `null` deletes an entry of a map, all else merges deeply.
pub fn merge(document: &mut Value, patch: &Value, switches: &Switches) {
    let mut path = Vec::new();
    merge_below(object(document), patch, &mut path, switches);
}

/// Merges the part of a patch that is about one service.
pub fn merge_service(document: &mut Value, id: &str, patch: &Value, switches: &Switches) {
    let mut path = vec!["services", id];
    merge_below(object(document), patch, &mut path, switches);
}

/// Merges a patch into a patch that is not applied yet: `null` has to survive.
pub fn stack(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                match below.get_mut(key) {
                    Some(old) if old.is_object() && value.is_object() => stack(old, value),
                    _ => {
                        below.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (below, above) => *below = above.clone(),
    }
}

fn merge_below<'p>(
    document: &mut Map<String, Value>,
    patch: &'p Value,
    path: &mut Vec<&'p str>,
    switches: &Switches,
) {
    let Value::Object(entries) = patch else {
        return;
    };
    for (key, value) in entries {
        path.push(key);
        merge_entry(document, key, value, path, switches);
        path.pop();
    }
}

fn merge_entry<'p>(
    document: &mut Map<String, Value>,
    key: &'p str,
    value: &'p Value,
    path: &mut Vec<&'p str>,
    switches: &Switches,
) {
    match value {
        _ if is_marker(path) => {}
        Value::Null if is_map_entry(path) => {
            document.remove(key);
        }
        Value::Null if path.len() > 2 => {
            if switches.null_scalar == NullScalar::Clears {
                document.remove(key);
            }
        }
        Value::Null => {}
        Value::Object(entity)
            if path.len() == 2 && entity.get("isDeleted") == Some(&Value::Bool(true)) =>
        {
            document.remove(key);
        }
        Value::Object(_) => {
            let entry = document.entry(key).or_insert_with(|| json!({}));
            let was_sealed = is_sealed(entry);
            merge_below(object(entry), value, path, switches);
            if was_sealed && is_variable(path) {
                entry["isSealed"] = Value::Bool(true);
            }
        }
        Value::String(text)
            if text.is_empty()
                && switches.empty_string_clears
                && !path.contains(&"variables")
                && path[0] != "sharedVariables" =>
        {
            document.remove(key);
        }
        value => {
            document.insert(key.to_string(), value.clone());
        }
    }
}

/// `isCreated` and `isDeleted` are words to the server, never stored.
fn is_marker(path: &[&str]) -> bool {
    matches!(path, [_, _, "isCreated" | "isDeleted"])
}

fn is_map_entry(path: &[&str]) -> bool {
    is_variable(path)
        || matches!(
            path,
            ["services", _, "deploy", "multiRegionConfig", _]
                | [
                    "services",
                    _,
                    "networking",
                    "serviceDomains" | "customDomains" | "tcpProxies",
                    _
                ]
                | ["services", _, "volumeMounts", _]
        )
}

fn is_variable(path: &[&str]) -> bool {
    matches!(
        path,
        ["services", _, "variables", _] | ["sharedVariables", _]
    )
}

pub fn is_sealed(variable: &Value) -> bool {
    variable.get("isSealed") == Some(&Value::Bool(true))
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made an object")
}

/// Whether the change from one service configuration to the other needs a new deployment.
pub fn deploys(before: Option<&Value>, after: Option<&Value>) -> bool {
    match (before, after) {
        (_, None) => false,
        (None, Some(after)) => after.get("source").is_some(),
        (Some(before), Some(after)) => carried(before) != carried(after),
    }
}

/// The part of a service's configuration that a deployment carries; placement and networking are hot.
fn carried(service: &Value) -> BTreeMap<&str, Value> {
    let mut part: BTreeMap<&str, Value> = ["source", "build", "variables", "configFile"]
        .iter()
        .filter_map(|key| Some((*key, service.get(*key)?.clone())))
        .collect();
    let mut deploy = service.get("deploy").cloned().unwrap_or(json!({}));
    for hot in ["multiRegionConfig", "numReplicas", "region"] {
        object(&mut deploy).remove(hot);
    }
    part.insert("deploy", deploy);
    let mounts: BTreeMap<&String, &Value> = entries(service.get("volumeMounts"))
        .filter_map(|(id, mount)| Some((id, mount.get("mountPath")?)))
        .collect();
    part.insert("mounts", json!(mounts));
    part.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
    part
}

/// The settings a deployment runs with, defaults filled in, credentials gone.
pub fn manifest(service: &Value) -> Value {
    let fill = |section: &str, defaults: Value| {
        let mut all = defaults;
        stack(&mut all, service.get(section).unwrap_or(&json!({})));
        all
    };
    let mut deploy = fill("deploy", deploy_defaults());
    deploy["registryCredentials"] = Value::Null;
    json!({ "build": fill("build", build_defaults()), "deploy": deploy })
}

pub fn setting<'c>(service: &'c Value, section: &str, key: &str) -> Option<&'c Value> {
    service
        .get(section)?
        .get(key)
        .filter(|value| !value.is_null())
}

fn build_defaults() -> Value {
    json!({ "builder": "RAILPACK", "buildEnvironment": "V3" })
}

fn deploy_defaults() -> Value {
    json!({
        "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10, "healthcheckTimeout": 300, "runtime": "V2",
        "useLegacyStacker": false, "ipv6EgressEnabled": false, "overlapSeconds": 0, "drainingSeconds": 0,
        "sleepApplication": false,
    })
}

/// Replicas by region as Railway would place them; no region at all means none.
pub fn placement(service: &Value, regions: &[RegionSeed]) -> BTreeMap<String, u32> {
    let count = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(1) as u32;
    match setting(service, "deploy", "multiRegionConfig") {
        Some(placed) => entries(Some(placed))
            .filter(|(_, here)| !here.is_null())
            .map(|(region, here)| {
                let region = canonical_region(region, regions).unwrap_or(region);
                (region.to_string(), count(here.get("numReplicas")))
            })
            .collect(),
        None => {
            let named = setting(service, "deploy", "region").and_then(Value::as_str);
            let region = named
                .or(regions.first().map(|first| first.name.as_str()))
                .unwrap_or("us-west2");
            BTreeMap::from([(
                region.to_string(),
                count(setting(service, "deploy", "numReplicas")),
            )])
        }
    }
}

/// The region's name, whether it was called by name or by airport code.
pub fn canonical_region<'r>(called: &str, regions: &'r [RegionSeed]) -> Option<&'r str> {
    regions
        .iter()
        .find(|region| region.name == called || region.airport == called)
        .map(|region| region.name.as_str())
}

/// Renames the regions of a patch to the names that are stored, when reads answer airport codes.
pub fn canonical_keys(patch: &mut Value, regions: &[RegionSeed]) {
    rename_regions(patch, |key| canonical_region(key, regions));
}

fn rename_regions<'r>(document: &mut Value, rename: impl Fn(&str) -> Option<&'r str>) {
    let Some(services) = document.get_mut("services").and_then(Value::as_object_mut) else {
        return;
    };
    for placed in services.values_mut().filter_map(|service| {
        service
            .get_mut("deploy")?
            .get_mut("multiRegionConfig")?
            .as_object_mut()
    }) {
        *placed = std::mem::take(placed)
            .into_iter()
            .map(|(key, here)| (rename(&key).unwrap_or(&key).to_string(), here))
            .collect();
    }
}

/// A configuration or a patch as a reader gets it.
pub fn shown(
    document: &Value,
    decrypt: bool,
    switches: &Switches,
    regions: &[RegionSeed],
) -> Value {
    let mut shown = document.clone();
    mask_variables(shown.get_mut("sharedVariables"), decrypt, switches);
    for service in shown
        .get_mut("services")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        show_service(service, decrypt, switches);
    }
    if switches.region_keys == RegionKeys::AirportCodes {
        rename_regions(&mut shown, |key| {
            regions
                .iter()
                .find(|region| region.name == key)
                .map(|region| region.airport.as_str())
        });
    }
    if switches.extra_keys && shown.is_object() {
        shown["schemaRevision"] = json!(7);
    }
    shown
}

fn show_service(service: &mut Value, decrypt: bool, switches: &Switches) {
    if !service.is_object() {
        return;
    }
    mask_variables(service.get_mut("variables"), decrypt, switches);
    if let Some(credentials) = service
        .get_mut("deploy")
        .and_then(|deploy| deploy.get_mut("registryCredentials"))
    {
        *credentials = match switches.mask {
            Mask::Null => Value::Null,
            Mask::Empty | Mask::Stars => json!({ "username": "*****", "password": "*****" }),
        };
    }
    if switches.config_defaults == Presence::Present && service.get("source").is_some() {
        for (section, defaults) in [("build", build_defaults()), ("deploy", deploy_defaults())] {
            let mut all = defaults;
            stack(&mut all, service.get(section).unwrap_or(&json!({})));
            service[section] = all;
        }
    }
    if switches.extra_keys {
        service["canvasHint"] = json!({ "x": 1 });
    }
}

fn mask_variables(variables: Option<&mut Value>, decrypt: bool, switches: &Switches) {
    for variable in variables
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        let sealed = is_sealed(variable);
        let Some(fields) = variable.as_object_mut() else {
            continue;
        };
        if sealed {
            match switches.sealed_mask {
                SealedMask::Absent => fields.remove("value"),
                SealedMask::Null => fields.insert("value".into(), Value::Null),
                SealedMask::Empty => fields.insert("value".into(), json!("")),
                SealedMask::Stars => fields.insert("value".into(), json!("*****")),
            };
        } else if !decrypt && fields.contains_key("value") {
            let mask = match switches.mask {
                Mask::Null => Value::Null,
                Mask::Empty => json!(""),
                Mask::Stars => json!("*****"),
            };
            fields.insert("value".into(), mask);
        }
    }
}

/// One leaf that differs between two documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Touch {
    pub path: Vec<String>,
    pub removed: bool,
}

impl Touch {
    /// Whether something is gone that scaling and settings do not lose: a variable, a mount, a domain, a service.
    pub fn is_destructive(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        self.removed
            && matches!(
                path.as_slice(),
                ["services", _]
                    | ["volumes" | "buckets", _]
                    | ["sharedVariables", _]
                    | ["services", _, "variables" | "volumeMounts", _]
                    | ["services", _, "networking", _, _]
            )
    }
}

/// Every entry that differs; a variable, mount, domain or service that came or went counts as one.
pub fn touched(before: &Value, after: &Value) -> Vec<Touch> {
    let mut found = Vec::new();
    touched_below(Some(before), Some(after), &mut Vec::new(), &mut found);
    found
}

fn touched_below(
    before: Option<&Value>,
    after: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Touch>,
) {
    if before == after {
        return;
    }
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let whole = is_map_entry(&names)
        || matches!(names.as_slice(), ["services" | "volumes" | "buckets", _] if after.is_none());
    let maps = [before, after].into_iter().flatten().all(Value::is_object);
    if whole || !maps {
        return found.push(Touch {
            path: path.clone(),
            removed: after.is_none(),
        });
    }
    let keys: std::collections::BTreeSet<&String> = entries(before)
        .chain(entries(after))
        .map(|(key, _)| key)
        .collect();
    for key in keys {
        path.push(key.clone());
        touched_below(
            before.and_then(|map| map.get(key)),
            after.and_then(|map| map.get(key)),
            path,
            found,
        );
        path.pop();
    }
}

/// How many single changes a patch holds.
pub fn size(patch: &Value) -> usize {
    match patch {
        Value::Object(entries) => entries.values().map(size).sum(),
        _ => 1,
    }
}

pub fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}
