//! Rows of a page, and lists of which the first are open.

use super::super::markup::Markup;
use super::Tone;

pub(super) fn open(out: &mut Markup, title: &'static str, tone: Tone) {
    out.html("<section class=\"row ")
        .html(tone.class())
        .html("\">\n<h2>")
        .html(title)
        .html("</h2>\n<div>\n");
}

pub(super) fn close(out: &mut Markup) {
    out.html("</div>\n</section>\n");
}

/// A list of which the first are open.
pub(super) fn listed<T>(
    out: &mut Markup,
    sort: (&'static str, &'static str),
    all: &[T],
    (opened, most): (usize, usize),
    each: impl Fn(&mut Markup, &T),
) {
    let (class, id) = sort;
    let (first, rest) = all.split_at(opened.min(all.len()));
    let list = |out: &mut Markup, part: &[T]| {
        out.html("<ul class=\"").html(class).html("\">\n");
        for one in part {
            out.html("<li>");
            each(out, one);
            out.html("</li>\n");
        }
        out.html("</ul>\n");
    };
    list(out, first);
    if rest.is_empty() {
        return;
    }
    out.html("<details id=\"")
        .html(id)
        .html("\"><summary>")
        .text(rest.len())
        .html(" more</summary>\n");
    let kept = rest.get(..most.saturating_sub(opened)).unwrap_or(rest);
    list(out, kept);
    if kept.len() < rest.len() {
        out.html("<p class=\"quiet\">and ")
            .text(rest.len() - kept.len())
            .html(" that only the JSON lists</p>\n");
    }
    out.html("</details>\n");
}
