//! Fetching: what is new, what was rewritten, and that a mirror survives whatever happens to it.

use super::origin::{Origin, config, mirror, path, quick};
use reconciler::repository::{Access, Limits, Mirror, Source, Trouble};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn a_fetch_gives_the_head_and_says_whether_it_follows_the_last_one() {
    let origin = Origin::new();
    let first = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;

    let fetched = mirror.fetch().await.unwrap();
    assert_eq!(
        (fetched.head, fetched.before, fetched.is_rewritten),
        (first, None, false)
    );

    let second = origin.push(&[("a.yaml", "a: 2")]);
    let fetched = mirror.fetch().await.unwrap();
    assert_eq!(
        (fetched.head, fetched.before, fetched.is_rewritten),
        (second, Some(first), false)
    );
    assert!(mirror.is_ancestor(first, second).await.unwrap());
    assert!(!mirror.is_ancestor(second, first).await.unwrap());

    let fetched = mirror.fetch().await.unwrap();
    assert_eq!(
        (fetched.head, fetched.before, fetched.is_rewritten),
        (second, Some(second), false)
    );
    assert_eq!(mirror.head().await.unwrap(), Some(second));
}

#[tokio::test]
async fn what_a_forced_push_left_behind_can_still_be_read() {
    let origin = Origin::new();
    let old = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();

    let new = origin.rewrite(&[("a.yaml", "a: 2")]);
    let fetched = mirror.fetch().await.unwrap();

    assert_eq!(
        (fetched.head, fetched.before, fetched.is_rewritten),
        (new, Some(old), true)
    );
    assert!(!mirror.is_ancestor(old, new).await.unwrap());
    assert_eq!(mirror.commit(old).await.unwrap().id, old);

    // Nobody needs it any more: with the next tidying it is gone.
    mirror.keep(&BTreeSet::new()).await.unwrap();
    let kept = fs::read_dir(origin.home.path().join("here/mirror.git/refs/kept"));
    assert_eq!(kept.map_or(0, Iterator::count), 0);
}

#[tokio::test]
async fn a_commit_says_who_when_and_what() {
    let origin = Origin::new();
    let id = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();

    let commit = mirror.commit(id).await.unwrap();

    assert_eq!(commit.author, "Anna");
    assert_eq!(commit.email, "anna@example.com");
    assert_eq!(commit.subject, "Change");
    assert_eq!(commit.time.as_second(), 1_795_000_000);
}

