//! Railway: one look in one request, one write in one request, over its GraphQL API.

mod allowance;
pub mod answers;
mod deploy;
pub mod documents;
mod exchange;
mod history;
pub mod patch;
mod place;
pub mod pulse;
mod questions;
mod tree;

use crate::clock::Clock;
use crate::config::Token;
use crate::plan::write::{What, Write};
use crate::providers::http::Transport;
use crate::providers::{Scope, Secrets};
use crate::world::railway::{self, Named, PatchState, Pulse, Railway, SettingValue};
use crate::world::secret::{Scrubber, Secret};
use crate::world::{Failure, Seen};
pub use allowance::Allowance;
use exchange::{Exchange, one_line_long};
pub use exchange::{Purpose, Reply};
pub use place::Place;
pub use pulse::TOGETHER;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// How many items a page asks for; what Railway's own client asks for (facts/railway.md 1).
const PAGE: u32 = 500;
/// More pages than any real environment has: a cursor that runs in a circle ends here.
const MOST_PAGES: usize = 40;
/// How often a look is tried whose answer lacks what nothing can be said without.
const TRIES: u32 = 3;

/// Railway with one token.
#[derive(Clone)]
pub struct Client {
    exchange: Exchange,
    is_project_token: bool,
    shared: Arc<Mutex<Vec<Secret>>>,
}

