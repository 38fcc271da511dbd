//! Environment variables: what a manifest may say of one, and how what is stored differs from it.

use super::difference::{Difference, Then};
use super::shown;
use super::step::Cause;
use super::written::Instant;
use crate::source::Origin;
use crate::world::railway::{self, Field, History, PatchState, Setting, VariableValue};
use crate::world::secret::Secret;
use crate::world::{Seen, World};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The name of an environment variable.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct VariableName(
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    #[expect(dead_code, reason = "only its schema is used")]
    String,
);

/// What a variable should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(
    title = "text, a whole number, true or false, `{ from: { secret: NAME } }` or `{ absent: true }`"
)]
pub enum Variable {
    /// Text; a Railway reference such as `${{redis.REDIS_URL}}` is text, too.
    Text(String),
    /// A whole number. A decimal goes in quotes, so that `1.10` stays `1.10`.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// The value of a secret.
    From(FromSecret),
    /// It must not exist.
    Absent(Absent),
}

/// The value of a secret. The manifest names it, and nothing but the request to Railway ever holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct FromSecret {
    /// Where the value comes from.
    pub from: Reference,
    /// Whether Railway shall never show it again. A sealed value cannot be compared: it is written when it is missing or not sealed, and with `rotatedAfter`.
    #[serde(default)]
    pub sealed: bool,
    /// Has been written at or after this time: the way to rotate a sealed value. Follows the rules of `restartedAfter`.
    pub rotated_after: Option<Instant>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Reference {
    /// The secret's name, without the environment's `secrets.prefix`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub secret: String,
}

/// It must not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Absent {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    pub absent: bool,
}

/// Adds variables that an older version declared to be there, and a newer one not.
pub fn add_declared(newer: &mut BTreeMap<String, Variable>, older: &BTreeMap<String, Variable>) {
    for (name, older) in older {
        let is_there = |variable: &Variable| !matches!(variable, Variable::Absent(_));
        if is_there(older) && !newer.get(name).is_some_and(is_there) {
            newer.insert(name.clone(), older.clone());
        }
    }
}

/// The names of the secrets that variables refer to.
pub fn secrets<'a>(
    variables: impl IntoIterator<Item = &'a Variable>,
) -> impl Iterator<Item = &'a str> {
    variables
        .into_iter()
        .filter_map(|variable| Some(from(variable)?.from.secret.as_str()))
}

/// Whether some variable has to have been written after a time: that shows in the configuration history only.
pub fn rotates<'a>(variables: impl IntoIterator<Item = &'a Variable>) -> bool {
    variables
        .into_iter()
        .filter_map(from)
        .any(|from| from.rotated_after.is_some())
}

fn from(variable: &Variable) -> Option<&FromSecret> {
    match variable {
        Variable::From(from) => Some(from),
        Variable::Text(_) | Variable::Number(_) | Variable::Flag(_) | Variable::Absent(_) => None,
    }
}

/// A one-shot that has not begun within this time of its moment is never begun (design rule 1).
pub const LATEST: Duration = Duration::from_secs(3600);

/// What is needed to judge one variable beside its declaration and what is stored.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// The id of the service that has it; "" for one that all services share.
    pub owner: &'a str,
    /// Where it is declared.
    pub origin: &'a Origin,
    /// The configuration history.
    pub history: &'a Seen<History>,
    /// Everything that was seen, for the secrets.
    pub world: &'a World,
    /// The present moment.
    pub now: Timestamp,
}

impl Place<'_> {
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
            origin: self.origin.clone(),
            closes: false,
            then,
        })
    }

    fn value(&self, value: VariableValue) -> Then {
        Then::Set(Setting::Variable {
            name: self.name.to_owned(),
            value,
        })
    }

    fn unseen(&self, to: Option<String>) -> Option<Difference> {
        let words = format!("the token may not see the value of {}", self.name);
        self.difference("set", None, to, Then::Unseen(words))
    }

    fn sealed(&self, to: Option<String>, by: String, way_out: &str) -> Option<Difference> {
        self.difference(
            "set",
            Some("sealed".to_owned()),
            to,
            Then::Hold {
                by,
                way_out: way_out.to_owned(),
                cause: Cause::Somebody,
            },
        )
    }
}

/// How a stored variable differs from what it should be.
pub fn difference(
    variable: &Variable,
    stored: Option<&railway::Variable>,
    place: &Place<'_>,
) -> Option<Difference> {
    match variable {
        Variable::Text(text) => text_difference(text, stored, place),
        Variable::Number(number) => text_difference(&number.to_string(), stored, place),
        Variable::Flag(flag) => text_difference(&flag.to_string(), stored, place),
        Variable::From(from) => secret_difference(from, stored, place),
        Variable::Absent(_) => {
            let from = Some(stored_words(place.name, stored?));
            place.difference("remove", from, None, place.value(VariableValue::Absent))
        }
    }
}

fn text_difference(
    text: &str,
    stored: Option<&railway::Variable>,
    place: &Place<'_>,
) -> Option<Difference> {
    let to = Some(shown::declared(place.name, text));
    let set = place.value(VariableValue::Text(text.to_owned()));
    let Some(stored) = stored else {
        return place.difference("set", None, to, set);
    };
    match &stored.value {
        Some(value) if canonical(value.reveal()) == canonical(text) => None,
        Some(_) => place.difference("set", Some(stored_words(place.name, stored)), to, set),
        None if stored.sealed => place.sealed(
            to,
            format!(
                "{} is sealed at Railway: its value cannot be compared with the one in git",
                place.name
            ),
            "refer to a secret with `sealed: true`, or delete the variable at Railway",
        ),
        None => place.unseen(to),
    }
}

