//! What git says, for the controller: which commit is in force for each environment, asked beside everything else.

use crate::clock::Clock;
use crate::repository::{Accepted, Before, Commit, Id, Repository, Trouble, Verdict, accept};
use crate::status::view;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What a fetch brought.
#[derive(Debug, Clone)]
pub struct News {
    /// The newest commit.
    pub head: view::Commit,
    /// Why git does not answer, where this is what was fetched before.
    pub lost: Option<String>,
    /// What becomes of each environment, by its directory.
    pub verdicts: BTreeMap<String, Verdict>,
    /// The commits that are in force or refused.
    pub commits: BTreeMap<Id, view::Commit>,
}

/// Where manifests come from.
#[async_trait]
pub trait Manifests: Send {
    /// Asks for the newest commit, and decides what is in force. `approved` are commits of rewritten history that somebody approved;
    /// `kept` are commits that are still needed; `last` says what was in force before this process began, by directory.
    ///
    /// # Errors
    /// In words: then what was in force still is.
    async fn news(
        &mut self,
        approved: &BTreeSet<Id>,
        kept: &BTreeSet<Id>,
        last: &BTreeMap<String, Id>,
    ) -> Result<News, String>;

    /// What an environment declared since a commit that was fully done.
    async fn before(&mut self, directory: &str, mark: Option<Id>, in_force: Id) -> Before;

    /// Whether a commit is there, by the beginning of its id.
    async fn knows(&mut self, commit: &str) -> bool;
}

/// The branch of a repository.
pub struct Branch {
    repository: Repository,
    clock: Clock,
    in_force: BTreeMap<String, Accepted>,
    has_begun: bool,
}

impl Branch {
    /// Of a repository that is open.
    pub fn new(repository: Repository, clock: Clock) -> Branch {
        Branch {
            repository,
            clock,
            in_force: BTreeMap::new(),
            has_begun: false,
        }
    }

    /// What was in force before this process began is read again, as far as the mirror still has it.
    async fn take_up(&mut self, last: &BTreeMap<String, Id>) {
        let now = self.clock.now();
        let known: BTreeSet<String> = last.keys().cloned().collect();
        let commits: BTreeSet<Id> = last.values().copied().collect();
        for commit in commits {
            let Ok(look) = self.repository.look(commit, &known, now).await else {
                continue;
            };
            let of_it = last.iter().filter(|(_, id)| **id == commit);
            for (directory, _) in of_it {
                if let Some(Ok(manifests)) = look.environments.get(directory) {
                    let accepted = Accepted {
                        commit,
                        manifests: manifests.clone(),
                    };
                    self.in_force.insert(directory.clone(), accepted);
                }
            }
        }
    }

    async fn decided(
        &mut self,
        head: Id,
        approved: &BTreeSet<Id>,
        kept: &BTreeSet<Id>,
    ) -> Result<News, Trouble> {
        let now = self.clock.now();
        let known: BTreeSet<String> = self.in_force.keys().cloned().collect();
        let look = self.repository.look(head, &known, now).await?;
        let history = self
            .repository
            .history(&self.in_force, head, approved)
            .await?;
        let verdicts = accept(&self.in_force, &look, &history);
        let in_force = verdicts.iter().filter_map(|(directory, verdict)| {
            Some((directory.clone(), verdict.in_force()?.clone()))
        });
        self.in_force = in_force.collect();
        let in_force: BTreeSet<Id> = self.in_force.values().map(|it| it.commit).collect();
        let mut commits = BTreeMap::new();
        for id in in_force.iter().chain([&head]) {
            commits.insert(*id, shown(&self.repository.mirror().commit(*id).await?));
        }
        let needed = in_force.union(kept).copied().collect();
        self.repository.mirror_mut().keep(&needed).await?;
        Ok(News {
            head: commits.get(&head).cloned().unwrap_or_else(|| unknown(head)),
            lost: None,
            verdicts,
            commits,
        })
    }
}