impl Client {
    /// A client for an address; the token is sent with every request and shown nowhere.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        transport: Arc<dyn Transport>,
        url: &str,
        token: Token,
        clock: Clock,
    ) -> Result<Client, Failure> {
        let is_project_token = matches!(token, Token::Project(_));
        Ok(Client {
            exchange: Exchange::new(transport, url, token, clock)?,
            is_project_token,
            shared: Arc::default(),
        })
    }

    /// The same client, which also keeps these secrets out of all that Railway says.
    #[must_use]
    pub fn hiding(self, secrets: &Secrets) -> Client {
        let exchange = self
            .exchange
            .hiding(secrets.values().filter_map(Seen::facts));
        Client { exchange, ..self }
    }

    /// The same Railway for whoever holds another token, or none; what is hidden stays hidden.
    #[must_use]
    pub fn held_by(&self, token: Option<Token>) -> Client {
        Client {
            is_project_token: matches!(token, Some(Token::Project(_))),
            exchange: self.exchange.with_token(token),
            shared: self.shared.clone(),
        }
    }

    /// The same Railway for one environment among several: what one of them shares hides nothing of another's.
    #[must_use]
    pub fn for_one(&self) -> Client {
        Client {
            shared: Arc::default(),
            ..self.clone()
        }
    }

    /// One exchange as it came, sent once: for whoever asks what Railway does, and not what it holds.
    ///
    /// # Errors
    /// As a [`Failure`] where no answer came, or where Railway wants to be asked later.
    pub async fn reply(
        &self,
        document: &str,
        variables: &Value,
        purpose: Purpose,
    ) -> Result<Reply, Failure> {
        self.exchange.reply(document, variables, purpose).await
    }

    /// A text without the secrets that this client knows.
    pub fn without_secrets(&self, text: &str) -> String {
        self.exchange.hidden().scrub(text)
    }

    /// Whether the token is for one environment.
    pub fn is_of_one_environment(&self) -> bool {
        self.is_project_token
    }

    /// A project, and an environment of it where one is named; a project token has its own, and may be told which.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn place(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Place, Failure> {
        if self.is_project_token {
            let answer = self.exchange.read(documents::WHICH, json!({}));
            let own = Place::of(&answer.await?.whole()?["projectToken"]);
            return own.fitting(project, environment);
        }
        let Some(project) = project else {
            let words = "say which project: `--project NAME`";
            return Err(Failure::Refused(words.to_owned()));
        };
        place::place(&self.projects().await?, project, environment)
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> usize {
        self.exchange.requests()
    }

    /// What Railway last said about the budget of the token.
    pub fn allowance(&self) -> Option<Allowance> {
        self.exchange.allowance()
    }

    /// Whether anything moves in environments, each by its id, in one request for every [`TOGETHER`] of them.
    /// Nothing for one of which Railway does not tell.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn pulses(&self, environments: &[String]) -> Result<Vec<Option<Pulse>>, Failure> {
        let mut pulses = Vec::with_capacity(environments.len());
        for together in environments.chunks(pulse::TOGETHER) {
            let mut variables = serde_json::Map::new();
            variables.insert("page".to_owned(), json!(PAGE));
            for (position, id) in together.iter().enumerate() {
                variables.insert(format!("e{position}"), json!(id));
            }
            let document = pulse::document(together.len());
            let answer = self
                .exchange
                .read(&document, Value::Object(variables))
                .await?;
            let told = (0..together.len()).map(|position| &answer.data[format!("b{position}")]);
            pulses.extend(told.map(pulse::pulse));
        }
        Ok(pulses)
    }

    /// How many bytes of answers were read so far, unpacked.
    pub fn bytes(&self) -> usize {
        self.exchange.bytes()
    }

    /// The environment that a project token is for, by names; none for any other token.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn own(&self) -> Result<Option<Scope>, Failure> {
        if !self.is_project_token {
            return Ok(None);
        }
        let answer = self
            .exchange
            .read(documents::WHICH, json!({}))
            .await?
            .whole()?;
        let name = |of: &str| {
            answer["projectToken"][of]["name"]
                .as_str()
                .unwrap_or("?")
                .to_owned()
        };
        Ok(Some(Scope {
            project: name("project"),
            environment: name("environment"),
        }))
    }

    /// Who the token is, in words for people.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn who(&self) -> Result<String, Failure> {
        if let Some(own) = self.own().await? {
            return Ok(format!(
                "project token for {} / {}",
                own.project, own.environment
            ));
        }
        let answer = self
            .exchange
            .read(documents::WHO, json!({}))
            .await?
            .whole()?;
        let workspaces: Vec<&str> = answer["apiToken"]["workspaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|workspace| workspace["name"].as_str())
            .collect();
        Ok(format!(
            "token for {}",
            if workspaces.is_empty() {
                "no workspace".to_owned()
            } else {
                workspaces.join(", ")
            }
        ))
    }

    /// How far the machine's clock is from Railway's, in seconds, by the last answer; positive when ours is ahead.
    pub fn clock_ahead_seconds(&self) -> Option<i64> {
        self.exchange.clock_ahead_seconds()
    }

    async fn observe_by_id(&self, project: &str, environment: &str) -> Result<Railway, Failure> {
        let variables = json!({ "project": project, "environment": environment, "page": PAGE });
        self.usable(documents::OBSERVE, variables, "").await
    }

    /// The answer to a look. One that lacks a part without which nothing can be said is worth another.
    async fn usable(
        &self,
        document: &str,
        variables: Value,
        under: &str,
    ) -> Result<Railway, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.exchange.read(document, variables.clone()).await?;
            match self.complete(answer.data, &answer.problems, under).await? {
                Ok(seen) => return Ok(seen),
                Err(failure) if tries >= TRIES => return Err(failure),
                Err(failure) => tracing::debug!(tries, %failure, "looking again"),
            }
            self.exchange.pause().await;
        }
    }

    async fn observe_by_token(&self, scope: &Scope) -> Result<Railway, Failure> {
        let document = documents::OBSERVE_BY_TOKEN;
        let seen = self
            .usable(document, json!({ "page": PAGE }), "projectToken")
            .await?;
        let fits = |named: &Named, wanted: &str| named.id == wanted || named.name == wanted;
        if fits(&seen.project, &scope.project) && fits(&seen.environment, &scope.environment) {
            return Ok(seen);
        }
        Err(Failure::Denied(format!(
            "the project token is for {} / {}, and the manifests are for {} / {}",
            seen.project.name, seen.environment.name, scope.project, scope.environment
        )))
    }

    /// Fetches the pages that are missing, and reads the whole; the inner failure is that of an answer that cannot be used.
    async fn complete(
        &self,
        mut data: Value,
        problems: &[exchange::Problem],
        under: &str,
    ) -> Result<Result<Railway, Failure>, Failure> {
        let ids = |data: &Value| {
            let root = if under.is_empty() { data } else { &data[under] };
            let id = |of: &str| root[of]["id"].as_str().unwrap_or_default().to_owned();
            (id("project"), id("environment"))
        };
        let (project, environment) = ids(&data);
        let root = if under.is_empty() {
            &mut data
        } else {
            &mut data[under]
        };
        let services = self
            .rest(
                &root["project"]["services"],
                documents::MORE_SERVICES,
                &project,
                &environment,
                "/project/services",
            )
            .await?;
        let instances = self
            .rest(
                &root["environment"]["serviceInstances"],
                documents::MORE_INSTANCES,
                &project,
                &environment,
                "/environment/serviceInstances",
            )
            .await?;
        let mut seen = match answers::railway(&data, under, problems, &services, &instances) {
            Ok(seen) => seen,
            Err(failure) => return Ok(Err(self.exchange.without_secrets(failure))),
        };
        if let Ok(mut known) = self.shared.lock() {
            *known = shared(if under.is_empty() {
                &data
            } else {
                &data[under]
            });
        }
        self.hide(&mut seen);
        Ok(Ok(seen))
    }

    /// What must not be shown of words from outside: every value of the environment, and the secrets that are hidden anyway.
    fn scrubber(&self, seen: &Railway) -> Scrubber {
        let shared = self.shared.lock().map(|known| known.clone());
        let shared = shared.unwrap_or_default();
        Scrubber::new(values(seen).chain(&shared)).and(self.exchange.hidden())
    }

    /// Takes values out of the words with which Railway tells why a patch failed, or why something cannot be seen.
    fn hide(&self, seen: &mut Railway) {
        // Mostly there are none, and the scrubber of a large environment is large.
        if told(seen).next().is_none() {
            return;
        }
        let scrubber = self.scrubber(seen);
        for words in told(seen) {
            *words = one_line_long(&scrubber.scrub(words));
        }
    }

    /// The nodes of all further pages of a connection. A list counts only when its last page was seen.
    async fn rest(
        &self,
        first: &Value,
        document: &str,
        project: &str,
        environment: &str,
        at: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut nodes = Vec::new();
        let mut info = first["pageInfo"].clone();
        for _ in 0..MOST_PAGES {
            match info["hasNextPage"].as_bool() {
                Some(false) => return Ok(nodes),
                Some(true) => {}
                None => break,
            }
            let variables = json!({ "project": project, "environment": environment, "page": PAGE, "after": info["endCursor"] });
            let page = self.exchange.read(document, variables).await?.whole()?;
            let page = page.pointer(at).cloned().unwrap_or_default();
            nodes.extend(
                page["edges"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|edge| edge["node"].clone()),
            );
            if page["pageInfo"]["endCursor"] == info["endCursor"] {
                break;
            }
            info = page["pageInfo"].clone();
        }
        Err(endless())
    }

    async fn resolve(&self, scope: &Scope) -> Result<(String, String), Failure> {
        place::ids(&self.projects().await?, scope)
    }

    /// Every project that the token shows, with the names of its environments.
    async fn projects(&self) -> Result<Vec<Value>, Failure> {
        let mut projects = Vec::new();
        let mut after = Value::Null;
        for _ in 0..MOST_PAGES {
            let page = self
                .exchange
                .read(documents::NAMES, json!({ "page": PAGE, "after": after }))
                .await?
                .whole()?;
            projects.extend(
                page["projects"]["edges"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            );
            let info = &page["projects"]["pageInfo"];
            match info["hasNextPage"].as_bool() {
                Some(false) => return Ok(projects),
                Some(true) if info["endCursor"] != after => after = info["endCursor"].clone(),
                Some(true) | None => break,
            }
        }
        Err(endless())
    }
}

