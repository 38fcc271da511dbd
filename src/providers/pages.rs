//! The web as customers see it: asks an address for its page, without following it anywhere.

use super::address::Allowed;
use super::http::{Broken, Transport};
use crate::kinds::shown::one_line;
use crate::world::Seen;
use crate::world::page::Page;
use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{Request, Uri};
use std::sync::Arc;

/// Asks for pages.
#[derive(Clone)]
pub struct Pages {
    transport: Arc<dyn Transport>,
    allowed: Allowed,
    through: Option<Uri>,
}

/// Why an address gave no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    /// It may not be asked, or is none.
    NotAsked(String),
    /// No answer came: it may be at fault, or whatever lies between.
    NotReached(String),
}

impl Pages {
    /// Asks public addresses, and the private ones that are allowed.
    ///
    /// With `through`, everything is asked there, with the address's own host in the request: a simulated web for drills.
    pub fn new(transport: Arc<dyn Transport>, allowed: Allowed, through: Option<Uri>) -> Pages {
        Pages {
            transport,
            allowed,
            through,
        }
    }

    /// What an address answers now; or why that cannot be told.
    pub async fn look(&self, url: &str) -> Seen<Page> {
        match self.get(url).await {
            Ok(page) => Seen::Facts(page),
            Err(Missed::NotAsked(words)) => {
                Seen::Unseen(format!("{} is not asked: {words}", one_line(url)))
            }
            Err(Missed::NotReached(words)) => Seen::Unseen(words),
        }
    }

    /// The same for whoever must know why there is no answer.
    ///
    /// # Errors
    /// As [`Missed`].
    pub async fn get(&self, url: &str) -> Result<Page, Missed> {
        let request = self.request(url).map_err(Missed::NotAsked)?;
        match self.transport.send(request).await {
            Ok(response) => Ok(Page {
                status: response.status().as_u16(),
                body: String::from_utf8_lossy(response.body()).into_owned(),
            }),
            Err(Broken::NotSent(words) | Broken::Lost(words)) => Err(Missed::NotReached(words)),
        }
    }

    fn request(&self, url: &str) -> Result<Request<Bytes>, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
        let authority = uri.authority().ok_or("it is no address")?.clone();
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_web || authority.as_str().contains('@') {
            return Err("it is no plain web address".to_owned());
        }
        let target = match &self.through {
            Some(through) => moved(&uri, through)?,
            None => {
                self.allowed.check(authority.host())?;
                uri
            }
        };
        Request::get(target)
            .header(ACCEPT, "text/html, */*")
            .header(HOST, authority.as_str())
            .body(Bytes::new())
            .map_err(|failure| failure.to_string())
    }
}

/// The same path at another place.
fn moved(uri: &Uri, through: &Uri) -> Result<Uri, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut parts = through.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).map_err(|failure| failure.to_string())
}
