//! Logs as Railway hands them out: rows of a time window, filtered, the newest or the nearest few of them.

use serde_json::{Value, json};

use crate::deployment::{Deployment, Line};
use crate::edge::Visit;
use crate::filter::Filter;
use crate::node::{Asked, Scene};
use crate::state::Environment;
use crate::time::Time;

/// Rows handed out when no limit is given, and the most of them.
const DEFAULT_LIMIT: usize = 100;
const MOST_ROWS: usize = 5_000;

/// A row before it is written out, so that sorting and cutting stay cheap.
struct Row<'l> {
    at: Time,
    from: From<'l>,
}

enum From<'l> {
    Process(&'l Deployment, &'l Line),
    Visitor(&'l Deployment, &'l Visit),
}

/// The build log or the deployment log of one deployment.
pub fn of_deployment(scene: &Scene, deployment: &Deployment, asked: &Asked<'_>) -> Vec<Value> {
    let lines = if asked.field == "buildLogs" {
        &deployment.build_log
    } else {
        &deployment.log
    };
    let rows = lines.iter().map(|line| Row {
        at: line.at,
        from: From::Process(deployment, line),
    });
    let filter = Filter::parse(asked.optional("filter").unwrap_or_default());
    let limit = asked.number("limit").unwrap_or(DEFAULT_LIMIT);
    let within = Within {
        from: asked.moment("startDate"),
        until: asked.moment("endDate"),
    };
    let mut rows = kept(scene, rows, &filter, &within);
    newest(scene, &mut rows, limit);
    rows.iter().map(Row::written).collect()
}

/// What all processes of an environment say; builds only when their snapshot is named.
pub fn of_environment(scene: &Scene, environment: &Environment, asked: &Asked<'_>) -> Vec<Value> {
    let filter = Filter::parse(asked.optional("filter").unwrap_or_default());
    let snapshots = filter.named("snapshot");
    let deployments = environment
        .instances
        .values()
        .flat_map(|instance| &instance.deployments)
        .filter_map(|id| scene.state.deployments.get(id));
    let rows = deployments.flat_map(|deployment| {
        let builds = snapshots.contains(&deployment.snapshot_id.as_str());
        let build = deployment.build_log.iter().filter(move |_| builds);
        deployment.log.iter().chain(build).map(move |line| Row {
            at: line.at,
            from: From::Process(deployment, line),
        })
    });
    around(scene, rows, &filter, asked)
}

/// The requests that a deployment has answered.
pub fn of_visitors(scene: &Scene, deployment: &Deployment, asked: &Asked<'_>) -> Vec<Value> {
    let visits = scene.state.visits.iter();
    let rows = visits
        .filter(|visit| visit.deployment_id == deployment.id)
        .map(|visit| Row {
            at: visit.at,
            from: From::Visitor(deployment, visit),
        });
    let filter = Filter::parse(asked.optional("filter").unwrap_or_default());
    around(scene, rows, &filter, asked)
}

/// Rows on both sides of an anchor: `beforeDate` and `afterDate` bound them, they do not centre them.
fn around<'l>(
    scene: &Scene,
    rows: impl Iterator<Item = Row<'l>>,
    filter: &Filter,
    asked: &Asked<'_>,
) -> Vec<Value> {
    let anchor = asked.moment("anchorDate");
    let within = Within {
        from: asked.moment("beforeDate"),
        until: asked.moment("afterDate"),
    };
    let rows = kept(scene, rows, filter, &within);
    let (mut before, mut after): (Vec<Row<'_>>, Vec<Row<'_>>) = rows
        .into_iter()
        .partition(|row| anchor.is_none_or(|anchor| row.at <= anchor));
    let limit = asked.number("beforeLimit").or(asked.number("limit"));
    newest(scene, &mut before, limit.unwrap_or(DEFAULT_LIMIT));
    after.truncate(asked.number("afterLimit").unwrap_or(DEFAULT_LIMIT));
    before.iter().chain(&after).map(Row::written).collect()
}

struct Within {
    from: Option<Time>,
    until: Option<Time>,
}

