//! What may be shown of a name or of a word in a file: nothing that looks like a secret, no character that moves the cursor.

use crate::problem::nearest;
use crate::source::{Node, Value};

/// A name in backticks, fit to be shown: short, printable, and hidden where it looks like a secret.
pub fn quoted(name: &str) -> String {
    format!("`{}`", shown(name))
}

/// A name fit to be shown.
pub fn shown(name: &str) -> String {
    const LONGEST: usize = 80;
    if looks_secret(name) {
        return "***".to_owned();
    }
    let mut text: String = name.chars().take(LONGEST).map(printable).collect();
    if name.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

/// The character, or a stand-in for one that would move the cursor or reorder the line.
pub fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        _ if c.is_control() => '\u{fffd}',
        _ => c,
    }
}

/// Whether a key says that its value is nobody's business.
pub fn hides_its_value(key: &str) -> bool {
    const WORDS: &[&str] = &[
        "KEY",
        "SECRET",
        "TOKEN",
        "PASS",
        "PWD",
        "CREDENTIAL",
        "AUTH",
        "DSN",
        "URL",
        "URI",
        "PRIVATE",
        "CERT",
        "COOKIE",
        "SIGN",
    ];
    // What the keys of a cache look like is no secret.
    if key == "keys" {
        return false;
    }
    let upper = key.to_ascii_uppercase();
    upper != "SECRETS" && WORDS.iter().any(|word| upper.contains(word))
}

/// Whether a word may be a secret itself: a URL with a password, a known prefix, or a long mixture of letters and digits.
pub fn looks_secret(word: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "sk_",
        "pk_",
        "rk_",
        "sk-",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "xox",
        "AKIA",
        "ASIA",
        "eyJ",
        "AIza",
        "glpat-",
        "npm_",
        "whsec_",
        "AGE-SECRET-KEY",
        "-----BEGIN",
    ];
    let is_assignment = word
        .split_once('=')
        .is_some_and(|(key, value)| !value.is_empty() && hides_its_value(key));
    is_assignment
        || has_password(word)
        || PREFIXES
            .iter()
            .any(|prefix| word.len() > prefix.len() + 4 && word.starts_with(prefix))
        || is_mixture(word)
}

fn has_password(word: &str) -> bool {
    word.split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'))
}

/// Long words of letters and digits in no order that a name would have. A name is words and numbers with marks between.
fn is_mixture(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '='))
        .any(|run| {
            let kinds = run
                .as_bytes()
                .windows(2)
                .filter(|pair| kind(pair[0]) != kind(pair[1]))
                .count();
            let digits = run.bytes().filter(u8::is_ascii_digit).count();
            run.len() >= 16 && digits >= 2 && kinds >= 4
        })
}

fn kind(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        _ => 2,
    }
}

const LONGEST_LINE: usize = 10_000;

/// A file whose lines can be shown.
pub struct Masked<'a> {
    lines: Vec<&'a str>,
    /// Where keys and items begin, in the order of the text; nothing where the text is no YAML.
    marks: Option<Vec<Mark>>,
}

/// A place in the text from which on something else may be shown.
#[derive(Debug)]
struct Mark {
    line: u32,
    column: u32,
    is_key: bool,
    show: Show,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// A value that is known to be harmless, however random it looks: a commit, a digest.
    Plain,
    /// Words, unless they look secret.
    Words,
    /// The names of variables, and nothing of their values.
    Names,
    /// Nothing but the key.
    Key,
    /// Not even the key.
    Nothing,
}

/// One line as it can be shown.
pub struct Line {
    /// The text.
    pub text: String,
    /// For every character of the file's line, its position in `text`.
    columns: Vec<usize>,
}

impl Line {
    /// Where a column of the file is in `text`, counted from 0.
    pub fn column(&self, column: u32) -> usize {
        let index = usize::try_from(column)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        self.columns
            .get(index)
            .copied()
            .unwrap_or_else(|| self.text.chars().count())
    }
}

impl<'a> Masked<'a> {
    /// A file with its documents, where it could be parsed.
    pub fn new(text: &'a str, documents: Option<&[Node]>) -> Masked<'a> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let marks = documents.map(|documents| {
            let mut marks = Vec::new();
            documents
                .iter()
                .for_each(|document| mark(document, Show::Words, false, &mut marks));
            marks.sort_by_key(|mark| (mark.line, mark.column, mark.is_key));
            marks
        });
        Masked {
            lines: text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line))
                .collect(),
            marks,
        }
    }

    /// A line by its number, counted from 1; nothing where it is too long for anybody to read.
    pub fn line(&self, number: u32) -> Option<Line> {
        let text = self
            .lines
            .get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        if text.len() > LONGEST_LINE {
            return None;
        }
        let chars: Vec<char> = text.chars().collect();
        let mut writer = Writer {
            line: Line {
                text: String::new(),
                columns: Vec::with_capacity(chars.len()),
            },
            length: 0,
        };
        match &self.marks {
            Some(marks) => write_marked(&chars, number, marks, &mut writer),
            None => write_unparsed(&chars, &mut writer),
        }
        Some(writer.line)
    }
}

