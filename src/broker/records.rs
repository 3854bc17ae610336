//! Records of one topic, each stamped the moment librdkafka hands it over.
//!
//! Receiving has a thread of its own: T3 is when the consumer has the record, not when its writer has time for it. The
//! queue to the writer is short and bounded; what does not fit stays in Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::{Message, Timestamp};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::{BrokerError, bootstrap_of};
use crate::consumer::{Record, RecordBatch, RecordSource};
use crate::timeline::{Clock, Nanos, Stamp};

/// Batches between the receiving thread and the consumer.
const QUEUE: usize = 4;
/// A batch is what is there at once, up to so many records, and so many bytes but for the last record.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// Longest silent wait of the receiving thread, so that it sees a stop.
const POLL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(15);

/// What to read.
#[derive(Debug, Clone)]
pub struct RecordsConfig {
    /// Topic.
    pub topic: String,
    /// Consumer group; its committed offsets say where to begin, else the topic's beginning.
    pub group: String,
    /// Begin at the topic's end as it is now, whatever the group has committed.
    pub from_end: bool,
}

/// Settings that decide how soon a record is handed over: as soon as it is there, and a full local queue is looked at
/// again at once, where librdkafka's default waits a second.
const FETCH: [(&str, &str); 4] = [
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "16384"),
];

/// The settings that decide how soon a record is handed over.
#[must_use]
pub fn fetch_settings() -> BTreeMap<String, String> {
    FETCH
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Counts how often partitions are handed out.
#[derive(Debug, Clone, Default)]
pub struct Assignments(Arc<AtomicU64>);

impl Assignments {
    /// So far; the first is no rebalance.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ClientContext for Assignments {}

impl ConsumerContext for Assignments {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        if matches!(change, Rebalance::Assign(_)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Receiving = BaseConsumer<Assignments>;

/// The records of a topic as they arrive.
pub struct Records {
    queue: mpsc::Receiver<RecordBatch>,
    consumer: Arc<Receiving>,
    assignments: Assignments,
    topic: String,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Records {
    /// Joins the group and begins to receive.
    ///
    /// # Errors
    /// When the broker does not answer or the topic is not there.
    pub async fn subscribe(
        base: &ClientConfig,
        config: RecordsConfig,
        clock: Clock,
    ) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let mut settings = base.clone();
        settings
            .set("group.id", &config.group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // One that was killed is out of its group this soon, and no longer in the way of its removal.
            .set("session.timeout.ms", "10000");
        for (name, value) in FETCH {
            settings.set(name, value);
        }
        let assignments = Assignments::default();
        let counted = assignments.clone();
        let topic = config.topic.clone();
        let joined =
            tokio::task::spawn_blocking(move || -> rdkafka::error::KafkaResult<Receiving> {
                let consumer: Receiving = settings.create_with_context(counted)?;
                if config.from_end {
                    begin_at_the_end(&consumer, &config.topic)?;
                }
                consumer.subscribe(&[&config.topic])?;
                Ok(consumer)
            })
            .await;
        let failed = |reason: String| BrokerError::Failed {
            action: format!("subscribing to topic \"{topic}\""),
            bootstrap: bootstrap.clone(),
            reason,
        };
        let consumer = Arc::new(
            joined
                .map_err(|e| failed(e.to_string()))?
                .map_err(|e| failed(e.to_string()))?,
        );
        let (sender, queue) = mpsc::channel(QUEUE);
        let stopping = Arc::new(AtomicBool::new(false));
        let (thread_consumer, thread_stopping) = (Arc::clone(&consumer), Arc::clone(&stopping));
        let thread = std::thread::Builder::new()
            .name("kafka-receiver".to_owned())
            .spawn(move || receive(&thread_consumer, &sender, &thread_stopping, clock))
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            queue,
            consumer,
            assignments,
            topic,
            stopping,
            thread: Some(thread),
        })
    }

    /// How often partitions were handed out to us.
    #[must_use]
    pub fn assignments(&self) -> Assignments {
        self.assignments.clone()
    }

    /// Commits what was written and leaves the group.
    pub async fn close(mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        let (consumer, thread) = (Arc::clone(&self.consumer), self.thread.take());
        let left = tokio::task::spawn_blocking(move || {
            if let Some(thread) = thread {
                drop(thread.join());
            }
            match consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(())
                | Err(rdkafka::error::KafkaError::ConsumerCommit(
                    rdkafka::error::RDKafkaErrorCode::NoOffset,
                )) => {}
                Err(error) => {
                    tracing::warn!(%error, "the last offsets were not committed; these records will be delivered again")
                }
            }
            consumer.unsubscribe();
        });
        drop(left.await);
    }
}

impl RecordSource for Records {
    async fn recv(&mut self) -> Option<RecordBatch> {
        self.queue.recv().await
    }

    fn written(&mut self, partition: i32, offset: i64) {
        // A partition that was taken away meanwhile is another member's: it will write those records again, which is harmless.
        if let Err(error) = self.consumer.store_offset(&self.topic, partition, offset) {
            tracing::debug!(partition, offset, %error, "offset not kept");
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
    }
}

/// Commits the topic's present end for the group, so that it begins there, also after a rebalance or a restart.
fn begin_at_the_end(consumer: &Receiving, topic: &str) -> rdkafka::error::KafkaResult<()> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut ends = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
    {
        let (_, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        ends.add_partition_offset(topic, partition.id(), Offset::Offset(high))?;
    }
    consumer.commit(&ends, CommitMode::Sync)
}

fn receive(
    consumer: &Receiving,
    queue: &mpsc::Sender<RecordBatch>,
    stopping: &AtomicBool,
    clock: Clock,
) {
    while !stopping.load(Ordering::Relaxed) {
        let batch = gather(consumer, clock);
        if !batch.is_empty() && queue.blocking_send(batch).is_err() {
            break;
        }
    }
}

/// What is there, once something is.
fn gather(consumer: &Receiving, clock: Clock) -> RecordBatch {
    let mut batch = RecordBatch::default();
    let mut wait = POLL;
    while batch.len() < BATCH && batch.bytes() < BATCH_BYTES {
        let message = match consumer.poll(wait) {
            None => break,
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                // librdkafka reconnects by itself; the pause keeps a broker that is down from filling the log.
                tracing::warn!(%error, "Kafka consumer");
                if batch.is_empty() {
                    std::thread::sleep(POLL);
                }
                break;
            }
        };
        let received = clock.now();
        let appended = match message.timestamp() {
            Timestamp::NotAvailable => None,
            // The middle of its millisecond.
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => {
                Some(Stamp(ms * 1_000_000) + Nanos(500_000))
            }
        };
        batch.push(Record {
            value: message.payload(),
            partition: message.partition(),
            offset: message.offset(),
            appended,
            received,
        });
        wait = Duration::ZERO;
    }
    batch
}
