//! The measured clocks of PostgreSQL, the broker and Connect: corrections, error bounds, and the report.
//!
//! Connect's clock cannot be queried. It is bounded by causality: Debezium reads an event no earlier than its commit and no
//! later than its record is in Kafka. If Connect is known to share PostgreSQL's host clock, PostgreSQL's measurements are
//! used, unless events contradict them.

use cdc_bench_model::report::ClockReport;
#[cfg(test)]
use cdc_bench_model::timeline::ClockOffset;
use cdc_bench_model::timeline::{ClockBounds, ClockTrack, Corrections, Nanos, OffsetLine, Stamp};

/// The measured clocks over the whole run.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredClocks {
    pub(super) postgres: ClockTrack,
    pub(super) broker: ClockTrack,
    pub(super) connect: ClockTrack,
    /// Whether Connect's clock was taken to be PostgreSQL's throughout the run.
    shared: bool,
    /// Between the clocks of two workers, and of those that insert an event and write it.
    workers: (Nanos, Nanos),
}

impl MeasuredClocks {
    /// Nothing measured yet; `shared` if Connect is known to have PostgreSQL's clock.
    pub(super) fn new(shared: bool) -> Self {
        Self {
            postgres: ClockTrack::default(),
            broker: ClockTrack::default(),
            connect: ClockTrack::default(),
            shared,
            workers: Default::default(),
        }
    }

    /// Takes in the bounds between the clocks of workers on other machines: of any two, and of those that insert an event and write it.
    pub(crate) fn set_workers(&mut self, any: Nanos, ends: Nanos) {
        self.workers = (any, ends);
    }

    /// The corrections to use from now on.
    pub(super) fn corrections(&mut self, now: Stamp, shares_clock: bool) -> Corrections {
        let postgres = self.postgres.line().unwrap_or_default();
        let broker = self.broker.line().unwrap_or_default();
        let is_shared = shares_clock && self.connect.allows(now, postgres.offset_at(now));
        self.shared &= is_shared;
        let connect = if is_shared {
            postgres
        } else {
            // Without an event and without a shared host nothing is known.
            self.connect.line().unwrap_or_default()
        };
        self.postgres.use_line(now, postgres);
        self.broker.use_line(now, broker);
        self.connect.use_line(now, connect);
        Corrections {
            postgres,
            postgres_bound: self.postgres_bound(),
            broker,
            broker_bound: self.broker_bound(),
            connect,
            connect_bound: self.connect_bound(),
        }
    }

    /// Drops the corrections of Connect's clock: no measured event has used them.
    pub(super) fn forget_connect(&mut self, shares_clock: bool) {
        self.connect.forget_lines();
        self.shared = shares_clock;
    }

    /// Error bound of PostgreSQL's stamps.
    pub(crate) fn postgres_bound(&self) -> Nanos {
        self.postgres.error_bound().unwrap_or_default()
    }

    /// Error bound of the broker's clock, without the millisecond resolution of its stamps.
    pub(crate) fn broker_bound(&self) -> Nanos {
        self.broker.error_bound().unwrap_or_default()
    }

    /// Error bound of Connect's stamps; `None` if its clock is unknown.
    pub(crate) fn connect_bound(&self) -> Option<Nanos> {
        if self.shared {
            Some(self.postgres_bound())
        } else {
            self.connect.error_bound()
        }
    }

    /// Error bounds of the two clocks that hops end at.
    pub(crate) fn bounds(&self) -> ClockBounds {
        ClockBounds {
            broker: self.broker_bound(),
            connect: self.connect_bound(),
            workers: self.workers.0,
            ends: self.workers.1,
        }
    }

    /// The clocks as the report has them; Connect's only if a path uses it.
    pub(crate) fn report(&self, with_connect: bool) -> Vec<ClockReport> {
        let mut clocks = vec![
            report(
                "postgres",
                &self.postgres,
                self.postgres_bound(),
                "round trips to clock_timestamp(), intersected",
            ),
            report(
                "kafka",
                &self.broker,
                self.broker_bound(),
                "probe records' LogAppendTime between send and delivery report, intersected; whole milliseconds",
            ),
        ];
        if let Some(bound) = self.connect_bound().filter(|_| with_connect) {
            let (track, method) = if self.shared {
                (
                    &self.postgres,
                    "taken for PostgreSQL's: both keep their host's, and no event contradicts it",
                )
            } else {
                (
                    &self.connect,
                    "causality: each event handed on between its commit and its record in Kafka",
                )
            };
            clocks.push(report("connect", track, bound, method));
        }
        clocks
    }
}

fn report(server: &str, track: &ClockTrack, bound: Nanos, method: &str) -> ClockReport {
    let first = track.first_offset().unwrap_or_default();
    let uneven = if track.is_uneven() {
        "; no straight line goes through the measurements: this clock was stepped, or does not run evenly"
    } else {
        ""
    };
    ClockReport {
        server: server.to_owned(),
        offset: first.round_micros(),
        error_bound: bound.round_micros(),
        drift: track.drift().map(Nanos::round_micros),
        drift_ppm: track
            .line()
            .map(|line: OffsetLine| (line.drift_ppm() * 10.0).round() / 10.0),
        measurements: u64::try_from(track.measurements()).unwrap_or(u64::MAX),
        method: format!("{method}{uneven}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Stamp {
        Stamp(seconds * 1_000_000_000)
    }

    fn offset(ms: i64, bound_us: i64) -> ClockOffset {
        ClockOffset {
            offset: Nanos::from_millis(ms),
            error_bound: Nanos::from_micros(bound_us),
            samples: 1,
            inconsistent: false,
        }
    }

    fn measured(connect: &[(i64, ClockOffset)], shares_clock: bool) -> MeasuredClocks {
        let mut measured = MeasuredClocks::new(shares_clock);
        for second in 0..5 {
            if second == 2 {
                measured.forget_connect(shares_clock);
            }
            measured.postgres.observe(at(second), offset(7, 50));
            measured.broker.observe(at(second), offset(0, 400));
            for (_, found) in connect.iter().filter(|(when, _)| *when == second) {
                measured.connect.observe(at(second), *found);
            }
            measured.corrections(at(second), shares_clock);
        }
        measured
    }

    #[test]
    fn a_shared_clock_has_postgresqls_bounds() {
        let shared = measured(&[(1, offset(8, 2_000)), (2, offset(6, 1_500))], true);
        assert_eq!(shared.connect_bound(), Some(shared.postgres_bound()));
        assert!(shared.report(true)[2].method.contains("their host's"));
        assert_eq!(shared.report(false).len(), 2);
    }

    #[test]
    fn events_that_contradict_a_shared_clock_win() {
        // Read by Debezium before it was committed, by PostgreSQL's clock.
        let each = [1, 2, 3, 4].map(|second| (second, offset(-250, 1_500)));
        let skewed = measured(&each, true);
        let connect = &skewed.report(true)[2];
        assert!(connect.method.contains("causality"), "{connect:?}");
        // That the clocks were taken to be one before the first measured event does not matter.
        assert!(skewed.connect_bound().unwrap() <= Nanos::from_millis(4));
    }

    #[test]
    fn an_own_clock_of_connect_is_unknown_before_an_event() {
        assert_eq!(measured(&[], false).connect_bound(), None);
        let each = [0, 1, 2, 3, 4].map(|second| (second, offset(90, 1_500)));
        let known = measured(&each, false);
        assert!(known.connect_bound().unwrap() <= Nanos::from_millis(4));
    }
}
