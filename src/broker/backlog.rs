//! The number of records that a consumer has not received yet.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::error::{BrokerError, bootstrap_of};
use super::membership::Membership;
use super::partition_end::partition_end;

/// Longest wait for the end of a partition.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks for the backlog of a consumer over that consumer's own connection. It does not keep the consumer alive.
#[derive(Clone)]
pub struct Backlog {
    consumer: Weak<BaseConsumer<Membership>>,
    topic: Arc<str>,
    bootstrap: Arc<str>,
}

impl Backlog {
    pub(super) fn of(
        consumer: &Arc<BaseConsumer<Membership>>,
        topic: &str,
        base: &rdkafka::ClientConfig,
    ) -> Self {
        Self {
            consumer: Arc::downgrade(consumer),
            topic: topic.into(),
            bootstrap: bootstrap_of(base).into(),
        }
    }

    /// Records in the partitions of this consumer that it has not received; `None` while it has received none of some
    /// partition, so that its position there is unknown, and once it leaves its group.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn records(&self) -> Result<Option<u64>, BrokerError> {
        let Some(consumer) = self.consumer.upgrade() else {
            return Ok(None);
        };
        if consumer.context().is_leaving() {
            return Ok(None);
        }
        let topic = Arc::clone(&self.topic);
        // librdkafka's calls block.
        let asked = tokio::task::spawn_blocking(move || {
            let mut backlog = 0;
            for position in consumer.position()?.elements() {
                let end = partition_end(&consumer, &topic, position.partition(), TIMEOUT)?;
                let rdkafka::Offset::Offset(next) = position.offset() else {
                    return Ok(None);
                };
                backlog += u64::try_from(end - next).unwrap_or(0);
            }
            Ok::<_, rdkafka::error::KafkaError>(Some(backlog))
        });
        let failed = |reason: String| BrokerError::Failed {
            action: "reading the topic's end".to_owned(),
            bootstrap: self.bootstrap.to_string(),
            reason,
        };
        let answer = asked.await.map_err(|panicked| failed(panicked.to_string()));
        answer?.map_err(|error| failed(error.to_string()))
    }
}
