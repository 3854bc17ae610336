//! Topics and consumer groups: describe, create, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::admin_token::AdminToken;
use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::partition_end::partition_end;
use super::refusal;

/// Longest wait for one answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a group's members to leave. Ours time out after ten seconds.
const EMPTY_GROUP_LIMIT: Duration = Duration::from_secs(20);

/// The state of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replicas: usize,
    /// Whether record timestamps are the broker's (`message.timestamp.type=LogAppendTime`); `None` where the broker does not say.
    pub log_append_time: Option<bool>,
}

/// Manages topics and groups.
pub struct Admin {
    client: AdminClient<BrokerContext>,
    token: AdminToken,
    config: ClientConfig,
    bootstrap: String,
}

impl Admin {
    /// Connects, and waits for the first answer of a broker.
    ///
    /// # Errors
    /// [`BrokerError::Unreachable`] when none comes within ten seconds.
    pub async fn connect(config: &ClientConfig) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(config);
        let unreachable = |reason: String| BrokerError::Unreachable {
            bootstrap: bootstrap.clone(),
            reason,
        };
        refusal::check(config).await?;
        let client = config
            .create_with_context(BrokerContext::default())
            .map_err(|e| unreachable(e.to_string()))?;
        Ok(Self {
            client,
            token: AdminToken::default(),
            config: config.clone(),
            bootstrap: bootstrap.clone(),
        })
    }

    /// Names of all topics.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn topic_names(&self) -> Result<BTreeSet<String>, BrokerError> {
        self.with_consumer("reading the cluster's metadata", |consumer| {
            let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
            let topics = metadata.topics().iter();
            Ok(topics.map(|topic| topic.name().to_owned()).collect())
        })
        .await
    }

    /// The state of a topic; `None` when there is none.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicState>, BrokerError> {
        let topic = name.to_owned();
        // Metadata of all topics: a request for one would create it where auto.create.topics.enable is on.
        let partitions = self
            .with_consumer("reading the cluster's metadata", move |consumer| {
                let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
                Ok(metadata
                    .topics()
                    .iter()
                    .find(|t| t.name() == topic)
                    .map(|t| {
                        let replicas = t.partitions().first().map(|p| p.replicas().len());
                        (t.partitions().len(), replicas.unwrap_or(0))
                    }))
            })
            .await?;
        let Some((partitions, replicas)) = partitions else {
            return Ok(None);
        };
        let described = self
            .client()
            .await?
            .describe_configs([&ResourceSpecifier::Topic(name)], &options())
            .await
            .unwrap_or_default();
        let log_append_time = described.into_iter().flatten().find_map(|resource| {
            resource
                .get("message.timestamp.type")?
                .value
                .as_deref()
                .map(|value| value == "LogAppendTime")
        });
        Ok(Some(TopicState {
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            replicas,
            log_append_time,
        }))
    }

    /// Address of the broker that leads the first partition of a topic; `None` while it has no leader.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn leader(&self, topic: &str) -> Result<Option<String>, BrokerError> {
        let topic = topic.to_owned();
        self.with_consumer("reading the cluster's metadata", move |consumer| {
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
            let topics = metadata.topics().iter();
            let mut partitions = topics.flat_map(rdkafka::metadata::MetadataTopic::partitions);
            let leader = partitions.find(|p| p.id() == 0).map(|p| p.leader());
            let mut brokers = metadata.brokers().iter();
            let found = leader.and_then(|id| brokers.find(|broker| broker.id() == id));
            Ok(found.map(|broker| format!("{}:{}", broker.host(), broker.port())))
        })
        .await
    }

    /// Number of brokers of the cluster.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn brokers(&self) -> Result<usize, BrokerError> {
        self.with_consumer("reading the cluster's metadata", |consumer| {
            Ok(consumer.fetch_metadata(None, TIMEOUT)?.brokers().len())
        })
        .await
    }

    /// Creates a topic whose timestamps are the broker's. False when it existed.
    ///
    /// # Errors
    /// [`BrokerError::CreateTopic`] when the broker refuses.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<bool, BrokerError> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
            .set("message.timestamp.type", "LogAppendTime");
        self.create(&topic).await
    }

    /// Creates a topic of one partition that keeps the last record of every key. False when it existed.
    ///
    /// # Errors
    /// [`BrokerError::CreateTopic`] when the broker refuses.
    pub async fn create_compacted_topic(&self, name: &str) -> Result<bool, BrokerError> {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(-1))
            .set("cleanup.policy", "compact")
            .set("segment.ms", "60000")
            .set("min.cleanable.dirty.ratio", "0.1");
        self.create(&topic).await
    }

    /// Creates a topic, and waits until its metadata is there. False if it existed.
    ///
    /// # Errors
    /// [`BrokerError::CreateTopic`] when the broker refuses.
    pub(super) async fn create(&self, topic: &NewTopic<'_>) -> Result<bool, BrokerError> {
        let name = topic.name;
        let failed = |reason: String| BrokerError::CreateTopic {
            topic: name.to_owned(),
            bootstrap: self.bootstrap.clone(),
            reason,
        };
        let client = self.client().await?;
        let results = client.create_topics([topic], &options()).await;
        let results = results.map_err(|error| failed(error.to_string()))?;
        match results.into_iter().next() {
            Some(Ok(_)) => {
                self.wait_for_topic(name, topic.num_partitions).await?;
                Ok(true)
            }
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(failed(code.to_string())),
            None => Err(failed("the broker gave no answer".to_owned())),
        }
    }

    /// A topic is created before every broker has its metadata.
    async fn wait_for_topic(&self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        let is_whole = |topic: TopicState| topic.partitions >= partitions;
        for _ in 0..100 {
            if self.topic(name).await?.is_some_and(is_whole) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(BrokerError::NoTopic {
            topic: name.to_owned(),
            bootstrap: self.bootstrap.clone(),
        })
    }

    /// Deletes a topic, if it exists.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<(), BrokerError> {
        let failed = |reason: String| self.failed(&format!("deleting topic \"{name}\""), &reason);
        let results = self
            .client()
            .await?
            .delete_topics(&[name], &options())
            .await
            .map_err(|e| failed(e.to_string()))?;
        match results.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                Err(failed(code.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a consumer group, if it exists. A member that was killed stays in the group until its session times out,
    /// so a group that is not empty is tried again for longer than that.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_group(&self, group: &str) -> Result<(), BrokerError> {
        let failed =
            |reason: String| self.failed(&format!("deleting consumer group \"{group}\""), &reason);
        let began = Instant::now();
        loop {
            let results = self
                .client()
                .await?
                .delete_groups(&[group], &options())
                .await
                .map_err(|e| failed(e.to_string()))?;
            match results.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::NonEmptyGroup)))
                    if began.elapsed() < EMPTY_GROUP_LIMIT =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await
                }
                Some(Err((_, code))) if code != RDKafkaErrorCode::GroupIdNotFound => {
                    return Err(failed(code.to_string()));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Records ever appended to the topic's partitions (the sum of their high watermarks).
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn end_offsets(
        &self,
        topic: &str,
        partitions: i32,
    ) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let name = topic.to_owned();
        self.with_consumer("reading the topic's end", move |consumer| {
            let end = |partition| {
                let end = partition_end(consumer, &name, partition, TIMEOUT)?;
                Ok((partition, end))
            };
            (0..partitions).map(end).collect()
        })
        .await
    }

    /// The client, let in.
    pub(super) async fn client(&self) -> Result<&AdminClient<BrokerContext>, BrokerError> {
        let renewed = self.token.renew(&self.config, &self.client).await;
        renewed.map_err(|reason| self.failed("logging in", &reason))?;
        Ok(&self.client)
    }

    /// The configuration that its clients are made of.
    pub(super) fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) fn failed(&self, action: &str, reason: &str) -> BrokerError {
        BrokerError::Failed {
            action: action.to_owned(),
            bootstrap: self.bootstrap.clone(),
            reason: reason.to_owned(),
        }
    }

    /// librdkafka's metadata calls block, so they run on a thread of their own.
    pub(super) async fn with_consumer<T: Send + 'static>(
        &self,
        action: &str,
        call: impl FnOnce(&BaseConsumer<BrokerContext>) -> rdkafka::error::KafkaResult<T>
        + Send
        + 'static,
    ) -> Result<T, BrokerError> {
        let config = self.config.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
            refusal::fetch_token(&config, &consumer);
            call(&consumer)
        })
        .await;
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(action, &error.to_string())),
            Err(panicked) => Err(self.failed(action, &panicked.to_string())),
        }
    }
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}
