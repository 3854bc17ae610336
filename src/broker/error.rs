//! The errors of Kafka.

/// A request to Kafka failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No broker answers.
    #[error(
        "cannot reach Kafka at {bootstrap}: {reason}; is the broker running, and is the address its advertised listener?"
    )]
    Unreachable {
        /// Bootstrap servers.
        bootstrap: String,
        /// librdkafka's message.
        reason: String,
    },
    /// The broker, or the connection to it, refuses: encryption or authentication.
    #[error("Kafka at {bootstrap} refuses: {reason}; {advice}")]
    Refused {
        /// Bootstrap servers.
        bootstrap: String,
        /// What is refused.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// A topic could not be created.
    #[error(
        "cannot create topic \"{topic}\" on {bootstrap}: {reason}; create it yourself (message.timestamp.type=LogAppendTime) or allow CREATE on it"
    )]
    CreateTopic {
        /// Its name.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
        /// The broker's message.
        reason: String,
    },
    /// A topic does not exist.
    #[error("topic \"{topic}\" does not exist on {bootstrap}")]
    NoTopic {
        /// Its name.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
    },
    /// A consumer group may not be described.
    #[error(
        "consumer group \"{group}\" may not be looked at on {bootstrap}, so that whether somebody uses it is not known; kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:NAME --operation Read --operation Describe --group {group}"
    )]
    GroupRights {
        /// Its name.
        group: String,
        /// Bootstrap servers.
        bootstrap: String,
    },
    /// Anything else.
    #[error("Kafka at {bootstrap}: {action} failed: {reason}")]
    Failed {
        /// What was tried.
        action: String,
        /// Bootstrap servers.
        bootstrap: String,
        /// librdkafka's message.
        reason: String,
    },
}

/// The brokers' addresses of a configuration, for messages.
pub(super) fn bootstrap_of(config: &rdkafka::ClientConfig) -> String {
    config
        .get("bootstrap.servers")
        .unwrap_or("(no bootstrap servers)")
        .to_owned()
}
