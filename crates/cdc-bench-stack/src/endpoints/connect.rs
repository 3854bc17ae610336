//! Kafka Connect's REST interface: its address, the login, and TLS.

use std::fmt;

use reqwest::{Client, Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use super::http_address::{HttpLogin, host, innermost, parse_http_address, shown_address};
use super::kafka::{Pem, PemError};
use crate::http::{http_client, same_server};

/// Why Kafka Connect's address, login or certificates cannot be used. The text of the address is not repeated where it may hold
/// a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectEndpointError {
    /// Not an address.
    #[error(
        "{shown} is no address of Kafka Connect: {reason}; expected something like http://127.0.0.1:8083 or https://gateway/connect"
    )]
    Url {
        /// The address as given, or the variable's name where it may hold a password.
        shown: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file with certificates or a key.
    #[error("{variable}: {error}")]
    Pem {
        /// The setting.
        variable: &'static str,
        /// What is wrong with the file.
        error: PemError,
    },
    /// The settings do not go together, or the client cannot be made of them.
    #[error("{0}")]
    Settings(String),
}

/// TLS to Connect.
#[derive(Debug, Clone, Default)]
pub struct ConnectTls {
    /// Authorities that its certificate may be of; those of the system if none are given.
    pub ca: Option<Pem>,
    /// Our certificate, with those between it and its authority. The file may hold its key, too.
    pub certificate: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
}

/// Kafka Connect's REST interface. Shown, it is the address without the login.
#[derive(Debug, Clone)]
pub struct ConnectEndpoint {
    /// Without user, password, query and fragment.
    url: Url,
    /// The login.
    pub login: Option<HttpLogin>,
    /// TLS.
    pub tls: ConnectTls,
}

impl fmt::Display for ConnectEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl ConnectEndpoint {
    /// The endpoint at an address such as `https://user:password@gateway/connect/eu`. User and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConnectEndpointError::Url`].
    pub fn parse(text: &str) -> Result<Self, ConnectEndpointError> {
        const ENCODED: &str = "; a password's special characters have to be percent-encoded, or the password given by CONNECT_PASSWORD";
        let parsed = parse_http_address(text, ENCODED);
        let (url, login) = parsed.map_err(|reason| ConnectEndpointError::Url {
            shown: shown_address(text, "CONNECT_URL"),
            reason,
        })?;
        Ok(Self {
            url,
            login,
            tls: ConnectTls::default(),
        })
    }

    /// The endpoint on this machine, in the clear.
    pub(crate) fn on_loopback(port: u16) -> Self {
        Self::parse(&format!("http://127.0.0.1:{port}"))
            .expect("an address with a scheme, a host and a port")
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Its host, without brackets around an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        host(&self.url)
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// A client with its certificates. It follows redirects to the same server alone: a connector's configuration and our login are
    /// for nobody else.
    ///
    /// # Errors
    /// When certificate or key cannot be used.
    pub fn client(
        &self,
        configure: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Client, ConnectEndpointError> {
        let settings = |error: reqwest::Error, variable: &str| {
            ConnectEndpointError::Settings(format!("{variable}: {}", innermost(&error)))
        };
        let mut builder = http_client().redirect(same_server(&self.url));
        if let Some(ca) = &self.tls.ca {
            let roots = reqwest::Certificate::from_pem_bundle(ca.expose().as_bytes());
            builder = builder.tls_certs_only(roots.map_err(|e| settings(e, "CONNECT_SSL_CA"))?);
        }
        if let Some(identity) = self.tls.identity()? {
            let identity = reqwest::Identity::from_pem(identity.expose_secret().as_bytes());
            let variable = "CONNECT_SSL_CERTIFICATE, CONNECT_SSL_KEY";
            builder = builder.identity(identity.map_err(|e| settings(e, variable))?);
        }
        configure(builder)
            .build()
            .map_err(|e| settings(e, "TLS to Kafka Connect"))
    }

    /// A request with the login.
    pub fn request(&self, client: &Client, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Each segment is escaped: a name may contain any character.
            segments.pop_if_empty();
            // A gateway's prefix ends with a slash.
            segments.extend(if path.is_empty() { &[""] } else { path });
        }
        let request = client.request(method, url);
        match &self.login {
            Some(login) => login.on(request),
            None => request,
        }
    }
}

impl ConnectTls {
    /// Whether anything is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.ca.is_some() || self.certificate.is_some() || self.key.is_some()
    }

