//! What the schema finds wrong with a `spec`, in words of ours, at the place of the key.

use super::document::{Document, unknown_field, what};
use super::mask::quoted;
use super::schema::{Rules, part, resolved};
use crate::problem::{Problem, nearest};
use crate::source::{Entries, Node, Origin};
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;
use std::collections::BTreeSet;

/// Every way in which a `spec` breaks its rules.
pub fn problems(document: &Document, spec: &Value, rules: &Rules) -> Vec<Problem> {
    let Some(node) = document.spec() else {
        return Vec::new();
    };
    let teller = Teller {
        kind: document.kind,
        node,
        rules,
    };
    let mut told = Vec::new();
    for error in rules.validator.iter_errors(spec) {
        teller.tell(&error, &mut told);
    }
    // Text that is empty or too long breaks its pattern, too.
    let of_length: BTreeSet<_> = told
        .iter()
        .filter(|problem| problem.code == "length")
        .map(|problem| (problem.line, problem.column))
        .collect();
    told.retain(|problem| {
        problem.code != "format" || !of_length.contains(&(problem.line, problem.column))
    });
    told
}

struct Teller<'a> {
    kind: &'a str,
    node: &'a Node,
    rules: &'a Rules,
}

impl Teller<'_> {
    fn tell(&self, error: &ValidationError<'_>, told: &mut Vec<Problem>) {
        let path = steps(error.instance_path().as_str());
        let add = |told: &mut Vec<Problem>, code, words: &str| {
            told.push(self.at(&path, code, format!("{}: {words}", label(&path))));
        };
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                unexpected
                    .iter()
                    .for_each(|key| told.push(self.unknown(error, &path, key)));
            }
            Kind::Required { property } => {
                self.missing(&path, property.as_str().unwrap_or_default(), told);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                if let Some(words) = one_of(context) {
                    return add(told, "value", &words);
                }
                match self.meant(error, context) {
                    Some(branch) => branch.iter().for_each(|inner| self.tell(inner, told)),
                    None => self.wrong_type(error, &path, told),
                }
            }
            Kind::Type { .. } => self.wrong_type(error, &path, told),
            Kind::Constant { expected_value } => {
                add(told, "value", &format!("expected `{expected_value}`"));
            }
            Kind::Enum { options } => add(told, "value", &format!("expected one of {options}")),
            Kind::Minimum { limit } => add(told, "range", &format!("expected at least {limit}")),
            Kind::Maximum { limit } => add(told, "range", &format!("expected at most {limit}")),
            Kind::MinLength { .. } => add(told, "length", "must not be empty"),
            Kind::MaxLength { limit } => add(
                told,
                "length",
                &format!("expected at most {limit} characters"),
            ),
            Kind::MinProperties { .. } | Kind::MinItems { .. } => {
                add(told, "length", "needs at least one entry");
            }
            Kind::Pattern { pattern } => add(
                told,
                "format",
                &self
                    .expected(error)
                    .unwrap_or_else(|| words_of_pattern(pattern)),
            ),
            Kind::Format { .. } => add(
                told,
                "format",
                &self
                    .expected(error)
                    .unwrap_or_else(|| "not written as it should be".to_owned()),
            ),
            _ => add(told, "value", "not a value that fits here"),
        }
    }

    fn at(&self, path: &[String], code: &'static str, message: String) -> Problem {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let Origin { place, covers } = self.node.origin(&path);
        let problem = Problem::at(place, code, message);
        match covers {
            Some(covered) => problem.related(covered, "it lies over this"),
            None => problem,
        }
    }

    fn unknown(&self, error: &ValidationError<'_>, path: &[String], key: &str) -> Problem {
        let mut below = path.to_vec();
        below.push(key.to_owned());
        let path_of_key: Vec<&str> = below.iter().map(String::as_str).collect();
        let place = &self.node.origin(&path_of_key).place;
        if path == ["variables"] {
            return Problem::at(
                place,
                "variable-name",
                format!("{} cannot be the name of a variable", quoted(key)),
            )
            .help("letters, digits and `_`; the first is not a digit");
        }
        let known = self.known_fields(error);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let is_below_variable = path.first().is_some_and(|first| first == "variables");
        if is_below_variable && nearest(key, known.iter().copied()).is_none() {
            // It may be a piece of a value.
            return Problem::at(
                place,
                "unknown-field",
                format!("{}: a field that is not known here", label(path)),
            )
            .help("expected text, `{ from: { secret: NAME } }` or `{ absent: true }`");
        }
        unknown_field(place, key, &known)
    }

    fn known_fields(&self, error: &ValidationError<'_>) -> Vec<String> {
        let properties = self
            .holder(error)
            .and_then(|schema| schema.get("properties")?.as_object());
        properties
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// A missing field, unless one that is written looks like a mistyped form of it.
    fn missing(&self, path: &[String], field: &str, told: &mut Vec<Problem>) {
        let borrowed: Vec<&str> = path.iter().map(String::as_str).collect();
        let is_mistyped = match self.node.at(&borrowed).map(|node| &node.value) {
            Some(crate::source::Value::Map(entries)) => {
                entries.keys().any(|key| nearest(key, [field]).is_some())
            }
            _ => false,
        };
        if !is_mistyped {
            let holder = label(path);
            let problem = self.at(
                path,
                "missing-field",
                format!("{holder}: missing field `{field}`"),
            );
            let of = [self.kind.to_lowercase()].into_iter().chain(path.to_vec());
            let of: Vec<String> = of.collect();
            told.push(problem.help(format!(
                "`reconciler explain {}` shows all of its fields",
                of.join(".")
            )));
        }
    }

    fn wrong_type(&self, error: &ValidationError<'_>, path: &[String], told: &mut Vec<Problem>) {
        let borrowed: Vec<&str> = path.iter().map(String::as_str).collect();
        let value = self.node.at(&borrowed).map(|node| &node.value);
        if matches!(value, Some(crate::source::Value::Null)) {
            let problem = self.at(path, "no-value", format!("{} has no value", label(path)));
            told.push(
                problem.help(
                    "write a value, or leave the line out: what is not written is not managed",
                ),
            );
            return;
        }
        let expected = self
            .expected(error)
            .unwrap_or_else(|| "expected something else".to_owned());
        let found = match value {
            Some(crate::source::Value::Map(entries)) => self.found_map(error, entries),
            value => value.map_or("something else", what).to_owned(),
        };
        let problem = self.at(
            path,
            "wrong-type",
            format!("{}: {expected}, found {found}", label(path)),
        );
        told.push(match (error.kind(), value) {
            (
                Kind::Type {
                    kind: TypeKind::Single(name),
                },
                Some(crate::source::Value::Text(text)),
            ) if name.to_string() == "boolean" => match truth(text) {
                Some(meant) => problem.help(format!("write `{meant}`")),
                None => problem,
            },
            _ => problem,
        });
    }

    /// A map that is of no alternative: with the fields of several, or of none. Only names that some alternative knows are repeated.
    fn found_map(&self, error: &ValidationError<'_>, entries: &Entries) -> String {
        let root = &self.rules.schema;
        let branches = self
            .holder(error)
            .and_then(|schema| schema.get("anyOf")?.as_array());
        let known: BTreeSet<&String> = branches
            .into_iter()
            .flatten()
            .filter_map(|branch| resolved(root, branch).get("properties")?.as_object())
            .flat_map(|fields| fields.keys())
            .collect();
        let given: Vec<String> = entries
            .keys()
            .filter(|key| known.contains(key))
            .map(|key| format!("`{key}`"))
            .collect();
        match given.as_slice() {
            [] if entries.is_empty() => "an empty map".to_owned(),
            [] | [_] => "a map".to_owned(),
            several => format!("a map with {}", several.join(" and ")),
        }
    }

    /// `expected …`, after the title of the schema or its type.
    fn expected(&self, error: &ValidationError<'_>) -> Option<String> {
        let title = self
            .holder(error)
            .and_then(|schema| schema.get("title")?.as_str());
        let words = match (title, error.kind()) {
            (Some(title), _) => title.to_owned(),
            (
                None,
                Kind::Type {
                    kind: TypeKind::Single(name),
                },
            ) => words_of_type(&name.to_string()).to_owned(),
            (None, _) => return None,
        };
        Some(format!("expected {words}"))
    }

    /// The schema that holds the keyword that failed.
    fn holder(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (holder, _) = error.schema_path().as_str().rsplit_once('/')?;
        let found = part(&self.rules.schema, holder)?;
        Some(resolved(&self.rules.schema, found))
    }

    /// The branch that the author meant: the one of the right type, and of several the one that fits best.
    fn meant<'e>(
        &self,
        error: &ValidationError<'_>,
        branches: &'e [Vec<ValidationError<'static>>],
    ) -> Option<&'e [ValidationError<'static>]> {
        let here = error.instance_path().as_str();
        let is_here = |inner: &&ValidationError<'static>| inner.instance_path().as_str() == here;
        let fits = |branch: &&Vec<ValidationError<'static>>| !is_of_other_type(branch, here);
        let misfit = |branch: &Vec<ValidationError<'static>>| -> usize {
            branch
                .iter()
                .filter(is_here)
                .map(|inner| self.misfit(inner))
                .sum()
        };
        let mut ranked: Vec<_> = branches
            .iter()
            .filter(fits)
            .map(|branch| (misfit(branch), branch))
            .collect();
        ranked.sort_by_key(|(misfit, _)| *misfit);
        match ranked.as_slice() {
            [(_, only)] => Some(only),
            [(best, branch), (second, _), ..] if best < second => Some(branch),
            _ => None,
        }
    }

    fn misfit(&self, error: &ValidationError<'static>) -> usize {
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let known = self.known_fields(error);
                let is_typo =
                    |key: &String| nearest(key, known.iter().map(String::as_str)).is_some();
                unexpected
                    .iter()
                    .map(|key| if is_typo(key) { 1 } else { 2 })
                    .sum()
            }
            _ => 2,
        }
    }
}

