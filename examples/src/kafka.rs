//! A sink that produces events to a topic of Kafka.

use std::collections::VecDeque;

use pgcdc::{Batch, Sink};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

use super::outbox::{OutboxError, outbox_events};

/// Produces each event to a topic, keyed by its aggregate, at least once.
///
/// The producer is idempotent, so its own attempts make neither duplicates nor another order. An event comes again, with the same
/// header `idempotency-key`, when another of its batch has failed, and when the program ended before the batch was acknowledged.
pub struct KafkaSink {
    producer: FutureProducer,
    topic: String,
    /// Records without a delivery report, in order. At most those of a batch, since each batch is flushed.
    in_flight: VecDeque<DeliveryFuture>,
}

/// Why an event was not produced.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSinkError {
    /// Kafka refuses it, or does not answer.
    #[error("topic {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// The client's error.
        source: KafkaError,
    },
    /// The producer was closed.
    #[error("the producer was closed before its delivery reports came")]
    Closed,
    /// The batch has no events of an outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl KafkaSink {
    /// Produces to this topic. No connection is made yet.
    ///
    /// # Errors
    /// When the client refuses its configuration.
    pub fn new(bootstrap: &str, topic: &str) -> Result<Self, KafkaError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            // Acknowledged by all replicas in sync, and written once by each producer.
            .set("enable.idempotence", "true")
            // Partitions as the clients in Java choose them.
            .set("partitioner", "murmur2_random")
            .create()?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            in_flight: VecDeque::new(),
        })
    }

    fn kafka_error(&self, source: KafkaError) -> KafkaSinkError {
        KafkaSinkError::Kafka {
            topic: self.topic.clone(),
            source,
        }
    }

    /// Hands a record to the producer, whose queue may have to become shorter first.
    async fn send(&mut self, mut record: FutureRecord<'_, str, str>) -> Result<(), KafkaSinkError> {
        loop {
            match self.producer.send_result(record) {
                Ok(report) => {
                    self.in_flight.push_back(report);
                    return Ok(());
                }
                Err((error, rejected)) => {
                    let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    match self.in_flight.pop_front().filter(|_| is_full) {
                        Some(oldest) => self.report(oldest).await?,
                        None => return Err(self.kafka_error(error)),
                    }
                    record = rejected;
                }
            }
        }
    }

    async fn report(&self, report: DeliveryFuture) -> Result<(), KafkaSinkError> {
        match report.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(self.kafka_error(error)),
            Err(_) => Err(KafkaSinkError::Closed),
        }
    }

    /// Waits for every delivery report. Also after an error: what is in flight when a batch is written again would come after it.
    async fn reports(&mut self) -> Result<(), KafkaSinkError> {
        let mut reports = Ok(());
        while let Some(report) = self.in_flight.pop_front() {
            reports = reports.and(self.report(report).await);
        }
        reports
    }
}

impl Sink for KafkaSink {
    type Error = KafkaSinkError;

    async fn write(&mut self, batch: &Batch) -> Result<(), KafkaSinkError> {
        let topic = self.topic.clone();
        for event in outbox_events(batch) {
            let event = event?;
            let header = |key, value| Header {
                key,
                value: Some(value),
            };
            let headers = OwnedHeaders::new()
                .insert(header("idempotency-key", &*event.idempotency_key))
                .insert(header("type", event.event_type));
            let record = FutureRecord::to(&topic)
                .key(event.aggregate_id)
                .payload(event.payload)
                .headers(headers);
            if let Err(error) = self.send(record).await {
                // The first error is the one to report.
                let _ = self.reports().await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), KafkaSinkError> {
        self.reports().await
    }

    fn is_transient(&self, error: &KafkaSinkError) -> bool {
        let KafkaSinkError::Kafka { source, .. } = error else {
            return false;
        };
        !matches!(
            source.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::InvalidTopic
            )
        )
    }
}
