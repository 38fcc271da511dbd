//! How problems are shown: as rustc shows them, as annotations of a pull request, and as JSON.

use super::mask::{Masked, printable};
use super::parse;
use crate::problem::{Problem, Related};
use crate::source::Files;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Where the text is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether colours are understood there.
    pub color: bool,
    /// How many characters fit in a line.
    pub width: usize,
}

/// Nobody reads more than this at once.
const MAX_SHOWN: usize = 200;

/// Shows problems as rustc does: the file and line, the place marked, and what would be right. No value that may be a secret is shown.
///
/// Of very many only the first are shown.
pub fn render(problems: &[Problem], files: &Files, style: Style) -> String {
    let renderer = if style.color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer
        .decor_style(DecorStyle::Ascii)
        .term_width(style.width.max(40));
    let mut shown = String::new();
    let mut trees = Trees::new(files);
    for problem in problems.iter().take(MAX_SHOWN) {
        let group = group(problem, &mut trees);
        shown.push_str(&without_empty_origins(&renderer.render(&[group])));
        shown.push('\n');
    }
    shown.push_str(&summary(problems));
    shown
}

/// The excerpt has no path of its own, because its columns are not those of the file; annotate-snippets announces it all the same.
fn without_empty_origins(rendered: &str) -> String {
    let is_empty = |line: &str| without_color(line).trim() == ":::";
    rendered
        .lines()
        .filter(|line| !is_empty(line))
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn without_color(line: &str) -> String {
    let mut sequences = line.split('\u{1b}');
    let first = sequences.next().unwrap_or_default();
    let rest = sequences.map(|sequence| sequence.split_once('m').map_or("", |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}

fn summary(problems: &[Problem]) -> String {
    let mut files: Vec<&str> = problems
        .iter()
        .map(|problem| problem.file.as_str())
        .collect();
    files.dedup();
    let shown = if problems.len() > MAX_SHOWN {
        format!(", the first {MAX_SHOWN} are shown")
    } else {
        String::new()
    };
    match (problems.len(), files.len()) {
        (0, _) => String::new(),
        (1, _) => "1 problem\n".to_owned(),
        (count, 1) => format!("{count} problems in 1 file{shown}\n"),
        (count, files) => format!("{count} problems in {files} files{shown}\n"),
    }
}

fn group<'a>(problem: &Problem, trees: &mut Trees<'_>) -> Group<'a> {
    let title = Level::ERROR
        .primary_title(printed(&problem.message))
        .id(problem.code);
    let origin = Origin::path(printed(&problem.file));
    let mut group = if problem.line == 0 {
        title.element(origin)
    } else {
        let origin = origin
            .line(problem.line as usize)
            .char_column(problem.column as usize);
        let group = title.element(origin);
        match trees.excerpt(&problem.file, problem.line, Some(problem.column)) {
            Some(excerpt) => {
                group.element(excerpt.snippet(problem.line, AnnotationKind::Primary, None))
            }
            None => group,
        }
    };
    if let Some(Related { file, line, label }) = &problem.related {
        let label = printed(label);
        group = match trees.excerpt(file, *line, None) {
            Some(excerpt) => group
                .element(Origin::path(printed(file)).line(*line as usize))
                .element(excerpt.snippet(*line, AnnotationKind::Context, Some(label))),
            None => {
                group.element(Level::NOTE.message(format!("{label}: {}:{line}", printed(file))))
            }
        };
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(printed(help))),
        None => group,
    }
}

fn printed(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// The files again as trees: what may be shown of a line depends on what it belongs to.
struct Trees<'a> {
    texts: BTreeMap<&'a str, &'a Arc<str>>,
    masked: BTreeMap<String, Option<Masked<'a>>>,
}

