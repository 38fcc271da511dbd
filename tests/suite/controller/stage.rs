//! A repository, a store, a Railway, and controllers between them: the phrases in which these tests are written.

use crate::cli::scene::{Ran, Scene, git, scene, stopwatch};
use crate::cli::secrets::forms;
use crate::cli::signals::signal;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Railway's ids of services of the runbook.
pub const WEB: &str = "5e27a000-0000-4000-8000-0000000000a1";
pub const WORKER: &str = "5e27a000-0000-4000-8000-0000000000a2";
pub const TOKEN: &str = "canary-token-of-the-page-2f7c1e";
pub const WEBHOOK: &str = "canary-secret-of-the-webhook-91b4d07e";
/// As long as requests of two seconds allow.
pub const LEASE: Duration = Duration::from_secs(4);
/// The settings of a process that git tells quickly.
pub const QUICK: &[&str] = &["--fetch-every", "1s"];
/// The settings of a process that asks git only when it is told to.
pub const ON_CALL: &[&str] = &["--fetch-every", "1h"];

/// The environment of the runbook in a repository of its own. The scene's directory is a clone of it.
pub struct Stage {
    pub scene: Scene,
    base: TempDir,
    head: Mutex<String>,
    answers: Mutex<Vec<String>>,
    started: AtomicUsize,
}

/// A stage with the manifests that a newcomer copies, production only.
pub fn stage() -> Stage {
    staged(|_| {})
}

/// The same, with something changed before the first push.
pub fn staged(change: impl Fn(&Scene)) -> Stage {
    stage_of(scene(), change)
}

/// The same, on a Railway of one's own.
pub fn stage_of(scene: Scene, change: impl Fn(&Scene)) -> Stage {
    let base = in_memory();
    let scene = scene
        .set("RECONCILER_REQUEST_TIMEOUT", "2s")
        .set("RECONCILER_LOG", "info")
        .set("RECONCILER_LISTEN", "127.0.0.1:0")
        .set("RECONCILER_HTTP_TOKEN", TOKEN)
        .set("RECONCILER_WEBHOOK_SECRET", WEBHOOK)
        .set("RECONCILER_NOTIFY_ALLOW", "127.0.0.1");
    fs::remove_dir_all(scene.path("staging")).unwrap();
    change(&scene);
    git(base.path(), &["init", "--quiet", "--bare", "origin.git"]);
    let at = scene.home.path();
    git(at, &["init", "--quiet"]);
    let origin = base.path().join("origin.git");
    git(
        at,
        &["remote", "add", "origin", &origin.display().to_string()],
    );
    let stage = Stage {
        scene,
        base,
        head: Mutex::default(),
        answers: Mutex::default(),
        started: AtomicUsize::default(),
    };
    stage.push("Begin");
    stage
}

/// A folder in memory where the system has one: dozens of controllers that prove their stores at once would wait for the disk more than for anything else.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

impl Stage {
    /// Commits everything as it is and pushes it; the commit's id.
    pub fn push(&self, subject: &str) -> String {
        let commit = self.commit(subject);
        self.push_commits();
        commit
    }

    /// Commits everything as it is; the commit's id.
    pub fn commit(&self, subject: &str) -> String {
        let at = self.scene.home.path();
        git(at, &["add", "--all"]);
        git(at, &["commit", "--quiet", "--message", subject]);
        self.keep_head()
    }

    /// Pushes what is committed.
    pub fn push_commits(&self) {
        let at = self.scene.home.path();
        git(at, &["push", "--quiet", "origin", "HEAD:main"]);
    }

    /// Takes the newest commit back.
    pub fn revert(&self) -> String {
        let at = self.scene.home.path();
        git(at, &["revert", "--no-edit", "HEAD"]);
        git(at, &["push", "--quiet", "origin", "HEAD:main"]);
        self.keep_head()
    }

    fn keep_head(&self) -> String {
        let head = git(self.scene.home.path(), &["rev-parse", "HEAD"]);
        self.head.lock().unwrap().clone_from(&head);
        head
    }

    /// The newest commit, without asking git: this is asked again and again.
    pub fn head(&self) -> String {
        self.head.lock().unwrap().clone()
    }

