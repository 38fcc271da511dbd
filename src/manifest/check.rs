//! What only shows when all documents are seen together, or when somebody knows what a field means.

mod environment;
mod maintenance;
mod redis;

use super::Findings;
use super::document::Document;
use super::mask::quoted;
use super::overlay::{self, Base};
use crate::kinds::service::health::WITHIN;
use crate::kinds::service::{Cron, Ready, Replicas, Spec};
use crate::kinds::variable::Variable;
use crate::kinds::written::{Duration, Instant};
use crate::kinds::{Declared, Documents, approval, environment as environments, release};
use crate::problem::{Problem, nearest};
use crate::source::{Files, Place};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration as Time;

const MAX_FILES: usize = 2_000;
const MAX_BYTES: usize = 10 * 1024 * 1024;
/// More documents than this are not looked at.
pub const MAX_DOCUMENTS: usize = 10_000;
const MAX_REPLICAS: u32 = 50;
/// Further ahead than this a time is more likely a typing error than a plan.
const MAX_DAYS_AHEAD: i64 = 7;

/// Whether the files are few and small enough to be read.
pub fn limits(files: &Files, found: &mut Findings) -> bool {
    let bytes: usize = files.texts.values().map(|text| text.len()).sum();
    let message = if files.texts.len() > MAX_FILES {
        format!(
            "{} files are more than the {MAX_FILES} that are read",
            files.texts.len()
        )
    } else if bytes > MAX_BYTES {
        "the files are larger than 10 MiB together".to_owned()
    } else {
        return true;
    };
    found.add(
        Problem::of_file(shown_directory(files), "too-large", message)
            .help("name the directory of one environment, not one above it"),
    );
    false
}

fn shown_directory(files: &Files) -> &str {
    if files.directory.is_empty() {
        "."
    } else {
        &files.directory
    }
}

/// The Environment of the directory.
pub fn only_environment<'a>(
    files: &Files,
    own: &'a [Document],
    found: &mut Findings,
) -> Option<&'a Document> {
    let mut environments = own.iter().filter(|document| document.kind == "Environment");
    let Some(first) = environments.next() else {
        if !found
            .mentioned
            .iter()
            .any(|(kind, _)| *kind == "Environment")
        {
            found.add_if_complete(
                Problem::of_file(shown_directory(files), "no-environment", "no manifest here is of `kind: Environment`")
                    .help("add one: it says which Railway environment the directory describes (`reconciler explain environment`)"),
            );
        }
        return None;
    };
    for other in environments.filter(|other| other.name != first.name) {
        found.add(
            Problem::at(
                &other.place,
                "two-environments",
                format!(
                    "a directory describes one environment, and {} is a second",
                    other.title()
                ),
            )
            .help("give each environment a directory of its own")
            .related(&first.place, "the first"),
        );
    }
    Some(first)
}

/// Whether the base is a directory that can be one.
pub fn base(files: &Files, base: &Base, directory: &str, found: &mut Findings) {
    let Some(place) = &base.place else {
        return;
    };
    let Some(path) = &base.directory else {
        found.add(
            Problem::at(
                place,
                "base",
                "`base`: expected a directory relative to this one",
            )
            .help("write `base: ../base`"),
        );
        return;
    };
    if path == directory {
        found.add(
            Problem::at(
                place,
                "base",
                "`base`: this is the directory of the environment itself",
            )
            .help("write `base: ../base`"),
        );
    } else if !files.texts.keys().any(|file| overlay::is_in(file, path)) {
        let path = quoted(path);
        found.add(
            Problem::at(place, "base", format!("`base`: {path} holds no manifests"))
                .help("the path is relative to the directory of this file, and one level deep"),
        );
    }
}

