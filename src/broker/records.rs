//! Records of one topic, each stamped the moment librdkafka hands it over.
//!
//! Receiving has a thread of its own: T3 is when the consumer has the record, not when its writer has time for it. The
//! queue to the writer is short and bounded; what does not fit stays in Kafka, and where it does not fit for long the
//! partitions are paused, so that the member goes on answering its group.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::backlog::Backlog;
use super::membership::{Membership, Rebalances};
use super::messages::{Messages, Received};
use super::{BrokerError, bootstrap_of};
use crate::records::{RecordBatch, RecordSource};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Batches between the receiving thread and the consumer.
const QUEUE: usize = 4;
/// A batch is what is there at once, up to so many records, and so many bytes but for the last record.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// Longest silent wait of the receiving thread, so that it sees a stop.
const POLL: Duration = Duration::from_millis(100);
/// How long the queue is full before the partitions are paused. What librdkafka has fetched ahead is lost with that.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at whether the consumer is nobody's any more.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// What to read.
#[derive(Debug, Clone)]
pub struct RecordsConfig {
    /// Topic.
    pub topic: String,
    /// Consumer group; its committed offsets say where to begin, else the topic's beginning.
    pub group: String,
    /// Begin at the topic's end as it is now, whatever the group has committed.
    pub from_end: bool,
    /// How records are fetched: see [`fetch_settings`].
    pub fetch: BTreeMap<String, String>,
}

/// Settings that decide how soon a record is handed over: as soon as it is there, and a full local queue is looked at
/// again at once, where librdkafka's default waits a second.
const FETCH: [(&str, &str); 4] = [
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "16384"),
];

/// The settings that decide how soon a record is handed over: ours, and over them the user's.
#[must_use]
pub fn fetch_settings(over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = FETCH
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ours.chain(over.clone()).collect()
}

/// The records of a topic as they arrive.
pub struct Records {
    queue: mpsc::Receiver<RecordBatch>,
    consumer: Arc<BaseConsumer<Membership>>,
    topic: String,
    backlog: Backlog,
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
            // One that was killed is out of its group this soon, and no longer in the way of its removal. It has a price: who
            // sees no broker for as long gives its place up, and waits until that has expired before it has another.
            .set("session.timeout.ms", "10000");
        for (name, value) in &config.fetch {
            settings.set(name, value);
        }
        let topic = config.topic.clone();
        let joined = tokio::task::spawn_blocking(move || -> KafkaResult<BaseConsumer<_>> {
            let membership = Membership::new(clock);
            let consumer: BaseConsumer<_> = settings.create_with_context(membership)?;
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
        let receiver = Receiver {
            consumer: Arc::clone(&consumer),
            queue: sender,
            stopping: Arc::clone(&stopping),
            clock,
            early: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-receiver".to_owned())
            .spawn(move || receiver.run())
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            queue,
            backlog: Backlog::of(&consumer, &topic, base),
            consumer,
            topic,
            stopping,
            thread: Some(thread),
        })
    }

    /// The times that partitions were handed out to us.
    #[must_use]
    pub fn rebalances(&self) -> Rebalances {
        self.consumer.context().rebalances()
    }

    /// How far we are behind the topic.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Commits what was written and leaves the group: when this returns, nobody is in it by us.
    pub async fn close(mut self) {
        self.stop();
        let (mut consumer, thread) = (Arc::clone(&self.consumer), self.thread.take());
        drop(self);
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
            // Its end is what leaves the group, and who asks for the backlog at this moment has it, too.
            while let Err(shared) = Arc::try_unwrap(consumer) {
                consumer = shared;
                std::thread::sleep(LAST_LOOK);
            }
        });
        drop(left.await);
    }
}

