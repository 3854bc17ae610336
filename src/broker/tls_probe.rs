//! Why TLS to a broker fails. librdkafka says that it does; a handshake of our own, with the same certificates, says why.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls_failure::{NO_AUTHORITY, TlsFailure};

/// Longest wait for the handshake.
const LIMIT: Duration = Duration::from_secs(3);
/// How long a broker that asks for a certificate may take to say so: with TLS 1.3 it does after the handshake.
const ALERT: Duration = Duration::from_millis(500);

/// What is wrong, and what to do.
pub(super) struct TlsProblem {
    pub(super) reason: String,
    pub(super) advice: String,
}

impl TlsProblem {
    fn new(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            advice: advice.into(),
        }
    }

    /// A listener without TLS.
    pub(super) fn no_tls() -> Self {
        Self::new(
            "the listener does not speak TLS",
            "KAFKA_SECURITY_PROTOCOL is PLAINTEXT or SASL_PLAINTEXT there",
        )
    }
}

/// What is wrong with TLS to the first broker of the configuration; `None` when that does not show.
pub(super) async fn problem(config: &ClientConfig) -> Option<TlsProblem> {
    let (host, shaken) = handshake(config).await?;
    let error = shaken.err()?;
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let has_certificate = config.get("ssl.certificate.location").is_some()
        || config.get("ssl.certificate.pem").is_some();
    Some(explained(error, &host, has_certificate))
}

/// Whether the first broker's listener speaks TLS; `None` when that does not show.
pub(super) async fn is_tls(config: &ClientConfig) -> Option<bool> {
    let (_, shaken) = handshake(config).await?;
    let Err(error) = shaken else {
        return Some(true);
    };
    let of_tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (of_tls, error.kind()) {
        (Some(rustls::Error::InvalidMessage(_)), _) => Some(false),
        (Some(_), _) => Some(true),
        // It hangs up on what is no request of its own.
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Some(false),
        (None, _) => None,
    }
}

/// Greets the first broker of the configuration: its host, and whether TLS came about. `None` when it does not answer.
async fn handshake(config: &ClientConfig) -> Option<(String, io::Result<()>)> {
    let address = config.get("bootstrap.servers")?.split(',').next()?.trim();
    let host = address.rsplit_once(':')?.0;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let tls = client(config).ok()?;
    let name = ServerName::try_from(host.clone()).ok()?;
    let socket = tokio::time::timeout(LIMIT, TcpStream::connect(address));
    let socket = socket.await.ok()?.ok()?;
    let shaken = async {
        let mut stream = TlsConnector::from(Arc::new(tls))
            .connect(name, socket)
            .await?;
        // Nothing comes unasked but an alert.
        match tokio::time::timeout(ALERT, stream.read_u8()).await {
            Ok(Err(error)) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(()),
        }
    };
    let shaken = tokio::time::timeout(LIMIT, shaken).await.ok()?;
    Some((host, shaken))
}

fn explained(error: &rustls::Error, host: &str, has_certificate: bool) -> TlsProblem {
    let failure = TlsFailure::of(error, has_certificate);
    let advice = match &failure {
        TlsFailure::Expired(_) => "the broker needs a new one",
        TlsFailure::NotYetValid(_) => "check the clocks of both machines",
        TlsFailure::OtherName => {
            "use a name that it is for, or, where you trust the network, --kafka-config ssl.endpoint.identification.algorithm=none"
        }
        TlsFailure::UnknownAuthority(_) => {
            "KAFKA_SSL_CA is the file with the authority's certificate"
        }
        TlsFailure::AuthoritysOwn => NO_AUTHORITY,
        TlsFailure::CertificateWanted => "set KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY",
        TlsFailure::CertificateRefused(_) => {
            "KAFKA_SSL_CERTIFICATE must be of an authority that the broker trusts (its ssl.truststore), not expired, with those between them in the file"
        }
        TlsFailure::NoTls => return TlsProblem::no_tls(),
        TlsFailure::Other(_) => "check the listener's TLS settings",
    };
    TlsProblem::new(failure.describe("the broker", host), advice)
}

/// The text of a setting that is a file or PEM itself.
fn pem(config: &ClientConfig, file: &str, text: &str) -> Option<Vec<u8>> {
    match config.get(file) {
        Some(path) => std::fs::read(path).ok(),
        None => config.get(text).map(|text| text.as_bytes().to_vec()),
    }
}

/// A client with the certificates of the configuration.
fn client(config: &ClientConfig) -> Result<rustls::ClientConfig, rustls::Error> {
    let certificates = |text: &[u8]| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(text).flatten().collect()
    };
    let mut roots = RootCertStore::empty();
    if let Some(text) = pem(config, "ssl.ca.location", "ssl.ca.pem") {
        roots.add_parsable_certificates(certificates(&text));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let certificate = pem(config, "ssl.certificate.location", "ssl.certificate.pem");
    let key = pem(config, "ssl.key.location", "ssl.key.pem");
    // A key with a passphrase is librdkafka's to read.
    let key = key.and_then(|text| PrivateKeyDer::from_pem_slice(&text).ok());
    match certificate.zip(key) {
        Some((certificate, key)) => builder.with_client_auth_cert(certificates(&certificate), key),
        None => Ok(builder.with_no_client_auth()),
    }
}
