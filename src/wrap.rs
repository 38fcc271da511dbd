//! Text broken to the width of a screen.

use unicode_width::UnicodeWidthStr;

/// Adds a text with something before its first line and before the others, broken to a width.
pub fn wrapped(out: &mut String, text: &str, first: &str, rest: &str, width: usize) {
    out.push_str(first);
    fill(out, text, first.width(), rest, width);
}

/// Adds a text that begins at a column. Breaks at spaces only; a word that is wider than the line stays whole, so that it can be copied.
pub fn fill(out: &mut String, text: &str, mut column: usize, indent: &str, width: usize) {
    let mut spaces = 0;
    for (position, word) in text.split(' ').enumerate() {
        spaces += usize::from(position > 0);
        if word.is_empty() {
            continue;
        }
        if position > 0 && column + spaces + word.width() > width {
            out.push('\n');
            out.push_str(indent);
            column = indent.width();
        } else {
            out.extend(std::iter::repeat_n(' ', spaces));
            column += spaces;
        }
        out.push_str(word);
        column += word.width();
        spaces = 0;
    }
    out.push('\n');
}
