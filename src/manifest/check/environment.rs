//! What the policies of an Environment mean: windows that hold, times that are near, receivers that can be reached.

use super::super::Findings;
use super::super::mask::quoted;
use super::{place, reachable};
use crate::kinds::Declared;
use crate::kinds::environment::Spec;
use crate::kinds::environment::freeze::{Edge, Window, zone, zones};
use crate::problem::{Problem, nearest};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A freeze that is lifted for longer is none.
const LONGEST_OVERRIDE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Oftener than this a monitor has no need to hear anything.
const SHORTEST_BEAT: Duration = Duration::from_secs(10);

/// One Environment.
pub fn check(environment: &Declared<Spec>, now: Timestamp, found: &mut Findings) {
    let spec = &environment.spec;
    for (position, window) in spec.freeze.iter().enumerate() {
        window_holds(environment, &position.to_string(), window, found);
    }
    let latest = now
        .saturating_add(LONGEST_OVERRIDE)
        .unwrap_or(Timestamp::MAX);
    if spec.override_until.is_some_and(|until| until.0 > latest) {
        let at = place(environment, &["overrideUntil"]);
        let words = "`overrideUntil`: more than 7 days ahead";
        found.add(Problem::at(at, "far-ahead", words).help(
            "name an earlier time; take the window out of `freeze` if it is not to hold any more",
        ));
    }
    for (position, receiver) in spec.notify.iter().enumerate() {
        let at = place(environment, &["notify", &position.to_string()]);
        reachable(at, receiver.word(), Some(environment), found);
    }
    let Some(heartbeat) = &spec.heartbeat else {
        return;
    };
    let at = place(environment, &["heartbeat"]);
    reachable(at, "heartbeat", Some(environment), found);
    if heartbeat.every.0 < SHORTEST_BEAT {
        let at = place(environment, &["heartbeat", "every"]);
        found.add(Problem::at(at, "range", "`every`: expected at least 10s"));
    }
}

fn window_holds(
    environment: &Declared<Spec>,
    position: &str,
    window: &Window,
    found: &mut Findings,
) {
    let at = |field: &str| place(environment, &["freeze", position, field]);
    let (begins, ends) = (at("from"), at("to"));
    match (window.from, window.to) {
        (Edge::Once(from), Edge::Once(to)) => {
            if to <= from {
                found.add(
                    Problem::at(ends, "window", "`to`: the window ends before it begins")
                        .related(begins, "it begins here"),
                );
            }
            if window.timezone.is_some() {
                let zone_place = at("timezone");
                found.add(
                    Problem::at(
                        zone_place,
                        "clash",
                        "`timezone`: these times have their own zones",
                    )
                    .help("take `timezone` away"),
                );
            }
        }
        (Edge::Weekly(..), Edge::Weekly(..)) => {
            if window.from == window.to {
                found.add(
                    Problem::at(
                        ends,
                        "window",
                        "`to`: a window that ends when it begins would hold all the time",
                    )
                    .related(begins, "it begins here"),
                );
            }
            known_zone(environment, position, window, found);
        }
        (Edge::Weekly(..), Edge::Once(_)) | (Edge::Once(_), Edge::Weekly(..)) => {
            found.add(
                Problem::at(
                    ends,
                    "window",
                    "`from` and `to`: one is of every week, the other is not",
                )
                .help("write both as `fri 16:00`, or both as a time with a zone")
                .related(begins, "the other one"),
            );
        }
    }
}

fn known_zone(environment: &Declared<Spec>, position: &str, window: &Window, found: &mut Findings) {
    let Some(name) = &window.timezone else {
        let at = place(environment, &["freeze", position]);
        let words = "`freeze`: a weekly window needs a `timezone`";
        found.add(
            Problem::at(at, "missing-field", words)
                .help("write `timezone: Europe/Berlin`, or `UTC`"),
        );
        return;
    };
    if zone(name).is_some() {
        return;
    }
    let at = place(environment, &["freeze", position, "timezone"]);
    let words = format!("`timezone`: there is no time zone {}", quoted(name));
    let known: Vec<String> = zones().collect();
    let near = nearest(name, known.iter().map(String::as_str));
    found.add(Problem::at(at, "timezone", words).help(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name such as `Europe/Berlin`, or `UTC`".to_owned(),
    }));
}
