//! A start command as text: the settings that it gives a server, and the same command with other ones.

use std::collections::BTreeMap;
use std::ops::Range;

/// The settings of a start command, as the server counts those that are given twice: the last, and of `save` all.
pub fn settings(command: &str) -> BTreeMap<String, String> {
    // What is not understood is read word by word: a script may hand its own arguments on.
    let words = server(command).unwrap_or_else(|| plain_words(command));
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for given in given(&words) {
        let before = all.remove(&given.name).unwrap_or_default();
        let value = if given.name == "save" && !given.value.is_empty() {
            format!("{before} {}", given.value).trim().to_owned()
        } else {
            given.value
        };
        all.insert(given.name, value);
    }
    all
}

/// Whether a server that is started so has this value; what it is told nothing about, it has by itself.
pub fn gives(settings: &BTreeMap<String, String>, name: &str, value: &str) -> bool {
    let own = match name {
        "maxmemory" => "0",
        "maxmemory-policy" => "noeviction",
        "appendonly" => "no",
        "appendfsync" => "everysec",
        _ => "",
    };
    let given = settings.get(name).map_or(own, String::as_str);
    if name == "maxmemory" {
        bytes(given).is_some_and(|given| bytes(value) == Some(given))
    } else {
        given.eq_ignore_ascii_case(value)
    }
}

/// The same command with other values of these settings, everything else byte for byte. Nothing where it does not plainly run one `redis-server`.
pub fn with(command: &str, values: &[(&str, String)]) -> Option<String> {
    let words = server(command)?;
    let given = given(&words);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut more = String::new();
    for (name, value) in values {
        let mut same = given.iter().rev().filter(|given| given.name == *name);
        if !same.clone().all(Given::is_plain) {
            return None;
        }
        match same.next() {
            Some(last) => edits.push((last.values.clone(), said(name, value))),
            None => more.push_str(&format!(" --{name}{}", said(name, value))),
        }
        edits.extend(same.map(|earlier| (earlier.whole.clone(), String::new())));
    }
    let end = words.last()?.place.end;
    edits.sort_by_key(|(place, _)| place.start);
    // Added last: what takes a place at the very end stays before it.
    edits.push((end..end, more));
    let mut text = command.to_owned();
    for (place, value) in edits.into_iter().rev() {
        text.replace_range(place, &value);
    }
    Some(text)
}

/// Settings as a command gives them: `--save 3600 1 --appendonly yes`.
pub fn words(values: &[(&str, String)]) -> String {
    let words: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("--{name}{}", said(name, value)))
        .collect();
    words.join(" ")
}

/// What stands behind the name of a setting. Before 7.0 a server takes one pair behind each `--save`, and adds them up.
fn said(name: &str, value: &str) -> String {
    if value.is_empty() {
        return " \"\"".to_owned();
    }
    if name != "save" {
        return format!(" {value}");
    }
    let numbers: Vec<&str> = value.split_whitespace().collect();
    let pairs = numbers.chunks(2).map(|pair| format!(" {}", pair.join(" ")));
    pairs.collect::<Vec<String>>().join(" --save")
}

/// As a server reads an amount of memory: `400mb`, `1g`, `419430400`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let number = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(number)? {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A setting as a command gives it.
struct Given {
    name: String,
    value: String,
    /// From the end of the word before it to its own end.
    whole: Range<usize>,
    /// What stands behind its name.
    values: Range<usize>,
}

impl Given {
    /// Whether its value is written there: a variable may stand for other settings, too.
    fn is_plain(&self) -> bool {
        if self.name == "save" {
            let is_number = |sign: char| sign.is_ascii_digit() || sign == ' ';
            self.value.chars().all(is_number)
        } else {
            !self.value.contains([' ', '$'])
        }
    }
}

/// What follows on the name of the server: a setting is a word that begins with `--`, and all behind it that do not.
fn given(words: &[Word]) -> Vec<Given> {
    let mut all: Vec<Given> = Vec::new();
    let mut before = words.first().map_or(0, |word| word.place.end);
    for word in words.iter().skip(1) {
        let (text, end) = (word.text(), word.place.end);
        match (text.strip_prefix("--"), all.last_mut()) {
            (Some(name), _) => all.push(Given {
                name: name.to_lowercase(),
                value: String::new(),
                whole: before..end,
                values: end..end,
            }),
            (None, Some(last)) => {
                last.value = format!("{} {text}", last.value).trim().to_owned();
                (last.whole.end, last.values.end) = (end, end);
            }
            (None, None) => {}
        }
        before = end;
    }
    all
}

/// One character of a script, and where in the command it is written: quotes and backslashes of it are around it.
#[derive(Clone)]
struct Sign {
    sign: char,
    place: Range<usize>,
}

/// A word as a shell reads it.
struct Word {
    signs: Vec<Sign>,
    place: Range<usize>,
    /// Its quotes, as they are written.
    quotes: usize,
}

impl Word {
    fn text(&self) -> String {
        self.signs.iter().map(|sign| sign.sign).collect()
    }

