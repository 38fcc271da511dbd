//! A directory of manifests, a Railway, and the binary between them: the phrases in which the tests are written.

use super::server::{FAST, Railway};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_reconciler");

/// The environment of the runbook with the manifests that a newcomer copies.
pub struct Scene {
    pub home: TempDir,
    pub railway: Railway,
    settings: BTreeMap<String, String>,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn runbook() -> String {
    fs::read_to_string(repository().join("tests/sandbox/seeds/runbook.yaml")).unwrap()
}

/// The runbook's environment, where deployments take a blink.
pub fn scene() -> Scene {
    scene_with(FAST)
}

/// The runbook's environment with more lines in its seed.
pub fn scene_with(lines: &str) -> Scene {
    scene_of(&format!("{}{lines}", runbook()))
}

/// An environment from any seed, with the manifests that a newcomer copies, as far as they do without a Redis.
pub fn scene_of(seed: &str) -> Scene {
    let scene = whole_scene_of(seed);
    for directory in ["base", "production", "staging"] {
        fs::remove_file(scene.path(directory).join("queues.yaml")).unwrap();
    }
    let of_queues = ["  pause:", "  drain:"];
    let text = scene.read("base/app.yaml");
    let lines = text
        .lines()
        .filter(|line| !of_queues.iter().any(|field| line.starts_with(field)));
    scene.write("base/app.yaml", lines.collect::<Vec<_>>().join("\n") + "\n");
    scene
}

/// An environment from any seed, with all manifests that a newcomer copies.
pub fn whole_scene_of(seed: &str) -> Scene {
    let home = tempfile::tempdir().unwrap();
    copy(&repository().join("manifests"), home.path());
    let railway = Railway::of(seed);
    let settings = [
        ("RAILWAY_API_URL", railway.url()),
        ("RECONCILER_PAGES_URL", railway.edge()),
        ("RAILWAY_TOKEN", "production-token".to_owned()),
        ("PRODUCTION_STRIPE_KEY", "sk_live_of_the_test".to_owned()),
        ("RECONCILER_REQUEST_TIMEOUT", "20s".to_owned()),
    ];
    Scene {
        home,
        railway,
        settings: settings
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Scene {
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Scene {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    pub fn unset(mut self, name: &str) -> Scene {
        self.settings.remove(name);
        self
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, text.replace(from, to));
    }

    /// A process that nothing of the tester's own environment reaches.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.settings)
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap(), arguments)
    }

    /// Brought in step, so that a test begins where nothing is asked for.
    pub fn in_step(self) -> Scene {
        self.run(&["apply", "--yes", "production"]).exits(0);
        self
    }

    /// The release file with another image.
    pub fn release(&self, tag: &str) {
        let release = self.read("production/release.yaml");
        let (before, after) = release.split_once("ghcr.io/sentia/app:").unwrap();
        let (_, rest) = after.split_once('\n').unwrap();
        self.write(
            "production/release.yaml",
            format!("{before}ghcr.io/sentia/app:{tag}\n{rest}"),
        );
    }

    pub fn changed_nothing(&self) {
        assert_eq!(self.railway.sandbox.mutations(), 0, "something was sent");
        assert!(self.railway.sandbox.effects().is_empty());
    }
}

/// A process that has ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub command: String,
}

impl Ran {
    pub fn of(output: Output, arguments: &[&str]) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("stdout is text"),
            err: String::from_utf8(output.stderr).expect("stderr is text"),
            command: arguments.join(" "),
        }
    }

    fn told(&self) -> String {
        format!(
            "$ reconciler {}\nexit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.out, self.err
        )
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}", self.told());
        assert!(!self.err.contains("panicked"), "{}", self.told());
        self
    }

    /// On stdout.
    #[track_caller]
    pub fn prints(self, part: &str) -> Ran {
        assert!(self.out.contains(part), "no `{part}` in\n{}", self.told());
        self
    }

    /// On stderr.
    #[track_caller]
    pub fn says(self, part: &str) -> Ran {
        assert!(self.err.contains(part), "no `{part}` in\n{}", self.told());
        self
    }

    #[track_caller]
    pub fn prints_nothing(self) -> Ran {
        assert_eq!(self.out, "", "{}", self.told());
        self
    }

    #[track_caller]
    pub fn says_nothing(self) -> Ran {
        assert_eq!(self.err, "", "{}", self.told());
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|failure| panic!("{failure}\n{}", self.told()))
    }
}

/// Runs git as anna, and gives what it prints.
pub fn git(at: &Path, arguments: &[&str]) -> String {
    let ran = Command::new("git")
        .args([
            "-c",
            "user.name=anna",
            "-c",
            "user.email=anna@sentia.test",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(at)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "git {arguments:?}: {told}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// The machine's clock for tests that meet it; the product has its own door.
#[expect(clippy::disallowed_methods, reason = "a real process keeps real time")]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// Waits until it is so, a minute at most.
#[track_caller]
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = stopwatch();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends within the time, or the test fails and nothing is left behind.
#[track_caller]
pub fn ended(mut child: Child, within: Duration, arguments: &[&str]) -> Ran {
    let began = stopwatch();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > within {
            child.kill().unwrap();
            let ran = Ran::of(child.wait_with_output().unwrap(), arguments);
            panic!("still running after {within:?}\n{}", ran.told());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ran::of(child.wait_with_output().unwrap(), arguments)
}
