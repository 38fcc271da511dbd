//! The mirror: a bare copy of one branch on this machine, fetched, asked about its commits, and made anew when it is damaged.

use super::access::Access;
use super::command::{Failed, Git, Limits, Reach, Trouble};
use super::id::Id;
use super::source::Source;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Below the directory that people name, so that nothing of theirs is ever removed.
const NAME: &str = "mirror.git";
/// The branch as the mirror has it.
const HEAD: &str = "refs/heads/head";
/// Commits that are needed although the branch does not lead to them any more.
const KEPT: &str = "refs/kept/";
/// What git may print where a few lines are expected, bytes.
const FEW: usize = 64 * 1024;
/// What git may print where a list is expected, bytes.
const MANY: usize = 4 * 1024 * 1024;
/// More of a name or a subject than this is not shown, characters.
const LONGEST: usize = 200;

/// A bare copy of one branch.
#[derive(Debug)]
pub struct Mirror {
    pub(super) git: Git,
    pub(super) limits: Limits,
    pinned: Option<BTreeSet<Id>>,
    /// A head that could not be fetched although the mirror was found to be whole.
    unfetched: Option<Id>,
}

/// What a fetch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// The newest commit of the branch.
    pub head: Id,
    /// The newest one before.
    pub before: Option<Id>,
    /// Whether the newest one does not follow the one before: somebody has rewritten history.
    pub is_rewritten: bool,
}

/// A commit, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: Id,
    /// Who wrote it.
    pub author: String,
    /// How to reach them.
    pub email: String,
    /// When it was committed.
    pub time: Timestamp,
    /// The first line of its message.
    pub subject: String,
}

impl Mirror {
    /// The mirror below a directory, made where it is not there. No other process may use the same directory.
    ///
    /// # Errors
    /// When this machine cannot: no git, no room, no rights.
    pub async fn open(
        directory: &Path,
        source: Source,
        access: Access,
        limits: Limits,
    ) -> Result<Mirror, Trouble> {
        let mirror = Mirror {
            git: Git {
                directory: directory.join(NAME),
                source,
                access,
            },
            limits,
            pinned: None,
            unfetched: None,
        };
        mirror.without_locks();
        if mirror.head().await.is_err() {
            mirror.make().await?;
        }
        Ok(mirror)
    }

