//! Git, by its own program: what the commands of a person need of the work tree that they stand in.

use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

/// A directory inside somebody's work tree.
#[derive(Debug, Clone)]
pub struct WorkTree {
    directory: PathBuf,
}

impl WorkTree {
    /// The work tree around a directory, where there is one.
    pub async fn around(directory: &Path) -> Option<WorkTree> {
        let tree = WorkTree {
            directory: directory.to_owned(),
        };
        let said = tree
            .run(&["rev-parse", "--is-inside-work-tree"])
            .await
            .ok()?;
        (said.trim() == "true").then_some(tree)
    }

    /// Commits one file below the directory, and nothing else that may be there.
    ///
    /// # Errors
    /// In git's words.
    pub async fn commit(&self, file: &Path, message: &str) -> Result<(), String> {
        let file = file.to_string_lossy();
        self.run(&["add", "--", &file]).await?;
        self.run(&["commit", "--quiet", "--message", message, "--", &file])
            .await
            .map(drop)
    }

    /// The commit that the work tree is of.
    ///
    /// # Errors
    /// In words: git's, or that there is something in the work tree that the commit does not contain.
    pub async fn clean_commit(&self) -> Result<String, String> {
        let commit = self.run(&["rev-parse", "--verify", "HEAD"]).await?;
        let changed = self.run(&["status", "--porcelain"]).await?;
        if let Some(first) = changed.lines().next() {
            let file = first.get(3..).unwrap_or(first);
            return Err(format!("`{file}` is not committed: commit it first"));
        }
        Ok(commit.trim().to_owned())
    }

    /// Pushes the branch to where it comes from.
    ///
    /// # Errors
    /// In git's words.
    pub async fn push(&self) -> Result<(), String> {
        self.run(&["push", "--quiet"]).await.map(drop)
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.directory)
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|failure| format!("git cannot be started: {failure}"))?;
        said(&output)
    }
}

fn said(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = words.lines().map(str::trim).collect();
    Err(format!("git says: {}", words.join(" ")))
}
