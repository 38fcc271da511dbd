//! What only one environment of a repository can have (design rule 7): a Railway environment, a prefix of secrets, a name.

use crate::manifest::Checked;
use crate::problem::Problem;
use crate::source::Place;
use std::collections::BTreeMap;

/// One thing that an environment takes for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    words: &'static str,
    what: String,
}

/// Everything that an environment takes for itself, with the places that say so.
fn claims(manifests: &Checked) -> Vec<(Claim, Place)> {
    let environment = manifests.environment();
    let spec = &environment.spec;
    let place = |path: &[&str]| environment.origin(path).place.clone();
    let railway = format!(
        "{} / {}",
        spec.railway.project.to_lowercase(),
        spec.railway.environment.to_lowercase()
    );
    let claim = |words, what| Claim { words, what };
    let name = environment.document.origin(&["metadata", "name"]);
    let mut claims = vec![
        (
            claim("the name", environment.name.clone()),
            name.place.clone(),
        ),
        (
            claim("the Railway environment", railway),
            place(&["railway"]),
        ),
    ];
    if let Some(prefix) = spec
        .secrets
        .prefix
        .as_ref()
        .filter(|prefix| !prefix.is_empty())
    {
        let words = "the prefix of secrets";
        claims.push((claim(words, prefix.clone()), place(&["secrets", "prefix"])));
    }
    claims
}

/// The problems of every environment that takes what another one takes, by directory.
pub fn conflicts<'a>(
    environments: impl IntoIterator<Item = (&'a str, &'a Checked)>,
) -> BTreeMap<String, Vec<Problem>> {
    let mut holders: BTreeMap<Claim, Vec<(&str, Place)>> = BTreeMap::new();
    for (directory, manifests) in environments {
        for (claim, place) in claims(manifests) {
            holders.entry(claim).or_default().push((directory, place));
        }
    }
    let mut problems: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
    for (claim, holders) in holders.iter().filter(|(_, holders)| holders.len() > 1) {
        let Claim { words, what } = claim;
        for (position, (directory, place)) in holders.iter().enumerate() {
            let other = &holders[usize::from(position == 0)].1;
            let message = format!("{words} `{what}` is claimed by two environments");
            let problem = Problem::at(place, "claimed-twice", message)
                .help("each environment needs its own; when one replaces the other, take the other away in the same commit")
                .related(other, "the other one");
            problems
                .entry((*directory).to_owned())
                .or_default()
                .push(problem);
        }
    }
    problems
}