/// Whether a branch, or each of its own branches, is for values of another type.
fn is_of_other_type(branch: &[ValidationError<'static>], here: &str) -> bool {
    branch
        .iter()
        .filter(|inner| inner.instance_path().as_str() == here)
        .any(|inner| match inner.kind() {
            Kind::Type { .. } => true,
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                context.iter().all(|branch| is_of_other_type(branch, here))
            }
            _ => false,
        })
}

/// Where every branch is a word of its own: all of them.
fn one_of(branches: &[Vec<ValidationError<'static>>]) -> Option<String> {
    let word = |branch: &Vec<ValidationError<'static>>| {
        branch.iter().find_map(|inner| match inner.kind() {
            Kind::Constant { expected_value } => Some(format!("`{}`", expected_value.as_str()?)),
            _ => None,
        })
    };
    let words: Option<Vec<String>> = branches.iter().map(word).collect();
    let words = words.filter(|words| !words.is_empty())?;
    Some(format!("expected one of {}", words.join(", ")))
}

/// What old YAML took for a truth, and this language does not.
fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "on" | "true" | "y" | "enabled" => Some(true),
        "no" | "off" | "false" | "n" | "disabled" => Some(false),
        _ => None,
    }
}

fn steps(pointer: &str) -> Vec<String> {
    pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// What people call the value at a path: its key; for an item of a list, the list's.
fn label(path: &[String]) -> String {
    match path {
        [] => "`spec`".to_owned(),
        [.., list, item]
            if item.parse::<usize>().is_ok_and(|item| item < 10_000) && !list.is_empty() =>
        {
            let item = item.parse::<usize>().unwrap_or(0) + 1;
            format!("{} item {item}", quoted(list))
        }
        [.., key] => quoted(key),
    }
}

fn words_of_type(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "object" => "a map",
        "array" => "a list",
        other => other,
    }
}

fn words_of_pattern(pattern: &str) -> String {
    match pattern {
        "^[0-9a-f]{40}$" => "expected a full commit id of 40 hexadecimal digits".to_owned(),
        r"^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$" => {
            "expected five fields in UTC such as `*/15 * * * *`: minute, hour, day, month, weekday"
                .to_owned()
        }
        "^https?://[^@]+$" => "expected an address such as `https://example.com/`".to_owned(),
        "^[A-Za-z_][A-Za-z0-9_]*$" => {
            "expected the name of a variable: letters, digits and `_`; the first is not a digit"
                .to_owned()
        }
        "^/" => "expected a path that begins with `/`".to_owned(),
        "^[A-Z][A-Z0-9_]*_$" => "expected upper-case letters, digits and `_`, with `_` at the end, such as `PRODUCTION_`".to_owned(),
        "^[A-Z][A-Z0-9_]*$" => "expected the name of a secret in upper case, such as `STRIPE_KEY`".to_owned(),
        r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$" => "expected an image reference such as `ghcr.io/owner/app:1.4.2`".to_owned(),
        _ => format!("expected text that matches `{pattern}`"),
    }
}
