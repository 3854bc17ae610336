//! Receives the records of topics, and stamps each when librdkafka delivers it.
//!
//! Receiving has its own thread: T3 is when this process has the record, not when the consumer stage has time for it. The
//! queue to the stage is short and bounded; what does not fit stays in Kafka. While it does not fit for long the partitions
//! are paused, so that the member can go on polling, which its group requires.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::backlog::Backlog;
use super::error::{BrokerError, bootstrap_of};
use super::groups::{add_marked, client_id};
use super::membership::{Membership, Rebalances};
use super::messages::{Messages, Received};
use super::partition_end::partition_end;
use super::refusal;
use crate::records::{RecordBatch, RecordSource, Topics};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Batches between the receiving thread and the consumer.
const QUEUE: usize = 4;
/// Most records in a batch, and the bytes from which on no record is added.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// Longest wait of the receiving thread for a message, so that it sees a stop.
const POLL: Duration = Duration::from_millis(100);
/// How long the queue is full before the partitions are paused. A pause discards what librdkafka has prefetched.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Between two checks of whether the consumer has no other owner.
const LAST_OWNER_POLL: Duration = Duration::from_millis(1);

/// What to read.
#[derive(Debug, Clone)]
pub struct KafkaSourceConfig {
    /// Topics.
    pub topics: Topics,
    /// Consumer group; its committed offsets say where to begin, else a topic's beginning.
    pub group: String,
    /// Begin at the current ends of the topics, whatever the group has committed.
    pub from_end: bool,
    /// How records are fetched: see [`fetch_settings`].
    pub fetch: BTreeMap<String, String>,
    /// When a member that is not heard of has left.
    pub session: MemberSession,
}

/// After which time without a heartbeat a member has left its group. One that reaches no broker for as long gives its membership up
/// itself, and comes back only when the broker has waited that long for the member that it was: a broker that was away for
/// longer is away for twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSession {
    /// Ten seconds: the group of a program that was killed can soon be read by another one, or deleted.
    Short,
    /// Kafka's 45 s: a broker may restart in it. For a group whose servers end with the program.
    Long,
}

impl MemberSession {
    fn timeout_ms(self) -> &'static str {
        match self {
            Self::Short => "10000",
            Self::Long => "45000",
        }
    }
}

/// Settings that decide how soon a record is delivered: at once, or with the commit of its transaction; and after a full local queue
/// with a back-off of 5 ms, where librdkafka's default is a second.
const FETCH: [(&str, &str); 5] = [
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "16384"),
    // Of a transaction nothing before its commit, and nothing of one that was aborted.
    ("isolation.level", "read_committed"),
];

/// The settings that decide how soon a record is delivered: ours, overridden by the user's.
#[must_use]
pub fn fetch_settings(over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = FETCH
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ours.chain(over.clone()).collect()
}

/// The records of topics, received as a member of a consumer group.
pub struct KafkaSource {
    queue: mpsc::Receiver<RecordBatch>,
    consumer: Arc<BaseConsumer<Membership>>,
    backlog: Backlog,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// Lets a group without members begin at the current ends of topics, whatever it has committed.
    ///
    /// # Errors
    /// When the broker does not answer or the topic is not there.
    pub async fn begin_group_at_end(
        base: &ClientConfig,
        topics: &Topics,
        group: &str,
        clock: Clock,
    ) -> Result<(), BrokerError> {
        let mut settings = base.clone();
        settings
            .set("group.id", group)
            .set("client.id", client_id(base));
        let membership = Membership::new(topics.clone(), clock);
        let committed = tokio::task::spawn_blocking(move || -> KafkaResult<()> {
            let consumer: BaseConsumer<_> = settings.create_with_context(membership)?;
            refusal::fetch_token(&settings, &consumer);
            begin_at_the_end(&consumer)
        });
        let failed = |reason: String| BrokerError::Failed {
            action: format!("beginning at the end of {}", described(topics)),
            bootstrap: bootstrap_of(base),
            reason,
        };
        let committed = committed.await.map_err(|e| failed(e.to_string()))?;
        committed.map_err(|e| failed(e.to_string()))
    }

    /// Joins the group and starts to receive.
    ///
    /// # Errors
    /// When the broker does not answer or the topic is not there.
    pub async fn subscribe(
        base: &ClientConfig,
        config: KafkaSourceConfig,
        clock: Clock,
    ) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let mut settings = base.clone();
        settings
            .set("group.id", &config.group)
            .set("client.id", client_id(base))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", config.session.timeout_ms());
        for (name, value) in &config.fetch {
            settings.set(name, value);
        }
        let topics = config.topics.clone();
        let joined = tokio::task::spawn_blocking(move || -> KafkaResult<BaseConsumer<_>> {
            let membership = Membership::new(config.topics.clone(), clock);
            let consumer: BaseConsumer<_> = settings.create_with_context(membership)?;
            refusal::fetch_token(&settings, &consumer);
            if config.from_end {
                begin_at_the_end(&consumer)?;
            }
            let names: Vec<&str> = config.topics.names().iter().map(String::as_str).collect();
            consumer.subscribe(&names)?;
            Ok(consumer)
        })
        .await;
        let failed = |reason: String| BrokerError::Failed {
            action: format!("subscribing to {}", described(&topics)),
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
            received_while_paused: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("kafka-receiver".to_owned())
            .spawn(move || receiver.run())
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            queue,
            backlog: Backlog::of(&consumer, base),
            consumer,
            stopping,
            thread: Some(thread),
        })
    }

    /// The rebalances of this member.
    #[must_use]
    pub fn rebalances(&self) -> Rebalances {
        self.consumer.context().rebalances()
    }

    /// How many records of its topics were not received yet.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Commits the offsets of what was written and leaves the group, before it returns.
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
            // Dropping the consumer leaves the group, and a request for the backlog may own it, too, at this moment.
            while let Err(shared) = Arc::try_unwrap(consumer) {
                consumer = shared;
                std::thread::sleep(LAST_OWNER_POLL);
            }
        });
        drop(left.await);
    }
}