impl<'a> Trees<'a> {
    fn new(files: &'a Files) -> Trees<'a> {
        Trees {
            texts: files
                .texts
                .iter()
                .map(|(path, text)| (&**path, text))
                .collect(),
            masked: BTreeMap::new(),
        }
    }

    fn excerpt(&mut self, file: &str, line: u32, column: Option<u32>) -> Option<Excerpt> {
        let texts = &self.texts;
        let masked = self.masked.entry(file.to_owned()).or_insert_with(|| {
            let text = texts.get(file)?;
            let parsed = parse::parse(&Arc::from(file), text);
            let documents = (!parsed.is_broken).then_some(parsed.documents.as_slice());
            Some(Masked::new(text, documents))
        });
        let line = masked.as_ref()?.line(line)?;
        let first = line
            .text
            .chars()
            .position(|c| !c.is_whitespace())
            .unwrap_or(0);
        let start = column.map_or(first, |column| line.column(column));
        Some(Excerpt::around(&line.text, start))
    }
}

/// A line, cut to what fits, and what is marked in it.
struct Excerpt {
    text: String,
    marked: std::ops::Range<usize>,
}

impl Excerpt {
    fn around(line: &str, start: usize) -> Excerpt {
        const BEFORE: usize = 60;
        const SHOWN: usize = 120;
        let chars: Vec<char> = line.chars().collect();
        let start = start.min(chars.len());
        let cut = if chars.len() > SHOWN {
            start.saturating_sub(BEFORE)
        } else {
            0
        };
        let kept: Vec<char> = chars.iter().skip(cut).take(SHOWN).copied().collect();
        let mut text = String::from(if cut > 0 { "…" } else { "" });
        let lead = text.len();
        let mut offset = lead;
        let mut marked = 0..0;
        let end = start - cut + word_length(&kept, start - cut);
        for (index, c) in kept.iter().enumerate() {
            if index == start - cut {
                marked.start = offset;
            }
            text.push(*c);
            offset = text.len();
            if index + 1 == end {
                marked.end = offset;
            }
        }
        if start - cut >= kept.len() {
            marked = offset..offset;
        }
        if cut + SHOWN < chars.len() {
            text.push('…');
        }
        let end = marked.end.max(marked.start);
        Excerpt {
            text,
            marked: marked.start..end,
        }
    }

    fn snippet<'a>(
        self,
        line: u32,
        kind: AnnotationKind,
        label: Option<String>,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let annotation = kind.span(self.marked);
        let annotation = match label {
            Some(label) => annotation.label(label),
            None => annotation,
        };
        Snippet::source(self.text)
            .line_start(line as usize)
            .annotation(annotation)
    }
}

/// How much is marked: the key or word that begins there.
fn word_length(chars: &[char], start: usize) -> usize {
    let word = chars
        .iter()
        .skip(start)
        .take_while(|c| !c.is_whitespace() && !matches!(c, ':' | ',' | '}' | ']'))
        .count();
    word.max(1)
}

/// Shows problems as commands that GitHub turns into annotations of a pull request, one a line.
pub fn annotations(problems: &[Problem]) -> String {
    let mut lines = String::new();
    for problem in problems {
        let Problem {
            file,
            line,
            column,
            code,
            message,
            help,
            related: _,
        } = problem;
        let help = help
            .as_ref()
            .map(|help| format!("\n{help}"))
            .unwrap_or_default();
        let place = if *line == 0 {
            String::new()
        } else {
            format!(",line={line},col={column}")
        };
        let text = escaped(&format!("{message}{help}"));
        let written = writeln!(
            lines,
            "::error file={}{place},title={code}::{text}",
            escaped_property(file)
        );
        written.expect("a string takes everything");
    }
    lines
}

fn escaped(text: &str) -> String {
    let printed: String = text
        .chars()
        .map(|c| if c == '\n' { c } else { printable(c) })
        .collect();
    printed
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escaped_property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

/// Shows problems as a JSON array.
pub fn json(problems: &[Problem]) -> String {
    serde_json::to_string_pretty(problems).expect("problems are plain data")
}
