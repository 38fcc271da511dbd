//! `kind: Release`: the one file that a release changes; services name it and move together.

use super::{Declared, Documents, Kind};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// The newest database migration inside: a way back to an older one says which stay. Migrations are compared by their names, as they sort.
    #[schemars(length(min = 1, max = 200))]
    pub migration: Option<String>,
}

impl Kind for Spec {
    const NAME: &'static str = "Release";
    const IS_SHARED: bool = true;
    const EXAMPLE: &'static str = "apiVersion: reconciler/v1alpha1
kind: Release
metadata: { name: app }
spec:
  image: ghcr.io/owner/app:1.4.2
  commit: 4f2a91c0d3b5e7f9a1c3e5f7092b4d6f8a0c2e4d
  migration: 20261120_add_order_flags
";

    fn all(documents: &Documents) -> &BTreeMap<String, Declared<Spec>> {
        &documents.releases
    }

    fn all_mut(documents: &mut Documents) -> &mut BTreeMap<String, Declared<Spec>> {
        &mut documents.releases
    }
}
