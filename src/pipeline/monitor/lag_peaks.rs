//! The largest lag of each partition while measured events are under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cdc_bench_model::timeline::CapturePath;

/// Most records that the consumer of a path had not received of each partition, as far as it was asked.
#[derive(Debug, Default)]
pub(crate) struct LagPeaks(Mutex<BTreeMap<CapturePath, BTreeMap<i32, u64>>>);

impl LagPeaks {
    /// Forgets what was before the measured events.
    pub(crate) fn begin(&self) {
        self.peaks().clear();
    }

    /// What the consumer had not received at one moment, by partition.
    pub(super) fn observe(&self, path: CapturePath, backlog: &BTreeMap<i32, u64>) {
        let mut all = self.peaks();
        let peaks = all.entry(path).or_default();
        for (partition, records) in backlog {
            let peak = peaks.entry(*partition).or_default();
            *peak = (*peak).max(*records);
        }
    }

    /// The largest lags of a path.
    pub(super) fn of(&self, path: CapturePath) -> BTreeMap<i32, u64> {
        self.peaks().get(&path).cloned().unwrap_or_default()
    }

    fn peaks(&self) -> std::sync::MutexGuard<'_, BTreeMap<CapturePath, BTreeMap<i32, u64>>> {
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
    }
}
