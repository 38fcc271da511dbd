//! Settings from the process environment, read once: tokens, addresses, secrets.

use crate::world::Seen;
use crate::world::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Railway's own address. The query string is needed: without one, its edge applies a flat limit of 10 requests a second (facts/railway.md 1).
pub const RAILWAY_API_URL: &str = "https://backboard.railway.com/graphql/v2";

/// What the process was started with. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Config {
    variables: Arc<BTreeMap<String, Secret>>,
}

/// A token of Railway, by how it is sent.
#[derive(Debug, Clone)]
pub enum Token {
    /// `RAILWAY_TOKEN`: one environment of one project.
    Project(Secret),
    /// `RAILWAY_API_TOKEN`: an account or a workspace.
    Bearer(Secret),
}

impl Token {
    /// What people call it.
    pub fn words(&self) -> &'static str {
        match self {
            Token::Project(_) => "project token (RAILWAY_TOKEN)",
            Token::Bearer(_) => "account or workspace token (RAILWAY_API_TOKEN)",
        }
    }

    /// The secret itself.
    pub fn secret(&self) -> &Secret {
        match self {
            Token::Project(secret) | Token::Bearer(secret) => secret,
        }
    }
}

impl Config {
    /// Reads the process environment; what is not text is left out.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn read() -> Config {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    Secret::new(value.into_string().ok()?),
                ))
            })
            .collect();
        Config {
            variables: Arc::new(variables),
        }
    }

    /// Settings as given, for tests.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Config {
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (name.to_owned(), Secret::new(value)));
        Config {
            variables: Arc::new(variables.collect()),
        }
    }

    fn get(&self, name: &str) -> Option<&Secret> {
        self.variables
            .get(name)
            .filter(|value| !value.reveal().is_empty())
    }

    /// A setting that is no secret.
    pub fn plain(&self, name: &str) -> Option<&str> {
        self.get(name).map(Secret::reveal)
    }

    /// A setting that is a secret.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.get(name)
    }

    /// The token for Railway; a project token wins, as in Railway's own command line.
    pub fn railway_token(&self) -> Option<Token> {
        let project = self
            .get("RAILWAY_TOKEN")
            .map(|token| Token::Project(token.clone()));
        project.or_else(|| {
            self.get("RAILWAY_API_TOKEN")
                .map(|token| Token::Bearer(token.clone()))
        })
    }

    /// The token for the git server of the manifests.
    pub fn git_token(&self) -> Option<&Secret> {
        self.get("RECONCILER_GIT_TOKEN")
    }

    /// The secrets of the process itself: tokens, and what signs or opens its own doors.
    pub fn own_secrets(&self) -> Vec<Secret> {
        const NAMES: [&str; 8] = [
            "RAILWAY_TOKEN",
            "RAILWAY_API_TOKEN",
            "RECONCILER_GIT_TOKEN",
            "RECONCILER_HTTP_TOKEN",
            "RECONCILER_WEBHOOK_SECRET",
            "RECONCILER_WEBHOOK_SECRET_NEXT",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ];
        NAMES
            .iter()
            .filter_map(|name| self.get(name))
            .cloned()
            .collect()
    }

    /// Who gives an order, for whoever reads of it later: `RECONCILER_PERSON`, or who is logged in.
    pub fn person(&self) -> String {
        let names = ["RECONCILER_PERSON", "GITHUB_ACTOR", "USER", "LOGNAME"];
        let known = names.iter().find_map(|name| self.plain(name));
        known.unwrap_or("somebody").to_owned()
    }

    /// Where Railway's API is.
    pub fn railway_url(&self) -> &str {
        self.plain("RAILWAY_API_URL").unwrap_or(RAILWAY_API_URL)
    }

    /// The hosts that may be asked for a page although their addresses are private.
    pub fn pages_allowed(&self) -> &str {
        self.plain("RECONCILER_PAGES_ALLOW").unwrap_or_default()
    }

    /// The hosts that may be told what happens although their addresses are private; also without TLS.
    pub fn notify_allowed(&self) -> &str {
        self.plain("RECONCILER_NOTIFY_ALLOW").unwrap_or_default()
    }

    /// Where pages are asked instead of at their own addresses: a simulated web.
    pub fn pages_url(&self) -> Option<&str> {
        self.plain("RECONCILER_PAGES_URL")
    }

    /// How long one request to Railway may take at most, where the default does not suit a slow network.
    ///
    /// # Errors
    /// When `RECONCILER_REQUEST_TIMEOUT` is no duration above zero.
    pub fn request_timeout(&self) -> Result<Option<Duration>, String> {
        let name = "RECONCILER_REQUEST_TIMEOUT";
        let Some(written) = self.plain(name) else {
            return Ok(None);
        };
        match humantime::parse_duration(written) {
            Ok(time) if !time.is_zero() => Ok(Some(time)),
            Ok(_) | Err(_) => Err(format!("{name} is not a duration such as `30s`")),
        }
    }

    /// A setting that is a secret.
    pub fn hidden(&self, name: &str) -> Option<&Secret> {
        self.get(name)
    }

    /// The secrets that manifests refer to, each read from the variable with the prefix before its name and from nowhere else (design rule 19).
    pub fn secrets<'a>(
        &self,
        prefix: Option<&str>,
        names: impl IntoIterator<Item = &'a str>,
    ) -> BTreeMap<String, Seen<Secret>> {
        let prefix = prefix.unwrap_or_default();
        names
            .into_iter()
            .map(|name| {
                let full = format!("{prefix}{name}");
                let seen = match self.get(&full) {
                    Some(secret) if !prefix.is_empty() => Seen::Facts(secret.clone()),
                    Some(_) | None => Seen::Unseen(format!(
                        "the secret {name} is not there: {full} is not set, or empty"
                    )),
                };
                (name.to_owned(), seen)
            })
            .collect()
    }
}
