//! Results on stdout, progress and complaints on stderr; colour, width and moving lines only where a person looks.

use super::{Color, Exit};
use crate::config::Config;
use crate::kinds::shown::{acts_on_the_screen, harmless};
use crate::manifest::Style;
use crate::manifest::yaml::escaped_json;
use crate::plan::text::Look;
use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::sync::Mutex;

/// Columns where nobody tells how many there are.
const WIDTH: usize = 100;
const NARROWEST: usize = 40;

/// Where output goes.
#[derive(Debug)]
pub struct Screen {
    color: bool,
    error_color: bool,
    width: usize,
    moves: bool,
    repaints: bool,
    asks: bool,
    last: Mutex<String>,
}

impl Screen {
    /// As the process was started, and as `NO_COLOR`, `CI` and `COLUMNS` say.
    pub(super) fn of(config: &Config, color: Color) -> Screen {
        let in_ci = config.plain("CI").is_some();
        let plain = config.plain("NO_COLOR").is_some() || config.plain("TERM") == Some("dumb");
        let colored = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !plain,
        };
        let told = config
            .plain("COLUMNS")
            .and_then(|columns| columns.parse().ok());
        let seen = terminal_size::terminal_size()
            .map(|(width, _)| usize::from(width.0))
            .filter(|_| stdout().is_terminal());
        Screen {
            color: colored(stdout().is_terminal()),
            error_color: colored(stderr().is_terminal()),
            width: told.or(seen).unwrap_or(WIDTH).max(NARROWEST),
            moves: stderr().is_terminal() && !in_ci && !plain,
            repaints: stdout().is_terminal() && !in_ci && config.plain("TERM") != Some("dumb"),
            asks: stdin().is_terminal() && stderr().is_terminal() && !in_ci,
            last: Mutex::default(),
        }
    }

    /// Columns.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How a plan is printed.
    pub(super) fn look(&self) -> Look {
        Look {
            width: self.width,
            color: self.color,
        }
    }

    /// How problems are printed.
    pub(super) fn style(&self) -> Style {
        Style {
            width: self.width,
            color: self.error_color,
        }
    }

    pub(super) fn errors_in_color(&self) -> bool {
        self.error_color
    }

    /// Whether somebody can be asked.
    pub(super) fn asks(&self) -> bool {
        self.asks
    }

    /// Prints a result. A reader that has gone away is no trouble.
    pub(super) fn result(&self, text: &str) -> Exit {
        self.clear();
        let text = only_text(text, self.color);
        let mut out = stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Exit::InStep,
            Err(failure) if failure.kind() == std::io::ErrorKind::BrokenPipe => Exit::InStep,
            Err(_) => Exit::Trouble,
        }
    }

    /// Whether a result may take the place of the one before it.
    pub(super) fn repaints(&self) -> bool {
        self.repaints
    }

    /// Prints a result in the place of the one before, where the screen can do that.
    pub(super) fn repaint(&self, text: &str) -> Exit {
        self.clear();
        if self.repaints {
            let _ = stdout().lock().write_all(b"\x1b[H\x1b[2J");
        }
        self.result(text)
    }

    /// Prints a line for people on stderr.
    pub(super) fn say(&self, line: &str) {
        self.clear();
        let _ = writeln!(stderr().lock(), "{}", only_text(line, self.error_color));
    }

    /// Prints an error on stderr.
    pub(super) fn complain(&self, line: &str) {
        self.clear();
        let (red, plain) = if self.error_color {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = only_text(line, false);
        let _ = writeln!(stderr().lock(), "{red}error{plain}: {line}");
    }

    /// Shows what is waited for: one moving line on a terminal, elsewhere a line only when it is another one.
    pub(super) fn progress(&self, line: &str) {
        let Ok(mut last) = self.last.lock() else {
            return;
        };
        let line = harmless(line);
        if self.moves {
            let cut: String = line.chars().take(self.width.saturating_sub(1)).collect();
            let _ = write!(stderr().lock(), "\r\x1b[K{cut}");
            let _ = stderr().flush();
        } else if *last != line {
            let _ = writeln!(stderr().lock(), "{line}");
        }
        *last = line;
    }

    /// Shows what goes on, on a terminal only: elsewhere it says nothing that is worth a line.
    pub(super) fn moving(&self, line: &str) {
        if self.moves {
            self.progress(line);
        }
    }

    fn clear(&self) {
        let Ok(mut last) = self.last.lock() else {
            return;
        };
        if self.moves && !last.is_empty() {
            let _ = write!(stderr().lock(), "\r\x1b[K");
            last.clear();
        }
    }

    /// Asks a question that only `yes` or `y` affirms.
    pub(super) fn confirms(&self, question: &str) -> bool {
        self.clear();
        let _ = write!(stderr().lock(), "{question} [y/N] ");
        let _ = stderr().flush();
        let mut answer = String::new();
        let read = stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

/// Text with nothing in it that acts on the screen, but for new lines and, where they are wanted, our own colours. Names and values come
/// from outside, and whoever prints them may forget it.
fn only_text(text: &str, color: bool) -> Cow<'_, str> {
    let is_text = |sign: char| sign == '\n' || !acts_on_the_screen(sign);
    if text.chars().all(is_text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let length = match color_at(rest).filter(|_| color) {
            Some(length) => {
                out.push_str(&rest[..length]);
                length
            }
            None if is_text(sign) => {
                out.push(sign);
                sign.len_utf8()
            }
            None => {
                out.extend(sign.escape_unicode());
                sign.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// How long the colour is that begins here.
fn color_at(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("\x1b[")?;
    let end = inside.find(|sign: char| !sign.is_ascii_digit() && sign != ';')?;
    inside[end..]
        .starts_with('m')
        .then_some("\x1b[".len() + end + 1)
}

/// A value as JSON that can be shown on a screen: what acts on it is escaped, as JSON has it.
pub(super) fn json_text(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    escaped_json(&text) + "\n"
}
