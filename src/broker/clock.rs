//! The offset of the broker's clock from ours, by probe records: the broker stamps each (LogAppendTime) between the time it
//! is sent and the time it is acknowledged.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::error::{BrokerError, bootstrap_of};
use super::producer::{AwaitedProducer, AwaitedRecord, AwaitedReports};
use cdc_bench_model::timeline::{Clock, ClockOffset, Nanos, OffsetEstimator, Stamp};

/// Longest wait for one probe: a slower one would not improve the estimate.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Measures a broker's clock.
pub struct BrokerClock {
    producer: AwaitedProducer,
    topic: String,
    bootstrap: String,
    clock: Clock,
}

impl BrokerClock {
    /// Its probe records go to `topic`, which must have `message.timestamp.type=LogAppendTime`.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(config: &ClientConfig, topic: &str, clock: Clock) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(config);
        let producer = config
            .clone()
            .set("acks", "1")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "10000")
            .create_with_context(AwaitedReports::default())
            .map_err(|e| failed(&bootstrap, e.to_string()))?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            bootstrap,
            clock,
        })
    }

    /// Sends this number of probe records, a millisecond or two apart.
    ///
    /// # Errors
    /// When the broker does not take them, or stamps none.
    pub async fn measure(&self, probes: u32) -> Result<ClockOffset, BrokerError> {
        let failed = |reason: String| failed(&self.bootstrap, reason);
        let mut estimator = OffsetEstimator::default();
        for probe in 0..probes {
            // The stamps are truncated to the millisecond. Pauses by its golden section spread the probes evenly over its
            // fractions, so that together they resolve less than a millisecond.
            let pause = 1_000 + u64::from(probe) * 618 % 1_000;
            tokio::time::sleep(Duration::from_micros(pause)).await;
            let sent = self.clock.now();
            let record = AwaitedRecord {
                topic: &self.topic,
                payload: Some(b"clock"),
                ..AwaitedRecord::default()
            };
            let appended = tokio::time::timeout(TIMEOUT, self.producer.deliver(record)).await;
            let received = self.clock.now();
            let appended = appended
                .map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))
                .and_then(|appended| appended.map_err(|error| error.to_string()));
            // The first probes pay for connections and metadata: wide intervals, harmless to the intersection.
            if let Some(appended_ms) = appended.map_err(failed)? {
                estimator.observe(
                    sent,
                    received,
                    Stamp(appended_ms * 1_000_000),
                    Nanos::from_millis(1),
                );
            }
        }
        estimator
            .estimate()
            .ok_or_else(|| failed("no probe record came back with a timestamp".to_owned()))
    }
}

fn failed(bootstrap: &str, reason: String) -> BrokerError {
    BrokerError::Failed {
        action: "measuring the broker's clock".to_owned(),
        bootstrap: bootstrap.to_owned(),
        reason,
    }
}
