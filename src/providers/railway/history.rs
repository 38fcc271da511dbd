//! What is staged, and who committed what when, out of Railway's answers.

use super::deploy::{self, text, time};
use super::exchange::Problem;
use crate::world::Seen;
use crate::world::railway::{Field, History, Patch, PatchState, Staged};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The parts of a configuration (facts/railway.md 2.2). Other keys come with time, and say nothing where Railway counts no change.
const PARTS: &[&str] = &[
    "services",
    "sharedVariables",
    "volumes",
    "buckets",
    "groups",
    "privateNetworkDisabled",
];

/// What is staged and not committed.
pub fn staged(data: &Value, problems: &[Problem]) -> Seen<Staged> {
    if let Some(words) = failed(problems, "environmentStagedChanges") {
        return Seen::Unseen(words);
    }
    let patch = &data["environmentStagedChanges"];
    match (patch["status"].as_str(), &patch["patch"]) {
        (Some("STAGED"), Value::Object(parts)) => {
            let counts_none = data["environment"]["unmergedChangesCount"].as_u64() == Some(0);
            let is_change = |path: &String| {
                let part = path.split('.').next().unwrap_or(path);
                !counts_none || PARTS.contains(&part)
            };
            Seen::Facts(Staged {
                paths: paths(parts).into_iter().filter(is_change).collect(),
                failed: text(&patch["lastAppliedError"]),
            })
        }
        // What was committed last is answered where nothing is staged.
        (Some("COMMITTED" | "APPLYING"), _) => Seen::Facts(Staged::default()),
        _ => Seen::Unseen("Railway does not tell what is staged".to_owned()),
    }
}

fn failed(problems: &[Problem], part: &str) -> Option<String> {
    problems
        .iter()
        .find(|problem| problem.path.first().is_some_and(|first| first == part))
        .map(|problem| format!("Railway says: {}", problem.message))
}

/// `services.<id>.variables.NAME`, three levels below a service and one elsewhere.
fn paths(parts: &Map<String, Value>) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in parts {
        match value.as_object().filter(|inner| !inner.is_empty()) {
            Some(inner) => paths.extend(paths_below(
                key,
                inner,
                if key == "services" { 3 } else { 1 },
            )),
            None if value.is_object() => {}
            None => paths.push(key.clone()),
        }
    }
    paths
}

fn paths_below(prefix: &str, parts: &Map<String, Value>, depth: usize) -> Vec<String> {
    parts
        .iter()
        .flat_map(|(key, value)| {
            let path = format!("{prefix}.{key}");
            match value
                .as_object()
                .filter(|inner| depth > 1 && !inner.is_empty())
            {
                Some(inner) => paths_below(&path, inner, depth - 1),
                None => vec![path],
            }
        })
        .collect()
}

/// The newest patches.
pub fn history(data: &Value, problems: &[Problem]) -> Seen<History> {
    if let Some(words) = failed(problems, "environmentPatches") {
        return Seen::Unseen(words);
    }
    let connection = &data["environmentPatches"];
    let Some(edges) = connection["edges"].as_array() else {
        return Seen::Unseen("Railway does not tell the history".to_owned());
    };
    let mut patches: Vec<Patch> = edges
        .iter()
        .filter_map(|edge| patch(&edge["node"]))
        .collect();
    patches.sort_by_key(|patch| std::cmp::Reverse(patch.at));
    Seen::Facts(History {
        patches,
        is_whole: connection["pageInfo"]["hasNextPage"].as_bool() == Some(false),
    })
}

/// Who committed which patch, by the patch's id.
pub fn authors(data: &Value) -> BTreeMap<String, String> {
    let edges = data["environmentPatches"]["edges"].as_array();
    let nodes = edges.into_iter().flatten().map(|edge| &edge["node"]);
    nodes
        .filter_map(|node| {
            let author = &node["appliedBy"];
            let name = text(&author["name"]).or_else(|| text(&author["username"]))?;
            Some((node["id"].as_str()?.to_owned(), name))
        })
        .collect()
}

fn patch(node: &Value) -> Option<Patch> {
    let failure = text(&node["lastAppliedError"]);
    let state = match (node["status"].as_str()?, failure) {
        // What could not be applied may be staged again, with the reason.
        (_, Some(words)) => PatchState::Failed(words),
        ("STAGED", None) => return None,
        ("APPLYING", None) => PatchState::Applying,
        ("COMMITTED", None) => PatchState::Committed,
        (other, None) => PatchState::Failed(other.to_owned()),
    };
    Some(Patch {
        id: node["id"].as_str()?.to_owned(),
        begun_at: time(&node["createdAt"]).or_else(|| time(&node["appliedAt"]))?,
        at: time(&node["appliedAt"]).or_else(|| time(&node["createdAt"]))?,
        state,
        message: node["message"].as_str().unwrap_or_default().to_owned(),
        by: None,
        touched: touched(&node["patch"]),
    })
}

fn touched(patch: &Value) -> BTreeMap<String, BTreeSet<Field>> {
    let mut touched: BTreeMap<String, BTreeSet<Field>> = BTreeMap::new();
    for (key, value) in patch.as_object().into_iter().flatten() {
        if key == "sharedVariables" {
            let names = value.as_object().into_iter().flatten();
            let fields = names.map(|(name, _)| Field::Variable(name.clone()));
            touched.entry(String::new()).or_default().extend(fields);
            continue;
        }
        if key != "services" {
            touched
                .entry(String::new())
                .or_default()
                .insert(Field::Other(key.clone()));
            continue;
        }
        for (id, parts) in value.as_object().into_iter().flatten() {
            touched.entry(id.clone()).or_default().extend(fields(parts));
        }
    }
    touched
}

fn fields(parts: &Value) -> BTreeSet<Field> {
    let below = |part: &'static str| {
        parts[part]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
    };
    let source = below("source").map(|key| match key {
        "image" => Field::Image,
        "commitSha" => Field::Commit,
        other => Field::Other(format!("source.{other}")),
    });
    let deploy = below("deploy").map(|key| match key {
        "multiRegionConfig" | "numReplicas" | "region" => Field::Replicas,
        "registryCredentials" => Field::Registry,
        other => deploy::name(other)
            .map_or_else(|| Field::Other(format!("deploy.{other}")), Field::Setting),
    });
    let variables = below("variables").map(|name| Field::Variable(name.to_owned()));
    let others = parts
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "source" | "deploy" | "variables"))
        .map(|(key, _)| Field::Other(key.clone()));
    source
        .chain(deploy)
        .chain(variables)
        .chain(others)
        .collect()
}
