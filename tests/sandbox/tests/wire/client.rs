//! A small client and the worlds that the tests start from.

use std::time::Duration;

use http::Request;
use sandbox::{Broken, Faults, Sandbox, Seed, Switches};
use serde_json::{Value, json};

pub const PROJECT: &str = "5e27a000-0000-4000-8000-000000000001";
pub const PRODUCTION: &str = "5e27a000-0000-4000-8000-0000000000e1";
pub const STAGING: &str = "5e27a000-0000-4000-8000-0000000000e2";
pub const WEB: &str = "5e27a000-0000-4000-8000-0000000000a1";
pub const WORKER: &str = "5e27a000-0000-4000-8000-0000000000a2";
pub const REDIS: &str = "5e27a000-0000-4000-8000-0000000000a3";

pub fn two_environments() -> Seed {
    Seed::parse(include_str!("seed.yaml")).unwrap()
}

pub fn sandbox() -> Sandbox {
    with(Switches::default())
}

pub fn with(switches: Switches) -> Sandbox {
    Sandbox::new(&two_environments(), switches, Faults::none(), 7)
}

pub fn switch(name: &str, value: &str) -> Sandbox {
    with(Switches::default().with(name, value))
}

/// A service `api` built from the repository `sentia/api`, with three known commits.
pub fn built(switches: Switches) -> Sandbox {
    let yaml = r#"
projects:
  shop:
    id: p
    services: { api: api }
    environments:
      production:
        id: e
        services:
          api: { repo: sentia/api, branch: main, commit: aaa, variables: { LOG_LEVEL: info } }
commits:
  aaa: { message: first }
  bbb: { message: second }
  bad: { outcome: failed, log: ["error[E0432]: unresolved import"] }
tokens:
  account-token: { kind: account }
"#;
    Sandbox::new(&Seed::parse(yaml).unwrap(), switches, Faults::none(), 7)
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The data, for an answer without errors.
    pub fn data(&self) -> Value {
        let mut json = self.json();
        assert!(
            json.get("errors").is_none(),
            "unexpected errors: {}",
            self.text
        );
        json["data"].take()
    }

    pub fn error(&self) -> String {
        self.json()["errors"][0]["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no error in {}", self.text))
            .to_string()
    }

    pub fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    }
}

pub fn request(token: Option<&str>, uri: &str, body: Value) -> Request<bytes::Bytes> {
    let mut builder = Request::post(uri).header("content-type", "application/json");
    builder = match token {
        None => builder,
        Some(token)
            if ["production-token", "staging-token"].contains(&token)
                || token.starts_with("project-") =>
        {
            builder.header("Project-Access-Token", token)
        }
        Some(token) => builder.header("Authorization", format!("Bearer {token}")),
    };
    builder.body(body.to_string().into()).unwrap()
}

pub async fn send(
    sandbox: &Sandbox,
    token: Option<&str>,
    query: &str,
    variables: Value,
) -> Result<Answer, Broken> {
    let request = request(
        token,
        "/graphql/v2?source=test",
        json!({ "query": query, "variables": variables }),
    );
    let response = sandbox.handle(request).await?;
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Asks with the account token.
pub async fn ask(sandbox: &Sandbox, query: &str, variables: Value) -> Answer {
    send(sandbox, Some("account-token"), query, variables)
        .await
        .unwrap()
}

pub async fn data(sandbox: &Sandbox, query: &str) -> Value {
    ask(sandbox, query, json!({})).await.data()
}

pub async fn commit(sandbox: &Sandbox, patch: Value) -> Answer {
    let query = "mutation C($p: EnvironmentConfig, $e: String!) { environmentPatchCommit(environmentId: $e, patch: $p, commitMessage: \"test\") }";
    ask(sandbox, query, json!({ "p": patch, "e": PRODUCTION })).await
}

pub async fn config(sandbox: &Sandbox, decrypt: bool) -> Value {
    let query =
        "query($e: String!, $d: Boolean) { environment(id: $e) { config(decryptVariables: $d) } }";
    ask(sandbox, query, json!({ "e": PRODUCTION, "d": decrypt }))
        .await
        .data()["environment"]["config"]
        .take()
}

pub fn web(part: Value) -> Value {
    json!({ "services": { WEB: part } })
}

/// Lets the paused clock run.
pub async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
