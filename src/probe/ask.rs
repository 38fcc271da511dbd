//! Carries the steps of a question out: asks, writes, waits, and keeps what comes back.

use super::run::Audience;
use super::seen::{Kept, filled};
use super::sheet::{Act, By, Case, Document, Pick, Sheet, Step};
use crate::clock::Clock;
use crate::config::Token;
use crate::interrupt::Interrupt;
use crate::providers::railway::{Client, Purpose, Reply};
use crate::world::Failure;
use crate::world::secret::Secret;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request without an answer is worth this many tries, where a repeat does no harm.
const TRIES: u32 = 4;
/// The first pause between two looks while something is waited for; it grows to the second.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(8);
/// Who makes things too quickly is told so; what is paced is paced by half a minute (facts/railway.md 1).
const PACE: Duration = Duration::from_secs(31);
/// Railway counts requests by the hour: what it asks for beyond that is another fault.
const LONGEST_QUIET: Duration = Duration::from_secs(65 * 60);
/// A token that Railway surely does not know.
const WRONG_TOKEN: &str = "00000000-0000-4000-8000-000000000001";

/// Why there is no more to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// In words.
    Unseen(String),
    /// Somebody said stop.
    Interrupted,
}

/// Whoever asks: myself, and all those whose answers differ.
pub(super) struct Asker<'a> {
    pub clock: &'a Clock,
    pub interrupt: &'a Interrupt,
    pub audience: &'a dyn Audience,
    myself: Client,
    nobody: Client,
    stranger: Client,
    bound: Option<Client>,
    /// Whether a write had no answer.
    is_unsure: AtomicBool,
}

impl<'a> Asker<'a> {
    pub(super) fn new(
        client: &Client,
        clock: &'a Clock,
        interrupt: &'a Interrupt,
        audience: &'a dyn Audience,
    ) -> Asker<'a> {
        Asker {
            clock,
            interrupt,
            audience,
            myself: client.clone(),
            nobody: client.held_by(None),
            stranger: client.held_by(Some(Token::Bearer(Secret::new(WRONG_TOKEN)))),
            bound: None,
            is_unsure: AtomicBool::new(false),
        }
    }

    /// Whether something may have been made of which nobody has told.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure.load(Ordering::Relaxed)
    }

    /// From now on there is a project token, which stays hidden like any other.
    pub(super) fn bind(&mut self, token: &Secret) {
        self.bound = Some(self.myself.held_by(Some(Token::Project(token.clone()))));
    }

    /// A text without any of the tokens.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        self.bound
            .as_ref()
            .unwrap_or(&self.myself)
            .without_secrets(text)
    }

    /// Carries steps out, one after the other.
    pub(super) async fn carry_out(
        &self,
        steps: &[Step],
        sheet: &Sheet,
        kept: &mut Kept,
    ) -> Result<(), Halt> {
        for step in steps {
            if self.interrupt.is_set() {
                return Err(Halt::Interrupted);
            }
            match &step.act {
                Act::Ask(name) | Act::Send(name) => {
                    let document = known(sheet, name)?;
                    let variables = variables(document, &step.with, kept)?;
                    let reply = self.exchange(document, &variables, step).await?;
                    keep(step, &reply, reply.took.as_secs_f64(), kept);
                }
                Act::Wait {
                    document: name,
                    until,
                    at_most,
                    goes_on,
                } => {
                    let document = known(sheet, name)?;
                    let is_seen = self.wait(document, step, until, *at_most, kept).await?;
                    if !is_seen && !goes_on {
                        return Err(Halt::Unseen(late(name, until, *at_most, kept)));
                    }
                }
                Act::Pause(time) => self.rest(*time).await?,
                Act::Do(name) => {
                    for (name, value) in &step.with {
                        kept.insert(
                            name.clone(),
                            Some(filled(value, kept).map_err(Halt::Unseen)?),
                        );
                    }
                    Box::pin(self.carry_out(sheet.recipe(name), sheet, kept)).await?;
                }
            }
        }
        Ok(())
    }

    /// Asks again and again; whether it was seen in time.
    async fn wait(
        &self,
        document: &Document,
        step: &Step,
        until: &Case,
        at_most: Duration,
        kept: &mut Kept,
    ) -> Result<bool, Halt> {
        let begun = self.clock.now();
        let waited = || self.clock.now().duration_since(begun).unsigned_abs();
        let mut pause = SOON;
        loop {
            let variables = variables(document, &step.with, kept)?;
            let reply = self.exchange(document, &variables, step).await;
            let failed = match reply {
                Ok(reply) => {
                    keep(step, &reply, waited().as_secs_f64(), kept);
                    if super::answer::fits(until, kept) {
                        return Ok(true);
                    }
                    None
                }
                // It may not be there yet.
                Err(Halt::Unseen(words)) => Some(Halt::Unseen(words)),
                Err(Halt::Interrupted) => return Err(Halt::Interrupted),
            };
            if waited() >= at_most {
                return failed.map_or(Ok(false), Err);
            }
            self.rest(pause).await?;
            pause = (pause * 3 / 2).min(LATER);
        }
    }

    /// One request with its answer, whose errors the step looks at or which has none.
    async fn exchange(
        &self,
        document: &Document,
        variables: &Value,
        step: &Step,
    ) -> Result<Reply, Halt> {
        let client = match step.by {
            By::Myself => &self.myself,
            By::Nobody => &self.nobody,
            By::WrongToken => &self.stranger,
            By::ProjectToken => self
                .bound
                .as_ref()
                .ok_or_else(|| Halt::Unseen("there is no project token".to_owned()))?,
        };
        let looks = step.keep.values().any(Pick::is_about_errors);
        let mut tries = 0;
        loop {
            tries += 1;
            let reply = self.with(client, document, variables).await?;
            let Some(words) = error(&reply).filter(|_| !looks) else {
                return Ok(reply);
            };
            let Some(pause) = worth_a_wait(&words, document.writes).filter(|_| tries < TRIES)
            else {
                return Err(Halt::Unseen(format!("Railway says: {words}")));
            };
            self.rest(pause).await?;
        }
    }

    /// My own request, for what has to be there before anything can be asked, or has to go.
    pub(super) async fn own(
        &self,
        text: &str,
        variables: &Value,
        writes: bool,
    ) -> Result<Reply, Halt> {
        let document = Document {
            text: text.to_owned(),
            writes,
            variables: Vec::new(),
        };
        self.with(&self.myself, &document, variables).await
    }

    /// The reply, whatever it says. A write is never given up half way: then nobody could tell whether it arrived.
    async fn with(
        &self,
        client: &Client,
        document: &Document,
        variables: &Value,
    ) -> Result<Reply, Halt> {
        let purpose = match document.writes {
            true => Purpose::Write,
            false => Purpose::Read,
        };
        let mut tries = 0u32;
        loop {
            tries += 1;
            let sent = client.reply(&document.text, variables, purpose);
            let reply = match document.writes {
                true => sent.await,
                false => tokio::select! {
                    reply = sent => reply,
                    () = self.interrupt.set() => return Err(Halt::Interrupted),
                },
            };
            let failure = match reply {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let pause = match &failure {
                Failure::Throttled { until } => {
                    let pause = until.duration_since(self.clock.now()).unsigned_abs();
                    if pause > LONGEST_QUIET {
                        return Err(Halt::Unseen(failure.to_string()));
                    }
                    self.audience
                        .says(&format!("Railway asks to wait until {until:.0}"));
                    pause
                }
                Failure::Passing(_) => SOON * 2u32.pow(tries - 1),
                Failure::Unclear(_) if !document.writes => SOON * 2u32.pow(tries - 1),
                Failure::Unclear(_) | Failure::Refused(_) | Failure::Denied(_) => {
                    self.is_unsure.fetch_or(document.writes, Ordering::Relaxed);
                    return Err(Halt::Unseen(failure.to_string()));
                }
            };
            if tries >= TRIES {
                return Err(Halt::Unseen(failure.to_string()));
            }
            self.rest(pause).await?;
        }
    }

    /// Lets time pass, unless somebody says stop.
    pub(super) async fn rest(&self, time: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.clock.sleep(time) => Ok(()),
            () = self.interrupt.set() => Err(Halt::Interrupted),
        }
    }
}

