//! From documents in force to typed specs, by way of their schema.

use super::Findings;
use super::document::Document;
use super::mask::quoted;
use super::{schema, words};
use crate::kinds::{Documents, KINDS};
use crate::problem::Problem;
use crate::source::{Node, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that is well-formed; the findings hold what is not. What documents mean together is for [`super::check`].
pub fn documents(documents: Vec<Document>, found: &mut Findings) -> Documents {
    let mut typed = Documents::default();
    for document in documents {
        if document.spec().is_none() {
            found.mention(document.kind, document.name);
            continue;
        }
        let problems = problems(&document);
        let Document {
            kind, name, node, ..
        } = document;
        // `document::read` lets no other kind through.
        let info = KINDS.iter().find(|info| info.name == kind);
        if !problems.is_empty() {
            found.problems.extend(problems);
            found.mention(kind, name);
        } else if let Some(info) = info {
            let place = node.origin.place.clone();
            if !(info.add)(&mut typed, name.clone(), Arc::new(node)) {
                found.mention(kind, name);
                let words = "`spec`: something in it is not a value that fits";
                found.add(Problem::at(&place, "value", words));
            }
        }
    }
    typed
}

/// Every way in which a document breaks the rules of its kind.
fn problems(document: &Document) -> Vec<Problem> {
    let (Some(node), Some(rules)) = (document.spec(), schema::rules_of(document.kind)) else {
        return Vec::new();
    };
    let json = node.to_json();
    let mut odd = Vec::new();
    odd_numbers(node, &mut Vec::new(), &mut odd);
    if rules.validator.is_valid(&json) && odd.is_empty() {
        return Vec::new();
    }
    let mut problems = words::problems(document, &json, rules);
    let odd_places: BTreeSet<_> = odd.iter().map(place_of).collect();
    problems.retain(|problem| !odd_places.contains(&place_of(problem)));
    problems.append(&mut odd);
    problems
}

fn place_of(problem: &Problem) -> (String, u32, u32) {
    (problem.file.clone(), problem.line, problem.column)
}

/// Numbers that print otherwise than they were written: those that are too large, and decimals where text is meant.
fn odd_numbers<'a>(node: &'a Node, path: &mut Vec<&'a str>, odd: &mut Vec<Problem>) {
    match &node.value {
        Value::Number(number) if !number.is_i64() => {
            let name = path
                .last()
                .map_or_else(|| "a number".to_owned(), |key| quoted(key));
            let (message, help) = match (number.is_f64(), path.contains(&"variables")) {
                // The schema says where a decimal may stand.
                (true, false) => return,
                (true, true) => (
                    "a decimal number needs quotes",
                    "without them `1.10` would be `1.1`",
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
            for (key, entry) in entries.iter() {
                path.push(key);
                odd_numbers(entry, path, odd);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
