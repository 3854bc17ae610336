//! Why TLS to a server did not come about, in words.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for the answer to the question whether a port speaks TLS.
const GREETING_LIMIT: Duration = Duration::from_secs(3);

/// The name that webpki has for the certificate of an authority that a server shows as its own.
const AUTHORITYS_OWN: &str = "CaUsedAsEndEntity";
/// What helps against [`TlsFailure::AuthoritysOwn`].
pub(crate) const NO_AUTHORITY: &str = "the server needs a certificate that an authority has signed, or one of its own that is none (openssl req -x509 ... -addext basicConstraints=critical,CA:FALSE)";

/// Why TLS did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// The server's certificate has expired.
    Expired(String),
    /// It is not valid yet.
    NotYetValid(String),
    /// It is not for the name that we reach the server by.
    OtherName,
    /// It is not of an authority that we trust.
    UnknownAuthority(String),
    /// It is that of an authority itself, as `openssl req -x509` makes it.
    AuthoritysOwn,
    /// The server asks for our certificate.
    CertificateWanted,
    /// It does not accept ours.
    CertificateRefused(String),
    /// What answers does not speak TLS.
    NoTls,
    /// Something else.
    Other(String),
}

impl TlsFailure {
    /// The failure within a client's error; `None` where TLS is not the reason. `has_certificate`: we have one to show.
    pub(crate) fn within(error: &(dyn Error + 'static), has_certificate: bool) -> Option<Self> {
        rustls_error(error).map(|error| Self::of(error, has_certificate))
    }

    /// The failure that is an error of rustls.
    pub(crate) fn of(error: &rustls::Error, has_certificate: bool) -> Self {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        match error {
            InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired(error.to_string())
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid(error.to_string())
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
                error if error.to_string().contains(AUTHORITYS_OWN) => Self::AuthoritysOwn,
                error => Self::UnknownAuthority(error.to_string()),
            },
            AlertReceived(alert) if has_certificate => {
                Self::CertificateRefused(format!("{alert:?}"))
            }
            AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown,
            ) => Self::CertificateWanted,
            InvalidMessage(_) => Self::NoTls,
            other => Self::Other(other.to_string()),
        }
    }

    /// What failed. `server` is a noun with its article, `host` the name that we reach it by.
    pub(crate) fn describe(&self, server: &str, host: &str) -> String {
        match self {
            Self::Expired(error) => format!("{server}'s certificate has expired ({error})"),
            Self::NotYetValid(error) => {
                format!("{server}'s certificate is not valid yet ({error})")
            }
            Self::OtherName => format!("{server}'s certificate is not for the name {host}"),
            Self::UnknownAuthority(error) => {
                format!("{server}'s certificate is not of an authority that is trusted ({error})")
            }
            Self::AuthoritysOwn => format!(
                "{server}'s certificate is that of an authority (CA:TRUE), which vouches for servers and is not taken for one"
            ),
            Self::CertificateWanted => format!("{server} asks for a client's certificate"),
            Self::CertificateRefused(alert) => {
                format!("{server} does not accept our certificate ({alert})")
            }
            Self::NoTls => format!("{server} answers without TLS"),
            Self::Other(error) => error.clone(),
        }
    }
}

/// Whether what listens there speaks TLS, with whatever certificate; false when nothing answers.
pub(crate) async fn speaks_tls(host: &str, port: u16) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let (Ok(builder), Ok(name)) = (builder, ServerName::try_from(host.to_owned())) else {
        return false;
    };
    let config = builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let shaken = async {
        let socket = TcpStream::connect((host, port)).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await.map(drop)
    };
    match tokio::time::timeout(GREETING_LIMIT, shaken).await {
        Ok(Ok(())) => true,
        // It has no authority that is trusted here.
        Ok(Err(error)) => {
            TlsFailure::within(&error, false).is_some_and(|failure| failure != TlsFailure::NoTls)
        }
        Err(_) => false,
    }
}

/// The error of rustls somewhere within another. An [`io::Error`] holds its inner error beside the chain of sources.
fn rustls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn a_failure_is_found_within_errors_of_clients() {
        let refused = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, refused));
        assert_eq!(
            TlsFailure::within(&wrapped, false),
            Some(TlsFailure::CertificateWanted)
        );
        assert!(matches!(
            TlsFailure::within(&wrapped, true),
            Some(TlsFailure::CertificateRefused(_))
        ));
        let other = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(TlsFailure::within(&other, false), None);
    }

    /// What is found of a certificate that is its own authority.
    fn self_signed(is_ca: IsCa) -> Result<(), rustls::Error> {
        let mut params = CertificateParams::new(vec!["db".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().unwrap();
        let name = ServerName::try_from("db").unwrap();
        let verified =
            verifier.verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now());
        verified.map(drop)
    }

    #[test]
    fn an_authoritys_own_certificate_is_told_with_what_makes_another() {
        let refused = self_signed(IsCa::Ca(BasicConstraints::Unconstrained)).unwrap_err();
        let failure = TlsFailure::of(&refused, false);
        assert_eq!(failure, TlsFailure::AuthoritysOwn);
        // What the advice says is taken.
        assert!(NO_AUTHORITY.contains("CA:FALSE"));
        self_signed(IsCa::ExplicitNoCa).unwrap();
    }

    #[test]
    fn certificates_are_told_apart() {
        let of = |error| TlsFailure::of(&rustls::Error::InvalidCertificate(error), false);
        assert_eq!(
            of(CertificateError::NotValidForName).describe("the broker", "kafka"),
            "the broker's certificate is not for the name kafka"
        );
        assert!(matches!(
            of(CertificateError::Expired),
            TlsFailure::Expired(_)
        ));
        assert!(matches!(
            of(CertificateError::UnknownIssuer),
            TlsFailure::UnknownAuthority(_)
        ));
    }
}