    pub fn scale(&self, from: usize, to: usize) {
        self.scene.replace(
            "production/sizes.yaml",
            &format!("replicas: {from}\n  variables"),
            &format!("replicas: {to}\n  variables"),
        );
    }

    /// Something more under `spec` of the environment.
    pub fn environment(&self, line: &str) {
        let text = self.scene.read("production/environment.yaml");
        // What the example says of the same field makes room.
        let field = line.split(':').next().unwrap_or_default();
        let is_of_it = |other: &&str| other.trim_start().starts_with(&format!("{field}:"));
        let others = text.lines().filter(|other| !is_of_it(other));
        let text: String = others.map(|other| format!("{other}\n")).collect();
        self.scene
            .write("production/environment.yaml", format!("{text}  {line}\n"));
    }

    /// Somebody changes a variable of a service in Railway's dashboard, and deploys that.
    pub fn dashboard(&self, service: &str, name: &str, value: &str) {
        let query = "mutation($environment: String!, $patch: EnvironmentConfig!) { environmentPatchCommit(environmentId: $environment, patch: $patch, commitMessage: \"looking for the loop\") }";
        let body = json!({ "query": query, "variables": {
            "environment": "5e27a000-0000-4000-8000-0000000000e1",
            "patch": { "services": { service: { "variables": { name: { "value": value } } } } },
        } });
        let request = http::Request::post("/graphql/v2?source=dashboard")
            .header("authorization", "Bearer account-token")
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(self.scene.railway.sandbox.handle(request));
        let answer = String::from_utf8(answer.unwrap().into_body().to_vec()).unwrap();
        assert!(!answer.contains("errors"), "{answer}");
    }

    pub fn store(&self) -> PathBuf {
        self.base.path().join("store")
    }

    pub fn store_url(&self) -> String {
        format!("file://{}", self.store().display())
    }

