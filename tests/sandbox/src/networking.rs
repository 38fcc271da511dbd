//! Names under which services are reached: when each appeared, whether it works yet, and which are taken.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::{self, entries};
use crate::edge::GENERATED;
use crate::random::hash;
use crate::refusal::Refusal;
use crate::state::{Environment, State};
use crate::time::Time;

/// A domain or a proxy, beside what the configuration says of it.
#[derive(Clone, Debug)]
pub struct Name {
    pub id: String,
    pub created: Time,
    pub updated: Time,
    /// Since when its DNS is looked at.
    pub asked: Time,
}

/// How far a custom domain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its DNS does not point here yet.
    Unverified,
    Issuing,
    Valid,
    Failed,
}

pub const SERVICE: &str = "serviceDomains";
pub const CUSTOM: &str = "customDomains";
pub const PROXIES: &str = "tcpProxies";

impl State {
    /// After a change: names appear and go with the configuration.
    pub fn follow_names(&mut self, environment_id: &str, before: &Value, after: &Value) {
        let now = self.now;
        let names = |document: &Value| -> BTreeMap<String, Value> {
            let services = entries(document.get("services"));
            services
                .flat_map(|(service, part)| {
                    named(part)
                        .map(move |(kind, name, here)| (key_of(service, kind, name), here.clone()))
                })
                .collect()
        };
        let (old, new) = (names(before), names(after));
        let known = &self.environments[environment_id].names;
        let fresh: Vec<(String, String)> = new
            .iter()
            .filter(|(key, _)| !known.contains_key(*key))
            .map(|(key, _)| (key.clone(), self.random.uuid()))
            .collect();
        let names = &mut self.environment_mut(environment_id).names;
        names.retain(|key, _| new.contains_key(key));
        for (key, id) in fresh {
            let name = Name {
                id,
                created: now,
                updated: now,
                asked: now,
            };
            names.insert(key, name);
        }
        for (key, here) in new {
            if let Some(name) = names.get_mut(&key)
                && old.get(&key) != Some(&here)
            {
                name.updated = now;
            }
        }
    }

    pub fn standing(&self, environment: &Environment, domain: &str) -> Standing {
        let timings = &self.seed.timings;
        let Some(name) = environment.names.get(domain) else {
            return Standing::Unverified;
        };
        let verified = name.asked.plus_seconds(timings.dns);
        let issued = verified.plus_seconds(timings.certificate);
        if self.now < verified {
            Standing::Unverified
        } else if self.now < issued {
            Standing::Issuing
        } else if self
            .seed
            .broken_domains
            .iter()
            .any(|broken| broken == domain)
        {
            Standing::Failed
        } else {
            Standing::Valid
        }
    }

    /// Whether somebody has this domain already.
    pub fn is_taken(&self, domain: &str) -> bool {
        let mut all = self.environments.values().flat_map(|environment| {
            entries(environment.config.get("services")).flat_map(|(_, part)| named(part))
        });
        all.any(|(kind, name, _)| kind != PROXIES && name == domain)
    }

    /// A free name of Railway's own for a service.
    pub fn free_domain(&mut self, environment_id: &str, service_id: &str) -> String {
        let environment = &self.environments[environment_id];
        let plain = generated(
            &self.service_name(environment, service_id),
            &environment.name,
        );
        let plain = plain.trim_end_matches(GENERATED);
        loop {
            let domain = format!("{plain}-{:04x}{GENERATED}", self.random.below(0x1_0000));
            if !self.is_taken(&domain) {
                return domain;
            }
        }
    }

    /// Refuses new names while configuration is being applied, or where the workspace forbids them.
    pub fn check_new_name(&self, environment_id: &str, kind: &str) -> Result<(), Refusal> {
        let environment = self.environment(environment_id)?;
        let applies = |patch: &crate::patch::Patch| patch.status.text() == "APPLYING";
        if environment.patches.iter().any(applies) {
            return Err(Refusal::bad_input(
                "Another change is being applied to this environment, please try again",
            ));
        }
        let workspace = &self.seed.workspace;
        let is_forbidden = match kind {
            PROXIES => workspace.forbids_tcp_proxies,
            _ => workspace.forbids_domains,
        };
        if is_forbidden {
            return Err(Refusal::bad_input("Blocked by a workspace policy"));
        }
        Ok(())
    }

