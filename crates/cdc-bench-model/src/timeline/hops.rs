//! The stamps of one event, and the hops between them.

use serde::{Deserialize, Serialize};

use super::{Nanos, Stamp};

/// A span between two stamps of an event. The first four are the pipeline; they add up to [`Hop::Total`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// T1 - T0: from the INSERT to the row decoded from the WAL by our reader.
    Capture,
    /// T2 - T1: from there to the record in Kafka.
    KafkaDelivery,
    /// T3 - T2: from there to the consumer.
    ConsumerLag,
    /// T5 - T3: decode, transform, write, acknowledgement.
    Processing,
    /// T5 - T0.
    Total,
    /// Part of capture: Ta - T0, the INSERT acknowledged.
    Commit,
    /// Part of capture: T1 - Ta.
    WalDelivery,
    /// Part of Kafka delivery: Td - T1, until Debezium emitted the event.
    Debezium,
    /// Part of Kafka delivery: T2 - Td, Connect's producer and the broker.
    Produce,
    /// Part of processing: T4 - T3.
    Transform,
    /// Part of processing: T5 - T4.
    Write,
    /// Beside the total, never in it: T0 - Ts, how late the load generator was.
    ScheduleLag,
}

impl Hop {
    /// Every hop, in the order reports list them.
    pub const ALL: [Self; 12] = [
        Self::Capture,
        Self::KafkaDelivery,
        Self::ConsumerLag,
        Self::Processing,
        Self::Total,
        Self::Commit,
        Self::WalDelivery,
        Self::Debezium,
        Self::Produce,
        Self::Transform,
        Self::Write,
        Self::ScheduleLag,
    ];

    /// The four that add up to the total.
    pub const PIPELINE: [Self; 4] = [
        Self::Capture,
        Self::KafkaDelivery,
        Self::ConsumerLag,
        Self::Processing,
    ];

    /// The hop's one name, in reports, flags and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::KafkaDelivery => "kafka_delivery",
            Self::ConsumerLag => "consumer_lag",
            Self::Processing => "processing",
            Self::Total => "total",
            Self::Commit => "commit",
            Self::WalDelivery => "wal_delivery",
            Self::Debezium => "debezium",
            Self::Produce => "produce",
            Self::Transform => "transform",
            Self::Write => "write",
            Self::ScheduleLag => "schedule_lag",
        }
    }

    /// Position in [`Hop::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its bit, by position.
    fn bit(self) -> u16 {
        1 << self.index()
    }

    /// The hop's sub-hops, in order.
    #[must_use]
    pub fn parts(self) -> &'static [Self] {
        match self {
            Self::Capture => &[Self::Commit, Self::WalDelivery],
            Self::KafkaDelivery => &[Self::Debezium, Self::Produce],
            Self::Processing => &[Self::Transform, Self::Write],
            _ => &[],
        }
    }
}

/// The stamps of one event. Each stamp is on our clock, foreign ones after correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// When the schedule wanted the INSERT sent.
    pub ts: Stamp,
    /// Just before the INSERT was sent.
    pub t0: Stamp,
    /// The INSERT's commit acknowledged.
    pub ta: Stamp,
    /// Commit timestamp in the WAL (PostgreSQL's clock, corrected).
    pub tc: Stamp,
    /// Our reader had the decoded row.
    pub t1: Stamp,
    /// Debezium emitted the event (`ts_ns` of its envelope, on Connect's clock).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub td: Option<Stamp>,
    /// The record was in Kafka: the middle of the broker's millisecond, corrected.
    pub t2: Stamp,
    /// The consumer had the record.
    pub t3: Stamp,
    /// Decoded, transformed, encoded; write issued.
    pub t4: Stamp,
    /// The store acknowledged.
    pub t5: Stamp,
}

/// The spans of one event, by [`Hop::index`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hops {
    spans: [Nanos; Hop::ALL.len()],
    /// One bit per hop: whether its span is known. Unknown spans are stored as zero.
    known: u16,
}

impl Hops {
    /// The span of one hop; `None` where a stamp is missing.
    #[must_use]
    pub fn get(&self, hop: Hop) -> Option<Nanos> {
        (self.known & hop.bit() != 0).then(|| self.spans[hop.index()])
    }

