//! Tells people what happened, and a monitor that we are alive: bounded in number, time and size, and never in the way of a pass.

use super::Secrets;
use super::address::Allowed;
use super::http::{Broken, Tcp, Transport};
use crate::clock::Clock;
use crate::kinds::environment;
use crate::kinds::environment::tell::{About, Notify};
use crate::status::event::Event;
use crate::status::telling;
use crate::world::Seen;
use crate::world::secret::Secret;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Somebody who is told, with the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// As people know it: `production slack SLACK_INCIDENTS`.
    pub name: String,
    /// What it reads.
    pub form: Form,
    /// Where it is; the address is a secret itself.
    pub address: Secret,
    /// What it is told.
    pub about: Vec<About>,
}

/// What a receiver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A message of Slack.
    Slack,
    /// The event as JSON.
    Webhook,
}

/// The receivers that an Environment names, as far as their addresses are known; and in words those that are not.
pub fn receivers(
    name: &str,
    spec: &environment::Spec,
    secrets: &Secrets,
) -> (Vec<Receiver>, Vec<String>) {
    let mut known = Vec::new();
    let mut missing = Vec::new();
    for notify in &spec.notify {
        let form = match notify {
            Notify::Slack(_) => Form::Slack,
            Notify::Webhook(_) => Form::Webhook,
        };
        match secrets.get(notify.secret()) {
            Some(Seen::Facts(address)) => known.push(Receiver {
                name: format!("{name} {} {}", notify.word(), notify.secret()),
                form,
                address: address.clone(),
                about: notify.about().to_vec(),
            }),
            Some(Seen::Unseen(reason)) => missing.push(reason.clone()),
            Some(Seen::Unasked) | None => {
                missing.push(format!("the secret {} was not read", notify.secret()));
            }
        }
    }
    (known, missing)
}

/// Nobody waits longer than this in a queue of one receiver.
const QUEUE: usize = 100;
/// A message is tried so often, with growing pauses: about a quarter of an hour together.
const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A receiver that is told nothing for so long costs nothing.
const IDLE: Duration = Duration::from_secs(60);

/// Tells receivers, each in its own time and in the order of what happened.
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

struct Shared {
    door: Door,
    clock: Clock,
    lanes: Mutex<BTreeMap<String, mpsc::Sender<Letter>>>,
    told: AtomicU64,
    lost: AtomicU64,
}

/// One message to one receiver.
struct Letter {
    receiver: String,
    address: Secret,
    body: Bytes,
    id: String,
}

/// How a message ended.
enum Sent {
    Told,
    Again(String, Option<Duration>),
    Never(String),
}

impl Notifier {
    /// Over TCP, to public addresses and those that are allowed.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(allowed: Allowed, clock: Clock) -> Result<Notifier, Broken> {
        let transport = Tcp::for_pages(allowed.clone())?;
        Ok(Notifier::over(Arc::new(transport), allowed, clock))
    }

    /// Over any transport.
    pub fn over(transport: Arc<dyn Transport>, allowed: Allowed, clock: Clock) -> Notifier {
        Notifier {
            shared: Arc::new(Shared {
                door: Door { transport, allowed },
                clock,
                lanes: Mutex::default(),
                told: AtomicU64::new(0),
                lost: AtomicU64::new(0),
            }),
        }
    }

    /// Tells everybody who wants to know. It returns at once: what cannot be told now is tried again beside the passes,
    /// and what is too much for a dead receiver's queue is lost, counted and logged.
    pub fn tell(&self, receivers: &[Receiver], event: &Event) {
        let about = event.what.about();
        for receiver in receivers.iter().filter(|it| it.about.contains(&about)) {
            let body = match receiver.form {
                Form::Slack => telling::slack(event),
                Form::Webhook => telling::webhook(event),
            };
            let letter = Letter {
                receiver: receiver.name.clone(),
                address: receiver.address.clone(),
                body: Bytes::from(body.to_string()),
                id: id(event),
            };
            self.post(letter);
        }
    }

    fn post(&self, letter: Letter) {
        let receiver = letter.receiver.clone();
        let mut lanes = self.shared.lanes();
        let lane = lanes.entry(receiver.clone()).or_insert_with(|| {
            let (lane, letters) = mpsc::channel(QUEUE);
            tokio::spawn(Arc::clone(&self.shared).deliver(receiver.clone(), letters));
            lane
        });
        if lane.try_send(letter).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%receiver, "it is not told: too much waits for it already");
        }
    }

    /// How many messages arrived, and how many were given up.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.shared.told.load(Ordering::Relaxed),
            self.shared.lost.load(Ordering::Relaxed),
        )
    }
}