/// Rows that are still kept, in the window and wanted; oldest first.
fn kept<'l>(
    scene: &Scene,
    rows: impl Iterator<Item = Row<'l>>,
    filter: &Filter,
    within: &Within,
) -> Vec<Row<'l>> {
    let days = scene.state.seed.plan.log_days();
    let oldest = scene.state.now.plus_seconds(-f64::from(days) * 86_400.0);
    let is_wanted = |row: &Row<'_>| {
        let follows = scene.window.as_ref();
        (oldest..=scene.state.now).contains(&row.at)
            && follows.is_none_or(|window| window.contains(&row.at))
            && within.from.is_none_or(|from| row.at >= from)
            && within.until.is_none_or(|until| row.at <= until)
            && filter.matches(row.text(), &|name| row.attribute(name))
    };
    let mut kept: Vec<Row<'_>> = rows.filter(is_wanted).collect();
    kept.sort_by_key(|row| row.at);
    kept
}

fn newest(scene: &Scene, rows: &mut Vec<Row<'_>>, limit: usize) {
    let limit = limit.min(MOST_ROWS) + usize::from(scene.state.switches.log_limit_extra);
    rows.drain(..rows.len().saturating_sub(limit));
}

impl Row<'_> {
    fn text(&self) -> &str {
        match &self.from {
            From::Process(_, line) => &line.message,
            From::Visitor(_, visit) => &visit.path,
        }
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let (From::Process(deployment, _) | From::Visitor(deployment, _)) = &self.from;
        let value = match (name, &self.from) {
            ("service", _) => &deployment.service_id,
            ("deployment", _) => &deployment.id,
            ("snapshot", _) => &deployment.snapshot_id,
            ("replica", From::Process(..)) => &deployment.instances.first()?.id,
            ("replica" | "deploymentInstanceId", From::Visitor(_, visit)) => &visit.instance_id,
            ("level", From::Process(_, line)) => line.severity,
            ("method", From::Visitor(_, visit)) => &visit.method,
            ("path", From::Visitor(_, visit)) => &visit.path,
            ("host", From::Visitor(_, visit)) => &visit.host,
            ("requestId", From::Visitor(_, visit)) => &visit.request_id,
            (_, From::Process(_, line)) if line.attributes.contains_key(name) => {
                return Some(line.attributes[name].trim_matches('"').to_string());
            }
            ("httpStatus", From::Visitor(_, visit)) => return Some(visit.status.to_string()),
            _ => return None,
        };
        Some(value.to_string())
    }

    fn written(&self) -> Value {
        match &self.from {
            From::Process(deployment, line) => json!({
                "timestamp": line.at,
                "message": line.message,
                "severity": line.severity,
                "attributes": attributes(line),
                "tags": {
                    "deploymentId": deployment.id,
                    "deploymentInstanceId": deployment.instances.first().map(|replica| &replica.id),
                    "environmentId": deployment.environment_id,
                    "projectId": deployment.project_id,
                    "serviceId": deployment.service_id,
                    "snapshotId": deployment.snapshot_id,
                },
            }),
            From::Visitor(_, visit) => json!({
                "timestamp": visit.at,
                "requestId": visit.request_id,
                "deploymentId": visit.deployment_id,
                "deploymentInstanceId": visit.instance_id,
                "method": visit.method,
                "host": visit.host,
                "path": visit.path,
                "httpStatus": visit.status,
                "clientUa": visit.agent,
                "srcIp": "127.0.0.1",
                "edgeRegion": "us-west2",
                "downstreamProto": "HTTP/1.1",
                "upstreamProto": "HTTP/1.1",
                "upstreamAddress": if visit.status == 502 { "" } else { "http://[fd12::1]:8080" },
                "upstreamErrors": if visit.status == 502 { "connection refused" } else { "" },
                "responseDetails": if visit.status == 502 { "Retried single replica" } else { "" },
                "totalDuration": 3,
                "upstreamRqDuration": 2,
                "rxBytes": 0,
                "txBytes": visit.bytes,
            }),
        }
    }
}

fn attributes(line: &Line) -> Vec<Value> {
    let level = json!({ "key": "level", "value": line.severity });
    let further = line
        .attributes
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }));
    std::iter::once(level).chain(further).collect()
}
