//! The objects of the mirror by name: one git answers all questions of a look.

use super::command::{Failed, Git, Limits, Reach, Running, Trouble};
use super::id::Id;
use crate::files::LARGEST;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

/// So many questions are asked before their answers are read; a pipe holds them all.
const AT_ONCE: usize = 64;
/// A line of an answer is never longer, bytes.
const LONGEST_LINE: u64 = 8 * 1024;
/// A list of a directory may have so many bytes.
const LARGEST_LIST: usize = 32 * 1024 * 1024;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Folder,
    File { bytes: u64 },
    Other,
}

/// A process that reads objects; it ends with this value.
#[derive(Debug)]
pub(super) struct Objects<'a> {
    git: &'a Git,
    limit: Duration,
    _running: Running,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl<'a> Objects<'a> {
    pub(super) fn open(git: &'a Git, limits: Limits) -> Result<Objects<'a>, Trouble> {
        let arguments = ["cat-file", "--batch-command"];
        let mut running = git
            .start(Reach::Mirror, &arguments, Stdio::piped())
            .map_err(Failed::here)?;
        // What it complains about shows in its answers.
        running.child.stderr.take();
        let pipes = (running.child.stdin.take(), running.child.stdout.take());
        let (Some(questions), Some(answers)) = pipes else {
            return Err(Trouble::Here("git has no pipes".to_owned()));
        };
        Ok(Objects {
            git,
            limit: limits.ask,
            _running: running,
            questions,
            answers: BufReader::new(answers),
        })
    }

    /// What is at a path of a commit: nothing, or its id and sort.
    pub(super) async fn at(
        &mut self,
        commit: Id,
        path: &str,
    ) -> Result<Option<(Id, Sort)>, Trouble> {
        // Git takes these for something else than names of a tree, and ends.
        let is_name = |name: &str| !matches!(name, "." | "..");
        if path.contains('\n') || path.starts_with('/') || !path.split('/').all(is_name) {
            return Ok(None);
        }
        self.ask(&format!("info {commit}:{path}\n")).await?;
        self.header().await
    }

    /// The content of files; nothing for one that is too large. They are there, so that a missing one means damage.
    pub(super) async fn contents(&mut self, files: &[Id]) -> Result<Vec<Option<Vec<u8>>>, Trouble> {
        let mut contents = Vec::new();
        for chunk in files.chunks(AT_ONCE) {
            let sizes = self.sizes(chunk).await?;
            let small: Vec<Id> = chunk
                .iter()
                .zip(&sizes)
                .filter(|(_, bytes)| **bytes <= LARGEST)
                .map(|(id, _)| *id)
                .collect();
            let questions: String = small.iter().map(|id| format!("contents {id}\n")).collect();
            self.ask(&questions).await?;
            for bytes in sizes {
                contents.push(if bytes <= LARGEST {
                    Some(self.content(bytes).await?)
                } else {
                    None
                });
            }
        }
        Ok(contents)
    }

    async fn sizes(&mut self, files: &[Id]) -> Result<Vec<u64>, Trouble> {
        let questions: String = files.iter().map(|id| format!("info {id}\n")).collect();
        self.ask(&questions).await?;
        let mut sizes = Vec::new();
        for id in files {
            match self.header().await? {
                Some((_, Sort::File { bytes })) => sizes.push(bytes),
                _ => return Err(damaged(&format!("{id} is no file"))),
            }
        }
        Ok(sizes)
    }

    async fn content(&mut self, expected: u64) -> Result<Vec<u8>, Trouble> {
        let Some((_, Sort::File { bytes })) = self.header().await? else {
            return Err(damaged("a file is missing"));
        };
        if bytes != expected {
            return Err(damaged("a file has another size than it had"));
        }
        let answers = &mut self.answers;
        let read = async {
            let mut content = Vec::new();
            answers.take(bytes + 1).read_to_end(&mut content).await?;
            Ok::<_, std::io::Error>(content)
        };
        let content = timeout(self.limit, read).await.map_err(|_| self.slow())?;
        match content {
            Ok(mut content) if content.len() as u64 == bytes + 1 => {
                content.pop();
                Ok(content)
            }
            Ok(_) | Err(_) => Err(damaged("a file cannot be read to its end")),
        }
    }

    async fn ask(&mut self, questions: &str) -> Result<(), Trouble> {
        let written = timeout(self.limit, self.questions.write_all(questions.as_bytes())).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(damaged("git has ended")),
            Err(_) => Err(self.slow()),
        }
    }

    /// `<id> <sort> <bytes>`, or `<what was asked> missing`.
    async fn header(&mut self) -> Result<Option<(Id, Sort)>, Trouble> {
        let mut line = String::new();
        let mut answers = (&mut self.answers).take(LONGEST_LINE);
        let read = timeout(self.limit, answers.read_line(&mut line)).await;
        match read {
            Ok(Ok(_)) if line.ends_with('\n') => {}
            Ok(_) => return Err(damaged("git has ended")),
            Err(_) => return Err(self.slow()),
        }
        if line.ends_with(" missing\n") {
            return Ok(None);
        }
        let mut parts = line.split_whitespace();
        let id = parts.next().and_then(|id| id.parse().ok());
        let sort = match (
            parts.next(),
            parts.next().and_then(|bytes| bytes.parse().ok()),
        ) {
            (Some("tree"), Some(_)) => Sort::Folder,
            (Some("blob"), Some(bytes)) => Sort::File { bytes },
            (Some(_), Some(_)) => Sort::Other,
            _ => return Err(damaged("git's answer is not understood")),
        };
        let id = id.ok_or_else(|| damaged("git's answer is not understood"))?;
        Ok(Some((id, sort)))
    }

    /// What a directory holds, with what its folders hold where that is wanted: mode, id and path of each, as git has them.
    pub(super) async fn list(
        &self,
        folder: Id,
        with_folders: bool,
    ) -> Result<Vec<Listed>, Trouble> {
        let id = folder.to_string();
        let mut arguments = vec!["ls-tree", "-z"];
        if with_folders {
            arguments.extend(["-r", "-t"]);
        }
        arguments.push(&id);
        let said = self
            .git
            .run(Reach::Mirror, &arguments, self.limit, LARGEST_LIST)
            .await;
        let said = match said {
            Err(Failed::TooMuch) => return Err(Trouble::Refused("the path of the manifests holds too many files: name a directory that holds manifests only".to_owned())),
            other => other.map_err(Failed::here)?,
        };
        said.split(|byte| *byte == 0)
            .filter(|line| !line.is_empty())
            .map(|line| listed(line).ok_or_else(|| damaged("git's list is not understood")))
            .collect()
    }

    fn slow(&self) -> Trouble {
        Trouble::Here(Failed::TooSlow(self.limit).words())
    }
}

/// One line of a list.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub mode: String,
    pub id: Id,
    pub path: String,
}

/// `<mode> <sort> <id>\t<path>`
fn listed(line: &[u8]) -> Option<Listed> {
    let line = String::from_utf8_lossy(line);
    let (head, path) = line.split_once('\t')?;
    let mut parts = head.split(' ');
    let mode = parts.next()?.to_owned();
    let id = parts.nth(1)?.parse().ok()?;
    Some(Listed {
        mode,
        id,
        path: path.to_owned(),
    })
}

fn damaged(words: &str) -> Trouble {
    Trouble::Damaged(words.to_owned())
}
