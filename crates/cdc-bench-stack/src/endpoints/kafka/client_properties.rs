//! The properties that a user gives for Kafka's clients, in librdkafka's spelling or in Java's: resolved into who we are, how
//! connections are encrypted, and the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use secrecy::SecretString;

use super::pem::{Pem, PemError};
use super::properties_file::read_properties;
use super::security::{
    KafkaSecurity, KafkaTls, PasswordMechanism, Sasl, SecurityProtocol, TokenSource,
};
use super::{KafkaEndpoint, jaas};

/// Properties that are not the user's to set, each with the reason.
const RESERVED: [(&[&str], &str); 4] = [
    (
        &["acks", "request.required.acks", "enable.idempotence"],
        "what is acknowledged must be on all replicas, once and in order",
    ),
    (
        &[
            "transactional.id",
            "delivery.report.only.error",
            "dr_cb",
            "dr_msg_cb",
        ],
        "each record's delivery report is waited for",
    ),
    (
        &[
            "group.id",
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "partition.assignment.strategy",
        ],
        "what is read, and which offsets are committed, is this program's to decide",
    ),
    (
        &["sasl.oauthbearer.config"],
        "tokens come from KAFKA_OAUTH_TOKEN_URL or KAFKA_OAUTH_COMMAND",
    ),
];

/// Properties of Java's clients that mean nothing here.
const JAVAS_OWN: [&str; 7] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "sasl.login.callback.handler.class",
    "sasl.client.callback.handler.class",
    "client.dns.lookup",
];

/// Why properties of Kafka's client cannot be used. No value is repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientPropertiesError {
    /// A properties file cannot be read.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// Not this program's user's to set.
    #[error("{name} cannot be set: {reason}")]
    Reserved {
        /// Property.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// No property of librdkafka.
    #[error(
        "librdkafka has no property {0}; those that it has are in its CONFIGURATION.md, and of Java's those for encryption and authentication are understood"
    )]
    Unknown(String),
    /// A value out of range, or not one of those allowed.
    #[error(
        "librdkafka does not accept this value of {0}: it is out of range, not one of those allowed, or needs a feature that is not built in"
    )]
    Value(String),
    /// Settings that do not go together, or lack one.
    #[error("{0}")]
    Incomplete(String),
    /// A certificate or key.
    #[error(transparent)]
    Pem(#[from] PemError),
}

/// Properties of Kafka's client as they were given; one that is set later takes precedence.
#[derive(Clone, Default)]
pub struct KafkaSettings {
    properties: BTreeMap<String, String>,
    token_command: Option<Vec<String>>,
}

/// Properties of Kafka's client, resolved.
#[derive(Debug, Clone, Default)]
pub struct KafkaClientSettings {
    /// Bootstrap servers, if they were given.
    pub bootstrap: Option<String>,
    /// How connections are encrypted and authenticated.
    pub security: KafkaSecurity,
    /// The rest, each checked.
    pub properties: Vec<(String, SecretString)>,
}

impl KafkaClientSettings {
    /// The cluster, if its bootstrap servers were given.
    #[must_use]
    pub fn endpoint(&self) -> Option<KafkaEndpoint> {
        Some(KafkaEndpoint {
            bootstrap: self.bootstrap.clone()?,
            security: self.security.clone(),
            properties: self.properties.clone(),
        })
    }
}

impl KafkaSettings {
    /// Adds the properties of a file in Java's format, such as Kafka's tools take with `--command-config`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ClientPropertiesError> {
        let read = read_properties(path);
        let properties = read.map_err(|error| ClientPropertiesError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        for (name, value) in properties {
            if !JAVAS_OWN.contains(&&*name) {
                self.set(&name, value)?;
            }
        }
        Ok(())
    }

    /// Sets a property.
    ///
    /// # Errors
    /// When it is not the user's to set.
    pub fn set(
        &mut self,
        name: &str,
        value: impl Into<String>,
    ) -> Result<(), ClientPropertiesError> {
        if let Some((_, reason)) = RESERVED.iter().find(|(names, _)| names.contains(&name)) {
            return Err(ClientPropertiesError::Reserved {
                name: name.to_owned(),
                reason,
            });
        }
        let name = match name {
            "sasl.mechanisms" => "sasl.mechanism",
            "metadata.broker.list" => "bootstrap.servers",
            name => name,
        };
        self.properties.insert(name.to_owned(), value.into());
        Ok(())
    }

