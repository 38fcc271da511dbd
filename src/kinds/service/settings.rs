//! What a service's stored configuration should be and is not: one difference a field.

use super::{Ready, Replicas, Spec, Variable};
use crate::kinds::Declared;
use crate::kinds::shown;
use crate::kinds::step::Cause;
use crate::source::Origin;
use crate::world::railway::{
    self, Field, History, PatchState, READY_SECONDS, Service, Setting, VariableValue,
};
use crate::world::{Seen, World};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A field whose stored value is not the declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub field: String,
    pub verb: &'static str,
    pub from: Option<String>,
    pub to: Option<String>,
    pub why: String,
    pub origin: Origin,
    pub then: Then,
}

/// What can be done about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Set(Setting),
    Hold {
        by: String,
        way_out: String,
        cause: Cause,
    },
    Unseen(String),
    Told(String),
}

/// A one-shot that has not begun within this time of its moment is never begun (design rule 1).
pub(super) const LATEST: Duration = Duration::from_secs(3600);

/// The differences of replicas, the health check and variables. What runs (image, commit) is `rollout`'s subject.
pub(super) fn differences(
    declared: &Declared<Spec>,
    seen: &Service,
    regions: &BTreeMap<String, String>,
    history: &Seen<History>,
    world: &World,
    now: Timestamp,
) -> Vec<Difference> {
    let spec = &declared.spec;
    let mut all = Vec::new();
    if let Some(replicas) = &spec.replicas {
        all.extend(replicas_difference(replicas, declared, seen, regions));
    }
    if let Some(ready) = &spec.ready {
        all.extend(ready_difference(ready, declared, seen));
    }
    match &seen.variables {
        Seen::Facts(stored) => {
            for (name, variable) in &spec.variables {
                let place = VariablePlace {
                    name,
                    declared,
                    seen,
                    history,
                    world,
                    now,
                };
                all.extend(variable_difference(variable, stored.get(name), &place));
            }
        }
        Seen::Unseen(reason) if !spec.variables.is_empty() => all.push(Difference {
            field: "variables".to_owned(),
            verb: "set",
            from: None,
            to: None,
            why: "variables".to_owned(),
            origin: declared.origin(&["variables"]).clone(),
            then: Then::Unseen(reason.clone()),
        }),
        Seen::Unseen(_) | Seen::Unasked => {}
    }
    all
}

fn replicas_difference(
    replicas: &Replicas,
    declared: &Declared<Spec>,
    seen: &Service,
    regions: &BTreeMap<String, String>,
) -> Option<Difference> {
    let difference = |from: Option<String>, to: String, then: Then| {
        Some(Difference {
            field: "replicas".to_owned(),
            verb: "scale",
            from,
            why: format!("replicas: {to}"),
            to: Some(to),
            origin: declared.origin(&["replicas"]).clone(),
            then,
        })
    };
    let stored = match &seen.placement {
        Seen::Facts(stored) => stored,
        Seen::Unseen(reason) => {
            return difference(None, replicas_words(replicas), Then::Unseen(reason.clone()));
        }
        Seen::Unasked => return None,
    };
    let wanted = match placement(replicas, stored, regions) {
        Ok(wanted) => wanted,
        Err(by) => {
            let way_out = "write the region, as in `replicas: { us-west2: 2 }`".to_owned();
            return difference(
                placement_words(stored),
                replicas_words(replicas),
                Then::Hold {
                    by,
                    way_out,
                    cause: Cause::Missing,
                },
            );
        }
    };
    let change: BTreeMap<String, Option<u32>> = wanted
        .iter()
        .filter(|(region, count)| stored.get(*region).copied() != **count)
        .map(|(region, count)| (region.clone(), *count))
        .collect();
    if change.is_empty() {
        return None;
    }
    let after: BTreeMap<String, u32> = stored
        .iter()
        .filter(|(region, _)| !wanted.contains_key(*region))
        .map(|(region, count)| (region.clone(), *count))
        .chain(
            wanted
                .iter()
                .filter_map(|(region, count)| count.map(|count| (region.clone(), count))),
        )
        .collect();
    let is_one_place = stored.len() == 1 && stored.keys().eq(after.keys());
    let from = Some(match placement_words(stored) {
        Some(words) if !is_one_place => words,
        // The region stands behind the new number.
        Some(_) | None => stored.values().sum::<u32>().max(1).to_string(),
    });
    let to = placement_words(&after).unwrap_or_default();
    let total: u32 = after.values().sum();
    if total > 1 && (seen.has_volume || seen.has_schedule) {
        let what = if seen.has_volume {
            "a volume"
        } else {
            "a schedule"
        };
        let by = format!("a service with {what} has exactly one replica at Railway");
        return difference(
            from,
            to,
            Then::Hold {
                by,
                way_out: "declare one replica".to_owned(),
                cause: Cause::Refused,
            },
        );
    }
    difference(from, to, Then::Set(Setting::Replicas(change))).map(|difference| Difference {
        why: format!("replicas: {}", replicas_words(replicas)),
        ..difference
    })
}

