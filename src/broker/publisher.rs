//! Our own producer: keyed records, each with a delivery report that is stamped when it is received.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::error::{BrokerError, bootstrap_of};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Pause when librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_micros(500);
/// Longest wait for the last records to be delivered.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Called for every record that is in Kafka, with what it was sent with and when its report was received. Called on the
/// producer's thread, for each partition in the order the records were sent.
pub type Delivered<T> = Box<dyn Fn(T, Stamp) + Send + Sync>;

/// A producer.
pub struct Publisher<T: Send + Sync + 'static> {
    producer: ThreadedProducer<DeliveryReports<T>>,
    bootstrap: String,
    failure: Arc<OnceLock<String>>,
}

struct DeliveryReports<T> {
    delivered: Delivered<T>,
    clock: Clock,
    failure: Arc<OnceLock<String>>,
}

impl<T> ClientContext for DeliveryReports<T> {}

impl<T: Send + Sync + 'static> ProducerContext for DeliveryReports<T> {
    type DeliveryOpaque = Box<T>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent_with: Box<T>) {
        let now = self.clock.now();
        match result {
            Ok(_) => (self.delivered)(*sent_with, now),
            Err((error, _)) => {
                // The first error is kept; those after it have the same reason.
                self.failure.get_or_init(|| error.to_string());
            }
        }
    }
}

impl<T: Send + Sync + 'static> Publisher<T> {
    /// A producer that acknowledges what all replicas have, keeps order, sends a record at once, sends none twice, and takes
    /// a key's partition as Java's producers do.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(
        base: &ClientConfig,
        clock: Clock,
        delivered: Delivered<T>,
    ) -> Result<Self, BrokerError> {
        let failure = Arc::new(OnceLock::new());
        let reports = DeliveryReports {
            delivered,
            clock,
            failure: Arc::clone(&failure),
        };
        let producer = base
            .clone()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("socket.nagle.disable", "true")
            .create_with_context(reports)
            .map_err(|e| BrokerError::Failed {
                action: "making a producer".to_owned(),
                bootstrap: bootstrap_of(base),
                reason: e.to_string(),
            })?;
        Ok(Self {
            producer,
            bootstrap: bootstrap_of(base),
            failure,
        })
    }

    /// Hands a record to the producer; waits while its queue is full. `with` comes back with the delivery report.
    ///
    /// # Errors
    /// When the record cannot be taken, or an earlier one was not delivered: then order is broken, and no more are sent.
    pub fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        with: T,
    ) -> Result<(), BrokerError> {
        let mut record: BaseRecord<'_, [u8], [u8], Box<T>> =
            BaseRecord::with_opaque_to(topic, Box::new(with));
        record.key = key;
        record.payload = value;
        loop {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(FULL_PAUSE);
                }
                Err((error, _)) => return Err(self.failed(&error.to_string())),
            }
        }
    }

    /// Why a record was not delivered, if one was not.
    #[must_use]
    pub fn failure(&self) -> Option<BrokerError> {
        self.failure.get().map(|reason| self.failed(reason))
    }

    /// Waits until everything that was sent is delivered.
    ///
    /// # Errors
    /// When it is not within ten seconds.
    pub fn flush(&self) -> Result<(), BrokerError> {
        self.producer
            .flush(FLUSH_LIMIT)
            .map_err(|error| self.failed(&error.to_string()))
    }

    fn failed(&self, reason: &str) -> BrokerError {
        BrokerError::Failed {
            action: "producing".to_owned(),
            bootstrap: self.bootstrap.clone(),
            reason: reason.to_owned(),
        }
    }
}
