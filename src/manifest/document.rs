//! The head of a document: its version, kind and name, before anybody looks at its `spec`.

use super::Findings;
use super::mask::quoted;
use crate::kinds::{API_VERSION, KINDS};
use crate::problem::{Problem, nearest};
use crate::source::{Entries, Node, Place, Value};

/// Kinds that the language will have; naming one is not a typing error.
const LATER: &[&str] = &["Database", "BackupPolicy", "Restore", "Drill", "Incident"];

/// One document whose kind and name are known.
#[derive(Debug, Clone)]
pub struct Document {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// `metadata.name`.
    pub name: String,
    /// Whether it is laid over its namesake in the base.
    pub from_base: bool,
    /// Where its name is written.
    pub place: Place,
    /// All of it: a map with at least `kind`, `metadata` and `spec`.
    pub node: Node,
}

impl Document {
    /// `Kind/name`, as people refer to it.
    pub fn title(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Where `spec` is written.
    pub fn spec(&self) -> Option<&Node> {
        self.node.at(&["spec"])
    }
}

/// Reads the head. Without a kind and a name that can be used there is no document, and the findings say why.
pub fn read(node: Node, found: &mut Findings) -> Option<Document> {
    let Value::Map(entries) = &node.value else {
        found.incomplete = true;
        found.add(
            Problem::at(
                &node.origin.place,
                "not-a-map",
                format!("a document must be a map, this is {}", what(&node.value)),
            )
            .help("write `apiVersion`, `kind`, `metadata` and `spec`"),
        );
        return None;
    };
    let start = node.origin.place.clone();
    let kind = kind(entries, &start, found);
    if matches!(kind, Some(Kind::Later)) {
        return None;
    }
    unknown_keys(entries, &["apiVersion", "kind", "metadata", "spec"], found);
    api_version(entries, &start, found);
    let name = name(entries, &start, found);
    let from_base = from_base(entries, found);
    if is_missing(entries, "spec") {
        found.add(
            Problem::at(&start, "missing-field", "missing field `spec`")
                .help("write `spec: {}` to declare nothing but the name"),
        );
    }
    match (kind, name) {
        (Some(Kind::Known(kind)), Some((name, place))) => Some(Document {
            kind,
            name,
            from_base,
            place,
            node,
        }),
        (Some(Kind::Meant(kind)), Some((name, _))) => {
            found.mention(kind, name);
            None
        }
        _ => {
            found.incomplete = true;
            None
        }
    }
}

enum Kind {
    Known(&'static str),
    Meant(&'static str),
    Later,
}

/// Whether a field is there neither as it should be nor mistyped: a mistyped one is a problem already.
fn is_missing(entries: &Entries, field: &str) -> bool {
    !entries.keys().any(|key| nearest(key, [field]).is_some())
}

fn unknown_keys(entries: &Entries, known: &[&str], found: &mut Findings) {
    for (key, node) in entries.iter() {
        if !known.contains(&key.as_str()) {
            found.add(unknown_field(&node.origin.place, key, known));
        }
    }
}

/// An unknown field, with the field that was meant or all that there are.
pub fn unknown_field(place: &Place, key: &str, known: &[&str]) -> Problem {
    match nearest(key, known.iter().copied()) {
        Some(meant) => Problem::at(
            place,
            "unknown-field",
            format!("unknown field {}, did you mean `{meant}`?", quoted(key)),
        ),
        None => {
            let list = known
                .iter()
                .map(|field| format!("`{field}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let problem = Problem::at(
                place,
                "unknown-field",
                format!("unknown field {}", quoted(key)),
            );
            if known.is_empty() {
                problem
            } else {
                problem.help(format!("known here: {list}"))
            }
        }
    }
}

fn api_version(entries: &Entries, start: &Place, found: &mut Findings) {
    let help = format!("write `apiVersion: {API_VERSION}`");
    let Some(node) = entries.get("apiVersion") else {
        if is_missing(entries, "apiVersion") {
            found.add(Problem::at(start, "missing-field", "missing field `apiVersion`").help(help));
        }
        return;
    };
    if !matches!(&node.value, Value::Text(version) if version == API_VERSION) {
        found.add(
            Problem::at(
                &node.origin.place,
                "api-version",
                "this version of the language is not known",
            )
            .help(help),
        );
    }
}

fn kind(entries: &Entries, start: &Place, found: &mut Findings) -> Option<Kind> {
    let names = || KINDS.iter().map(|info| info.name);
    let list = || {
        format!(
            "known kinds: {}",
            names()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        )
    };
    let Some(node) = entries.get("kind") else {
        if is_missing(entries, "kind") {
            found.add(Problem::at(start, "missing-field", "missing field `kind`").help(list()));
        }
        return None;
    };
    let place = &node.origin.place;
    let Value::Text(written) = &node.value else {
        found.add(
            Problem::at(
                place,
                "wrong-type",
                format!(
                    "`kind`: expected the name of a kind, found {}",
                    what(&node.value)
                ),
            )
            .help(list()),
        );
        return None;
    };
    if let Some(known) = names().find(|name| name == written) {
        return Some(Kind::Known(known));
    }
    if LATER.contains(&written.as_str()) {
        found.add(
            Problem::at(
                place,
                "unsupported-kind",
                format!("kind `{written}` is not supported by this version"),
            )
            .help(list()),
        );
        return Some(Kind::Later);
    }
    match nearest(written, names().chain(LATER.iter().copied())) {
        Some(meant) => {
            found.add(Problem::at(
                place,
                "unknown-kind",
                format!("unknown kind {}, did you mean `{meant}`?", quoted(written)),
            ));
            Some(
                names()
                    .find(|name| *name == meant)
                    .map_or(Kind::Later, Kind::Meant),
            )
        }
        None => {
            found.add(
                Problem::at(
                    place,
                    "unknown-kind",
                    format!("unknown kind {}", quoted(written)),
                )
                .help(list()),
            );
            None
        }
    }
}

fn name(entries: &Entries, start: &Place, found: &mut Findings) -> Option<(String, Place)> {
    let Some(metadata) = entries.get("metadata") else {
        if is_missing(entries, "metadata") {
            found.add(
                Problem::at(start, "missing-field", "missing field `metadata`")
                    .help("write `metadata: { name: … }`"),
            );
        }
        return None;
    };
    let Value::Map(fields) = &metadata.value else {
        let message = format!(
            "`metadata`: expected a map, found {}",
            what(&metadata.value)
        );
        found.add(
            Problem::at(&metadata.origin.place, "wrong-type", message)
                .help("write `metadata: { name: … }`"),
        );
        return None;
    };
    unknown_keys(fields, &["name", "from"], found);
    let Some(node) = fields.get("name") else {
        if is_missing(fields, "name") {
            found.add(
                Problem::at(
                    &metadata.origin.place,
                    "missing-field",
                    "missing field `name`",
                )
                .help("write `metadata: { name: … }`"),
            );
        }
        return None;
    };
    let place = &node.origin.place;
    match &node.value {
        Value::Text(name) if is_name(name) => Some((name.clone(), place.clone())),
        Value::Text(_) => {
            let help =
                "letters, digits, `.`, `_` and `-`, at most 63, the first a letter or a digit";
            found.add(Problem::at(place, "name", "`name`: this cannot be a name").help(help));
            None
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            let problem = Problem::at(
                place,
                "wrong-type",
                format!("`name`: expected text, found {}", what(&node.value)),
            );
            found.add(problem.help("put it in quotes where it looks like something else"));
            None
        }
    }
}

/// The pattern of names, as the schemas have it.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// Whether a text can be the name of a document.
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(inner)
}

fn from_base(entries: &Entries, found: &mut Findings) -> bool {
    let Some(Value::Map(fields)) = entries.get("metadata").map(|metadata| &metadata.value) else {
        return false;
    };
    let Some(node) = fields.get("from") else {
        // A mistyped `from` was meant as one, and is a problem already.
        return fields
            .keys()
            .any(|key| key != "name" && nearest(key, ["from"]).is_some());
    };
    if matches!(&node.value, Value::Text(text) if text == "base") {
        return true;
    }
    let problem = Problem::at(
        &node.origin.place,
        "from",
        "`from`: a document can only be laid over one of the base",
    );
    found.add(problem.help("write `from: base`"));
    // It was meant as an overlay: as one it is read on.
    true
}

/// What a value is, in words.
pub fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
