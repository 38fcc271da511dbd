//! How git may reach the server of the manifests: the token or the key, and nothing else of this machine.

use super::source::{Source, Way};
use crate::config::Config;
use crate::world::secret::{Scrubber, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Variables that say how this machine reaches others; everything else of the environment stays here.
const PASSED: &[&str] = &[
    "PATH",
    "TMPDIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Who a token belongs to, where the address does not say: GitHub and GitLab take any name.
const USER: &str = "x-access-token";

/// What git is given to reach the server.
#[derive(Debug, Clone)]
pub struct Access {
    token: Option<Secret>,
    key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    passed: BTreeMap<&'static str, Secret>,
}

impl Access {
    /// From `RECONCILER_GIT_TOKEN`, `RECONCILER_GIT_KEY` and `RECONCILER_GIT_KNOWN_HOSTS`.
    pub fn of(config: &Config) -> Access {
        let passed = PASSED.iter().filter_map(|name| {
            let value = config.plain(name)?;
            Some((*name, Secret::new(value)))
        });
        Access {
            token: config.git_token().cloned(),
            key: config.plain("RECONCILER_GIT_KEY").map(PathBuf::from),
            known_hosts: config
                .plain("RECONCILER_GIT_KNOWN_HOSTS")
                .map(PathBuf::from),
            passed: passed.collect(),
        }
    }

    /// Variables of this machine that every git gets.
    pub(super) fn passed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.passed
            .iter()
            .map(|(name, value)| (*name, value.reveal()))
    }

    /// Settings of git that carry the token. They travel in the environment of the child: never in its arguments, never on disk.
    pub(super) fn settings(&self, source: &Source) -> Vec<(String, String)> {
        match (source.way(), self.header(source)) {
            (Way::Https | Way::Loopback, Some(header)) => {
                // For this address only: git sends it nowhere else.
                let name = format!("http.{}.extraHeader", source.address());
                vec![(name, header.reveal().to_owned())]
            }
            _ => Vec::new(),
        }
    }

    fn header(&self, source: &Source) -> Option<Secret> {
        let user = source.user().unwrap_or(USER);
        let token = self.token.as_ref()?.reveal();
        let basic = STANDARD.encode(format!("{user}:{token}"));
        Some(Secret::new(format!("Authorization: Basic {basic}")))
    }

    /// The command for ssh: this key, these hosts, no question asked.
    ///
    /// # Errors
    /// Which setting is missing, or cannot be given to ssh.
    pub(super) fn ssh(&self) -> Result<String, String> {
        let key = path_of(self.key.as_deref(), "RECONCILER_GIT_KEY", "a key file")?;
        let hosts = path_of(
            self.known_hosts.as_deref(),
            "RECONCILER_GIT_KNOWN_HOSTS",
            "the file of known hosts",
        )?;
        Ok(format!(
            "ssh -F /dev/null -i {key} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={hosts} -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o ClearAllForwardings=yes \
             -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
        ))
    }

    /// Takes every secret out of git's words.
    pub(super) fn scrubber(&self, source: &Source) -> Scrubber {
        let header = self.header(source);
        let basic = header
            .as_ref()
            .and_then(|header| header.reveal().rsplit(' ').next())
            .map(Secret::new);
        let passed = self
            .passed
            .iter()
            .filter(|(name, _)| name.to_lowercase().ends_with("proxy"))
            .map(|(_, value)| value);
        Scrubber::new(self.token.iter().chain(&basic).chain(passed))
    }
}

fn path_of<'a>(path: Option<&'a Path>, name: &str, what: &str) -> Result<&'a str, String> {
    let path = path.ok_or_else(|| format!("ssh needs {what}: set {name} to its path"))?;
    quotable(path).ok_or_else(|| {
        format!("{name}: the path must be absolute, of letters, digits and `/._-` only")
    })
}

/// A path that a shell and ssh's own settings both take as it is.
fn quotable(path: &Path) -> Option<&str> {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "/._-".contains(sign);
    path.to_str()
        .filter(|text| text.starts_with('/') && text.chars().all(is_plain))
}
