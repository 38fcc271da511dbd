//! The throw-away environment: made in a project, and taken away again with everything in it.
//!
//! A service is made only in the named environment when that environment is a copy of another; in any other it is made in all
//! that are no copies, production among them (Railway's own schema says so). So there are two: an empty one, and its copy, in
//! which everything happens. Whether a service really stayed there is looked at before anything is asked of it.
//!
//! Nothing is remembered about what was made: everything carries the name of the run, and is looked for by it.

use super::ask::{Asker, Halt, error, worth_a_wait};
use crate::world::secret::Secret;
use serde_json::{Value, json};
use std::time::Duration;

const ENVIRONMENTS: &str = "query Environments($project: String!, $page: Int!, $after: String) {
  environments(projectId: $project, first: $page, after: $after) { edges { node { id name deletedAt } } pageInfo { hasNextPage endCursor } }
}
";
const SERVICES: &str = "query Services($project: String!, $page: Int!, $after: String) {
  project(id: $project) { services(first: $page, after: $after) { edges { node { id name deletedAt } } pageInfo { hasNextPage endCursor } } }
}
";
const VOLUMES: &str = "query Volumes($environment: String!, $page: Int!, $after: String) {
  environment(id: $environment) { volumeInstances(first: $page, after: $after) { edges { node { volumeId isPendingDeletion } } pageInfo { hasNextPage endCursor } } }
}
";
const TOKENS: &str = "query Tokens($project: String!, $page: Int!, $after: String) {
  projectTokens(projectId: $project, first: $page, after: $after) { edges { node { id name } } pageInfo { hasNextPage endCursor } }
}
";
const WHERE: &str = "query Where($service: String!) {
  service(id: $service) { serviceInstances(first: 100) { edges { node { environmentId } } } }
}
";
const MAKE_ENVIRONMENT: &str = "mutation MakeEnvironment($input: EnvironmentCreateInput!) {
  environmentCreate(input: $input) { id }
}
";
const MAKE_SERVICE: &str = "mutation MakeService($input: ServiceCreateInput!) {
  serviceCreate(input: $input) { id }
}
";
const MAKE_TOKEN: &str = "mutation MakeToken($input: ProjectTokenCreateInput!) {
  projectTokenCreate(input: $input)
}
";
const DELETE_ENVIRONMENT: &str = "mutation DeleteEnvironment($id: String!) {
  environmentDelete(id: $id)
}
";
const DELETE_SERVICE: &str = "mutation DeleteService($id: String!) {
  serviceDelete(id: $id)
}
";
const DELETE_VOLUME: &str = "mutation DeleteVolume($id: String!) {
  volumeDelete(volumeId: $id)
}
";
const DELETE_TOKEN: &str = "mutation DeleteToken($id: String!) {
  projectTokenDelete(id: $id)
}
";

/// Every request of the ground, by name.
pub(super) const DOCUMENTS: &[(&str, &str)] = &[
    ("ENVIRONMENTS", ENVIRONMENTS),
    ("SERVICES", SERVICES),
    ("VOLUMES", VOLUMES),
    ("TOKENS", TOKENS),
    ("WHERE", WHERE),
    ("MAKE_ENVIRONMENT", MAKE_ENVIRONMENT),
    ("MAKE_SERVICE", MAKE_SERVICE),
    ("MAKE_TOKEN", MAKE_TOKEN),
    ("DELETE_ENVIRONMENT", DELETE_ENVIRONMENT),
    ("DELETE_SERVICE", DELETE_SERVICE),
    ("DELETE_VOLUME", DELETE_VOLUME),
    ("DELETE_TOKEN", DELETE_TOKEN),
];

/// What Railway's own client asks for (facts/railway.md 1).
const PAGE: u32 = 500;
const MOST_PAGES: usize = 40;
/// How often a thing is made before that is given up.
const TRIES: u32 = 5;
/// How often is looked for what is left, and how long between: what was made without an answer may appear late.
const ROUNDS: u32 = 6;
const BETWEEN_ROUNDS: Duration = Duration::from_secs(3);

/// How everything of one run is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    tag: String,
}

impl Names {
    /// With a word that no other run has.
    pub fn of(tag: &str) -> Names {
        Names {
            tag: tag.to_owned(),
        }
    }

    /// The environment in which everything happens.
    pub fn environment(&self) -> String {
        format!("reconciler-probe-{}", self.tag)
    }

    /// The empty one that it is a copy of.
    pub fn origin(&self) -> String {
        format!("{}-origin", self.environment())
    }

    /// What the names of services and of all else begin with.
    pub fn prefix(&self) -> String {
        format!("probe-{}", self.tag)
    }

    fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.environment()) || name.starts_with(&self.prefix())
    }
}

/// Where the questions are asked that write.
pub(super) struct Ground {
    project: String,
    names: Names,
    /// The copy.
    pub environment: String,
    /// How many services were made so far.
    made: u32,
    /// Why nothing more may be made here.
    pub spoiled: Option<String>,
}