#[tokio::test]
async fn only_commits_that_touch_a_path_are_between() {
    let origin = Origin::new();
    let first = origin.push(&[("production/a.yaml", "a: 1")]);
    let second = origin.push(&[("production/a.yaml", "a: 2")]);
    origin.push(&[("staging/a.yaml", "a: 3")]);
    let fourth = origin.push(&[("base/a.yaml", "a: 4")]);
    let head = origin.push(&[("README.md", "five")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();

    let between = mirror
        .between(first, head, &["production", "base"], 10)
        .await
        .unwrap();
    assert_eq!(between, Some(vec![fourth, second]));
    let everything = mirror.between(first, head, &[""], 10).await.unwrap();
    assert_eq!(everything.unwrap().len(), 4);
    assert_eq!(mirror.between(first, head, &[""], 3).await.unwrap(), None);
}

/// What happens to a mirror, in words and in fact.
type Damage = (&'static str, fn(&Path));

#[tokio::test]
async fn a_damaged_mirror_is_fetched_anew() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let mirror_path = origin.home.path().join("here/mirror.git");
    let damages: [Damage; 5] = [
        ("it is gone", |mirror| fs::remove_dir_all(mirror).unwrap()),
        ("its objects are gone", |mirror| {
            fs::remove_dir_all(mirror.join("objects")).unwrap();
            fs::create_dir(mirror.join("objects")).unwrap();
        }),
        ("its settings are nonsense", |mirror| {
            fs::write(mirror.join("config"), "[[[").unwrap();
        }),
        ("its branch is nonsense", |mirror| {
            let _ = fs::remove_file(mirror.join("packed-refs"));
            fs::create_dir_all(mirror.join("refs/heads")).unwrap();
            fs::write(mirror.join("refs/heads/head"), "what").unwrap();
        }),
        ("its HEAD is gone", |mirror| {
            fs::remove_file(mirror.join("HEAD")).unwrap();
        }),
    ];
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    for (what, damage) in damages {
        damage(&mirror_path);
        let newest = origin.push(&[("a.yaml", &format!("a: {what}"))]);
        let fetched = mirror
            .fetch()
            .await
            .unwrap_or_else(|trouble| panic!("{what}: {trouble}"));
        assert_eq!(fetched.head, newest, "{what}");
        assert!(mirror.commit(newest).await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn a_lock_that_a_killed_git_left_is_in_nobodys_way() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    origin.mirror().await.fetch().await.unwrap();
    let here = origin.home.path().join("here/mirror.git");
    fs::write(here.join("refs/heads/head.lock"), "").unwrap();
    fs::write(here.join("packed-refs.lock"), "").unwrap();
    let newest = origin.push(&[("a.yaml", "a: 2")]);

    let mut again = origin.mirror().await;

    assert_eq!(again.fetch().await.unwrap().head, newest);
}

#[tokio::test]
async fn a_server_that_is_gone_changes_nothing() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    fs::rename(origin.path(), origin.home.path().join("away")).unwrap();

    let trouble = mirror.fetch().await.unwrap_err();

    assert!(matches!(trouble, Trouble::Refused(_)), "{trouble:?}");
    assert_eq!(mirror.head().await.unwrap(), Some(head));
    assert!(mirror.commit(head).await.is_ok());
}

#[tokio::test]
async fn a_branch_that_is_renamed_is_named_with_the_servers_own() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    origin.git(&["branch", "-m", "main", "trunk"], b"");

    let trouble = mirror.fetch().await.unwrap_err();

    assert_eq!(
        trouble.to_string(),
        "there is no branch `main` any more; the server's own is `trunk`"
    );
    assert_eq!(mirror.head().await.unwrap(), Some(head));
}

#[tokio::test]
async fn an_empty_repository_is_said_to_be_empty() {
    let origin = Origin::new();
    let mut mirror = origin.mirror().await;

    let trouble = mirror.fetch().await.unwrap_err();

    assert!(trouble.to_string().contains("empty"), "{trouble}");
    assert_eq!(mirror.head().await.unwrap(), None);
}

#[tokio::test]
async fn trees_that_could_lead_elsewhere_are_not_even_fetched() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    for name in [".git", ".."] {
        origin.git(&["update-ref", "refs/heads/main", &head.to_string()], b"");
        origin.push_raw(&[name], &[("100644", b"a.yaml", origin.blob(b"a: 2"))]);

        let trouble = mirror.fetch().await.unwrap_err();

        assert!(
            matches!(trouble, Trouble::Refused(_)),
            "{name}: {trouble:?}"
        );
        assert_eq!(mirror.head().await.unwrap(), Some(head));
    }
}

#[tokio::test]
async fn neither_hooks_nor_settings_of_the_person_are_used() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let proof = origin.home.path().join("proof");
    let mut mirror = origin.mirror().await;
    let hooks = origin.home.path().join("here/mirror.git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let hook = hooks.join("reference-transaction");
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", proof.display())).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    mirror.fetch().await.unwrap();

    assert!(!proof.exists());
}

#[tokio::test]
async fn the_mirror_does_not_grow_with_every_fetch() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 0")]);
    let mut mirror = origin.mirror().await;
    mirror.fetch().await.unwrap();
    let objects = origin.home.path().join("here/mirror.git/objects");
    for round in 0..4 {
        // A pack a fetch is many objects; loose ones are few.
        let files: Vec<(String, String)> = (0..200)
            .map(|file| (format!("d/{file}.yaml"), format!("a: {round}-{file}")))
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        for step in 0..4 {
            origin.push(&[("a.yaml", &format!("a: {round} {step}"))]);
            origin.push(&files);
            mirror.fetch().await.unwrap();
        }
    }
    let packs = fs::read_dir(objects.join("pack")).unwrap().count();
    assert!(packs < 60, "{packs} files of packs");
}

#[tokio::test]
async fn a_git_that_hangs_is_ended_with_all_that_it_started() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let bin = origin.home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let pids = origin.home.path().join("pids");
    let git = format!(
        "#!/bin/sh\nsleep 300 &\necho $! >> {0}\necho $$ >> {0}\nwait\n",
        pids.display()
    );
    fs::write(bin.join("ssh"), git).unwrap();
    fs::set_permissions(
        bin.join("ssh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let path = format!("{}:{}", bin.display(), path());
    let config = config(&[
        ("PATH", path.as_str()),
        ("RECONCILER_GIT_KEY", "/keys/id"),
        ("RECONCILER_GIT_KNOWN_HOSTS", "/keys/known"),
    ]);
    let source = Source::new("git@git.example.com:shop/manifests.git", "main", "").unwrap();
    let limits = Limits {
        ask: Duration::from_millis(500),
        ..quick()
    };
    let mut mirror = Mirror::open(
        &origin.home.path().join("here"),
        source,
        Access::of(&config),
        limits,
    )
    .await
    .unwrap();

    let trouble = mirror.fetch().await.unwrap_err();

    assert!(matches!(trouble, Trouble::Unreachable(_)), "{trouble:?}");
    let pids = fs::read_to_string(pids).unwrap();
    assert!(pids.lines().count() >= 2, "{pids}");
    for pid in pids.lines() {
        assert!(ended(pid), "{pid} is still there");
    }
}

/// Whether a process is gone, or only waits to be counted.
fn ended(pid: &str) -> bool {
    (0..200).any(|_| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let is_ended = status.is_empty() || status.contains("State:\tZ");
        if !is_ended {
            std::thread::yield_now();
            std::thread::sleep(Duration::from_millis(5));
        }
        is_ended
    })
}

