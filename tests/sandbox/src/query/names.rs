//! Domains by their id, and whether a name is still free.

use serde_json::{Value, json};

use crate::fields::networking;
use crate::networking::PROXIES;
use crate::node::{Answer, Asked, Scene};
use crate::refusal::Refusal;

/// A custom domain by its id.
pub(super) fn named(scene: &Scene, asked: &Asked<'_>) -> Result<Value, Refusal> {
    let found = scene.state.name_with_id(asked.text("id"));
    let (environment, service, kind, name) = found
        .filter(|(environment, _, kind, _)| {
            *kind != PROXIES && environment.project_id == asked.text("projectId")
        })
        .ok_or_else(Refusal::not_authorized)?;
    if !scene.caller.sees_environment(environment) {
        return Err(Refusal::not_authorized());
    }
    let domain = networking::domain(&scene.state, environment, &service, kind, &name);
    Ok(domain)
}

pub(super) fn status<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Result<Answer<'s>, Refusal> {
    let domain = named(scene, asked)?;
    let mut told = domain["status"].clone();
    if told.is_null() {
        let certificate = "CERTIFICATE_STATUS_TYPE_VALID";
        told = json!({ "certificateStatus": certificate, "dnsRecords": [] });
    }
    told["domain"] = domain;
    Ok(Answer::plain(told))
}

pub(super) fn available<'s>(wrong: Option<&str>) -> Answer<'s> {
    Answer::plain(json!({ "available": wrong.is_none(), "message": wrong.unwrap_or_default() }))
}
