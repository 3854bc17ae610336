//! The capture paths: how an event gets from PostgreSQL to the consumer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Hop, InKafka};

/// A capture path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapturePath {
    /// Kafka Connect with Debezium, Kafka, the consumer; our reader is beside it as an observer.
    Debezium,
    /// Our reader, our producer, Kafka, the consumer.
    Wal,
    /// Our reader and the consumer in one process, no Kafka.
    Embedded,
}

impl CapturePath {
    /// Every path.
    pub const ALL: [Self; 3] = [Self::Debezium, Self::Wal, Self::Embedded];

    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debezium => "debezium",
            Self::Wal => "wal",
            Self::Embedded => "embedded",
        }
    }

    /// Where T2 comes from on this path, given whether the topic's timestamps are the broker's.
    #[must_use]
    pub fn in_kafka(self, log_append_time: bool) -> InKafka {
        match self {
            Self::Debezium if log_append_time => InKafka::ByBroker,
            Self::Debezium => InKafka::ByConnect,
            Self::Wal => InKafka::ByProducer,
            Self::Embedded => InKafka::Never,
        }
    }

    /// Hops whose two ends are independent observations, not cause and effect: either may come first.
    ///
    /// The row may reach our reader before its INSERT is acknowledged. On Debezium's path our reader causes nothing of
    /// what follows; on the `wal` path the consumer may have a record before the delivery report is back at our
    /// producer.
    #[must_use]
    pub fn races(self) -> &'static [Hop] {
        match self {
            Self::Debezium => &[Hop::WalDelivery, Hop::KafkaDelivery, Hop::Debezium],
            Self::Wal => &[Hop::WalDelivery, Hop::ConsumerLag],
            Self::Embedded => &[Hop::WalDelivery],
        }
    }
}

impl fmt::Display for CapturePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is not a capture path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no capture path: there are debezium, wal and embedded")]
pub struct UnknownPath(pub String);

impl FromStr for CapturePath {
    type Err = UnknownPath;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|path| path.as_str() == name)
            .ok_or_else(|| UnknownPath(name.to_owned()))
    }
}
