//! A producer with a thread that receives its delivery reports.
//!
//! It does what `rdkafka`'s `ThreadedProducer` and `FutureProducer` do, and is idle when there is nothing to do: their `poll` cuts what
//! is left of its time to whole milliseconds, and asks without a pause in the last of them. At ten polls a second that is a hundredth of
//! a core for each producer, whether it produces or not.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, ProducerContext};
use rdkafka::statistics::Statistics;
use tokio::sync::oneshot;

use super::context::BrokerContext;

/// Longest wait for a report, so that a stop is seen. The part of a millisecond is what the system adds to a sleep: with it, nothing is
/// left of the time when a poll has slept through.
const POLL: Duration = Duration::from_micros(250_060);
/// Pause when librdkafka's queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A producer and the thread of its delivery reports, which ends when this is dropped.
pub(super) struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> FromClientConfigAndContext<C> for PolledProducer<C> {
    fn from_config_and_context(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer: BaseProducer<C> = config.create_with_context(context)?;
        let (producer, stopping) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (polled, is_stopping) = (Arc::clone(&producer), Arc::clone(&stopping));
        let thread = std::thread::Builder::new()
            .name("kafka-reports".to_owned())
            .spawn(move || {
                while !is_stopping.load(Ordering::Relaxed) {
                    polled.poll(POLL);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            producer,
            stopping,
            thread: Some(thread),
        })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C, NoCustomPartitioner>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            drop(thread.join());
        }
    }
}

/// The context of a producer whose records are waited for.
#[derive(Debug, Default)]
pub(super) struct AwaitedReports(BrokerContext);

/// Sends a record's outcome to who waits for it: when the broker has appended it, in milliseconds since 1970.
type Waiting = oneshot::Sender<Result<Option<i64>, KafkaError>>;

impl ClientContext for AwaitedReports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = BrokerContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        source: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(source)
    }
}

impl ProducerContext for AwaitedReports {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => Ok(message.timestamp().to_millis()),
            Err((error, _)) => Err(error.clone()),
        };
        // Who has sent it may not wait any more.
        let _ = waiting.send(outcome);
    }
}

/// A record to send.
#[derive(Debug, Default)]
pub(super) struct AwaitedRecord<'a> {
    pub(super) topic: &'a str,
    /// `None`: by its key.
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// A producer whose records are waited for one by one.
pub(super) type AwaitedProducer = PolledProducer<AwaitedReports>;

impl AwaitedProducer {
    /// Sends a record, and waits until it is delivered: when the broker has appended it, in milliseconds since 1970.
    ///
    /// # Errors
    /// librdkafka's, when it is refused or not delivered in the time that the configuration gives.
    pub(super) async fn deliver(
        &self,
        record: AwaitedRecord<'_>,
    ) -> Result<Option<i64>, KafkaError> {
        let (waiting, outcome) = oneshot::channel();
        let mut outgoing: BaseRecord<'_, [u8], [u8], Box<Waiting>> =
            BaseRecord::with_opaque_to(record.topic, Box::new(waiting));
        outgoing.partition = record.partition;
        outgoing.key = record.key;
        outgoing.payload = record.payload;
        outgoing.headers = record.headers;
        loop {
            match self.send(outgoing) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    outgoing = back;
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
        outcome.await.unwrap_or(Err(KafkaError::Canceled))
    }
}
