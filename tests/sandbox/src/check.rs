//! What Railway refuses about a patch, before any of it is stored.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::{self, canonical_region, entries};
use crate::cron::Cron;
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::seed::RegionSeed;
use crate::state::{Environment, State};
use crate::switches::{MissingService, PatchCommitSha, RegionKeys};

/// Settings that are numbers or absent.
const NUMBERS: [&str; 5] = [
    "healthcheckTimeout",
    "restartPolicyMaxRetries",
    "overlapSeconds",
    "drainingSeconds",
    "numReplicas",
];
const GIGABYTE: f64 = 1e9;

impl State {
    /// Refuses what Railway would, and brings region keys to the form that is stored.
    pub fn checked(&self, environment_id: &str, mut patch: Value) -> Result<Value, Refusal> {
        let environment = self.environment(environment_id)?;
        check(&patch, &self.seed.regions)?;
        if self.switches.region_keys == RegionKeys::AirportCodes {
            config::canonical_keys(&mut patch, &self.seed.regions);
        }
        let project = &self.projects[&environment.project_id];
        for (id, service) in entries(patch.get("services")) {
            let created = service.get("isCreated") == Some(&Value::Bool(true))
                && project.services.contains_key(id);
            if !environment.instances.contains_key(id) && !created {
                return Err(match self.switches.missing_service_error {
                    MissingService::Problem => Refusal::problem(),
                    MissingService::NotAuthorized => Refusal::not_authorized(),
                });
            }
            let before = environment.service(id).cloned().unwrap_or_default();
            let mut after = before.clone();
            config::merge_service(&mut after, id, service, &self.switches);
            self.check_service(service, &before, &after)?;
        }
        self.check_volumes(environment, &patch)?;
        if self.switches.patch_commit_sha == PatchCommitSha::Dropped {
            for service in patch
                .get_mut("services")
                .and_then(Value::as_object_mut)
                .into_iter()
                .flat_map(|all| all.values_mut())
            {
                if let Some(source) = service.get_mut("source").and_then(Value::as_object_mut) {
                    source.remove("commitSha");
                }
            }
        }
        Ok(patch)
    }

    /// Volumes only grow, and a service has one at most.
    fn check_volumes(&self, environment: &Environment, patch: &Value) -> Result<(), Refusal> {
        let most = self.seed.plan.most_volume_mb();
        for (id, volume) in entries(patch.get("volumes")) {
            let known = environment.volume_instances.get(id);
            let size_mb = volume.get("sizeMB").and_then(Value::as_u64);
            let Some(size_mb) = size_mb else { continue };
            if known.is_some_and(|known| size_mb < u64::from(known.size_mb)) {
                return Err(Refusal::bad_input("Volume size can only be increased"));
            }
            if size_mb > u64::from(most) {
                let refused = format!("The plan allows volumes of at most {most} MB");
                return Err(Refusal::bad_input(&refused));
            }
        }
        let mut after = environment.config.clone();
        let mounts = |services: &Value| {
            entries(Some(services)).any(|(_, part)| part.get("volumeMounts").is_some())
        };
        if !patch.get("services").is_some_and(mounts) {
            return Ok(());
        }
        config::merge(&mut after, patch, &self.switches);
        let mut seen = BTreeSet::new();
        for (_, service) in entries(after.get("services")) {
            for (nth, (volume, mount)) in entries(service.get("volumeMounts")).enumerate() {
                let path = mount.get("mountPath").and_then(Value::as_str);
                if nth > 0 {
                    return Err(Refusal::bad_input(
                        "A service can only have a single volume",
                    ));
                }
                if !seen.insert(volume) {
                    return Err(Refusal::bad_input("Volume is attached to another service"));
                }
                if after
                    .get("volumes")
                    .is_none_or(|all| all.get(volume).is_none())
                {
                    return Err(Refusal::problem());
                }
                if !path.is_some_and(|path| path.starts_with('/')) {
                    return Err(Refusal::bad_input("mountPath must be an absolute path"));
                }
            }
        }
        Ok(())
    }

    /// What one service may not become. Only what the patch touches is looked at: old sins stay.
    fn check_service(&self, patch: &Value, before: &Value, after: &Value) -> Result<(), Refusal> {
        let plan = self.seed.plan;
        let image = patch.pointer("/source/image").and_then(Value::as_str);
        let forbidden = &self.seed.workspace.forbidden_images;
        if image.is_some_and(|image| forbidden.iter().any(|part| image.contains(part.as_str()))) {
            return Err(Refusal::bad_input("Image blocked by a workspace policy"));
        }
        let touched = |key: &str| {
            patch
                .get("deploy")
                .and_then(|deploy| deploy.get(key))
                .filter(|value| !value.is_null())
        };
        if let Some(schedule) = touched("cronSchedule").and_then(Value::as_str)
            && !schedule.is_empty()
        {
            Cron::parse(schedule).map_err(|wrong| Refusal::bad_input(&wrong))?;
        }
        let places = ["multiRegionConfig", "numReplicas", "cronSchedule"]
            .iter()
            .any(|key| touched(key).is_some())
            || patch.get("volumeMounts").is_some();
        if places {
            check_replicas(after, plan, &self.seed.regions)?;
            check_regions(before, after, &self.seed.regions)?;
        }
        if touched("registryCredentials").is_some() && !plan.is_professional() {
            return Err(Refusal::bad_input(
                "Registry credentials are only available on the Pro plan",
            ));
        }
        if let Some(limits) = touched("limitOverride") {
            check_limits(limits, plan)?;
        }
        if plan.is_unpaid() {
            check_free_policy(after)?;
        }
        Ok(())
    }
}

