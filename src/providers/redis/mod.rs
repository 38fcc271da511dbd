//! Redis servers: one look is one round trip, and one change is one script that is done whole or not at all.

mod address;
mod clear;
mod look;
mod purge;
mod script;

pub use clear::Archives;

use crate::clock::Clock;
use crate::world::redis::{Action, Archive, Change, Of, Question, Server};
use crate::world::secret::Secret;
use crate::world::{Failure, Seen, World};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ErrorKind, RedisError};
use clear::Stopped;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. The crate's own half second gives scripts up that then take effect all the same (facts/redis-bullmq.md 6).
const ANSWER: Duration = Duration::from_secs(30);
/// How long a look may take: what hangs must not hold up everything else.
const LOOK: Duration = Duration::from_secs(10);
/// The same where keys are counted, too: that takes as long as there are keys.
const COUNTING: Duration = Duration::from_secs(25);

/// Looks at Redis servers and acts there. Connections are kept, by address.
#[derive(Clone)]
pub struct Client {
    clock: Clock,
    open: Arc<Mutex<BTreeMap<String, MultiplexedConnection>>>,
    archives: Option<Archives>,
}

/// Why a server did not do what was asked.
#[derive(Debug)]
enum Trouble {
    /// It cannot be reached, or lets nobody in: nothing was sent.
    Away(String),
    /// Something was sent, and no answer came.
    Silent(String),
    /// It said no.
    Said(RedisError),
}

impl Trouble {
    fn words(&self, of: &Of) -> String {
        let name = &of.name;
        match self {
            Trouble::Away(words) => format!("Redis/{name} cannot be reached: {words}"),
            Trouble::Silent(words) => format!("Redis/{name} does not answer: {words}"),
            Trouble::Said(error) => format!("Redis/{name} says no: {}", script::said(error)),
        }
    }

    fn failure(&self, of: &Of) -> Failure {
        let words = self.words(of);
        match self {
            Trouble::Away(_) => Failure::Passing(words),
            Trouble::Silent(_) => Failure::Unclear(words),
            Trouble::Said(error) if script::is_for_good(error) => Failure::Refused(words),
            Trouble::Said(_) => Failure::Passing(words),
        }
    }
}

impl Client {
    /// One without a connection yet, which clears nothing that is to be archived.
    pub fn new(clock: &Clock) -> Client {
        Client {
            clock: clock.clone(),
            open: Arc::default(),
            archives: None,
        }
    }

    /// One that can archive what it clears.
    #[must_use]
    pub fn archiving(mut self, archives: Archives) -> Client {
        self.archives = Some(archives);
        self
    }

    /// What a server shows, with everything that a plan needs of it.
    pub async fn look(&self, question: &Question, world: &World) -> Seen<Server> {
        let addresses = match address::addresses(&question.of, world) {
            Ok(addresses) => addresses,
            Err(words) => return Seen::Unseen(words),
        };
        let look = async {
            match self.look_once(question, &addresses).await {
                // A connection that was kept may be long gone.
                Err(Trouble::Silent(_)) => self.look_once(question, &addresses).await,
                answer => answer,
            }
        };
        let longest = if question.counts.is_empty() {
            LOOK
        } else {
            COUNTING
        };
        let answer = tokio::time::timeout(longest, look)
            .await
            .unwrap_or_else(|_| Err(Trouble::Silent(format!("nothing came within {longest:?}"))));
        match answer {
            Ok(seen) => seen,
            Err(trouble) => {
                self.forget(&addresses).await;
                Seen::Unseen(trouble.words(&question.of))
            }
        }
    }

    async fn look_once(
        &self,
        question: &Question,
        addresses: &[Secret],
    ) -> Result<Seen<Server>, Trouble> {
        let mut connection = self.connection(addresses).await?;
        match look::look(question, &self.clock, &mut connection).await {
            Ok(seen) => Ok(seen),
            Err(error) => Err(self.trouble(error, addresses).await),
        }
    }

