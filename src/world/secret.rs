//! A value that is never printed, and how it is taken out of other people's texts.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt;
use std::fmt::Write as _;

/// A secret value. It compares and it can be sent, it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value out of sight.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, for the request that carries it. Nothing else may call this.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// Takes secrets out of texts that come from outside: logs, error messages.
#[derive(Clone, Default)]
pub struct Scrubber {
    forms: Vec<String>,
}

/// Shorter values are words; taking them out would only garble the text.
const SHORTEST: usize = 6;
/// The same for one line of a value that has several.
const SHORTEST_LINE: usize = 12;

impl Scrubber {
    /// Knows these values, as they are and as they look in addresses, JSON, base64 and hex.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Scrubber {
        let mut forms: Vec<String> = secrets
            .into_iter()
            .filter(|secret| secret.0.len() >= SHORTEST)
            .flat_map(|secret| forms(&secret.0))
            .collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Scrubber { forms }
    }

    /// What both know.
    #[must_use]
    pub fn and(&self, other: &Scrubber) -> Scrubber {
        let mut forms = [self.forms.clone(), other.forms.clone()].concat();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Scrubber { forms }
    }

    /// The text without them.
    pub fn scrub(&self, text: &str) -> String {
        self.forms
            .iter()
            .filter(|form| text.contains(form.as_str()))
            .fold(text.to_owned(), |text, form| {
                text.replace(form.as_str(), "***")
            })
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Scrubber of {} forms", self.forms.len())
    }
}

fn forms(value: &str) -> Vec<String> {
    let mut percent = String::new();
    let mut hex = String::new();
    for byte in value.bytes() {
        let _ = write!(hex, "{byte:02x}");
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            percent.push(char::from(byte));
        } else {
            let _ = write!(percent, "%{byte:02X}");
        }
    }
    let json = serde_json::Value::from(value).to_string();
    let json = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    // A log has one line after the other, a key of many lines has them so, too.
    let lines = value.lines().filter(|line| line.len() >= SHORTEST_LINE);
    [
        value.to_owned(),
        percent.to_lowercase(),
        percent,
        json.unwrap_or_default().to_owned(),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex.to_uppercase(),
        hex,
    ]
    .into_iter()
    .chain(lines.map(str::to_owned))
    .filter(|form| form.len() >= SHORTEST)
    .collect()
}
