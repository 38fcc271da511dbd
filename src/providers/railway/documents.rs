//! Every GraphQL document that is sent to Railway, but for what `probe/` asks. A test holds each to the upstream schema and to the sandbox's own.

/// What a plan reads of a project.
macro_rules! project_parts {
    () => {
        "fragment ProjectParts on Project { id name services(first: $page) { edges { node { id name } } pageInfo { hasNextPage endCursor } } }
"
    };
}

/// What a plan reads of an environment. Objects that are not nullable but whose id is (`Deployment.service`, …) are never selected (facts/railway.md 2.1).
macro_rules! environment_parts {
    () => {
        "fragment EnvironmentParts on Environment { id name configEtag unmergedChangesCount config(decryptVariables: true) serviceInstances(first: $page) { ...Instances } }
fragment Instances on EnvironmentServiceInstancesConnection { edges { node { serviceId serviceName updatedAt latestDeployment { ...DeploymentParts } activeDeployments { id status deploymentStopped instances { status } } } } pageInfo { hasNextPage endCursor } }
"
    };
}

macro_rules! deployment_parts {
    () => {
        "fragment DeploymentParts on Deployment { id status createdAt statusUpdatedAt canRollback deploymentStopped instances { status } meta }
"
    };
}

macro_rules! history_parts {
    () => {
        "fragment Staged on EnvironmentPatch { status lastAppliedError patch(decryptVariables: false) }
fragment Patches on QueryEnvironmentPatchesConnection { edges { node { id status message createdAt appliedAt lastAppliedError patch(decryptVariables: false) } } pageInfo { hasNextPage } }
"
    };
}

/// Everything, for a project and an environment that are known by id.
pub const OBSERVE: &str = concat!(
    "query Observe($project: String!, $environment: String!, $page: Int!) {
  project(id: $project) { ...ProjectParts }
  environment(id: $environment, projectId: $project) { ...EnvironmentParts }
  environmentStagedChanges(environmentId: $environment) { ...Staged }
  environmentPatches(environmentId: $environment, first: 10) { ...Patches }
  regions(projectId: $project) { id name }
}
",
    project_parts!(),
    environment_parts!(),
    deployment_parts!(),
    history_parts!()
);

/// Everything but the history, for the one environment that a project token opens.
pub const OBSERVE_BY_TOKEN: &str = concat!(
    "query ObserveByToken($page: Int!) {
  projectToken { project { ...ProjectParts } environment { ...EnvironmentParts } }
  regions { id name }
}
",
    project_parts!(),
    environment_parts!(),
    deployment_parts!()
);

/// The configuration history and what is staged.
pub const HISTORY: &str = concat!(
    "query History($environment: String!) {
  environment(id: $environment) { unmergedChangesCount }
  environmentStagedChanges(environmentId: $environment) { ...Staged }
  environmentPatches(environmentId: $environment, first: 30) { ...Patches }
}
",
    history_parts!()
);

/// Who committed the newest patches: asked alone, since a token that may see patches may not be told people.
pub const AUTHORS: &str = "query Authors($environment: String!) {
  environmentPatches(environmentId: $environment, first: 30) { edges { node { id appliedBy { name username } } } }
}
";

/// The next page of a project's services.
pub const MORE_SERVICES: &str = "query MoreServices($project: String!, $page: Int!, $after: String) {
  project(id: $project) { services(first: $page, after: $after) { edges { node { id name } } pageInfo { hasNextPage endCursor } } }
}
";

/// The next page of an environment's service instances.
pub const MORE_INSTANCES: &str = concat!(
    "query MoreInstances($project: String!, $environment: String!, $page: Int!, $after: String) {
  environment(id: $environment, projectId: $project) { serviceInstances(first: $page, after: $after) { ...Instances } }
}
fragment Instances on EnvironmentServiceInstancesConnection { edges { node { serviceId serviceName updatedAt latestDeployment { ...DeploymentParts } activeDeployments { id status deploymentStopped instances { status } } } } pageInfo { hasNextPage endCursor } }
",
    deployment_parts!()
);

/// The names of all projects and environments that a token can see.
pub const NAMES: &str = "query Names($page: Int!, $after: String) {
  projects(first: $page, after: $after) { edges { node { id name environments(first: $page, isEphemeral: false) { edges { node { id name } } pageInfo { hasNextPage } } } } pageInfo { hasNextPage endCursor } }
}
";

/// A service's deployments, newest first.
pub const KEPT: &str = concat!(
    "query Kept($project: String!, $environment: String!, $service: String!) {
  deployments(input: { projectId: $project, environmentId: $environment, serviceId: $service, includeDeleted: false }, first: 20) { edges { node { ...DeploymentParts } } }
}
",
    deployment_parts!()
);

