//! Where text was written: files, places in them, and the tree of values that remembers its places.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The manifest files of one environment and its base, by the path that people are shown.
///
/// Only `files`, `repository` (and tests) make one; everything after it is pure.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The directory that holds the environment, as people are shown it; "" is the current one.
    pub directory: String,
    /// Every manifest file below `directory` and below the base directory, by path.
    pub texts: BTreeMap<Arc<str>, Arc<str>>,
}

/// One place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The path as people are shown it.
    pub file: Arc<str>,
    /// Counts from 1.
    pub line: u32,
    /// Counts from 1, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// Where a value in force comes from: the place that won and, for an overlay, the place that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The place that is in force.
    pub place: Place,
    /// The place in the base that would be in force without the overlay.
    pub covers: Option<Place>,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.place)?;
        match &self.covers {
            Some(covered) => write!(out, " over {covered}"),
            None => Ok(()),
        }
    }
}

/// A value of a manifest with the place of every key and value below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where; for an entry of a map, the place of its key.
    pub origin: Origin,
}

/// What a manifest can hold. Numbers keep their text until the schema has looked at them.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null` or nothing.
    Null,
    /// `true` or `false`; the words `yes`, `no`, `on` and `off` stay text.
    Bool(bool),
    /// Any JSON number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping. The order is by key: what is printed from it must not depend on how it was written.
    Map(Entries),
}

/// The entries of a map by key. A map is read once and then only looked at, so it takes no more room than what is in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entries(Box<[(String, Node)]>);

impl Entries {
    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let position = self.0.binary_search_by(|(own, _)| own.as_str().cmp(key));
        position.ok().map(|position| &self.0[position].1)
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(key, _)| key)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.0.iter().map(|(key, node)| (key, node))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, Node>> for Entries {
    fn from(map: BTreeMap<String, Node>) -> Entries {
        Entries(map.into_iter().collect())
    }
}

impl From<Entries> for BTreeMap<String, Node> {
    fn from(entries: Entries) -> BTreeMap<String, Node> {
        entries.0.into_iter().collect()
    }
}

impl Node {
    /// The node at a path of map keys and list positions, or nothing.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        match &self.value {
            Value::Map(entries) => entries.get(first)?.at(rest),
            Value::List(items) => items.get(first.parse::<usize>().ok()?)?.at(rest),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        }
    }

    /// The origin of the deepest node on the path that was written: for a missing field, that of what should hold it.
    pub fn origin(&self, path: &[&str]) -> &Origin {
        let mut node = self;
        for step in path {
            match node.at(&[step]) {
                Some(next) => node = next,
                None => break,
            }
        }
        &node.origin
    }

    /// Adds the entries of maps that another value has and this one does not, at any depth.
    pub fn add_entries(&mut self, other: &Node) {
        let (Value::Map(own), Value::Map(others)) = (&mut self.value, &other.value) else {
            return;
        };
        let mut all = BTreeMap::from(std::mem::take(own));
        for (key, other) in others.iter() {
            match all.get_mut(key) {
                Some(own) => own.add_entries(other),
                None => {
                    all.insert(key.clone(), other.clone());
                }
            }
        }
        *own = all.into();
    }

    /// The same value as JSON, without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::Text(value) => serde_json::Value::String(value.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.clone(), node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}
