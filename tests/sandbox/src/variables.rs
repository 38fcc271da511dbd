//! Variables as a process gets them: references resolved, Railway's own names included.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config;
use crate::networking;
use crate::state::{Environment, State};

/// All variables of a service, or the shared ones without a service, with references resolved.
pub fn rendered(
    state: &State,
    environment: &Environment,
    service_id: Option<&str>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = stored(environment, service_id)
        .map(|(name, value)| {
            (
                name.clone(),
                render(state, environment, service_id, value, 0),
            )
        })
        .collect();
    if let Some(service_id) = service_id {
        all.extend(platform(state, environment, service_id));
    }
    all
}

/// What is stored, templates intact.
pub fn stored<'e>(
    environment: &'e Environment,
    service_id: Option<&str>,
) -> impl Iterator<Item = (&'e String, &'e str)> {
    section(environment, service_id).map(|(name, variable)| {
        (
            name,
            variable
                .get("value")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    })
}

pub fn section<'e>(
    environment: &'e Environment,
    service_id: Option<&str>,
) -> impl Iterator<Item = (&'e String, &'e Value)> {
    let variables = match service_id {
        Some(id) => environment
            .service(id)
            .and_then(|service| service.get("variables")),
        None => environment.config.get("sharedVariables"),
    };
    config::entries(variables)
}

pub fn sealed_names(service: &Value) -> BTreeSet<String> {
    config::entries(service.get("variables"))
        .filter(|(_, variable)| config::is_sealed(variable))
        .map(|(name, _)| name.clone())
        .collect()
}

/// The inner texts of all `${{ … }}`, whitespace gone.
pub fn references(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    each_part(value, |part| {
        if let Part::Reference(name) = part {
            found.push(name.to_string());
        }
    });
    found
}

fn render(
    state: &State,
    environment: &Environment,
    service_id: Option<&str>,
    value: &str,
    depth: u32,
) -> String {
    // References may go in circles; Railway gives up as well.
    if depth > 8 {
        return String::new();
    }
    let mut out = String::new();
    each_part(value, |part| match part {
        Part::Text(text) => out.push_str(text),
        Part::Reference(name) => {
            out.push_str(&resolve(state, environment, service_id, name, depth));
        }
    });
    out
}

fn resolve(
    state: &State,
    environment: &Environment,
    service_id: Option<&str>,
    name: &str,
    depth: u32,
) -> String {
    let lookup = |owner: Option<&str>, name: &str| {
        let value = stored(environment, owner)
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let own = || {
            owner
                .and_then(|owner| platform(state, environment, owner).remove(name))
                .unwrap_or_default()
        };
        value.map_or_else(own, |value| {
            render(state, environment, owner, value, depth + 1)
        })
    };
    match name.split_once('.') {
        None => lookup(service_id, name),
        Some(("shared", name)) => lookup(None, name),
        Some((service, name)) => {
            let project = &state.projects[&environment.project_id];
            project
                .service_called(service)
                .map_or_else(String::new, |service| lookup(Some(&service.id), name))
        }
    }
}

/// The names Railway itself provides.
pub fn platform(
    state: &State,
    environment: &Environment,
    service_id: &str,
) -> BTreeMap<String, String> {
    let project = &state.projects[&environment.project_id];
    let service = state.service_name(environment, service_id);
    let mut all = BTreeMap::from([
        ("RAILWAY_PROJECT_ID", project.id.clone()),
        ("RAILWAY_PROJECT_NAME", project.name.clone()),
        ("RAILWAY_ENVIRONMENT_ID", environment.id.clone()),
        ("RAILWAY_ENVIRONMENT_NAME", environment.name.clone()),
        ("RAILWAY_ENVIRONMENT", environment.name.clone()),
        ("RAILWAY_SERVICE_ID", service_id.to_string()),
        ("RAILWAY_SERVICE_NAME", service.clone()),
        (
            "RAILWAY_PRIVATE_DOMAIN",
            format!("{}.railway.internal", service.to_lowercase()),
        ),
    ]);
    let stored = environment.service(service_id);
    if let Some(domain) = stored.and_then(networking::public_domain) {
        all.insert("RAILWAY_PUBLIC_DOMAIN", domain.clone());
    }
    let proxy = stored.and_then(|service| {
        networking::named(service).find(|(kind, _, _)| *kind == networking::PROXIES)
    });
    if let Some((_, port, _)) = proxy {
        let (domain, proxy_port) = networking::proxy_address(environment, service_id, port);
        all.insert("RAILWAY_TCP_PROXY_DOMAIN", domain);
        all.insert("RAILWAY_TCP_PROXY_PORT", proxy_port.to_string());
        all.insert("RAILWAY_TCP_APPLICATION_PORT", port.clone());
    }
    let mounts = stored.and_then(|service| service.get("volumeMounts"));
    if let Some((volume, mount)) = config::entries(mounts).next() {
        let name = project
            .volumes
            .get(volume)
            .map(|volume| volume.name.clone());
        all.insert("RAILWAY_VOLUME_NAME", name.unwrap_or_default());
        let path = mount.get("mountPath").and_then(Value::as_str);
        all.insert(
            "RAILWAY_VOLUME_MOUNT_PATH",
            path.unwrap_or_default().to_string(),
        );
    }
    all.into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}

enum Part<'v> {
    Text(&'v str),
    Reference(&'v str),
}

fn each_part<'v>(mut value: &'v str, mut see: impl FnMut(Part<'v>)) {
    while let Some(start) = value.find("${{") {
        let Some(length) = value[start + 3..].find("}}") else {
            break;
        };
        see(Part::Text(&value[..start]));
        see(Part::Reference(value[start + 3..start + 3 + length].trim()));
        value = &value[start + 3 + length + 2..];
    }
    see(Part::Text(value));
}