#[async_trait]
impl Manifests for Branch {
    async fn news(
        &mut self,
        approved: &BTreeSet<Id>,
        kept: &BTreeSet<Id>,
        last: &BTreeMap<String, Id>,
    ) -> Result<News, String> {
        let fetched = self.repository.fetch().await;
        let mut lost = None;
        let head = match fetched {
            Ok(fetched) => fetched.head,
            // What was fetched before stays in force, also over the end of a process.
            Err(trouble) if !self.has_begun => match self.repository.mirror().head().await {
                Ok(Some(head)) => {
                    lost = Some(trouble.to_string());
                    head
                }
                Ok(None) | Err(_) => return Err(trouble.to_string()),
            },
            Err(trouble) => return Err(trouble.to_string()),
        };
        if !self.has_begun {
            self.take_up(last).await;
            self.has_begun = true;
        }
        let decided = self.decided(head, approved, kept).await;
        let decided = decided.map_err(|trouble| trouble.to_string())?;
        Ok(News { lost, ..decided })
    }

    async fn before(&mut self, directory: &str, mark: Option<Id>, in_force: Id) -> Before {
        let now = self.clock.now();
        let before = self.repository.before(directory, mark, in_force, now).await;
        before.unwrap_or_else(|trouble| Before::Unknown(trouble.to_string()))
    }

    async fn knows(&mut self, commit: &str) -> bool {
        self.repository.mirror().knows(commit).await
    }
}

fn shown(commit: &Commit) -> view::Commit {
    view::Commit {
        id: commit.id.to_string(),
        author: commit.author.clone(),
        at: format!("{:.0}", commit.time),
        subject: commit.subject.clone(),
    }
}

fn unknown(id: Id) -> view::Commit {
    view::Commit {
        id: id.to_string(),
        author: String::new(),
        at: String::new(),
        subject: String::new(),
    }
}

/// A question to whoever reads manifests.
enum Ask {
    News {
        approved: BTreeSet<Id>,
        kept: BTreeSet<Id>,
        last: Arc<BTreeMap<String, Id>>,
        reply: oneshot::Sender<Result<News, String>>,
    },
    Before {
        directory: String,
        mark: Option<Id>,
        in_force: Id,
        reply: oneshot::Sender<Before>,
    },
    Knows {
        commit: String,
        reply: oneshot::Sender<bool>,
    },
}

/// Somebody who reads manifests, one question after the other. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    questions: mpsc::Sender<Ask>,
}

const WAITING: usize = 64;
const GONE: &str = "nobody reads the manifests any more";

impl Reader {
    /// Begins to read, beside everything else.
    pub fn begin(mut manifests: Box<dyn Manifests>) -> Reader {
        let (questions, mut asked) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            while let Some(ask) = asked.recv().await {
                // Who asked may not want to know any more.
                match ask {
                    Ask::News {
                        approved,
                        kept,
                        last,
                        reply,
                    } => drop(reply.send(manifests.news(&approved, &kept, &last).await)),
                    Ask::Before {
                        directory,
                        mark,
                        in_force,
                        reply,
                    } => drop(reply.send(manifests.before(&directory, mark, in_force).await)),
                    Ask::Knows { commit, reply } => {
                        let _ = reply.send(manifests.knows(&commit).await);
                    }
                }
            }
        });
        Reader { questions }
    }

    /// As [`Manifests::news`].
    ///
    /// # Errors
    /// In words.
    pub async fn news(
        &self,
        approved: BTreeSet<Id>,
        kept: BTreeSet<Id>,
        last: Arc<BTreeMap<String, Id>>,
    ) -> Result<News, String> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::News {
            approved,
            kept,
            last,
            reply,
        };
        self.questions.send(ask).await.map_err(|_| GONE)?;
        answer.await.map_err(|_| GONE.to_owned())?
    }

    /// As [`Manifests::before`].
    pub async fn before(&self, directory: &str, mark: Option<Id>, in_force: Id) -> Before {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Before {
            directory: directory.to_owned(),
            mark,
            in_force,
            reply,
        };
        if self.questions.send(ask).await.is_err() {
            return Before::Unknown(GONE.to_owned());
        }
        let gone = |_| Before::Unknown(GONE.to_owned());
        answer.await.unwrap_or_else(gone)
    }
    /// As [`Manifests::knows`]; yes where nobody answers any more.
    pub async fn knows(&self, commit: &str) -> bool {
        let (reply, answer) = oneshot::channel();
        let commit = commit.to_owned();
        if self
            .questions
            .send(Ask::Knows { commit, reply })
            .await
            .is_err()
        {
            return true;
        }
        answer.await.unwrap_or(true)
    }
}