fn mark(node: &Node, show: Show, is_key: bool, marks: &mut Vec<Mark>) {
    let place = &node.origin.place;
    marks.push(Mark {
        line: place.line,
        column: place.column,
        is_key,
        show,
    });
    match &node.value {
        Value::List(items) => {
            let show = if show == Show::Names { Show::Key } else { show };
            items.iter().for_each(|item| mark(item, show, false, marks));
        }
        Value::Map(entries) => entries
            .iter()
            .for_each(|(key, entry)| mark(entry, show_below(show, key), true, marks)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn show_below(show: Show, key: &str) -> Show {
    const HARMLESS: &[&str] = &[
        "apiVersion",
        "kind",
        "image",
        "commit",
        "restartedAfter",
        "rotatedAfter",
    ];
    const IN_VARIABLE: &[&str] = &["from", "secret", "sealed", "rotatedAfter", "absent"];
    match show {
        Show::Nothing => Show::Nothing,
        _ if looks_secret(key) => Show::Nothing,
        Show::Names if is_variable(key) => Show::Key,
        // A key below a variable may be a piece of its value.
        Show::Key if nearest(key, IN_VARIABLE.iter().copied()).is_some() => Show::Key,
        Show::Names | Show::Key => Show::Nothing,
        Show::Plain | Show::Words if key == "variables" => Show::Names,
        Show::Plain | Show::Words if hides_its_value(key) => Show::Key,
        Show::Plain | Show::Words if HARMLESS.contains(&key) => Show::Plain,
        Show::Plain | Show::Words => Show::Words,
    }
}

fn is_variable(key: &str) -> bool {
    key.len() <= 64
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.')
}

fn write_marked(chars: &[char], number: u32, marks: &[Mark], writer: &mut Writer) {
    let first = marks.partition_point(|mark| mark.line < number);
    let here: Vec<&Mark> = marks[first..]
        .iter()
        .take_while(|mark| mark.line == number)
        .collect();
    let before = first
        .checked_sub(1)
        .map_or(Show::Words, |last| marks[last].show);
    let start_of = |mark: &Mark| {
        usize::try_from(mark.column)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
            .min(chars.len())
    };
    let until = here.first().map_or(chars.len(), |mark| start_of(mark));
    writer.value(&chars[..until], before);
    for (index, mark) in here.iter().enumerate() {
        let start = start_of(mark);
        let end = here
            .get(index + 1)
            .map_or(chars.len(), |next| start_of(next))
            .max(start);
        let key = if mark.is_key {
            key_length(&chars[start..end])
        } else {
            0
        };
        if mark.show == Show::Nothing {
            writer.hidden(&chars[start..start + key]);
        } else {
            writer.shown(&chars[start..start + key]);
        }
        writer.value(&chars[start + key..end], mark.show);
    }
}

fn key_length(chars: &[char]) -> usize {
    match chars.first() {
        Some(quote @ ('"' | '\'')) => chars
            .iter()
            .skip(1)
            .position(|c| c == quote)
            .map_or(chars.len(), |end| end + 2),
        _ => chars.iter().position(|c| *c == ':').unwrap_or(chars.len()),
    }
}

/// Of what is no YAML only keys are shown, and only those that look like keys.
fn write_unparsed(chars: &[char], writer: &mut Writer) {
    let start = chars
        .iter()
        .position(|c| !matches!(c, ' ' | '\t' | '-'))
        .unwrap_or(chars.len());
    writer.shown(&chars[..start]);
    let rest = &chars[start..];
    let key: String = rest.iter().take_while(|c| **c != ':').collect();
    let length = key.chars().count();
    let is_key = length < rest.len()
        && is_variable(&key)
        && !looks_secret(&key)
        && rest.get(length + 1).is_none_or(|c| c.is_whitespace());
    let shown = if is_key { length } else { 0 };
    writer.shown(&rest[..shown]);
    writer.value(&rest[shown..], Show::Key);
}

struct Writer {
    line: Line,
    length: usize,
}

impl Writer {
    fn push(&mut self, c: char) {
        self.line.text.push(printable(c));
        self.length += 1;
    }

    fn shown(&mut self, chars: &[char]) {
        for c in chars {
            self.line.columns.push(self.length);
            self.push(*c);
        }
    }

    fn hidden(&mut self, chars: &[char]) {
        self.line.columns.extend(chars.iter().map(|_| self.length));
        if !chars.is_empty() {
            "***".chars().for_each(|c| self.push(c));
        }
    }

    fn value(&mut self, chars: &[char], show: Show) {
        match show {
            Show::Plain => self.words(chars, &mut has_password),
            Show::Words => self.words(chars, &mut looks_secret),
            Show::Names | Show::Key | Show::Nothing => self.masked(chars),
        }
    }

    /// Keeps what opens and closes a value and hides all between.
    fn masked(&mut self, chars: &[char]) {
        let opens = |c: &char| c.is_whitespace() || matches!(c, ':' | '{' | '[');
        let closes = |c: &char| c.is_whitespace() || matches!(c, ',' | '}' | ']');
        let start = chars.iter().position(|c| !opens(c)).unwrap_or(chars.len());
        let end = chars
            .iter()
            .rposition(|c| !closes(c))
            .map_or(start, |last| (last + 1).max(start));
        self.shown(&chars[..start]);
        self.hidden(&chars[start..end]);
        self.shown(&chars[end..]);
    }

    fn words(&mut self, chars: &[char], is_secret: &mut dyn FnMut(&str) -> bool) {
        let breaks =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '}' | '[' | ']');
        for run in chars.chunk_by(|a, b| breaks(*a) == breaks(*b)) {
            let word: String = run.iter().collect();
            if is_secret(&word) {
                self.hidden(run);
            } else {
                self.shown(run);
            }
        }
    }
}
