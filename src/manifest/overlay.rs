//! How an environment shares documents with others: its own are laid over those of the base, maps key by key, everything else as a whole.

use super::Findings;
use super::document::Document;
use super::mask::quoted;
use super::schema::{Shape, rules_of};
use crate::kinds::KINDS;
use crate::problem::{Problem, nearest};
use crate::source::{Node, Origin, Place, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What the environment says about its base.
#[derive(Debug, Default)]
pub struct Base {
    /// The directory, as people are shown it; nothing where the environment has no base.
    pub directory: Option<String>,
    /// Where the environment says so.
    pub place: Option<Place>,
    /// What is left out of it, as `Kind/name`.
    pub without: Vec<(String, Place)>,
}

/// What an Environment says about its base, as far as it can be read: whether it is right is the schema's business.
pub fn base_of(environment: &Document, directory: &str) -> Base {
    let Some(node) = environment.spec().and_then(|spec| spec.at(&["base"])) else {
        return Base::default();
    };
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
    };
    let path = text(node).or_else(|| node.at(&["path"]).and_then(text));
    let without = match node.at(&["without"]).map(|node| &node.value) {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| Some((text(item)?, item.origin.place.clone())))
            .collect(),
        _ => Vec::new(),
    };
    Base {
        directory: path
            .filter(|path| !path.starts_with('/'))
            .map(|path| join(directory, &path)),
        place: Some(node.origin.place.clone()),
        without,
    }
}

/// Whether a file is in a directory or below it. Both are what [`join`] gives, or as people are shown them.
pub fn is_below(path: &str, directory: &str) -> bool {
    let path = join("", path);
    match directory {
        "" => !path.starts_with('/') && !path.starts_with("../"),
        _ => path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/')),
    }
}

/// Whether a file is directly in a directory.
pub fn is_in(path: &str, directory: &str) -> bool {
    let path = join("", path);
    path.rsplit_once('/').map_or("", |(parent, _)| parent) == directory
}

type ByTitle = BTreeMap<(&'static str, String), Document>;

/// The documents in force.
pub fn lay(
    own: Vec<Document>,
    shared: Vec<Document>,
    base: &Base,
    found: &mut Findings,
) -> Vec<Document> {
    let mut own = unique(own, found);
    let mut shared = unique(only_shareable(shared, found), found);
    let left_out = leave_out(&mut shared, base, found);
    let mut in_force = Vec::new();
    for (title, document) in std::mem::take(&mut own) {
        let under = shared.remove(&title);
        match (document.from_base, under) {
            (true, Some(under)) => in_force.push(merge_documents(under, document)),
            (true, None) => {
                found.mention(document.kind, document.name.clone());
                found.add_if_complete(without_namesake(&document, &shared, &left_out, base));
            }
            (false, Some(under)) => {
                found.add(
                    Problem::at(&document.place, "namesake", format!("{} is in the base, too", document.title()))
                        .help("write `from: base` beside its name to lay it over that one, or give it another name")
                        .related(&under.place, "in the base"),
                );
                in_force.push(document);
            }
            (false, None) => in_force.push(document),
        }
    }
    in_force.extend(shared.into_values());
    in_force
}

/// The first of each; the others are problems.
fn unique(documents: Vec<Document>, found: &mut Findings) -> ByTitle {
    let mut first = ByTitle::new();
    for document in documents {
        match first.entry((document.kind, document.name.clone())) {
            Entry::Vacant(slot) => {
                slot.insert(document);
            }
            Entry::Occupied(slot) => {
                let (code, message) = if document.from_base && slot.get().from_base {
                    (
                        "two-overlays",
                        format!("{} is laid over the base twice", document.title()),
                    )
                } else {
                    (
                        "duplicate",
                        format!("{} is declared twice", document.title()),
                    )
                };
                found.add(
                    Problem::at(&document.place, code, message)
                        .help("put everything about it in one document")
                        .related(&slot.get().place, "first declared here"),
                );
            }
        }
    }
    first
}

fn only_shareable(shared: Vec<Document>, found: &mut Findings) -> Vec<Document> {
    let is_shared = |kind: &str| KINDS.iter().any(|info| info.name == kind && info.is_shared);
    let (good, bad): (Vec<_>, Vec<_>) = shared
        .into_iter()
        .partition(|document| is_shared(document.kind) && !document.from_base);
    for document in bad {
        let title = document.title();
        found.mention(document.kind, document.name.clone());
        let problem = if is_shared(document.kind) {
            let words = format!("{title} is in the base and cannot be laid over it");
            Problem::at(&document.place, "from", words)
                .help("take `from: base` away, or move the document to an environment")
        } else {
            let words = format!("{title} cannot be shared: it is about one environment");
            Problem::at(&document.place, "not-shared", words)
                .help("move it to the directory of the environment that it is about")
        };
        found.add(problem);
    }
    good
}

/// Takes what the environment leaves out.
fn leave_out(shared: &mut ByTitle, base: &Base, found: &mut Findings) -> ByTitle {
    let titles: Vec<String> = shared.values().map(Document::title).collect();
    let mut left_out = ByTitle::new();
    for (title, place) in &base.without {
        let key = shared
            .keys()
            .find(|(kind, name)| title.split_once('/') == Some((kind, name)))
            .cloned();
        if let Some(entry) = key.and_then(|key| shared.remove_entry(&key)) {
            left_out.extend([entry]);
        } else {
            let message = format!("`without`: the base holds no {}", quoted(title));
            let help = match nearest(title, titles.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write `Kind/name`, as in `Service/web`".to_owned(),
            };
            found.add_if_complete(Problem::at(place, "without", message).help(help));
        }
    }
    left_out
}

fn without_namesake(
    document: &Document,
    shared: &ByTitle,
    left_out: &ByTitle,
    base: &Base,
) -> Problem {
    let title = document.title();
    let problem = |message: String| Problem::at(&document.place, "no-namesake", message);
    let Some(directory) = &base.directory else {
        return problem(format!(
            "{title} is laid over the base, and the environment has none"
        ))
        .help("write `base: ../base` in the spec of the Environment, or take `from: base` away");
    };
    if left_out.contains_key(&(document.kind, document.name.clone())) {
        return problem(format!(
            "{title} is laid over a document that `without` leaves out"
        ))
        .help("take `from: base` away, or the entry of `without`");
    }
    let problem = problem(format!(
        "{title} is laid over the base, and `{directory}` holds no {title}"
    ));
    let alike = shared
        .keys()
        .filter(|(kind, _)| *kind == document.kind)
        .map(|(_, name)| name.as_str());
    match nearest(&document.name, alike) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.help("take `from: base` away to declare something new"),
    }
}

