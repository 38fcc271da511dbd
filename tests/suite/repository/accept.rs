//! Which commit is in force: the newest one as a whole, or the last good one.

use super::environments::{Shop, environment, now, service};
use reconciler::repository::{Accepted, Id, Look, Verdict, accept};
use std::collections::{BTreeMap, BTreeSet};

/// What a controller keeps between its looks.
struct Watch {
    shop: Shop,
    in_force: BTreeMap<String, Accepted>,
    approved: BTreeSet<Id>,
}

impl Watch {
    async fn new() -> Watch {
        let shop = Shop::with_two().await;
        let mut watch = Watch {
            shop,
            in_force: BTreeMap::new(),
            approved: BTreeSet::new(),
        };
        watch.judge(watch.shop.origin.id("main")).await;
        watch
    }

    async fn push(&mut self, files: &[(&str, &str)]) -> Vec<String> {
        let id = self.shop.origin.push(files);
        self.judge(id).await
    }

    async fn judge(&mut self, head: Id) -> Vec<String> {
        let look: Look = self.shop.look(head, now()).await;
        let history = self
            .shop
            .repository
            .history(&self.in_force, head, &self.approved)
            .await
            .unwrap();
        let verdicts = accept(&self.in_force, &look, &history);
        self.in_force = verdicts
            .iter()
            .filter_map(|(directory, verdict)| {
                Some((directory.clone(), verdict.in_force()?.clone()))
            })
            .collect();
        let words = |verdict: &Verdict| match verdict {
            Verdict::Accepted(accepted) if accepted.commit == head => "accepted".to_owned(),
            Verdict::Accepted(_) => "another".to_owned(),
            Verdict::KeptLast {
                last: Some(_),
                broken,
                ..
            } => format!("kept: {}", broken.problems[0].code),
            Verdict::KeptLast {
                last: None, broken, ..
            } => format!("nothing: {}", broken.problems[0].code),
            Verdict::Held { last, .. } => {
                format!("held{}", if last.is_some() { "" } else { ", new" })
            }
            Verdict::Vanished { .. } => "vanished".to_owned(),
        };
        verdicts
            .iter()
            .map(|(directory, verdict)| format!("{directory} {}", words(verdict)))
            .collect()
    }

    fn commit_of(&self, directory: &str) -> Id {
        self.in_force[directory].commit
    }
}

#[tokio::test]
async fn a_problem_keeps_the_last_good_commit_of_that_environment_in_force() {
    let mut watch = Watch::new().await;
    let good = watch.commit_of("production");

    let told = watch.push(&[("production/own.yaml", "{")]).await;
    assert_eq!(told, ["production kept: yaml", "staging accepted"]);
    assert_eq!(watch.commit_of("production"), good);
    assert!(
        watch.in_force["production"]
            .manifests
            .desired()
            .documents()
            .services
            .contains_key("worker")
    );

    let told = watch
        .push(&[("production/own.yaml", &service("worker", &[]))])
        .await;
    assert_eq!(told, ["production accepted", "staging accepted"]);
}

#[tokio::test]
async fn a_new_environment_with_problems_has_nothing_in_force() {
    let mut watch = Watch::new().await;
    let told = watch
        .push(&[(
            "x/environment.yaml",
            &environment("x", "  basis: ../base\n"),
        )])
        .await;
    assert_eq!(told[2], "x nothing: unknown-field");
    assert!(!watch.in_force.contains_key("x"));
}

#[tokio::test]
async fn a_directory_that_vanished_is_said_to_have_vanished() {
    let mut watch = Watch::new().await;
    let told = watch
        .push(&[
            ("production/environment.yaml", ""),
            ("production/own.yaml", ""),
        ])
        .await;
    assert_eq!(told, ["production vanished", "staging accepted"]);
}

#[tokio::test]
async fn a_directory_without_its_environment_is_a_problem() {
    let mut watch = Watch::new().await;
    let told = watch.push(&[("production/environment.yaml", "")]).await;
    assert_eq!(
        told,
        ["production kept: no-environment", "staging accepted"]
    );
}

#[tokio::test]
async fn a_directory_can_be_renamed() {
    let mut watch = Watch::new().await;
    let told = watch
        .push(&[
            ("production/environment.yaml", ""),
            ("production/own.yaml", ""),
            (
                "prod/environment.yaml",
                &environment("production", "  base: ../base\n"),
            ),
        ])
        .await;
    assert_eq!(
        told,
        ["prod accepted", "production vanished", "staging accepted"]
    );
}

#[tokio::test]
async fn what_an_older_version_keeps_nobody_else_can_take() {
    let mut watch = Watch::new().await;
    // The new directory alone would be in order: the old one is broken, and so not seen to claim anything.
    let told = watch
        .push(&[
            ("production/own.yaml", "{"),
            ("prod/environment.yaml", &environment("production", "")),
        ])
        .await;
    assert_eq!(
        told,
        [
            "prod nothing: claimed-twice",
            "production kept: yaml",
            "staging accepted"
        ]
    );
}

#[tokio::test]
async fn rewritten_history_is_held_until_it_is_approved() {
    let mut watch = Watch::new().await;
    let good = watch.commit_of("production");
    let files = [
        ("production/environment.yaml", environment("production", "")),
        ("staging/environment.yaml", environment("staging", "")),
        ("new/environment.yaml", environment("new", "")),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();

    let rewritten = watch.shop.origin.rewrite(&files);
    let told = watch.judge(rewritten).await;
    assert_eq!(told, ["new held, new", "production held", "staging held"]);
    assert_eq!(watch.commit_of("production"), good);

    // More commits on top change nothing.
    let told = watch.push(&[("README.md", "more")]).await;
    assert_eq!(told, ["new held, new", "production held", "staging held"]);

    watch.approved.insert(rewritten);
    let told = watch.push(&[("README.md", "approved")]).await;
    assert_eq!(
        told,
        ["new accepted", "production accepted", "staging accepted"]
    );

    // The approval was for that history: another rewriting on top of it waits again.
    watch.push(&[("README.md", "to be lost")]).await;
    let again =
        watch
            .shop
            .origin
            .write("main", &[&rewritten.to_string()], &[("README.md", "other")]);
    let told = watch.judge(again).await;
    assert_eq!(told, ["new held", "production held", "staging held"]);
}

#[tokio::test]
async fn an_accepted_commit_that_the_mirror_does_not_have_any_more_is_rewritten_history() {
    let mut watch = Watch::new().await;
    watch.shop.origin.rewrite(&[(
        "production/environment.yaml",
        &environment("production", ""),
    )]);
    watch.shop.repository.mirror_mut().renew().await.unwrap();
    let head = watch.shop.origin.id("main");
    assert_eq!(watch.judge(head).await, ["production held", "staging held"]);
}

#[tokio::test]
async fn a_path_that_is_gone_keeps_everything_as_it_is() {
    let mut shop = Shop::new("live").await;
    let look = shop
        .push(&[("live/a/environment.yaml", &environment("a", ""))])
        .await;
    let first = accept(&BTreeMap::new(), &look, &BTreeMap::new());
    let in_force: BTreeMap<String, Accepted> = first
        .iter()
        .map(|(directory, verdict)| (directory.clone(), verdict.in_force().unwrap().clone()))
        .collect();

    let look = shop
        .push(&[("live/a/environment.yaml", ""), ("README.md", "empty")])
        .await;
    let verdicts = accept(&in_force, &look, &BTreeMap::new());

    assert!(
        matches!(&verdicts["live/a"], Verdict::KeptLast { last: Some(_), .. }),
        "{verdicts:?}"
    );
}
