//! How far a foreign clock is from ours, measured by round trips.
//!
//! One exchange in which the other side read its clock somewhere between our sending and our receiving bounds the
//! offset from both sides. Every exchange gives an interval; the truth lies in all of them, so their intersection is
//! the estimate, and half its width the error bound. (Marzullo's algorithm for the case of a single truthful source.)

use serde::{Deserialize, Serialize};

use super::{Nanos, Stamp};

/// A foreign clock seen from ours: `foreign = ours + offset`, true within `±error_bound`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Foreign clock minus ours.
    pub offset: Nanos,
    /// Half the width of the interval in which the true offset lies.
    pub error_bound: Nanos,
    /// Number of exchanges used.
    pub samples: u32,
    /// Whether the exchanges contradict each other: the foreign clock stepped or drifted while it was measured.
    pub inconsistent: bool,
}

impl ClockOffset {
    /// Converts a foreign reading to our clock.
    #[must_use]
    pub fn to_ours(&self, foreign: Stamp) -> Stamp {
        foreign - self.offset
    }
}

/// Collects exchanges with one foreign clock.
#[derive(Debug, Clone, Default)]
pub struct OffsetEstimator {
    interval: Option<(i64, i64)>,
    samples: u32,
}

impl OffsetEstimator {
    /// Adds an exchange: we sent at `sent`, had the answer at `received`, and the foreign clock, read in between, showed
    /// `reading`, truncated to `resolution` (the true reading is in `[reading, reading + resolution)`).
    pub fn observe(&mut self, sent: Stamp, received: Stamp, reading: Stamp, resolution: Nanos) {
        let low = reading.0 - received.0;
        let high = reading.0 + resolution.0 - sent.0;
        self.samples += 1;
        self.interval = Some(match self.interval {
            None => (low, high),
            Some((l, h)) => (l.max(low), h.min(high)),
        });
    }

    /// The offset, or `None` when nothing was observed.
    #[must_use]
    pub fn estimate(&self) -> Option<ClockOffset> {
        let (low, high) = self.interval?;
        Some(ClockOffset {
            offset: Nanos(low + (high - low) / 2),
            error_bound: Nanos((high - low).abs() / 2 + 1),
            samples: self.samples,
            inconsistent: low > high,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exchanges with a clock that is `offset` ahead; the reading is taken `fraction` of the way through.
    fn measured(offset: i64, resolution: i64, trips: &[(i64, i64)]) -> ClockOffset {
        let mut estimator = OffsetEstimator::default();
        for (n, &(out, back)) in trips.iter().enumerate() {
            let sent = 1_000_000_000 + i64::try_from(n).unwrap() * 7_700_123;
            let read = sent + out + offset;
            let truncated = read - read.rem_euclid(resolution);
            estimator.observe(
                Stamp(sent),
                Stamp(sent + out + back),
                Stamp(truncated),
                Nanos(resolution),
            );
        }
        estimator.estimate().unwrap()
    }

    #[test]
    fn the_true_offset_is_within_the_bound() {
        for offset in [-250_000_000, -1_234, 0, 999, 3_600_000_000_000] {
            let found = measured(
                offset,
                1_000,
                &[(90_000, 40_000), (30_000, 300_000), (500_000, 45_000)],
            );
            assert!(
                (found.offset.0 - offset).abs() <= found.error_bound.0,
                "{found:?} for {offset}"
            );
            assert!(found.error_bound.0 <= 40_000, "{found:?}");
            assert!(!found.inconsistent);
        }
    }

    #[test]
    fn many_jittered_exchanges_see_below_a_millisecond_stamp() {
        let trips: Vec<_> = (0..60).map(|n| (200_000 + n * 1_700, 150_000)).collect();
        let found = measured(5_000_000, 1_000_000, &trips);
        assert!((found.offset.0 - 5_000_000).abs() <= found.error_bound.0);
        assert!(found.error_bound.0 < 400_000, "{found:?}");
    }

    #[test]
    fn a_clock_that_steps_while_measured_is_called_inconsistent() {
        let mut estimator = OffsetEstimator::default();
        estimator.observe(Stamp(0), Stamp(10), Stamp(5), Nanos(1));
        estimator.observe(Stamp(100), Stamp(110), Stamp(5_105), Nanos(1));
        assert!(estimator.estimate().unwrap().inconsistent);
    }

    #[test]
    fn nothing_observed_is_nothing_known() {
        assert_eq!(OffsetEstimator::default().estimate(), None);
    }
}
