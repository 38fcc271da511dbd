//! Which project and environment a token or a person means.

use crate::providers::Scope;
use crate::world::Failure;
use crate::world::railway::Named;
use serde_json::Value;

/// A project, and one of its environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project.
    pub project: Named,
    /// The environment, where one is meant.
    pub environment: Option<Named>,
}

impl Place {
    /// Of an object that has both.
    pub(super) fn of(both: &Value) -> Place {
        Place {
            project: named(&both["project"]),
            environment: Some(named(&both["environment"])),
        }
    }

    /// The same, if it is the one that is wanted.
    pub(super) fn fitting(
        self,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Place, Failure> {
        let fits = |named: &Named, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| named.id == wanted || named.name == wanted)
        };
        let here = self.environment.as_ref();
        if fits(&self.project, project) && here.is_none_or(|here| fits(here, environment)) {
            return Ok(self);
        }
        Err(Failure::Denied(format!(
            "the project token is for {} / {}",
            self.project.name,
            here.map_or("?", |here| here.name.as_str())
        )))
    }
}

/// The ids behind names, or what people can do about it.
///
/// # Errors
/// [`Failure::Refused`] naming what there is.
pub fn ids(projects: &[Value], scope: &Scope) -> Result<(String, String), Failure> {
    let found = find(
        projects.iter().map(|edge| &edge["node"]),
        &scope.project,
        "project",
        "the token",
    )?;
    let environments = found["environments"]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|edge| &edge["node"]);
    let environment = find(
        environments,
        &scope.environment,
        "environment",
        &format!("project {}", scope.project),
    );
    let environment = match environment {
        Err(_) if found["environments"]["pageInfo"]["hasNextPage"].as_bool() == Some(true) => {
            return Err(Failure::Refused(format!(
                "project {} has more environments than are looked through by name: write the id instead",
                scope.project
            )));
        }
        environment => environment?,
    };
    let id = |node: &Value| node["id"].as_str().unwrap_or_default().to_owned();
    Ok((id(found), id(environment)))
}

/// The project of that name or id, and the environment where one is named.
///
/// # Errors
/// As [`ids`].
pub fn place(
    projects: &[Value],
    project: &str,
    environment: Option<&str>,
) -> Result<Place, Failure> {
    let found = find(
        projects.iter().map(|edge| &edge["node"]),
        project,
        "project",
        "the token",
    )?;
    let environment = match environment {
        None => None,
        Some(wanted) => {
            let edges = found["environments"]["edges"].as_array();
            let nodes = edges.into_iter().flatten().map(|edge| &edge["node"]);
            let within = format!("project {project}");
            Some(named(find(nodes, wanted, "environment", &within)?))
        }
    };
    Ok(Place {
        project: named(found),
        environment,
    })
}

/// An id with its name.
pub fn named(node: &Value) -> Named {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    Named {
        id: text("id"),
        name: text("name"),
    }
}

fn find<'a>(
    nodes: impl Iterator<Item = &'a Value>,
    wanted: &str,
    what: &str,
    within: &str,
) -> Result<&'a Value, Failure> {
    let nodes: Vec<&Value> = nodes.collect();
    let fitting: Vec<&&Value> = nodes
        .iter()
        .filter(|node| node["name"] == wanted || node["id"] == wanted)
        .collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => {
            let names: Vec<&str> = nodes
                .iter()
                .filter_map(|node| node["name"].as_str())
                .collect();
            let meant = crate::problem::nearest(wanted, names.iter().copied())
                .map(|near| format!(", did you mean `{near}`?"))
                .unwrap_or_default();
            Err(Failure::Refused(format!(
                "no {what} `{wanted}` that {within} shows{meant} ({} there)",
                names.len()
            )))
        }
        many => Err(Failure::Refused(format!(
            "{} {what}s are called `{wanted}`: write the id instead",
            many.len()
        ))),
    }
}
