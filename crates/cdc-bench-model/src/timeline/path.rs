//! The ways an event can take from PostgreSQL to the consumer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{HALF_MILLISECOND, Hop, Nanos};

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

    /// Hops whose ends are two witnesses and not cause and effect: either may be first.
    ///
    /// The row may reach our reader before its INSERT is acknowledged. On Debezium's path our reader causes nothing of what
    /// follows; on ours the consumer may have a record before its acknowledgement is back at the producer.
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

/// A word that names no capture path.
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

/// Who says when a record was in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InKafka {
    /// The record's timestamp, on the broker's clock (LogAppendTime).
    ByBroker,
    /// The record's timestamp, on the clock of Connect, whose producer set it (CreateTime).
    ByConnect,
    /// The delivery report of our own producer, on our clock. It comes a little after the fact.
    ByProducer,
    /// There is no Kafka: T2 is T1.
    Never,
}

/// How far the clocks of others may be off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockBounds {
    /// The broker's, beside the millisecond that its stamps are.
    pub broker: Nanos,
    /// Connect's; `None` where nothing is known of it.
    pub connect: Option<Nanos>,
}

impl InKafka {
    /// How far the span of a hop may be off; zero where both ends are on our clock, `None` where a clock is unknown.
    #[must_use]
    pub fn error_bound(self, hop: Hop, clocks: ClockBounds) -> Option<Nanos> {
        let broker = clocks.broker + HALF_MILLISECOND;
        match (hop, self) {
            // No foreign clock is asked.
            (_, Self::ByProducer | Self::Never) => Some(Nanos(0)),
            (Hop::KafkaDelivery | Hop::ConsumerLag, Self::ByBroker) => Some(broker),
            (Hop::KafkaDelivery | Hop::ConsumerLag, Self::ByConnect) => {
                Some(clocks.connect? + HALF_MILLISECOND)
            }
            (Hop::Debezium, _) => clocks.connect,
            (Hop::Produce, _) => Some(clocks.connect? + broker),
            (
                Hop::Capture
                | Hop::Processing
                | Hop::Total
                | Hop::Commit
                | Hop::WalDelivery
                | Hop::Transform
                | Hop::Write
                | Hop::ScheduleLag,
                _,
            ) => Some(Nanos(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_as_uncertain_as_the_clocks_at_its_ends() {
        let us = Nanos::from_micros;
        let clocks = ClockBounds {
            broker: us(100),
            connect: Some(us(30)),
        };
        let unknown = ClockBounds {
            connect: None,
            ..clocks
        };
        let of = |path: CapturePath, log_append_time, hop, clocks| {
            path.in_kafka(log_append_time).error_bound(hop, clocks)
        };
        use CapturePath::{Debezium, Wal};
        assert_eq!(of(Debezium, true, Hop::ConsumerLag, unknown), Some(us(600)));
        assert_eq!(of(Debezium, false, Hop::ConsumerLag, clocks), Some(us(530)));
        assert_eq!(of(Debezium, false, Hop::ConsumerLag, unknown), None);
        assert_eq!(of(Debezium, true, Hop::Produce, clocks), Some(us(630)));
        assert_eq!(of(Debezium, true, Hop::Debezium, unknown), None);
        assert_eq!(of(Debezium, true, Hop::Total, unknown), Some(us(0)));
        assert_eq!(of(Wal, true, Hop::KafkaDelivery, clocks), Some(us(0)));
    }
}
