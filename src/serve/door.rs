//! Who may ask: the token as bearer or as the cookie of a login, the names under which we are reached, and no page of somebody else's on a reader's behalf.

use super::settings::Settings;
use crate::world::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Uri, header};
use sha2::Sha256;
use std::fmt::Write as _;

/// The name of the cookie that a login sets.
const COOKIE: &str = "reconciler";

/// What opens the door.
#[derive(Debug)]
pub(super) struct Door {
    token: Option<Secret>,
    /// The names that are ours, where only those are answered.
    hosts: Option<Vec<String>>,
}

impl Door {
    pub(super) fn of(settings: &Settings) -> Door {
        // Beyond loopback everybody shows the token, and a browser that was lured here has none for the name it was lured by.
        let hosts = settings.listen.ip().is_loopback().then(|| {
            let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
            loopback.into_iter().chain(settings.hosts.clone()).collect()
        });
        Door {
            token: settings.token.clone(),
            hosts,
        }
    }

    /// Whether the request says by one of our names whom it means: a name that somebody else bound to our address is none of them.
    pub(super) fn is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(hosts) = &self.hosts else {
            return true;
        };
        let said = uri.authority().map(http::uri::Authority::as_str);
        let named = said.into_iter().chain(text(headers, &header::HOST));
        let mut names = named
            .map(|host| without_port(host).to_ascii_lowercase())
            .peekable();
        names.peek().is_some() && names.all(|name| hosts.contains(&name))
    }

    /// Whether the request shows the token, or a cookie that only the token could have brought.
    pub(super) fn opens(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        if let Some(shown) = text(headers, &header::AUTHORIZATION) {
            let bearer = shown.split_once(' ');
            return bearer.is_some_and(|(sort, given)| {
                sort.eq_ignore_ascii_case("bearer") && is_same(token, given.trim())
            });
        }
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| {
            let given = bytes_of(value);
            let is_right = |given: Vec<u8>| signed(token, LOGIN).verify_slice(&given).is_ok();
            name == COOKIE && given.is_some_and(is_right)
        })
    }

    /// The cookie for somebody who shows the token in a form.
    pub(super) fn login(&self, given: &str, is_https: bool) -> Option<String> {
        let token = self.token.as_ref()?;
        if !is_same(token, given.trim()) {
            return None;
        }
        let mut value = String::new();
        for byte in signed(token, LOGIN).finalize().into_bytes() {
            let _ = write!(value, "{byte:02x}");
        }
        Some(cookie(&value, 30 * 24 * 3600, is_https))
    }

    /// The cookie that takes the other one away.
    pub(super) fn logout(is_https: bool) -> String {
        cookie("", 0, is_https)
    }

    /// Whether a login is of any use.
    pub(super) fn has_lock(&self) -> bool {
        self.token.is_some()
    }
}

const LOGIN: &[u8] = b"reconciler: login to the page";

fn cookie(value: &str, seconds: u32, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// Both are keys of a signature, and signatures are compared in constant time.
fn is_same(token: &Secret, given: &str) -> bool {
    let ours = signed(token, b"bearer").finalize().into_bytes();
    let theirs = signed(&Secret::new(given), b"bearer");
    theirs.verify_slice(&ours).is_ok()
}

fn signed(key: &Secret, words: &[u8]) -> Hmac<Sha256> {
    let mut signature = hmac_of(key);
    signature.update(words);
    signature
}

/// A signature that begins.
pub(super) fn hmac_of(key: &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.reveal().as_bytes()).expect("HMAC takes a key of any length")
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Whether a browser sends this for a page of somebody else's.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().ok().and_then(|origin| {
        let (_, host) = origin.split_once("://")?;
        Some(host)
    });
    origin.is_none() || origin != text(headers, &header::HOST)
}

/// Whether a proxy before us spoke TLS with the reader.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "https")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|sign| sign.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
