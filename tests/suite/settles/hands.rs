//! What people do in the dashboard, and Railway by itself, while the product works.

use super::chance::Chance;
use super::deployment::{Made, Outcome, Run, is_kept};
use super::model::{Author, Model, Part, SHARED};
use super::wish::{CLOSED, CLOSING, DATABASES, SIGNING_KEY, STRIPE_KEY, Setup};
use jiff::Timestamp;
use reconciler::world::railway::{Ready, RestartPolicy, SettingValue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One edit of a service, or of what all share.
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
    PushToDeploy(bool),
    Stop,
    Remove,
    Approve,
    /// The whole service goes.
    Delete,
}

impl Hand {
    /// Whether the product may have to answer it with a write.
    pub fn drawn(chance: &mut Chance, setups: &BTreeMap<String, Setup>) -> Hand {
        let names: Vec<String> = setups
            .keys()
            .cloned()
            .chain(["postgres".to_owned()])
            .collect();
        let service = chance.pick(&names);
        let setup = setups.get(&service);
        if chance.percent(6) {
            let name = chance.pick(&["CACHE", "COMPANY", "OLD_SHARED"]).to_owned();
            let value = format!("byhand-5ecret-{}", chance.below(3));
            let edit = if chance.percent(60) {
                Edit::Patch(Part::Variable(name, Some((value, false))))
            } else {
                Edit::Direct(name, value)
            };
            return Hand {
                service: SHARED.to_owned(),
                edit,
            };
        }
        let edit = match chance.below(100) {
            0..30 => Edit::Patch(part(chance, setup)),
            30..40 => {
                let (name, value) = variable(chance);
                Edit::Direct(name, value)
            }
            40..57 => Edit::Stage(part(chance, setup)),
            57..62 => Edit::CommitStaged,
            62..69 => Edit::DiscardStaged,
            69..76 => Edit::RollBack,
            76..81 => Edit::Redeploy,
            81..86 => Edit::Push("4444444444444444444444444444444444444444".to_owned()),
            86..89 => Edit::PushToDeploy(chance.percent(50)),
            89..93 => Edit::Stop,
            93..96 => Edit::Remove,
            96..99 => Edit::Approve,
            _ if setup.is_some() => Edit::Delete,
            _ => Edit::Stop,
        };
        Hand { service, edit }
    }
}

fn part(chance: &mut Chance, setup: Option<&Setup>) -> Part {
    if setup.is_some_and(|setup| setup.is_database) && chance.percent(60) {
        return Part::Image(chance.pick(DATABASES).to_owned());
    }
    match chance.below(12) {
        0..4 => {
            let (name, value) = variable(chance);
            Part::Variable(name, Some((value, false)))
        }
        4 => Part::Variable(
            chance
                .pick(&["LOG_LEVEL", "WORKERS", STRIPE_KEY, SIGNING_KEY, CLOSING])
                .to_owned(),
            None,
        ),
        5..7 => Part::Replicas(BTreeMap::from([("us-west2".to_owned(), Some(1))])),
        7 => Part::Variable(
            SIGNING_KEY.to_owned(),
            Some(("byhand-sealed-5up3r".to_owned(), true)),
        ),
        8 => Part::Plain(SettingValue::Ready(Ready {
            path: Some("/by-hand".to_owned()),
            within_seconds: 300,
        })),
        9 => Part::Plain(chance.pick(&[
            SettingValue::Start(Some("node by-hand.js".to_owned())),
            SettingValue::Start(None),
            SettingValue::RestartPolicy(RestartPolicy::OnFailure(1)),
            SettingValue::Sleep(true),
        ])),
        10 => Part::Variable(CLOSING.to_owned(), Some((CLOSED[0].to_owned(), false))),
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
        STRIPE_KEY,
        SIGNING_KEY,
    ]);
    (
        name.to_owned(),
        format!("byhand-5ecret-{}", chance.below(3)),
    )
}

/// Does it, as far as it can be done at this moment.
pub fn act(model: &mut Model, hand: &Hand) {
    let name = &hand.service;
    let person = Author::Person;
    if name == SHARED {
        match &hand.edit {
            Edit::Patch(part) => model.patch(vec![(name.clone(), part.clone())], "by hand", person),
            Edit::Direct(variable, value) => model.direct(SHARED, variable, value, person),
            _ => {}
        }
        return;
    }
    let Some(stored) = model.state.services.get(name).map(Arc::clone) else {
        return;
    };
    let now = model.now;
    let is_image = |part: &Part| matches!(part, Part::Image(_));
    let runs_image = stored.load(None, &model.state.shared).image.is_some();
    match &hand.edit {
        // A source of one sort is not turned into the other: that is another service.
        Edit::Patch(part) | Edit::Stage(part) if is_image(part) && !runs_image => {}
        // What Railway refuses is no edit.
        Edit::Patch(part) | Edit::Stage(part)
            if model.check(&[(name.clone(), part.clone())]).is_err() => {}
        Edit::Patch(part) => model.patch(vec![(name.clone(), part.clone())], "by hand", person),
        Edit::Direct(variable, value) => model.direct(name, variable, value, person),
        Edit::Stage(part) => model.change(person, false, |state| {
            state.staged.push((name.clone(), part.clone()));
        }),
        Edit::CommitStaged => {
            let staged = model.change(person, false, |state| std::mem::take(&mut state.staged));
            if !staged.is_empty() {
                model.patch(staged, "staged by hand", person);
            }
        }
        Edit::DiscardStaged => model.change(person, false, |state| state.staged.clear()),
        Edit::RollBack => {
            let kept = (0..stored.runs.len())
                .rev()
                .find(|position| is_kept(&stored.runs, *position, now));
            if let Some(kept) = kept {
                let _ = model.roll_back(name, &stored.runs[kept].id, person);
            }
        }
        Edit::Redeploy => {
            if let Some(newest) = stored.runs.last() {
                let _ = model.redeploy(name, &newest.id, person);
            }
        }
        Edit::Push(commit) => {
            if !runs_image && stored.push_to_deploy {
                let _ = model.deploy(name, Some(commit), person);
            }
        }
        Edit::PushToDeploy(enabled) => model.change(person, false, |state| {
            if let Some(stored) = state.service_mut(name).filter(|_| !runs_image) {
                stored.push_to_deploy = *enabled;
            }
        }),
        Edit::Stop => newest(model, name, |run| {
            run.stopped_at = run.stopped_at.or(Some(now));
        }),
        Edit::Remove => newest(model, name, |run| {
            run.removed_at = run.removed_at.or(Some(now));
        }),
        Edit::Approve => approve(model, name, now),
        Edit::Delete => model.delete(name, person),
    }
}

fn newest(model: &mut Model, service: &str, edit: impl FnOnce(&mut Run)) {
    model.change(Author::Person, false, |state| {
        let runs = state
            .service_mut(service)
            .map(|stored| &mut stored.runs)
            .and_then(|runs| runs.last_mut());
        if let Some(run) = runs {
            edit(Arc::make_mut(run));
        }
    });
}

fn approve(model: &mut Model, service: &str, now: Timestamp) {
    newest(model, service, |run| {
        if run.outcome == Outcome::NeedsApproval {
            run.outcome = Outcome::Good;
            run.up_at = run.up_at.max(now);
            run.made = Made::FromStored;
        }
    });
}
