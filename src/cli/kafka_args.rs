//! Arguments for Kafka: its addresses, who we are there, and how connections are encrypted.

use std::path::PathBuf;

use cdc_bench_stack::{ClientPropertiesError, KafkaClientSettings, KafkaSettings};
use secrecy::ExposeSecret;

use super::connector_args::key_value;
use super::secrets::{Prompt, refuse_secret, secret};
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

/// What was given for Kafka's clients; a password is looked for later.
pub(super) struct GivenKafka {
    args: KafkaArgs,
    /// Of the file.
    file: KafkaSettings,
}

fn refused(error: ClientPropertiesError) -> Failure {
    Failure::usage(anyhow::anyhow!("Kafka: {error}"))
}

impl KafkaArgs {
    /// Reads the file of properties.
    ///
    /// # Errors
    /// When it cannot be read, or an argument holds a secret.
    pub(super) fn with_file(self) -> Result<GivenKafka, Failure> {
        for (name, value) in &self.kafka_config {
            let way_out = "set KAFKA_SASL_PASSWORD and its like (also as ..._FILE), or write it into a file for --kafka-config-file";
            refuse_secret("--kafka-config", name, value, way_out)?;
        }
        let mut file = KafkaSettings::default();
        if let Some(path) = &self.kafka_config_file {
            file.read_file(path).map_err(refused)?;
        }
        Ok(GivenKafka { args: self, file })
    }
}

impl GivenKafka {
    /// Whether brokers are named.
    pub(super) fn names_brokers(&self) -> bool {
        let by_argument = self.args.kafka_bootstrap_servers.as_deref();
        let mut properties = self.args.kafka_config.iter();
        by_argument.is_some_and(|servers| !servers.is_empty())
            || self.file.names_brokers()
            || properties.any(|(name, _)| name == "bootstrap.servers")
    }

    /// The settings of the user's brokers. A password is looked for. What is set on the command line or in a variable takes
    /// precedence over the file.
    ///
    /// # Errors
    /// When they do not go together, one lacks, or a file is not there.
    pub(super) fn resolve(mut self, prompt: Prompt) -> Result<KafkaClientSettings, Failure> {
        let properties = std::mem::take(&mut self.args.kafka_config);
        let is_elsewhere = self.args.kafka_config_file.is_some() || !properties.is_empty();
        let mut settings = self.file;
        self.args.set(&mut settings, is_elsewhere, prompt)?;
        put(properties, &mut settings)?;
        settings.resolve().map_err(refused)
    }

    /// The settings of brokers that are not the user's: encryption and login are left out.
    ///
    /// # Errors
    /// When a property is unknown, or its value is not accepted.
    pub(super) fn without_security(self) -> Result<KafkaClientSettings, Failure> {
        let mut settings = self.file;
        put(self.args.kafka_config, &mut settings)?;
        settings.without_security().map_err(refused)
    }
}

/// Sets the properties that arguments name.
fn put(properties: Vec<(String, String)>, settings: &mut KafkaSettings) -> Result<(), Failure> {
    for (name, value) in properties {
        let set = settings.set(&name, value);
        set.map_err(|error| Failure::usage(anyhow::anyhow!("--kafka-config: {error}")))?;
    }
    Ok(())
}

impl KafkaArgs {
    /// Sets what arguments and variables say.
    fn set(
        self,
        settings: &mut KafkaSettings,
        is_elsewhere: bool,
        prompt: Prompt,
    ) -> Result<(), Failure> {
        let file = |path: Option<PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
        let hidden = |name: &str| {
            let found = secret(name)?;
            Ok::<_, Failure>(found.map(|value| value.expose_secret().to_owned()))
        };
        let password = hidden("KAFKA_SASL_PASSWORD")?;
        let password = match &self.kafka_sasl_username {
            Some(user) if !user.is_empty() && !is_elsewhere && password.is_none() => {
                let whose = format!("password of \"{user}\" for Kafka");
                let password = prompt.ask("KAFKA_SASL_PASSWORD", &whose)?;
                Some(password.expose_secret().to_owned())
            }
            _ => password,
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        kafka: KafkaArgs,
    }

    fn resolved(args: &[&str]) -> Result<KafkaClientSettings, String> {
        let args = [&["test"], args].concat();
        let given = Command::try_parse_from(args).unwrap().kafka.with_file();
        let resolved = given.and_then(|given| match given.names_brokers() {
            true => given.resolve(Prompt::never()),
            false => given.without_security(),
        });
        resolved.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_login_is_looked_for_where_brokers_are_named() {
        let user = ["--kafka-sasl-username", "me"];
        let alone = [&user[..], &["--kafka-config", "message.max.bytes=2000000"]].concat();
        let alone = resolved(&alone).unwrap();
        assert_eq!(alone.bootstrap, None);
        assert_eq!(alone.properties[0].0, "message.max.bytes");
        let brokers = [&user[..], &["--kafka-bootstrap-servers", "k:9092"]].concat();
        assert!(
            resolved(&brokers)
                .unwrap_err()
                .contains("KAFKA_SASL_PASSWORD")
        );
        let protocol = ["--kafka-config", "security.protocol=SASL_SSL"];
        assert!(resolved(&protocol).unwrap().properties.is_empty());
        assert!(resolved(&["--kafka-config", "mesage.max.bytes=1"]).is_err());
    }

    #[test]
    fn an_argument_holds_no_secret() {
        for setting in [
            "sasl.password=tiger",
            "ssl.key.pem=tiger",
            "sasl.jaas.config=x required password=\"tiger\";",
        ] {
            let error = resolved(&["--kafka-config", setting]).unwrap_err();
            assert!(error.contains("--kafka-config-file"), "{error}");
            assert!(!error.contains("tiger"), "{error}");
        }
        let url = "sasl.oauthbearer.token.endpoint.url=https://issuer/token";
        assert!(resolved(&["--kafka-config", url]).is_ok());
    }
}
