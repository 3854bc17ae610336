//! Negative spans: how many, and what explains them.

use serde::{Deserialize, Serialize};

use super::PathStatistics;
use crate::timeline::{CapturePath, Hop, Nanos};

/// The spans of one hop that are below zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which hop.
    pub hop: Hop,
    /// Spans below zero.
    pub below_zero: u64,
    /// Those of them that the error of the hop's clocks explains.
    pub within_error: u64,
    /// Those that it does not. Where the hop's ends race, that is no contradiction.
    pub beyond_error: u64,
    /// Whether the hop's ends are independent observations, either of which may come first.
    pub race: bool,
    /// Why, in words.
    pub explanation: String,
}

impl Violation {
    /// Whether nothing explains it.
    #[must_use]
    pub fn is_contradiction(&self) -> bool {
        !self.race && self.beyond_error > 0
    }
}

/// Every hop of a path with spans below zero.
#[must_use]
pub fn violations(path: &PathStatistics, bound: impl Fn(Hop) -> Option<Nanos>) -> Vec<Violation> {
    let violation = |hop: Hop| {
        let spans = path.hop(hop)?;
        let below_zero = spans.negatives();
        if below_zero == 0 {
            return None;
        }
        let bound = bound(hop);
        let beyond_error = bound.map_or(0, |bound| spans.negatives_beyond(bound));
        let race = path.path().races().contains(&hop);
        Some(Violation {
            hop,
            below_zero,
            within_error: below_zero - beyond_error,
            beyond_error,
            race,
            explanation: explain(path.path(), hop, bound, race, beyond_error),
        })
    };
    Hop::ALL.into_iter().filter_map(violation).collect()
}

fn explain(
    path: CapturePath,
    hop: Hop,
    bound: Option<Nanos>,
    race: bool,
    beyond_error: u64,
) -> String {
    match (race, hop, path) {
        (true, Hop::WalDelivery, _) => {
            "the row reached our reader before the INSERT's acknowledgement reached the load generator; both follow the same flush".to_owned()
        }
        (true, _, CapturePath::Wal) => {
            "the consumer had the record before its acknowledgement was back at our producer".to_owned()
        }
        (true, _, _) => {
            "Debezium had the row before our own reader, which only looks on, was scheduled".to_owned()
        }
        (false, _, _) if beyond_error > 0 => {
            "a clock was stepped in the run, or a stamp is wrong".to_owned()
        }
        (false, _, _) => match bound {
            Some(bound) => format!("its two ends are on two clocks, known within ±{bound}; Kafka's timestamps are whole milliseconds"),
            None => "one of its ends is on a clock of which nothing is known".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventType};
    use crate::timeline::{Captured, Joined, Stamp, Stamps};

    /// Events whose consumer lag is this many microseconds.
    fn with_lag(path: CapturePath, lags: &[i64]) -> PathStatistics {
        let mut statistics = PathStatistics::new(path);
        for lag in lags {
            let at = |us: i64| Stamp(us * 1_000);
            let stamps = Stamps {
                ts: at(0),
                t0: at(0),
                ta: at(500),
                tc: at(400),
                t1: at(600),
                td: None,
                t2: at(2_000),
                t3: at(2_000 + lag),
                t4: at(2_000 + lag),
                t5: at(4_000),
            };
            statistics.record(&Joined {
                id: EventId(uuid::Uuid::nil()),
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
            });
        }
        statistics
    }

    #[test]
    fn what_the_brokers_millisecond_explains_is_told_from_what_it_does_not() {
        let bound = |hop| {
            let crosses = hop == Hop::ConsumerLag;
            Some(Nanos::from_micros(if crosses { 900 } else { 0 }))
        };
        let found = violations(
            &with_lag(CapturePath::Debezium, &[-300, -800, 40, -1_500]),
            bound,
        );
        let [lag] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((lag.within_error, lag.beyond_error), (2, 1));
        assert!(lag.is_contradiction() && lag.explanation.contains("stepped"));
        let within = violations(&with_lag(CapturePath::Debezium, &[-300, -800]), bound);
        assert!(!within[0].is_contradiction());
        assert!(within[0].explanation.contains("±0.900 ms"), "{within:?}");
    }

    #[test]
    fn a_race_is_no_contradiction() {
        let found = violations(&with_lag(CapturePath::Wal, &[-30, 20]), |_| Some(Nanos(0)));
        assert_eq!((found[0].hop, found[0].beyond_error), (Hop::ConsumerLag, 1));
        assert!(!found[0].is_contradiction());
        assert!(found[0].explanation.contains("acknowledgement"));
    }
}
