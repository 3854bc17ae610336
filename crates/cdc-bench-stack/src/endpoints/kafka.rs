//! A Kafka cluster: where it is, and how its clients are secured, ours and Java's.

mod client_properties;
mod jaas;
mod java;
mod pem;
mod properties_file;
mod security;

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

pub use client_properties::{ClientPropertiesError, KafkaClientSettings, KafkaSettings};
pub use java::JavaClientError;
pub use pem::{Pem, PemError};
pub use properties_file::read_properties;
pub use security::{
    KafkaSecurity, KafkaTls, PasswordMechanism, Sasl, SecurityProtocol, TokenSource,
};

/// A Kafka cluster.
#[derive(Clone, Default)]
pub struct KafkaEndpoint {
    /// Bootstrap servers, comma-separated.
    pub bootstrap: String,
    /// How connections are encrypted and authenticated.
    pub security: KafkaSecurity,
    /// Properties of librdkafka that the user sets besides, each checked. A value may be a secret.
    pub properties: Vec<(String, SecretString)>,
}

impl fmt::Debug for KafkaEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaEndpoint")
            .field("bootstrap", &self.bootstrap)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

impl KafkaEndpoint {
    /// A cluster without encryption or authentication.
    #[must_use]
    pub fn plaintext(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            ..Self::default()
        }
    }

    /// The configuration shared by all our clients. Tokens are fetched by the client's context, which finds where to in
    /// `sasl.oauthbearer.config` ([`TokenSource::from_config`]).
    #[must_use]
    pub fn client_config(&self) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "cdc-bench")
            // Reconnect to a restarted broker within a second; librdkafka's default is up to ten.
            .set("reconnect.backoff.max.ms", "1000");
        self.security.apply(&mut config);
        for (name, value) in &self.properties {
            config.set(name, value.expose_secret());
        }
        config
    }
}
