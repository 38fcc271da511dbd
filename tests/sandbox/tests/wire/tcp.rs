//! The same over a real connection: the only tests with real time.

use std::collections::BTreeMap;

use sandbox::{Fault, Faults, Sandbox, Switches};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::*;

async fn exchange(address: std::net::SocketAddr) -> String {
    let body = r#"{"query":"{ me { email } }"}"#;
    let head = format!(
        "POST /graphql/v2?source=test HTTP/1.1\r\nhost: x\r\nauthorization: Bearer account-token\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply).await;
    reply
}

#[tokio::test]
async fn it_answers_over_tcp_and_a_lost_reply_closes_the_connection() {
    let faults = Faults::script(BTreeMap::from([(1, Fault::LostAfter)]));
    let sandbox = Sandbox::new(&two_environments(), Switches::default(), faults, 7);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = sandbox.router();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let answered = exchange(address).await;
    let lost = exchange(address).await;

    assert!(
        answered.starts_with("HTTP/1.1 200 OK")
            && answered.ends_with(r#"{"data":{"me":{"email":"operator@sentia.test"}}}"#),
        "{answered}"
    );
    assert_eq!(lost, "");
}
