//! How many requests a second one sandbox answers; the figure is printed, the bound is far below it.

use std::time::Instant;

use sandbox::{Faults, Sandbox, Switches};
use serde_json::json;

use crate::client::*;

pub const OBSERVE: &str = r#"
query Observe($p: String!, $e: String!, $decrypt: Boolean!, $n: Int = 500) {
  project(id: $p) {
    id name deletedAt
    services(first: $n) { edges { node { id name } } pageInfo { hasNextPage endCursor } }
    volumes(first: $n)  { edges { node { id name } } pageInfo { hasNextPage endCursor } }
    buckets(first: $n)  { edges { node { id name } } pageInfo { hasNextPage endCursor } }
    environments(first: $n, isEphemeral: false) { edges { node { id name canAccess deletedAt } } pageInfo { hasNextPage endCursor } }
  }
  environment(id: $e, projectId: $p) {
    id name configEtag unmergedChangesCount updatedAt
    config(decryptVariables: $decrypt)
    serviceInstances(first: $n) {
      edges { node {
        id serviceId serviceName updatedAt isUpdatable railwayConfigFile
        numReplicas sleepApplication cronSchedule nextCronRunAt
        restartPolicyType restartPolicyMaxRetries healthcheckPath healthcheckTimeout
        overlapSeconds drainingSeconds startCommand rootDirectory
        source { image repo }
        latestDeployment { ...Dep } activeDeployments { ...Dep }
        domains { serviceDomains { id domain targetPort syncStatus }
                  customDomains { id domain targetPort syncStatus status { verified certificateStatus } } }
      } }
      pageInfo { hasNextPage endCursor }
    }
    volumeInstances(first: $n) {
      edges { node { id volumeId serviceId mountPath region sizeMB currentSizeMB state isPendingDeletion deletedAt } }
      pageInfo { hasNextPage endCursor }
    }
    deploymentTriggers(first: $n) { edges { node { id serviceId provider repository branch checkSuites } } pageInfo { hasNextPage endCursor } }
    variables(first: $n) { edges { node { name serviceId isSealed updatedAt } } pageInfo { hasNextPage endCursor } }
  }
  environmentStagedChanges(environmentId: $e) { id status lastAppliedError updatedAt patch(decryptVariables: false) }
}
fragment Dep on Deployment {
  id status statusUpdatedAt createdAt snapshotId canRollback canRedeploy deploymentStopped meta
  instances { id status }
}"#;

#[expect(clippy::disallowed_methods, reason = "the paused clock cannot measure")]
#[tokio::test(start_paused = true)]
async fn a_full_observation_is_cheap_and_so_is_a_new_sandbox() {
    const ROUNDS: u32 = 200;
    let mut sandbox = sandbox();
    let first = ask(
        &sandbox,
        OBSERVE,
        json!({ "p": PROJECT, "e": PRODUCTION, "decrypt": true }),
    )
    .await;
    let bytes = first.text.len();
    assert_eq!(
        first.data()["environment"]["serviceInstances"]["edges"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    let begin = Instant::now();
    for round in 0..ROUNDS {
        let answer = ask(
            &sandbox,
            OBSERVE,
            json!({ "p": PROJECT, "e": PRODUCTION, "decrypt": true }),
        )
        .await;
        assert_eq!(answer.status, 200);
        if round % 40 == 39 {
            after(1).await;
        }
    }
    let each = begin.elapsed() / ROUNDS;
    let seed = two_environments();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        sandbox = Sandbox::new(&seed, Switches::default(), Faults::none(), 7);
    }
    let born = begin.elapsed() / ROUNDS;

    println!(
        "an observation of 3 services: {bytes} bytes in {each:?}, {:.0} a second; a new sandbox: {born:?}",
        1.0 / each.as_secs_f64()
    );
    assert!(
        each.as_millis() < 100 && born.as_millis() < 50,
        "{each:?}, {born:?}"
    );
    assert_eq!(sandbox.requests(), 0);
}
