//! A plan as people read it in a terminal: changes only, one step a block, wrapped to the width.

use super::Plan;
use crate::kinds::shown::{harmless, one_line};
use crate::kinds::step::{Ask, Effect, NOTE, Step};
use crate::wrap::{fill, wrapped};
use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

/// How wide, and whether in colour.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Whether to colour.
    pub color: bool,
}

/// The plan as text. Ends with a line that says what follows.
pub fn text(plan: &Plan, look: Look) -> String {
    let mut out = String::new();
    heading(&mut out, plan, look.width);
    for step in &plan.steps {
        step_lines(&mut out, step, look);
    }
    for note in &plan.notes {
        let note = format!("note: {}", harmless(note));
        wrapped(&mut out, &note, "", "      ", look.width);
    }
    for wanted in plan.approvals.values() {
        let _ = writeln!(out, "approvals/{}.yaml would consent:", wanted.digest);
        for line in wanted.document(plan.consent_until).lines() {
            let _ = writeln!(out, "  {}", harmless(line));
        }
    }
    wrapped(&mut out, &summary(plan), "", "      ", look.width);
    out
}

fn heading(out: &mut String, plan: &Plan, width: usize) {
    let heading = match &plan.target {
        Some((project, environment)) => format!(
            "{} · {} / {}",
            plan.environment,
            one_line(&project.name),
            one_line(&environment.name)
        ),
        None => plan.environment.clone(),
    };
    wrapped(out, &heading, "", "  ", width);
}

/// The word that opens a step's line.
pub fn opening(step: &Step) -> &'static str {
    match &step.ask {
        Ask::Make(_) => "make",
        Ask::Wait { .. } => "wait",
        Ask::Hold { .. } => "hold",
        Ask::Unseen(_) => "unseen",
        Ask::Told(_) => "note",
    }
}

/// What the step is about and what changes: `scale web 2 (us-west2) → 3 (us-west2)`.
pub fn what(step: &Step) -> String {
    let mut what = match step.verb {
        // It opens the line anyway.
        NOTE => step.of.name.clone(),
        verb => format!("{verb} {}", step.of.name),
    };
    let is_named_by_verb = match step.field.as_str() {
        "deployment" | "service" => true,
        "replicas" | "image" | "commit" | "restartedAfter" | "stopped" => step.verb != NOTE,
        "paused" => matches!(step.verb, "pause" | "resume"),
        _ => false,
    };
    if !is_named_by_verb {
        let _ = write!(what, ".{}", step.field);
    }
    match (&step.from, &step.to) {
        (Some(from), Some(to)) => {
            let _ = write!(what, " {from} → {to}");
        }
        (None, Some(to)) => {
            let _ = write!(what, " → {to}");
        }
        (Some(from), None) => {
            let _ = write!(what, " (was {from})");
        }
        (None, None) => {}
    }
    harmless(&what)
}

/// The reason with its place.
pub fn why(step: &Step) -> String {
    harmless(&match &step.origin {
        Some(origin) => format!("{}   {origin}", step.why),
        None => step.why.clone(),
    })
}

/// What follows from the step: its effect and its undo, what is waited for, who holds it and what to do.
pub fn consequence(step: &Step) -> Vec<String> {
    let lines = match &step.ask {
        Ask::Make(_) => {
            let mut parts = vec![step.effect.words().to_owned()];
            if !step.undo.is_empty() && step.effect != Effect::Nothing {
                parts.push(format!("undo: {}", step.undo));
            }
            vec![parts.join(" · ")]
        }
        Ask::Wait { until, then, .. } => vec![format!("until {until}; then {then}")],
        Ask::Hold { by, way_out, .. } => vec![by.clone(), format!("way out: {way_out}")],
        Ask::Unseen(reason) => vec![format!("not touched: {reason}")],
        Ask::Told(words) => vec![words.clone()],
    };
    lines.iter().map(|line| harmless(line)).collect()
}

fn step_lines(out: &mut String, step: &Step, look: Look) {
    let word = opening(step);
    let style = match &step.ask {
        Ask::Make(_) => AnsiColor::Green,
        Ask::Wait { .. } => AnsiColor::Cyan,
        Ask::Hold { .. } | Ask::Unseen(_) => AnsiColor::Yellow,
        Ask::Told(_) => AnsiColor::Blue,
    };
    let style = if look.color {
        Style::new().fg_color(Some(style.into())).bold()
    } else {
        Style::new()
    };
    let _ = write!(out, "  {style}{word:<6}{style:#} ");
    let (what, consequence) = (what(step), consequence(step));
    let beside = match consequence.as_slice() {
        [effect] if INDENT.len() + what.width() + effect.width() + 3 <= look.width => Some(effect),
        _ => None,
    };
    match beside {
        Some(effect) => {
            let space = look
                .width
                .min(EFFECTS)
                .saturating_sub(INDENT.len() + what.width() + effect.width())
                .max(3);
            let _ = writeln!(out, "{what}{}{effect}", " ".repeat(space));
        }
        None => fill(out, &what, INDENT.len(), INDENT, look.width),
    }
    wrapped(out, &why(step), INDENT, INDENT, look.width);
    for line in consequence.iter().filter(|_| beside.is_none()) {
        wrapped(out, line, INDENT, DEEPER, look.width);
    }
}

/// What stands under the word that opens a step.
const INDENT: &str = "         ";
const DEEPER: &str = "           ";
/// Effects end here where the terminal is wider: an eye has to find the way.
const EFFECTS: usize = 120;

/// The last line: how much there is, in how many writes, and what is held.
pub fn summary(plan: &Plan) -> String {
    if plan
        .steps
        .iter()
        .all(|step| matches!(step.ask, Ask::Told(_)))
    {
        return "In step: nothing to do.".to_owned();
    }
    let count = |is: fn(&Ask) -> bool| plan.steps.iter().filter(|step| is(&step.ask)).count();
    let deployments = deployed(plan);
    let mut parts = vec![format!("{} to make", plan.to_make())];
    if !plan.writes.is_empty() {
        let services = match deployments.len() {
            0 => "no deployment".to_owned(),
            1 => format!("1 deployment ({})", deployments.join("")),
            many => format!("{many} deployments"),
        };
        parts.push(format!(
            "{} {}, {services}",
            plan.writes.len(),
            if plan.writes.len() == 1 {
                "write"
            } else {
                "writes"
            }
        ));
    }
    let others = [
        (count(|ask| matches!(ask, Ask::Wait { .. })), "waiting"),
        (count(|ask| matches!(ask, Ask::Hold { .. })), "held"),
        (count(|ask| matches!(ask, Ask::Unseen(_))), "not seen"),
    ];
    parts.extend(
        others
            .iter()
            .filter(|(many, _)| *many > 0)
            .map(|(many, what)| format!("{many} {what}")),
    );
    format!("Plan: {}.", parts.join(" · "))
}

/// The services that get a new deployment.
pub fn deployed(plan: &Plan) -> Vec<String> {
    let mut services: Vec<String> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.ask, Ask::Make(_)))
        .flat_map(|step| step.deploys.iter().cloned())
        .collect();
    services.sort();
    services.dedup();
    services
}