    /// The program that prints a token, and its arguments.
    pub fn set_token_command(&mut self, command: Vec<String>) {
        self.token_command = Some(command);
    }

    /// Whether brokers are named.
    #[must_use]
    pub fn names_brokers(&self) -> bool {
        let named = self.properties.get("bootstrap.servers");
        named.is_some_and(|servers| !servers.is_empty())
    }

    /// What they say, without brokers, encryption and login.
    ///
    /// # Errors
    /// When a property is unknown, or a value is not accepted.
    pub fn without_security(mut self) -> Result<KafkaClientSettings, ClientPropertiesError> {
        let is_of_security = |name: &str| {
            let starts = ["security.", "sasl.", "ssl."];
            name == "bootstrap.servers" || starts.iter().any(|start| name.starts_with(start))
        };
        self.properties.retain(|name, _| !is_of_security(name));
        self.token_command = None;
        self.resolve()
    }

    /// What they say.
    ///
    /// # Errors
    /// When a property is unknown, a value is not accepted, a file is not there, or something lacks.
    pub fn resolve(mut self) -> Result<KafkaClientSettings, ClientPropertiesError> {
        let bootstrap = self.take("bootstrap.servers");
        let security = self.security()?;
        for (name, value) in &self.properties {
            check(name, value)?;
        }
        let properties = self.properties.into_iter();
        Ok(KafkaClientSettings {
            bootstrap,
            security,
            properties: properties
                .map(|(name, value)| (name, value.into()))
                .collect(),
        })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.properties
            .remove(name)
            .filter(|value| !value.is_empty())
    }

    fn security(&mut self) -> Result<KafkaSecurity, ClientPropertiesError> {
        let incomplete = |text: String| ClientPropertiesError::Incomplete(text);
        let protocol = self.take("security.protocol");
        let named_protocol = protocol
            .map(|text| text.parse::<SecurityProtocol>())
            .transpose()
            .map_err(|reason| incomplete(format!("security.protocol: {reason}")))?;
        let security = KafkaSecurity {
            named_protocol,
            sasl: self.sasl()?,
            tls: self.tls()?,
        };
        let protocol = security.protocol();
        match &security.sasl {
            None if protocol.is_sasl() => Err(incomplete(format!(
                "security.protocol {} needs a user: KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or KAFKA_OAUTH_TOKEN_URL",
                protocol.as_str()
            ))),
            Some(_) if !protocol.is_sasl() => Err(incomplete(format!(
                "security.protocol {} has no user, and one is given: SASL_SSL has, or SASL_PLAINTEXT without encryption",
                protocol.as_str()
            ))),
            _ => Ok(security),
        }
    }

