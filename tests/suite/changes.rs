//! What people are told: a night as a sequence of pictures, each with the events that follow from it.
//!
//! `UPDATE_CHANGES=1` writes `tests/changes.md` anew; read the difference before you commit it.

use crate::worlds::Written;
use jiff::Timestamp;
use reconciler::plan::drift::{Content, Course};
use reconciler::plan::gate::{self, Memory};
use reconciler::plan::plan;
use reconciler::plan::stance::stance;
use reconciler::status::changes::{Picture, Teller, changes};
use reconciler::status::conditions::Known;
use reconciler::status::event::Event;
use reconciler::status::telling;
use reconciler::status::view::{Commit, NotAccepted, ServiceHealth, Suspension};
use reconciler::status::{Status, status};
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::Path;

/// One moment of the night.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    what: String,
    /// Lines of the manifest of `web`; those of the moment before where there are none.
    web: Option<String>,
    world: Written,
    commit: Option<Commit>,
    not_accepted: Option<NotAccepted>,
    #[serde(default)]
    health: Vec<ServiceHealth>,
    /// Why nothing can be seen, once that has lasted.
    cannot_look: Option<String>,
}

const ENVIRONMENT: &str = "apiVersion: reconciler/v1alpha1
kind: Environment
metadata: { name: production }
spec:
  railway: { project: sentia-manufacturing, environment: production }
  secrets: { prefix: PRODUCTION_ }
---
apiVersion: reconciler/v1alpha1
kind: Service
metadata: { name: web }
spec: ";

/// What a controller keeps from moment to moment.
#[derive(Default)]
struct Kept {
    course: Course,
    web: String,
    commit: Option<Commit>,
    picture: Option<Picture>,
}

impl Kept {
    fn looked(&mut self, moment: &Moment) -> (Status, Option<Suspension>) {
        let now = moment.world.now;
        if let Some(web) = &moment.web {
            self.web.clone_from(web);
        }
        let desired = crate::settles::parsed(&format!("{ENVIRONMENT}{}\n", self.web));
        let world = moment.world.world();
        let mut memory = Memory::default();
        let digest = desired.digest();
        let marks = moment.world.controller.as_ref().map(|it| it.marks.clone());
        let marks = marks.unwrap_or_default();
        memory.take(stance("production", &digest, &marks, now));
        let content = Content {
            digest,
            committed_at: None,
        };
        memory.follow(self.course.clone(), content);
        let plan = gate::hold(plan(&desired, &world, now), &world, &memory, now);
        memory.planned(&plan, &world, now);
        self.course = memory.course().cloned().unwrap_or_default();
        let suspended = marks.suspended.as_ref().map(Suspension::from);
        (status(&desired, &world, &plan, now), suspended)
    }

    fn events(&mut self, moment: &Moment) -> Vec<Event> {
        let (status, suspended) = self.looked(moment);
        self.commit = moment.commit.clone().or(self.commit.take());
        let known = Known {
            status: Some(&status),
            unseen: moment.cannot_look.as_deref(),
            commit: self.commit.as_ref(),
            not_accepted: moment.not_accepted.as_ref(),
            suspended: suspended.as_ref(),
            health: &moment.health,
        };
        let now = moment.world.now;
        let picture = Picture::of(&known, self.picture.as_ref(), now);
        let teller = Teller {
            at: now,
            environment: "production",
            by: "production-controller",
        };
        let events = changes(self.picture.as_ref(), &picture, &teller);
        // A controller that begins again gets it back from the store, and tells nothing twice.
        let stored = serde_json::to_string(&picture).unwrap();
        let back: Picture = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, picture);
        let again = Picture::of(&known, Some(&back), now);
        assert_eq!(changes(Some(&back), &again, &teller), [], "{}", moment.what);
        self.picture = Some(back);
        events
    }
}

fn night() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/changes.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let moments: Vec<Moment> = serde_yaml::from_str(&text).unwrap();
    let mut kept = Kept::default();
    let mut page = String::from(
        "# What people are told in a night\n\nWritten by `tests/suite/changes.rs` from `tests/changes.yaml`: at each moment what is told, and the conditions.\n",
    );
    for moment in &moments {
        let events = kept.events(moment);
        let _ = write!(page, "\n## {}\n\n```\n", moment.what);
        for event in &events {
            let words = telling::words(event);
            let _ = writeln!(page, "[{}] {}", event.what.word(), words.headline);
            for line in words.reason.iter().chain(&words.way_out) {
                let _ = writeln!(page, "    {line}");
            }
        }
        if events.is_empty() {
            page.push_str("nothing\n");
        }
        page.push_str("```\n\n| condition | | reason | since | |\n|---|---|---|---|---|\n");
        for condition in &kept.picture.as_ref().unwrap().conditions {
            let _ = writeln!(
                page,
                "| {:?} | {:?} | {} | {} | {} |",
                condition.kind,
                condition.status,
                condition.reason,
                condition
                    .last_transition_time
                    .get(11..16)
                    .unwrap_or_default(),
                condition.message
            );
        }
    }
    page
}

#[test]
fn each_thing_is_told_once_with_the_way_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/changes.md");
    let page = night();
    let config = reconciler::config::Config::read();
    if config.plain("UPDATE_CHANGES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, page, "UPDATE_CHANGES=1 writes it anew");
}

#[test]
fn text_from_outside_is_only_text_in_slack() {
    let at: Timestamp = "2026-11-23T02:00:00Z".parse().unwrap();
    let teller = Teller {
        at,
        environment: "production",
        by: "controller",
    };
    let what = reconciler::status::event::What::Unhealthy {
        service: "web".to_owned(),
        reason: "<!channel> *all* <https://evil.example|here> & \u{202e}".to_owned(),
    };
    let message = telling::slack(&teller.event(None, what)).to_string();
    assert!(
        !message.contains("<!channel>") && !message.contains("<https"),
        "{message}"
    );
    assert!(message.contains("Way out"), "{message}");
}
