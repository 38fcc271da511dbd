//! HTML in which a word can never become a tag: markup comes from the source code only, everything else is escaped.

use std::fmt::{Display, Write as _};

/// A growing piece of HTML.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup as it stands in the source code: nothing that was made at run time fits in here.
    pub(super) fn html(&mut self, markup: &'static str) -> &mut Markup {
        self.0.push_str(markup);
        self
    }

    /// Words from anywhere, for the text of an element or a quoted attribute.
    pub(super) fn text(&mut self, words: impl Display) -> &mut Markup {
        let mut plain = String::new();
        let _ = write!(plain, "{words}");
        self.0.push_str(&escaped(&plain));
        self
    }

    /// Another piece.
    pub(super) fn piece(&mut self, piece: &Markup) -> &mut Markup {
        self.0.push_str(&piece.0);
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Words as HTML shows them, in text and in quoted attributes. What acts on a screen instead of standing there is spelled out.
pub(super) fn escaped(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for sign in words.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(sign),
            _ if crate::kinds::shown::acts_on_the_screen(sign) => {
                out.extend(sign.escape_unicode());
            }
            _ => out.push(sign),
        }
    }
    out
}
