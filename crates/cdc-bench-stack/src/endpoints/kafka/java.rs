//! The same settings for a client in Java, such as the producer of a connector.

use secrecy::ExposeSecret;

use super::pem::Pem;
use super::security::{KafkaSecurity, PasswordMechanism, Sasl, SecurityProtocol, TokenSource};

/// Why a client in Java cannot have our settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JavaClientError {
    /// Java reads keys in PKCS#8 alone.
    #[error(
        "a connector's producer takes a key in PKCS#8 (-----BEGIN PRIVATE KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----), and this one has another form: \"openssl pkcs8 -topk8 -in KEY -out KEY8\" converts it"
    )]
    KeyFormat,
    /// A program that prints tokens runs here, and not where Connect is.
    #[error(
        "a connector's producer cannot run KAFKA_OAUTH_COMMAND: say how it logs in, by --connector-config producer.override.security.protocol=... and producer.override.sasl.*"
    )]
    TokenCommand,
}

impl KafkaSecurity {
    /// The properties of a client in Java. They hold secrets.
    ///
    /// # Errors
    /// When Java has no such setting.
    pub fn java_properties(&self) -> Result<Vec<(&'static str, String)>, JavaClientError> {
        let protocol = self.protocol();
        if protocol == SecurityProtocol::Plaintext {
            return Ok(Vec::new());
        }
        let mut properties = vec![("security.protocol", protocol.as_str().to_owned())];
        if protocol.is_tls() {
            properties.extend(self.java_tls()?);
        }
        if let Some(sasl) = &self.sasl {
            properties.push(("sasl.mechanism", sasl.mechanism().to_owned()));
            properties.extend(java_login(sasl)?);
        }
        Ok(properties)
    }

    fn java_tls(&self) -> Result<Vec<(&'static str, String)>, JavaClientError> {
        let tls = &self.tls;
        let mut properties = Vec::new();
        let certificates = |pem: &Pem| pem.parts(|label| label.ends_with("CERTIFICATE"));
        if let Some(ca) = &tls.ca {
            properties.push(("ssl.truststore.type", "PEM".to_owned()));
            properties.push(("ssl.truststore.certificates", certificates(ca)));
        }
        if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
            let key = key.parts(|label| matches!(label, "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"));
            if key.is_empty() {
                return Err(JavaClientError::KeyFormat);
            }
            properties.push(("ssl.keystore.type", "PEM".to_owned()));
            properties.push(("ssl.keystore.certificate.chain", certificates(certificate)));
            properties.push(("ssl.keystore.key", key));
            if let Some(password) = &tls.key_password {
                properties.push(("ssl.key.password", password.expose_secret().to_owned()));
            }
        }
        if tls.any_hostname {
            properties.push(("ssl.endpoint.identification.algorithm", String::new()));
        }
        Ok(properties)
    }
}

fn java_login(sasl: &Sasl) -> Result<Vec<(&'static str, String)>, JavaClientError> {
    let package = "org.apache.kafka.common.security";
    Ok(match sasl {
        Sasl::Password {
            mechanism,
            username,
            password,
        } => {
            let module = match mechanism {
                PasswordMechanism::Plain => "plain.PlainLoginModule",
                _ => "scram.ScramLoginModule",
            };
            let login = format!(
                "{package}.{module} required username={} password={};",
                quoted(username),
                quoted(password.expose_secret())
            );
            vec![("sasl.jaas.config", login)]
        }
        Sasl::OauthBearer(TokenSource::ClientCredentials {
            url,
            client_id,
            client_secret,
            scope,
        }) => {
            let scope = scope
                .as_deref()
                .map(|scope| format!(" scope={}", quoted(scope)));
            let login = format!(
                "{package}.oauthbearer.OAuthBearerLoginModule required clientId={} clientSecret={}{};",
                quoted(client_id),
                quoted(client_secret),
                scope.unwrap_or_default()
            );
            let handler = format!("{package}.oauthbearer.OAuthBearerLoginCallbackHandler");
            vec![
                ("sasl.jaas.config", login),
                ("sasl.login.callback.handler.class", handler),
                ("sasl.oauthbearer.token.endpoint.url", url.clone()),
            ]
        }
        Sasl::OauthBearer(TokenSource::Command(_)) => return Err(JavaClientError::TokenCommand),
    })
}

/// A value of a login in quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::jaas;
    use super::*;

    fn of(security: &KafkaSecurity, name: &str) -> Option<String> {
        let properties = security.java_properties().unwrap();
        let found = properties.into_iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    }

    #[test]
    fn a_login_is_written_so_that_java_reads_it_back() {
        let password = r#"p@ss:w/rd#1 %41"'\"#;
        let security = KafkaSecurity {
            sasl: Some(Sasl::Password {
                mechanism: PasswordMechanism::ScramSha256,
                username: "me".to_owned(),
                password: password.to_owned().into(),
            }),
            ..KafkaSecurity::default()
        };
        assert_eq!(of(&security, "security.protocol").unwrap(), "SASL_SSL");
        let login = of(&security, "sasl.jaas.config").unwrap();
        assert!(login.contains("scram.ScramLoginModule required"));
        assert_eq!(jaas::options(&login).unwrap()["password"], password);
    }

    #[test]
    fn stores_are_pem_and_a_key_that_java_cannot_read_is_refused() {
        let mut security = KafkaSecurity::default();
        let pem = |label: &str| {
            let text = format!("-----BEGIN {label}-----\nYQ==\n-----END {label}-----\n");
            Pem::text(&text, "test").unwrap()
        };
        security.tls.ca = Some(pem("CERTIFICATE"));
        security.tls.certificate = Some(pem("CERTIFICATE"));
        security.tls.key = Some(pem("PRIVATE KEY"));
        assert_eq!(of(&security, "ssl.truststore.type").unwrap(), "PEM");
        assert!(of(&security, "ssl.keystore.key").unwrap().contains("YQ=="));
        security.tls.key = Some(pem("RSA PRIVATE KEY"));
        assert_eq!(security.java_properties(), Err(JavaClientError::KeyFormat));
        assert_eq!(
            KafkaSecurity::default().java_properties(),
            Ok(Vec::new()),
            "nothing where nothing is secured"
        );
    }
}
