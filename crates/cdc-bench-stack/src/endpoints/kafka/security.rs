//! How connections to Kafka are encrypted and authenticated, and the properties of librdkafka for it.

use std::fmt;
use std::str::FromStr;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::pem::Pem;

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// Authenticated without encryption.
    SaslPlaintext,
    /// Authenticated within TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether it is authenticated by SASL.
    #[must_use]
    pub fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl FromStr for SecurityProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Plaintext,
            Self::Ssl,
            Self::SaslPlaintext,
            Self::SaslSsl,
        ];
        all.into_iter()
            .find(|protocol| protocol.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| {
                format!("{text:?} is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL")
            })
    }
}

/// A SASL mechanism that proves a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordMechanism {
    /// The password itself is sent.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl PasswordMechanism {
    /// Kafka's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Where OAuth tokens come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// An issuer, by the grant `client_credentials`.
    ClientCredentials {
        /// Its token endpoint.
        url: String,
        /// Client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// Requested scope.
        scope: Option<String>,
    },
    /// A program that prints a token, such as a signer for MSK's IAM: its name and arguments.
    Command(Vec<String>),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientCredentials { url, client_id, .. } => {
                write!(f, "ClientCredentials({client_id} at {url})")
            }
            Self::Command(command) => {
                write!(f, "Command({})", command.first().map_or("", String::as_str))
            }
        }
    }
}

impl TokenSource {
    /// The source that a client's `sasl.oauthbearer.config` names.
    #[must_use]
    pub fn from_config(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Who we are to Kafka.
#[derive(Debug, Clone)]
pub enum Sasl {
    /// By user and password.
    Password {
        /// How the password is proven.
        mechanism: PasswordMechanism,
        /// User.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// By a token (OAUTHBEARER).
    OauthBearer(TokenSource),
}

impl Sasl {
    /// Kafka's name of the mechanism.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Password { mechanism, .. } => mechanism.as_str(),
            Self::OauthBearer(_) => "OAUTHBEARER",
        }
    }
}

/// TLS to Kafka.
#[derive(Debug, Clone, Default)]
pub struct KafkaTls {
    /// Authorities that the brokers' certificates may be of; those of the system if none are given.
    pub ca: Option<Pem>,
    /// Our certificate, with those between it and its authority.
    pub certificate: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
    /// Passphrase of the key.
    pub key_password: Option<SecretString>,
    /// Whether a broker's certificate may be of another host.
    pub any_hostname: bool,
}

/// How connections to Kafka are encrypted and authenticated.
#[derive(Debug, Clone, Default)]
pub struct KafkaSecurity {
    /// The protocol, if it was named.
    pub named_protocol: Option<SecurityProtocol>,
    /// Who we are.
    pub sasl: Option<Sasl>,
    /// TLS.
    pub tls: KafkaTls,
}

impl KafkaSecurity {
    /// The protocol that was named, or the one that the other settings are for.
    #[must_use]
    pub fn protocol(&self) -> SecurityProtocol {
        let tls = &self.tls;
        let has_tls = tls.ca.is_some() || tls.certificate.is_some() || tls.key.is_some();
        self.named_protocol
            .unwrap_or(match (has_tls, self.sasl.is_some()) {
                (false, false) => SecurityProtocol::Plaintext,
                (true, false) => SecurityProtocol::Ssl,
                // A password or a token without TLS has to be asked for by name.
                (_, true) => SecurityProtocol::SaslSsl,
            })
    }

    /// Sets librdkafka's properties.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        let protocol = self.protocol();
        if protocol == SecurityProtocol::Plaintext {
            return;
        }
        config.set("security.protocol", protocol.as_str());
        if protocol.is_tls() {
            self.tls.apply(config);
        }
        match &self.sasl {
            Some(Sasl::Password {
                mechanism,
                username,
                password,
            }) => {
                config
                    .set("sasl.mechanism", mechanism.as_str())
                    .set("sasl.username", username)
                    .set("sasl.password", password.expose_secret());
            }
            Some(Sasl::OauthBearer(source)) => {
                let source = serde_json::json!(source).to_string();
                config
                    .set("sasl.mechanism", "OAUTHBEARER")
                    .set("sasl.oauthbearer.config", source);
            }
            None => {}
        }
    }
}

impl KafkaTls {
    fn apply(&self, config: &mut ClientConfig) {
        // A file is read by librdkafka itself: it takes a chain of certificates from one, and not from a text.
        let mut set = |pem: Option<&Pem>, file: &str, text: &str| {
            let Some(pem) = pem else { return };
            match pem.path() {
                Some(path) => config.set(file, path.to_string_lossy()),
                None => config.set(text, pem.expose()),
            };
        };
        set(self.ca.as_ref(), "ssl.ca.location", "ssl.ca.pem");
        set(
            self.certificate.as_ref(),
            "ssl.certificate.location",
            "ssl.certificate.pem",
        );
        set(self.key.as_ref(), "ssl.key.location", "ssl.key.pem");
        if let Some(password) = &self.key_password {
            config.set("ssl.key.password", password.expose_secret());
        }
        if self.any_hostname {
            config.set("ssl.endpoint.identification.algorithm", "none");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_password() -> KafkaSecurity {
        KafkaSecurity {
            sasl: Some(Sasl::Password {
                mechanism: PasswordMechanism::ScramSha512,
                username: "bench".to_owned(),
                password: "p@ss:w/rd".to_owned().into(),
            }),
            ..KafkaSecurity::default()
        }
    }

    #[test]
    fn the_protocol_is_that_of_the_settings_and_a_password_is_not_sent_in_the_clear_unasked() {
        assert_eq!(
            KafkaSecurity::default().protocol(),
            SecurityProtocol::Plaintext
        );
        let mut security = with_password();
        assert_eq!(security.protocol(), SecurityProtocol::SaslSsl);
        security.named_protocol = Some("sasl_plaintext".parse().unwrap());
        assert_eq!(security.protocol(), SecurityProtocol::SaslPlaintext);
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(config.get("sasl.password"), Some("p@ss:w/rd"));
        assert!(!format!("{security:?}").contains("p@ss"));
        assert!("TLS".parse::<SecurityProtocol>().is_err());
    }

    #[test]
    fn a_token_source_is_found_again_in_the_configuration() {
        let source = TokenSource::ClientCredentials {
            url: "https://issuer/token".to_owned(),
            client_id: "bench".to_owned(),
            client_secret: "hidden".to_owned(),
            scope: None,
        };
        assert!(!format!("{source:?}").contains("hidden"));
        let security = KafkaSecurity {
            sasl: Some(Sasl::OauthBearer(source.clone())),
            ..KafkaSecurity::default()
        };
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        let text = config.get("sasl.oauthbearer.config").unwrap();
        assert_eq!(TokenSource::from_config(text), Some(source));
        let command = TokenSource::Command(vec!["signer".to_owned(), "--region".to_owned()]);
        let text = serde_json::json!(command).to_string();
        assert_eq!(TokenSource::from_config(&text), Some(command));
    }
}
