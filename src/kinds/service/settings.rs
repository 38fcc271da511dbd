//! The plain settings of a service that are declared and stored otherwise: one difference a field.

use super::{
    Command, Cron, HandOver, Limits, Password, Ready, Registry, RestartPolicy, RestartWord, Spec,
    Username,
};
use crate::kinds::Declared;
use crate::kinds::demand::{Demand, Needed};
use crate::kinds::difference::{Difference, Then};
use crate::kinds::shown::{harmless, one_line};
use crate::kinds::variable::{OneShot, UNSEEN_WRITES, missing_secret, written_after};
use crate::kinds::written::Size;
use crate::source::Origin;
use crate::world::railway::{
    self, Field, History, PatchState, READY_SECONDS, RESTARTS, Service, Setting, SettingName,
    SettingValue, Settings, Source, Status, VariableValue,
};
use crate::world::{Seen, World};
use jiff::Timestamp;
use std::time::Duration;

/// A setting as it should be, with the place that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub value: SettingValue,
    pub why: String,
    pub origin: Origin,
    pub closes: bool,
}

/// The declared settings, and what demands put in their place. What a document leaves open in a setting is as it is stored.
pub(super) fn wishes(declared: &Declared<Spec>, demands: &[Demand], seen: &Service) -> Vec<Wish> {
    let stored = &seen.settings;
    // What is built from a repository cannot run another image, and keeps what goes with its own.
    let takes_image = !matches!(seen.source, Source::Repository { .. });
    let demanded = demands
        .iter()
        .filter(|_| takes_image)
        .find_map(|demand| match &demand.what {
            Needed::Image(instead) => Some((demand, instead)),
            Needed::Variable { .. } | Needed::Otherwise { .. } => None,
        })
        .map(|(demand, instead)| {
            let wish = |value: SettingValue| Wish {
                value,
                why: demand.why.clone(),
                origin: demand.origin.clone(),
                closes: true,
            };
            [
                wish(SettingValue::Start(instead.start.clone())),
                wish(SettingValue::BeforeDeploy(instead.before_deploy.clone())),
                wish(SettingValue::Ready(instead.ready.clone())),
            ]
        });
    let replaced = |name: SettingName| {
        demanded
            .iter()
            .flatten()
            .any(|wish| wish.value.name() == name)
    };
    let own = values(&declared.spec, stored)
        .into_iter()
        .filter(|value| !replaced(value.name()))
        .map(|value| {
            let word = value.name().word();
            Wish {
                why: word.to_owned(),
                origin: declared.origin(&[word]).clone(),
                closes: false,
                value,
            }
        });
    let mut wishes: Vec<Wish> = own.collect();
    wishes.extend(demanded.into_iter().flatten());
    wishes.sort_by_key(|wish| wish.value.name());
    wishes
}

fn values(spec: &Spec, stored: &Settings) -> Vec<SettingValue> {
    let command = |command: &Command| match command {
        Command::Text(text) => Some(text.clone()),
        Command::Absent(_) => None,
    };
    let Spec {
        start,
        before_deploy,
        ready,
        restart_policy,
        cron,
        sleep,
        hand_over,
        limits,
        release: _,
        image: _,
        commit: _,
        replicas: _,
        registry: _,
        push_to_deploy: _,
        stopped: _,
        restarted_after: _,
        health: _,
        variables: _,
    } = spec;
    let start = start.as_ref().map(command).map(SettingValue::Start);
    let before = before_deploy.as_ref().map(command);
    let ready = ready
        .as_ref()
        .map(|ready| SettingValue::Ready(ready_of(ready, &stored.ready)));
    let policy = restart_policy.as_ref().map(policy_of);
    let cron = cron.as_ref().map(|cron| match cron {
        Cron::Fields(fields) => Some(fields.clone()),
        Cron::Absent(_) => None,
    });
    let hand_over = hand_over.map(|declared| hand_over_of(declared, stored.hand_over));
    let limits = limits.map(|declared| limits_of(declared, stored.limits));
    [
        start,
        before.map(SettingValue::BeforeDeploy),
        ready,
        policy.map(SettingValue::RestartPolicy),
        cron.map(SettingValue::Cron),
        sleep.map(SettingValue::Sleep),
        hand_over.map(SettingValue::HandOver),
        limits.map(SettingValue::Limits),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ready_of(ready: &Ready, stored: &railway::Ready) -> railway::Ready {
    match ready {
        Ready::Check(check) => railway::Ready {
            path: Some(check.path.clone()),
            within_seconds: check
                .within
                .map_or(stored.within_seconds, |within| within.0.as_secs()),
        },
        Ready::Absent(_) => railway::Ready {
            path: None,
            within_seconds: stored.within_seconds,
        },
    }
}

fn policy_of(policy: &RestartPolicy) -> railway::RestartPolicy {
    match policy {
        RestartPolicy::Word(RestartWord::Always) => railway::RestartPolicy::Always,
        RestartPolicy::Word(RestartWord::Never) => railway::RestartPolicy::Never,
        RestartPolicy::Word(RestartWord::OnFailure) => railway::RestartPolicy::OnFailure(RESTARTS),
        RestartPolicy::Times(times) => railway::RestartPolicy::OnFailure(times.on_failure),
    }
}

fn hand_over_of(declared: HandOver, stored: railway::HandOver) -> railway::HandOver {
    let seconds = |declared: Option<crate::kinds::written::Duration>, stored: u64| {
        declared.map_or(stored, |time| time.0.as_secs())
    };
    railway::HandOver {
        overlap_seconds: seconds(declared.overlap, stored.overlap_seconds),
        drain_seconds: seconds(declared.drain, stored.drain_seconds),
    }
}

fn limits_of(declared: Limits, stored: railway::Limits) -> railway::Limits {
    // A thousandth of a processor is finer than anything that Railway counts.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the schema allows 0.1 to 64"
    )]
    let milli = |cpu: f64| (cpu * 1000.0).round() as u64;
    railway::Limits {
        milli_cpu: declared.cpu.map(milli).or(stored.milli_cpu),
        memory_bytes: declared
            .memory
            .map(|memory| memory.bytes)
            .or(stored.memory_bytes),
    }
}

