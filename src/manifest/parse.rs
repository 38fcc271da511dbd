//! From the text of one file to trees of values with places, one for each document; or to what is wrong with the text.

use crate::problem::Problem;
use crate::source::{Entries, Node, Origin, Place, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Error, Spanned};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

/// No file may be larger than this.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// No document may be nested more deeply than this. Reading one level takes 35 KB of stack in a debug build, and a thread has 2 MB.
const MAX_DEPTH: usize = 24;
/// No file may hold more values than this.
const MAX_NODES: usize = 100_000;
/// No file may hold more documents than this.
const MAX_DOCUMENTS: usize = 10_000;

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Its documents in their order. Empty ones are left out.
    pub documents: Vec<Node>,
    /// What is wrong with the text.
    pub problems: Vec<Problem>,
    /// Whether it could not be read to its end: what seems to be missing may be in it.
    pub is_broken: bool,
}

impl Parsed {
    fn broken(problem: Problem) -> Parsed {
        Parsed {
            documents: Vec::new(),
            problems: vec![problem],
            is_broken: true,
        }
    }
}

/// Reads a file.
pub fn parse(file: &Arc<str>, text: &str) -> Parsed {
    if text.len() > MAX_FILE_BYTES {
        let problem = Problem::of_file(file, "too-large", "the file is larger than 1 MiB");
        return Parsed::broken(problem.help("split it: every file of the directory is read"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(problem) = odd_character(file, text) {
        return Parsed::broken(problem);
    }
    let raw: Vec<Spanned<Raw>> = match serde_yaml::from_multiple_with_options(text, options()) {
        Ok(raw) => raw,
        Err(error) => return Parsed::broken(problem_of(file, text, &error)),
    };
    let mut reader = Reader {
        file,
        text,
        problems: Vec::new(),
    };
    let documents = raw
        .into_iter()
        .map(|document| reader.node(document, None))
        .collect();
    Parsed {
        documents,
        problems: reader.problems,
        is_broken: false,
    }
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        with_snippet: false,
        emit_comments: false,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // Duplicates are reported by `Reader`: all of them, and with the place of the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: MAX_DOCUMENTS,
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_total_scalar_bytes: MAX_FILE_BYTES,
        },
    }
}

/// Characters that a terminal or an editor may show as something else than what they are.
fn odd_character(file: &Arc<str>, text: &str) -> Option<Problem> {
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let lone_return = || {
        text.match_indices('\r')
            .map(|(offset, _)| offset)
            .find(|offset| !text[offset + 1..].starts_with('\n'))
    };
    let offset = text.find(odd).or_else(lone_return)?;
    let found = u32::from(text[offset..].chars().next()?);
    let place = place_at(file, text, offset);
    let problem = Problem::at(
        &place,
        "control-character",
        format!("the invisible character U+{found:04X} is not allowed here"),
    );
    Some(problem.help(
        "delete it; in a value that needs it, write an escape in double quotes, such as \"\\e\"",
    ))
}

fn place_at(file: &Arc<str>, text: &str, offset: usize) -> Place {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        file: file.clone(),
        line: count(before.matches('\n').count()) + 1,
        column: count(before[line_start..].chars().count()) + 1,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What serde-saphyr hands over, before it has places of ours.
enum Raw {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Key>, Spanned<Raw>)>),
}

struct Key(String);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Raw, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = serde_json::Number::from_f64(value);
        Ok(number.map_or_else(|| Raw::Text(value.to_string()), Raw::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values are not supported"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(KEY_IS_TEXT)
            }

            fn visit_str<E>(self, value: &str) -> Result<Key, E> {
                Ok(Key(value.to_owned()))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Key, E> {
                Err(E::custom(KEY_IS_TEXT))
            }
        }
        deserializer
            .deserialize_str(KeyVisitor)
            .map_err(|_| D::Error::custom(KEY_IS_TEXT))
    }
}

const KEY_IS_TEXT: &str = "a key must be plain text";

