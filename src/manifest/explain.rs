//! `reconciler explain service.ready`: a field in words, read from the schemas, so that it cannot be out of date.

use super::mask::quoted;
use super::schema::{resolved, schema_of};
use crate::kinds::KINDS;
use crate::problem::nearest;
use crate::wrap::wrapped;
use serde_json::Value;
use std::fmt::Write;

/// Explains a kind or a field, as in `service` or `service.ready.within`. Below a variable or a region any name will do.
///
/// # Errors
/// In words for people, where there is no such kind or field.
pub fn explain(path: &str, width: usize) -> Result<String, String> {
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    let Some(first) = steps.next() else {
        return Ok(overview(width));
    };
    let names = || KINDS.iter().map(|info| info.name);
    let Some(kind) = names().find(|name| name.eq_ignore_ascii_case(first)) else {
        return Err(unknown(
            "there is no kind",
            first,
            &names().map(str::to_lowercase).collect::<Vec<_>>(),
        ));
    };
    let root = schema_of(kind).unwrap_or_default();
    let mut field = Field {
        root: &root,
        path: kind.to_lowercase(),
        own: spec_of(&root),
        is_required: false,
    };
    for step in steps.skip_while(|step| *step == "spec") {
        field = field.below(step)?;
    }
    Ok(field.text(kind, width))
}

fn overview(width: usize) -> String {
    let mut text = String::from("KINDS\n");
    for info in KINDS {
        let schema = schema_of(info.name).unwrap_or_default();
        line(
            &mut text,
            &info.name.to_lowercase(),
            first_sentence(described(&schema)),
            width,
        );
    }
    text.push_str("\nreconciler explain KIND, or KIND.FIELD\n");
    text
}

fn unknown(missing: &str, written: &str, known: &[String]) -> String {
    let written_name = quoted(written);
    match nearest(written, known.iter().map(String::as_str)) {
        Some(meant) => format!("{missing} {written_name}, did you mean `{meant}`?"),
        None if known.is_empty() => format!("{missing} {written_name}: nothing is below it"),
        None => {
            let list = known
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ");
            format!("{missing} {written_name}; there are {list}")
        }
    }
}

/// The schema of the spec of a whole document, not of an overlay.
fn spec_of(root: &Value) -> &Value {
    let whole = root
        .pointer("/else/properties/spec")
        .or_else(|| root.pointer("/properties/spec"));
    whole.unwrap_or(root)
}

/// A field on the way down a schema.
struct Field<'a> {
    root: &'a Value,
    path: String,
    /// The schema as it is written where the field is, with its own description.
    own: &'a Value,
    is_required: bool,
}

