//! A headless Chromium, spoken to through two pipes in its own protocol: what a page does, and what it should not have done.

use base64::Engine;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    /// Everything it has told beside answers.
    pub told: Vec<Value>,
    /// What it keeps, until the end.
    _home: tempfile::TempDir,
}

const NAMES: &str = "for name in chromium chromium-browser google-chrome; do command -v $name >/dev/null && break; done";
/// Without the background networking flags it would ask for hosts of its maker's.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-default-apps --disable-extensions --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe";

impl Browser {
    pub async fn start() -> Browser {
        let home = tempfile::tempdir().unwrap();
        // It reads what it is told at descriptor 3 and answers at 4.
        let script = format!(
            "{NAMES}; exec \"$name\" {FLAGS} --user-data-dir={} about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null",
            home.path().display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Browser {
            to: child.stdin.take().unwrap(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
            session: None,
            next: 0,
            told: Vec::new(),
            _home: home,
        };
        let target = browser
            .asks("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.asks("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.asks(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Asks, and waits for the answer.
    pub async fn asks(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let text = format!("{message}\0");
        self.to
            .write_all(text.as_bytes())
            .await
            .expect("a Chromium: tests/ready.sh installs it");
        loop {
            let message = self.hears().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    async fn hears(&mut self) -> Value {
        let mut bytes = Vec::new();
        let reading = self.from.read_until(0, &mut bytes);
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        let read = read.expect("Chromium answers").unwrap();
        assert!(read > 0, "Chromium has ended; tests/ready.sh installs it");
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if message["id"].is_null() {
            self.told.push(message.clone());
        }
        message
    }

    /// A screen of this size, in the dark or in the light.
    pub async fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 500 });
        self.asks("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.asks("Emulation.setEmulatedMedia", features).await;
    }

    /// Goes to an address and waits until all of it is there.
    pub async fn goes(&mut self, url: &str) {
        let before = self.told.len();
        self.asks("Page.navigate", json!({ "url": url })).await;
        self.arrives(before).await;
    }

    /// Does what leads to another page, and waits until all of it is there.
    pub async fn goes_by(&mut self, script: &str) {
        let before = self.told.len();
        // Later, so that the answer still comes from this page.
        self.is(&format!("void setTimeout(() => {{ {script} }}, 0)"))
            .await;
        self.arrives(before).await;
    }

    async fn arrives(&mut self, before: usize) {
        let loaded = |told: &Value| told["method"] == "Page.loadEventFired";
        while !self.told[before..].iter().any(loaded) {
            self.hears().await;
        }
    }

    /// What an expression is in the page.
    pub async fn is(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.asks("Runtime.evaluate", asked).await;
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds: the page itself looks after each of its frames.
    pub async fn becomes(&mut self, expression: &str) {
        let waiting = format!(
            "new Promise((done) => {{ const look = () => ({expression}) ? done(true) : setTimeout(look, 10); look(); }})"
        );
        assert_eq!(self.is(&waiting).await, true);
    }

    /// A picture of the whole page, for people to look at.
    pub async fn shows(&mut self, path: &Path) {
        let picture = self
            .asks(
                "Page.captureScreenshot",
                json!({ "captureBeyondViewport": true }),
            )
            .await;
        let data = picture["data"].as_str().unwrap();
        let png = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        std::fs::write(path, png).unwrap();
    }

    /// Errors of scripts, of the network and of the page's policy.
    pub fn complaints(&self) -> Vec<String> {
        let complaints = self.told.iter().filter(|told| {
            let method = told["method"].as_str().unwrap_or_default();
            let parameters = &told["params"];
            method == "Runtime.exceptionThrown"
                || method == "Log.entryAdded" && parameters["entry"]["level"] != "info"
                || method == "Runtime.consoleAPICalled" && parameters["type"] != "log"
        });
        complaints.map(ToString::to_string).collect()
    }

    /// Every address that was asked.
    pub fn addresses(&self) -> Vec<String> {
        let requests = self.told.iter();
        requests
            .filter(|told| told["method"] == "Network.requestWillBeSent")
            .filter_map(|told| told["params"]["request"]["url"].as_str())
            .map(str::to_owned)
            .collect()
    }

    pub async fn ends(mut self) {
        self.session = None;
        self.asks("Browser.close", json!({})).await;
        let _ = self.child.wait().await;
    }
}
