//! The applications themselves, as Railway's edge serves them: which deployment a domain reaches, and what it answers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use http::{Method, Request, Response, StatusCode};

use crate::config;
use crate::deployment::{Deployment, Status};
use crate::networking::{PROXIES, Standing, named};
use crate::seed::{Outcome, PageSeed};
use crate::state::{Due, Environment, State};
use crate::switches::WakingRequest;
use crate::time::Time;

/// Domains that Railway generates end like this.
pub const GENERATED: &str = ".up.railway.app";
const MOST_VISITS: usize = 5_000;
const IN_MAINTENANCE: [&str; 3] = ["true", "1", "on"];

/// One request to an application.
#[derive(Clone, Debug)]
pub struct Visit {
    pub at: Time,
    pub deployment_id: String,
    pub instance_id: String,
    pub request_id: String,
    pub method: String,
    pub host: String,
    pub path: String,
    pub agent: String,
    pub status: u16,
    pub bytes: usize,
}

/// What stands behind a domain.
enum Upstream {
    Nothing,
    /// It is there and does not respond.
    Silent(Arc<Deployment>),
    Responds(Arc<Deployment>),
}

impl State {
    /// Whether the edge answers for this host at all; any other host is taken for the API's.
    pub fn is_edge_host(&self, host: &str) -> bool {
        host.ends_with(GENERATED) || self.behind(host).is_some()
    }

    /// Answers one visitor, and remembers the visit.
    pub fn visit(&mut self, host: &str, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        let behind = self
            .behind(host)
            .map(|(environment, service)| (environment.id.clone(), service));
        if let Some((environment, service)) = &behind {
            self.wake(environment, service);
        }
        let upstream = behind.map_or(Upstream::Nothing, |(environment, service)| {
            let environment = &self.environments[&environment];
            let is_known = host.ends_with(GENERATED)
                || self.standing(environment, host) != Standing::Unverified;
            match is_known {
                true => self.upstream(environment, &service),
                false => Upstream::Nothing,
            }
        });
        let request_id = self.random.uuid();
        let (page, deployment) = match upstream {
            Upstream::Nothing => return edge_error(404, "Application not found", &request_id),
            Upstream::Silent(deployment) => (None, deployment),
            Upstream::Responds(deployment) => (Some(self.page_of(&deployment, path)), deployment),
        };
        let mut response = match page {
            None => edge_error(502, "Application failed to respond", &request_id),
            Some(page) => written(&page, &request_id),
        };
        let agent = request
            .headers()
            .get("user-agent")
            .and_then(|agent| agent.to_str().ok());
        self.remember(Visit {
            at: self.now,
            instance_id: deployment
                .instances
                .first()
                .map_or(String::new(), |replica| replica.id.clone()),
            deployment_id: deployment.id.clone(),
            request_id,
            method: request.method().to_string(),
            host: host.to_string(),
            path: path.to_string(),
            agent: agent.unwrap_or_default().to_string(),
            status: response.status().as_u16(),
            bytes: response.body().len(),
        });
        if request.method() == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        response
    }

    /// What the application of a deployment answers on a path, whoever asks.
    pub fn page_of(&self, deployment: &Deployment, path: &str) -> PageSeed {
        let is_open = self
            .environments
            .get(&deployment.environment_id)
            .and_then(|environment| environment.instances.get(&deployment.service_id))
            .is_some_and(|instance| instance.open_paths.iter().any(|open| open == path));
        if !is_open && is_in_maintenance(deployment) {
            return PageSeed {
                status: 503,
                body: "closed for maintenance\n".into(),
            };
        }
        let pages = self.known(&deployment.release).pages;
        let known = pages.get(path).or_else(|| pages.get("*"));
        known.cloned().unwrap_or_else(|| PageSeed {
            body: format!("{}\n", name_of(deployment)),
            ..PageSeed::default()
        })
    }