impl<'a> Field<'a> {
    /// The schemas that its value may follow: itself or the branches of its `anyOf`.
    fn branches(&self) -> Vec<&'a Value> {
        let schema = resolved(self.root, self.own);
        match schema.get("anyOf").and_then(Value::as_array) {
            Some(branches) => branches
                .iter()
                .map(|branch| resolved(self.root, branch))
                .collect(),
            None => vec![schema],
        }
    }

    fn children(&self) -> Vec<(String, Field<'a>)> {
        let mut children = Vec::new();
        for branch in self.branches() {
            let required = branch.get("required").and_then(Value::as_array);
            let properties = branch.get("properties").and_then(Value::as_object);
            for (name, own) in properties.into_iter().flatten() {
                let is_required =
                    required.is_some_and(|required| required.iter().any(|field| field == name));
                children.push((name.clone(), self.child(name, own, is_required)));
            }
        }
        children
    }

    /// What stands below every name, where names are free.
    fn any_name(&self) -> Option<Field<'a>> {
        let free = |branch: &&'a Value| {
            let patterns = branch
                .get("patternProperties")
                .and_then(Value::as_object)
                .and_then(|patterns| patterns.values().next());
            patterns.or_else(|| {
                branch
                    .get("additionalProperties")
                    .filter(|schema| schema.is_object())
            })
        };
        let own = self.branches().iter().find_map(free)?;
        Some(self.child("NAME", own, false))
    }

    fn child(&self, name: &str, own: &'a Value, is_required: bool) -> Field<'a> {
        Field {
            root: self.root,
            path: format!("{}.{name}", self.path),
            own,
            is_required,
        }
    }

    fn below(self, step: &str) -> Result<Field<'a>, String> {
        let children = self.children();
        let names: Vec<String> = children.iter().map(|(name, _)| name.clone()).collect();
        match children
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(step))
        {
            Some((_, child)) => Ok(child),
            None => self
                .any_name()
                .ok_or_else(|| unknown(&format!("`{}` has no field", self.path), step, &names)),
        }
    }

    fn description(&self) -> &'a str {
        let own = described(self.own);
        if own.is_empty() {
            described(resolved(self.root, self.own))
        } else {
            own
        }
    }

    fn type_words(&self) -> String {
        let schema = resolved(self.root, self.own);
        if let Some(title) = schema.get("title").and_then(Value::as_str) {
            return title.to_owned();
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => "text".to_owned(),
            Some("integer") => "a whole number".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("array") => "a list".to_owned(),
            Some("object") => "a map".to_owned(),
            _ => "a value".to_owned(),
        }
    }

    fn allowed(&self) -> Vec<String> {
        let mut allowed = Vec::new();
        for schema in self.branches() {
            let number = |key: &str| schema.get(key).map(ToString::to_string);
            match (number("minimum"), number("maximum")) {
                (Some(least), Some(most)) => {
                    allowed.push(format!("a number from {least} to {most}"));
                }
                (Some(least), None) => allowed.push(format!("a number from {least}")),
                (None, Some(most)) => allowed.push(format!("a number to {most}")),
                (None, None) => {}
            }
            if let Some(constant) = number("const") {
                allowed.push(format!("only {constant}"));
            }
            if let Some(most) = number("maxLength") {
                allowed.push(format!("at most {most} characters"));
            }
            if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
                allowed.push(format!("text that matches {pattern}"));
            }
        }
        allowed
    }

    fn text(&self, kind: &str, width: usize) -> String {
        let mut text = format!("{}\n", self.path);
        wrapped(&mut text, self.description(), "  ", "  ", width);
        let mut section = |title: &str, words: String| {
            text.push('\n');
            wrapped(
                &mut text,
                &words,
                &format!("{title}  "),
                "          ",
                width,
            );
        };
        section(
            "TYPE    ",
            format!(
                "{}{}",
                self.type_words(),
                if self.is_required { ", required" } else { "" }
            ),
        );
        if let Some(default) = self
            .own
            .get("default")
            .filter(|default| !default.is_object())
        {
            section("DEFAULT ", default.to_string());
        }
        for allowed in self.allowed() {
            section("ALLOWED ", allowed);
        }
        let children = self.children();
        if !children.is_empty() || self.any_name().is_some() {
            text.push_str("\nFIELDS\n");
        }
        for (name, child) in &children {
            let required = if child.is_required { ", required" } else { "" };
            line(
                &mut text,
                &format!("{name} ({}{required})", short(&child.type_words())),
                first_sentence(child.description()),
                width,
            );
        }
        if let Some(any) = self.any_name() {
            line(
                &mut text,
                &format!("NAME ({})", short(&any.type_words())),
                first_sentence(any.description()),
                width,
            );
        }
        text.push_str("\nEXAMPLE\n");
        for written in example(kind, &self.path).lines() {
            writeln!(text, "  {written}").expect("a string takes everything");
        }
        text
    }
}

fn described(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ")
        .map_or(text, |(first, _)| first)
        .trim_end_matches('.')
}

/// A title without its examples.
fn short(title: &str) -> &str {
    title
        .split_once(" such as")
        .map_or(title, |(first, _)| first)
}

fn line(text: &mut String, name: &str, words: &str, width: usize) {
    wrapped(text, name, "  ", "    ", width);
    wrapped(text, words, "      ", "      ", width);
}

/// The part of a whole manifest that shows a field; a test reads every example with `load`.
fn example(kind: &str, path: &str) -> String {
    let info = KINDS.iter().find(|info| info.name == kind);
    let whole = info.map_or("", |info| info.example);
    let Some((_, below)) = path.split_once('.') else {
        return whole.to_owned();
    };
    let top = below.split('.').next().unwrap_or_default();
    match (kind, top) {
        ("Service", "image") => return "  image: redis:7.4.5".to_owned(),
        ("Service", "commit") => {
            return "  commit: 4f2a91c0d3b5e7f9a1c3e5f7092b4d6f8a0c2e4d".to_owned();
        }
        ("Service", "cron") => return "  cron: \"*/15 * * * *\"".to_owned(),
        _ => {}
    }
    let mut lines = whole
        .lines()
        .skip_while(|line| !line.starts_with(&format!("  {top}:")))
        .peekable();
    let first = lines.next().unwrap_or(whole);
    let rest = lines.take_while(|line| line.starts_with("    "));
    std::iter::once(first)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("\n")
}
