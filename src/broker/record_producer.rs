//! A producer of single records, each of which is waited for.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};

use super::error::{BrokerError, bootstrap_of};
use super::producer::{AwaitedProducer, AwaitedRecord, AwaitedReports};
use crate::records::RecordHeader;

/// How long a record is tried to be delivered.
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);
/// The largest record that librdkafka can be told to pass on: its size is for the broker to judge.
const MAX_RECORD_BYTES: &str = "1000000000";

/// A record to produce.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRecord<'a> {
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [RecordHeader],
}

/// A record was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum UndeliveredError {
    /// It is larger than its topic takes.
    #[error("a record of {bytes} bytes is larger than topic \"{topic}\" takes (max.message.bytes)")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Key and value together.
        bytes: usize,
    },
    /// The topic is not there.
    #[error("topic \"{topic}\" does not exist on {bootstrap}; create it, or name another")]
    NoTopic {
        /// The topic.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
    },
    /// We may not write to it.
    #[error(
        "writing to topic \"{topic}\" is not allowed; kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:NAME --operation Write --operation Describe --topic {topic}"
    )]
    NotAllowed {
        /// The topic.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
    },
    /// Anything else.
    #[error("a record for topic \"{topic}\" was not delivered to {bootstrap}: {reason}")]
    Failed {
        /// The topic.
        topic: String,
        /// Bootstrap servers.
        bootstrap: String,
        /// librdkafka's message.
        reason: String,
    },
}

/// A producer whose records are acknowledged by all replicas.
pub struct RecordProducer {
    producer: AwaitedProducer,
    /// Sends each record by itself.
    of_single: OnceLock<AwaitedProducer>,
    config: ClientConfig,
    bootstrap: String,
}

impl std::fmt::Debug for RecordProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordProducer")
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl RecordProducer {
    /// A producer. It takes a key's partition as Java's producers do.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(base: &ClientConfig) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let limit_ms = DELIVERY_LIMIT.as_millis().to_string();
        let mut config = base.clone();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", limit_ms)
            .set("message.max.bytes", MAX_RECORD_BYTES);
        let producer = make(&config).map_err(|reason| BrokerError::Failed {
            action: "making a producer".to_owned(),
            bootstrap: bootstrap.clone(),
            reason,
        })?;
        Ok(Self {
            producer,
            of_single: OnceLock::new(),
            config,
            bootstrap,
        })
    }

    /// Produces a record; ready when all replicas in sync have it.
    ///
    /// # Errors
    /// When it is not delivered within a minute, or refused.
    pub async fn send(
        &self,
        topic: &str,
        record: OutgoingRecord<'_>,
    ) -> Result<(), UndeliveredError> {
        match self.send_by(&self.producer, topic, record).await {
            // Records are sent together, and refused together for one that is too large: this may be another.
            Err(UndeliveredError::TooLarge { .. }) => {
                let alone = self.of_single(topic)?;
                self.send_by(alone, topic, record).await
            }
            sent => sent,
        }
    }

    /// Sends a value without a key to this partition, and waits until it is in the topic.
    ///
    /// # Errors
    /// As [`RecordProducer::send`].
    pub async fn send_to(
        &self,
        topic: &str,
        partition: i32,
        value: &[u8],
    ) -> Result<(), UndeliveredError> {
        let outgoing = AwaitedRecord {
            topic,
            partition: Some(partition),
            payload: Some(value),
            ..AwaitedRecord::default()
        };
        let sent = self.producer.deliver(outgoing).await;
        sent.map(drop)
            .map_err(|error| self.undelivered(topic, &error, value.len()))
    }

    fn of_single(&self, topic: &str) -> Result<&AwaitedProducer, UndeliveredError> {
        if let Some(made) = self.of_single.get() {
            return Ok(made);
        }
        let mut config = self.config.clone();
        let made = make(config.set("batch.num.messages", "1"));
        let made = made.map_err(|reason| UndeliveredError::Failed {
            topic: topic.to_owned(),
            bootstrap: self.bootstrap.clone(),
            reason,
        })?;
        Ok(self.of_single.get_or_init(|| made))
    }

    async fn send_by(
        &self,
        producer: &AwaitedProducer,
        topic: &str,
        record: OutgoingRecord<'_>,
    ) -> Result<(), UndeliveredError> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in record.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key, value });
        }
        let outgoing = AwaitedRecord {
            topic,
            partition: None,
            key: record.key,
            payload: record.value,
            headers: Some(headers),
        };
        let sent = producer.deliver(outgoing).await;
        sent.map(drop).map_err(|error| {
            let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            self.undelivered(topic, &error, bytes)
        })
    }

    fn undelivered(&self, topic: &str, error: &KafkaError, bytes: usize) -> UndeliveredError {
        let (topic, bootstrap) = (topic.to_owned(), self.bootstrap.clone());
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                UndeliveredError::TooLarge { topic, bytes }
            }
            Some(
                RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition,
            ) => UndeliveredError::NoTopic { topic, bootstrap },
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                UndeliveredError::NotAllowed { topic, bootstrap }
            }
            _ => UndeliveredError::Failed {
                topic,
                bootstrap,
                reason: error.to_string(),
            },
        }
    }
}

/// A producer; an error says what librdkafka does not accept.
fn make(config: &ClientConfig) -> Result<AwaitedProducer, String> {
    let made = config.create_with_context(AwaitedReports::default());
    made.map_err(|error| match error {
        // The value may be a secret.
        KafkaError::ClientConfig(_, _, key, _) => {
            format!("librdkafka does not accept the value of {key}")
        }
        error => error.to_string(),
    })
}