/// The far end of ssh, without a network: it says how it was called, and serves what it was asked for.
#[tokio::test]
async fn ssh_takes_this_key_and_these_hosts_and_asks_nobody() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let bin = origin.home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let said = origin.home.path().join("said");
    let ssh = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nfor last; do :; done\nexec sh -c \"$last\"\n",
        said.display()
    );
    fs::write(bin.join("ssh"), ssh).unwrap();
    fs::set_permissions(
        bin.join("ssh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let path = format!("{}:{}", bin.display(), path());
    let config = config(&[
        ("PATH", path.as_str()),
        ("RECONCILER_GIT_KEY", "/keys/id_ed25519"),
        ("RECONCILER_GIT_KNOWN_HOSTS", "/keys/known_hosts"),
    ]);
    let url = format!("ssh://git@git.example.com:2222{}", origin.path().display());
    let source = Source::new(&url, "main", "").unwrap();
    let mut mirror = mirror(&origin.home.path().join("here"), source, &config).await;

    assert_eq!(mirror.fetch().await.unwrap().head, head);

    let said = fs::read_to_string(said).unwrap();
    for words in [
        "-F /dev/null",
        "-i /keys/id_ed25519",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/keys/known_hosts",
        "-p 2222",
        "git@git.example.com",
    ] {
        assert!(
            said.lines().all(|line| line.contains(words)),
            "{words} is not in {said}"
        );
    }
}

#[tokio::test]
async fn ssh_without_a_key_or_hosts_says_what_to_set() {
    let origin = Origin::new();
    let source = Source::new("git@git.example.com:shop/manifests.git", "main", "").unwrap();
    let mut mirror = mirror(&origin.home.path().join("here"), source, &config(&[])).await;

    let trouble = mirror.fetch().await.unwrap_err();

    assert!(
        trouble.to_string().contains("RECONCILER_GIT_KEY"),
        "{trouble}"
    );
}

#[test]
fn addresses_that_make_git_do_something_else_are_refused() {
    for (url, word) in [
        ("", "empty"),
        ("-uoption", "begins with `-`"),
        ("--upload-pack=touch /tmp/x", "begins with `-`"),
        ("ext::sh -c id", "space"),
        ("ext::sh", "run a program"),
        ("ext::https://host/x", "run a program"),
        ("fd::17/x", "run a program"),
        ("https://anna:s3cr3t-word@host/a/b", "RECONCILER_GIT_TOKEN"),
        ("https://:s3cr3t-word@host/a/b", "RECONCILER_GIT_TOKEN"),
        ("https://-host/a/b", "write `https://"),
        ("https://host", "write `https://"),
        ("https://host/a?token=s3cr3t-word", "`?`"),
        ("http://example.com/a", "this machine only"),
        ("http://127.0.0.1.example.com/a", "this machine only"),
        ("git://host/a", "must begin with"),
        ("ftp://host/a", "must begin with"),
        ("ssh://-oProxyCommand=id/a", "write `ssh://"),
        ("ssh://git@-oProxyCommand=id/a", "write `ssh://"),
        ("ssh://-l@host/a", "write `ssh://"),
        ("ssh://git:s3cr3t-word@host/a", "password"),
        ("git@-oProxyCommand:a", "write `git@host"),
        ("host:path", "write `git@host"),
        ("https://host/a\nb", "invisible"),
        ("file://relative", "file:///"),
    ] {
        let words = Source::new(url, "main", "").expect_err(url);
        assert!(words.contains(word), "{url}: {words}");
        assert!(!words.contains("s3cr3t"), "{url}: {words}");
    }
    for good in [
        "https://github.com/shop/manifests",
        "https://anna@host:8443/a.git",
        "http://localhost:3000/a.git",
        "http://[::1]:3000/a.git",
        "ssh://git@host:22/a.git",
        "git@github.com:shop/manifests.git",
        "file:///srv/manifests.git",
        "/srv/manifests.git",
        "./manifests",
        "manifests",
    ] {
        assert!(Source::new(good, "main", "manifests").is_ok(), "{good}");
    }
    let source = Source::new("https://anna@host/a.git", "main", "./manifests/").unwrap();
    assert_eq!(
        (source.address(), source.user(), source.path()),
        ("https://host/a.git", Some("anna"), "manifests")
    );
}

#[test]
fn branches_and_paths_that_git_would_read_otherwise_are_refused() {
    for branch in [
        "", "-uoption", "--all", "a..b", "a b", "a:b", "+main", "main^", "main~1", "@{u}", "a/",
        "/a", "a//b", "a.lock", "a.lock/b", ".a", "a\\b", "a*", "a?", "a[", "a\nb",
    ] {
        let result = Source::new("/srv/a", branch, "");
        assert!(result.is_err() || branch == "+main", "{branch:?}");
    }
    assert!(Source::new("/srv/a", "feature/x-1", "").is_ok());
    for path in [
        "..", "a/../b", "/a", ".git", "a/.git", "a b", "a\n", ":(top)",
    ] {
        assert!(Source::new("/srv/a", "main", path).is_err(), "{path:?}");
    }
}
