//! Servers that are not Connect, or want TLS, a login or a certificate.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cdc_bench_stack::{HttpLogin, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wiremock::matchers::{basic_auth, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::ConnectClient;
use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn for_loopback() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    params
}

/// A server on loopback that says over TLS that it is Connect.
async fn tls_server(by: &Authority, params: &CertificateParams, wants_certificate: bool) -> String {
    // It may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = KeyPair::generate().unwrap();
    let certificate = params.clone().signed_by(&key, by).unwrap();
    let builder = ServerConfig::builder();
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(by.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(socket).await?;
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await?;
                let body = r#"{"version":"4.3.0"}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    format!("https://127.0.0.1:{port}")
}

fn pem(text: &str) -> Option<Pem> {
    Some(Pem::text(text, "test").unwrap())
}

async fn answer(endpoint: &ConnectEndpoint) -> Result<String, String> {
    let client = ConnectClient::new(endpoint).unwrap();
    client.version().await.map_err(|error| error.to_string())
}

#[track_caller]
fn assert_says(answer: &Result<String, String>, words: &[&str]) {
    let error = answer.as_ref().unwrap_err();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(
        !error.contains("tiger") && !error.contains("<html>"),
        "{error}"
    );
}

fn with_login(url: &str) -> ConnectEndpoint {
    let mut endpoint = ConnectEndpoint::parse(url).unwrap();
    endpoint.login = Some(HttpLogin {
        username: "bench".to_owned(),
        password: Some("tiger".to_owned().into()),
    });
    endpoint
}

#[tokio::test]
async fn a_failure_of_tls_says_which() {
    let (ours, theirs) = (authority(), authority());
    let url = tls_server(&ours, &for_loopback(), false).await;
    let mut endpoint = ConnectEndpoint::parse(&url).unwrap();
    endpoint.tls.ca = pem(&ours.pem());
    assert_eq!(answer(&endpoint).await.unwrap(), "4.3.0");
    endpoint.tls.ca = pem(&theirs.pem());
    assert_says(&answer(&endpoint).await, &["authority", "CONNECT_SSL_CA"]);
    endpoint.tls.ca = None;
    assert_says(&answer(&endpoint).await, &["authority", "CONNECT_SSL_CA"]);

    let mut other_name = CertificateParams::new(vec!["connect".to_owned()]).unwrap();
    let url = tls_server(&ours, &other_name, false).await;
    let mut endpoint = ConnectEndpoint::parse(&url).unwrap();
    endpoint.tls.ca = pem(&ours.pem());
    assert_says(&answer(&endpoint).await, &["not for the name 127.0.0.1"]);

    other_name.subject_alt_names = for_loopback().subject_alt_names;
    other_name.not_before = date_time_ymd(2020, 1, 1);
    other_name.not_after = date_time_ymd(2021, 1, 1);
    let url = tls_server(&ours, &other_name, false).await;
    let mut endpoint = ConnectEndpoint::parse(&url).unwrap();
    endpoint.tls.ca = pem(&ours.pem());
    assert_says(&answer(&endpoint).await, &["has expired"]);
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown_asked_for_and_refused_in_words() {
    let (ours, theirs) = (authority(), authority());
    let url = tls_server(&ours, &for_loopback(), true).await;
    let mut endpoint = ConnectEndpoint::parse(&url).unwrap();
    endpoint.tls.ca = pem(&ours.pem());
    assert_says(
        &answer(&endpoint).await,
        &["asks for a client's certificate", "CONNECT_SSL_CERTIFICATE"],
    );
    for (by, is_taken) in [(&ours, true), (&theirs, false)] {
        let key = KeyPair::generate().unwrap();
        let certificate = for_loopback().signed_by(&key, by).unwrap();
        // The key in the certificate's file.
        endpoint.tls.certificate = pem(&(certificate.pem() + &key.serialize_pem()));
        let answer = answer(&endpoint).await;
        if is_taken {
            assert_eq!(answer.unwrap(), "4.3.0");
        } else {
            assert_says(&answer, &["does not accept our certificate"]);
        }
    }
}

#[tokio::test]
async fn the_wrong_scheme_is_named() {
    let ours = authority();
    let url = tls_server(&ours, &for_loopback(), false).await;
    let endpoint = with_login(&url.replace("https", "http"));
    assert_says(&answer(&endpoint).await, &["speaks TLS", "https://"]);
    let plain = MockServer::start().await;
    let endpoint = with_login(&plain.uri().replace("http", "https"));
    assert_says(&answer(&endpoint).await, &["without TLS", "http://"]);
}

#[tokio::test]
async fn a_login_is_sent_behind_the_prefix_and_refused_in_words() {
    let server = MockServer::start().await;
    let version = serde_json::json!({"version": "4.3.0"});
    Mock::given(method("GET"))
        .and(path("/connect/eu/"))
        .and(basic_auth("bench", "tiger"))
        .respond_with(ResponseTemplate::new(200).set_body_json(version))
        .mount(&server)
        .await;
    Mock::given(path("/connect/eu/"))
        .respond_with(
            ResponseTemplate::new(401).set_body_string("User cannot access the resource."),
        )
        .with_priority(6)
        .mount(&server)
        .await;
    let page = "<html>tiger</html>";
    for (prefix, status, server_name) in [
        ("/page", 404, "nginx/1.22"),
        ("/down", 502, "nginx/1.22"),
        ("/large", 413, "nginx/1.22"),
        ("/often", 429, "nginx/1.22"),
        ("/", 200, "other"),
    ] {
        let answer = ResponseTemplate::new(status)
            .set_body_raw(page, "text/html; charset=utf-8")
            .insert_header("server", server_name);
        let at = if prefix == "/" {
            "/".to_owned()
        } else {
            format!("{prefix}/")
        };
        Mock::given(path(at))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    Mock::given(path("/denied/"))
        .respond_with(ResponseTemplate::new(403))
        .mount(&server)
        .await;
    let at = |prefix: &str| with_login(&format!("{}{prefix}", server.uri()));
    assert_eq!(answer(&at("/connect/eu")).await.unwrap(), "4.3.0");
    assert_eq!(answer(&at("/connect/eu/")).await.unwrap(), "4.3.0");
    let mut other = at("/connect/eu");
    other.login = None;
    assert_says(
        &answer(&other).await,
        &["asks for a login", "CONNECT_USERNAME"],
    );
    other.login = Some(HttpLogin {
        username: "bench".to_owned(),
        password: Some("lion".to_owned().into()),
    });
    assert_says(
        &answer(&other).await,
        &["\"bench\"", "401", "CONNECT_PASSWORD"],
    );
    assert_says(
        &answer(&at("/page")).await,
        &[
            "not Kafka Connect",
            "404",
            "text/html of nginx/1.22",
            "path prefix",
        ],
    );
    assert_says(&answer(&at("")).await, &["not Kafka Connect", "200 OK"]);
    assert_says(
        &answer(&at("/down")).await,
        &["502", "no answer of Connect itself"],
    );
    for (prefix, status) in [("/large", "413"), ("/often", "429")] {
        let answer = answer(&at(prefix)).await;
        assert_says(&answer, &[status, "no answer of Connect itself"]);
        assert!(!answer.unwrap_err().contains("path prefix"));
    }
    assert_says(
        &answer(&at("/denied")).await,
        &["403", "\"bench\"", "GET /denied"],
    );
}

#[tokio::test]
async fn neither_login_nor_configuration_follow_a_redirect_to_another_server() {
    let (here, there) = (MockServer::start().await, MockServer::start().await);
    let version = serde_json::json!({"version": "4.3.0"});
    Mock::given(path("/moved/"))
        .and(basic_auth("bench", "tiger"))
        .respond_with(ResponseTemplate::new(200).set_body_json(version))
        .mount(&here)
        .await;
    let elsewhere = format!("{}/login?state=tiger", there.uri());
    for (from, status, to) in [("/near/", 307, "/moved/"), ("/far/", 307, &*elsewhere)] {
        let answer = ResponseTemplate::new(status).insert_header("location", to);
        Mock::given(path(from))
            .respond_with(answer)
            .mount(&here)
            .await;
    }
    let at = |prefix: &str| with_login(&format!("{}{prefix}", here.uri()));
    assert_eq!(answer(&at("/near")).await.unwrap(), "4.3.0");
    let to = format!("redirects to {}/login,", there.uri());
    assert_says(&answer(&at("/far")).await, &[&to, "CONNECT_URL"]);
    assert_eq!(there.received_requests().await.unwrap().len(), 0);
}
