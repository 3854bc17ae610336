//! What became of the canary's changes, apart from the user's.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_bench_model::RunId;
use cdc_bench_model::observation::{
    CapturedChange, ChangeId, MissingChange, ObservationCounts, ObservedChange, ObservedHop,
    ObservedStatistics, Operation, RecordedChange,
};
use cdc_bench_model::report::{
    CANARY, CanaryReport, ObservationReport, ObservedDiagnosis, ObservedPath,
};
use cdc_bench_model::timeline::{Nanos, Stamp};

use super::sent::Sent;
use crate::observe::discovery::FoundCanary;

/// Positions in the WAL whose change is under way; the oldest are forgotten beyond it.
const MOST: usize = 100_000;

/// Tells the canary's changes from the user's.
pub(in crate::observe) struct CanaryWatch {
    table: Arc<str>,
    sent: Sent,
    /// Numbers of changes by their position in the WAL, for records whose key is not the row's.
    by_lsn: BTreeMap<u64, u64>,
    tally: Tally,
    /// Inserts with all their stamps.
    followed: ObservedStatistics,
}

/// What the joiner has counted of the canary, its deletes among it.
#[derive(Debug, Default)]
struct Tally {
    captured: u64,
    in_kafka: u64,
    completed: u64,
    missing: u64,
    /// Captured, and neither completed nor missing yet.
    under_way: u64,
}

impl CanaryWatch {
    pub(in crate::observe) fn new(canary: &FoundCanary, id: RunId) -> Self {
        Self {
            table: canary.table(),
            sent: Sent::new(id),
            by_lsn: BTreeMap::new(),
            tally: Tally::default(),
            followed: ObservedStatistics::default(),
        }
    }

    /// What the sender notes.
    pub(in crate::observe) fn sent(&self) -> Sent {
        self.sent.clone()
    }

    /// A change in the WAL.
    pub(in crate::observe) fn captured(&mut self, change: &CapturedChange) {
        if change.id.table != self.table {
            return;
        }
        self.tally.captured += 1;
        self.tally.under_way += 1;
        let is_sent = matches!(change.id.operation, Operation::Create | Operation::Message);
        if let (true, Some(lsn), Some(number)) =
            (is_sent, change.id.lsn, self.sent.number(&change.id.key))
        {
            self.by_lsn.insert(lsn, number);
            if self.by_lsn.len() > MOST {
                self.by_lsn.pop_first();
            }
        }
    }

    /// A record.
    pub(in crate::observe) fn recorded(&mut self, change: &RecordedChange) {
        if change.id.table == self.table && change.id.operation != Operation::Read {
            self.tally.in_kafka += 1;
        }
    }

    /// A change with all its stamps. One of the user's comes back.
    pub(in crate::observe) fn completed(
        &mut self,
        change: ObservedChange,
    ) -> Option<ObservedChange> {
        if change.id.table != self.table {
            return Some(change);
        }
        self.tally.completed += 1;
        self.tally.under_way = self.tally.under_way.saturating_sub(1);
        if let Some(t0) = self.taken(&change) {
            let mut stamps = change.stamps;
            stamps.t0 = Some(t0);
            self.followed.record(&stamps.hops(), change.weight);
        }
        None
    }

    /// A change that has not come.
    pub(in crate::observe) fn missing(&mut self, change: &MissingChange) {
        if change.id.table == self.table {
            self.tally.missing += 1;
            self.tally.under_way = self.tally.under_way.saturating_sub(1);
        }
    }

    fn taken(&mut self, change: &ObservedChange) -> Option<Stamp> {
        let by_position = change.id.lsn.and_then(|lsn| self.by_lsn.remove(&lsn));
        let by_key = || match change.id.operation {
            Operation::Delete => None,
            _ => self.sent.number(&change.id.key),
        };
        let number = by_position.or_else(by_key)?;
        self.sent.changes().under_way.remove(&number)
    }

    /// Whether a change is one of its own.
    pub(in crate::observe) fn has_made(&self, change: &ObservedChange) -> bool {
        self.is_of(&change.id)
    }

    /// The same, by what a tap calls it.
    pub(in crate::observe) fn is_of(&self, id: &ChangeId) -> bool {
        id.table == self.table
    }

