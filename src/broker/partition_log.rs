//! Reads partitions of a topic as nobody's consumer: no group is joined and no offset committed. Which partitions they are may change
//! at any time; each is read from its beginning, or from a moment on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::refusal;
use super::stoppable_thread::{Stop, StoppableThread};

/// Longest wait for a record, so that a change and a stop are seen.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the offset of a moment.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A record that was read.
#[derive(Debug)]
pub struct LoggedRecord<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Where a partition is begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// At its first record.
    Beginning,
    /// At the first record that is no older, in milliseconds since the Unix epoch on the broker's clock.
    Since(i64),
}

/// Partitions that are read.
pub struct PartitionLog {
    wanted: Arc<Mutex<BTreeMap<i32, LogStart>>>,
    thread: StoppableThread,
}

impl PartitionLog {
    /// Reads no partition yet. `handler` is called for each record, on the log's own thread.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn start(
        base: &ClientConfig,
        topic: &str,
        handler: impl FnMut(LoggedRecord<'_>) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let failed = |reason: String| BrokerError::Failed {
            action: format!("reading topic \"{topic}\""),
            bootstrap: bootstrap_of(base),
            reason,
        };
        let mut config = base.clone();
        // librdkafka assigns partitions only to a client with a group: it stays a name, for nothing is committed.
        config
            .set("group.id", topic)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "100");
        let consumer: BaseConsumer<_> = config
            .create_with_context(BrokerContext::default())
            .map_err(|error| failed(error.to_string()))?;
        let wanted = Arc::new(Mutex::new(BTreeMap::new()));
        let reader = LogReader {
            consumer,
            topic: topic.to_owned(),
            wanted: Arc::clone(&wanted),
            next: BTreeMap::new(),
        };
        let config = base.clone();
        let thread = StoppableThread::spawn("partition-log", move |stop| {
            refusal::fetch_token(&config, &reader.consumer);
            reader.run(stop, handler);
        });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { wanted, thread })
    }

    /// Reads these partitions and no others. Those that were read already go on; the others begin at `start`.
    pub fn read(&self, partitions: &BTreeSet<i32>, start: LogStart) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|partition, _| partitions.contains(partition));
        for &partition in partitions {
            wanted.entry(partition).or_insert(start);
        }
    }

    /// Stops.
    pub async fn stop(self) {
        self.thread.stop().await;
    }
}

/// The work of the thread.
struct LogReader {
    consumer: BaseConsumer<BrokerContext>,
    topic: String,
    wanted: Arc<Mutex<BTreeMap<i32, LogStart>>>,
    /// The offset after the last record of each partition that is read; where it begins, before its first.
    next: BTreeMap<i32, Offset>,
}

impl LogReader {
    fn run(mut self, stop: &Stop, mut handler: impl FnMut(LoggedRecord<'_>)) {
        while !stop.is_asked() {
            if let Err(error) = self.assign() {
                tracing::warn!(topic = self.topic, %error, "reading its partitions");
                stop.sleep(POLL);
                continue;
            }
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(next) = self.next.get_mut(&partition) else {
                        continue;
                    };
                    *next = Offset::Offset(offset + 1);
                    handler(LoggedRecord {
                        partition,
                        offset,
                        key: message.key(),
                        value: message.payload(),
                    });
                }
                Some(Err(error)) => {
                    // librdkafka reconnects by itself; the pause keeps a broker that is down from filling the log.
                    tracing::debug!(topic = self.topic, %error, "reading it");
                    stop.sleep(POLL);
                }
                None => {}
            }
        }
    }

    /// Takes the partitions that are wanted now.
    fn assign(&mut self) -> KafkaResult<()> {
        let wanted = self.wanted.lock();
        let wanted = wanted.unwrap_or_else(PoisonError::into_inner).clone();
        if wanted.keys().eq(self.next.keys()) {
            return Ok(());
        }
        let mut next = BTreeMap::new();
        for (partition, start) in wanted {
            let offset = match (self.next.get(&partition), start) {
                (Some(offset), _) => *offset,
                (None, LogStart::Beginning) => Offset::Beginning,
                (None, LogStart::Since(ms)) => self.offset_at(partition, ms)?,
            };
            next.insert(partition, offset);
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &next {
            list.add_partition_offset(&self.topic, *partition, *offset)?;
        }
        self.consumer.assign(&list)?;
        self.next = next;
        Ok(())
    }

    fn offset_at(&self, partition: i32, ms: i64) -> KafkaResult<Offset> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&self.topic, partition, Offset::Offset(ms))?;
        let found = self.consumer.offsets_for_times(asked, TIMEOUT)?;
        let element = found.elements_for_topic(&self.topic);
        match element.first() {
            Some(element) => element.error().map(|()| element.offset()),
            None => Err(KafkaError::NoMessageReceived),
        }
    }
}
