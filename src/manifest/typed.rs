//! From documents in force to typed specs, by way of their schema.

use super::Findings;
use super::document::Document;
use super::mask::quoted;
use super::{schema, words};
use crate::kinds::{Declared, environment, release, service};
use crate::problem::Problem;
use crate::source::{Node, Value};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Documents whose specs are well-formed. What they mean together is for [`super::check`].
#[derive(Debug, Default)]
pub struct Draft {
    /// By name, as the others.
    pub environments: BTreeMap<String, Declared<environment::Spec>>,
    /// By name.
    pub releases: BTreeMap<String, Declared<release::Spec>>,
    /// By name.
    pub services: BTreeMap<String, Declared<service::Spec>>,
}

/// Everything that is well-formed; the findings hold what is not.
pub fn draft(documents: Vec<Document>, found: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    for document in documents {
        match document.kind {
            "Environment" => add(&mut draft.environments, document, found),
            "Release" => add(&mut draft.releases, document, found),
            "Service" => add(&mut draft.services, document, found),
            // `document::read` lets no other kind through.
            _ => {}
        }
    }
    draft
}

fn add<S: DeserializeOwned>(
    specs: &mut BTreeMap<String, Declared<S>>,
    document: Document,
    found: &mut Findings,
) {
    match spec_of(&document) {
        Ok(spec) => {
            let Document { name, node, .. } = document;
            let declared = Declared {
                name: name.clone(),
                spec,
                document: Arc::new(node),
            };
            specs.insert(name, declared);
        }
        Err(problems) => {
            found.problems.extend(problems);
            found.mention(document.kind, document.name);
        }
    }
}

fn spec_of<S: DeserializeOwned>(document: &Document) -> Result<S, Vec<Problem>> {
    let (Some(node), Some(rules)) = (document.spec(), schema::rules_of(document.kind)) else {
        return Err(Vec::new());
    };
    let json = node.to_json();
    let mut odd = Vec::new();
    odd_numbers(node, &mut Vec::new(), &mut odd);
    if !rules.validator.is_valid(&json) || !odd.is_empty() {
        let mut problems = words::problems(document, &json, rules);
        let odd_places: BTreeSet<_> = odd.iter().map(place_of).collect();
        problems.retain(|problem| !odd_places.contains(&place_of(problem)));
        problems.append(&mut odd);
        return Err(problems);
    }
    // The error of serde may quote a value.
    S::deserialize(json).map_err(|_| {
        vec![Problem::at(
            &node.origin.place,
            "value",
            "`spec`: something in it is not a value that fits",
        )]
    })
}

fn place_of(problem: &Problem) -> (String, u32, u32) {
    (problem.file.clone(), problem.line, problem.column)
}

/// Numbers that print otherwise than they were written: decimals, and those that are too large.
fn odd_numbers<'a>(node: &'a Node, path: &mut Vec<&'a str>, odd: &mut Vec<Problem>) {
    match &node.value {
        Value::Number(number) if !number.is_i64() => {
            let name = path
                .last()
                .map_or_else(|| "a number".to_owned(), |key| quoted(key));
            let is_variable = path.first() == Some(&"variables");
            let (message, help) = match (number.is_f64(), is_variable) {
                (true, true) => (
                    "a decimal number needs quotes",
                    "without them `1.10` would be `1.1`",
                ),
                (true, false) => (
                    "expected a whole number, found a decimal number",
                    "write it without a point, or in quotes where text is meant",
                ),
                (false, _) => (
                    "the number is too large",
                    "write it in quotes where text is meant",
                ),
            };
            odd.push(
                Problem::at(
                    &node.origin.place,
                    "decimal-number",
                    format!("{name}: {message}"),
                )
                .help(help),
            );
        }
        Value::List(items) => items.iter().for_each(|item| odd_numbers(item, path, odd)),
        Value::Map(entries) => {
            for (key, entry) in entries {
                path.push(key);
                odd_numbers(entry, path, odd);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
