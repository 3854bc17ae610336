//! Clients for HTTP.

/// A client with this program's one implementation of TLS, and without a proxy: a proxy to the internet cannot reach a server
/// on loopback or in a private network.
pub fn http_client() -> reqwest::ClientBuilder {
    // It may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
