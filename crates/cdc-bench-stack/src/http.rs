//! Clients for HTTP.

use reqwest::{Url, redirect};

/// A client with this program's one implementation of TLS, and without a proxy: a proxy to the internet cannot reach a server
/// on loopback or in a private network.
pub fn http_client() -> reqwest::ClientBuilder {
    // It may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// Follows redirects within the server of this address alone.
pub(crate) fn same_server(url: &Url) -> redirect::Policy {
    let origin = url.origin();
    redirect::Policy::custom(move |attempt| {
        if attempt.url().origin() != origin || attempt.previous().len() > MOST_REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    })
}
