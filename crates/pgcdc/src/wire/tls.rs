//! Encryption: what libpq's `sslmode` says, with rustls.

use std::path::Path;
use std::sync::Arc;

use pgwire_replication::protocol::framing::write_ssl_request;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::WireError;
use crate::{Server, SslMode, TlsConfig};

/// A connection, encrypted or not.
pub(super) enum Upgraded {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Encrypts a new connection, if `tls` asks for it and the server can.
pub(super) async fn upgrade(mut socket: TcpStream, server: &Server) -> Result<Upgraded, WireError> {
    let tls = &server.tls;
    if tls.mode == SslMode::Disable {
        return Ok(Upgraded::Plain(socket));
    }
    write_ssl_request(&mut socket).await?;
    // Read alone: whatever comes after it is to be encrypted.
    if socket.read_u8().await? != b'S' {
        if tls.mode == SslMode::Prefer {
            return Ok(Upgraded::Plain(socket));
        }
        return Err(failed("the server does not support it"));
    }
    let name = tls.sni_hostname.as_deref().unwrap_or(&server.host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| failed(format!("{name:?} is no name that a certificate may hold")))?;
    let config = client_config(tls)?;
    let encrypted = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .map_err(|error| {
            let inner = error.get_ref();
            let of_rustls = inner.and_then(|inner| inner.downcast_ref::<Error>());
            WireError::Tls(error.to_string(), of_rustls.cloned())
        })?;
    Ok(Upgraded::Encrypted(Box::new(encrypted)))
}

/// Encryption that is not possible as configured.
fn failed(reason: impl Into<String>) -> WireError {
    WireError::Tls(reason.into(), None)
}

fn refused(error: &Error) -> WireError {
    WireError::Tls(error.to_string(), Some(error.clone()))
}

fn client_config(tls: &TlsConfig) -> Result<ClientConfig, WireError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    let roots = Arc::new(trusted(tls)?);
    let for_chain = Arc::clone(&provider);
    let verifier = |roots| {
        let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&for_chain));
        let built = built.build();
        built.map_err(|error| failed(error.to_string()))
    };
    let builder = if tls.mode == SslMode::VerifyFull {
        builder.with_webpki_verifier(verifier(roots)?)
    } else {
        let chain = match tls.mode {
            SslMode::VerifyCa => Some(verifier(roots)?),
            _ => None,
        };
        let verifier = LenientVerifier { chain, provider };
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    };
    match (&tls.client_cert_pem_path, &tls.client_key_pem_path) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let config = builder.with_client_auth_cert(chain, private_key(key)?);
            config.map_err(|error| refused(&error))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(failed(
            "a client certificate requires both its file and that of its key",
        )),
    }
}

/// The authorities of the configured file, the operating system's, or Mozilla's.
fn trusted(tls: &TlsConfig) -> Result<RootCertStore, WireError> {
    let mut roots = RootCertStore::empty();
    if !tls.mode.verifies_certificate() {
        return Ok(roots);
    }
    if tls.system_roots {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        return match found.errors.first() {
            _ if added > 0 => Ok(roots),
            Some(error) => Err(failed(format!(
                "the operating system's authorities cannot be read: {error}"
            ))),
            None => Err(failed(
                "the operating system has no authorities (sslrootcert=system)",
            )),
        };
    }
    let Some(path) = &tls.ca_pem_path else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        let path = path.display();
        return Err(failed(format!("{path} has no certificate of an authority")));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, WireError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| unreadable(path, &error))
}

/// The key of a client certificate.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, WireError> {
    let failed = |reason: &str| failed(format!("{} {reason}", path.display()));
    let text = std::fs::read(path).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let holds = |words: &[u8]| memchr::memmem::find(&text, words).is_some();
    if holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED") {
        return Err(failed(
            "is an encrypted key, which is not supported: write one without a passphrase, that you alone may read (openssl pkey -in KEY -out PLAIN_KEY)",
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> WireError {
    failed(format!("{} cannot be read: {error}", path.display()))
}

/// What is less strict than `verify-full`.
#[derive(Debug)]
struct LenientVerifier {
    /// `verify-ca`: a certificate of a trusted authority, whatever name it holds. Without it, `prefer` and `require`:
    /// encrypted, with whomever.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LenientVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The name is compared last: whoever gets there has a valid chain.
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
