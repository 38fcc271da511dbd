//! One call of git: with nothing of this machine but what it needs, in bounded time, with bounded output and no secret in its words.

use super::access::Access;
use super::source::Source;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What git says about a failure, at most, bytes.
const MOST_WORDS: u64 = 4 * 1024;

/// A directory beside the mirror in which there is no repository.
const ELSEWHERE: &str = "elsewhere";

/// Why there is nothing to manage, and what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The server is down or slow: what was accepted stays in force, and the next look tries again.
    #[error("{0}")]
    Unreachable(String),
    /// The server, or git itself, says no: somebody has to change something.
    #[error("{0}")]
    Refused(String),
    /// The mirror on this machine is not whole: it has to be fetched anew.
    #[error("the mirror is damaged: {0}")]
    Damaged(String),
    /// This machine cannot do it.
    #[error("{0}")]
    Here(String),
}

/// How long git may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To ask a server what is new, or to read what is here.
    pub ask: Duration,
    /// To fetch it.
    pub fetch: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            ask: Duration::from_secs(20),
            fetch: Duration::from_secs(600),
        }
    }
}

/// How one call of git failed.
#[derive(Debug)]
pub(super) enum Failed {
    NotStarted(String),
    TooSlow(Duration),
    TooMuch,
    Said { code: Option<i32>, words: String },
}

impl Failed {
    pub(super) fn words(&self) -> String {
        match self {
            Failed::NotStarted(words) => format!("git cannot be started: {words}"),
            Failed::TooSlow(limit) => format!(
                "git was not done after {}",
                humantime::format_duration(*limit)
            ),
            Failed::TooMuch => "git said more than can be read".to_owned(),
            Failed::Said { words, .. } => format!("git says: {words}"),
        }
    }

    /// The failure of a call that only reads the mirror: what should be there is not.
    pub(super) fn here(self) -> Trouble {
        match &self {
            Failed::NotStarted(_) | Failed::TooSlow(_) | Failed::TooMuch => {
                Trouble::Here(self.words())
            }
            Failed::Said { .. } => Trouble::Damaged(self.words()),
        }
    }
}

/// Git in a directory.
#[derive(Debug, Clone)]
pub(super) struct Git {
    pub directory: PathBuf,
    pub source: Source,
    pub access: Access,
}

/// What a call reaches: the server, the mirror, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The server alone: the mirror may be damaged, whatever fails is about the server.
    Server,
    /// From the server to the mirror.
    Both,
    /// The mirror alone. It gets nothing that opens the server.
    Mirror,
}

impl Git {
    /// Runs git to its end and gives what it printed, at most so many bytes.
    pub(super) async fn run(
        &self,
        reach: Reach,
        arguments: &[&str],
        limit: Duration,
        most: usize,
    ) -> Result<Vec<u8>, Failed> {
        let mut running = self.start(reach, arguments, Stdio::null())?;
        match timeout(limit, self.finished(&mut running, most)).await {
            Ok(result) => result,
            Err(_) => Err(Failed::TooSlow(limit)),
        }
    }

    async fn finished(&self, running: &mut Running, most: usize) -> Result<Vec<u8>, Failed> {
        let (out, words) = running.outputs();
        let (out, words) = tokio::join!(bounded(out, most as u64), bounded_words(words));
        if out.len() > most {
            return Err(Failed::TooMuch);
        }
        let status = running.child.wait().await;
        let status = status.map_err(|failure| Failed::NotStarted(failure.to_string()))?;
        if status.success() {
            return Ok(out);
        }
        Err(Failed::Said {
            code: status.code(),
            words: self.clean(&words),
        })
    }

    /// Starts git; it dies with what is returned.
    pub(super) fn start(
        &self,
        reach: Reach,
        arguments: &[&str],
        input: Stdio,
    ) -> Result<Running, Failed> {
        let mut command = Command::new("git");
        let elsewhere = self.directory.with_file_name(ELSEWHERE);
        command
            .env_clear()
            .envs(self.access.passed())
            .env("HOME", &elsewhere)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .current_dir(&self.directory);
        if reach == Reach::Server {
            let made = fs::create_dir_all(&elsewhere);
            made.map_err(|failure| Failed::NotStarted(failure.to_string()))?;
            let ceiling = elsewhere.parent().unwrap_or(Path::new("/"));
            command
                .current_dir(&elsewhere)
                .env("GIT_CEILING_DIRECTORIES", ceiling);
        } else {
            command.env("GIT_DIR", ".");
        }
        let mut settings = settings(&self.source);
        if reach != Reach::Mirror {
            settings.extend(self.access.settings(&self.source));
            if self.source.way() == super::source::Way::Ssh {
                let ssh = self.access.ssh().map_err(Failed::NotStarted)?;
                command.env("GIT_SSH_COMMAND", ssh);
                command.env("GIT_SSH_VARIANT", "ssh");
            }
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (position, (name, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{position}"), name);
            command.env(format!("GIT_CONFIG_VALUE_{position}"), value);
        }
        let child = command
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Git starts helpers that outlive it when it is killed alone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        child
            .map(|child| Running { child })
            .map_err(|failure| Failed::NotStarted(failure.to_string()))
    }

    /// What git printed about a failure, in one line, without secrets and without what acts on a screen.
    fn clean(&self, words: &[u8]) -> String {
        let words = String::from_utf8_lossy(words);
        let words = self.access.scrubber(&self.source).scrub(&words);
        let lines: Vec<String> = words
            .lines()
            .map(|line| {
                line.chars()
                    .filter(|sign| !sign.is_control())
                    .collect::<String>()
                    .trim()
                    .to_owned()
            })
            .filter(|line| !line.is_empty())
            .collect();
        lines.join(" ")
    }
}

/// Settings that hold for every call: no hook, no other transport, no submodule, no helper, checked objects, a small mirror.
fn settings(source: &Source) -> Vec<(String, String)> {
    let allowed = format!("protocol.{}.allow", source.way().protocol());
    let pairs = [
        ("protocol.allow", "never"),
        (&allowed, "always"),
        ("core.hooksPath", "/dev/null"),
        ("core.askPass", ""),
        ("core.fsmonitor", "false"),
        ("core.logAllRefUpdates", "false"),
        ("credential.helper", ""),
        ("transfer.fsckObjects", "true"),
        ("submodule.recurse", "false"),
        ("fetch.recurseSubmodules", "false"),
        ("http.followRedirects", "false"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "15"),
        ("pack.threads", "1"),
        ("gc.auto", "500"),
        ("gc.autoPackLimit", "10"),
        ("gc.autoDetach", "false"),
        ("gc.pruneExpire", "1.hour.ago"),
        ("gc.packRefs", "true"),
        ("maintenance.auto", "false"),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A git that runs. Dropping it ends it, with everything that it has started.
#[derive(Debug)]
pub(super) struct Running {
    pub child: Child,
}

impl Running {
    fn outputs(
        &mut self,
    ) -> (
        Option<tokio::process::ChildStdout>,
        Option<tokio::process::ChildStderr>,
    ) {
        (self.child.stdout.take(), self.child.stderr.take())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it was waited for there is no id, and the number may be somebody else's.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// At most one byte more than `most`; the writer is cut off there.
async fn bounded(from: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.take(most + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// The beginning of what is said; the rest is read, too, so that the writer is not kept waiting.
async fn bounded_words(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let _ = (&mut from).take(MOST_WORDS).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    bytes
}
