//! How far the broker's clock is from ours, by probe records: sent at one time, acknowledged at another, and stamped by
//! the broker (LogAppendTime) in between.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{BrokerError, bootstrap_of};
use crate::timeline::{Clock, ClockOffset, Nanos, OffsetEstimator, Stamp};

/// Records are truncated to the millisecond; this many, spread over its phases, see below it.
const PROBES: u32 = 60;
/// One that travels longer than this says nothing the others do not.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends probe records to `topic`, which must have `message.timestamp.type=LogAppendTime`.
///
/// # Errors
/// When the broker does not take them, or stamps none.
pub async fn measure_offset(
    config: &ClientConfig,
    topic: &str,
    clock: Clock,
) -> Result<ClockOffset, BrokerError> {
    let failed = |reason: String| BrokerError::Failed {
        action: "measuring the broker's clock".to_owned(),
        bootstrap: bootstrap_of(config),
        reason,
    };
    let producer: FutureProducer = config
        .clone()
        .set("acks", "1")
        .set("linger.ms", "0")
        .set("message.timeout.ms", "10000")
        .create()
        .map_err(|e| failed(e.to_string()))?;
    let mut estimator = OffsetEstimator::default();
    for probe in 0..PROBES {
        // Successive probes fall on other fractions of the millisecond; paced by its golden section they spread evenly.
        tokio::time::sleep(Duration::from_micros(
            1_000 + u64::from(probe) * 618 % 1_000,
        ))
        .await;
        let sent = clock.now();
        let delivery = producer
            .send(FutureRecord::<(), _>::to(topic).payload("clock"), TIMEOUT)
            .await;
        let received = clock.now();
        let delivery = delivery.map_err(|(error, _)| failed(error.to_string()))?;
        // The first probes pay for connections and metadata: wide intervals, harmless to the intersection.
        if let Some(appended_ms) = delivery.timestamp.to_millis() {
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
