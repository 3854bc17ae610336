//! Properties of Kafka's client that the user sets.

use std::fmt;
use std::str::FromStr;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// Properties that are not the user's to set, each with the reason.
const RESERVED: [(&[&str], &str); 3] = [
    (
        &["bootstrap.servers", "metadata.broker.list"],
        "the brokers are given by KAFKA_BOOTSTRAP_SERVERS",
    ),
    (
        &["acks", "request.required.acks", "enable.idempotence"],
        "what is acknowledged to PostgreSQL must be on all replicas, once and in order",
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
];

/// A property of librdkafka and its value, which is never printed: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientOption {
    name: String,
    value: String,
}

impl ClientOption {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets it.
    pub fn set(&self, config: &mut ClientConfig) {
        config.set(&self.name, &self.value);
    }
}

impl fmt::Debug for ClientOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=...", self.name)
    }
}

impl FromStr for ClientOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("expected PROPERTY=VALUE, such as message.max.bytes=10485760")?;
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        let reserved = RESERVED.iter().find(|(names, _)| names.contains(&&*name));
        if let Some((_, reason)) = reserved {
            return Err(format!("{name} cannot be set: {reason}"));
        }
        match ClientConfig::new()
            .set(&name, &value)
            .create_native_config()
        {
            Ok(_) => Ok(Self { name, value }),
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                Err(format!(
                    "librdkafka has no property {name}; its producer's properties are in its CONFIGURATION.md"
                ))
            }
            // Its message repeats the value.
            Err(_) => Err(format!(
                "librdkafka does not accept this value of {name}: it is out of range, not one of those allowed, or needs a feature that is not built in"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_checked_before_it_is_used_and_no_value_is_printed() {
        let option: ClientOption = "message.max.bytes=10485760".parse().unwrap();
        assert_eq!(format!("{option:?}"), "message.max.bytes=...");
        let mut config = ClientConfig::new();
        option.set(&mut config);
        assert_eq!(config.get("message.max.bytes"), Some("10485760"));
        for (text, words) in [
            ("message.max.bytes", "PROPERTY=VALUE"),
            ("mesage.max.bytes=1", "no property mesage.max.bytes"),
            ("message.max.bytes=secret", "does not accept"),
            ("acks=0", "all replicas"),
            ("bootstrap.servers=x", "KAFKA_BOOTSTRAP_SERVERS"),
            ("transactional.id=x", "delivery report"),
        ] {
            let error = text.parse::<ClientOption>().unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
