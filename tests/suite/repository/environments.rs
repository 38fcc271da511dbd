//! The environments of a commit: found, kept apart, and not read again where nothing changed.

use super::origin::{Origin, config, quick};
use jiff::Timestamp;
use reconciler::repository::{Access, Id, Look, Repository, Source};
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub fn now() -> Timestamp {
    "2026-11-23T03:00:00Z".parse().unwrap()
}

/// An Environment of that name, with more lines of its spec.
pub fn environment(name: &str, more: &str) -> String {
    format!(
        "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: {{ name: {name} }}\nspec:\n  railway: {{ project: shop, environment: {name} }}\n  secrets: {{ prefix: {}_ }}\n{more}",
        name.to_uppercase()
    )
}

/// A Service with these variables.
pub fn service(name: &str, variables: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}\nspec:\n  image: ghcr.io/shop/{name}:1\n  variables:\n    ALWAYS: \"1\"\n"
    );
    for variable in variables {
        let _ = writeln!(text, "    {variable}: \"1\"");
    }
    text
}

pub async fn opened(origin: &Origin, path: &str) -> Repository {
    let source = Source::new(&origin.url(), "main", path).unwrap();
    let access = Access::of(&config(&[]));
    Repository::open(&origin.home.path().join("here"), source, access, quick())
        .await
        .unwrap()
}

/// A repository with the controller's eyes on it.
pub struct Shop {
    pub origin: Origin,
    pub repository: Repository,
    pub known: BTreeSet<String>,
}

impl Shop {
    pub async fn new(path: &str) -> Shop {
        let origin = Origin::new();
        let repository = opened(&origin, path).await;
        Shop {
            origin,
            repository,
            known: BTreeSet::new(),
        }
    }

    /// Two environments with a base.
    pub async fn with_two() -> Shop {
        let mut shop = Shop::new("").await;
        shop.push(&[
            ("base/app.yaml", &service("web", &[])),
            (
                "production/environment.yaml",
                &environment("production", "  base: ../base\n"),
            ),
            ("production/own.yaml", &service("worker", &[])),
            (
                "staging/environment.yaml",
                &environment("staging", "  base: ../base\n"),
            ),
        ])
        .await;
        shop
    }

    /// Pushes, fetches and looks.
    pub async fn push(&mut self, files: &[(&str, &str)]) -> Look {
        let id = self.origin.push(files);
        self.look(id, now()).await
    }

    pub async fn look(&mut self, commit: Id, now: Timestamp) -> Look {
        self.repository.fetch().await.unwrap();
        let look = self
            .repository
            .look(commit, &self.known, now)
            .await
            .unwrap();
        self.known.extend(look.environments.keys().cloned());
        look
    }
}

/// Each environment with the codes of its problems.
fn told(look: &Look) -> Vec<String> {
    look.environments
        .iter()
        .map(|(directory, result)| match result {
            Ok(manifests) => {
                let names: Vec<String> = manifests.desired().all().map(|(name, _)| name).collect();
                format!("{directory}: {}", names.join(" "))
            }
            Err(broken) => {
                let codes: BTreeSet<&str> =
                    broken.problems.iter().map(|problem| problem.code).collect();
                format!("{directory}: {codes:?}")
            }
        })
        .collect()
}

#[tokio::test]
async fn every_directory_with_an_environment_is_one_and_a_base_is_none() {
    let mut shop = Shop::with_two().await;
    let look = shop.push(&[("docs/example.yaml", "anything: true")]).await;
    assert_eq!(
        told(&look),
        [
            "production: Environment/production Service/web Service/worker",
            "staging: Environment/staging Service/web",
        ]
    );
}

#[tokio::test]
async fn only_what_is_below_the_path_is_found_and_a_base_may_lie_outside() {
    let mut shop = Shop::new("live").await;
    let look = shop
        .push(&[
            ("shared/app.yaml", &service("web", &[])),
            (
                "live/eu/production/environment.yaml",
                &environment("production", "  base: ../../../shared\n"),
            ),
            ("elsewhere/environment.yaml", &environment("elsewhere", "")),
        ])
        .await;
    assert_eq!(
        told(&look),
        ["live/eu/production: Environment/production Service/web"]
    );
}

#[tokio::test]
async fn the_whole_repository_can_be_one_environment() {
    let mut shop = Shop::new("").await;
    let look = shop
        .push(&[
            ("environment.yaml", &environment("production", "")),
            ("web/web.yaml", &service("web", &[])),
        ])
        .await;
    assert_eq!(told(&look), [": Environment/production Service/web"]);
}

