//! What a service is asked all the time, and what one answer to that means.

use super::Spec;
use crate::kinds::shown::one_line;
use crate::kinds::written::Duration;
use crate::kinds::{Declared, Documents, maintenance};
use crate::world::Seen;
use crate::world::page::Page;
use crate::world::railway::{Railway, Service, Status};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration as Time;

/// What a controller asks all the time, from outside. It turns the status red; with `rollback` in the Environment it puts a bad release back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct HealthCheck {
    /// The path at the service's first domain.
    #[schemars(regex(pattern = "^/"), length(max = 512))]
    pub path: Option<String>,
    /// The address, where it is asked elsewhere.
    #[schemars(regex(pattern = "^https?://[^@]+$"), length(max = 512))]
    pub url: Option<String>,
    /// How often; 30s unless said otherwise.
    pub every: Option<Duration>,
    /// After how many failures in a row it counts as unhealthy; 3 unless said otherwise.
    #[schemars(range(min = 1, max = 20))]
    pub failures: Option<u32>,
    /// How long an answer may take; 10s unless said otherwise.
    pub within: Option<Duration>,
    /// The HTTP status that is healthy; 200 unless said otherwise.
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
}

/// How often a service is asked where nothing is said.
pub const EVERY: Time = Time::from_secs(30);
/// How long an answer may take where nothing is said, and at most.
pub const WITHIN: Time = Time::from_secs(10);
const FAILURES: u32 = 3;

/// What one service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The address.
    pub url: String,
    /// How often.
    pub every: Time,
    /// How long an answer may take.
    pub within: Time,
    /// After how many failures in a row it counts as unhealthy.
    pub failures: u32,
    /// The HTTP status that is healthy.
    pub status: u16,
    /// What is expected instead while it is closed to customers.
    pub closed: Option<Closed>,
}

/// The answer of a service that is closed to customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The HTTP status.
    pub status: u16,
    /// Text that the page holds.
    pub contains: Option<String>,
}

/// What one answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As it should be.
    Good(String),
    /// Not as it should be.
    Bad(String),
    /// It could not be asked: that says nothing about the service.
    Silent(String),
}

/// What each service with `health` is asked; or why it is not asked.
pub fn questions(
    documents: &Documents,
    railway: &Railway,
) -> BTreeMap<String, Result<Question, String>> {
    let asked = documents.services.values().filter_map(|declared| {
        let check = declared.spec.health.as_ref()?;
        let question = match railway.services.get(&declared.name) {
            Some(Seen::Facts(service)) => question(check, declared, service, documents),
            Some(Seen::Unseen(reason)) => Err(format!("the service cannot be seen: {reason}")),
            Some(Seen::Unasked) | None => Err("the service is not there".to_owned()),
        };
        Some((declared.name.clone(), question))
    });
    asked.collect()
}

fn question(
    check: &HealthCheck,
    declared: &Declared<Spec>,
    service: &Service,
    documents: &Documents,
) -> Result<Question, String> {
    if declared.spec.stopped == Some(true) {
        return Err("not asked: it is to be stopped".to_owned());
    }
    if declared.spec.sleep == Some(true) {
        return Err("not asked: it may sleep, and asking would wake it".to_owned());
    }
    let url = match (&check.url, &check.path, service.domains.first()) {
        (Some(url), _, _) => url.clone(),
        (None, Some(path), Some(domain)) => format!("https://{domain}{path}"),
        (None, _, _) => return Err("not asked: it has no public domain".to_owned()),
    };
    Ok(Question {
        url,
        every: check.every.map_or(EVERY, |every| every.0),
        within: check.within.map_or(WITHIN, |within| within.0),
        failures: check.failures.unwrap_or(FAILURES),
        status: check.status.unwrap_or(200),
        closed: documents
            .maintenances
            .values()
            .filter(|maintenance| maintenance.spec.enabled || is_rolling(service))
            .find(|maintenance| maintenance.spec.services.contains(&declared.name))
            .map(closed),
    })
}

/// What was closed answers so until the deployment that opens it is up.
fn is_rolling(service: &Service) -> bool {
    let newest = service.newest.as_ref();
    newest.is_some_and(|newest| matches!(newest.status, Status::Rolling(_)))
}

fn closed(declared: &Declared<maintenance::Spec>) -> Closed {
    let page = declared.spec.page.as_ref();
    Closed {
        status: page.map_or(503, |page| page.closed.status),
        contains: page.and_then(|page| page.closed.contains.clone()),
    }
}

impl Question {
    /// What an answer means.
    pub fn judge(&self, page: &Page) -> Answer {
        let is_closed = self.closed.as_ref().is_some_and(|closed| {
            let text = closed.contains.as_deref().unwrap_or_default();
            page.status == closed.status && page.body.contains(text)
        });
        match page.status {
            status if is_closed => Answer::Good(format!("HTTP {status} closed (expected)")),
            status if status == self.status => Answer::Good(format!("HTTP {status}")),
            status => Answer::Bad(format!("HTTP {status}, wanted {}", self.status)),
        }
    }

    /// The host that is asked, for the words of a status.
    pub fn host(&self) -> String {
        let rest = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        one_line(rest.split(['/', '?', '#']).next().unwrap_or(rest))
    }
}
