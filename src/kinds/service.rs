//! `kind: Service`: what one Railway service should be.

mod rollout;
mod settings;
mod steps;

pub use rollout::fresh_change;
pub use steps::steps;

use crate::kinds::written::{Duration, Instant};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One Railway service of the same name. Only what is written here is managed; everything else stays as it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// The Release whose image or commit it runs.
    pub release: Option<String>,
    /// The container image that it runs, where it follows no Release.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
    )]
    pub image: Option<String>,
    /// The commit that it is built from, where it follows no Release.
    #[schemars(regex(pattern = "^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
    /// How many replicas: a number in one region, or a map of regions. Applied without a deployment.
    pub replicas: Option<Replicas>,
    /// The health check that Railway makes while it deploys. It must answer 200 without the database, too.
    pub ready: Option<Ready>,
    /// Has been restarted at or after this time. In the future: a planned restart. Not begun within an hour of it: never begun, and reported.
    pub restarted_after: Option<Instant>,
    /// Environment variables. Those that are not named here stay as they are.
    #[serde(default)]
    #[schemars(with = "BTreeMap<VariableName, Variable>")]
    pub variables: BTreeMap<String, Variable>,
}

/// How many replicas, and where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a number, or a map of regions to numbers")]
pub enum Replicas {
    /// So many, in the one region where the service is.
    Number(#[schemars(range(min = 1, max = 50))] u32),
    /// So many in each region.
    Regions(#[schemars(extend("minProperties" = 1))] BTreeMap<String, Count>),
}

/// A number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Count(#[schemars(range(min = 1, max = 50))] pub u32);

/// The health check that Railway makes while it deploys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Ready {
    /// The path that must answer 200.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// How long it may take until it does; 5m unless said otherwise.
    pub within: Option<Duration>,
}

/// The name of an environment variable.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct VariableName(
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    #[expect(dead_code, reason = "only its schema is used")]
    String,
);

/// What a variable should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(
    title = "text, a whole number, true or false, `{ from: { secret: NAME } }` or `{ absent: true }`"
)]
pub enum Variable {
    /// Text; a Railway reference such as `${{redis.REDIS_URL}}` is text, too.
    Text(String),
    /// A whole number. A decimal goes in quotes, so that `1.10` stays `1.10`.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// The value of a secret.
    From(FromSecret),
    /// It must not exist.
    Absent(Absent),
}

/// The value of a secret. The manifest names it, and nothing but the request to Railway ever holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct FromSecret {
    /// Where the value comes from.
    pub from: Reference,
    /// Whether Railway shall never show it again. A sealed value cannot be compared: it is written when it is missing or not sealed, and with `rotatedAfter`.
    #[serde(default)]
    pub sealed: bool,
    /// Has been written at or after this time: the way to rotate a sealed value. Follows the rules of `restartedAfter`.
    pub rotated_after: Option<Instant>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Reference {
    /// The secret's name, without the environment's `secrets.prefix`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub secret: String,
}

/// It must not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Absent {
    /// Always `true`.
    #[schemars(extend("const" = true))]
    pub absent: bool,
}
