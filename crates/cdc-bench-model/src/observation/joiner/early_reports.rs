//! What a consumer has reported of records that our reader does not have yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

use super::super::{Consumption, EventMetrics, RecordPosition};
use crate::timeline::Stamp;

/// Reports that are kept until our reader has their records.
const EARLY: usize = 131_072;

/// The reports of records that our reader does not have yet.
#[derive(Debug, Default)]
pub(super) struct EarlyReports {
    by_position: BTreeMap<RecordPosition, EventMetrics>,
}

impl EarlyReports {
    /// Keeps a report. False where there are too many of them.
    pub(super) fn keep(&mut self, report: EventMetrics) -> bool {
        let is_full = self.by_position.len() >= EARLY;
        match self.by_position.entry(report.position) {
            Place::Vacant(_) if is_full => false,
            Place::Vacant(place) => {
                place.insert(report);
                true
            }
            // A record that failed and was written by a second attempt.
            Place::Occupied(mut place) => {
                if matches!(place.get().outcome, Consumption::Failed(_)) {
                    place.insert(report);
                }
                true
            }
        }
    }

    pub(super) fn take(&mut self, position: RecordPosition) -> Option<EventMetrics> {
        self.by_position.remove(&position)
    }

    /// Forgets those that came before `until`; how many.
    pub(super) fn forget(&mut self, until: Stamp) -> usize {
        let before = self.by_position.len();
        self.by_position
            .retain(|_, report| report.reported >= until);
        before - self.by_position.len()
    }
}