impl KafkaSource {
    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        self.consumer.context().leave();
        self.wake();
    }

    /// The next offset to commit, marked as ours.
    fn store_marked(&self, partition: i32, next: i64) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        let (topic, partition) = self.consumer.context().topics().place(partition);
        add_marked(&mut offsets, topic, partition, next)?;
        self.consumer.store_offsets(&offsets)
    }

    /// Wakes the receiving thread: there is room in the queue.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl RecordSource for KafkaSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        let batch = self.queue.recv().await;
        self.wake();
        batch
    }

    fn written(&mut self, partition: i32, offset: i64) {
        // A partition that was revoked meanwhile is another member's, which will write those records again: harmless.
        if let Err(error) = self.store_marked(partition, offset + 1) {
            tracing::debug!(partition, offset, %error, "offset not kept");
        }
        self.consumer.context().written(partition, offset);
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Commits the current ends of its topics for the group, so that it begins there, also after a rebalance or a restart.
fn begin_at_the_end(consumer: &BaseConsumer<Membership>) -> KafkaResult<()> {
    let mut ends = TopicPartitionList::new();
    for topic in consumer.context().topics().names() {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
        {
            let end = partition_end(consumer, topic, partition.id(), TIMEOUT)?;
            add_marked(&mut ends, topic, partition.id(), end)?;
        }
    }
    consumer.commit(&ends, CommitMode::Sync)
}

fn described(topics: &Topics) -> String {
    format!("topic \"{}\"", topics.names().join("\", \""))
}

/// The work of the receiving thread.
struct Receiver {
    consumer: Arc<BaseConsumer<Membership>>,
    queue: mpsc::Sender<RecordBatch>,
    stopping: Arc<AtomicBool>,
    clock: Clock,
    /// Records of partitions that were assigned while the others were paused.
    received_while_paused: VecDeque<RecordBatch>,
}

impl Receiver {
    fn run(mut self) {
        while !self.stopping.load(Ordering::Relaxed) {
            let mut batch = match self.received_while_paused.pop_front() {
                Some(batch) => batch,
                None => self.gather(BATCH),
            };
            self.remove_revoked(&mut batch);
            if !batch.is_empty() && !self.enqueue(batch) {
                break;
            }
        }
    }

    /// The messages that are there, at most `most`; waits a while for the first one.
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

    /// A message, if one is received in time.
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

    /// Puts a batch into the queue as soon as there is room. False when the queue is closed.
    fn enqueue(&mut self, mut batch: RecordBatch) -> bool {
        let began = Instant::now();
        let mut paused = false;
        while !batch.is_empty() {
            let last_offsets = batch.last_offsets();
            match self.queue.try_send(batch) {
                Ok(()) => {
                    self.consumer.context().delivered(&last_offsets);
                    break;
                }
                Err(TrySendError::Full(back)) => batch = back,
                Err(TrySendError::Closed(_)) => return false,
            }
            if began.elapsed() < PAUSE_AFTER {
                // Taking a batch from the queue wakes this thread.
                std::thread::park_timeout(POLL);
            } else {
                paused = true;
                self.poll_while_paused();
                self.remove_revoked(&mut batch);
            }
        }
        if paused && let Err(error) = self.for_all_partitions(BaseConsumer::resume) {
            tracing::error!(%error, "partitions could not be resumed");
        }
        true
    }

    /// Removes the records of revoked partitions that were not delivered: they are not ours to write.
    fn remove_revoked(&mut self, batch: &mut RecordBatch) {
        let revoked = self.consumer.context().take_revoked();
        for batch in self.received_while_paused.iter_mut().chain([batch]) {
            batch.remove_partitions(&revoked);
        }
    }

    /// Pauses all partitions and polls, so that the member stays in its group.
    fn poll_while_paused(&mut self) {
        // Each time, because partitions assigned meanwhile are not paused.
        if let Err(error) = self.for_all_partitions(BaseConsumer::pause) {
            tracing::warn!(%error, "partitions could not be paused");
        }
        let received_while_paused = self.gather(1);
        if !received_while_paused.is_empty() {
            self.received_while_paused.push_back(received_while_paused);
        }
    }

    fn for_all_partitions(
        &self,
        change: fn(&BaseConsumer<Membership>, &TopicPartitionList) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        change(&self.consumer, &self.consumer.assignment()?)
    }
}
