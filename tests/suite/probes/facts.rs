//! Every statement of the facts that nobody confirms is asked about, or stands among those that are not, with the reason.

use reconciler::probe::Sheet;
use std::collections::BTreeMap;
use std::path::Path;

/// The facts, where they are at hand: they are no part of this repository.
fn facts() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/facts/railway.md");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: the facts are not at hand ({})", path.display());
    }
    text
}

/// What the file says that the facts say, with who says it.
fn said(sheet: &Sheet) -> Vec<(&str, &str)> {
    let probes = sheet.probes.iter().map(|probe| (&probe.id, &probe.says));
    let others = sheet.not_probed.iter().map(|not| (&not.id, &not.says));
    probes
        .chain(others)
        .flat_map(|(id, says)| says.iter().map(|words| (id.as_str(), words.as_str())))
        .collect()
}

/// Where a mark stands: `?` for what nobody states, `F` for a report from the field. Marks stand in parentheses, or alone in a cell.
fn marks(text: &str) -> Vec<usize> {
    let begins = text
        .find("\n## 1.")
        .expect("the facts have a first section");
    let is_mark = |at: &usize| {
        let before = text[..*at].trim_end_matches(' ');
        let after = &text[at + 1..];
        let opens = before.ends_with(['(', ',', '/', '|']);
        let closes = after.starts_with([')', ':', ';', ',']) || after.starts_with(" |");
        // Such as `F sample`, which is one as well.
        let named = text[*at..].starts_with("F sample") || text[*at..].starts_with("F report");
        (opens && closes) || named
    };
    text.char_indices()
        .filter(|(at, sign)| ['F', '?'].contains(sign) && *at > begins)
        .map(|(at, _)| at)
        .filter(is_mark)
        .collect()
}

/// The points of the list of what is worth a live check.
fn points(text: &str) -> Vec<(usize, usize)> {
    let begins = text.find("\n## 9").expect("the facts have a ninth section");
    let mut found = Vec::new();
    let mut at = begins;
    for line in text[begins..].split_inclusive('\n') {
        let number = line.split(". ").next().unwrap_or_default();
        if !number.is_empty() && number.chars().all(|sign| sign.is_ascii_digit()) {
            found.push((at, at + line.len()));
        }
        at += line.len();
    }
    found
}

fn line(text: &str, at: usize) -> String {
    let number = text[..at].matches('\n').count() + 1;
    format!("line {number}: {}", text.lines().nth(number - 1).unwrap())
}

#[test]
fn what_the_file_quotes_is_said_there_once() {
    let Some(facts) = facts() else { return };
    let sheet = Sheet::read().unwrap();

    let counts: BTreeMap<_, _> = said(&sheet)
        .into_iter()
        .map(|(id, words)| ((id, words), facts.matches(words).count()))
        .filter(|(_, count)| *count != 1)
        .collect();

    assert!(
        counts.is_empty(),
        "not there, or more than once: {counts:#?}"
    );
}

#[test]
fn every_marked_statement_is_asked_about_or_is_not_with_a_reason() {
    let Some(facts) = facts() else { return };
    let sheet = Sheet::read().unwrap();
    let quoted: Vec<(usize, usize)> = said(&sheet)
        .into_iter()
        .filter_map(|(_, words)| {
            let at = facts.find(words)?;
            Some((at, at + words.len()))
        })
        .collect();

    let marks = marks(&facts);
    let open: Vec<String> = marks
        .iter()
        .filter(|at| !quoted.iter().any(|(from, to)| (from..to).contains(at)))
        .map(|at| line(&facts, *at))
        .collect();
    let points = points(&facts);
    let unasked: Vec<String> = points
        .iter()
        .filter(|(from, to)| !quoted.iter().any(|(at, _)| (from..to).contains(&at)))
        .map(|(from, _)| line(&facts, *from))
        .collect();

    assert_eq!(open, Vec::<String>::new(), "marked, and no quote has it");
    assert_eq!(unasked, Vec::<String>::new(), "listed, and no quote has it");
    assert!(marks.len() > 50, "{} marks were found", marks.len());
    assert_eq!(points.len(), 10, "the list has ten points");
    println!(
        "probes: {} marked statements, {} quotes",
        marks.len(),
        quoted.len()
    );
}

#[test]
fn a_mark_without_a_quote_would_be_found() {
    let text = "legend: F = field (F)\n\n## 1. One\n\nA (F). B (D, F) and (D/F), C (F: PR 5, which\nD is not (?), | E | ? | ? |, from F samples.\nid?: no, (environmentId?) no, (Free) no, F no\n\n## 9 Open\n1. One?\n2. Two?\n";

    assert_eq!(marks(text).len(), 8);
    assert_eq!(points(text).len(), 2);
}
