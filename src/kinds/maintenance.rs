//! `kind: Maintenance`: closing services to customers and opening them again, by a variable, by a key or by another image, with the page checked.

mod queues;

use super::demand::{Demand, Instead, Needed};
use super::shown::one_line;
use super::step::{Ask, Asked, Cause, Step};
use super::written::{Duration, Instant};
use super::{Declared, Documents, Kind};
use crate::kinds::service::Check;
use crate::world::page::{Page, Question};
use crate::world::railway::{self, READY_SECONDS, Service, Source, Status};
use crate::world::{Seen, World};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Whether services are closed to customers. Turning it on and off is a change like any other: exactly the named services, with a plan.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// Whether they are closed.
    pub enabled: bool,
    /// The services that are closed.
    #[schemars(length(min = 1, max = 100))]
    pub services: Vec<String>,
    /// How they are closed.
    pub by: By,
    /// The queues that are paused meanwhile. Each goes on when nothing closes it any more, and only if we paused it.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub pause: Vec<String>,
    /// How long jobs that run are waited for; then it says which still run, and goes on.
    pub drain: Option<Duration>,
    /// What customers see, closed and open: it is asked for after every change.
    pub page: Option<PageSpec>,
    /// Why, for people.
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
    /// When it should be over. It is needed when it is on, and it is an alarm only: nothing opens by itself.
    pub until: Option<Instant>,
}

/// How services are closed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`{ variable: NAME }`, `{ key: NAME, redis: NAME }` or `{ image: REFERENCE }`")]
pub enum By {
    /// The application closes itself when a variable says so.
    Variable(ByVariable),
    /// The application closes itself when a key in a Redis says so: at once, without a deployment.
    Key(ByKey),
    /// Another image takes its place.
    Image(ByImage),
}

/// A variable that closes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct ByVariable {
    /// The variable's name. Open means that it is not there, or has another value.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub variable: String,
    /// The value that closes.
    #[serde(default = "closed")]
    #[schemars(length(min = 1, max = 100))]
    pub value: String,
}

fn closed() -> String {
    "true".to_owned()
}

/// A key in a Redis that closes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct ByKey {
    /// The key. Open means that it is not there, or has another value.
    #[schemars(length(min = 1, max = 200))]
    pub key: String,
    /// The Redis that it lies in.
    #[schemars(length(min = 1, max = 63))]
    pub redis: String,
    /// The value that closes.
    #[serde(default = "closed")]
    #[schemars(length(min = 1, max = 100))]
    pub value: String,
}

/// An image that takes the place of the service's own, for a night when the application cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct ByImage {
    /// The image that shows the page.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
    )]
    pub image: String,
    /// Its start command; the image's own where there is none.
    #[schemars(length(min = 1, max = 4096))]
    pub start: Option<String>,
    /// Its command before traffic; none where there is none.
    #[schemars(length(min = 1, max = 4096))]
    pub before_deploy: Option<String>,
    /// Its health check while Railway deploys it; none where there is none.
    pub ready: Option<Check>,
}

/// What customers see, closed and open.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct PageSpec {
    /// The address; the first domain of the first service where there is none.
    #[schemars(regex(pattern = "^https?://[^@]+$"))]
    pub url: Option<String>,
    /// What is seen while it is closed.
    pub closed: Expected,
    /// What is seen while it is open.
    pub open: Expected,
    /// How long it may take after a deployment until it is seen; 2m unless said otherwise.
    pub within: Option<Duration>,
}

/// An answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Expected {
    /// The HTTP status.
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Text that the page holds.
    #[schemars(length(min = 1, max = 200))]
    pub contains: Option<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "Maintenance";
    const IS_SHARED: bool = true;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Maintenance
metadata: { name: site }
spec:
  enabled: true
  services: [web]
  by: { variable: MAINTENANCE_MODE }   # or { key: closed, redis: main }, or { image: ghcr.io/owner/closed:1 }
  pause: [orders]
  drain: 2m
  page:
    closed: { status: 503, contains: maintenance }
    open: { status: 200 }
  reason: orders are being repaired
  until: 2026-11-23T05:00:00Z
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.maintenances
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.maintenances
    }
}

impl Spec {
    /// Whether it closes with this image.
    pub fn closes_with(&self, image: &str) -> bool {
        match &self.by {
            By::Image(by) => by.image == image,
            By::Variable(_) | By::Key(_) => false,
        }
    }
}

/// The key by which it closes, where that lies in this Redis.
pub fn key<'a>(spec: &'a Spec, redis: &str) -> Option<&'a str> {
    match &spec.by {
        By::Key(by) if by.redis == redis => Some(&by.key),
        By::Key(_) | By::Variable(_) | By::Image(_) => None,
    }
}

/// Why what it closes is closed, or open.
pub fn why(declared: &Declared<Spec>) -> String {
    let word = if declared.spec.enabled { "on" } else { "off" };
    let reason = declared.spec.reason.as_ref();
    let reason = reason.filter(|_| declared.spec.enabled);
    let reason = reason.map(|reason| format!(": {}", one_line(reason)));
    format!(
        "Maintenance/{} is {word}{}",
        declared.name,
        reason.unwrap_or_default()
    )
}

