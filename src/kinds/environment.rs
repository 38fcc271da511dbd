//! `kind: Environment`: which Railway environment a directory of manifests describes, and what it may reach.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which Railway environment this directory describes. Every directory of an environment holds exactly one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// A directory of shared documents, relative to this one. A document here with `from: base` is laid over its namesake there, map entry by map entry; the other documents of the base hold as they are.
    pub base: Option<Base>,
    /// The Railway environment that the manifests describe.
    pub railway: Railway,
    /// Which secrets `{ from: { secret: NAME } }` can reach.
    #[serde(default)]
    pub secrets: Secrets,
}

/// A directory of shared documents.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a directory, or `{ path, without }`")]
pub enum Base {
    /// The directory, relative to this one.
    Path(String),
    /// The directory, and what is left out of it.
    Chosen(ChosenBase),
}

/// A directory of shared documents, and what is left out of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct ChosenBase {
    /// The directory, relative to this one.
    pub path: String,
    /// Documents that do not hold here, as `Kind/name`.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Base {
    /// The directory, relative to the environment's own.
    pub fn path(&self) -> &str {
        match self {
            Base::Path(path) => path,
            Base::Chosen(chosen) => &chosen.path,
        }
    }

    /// What is left out of it, as `Kind/name`.
    pub fn without(&self) -> &[String] {
        match self {
            Base::Path(_) => &[],
            Base::Chosen(chosen) => &chosen.without,
        }
    }
}

/// A Railway environment, by names or by ids. With ids, a look is one request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Railway {
    /// The project's name or id.
    #[schemars(length(min = 1, max = 200))]
    pub project: String,
    /// The environment's name or id.
    #[schemars(length(min = 1, max = 200))]
    pub environment: String,
}

/// Which secrets the manifests can reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Secrets {
    /// `{ secret: STRIPE_KEY }` is the environment variable of that name with this before it, and nothing else can be reached.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*_$"))]
    pub prefix: Option<String>,
}
