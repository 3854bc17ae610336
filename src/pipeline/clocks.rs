//! Offsets and error bounds of the foreign clocks, at the start of a run and at its end.

use std::time::Duration;

use rdkafka::ClientConfig;
use tokio_postgres::Client;

use crate::broker::{BrokerError, measure_offset};
use crate::report::ClockReport;
use crate::timeline::{Clock, ClockOffset, Nanos, OffsetEstimator, Stamp};

/// Round trips to PostgreSQL; the quickest of them sets the bound.
const POSTGRES_TRIPS: u32 = 60;

/// What was measured at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offsets {
    pub(crate) postgres: ClockOffset,
    pub(crate) broker: ClockOffset,
}

/// Measures both. `probe_topic` takes the probe records and must have `LogAppendTime`.
pub(crate) async fn measure(
    postgres: &Client,
    kafka: &ClientConfig,
    probe_topic: &str,
    clock: Clock,
) -> Result<Offsets, crate::pipeline::Failure> {
    let postgres = measure_postgres(postgres, clock).await?;
    let broker: Result<_, BrokerError> = measure_offset(kafka, probe_topic, clock).await;
    Ok(Offsets {
        postgres,
        broker: broker?,
    })
}

/// By round trips to `clock_timestamp()`, which has microseconds.
async fn measure_postgres(
    client: &Client,
    clock: Clock,
) -> Result<ClockOffset, tokio_postgres::Error> {
    let read = client
        .prepare("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .await?;
    let mut estimator = OffsetEstimator::default();
    for _ in 0..POSTGRES_TRIPS {
        let sent = clock.now();
        let row = client.query_one(&read, &[]).await?;
        let received = clock.now();
        let micros: i64 = row.get(0);
        estimator.observe(sent, received, Stamp(micros * 1_000), Nanos(1_000));
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    Ok(estimator.estimate().expect("exchanges were observed"))
}

/// Both measurements of one clock, as reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) start: ClockOffset,
    pub(crate) end: Option<ClockOffset>,
}

impl Measured {
    fn drift(&self) -> Option<Nanos> {
        self.end.map(|end| end.offset - self.start.offset)
    }

    /// How far a stamp corrected by the offset of the start may be off at any time of the run.
    pub(crate) fn error_bound(&self) -> Nanos {
        let Some(end) = self.end else {
            return self.start.error_bound;
        };
        // Both intervals hold the truth at their time; in between it went from one to the other.
        let reach = |offset: ClockOffset, from: Nanos| {
            (offset.offset - from).0.abs() + offset.error_bound.0
        };
        Nanos(self.start.error_bound.0.max(reach(end, self.start.offset)))
    }

    pub(crate) fn report(&self, server: &str, method: &str) -> ClockReport {
        let contradiction = if self.start.inconsistent
            || self.end.is_some_and(|end| end.inconsistent)
        {
            "; the exchanges contradict each other: this clock was stepped while it was measured"
        } else {
            ""
        };
        ClockReport {
            server: server.to_owned(),
            offset: self.start.offset.round_micros(),
            error_bound: self.error_bound().round_micros(),
            drift: self.drift().map(Nanos::round_micros),
            method: format!("{method}{contradiction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset: i64, bound: i64) -> ClockOffset {
        ClockOffset {
            offset: Nanos(offset),
            error_bound: Nanos(bound),
            samples: 1,
            inconsistent: false,
        }
    }

    #[test]
    fn the_bound_covers_both_measurements() {
        let steady = Measured {
            start: offset(100, 50),
            end: Some(offset(90, 20)),
        };
        assert_eq!(steady.error_bound(), Nanos(50));
        let drifted = Measured {
            start: offset(100, 50),
            end: Some(offset(400, 20)),
        };
        assert_eq!(drifted.error_bound(), Nanos(320));
        assert_eq!(drifted.drift(), Some(Nanos(300)));
        assert_eq!(
            Measured {
                start: offset(1, 7),
                end: None
            }
            .error_bound(),
            Nanos(7)
        );
    }
}