    /// Takes the canary out of the report's counts, and gives it a part of its own; the count begins anew. `bound`: error bounds of
    /// its hops.
    pub(in crate::observe) fn report(
        &mut self,
        report: &mut ObservationReport,
        interval: Nanos,
        bound: impl Fn(ObservedHop) -> Option<Nanos>,
    ) {
        report.counts = self.tally.without(&report.counts);
        report.missing = report.counts.missing;
        let path = ObservedPath {
            hops: self.followed.report(bound),
        };
        let followed = self.followed.hop(ObservedHop::Total).count();
        self.followed = ObservedStatistics::default();
        if report.diagnosis.slowest_hop.is_none() {
            report.diagnosis = ObservedDiagnosis {
                findings: std::mem::take(&mut report.diagnosis.findings),
                ..ObservedDiagnosis::of(&path)
            };
        }
        report.paths.insert(CANARY.to_owned(), path);
        let sent = self.sent.begin_anew();
        let acknowledged = &sent.acknowledged;
        report.canary = Some(CanaryReport {
            target: self.table.to_string(),
            interval: interval.round_micros(),
            sent: acknowledged.count(),
            refused: sent.refused,
            refusal: sent.refusal,
            followed,
            missing: self.tally.missing,
            acknowledged: (acknowledged.count() > 0)
                .then(|| acknowledged.statistics(Some(Nanos(0)))),
        });
        self.tally = Tally {
            under_way: self.tally.under_way,
            ..Tally::default()
        };
    }
}

impl Tally {
    fn without(&self, counts: &ObservationCounts) -> ObservationCounts {
        ObservationCounts {
            captured: counts.captured.saturating_sub(self.captured),
            in_kafka: counts.in_kafka.saturating_sub(self.in_kafka),
            completed: counts.completed.saturating_sub(self.completed),
            missing: counts.missing.saturating_sub(self.missing),
            in_flight: counts.in_flight.saturating_sub(self.under_way),
            ..*counts
        }
    }
}

#[cfg(test)]
mod tests {
    use cdc_bench_model::observation::{ObservedStamps, RecordPosition};

    use super::*;

    fn change(table: &str, key: String, lsn: u64, operation: Operation) -> ObservedChange {
        ObservedChange {
            id: ChangeId {
                table: table.into(),
                key: key.into(),
                lsn: Some(lsn),
                operation,
            },
            position: RecordPosition {
                topic: 0,
                partition: 0,
                offset: 1,
            },
            stamps: ObservedStamps {
                t0: None,
                tc: Stamp(2_000_000),
                t1: Stamp(3_000_000),
                td: None,
                t2: Stamp(5_000_000),
                t3: Stamp(6_000_000),
                tg: None,
                tr: None,
                ts: None,
                t5: None,
            },
            weight: 1,
        }
    }

    fn captured(change: &ObservedChange) -> CapturedChange {
        CapturedChange {
            id: change.id.clone(),
            tc: change.stamps.tc,
            t1: change.stamps.t1,
        }
    }

    #[test]
    fn the_canarys_changes_have_their_sending_and_are_not_the_users() {
        let canary = FoundCanary::Table {
            name: "public.canary".into(),
            quoted: "\"public\".\"canary\"".to_owned(),
            may_delete: true,
        };
        let mut watch = CanaryWatch::new(&canary, RunId::generate());
        let sent = watch.sent();
        let users = change(
            "public.orders",
            "{\"id\":1}".to_owned(),
            8,
            Operation::Create,
        );
        watch.captured(&captured(&users));
        assert_eq!(watch.completed(users.clone()), Some(users));
        let key = format!("{{\"id\":\"{}\"}}", sent.name(1));
        sent.begin(1, Stamp(1_000_000));
        for (lsn, operation) in [(16, Operation::Create), (24, Operation::Delete)] {
            let of_canary = change("public.canary", key.clone(), lsn, operation);
            watch.captured(&captured(&of_canary));
            assert_eq!(watch.completed(of_canary), None);
        }
        let of = |hop| watch.followed.hop(hop);
        assert_eq!(
            of(ObservedHop::Insert).count(),
            1,
            "a delete has no sending"
        );
        // To three digits.
        let longest = of(ObservedHop::FromInsert).max().round_micros();
        assert!((3_990..=4_010).contains(&longest), "{longest}");
        let all = ObservationCounts {
            captured: 5,
            completed: 3,
            in_flight: 2,
            ..ObservationCounts::default()
        };
        let left = watch.tally.without(&all);
        assert_eq!((left.captured, left.completed, left.in_flight), (3, 1, 2));
    }
}
