//! Our own producer: keyed records, each with a delivery report that is stamped when it is received.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext};
use tokio_util::sync::CancellationToken;

use super::error::{BrokerError, bootstrap_of};
use super::oauth;
use super::producer::PolledProducer;
use cdc_bench_model::timeline::{Clock, Stamp};

/// Pause when librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_micros(500);
/// Longest wait for the last records to be delivered.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// Called for every record that is in Kafka, with what it was sent with and when its report was received. Called on the
/// producer's thread, for each partition in the order the records were sent.
pub type Delivered<T> = Box<dyn Fn(T, Stamp) + Send + Sync>;

/// A record that is not in Kafka: the first of them; those after it have the same reason, or were not sent.
#[derive(Debug)]
pub struct UndeliveredRecord<T> {
    /// What it was sent with.
    pub sent_with: T,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Size of key and value, bytes.
    pub size: usize,
    /// Kafka's code for the reason.
    pub code: Option<RDKafkaErrorCode>,
    /// The reason, in librdkafka's words.
    pub reason: String,
    /// Whether librdkafka refused it, without asking a broker.
    pub is_refused_by_client: bool,
}

/// A producer.
pub struct Publisher<T: Send + Sync + 'static> {
    producer: PolledProducer<DeliveryReports<T>>,
    bootstrap: String,
    failure: Arc<FirstFailure<T>>,
    abandoned: CancellationToken,
}

/// The first record that could not be delivered.
#[derive(Debug)]
struct FirstFailure<T> {
    record: OnceLock<UndeliveredRecord<T>>,
    is_there: CancellationToken,
}

impl<T> FirstFailure<T> {
    fn set(&self, record: UndeliveredRecord<T>) {
        // The first is kept.
        let _ = self.record.set(record);
        self.is_there.cancel();
    }
}

struct DeliveryReports<T> {
    delivered: Delivered<T>,
    clock: Clock,
    failure: Arc<FirstFailure<T>>,
}

impl<T: Send + Sync> ClientContext for DeliveryReports<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, source: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(source)
    }
}

impl<T: Send + Sync + 'static> ProducerContext for DeliveryReports<T> {
    type DeliveryOpaque = Box<T>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent_with: Box<T>) {
        let now = self.clock.now();
        match result {
            Ok(_) => (self.delivered)(*sent_with, now),
            Err((error, message)) => self.failure.set(UndeliveredRecord {
                sent_with: *sent_with,
                topic: message.topic().to_owned(),
                key: message.key().map(<[u8]>::to_vec),
                size: message.key_len() + message.payload_len(),
                code: error.rdkafka_error_code(),
                reason: error.to_string(),
                is_refused_by_client: false,
            }),
        }
    }
}

/// Our settings of a producer that a configuration may override, each with its other name.
const DEFAULTS: [(&str, &str, &str); 3] = [
    ("linger.ms", "queue.buffering.max.ms", "0"),
    ("partitioner", "partitioner", "murmur2_random"),
    ("socket.nagle.disable", "socket.nagle.disable", "true"),
];

impl<T: Send + Sync + 'static> Publisher<T> {
    /// A producer that acknowledges what all replicas have, keeps order, and sends none twice. Unless `base` says otherwise, it
    /// sends a record at once, and takes a key's partition as Java's producers do.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(
        base: &ClientConfig,
        clock: Clock,
        delivered: Delivered<T>,
    ) -> Result<Self, BrokerError> {
        let failure = Arc::new(FirstFailure {
            record: OnceLock::new(),
            is_there: CancellationToken::new(),
        });
        let reports = DeliveryReports {
            delivered,
            clock,
            failure: Arc::clone(&failure),
        };
        let mut config = base.clone();
        for (name, other_name, value) in DEFAULTS {
            if base.get(name).is_none() && base.get(other_name).is_none() {
                config.set(name, value);
            }
        }
        let producer = config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .create_with_context(reports)
            .map_err(|e| BrokerError::Failed {
                action: "making a producer".to_owned(),
                bootstrap: bootstrap_of(base),
                reason: match e {
                    // The value may be a secret.
                    KafkaError::ClientConfig(_, _, key, _) => {
                        format!("librdkafka does not accept the value of {key}")
                    }
                    e => e.to_string(),
                },
            })?;
        Ok(Self {
            producer,
            bootstrap: bootstrap_of(base),
            failure,
            abandoned: CancellationToken::new(),
        })
    }

    /// Takes no more records: whoever waits for room in the queue is refused.
    pub fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Hands a record to the producer; waits while its queue is full. `with` comes back with the delivery report.
    ///
    /// # Errors
    /// When the record cannot be taken, or an earlier one was not delivered: then order is broken, and no more are sent. The
    /// reason is kept, for [`Publisher::failure`] and [`Publisher::undelivered`].
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
            if self.abandoned.is_cancelled() {
                return Err(self.failed("nobody waits for the record any more"));
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(FULL_PAUSE);
                }
                Err((error, back)) => {
                    self.failure.set(UndeliveredRecord {
                        sent_with: *back.delivery_opaque,
                        topic: topic.to_owned(),
                        key: key.map(<[u8]>::to_vec),
                        size: key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len),
                        code: error.rdkafka_error_code(),
                        reason: error.to_string(),
                        is_refused_by_client: true,
                    });
                    return Err(self.failed(&error.to_string()));
                }
            }
        }
    }

    /// Why a record was not delivered, if one was not.
    #[must_use]
    pub fn failure(&self) -> Option<BrokerError> {
        let record = self.undelivered()?;
        Some(self.failed(&format!(
            "{} (a record of {} bytes for topic \"{}\")",
            record.reason, record.size, record.topic
        )))
    }

    /// The first record that was not delivered, if there is one.
    #[must_use]
    pub fn undelivered(&self) -> Option<&UndeliveredRecord<T>> {
        self.failure.record.get()
    }

    /// Cancelled when a record was not delivered.
    #[must_use]
    pub fn failed_token(&self) -> CancellationToken {
        self.failure.is_there.clone()
    }

    /// Number of records that are not delivered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Bootstrap servers.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
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
