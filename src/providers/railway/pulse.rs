//! Whether anything moved in an environment since it was looked at: little enough to ask for many at once.

use super::tree;
use crate::world::railway::Pulse;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many environments are asked for in one request; Railway counts requests, not what is in them (facts/railway.md 1).
pub const TOGETHER: usize = 50;

/// The query for so many environments, `$e0`, `$e1`, …; the answers are `b0`, `b1`, ….
pub fn document(environments: usize) -> String {
    let mut parameters = String::new();
    let mut fields = String::new();
    for position in 0..environments {
        let _ = write!(parameters, ", $e{position}: String!");
        let _ = writeln!(
            fields,
            "  b{position}: environment(id: $e{position}) {{ ...Beat }}"
        );
    }
    format!(
        "query Beats($page: Int!{parameters}) {{
{fields}}}
fragment Beat on Environment {{ id configEtag unmergedChangesCount serviceInstances(first: $page) {{ edges {{ node {{ serviceId latestDeployment {{ id status deploymentStopped }} }} }} }} }}
"
    )
}

/// What moves when something happens: the configuration's own token, what is staged, and the newest deployments.
/// Nothing where a part is missing: then only a whole look tells.
pub(super) fn pulse(environment: &Value) -> Option<Pulse> {
    let etag = environment["configEtag"].as_str()?;
    let staged = environment["unmergedChangesCount"].as_u64();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut deployments = BTreeMap::new();
    for edge in environment["serviceInstances"]["edges"].as_array()? {
        let node = tree::whole(&edge["node"]);
        let newest = &node["latestDeployment"];
        deployments.insert(
            text(&node["serviceId"])?,
            (
                text(&newest["id"]),
                text(&newest["status"]),
                newest["deploymentStopped"].as_bool(),
            ),
        );
    }
    let told = serde_json::to_vec(&(etag, staged, deployments)).ok()?;
    let digest = Sha256::digest(&told);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    Some(Pulse(short))
}