impl Records {
    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        self.consumer.context().leave();
        self.wake();
    }

    /// There is room in the queue.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl RecordSource for Records {
    async fn recv(&mut self) -> Option<RecordBatch> {
        let batch = self.queue.recv().await;
        self.wake();
        batch
    }

    fn written(&mut self, partition: i32, offset: i64) {
        // A partition that was taken away meanwhile is another member's: it will write those records again, which is harmless.
        if let Err(error) = self.consumer.store_offset(&self.topic, partition, offset) {
            tracing::debug!(partition, offset, %error, "offset not kept");
        }
        self.consumer.context().written(partition, offset);
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Commits the topic's present end for the group, so that it begins there, also after a rebalance or a restart.
fn begin_at_the_end(consumer: &BaseConsumer<Membership>, topic: &str) -> KafkaResult<()> {
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

/// The receiving thread's work.
struct Receiver {
    consumer: Arc<BaseConsumer<Membership>>,
    queue: mpsc::Sender<RecordBatch>,
    stopping: Arc<AtomicBool>,
    clock: Clock,
    /// What came in while everything was paused: of partitions that were assigned meanwhile.
    early: VecDeque<RecordBatch>,
}

impl Receiver {
    fn run(mut self) {
        while !self.stopping.load(Ordering::Relaxed) {
            let mut batch = match self.early.pop_front() {
                Some(batch) => batch,
                None => self.gather(BATCH),
            };
            self.remove_revoked(&mut batch);
            if !batch.is_empty() && !self.hand_over(batch) {
                break;
            }
        }
    }

    /// What is there, once something is: at most so many records. None where nothing comes for a while.
    fn gather(&self, most: usize) -> RecordBatch {
        let messages = Messages::new(Arc::clone(&self.consumer), |consumer| {
            let mut received = Received::new();
            let (mut wait, mut bytes) = (POLL, 0);
            while received.len() < most
                && bytes < BATCH_BYTES
                && let Some((message, at)) = self.receive(consumer, wait)
            {
                bytes += message.payload().map_or(0, <[u8]>::len);
                received.push((message, at));
                wait = Duration::ZERO;
            }
            received
        });
        RecordBatch::backed_by(messages)
    }

    /// A message if one comes in time.
    fn receive<'c>(
        &self,
        consumer: &'c BaseConsumer<Membership>,
        wait: Duration,
    ) -> Option<(BorrowedMessage<'c>, Stamp)> {
        match consumer.poll(wait)? {
            Ok(message) => Some((message, self.clock.now())),
            Err(error) => {
                // librdkafka reconnects by itself; the pause keeps a broker that is down from filling the log.
                tracing::warn!(%error, "Kafka consumer");
                std::thread::sleep(wait);
                None
            }
        }
    }

    /// Puts a batch into the queue, once there is room. False when nobody takes any more.
    fn hand_over(&mut self, mut batch: RecordBatch) -> bool {
        let began = Instant::now();
        let mut paused = false;
        while !batch.is_empty() {
            let last_offsets = batch.last_offsets();
            match self.queue.try_send(batch) {
                Ok(()) => {
                    self.consumer.context().handed_over(&last_offsets);
                    break;
                }
                Err(TrySendError::Full(back)) => batch = back,
                Err(TrySendError::Closed(_)) => return false,
            }
            if began.elapsed() < PAUSE_AFTER {
                // Whoever takes a batch wakes us.
                std::thread::park_timeout(POLL);
            } else {
                paused = true;
                self.answer_the_group();
                self.remove_revoked(&mut batch);
            }
        }
        if paused && let Err(error) = self.for_all_partitions(BaseConsumer::resume) {
            tracing::error!(%error, "partitions could not be resumed");
        }
        true
    }

    /// What has moved away before it was handed over is not ours to write.
    fn remove_revoked(&mut self, batch: &mut RecordBatch) {
        let revoked = self.consumer.context().take_revoked();
        for batch in self.early.iter_mut().chain([batch]) {
            batch.remove_partitions(&revoked);
        }
    }

    /// Takes no records for a while, and answers the group's calls.
    fn answer_the_group(&mut self) {
        // Each time: what was assigned meanwhile is not paused.
        if let Err(error) = self.for_all_partitions(BaseConsumer::pause) {
            tracing::warn!(%error, "partitions could not be paused");
        }
        let early = self.gather(1);
        if !early.is_empty() {
            self.early.push_back(early);
        }
    }

    fn for_all_partitions(
        &self,
        change: fn(&BaseConsumer<Membership>, &TopicPartitionList) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        change(&self.consumer, &self.consumer.assignment()?)
    }
}