    /// What a mark or a lease says.
    pub fn stored(&self, key: &str) -> Value {
        let text = fs::read_to_string(self.store().join(key)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub fn replicas(&self, service: &str) -> u32 {
        let view = self.scene.railway.sandbox.look();
        view.service("production", service).replicas.values().sum()
    }

    pub fn variable(&self, service: &str, name: &str) -> Option<String> {
        let view = self.scene.railway.sandbox.look();
        let service = view.service("production", service);
        service.variables.get(name).cloned()
    }

    pub fn image(&self, service: &str) -> String {
        let view = self.scene.railway.sandbox.look();
        let active = view.service("production", service).active.clone();
        active.and_then(|active| active.image).unwrap_or_default()
    }

    pub fn deployments(&self) -> BTreeMap<String, usize> {
        self.scene.railway.deployments()
    }

    pub fn effects(&self) -> usize {
        self.scene.railway.sandbox.effects().len()
    }

    /// A controller of that name, with a home of its own.
    pub fn start(&self, name: &str, more: &[&str]) -> Running {
        let (home, log) = (self.base.path().join(name), self.log());
        let file = File::create(&log).unwrap();
        let lease = format!("{}s", LEASE.as_secs());
        let mut command = self.scene.command(&["run", "--name", name]);
        command
            .args(["--lease", &lease, "--store", &self.store_url()])
            .arg("--repository")
            .arg(self.base.path().join("origin.git"))
            .arg("--home")
            .arg(home)
            .args(more)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Running {
            child: command.spawn().unwrap(),
            log,
        }
    }

    /// Whether any controller was started.
    pub fn has_begun(&self) -> bool {
        self.started.load(Ordering::SeqCst) > 0
    }

    fn log(&self) -> PathBuf {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        self.base.path().join(format!("log-{number}"))
    }

    /// A command about production, with the store.
    pub fn order(&self, arguments: &[&str]) -> Ran {
        let store = self.store_url();
        let mut all = arguments.to_vec();
        all.extend(["--store", &store]);
        self.kept(self.scene.run(&all))
    }

    /// A command that has what it needs.
    pub fn order_of(&self, arguments: &[&str]) -> Ran {
        self.kept(self.scene.run(arguments))
    }

    /// `reconciler reconcile` to that controller.
    pub fn reconcile(&self, running: &Running) -> Ran {
        let ran = self
            .scene
            .run(&["reconcile", "production", "--url", &running.url()]);
        self.kept(ran)
    }

    fn kept(&self, ran: Ran) -> Ran {
        self.answers
            .lock()
            .unwrap()
            .push(ran.out.clone() + &ran.err);
        ran
    }

    /// A GitHub delivery of a push; the status of the answer.
    pub fn webhook(&self, running: &Running, secret: &str, id: &str) -> u16 {
        let body = r#"{"ref":"refs/heads/main","repository":{"full_name":"sentia/manifests"}}"#;
        let mut signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        signature.update(body.as_bytes());
        let mut signed = "x-hub-signature-256: sha256=".to_owned();
        for byte in signature.finalize().into_bytes() {
            let _ = write!(signed, "{byte:02x}");
        }
        let id = format!("x-github-delivery: {id}");
        let sort = "content-type: application/json";
        let headers = ["x-github-event: push", &id, &signed, sort];
        let answer = running.ask("POST /webhooks/github", &headers, body);
        self.answers.lock().unwrap().push(answer.1);
        answer.0
    }

    /// What the API says at a path below that of production.
    pub fn api(&self, running: &Running, path: &str) -> Value {
        let token = format!("authorization: Bearer {TOKEN}");
        let line = format!("GET /api/v1/environments/production{path}");
        let (_, body) = running.ask(&line, &[&token], "");
        let value = serde_json::from_str(&body).unwrap_or_default();
        self.answers.lock().unwrap().push(body);
        value
    }

    pub fn events(&self) -> Vec<Value> {
        let ran = self.order(&["events", "production", "-o", "json", "--newest", "500"]);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// How often that event is in the journal.
    pub fn told(&self, event: &str) -> usize {
        let all = self.events();
        all.iter().filter(|it| it["what"]["event"] == event).count()
    }

    /// Whether everything of the newest commit is done, as the mark in the store says.
    pub fn is_done(&self) -> bool {
        self.stored("marks/production/done.json")["mark"]["commit"] == self.head()
    }

    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = stopwatch();
        while !is_so() {
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "never: {what}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn until_done(&self) {
        self.until("everything is done", || self.is_done());
    }

    pub fn logs(&self) -> String {
        let all = (0..self.started.load(Ordering::SeqCst)).map(|number| {
            let log = self.base.path().join(format!("log-{number}"));
            let text = fs::read_to_string(log).unwrap_or_default();
            format!("--- process {number}\n{text}\n")
        });
        all.collect()
    }

    /// No secret stands in any log, object of the store, answer or output; for the end of a test.
    #[track_caller]
    pub fn kept_its_secrets(&self) {
        let secrets = [TOKEN, WEBHOOK, "sk_live_of_the_test", "production-token"];
        let mut places = vec![("logs".to_owned(), self.logs())];
        assert!(places[0].1.contains("listens on"), "no log was kept");
        let answers = self.answers.lock().unwrap().join("\n");
        places.push(("answers".to_owned(), answers));
        read(&self.store(), &mut places);
        assert!(places.len() > 4, "the store is empty");
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            for (place, text) in &places {
                assert!(!text.contains(&form), "{form} stands in {place}:\n{text}");
            }
        }
        assert!(!self.logs().contains("panicked"), "{}", self.logs());
    }
}

fn read(folder: &Path, places: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            read(&entry.path(), places);
        } else if let Ok(bytes) = fs::read(entry.path()) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            places.push((entry.path().display().to_string(), text));
        }
    }
}

/// A controller that runs until it is dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Where it listens, as it says itself.
    #[track_caller]
    pub fn url(&self) -> String {
        let began = stopwatch();
        loop {
            let log = self.log();
            if let Some((_, rest)) = log.split_once("listens on ") {
                return rest.lines().next().unwrap().trim().to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request on a connection of its own; status and body, or 0 where nobody answers.
    fn ask(&self, line: &str, headers: &[&str], body: &str) -> (u16, String) {
        let url = self.url();
        let address = url.trim_start_matches("http://");
        let mut request = format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for header in headers {
            let _ = write!(request, "{header}\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = asked().unwrap_or_default();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it ends by itself within the time.
    #[track_caller]
    pub fn ends_within(mut self, most: Duration) {
        self.url();
        self.signal("TERM");
        let began = stopwatch();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0), "{}", self.log());
                return;
            }
            assert!(
                began.elapsed() < most,
                "still running after {most:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Chance from a seed.
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}
