//! Which values may be printed: what git says openly, and of what is live only words that cannot be a secret.

/// What stands for a value that is not printed.
pub const HIDDEN: &str = "***";

/// Parts of a variable's name that make its value a secret, whatever it looks like.
const SECRET_NAMES: &[&str] = &[
    "SECRET",
    "KEY",
    "TOKEN",
    "PASS",
    "PWD",
    "PIN",
    "CREDENTIAL",
    "AUTH",
    "PRIVATE",
    "SALT",
    "SIGN",
    "CERT",
    "DSN",
    "COOKIE",
    "SESSION",
    "SEED",
    "WEBHOOK",
];

/// Words that are never a secret, so that a reviewer sees `info → debug`.
const PLAIN_WORDS: &[&str] = &[
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "enabled",
    "disabled",
    "none",
    "trace",
    "debug",
    "info",
    "warn",
    "warning",
    "error",
    "production",
    "staging",
    "development",
    "test",
    "json",
    "text",
];

/// A variable's value from git, as it may be printed.
pub fn declared(name: &str, value: &str) -> String {
    if is_reference(value) || is_plain(value) {
        return one_line(value);
    }
    if names_a_secret(name) || looks_secret(value) {
        return HIDDEN.to_owned();
    }
    one_line(value)
}

/// A variable's live value, as it may be printed: anybody may have put a secret there.
pub fn live(name: &str, value: &str) -> String {
    if is_reference(value) || (is_plain(value) && !names_a_secret(name)) {
        return one_line(value);
    }
    HIDDEN.to_owned()
}

/// A command, as it may be printed: words that look like a secret are hidden, and so is what follows on an option that names one.
pub fn command(text: &str) -> String {
    let is_secret = |word: &str| {
        looks_secret(word)
            || word
                .split_once('=')
                .is_some_and(|(name, _)| names_a_secret(name))
    };
    let mut words = Vec::new();
    let mut is_named = false;
    for word in text.split_whitespace() {
        let is_variable = word.trim_start_matches(['"', '\'']).starts_with('$');
        let is_hidden = is_secret(word) || is_named && !is_variable;
        words.push(if is_hidden { HIDDEN } else { word });
        is_named = word.starts_with("--") && names_a_secret(word);
    }
    one_line(&words.join(" "))
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// Nothing but references to other variables and what stands between the parts of an address: names, never values.
pub fn is_harmless_template(value: &str) -> bool {
    let mut outside = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((inside, tail)) = after.split_once("}}") else {
            return false;
        };
        // A function such as `secret()` makes a value of its own (facts/railway.md 8).
        if inside.contains('(') {
            return false;
        }
        outside.push_str(before);
        outside.push(' ');
        rest = tail;
    }
    outside.push_str(rest);
    let words = outside.split(|sign: char| !sign.is_ascii_alphanumeric());
    let is_harmless = |word: &str| {
        SCHEMES.contains(&word) || word.chars().all(|sign| sign.is_ascii_digit()) && word.len() <= 5
    };
    words.filter(|word| !word.is_empty()).all(is_harmless)
}

/// What an address may begin with.
const SCHEMES: &[&str] = &[
    "http",
    "https",
    "redis",
    "rediss",
    "postgres",
    "postgresql",
    "mysql",
    "mongodb",
    "amqp",
    "tcp",
];

/// Nothing but references to other variables: names, never values.
fn is_reference(value: &str) -> bool {
    let mut rest = value.trim();
    if rest.is_empty() {
        return false;
    }
    while let Some(after) = rest.strip_prefix("${{") {
        let Some((inside, tail)) = after.split_once("}}") else {
            return false;
        };
        let is_path = inside
            .trim()
            .chars()
            .all(|sign| sign.is_alphanumeric() || " ._-".contains(sign));
        if !is_path {
            return false;
        }
        rest = tail;
    }
    rest.is_empty()
}

fn is_plain(value: &str) -> bool {
    PLAIN_WORDS.contains(&value)
        || (value.len() <= 5
            && !value.is_empty()
            && value.chars().all(|sign| sign.is_ascii_digit()))
}

/// Long mixed text without spaces, or an address that carries a password.
fn looks_secret(value: &str) -> bool {
    let carries_password = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest).contains('@'));
    let in_query = value.contains('?') && value.contains('=');
    let is_token = value
        .split(|sign: char| !(sign.is_ascii_alphanumeric() || "_-+=".contains(sign)))
        .any(|word| {
            word.len() >= 16
                && word.chars().any(|sign| sign.is_ascii_digit())
                && word.chars().any(|sign| sign.is_ascii_alphabetic())
        });
    carries_password || in_query || is_token
}

/// The first of many words, and how many more there are.
pub fn few(words: &[String], most: usize) -> String {
    let shown: Vec<String> = words.iter().take(most).map(|word| one_line(word)).collect();
    match words.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Control characters escaped and the length bounded: names and values come from outside.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut line = String::with_capacity(text.len().min(4 * LONGEST));
    text.chars()
        .take(LONGEST)
        .for_each(|sign| show(&mut line, sign));
    if text.chars().count() > LONGEST {
        line.push('…');
    }
    line
}

/// What would move the cursor, colour the screen or reorder the line escaped, at any length.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|sign| show(&mut shown, sign));
    shown
}

/// Whether a character does something to the screen beside standing there.
pub fn acts_on_the_screen(sign: char) -> bool {
    let is_invisible = matches!(
        sign,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    );
    sign.is_control() || is_invisible
}

/// Adds a character, escaped where it would do something.
fn show(line: &mut String, sign: char) {
    if acts_on_the_screen(sign) {
        line.extend(sign.escape_unicode());
    } else {
        line.push(sign);
    }
}

/// `1 key`, `2 keys`.
pub fn counted<N: Copy + PartialEq + From<u8> + std::fmt::Display>(count: N, of: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {of}{plural}")
}

/// A span in the largest unit that tells enough.
pub fn rough(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