/// A list counts only when its end was seen.
fn endless() -> Failure {
    Failure::Passing("a list of Railway did not come to its end".to_owned())
}

/// Every value of the environment that Railway tells: it may stand in a log or in the words of a failure.
fn values(seen: &Railway) -> impl Iterator<Item = &Secret> {
    seen.services
        .values()
        .filter_map(Seen::facts)
        .filter_map(|service| service.variables.facts())
        .flat_map(|variables| variables.values())
        .filter_map(|variable| variable.value.as_ref())
}

/// The words of Railway's own in what was seen.
fn told(seen: &mut Railway) -> impl Iterator<Item = &mut String> {
    fn unseen<T>(seen: &mut Seen<T>) -> Option<&mut String> {
        match seen {
            Seen::Unseen(words) => Some(words),
            Seen::Facts(_) | Seen::Unasked => None,
        }
    }
    fn failed(patch: &mut railway::Patch) -> Option<&mut String> {
        match &mut patch.state {
            PatchState::Failed(words) => Some(words),
            PatchState::Applying | PatchState::Committed => None,
        }
    }
    let (patches, history) = match &mut seen.history {
        Seen::Facts(history) => (Some(&mut history.patches), None),
        history => (None, unseen(history)),
    };
    let services = seen.services.values_mut().filter_map(unseen);
    services
        .chain(unseen(&mut seen.staged))
        .chain(history)
        .chain(patches.into_iter().flatten().filter_map(failed))
}