/// Turns raw values into nodes, and reports what the grammar allows and this language does not.
struct Reader<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// A node at the place of its key, or at its own where it has none.
    fn node(&mut self, raw: Spanned<Raw>, key: Option<&Place>) -> Node {
        let own = self.place(&raw.referenced);
        self.refuse_tricks(&raw, &own);
        let place = key.cloned().unwrap_or(own);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number(value) => Value::Number(value),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| self.node(item, None))
                    .collect(),
            ),
            Raw::Map(entries) => Value::Map(self.entries(entries)),
        };
        Node {
            value,
            origin: Origin {
                place,
                covers: None,
            },
        }
    }

    fn entries(&mut self, entries: Vec<(Spanned<Key>, Spanned<Raw>)>) -> Entries {
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let place = self.place(&key.referenced);
            let node = self.node(value, Some(&place));
            match map.entry(key.value.0) {
                Entry::Vacant(slot) => {
                    slot.insert(node);
                }
                Entry::Occupied(first) => {
                    let name = super::mask::quoted(first.key());
                    let problem = Problem::at(
                        &place,
                        "duplicate-key",
                        format!("the key {name} is written twice"),
                    );
                    let first: &Node = first.get();
                    self.problems.push(
                        problem
                            .help("keep one of them")
                            .related(&first.origin.place, "first written here"),
                    );
                }
            }
        }
        map.into()
    }

    fn place(&self, location: &serde_yaml::Location) -> Place {
        Place {
            file: self.file.clone(),
            line: u32::try_from(location.line()).unwrap_or(u32::MAX).max(1),
            column: u32::try_from(location.column()).unwrap_or(u32::MAX).max(1),
        }
    }

    /// A number or a flag that is not written as it would be printed, and a value with a tag: what YAML makes of them is not what people see.
    fn refuse_tricks(&mut self, raw: &Spanned<Raw>, place: &Place) {
        let Some(start) = raw
            .referenced
            .span()
            .byte_offset()
            .and_then(|offset| usize::try_from(offset).ok())
        else {
            return;
        };
        let Some(rest) = self.text.get(start..) else {
            return;
        };
        let written = &rest[..rest
            .find([',', '}', ']', '\n', '\r', ' ', '\t'])
            .unwrap_or(rest.len())];
        let tagged = rest.starts_with('!') && !matches!(raw.value, Raw::Null)
            || follows_tag(&self.text[..start]);
        let problem = match &raw.value {
            _ if tagged => Problem::at(place, "yaml-tag", NO_TAGS)
                .help("quote text that looks like something else"),
            Raw::Bool(value) if written != value.to_string() => Problem::at(
                place,
                "odd-boolean",
                "`true` and `false` are written in lower case",
            )
            .help("put it in quotes where text is meant"),
            Raw::Number(value)
                if value.is_i64() && written != value.to_string() && !written.starts_with('!') =>
            {
                Problem::at(place, "odd-number", "a number is written with digits only")
                    .help("put it in quotes where text is meant")
            }
            Raw::Null
            | Raw::Bool(_)
            | Raw::Number(_)
            | Raw::Text(_)
            | Raw::List(_)
            | Raw::Map(_) => return,
        };
        self.problems.push(problem);
    }
}

/// Whether the last word before a value is a tag. It gives the benefit of the doubt to comments and quotes.
fn follows_tag(before: &str) -> bool {
    // A tag further away than this is none that anybody would take for a part of the value.
    const LONGEST: usize = 256;
    let window = before.ceil_char_boundary(before.len().saturating_sub(LONGEST));
    let line = before[window..]
        .trim_end()
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let word = line
        .rsplit([' ', '\t', ',', '[', '{'])
        .next()
        .unwrap_or_default();
    word.starts_with('!') && !word.ends_with([':', '"', '\'']) && !line.contains('#')
}

/// What a YAML error says, without anything of the text itself: it may hold secrets.
fn problem_of(file: &Arc<str>, text: &str, error: &Error) -> Problem {
    let location = error.location().unwrap_or(serde_yaml::Location::UNKNOWN);
    let lines = count(text.lines().count()).max(1);
    let place = Place {
        file: file.clone(),
        line: u32::try_from(location.line())
            .unwrap_or(u32::MAX)
            .clamp(1, lines),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX).max(1),
    };
    let Words(code, message, help) = words_of(error.without_snippet());
    Problem::at(&place, code, message).help(help)
}

fn words_of(error: &Error) -> Words {
    match error {
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => ALIAS,
            BudgetBreach::Depth { .. } => TOO_DEEP,
            BudgetBreach::MergeKeys { .. } => MERGE_KEY,
            _ => Words(
                "too-large",
                "the file holds more than can be read at once",
                "split it: every file of the directory is read",
            ),
        },
        Error::MergeKeyNotAllowed { .. } => MERGE_KEY,
        Error::UnknownAnchor { .. } => ALIAS,
        _ => words_of_scan(
            &error
                .render_with_formatter(&serde_yaml::DefaultMessageFormatter)
                .to_lowercase(),
        ),
    }
}

