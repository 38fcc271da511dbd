//! What a service should run: an image or a commit, by its own document, its Release, or a demand.

use super::Spec;
use crate::kinds::Declared;
use crate::kinds::demand::{Demand, Needed};
use crate::kinds::release;
use crate::kinds::shown::one_line;
use crate::kinds::step::Loss;
use crate::source::Origin;
use crate::world::railway::Source;
use std::collections::BTreeMap;

/// What a document wants to run, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub content: Content,
    pub why: String,
    pub origin: Origin,
    /// Whether it closes the service to customers.
    pub closes: bool,
    /// Whether it is what ran before a release that is refused.
    pub is_put_back: bool,
    /// Whether it must come by a patch, which shows in the history.
    pub by_patch: bool,
}

/// An image, or a commit of the repository that the service is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Image(String),
    Commit(String),
}

impl Content {
    /// As people name it: the tag of an image where there is one, the start of a commit.
    pub(super) fn words(&self) -> String {
        match self {
            Content::Image(image) => image_words(image),
            Content::Commit(commit) => commit_words(commit),
        }
    }
}

/// A reference without its digest when it has a tag, too.
pub fn image_words(image: &str) -> String {
    let tagged = image.split_once('@').filter(|(name, _)| {
        name.rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
    });
    one_line(tagged.map_or(image, |(name, _)| name))
}

/// From and to as people compare them: only the tags where the rest is the same.
pub(super) fn moved(from: &str, to: &str) -> (String, String) {
    let (from, to) = (image_words(from), image_words(to));
    match (from.rsplit_once(':'), to.rsplit_once(':')) {
        (Some((name, old)), Some((same, new)))
            if name == same && !old.contains('/') && old != new =>
        {
            (old.to_owned(), new.to_owned())
        }
        _ => (from, to),
    }
}

/// Enough of an id to know it by.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// A commit as people read it.
pub fn commit_words(commit: &str) -> String {
    one_line(commit.get(..7).unwrap_or(commit))
}

/// What the document wants to run, given what the service is built from: `Err` says why that does not fit.
pub(super) fn wanted(
    declared: &Declared<Spec>,
    releases: &BTreeMap<String, Declared<release::Spec>>,
    demands: &[Demand],
    source: &Source,
) -> Result<Option<Wanted>, String> {
    if let Some(wanted) = demands.iter().find_map(instead) {
        return match source {
            Source::Image(_) | Source::Nothing => Ok(Some(wanted)),
            Source::Repository { name } => Err(format!(
                "it is built from the repository {}, and only what runs an image can be closed by one",
                one_line(name)
            )),
        };
    }
    let spec = &declared.spec;
    let (image, commit, why, origin_of): (_, _, _, &dyn Fn(&str) -> Origin) =
        match spec.release.as_ref().and_then(|name| releases.get(name)) {
            Some(release) => (
                &release.spec.image,
                &release.spec.commit,
                format!("Release/{}", release.name),
                &|field| release.origin(&[field]).clone(),
            ),
            None => (&spec.image, &spec.commit, String::new(), &|field| {
                declared.origin(&[field]).clone()
            }),
        };
    let named = |content: Content, field: &str| {
        let why = if why.is_empty() {
            format!("{field}: {}", content.words())
        } else {
            format!("{why} {}", content.words())
        };
        Ok(Some(Wanted {
            content,
            why,
            origin: origin_of(field),
            closes: false,
            is_put_back: false,
            by_patch: false,
        }))
    };
    match (source, image, commit) {
        (_, None, None) => Ok(None),
        (Source::Image(_) | Source::Nothing, Some(image), _) => {
            named(Content::Image(image.clone()), "image")
        }
        (Source::Repository { .. }, _, Some(commit)) => {
            named(Content::Commit(commit.clone()), "commit")
        }
        (Source::Repository { name }, Some(_), None) => Err(format!(
            "it is built from the repository {}, and only an image is declared",
            one_line(name)
        )),
        (Source::Image(_), None, Some(_)) => {
            Err("it runs an image, and only a commit is declared".to_owned())
        }
        (Source::Nothing, None, Some(_)) => {
            Err("it has no repository to build a commit from".to_owned())
        }
    }
}

fn instead(demand: &Demand) -> Option<Wanted> {
    match &demand.what {
        Needed::Image(instead) => Some(Wanted {
            content: Content::Image(instead.image.clone()),
            why: demand.why.clone(),
            origin: demand.origin.clone(),
            closes: true,
            is_put_back: false,
            by_patch: false,
        }),
        Needed::Variable { .. } | Needed::Otherwise { .. } => None,
    }
}

/// Whether two references mean the same image: the default registry may be written or not.
pub(super) fn is_same_image(one: &str, other: &str) -> bool {
    fn short(image: &str) -> &str {
        let image = image.strip_prefix("docker.io/").unwrap_or(image);
        image.strip_prefix("library/").unwrap_or(image)
    }
    short(one) == short(other)
}

/// Parts of the names of images that keep data in files of their own format (facts/railway.md 5 has Railway's own list).
const DATABASES: &[&str] = &["postgres", "mysql", "mariadb", "redis", "valkey", "mongo"];

/// What may be lost when a service with a volume goes from one image to another; nothing where files stay readable.
pub(super) fn loss(from: &str, to: &str) -> Option<Loss> {
    let is_database = |image: &str| DATABASES.iter().any(|name| image.contains(name));
    if !(is_database(from) && is_database(to)) || is_same_image(from, to) {
        return None;
    }
    let (one, other) = (Version::of(from), Version::of(to));
    let words = match (&one, &other) {
        (Some(one), Some(other)) if one.name != other.name => format!(
            "what its volume holds: another program, {}, takes over the files of {}",
            other.name, one.name
        ),
        (Some(one), Some(other)) if other.numbers < one.numbers => {
            "what its volume holds: an older version may not read what a newer one has written".to_owned()
        }
        (Some(one), Some(other)) if one.numbers.first() != other.numbers.first() => {
            "what its volume holds: another major version may not read it, or changes it so that there is no way back".to_owned()
        }
        (Some(_), Some(_)) => return None,
        (None, _) | (_, None) => {
            "what its volume holds: it cannot be told from the tags whether the versions can read each other's files"
                .to_owned()
        }
    };
    Some(Loss {
        words,
        facts: format!("{from} → {to}"),
    })
}

struct Version {
    name: String,
    numbers: Vec<u32>,
}

impl Version {
    fn of(image: &str) -> Option<Version> {
        let image = image.split('@').next().unwrap_or(image);
        let last = image.rsplit('/').next().unwrap_or(image);
        let (name, tag) = last.split_once(':')?;
        let numbers: Vec<u32> = tag
            .split(['.', '-'])
            .map_while(|part| part.parse().ok())
            .collect();
        (!numbers.is_empty()).then(|| Version {
            name: name.to_owned(),
            numbers,
        })
    }
}