/// A service of one question.
pub(super) struct Service {
    pub id: String,
    pub name: String,
}

/// Something that was made in this run.
#[derive(Debug, Clone)]
struct Thing {
    what: &'static str,
    id: String,
    name: String,
}

impl Thing {
    fn service(id: &str, name: &str) -> Thing {
        Thing {
            what: "service",
            id: id.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Ground {
    /// Makes both environments.
    pub(super) async fn make(
        asker: &Asker<'_>,
        project: &str,
        names: &Names,
    ) -> Result<Ground, Halt> {
        let origin = environment(asker, project, &names.origin(), None).await?;
        asker
            .audience
            .says("the empty environment is there; its copy follows");
        let copy = environment(asker, project, &names.environment(), Some(&origin)).await?;
        Ok(Ground {
            project: project.to_owned(),
            names: names.clone(),
            environment: copy,
            made: 0,
            spoiled: None,
        })
    }

    /// A service without a source, which is in this environment and in no other.
    pub(super) async fn service(&mut self, asker: &Asker<'_>) -> Result<Service, Halt> {
        self.made += 1;
        let name = format!("{}-{}", self.names.prefix(), self.made);
        let input =
            json!({ "projectId": self.project, "environmentId": self.environment, "name": name });
        let made = sure(asker, MAKE_SERVICE, &json!({ "input": input }), true).await?;
        let id = text(&made["serviceCreate"]["id"])?;
        let places = sure(asker, WHERE, &json!({ "service": id }), false).await?;
        let edges = places["service"]["serviceInstances"]["edges"].as_array();
        let edges = edges.ok_or_else(|| unseen("Railway does not tell where a service is"))?;
        let is_here = |edge: &Value| edge["node"]["environmentId"] == self.environment.as_str();
        if !edges.iter().all(is_here) {
            remove(asker, &Thing::service(&id, &name)).await;
            let words = "Railway made a service in other environments of the project, too, although it was to be in a copy only; it was removed, and nothing more is asked that writes";
            self.spoiled = Some(words.to_owned());
            return Err(unseen(words));
        }
        Ok(Service { id, name })
    }

    /// A token that opens this environment only.
    pub(super) async fn token(&self, asker: &Asker<'_>) -> Result<Secret, Halt> {
        let input = json!({ "projectId": self.project, "environmentId": self.environment, "name": self.names.prefix() });
        let made = sure(asker, MAKE_TOKEN, &json!({ "input": input }), true).await?;
        Ok(Secret::new(text(&made["projectTokenCreate"])?))
    }

    /// Takes a question's service away, and the volumes with it; what fails is found again at the end.
    pub(super) async fn clear(&self, asker: &Asker<'_>, service: &Service, has_volumes: bool) {
        if has_volumes && let Ok(volumes) = volumes(asker, &self.environment).await {
            for volume in volumes {
                remove(asker, &volume).await;
            }
        }
        remove(asker, &Thing::service(&service.id, &service.name)).await;
    }
}

/// Takes everything away that carries the names of a run, until a look shows nothing more. What is left then is named.
///
/// Where a write had no answer, what it made may appear late: one look is not enough then.
pub(super) async fn sweep(
    asker: &Asker<'_>,
    project: &str,
    names: &Names,
    is_unsure: bool,
) -> Vec<String> {
    let mut left = Vec::new();
    let mut clean_looks = 0;
    for round in 0..ROUNDS {
        if round > 0 && asker.rest(BETWEEN_ROUNDS).await.is_err() {
            break;
        }
        left = match things(asker, project, names).await {
            Ok(things) => things,
            Err(Halt::Unseen(words)) => {
                asker
                    .audience
                    .says(&format!("cannot see what is left: {words}"));
                continue;
            }
            Err(Halt::Interrupted) => break,
        };
        if left.is_empty() {
            clean_looks += 1;
            if clean_looks > usize::from(is_unsure) {
                return Vec::new();
            }
        }
        for thing in &left {
            asker
                .audience
                .says(&format!("removing {} {}", thing.what, thing.name));
            remove(asker, thing).await;
        }
    }
    if left.is_empty() && clean_looks == 0 {
        return vec![format!(
            "perhaps the environments {} and {}, and services {}-…",
            names.environment(),
            names.origin(),
            names.prefix()
        )];
    }
    left.iter()
        .map(|thing| format!("{} {}", thing.what, thing.name))
        .collect()
}

/// Everything of a run that is there, in the order in which it goes: tokens first, and an environment after its copies.
async fn things(asker: &Asker<'_>, project: &str, names: &Names) -> Result<Vec<Thing>, Halt> {
    let within = json!({ "project": project });
    let environments = list(asker, ENVIRONMENTS, &within, "/environments").await?;
    let mut environments = named(&environments, "environment", names);
    environments.sort_by_key(|environment| environment.name == names.origin());
    let services = list(asker, SERVICES, &within, "/project/services").await?;
    let mut things = Vec::new();
    // Not every token may see tokens; then none was made either.
    if let Ok(tokens) = list(asker, TOKENS, &within, "/projectTokens").await {
        things.extend(named(&tokens, "project token", names));
    }
    for environment in &environments {
        things.extend(volumes(asker, &environment.id).await.unwrap_or_default());
    }
    things.extend(named(&services, "service", names));
    things.extend(environments);
    Ok(things)
}

fn named(nodes: &[Value], what: &'static str, names: &Names) -> Vec<Thing> {
    let is_there = |node: &&Value| node["deletedAt"].is_null();
    let things = nodes.iter().filter(is_there).filter_map(|node| {
        Some(Thing {
            what,
            id: node["id"].as_str()?.to_owned(),
            name: node["name"].as_str()?.to_owned(),
        })
    });
    things.filter(|thing| names.is_ours(&thing.name)).collect()
}

async fn volumes(asker: &Asker<'_>, environment: &str) -> Result<Vec<Thing>, Halt> {
    let within = json!({ "environment": environment });
    let nodes = list(asker, VOLUMES, &within, "/environment/volumeInstances").await?;
    let things = nodes.iter().filter_map(|node| {
        let id = node["volumeId"].as_str()?.to_owned();
        // What was deleted can be had back for two days, and is listed so long.
        (node["isPendingDeletion"] != true).then(|| Thing {
            what: "volume",
            name: id.clone(),
            id,
        })
    });
    Ok(things.collect())
}

/// What is said against it shows in the next look.
async fn remove(asker: &Asker<'_>, thing: &Thing) {
    let document = match thing.what {
        "environment" => DELETE_ENVIRONMENT,
        "service" => DELETE_SERVICE,
        "volume" => DELETE_VOLUME,
        _ => DELETE_TOKEN,
    };
    let reply = asker.own(document, &json!({ "id": thing.id }), true).await;
    if let Ok(reply) = &reply
        && let Some(words) = error(reply)
    {
        tracing::debug!(what = thing.what, name = thing.name, words, "not removed");
    }
}

/// Every node of a connection.
async fn list(
    asker: &Asker<'_>,
    document: &str,
    within: &Value,
    at: &str,
) -> Result<Vec<Value>, Halt> {
    let mut nodes = Vec::new();
    let mut after = Value::Null;
    for _ in 0..MOST_PAGES {
        let mut variables = within.clone();
        (variables["page"], variables["after"]) = (PAGE.into(), after);
        let data = sure(asker, document, &variables, false).await?;
        let page = data.pointer(at).cloned().unwrap_or_default();
        let edges = page["edges"].as_array().into_iter().flatten();
        nodes.extend(edges.map(|edge| edge["node"].clone()));
        match page["pageInfo"]["hasNextPage"].as_bool() {
            Some(false) => return Ok(nodes),
            Some(true) => after = page["pageInfo"]["endCursor"].clone(),
            None => break,
        }
    }
    Err(unseen("a list of Railway did not come to its end"))
}

/// An environment of that name: one that was made without an answer is found again.
async fn environment(
    asker: &Asker<'_>,
    project: &str,
    name: &str,
    source: Option<&str>,
) -> Result<String, Halt> {
    let mut input = json!({ "projectId": project, "name": name, "skipInitialDeploys": true });
    if let Some(source) = source {
        input["sourceEnvironmentId"] = source.into();
    }
    let variables = json!({ "input": input });
    let failed = match sure(asker, MAKE_ENVIRONMENT, &variables, true).await {
        Ok(made) => return text(&made["environmentCreate"]["id"]),
        Err(Halt::Interrupted) => return Err(Halt::Interrupted),
        Err(failed) => failed,
    };
    asker.rest(BETWEEN_ROUNDS).await?;
    let within = json!({ "project": project });
    let all = list(asker, ENVIRONMENTS, &within, "/environments").await?;
    let found = all.iter().find(|node| node["name"] == name);
    found.map_or(Err(failed), |node| text(&node["id"]))
}

/// The data of a request that Railway did not speak against; what it only wants later is sent later.
async fn sure(
    asker: &Asker<'_>,
    document: &str,
    variables: &Value,
    writes: bool,
) -> Result<Value, Halt> {
    let mut tries = 0;
    loop {
        tries += 1;
        let reply = asker.own(document, variables, writes).await?;
        let Some(words) = error(&reply) else {
            return Ok(reply.data);
        };
        let Some(pause) = worth_a_wait(&words, writes).filter(|_| tries < TRIES) else {
            return Err(unseen(&format!("Railway says: {words}")));
        };
        asker.rest(pause).await?;
    }
}

fn text(value: &Value) -> Result<String, Halt> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| unseen("Railway does not tell the id of what it made"))
}

fn unseen(words: &str) -> Halt {
    Halt::Unseen(words.to_owned())
}