/// The differences of plain settings.
pub(super) fn differences(wishes: &[Wish], stored: &Settings) -> Vec<Difference> {
    wishes
        .iter()
        .filter_map(|wish| {
            let name = wish.value.name();
            let is = stored.value(name);
            if is_same(&is, &wish.value) {
                return None;
            }
            let to = words(&wish.value);
            Some(Difference {
                field: name.word().to_owned(),
                verb: "set",
                from: Some(words(&is)),
                why: match &wish.value {
                    _ if wish.closes => wish.why.clone(),
                    // The whole line says it already.
                    SettingValue::Start(_)
                    | SettingValue::BeforeDeploy(_)
                    | SettingValue::Ready(_) => wish.why.clone(),
                    _ => format!("{}: {to}", wish.why),
                },
                to: Some(to),
                origin: wish.origin.clone(),
                closes: wish.closes,
                then: Then::Set(Setting::Plain(wish.value.clone())),
            })
        })
        .collect()
}

/// Without a health check its time means nothing.
pub(super) fn is_same(one: &SettingValue, other: &SettingValue) -> bool {
    match (one, other) {
        (SettingValue::Ready(one), SettingValue::Ready(other))
            if one.path.is_none() && other.path.is_none() =>
        {
            true
        }
        (one, other) => one == other,
    }
}

/// Whether a setting can be stored without a deployment: Railway's update of an instance has no limits (`ServiceInstanceUpdateInput`).
pub(super) fn can_be_stored(value: &SettingValue) -> bool {
    !matches!(value, SettingValue::Limits(_))
}

/// A setting as people read it.
pub(super) fn words(value: &SettingValue) -> String {
    let seconds =
        |seconds: u64| humantime::format_duration(Duration::from_secs(seconds)).to_string();
    match value {
        SettingValue::Start(None) => "the image's own".to_owned(),
        SettingValue::BeforeDeploy(None) => "nothing".to_owned(),
        SettingValue::Cron(None) => "all the time".to_owned(),
        SettingValue::Start(Some(command)) | SettingValue::BeforeDeploy(Some(command)) => {
            crate::kinds::shown::command(command)
        }
        SettingValue::Cron(Some(fields)) => one_line(fields),
        SettingValue::Ready(ready) => match &ready.path {
            Some(path) if ready.within_seconds == READY_SECONDS => one_line(path),
            Some(path) => format!(
                "{} within {}",
                one_line(path),
                seconds(ready.within_seconds)
            ),
            None => "no check".to_owned(),
        },
        SettingValue::RestartPolicy(railway::RestartPolicy::Always) => "always".to_owned(),
        SettingValue::RestartPolicy(railway::RestartPolicy::Never) => "never".to_owned(),
        SettingValue::RestartPolicy(railway::RestartPolicy::OnFailure(times)) => {
            format!("on failure, {times} times")
        }
        SettingValue::Sleep(sleep) => sleep.to_string(),
        SettingValue::HandOver(hand_over) => format!(
            "overlap {}, drain {}",
            seconds(hand_over.overlap_seconds),
            seconds(hand_over.drain_seconds)
        ),
        SettingValue::Limits(limits) => limits_words(*limits),
    }
}