    /// The service whose domain it is.
    fn behind(&self, host: &str) -> Option<(&Environment, String)> {
        self.environments.values().find_map(|environment| {
            let services = config::entries(environment.config.get("services"));
            let (id, _) = services
                .flat_map(|(id, service)| {
                    named(service).map(move |(kind, name, _)| (id, (kind, name)))
                })
                .find(|(_, (kind, name))| *kind != PROXIES && *name == host)?;
            Some((&**environment, id.clone()))
        })
    }

    fn upstream(&self, environment: &Environment, service_id: &str) -> Upstream {
        let crashed = || {
            self.newest(environment, service_id)
                .filter(|newest| newest.status == Status::Crashed)
        };
        let Some(deployment) = self.active(environment, service_id).or_else(crashed) else {
            return Upstream::Nothing;
        };
        let is_up = deployment
            .instances
            .iter()
            .any(|replica| replica.status == "RUNNING");
        let never_answers = self.known(&deployment.release).outcome == Outcome::NeverReady;
        match deployment.status {
            _ if deployment.stopped || deployment.instances.is_empty() => Upstream::Nothing,
            Status::Success if is_up && !never_answers => Upstream::Responds(deployment.clone()),
            _ => Upstream::Silent(deployment.clone()),
        }
    }

    /// A sleeping application wakes by being asked; whether it answers that request is a switch.
    fn wake(&mut self, environment_id: &str, service_id: &str) {
        let environment = &self.environments[environment_id];
        let Some(deployment) = self.active(environment, service_id).cloned() else {
            return;
        };
        if deployment.status != Status::Sleeping {
            return;
        }
        let due = Due::Wake {
            deployment: deployment.id.clone(),
        };
        match self.switches.waking_request {
            WakingRequest::Answered => self.woken(&deployment.id),
            WakingRequest::BadGateway if self.agenda.values().any(|known| *known == due) => {}
            WakingRequest::BadGateway => self.later(self.seed.timings.wake, due),
        }
    }

    fn remember(&mut self, visit: Visit) {
        let now = self.now;
        self.deployment_mut(&visit.deployment_id).traffic_at = now;
        let visits = Arc::make_mut(&mut self.visits);
        if visits.len() >= MOST_VISITS {
            visits.pop_front();
        }
        visits.push_back(Arc::new(visit));
    }
}

/// The host a request is for, without its port.
pub fn host_of(request: &Request<Bytes>) -> Option<String> {
    let header = || request.headers().get("host")?.to_str().ok();
    let host = request.uri().host().or_else(header)?;
    Some(bare(host))
}

pub fn bare(host: &str) -> String {
    host.split(':').next().unwrap_or(host).to_ascii_lowercase()
}

fn is_in_maintenance(deployment: &Deployment) -> bool {
    deployment
        .variables
        .get("MAINTENANCE_MODE")
        .is_some_and(|mode| IN_MAINTENANCE.contains(&mode.to_lowercase().as_str()))
}

/// What runs, in one line.
fn name_of(deployment: &Deployment) -> String {
    let release = &deployment.release;
    match (&release.image, &release.repo, &release.commit) {
        (Some(image), _, _) => image.clone(),
        (None, Some(repo), Some(commit)) => format!("{repo}@{commit}"),
        (None, repo, _) => repo.clone().unwrap_or_default(),
    }
}

/// What the edge says where no application does.
fn edge_error(status: u16, message: &str, request_id: &str) -> Response<Bytes> {
    let body = format!(r#"{{"status":"error","code":{status},"message":"{message}"}}"#);
    let mut response = answered(status, "application/json", body.into(), request_id);
    if status == 404 {
        let fallback = HeaderName::from_static("x-railway-fallback");
        response
            .headers_mut()
            .insert(fallback, HeaderValue::from_static("true"));
    }
    response
}

fn written(page: &PageSeed, request_id: &str) -> Response<Bytes> {
    answered(
        page.status,
        "text/plain; charset=utf-8",
        page.body.clone().into(),
        request_id,
    )
}

fn answered(status: u16, kind: &'static str, body: Bytes, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = HeaderValue::from_str(request_id).expect("an id is plain ASCII");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(SERVER, HeaderValue::from_static("railway-edge"));
    headers.insert(HeaderName::from_static("x-railway-request-id"), id);
    response
}