fn merge_documents(under: Document, over: Document) -> Document {
    let Document {
        kind,
        name,
        from_base,
        place,
        node,
    } = over;
    let Node { value, origin } = node;
    let rules = rules_of(kind).map(|rules| Shape::whole(&rules.schema));
    let value = match (value, under.node.value) {
        (Value::Map(head), Value::Map(below)) => {
            let (mut head, mut below) = (BTreeMap::from(head), BTreeMap::from(below));
            if let (Some(over), Some(under)) = (head.remove("spec"), below.remove("spec")) {
                head.insert("spec".to_owned(), merge(under, over, rules));
            }
            Value::Map(head.into())
        }
        (value, _) => value,
    };
    let origin = covering(origin, under.node.origin);
    Document {
        kind,
        name,
        from_base,
        place,
        node: Node { value, origin },
    }
}

fn covering(over: Origin, under: Origin) -> Origin {
    Origin {
        place: over.place,
        covers: Some(under.place),
    }
}

/// Lays one value over another. `null` takes a field back to "not managed". Where a field has alternatives, as `by: { variable }` and
/// `by: { image }`, one takes the whole place of another.
fn merge(under: Node, over: Node, shape: Option<Shape<'_>>) -> Node {
    let origin = covering(over.origin, under.origin);
    let value = match (under.value, over.value) {
        (Value::Map(below), Value::Map(entries))
            if shape.is_some_and(|shape| shape.is_another(&below, &entries)) =>
        {
            without_nulls_below(Value::Map(entries))
        }
        (Value::Map(below), Value::Map(entries)) => {
            let mut merged = BTreeMap::from(below);
            for (key, over) in BTreeMap::from(entries) {
                let under = merged.remove(&key);
                match (under, over) {
                    (
                        _,
                        Node {
                            value: Value::Null, ..
                        },
                    ) => {}
                    (Some(under), over) => {
                        let shape = shape.and_then(|shape| shape.below(&key));
                        merged.insert(key, merge(under, over, shape));
                    }
                    (None, over) => {
                        merged.insert(key, without_nulls(over));
                    }
                }
            }
            Value::Map(merged.into())
        }
        (_, value) => without_nulls_below(value),
    };
    Node { value, origin }
}

fn without_nulls(node: Node) -> Node {
    Node {
        value: without_nulls_below(node.value),
        origin: node.origin,
    }
}

fn without_nulls_below(value: Value) -> Value {
    match value {
        Value::Map(entries) => {
            let entries = BTreeMap::from(entries).into_iter();
            let kept = entries.filter(|(_, node)| node.value != Value::Null);
            let kept: BTreeMap<String, Node> =
                kept.map(|(key, node)| (key, without_nulls(node))).collect();
            Value::Map(kept.into())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => value,
    }
}

/// A directory relative to another, without `.` and `..` in the middle; "" is the current one.
pub fn join(directory: &str, relative: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    let absolute = directory.starts_with('/') || directory.is_empty() && relative.starts_with('/');
    for step in directory.split('/').chain(relative.split('/')) {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => {
                steps.pop();
            }
            ".." if absolute && steps.is_empty() => {}
            _ => steps.push(step),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, steps.join("/"))
}
