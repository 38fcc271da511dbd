//! What was declared since the newest commit that is marked as done: the only thing that removals come from.

use super::environments::{Shop, environment, now, service};
use reconciler::repository::{Before, Id};

async fn pushed(shop: &mut Shop, files: &[(&str, &str)]) -> Id {
    shop.push(files).await.commit
}

async fn before(shop: &mut Shop, mark: Option<Id>) -> Before {
    let head = shop.origin.id("main");
    shop.repository
        .before("production", mark, head, now())
        .await
        .unwrap()
}

/// The variables of a service that were declared in any version, laid under what is in force.
async fn declared(shop: &mut Shop, before: &Before, name: &str) -> Vec<String> {
    let head = shop.origin.id("main");
    let look = shop.look(head, now()).await;
    let desired = look.environments["production"].as_ref().unwrap();
    let laid = before.lay_under(desired);
    let documents = laid.before().expect("it is known");
    documents.services[name]
        .spec
        .variables
        .keys()
        .cloned()
        .collect()
}

fn reason(before: &Before) -> &str {
    match before {
        Before::Unknown(reason) => reason,
        Before::Known(versions) => panic!("{} versions", versions.len()),
    }
}

#[tokio::test]
async fn it_is_everything_that_any_version_since_the_mark_declared() {
    let mut shop = Shop::with_two().await;
    let mark = pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &["FIRST"]))],
    )
    .await;
    pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &["SECOND"]))],
    )
    .await;
    pushed(
        &mut shop,
        &[("base/app.yaml", &service("web", &["SHARED"]))],
    )
    .await;
    pushed(&mut shop, &[("staging/own.yaml", &service("other", &[]))]).await;
    pushed(&mut shop, &[("base/app.yaml", &service("web", &[]))]).await;
    pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &[]))],
    )
    .await;

    let before = before(&mut shop, Some(mark)).await;

    assert_eq!(
        declared(&mut shop, &before, "worker").await,
        ["ALWAYS", "FIRST", "SECOND"]
    );
    assert_eq!(
        declared(&mut shop, &before, "web").await,
        ["ALWAYS", "SHARED"]
    );
    let Before::Known(versions) = &before else {
        panic!("{before:?}")
    };
    // The mark, and the three that touched it, without the one in force.
    assert_eq!(versions.len(), 4);
}

#[tokio::test]
async fn a_version_that_was_refused_was_never_in_force() {
    let mut shop = Shop::with_two().await;
    let mark = shop.origin.id("main");
    let refused = service("worker", &["REFUSED"]) + "  basis: nothing\n";
    pushed(&mut shop, &[("production/own.yaml", &refused)]).await;
    pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &[]))],
    )
    .await;

    let before = before(&mut shop, Some(mark)).await;

    assert_eq!(declared(&mut shop, &before, "worker").await, ["ALWAYS"]);
}

#[tokio::test]
async fn a_variable_that_was_said_to_be_absent_later_was_declared_all_the_same() {
    let mut shop = Shop::with_two().await;
    let mark = pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &["OLD"]))],
    )
    .await;
    let absent = service("worker", &[]) + "    OLD: { absent: true }\n";
    pushed(&mut shop, &[("production/own.yaml", &absent)]).await;
    pushed(
        &mut shop,
        &[("production/own.yaml", &service("worker", &[]))],
    )
    .await;

    let before = before(&mut shop, Some(mark)).await;

    assert_eq!(
        declared(&mut shop, &before, "worker").await,
        ["ALWAYS", "OLD"]
    );
}

#[tokio::test]
async fn a_base_of_the_meantime_counts_too() {
    let mut shop = Shop::with_two().await;
    let mark = shop.origin.id("main");
    pushed(
        &mut shop,
        &[
            ("other/app.yaml", &service("web", &[])),
            (
                "production/environment.yaml",
                &environment("production", "  base: ../other\n"),
            ),
        ],
    )
    .await;
    pushed(
        &mut shop,
        &[("other/app.yaml", &service("web", &["MEANTIME"]))],
    )
    .await;
    pushed(
        &mut shop,
        &[(
            "production/environment.yaml",
            &environment("production", "  base: ../base\n"),
        )],
    )
    .await;

    let before = before(&mut shop, Some(mark)).await;

    assert_eq!(
        declared(&mut shop, &before, "web").await,
        ["ALWAYS", "MEANTIME"]
    );
}

#[tokio::test]
async fn what_a_merged_branch_declared_counts_too() {
    let mut shop = Shop::with_two().await;
    let mark = shop.origin.id("main");
    let aside = shop.origin.write(
        "aside",
        &[&mark.to_string()],
        &[("production/own.yaml", &service("worker", &["ASIDE"]))],
    );
    let back = shop.origin.write(
        "aside",
        &[&aside.to_string()],
        &[("production/own.yaml", &service("worker", &[]))],
    );
    let main = shop.origin.push(&[("README.md", "more")]);
    let merged = shop.origin.write(
        "main",
        &[&main.to_string(), &back.to_string()],
        &[("README.md", "merged")],
    );
    shop.look(merged, now()).await;

    let before = before(&mut shop, Some(mark)).await;

    assert_eq!(
        declared(&mut shop, &before, "worker").await,
        ["ALWAYS", "ASIDE"]
    );
}

#[tokio::test]
async fn nothing_is_known_without_a_mark_that_leads_here() {
    let mut shop = Shop::with_two().await;
    let head = shop.origin.id("main");
    assert!(reason(&before(&mut shop, None).await).contains("no commit is marked"));

    let nowhere: Id = "1234567890123456789012345678901234567890".parse().unwrap();
    assert!(reason(&before(&mut shop, Some(nowhere)).await).contains("not in the mirror"));

    let rewritten = shop.origin.rewrite(&[(
        "production/environment.yaml",
        &environment("production", ""),
    )]);
    shop.look(rewritten, now()).await;
    assert!(reason(&before(&mut shop, Some(head)).await).contains("not in the history"));

    let empty = shop.origin.rewrite(&[("README.md", "nothing")]);
    shop.look(empty, now()).await;
    pushed(
        &mut shop,
        &[(
            "production/environment.yaml",
            &environment("production", ""),
        )],
    )
    .await;
    assert!(reason(&before(&mut shop, Some(empty)).await).contains("holds no environment"));
}

#[tokio::test]
async fn what_was_done_is_known_to_be_the_same() {
    let mut shop = Shop::with_two().await;
    let mark = shop.origin.id("main");
    let loads = shop.repository.counts();
    let Before::Known(versions) = before(&mut shop, Some(mark)).await else {
        panic!("it is known")
    };
    assert_eq!(versions.len(), 1);
    assert_eq!(shop.repository.counts(), loads, "it was loaded already");
}