    fn sasl(&mut self) -> Result<Option<Sasl>, ClientPropertiesError> {
        let incomplete = |text: &str| ClientPropertiesError::Incomplete(text.to_owned());
        let login = self.take("sasl.jaas.config").map(|text| {
            jaas::options(&text).ok_or_else(|| {
                incomplete(
                    "sasl.jaas.config is not of the form MODULE required name=\"value\" ...;",
                )
            })
        });
        let mut login = login.transpose()?.unwrap_or_default();
        let mechanism = self.take("sasl.mechanism");
        let mut either = |property: &str, option: &str| {
            let option = login.remove(option).filter(|value| !value.is_empty());
            self.take(property).or(option)
        };
        let username = either("sasl.username", "username");
        let password = either("sasl.password", "password");
        let client_id = either("sasl.oauthbearer.client.id", "clientId");
        let client_secret = either("sasl.oauthbearer.client.secret", "clientSecret");
        let scope = either("sasl.oauthbearer.scope", "scope");
        let url = self.take("sasl.oauthbearer.token.endpoint.url");
        let token_source = match (self.token_command.take(), url) {
            (Some(command), _) => Some(TokenSource::Command(command)),
            (None, Some(url)) => {
                let (Some(client_id), Some(client_secret)) = (client_id, client_secret) else {
                    return Err(incomplete(
                        "a token endpoint needs KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET",
                    ));
                };
                Some(TokenSource::ClientCredentials {
                    url,
                    client_id,
                    client_secret,
                    scope,
                })
            }
            (None, None) => None,
        };
        let mechanism = match mechanism.as_deref() {
            Some("OAUTHBEARER") => {
                return token_source
                    .map(Sasl::OauthBearer)
                    .map(Some)
                    .ok_or_else(|| {
                        incomplete("OAUTHBEARER needs KAFKA_OAUTH_TOKEN_URL or KAFKA_OAUTH_COMMAND")
                    });
            }
            Some("PLAIN") => PasswordMechanism::Plain,
            Some("SCRAM-SHA-256") => PasswordMechanism::ScramSha256,
            Some("SCRAM-SHA-512") => PasswordMechanism::ScramSha512,
            Some("AWS_MSK_IAM") => {
                return Err(incomplete(
                    "AWS_MSK_IAM is a mechanism of Java's clients: use OAUTHBEARER with KAFKA_OAUTH_COMMAND, a program that signs a token (such as aws-msk-iam-sasl-signer)",
                ));
            }
            Some(other) => {
                return Err(ClientPropertiesError::Incomplete(format!(
                    "sasl.mechanism {other:?} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER"
                )));
            }
            None if token_source.is_some() => {
                return Ok(token_source.map(Sasl::OauthBearer));
            }
            None if username.is_some() || password.is_some() => {
                return Err(incomplete(
                    "a user of Kafka needs KAFKA_SASL_MECHANISM: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
                ));
            }
            None => return Ok(None),
        };
        match (username, password) {
            (Some(username), Some(password)) => Ok(Some(Sasl::Password {
                mechanism,
                username,
                password: password.into(),
            })),
            _ => Err(ClientPropertiesError::Incomplete(format!(
                "{} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
                mechanism.as_str()
            ))),
        }
    }

    fn tls(&mut self) -> Result<KafkaTls, ClientPropertiesError> {
        // What Java calls a store is a file of PEM here.
        for store in ["ssl.truststore.type", "ssl.keystore.type"] {
            self.take(store);
        }
        self.take("ssl.truststore.password");
        let ca = self.pem(
            &["ssl.ca.location", "ssl.truststore.location"],
            &["ssl.ca.pem", "ssl.truststore.certificates"],
        )?;
        let mut certificate = self.pem(
            &["ssl.certificate.location"],
            &["ssl.certificate.pem", "ssl.keystore.certificate.chain"],
        )?;
        let mut key = self.pem(&["ssl.key.location"], &["ssl.key.pem", "ssl.keystore.key"])?;
        // PKCS#12 is librdkafka's own; in PEM, a store is a key with its certificates.
        let is_pkcs12 = |path: &String| path.ends_with(".p12") || path.ends_with(".pfx");
        if !self
            .properties
            .get("ssl.keystore.location")
            .is_some_and(is_pkcs12)
        {
            if let Some(store) = self.pem(&["ssl.keystore.location"], &[])? {
                certificate.get_or_insert_with(|| store.clone());
                key.get_or_insert(store);
            }
            self.take("ssl.keystore.password");
        }
        if certificate.is_some() != key.is_some() {
            return Err(ClientPropertiesError::Incomplete(
                "a client's certificate and its key belong together: KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY".to_owned(),
            ));
        }
        let algorithm = self
            .properties
            .remove("ssl.endpoint.identification.algorithm");
        Ok(KafkaTls {
            ca,
            certificate,
            key,
            key_password: self.take("ssl.key.password").map(SecretString::from),
            any_hostname: algorithm.is_some_and(|name| matches!(&*name, "" | "none")),
        })
    }