/// What is stored for a field of a Service, as people read it; nothing for a field that holds no value.
pub fn stored_words(field: &str, seen: &Service) -> Option<String> {
    if field == "replicas" {
        return super::placement_words(seen.placement.facts()?);
    }
    let name = SettingName::ALL
        .into_iter()
        .find(|name| name.word() == field)?;
    Some(words(&seen.settings.value(name)))
}

fn limits_words(limits: railway::Limits) -> String {
    let cpu = limits.milli_cpu.map(|milli| {
        let whole = milli / 1000;
        match milli % 1000 {
            0 => format!("{whole} cpu"),
            part => format!("{whole}.{} cpu", format!("{part:03}").trim_end_matches('0')),
        }
    });
    let memory = limits.memory_bytes.map(|bytes| Size { bytes }.to_string());
    let words: Vec<String> = cpu.into_iter().chain(memory).collect();
    if words.is_empty() {
        "the plan's own".to_owned()
    } else {
        words.join(", ")
    }
}

/// The credentials of a registry cannot be compared: what shows that they are stored is a mask, a patch in the history,
/// or an image that was pulled with them.
pub(super) fn registry_difference(
    registry: &Registry,
    declared: &Declared<Spec>,
    seen: &Service,
    history: &Seen<History>,
    world: &World,
    now: Timestamp,
) -> Option<Difference> {
    let origin = declared.origin(&["registry"]).clone();
    let difference = |verb, then| {
        Some(Difference {
            field: "registry".to_owned(),
            verb,
            from: None,
            to: Some(format!("secret {}", registry.password.from.secret)),
            why: "registry".to_owned(),
            origin: origin.clone(),
            closes: false,
            then,
        })
    };
    let write = |verb| {
        let missing = registry
            .secrets()
            .find_map(|name| match world.secrets.get(name) {
                Some(Seen::Unseen(reason)) => Some(missing_secret(name, reason)),
                Some(Seen::Facts(_) | Seen::Unasked) | None => None,
            });
        let set = Then::Set(Setting::Registry {
            username: match &registry.username {
                Username::Text(text) => VariableValue::Text(text.clone()),
                Username::From(from) => secret_value(from),
            },
            password: secret_value(&registry.password),
        });
        difference(verb, missing.unwrap_or(set))
    };
    if let Some(after) = registry.rotated_after {
        match written_after(after.0, &seen.id, &Field::Registry, history, now) {
            OneShot::Due => return write("rotate"),
            OneShot::Missed => {
                let words = format!(
                    "missed: the registry's credentials were to be written at {after}, more than an hour ago"
                );
                return difference("rotate", Then::Told(words));
            }
            OneShot::Unseen => {
                return difference("rotate", Then::Unseen(UNSEEN_WRITES.to_owned()));
            }
            OneShot::Done | OneShot::Ahead | OneShot::Unknown => {}
        }
    }
    let was_written = history.facts().is_some_and(|history| {
        history.patches.iter().any(|patch| {
            let touched = patch.touched.get(&seen.id);
            !matches!(patch.state, PatchState::Failed(_))
                && touched.is_some_and(|fields| fields.contains(&Field::Registry))
        })
    });
    let was_pulled = seen
        .newest
        .as_ref()
        .is_some_and(|newest| matches!(newest.status, Status::Healthy | Status::Rolling(_)));
    let is_stored = seen.has_registry == Some(true) || was_written || was_pulled;
    if is_stored || *history == Seen::Unasked {
        return None;
    }
    write("set")
}

fn secret_value(from: &Password) -> VariableValue {
    VariableValue::Secret {
        name: from.from.secret.clone(),
        sealed: false,
    }
}

/// The settings that a file in the repository decides otherwise than they are stored, in words (facts/railway.md 8, "railway.json").
pub(super) fn by_file(wishes: &[Wish], seen: &Service) -> Vec<(SettingName, String)> {
    let Some(newest) = &seen.newest else {
        return Vec::new();
    };
    let Some(runs) = &newest.settings else {
        return Vec::new();
    };
    wishes
        .iter()
        .filter_map(|wish| {
            let name = wish.value.name();
            let file = newest.by_file.get(&name)?;
            let is = runs.value(name);
            (!is_same(&is, &wish.value)).then(|| {
                let words = format!(
                    "{} in the repository decides it: deployments run with {}",
                    harmless(&one_line(file)),
                    words(&is)
                );
                (name, words)
            })
        })
        .collect()
}