/// The values of the shared variables, which no plan reads.
fn shared(root: &Value) -> Vec<Secret> {
    let shared = root["environment"]["config"]["sharedVariables"].as_object();
    let values = shared.into_iter().flatten();
    values
        .filter_map(|(_, stored)| stored["value"].as_str())
        .map(Secret::new)
        .collect()
}

impl Client {
    /// One look at an environment.
    ///
    /// # Errors
    /// As a [`Failure`]: what could not be seen at all. What could not be seen in part is unseen inside the answer.
    pub async fn observe(&self, scope: &Scope) -> Result<Railway, Failure> {
        if is_id(&scope.project) && is_id(&scope.environment) {
            let seen = self.observe_by_id(&scope.project, &scope.environment).await;
            // Whether a project token may read its project by id is open; asked for its own, it also tells whose it is.
            return match seen {
                Err(Failure::Denied(_)) if self.is_project_token => {
                    self.observe_by_token(scope).await
                }
                seen => seen,
            };
        }
        if self.is_project_token {
            return self.observe_by_token(scope).await;
        }
        let (project, environment) = self.resolve(scope).await?;
        self.observe_by_id(&project, &environment).await
    }

    /// Sends one write, once.
    ///
    /// # Errors
    /// As a [`Failure`], by what the caller can do about it.
    pub async fn perform(
        &self,
        seen: &Railway,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        let environment = &seen.environment.id;
        let (document, variables) = match &write.what {
            What::Patch(changes) => {
                let patch = patch::patch(changes, secrets)?;
                (
                    documents::PATCH,
                    json!({ "environment": environment, "patch": patch, "message": write.message() }),
                )
            }
            What::One(railway::Action::Change(change)) => {
                let patch = patch::patch(std::slice::from_ref(change), secrets)?;
                (
                    documents::PATCH,
                    json!({ "environment": environment, "patch": patch, "message": write.message() }),
                )
            }
            What::One(railway::Action::Store {
                service,
                image,
                settings,
            }) => (
                documents::STORE,
                json!({ "environment": environment, "service": service.id, "input": stored(image, settings) }),
            ),
            What::One(railway::Action::StoreStart {
                service,
                image,
                start,
            }) => (
                documents::STORE,
                json!({ "environment": environment, "service": service.id, "input": stored(image, &[SettingValue::Start(Some(start.clone()))]) }),
            ),
            What::One(railway::Action::SetVariable {
                service,
                name,
                value,
            }) => (
                documents::SET_VARIABLES,
                json!({ "input": {
                    "projectId": seen.project.id, "environmentId": environment, "serviceId": service.id, "variables": { name: value },
                } }),
            ),
            What::One(railway::Action::Stop { deployment, .. }) => {
                (documents::STOP, json!({ "deployment": deployment }))
            }
            What::One(railway::Action::PushToDeploy { service, enabled }) => (
                documents::PUSH_TO_DEPLOY,
                json!({ "input": {
                    "projectId": seen.project.id, "environmentId": environment, "serviceId": service.id, "enabled": enabled,
                } }),
            ),
            What::One(railway::Action::Delete { service }) => (
                documents::DELETE,
                json!({ "environment": environment, "service": service.id }),
            ),
            What::One(railway::Action::Deploy { service, commit }) => (
                documents::DEPLOY,
                json!({ "environment": environment, "service": service.id, "commit": commit }),
            ),
            What::One(railway::Action::Redeploy { deployment, .. }) => {
                (documents::REDEPLOY, json!({ "deployment": deployment }))
            }
            What::One(railway::Action::Rollback { deployment, .. }) => {
                (documents::ROLLBACK, json!({ "deployment": deployment }))
            }
            What::Redis(_) => {
                let words = "a change of a Redis server is none of Railway".to_owned();
                return Err(Failure::Refused(words));
            }
        };
        let known = Scrubber::new(secrets.values().filter_map(Seen::facts));
        self.exchange
            .write(document, variables, &known.and(&self.scrubber(seen)))
            .await
    }
}

/// The image and settings of a service instance, in the words of its own update.
fn stored(image: &str, settings: &[SettingValue]) -> Value {
    let mut input = json!({ "source": { "image": image } });
    for value in settings {
        if let Value::Object(fields) = deploy::json(value) {
            for (key, field) in fields {
                input[key] = field;
            }
        }
    }
    input
}

/// Whether a word is a Railway id: a UUID.
fn is_id(word: &str) -> bool {
    let groups: Vec<usize> = word.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12]
        && word
            .chars()
            .all(|sign| sign == '-' || sign.is_ascii_hexdigit())
}
