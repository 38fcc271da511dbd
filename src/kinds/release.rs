//! `kind: Release`: the one file that a release changes; services name it and move together.

use schemars::JsonSchema;
use serde::Deserialize;

/// What runs: the one document that a release changes. Services that say `release: NAME` move together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// A container image reference; one with a digest (`…@sha256:…`) can never mean two things.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
    )]
    pub image: Option<String>,
    /// A commit, for services that Railway builds from a repository.
    #[schemars(regex(pattern = "^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
}
