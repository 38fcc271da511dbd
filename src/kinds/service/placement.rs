//! How many replicas there should be and where, against what is stored.

use super::{Replicas, Spec};
use crate::kinds::Declared;
use crate::kinds::difference::{Difference, Then};
use crate::kinds::shown;
use crate::kinds::step::Cause;
use crate::world::Seen;
use crate::world::railway::{Service, Setting};
use std::collections::BTreeMap;

/// The difference of the replicas.
pub(super) fn difference(
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
            why: format!("replicas: {}", replicas_words(replicas)),
            to: Some(to),
            origin: declared.origin(&["replicas"]).clone(),
            closes: false,
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
                words(stored),
                replicas_words(replicas),
                Then::Hold {
                    by,
                    way_out,
                    cause: Cause::Missing,
                },
            );
        }
    };
    let change = change(wanted, stored);
    if change.is_empty() {
        return None;
    }
    let after = after(&change, stored);
    let (from, to) = from_to(stored, &after);
    if after.values().sum::<u32>() > 1 && has_one(seen) {
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
    difference(from, to, Then::Set(Setting::Replicas(change)))
}

/// Whether Railway allows it one replica only.
fn has_one(seen: &Service) -> bool {
    seen.has_volume || seen.has_schedule()
}

/// What has to be written: all of the placement, since a look may be old, and half of a placement over another half leaves too few.
fn change(
    wanted: BTreeMap<String, Option<u32>>,
    stored: &BTreeMap<String, u32>,
) -> BTreeMap<String, Option<u32>> {
    let is_stored = wanted
        .iter()
        .all(|(region, count)| stored.get(region).copied() == *count);
    if is_stored { BTreeMap::new() } else { wanted }
}

fn after(
    change: &BTreeMap<String, Option<u32>>,
    stored: &BTreeMap<String, u32>,
) -> BTreeMap<String, u32> {
    let mut after = stored.clone();
    for (region, count) in change {
        match count {
            Some(count) => after.insert(region.clone(), *count),
            None => after.remove(region),
        };
    }
    after
}

/// From and to in words; in one place the region stands behind the new number only.
pub(super) fn from_to(
    stored: &BTreeMap<String, u32>,
    after: &BTreeMap<String, u32>,
) -> (Option<String>, String) {
    let is_one_place = stored.len() == 1 && stored.keys().eq(after.keys());
    let from = match words(stored) {
        Some(words) if !is_one_place => words,
        Some(_) | None => stored.values().sum::<u32>().max(1).to_string(),
    };
    (Some(from), words(after).unwrap_or_default())
}

/// Whether a change of replicas moves the service to other regions.
pub(super) fn moves(
    change: &BTreeMap<String, Option<u32>>,
    stored: &BTreeMap<String, u32>,
) -> bool {
    change
        .iter()
        .any(|(region, count)| count.is_none() || !stored.contains_key(region))
}

/// The declared placement in the keys that Railway uses here: a count for each declared region, nothing for one to leave. What is declared is the whole of it: a number or a map says how many there are, and a region that is not named has none.
fn placement(
    replicas: &Replicas,
    stored: &BTreeMap<String, u32>,
    regions: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Option<u32>>, String> {
    match replicas {
        Replicas::Regions(wanted) => {
            let left = stored.keys().map(|region| (region.clone(), None));
            let declared = wanted
                .iter()
                .map(|(region, count)| (stored_key(region, stored, regions), Some(count.0)));
            Ok(left.chain(declared).collect())
        }
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
pub fn words(placement: &BTreeMap<String, u32>) -> Option<String> {
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