    pub fn check_custom_domain(
        &self,
        environment: &Environment,
        service_id: &str,
        domain: &str,
    ) -> Result<(), Refusal> {
        if let Some(wrong) = self.wrong_with(domain) {
            return Err(Refusal::bad_input(wrong));
        }
        let most = self.seed.plan.most_domains();
        let here = environment.service(service_id).into_iter().flat_map(named);
        if here.filter(|(kind, _, _)| *kind == CUSTOM).count() >= most {
            let refused = format!("The plan allows at most {most} custom domains for a service");
            return Err(Refusal::bad_input(&refused));
        }
        Ok(())
    }

    /// Why a custom domain cannot be had.
    pub fn wrong_with(&self, domain: &str) -> Option<&'static str> {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '*')
        };
        if !domain.contains('.') || !domain.split('.').all(is_label) || domain.ends_with(GENERATED)
        {
            return Some("Invalid domain");
        }
        self.is_taken(domain)
            .then_some("Domain is already in use by another service")
    }

    /// The (environment, service, kind, name) with this id.
    pub fn name_with_id(&self, id: &str) -> Option<(&Environment, String, &'static str, String)> {
        self.environments.values().find_map(|environment| {
            entries(environment.config.get("services")).find_map(|(service, part)| {
                let (kind, name, _) = named(part)
                    .find(|(kind, name, _)| id_of(environment, service, kind, name) == id)?;
                Some((&**environment, service.clone(), kind, name.clone()))
            })
        })
    }
}

/// Every domain and proxy of a service: kind, name, settings.
pub fn named(service: &Value) -> impl Iterator<Item = (&'static str, &String, &Value)> {
    let networking = service.get("networking");
    [SERVICE, CUSTOM, PROXIES]
        .into_iter()
        .flat_map(move |kind| {
            entries(networking.and_then(|networking| networking.get(kind)))
                .map(move |(name, here)| (kind, name, here))
        })
}

/// A proxy's name is only a port, so its service tells it apart.
pub fn key_of(service_id: &str, kind: &str, name: &str) -> String {
    match kind {
        PROXIES => format!("{service_id}:{name}"),
        _ => name.to_string(),
    }
}

pub fn id_of<'e>(environment: &'e Environment, service: &str, kind: &str, name: &str) -> &'e str {
    let name = environment.names.get(&key_of(service, kind, name));
    name.map_or("", |name| &name.id)
}

/// Where a proxy is reached from outside: its domain and port.
pub fn proxy_address(environment: &Environment, service_id: &str, port: &str) -> (String, u64) {
    const WORDS: [&str; 4] = ["roundhouse", "switchyard", "viaduct", "turntable"];
    let sum = hash(&format!("{}/{service_id}:{port}", environment.id));
    let word = WORDS[(sum % 4) as usize];
    (format!("{word}.proxy.rlwy.net"), 10_000 + sum % 50_000)
}

/// The patch that gives a service a name, or takes it away.
pub fn name_patch(service_id: &str, kind: &str, name: &str, here: &Value) -> Value {
    json!({ "services": { service_id: { "networking": { kind: { name: here } } } } })
}

pub fn port_of(port: Option<i64>) -> Value {
    port.map_or(json!({}), |port| json!({ "port": port }))
}

/// Custom domains are not made by change sets; those that are there may stay.
pub fn check_change_set(patch: &Value, stored: &Value) -> Result<(), Refusal> {
    for (id, service) in entries(patch.get("services")) {
        let known = stored.pointer(&format!("/services/{id}/networking/{CUSTOM}"));
        let mut wanted = entries(service.get("networking").and_then(|all| all.get(CUSTOM)));
        if let Some((domain, _)) = wanted
            .find(|(domain, _)| known.is_none_or(|known| known.get(domain.as_str()).is_none()))
        {
            let refused = format!("Custom domain {domain} cannot be registered by a change set");
            return Err(Refusal::bad_input(&refused));
        }
    }
    Ok(())
}

/// The public name that the process is told.
pub fn public_domain(service: &Value) -> Option<&String> {
    let networking = service.get("networking")?;
    [SERVICE, CUSTOM]
        .iter()
        .find_map(|kind| config::entries(networking.get(*kind)).next())
        .map(|(domain, _)| domain)
}

/// The name that Railway thinks of first.
pub fn generated(service: &str, environment: &str) -> String {
    format!("{}-{}{GENERATED}", slug(service), slug(environment))
}

fn slug(name: &str) -> String {
    let slug: String = name
        .to_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    slug.trim_matches('-').to_string()
}
