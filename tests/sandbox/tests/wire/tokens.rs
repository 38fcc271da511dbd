//! What each kind of token may see and do, and the words in which it is refused.

use serde_json::json;

use crate::client::*;

async fn refusal(token: Option<&str>, query: &str) -> String {
    send(&sandbox(), token, query, json!({}))
        .await
        .unwrap()
        .error()
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_token_nothing_is_authorized() {
    assert_eq!(
        refusal(None, "{ platformStatus { isStable } }").await,
        "Not Authorized"
    );
    assert_eq!(
        refusal(Some("nonsense"), "{ me { id } }").await,
        "Not Authorized"
    );
    assert_eq!(
        refusal(Some("expired-token"), "{ me { id } }").await,
        "Not Authorized"
    );
    assert_eq!(
        refusal(Some("project-nonsense"), "{ projectToken { id } }").await,
        "Project Token not found"
    );
}

#[tokio::test(start_paused = true)]
async fn only_an_account_token_knows_who_i_am() {
    let sandbox = sandbox();
    let me = "{ me { email workspaces { name } } }";

    assert_eq!(
        ask(&sandbox, me, json!({})).await.data()["me"]["email"],
        "operator@sentia.test"
    );
    for token in ["workspace-token", "production-token"] {
        assert_eq!(
            send(&sandbox, Some(token), me, json!({}))
                .await
                .unwrap()
                .error(),
            "Not Authorized"
        );
    }
    let bearer = send(
        &sandbox,
        Some("workspace-token"),
        "{ apiToken { workspaces { name } } }",
        json!({}),
    )
    .await
    .unwrap()
    .data();
    assert_eq!(bearer["apiToken"]["workspaces"][0]["name"], "sentia");
}

#[tokio::test(start_paused = true)]
async fn a_project_token_is_bound_to_one_environment() {
    let sandbox = sandbox();
    let with_token = async |query: &str| {
        send(&sandbox, Some("production-token"), query, json!({}))
            .await
            .unwrap()
    };

    let bound = with_token("{ projectToken { projectId environmentId environment { name } } }")
        .await
        .data();
    assert_eq!(bound["projectToken"]["environmentId"], PRODUCTION);
    assert_eq!(
        with_token(&format!(
            "{{ environment(id: \"{PRODUCTION}\") {{ configEtag }} }}"
        ))
        .await
        .status,
        200
    );
    assert_eq!(
        with_token(&format!(
            "{{ environment(id: \"{STAGING}\") {{ configEtag }} }}"
        ))
        .await
        .error(),
        "Not Authorized"
    );
    let environments = with_token(&format!("{{ project(id: \"{PROJECT}\") {{ environments {{ edges {{ node {{ name canAccess }} }} }} }} }}")).await.data();
    let staging = &environments["project"]["environments"]["edges"][1]["node"];
    assert_eq!(staging, &json!({ "name": "staging", "canAccess": false }));

    let allowed = format!(
        "mutation {{ environmentPatchCommit(environmentId: \"{PRODUCTION}\", patch: {{ sharedVariables: {{ A: {{ value: \"1\" }} }} }}) }}"
    );
    with_token(&allowed).await.data();
    assert_eq!(
        with_token(&allowed.replace(PRODUCTION, STAGING))
            .await
            .error(),
        "Not Authorized"
    );
    assert_eq!(
        with_token(&format!(
            "mutation {{ serviceUpdate(id: \"{WEB}\", input: {{ name: \"x\" }}) {{ id }} }}"
        ))
        .await
        .error(),
        "Not Authorized"
    );
}

#[tokio::test(start_paused = true)]
async fn whether_a_project_token_reads_the_project_is_a_switch() {
    let sandbox = switch("project_token_may_read_project", "false");

    let answer = send(
        &sandbox,
        Some("production-token"),
        &format!("{{ project(id: \"{PROJECT}\") {{ name }} }}"),
        json!({}),
    )
    .await
    .unwrap();

    assert_eq!(answer.error(), "Not Authorized");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_reads_and_never_writes() {
    let sandbox = sandbox();
    let read = send(
        &sandbox,
        Some("viewer-token"),
        &format!("{{ project(id: \"{PROJECT}\") {{ name }} }}"),
        json!({}),
    )
    .await
    .unwrap();
    let write = format!(
        "mutation {{ environmentPatchCommit(environmentId: \"{PRODUCTION}\", patch: {{ sharedVariables: {{ A: {{ value: \"1\" }} }} }}) }}"
    );

    assert_eq!(read.data()["project"]["name"], "sentia-manufacturing");
    assert_eq!(
        send(&sandbox, Some("viewer-token"), &write, json!({}))
            .await
            .unwrap()
            .error(),
        "Not Authorized"
    );
    assert!(sandbox.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_told_as_railway_does() {
    assert_eq!(
        refusal(Some("account-token"), "{ project(id: \"x\") { name } }").await,
        "Project not found"
    );
    assert_eq!(
        refusal(Some("account-token"), "{ service(id: \"x\") { name } }").await,
        "Not Authorized"
    );
    assert_eq!(
        refusal(Some("account-token"), "{ deployment(id: \"x\") { id } }").await,
        "Not Authorized"
    );
    let coded = send(
        &switch("auth_code", "unauthenticated"),
        None,
        "{ platformStatus { isStable } }",
        json!({}),
    )
    .await
    .unwrap();
    assert_eq!(coded.code(), "UNAUTHENTICATED");
}

#[tokio::test(start_paused = true)]
async fn a_project_token_can_be_made_and_taken_back() {
    let sandbox = sandbox();
    let make = "mutation($input: ProjectTokenCreateInput!) { projectTokenCreate(input: $input) }";
    let input = json!({ "projectId": PROJECT, "environmentId": STAGING, "name": "for a while" });
    let made = ask(&sandbox, make, json!({ "input": input })).await.data();
    let secret = made["projectTokenCreate"].as_str().unwrap();
    let which = async || {
        let request = http::Request::post("/graphql/v2?source=test")
            .header("Project-Access-Token", secret)
            .body(
                json!({ "query": "{ projectToken { environmentId } }" })
                    .to_string()
                    .into(),
            )
            .unwrap();
        let reply = sandbox.handle(request).await.unwrap();
        String::from_utf8(reply.body().to_vec()).unwrap()
    };
    assert!(which().await.contains(STAGING));

    let list = format!(
        "{{ projectTokens(projectId: \"{PROJECT}\") {{ edges {{ node {{ id name displayToken environment {{ name }} }} }} }} }}"
    );
    let listed = ask(&sandbox, &list, json!({})).await.data();
    let token = &listed["projectTokens"]["edges"][0]["node"];
    assert_eq!(token["name"], "for a while");
    assert_eq!(token["environment"]["name"], "staging");
    assert!(!listed.to_string().contains(secret));
    let take = "mutation($id: String!) { projectTokenDelete(id: $id) }";
    ask(&sandbox, take, json!({ "id": token["id"] }))
        .await
        .data();

    assert!(which().await.contains("Project Token not found"));
    assert_eq!(
        send(
            &sandbox,
            Some("production-token"),
            make,
            json!({ "input": input })
        )
        .await
        .unwrap()
        .error(),
        "Not Authorized"
    );
}