/// The last lines of a deployment's logs.
pub const LOG: &str = "query Log($deployment: String!) {
  built: buildLogs(deploymentId: $deployment, limit: 20) { timestamp message }
  ran: deploymentLogs(deploymentId: $deployment, limit: 20) { timestamp message }
}
";

/// The variables that a deployment was started with.
pub const SNAPSHOT: &str = "query Snapshot($deployment: String!) {
  deploymentSnapshot(deploymentId: $deployment) { variables }
}
";

/// When each variable of an environment was written last.
pub const WRITTEN: &str = "query Written($project: String!, $environment: String!, $page: Int!, $after: String) {
  environment(id: $environment, projectId: $project) { variables(first: $page, after: $after) { edges { node { name serviceId createdAt updatedAt } } pageInfo { hasNextPage endCursor } } }
}
";

/// Whether a push deploys a service.
pub const PUSH: &str = "query Push($project: String!, $environment: String!, $service: String!) {
  serviceInstanceAutoDeployStatus(projectId: $project, environmentId: $environment, serviceId: $service) { enabled }
}
";

/// Who a bearer token is.
pub const WHO: &str = "query Who { apiToken { workspaces { id name } } }
";

/// Which environment a project token opens.
pub const WHICH: &str =
    "query Which { projectToken { name project { id name } environment { id name } } }
";

/// Commits a configuration patch.
pub const PATCH: &str =
    "mutation Patch($environment: String!, $patch: EnvironmentConfig!, $message: String!) {
  environmentPatchCommit(environmentId: $environment, patch: $patch, commitMessage: $message)
}
";

/// Stores an image and settings without deploying them.
pub const STORE: &str = "mutation Store($environment: String!, $service: String!, $input: ServiceInstanceUpdateInput!) {
  serviceInstanceUpdate(environmentId: $environment, serviceId: $service, input: $input)
}
";

/// Sets variables of a service past the patches.
pub const SET_VARIABLES: &str = "mutation SetVariables($input: VariableCollectionUpsertInput!) {
  variableCollectionUpsert(input: $input)
}
";

/// Deploys what is stored.
pub const DEPLOY: &str =
    "mutation Deploy($environment: String!, $service: String!, $commit: String) {
  serviceInstanceDeployV2(environmentId: $environment, serviceId: $service, commitSha: $commit)
}
";

/// Deploys again what a deployment ran, from its kept image.
pub const REDEPLOY: &str = "mutation Redeploy($deployment: String!) {
  deploymentRedeploy(id: $deployment, usePreviousImageTag: true) { id }
}
";

/// Goes back to a kept deployment.
pub const ROLLBACK: &str = "mutation Rollback($deployment: String!) {
  deploymentRollback(id: $deployment)
}
";

/// Stops a deployment; it stays listed.
pub const STOP: &str = "mutation Stop($deployment: String!) {
  deploymentStop(id: $deployment)
}
";

/// Turns deployments by push on or off.
pub const PUSH_TO_DEPLOY: &str =
    "mutation PushToDeploy($input: ServiceInstanceAutoDeployUpdateInput!) {
  serviceInstanceAutoDeployUpdate(input: $input) { enabled }
}
";

/// Takes a service out of one environment.
pub const DELETE: &str = "mutation Delete($environment: String!, $service: String!) {
  serviceDelete(id: $service, environmentId: $environment)
}
";

/// Every document by name, for the test that holds them to the schema.
pub const ALL: &[(&str, &str)] = &[
    ("OBSERVE", OBSERVE),
    ("OBSERVE_BY_TOKEN", OBSERVE_BY_TOKEN),
    ("HISTORY", HISTORY),
    ("AUTHORS", AUTHORS),
    ("MORE_SERVICES", MORE_SERVICES),
    ("MORE_INSTANCES", MORE_INSTANCES),
    ("NAMES", NAMES),
    ("KEPT", KEPT),
    ("LOG", LOG),
    ("WHO", WHO),
    ("WHICH", WHICH),
    ("PATCH", PATCH),
    ("SNAPSHOT", SNAPSHOT),
    ("WRITTEN", WRITTEN),
    ("PUSH", PUSH),
    ("STORE", STORE),
    ("SET_VARIABLES", SET_VARIABLES),
    ("STOP", STOP),
    ("PUSH_TO_DEPLOY", PUSH_TO_DEPLOY),
    ("DELETE", DELETE),
    ("DEPLOY", DEPLOY),
    ("REDEPLOY", REDEPLOY),
    ("ROLLBACK", ROLLBACK),
];
