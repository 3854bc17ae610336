//! What we may not do in Kafka, as far as that can be asked without making anything.

use std::time::{Duration, Instant};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::admin::{Admin, options};
use super::context::BrokerContext;
use super::error::BrokerError;
use super::refusal;

/// What a run creates, writes, reads and deletes.
const TOPIC_OPERATIONS: [&str; 6] = [
    "Create",
    "Describe",
    "DescribeConfigs",
    "Read",
    "Write",
    "Delete",
];
const GROUP_OPERATIONS: [&str; 3] = ["Describe", "Read", "Delete"];
/// What is done with a topic of somebody's.
const READ_OPERATIONS: [&str; 3] = ["Describe", "DescribeConfigs", "Read"];

/// Longest wait for the answer to a fetch.
const FETCH_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for an event of the consumer.
const EVENT_WAIT: Duration = Duration::from_millis(100);

/// A right that is missing, and the command that grants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAcl {
    /// What may not be done.
    pub what: String,
    /// A command line of `kafka-acls.sh`.
    pub command: String,
}

impl Admin {
    /// Which of these may not be used: topics whose names begin with `topics`, groups whose names begin with `groups`, and a topic
    /// that is read if it is there. Nothing is made.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn missing_acls(
        &self,
        topics: &str,
        groups: &str,
        read: Option<&str>,
    ) -> Result<Vec<MissingAcl>, BrokerError> {
        let mut missing = Vec::new();
        if !self.may_create(&format!("{topics}doctor")).await? {
            missing.push(MissingAcl {
                what: format!("may not create topics whose names begin with {topics}"),
                command: self.acls(&with_prefix("topic", topics), &TOPIC_OPERATIONS),
            });
        }
        match self.group(&format!("{groups}doctor")).await {
            Ok(_) => {}
            Err(BrokerError::GroupRights { .. }) => missing.push(MissingAcl {
                what: format!("may not use consumer groups whose names begin with {groups}"),
                command: self.acls(&with_prefix("group", groups), &GROUP_OPERATIONS),
            }),
            Err(error) => return Err(error),
        }
        if let Some(topic) = read {
            let group = format!("{groups}doctor");
            missing.extend(self.missing_right_to_read(topic, &group).await?);
        }
        Ok(missing)
    }

    /// What is missing to read a topic; `None` also when there is no such topic. `group` is a name to ask by, which is not joined.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn missing_right_to_read(
        &self,
        topic: &str,
        group: &str,
    ) -> Result<Option<MissingAcl>, BrokerError> {
        let may_read = self.may_read(topic, group).await?;
        Ok((!may_read).then(|| MissingAcl {
            what: format!("may not read topic {topic}"),
            command: self.acls(&format!("--topic {topic}"), &READ_OPERATIONS),
        }))
    }

    /// Whether records of a topic may be read; also true when there is no such topic. The broker is asked for the records after the
    /// last one. The group is not joined.
    async fn may_read(&self, topic: &str, group: &str) -> Result<bool, BrokerError> {
        let action = format!("asking whether topic \"{topic}\" may be read");
        let mut config = self.config().clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let topic = topic.to_owned();
        let asked = tokio::task::spawn_blocking(move || fetch_at_end(&config, &topic));
        let answer = asked.await;
        let answer = answer.map_err(|panicked| self.failed(&action, &panicked.to_string()))?;
        match answer {
            Ok(()) => Ok(true),
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Ok(false),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(true),
                _ => Err(self.failed(&action, &error.to_string())),
            },
        }
    }

    /// Whether a topic of this name could be created.
    async fn may_create(&self, name: &str) -> Result<bool, BrokerError> {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(-1));
        let action = format!("asking whether topic \"{name}\" may be created");
        let asked = self
            .client()
            .await?
            .create_topics([&topic], &options().validate_only(true))
            .await
            .map_err(|error| self.failed(&action, &error.to_string()))?;
        match asked.into_iter().next() {
            Some(Err((
                _,
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => Ok(false),
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(self.failed(&action, &code.to_string()))
            }
            _ => Ok(true),
        }
    }

    /// The command that grants operations on a resource, which is written as the options that name it.
    fn acls(&self, resource: &str, operations: &[&str]) -> String {
        let user = self.config().get("sasl.username").unwrap_or("NAME");
        let operations: Vec<_> = operations
            .iter()
            .map(|operation| format!("--operation {operation}"))
            .collect();
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:{user} {} {resource}",
            self.bootstrap(),
            operations.join(" ")
        )
    }
}

/// Resources of a kind whose names begin with a prefix.
fn with_prefix(kind: &str, prefix: &str) -> String {
    format!("--{kind} {prefix} --resource-pattern-type prefixed")
}

/// Fetches what comes after the last record of a topic's first partition. A consumer's requests do not create the topic.
fn fetch_at_end(config: &ClientConfig, topic: &str) -> Result<(), KafkaError> {
    let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
    refusal::fetch_token(config, &consumer);
    let metadata = consumer.fetch_metadata(Some(topic), FETCH_LIMIT)?;
    let errors = metadata.topics().iter().filter_map(|topic| topic.error());
    if let Some(error) = errors.map(RDKafkaErrorCode::from).next() {
        return Err(KafkaError::MetadataFetch(error));
    }
    let mut end = TopicPartitionList::new();
    end.add_partition_offset(topic, 0, Offset::End)?;
    consumer.assign(&end)?;
    let began = Instant::now();
    while began.elapsed() < FETCH_LIMIT {
        match consumer.poll(EVENT_WAIT) {
            Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error))
                if error.rdkafka_error_code()
                    == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
            {
                return Err(error);
            }
            // What concerns the group, which is not used.
            Some(Err(_)) | None => {}
        }
    }
    Err(KafkaError::MessageConsumption(
        RDKafkaErrorCode::OperationTimedOut,
    ))
}