/// How long a page may take to change after a deployment, where nothing is said.
const PAGE_SECONDS: u64 = 120;
/// How long the changes themselves may take that a page waits for.
const CHANGES: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// What it needs of its services, by the service's name.
pub fn demands(declared: &Declared<Spec>) -> Vec<(String, Demand)> {
    let spec = &declared.spec;
    let what = match (&spec.by, spec.enabled) {
        (By::Variable(by), true) => Needed::Variable {
            name: by.variable.clone(),
            value: by.value.clone(),
        },
        (By::Variable(by), false) => Needed::Otherwise {
            name: by.variable.clone(),
            value: by.value.clone(),
        },
        (By::Image(by), true) => Needed::Image(Instead {
            image: by.image.clone(),
            start: by.start.clone(),
            before_deploy: by.before_deploy.clone(),
            ready: ready(by),
        }),
        (By::Image(_), false) | (By::Key(_), _) => return Vec::new(),
    };
    let demand = Demand {
        of: declared.address(),
        why: why(declared),
        origin: declared.origin(&["enabled"]).clone(),
        what,
    };
    spec.services
        .iter()
        .map(|service| (service.clone(), demand.clone()))
        .collect()
}

fn ready(by: &ByImage) -> railway::Ready {
    let check = by.ready.as_ref();
    railway::Ready {
        path: check.map(|check| check.path.clone()),
        within_seconds: check
            .and_then(|check| check.within)
            .map_or(READY_SECONDS, |within| within.0.as_secs()),
    }
}

