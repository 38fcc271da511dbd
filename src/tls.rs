//! One TLS configuration for every client: reqwest's own fails on a machine without certificates (facts/crates.md 4.1).

use std::sync::Arc;

/// Trusts the machine's certificates, or Mozilla's where it has none.
pub fn configuration() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the protocol versions that rustls is built with")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Makes ring the provider of whoever asks for none: the client of Redis asks, and would panic (facts/redis-bullmq.md 6).
pub fn install() {
    // Whoever came first installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
