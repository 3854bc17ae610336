//! Kafka: topics and groups, records as they arrive and as they are sent, and how far the broker's clock is from ours.
//!
//! Every function takes a [`rdkafka::ClientConfig`] with the addresses and credentials in it, and adds what it needs.

mod admin;
mod backlog;
mod clock;
mod membership;
mod messages;
mod publisher;
mod records;

pub use admin::{Admin, TopicState};
pub use backlog::Backlog;
pub use clock::BrokerClock;
pub use membership::{Rebalance, Rebalances};
pub use publisher::{Delivered, Publisher};
pub use records::{Records, RecordsConfig, fetch_settings};

/// What Kafka refused or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Nobody answers.
    #[error(
        "cannot reach Kafka at {bootstrap}: {reason}; is the broker running, and is the address its advertised listener?"
    )]
    Unreachable {
        /// Bootstrap servers.
        bootstrap: String,
        /// librdkafka's words.
        reason: String,
    },
    /// A topic could not be made.
    #[error(
        "cannot create topic \"{topic}\" on {bootstrap}: {reason}; create it yourself (message.timestamp.type=LogAppendTime) or allow CREATE on it"
    )]
    CreateTopic {
        /// Its name.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
        /// The broker's words.
        reason: String,
    },
    /// A topic is not there.
    #[error("topic \"{topic}\" does not exist on {bootstrap}")]
    NoTopic {
        /// Its name.
        topic: String,
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
        /// librdkafka's words.
        reason: String,
    },
}

fn bootstrap_of(config: &rdkafka::ClientConfig) -> String {
    config
        .get("bootstrap.servers")
        .unwrap_or("(no bootstrap servers)")
        .to_owned()
}