/// What is left beside its demands: the page as customers see it, and the alarm when it has lasted too long.
pub fn steps(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Asked {
    let mut asked = Asked::default();
    overdue(declared, now, &mut asked);
    queues::turn_key(declared, documents, world, now, &mut asked);
    queues::drain(declared, documents, world, now, &mut asked);
    if let Some(page) = &declared.spec.page {
        check_page(declared, documents, page, world, now, &mut asked);
    }
    asked
}

/// What is still to be waited for until it is open, once it is off; nothing when it is.
pub fn opening(
    declared: &Declared<Spec>,
    documents: &Documents,
    world: &World,
    now: Timestamp,
) -> Option<Ask> {
    let wait = |until: String| Ask::Wait {
        until,
        deadline: now.saturating_add(CHANGES).unwrap_or(Timestamp::MAX),
        then: "jobs go on".to_owned(),
    };
    if declared.spec.enabled {
        return None;
    }
    let Some(railway) = world.railway.facts() else {
        return Some(Ask::Unseen("whether it is open cannot be seen".to_owned()));
    };
    let closed = not_in_place(&declared.spec, documents, world, now);
    let is_rolling = |name: &&String| {
        let service = railway.services.get(*name).and_then(Seen::facts);
        let newest = service.and_then(|service| service.newest.as_ref());
        newest.is_some_and(|newest| matches!(newest.status, Status::Rolling(_)))
    };
    let rolling = declared.spec.services.iter().find(is_rolling);
    if let Some(name) = closed.first().or(rolling) {
        return Some(wait(format!("{name} is open again")));
    }
    let page = declared.spec.page.as_ref()?;
    let url = url(declared, page, railway)?;
    match world.pages.get(&url) {
        Some(Seen::Facts(seen)) if page.open.fits(seen) => None,
        Some(Seen::Unseen(reason)) => Some(Ask::Unseen(reason.clone())),
        Some(Seen::Facts(_) | Seen::Unasked) | None => {
            let url = one_line(&url);
            Some(wait(format!("{url} answers {}", page.open.words())))
        }
    }
}

fn overdue(declared: &Declared<Spec>, now: Timestamp, asked: &mut Asked) {
    let until = declared.spec.until.filter(|_| declared.spec.enabled);
    if let Some(Instant(until)) = until.filter(|until| until.0 <= now) {
        let ask = Ask::Hold {
            by: format!(
                "{} was to be open again by {until}, and is closed",
                declared.spec.services.join(", ")
            ),
            way_out: "say `enabled: false`, or a later `until`".to_owned(),
            cause: Cause::Somebody,
        };
        asked.steps.push(declared.step("until", "open", ask));
    }
}

fn check_page(
    declared: &Declared<Spec>,
    documents: &Documents,
    page: &PageSpec,
    world: &World,
    now: Timestamp,
    asked: &mut Asked,
) {
    let is_closed = declared.spec.enabled;
    let (expected, verb) = if is_closed {
        (&page.closed, "close")
    } else {
        (&page.open, "open")
    };
    let Some(railway) = world.railway.facts() else {
        return;
    };
    let Some(url) = url(declared, page, railway) else {
        let words = "none of its services has a domain, and `page` has no `url`: what customers see is not checked";
        let ask = Ask::Told(words.to_owned());
        asked.steps.push(declared.step("page", verb, ask));
        return;
    };
    let seen = match world.pages.get(&url) {
        Some(Seen::Facts(seen)) => seen,
        Some(Seen::Unseen(reason)) => {
            // Closing does not wait for what cannot be seen; opening does.
            let ask = if is_closed {
                Ask::Told(format!("what customers see is not known: {reason}"))
            } else {
                Ask::Unseen(reason.clone())
            };
            asked.steps.push(declared.step("page", verb, ask));
            return;
        }
        Some(Seen::Unasked) | None => {
            asked.questions.insert(Question { url }.into());
            return;
        }
    };
    if expected.fits(seen) {
        return;
    }
    let mut after = not_in_place(&declared.spec, documents, world, now);
    // What has not begun to change cannot be late.
    let mut since = (!after.is_empty()).then_some(now);
    if let By::Key(by) = &declared.spec.by {
        since = since.or(queues::turned_at(by, documents, world, now));
        after = after
            .first()
            .map(|_| declared.name.clone())
            .into_iter()
            .collect();
    }
    let ask = late_page(declared, expected, &url, seen, railway, since, now);
    let page_step = declared.step("page", verb, ask);
    asked.steps.push(Step {
        from: Some(format!("HTTP {}", seen.status)),
        to: Some(expected.words()),
        after,
        ..page_step
    });
}

/// What a page that does not show what it should asks for: patience while its services change, then somebody.
fn late_page(
    declared: &Declared<Spec>,
    expected: &Expected,
    url: &str,
    seen: &Page,
    railway: &railway::Railway,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Ask {
    let page = declared.spec.page.as_ref();
    let within = page
        .and_then(|page| page.within)
        .map_or(std::time::Duration::from_secs(PAGE_SECONDS), |within| {
            within.0
        });
    let services = declared
        .spec
        .services
        .iter()
        .filter_map(|name| railway.services.get(name)?.facts());
    let mut latest = Timestamp::MIN;
    let mut patience = within;
    for newest in services.filter_map(|service| service.newest.as_ref()) {
        latest = latest.max(newest.created_at);
        if matches!(newest.status, Status::Rolling(_)) {
            patience = CHANGES;
        }
    }
    // What has not begun to change cannot be late.
    let (from, patience) = match since {
        Some(since) if since == now => (now, CHANGES),
        Some(since) => (latest.max(since), patience),
        None => (latest, patience),
    };
    let deadline = from.saturating_add(patience).unwrap_or(Timestamp::MAX);
    if now >= deadline {
        return Ask::Hold {
            by: format!(
                "{} answers HTTP {}{}, and {} is wanted",
                one_line(url),
                seen.status,
                expected.missing(seen),
                expected.words()
            ),
            way_out:
                "look at the page and at the service's log; mend `page` if it expects the wrong thing"
                    .to_owned(),
            cause: Cause::Unhealthy,
        };
    }
    Ask::Wait {
        until: format!("{} answers {}", one_line(url), expected.words()),
        deadline,
        then: if declared.spec.enabled {
            "it is closed"
        } else {
            "it is open"
        }
        .to_owned(),
    }
}

/// The services that are not as the maintenance needs them, or cannot be seen.
fn not_in_place(spec: &Spec, documents: &Documents, world: &World, now: Timestamp) -> Vec<String> {
    let is_in_place = |name: &&String| match &spec.by {
        By::Key(by) => queues::is_in_place(by, spec.enabled, documents, world, now),
        By::Variable(_) | By::Image(_) => {
            let railway = world.railway.facts();
            let service = railway.and_then(|railway| railway.services.get(*name)?.facts());
            service.is_some_and(|service| is_in_place(spec, service))
        }
    };
    let services = spec.services.iter();
    services
        .filter(|name| !is_in_place(name))
        .cloned()
        .collect()
}

/// Whether a service is stored as the maintenance needs it, as far as it can be seen.
fn is_in_place(spec: &Spec, service: &Service) -> bool {
    match &spec.by {
        By::Variable(by) => {
            let variables = service.variables.facts();
            let value = variables.and_then(|variables| variables.get(&by.variable)?.value.as_ref());
            value.is_some_and(|value| value.reveal() == by.value) == spec.enabled
        }
        By::Image(by) => {
            let runs = matches!(&service.source, Source::Image(image) if *image == by.image);
            runs == spec.enabled
        }
        By::Key(_) => true,
    }
}

fn url(declared: &Declared<Spec>, page: &PageSpec, railway: &railway::Railway) -> Option<String> {
    if let Some(url) = &page.url {
        return Some(url.clone());
    }
    let domain = declared.spec.services.iter().find_map(|name| {
        let service = railway.services.get(name)?.facts()?;
        service.domains.first()
    });
    domain.map(|domain| format!("https://{domain}/"))
}

impl Expected {
    fn fits(&self, page: &Page) -> bool {
        page.status == self.status && self.missing(page).is_empty()
    }

    fn missing(&self, page: &Page) -> String {
        match &self.contains {
            Some(text) if !page.body.contains(text.as_str()) => {
                format!(" without `{}`", one_line(text))
            }
            Some(_) | None => String::new(),
        }
    }

    fn words(&self) -> String {
        match &self.contains {
            Some(text) => format!("HTTP {} with `{}`", self.status, one_line(text)),
            None => format!("HTTP {}", self.status),
        }
    }
}
