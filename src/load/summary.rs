//! The result of a load.

use cdc_bench_model::timeline::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// The result of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// Rows acknowledged.
    pub inserted: u64,
    /// Transactions acknowledged.
    pub transactions: u64,
    /// Rows not inserted, or of unknown outcome after cancellation.
    pub errors: u64,
    /// Transactions sent a second time because the connection was lost before their acknowledgement.
    pub retried: u64,
    /// When the first row was sent.
    pub first_t0: Option<Stamp>,
    /// When the last row was acknowledged.
    pub last_ta: Option<Stamp>,
    /// The longest delay of a row: the greatest T0 - Ts.
    pub max_schedule_lag: Nanos,
    /// Whether the load was stopped before its end.
    pub cancelled: bool,
}

impl LoadSummary {
    /// Rows a second from the first T0 to the last Ta, or `None` when nothing was inserted.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a display value
    pub fn inserted_per_s(&self) -> Option<f64> {
        let span = self.last_ta? - self.first_t0?;
        (span.0 > 0).then(|| self.inserted as f64 * 1e9 / span.0 as f64)
    }

    /// Adds the result of another load.
    pub fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.transactions += other.transactions;
        self.errors += other.errors;
        self.retried += other.retried;
        self.first_t0 = match (self.first_t0, other.first_t0) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.last_ta = self.last_ta.max(other.last_ta);
        self.max_schedule_lag = self.max_schedule_lag.max(other.max_schedule_lag);
        self.cancelled |= other.cancelled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_something_inserted() {
        let summary = LoadSummary {
            inserted: 3,
            first_t0: Some(Stamp(40)),
            last_ta: Some(Stamp(70)),
            ..LoadSummary::default()
        };
        assert_eq!(summary.inserted_per_s(), Some(1e8));
        assert_eq!(LoadSummary::default().inserted_per_s(), None);
    }
}