/// A code, a message and a help.
#[derive(Clone, Copy)]
struct Words(&'static str, &'static str, &'static str);

const ALIAS: Words = Words(
    "yaml-alias",
    "anchors and aliases (`&name`, `*name`) are not allowed",
    "write the value out, or share it through the base directory; quote text that begins with `&` or `*`",
);
const NO_TAGS: &str = "tags such as `!!str` are not allowed";
const TOO_DEEP: Words = Words(
    "yaml-depth",
    "nested more than 24 levels deep",
    "a manifest needs only a few levels",
);
const MERGE_KEY: Words = Words(
    "yaml-merge-key",
    "merge keys (`<<`) are not allowed",
    "write the entries out, or share them through the base directory",
);

/// The scanner tells what went wrong only in words: the part that is stable in them, and ours for it.
const SCAN_WORDS: &[(&str, Words)] = &[
    (
        "plain text",
        Words(
            "yaml",
            "a key must be plain text",
            "write `key: value`; a `{`, `[` or nothing before the `:` is not a key",
        ),
    ),
    ("nesting", TOO_DEEP),
    ("recursion", TOO_DEEP),
    ("anchor", ALIAS),
    (
        "directive",
        Words(
            "yaml",
            "directives (`%`) are not allowed",
            "quote text that begins with `%`",
        ),
    ),
    (
        "tag",
        Words("yaml-tag", NO_TAGS, "quote text that begins with `!`"),
    ),
    (
        "handle",
        Words("yaml-tag", NO_TAGS, "quote text that begins with `!`"),
    ),
    (
        "tab",
        Words(
            "yaml-tab",
            "a tab is used for indentation",
            "indent with spaces",
        ),
    ),
    (
        "mapping values",
        Words(
            "yaml",
            "a `:` followed by a space is not allowed here",
            "put text that contains `: ` in quotes, and indent the keys of one map alike",
        ),
    ),
    (
        "trailing content",
        Words(
            "yaml",
            "something follows a quoted text",
            "quote the whole value; in double quotes write `\\\"` for a quote",
        ),
    ),
    (
        "unclosed bracket '['",
        Words(
            "yaml",
            "a `[` is not closed",
            "add `]`, or a `,` between the items",
        ),
    ),
    (
        "unclosed bracket",
        Words(
            "yaml",
            "a `{` is not closed",
            "add `}`, or a `,` between the entries",
        ),
    ),
    (
        "flow sequence",
        Words(
            "yaml",
            "a `[` is not closed",
            "add `]`, or a `,` between the items",
        ),
    ),
    (
        "flow mapping",
        Words(
            "yaml",
            "a `{` is not closed",
            "add `}`, or a `,` between the entries",
        ),
    ),
    (
        "bracket",
        Words(
            "yaml",
            "a closing bracket has no opening one",
            "delete it, or put the text in quotes",
        ),
    ),
    (
        "unclosed quote",
        Words(
            "yaml",
            "a quoted text is not closed",
            "add the closing quote",
        ),
    ),
    (
        "quoted scalar",
        Words(
            "yaml",
            "an unknown escape in double quotes, or too little indentation",
            "write `\\\\` for a backslash, or use single quotes",
        ),
    ),
    (
        "block sequence",
        Words(
            "yaml",
            "a list cannot begin here",
            "put `- ` on a line of its own below the key",
        ),
    ),
    (
        "block scalar",
        Words(
            "yaml",
            "the text after `|` or `>` is indented wrongly",
            "indent all its lines alike, with spaces",
        ),
    ),
    (
        "block mapping",
        Words(
            "yaml",
            "a key is expected here",
            "write `key: value`, and indent the keys of one map alike",
        ),
    ),
    (
        "block collection",
        Words(
            "yaml",
            "a `-` is expected here",
            "indent the items of one list alike",
        ),
    ),
    (
        "':'",
        Words(
            "yaml",
            "a `:` is missing after a key, or the indentation is wrong",
            "write `key: value`, and indent the keys of one map alike",
        ),
    ),
    (
        "simple key",
        Words(
            "yaml",
            "a `:` is missing after a key, or the indentation is wrong",
            "write `key: value`, and indent the keys of one map alike",
        ),
    ),
    (
        "multiline text",
        Words(
            "yaml",
            "a comment stands in the middle of a text",
            "move the comment above the key",
        ),
    ),
    (
        "comment",
        Words(
            "yaml",
            "a `#` needs a space before it",
            "put text that contains `#` in quotes",
        ),
    ),
    (
        "indent",
        Words(
            "yaml",
            "the indentation is wrong",
            "indent the keys of one map alike, with spaces",
        ),
    ),
    (
        "document",
        Words(
            "yaml",
            "the document ended before this",
            "put `---` on a line of its own between documents, and indent what belongs together alike",
        ),
    ),
    (
        "plain scalar",
        Words(
            "yaml",
            "text cannot begin like this",
            "put the text in quotes",
        ),
    ),
    (
        "character",
        Words(
            "yaml",
            "text cannot begin with this character",
            "put the text in quotes",
        ),
    ),
    (
        "eof",
        Words(
            "yaml",
            "the file ends in the middle of something",
            "close what was opened",
        ),
    ),
    (
        "end of",
        Words(
            "yaml",
            "the file ends in the middle of something",
            "close what was opened",
        ),
    ),
];

fn words_of_scan(said: &str) -> Words {
    let known = SCAN_WORDS.iter().find(|(part, _)| said.contains(part));
    known.map_or(
        Words(
            "yaml",
            "this cannot be read as YAML",
            "look at the indentation, at unclosed quotes and at `: ` in text without quotes",
        ),
        |(_, words)| *words,
    )
}