    /// Every hop that has a span, in the order of [`Hop::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Hop, Nanos)> + '_ {
        Hop::ALL
            .into_iter()
            .filter_map(|hop| Some((hop, self.get(hop)?)))
    }

    fn set(&mut self, hop: Hop, span: Nanos) {
        self.spans[hop.index()] = span;
        self.known |= hop.bit();
    }
}

impl Stamps {
    /// The hops between these stamps. The four of [`Hop::PIPELINE`] add up to the total exactly.
    #[must_use]
    pub fn hops(&self) -> Hops {
        let mut hops = Hops::default();
        hops.set(Hop::Capture, self.t1 - self.t0);
        hops.set(Hop::KafkaDelivery, self.t2 - self.t1);
        hops.set(Hop::ConsumerLag, self.t3 - self.t2);
        hops.set(Hop::Processing, self.t5 - self.t3);
        hops.set(Hop::Total, self.t5 - self.t0);
        hops.set(Hop::Commit, self.ta - self.t0);
        hops.set(Hop::WalDelivery, self.t1 - self.ta);
        if let Some(td) = self.td {
            hops.set(Hop::Debezium, td - self.t1);
            hops.set(Hop::Produce, self.t2 - td);
        }
        hops.set(Hop::Transform, self.t4 - self.t3);
        hops.set(Hop::Write, self.t5 - self.t4);
        hops.set(Hop::ScheduleLag, self.t0 - self.ts);
        hops
    }
}

impl Serialize for Hops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(hop, span)| (hop.as_str(), span)))
    }
}

/// Hops this version does not know are left out: a newer one may measure more.
impl<'de> Deserialize<'de> for Hops {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HopsVisitor;
        impl<'de> serde::de::Visitor<'de> for HopsVisitor {
            type Value = Hops;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("spans in nanoseconds by hop name")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Hops, A::Error> {
                let mut hops = Hops::default();
                while let Some((name, span)) =
                    map.next_entry::<std::borrow::Cow<'de, str>, Nanos>()?
                {
                    if let Some(hop) = Hop::ALL.into_iter().find(|hop| hop.as_str() == name) {
                        hops.set(hop, span);
                    }
                }
                Ok(hops)
            }
        }
        deserializer.deserialize_map(HopsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_four_hops_add_up_to_the_total(t in proptest::array::uniform10(-1_000_000_000_000i64..1_000_000_000_000)) {
            let s = |n: usize| Stamp(t[n]);
            let stamps = Stamps { ts: s(0), t0: s(1), ta: s(2), tc: s(3), t1: s(4), td: Some(s(5)), t2: s(6), t3: s(7), t4: s(8), t5: s(9) };
            let hops = stamps.hops();
            let sum: i64 = Hop::PIPELINE.iter().map(|&hop| hops.get(hop).unwrap().0).sum();
            prop_assert_eq!(sum, hops.get(Hop::Total).unwrap().0);
            for hop in Hop::PIPELINE {
                let parts = hop.parts();
                if !parts.is_empty() {
                    let sum: i64 = parts.iter().map(|&part| hops.get(part).unwrap().0).sum();
                    prop_assert_eq!(sum, hops.get(hop).unwrap().0);
                }
            }
        }
    }

    #[test]
    fn hops_come_back_from_what_was_written_and_unknown_ones_do_not_matter() {
        let at = |n: i64| Stamp(n * n);
        let stamps = Stamps {
            ts: at(0),
            t0: at(1),
            ta: at(2),
            tc: at(3),
            t1: at(4),
            td: None,
            t2: at(9),
            t3: at(5),
            t4: at(7),
            t5: at(8),
        };
        let mut written = serde_json::to_value(stamps.hops()).unwrap();
        written["sharding"] = 7.into();
        let read: Hops = serde_json::from_value(written).unwrap();
        assert_eq!(read, stamps.hops());
        // Without Td its two hops are unknown, not zero.
        let without: Vec<_> = Hop::ALL
            .into_iter()
            .filter(|&hop| read.get(hop).is_none())
            .collect();
        assert_eq!(without, [Hop::Debezium, Hop::Produce]);
        assert_eq!(read.iter().count(), Hop::ALL.len() - 2);
    }

    #[test]
    fn every_hop_has_its_place() {
        for (place, hop) in Hop::ALL.into_iter().enumerate() {
            assert_eq!(hop.index(), place);
        }
    }
}