    fn is_server(&self) -> bool {
        let text = self.text();
        text.rsplit('/').next() == Some("redis-server")
    }

    /// Whether a script follows: `-c`, `-ec`.
    fn is_script_next(&self) -> bool {
        let text = self.text();
        text.starts_with('-') && !text.starts_with("--") && text.ends_with('c')
    }

    /// Whether one pair of quotes holds all of it, so that what is added to its end stays in it.
    fn is_quoted_whole(&self) -> bool {
        let outside = |sign: &Sign| sign.place.start == self.place.start;
        let ends = |sign: &Sign| sign.place.end == self.place.end;
        self.quotes == 2
            && !self.signs.first().is_none_or(outside)
            && !self.signs.last().is_none_or(ends)
    }
}

/// The words of the one command that runs a server, from its name on. Nothing where none does, or several, or where more is at work than plain words.
fn server(command: &str) -> Option<Vec<Word>> {
    let script: Vec<Sign> = command
        .char_indices()
        .map(|(at, sign)| Sign {
            sign,
            place: at..at + sign.len_utf8(),
        })
        .collect();
    let mut found = Vec::new();
    collect(&script, &mut found)?;
    let one = found.pop()?;
    found.is_empty().then_some(one)
}

/// Every command of a script that runs a server, also in a script that it hands to another shell.
fn collect(script: &[Sign], found: &mut Vec<Vec<Word>>) -> Option<()> {
    for command in commands(script)? {
        let mut is_script = false;
        let mut from = None;
        for (position, word) in command.iter().enumerate() {
            if is_script && word.text().contains("redis-server") {
                if !word.is_quoted_whole() {
                    return None;
                }
                collect(&word.signs, found)?;
            } else if word.is_server() && from.is_none() {
                from = Some(position);
            }
            is_script = word.is_script_next();
        }
        if let Some(from) = from {
            found.push(command.into_iter().skip(from).collect());
        }
    }
    Some(())
}

/// The commands of a script in words. Nothing where it does more than run plain commands: what such a script says is only known when it runs.
fn commands(script: &[Sign]) -> Option<Vec<Vec<Word>>> {
    let mut all = vec![Vec::new()];
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut signs = script.iter().peekable();
    while let Some(sign) = signs.next() {
        let next = signs.peek().map(|next| next.sign);
        match (quote, sign.sign) {
            (Some(open), it) if it == open => {
                quote = None;
                grow(&mut word, &sign.place).quotes += 1;
            }
            (None, '"' | '\'') => {
                quote = Some(sign.sign);
                grow(&mut word, &sign.place).quotes += 1;
            }
            (Some('\''), _) => push(&mut word, sign.clone()),
            (_, '`') => return None,
            (_, '$') if next == Some('(') => return None,
            (None, '\\') => {
                let escaped = signs.next()?;
                if escaped.sign != '\n' {
                    push(&mut word, joined(sign, escaped));
                }
            }
            (Some(_), '\\') if next.is_some_and(|next| "\\\"$`".contains(next)) => {
                push(&mut word, joined(sign, signs.next()?));
            }
            (_, '$') if next == Some('{') => {
                push(&mut word, sign.clone());
                loop {
                    let inside = signs.next()?;
                    if matches!(inside.sign, '"' | '\'' | '\\') {
                        return None;
                    }
                    push(&mut word, inside.clone());
                    if inside.sign == '}' {
                        break;
                    }
                }
            }
            (Some(_), _) => push(&mut word, sign.clone()),
            (None, '<' | '>' | '(' | ')') => return None,
            (None, '#') if word.is_none() => return None,
            (None, ';' | '&' | '|' | '\n') => {
                all.last_mut()?.extend(word.take());
                all.push(Vec::new());
            }
            (None, it) if it.is_whitespace() => all.last_mut()?.extend(word.take()),
            (None, _) => push(&mut word, sign.clone()),
        }
    }
    if quote.is_some() {
        return None;
    }
    all.last_mut()?.extend(word.take());
    Some(all)
}

/// The word that is being read, which reaches to here.
fn grow<'a>(word: &'a mut Option<Word>, place: &Range<usize>) -> &'a mut Word {
    let word = word.get_or_insert(Word {
        signs: Vec::new(),
        place: place.clone(),
        quotes: 0,
    });
    word.place.end = place.end;
    word
}

fn push(word: &mut Option<Word>, sign: Sign) {
    grow(word, &sign.place).signs.push(sign);
}

/// A character with the backslash before it.
fn joined(backslash: &Sign, sign: &Sign) -> Sign {
    Sign {
        sign: sign.sign,
        place: backslash.place.start..sign.place.end,
    }
}

/// All words, whatever they are for, behind nothing.
fn plain_words(command: &str) -> Vec<Word> {
    let word = |text: &str| Word {
        signs: text
            .trim_matches(['"', '\''])
            .chars()
            .map(|sign| Sign { sign, place: 0..0 })
            .collect(),
        place: 0..0,
        quotes: 0,
    };
    [""].into_iter()
        .chain(command.split_whitespace())
        .map(word)
        .collect()
}
