//! A plan as a comment on a pull request: folded, bounded in size, found again by a hidden marker.

use super::{Plan, text};
use crate::kinds::approval::Wanted;
use crate::kinds::shown::acts_on_the_screen;
use crate::kinds::step::Ask;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write as _;

/// Fits GitHub's limit for a comment of 65,536 characters with room for what a workflow adds.
pub const LARGEST: usize = 60_000;

/// What the closing lines may take.
const RESERVE: usize = 500;

/// The marker by which a workflow finds the comment to replace.
pub fn marker(environment: &str) -> String {
    format!("<!-- reconciler {} -->", escaped(environment))
}

/// How large a comment may be, and where its reader can write a file into the branch.
#[derive(Debug, Clone)]
pub struct Page {
    /// Bytes at most.
    pub largest: usize,
    /// The address that opens an editor for a new file of the branch, as `…/new/BRANCH` at GitHub.
    pub editor: Option<String>,
    /// The directory of the environment, from the root of the repository.
    pub directory: String,
}

impl Default for Page {
    fn default() -> Page {
        Page {
            largest: LARGEST,
            editor: None,
            directory: String::new(),
        }
    }
}

/// The plan as Markdown.
pub fn markdown(plan: &Plan, page: &Page) -> String {
    let room = page.largest.saturating_sub(RESERVE);
    let mut out = format!(
        "{}\n### reconciler · {}\n\n",
        marker(&plan.environment),
        escaped(&plan.environment)
    );
    let _ = writeln!(out, "**{}**\n", escaped(&text::summary(plan)));
    let is_urgent = |ask: &Ask| matches!(ask, Ask::Hold { .. } | Ask::Unseen(_));
    let (urgent, others): (Vec<_>, Vec<_>) =
        plan.steps.iter().partition(|step| is_urgent(&step.ask));
    let mut left_out = 0;
    for step in urgent {
        let line = format!(
            "- ⚠ **{}** {}<br>{}<br>{}\n",
            text::opening(step),
            code(&text::what(step)),
            escaped(&text::why(step)),
            escaped(&text::consequence(step).join(" — "))
        );
        push_bounded(&mut out, &line, room, &mut left_out);
    }
    if !others.is_empty() {
        let open = if others.len() <= 10 { " open" } else { "" };
        let _ = write!(
            out,
            "\n<details{open}><summary>{} {}</summary>\n\n| | what | why | effect |\n|---|---|---|---|\n",
            others.len(),
            if others.len() == 1 { "step" } else { "steps" }
        );
        for step in others {
            let line = format!(
                "| {} | {} | {} | {} |\n",
                text::opening(step),
                code(&text::what(step)),
                escaped(&text::why(step)),
                escaped(&text::consequence(step).join(" — "))
            );
            push_bounded(&mut out, &line, room, &mut left_out);
        }
        out.push_str("\n</details>\n");
    }
    for wanted in plan.approvals.values() {
        let link = editor_link(wanted, plan, page);
        let block = format!(
            "\n{link}<details><summary>approvals/{}.yaml would consent</summary>\n\n<pre>{}</pre>\n\n</details>\n",
            wanted.digest,
            wanted
                .document(plan.consent_until)
                .lines()
                .map(escaped)
                .collect::<Vec<_>>()
                .join("&#10;")
        );
        push_bounded(&mut out, &block, room, &mut left_out);
    }
    for note in &plan.notes {
        push_bounded(
            &mut out,
            &format!("\n{}\n", escaped(note)),
            room,
            &mut left_out,
        );
    }
    if left_out > 0 {
        let _ = write!(
            out,
            "\n{left_out} more lines do not fit here: `reconciler diff -e {}` shows them all.\n",
            escaped(&plan.environment)
        );
    }
    out
}

/// A link that opens an editor with the document that consents: it works on a telephone, too.
fn editor_link(wanted: &Wanted, plan: &Plan, page: &Page) -> String {
    let Some(editor) = &page.editor else {
        return String::new();
    };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let directory = page.directory.trim_matches('/');
    let folder = match directory {
        "" | "." => String::new(),
        directory => format!("{directory}/"),
    };
    let file = format!("{folder}approvals/{}.yaml", wanted.digest);
    // What ends a link in Markdown is no part of an address.
    let editor: String = editor
        .chars()
        .filter(|sign| !sign.is_whitespace() && !"<>()[]\"'`".contains(*sign))
        .collect();
    format!(
        "[Approve {}]({editor}?filename={}&value={})\n\n",
        wanted.digest,
        encoded(&file),
        encoded(&wanted.document(plan.consent_until))
    )
}

fn push_bounded(out: &mut String, line: &str, room: usize, left_out: &mut usize) {
    if out.len() + line.len() > room {
        *left_out += 1;
    } else {
        out.push_str(line);
    }
}

/// A code span that its content cannot leave, not even inside a table.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text that stays text in Markdown: no links, images, mentions, HTML or table cells from names and values.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A mention or a reference is made of the page's text, after signs were decoded: only a break in it prevents one.
            '@' => out.push_str("&#64;&#8203;"),
            '#' => out.push_str("&#35;&#8203;"),
            '/' if out.ends_with(":/") => out.push_str("&#8203;/"),
            '.' if out.ends_with("www") => out.push_str("&#8203;."),
            '|' => out.push_str("&#124;"),
            '`' => out.push_str("&#96;"),
            '*' | '_' | '[' | ']' | '!' | '~' | '$' | '\\' | '(' | ')' => {
                let _ = write!(out, "&#{};", sign as u32);
            }
            '\n' | '\r' => out.push(' '),
            sign if acts_on_the_screen(sign) => out.extend(sign.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}