    /// Our certificate and its key in one text.
    fn identity(&self) -> Result<Option<SecretString>, ConnectEndpointError> {
        let refused = |text: &str| Err(ConnectEndpointError::Settings(text.to_owned()));
        let Some(certificate) = &self.certificate else {
            return match self.key {
                Some(_) => refused("CONNECT_SSL_KEY is set without CONNECT_SSL_CERTIFICATE"),
                None => Ok(None),
            };
        };
        let is_key = |label: &str| label.ends_with("PRIVATE KEY");
        let key = self.key.as_ref().unwrap_or(certificate).parts(is_key);
        if key.is_empty() {
            return refused(
                "CONNECT_SSL_CERTIFICATE is set without CONNECT_SSL_KEY, and has no key in it",
            );
        }
        if key.contains("ENCRYPTED") {
            return refused(
                "the key of CONNECT_SSL_KEY has a passphrase, which is not supported; \"openssl pkey -in FILE -out key.pem\" writes it without one",
            );
        }
        let certificates = certificate.parts(|label| label == "CERTIFICATE");
        Ok(Some((key + &certificates).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_taken_out_of_the_address_and_shown_nowhere() {
        let endpoint =
            ConnectEndpoint::parse("https://bench:p%40ss%3Aw%2Frd%23@gw:8443/connect/eu/").unwrap();
        assert_eq!(endpoint.to_string(), "https://gw:8443/connect/eu");
        assert_eq!((endpoint.host(), endpoint.is_tls()), ("gw", true));
        let shown = format!("{endpoint:?}");
        assert!(
            !shown.contains("p@ss") && !shown.contains("p%40ss"),
            "{shown}"
        );
        let client = endpoint.client(|builder| builder).unwrap();
        let request = endpoint.request(&client, Method::GET, &["connectors", "a b/c"]);
        let request = request.build().unwrap();
        assert_eq!(
            request.url().as_str(),
            "https://gw:8443/connect/eu/connectors/a%20b%2Fc"
        );
        let login = endpoint.login.unwrap();
        assert_eq!(login.username, "bench");
        assert_eq!(login.password.unwrap().expose_secret(), "p@ss:w/rd#");
        assert!(request.headers()["authorization"].is_sensitive());
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for (text, words) in [
            ("connect:8083", "http://"),
            ("http://h:8083/?user=x", "query"),
            ("http://h:8083/#x", "fragment"),
            ("http://bench:hid/den@h:8083", "percent-encoded"),
            ("http://bench:12/hidden@h:8083", "percent-encoded"),
            ("http://bench:12?hidden@h:8083", "percent-encoded"),
            ("ftp://bench:hidden@h", "http://"),
            ("http://", "empty host"),
        ] {
            let error = ConnectEndpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("hid"), "{error}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let pem = |label: &str| {
            let text = format!("-----BEGIN {label}-----\nYQ==\n-----END {label}-----\n");
            Some(Pem::text(&text, "test").unwrap())
        };
        let identity = |certificate: Option<Pem>, key: Option<Pem>| {
            let tls = ConnectTls {
                ca: None,
                certificate,
                key,
            };
            tls.identity().map_err(|error| error.to_string())
        };
        let certificate = || pem("CERTIFICATE");
        assert!(identity(None, None).unwrap().is_none());
        assert!(
            identity(certificate(), pem("PRIVATE KEY"))
                .unwrap()
                .is_some()
        );
        let without = identity(certificate(), None).unwrap_err();
        assert!(without.contains("without CONNECT_SSL_KEY"), "{without}");
        let alone = identity(None, pem("PRIVATE KEY")).unwrap_err();
        assert!(alone.contains("without CONNECT_SSL_CERTIFICATE"), "{alone}");
        let locked = identity(certificate(), pem("ENCRYPTED PRIVATE KEY")).unwrap_err();
        assert!(locked.contains("passphrase"), "{locked}");
    }
}
