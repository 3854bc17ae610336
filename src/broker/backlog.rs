//! The number of records that a consumer has not received yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::error::{BrokerError, bootstrap_of};
use super::membership::Membership;
use super::partition_end::partition_end;

/// Longest wait for the end of a partition.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks for the backlog of a consumer over that consumer's own connection. It does not keep the consumer alive.
#[derive(Clone)]
pub struct Backlog {
    consumer: Weak<BaseConsumer<Membership>>,
    bootstrap: Arc<str>,
}

impl Backlog {
    pub(super) fn of(
        consumer: &Arc<BaseConsumer<Membership>>,
        base: &rdkafka::ClientConfig,
    ) -> Self {
        Self {
            consumer: Arc::downgrade(consumer),
            bootstrap: bootstrap_of(base).into(),
        }
    }

    /// The partitions that this consumer has now; `None` once it leaves.
    #[must_use]
    pub fn partitions(&self) -> Option<BTreeSet<i32>> {
        let consumer = self.consumer.upgrade();
        let consumer = consumer.filter(|consumer| !consumer.context().is_leaving())?;
        let assigned = consumer.assignment().ok()?;
        let elements = assigned.elements();
        let topics = consumer.context().topics();
        let numbers = elements.iter();
        let numbers = numbers.map(|element| topics.number(element.topic(), element.partition()));
        Some(numbers.collect())
    }

    /// Records in each partition of this consumer that it has not received; `None` while its position in one is unknown, and once it
    /// leaves its group.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn by_partition(&self) -> Result<Option<BTreeMap<i32, u64>>, BrokerError> {
        let Some(consumer) = self.consumer.upgrade() else {
            return Ok(None);
        };
        if consumer.context().is_leaving() {
            return Ok(None);
        }
        // librdkafka's calls block.
        let asked = tokio::task::spawn_blocking(move || {
            let mut backlog = BTreeMap::new();
            let topics = consumer.context().topics();
            for (number, next) in positions(&consumer)? {
                let (topic, partition) = topics.place(number);
                let end = partition_end(&consumer, topic, partition, TIMEOUT)?;
                let Offset::Offset(next) = next else {
                    return Ok(None);
                };
                backlog.insert(number, u64::try_from(end - next).unwrap_or(0));
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

/// The next offset of each partition: after the last record that was received of it, or, where none was, the one that the group has
/// committed.
fn positions(consumer: &BaseConsumer<Membership>) -> KafkaResult<Vec<(i32, Offset)>> {
    let known = consumer.position()?;
    let topics = consumer.context().topics();
    let mut unread = TopicPartitionList::new();
    let mut positions = Vec::new();
    for element in known.elements() {
        match element.offset() {
            Offset::Offset(_) => {
                let number = topics.number(element.topic(), element.partition());
                positions.push((number, element.offset()));
            }
            _ => drop(unread.add_partition(element.topic(), element.partition())),
        }
    }
    if unread.count() > 0 {
        let committed = consumer.committed_offsets(unread, TIMEOUT)?;
        let elements = committed.elements();
        let numbered = elements.iter();
        let numbered = numbered.map(|e| (topics.number(e.topic(), e.partition()), e.offset()));
        positions.extend(numbered);
    }
    Ok(positions)
}