/// The same for the same event: a receiver that is told twice after a lost answer can tell.
fn id(event: &Event) -> String {
    let content = serde_json::to_vec(event).unwrap_or_default();
    let mut id = String::with_capacity(16);
    for byte in Sha256::digest(&content).iter().take(8) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

impl Shared {
    fn lanes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, mpsc::Sender<Letter>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deliver(self: Arc<Shared>, receiver: String, mut letters: mpsc::Receiver<Letter>) {
        loop {
            let letter = tokio::select! {
                letter = letters.recv() => letter,
                () = self.clock.sleep(IDLE) => {
                    // Nobody posts while the lanes are locked.
                    let mut lanes = self.lanes();
                    if letters.is_empty() {
                        lanes.remove(&receiver);
                        return;
                    }
                    continue;
                }
            };
            let Some(letter) = letter else { return };
            let count = if self.tries(&letter).await {
                &self.told
            } else {
                &self.lost
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a message arrived in the end.
    async fn tries(&self, letter: &Letter) -> bool {
        let receiver = &letter.receiver;
        for attempt in 0..TRIES {
            let (words, asked) = match self.door.post(letter).await {
                Sent::Told => return true,
                Sent::Never(words) => {
                    tracing::warn!(%receiver, "it cannot be told: {words}");
                    return false;
                }
                Sent::Again(words, asked) => (words, asked),
            };
            tracing::debug!(%receiver, attempt, "it is told again later: {words}");
            if attempt + 1 == TRIES {
                tracing::warn!(%receiver, "it was not told: {words}");
                break;
            }
            let pause = FIRST_PAUSE.saturating_mul(1 << attempt).min(LONGEST_PAUSE);
            let pause = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            self.clock.sleep(self.clock.jittered(pause)).await;
        }
        false
    }
}

/// The way out to receivers: encrypted, to addresses that may be told, without following them anywhere.
#[derive(Clone)]
struct Door {
    transport: Arc<dyn Transport>,
    allowed: Allowed,
}

impl Door {
    async fn post(&self, letter: &Letter) -> Sent {
        let uri = match self.uri(&letter.address) {
            Ok(uri) => uri,
            Err(words) => return Sent::Never(words),
        };
        let request = Request::post(uri)
            .header(CONTENT_TYPE, "application/json")
            .header("Reconciler-Event", &letter.id)
            .body(letter.body.clone());
        match request {
            Ok(request) => self.send(request).await,
            Err(failure) => Sent::Never(failure.to_string()),
        }
    }

    async fn get(&self, address: &Secret) -> Sent {
        let request = self.uri(address).and_then(|uri| {
            let request = Request::get(uri).body(Bytes::new());
            request.map_err(|failure| failure.to_string())
        });
        match request {
            Ok(request) => self.send(request).await,
            Err(words) => Sent::Never(words),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Sent {
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(Broken::NotSent(words) | Broken::Lost(words)) => return Sent::Again(words, None),
        };
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER);
        let asked = asked.and_then(|after| after.to_str().ok()?.parse().ok());
        let words = format!("it answers {status}");
        if status.is_success() {
            Sent::Told
        } else if status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
        {
            Sent::Again(words, asked.map(Duration::from_secs))
        } else {
            Sent::Never(words)
        }
    }

    /// The address is in no word of what is wrong: it is a secret.
    fn uri(&self, address: &Secret) -> Result<Uri, String> {
        let uri: Uri = address
            .reveal()
            .trim()
            .parse()
            .map_err(|_| "the secret is no address".to_owned())?;
        let authority = uri.authority().ok_or("the secret is no address")?;
        if authority.as_str().contains('@') {
            return Err("the address has a name in front of its host".to_owned());
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.allowed.names(authority.host()) => {}
            _ => return Err("the address is not of `https://`".to_owned()),
        }
        self.allowed.check(authority.host())?;
        Ok(uri)
    }
}

/// The signs of life of every environment that wants them: sent only while looks at it really succeed.
#[derive(Clone)]
pub struct Pulse {
    door: Door,
    clock: Clock,
    beats: Arc<Mutex<BTreeMap<String, Beat>>>,
}

/// One environment's signs of life.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Where they go.
    pub address: Secret,
    /// How often.
    pub every: Duration,
    /// How long after a look that succeeded they go on: as long as looks may lie apart.
    pub patience: Duration,
    passed: Timestamp,
    sent: Option<Timestamp>,
}

impl Beat {
    /// Signs of life from a first look on that succeeded.
    pub fn new(address: Secret, every: Duration, patience: Duration, passed: Timestamp) -> Beat {
        Beat {
            address,
            every,
            patience,
            passed,
            sent: None,
        }
    }

    /// Whether a sign of life is to be sent now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let since = |at: Timestamp| now.duration_since(at).unsigned_abs();
        let waits = self.sent.is_some_and(|sent| since(sent) < self.every);
        since(self.passed) <= self.patience && !waits
    }
}

/// How exactly signs of life keep their time.
const TICK: Duration = Duration::from_secs(1);
/// After one that did not arrive the next comes sooner.
const SOON: Duration = Duration::from_secs(10);

impl Pulse {
    /// Over TCP, to public addresses and those that are allowed.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(allowed: Allowed, clock: Clock) -> Result<Pulse, Broken> {
        let transport = Arc::new(Tcp::for_pages(allowed.clone())?);
        Ok(Pulse {
            door: Door { transport, allowed },
            clock,
            beats: Arc::default(),
        })
    }

    /// A look at an environment has really succeeded.
    pub fn passed(&self, environment: &str, beat: Beat) {
        let mut beats = self.beats();
        let sent = beats.get(environment).and_then(|before| before.sent);
        beats.insert(environment.to_owned(), Beat { sent, ..beat });
    }

    /// The environment wants no signs of life any more, or somebody else leads it.
    pub fn forget(&self, environment: &str) {
        self.beats().remove(environment);
    }

    fn beats(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Beat>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends signs of life for ever, beside everything else.
    pub async fn run(self) {
        loop {
            for (environment, address) in self.due() {
                tokio::spawn(self.clone().send(environment, address));
            }
            self.clock.sleep(TICK).await;
        }
    }

    fn due(&self) -> Vec<(String, Secret)> {
        let now = self.clock.now();
        let mut beats = self.beats();
        let due = beats.iter_mut().filter(|(_, beat)| beat.is_due(now));
        due.map(|(environment, beat)| {
            beat.sent = Some(now);
            (environment.clone(), beat.address.clone())
        })
        .collect()
    }

    async fn send(self, environment: String, address: Secret) {
        let words = match self.door.get(&address).await {
            Sent::Told => return,
            Sent::Again(words, _) | Sent::Never(words) => words,
        };
        tracing::warn!(%environment, "the heartbeat did not arrive: {words}");
        let mut beats = self.beats();
        if let Some(beat) = beats.get_mut(&environment) {
            let sooner = beat.every.saturating_sub(SOON);
            beat.sent = self.clock.now().checked_sub(sooner).ok();
        }
    }
}
