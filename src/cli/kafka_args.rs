//! Arguments for Kafka: its addresses, who we are there, and how connections are encrypted.

use std::path::PathBuf;

use cdc_bench_stack::{ClientPropertiesError, KafkaClientSettings, KafkaSettings};
use secrecy::ExposeSecret;

use super::connector_args::key_value;
use super::secrets::{Prompt, secret};
use crate::pipeline::Failure;

/// Kafka's clients.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "Kafka (secrets: KAFKA_SASL_PASSWORD, KAFKA_SSL_KEY_PASSWORD, KAFKA_OAUTH_CLIENT_SECRET, each also as ..._FILE)"
)]
pub(super) struct KafkaArgs {
    /// Kafka's bootstrap servers
    #[arg(
        long,
        global = true,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        value_name = "HOST:PORT,..."
    )]
    kafka_bootstrap_servers: Option<String>,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL [default: what the other settings are for]
    #[arg(
        long,
        global = true,
        env = "KAFKA_SECURITY_PROTOCOL",
        value_name = "PROTOCOL"
    )]
    kafka_security_protocol: Option<String>,
    /// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
    #[arg(
        long,
        global = true,
        env = "KAFKA_SASL_MECHANISM",
        value_name = "MECHANISM"
    )]
    kafka_sasl_mechanism: Option<String>,
    /// User
    #[arg(long, global = true, env = "KAFKA_SASL_USERNAME", value_name = "USER")]
    kafka_sasl_username: Option<String>,
    /// Authorities that brokers' certificates may be of, PEM [default: the system's]
    #[arg(long, global = true, env = "KAFKA_SSL_CA", value_name = "FILE")]
    kafka_ssl_ca: Option<PathBuf>,
    /// Our certificate, PEM
    #[arg(
        long,
        global = true,
        env = "KAFKA_SSL_CERTIFICATE",
        value_name = "FILE"
    )]
    kafka_ssl_certificate: Option<PathBuf>,
    /// Its key, PEM (PKCS#8, where a connector of ours is to have it too)
    #[arg(long, global = true, env = "KAFKA_SSL_KEY", value_name = "FILE")]
    kafka_ssl_key: Option<PathBuf>,
    /// Issuer of OAuth tokens: its token endpoint, by client credentials
    #[arg(
        long,
        global = true,
        env = "KAFKA_OAUTH_TOKEN_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    kafka_oauth_token_url: Option<String>,
    /// Our client id there
    #[arg(long, global = true, env = "KAFKA_OAUTH_CLIENT_ID", value_name = "ID")]
    kafka_oauth_client_id: Option<String>,
    /// Requested scope
    #[arg(long, global = true, env = "KAFKA_OAUTH_SCOPE", value_name = "SCOPE")]
    kafka_oauth_scope: Option<String>,
    /// A program that prints a token (or JSON with access_token and expires_in), with its arguments, such as a signer for MSK's IAM
    #[arg(
        long,
        global = true,
        env = "KAFKA_OAUTH_COMMAND",
        hide_env_values = true,
        value_name = "COMMAND"
    )]
    kafka_oauth_command: Option<String>,
    /// Properties of Kafka's clients, as its own tools take them: Java's spelling of encryption and login is understood
    #[arg(long, global = true, env = "KAFKA_CONFIG_FILE", value_name = "FILE")]
    kafka_config_file: Option<PathBuf>,
    /// A property of Kafka's client (librdkafka's, or Java's for encryption and login), such as message.max.bytes=10485760 for large
    /// rows (repeatable). For what is no secret
    #[arg(long, global = true, value_name = "PROPERTY=VALUE", value_parser = key_value)]
    kafka_config: Vec<(String, String)>,
}

impl KafkaArgs {
    /// The settings; what is set on the command line or in a variable takes precedence over the file.
    ///
    /// # Errors
    /// When they do not go together, one lacks, or a file is not there.
    pub(super) fn resolve(self, prompt: Prompt) -> Result<KafkaClientSettings, Failure> {
        let mut settings = KafkaSettings::default();
        let refused =
            |error: ClientPropertiesError| Failure::usage(anyhow::anyhow!("Kafka: {error}"));
        if let Some(path) = &self.kafka_config_file {
            settings.read_file(path).map_err(refused)?;
        }
        let file = |path: Option<PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
        let hidden = |name: &str| {
            let found = secret(name)?;
            Ok::<_, Failure>(found.map(|value| value.expose_secret().to_owned()))
        };
        let is_elsewhere = self.kafka_config_file.is_some() || !self.kafka_config.is_empty();
        let password = match &self.kafka_sasl_username {
            Some(user) if !user.is_empty() && !is_elsewhere => {
                let whose = format!("password of \"{user}\" for Kafka");
                let password = prompt.secret("KAFKA_SASL_PASSWORD", &whose)?;
                Some(password.expose_secret().to_owned())
            }
            _ => hidden("KAFKA_SASL_PASSWORD")?,
        };
        let given = [
            ("bootstrap.servers", self.kafka_bootstrap_servers),
            ("security.protocol", self.kafka_security_protocol),
            ("sasl.mechanism", self.kafka_sasl_mechanism),
            ("sasl.username", self.kafka_sasl_username),
            ("sasl.password", password),
            ("ssl.ca.location", file(self.kafka_ssl_ca)),
            ("ssl.certificate.location", file(self.kafka_ssl_certificate)),
            ("ssl.key.location", file(self.kafka_ssl_key)),
            ("ssl.key.password", hidden("KAFKA_SSL_KEY_PASSWORD")?),
            (
                "sasl.oauthbearer.token.endpoint.url",
                self.kafka_oauth_token_url,
            ),
            ("sasl.oauthbearer.client.id", self.kafka_oauth_client_id),
            (
                "sasl.oauthbearer.client.secret",
                hidden("KAFKA_OAUTH_CLIENT_SECRET")?,
            ),
            ("sasl.oauthbearer.scope", self.kafka_oauth_scope),
        ];
        for (name, value) in given {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                settings.set(name, value).map_err(refused)?;
            }
        }
        if let Some(text) = self
            .kafka_oauth_command
            .filter(|text| !text.trim().is_empty())
        {
            let words = shlex::split(&text).ok_or_else(|| {
                Failure::usage(anyhow::anyhow!(
                    "KAFKA_OAUTH_COMMAND has a quotation mark that is not closed"
                ))
            })?;
            settings.set_token_command(words);
        }
        for (name, value) in self.kafka_config {
            let set = settings.set(&name, value);
            set.map_err(|error| Failure::usage(anyhow::anyhow!("--kafka-config: {error}")))?;
        }
        settings.resolve().map_err(refused)
    }
}