/// Everything about the meaning of well-formed documents.
pub fn meaning(documents: &Documents, now: Timestamp, found: &mut Findings) {
    let Documents {
        environments,
        releases,
        services,
        maintenances,
        queues,
        redises,
        approvals,
    } = documents;
    same_name_in_another_case(releases, "Release", found);
    same_name_in_another_case(services, "Service", found);
    same_name_in_another_case(maintenances, "Maintenance", found);
    same_name_in_another_case(queues, "Queue", found);
    same_name_in_another_case(redises, "Redis", found);
    releases
        .values()
        .for_each(|release| has_content(release, found));
    let environment = environments.values().next();
    for service in services.values() {
        one_source(service, found);
        known_release(service, documents, found);
        few_replicas(service, found);
        schedule(service, found);
        health(service, found);
        pushes(service, found);
        let after = service.spec.restarted_after;
        near(service, &["restartedAfter"], after, now, found);
        let variables = &service.spec.variables;
        self::variables(service, variables, environment, now, found);
        two_owners(service, found);
        registry(service, environment, now, found);
    }
    if let Some(environment) = environment {
        rollback(environment, found);
        let variables = &environment.spec.variables;
        self::variables(environment, variables, Some(environment), now, found);
        environment::check(environment, now, found);
    }
    for maintenance in maintenances.values() {
        maintenance::check(maintenance, documents, found);
        redis::closes(maintenance, documents, found);
    }
    maintenance::one_owner(maintenances, found);
    for server in redises.values() {
        redis::server(server, environment, found);
        redis::caches(server, documents, now, found);
    }
    for queue in queues.values() {
        redis::queue(queue, documents, now, found);
    }
    redis::one_owner(queues, found);
    for approval in approvals.values() {
        approval_ends(approval, environment, now, found);
    }
}

fn same_name_in_another_case<S>(
    declared: &BTreeMap<String, Declared<S>>,
    kind: &str,
    found: &mut Findings,
) {
    let mut first: BTreeMap<String, &Declared<S>> = BTreeMap::new();
    for one in declared.values() {
        let other = &*first.entry(one.name.to_lowercase()).or_insert(one);
        if other.name != one.name {
            let (later, earlier) = if name_place(one) > name_place(other) {
                (one, *other)
            } else {
                (*other, one)
            };
            let message = format!(
                "{kind}/{} and {kind}/{} differ only in upper and lower case",
                later.name, earlier.name
            );
            found.add(
                Problem::at(name_place(later), "name", message)
                    .help("give one of them another name")
                    .related(name_place(earlier), "the other one"),
            );
        }
    }
}

fn name_place<S>(declared: &Declared<S>) -> &Place {
    &declared.document.origin(&["metadata", "name"]).place
}

pub(super) fn place<'a, S>(declared: &'a Declared<S>, path: &[&str]) -> &'a Place {
    &declared.origin(path).place
}

fn has_content(release: &Declared<release::Spec>, found: &mut Findings) {
    let release::Spec { image, commit, .. } = &release.spec;
    if image.is_none() && commit.is_none() {
        let problem = Problem::at(
            place(release, &[]),
            "missing-field",
            format!("Release/{} has neither `image` nor `commit`", release.name),
        );
        found.add(problem.help(
            "write the `image` that its services run, or the `commit` that they are built from",
        ));
    }
}

fn one_source(service: &Declared<Spec>, found: &mut Findings) {
    let Spec {
        release,
        image,
        commit,
        ..
    } = &service.spec;
    let fields = [("release", release), ("image", image), ("commit", commit)];
    let mut given = fields
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(field, _)| *field);
    let Some(first) = given.next() else {
        return;
    };
    for second in given {
        found.add(
            Problem::at(
                place(service, &[second]),
                "two-sources",
                format!(
                    "`{second}` and `{first}` both say what Service/{} runs",
                    service.name
                ),
            )
            .help("keep one of them")
            .related(place(service, &[first]), "the other one"),
        );
    }
}

