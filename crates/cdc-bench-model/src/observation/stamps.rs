//! The stamps of an observed change, and the hops between them.

use serde::{Deserialize, Serialize};

use crate::timeline::{Nanos, Stamp};

/// A span of an observed change's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObservedHop {
    /// Td - Tc: from the commit until Debezium handed the change on.
    Debezium,
    /// T2 - Td: Connect's producer and the broker. Without Td it begins at the commit.
    Produce,
    /// (T5, else Tg) - T2: from Kafka until the sink shows it, or until the group has committed it.
    Consume,
    /// From the commit to the last stamp: the sum of the hops above.
    Total,
    /// Beside the total: T1 - Tc, what a direct reader of the WAL takes.
    Capture,
    /// Beside the total: T3 - T2, what a plain consumer takes.
    Deliver,
    /// Beside the total: from the record in Kafka until the consumer says that it received it.
    Receive,
    /// Beside the total: from there until the consumer says that it wrote it, both on its own clock.
    Process,
    /// Beside the total: from the record in Kafka until the sink committed it, by the sink's own clock.
    Store,
    /// Before the total: Tc - T0, from when the statement was sent until its commit, where that is known.
    Insert,
    /// From when the statement was sent to the last stamp: `insert` and the total.
    FromInsert,
}

impl ObservedHop {
    /// Every hop, in the order reports list them.
    pub const ALL: [Self; 11] = [
        Self::Debezium,
        Self::Produce,
        Self::Consume,
        Self::Total,
        Self::Capture,
        Self::Deliver,
        Self::Receive,
        Self::Process,
        Self::Store,
        Self::Insert,
        Self::FromInsert,
    ];

    /// Those that add up to the total.
    pub const PIPELINE: [Self; 3] = [Self::Debezium, Self::Produce, Self::Consume];

    /// The hop's one name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debezium => "debezium",
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Total => "total",
            Self::Capture => "capture",
            Self::Deliver => "deliver",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Store => "store",
            Self::Insert => "insert",
            Self::FromInsert => "total_from_insert",
        }
    }

    /// What it spans, in words.
    #[must_use]
    pub fn span(self) -> &'static str {
        match self {
            Self::Debezium => "commit - Debezium's timestamp",
            Self::Produce => "Debezium's timestamp - record in Kafka",
            Self::Consume => "record in Kafka - shown by the sink, or committed by the group",
            Self::Total => "the three above",
            Self::Capture => "beside it: commit - a direct reader of the WAL",
            Self::Deliver => "beside it: record in Kafka - a plain consumer",
            Self::Receive => "beside it: record in Kafka - received, as your consumer says",
            Self::Process => "beside it: received - written, by your consumer's own clock",
            Self::Store => "beside it: record in Kafka - committed, by the sink's own clock",
            Self::Insert => "before it: statement sent - commit",
            Self::FromInsert => "statement sent - end of the total",
        }
    }

    /// Position in [`ObservedHop::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The stamps of one change, on our clock, foreign ones after correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedStamps {
    /// Before its statement was sent, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub t0: Option<Stamp>,
    /// Committed, on PostgreSQL's clock.
    pub tc: Stamp,
    /// Our reader of the WAL had it.
    pub t1: Stamp,
    /// Debezium handed it on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub td: Option<Stamp>,
    /// Its record was in Kafka: the middle of the timestamp's millisecond.
    pub t2: Stamp,
    /// Our reader of the topics had it.
    pub t3: Stamp,
    /// The group's committed offset has passed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tg: Option<Stamp>,
    /// The consumer says that it received it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tr: Option<Stamp>,
    /// The sink committed it, by the sink's own clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ts: Option<Stamp>,
    /// The sink shows it, or the consumer says that it is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub t5: Option<Stamp>,
}

/// The spans of one change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObservedHops {
    /// `None` where the record does not say when it was handed on.
    pub debezium: Option<Nanos>,
    /// [`ObservedHop::Produce`].
    pub produce: Nanos,
    /// `None` where neither a group nor a sink is tapped.
    pub consume: Option<Nanos>,
    /// [`ObservedHop::Total`].
    pub total: Nanos,
    /// [`ObservedHop::Capture`].
    pub capture: Nanos,
    /// [`ObservedHop::Deliver`].
    pub deliver: Nanos,
    /// `None` where the consumer does not say when it received it.
    pub receive: Option<Nanos>,
    /// `None` where the consumer does not say when it received it.
    pub process: Option<Nanos>,
    /// `None` where the sink does not say when it committed it.
    pub store: Option<Nanos>,
    /// `None` where it is not known when the statement was sent.
    pub insert: Option<Nanos>,
    /// The same.
    pub from_insert: Option<Nanos>,
}

impl ObservedStamps {
    /// The hops between these stamps: `debezium`, `produce` and `consume` add up to `total`, exactly.
    #[must_use]
    pub fn hops(&self) -> ObservedHops {
        let shown = self.t5.or(self.tg);
        let end = shown.unwrap_or(self.t2);
        ObservedHops {
            debezium: self.td.map(|td| td - self.tc),
            produce: self.t2 - self.td.unwrap_or(self.tc),
            consume: shown.map(|at| at - self.t2),
            total: end - self.tc,
            capture: self.t1 - self.tc,
            deliver: self.t3 - self.t2,
            receive: self.tr.map(|at| at - self.t2),
            process: self.tr.and_then(|at| Some(self.t5? - at)),
            store: self.ts.map(|at| at - self.t2),
            insert: self.t0.map(|t0| self.tc - t0),
            from_insert: self.t0.map(|t0| end - t0),
        }
    }
}

impl ObservedHops {
    /// The span of a hop.
    #[must_use]
    pub fn get(&self, hop: ObservedHop) -> Option<Nanos> {
        match hop {
            ObservedHop::Debezium => self.debezium,
            ObservedHop::Produce => Some(self.produce),
            ObservedHop::Consume => self.consume,
            ObservedHop::Total => Some(self.total),
            ObservedHop::Capture => Some(self.capture),
            ObservedHop::Deliver => Some(self.deliver),
            ObservedHop::Receive => self.receive,
            ObservedHop::Process => self.process,
            ObservedHop::Store => self.store,
            ObservedHop::Insert => self.insert,
            ObservedHop::FromInsert => self.from_insert,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_hops_add_up_to_the_total(
            t in proptest::array::uniform8(-1_000_000_000_000_i64..1_000_000_000_000),
            has in proptest::array::uniform4(any::<bool>()),
        ) {
            let optional = |n: usize, at: usize| has[n].then_some(Stamp(t[at]));
            let stamps = ObservedStamps {
                t0: optional(3, 7),
                tc: Stamp(t[0]),
                t1: Stamp(t[1]),
                td: optional(0, 2),
                t2: Stamp(t[3]),
                t3: Stamp(t[4]),
                tg: optional(1, 5),
                tr: None,
                ts: None,
                t5: optional(2, 6),
            };
            let hops = stamps.hops();
            let parts = ObservedHop::PIPELINE.into_iter().filter_map(|hop| hops.get(hop));
            prop_assert_eq!(parts.map(|span| span.0).sum::<i64>(), hops.total.0);
            let from_insert = hops.insert.map(|insert| insert.0 + hops.total.0);
            prop_assert_eq!(hops.from_insert.map(|span| span.0), from_insert);
        }
    }

    #[test]
    fn every_hop_has_its_place() {
        for (place, hop) in ObservedHop::ALL.into_iter().enumerate() {
            assert_eq!(hop.index(), place);
        }
    }
}
