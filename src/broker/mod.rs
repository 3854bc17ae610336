//! Kafka: topics and groups, receiving and sending records, and the offset of the broker's clock from ours.
//!
//! Every function takes a [`rdkafka::ClientConfig`] with the addresses and credentials in it, and adds what it needs.

mod admin;
mod backlog;
mod client_option;
mod clock;
mod error;
mod membership;
mod messages;
mod publisher;
mod source;

pub use admin::{Admin, TopicState};
pub use backlog::Backlog;
pub use client_option::ClientOption;
pub use clock::BrokerClock;
pub use error::BrokerError;
pub use membership::{Rebalance, Rebalances};
pub use publisher::{Delivered, Publisher, UndeliveredRecord};
pub use source::{KafkaSource, KafkaSourceConfig, fetch_settings};
