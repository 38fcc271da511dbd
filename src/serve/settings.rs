//! Where the controller listens, who may ask it, and whose pushes it believes.

use crate::config::Config;
use crate::world::secret::Secret;
use std::net::SocketAddr;
use std::time::Duration;

/// How the controller is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What everybody must show who asks for more than whether it is alive; nothing only on loopback.
    pub token: Option<Secret>,
    /// What signs a push: one, or two while it changes. There is no webhook where there is none.
    pub webhook: Vec<Secret>,
    /// The names under which it is reached beside those of loopback.
    pub hosts: Vec<String>,
    /// Whose pushes are worth a look.
    pub watched: Watched,
    /// How long one request may take, its body included, and how long a connection may be slow to ask.
    pub patience: Duration,
    /// How long between two looks that the webhook asks for.
    pub look_interval: Duration,
}

/// A branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// `owner/name`, where the address of the repository tells.
    pub repository: Option<String>,
    /// The branch's name.
    pub branch: String,
}

impl Watched {
    /// From a repository's address, as git takes it, and a branch.
    pub fn of(address: &str, branch: &str) -> Watched {
        Watched {
            repository: owner_and_name(address),
            branch: branch.to_owned(),
        }
    }
}

/// Where it listens when nobody says.
pub const LISTEN: &str = "127.0.0.1:8080";
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;
/// A shorter secret of the webhook could be found from one signed body.
const SHORTEST_SECRET: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

impl Settings {
    /// From the process environment.
    ///
    /// # Errors
    /// When a setting is not understood, or the controller would be open to strangers.
    pub fn of(config: &Config, watched: Watched) -> Result<Settings, String> {
        let listen = config.plain("RECONCILER_LISTEN").unwrap_or(LISTEN);
        let listen: SocketAddr = listen.parse().map_err(|_| {
            format!("RECONCILER_LISTEN is not an address with a port such as `{LISTEN}` or `0.0.0.0:8080`")
        })?;
        let token = config.secret("RECONCILER_HTTP_TOKEN").cloned();
        let hosts = config.plain("RECONCILER_HOSTS").unwrap_or_default();
        let secrets = [
            "RECONCILER_WEBHOOK_SECRET",
            "RECONCILER_WEBHOOK_SECRET_NEXT",
        ];
        let webhook = secrets.into_iter().filter_map(|name| {
            let secret = config.secret(name)?;
            Some(long_enough(name, secret, SHORTEST_SECRET))
        });
        if let Some(token) = &token {
            long_enough("RECONCILER_HTTP_TOKEN", token, SHORTEST_TOKEN)?;
        }
        Settings {
            listen,
            token,
            webhook: webhook.collect::<Result<_, _>>()?,
            hosts: names(hosts),
            watched,
            patience: PATIENCE,
            look_interval: LOOK_INTERVAL,
        }
        .checked()
    }

    /// The same, unless strangers could reach it.
    ///
    /// # Errors
    /// When it listens beyond loopback and asks for no token.
    pub fn checked(self) -> Result<Settings, String> {
        if self.token.is_none() && !self.listen.ip().is_loopback() {
            return Err(format!(
                "RECONCILER_LISTEN={} can be reached from other machines, and no token is asked for: set RECONCILER_HTTP_TOKEN (at least {SHORTEST_TOKEN} bytes, such as from `openssl rand -hex 32`), or listen on {LISTEN}",
                self.listen
            ));
        }
        Ok(self)
    }

    /// All secrets of its own.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.token.iter().chain(&self.webhook)
    }
}

fn long_enough(name: &str, secret: &Secret, shortest: usize) -> Result<Secret, String> {
    if secret.reveal().len() < shortest {
        return Err(format!(
            "{name} is too short: at least {shortest} bytes, such as from `openssl rand -hex 32`"
        ));
    }
    Ok(secret.clone())
}

fn names(list: &str) -> Vec<String> {
    let names = list.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(str::to_ascii_lowercase).collect()
}

/// `owner/name` of `https://host/owner/name.git`, `ssh://git@host/owner/name` and `git@host:owner/name`; nothing of a folder.
fn owner_and_name(address: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?.1,
        None => address.split_once(':')?.1,
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit('/');
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}
