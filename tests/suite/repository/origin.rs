//! A repository that people push to, with whatever content a test needs.

use reconciler::config::Config;
use reconciler::repository::{Access, Id, Limits, Mirror, Source};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A bare repository in a directory of its own, with room for mirrors beside it.
pub struct Origin {
    pub home: TempDir,
}

impl Origin {
    pub fn new() -> Origin {
        let origin = Origin {
            home: tempfile::tempdir().unwrap(),
        };
        origin.git(
            &["init", "--quiet", "--bare", "--initial-branch=main", "."],
            b"",
        );
        origin
    }

    /// The repository itself.
    pub fn path(&self) -> PathBuf {
        let path = self.home.path().join("origin.git");
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {words}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A commit that changes these files, on top of the branch; an empty text takes a file away.
    pub fn push(&self, files: &[(&str, &str)]) -> Id {
        self.push_to("main", files)
    }

    pub fn push_to(&self, branch: &str, files: &[(&str, &str)]) -> Id {
        let parent = format!("refs/heads/{branch}");
        let listed = self.git(&["for-each-ref", "--format=%(objectname)", &parent], b"");
        self.write(branch, &[listed.as_str()], files)
    }

    /// A commit without history on the branch: what a forced push leaves.
    pub fn rewrite(&self, files: &[(&str, &str)]) -> Id {
        self.write("main", &[], files)
    }

    /// A commit with these parents.
    pub fn write(&self, branch: &str, parents: &[&str], files: &[(&str, &str)]) -> Id {
        let mut stream = format!(
            "feature done\nreset refs/heads/{branch}\ncommit refs/heads/{branch}\nauthor Anna <anna@example.com> 1795000000 +0000\ncommitter Anna <anna@example.com> 1795000000 +0000\ndata 6\nChange\n"
        );
        for (position, parent) in parents
            .iter()
            .filter(|parent| !parent.is_empty())
            .enumerate()
        {
            let word = if position == 0 { "from" } else { "merge" };
            stream += &format!("{word} {parent}\n");
        }
        for (path, text) in files {
            if text.is_empty() {
                stream += &format!("D {path}\n");
            } else {
                stream += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
            }
        }
        stream += "done\n";
        self.git(
            &["fast-import", "--quiet", "--force", "--done"],
            stream.as_bytes(),
        );
        self.id(branch)
    }

    pub fn id(&self, name: &str) -> Id {
        self.git(&["rev-parse", name], b"").parse().unwrap()
    }

    /// The branch at a tree of raw entries, which git itself would not write: mode, name, id.
    pub fn push_raw(&self, path: &[&str], entries: &[(&str, &[u8], String)]) -> Id {
        let mut tree = self.raw_tree(entries);
        for name in path.iter().rev() {
            tree = self.raw_tree(&[("40000", name.as_bytes(), tree)]);
        }
        let parent = self.git(
            &["for-each-ref", "--format=%(objectname)", "refs/heads/main"],
            b"",
        );
        let mut text = format!("tree {tree}\n");
        if !parent.is_empty() {
            text += &format!("parent {parent}\n");
        }
        text += "author Anna <anna@example.com> 1795000000 +0000\ncommitter Anna <anna@example.com> 1795000000 +0000\n\nRaw\n";
        let commit = self.git(
            &["hash-object", "-t", "commit", "-w", "--stdin"],
            text.as_bytes(),
        );
        self.git(&["update-ref", "refs/heads/main", &commit], b"");
        commit.parse().unwrap()
    }

    pub fn raw_tree(&self, entries: &[(&str, &[u8], String)]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend(*name);
            bytes.push(0);
            let digits: Vec<u8> = id
                .bytes()
                .map(|digit| char::from(digit).to_digit(16).unwrap() as u8)
                .collect();
            bytes.extend(digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]));
        }
        self.git(
            &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
            &bytes,
        )
    }

    pub fn blob(&self, text: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], text)
    }

    pub fn source(&self) -> Source {
        Source::new(&self.url(), "main", "").unwrap()
    }

    /// A fresh mirror beside it.
    pub async fn mirror(&self) -> Mirror {
        self.mirror_of(self.source()).await
    }

    pub async fn mirror_of(&self, source: Source) -> Mirror {
        mirror(&self.home.path().join("here"), source, &config(&[])).await
    }
}

pub async fn mirror(directory: &std::path::Path, source: Source, config: &Config) -> Mirror {
    Mirror::open(directory, source, Access::of(config), quick())
        .await
        .unwrap()
}

pub fn quick() -> Limits {
    Limits {
        ask: Duration::from_secs(20),
        fetch: Duration::from_secs(20),
    }
}

/// What the product is started with, and where git is.
pub fn config(more: &[(&str, &str)]) -> Config {
    let path = path();
    Config::of(
        [("PATH", path.as_str())]
            .into_iter()
            .chain(more.iter().copied()),
    )
}

pub fn path() -> String {
    Config::read()
        .plain("PATH")
        .unwrap_or("/usr/bin:/bin")
        .to_owned()
}