    /// The first of these properties that is set: of the first list each is a file, of the second a text.
    fn pem(&mut self, files: &[&str], texts: &[&str]) -> Result<Option<Pem>, PemError> {
        let (mut file, mut text) = (None, None);
        for name in files {
            file = file.or(self.take(name));
        }
        for name in texts {
            text = text.or(self.take(name).map(|value| (value, *name)));
        }
        match (file, text) {
            (Some(path), _) => Pem::read(path).map(Some),
            (None, Some((value, name))) => Pem::text(&value, name).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Asks librdkafka whether it has a property, and accepts its value.
fn check(name: &str, value: &str) -> Result<(), ClientPropertiesError> {
    let mut config = ClientConfig::new();
    match config.set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(ClientPropertiesError::Unknown(name.to_owned()))
        }
        // Its message repeats the value.
        Err(_) => Err(ClientPropertiesError::Value(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(properties: &[(&str, &str)]) -> Result<KafkaEndpoint, ClientPropertiesError> {
        let mut settings = KafkaSettings::default();
        settings.set("bootstrap.servers", "k:9093")?;
        for (name, value) in properties {
            settings.set(name, *value)?;
        }
        Ok(settings.resolve()?.endpoint().unwrap())
    }

    #[test]
    fn a_file_of_javas_clients_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.properties");
        let text = "bootstrap.servers=broker:9094\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n\
                    sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  username=\"me\" password=\"hidden\";\n\
                    ssl.truststore.type=PEM\nssl.truststore.certificates=-----BEGIN CERTIFICATE-----\\nYQ==\\n-----END CERTIFICATE-----\n\
                    ssl.endpoint.identification.algorithm=\nkey.serializer=x\nsocket.timeout.ms=9000\n";
        std::fs::write(&path, text).unwrap();
        let mut settings = KafkaSettings::default();
        settings.read_file(&path).unwrap();
        let kafka = settings.resolve().unwrap().endpoint().unwrap();
        assert_eq!(kafka.bootstrap, "broker:9094");
        assert!(kafka.security.tls.any_hostname);
        let config = kafka.client_config();
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "me"),
            ("sasl.password", "hidden"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("socket.timeout.ms", "9000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
        assert!(config.get("ssl.ca.pem").unwrap().starts_with("-----BEGIN"));
        assert!(!format!("{kafka:?}").contains("hidden"));
    }

    #[test]
    fn what_lacks_or_does_not_go_together_is_named_and_no_value_is_repeated() {
        let user = [("sasl.username", "me"), ("sasl.password", "hidden")];
        for (properties, words) in [
            (&user[..], "KAFKA_SASL_MECHANISM"),
            (&[("security.protocol", "SASL_SSL")], "needs a user"),
            (&[("security.protocol", "TLS")], "none of PLAINTEXT"),
            (&[("sasl.mechanism", "PLAIN")], "KAFKA_SASL_PASSWORD"),
            (&[("sasl.mechanism", "GSSAPI")], "none of PLAIN"),
            (&[("sasl.mechanism", "AWS_MSK_IAM")], "KAFKA_OAUTH_COMMAND"),
            (
                &[("sasl.mechanism", "OAUTHBEARER")],
                "KAFKA_OAUTH_TOKEN_URL",
            ),
            (
                &[("sasl.oauthbearer.token.endpoint.url", "https://i/t")],
                "KAFKA_OAUTH_CLIENT_SECRET",
            ),
            (&[("sasl.jaas.config", "hidden")], "MODULE required"),
            (&[("ssl.ca.location", "/nowhere/ca.pem")], "/nowhere/ca.pem"),
            (&[("ssl.keystore.key", "hidden")], "not PEM"),
            (&[("mesage.max.bytes", "1")], "no property mesage.max.bytes"),
            (&[("message.max.bytes", "hidden")], "does not accept"),
            (&[("acks", "0")], "all replicas"),
            (&[("group.id", "theirs")], "this program's"),
        ] {
            let error = resolve(properties).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
        let refused = [
            user[0],
            user[1],
            ("sasl.mechanism", "PLAIN"),
            ("security.protocol", "SSL"),
        ];
        let error = resolve(&refused).unwrap_err().to_string();
        assert!(error.contains("SASL_SSL"), "{error}");
    }

    #[test]
    fn without_security_there_are_the_bare_properties() {
        let kafka = resolve(&[("message.max.bytes", "10485760")]).unwrap();
        let config = kafka.client_config();
        assert_eq!(config.get("message.max.bytes"), Some("10485760"));
        assert_eq!(config.get("security.protocol"), None);
        let none = KafkaSettings::default().resolve().unwrap();
        assert!(none.endpoint().is_none());
    }
}
