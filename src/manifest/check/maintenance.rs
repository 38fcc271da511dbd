//! What a Maintenance means together with the services that it closes.

use super::super::Findings;
use super::super::mask::quoted;
use super::{place, reserved};
use crate::kinds::maintenance::{By, Spec};
use crate::kinds::{Declared, Documents, service};
use crate::problem::{Problem, nearest};
use std::collections::BTreeMap;

/// One Maintenance and its services.
pub fn check(maintenance: &Declared<Spec>, documents: &Documents, found: &mut Findings) {
    let spec = &maintenance.spec;
    if spec.enabled && spec.until.is_none() {
        let at = place(maintenance, &["enabled"]);
        found.add(
            Problem::at(at, "missing-field", "`enabled`: what is closed needs an `until`")
                .help("write `until` with the time when it should be over; then it alarms, and opens nothing by itself"),
        );
    }
    if let By::Variable(by) = &spec.by {
        let at = place(maintenance, &["by", "variable"]);
        reserved(at, &by.variable, found);
    }
    for (position, name) in spec.services.iter().enumerate() {
        let path = ["services", &position.to_string()];
        match documents.services.get(name) {
            Some(service) => closable(maintenance, service, found),
            None => unknown(maintenance, &path, name, documents, found),
        }
    }
}

fn unknown(
    maintenance: &Declared<Spec>,
    path: &[&str],
    name: &str,
    documents: &Documents,
    found: &mut Findings,
) {
    let is_mentioned = found
        .mentioned
        .iter()
        .any(|(kind, mentioned)| *kind == "Service" && mentioned == name);
    if is_mentioned {
        return;
    }
    let words = format!("there is no Service {}", quoted(name));
    let problem = Problem::at(place(maintenance, path), "unknown-service", words);
    let names = documents.services.keys().map(String::as_str);
    found.add_if_complete(match nearest(name, names) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.help("declare it: a document of `kind: Service`"),
    });
}

/// Whether a service says everything that has to be put back when it opens again, and leaves the closing to the Maintenance.
fn closable(maintenance: &Declared<Spec>, service: &Declared<service::Spec>, found: &mut Findings) {
    match &maintenance.spec.by {
        By::Variable(by) if service.spec.variables.contains_key(&by.variable) => {
            let at = place(service, &["variables", &by.variable]);
            let title = format!("Maintenance/{}", maintenance.name);
            found.add(
                Problem::at(
                    at,
                    "two-owners",
                    format!("{}: {title} says what it is", quoted(&by.variable)),
                )
                .help("take it out of the variables")
                .related(place(maintenance, &["by"]), "the other one"),
            );
        }
        By::Variable(_) | By::Key(_) => {}
        By::Image(_) => {
            let spec = &service.spec;
            let unsaid: Vec<&str> = [
                (
                    "`image` or `release`",
                    spec.image.is_none() && spec.release.is_none(),
                ),
                ("`start`", spec.start.is_none()),
                ("`beforeDeploy`", spec.before_deploy.is_none()),
                ("`ready`", spec.ready.is_none()),
            ]
            .into_iter()
            .filter(|(_, is_unsaid)| *is_unsaid)
            .map(|(field, _)| field)
            .collect();
            if unsaid.is_empty() {
                return;
            }
            let words = format!(
                "Service/{} does not say {}, which another image replaces: it could not be put back",
                service.name,
                unsaid.join(", ")
            );
            found.add(
                Problem::at(place(maintenance, &["by"]), "not-put-back", words)
                    .help("declare them in the service; `{ absent: true }` where there is none")
                    .related(place(service, &[]), "the service"),
            );
        }
    }
}

/// Two that close the same service in the same way would fight over it.
pub fn one_owner(maintenances: &BTreeMap<String, Declared<Spec>>, found: &mut Findings) {
    let mut owners: BTreeMap<(&str, &str), &Declared<Spec>> = BTreeMap::new();
    for maintenance in maintenances.values() {
        let way = match &maintenance.spec.by {
            By::Variable(by) => by.variable.as_str(),
            By::Key(by) => by.key.as_str(),
            By::Image(_) => "",
        };
        for service in &maintenance.spec.services {
            let Some(first) = owners.insert((service, way), maintenance) else {
                continue;
            };
            let words = format!(
                "Maintenance/{} and Maintenance/{} both close Service/{service} in the same way",
                maintenance.name, first.name
            );
            found.add(
                Problem::at(place(maintenance, &["services"]), "two-owners", words)
                    .help("put its services together in one document, or close them by different variables")
                    .related(place(first, &["services"]), "the other one"),
            );
        }
    }
}
