//! How far the clocks of two workers may be apart, once stamps of the one are brought to the other's.

use cdc_bench_model::timeline::Nanos;
use serde::{Deserialize, Serialize};

/// What is known of a worker's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerClock {
    /// PostgreSQL's clock minus the worker's, as its stamps are corrected.
    pub(crate) to_postgres: Nanos,
    /// How far that may be off.
    pub(crate) bound: Nanos,
    /// By its NTP daemon, where that is trusted.
    #[serde(default)]
    pub(crate) ntp: Option<NtpClock>,
}

/// What a worker's NTP daemon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NtpClock {
    /// PostgreSQL's clock minus that of the worker's machine, as measured.
    pub(crate) to_postgres: Nanos,
    /// How far the machine's clock may be from the true time.
    pub(crate) bound: Nanos,
}

impl WorkerClock {
    /// The largest error of a span from a stamp of one worker to a stamp of the other.
    ///
    /// Both are corrected by what was measured against PostgreSQL's clock, so the error is at most that of both measurements. Where both
    /// machines' clocks are within so much of the true time, their measured difference is wrong by that and by itself at most.
    pub(crate) fn apart(&self, other: &Self) -> Nanos {
        let measured = self.bound + other.bound;
        let by_ntp = self.ntp.zip(other.ntp).map(|(one, two)| {
            let difference = Nanos((one.to_postgres - two.to_postgres).0.abs());
            difference + one.bound + two.bound
        });
        by_ntp.map_or(measured, |by_ntp| measured.min(by_ntp))
    }

    /// The largest of any two.
    pub(crate) fn most_apart(clocks: &[Self]) -> Nanos {
        let pairs = (1..).zip(clocks);
        let pairs = pairs.flat_map(|(next, one)| {
            let others = clocks.get(next..).unwrap_or_default();
            others.iter().map(|other| one.apart(other))
        });
        pairs.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(bound: i64, ntp: Option<(i64, i64)>) -> WorkerClock {
        WorkerClock {
            to_postgres: Nanos(0),
            bound: Nanos(bound),
            ntp: ntp.map(|(to_postgres, bound)| NtpClock {
                to_postgres: Nanos(to_postgres),
                bound: Nanos(bound),
            }),
        }
    }

    #[test]
    fn the_tighter_bound_is_stated() {
        let near = clock(1_000, Some((5_000, 20)));
        let far = clock(1_300, Some((5_100, 30)));
        assert_eq!(near.apart(&far), Nanos(150));
        // Measured to be further apart than the round trips leave open.
        let elsewhere = clock(1_300, Some((9_000, 30)));
        assert_eq!(near.apart(&elsewhere), Nanos(2_300));
        // Both have to be known.
        assert_eq!(near.apart(&clock(400, None)), Nanos(1_400));
    }

    #[test]
    fn of_several_the_largest_error_counts() {
        let clocks = [clock(10, None), clock(70, None), clock(50, None)];
        assert_eq!(WorkerClock::most_apart(&clocks), Nanos(120));
        assert_eq!(WorkerClock::most_apart(&clocks[..1]), Nanos(0));
        assert_eq!(WorkerClock::most_apart(&[]), Nanos(0));
    }
}
