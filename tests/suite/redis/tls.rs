//! A server that only speaks encrypted: trusted by the machine's certificates or not at all.

use super::server::Server;
use crate::cli::scene::{Scene, scene};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn openssl(at: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .current_dir(at)
        .args(arguments.split(' '))
        .output()
        .expect("no openssl: `tests/ready.sh test` installs it");
    assert!(output.status.success(), "{output:?}");
}

/// An authority of the test's own, and a certificate of it for this machine.
fn certificates() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        at,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
    );
    openssl(
        at,
        &format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"),
    );
    std::fs::write(
        at.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    openssl(
        at,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names",
    );
    directory
}

/// The runbook's environment, with a server of which only an address is known.
fn with_redis(address: &str) -> Scene {
    let scene = scene().set("PRODUCTION_REDIS_ADDRESS", address).in_step();
    scene.write(
        "production/redis.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Redis\nmetadata: { name: main }\nspec: { address: { from: { secret: REDIS_ADDRESS } }, memory: { max: 100MiB } }\n",
    );
    scene
}

#[tokio::test]
async fn a_certificate_counts_that_this_machine_trusts() {
    let certificates = certificates();
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let scene = with_redis(&format!("rediss://127.0.0.1:{port}"));

    let unknown = scene.run(&["diff", "production"]);
    assert!(
        unknown.out.contains("Redis/main cannot be reached"),
        "{}{}",
        unknown.out,
        unknown.err
    );

    let scene = scene.set("SSL_CERT_FILE", path("ca.pem"));
    scene
        .run(&["diff", "production"])
        .exits(1)
        .prints("memory.max no limit → 100MiB");
    scene.run(&["apply", "--yes", "production"]).exits(0);
    let now: (String, String) = server.run("CONFIG GET maxmemory").await;
    assert_eq!(now.1, (100 * 1024 * 1024).to_string());
}