    /// The newest commit that was fetched.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] where the mirror cannot be read.
    pub async fn head(&self) -> Result<Option<Id>, Trouble> {
        if !self.git.directory.join("objects").is_dir() {
            return Err(Trouble::Damaged("it is not there".to_owned()));
        }
        let said = self
            .here(&["for-each-ref", "--format=%(objectname)", HEAD])
            .await;
        let said = said.map_err(Failed::here)?;
        let line = said.trim();
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(id(line)?))
    }

    /// Asks the server for the newest commit of the branch, and gets it where it is new.
    ///
    /// # Errors
    /// What was fetched before stays, whatever happens.
    pub async fn fetch(&mut self) -> Result<Fetched, Trouble> {
        let newest = self.asked().await?;
        let before = match self.head().await {
            Ok(before) => before,
            Err(Trouble::Damaged(words)) => {
                tracing::warn!("the mirror is fetched anew: {words}");
                self.make().await?;
                None
            }
            Err(other) => return Err(other),
        };
        if before == Some(newest) {
            return Ok(Fetched {
                head: newest,
                before,
                is_rewritten: false,
            });
        }
        self.get(newest).await?;
        let head = self.head().await?;
        let head = head.ok_or_else(|| Trouble::Damaged("nothing was fetched".to_owned()))?;
        let is_rewritten = match before {
            Some(before) => !self.is_ancestor(before, head).await.unwrap_or(false),
            None => false,
        };
        if let (Some(before), true) = (before, is_rewritten) {
            self.keep_too(before).await?;
        }
        self.tidy().await;
        Ok(Fetched {
            head,
            before,
            is_rewritten,
        })
    }

    /// Throws the mirror away and fetches it anew. Commits that the branch does not lead to any more are lost.
    ///
    /// # Errors
    /// As [`Mirror::fetch`].
    pub async fn renew(&mut self) -> Result<Fetched, Trouble> {
        self.make().await?;
        self.fetch().await
    }

    /// Whether a commit is in the history of another; not where one of them is not in the mirror.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] where the mirror cannot be read.
    pub async fn is_ancestor(&self, older: Id, newer: Id) -> Result<bool, Trouble> {
        let (older, newer) = (older.to_string(), newer.to_string());
        match self
            .here(&["merge-base", "--is-ancestor", &older, &newer])
            .await
        {
            Ok(_) => Ok(true),
            Err(Failed::Said { code: Some(1), .. }) => Ok(false),
            Err(failed) => {
                for id in [&older, &newer] {
                    if !self.holds(id).await {
                        return Ok(false);
                    }
                }
                Err(failed.here())
            }
        }
    }

    /// Whether the mirror has a commit.
    pub async fn has(&self, commit: Id) -> bool {
        self.holds(&commit.to_string()).await
    }

    /// Whether the mirror has a commit whose id begins so.
    pub async fn knows(&self, beginning: &str) -> bool {
        self.holds(beginning).await
    }

    async fn holds(&self, commit: &str) -> bool {
        let name = format!("{commit}^{{commit}}");
        self.here(&["cat-file", "-e", &name]).await.is_ok()
    }

    /// A commit, as people are shown it.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] where it is not there.
    pub async fn commit(&self, commit: Id) -> Result<Commit, Trouble> {
        let name = commit.to_string();
        let format = "--format=%an%x00%ae%x00%ct%x00%s";
        let said = self
            .here(&[
                "show",
                "--no-patch",
                "--no-show-signature",
                "--no-notes",
                format,
                &name,
                "--",
            ])
            .await;
        let said = said.map_err(Failed::here)?;
        let mut parts = said.trim_end().split('\0');
        let mut part = || shown(parts.next().unwrap_or_default());
        let (author, email, time, subject) = (part(), part(), part(), part());
        let time = time
            .parse()
            .ok()
            .and_then(|time| Timestamp::from_second(time).ok());
        Ok(Commit {
            id: commit,
            author,
            email,
            time: time.unwrap_or(Timestamp::UNIX_EPOCH),
            subject,
        })
    }

    /// The commits after one and up to another that change something at some paths, the newest first, at most so many;
    /// nothing where there are more. Those on merged branches are among them.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] where one of them is not there.
    pub async fn between(
        &self,
        after: Id,
        up_to: Id,
        paths: &[&str],
        most: usize,
    ) -> Result<Option<Vec<Id>>, Trouble> {
        let range = format!("{after}..{up_to}");
        let count = format!("--max-count={}", most + 1);
        let mut arguments = vec!["rev-list", "--full-history", &count, &range, "--"];
        // All of the repository is no path to git.
        if !paths.contains(&"") {
            arguments.extend(paths);
        }
        let said = self.listed(&arguments).await.map_err(Failed::here)?;
        let ids: Vec<Id> = said.lines().map(id).collect::<Result<_, _>>()?;
        Ok((ids.len() <= most).then_some(ids))
    }

    /// Keeps these commits with their history, and of those that the branch does not lead to any more no others.
    ///
    /// # Errors
    /// As [`Mirror::head`]. A commit that is not in the mirror is passed over.
    pub async fn keep(&mut self, commits: &BTreeSet<Id>) -> Result<(), Trouble> {
        let said = self
            .listed(&["for-each-ref", "--format=%(objectname)", KEPT])
            .await;
        let kept: BTreeSet<Id> = said
            .map_err(Failed::here)?
            .lines()
            .map(id)
            .collect::<Result<_, _>>()?;
        for gone in kept.difference(commits) {
            self.reference(&["update-ref", "-d", &format!("{KEPT}{gone}")])
                .await?;
        }
        for new in commits.difference(&kept) {
            if self.has(*new).await {
                self.kept(*new).await?;
            }
        }
        self.pinned = Some(commits.clone());
        Ok(())
    }

    /// Keeps one more; before the first [`Mirror::keep`] nobody has said which are needed, so that all are.
    async fn keep_too(&mut self, commit: Id) -> Result<(), Trouble> {
        match self.pinned.take() {
            Some(mut pinned) => {
                pinned.insert(commit);
                let result = self.keep(&pinned).await;
                // It belongs to the next answer, not to the list of those who asked.
                pinned.remove(&commit);
                self.pinned = Some(pinned);
                result
            }
            None => self.kept(commit).await,
        }
    }

    async fn kept(&self, commit: Id) -> Result<(), Trouble> {
        let name = format!("{KEPT}{commit}");
        self.reference(&["update-ref", &name, &commit.to_string()])
            .await
    }

    async fn reference(&self, arguments: &[&str]) -> Result<(), Trouble> {
        self.here(arguments).await.map(drop).map_err(Failed::here)
    }

    /// The newest commit of the branch, as the server says.
    async fn asked(&self) -> Result<Id, Trouble> {
        let branch = format!("refs/heads/{}", self.git.source.branch());
        let arguments = [
            "ls-remote",
            "--symref",
            "--",
            self.git.source.address(),
            &branch,
            "HEAD",
        ];
        let said = self
            .git
            .run(Reach::Server, &arguments, self.limits.ask, FEW)
            .await;
        let said = said.map_err(|failed| self.of_server(&failed))?;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().filter_map(|line| line.split_once('\t'));
        if let Some((commit, _)) = lines.clone().find(|(_, name)| *name == branch) {
            return id(commit)
                .map_err(|_| Trouble::Refused("the server's answer is not understood".to_owned()));
        }
        let other = lines.find_map(|(target, name)| {
            (name == "HEAD").then(|| target.strip_prefix("ref: refs/heads/"))?
        });
        let branch = self.git.source.branch();
        Err(Trouble::Refused(match other {
            Some(other) => format!(
                "there is no branch `{branch}` any more; the server's own is `{}`",
                shown(other)
            ),
            None => format!(
                "there is no branch `{branch}`: the repository is empty, or the branch was never pushed"
            ),
        }))
    }

    /// Gets the branch, into a mirror that is made anew where it is found to be damaged.
    async fn get(&mut self, newest: Id) -> Result<(), Trouble> {
        let Err(failed) = self.got().await else {
            self.unfetched = None;
            return Ok(());
        };
        let trouble = self.of_server(&failed);
        if self.unfetched == Some(newest) || self.is_whole().await {
            self.unfetched = Some(newest);
            return Err(trouble);
        }
        tracing::warn!("the mirror is fetched anew: {trouble}");
        self.make().await?;
        self.got().await.map_err(|failed| self.of_server(&failed))
    }

    async fn got(&self) -> Result<(), Failed> {
        let refspec = format!("+refs/heads/{}:{HEAD}", self.git.source.branch());
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--",
            self.git.source.address(),
            &refspec,
        ];
        self.git
            .run(Reach::Both, &arguments, self.limits.fetch, FEW)
            .await
            .map(drop)
    }

    /// Whether everything is there that the mirror's commits lead to.
    async fn is_whole(&self) -> bool {
        let arguments = [
            "fsck",
            "--connectivity-only",
            "--no-dangling",
            "--no-progress",
        ];
        let said = self
            .git
            .run(Reach::Mirror, &arguments, self.limits.fetch, MANY)
            .await;
        !matches!(said, Err(Failed::Said { .. }))
    }

    /// Packs what has piled up. A mirror that cannot be tidied is only larger.
    async fn tidy(&self) {
        let said = self
            .git
            .run(
                Reach::Mirror,
                &["gc", "--auto", "--quiet"],
                self.limits.fetch,
                FEW,
            )
            .await;
        if let Err(failed) = said {
            tracing::warn!("the mirror is not tidied: {}", failed.words());
        }
    }

    /// An empty mirror in the place of whatever is there.
    async fn make(&self) -> Result<(), Trouble> {
        let directory = &self.git.directory;
        let failed = |failure: std::io::Error| {
            Trouble::Here(format!(
                "the mirror cannot be made in {}: {failure}",
                directory.display()
            ))
        };
        match fs::remove_dir_all(directory) {
            Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(failure));
            }
            _ => fs::create_dir_all(directory).map_err(failed)?,
        }
        let arguments = [
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=head",
            ".",
        ];
        let made = self.here(&arguments).await;
        made.map(drop)
            .map_err(|failed| Trouble::Here(failed.words()))
    }

    /// What a git that was killed has left locked. The directory is ours alone.
    fn without_locks(&self) {
        for folder in [
            "",
            "refs/heads",
            "refs/kept",
            "objects/info",
            "objects/pack",
        ] {
            let entries = fs::read_dir(self.git.directory.join(folder));
            for entry in entries.into_iter().flatten().filter_map(Result::ok) {
                let path = entry.path();
                let is_left = path.extension().is_some_and(|ending| ending == "lock")
                    || path.file_name().is_some_and(|name| name == "gc.pid");
                if is_left {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }

    async fn here(&self, arguments: &[&str]) -> Result<String, Failed> {
        self.local(arguments, FEW).await
    }

    async fn listed(&self, arguments: &[&str]) -> Result<String, Failed> {
        self.local(arguments, MANY).await
    }

    async fn local(&self, arguments: &[&str], most: usize) -> Result<String, Failed> {
        let said = self
            .git
            .run(Reach::Mirror, arguments, self.limits.ask, most)
            .await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    fn of_server(&self, failed: &Failed) -> Trouble {
        let server = self.git.source.address();
        match failed {
            Failed::NotStarted(words) => Trouble::Here(words.clone()),
            Failed::TooSlow(_) | Failed::TooMuch => Trouble::Unreachable(format!(
                "{server} does not answer in time: {}",
                failed.words()
            )),
            Failed::Said { words, .. } => {
                let lower = words.to_lowercase();
                let is = |words: &[&str]| words.iter().any(|word| lower.contains(word));
                if is(PASSING) || !is(FINAL) {
                    Trouble::Unreachable(format!("{server} cannot be reached: {words}"))
                } else if is(DENIED) {
                    Trouble::Refused(format!(
                        "{server} does not let us in (is RECONCILER_GIT_TOKEN right, may it read the repository?): {words}"
                    ))
                } else {
                    Trouble::Refused(format!("{server} cannot be fetched: {words}"))
                }
            }
        }
    }
}

/// Words of git about a server that does not let us in.
const DENIED: &[&str] = &[
    "could not read username",
    "authentication failed",
    "error: 401",
    "error: 403",
    "permission denied",
];

/// Words of git that another try does not change.
const FINAL: &[&str] = &[
    "could not read username",
    "authentication failed",
    "error: 401",
    "error: 403",
    "error: 404",
    "permission denied",
    "host key verification failed",
    "not found",
    "does not appear to be a git repository",
    "dubious ownership",
    "fsck error",
    "not allowed",
    "error: 3",
    "does not exist",
    "certificate",
];

/// Words of git that another try may change, whatever else it says.
const PASSING: &[&str] = &[
    "could not resolve",
    "connection refused",
    "timed out",
    "error: 5",
];

fn id(text: &str) -> Result<Id, Trouble> {
    text.parse()
        .map_err(|_| Trouble::Damaged("git names no commit where one is expected".to_owned()))
}

/// Text of a commit as it can be shown.
fn shown(text: &str) -> String {
    text.chars()
        .filter(|sign| !crate::kinds::shown::acts_on_the_screen(*sign))
        .take(LONGEST)
        .collect()
}
