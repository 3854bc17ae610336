//! Makes a topic for the dead letters of another topic: it takes every record that the other takes, and keeps it.

use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer;

use super::admin::{Admin, options};
use super::error::BrokerError;

/// Bytes that headers take at most, over those of the record.
const HEADERS_BYTES: i64 = 64 * 1024;
/// Kafka's default for the largest record of a topic.
const DEFAULT_MAX_BYTES: i64 = 1_048_588;

impl Admin {
    /// Creates the topic of dead letters `name` for those of `source`, where that is a topic: as often replicated, for records as
    /// large with their headers, and without an end to how long they are kept. False when it existed.
    ///
    /// # Errors
    /// [`BrokerError::CreateTopic`] when the broker refuses.
    pub async fn create_dead_letter_topic(
        &self,
        name: &str,
        source: Option<&str>,
    ) -> Result<bool, BrokerError> {
        let (replication, max_bytes) = match source {
            Some(source) => (
                self.replication(source).await?,
                self.max_bytes(source).await,
            ),
            None => (-1, DEFAULT_MAX_BYTES),
        };
        let max_bytes = (max_bytes + HEADERS_BYTES).to_string();
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(replication))
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("max.message.bytes", &max_bytes);
        self.create(&topic).await
    }

    /// Replicas of the topic's first partition; -1, the broker's default, where there is no such topic.
    async fn replication(&self, topic: &str) -> Result<i32, BrokerError> {
        let name = topic.to_owned();
        self.with_consumer("reading the cluster's metadata", move |consumer| {
            let metadata = consumer.fetch_metadata(None, super::admin::TIMEOUT)?;
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            let replicas = found
                .and_then(|topic| topic.partitions().first())
                .map(|partition| partition.replicas().len());
            Ok(replicas
                .and_then(|replicas| i32::try_from(replicas).ok())
                .filter(|replicas| *replicas > 0)
                .unwrap_or(-1))
        })
        .await
    }

    /// The largest record that the topic takes; Kafka's default where the broker does not say.
    async fn max_bytes(&self, topic: &str) -> i64 {
        let Ok(client) = self.client().await else {
            return DEFAULT_MAX_BYTES;
        };
        let described = client
            .describe_configs([&ResourceSpecifier::Topic(topic)], &options())
            .await
            .unwrap_or_default();
        let found = described.into_iter().flatten().find_map(|resource| {
            let value = resource.get("max.message.bytes")?.value.as_deref()?;
            value.parse().ok()
        });
        found.unwrap_or(DEFAULT_MAX_BYTES)
    }
}