fn known_release(service: &Declared<Spec>, documents: &Documents, found: &mut Findings) {
    let Some(release) = &service.spec.release else {
        return;
    };
    let mentioned = found
        .mentioned
        .iter()
        .filter(|(kind, _)| *kind == "Release")
        .map(|(_, name)| name);
    let names: Vec<&str> = documents
        .releases
        .keys()
        .chain(mentioned)
        .map(String::as_str)
        .collect();
    if names.contains(&release.as_str()) {
        return;
    }
    let help = match nearest(release, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if names.is_empty() => "declare it: a document of `kind: Release`".to_owned(),
        None => format!(
            "known releases: {}",
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    found.add_if_complete(
        Problem::at(
            place(service, &["release"]),
            "unknown-release",
            format!("there is no Release {}", quoted(release)),
        )
        .help(help),
    );
}

fn few_replicas(service: &Declared<Spec>, found: &mut Findings) {
    let Some(Replicas::Regions(regions)) = &service.spec.replicas else {
        return;
    };
    let sum = regions
        .values()
        .fold(0_u32, |sum, count| sum.saturating_add(count.0));
    if sum > MAX_REPLICAS {
        let message =
            format!("`replicas`: {sum} in all regions together, expected at most {MAX_REPLICAS}");
        found.add(Problem::at(place(service, &["replicas"]), "range", message));
    }
}

/// A time far ahead waits silently, which nobody wants by mistake.
fn near<S>(
    document: &Declared<S>,
    path: &[&str],
    time: Option<Instant>,
    now: Timestamp,
    found: &mut Findings,
) {
    let Some(Instant(time)) = time else {
        return;
    };
    if time.duration_since(now) > SignedDuration::from_hours(24 * MAX_DAYS_AHEAD) {
        let field = path.last().copied().unwrap_or_default();
        let problem = Problem::at(
            place(document, path),
            "far-ahead",
            format!("`{field}`: more than {MAX_DAYS_AHEAD} days ahead"),
        );
        found.add(problem.help("it says that something has happened at or after this time; a planned one can be at most 7 days ahead"));
    }
}

fn variables<S>(
    document: &Declared<S>,
    variables: &BTreeMap<String, Variable>,
    environment: Option<&Declared<environments::Spec>>,
    now: Timestamp,
    found: &mut Findings,
) {
    for (name, variable) in variables {
        let at = place(document, &["variables", name]);
        reserved(at, name, found);
        if matches!(variable, Variable::Text(text) if text.is_empty()) {
            let problem = Problem::at(
                at,
                "empty-value",
                format!(
                    "{}: an empty value cannot be told from a masked one at Railway",
                    quoted(name)
                ),
            );
            found.add(problem.help("write `{ absent: true }`, or leave it out"));
        }
        let Variable::From(secret) = variable else {
            continue;
        };
        let path = ["variables", name, "rotatedAfter"];
        near(document, &path, secret.rotated_after, now, found);
        reachable(
            place(document, &["variables", name, "from"]),
            name,
            environment,
            found,
        );
    }
}

/// Whether the environment lets secrets be reached at all.
fn reachable(
    at: &Place,
    name: &str,
    environment: Option<&Declared<environments::Spec>>,
    found: &mut Findings,
) {
    if let Some(environment) =
        environment.filter(|environment| environment.spec.secrets.prefix.is_none())
    {
        found.add(
            Problem::at(
                at,
                "no-secrets",
                format!(
                    "{}: the environment lets no secret be reached",
                    quoted(name)
                ),
            )
            .help("write `secrets: { prefix: … }` in the spec of the Environment")
            .related(place(environment, &[]), "without `secrets.prefix`"),
        );
    }
}

fn registry(
    service: &Declared<Spec>,
    environment: Option<&Declared<environments::Spec>>,
    now: Timestamp,
    found: &mut Findings,
) {
    let Some(registry) = &service.spec.registry else {
        return;
    };
    let path = ["registry", "rotatedAfter"];
    near(service, &path, registry.rotated_after, now, found);
    let at = place(service, &["registry", "password"]);
    reachable(at, "password", environment, found);
}

/// A service on a schedule ends by itself, so that some things mean nothing for it (facts/railway.md 8, "Cron").
fn schedule(service: &Declared<Spec>, found: &mut Findings) {
    let spec = &service.spec;
    if !matches!(spec.cron, Some(Cron::Fields(_))) {
        return;
    }
    let several = match &spec.replicas {
        None | Some(Replicas::Number(1)) => false,
        Some(Replicas::Number(_)) => true,
        Some(Replicas::Regions(regions)) => regions.values().map(|count| count.0).sum::<u32>() > 1,
    };
    let clashes = [
        (
            several,
            "replicas",
            "a service on a schedule has exactly one replica",
        ),
        (
            spec.sleep == Some(true),
            "sleep",
            "a service on a schedule does not sleep",
        ),
    ];
    for (_, field, words) in clashes.iter().filter(|(clashes, ..)| *clashes) {
        found.add(
            Problem::at(
                place(service, &[field]),
                "clash",
                format!("`{field}`: {words}"),
            )
            .help("take one of the two away")
            .related(place(service, &["cron"]), "the schedule"),
        );
    }
}

/// How long one question may be apart from the next: more often is a load, more seldom is no watch.
const EVERY: [Time; 2] = [Time::from_secs(5), Time::from_secs(3600)];

fn health(service: &Declared<Spec>, found: &mut Findings) {
    let Some(health) = &service.spec.health else {
        return;
    };
    match (&health.path, &health.url) {
        (Some(_), Some(_)) => {
            let message = "`health`: `path` and `url` both say what is asked";
            found.add(
                Problem::at(place(service, &["health", "url"]), "clash", message)
                    .help("keep one of them")
                    .related(place(service, &["health", "path"]), "the other one"),
            );
        }
        (None, None) => {
            let message = "`health` says neither `path` nor `url`";
            found.add(
                Problem::at(place(service, &["health"]), "missing-field", message).help(
                    "write the `path` at its own domain, or the `url` where it is asked elsewhere",
                ),
            );
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    bounded(service, &["health", "every"], health.every, EVERY, found);
    let within = [Time::from_secs(1), WITHIN];
    bounded(service, &["health", "within"], health.within, within, found);
    if matches!(service.spec.cron, Some(Cron::Fields(_))) {
        let message = "`health`: a service on a schedule does not run all the time";
        found.add(
            Problem::at(place(service, &["health"]), "clash", message)
                .help("take one of the two away")
                .related(place(service, &["cron"]), "the schedule"),
        );
    }
}

fn bounded<S>(
    document: &Declared<S>,
    path: &[&str],
    time: Option<Duration>,
    [least, most]: [Time; 2],
    found: &mut Findings,
) {
    if time.is_some_and(|time| time.0 < least || time.0 > most) {
        let field = path.last().copied().unwrap_or_default();
        let message = format!(
            "`{field}`: expected {} to {}",
            Duration(least),
            Duration(most)
        );
        found.add(Problem::at(place(document, path), "range", message));
    }
}

fn rollback(environment: &Declared<environments::Spec>, found: &mut Findings) {
    let Some(rollback) = environment.spec.rollback else {
        return;
    };
    let day = Time::from_secs(24 * 3600);
    let path = ["rollback", "unhealthyFor"];
    let unhealthy = [Time::from_secs(30), Time::from_secs(3600)];
    bounded(
        environment,
        &path,
        Some(rollback.unhealthy_for),
        unhealthy,
        found,
    );
    let path = ["rollback", "within"];
    let within = [Time::from_secs(60), day];
    bounded(environment, &path, Some(rollback.within), within, found);
}

fn pushes(service: &Declared<Spec>, found: &mut Findings) {
    if service.spec.push_to_deploy == Some(true) && service.spec.commit.is_some() {
        found.add(
            Problem::at(
                place(service, &["pushToDeploy"]),
                "clash",
                "`pushToDeploy`: every push would move it away from its `commit`",
            )
            .help("say `pushToDeploy: false`, or take `commit` away")
            .related(place(service, &["commit"]), "the commit"),
        );
    }
}

fn approval_ends(
    approval: &Declared<approval::Spec>,
    environment: Option<&Declared<environments::Spec>>,
    now: Timestamp,
    found: &mut Findings,
) {
    let is_digest = approval.name.len() == 8
        && approval
            .name
            .chars()
            .all(|sign| sign.is_ascii_digit() || matches!(sign, 'a'..='f'));
    if !is_digest {
        found.add(
            Problem::at(
                name_place(approval),
                "name",
                "an Approval is named by the digest of the step that it allows",
            )
            .help("`reconciler diff` prints the document that a held step needs"),
        );
    }
    let Some(environment) = environment else {
        return;
    };
    let expire = environment.spec.approvals.expire;
    let latest = now.saturating_add(expire.0).unwrap_or(Timestamp::MAX);
    if approval.spec.until.0 > latest {
        found.add(
            Problem::at(
                place(approval, &["until"]),
                "far-ahead",
                format!("`until`: an approval holds at most {expire}"),
            )
            .help("name an earlier time, or a longer `approvals.expire` in the Environment"),
        );
    }
}

/// Variables of Railway's own that configure a service; the others it sets itself.
const RAILWAY_SETTINGS: &[&str] = &[
    "RAILWAY_RUN_UID",
    "RAILWAY_DOCKERFILE_PATH",
    HEALTHCHECK_TIMEOUT,
    OVERLAP,
    DRAINING,
    "RAILWAY_SHM_SIZE_BYTES",
];
const HEALTHCHECK_TIMEOUT: &str = "RAILWAY_HEALTHCHECK_TIMEOUT_SEC";
const OVERLAP: &str = "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS";
const DRAINING: &str = "RAILWAY_DEPLOYMENT_DRAINING_SECONDS";

fn reserved(at: &Place, name: &str, found: &mut Findings) {
    if !name.starts_with("RAILWAY_") || RAILWAY_SETTINGS.contains(&name) {
        return;
    }
    let problem = Problem::at(
        at,
        "reserved-variable",
        format!("{}: Railway sets this variable itself", quoted(name)),
    );
    found.add(match nearest(name, RAILWAY_SETTINGS.iter().copied()) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.help(format!(
            "of the names that begin with `RAILWAY_` only these can be set: {}",
            RAILWAY_SETTINGS.join(", ")
        )),
    });
}

/// Some of Railway's own variables say the same as a setting (facts/railway.md 8, "Reference variables").
fn two_owners(service: &Declared<Spec>, found: &mut Findings) {
    let spec = &service.spec;
    let has_time = matches!(&spec.ready, Some(Ready::Check(check)) if check.within.is_some());
    let hand_over = spec.hand_over.as_ref();
    let twins: [(&str, bool, [&str; 2]); 3] = [
        (HEALTHCHECK_TIMEOUT, has_time, ["ready", "within"]),
        (
            OVERLAP,
            hand_over.is_some_and(|hand_over| hand_over.overlap.is_some()),
            ["handOver", "overlap"],
        ),
        (
            DRAINING,
            hand_over.is_some_and(|hand_over| hand_over.drain.is_some()),
            ["handOver", "drain"],
        ),
    ];
    for (name, is_set, path) in twins {
        if is_set && spec.variables.contains_key(name) {
            let setting = path.join(".");
            found.add(
                Problem::at(
                    place(service, &["variables", name]),
                    "two-owners",
                    format!("`{name}` and `{setting}` say the same thing"),
                )
                .help(format!("keep `{setting}`"))
                .related(place(service, &path), "the other one"),
            );
        }
    }
}
