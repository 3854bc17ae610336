//! The source of T2 (when a record was in Kafka), and the error bounds of the hops that follow from its clock.

use super::{Hop, Nanos};

/// Half of the millisecond that is the resolution of a record's timestamp.
pub const HALF_MILLISECOND: Nanos = Nanos(500_000);

/// The source of T2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InKafka {
    /// The record's timestamp, on the broker's clock (LogAppendTime).
    ByBroker,
    /// The record's timestamp, on the clock of Connect, whose producer set it (CreateTime).
    ByConnect,
    /// The delivery report of our own producer, on our clock. It arrives slightly after the append.
    ByProducer,
    /// The path has no Kafka: T2 is T1.
    Never,
}

/// Error bounds of foreign clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockBounds {
    /// The broker's, without the half millisecond of its stamps' resolution.
    pub broker: Nanos,
    /// Connect's; `None` if nothing is known of that clock.
    pub connect: Option<Nanos>,
    /// Where workers on several machines take the stamps: of a span from one worker's stamp to another's.
    pub workers: Nanos,
    /// The same of a span from an INSERT to its document: zero if the worker that inserts an event also writes it.
    pub ends: Nanos,
}

impl InKafka {
    /// Error bound of a hop's span: zero if both ends are on our clock, `None` if a clock is unknown.
    #[must_use]
    pub fn error_bound(self, hop: Hop, clocks: ClockBounds) -> Option<Nanos> {
        Some(self.foreign_bound(hop, clocks)? + self.bound_between_workers(hop, clocks))
    }

    /// T1, and T2 of our own producer, are of the worker that captures; the others are of the worker that consumes.
    fn bound_between_workers(self, hop: Hop, clocks: ClockBounds) -> Nanos {
        match (hop, self) {
            (Hop::Total, _) => clocks.ends,
            (Hop::Capture | Hop::WalDelivery | Hop::Debezium, _)
            | (Hop::ConsumerLag, Self::ByProducer)
            | (Hop::KafkaDelivery, Self::ByBroker | Self::ByConnect) => clocks.workers,
            _ => Nanos(0),
        }
    }

    fn foreign_bound(self, hop: Hop, clocks: ClockBounds) -> Option<Nanos> {
        let broker = clocks.broker + HALF_MILLISECOND;
        match (hop, self) {
            // No foreign clock is involved.
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
    use crate::timeline::CapturePath;

    #[test]
    fn a_hop_is_as_uncertain_as_the_clocks_at_its_ends() {
        let us = Nanos::from_micros;
        let clocks = ClockBounds {
            broker: us(100),
            connect: Some(us(30)),
            ..ClockBounds::default()
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
        let spread = ClockBounds {
            workers: us(7),
            ends: us(0),
            ..clocks
        };
        assert_eq!(of(Debezium, true, Hop::Total, spread), Some(us(0)));
        assert_eq!(of(Debezium, true, Hop::Capture, spread), Some(us(7)));
        assert_eq!(of(Debezium, true, Hop::ConsumerLag, spread), Some(us(600)));
        assert_eq!(of(Wal, true, Hop::ConsumerLag, spread), Some(us(7)));
        assert_eq!(of(Wal, true, Hop::KafkaDelivery, spread), Some(us(0)));
        assert_eq!(of(Wal, true, Hop::Processing, spread), Some(us(0)));
    }
}
