//! Subscriptions over a real WebSocket: what is new comes by itself, once.

use std::time::Duration;

use sandbox::{Faults, HandEdit, Sandbox, Seed, Switches};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{WEB, runbook};

/// A small client: frames out are masked, as every client's have to be.
struct Client(TcpStream);

impl Client {
    async fn connect(sandbox: &Sandbox, token: &str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /graphql/v2 HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert!(answer.contains("graphql-transport-ws"), "{answer}");
        let mut client = Client(stream);
        client.say(json!({ "type": "connection_init" })).await;
        assert_eq!(client.hear().await, json!({ "type": "connection_ack" }));
        client
    }

    async fn send(&mut self, code: u8, payload: &[u8]) {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![0x80 | code];
        match u8::try_from(payload.len()) {
            Ok(length @ 0..=125) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .enumerate()
                .map(|(nth, byte)| byte ^ mask[nth % 4]),
        );
        self.0.write_all(&frame).await.unwrap();
    }

    async fn say(&mut self, message: Value) {
        self.send(1, message.to_string().as_bytes()).await;
    }

    async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await;
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let code = self.0.read_u8().await.unwrap() & 0x0F;
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            (code, payload)
        };
        let read = tokio::time::timeout(Duration::from_secs(10), read);
        read.await.expect("nothing came for ten seconds")
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_slice(&self.frame().await.1).unwrap()
    }
}

/// The world of the tests, in which a deployment takes a second.
fn quick() -> Sandbox {
    let mut seed: Seed = runbook();
    let timings = &mut seed.timings;
    (
        timings.queue,
        timings.initialize,
        timings.deploy,
        timings.healthcheck,
        timings.restart,
    ) = (0.3, 0.3, 0.3, 0.3, 0.5);
    Sandbox::new(&seed, Switches::default(), Faults::none(), 7)
}

fn release(sandbox: &Sandbox, image: &str) -> String {
    sandbox.by_hand(HandEdit::SetImage {
        environment: "production".into(),
        service: "web".into(),
        image: image.into(),
        deploy: true,
    });
    let view = sandbox.look();
    view.service("production", "web").newest.clone().unwrap().id
}

#[tokio::test]
async fn the_status_of_a_deployment_comes_whenever_it_changes() {
    let sandbox = quick();
    let mut client = Client::connect(&sandbox, "account-token").await;
    let id = release(&sandbox, "ghcr.io/sentia/app:1.4.2");

    client
        .subscribe(
            "one",
            "subscription($id: String!) { deployment(id: $id) { status } }",
            json!({ "id": id }),
        )
        .await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&json!("SUCCESS")) {
        let next = client.hear().await;
        assert_eq!(
            (&next["id"], &next["type"]),
            (&json!("one"), &json!("next"))
        );
        statuses.push(next["payload"]["data"]["deployment"]["status"].clone());
    }

    let before = statuses.len();
    statuses.dedup();
    assert_eq!(statuses.len(), before, "the same is not told twice");
    assert!(statuses.contains(&json!("DEPLOYING")), "{statuses:?}");
}

#[tokio::test]
async fn new_lines_of_a_log_come_once() {
    let sandbox = quick();
    let mut client = Client::connect(&sandbox, "account-token").await;
    let id = release(&sandbox, "ghcr.io/sentia/app:1.5.0-bad");

    client.subscribe("log", "subscription L($id: String!) { deploymentLogs(deploymentId: $id, filter: \"@level:error\") { message } }", json!({ "id": id })).await;
    let rows = client.hear().await["payload"]["data"]["deploymentLogs"].clone();
    client.say(json!({ "id": "log", "type": "complete" })).await;
    client.say(json!({ "type": "ping" })).await;

    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(rows[2]["message"], "failed to pull the image");
    assert_eq!(
        client.hear().await,
        json!({ "type": "pong" }),
        "no line came twice"
    );
}

#[tokio::test]
async fn the_steps_of_a_rollout_and_staged_changes_can_be_followed() {
    let sandbox = quick();
    let mut client = Client::connect(&sandbox, "account-token").await;
    let id = release(&sandbox, "ghcr.io/sentia/app:1.4.2");
    client
        .subscribe(
            "steps",
            "subscription($id: String!) { deploymentEvents(id: $id) { step completedAt } }",
            json!({ "id": id }),
        )
        .await;
    let mut steps = Vec::new();
    while !steps.contains(&"DRAIN_INSTANCES".to_string()) {
        let next = client.hear().await;
        let step = next["payload"]["data"]["deploymentEvents"]["step"].as_str();
        steps.push(step.unwrap_or_else(|| panic!("{next}")).to_string());
    }
    client
        .say(json!({ "id": "steps", "type": "complete" }))
        .await;

    let environment = sandbox.look().environment("production").id.clone();
    client.subscribe("staged", "subscription($e: String!) { environmentStagedPatch(environmentId: $e) { status patch } }", json!({ "e": environment })).await;
    let empty = client.hear().await["payload"]["data"]["environmentStagedPatch"].clone();
    sandbox.by_hand(HandEdit::Stage {
        environment: "production".into(),
        patch: json!({ "services": { "web": { "deploy": { "startCommand": "x" } } } }),
    });
    let staged = client.hear().await["payload"]["data"]["environmentStagedPatch"].clone();

    assert_eq!(steps[0], "CREATE_CONTAINER");
    assert_eq!(empty, json!({ "status": "STAGED", "patch": {} }));
    assert_eq!(
        staged["patch"]["services"][WEB]["deploy"]["startCommand"],
        "x"
    );
}

#[tokio::test]
async fn wrong_subscriptions_and_tokens_are_told_and_the_connection_stays() {
    let sandbox = quick();
    let mut client = Client::connect(&sandbox, "nonsense").await;

    client
        .subscribe("a", "subscription { nonsense }", json!({}))
        .await;
    let invalid = client.hear().await;
    client.subscribe("b", "{ me { id } }", json!({})).await;
    let query = client.hear().await;
    client
        .subscribe(
            "c",
            "subscription { deployment(id: \"x\") { id } }",
            json!({}),
        )
        .await;
    let refused = client.hear().await;
    client.say(json!({ "id": "c", "type": "complete" })).await;
    client.send(9, b"hi").await;
    let pong = client.frame().await;
    client.send(8, &[]).await;
    let closed = client.frame().await;

    assert_eq!(
        (&invalid["type"], &invalid["id"]),
        (&json!("error"), &json!("a"))
    );
    assert!(
        invalid["payload"][0]["message"]
            .as_str()
            .unwrap()
            .contains("nonsense")
    );
    assert!(
        query["payload"][0]["message"]
            .as_str()
            .unwrap()
            .contains("only subscriptions")
    );
    assert_eq!(refused["payload"]["errors"][0]["message"], "Not Authorized");
    assert_eq!(pong, (0xA, b"hi".to_vec()));
    assert_eq!(closed.0, 8);
}
