//! What people do in the dashboard, and Railway by itself, while the product works.

use super::chance::Chance;
use super::deployment::{Made, Run};
use super::model::{Author, Model, Part};
use super::switches::PatchCommit;
use jiff::Timestamp;
use reconciler::world::railway::Ready;
use std::collections::BTreeMap;

/// One edit of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hand {
    pub service: String,
    pub edit: Edit,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Through the dashboard's patches.
    Patch(Part),
    /// Past them, by the command line: stored at once, deployed at once.
    Direct(String, String),
    Stage(Part),
    CommitStaged,
    DiscardStaged,
    /// Back to the newest deployment that Railway kept.
    RollBack,
    /// Railway moves the service to another host.
    Redeploy,
    /// A push to the branch that the service is built from.
    Push(String),
    Stop,
    Remove,
    Approve,
}

impl Hand {
    /// Whether the product may have to answer it with a write.
    pub fn drawn(chance: &mut Chance, services: &[String]) -> Hand {
        let service = chance.pick(services);
        let edit = match chance.below(100) {
            0..30 => Edit::Patch(part(chance)),
            30..40 => {
                let (name, value) = variable(chance);
                Edit::Direct(name, value)
            }
            40..58 => Edit::Stage(part(chance)),
            58..63 => Edit::CommitStaged,
            63..70 => Edit::DiscardStaged,
            70..77 => Edit::RollBack,
            77..83 => Edit::Redeploy,
            83..87 => Edit::Push("4444444444444444444444444444444444444444".to_owned()),
            87..93 => Edit::Stop,
            93..97 => Edit::Remove,
            _ => Edit::Approve,
        };
        Hand { service, edit }
    }
}

fn part(chance: &mut Chance) -> Part {
    match chance.below(10) {
        0..4 => {
            let (name, value) = variable(chance);
            Part::Variable(name, Some((value, false)))
        }
        4 => Part::Variable(
            chance
                .pick(&["LOG_LEVEL", "WORKERS", "STRIPE_KEY", "SIGNING_KEY"])
                .to_owned(),
            None,
        ),
        5..7 => Part::Replicas(BTreeMap::from([("us-west2".to_owned(), Some(1))])),
        7 => Part::Variable(
            "SIGNING_KEY".to_owned(),
            Some(("byhand-sealed-5up3r".to_owned(), true)),
        ),
        8 => Part::Ready(Ready {
            path: Some("/by-hand".to_owned()),
            within_seconds: 300,
        }),
        _ => Part::Image("ghcr.io/acme/app:by-hand".to_owned()),
    }
}

fn variable(chance: &mut Chance) -> (String, String) {
    let name = chance.pick(&[
        "LOG_LEVEL",
        "WORKERS",
        "OLD_FLAG",
        "CACHE_URL",
        "FOREIGN",
        "STRIPE_KEY",
        "SIGNING_KEY",
    ]);
    (
        name.to_owned(),
        format!("byhand-5ecret-{}", chance.below(3)),
    )
}

/// Does it, as far as it can be done at this moment.
pub fn act(model: &mut Model, hand: &Hand) {
    let now = model.now;
    let name = &hand.service;
    let is_image = |part: &Part| matches!(part, Part::Image(_));
    let runs_image = model.state.services[name].load(None).image.is_some();
    match &hand.edit {
        // A source of one sort is not turned into the other: that is another service.
        Edit::Patch(part) | Edit::Stage(part) if is_image(part) && !runs_image => {}
        Edit::Patch(part) => model.patch(
            vec![(name.clone(), part.clone())],
            "by hand",
            Author::Person,
            true,
        ),
        Edit::Direct(variable, value) => direct(model, name, variable, value),
        Edit::Stage(part) => model.change(Author::Person, false, |state| {
            state.staged.push((name.clone(), part.clone()));
        }),
        Edit::CommitStaged => {
            let staged = model.change(Author::Person, false, |state| {
                std::mem::take(&mut state.staged)
            });
            if !staged.is_empty() {
                model.patch(staged, "staged by hand", Author::Person, true);
            }
        }
        Edit::DiscardStaged => model.change(Author::Person, false, |state| state.staged.clear()),
        Edit::RollBack => {
            let kept = super::view::kept(&model.state.services[name], &model.switches, now)
                .into_iter()
                .find(|kept| kept.can_rollback);
            if let Some(kept) = kept {
                let _ = model.roll_back(name, &kept.id, Author::Person);
            }
        }
        Edit::Redeploy => {
            if let Some(newest) = model.state.services[name]
                .runs
                .last()
                .map(|run| run.id.clone())
            {
                let _ = model.redeploy(name, &newest, Author::Person);
            }
        }
        Edit::Push(commit) => {
            if !runs_image {
                let _ = model.deploy(name, Some(commit), Author::Person);
            }
        }
        Edit::Stop => newest(model, name, |run| {
            run.stopped_at = run.stopped_at.or(Some(now));
        }),
        Edit::Remove => newest(model, name, |run| {
            run.removed_at = run.removed_at.or(Some(now));
        }),
        Edit::Approve => approve(model, name, now),
    }
}

fn direct(model: &mut Model, service: &str, variable: &str, value: &str) {
    let part = Part::Variable(variable.to_owned(), Some((value.to_owned(), false)));
    if model.switches.direct_edits_in_history {
        return model.patch(
            vec![(service.to_owned(), part)],
            "variable set",
            Author::Person,
            true,
        );
    }
    let now = model.now;
    model.change(Author::Person, false, |state| {
        let stored = state
            .services
            .get_mut(service)
            .expect("people edit what there is");
        stored.set(&part, PatchCommit::Stored, now);
        stored.updated_at = now;
    });
    let _ = model.deploy(service, None, Author::Person);
}

fn newest(model: &mut Model, service: &str, edit: impl FnOnce(&mut Run)) {
    model.change(Author::Person, false, |state| {
        if let Some(run) = state
            .services
            .get_mut(service)
            .and_then(|stored| stored.runs.last_mut())
        {
            edit(run);
        }
    });
}

fn approve(model: &mut Model, service: &str, now: Timestamp) {
    newest(model, service, |run| {
        if run.outcome == super::deployment::Outcome::NeedsApproval {
            run.outcome = super::deployment::Outcome::Good;
            run.up_at = run.up_at.max(now);
            run.made = Made::FromStored;
        }
    });
}