/// The declared placement in the keys that Railway uses here: a count for each declared region, nothing for one to leave.
fn placement(
    replicas: &Replicas,
    stored: &BTreeMap<String, u32>,
    regions: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Option<u32>>, String> {
    match replicas {
        Replicas::Regions(wanted) => Ok(wanted
            .iter()
            .map(|(region, count)| (stored_key(region, stored, regions), Some(count.0)))
            .collect()),
        // Railway runs one replica where nothing is stored.
        Replicas::Number(1) if stored.is_empty() => Ok(BTreeMap::new()),
        Replicas::Number(count) => {
            let Some((home, _)) = stored
                .iter()
                .max_by_key(|(region, count)| (**count, std::cmp::Reverse((*region).clone())))
            else {
                return Err("Railway does not tell in which region it runs".to_owned());
            };
            Ok(stored
                .keys()
                .map(|region| (region.clone(), (region == home).then_some(*count)))
                .collect())
        }
    }
}

/// A region as Railway writes it for this service: newer projects use airport codes for the same places.
fn stored_key(
    region: &str,
    stored: &BTreeMap<String, u32>,
    regions: &BTreeMap<String, String>,
) -> String {
    if stored.contains_key(region) {
        return region.to_owned();
    }
    match regions.get(region) {
        Some(other) if stored.contains_key(other) => other.clone(),
        Some(_) | None => region.to_owned(),
    }
}

fn replicas_words(replicas: &Replicas) -> String {
    match replicas {
        Replicas::Number(count) => count.to_string(),
        Replicas::Regions(regions) => {
            let entries: Vec<String> = regions
                .iter()
                .map(|(region, count)| format!("{region}: {}", count.0))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// `3 (us-west2)`, or `3 (europe-west4 1, us-west2 2)`.
fn placement_words(placement: &BTreeMap<String, u32>) -> Option<String> {
    let total: u32 = placement.values().sum();
    match placement.len() {
        0 => None,
        1 => placement
            .keys()
            .next()
            .map(|region| format!("{total} ({})", shown::one_line(region))),
        _ => {
            let entries: Vec<String> = placement
                .iter()
                .map(|(region, count)| format!("{} {count}", shown::one_line(region)))
                .collect();
            Some(format!("{total} ({})", entries.join(", ")))
        }
    }
}

fn ready_difference(
    ready: &Ready,
    declared: &Declared<Spec>,
    seen: &Service,
) -> Option<Difference> {
    let wanted = railway::Ready {
        path: Some(ready.path.clone()),
        within_seconds: ready
            .within
            .map_or(seen.ready.within_seconds, |within| within.0.as_secs()),
    };
    if wanted == seen.ready {
        return None;
    }
    let words = |ready: &railway::Ready| match &ready.path {
        Some(path) if ready.within_seconds == READY_SECONDS => shown::one_line(path),
        Some(path) => format!(
            "{} within {}",
            shown::one_line(path),
            humantime::format_duration(Duration::from_secs(ready.within_seconds))
        ),
        None => "no check".to_owned(),
    };
    Some(Difference {
        field: "ready".to_owned(),
        verb: "set",
        from: Some(words(&seen.ready)),
        to: Some(words(&wanted)),
        why: "ready".to_owned(),
        origin: declared.origin(&["ready"]).clone(),
        then: Then::Set(Setting::Ready(wanted)),
    })
}

/// What is needed to judge one variable beside its declaration and what is stored.
struct VariablePlace<'a> {
    name: &'a str,
    declared: &'a Declared<Spec>,
    seen: &'a Service,
    history: &'a Seen<History>,
    world: &'a World,
    now: Timestamp,
}

impl VariablePlace<'_> {
    fn difference(
        &self,
        verb: &'static str,
        from: Option<String>,
        to: Option<String>,
        then: Then,
    ) -> Option<Difference> {
        Some(Difference {
            field: self.name.to_owned(),
            verb,
            from,
            why: match &to {
                Some(to) => format!("{}: {to}", self.name),
                None => format!("{}: {{ absent: true }}", self.name),
            },
            to,
            origin: self.declared.origin(&["variables", self.name]).clone(),
            then,
        })
    }

    fn value(&self, value: VariableValue) -> Then {
        Then::Set(Setting::Variable {
            name: self.name.to_owned(),
            value,
        })
    }
}

fn variable_difference(
    variable: &Variable,
    stored: Option<&railway::Variable>,
    place: &VariablePlace<'_>,
) -> Option<Difference> {
    match variable {
        Variable::Text(text) => text_difference(text, stored, place),
        Variable::Number(number) => text_difference(&number.to_string(), stored, place),
        Variable::Flag(flag) => text_difference(&flag.to_string(), stored, place),
        Variable::From(from) => secret_difference(from, stored, place),
        Variable::Absent(_) => {
            let stored = stored?;
            place.difference(
                "remove",
                Some(stored_words(place.name, stored)),
                None,
                place.value(VariableValue::Absent),
            )
        }
    }
}

fn text_difference(
    text: &str,
    stored: Option<&railway::Variable>,
    place: &VariablePlace<'_>,
) -> Option<Difference> {
    let to = Some(shown::declared(place.name, text));
    let set = place.value(VariableValue::Text(text.to_owned()));
    let Some(stored) = stored else {
        return place.difference("set", None, to, set);
    };
    match &stored.value {
        Some(value) if canonical(value.reveal()) == canonical(text) => None,
        Some(_) => place.difference("set", Some(stored_words(place.name, stored)), to, set),
        None if stored.sealed => {
            let by = format!(
                "{} is sealed at Railway: its value cannot be compared with the one in git",
                place.name
            );
            let way_out =
                "refer to a secret with `sealed: true`, or delete the variable at Railway"
                    .to_owned();
            place.difference(
                "set",
                Some("sealed".to_owned()),
                to,
                Then::Hold {
                    by,
                    way_out,
                    cause: Cause::Somebody,
                },
            )
        }
        None => place.difference(
            "set",
            None,
            to,
            Then::Unseen(format!("the token may not see the value of {}", place.name)),
        ),
    }
}

fn secret_difference(
    from: &super::FromSecret,
    stored: Option<&railway::Variable>,
    place: &VariablePlace<'_>,
) -> Option<Difference> {
    let secret = &from.from.secret;
    let to = Some(if from.sealed {
        format!("secret {secret}, sealed")
    } else {
        format!("secret {secret}")
    });
    let current = place.world.secrets.get(secret).unwrap_or(&Seen::Unasked);
    let same = match (stored, from.sealed) {
        (None, _) => false,
        (Some(stored), true) => stored.sealed,
        (Some(stored), false) => match (&stored.value, current) {
            (Some(value), Seen::Facts(secret)) => value == secret,
            // Without the secret, or without sight of the value, there is nothing to compare.
            (Some(_) | None, Seen::Unasked) => true,
            (Some(_), Seen::Unseen(_)) => false,
            (None, Seen::Facts(_) | Seen::Unseen(_)) if stored.sealed => {
                let by = format!(
                    "{} is sealed at Railway, and a sealed variable cannot be unsealed",
                    place.name
                );
                let way_out = "say `sealed: true`, or delete the variable at Railway".to_owned();
                return place.difference(
                    "set",
                    Some("sealed".to_owned()),
                    to,
                    Then::Hold {
                        by,
                        way_out,
                        cause: Cause::Somebody,
                    },
                );
            }
            (None, Seen::Facts(_) | Seen::Unseen(_)) => {
                return place.difference(
                    "set",
                    None,
                    to,
                    Then::Unseen(format!("the token may not see the value of {}", place.name)),
                );
            }
        },
    };
    let rotation = from
        .rotated_after
        .map_or(Rotation::None, |after| rotation(after.0, place));
    let wanted = match rotation {
        Rotation::Due => true,
        Rotation::Missed => {
            let words = format!(
                "missed: {} was to be written at {}, more than an hour ago",
                place.name,
                from.rotated_after
                    .map(|after| after.to_string())
                    .unwrap_or_default()
            );
            return if same {
                place.difference("rotate", None, to, Then::Told(words))
            } else {
                secret_write(from, stored, place, current, to)
            };
        }
        Rotation::None => !same,
    };
    if wanted {
        secret_write(from, stored, place, current, to)
    } else {
        None
    }
}

fn secret_write(
    from: &super::FromSecret,
    stored: Option<&railway::Variable>,
    place: &VariablePlace<'_>,
    current: &Seen<crate::world::secret::Secret>,
    to: Option<String>,
) -> Option<Difference> {
    let secret = &from.from.secret;
    let before = stored.map(|stored| stored_words(place.name, stored));
    let then = match current {
        Seen::Facts(_) | Seen::Unasked => place.value(VariableValue::Secret {
            name: secret.clone(),
            sealed: from.sealed,
        }),
        Seen::Unseen(reason) => Then::Hold {
            by: reason.clone(),
            way_out: format!("give the controller the secret {secret}, or take the reference out"),
            cause: Cause::Missing,
        },
    };
    place.difference(
        if from.rotated_after.is_some() {
            "rotate"
        } else {
            "set"
        },
        before,
        to,
        then,
    )
}

/// Whether a declared rotation is still to be done.
enum Rotation {
    None,
    Due,
    Missed,
}

/// A rotation has happened when a patch after its time touched the variable.
fn rotation(after: Timestamp, place: &VariablePlace<'_>) -> Rotation {
    let Seen::Facts(history) = place.history else {
        return Rotation::None;
    };
    if place.now < after {
        return Rotation::None;
    }
    let field = Field::Variable(place.name.to_owned());
    let written = history.patches.iter().any(|patch| {
        // One that is under way is waited for at the gate: it may still fail.
        patch.state == PatchState::Committed
            && patch.at >= after
            && patch
                .touched
                .get(&place.seen.id)
                .is_some_and(|fields| fields.contains(&field))
    });
    if written {
        return Rotation::None;
    }
    let late = place.now.duration_since(after).unsigned_abs() > LATEST;
    let reaches = history.is_whole
        || history
            .patches
            .last()
            .is_some_and(|oldest| oldest.at < after);
    match (late, reaches) {
        (false, true) => Rotation::Due,
        (true, true) => Rotation::Missed,
        // Too many patches since: nobody can tell, and nothing is written again on a guess.
        (_, false) => Rotation::None,
    }
}

fn stored_words(name: &str, stored: &railway::Variable) -> String {
    match &stored.value {
        Some(value) => shown::live(name, value.reveal()),
        None if stored.sealed => "sealed".to_owned(),
        None => shown::HIDDEN.to_owned(),
    }
}

/// Railway allows white space inside the braces of a reference; it means nothing (facts/railway.md 8, "Reference variables").
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        out.push_str(before);
        out.push_str("${{");
        let Some((inside, tail)) = after.split_once("}}") else {
            rest = after;
            continue;
        };
        out.push_str(inside.trim());
        out.push_str("}}");
        rest = tail;
    }
    out.push_str(rest);
    out
}