fn known<'s>(sheet: &'s Sheet, name: &str) -> Result<&'s Document, Halt> {
    let document = sheet.document(name);
    document.ok_or_else(|| Halt::Unseen(format!("no request is called {name}")))
}

/// What a request is sent with: what the step says, else what is known under the same name.
fn variables(document: &Document, with: &Map<String, Value>, kept: &Kept) -> Result<Value, Halt> {
    let mut variables = Map::new();
    for name in &document.variables {
        let value = match with.get(name) {
            Some(value) => Some(filled(value, kept).map_err(Halt::Unseen)?),
            None => kept.get(name).cloned().flatten(),
        };
        if let Some(value) = value {
            variables.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(variables))
}

fn keep(step: &Step, reply: &Reply, seconds: f64, kept: &mut Kept) {
    let picked: Vec<_> = step
        .keep
        .iter()
        .map(|(name, pick)| (name.clone(), pick.from(reply, seconds, kept)))
        .collect();
    kept.extend(picked);
}

/// What Railway says against it.
pub(super) fn error(reply: &Reply) -> Option<String> {
    if let Some(first) = reply.errors.first() {
        let words = first["message"].as_str();
        return Some(words.unwrap_or("an error without words").to_owned());
    }
    (!reply.data.is_object()).then(|| format!("HTTP {} without GraphQL", reply.status))
}

/// Whether the same again may get another answer, and after what time.
pub(super) fn worth_a_wait(words: &str, writes: bool) -> Option<Duration> {
    let words = words.to_lowercase();
    if words.contains("too quickly") {
        return Some(PACE);
    }
    if words.contains("please try again") {
        return Some(SOON * 5);
    }
    // The opaque words may stand for a passing fault; a write is not repeated for them.
    (!writes && words.contains("problem processing request")).then_some(SOON * 2)
}

fn late(name: &str, until: &Case, at_most: Duration, kept: &Kept) -> String {
    let seen: Vec<String> = until
        .keys()
        .map(|name| match kept.get(name) {
            Some(Some(value)) => format!("{name} is {value}"),
            Some(None) | None => format!("{name} is not there"),
        })
        .collect();
    let at_most = humantime::format_duration(at_most);
    format!("waited {at_most} for {name}: {}", seen.join(", "))
}
