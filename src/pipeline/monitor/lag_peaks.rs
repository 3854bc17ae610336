//! The largest lag of each partition, and the most WAL that each slot keeps, while measured events are under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cdc_bench_model::timeline::CapturePath;

/// The largest values, as far as servers were asked.
#[derive(Debug, Default)]
pub(crate) struct LagPeaks(Mutex<Peaks>);

#[derive(Debug, Default)]
struct Peaks {
    /// Most records of each partition that the consumer of a path had not received.
    records: BTreeMap<CapturePath, BTreeMap<i32, u64>>,
    /// Most bytes of WAL that each slot kept.
    wal_held: BTreeMap<String, u64>,
}

impl LagPeaks {
    /// Forgets what was before the measured events.
    pub(crate) fn begin(&self) {
        *self.peaks() = Peaks::default();
    }

    /// What the consumer had not received at one moment, by partition.
    pub(super) fn observe(&self, path: CapturePath, backlog: &BTreeMap<i32, u64>) {
        let mut all = self.peaks();
        let peaks = all.records.entry(path).or_default();
        for (partition, records) in backlog {
            let peak = peaks.entry(*partition).or_default();
            *peak = (*peak).max(*records);
        }
    }

    /// The WAL that a slot kept at one moment, bytes.
    pub(super) fn observe_held(&self, slot: &str, bytes: u64) {
        let mut all = self.peaks();
        let peak = all.wal_held.entry(slot.to_owned()).or_default();
        *peak = (*peak).max(bytes);
    }

    /// The largest lags of a path.
    pub(super) fn of(&self, path: CapturePath) -> BTreeMap<i32, u64> {
        self.peaks().records.get(&path).cloned().unwrap_or_default()
    }

    /// The most WAL that a slot kept, bytes.
    pub(super) fn most_held(&self, slot: &str) -> Option<u64> {
        self.peaks().wal_held.get(slot).copied()
    }

    fn peaks(&self) -> std::sync::MutexGuard<'_, Peaks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_largest_lag_of_the_measured_events() {
        let path = CapturePath::Wal;
        let peaks = LagPeaks::default();
        peaks.observe(path, &BTreeMap::from([(0, 900)]));
        peaks.begin();
        peaks.observe(path, &BTreeMap::from([(0, 7), (1, 2)]));
        peaks.observe(path, &BTreeMap::from([(0, 3), (1, 4)]));
        assert_eq!(peaks.of(path), BTreeMap::from([(0, 7), (1, 4)]));
        assert!(peaks.of(CapturePath::Debezium).is_empty());
        peaks.observe_held("slot", 9);
        peaks.observe_held("slot", 5);
        assert_eq!(peaks.most_held("slot"), Some(9));
        peaks.begin();
        assert_eq!(peaks.most_held("slot"), None);
    }
}