/// Shapes and words that are wrong whatever the environment looks like.
fn check(patch: &Value, regions: &[RegionSeed]) -> Result<(), Refusal> {
    if !patch.is_object() {
        return Err(Refusal::bad_input("patch must be an object"));
    }
    for section in ["services", "sharedVariables", "volumes"] {
        if patch.get(section).is_some_and(|part| !part.is_object()) {
            return Err(Refusal::problem());
        }
    }
    let shared = patch.get("sharedVariables").into_iter();
    let services = || entries(patch.get("services")).map(|(_, service)| service);
    for variables in shared.chain(services().filter_map(|service| service.get("variables"))) {
        if entries(Some(variables))
            .any(|(_, variable)| !variable.is_object() && !variable.is_null())
        {
            return Err(Refusal::problem());
        }
    }
    services()
        .filter_map(|service| service.get("deploy"))
        .try_for_each(|deploy| check_deploy(deploy, regions))
}

fn check_deploy(deploy: &Value, regions: &[RegionSeed]) -> Result<(), Refusal> {
    let policy = deploy.get("restartPolicyType").and_then(Value::as_str);
    if policy.is_some_and(|policy| !["ON_FAILURE", "ALWAYS", "NEVER", ""].contains(&policy)) {
        return Err(Refusal::problem());
    }
    let is_number = |value: &Value| value.is_u64() || value.is_null() || value == "";
    if NUMBERS
        .iter()
        .filter_map(|key| deploy.get(*key))
        .any(|value| !is_number(value))
    {
        return Err(Refusal::problem());
    }
    for (region, placed) in entries(deploy.get("multiRegionConfig")) {
        if canonical_region(region, regions).is_none() {
            return Err(Refusal::problem());
        }
        if let Some(None | Some(0)) = placed.get("numReplicas").map(Value::as_u64) {
            return Err(Refusal::bad_input("numReplicas must be at least 1"));
        }
    }
    if deploy.get("numReplicas").and_then(Value::as_u64) == Some(0) {
        return Err(Refusal::bad_input("numReplicas must be at least 1"));
    }
    Ok(())
}

fn check_replicas(after: &Value, plan: Plan, regions: &[RegionSeed]) -> Result<(), Refusal> {
    let total: u64 = config::placement(after, regions)
        .values()
        .map(|count| u64::from(*count))
        .sum();
    let most = plan.most_replicas();
    let has_schedule = config::setting(after, "deploy", "cronSchedule")
        .and_then(Value::as_str)
        .is_some_and(|schedule| !schedule.is_empty());
    if total > most {
        let refused = format!("the plan allows at most {most} replicas");
        return Err(Refusal::bad_input(&refused));
    }
    if total > 1 && entries(after.get("volumeMounts")).next().is_some() {
        return Err(Refusal::bad_input("Replicas cannot be used with volumes"));
    }
    if total > 1 && has_schedule {
        return Err(Refusal::bad_input(
            "Replicas cannot be used with a cron schedule",
        ));
    }
    Ok(())
}

/// A region that is going away takes no more replicas than it has.
fn check_regions(before: &Value, after: &Value, regions: &[RegionSeed]) -> Result<(), Refusal> {
    let old = config::placement(before, regions);
    for (region, count) in config::placement(after, regions) {
        let known = regions.iter().find(|known| known.name == region);
        let had = old.get(&region).copied().unwrap_or(0);
        if let Some(by) = known.and_then(|known| known.replaced_by.as_ref())
            && count > had
        {
            let refused = format!("Region {region} is deprecated, use {by}");
            return Err(Refusal::bad_input(&refused));
        }
    }
    Ok(())
}

/// The ceiling is the plan's, for one container.
pub fn check_limits(limits: &Value, plan: Plan) -> Result<(), Refusal> {
    let (cpu, gigabytes) = plan.container_ceiling();
    for (key, value) in entries(limits.get("containers")) {
        if value.is_null() {
            continue;
        }
        let number = value.as_f64().ok_or_else(Refusal::problem)?;
        let most = match key.as_str() {
            "cpu" => cpu,
            "memoryBytes" => gigabytes * GIGABYTE,
            _ => continue,
        };
        if number <= 0.0 || number > most {
            let refused = format!("limit {key} must be above 0 and at most {most} on this plan");
            return Err(Refusal::bad_input(&refused));
        }
    }
    Ok(())
}

fn check_free_policy(after: &Value) -> Result<(), Refusal> {
    let setting = |key| config::setting(after, "deploy", key);
    let always = setting("restartPolicyType").is_some_and(|policy| policy == "ALWAYS");
    let retries = setting("restartPolicyMaxRetries").and_then(Value::as_u64);
    if always || retries.is_some_and(|retries| retries > 10) {
        return Err(Refusal::bad_input(
            "The restart policy of the Free plan is ON_FAILURE with at most 10 retries",
        ));
    }
    Ok(())
}