#[tokio::test]
async fn a_problem_of_one_environment_does_not_concern_the_others() {
    let mut shop = Shop::with_two().await;
    let look = shop.push(&[("production/own.yaml", "kind: Servce")]).await;
    assert!(look.environments["production"].is_err());
    assert!(look.environments["staging"].is_ok());

    // Nor does one whose Environment itself cannot be read, although it cannot be told what it is.
    let look = shop
        .push(&[("production/environment.yaml", "kind: Environment\n  {")])
        .await;
    assert!(look.environments["production"].is_err());
    assert!(look.environments["staging"].is_ok());

    // A base is everybody's.
    let look = shop.push(&[("base/app.yaml", "{")]).await;
    assert!(look.environments["staging"].is_err());
}

#[tokio::test]
async fn a_base_behind_a_link_or_outside_the_repository_is_none() {
    let mut shop = Shop::new("").await;
    let look = shop
        .push(&[
            ("base/app.yaml", &service("web", &[])),
            (
                "a/environment.yaml",
                &environment("a", "  base: ../../outside\n"),
            ),
            (
                "b/environment.yaml",
                &environment("b", "  base: ../environment.md\n"),
            ),
            ("environment.md", "not a directory"),
        ])
        .await;
    assert_eq!(told(&look), ["a: {\"base\"}", "b: {\"not-a-directory\"}"]);
}

#[tokio::test]
async fn two_directories_that_claim_the_same_are_both_refused() {
    let mut shop = Shop::new("").await;
    let other = environment("b", "");
    for (what, text) in [
        (
            "the Railway environment",
            other.replace("environment: b", "environment: A"),
        ),
        ("the prefix of secrets", other.replace("B_", "A_")),
        ("the name", other.replace("name: b", "name: a")),
    ] {
        let look = shop
            .push(&[
                ("a/environment.yaml", &environment("a", "")),
                ("b/environment.yaml", &text),
                ("c/environment.yaml", &environment("c", "")),
            ])
            .await;
        for directory in ["a", "b"] {
            let broken = look.environments[directory].as_ref().unwrap_err();
            let messages: Vec<&str> = broken
                .problems
                .iter()
                .map(|problem| problem.message.as_str())
                .collect();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].starts_with(what), "{messages:?}");
        }
        assert!(look.environments["c"].is_ok());
    }
}

#[tokio::test]
async fn a_path_that_is_gone_is_a_problem_and_not_an_empty_repository() {
    let mut shop = Shop::new("live").await;
    shop.push(&[("live/a/environment.yaml", &environment("a", ""))])
        .await;
    let look = shop
        .push(&[("live/a/environment.yaml", ""), ("README.md", "empty")])
        .await;
    assert_eq!(look.problems[0].code, "not-a-directory");
}

#[tokio::test]
async fn only_what_changed_is_parsed_and_loaded_again() {
    let mut shop = Shop::with_two().await;
    // Four files, of which the base serves two environments.
    assert_eq!(shop.repository.counts(), (4, 2));

    // Nothing of any environment.
    shop.push(&[("README.md", "Shop")]).await;
    assert_eq!(shop.repository.counts(), (4, 2));

    // One file of one environment.
    let look = shop
        .push(&[("production/own.yaml", &service("worker", &["NEW"]))])
        .await;
    assert!(look.environments["production"].is_ok());
    assert_eq!(shop.repository.counts(), (5, 3));

    // The base of both.
    let look = shop
        .push(&[("base/app.yaml", &service("web", &["NEW"]))])
        .await;
    assert_eq!(shop.repository.counts(), (6, 5));
    let web = look.environments["staging"].as_ref().unwrap().desired();
    let web = &web.documents().services["web"];
    assert!(web.spec.variables.contains_key("NEW"));
}

#[tokio::test]
async fn a_time_that_was_too_far_ahead_is_in_order_when_it_comes_near() {
    let mut shop = Shop::new("").await;
    let service = service("web", &[]) + "  restartedAfter: 2026-12-20T03:00:00Z\n";
    let look = shop
        .push(&[
            ("a/environment.yaml", &environment("a", "")),
            ("a/web.yaml", &service),
        ])
        .await;
    assert_eq!(told(&look), ["a: {\"far-ahead\"}"]);

    let near = "2026-12-19T03:00:00Z".parse().unwrap();
    let look = shop.look(look.commit, near).await;
    assert!(look.environments["a"].is_ok());

    // A clock that was put back must not find it in order.
    let look = shop.look(look.commit, now()).await;
    assert_eq!(told(&look), ["a: {\"far-ahead\"}"]);
}