fn secret_difference(
    from: &FromSecret,
    stored: Option<&railway::Variable>,
    place: &Place<'_>,
) -> Option<Difference> {
    let secret = &from.from.secret;
    let to = Some(if from.sealed {
        format!("secret {secret}, sealed")
    } else {
        format!("secret {secret}")
    });
    let current = place.world.secrets.get(secret).unwrap_or(&Seen::Unasked);
    let is_same = match (stored, from.sealed) {
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
                let way_out = "say `sealed: true`, or delete the variable at Railway";
                return place.sealed(to, by, way_out);
            }
            (None, Seen::Facts(_) | Seen::Unseen(_)) => return place.unseen(to),
        },
    };
    match rotation(from, place) {
        Rotation::Due => secret_write(from, stored, place, current, to),
        Rotation::None | Rotation::Missed(_) | Rotation::Unseen if !is_same => {
            secret_write(from, stored, place, current, to)
        }
        Rotation::Unseen => {
            let words = UNSEEN_WRITES.to_owned();
            place.difference("rotate", None, to, Then::Unseen(words))
        }
        Rotation::Missed(after) => {
            let words = format!(
                "missed: {} was to be written at {after}, more than an hour ago",
                place.name
            );
            place.difference("rotate", None, to, Then::Told(words))
        }
        Rotation::None => None,
    }
}

fn secret_write(
    from: &FromSecret,
    stored: Option<&railway::Variable>,
    place: &Place<'_>,
    current: &Seen<Secret>,
    to: Option<String>,
) -> Option<Difference> {
    let secret = &from.from.secret;
    let verb = if from.rotated_after.is_some() {
        "rotate"
    } else {
        "set"
    };
    let then = match current {
        Seen::Facts(_) | Seen::Unasked => place.value(VariableValue::Secret {
            name: secret.clone(),
            sealed: from.sealed,
        }),
        Seen::Unseen(reason) => missing_secret(secret, reason),
    };
    let before = stored.map(|stored| stored_words(place.name, stored));
    place.difference(verb, before, to, then)
}

/// A secret that is not there: nothing is written in its place.
pub fn missing_secret(secret: &str, reason: &str) -> Then {
    Then::Hold {
        by: reason.to_owned(),
        way_out: format!("give the controller the secret {secret}, or take the reference out"),
        cause: Cause::Missing,
    }
}

/// Whether a declared rotation is still to be done.
enum Rotation {
    None,
    Due,
    Missed(Timestamp),
    Unseen,
}

/// A rotation has happened when a patch after its time touched the variable.
fn rotation(from: &FromSecret, place: &Place<'_>) -> Rotation {
    let Some(Instant(after)) = from.rotated_after else {
        return Rotation::None;
    };
    match written_after(
        after,
        place.owner,
        &Field::Variable(place.name.to_owned()),
        place.history,
        place.now,
    ) {
        OneShot::Done | OneShot::Ahead | OneShot::Unknown => Rotation::None,
        OneShot::Unseen => Rotation::Unseen,
        OneShot::Due => Rotation::Due,
        OneShot::Missed => Rotation::Missed(after),
    }
}

/// How a write that has to have happened at or after a moment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneShot {
    /// It has happened.
    Done,
    /// Its moment lies ahead.
    Ahead,
    /// It is to be made now.
    Due,
    /// It was not begun in time and never will be.
    Missed,
    /// Nobody can tell; nothing is written again on a guess.
    Unknown,
    /// The history could not be seen.
    Unseen,
}

/// What is not known where the history is not.
pub const UNSEEN_WRITES: &str =
    "Railway's history could not be seen, and only that tells when it was written last";

/// Whether a patch has written a field at or after a moment, by the configuration history.
pub fn written_after(
    after: Timestamp,
    owner: &str,
    field: &Field,
    history: &Seen<History>,
    now: Timestamp,
) -> OneShot {
    let history = match history {
        Seen::Facts(history) => history,
        Seen::Unseen(_) => return OneShot::Unseen,
        Seen::Unasked => return OneShot::Unknown,
    };
    if now < after {
        return OneShot::Ahead;
    }
    let is_written = history.patches.iter().any(|patch| {
        // One that is under way is waited for at the gate: it may still fail.
        patch.state == PatchState::Committed
            && patch.at >= after
            && patch
                .touched
                .get(owner)
                .is_some_and(|fields| fields.contains(field))
    });
    if is_written {
        return OneShot::Done;
    }
    let reaches = history.is_whole
        || history
            .patches
            .last()
            .is_some_and(|oldest| oldest.at < after);
    if !reaches {
        OneShot::Unknown
    } else if now.duration_since(after).unsigned_abs() > LATEST {
        OneShot::Missed
    } else {
        OneShot::Due
    }
}

/// A stored value, as it may be printed.
pub fn stored_words(name: &str, stored: &railway::Variable) -> String {
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

/// Whether a value refers to a shared variable (facts/railway.md 8, "Reference variables").
pub fn refers_to_shared(value: &str, name: &str) -> bool {
    canonical(value).contains(&format!("${{{{shared.{name}}}}}"))
}

/// Whether a value refers to anything: then what a process receives is another text.
pub fn is_template(value: &str) -> bool {
    value.contains("${{")
}
