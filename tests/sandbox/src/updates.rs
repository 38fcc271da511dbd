//! Image auto-updates: Railway notices a newer image, waits for the maintenance window, rewrites the source and deploys.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::backups::Backup;
use crate::config;
use crate::deployment::Cause;
use crate::launch::Commit;
use crate::state::{Due, State};
use crate::time::Time;

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

impl State {
    /// An image has appeared in its registry, or another one under the same tag.
    pub fn published(&mut self, image: &str) {
        let mut found = Vec::new();
        for environment in self.environments.values() {
            for (service, stored) in config::entries(environment.config.get("services")) {
                if let Some(opens) = self.update_at(stored, image) {
                    found.push((environment.id.clone(), service.clone(), opens));
                }
            }
        }
        for (environment, service, opens) in found {
            let seconds = (opens.0 - self.now.0) as f64 / 1000.0;
            let image = image.to_string();
            self.later(
                seconds,
                Due::AutoUpdate {
                    environment,
                    service,
                    image,
                },
            );
        }
    }

    /// When a service would take that image by itself.
    fn update_at(&self, service: &Value, image: &str) -> Option<Time> {
        let source = service.get("source")?;
        let stored = source.get("image")?.as_str()?;
        let updates = source.get("autoUpdates")?;
        let kind = updates.get("type")?.as_str()?;
        if kind == "disabled" || !is_watched(stored) || !is_update(stored, image, kind) {
            return None;
        }
        opens(updates.get("schedule"), self.now)
    }

    pub fn auto_update(&mut self, environment_id: &str, service_id: &str, image: &str) {
        let Some(environment) = self.environments.get(environment_id) else {
            return;
        };
        let stored = environment.service(service_id).cloned().unwrap_or_default();
        if self.update_at(&stored, image).is_none() {
            return;
        }
        let mounted: Vec<String> = environment
            .mounted(service_id)
            .map(|(id, _)| id.clone())
            .collect();
        let is_backed_up = self.seed.plan.is_professional();
        for volume in mounted.iter().filter(|_| is_backed_up) {
            let backup = Backup {
                id: self.random.uuid(),
                name: Some(format!("Auto Update {image}")),
                created: self.now,
                expires: None,
                kind: None,
                by: None,
                size_mb: 0,
                used_mb: 0.0,
            };
            self.backed_up(environment_id, volume, &backup);
        }
        let patch = json!({ "services": { service_id: { "source": { "image": image } } } });
        self.platform_change(environment_id, &patch);
        let cause = Cause {
            reason: "deploy",
            patch_id: None,
            of: None,
        };
        // A service that cannot be deployed now keeps its new image for the next time.
        let _ = self.deploy(environment_id, service_id, Commit::Current, cause);
    }
}

/// Only these two registries are looked at.
fn is_watched(image: &str) -> bool {
    match image.split_once('/') {
        Some((host, _)) if host.contains('.') || host.contains(':') => {
            host == "ghcr.io" || host == "docker.io"
        }
        _ => true,
    }
}

/// The same tag again, or a newer version that the kind allows.
fn is_update(stored: &str, image: &str, kind: &str) -> bool {
    let (repository, tag) = split(stored);
    let (new_repository, new_tag) = split(image);
    if repository != new_repository {
        return false;
    }
    match (version(tag), version(new_tag)) {
        (Some(old), Some(new)) => {
            new > old && new[0] == old[0] && (kind == "minor" || new[1] == old[1])
        }
        (None, _) => tag == new_tag,
        (Some(_), None) => false,
    }
}

fn split(image: &str) -> (&str, &str) {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

/// `1.2.3` or `v1.2.3`, nothing else.
fn version(tag: &str) -> Option<[u32; 3]> {
    let mut parts = tag.strip_prefix('v').unwrap_or(tag).split('.');
    let mut next = || parts.next()?.parse().ok();
    let version = [next()?, next()?, next()?];
    parts.next().is_none().then_some(version)
}

/// The first moment in a window, hour by hour; without windows that is now.
fn opens(windows: Option<&Value>, now: Time) -> Option<Time> {
    let windows = windows
        .and_then(Value::as_array)
        .filter(|all| !all.is_empty());
    let Some(windows) = windows else {
        return Some(now);
    };
    let start = Timestamp::from_millisecond(now.0).ok()?;
    (0..=7 * 24).find_map(|hours: i64| {
        let mut moment = start
            .to_zoned(TimeZone::UTC)
            .checked_add(hours.hours())
            .ok()?;
        if hours > 0 {
            moment = moment
                .round(
                    jiff::ZonedRound::new()
                        .smallest(jiff::Unit::Hour)
                        .mode(jiff::RoundMode::Trunc),
                )
                .ok()?;
        }
        let (day, hour) = (
            moment.weekday().to_sunday_zero_offset() as usize,
            moment.hour(),
        );
        let is_open = windows.iter().any(|window| {
            let named = match &window["day"] {
                Value::Number(number) => number.as_u64() == Some(day as u64),
                named => named
                    .as_str()
                    .is_none_or(|name| name.eq_ignore_ascii_case(DAYS[day])),
            };
            let bound = |key: &str, default: i64| window[key].as_i64().unwrap_or(default);
            named && (bound("startHour", 0)..bound("endHour", 24)).contains(&i64::from(hour))
        });
        is_open.then(|| Time(moment.timestamp().as_millisecond()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_are_told_from_other_tags() {
        for (stored, image, kind, updates) in [
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/b:1.2.4", "patch", true),
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/b:1.3.0", "patch", false),
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/b:1.3.0", "minor", true),
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/b:2.0.0", "minor", false),
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/b:1.2.2", "minor", false),
            ("redis:v7.2.1", "redis:v7.2.10", "patch", true),
            ("redis:latest", "redis:latest", "patch", true),
            ("redis:latest", "redis:7.2.1", "patch", false),
            ("redis", "redis:latest", "patch", true),
            ("ghcr.io/a/b:1.2.3", "ghcr.io/a/c:1.2.4", "patch", false),
        ] {
            assert_eq!(
                is_update(stored, image, kind),
                updates,
                "{stored} {image} {kind}"
            );
        }
        assert!(is_watched("redis:7") && is_watched("a/b:1") && is_watched("ghcr.io/a/b"));
        assert!(!is_watched("quay.io/a/b:1"));
    }

    #[test]
    fn a_window_opens_at_its_hour() {
        let now = Time::parse("2026-11-23T05:30:00Z").unwrap_or_default();
        let at = |windows: Value| opens(Some(&windows), now).map(|at| at.to_string());
        assert_eq!(at(json!([])).as_deref(), Some("2026-11-23T05:30:00.000Z"));
        assert_eq!(
            at(json!([{ "startHour": 2, "endHour": 6 }])).as_deref(),
            Some("2026-11-23T05:30:00.000Z")
        );
        assert_eq!(
            at(json!([{ "day": "saturday" }])).as_deref(),
            Some("2026-11-28T00:00:00.000Z")
        );
        assert_eq!(
            at(json!([{ "day": 1, "startHour": 2, "endHour": 4 }])).as_deref(),
            Some("2026-11-30T02:00:00.000Z")
        );
    }
}
