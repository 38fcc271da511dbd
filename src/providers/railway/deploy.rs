//! The plain settings of a service in Railway's words: what stands below `deploy` of a configuration, and of a deployment's own account.

use crate::world::railway::{
    HandOver, Limits, READY_SECONDS, RESTARTS, Ready, RestartPolicy, SettingName, SettingValue,
    Settings,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Text that says something: both null and "" mean that nothing is set.
pub fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A moment.
pub fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The settings, defaults filled in (facts/railway.md 2.2).
pub fn settings(deploy: &Value) -> Settings {
    Settings {
        start: text(&deploy["startCommand"]),
        before_deploy: command(&deploy["preDeployCommand"]),
        ready: Ready {
            path: text(&deploy["healthcheckPath"]),
            within_seconds: deploy["healthcheckTimeout"]
                .as_u64()
                .unwrap_or(READY_SECONDS),
        },
        restart_policy: restart_policy(deploy),
        cron: text(&deploy["cronSchedule"]),
        sleep: deploy["sleepApplication"].as_bool().unwrap_or(false),
        hand_over: HandOver {
            overlap_seconds: seconds(&deploy["overlapSeconds"]),
            drain_seconds: seconds(&deploy["drainingSeconds"]),
        },
        limits: limits(&deploy["limitOverride"]["containers"]),
    }
}

/// A string, or a list of strings.
fn command(value: &Value) -> Option<String> {
    match value {
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            Some(parts.join(" && ")).filter(|command| !command.is_empty())
        }
        other => text(other),
    }
}

/// Some of Railway's own clients write the seconds as text (the variables of the same name are text).
fn seconds(value: &Value) -> u64 {
    let written = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(written).unwrap_or_default()
}

fn restart_policy(deploy: &Value) -> RestartPolicy {
    match deploy["restartPolicyType"].as_str() {
        Some("ALWAYS") => RestartPolicy::Always,
        Some("NEVER") => RestartPolicy::Never,
        _ => {
            let times = deploy["restartPolicyMaxRetries"].as_u64();
            let times = times.and_then(|times| u32::try_from(times).ok());
            RestartPolicy::OnFailure(times.unwrap_or(RESTARTS))
        }
    }
}

fn limits(containers: &Value) -> Limits {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "negative and endless limits are none"
    )]
    let milli = |cpu: f64| (cpu * 1000.0).round().clamp(0.0, 1e9) as u64;
    Limits {
        milli_cpu: containers["cpu"].as_f64().map(milli),
        memory_bytes: containers["memoryBytes"].as_u64(),
    }
}

/// A setting as a patch has it. What is to be nothing is sent as "": whether `null` clears a scalar is open, and "" reads as nothing
/// whether it clears or is stored (facts/railway.md 9.3).
pub fn json(value: &SettingValue) -> Value {
    match value {
        SettingValue::Start(command) => json!({ "startCommand": or_empty(command.as_deref()) }),
        SettingValue::BeforeDeploy(Some(command)) => json!({ "preDeployCommand": [command] }),
        SettingValue::BeforeDeploy(None) => json!({ "preDeployCommand": "" }),
        SettingValue::Ready(ready) => json!({
            "healthcheckPath": or_empty(ready.path.as_deref()),
            "healthcheckTimeout": ready.within_seconds,
        }),
        SettingValue::RestartPolicy(RestartPolicy::Always) => {
            json!({ "restartPolicyType": "ALWAYS" })
        }
        SettingValue::RestartPolicy(RestartPolicy::Never) => {
            json!({ "restartPolicyType": "NEVER" })
        }
        SettingValue::RestartPolicy(RestartPolicy::OnFailure(times)) => {
            json!({ "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": times })
        }
        SettingValue::Cron(cron) => json!({ "cronSchedule": or_empty(cron.as_deref()) }),
        SettingValue::Sleep(sleep) => json!({ "sleepApplication": sleep }),
        SettingValue::HandOver(hand_over) => json!({
            "overlapSeconds": hand_over.overlap_seconds,
            "drainingSeconds": hand_over.drain_seconds,
        }),
        SettingValue::Limits(limits) => {
            let mut containers = json!({});
            if let Some(milli) = limits.milli_cpu {
                containers["cpu"] = cpu(milli);
            }
            if let Some(bytes) = limits.memory_bytes {
                containers["memoryBytes"] = json!(bytes);
            }
            json!({ "limitOverride": { "containers": containers } })
        }
    }
}

/// Whole processors as whole numbers: a client may read them as integers.
#[expect(
    clippy::cast_precision_loss,
    reason = "a limit has few digits before and after its point"
)]
fn cpu(milli: u64) -> Value {
    if milli.is_multiple_of(1000) {
        json!(milli / 1000)
    } else {
        json!(milli as f64 / 1000.0)
    }
}

fn or_empty(text: Option<&str>) -> &str {
    text.unwrap_or_default()
}

/// The setting that a key below `deploy` belongs to.
pub fn name(key: &str) -> Option<SettingName> {
    Some(match key {
        "startCommand" => SettingName::Start,
        "preDeployCommand" => SettingName::BeforeDeploy,
        "healthcheckPath" | "healthcheckTimeout" => SettingName::Ready,
        "restartPolicyType" | "restartPolicyMaxRetries" => SettingName::RestartPolicy,
        "cronSchedule" => SettingName::Cron,
        "sleepApplication" => SettingName::Sleep,
        "overlapSeconds" | "drainingSeconds" => SettingName::HandOver,
        "limitOverride" => SettingName::Limits,
        _ => return None,
    })
}
