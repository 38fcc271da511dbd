//! Documents of the whole upstream schema: what is not modelled is answered with nothing, and never pretended to be done.

use std::path::Path;

use sandbox::{Faults, SDL, Sandbox, Switches, Upstream};
use serde_json::{Value, json};

use crate::client::*;

/// The modelled part with something of every shape around it.
const MORE: &str = r#"
extend type Query { weather(city: String!): Weather!  storms: [Storm!]!  maybe: Storm }
extend type Mutation { rain(city: String!): Boolean! }
extend type Project { weather: Weather!  owner: Being!  kinds: [Kind]!  first: Kind! }
extend type Service { cost: Float! }
type Weather { city: String!  degrees: Int!  wet: Boolean!  at: DateTime!  raw: JSON!  id: ID!  storms: StormConnection!  next: Weather!  note: String }
type Storm { name: String! }
type StormConnection { edges: [StormEdge!]!  pageInfo: PageInfo! }
type StormEdge { node: Storm! }
interface Being { name: String! }
type Person implements Being { name: String! }
enum Kind { GOOD BAD }
"#;

fn wider() -> Sandbox {
    within(
        &Upstream::parse(&format!("{SDL}\n{MORE}")).unwrap(),
        Switches::default(),
    )
}

fn within(upstream: &Upstream, switches: Switches) -> Sandbox {
    Sandbox::within(upstream, &runbook(), switches, Faults::none(), 7)
}

/// The published file, where it is at hand.
fn published() -> Option<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/railway-schema.json");
    std::fs::read_to_string(path).ok()
}

#[tokio::test(start_paused = true)]
async fn what_is_modelled_is_answered_as_ever_and_the_rest_with_nothing() {
    let query = format!(
        "{{ project(id: \"{PROJECT}\") {{ name services(first: 1) {{ edges {{ node {{ name cost }} }} }} kinds first owner {{ __typename name }}
            weather {{ __typename city degrees wet at raw id note storms {{ edges {{ node {{ name }} }} pageInfo {{ hasNextPage endCursor }} }} next {{ city }} }} }}
            weather(city: \"here\") {{ degrees }} storms {{ name }} maybe {{ name }} }}"
    );

    let read = data(&wider(), &query).await;

    let project = &read["project"];
    assert_eq!(project["name"], "sentia-manufacturing");
    assert_eq!(
        project["services"]["edges"][0]["node"],
        json!({ "name": "web", "cost": 0.0 })
    );
    assert_eq!(
        (&project["kinds"], &project["first"]),
        (&json!([]), &json!("GOOD"))
    );
    assert_eq!(
        project["owner"],
        json!({ "__typename": "Person", "name": "" })
    );
    assert_eq!(
        project["weather"],
        json!({
            "__typename": "Weather", "city": "", "degrees": 0, "wet": false, "at": "2026-11-23T02:00:00.000Z", "raw": {}, "id": "", "note": null,
            "storms": { "edges": [], "pageInfo": { "hasNextPage": false, "endCursor": null } }, "next": { "city": "" },
        })
    );
    assert_eq!(
        (&read["weather"]["degrees"], &read["storms"], &read["maybe"]),
        (&json!(0), &json!([]), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn a_mutation_that_is_not_modelled_does_not_pretend() {
    let sandbox = wider();

    let refused = ask(&sandbox, "mutation { rain(city: \"here\") }", json!({})).await;
    let nonsense = ask(&sandbox, "mutation { snow }", json!({})).await;
    commit(
        &sandbox,
        web(json!({ "variables": { "A": { "value": "1" } } })),
    )
    .await
    .data();

    assert_eq!(refused.status, 200);
    assert!(
        refused.error().contains("does not model rain"),
        "{}",
        refused.text
    );
    assert_eq!(
        (nonsense.status, nonsense.code().as_str()),
        (400, "GRAPHQL_VALIDATION_FAILED")
    );
    assert_eq!(sandbox.effects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_wider_schema_its_documents_are_invalid() {
    let answer = ask(&sandbox(), "{ storms { name } }", json!({})).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "GRAPHQL_VALIDATION_FAILED")
    );
}

#[test]
fn a_schema_that_cannot_serve_is_refused_with_the_reason() {
    let error = |text: &str| Upstream::parse(text).err().unwrap();

    assert!(error("{\"data\": {}}").contains("no __schema"));
    assert!(error("type Query {").contains("cannot read the schema"));
    assert!(error("type Query { me: String }").contains("which the sandbox models"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_patch_may_have_a_newer_status_in_either_schema() {
    let upstream = Upstream::parse(SDL).unwrap();
    for (answer, status) in [("staged", "STAGED"), ("failed", "FAILED")] {
        let switches = Switches::default().with("failed_patch", answer);
        for sandbox in [with(switches.clone()), within(&upstream, switches)] {
            sandbox.by_hand(sandbox::HandEdit::FailNextPatch {
                environment: "production".into(),
                error: "domain is taken".into(),
            });
            commit(
                &sandbox,
                web(json!({ "variables": { "A": { "value": "1" } } })),
            )
            .await
            .data();

            let query = format!(
                "{{ environmentPatches(environmentId: \"{PRODUCTION}\") {{ edges {{ node {{ status lastAppliedError }} }} }} }}"
            );
            let patch =
                data(&sandbox, &query).await["environmentPatches"]["edges"][0]["node"].clone();

            assert_eq!(
                patch,
                json!({ "status": status, "lastAppliedError": "domain is taken" })
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_published_schema_can_be_spoken_whole() {
    let Some(text) = published() else {
        eprintln!("skipped: the upstream schema is not at hand");
        return;
    };
    let upstream = Upstream::parse(&text).unwrap();
    let sandbox = within(&upstream, Switches::default());
    let query = format!(
        "{{ me {{ email registrationStatus workspaces {{ name team {{ id }} members {{ id }} customer {{ id }} projects(first: 5) {{ edges {{ node {{ name groups {{ edges {{ node {{ id }} }} }} }} }} }} }} }}
            project(id: \"{PROJECT}\") {{ name members {{ id }} plugins {{ edges {{ node {{ id }} }} }} environments {{ edges {{ node {{ name }} }} }} }}
            privateNetworks(environmentId: \"{PRODUCTION}\") {{ name }} twoFactorInfo {{ isVerified }} }}"
    );

    let read = data(&sandbox, &query).await;
    let refused = ask(
        &sandbox,
        "mutation { privateNetworksForEnvironmentDelete(environmentId: \"x\") }",
        json!({}),
    )
    .await;
    let watched = ask(
        &sandbox,
        "subscription { deployment(id: \"x\") { status } }",
        json!({}),
    )
    .await;

    assert_eq!(read["me"]["email"], "operator@sentia.test");
    assert_eq!(
        read["me"]["workspaces"][0]["projects"]["edges"][0]["node"]["groups"]["edges"],
        json!([])
    );
    assert_eq!(
        (&read["privateNetworks"], &read["project"]["members"]),
        (&json!([]), &json!([]))
    );
    assert!(refused.error().contains("does not model"));
    assert!(watched.error().contains("WebSocket"));
    ask(
        &sandbox,
        crate::speed::OBSERVE,
        json!({ "p": PROJECT, "e": PRODUCTION, "decrypt": true }),
    )
    .await
    .data();
}