    /// Makes one change, once.
    ///
    /// # Errors
    /// As a [`Failure`], by what the caller can do about it.
    pub async fn perform(&self, world: &World, action: &Action) -> Result<(), Failure> {
        let addresses = address::addresses(&action.of, world).map_err(Failure::Passing)?;
        let connected = self.connection(&addresses).await;
        let mut connection = connected.map_err(|trouble| trouble.failure(&action.of))?;
        let done = match &action.change {
            Change::Clear {
                queue,
                before,
                archive,
            } => {
                let archive = self.opened(archive.as_ref())?;
                let cleared = (queue, action.of.name.as_str());
                match clear::clear(cleared, *before, archive, &self.clock, &mut connection).await {
                    Ok(()) => Ok(()),
                    Err(Stopped::Server(error)) => Err(error),
                    Err(Stopped::Archive(failure)) => return Err(not_archived(&failure)),
                }
            }
            change => script::run(change, &self.clock, &mut connection).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => Err(self.trouble(error, &addresses).await.failure(&action.of)),
        }
    }

    /// The archive with what opens it; a seat without it clears nothing that is to be archived.
    fn opened<'a>(
        &'a self,
        archive: Option<&'a Archive>,
    ) -> Result<Option<(&'a Archive, &'a Archives)>, Failure> {
        match (archive, &self.archives) {
            (None, _) => Ok(None),
            (Some(archive), Some(archives)) => Ok(Some((archive, archives))),
            (Some(archive), None) => Err(Failure::Passing(format!(
                "nothing is cleared: the store {} cannot be opened from here",
                archive.store
            ))),
        }
    }

    /// A connection that is kept, or a new one. Nobody waits for another's server to answer.
    async fn connection(&self, addresses: &[Secret]) -> Result<MultiplexedConnection, Trouble> {
        let open = self.open.lock().await;
        let kept = addresses.iter().find_map(|it| open.get(it.reveal()));
        if let Some(connection) = kept.cloned() {
            return Ok(connection);
        }
        drop(open);
        let mut why = "it has no address".to_owned();
        for address in addresses {
            match connect(address).await {
                Ok(connection) => {
                    let mut open = self.open.lock().await;
                    open.insert(address.reveal().to_owned(), connection.clone());
                    return Ok(connection);
                }
                Err(words) => why = words,
            }
        }
        Err(Trouble::Away(why))
    }

    async fn forget(&self, addresses: &[Secret]) {
        let mut open = self.open.lock().await;
        for address in addresses {
            open.remove(address.reveal());
        }
    }

    /// What an error means after something was sent.
    async fn trouble(&self, error: RedisError, addresses: &[Secret]) -> Trouble {
        if error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() {
            self.forget(addresses).await;
            return Trouble::Silent(script::io_words(&error));
        }
        Trouble::Said(error)
    }
}

/// What the store said, and what follows. It may be there tomorrow.
fn not_archived(failure: &Failure) -> Failure {
    Failure::Passing(format!(
        "nothing is cleared that is not archived: {failure}"
    ))
}

async fn connect(address: &Secret) -> Result<MultiplexedConnection, String> {
    crate::tls::install();
    // The crate's own words may hold the address, and that holds the password.
    let client = ::redis::Client::open(address.reveal())
        .map_err(|_| "its address is none that begins with redis:// or rediss://".to_owned())?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER));
    let host = client.get_connection_info().addr().to_string();
    let late = format!("{host} does not answer within {CONNECT:?}");
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    // The greeting is waited for, too: a server that hangs accepts connections.
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) if error.kind() == ErrorKind::AuthenticationFailed => {
            Err(format!("{host} does not accept the user or the password"))
        }
        Ok(Err(error)) if error.is_timeout() => Err(late),
        Ok(Err(error)) if error.is_io_error() => {
            Err(format!("{host}: {}", script::io_words(&error)))
        }
        Ok(Err(error)) => Err(format!("{host} says no: {}", script::said(&error))),
        Err(_) => Err(late),
    }
}
