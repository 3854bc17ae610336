//! Collects the events of a path as they are written, and gives its state at any time.

use std::collections::VecDeque;

use super::recent::Recent;
use super::seconds::Seconds;
use super::{HopState, PathState, Rates, RecentEvent, TotalState, TypeCount};
use cdc_bench_model::analysis::{HopStatistics, SignedHistogram, Throughput, ThroughputMeter};
use cdc_bench_model::event::EventType;
use cdc_bench_model::timeline::{CapturePath, Hop, Joined, Nanos, Stamp};

/// Hops are shown over the last 5 to 10 seconds.
const RECENT: Nanos = Nanos::from_millis(5_000);
/// Events that are kept.
const LAST: usize = 40;

/// The events of one path so far.
#[derive(Debug)]
pub struct PathMeter {
    path: CapturePath,
    total: SignedHistogram,
    recent: Recent<[SignedHistogram; Hop::ALL.len()]>,
    throughput: ThroughputMeter,
    seconds: Seconds,
    by_type: [u64; 3],
    last: VecDeque<RecentEvent>,
    debezium_lag: Option<Nanos>,
}

impl PathMeter {
    /// A meter without events.
    #[must_use]
    pub fn new(path: CapturePath) -> Self {
        Self {
            path,
            total: SignedHistogram::default(),
            recent: Recent::new(RECENT),
            throughput: ThroughputMeter::default(),
            seconds: Seconds::default(),
            by_type: [0; 3],
            last: VecDeque::with_capacity(LAST),
            debezium_lag: None,
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> CapturePath {
        self.path
    }

    /// Adds an event that was written.
    pub fn record(&mut self, event: &Joined) {
        let (stamps, hops) = (&event.stamps, event.stamps.hops());
        let total = stamps.t5 - stamps.t0;
        self.total.record(total);
        self.recent.turn(stamps.t5);
        hops.iter()
            .for_each(|(hop, span)| self.recent.filling[hop.index()].record(span));
        self.throughput.record(stamps.t0, stamps.t5);
        self.seconds.record(stamps.t5, total, 1);
        self.by_type[event.event_type.index()] += 1;
        if let Some(td) = stamps.td {
            self.debezium_lag = Some(td - stamps.tc);
        }
        let slowest = Hop::PIPELINE
            .into_iter()
            .filter_map(|hop| Some((hop, hops.get(hop)?)))
            .max_by_key(|(_, span)| *span);
        let (slowest, slowest_took) = slowest.unwrap_or((Hop::Total, total));
        self.last.truncate(LAST - 1);
        self.last.push_front(RecentEvent {
            event_type: event.event_type,
            created: stamps.t0,
            total_us: total.round_micros(),
            slowest,
            slowest_us: slowest_took.round_micros(),
        });
    }

    /// The state of the path at `now`, as far as its events determine it.
    pub fn state(&mut self, now: Stamp) -> PathState {
        self.recent.turn(now);
        let Throughput {
            average_per_s,
            peak_per_s,
            ..
        } = self.throughput.throughput();
        let total = &self.total;
        let at = |q| total.quantile(q).round_micros();
        PathState {
            throughput: Rates {
                now_per_s: f64::from(self.throughput.just_over(now)),
                average_per_s,
                peak_per_s,
            },
            hops: self.hops(),
            total: (total.count() > 0).then(|| TotalState {
                count: total.count(),
                mean_us: total.mean().round_micros(),
                min_us: total.min().round_micros(),
                max_us: total.max().round_micros(),
                p50_us: at(0.5),
                p95_us: at(0.95),
                p99_us: at(0.99),
            }),
            seconds: self.seconds.until(now),
            by_type: EventType::ALL
                .into_iter()
                .map(|event_type| TypeCount {
                    event_type,
                    count: self.by_type[event_type.index()],
                })
                .collect(),
            last: self.last.iter().copied().collect(),
            debezium_behind_ms: self.debezium_lag.map(Nanos::as_millis_f64),
            ..PathState::new(self.path)
        }
    }

    fn hops(&self) -> Vec<HopState> {
        let Recent {
            filling, before, ..
        } = &self.recent;
        let state = |hop: Hop| {
            let mut both = filling[hop.index()].clone();
            both.add(&before[hop.index()]);
            (both.count() > 0).then(|| HopState {
                hop,
                count: both.count(),
                p50_us: both.quantile(0.5).round_micros(),
                p99_us: both.quantile(0.99).round_micros(),
            })
        };
        Hop::ALL.into_iter().filter_map(state).collect()
    }

    /// Total and throughput so far, for the objectives.
    #[must_use]
    pub fn reached(&self) -> (Option<HopStatistics>, Throughput) {
        let total = (self.total.count() > 0).then(|| self.total.statistics(Some(Nanos(0))));
        (total, self.throughput.throughput())
    }

    /// Median and 99th percentile of the total so far.
    #[must_use]
    pub fn total(&self) -> Option<(Nanos, Nanos)> {
        let total = &self.total;
        (total.count() > 0).then(|| (total.quantile(0.5), total.quantile(0.99)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_bench_model::event::EventId;
    use cdc_bench_model::timeline::{Captured, Stamps};

    /// An event of 4 ms sent at this millisecond, 2 of them in Kafka.
    fn event(ms: i64) -> Joined {
        let at = |us: i64| Stamp(0) + Nanos::from_micros(ms * 1_000 + us);
        let stamps = Stamps {
            ts: at(0),
            t0: at(0),
            ta: at(500),
            tc: at(400),
            t1: at(600),
            td: Some(at(1_400)),
            t2: at(2_600),
            t3: at(3_000),
            t4: at(3_100),
            t5: at(4_000),
        };
        Joined {
            id: EventId(uuid::Uuid::from_u128(1)),
            seq: 0,
            event_type: EventType::UserCreated,
            captured: Captured {
                tc: at(400),
                t1: at(600),
                lsn: 1,
                commit_lsn: 2,
                xid: 3,
            },
            partition: None,
            stamps,
        }
    }

    fn ms(ms: i64) -> Stamp {
        Stamp(0) + Nanos::from_millis(ms)
    }

    #[test]
    fn the_state_of_a_path_is_that_of_its_events() {
        let mut meter = PathMeter::new(CapturePath::Debezium);
        (0..2_000).for_each(|n| meter.record(&event(n * 2)));
        let state = meter.state(ms(4_010));
        let total = state.total.unwrap();
        assert_eq!(
            (total.count, total.min_us, total.max_us),
            (2_000, 4_000, 4_002)
        );
        assert_eq!(state.slowest(), Some(Hop::KafkaDelivery));
        assert_eq!(state.throughput.now_per_s, 500.0);
        let written: Vec<_> = state.seconds.iter().map(|second| second.written).collect();
        assert_eq!(written, [498, 500, 500, 500]);
        assert_eq!(state.debezium_behind_ms, Some(1.0));
        assert_eq!(state.by_type[0].count, 2_000);
        assert_eq!(state.last.len(), LAST);
        assert_eq!(state.last[0].created, ms(3_998));
    }

    #[test]
    fn hops_are_of_the_last_seconds_and_the_total_of_all() {
        let mut meter = PathMeter::new(CapturePath::Debezium);
        meter.record(&event(0));
        assert_eq!(meter.state(ms(100)).hops.len(), Hop::ALL.len());
        let later = meter.state(ms(20_000));
        assert_eq!(later.hops, []);
        assert_eq!(later.slowest(), None);
        assert_eq!(later.throughput.now_per_s, 0.0);
        assert_eq!(later.seconds.len(), 20);
        assert_eq!(later.total.unwrap().count, 1);
    }
}
