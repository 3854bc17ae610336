//! The consumer groups that read some topics, by what they have committed.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::admin::Admin;
use super::context::BrokerContext;
use super::error::BrokerError;
use super::refusal;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A group that has committed offsets of the topics asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingGroup {
    /// Its name.
    pub name: String,
    /// Its state as the broker says it, such as `Stable` or `Empty`.
    pub state: String,
    /// The topics of which it has committed offsets.
    pub topics: Vec<String>,
}

impl Admin {
    /// The groups that have committed offsets of any of these topics, by name. One that we may not look at is left out.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn reading_groups(
        &self,
        topics: &[(String, i32)],
    ) -> Result<Vec<ReadingGroup>, BrokerError> {
        let (config, topics) = (self.config().clone(), topics.to_vec());
        let found = tokio::task::spawn_blocking(move || find(&config, &topics)).await;
        let action = "listing consumer groups";
        let found = found.map_err(|panicked| self.failed(action, &panicked.to_string()))?;
        found.map_err(|error| self.failed(action, &error.to_string()))
    }
}

fn find(config: &ClientConfig, topics: &[(String, i32)]) -> KafkaResult<Vec<ReadingGroup>> {
    let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
    refusal::fetch_token(config, &consumer);
    let list = consumer.fetch_group_list(None, TIMEOUT)?;
    let mut groups = Vec::new();
    for group in list.groups() {
        let committed = match committed_topics(config, group.name(), topics) {
            Ok(committed) => committed,
            Err(error) => {
                tracing::debug!(group = group.name(), %error, "a group could not be looked at");
                continue;
            }
        };
        if !committed.is_empty() {
            groups.push(ReadingGroup {
                name: group.name().to_owned(),
                state: group.state().to_owned(),
                topics: committed,
            });
        }
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}

fn committed_topics(
    config: &ClientConfig,
    group: &str,
    topics: &[(String, i32)],
) -> KafkaResult<Vec<String>> {
    let mut config = config.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
    refusal::fetch_token(&config, &consumer);
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..*partitions {
            list.add_partition(topic, partition);
        }
    }
    let committed = consumer.committed_offsets(list, TIMEOUT)?;
    let has = |topic: &str| {
        let elements = committed.elements_for_topic(topic);
        let mut offsets = elements.iter().map(|element| element.offset());
        offsets.any(|offset| matches!(offset, Offset::Offset(_)))
    };
    let names = topics.iter().map(|(topic, _)| topic.clone());
    Ok(names.filter(|topic| has(topic)).collect())
}
