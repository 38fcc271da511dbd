//! Where the manifests come from: an address, a branch and a path, refused where they would make git do something else.

use crate::files::is_plain_name;
use std::path::Path;

/// A branch of a repository, and the directory in it below which environments are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    address: String,
    user: Option<String>,
    way: Way,
    branch: String,
    path: String,
}

/// How git gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `https://`, with a token.
    Https,
    /// `http://` to this machine itself.
    Loopback,
    /// `ssh://`, or `git@host:path`.
    Ssh,
    /// A directory of this machine.
    File,
}

impl Way {
    /// Git's own name for it.
    pub fn protocol(self) -> &'static str {
        match self {
            Way::Https => "https",
            Way::Loopback => "http",
            Way::Ssh => "ssh",
            Way::File => "file",
        }
    }
}

impl Source {
    /// Checks all three.
    ///
    /// # Errors
    /// What is wrong with which, in words that repeat no secret.
    pub fn new(url: &str, branch: &str, path: &str) -> Result<Source, String> {
        let (address, user, way) = address(url)?;
        Ok(Source {
            address,
            user,
            way,
            branch: checked_branch(branch)?,
            path: checked_path(path)?,
        })
    }

    /// The address as git is given it; it holds no secret.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Who asks, where the address says so.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How git gets there.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The directory in the repository, without slashes at its ends; "" is all of it.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn address(url: &str) -> Result<(String, Option<String>, Way), String> {
    let refused = |why: &str| Err(format!("this cannot be the address of a repository: {why}"));
    if url.is_empty() {
        return refused("it is empty");
    }
    if url.starts_with('-') {
        return refused("it begins with `-`, as an option of git does");
    }
    if url
        .chars()
        .any(|sign| sign.is_control() || sign.is_whitespace())
    {
        return refused("it holds a space or an invisible character");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return without_scheme(url);
    };
    if scheme.contains("::") {
        return refused(HELPER);
    }
    match scheme {
        "file" if rest.starts_with('/') => Ok((url.to_owned(), None, Way::File)),
        "file" => refused(
            "a `file://` address names a directory of this machine: `file:///srv/manifests.git`",
        ),
        "https" => web(scheme, rest, Way::Https),
        "http" => web(scheme, rest, Way::Loopback),
        "ssh" => ssh(url, rest),
        _ => refused(
            "it must begin with `https://`, `ssh://` or `file://`, or be `git@host:path` or a directory",
        ),
    }
}

const HELPER: &str = "`name::address` would run a program of that name";

fn web(scheme: &str, rest: &str, way: Way) -> Result<(String, Option<String>, Way), String> {
    let refused = |why: &str| Err(format!("this cannot be the address of a repository: {why}"));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return refused(
            "a password or token does not belong in it; RECONCILER_GIT_TOKEN holds the token",
        );
    }
    if rest.contains(['?', '#']) {
        return refused("`?` and `#` have no place in it");
    }
    if host.is_empty() || host.starts_with('-') || path.is_empty() {
        return refused("write `https://host/owner/repository`");
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if way == Way::Loopback && !matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        return refused("`http://` is for this machine only; write `https://`");
    }
    let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
    Ok((format!("{scheme}://{host}/{path}"), user, way))
}

fn ssh(url: &str, rest: &str) -> Result<(String, Option<String>, Way), String> {
    let refused = |why: &str| Err(format!("this cannot be the address of a repository: {why}"));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("git", authority));
    if user.contains(':') {
        return refused("a password does not belong in it; a key file says who asks");
    }
    if user.starts_with('-') || host.is_empty() || host.starts_with('-') || path.is_empty() {
        return refused("write `ssh://git@host/owner/repository`");
    }
    Ok((url.to_owned(), None, Way::Ssh))
}

/// `git@host:path`, or a directory.
fn without_scheme(url: &str) -> Result<(String, Option<String>, Way), String> {
    let refused = |why: &str| Err(format!("this cannot be the address of a repository: {why}"));
    let before_slash = url.split('/').next().unwrap_or_default();
    if before_slash.contains("::") {
        return refused(HELPER);
    }
    match before_slash.split_once(':') {
        Some((authority, _)) if authority.contains('@') => {
            let (user, host) = authority.rsplit_once('@').unwrap_or_default();
            if user.is_empty() || host.is_empty() || host.starts_with('-') {
                return refused("write `git@host:owner/repository`");
            }
            Ok((url.to_owned(), None, Way::Ssh))
        }
        Some(_) => {
            refused("write `git@host:owner/repository`, or `./` before the name of a directory")
        }
        None => match std::path::absolute(Path::new(url)) {
            Ok(path) => Ok((path.to_string_lossy().into_owned(), None, Way::File)),
            Err(_) => refused("the directory cannot be told"),
        },
    }
}

fn checked_branch(branch: &str) -> Result<String, String> {
    let odd = |sign: char| {
        sign.is_control()
            || sign.is_whitespace()
            || matches!(sign, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    let is_branch = !branch.is_empty()
        && !branch.starts_with(['-', '/', '.'])
        && !branch.ends_with(['/', '.'])
        && branch.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && Path::new(part)
                    .extension()
                    .is_none_or(|ending| ending != "lock")
        })
        && !branch.contains("..")
        && !branch.contains("@{")
        && !branch.chars().any(odd);
    if is_branch {
        return Ok(branch.to_owned());
    }
    Err("this cannot be a branch: write its name as git does, such as `main`".to_owned())
}

fn checked_path(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if path.starts_with('/') || !parts.iter().all(|part| is_plain_name(part)) {
        return Err("this cannot be a path in the repository: write a directory of it, such as `manifests`, with letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(parts.join("/"))
}
