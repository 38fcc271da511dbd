//! Mutations of domains and proxies: they take effect at once and are never staged.

use serde_json::{Value, json};

use super::{Done, Session, optional, text, yes};
use crate::edge::GENERATED;
use crate::fields::networking::{domain, proxy};
use crate::networking::{CUSTOM, PROXIES, SERVICE, name_patch, named, port_of};
use crate::node::Asked;
use crate::patch::Write;
use crate::refusal::Refusal;

impl Session<'_> {
    pub(super) fn service_domain_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service) = self.new_name(&input, SERVICE)?;
        let stored = self.state.environment(&environment)?.service(&service);
        if stored.is_some_and(|part| named(part).any(|(kind, _, _)| kind == SERVICE)) {
            return Err(Refusal::bad_input("Service already has a Railway domain"));
        }
        let name = self.state().free_domain(&environment, &service);
        let here = port_of(input["targetPort"].as_i64());
        self.rename(
            &environment,
            &name_patch(&service, SERVICE, &name, &here),
            "serviceDomainCreate",
        );
        self.told(&environment, &service, SERVICE, &name)
    }

    pub(super) fn service_domain_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let id = text(&input, "serviceDomainId");
        let (environment, service, old) = self.open_name(&id, SERVICE)?;
        let wanted = text(&input, "domain").to_lowercase();
        let wanted = match wanted.contains('.') {
            true => wanted,
            false => format!("{wanted}{GENERATED}"),
        };
        if !wanted.ends_with(GENERATED) || wanted.len() <= GENERATED.len() {
            return Err(Refusal::bad_input("Invalid domain"));
        }
        if wanted != old && self.state.is_taken(&wanted) {
            return Err(Refusal::bad_input("Domain is not available"));
        }
        let stored = self
            .state
            .environment(&environment)?
            .service(&service)
            .and_then(|part| part.get("networking")?.get(SERVICE)?.get(&old))
            .cloned();
        let here = match input.get("targetPort").and_then(Value::as_i64) {
            Some(port) => port_of(Some(port)),
            None => stored.unwrap_or_else(|| json!({})),
        };
        let mut patch = name_patch(&service, SERVICE, &wanted, &here);
        if wanted != old {
            let names = &mut self.state().environment_mut(&environment).names;
            if let Some(name) = names.get(&old).cloned() {
                names.insert(wanted, name);
            }
            patch["services"][&service]["networking"][SERVICE][&old] = Value::Null;
        }
        self.rename(&environment, &patch, "serviceDomainUpdate");
        yes()
    }

    pub(super) fn custom_domain_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service) = self.new_name(&input, CUSTOM)?;
        let name = text(&input, "domain").to_lowercase();
        let stored = self.state.environment(&environment)?;
        if optional(&input, "projectId").is_some_and(|id| id != stored.project_id) {
            return Err(Refusal::not_authorized());
        }
        self.state.check_custom_domain(stored, &service, &name)?;
        let here = port_of(input["targetPort"].as_i64());
        self.rename(
            &environment,
            &name_patch(&service, CUSTOM, &name, &here),
            "customDomainCreate",
        );
        self.told(&environment, &service, CUSTOM, &name)
    }

    pub(super) fn custom_domain_update(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, service, name) = self.open_name(asked.text("id"), CUSTOM)?;
        let port = asked
            .number("targetPort")
            .map_or(Value::Null, |port| json!(port));
        let patch = name_patch(&service, CUSTOM, &name, &json!({ "port": port }));
        self.rename(&environment, &patch, "customDomainUpdate");
        yes()
    }

    /// The authority is asked again.
    pub(super) fn issue_certificate(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (environment, _, name) = self.open_name(asked.text("id"), CUSTOM)?;
        let now = self.state.now;
        if let Some(known) = self
            .state()
            .environment_mut(&environment)
            .names
            .get_mut(&name)
        {
            (known.asked, known.updated) = (now, now);
        }
        yes()
    }

    pub(super) fn proxy_create(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let input = asked.json("input");
        let (environment, service) = self.new_name(&input, PROXIES)?;
        let port = input["applicationPort"].as_u64().unwrap_or_default();
        if !(1..=65_535).contains(&port) {
            return Err(Refusal::bad_input(
                "applicationPort must be between 1 and 65535",
            ));
        }
        let port = port.to_string();
        let stored = self.state.environment(&environment)?.service(&service);
        let is_there =
            |part: &Value| named(part).any(|(kind, name, _)| kind == PROXIES && *name == port);
        if stored.is_some_and(is_there) {
            return Err(Refusal::bad_input(
                "A TCP proxy for this port already exists",
            ));
        }
        let patch = name_patch(&service, PROXIES, &port, &json!({}));
        self.rename(&environment, &patch, "tcpProxyCreate");
        let stored = self.state.environment(&environment)?;
        Ok(Done::Plain(proxy(stored, &service, &port)))
    }

    pub(super) fn name_delete(&mut self, asked: &Asked<'_>) -> Result<Done, Refusal> {
        let (kind, mutation) = match asked.field {
            "serviceDomainDelete" => (SERVICE, "serviceDomainDelete"),
            "customDomainDelete" => (CUSTOM, "customDomainDelete"),
            _ => (PROXIES, "tcpProxyDelete"),
        };
        let (environment, service, name) = self.open_name(asked.text("id"), kind)?;
        let patch = name_patch(&service, kind, &name, &Value::Null);
        self.rename(&environment, &patch, mutation);
        yes()
    }

    /// Where a new name goes, if one may be made there now.
    fn new_name(&self, input: &Value, kind: &str) -> Result<(String, String), Refusal> {
        let (environment, service) = (text(input, "environmentId"), text(input, "serviceId"));
        self.open_instance(&environment, &service)?;
        self.check_project_token(self.state.switches.project_token_may_name)?;
        self.state.check_new_name(&environment, kind)?;
        Ok((environment, service))
    }

    /// The environment, service and name that an id stands for, if the caller may write there.
    fn open_name(&self, id: &str, kind: &str) -> Result<(String, String, String), Refusal> {
        let found = self.state.name_with_id(id);
        let (environment, service, _, name) = found
            .filter(|(_, _, known, _)| *known == kind)
            .ok_or_else(Refusal::not_authorized)?;
        self.open(&environment.id)?;
        self.check_project_token(self.state.switches.project_token_may_name)?;
        Ok((environment.id.clone(), service, name))
    }

    fn rename(&mut self, environment: &str, patch: &Value, mutation: &'static str) {
        let write = Write {
            mutation,
            skip_deploys: true,
            ..Write::default()
        };
        self.change_and_deploy(environment, patch, &write);
    }

    fn told(
        &self,
        environment: &str,
        service: &str,
        kind: &str,
        name: &str,
    ) -> Result<Done, Refusal> {
        let stored = self.state.environment(environment)?;
        Ok(Done::Plain(domain(self.state, stored, service, kind, name)))
    }
}
