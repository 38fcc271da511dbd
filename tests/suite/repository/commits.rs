//! What stands in a commit that no person should be deceived by: links, submodules, odd names, files without end.

use super::environments::{Shop, environment, now, opened};
use super::origin::Origin;
use reconciler::repository::{Look, Mirror};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What is wrong with `production`, as `code file`.
fn wrong(look: &Look) -> Vec<String> {
    match &look.environments["production"] {
        Ok(_) => Vec::new(),
        Err(broken) => broken
            .problems
            .iter()
            .map(|problem| format!("{} {}", problem.code, problem.file))
            .collect(),
    }
}

/// An entry of a tree: its mode, its name, and its content where it has any here.
type Raw<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

/// The environment with one more entry in its directory, written into the mirror itself: no server and no check stands before it.
async fn with_raw(entries: &[Raw<'_>]) -> Look {
    let origin = Origin::new();
    origin.push(&[("README.md", "Shop")]);
    let mut repository = opened(&origin, "").await;
    repository.fetch().await.unwrap();
    let text = environment("production", "");
    let mut all = vec![(
        "100644",
        &b"environment.yaml"[..],
        origin.blob(text.as_bytes()),
    )];
    for (mode, name, content) in entries {
        let id = match content {
            Some(content) if *mode == "40000" => {
                let blob = origin.blob(content);
                origin.raw_tree(&[("100644", b"a.yaml", blob)])
            }
            Some(content) => origin.blob(content),
            None => "1234567890123456789012345678901234567890".to_owned(),
        };
        all.push((mode, name, id));
    }
    let commit = origin.push_raw(&["production"], &all);
    copy(
        &origin.path().join("objects"),
        &mirror(&origin).join("objects"),
    );
    repository
        .look(commit, &BTreeSet::new(), now())
        .await
        .unwrap()
}

fn mirror(origin: &Origin) -> std::path::PathBuf {
    origin.home.path().join("here/mirror.git")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if !target.exists() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn what_could_lead_elsewhere_is_a_problem_with_its_name() {
    let large = vec![b'x'; 2 * 1024 * 1024];
    let not_text: &[u8] = &[0xff, 0xfe, 0x00];
    let cases: &[(&[Raw<'_>], &str)] = &[
        (
            &[("120000", b"users.yaml", Some(b"/etc/passwd"))],
            "not-a-file production/users.yaml",
        ),
        (
            &[("120000", b"more", Some(b"../production"))],
            "not-a-file production/more",
        ),
        (
            &[("160000", b"module", None)],
            "submodule production/module",
        ),
        (
            &[("40000", b".git", Some(b"a: 1"))],
            "odd-name production/.git/a.yaml",
        ),
        (
            &[("40000", b"..", Some(b"a: 1"))],
            "odd-name production/../a.yaml",
        ),
        (
            &[("40000", b".GIT", Some(b"a: 1"))],
            "odd-name production/.GIT/a.yaml",
        ),
        (
            &[("100644", b"a b.yaml", Some(b"a: 1"))],
            "odd-name production/a b.yaml",
        ),
        (
            &[("100644", b"a\nb.yaml", Some(b"a: 1"))],
            "odd-name production/a\\nb.yaml",
        ),
        (
            &[("100644", b"a\x1b[2J.yaml", Some(b"a: 1"))],
            "odd-name production/a\\u{1b}[2J.yaml",
        ),
        (
            &[("100644", b"\xff.yaml", Some(b"a: 1"))],
            "odd-name production/\\u{fffd}.yaml",
        ),
        (
            &[("40000", b"a b", Some(b"a: 1"))],
            "odd-name production/a b/a.yaml",
        ),
        (
            &[("100644", b"large.yaml", Some(&large))],
            "too-large production/large.yaml",
        ),
        (
            &[("100644", b"bytes.yaml", Some(not_text))],
            "not-utf-8 production/bytes.yaml",
        ),
        (
            &[
                ("100644", b"App.yaml", Some(b"")),
                ("100644", b"app.yaml", Some(b"")),
            ],
            "name-clash production/app.yaml",
        ),
        (
            &[("40000", b"App", Some(b"")), ("40000", b"app", Some(b""))],
            "name-clash production/app",
        ),
        (
            &[
                ("100644", b"app.yaml", Some(b"a: 1")),
                ("100644", b"app.yaml", Some(b"a: 2")),
            ],
            "name-clash production/app.yaml",
        ),
    ];
    for (entries, expected) in cases {
        let look = with_raw(entries).await;
        assert_eq!(wrong(&look), [*expected], "{entries:?}");
    }
}

#[tokio::test]
async fn what_is_no_manifest_is_nobodys_business() {
    let look = with_raw(&[
        ("120000", b"README.md", Some(b"../README.md")),
        ("120000", b"away", Some(b"/etc/passwd")),
        ("100644", b"notes (1).txt", Some(b"anything")),
        ("100644", b".hidden.yaml", Some(b"{")),
        ("40000", b".github", Some(b"{")),
        ("100755", b"script.yaml", Some(b"")),
    ])
    .await;
    assert_eq!(wrong(&look), [""; 0]);
}

#[tokio::test]
async fn too_many_files_are_one_problem() {
    let files: Vec<(String, String)> = (0..2_010)
        .map(|number| {
            (
                format!("production/many/{number}.yaml"),
                "# nothing".to_owned(),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let mut shop = Shop::new("").await;
    shop.push(&[(
        "production/environment.yaml",
        &environment("production", ""),
    )])
    .await;
    let look = shop.push(&files).await;
    let problems = wrong(&look);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("too-many-files"), "{problems:?}");
}

#[tokio::test]
async fn a_mirror_that_lost_an_object_is_fetched_anew_by_the_look_that_misses_it() {
    let origin = Origin::new();
    let head = origin.push(&[(
        "production/environment.yaml",
        &environment("production", ""),
    )]);
    let mut repository = opened(&origin, "").await;
    repository.fetch().await.unwrap();
    for damage in ["gone", "nonsense"] {
        let pack = pack(&mirror(&origin));
        let mut bytes = fs::read(&pack).unwrap();
        fs::remove_file(&pack).unwrap();
        if damage == "nonsense" {
            // The file is the last object, before a digest of 20 bytes.
            let end = bytes.len() - 20;
            bytes[end - 8..end].fill(0);
            fs::write(&pack, bytes).unwrap();
        }
        let mut fresh = opened(&origin, "").await;
        let look = fresh.look(head, &BTreeSet::new(), now()).await.unwrap();
        assert!(look.environments["production"].is_ok(), "{damage}");
    }
}

/// The only pack of a mirror that was just made.
fn pack(mirror: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(mirror.join("objects/pack")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|ending| ending == "pack"))
        .unwrap()
}

#[tokio::test]
async fn a_directory_of_somebody_is_never_taken_for_the_mirror() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let precious = origin.home.path().join("here/precious.txt");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "mine").unwrap();
    let mut mirror: Mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    mirror.renew().await.unwrap();
    assert_eq!(fs::read_to_string(precious).unwrap(), "mine");
}
