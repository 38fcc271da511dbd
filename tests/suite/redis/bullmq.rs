//! Real BullMQ, in the versions that people run: an application of a test's own that is told what to do.

use super::server::Server;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;

/// A version by its name in `tests/bullmq/package.json`, with what our manifests would say of it.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub alias: &'static str,
    pub number: &'static str,
    /// Whether it heeds a limit over all workers.
    pub limits: bool,
}

pub const VERSIONS: [Version; 6] = [
    version("bullmq-3", "3.16", false),
    version("bullmq-4", "4.18", false),
    version("bullmq-5-0", "5.0", false),
    version("bullmq-5-20", "5.20", true),
    version("bullmq-5-81", "5.81", true),
    version("bullmq-6", "6.7", true),
];

const fn version(alias: &'static str, number: &'static str, limits: bool) -> Version {
    Version {
        alias,
        number,
        limits,
    }
}

/// An application in one version.
pub struct Application {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Application {
    pub async fn start(version: Version, server: &Server, queue: &str) -> Application {
        let modules = modules().await;
        let play = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bullmq/play.cjs");
        let mut child = Command::new("node")
            .arg(play)
            .args([version.alias, &server.port.to_string(), queue])
            .env("NODE_PATH", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut application = Application {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        application.answer().await;
        application
    }

    async fn answer(&mut self) -> Value {
        let line = self.answers.next_line().await.unwrap();
        let line = line.expect("the application ended");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer["answer"].take()
    }

    pub async fn order(&mut self, order: Value) -> Value {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap();
        self.answer().await
    }

    pub async fn work(&mut self, many: u32, concurrency: u32, ms: u32) {
        let order = json!({ "order": "work", "many": many, "concurrency": concurrency, "ms": ms });
        self.order(order).await;
    }

    /// Adds jobs; all that were added so far.
    pub async fn add(&mut self, many: u64) -> u64 {
        let added = self.order(json!({ "order": "add", "many": many })).await;
        added.as_u64().unwrap()
    }

    pub async fn pause(&mut self) {
        self.order(json!({ "order": "pause" })).await;
    }

    pub async fn resume(&mut self) {
        self.order(json!({ "order": "resume" })).await;
    }

    /// Until all these have run; the milliseconds that it took.
    pub async fn until_ran(&mut self, done: u64) -> f64 {
        let took = self.order(json!({ "order": "until", "done": done })).await;
        took.as_f64().unwrap()
    }

    /// How many jobs have run, and how many of them more than once.
    pub async fn ran(&mut self) -> (u64, u64) {
        let told = self.order(json!({ "order": "tell" })).await;
        (
            told["ran"].as_u64().unwrap(),
            told["twice"].as_u64().unwrap(),
        )
    }

    pub async fn close(mut self) {
        self.order(json!({ "order": "close" })).await;
        self.child.wait().await.unwrap();
    }
}

/// Where the packages are: installed once, below the target directory, as the lockfile says.
async fn modules() -> PathBuf {
    static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
    INSTALLED.get_or_init(install).await.clone()
}

async fn install() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bullmq");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bullmq");
    let modules = target.join("node_modules");
    let lock = std::fs::read(source.join("package-lock.json")).unwrap();
    let is_same = std::fs::read(target.join("installed.json")).is_ok_and(|old| old == lock);
    if is_same {
        return modules;
    }
    std::fs::create_dir_all(&target).unwrap();
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), target.join(file)).unwrap();
    }
    let installed = Command::new("npm")
        .args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ])
        .current_dir(&target)
        .status()
        .await
        .expect("no npm: `tests/ready.sh test` installs Node");
    assert!(
        installed.success(),
        "the versions of BullMQ could not be installed"
    );
    std::fs::write(target.join("installed.json"), lock).unwrap();
    modules
}
