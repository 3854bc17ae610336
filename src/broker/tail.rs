//! Reads topics from their ends as nobody's consumer: partitions are assigned, no group is joined and no offset committed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::offset_poll::PartitionOffset;
use super::partition_end::partition_end;
use super::refusal;
use super::source::fetch_settings;
use super::stoppable_thread::{Stop, StoppableThread};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest wait for a message, so that a stop is seen.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the end of a partition.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Between two reports of how far the partitions were read.
const BETWEEN_POSITIONS: Duration = Duration::from_millis(500);

/// What the reader of topics reports.
#[derive(Debug)]
pub enum TailEvent<'a> {
    /// A record.
    Record(TailRecord<'a>),
    /// The partition was read up to this offset: markers of transactions, which are no records, count.
    ReadUpTo(PartitionOffset),
}

/// A record as it was received.
#[derive(Debug)]
pub struct TailRecord<'a> {
    /// Index of its topic among those that are read.
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// Its timestamp, milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Whether that is the broker's (`LogAppendTime`), or its producer's (`CreateTime`).
    pub is_append_time: bool,
    /// When it was received.
    pub received: Stamp,
}

/// A reader of topics on a thread of its own. It stops when it is dropped.
pub struct TopicTail {
    positions: Vec<PartitionOffset>,
    thread: StoppableThread,
}

impl TopicTail {
    /// Finds the ends of all partitions, and calls `handler` with every record after them, and every half second with how
    /// far each was read, on the reader's thread. `name` is how the broker knows this client.
    ///
    /// # Errors
    /// When the broker does not answer, or a topic may not be read.
    pub async fn start(
        base: &ClientConfig,
        name: &str,
        topics: Vec<String>,
        clock: Clock,
        handler: impl FnMut(TailEvent<'_>) + Send + 'static,
    ) -> Result<Self, BrokerError> {
        let bootstrap = bootstrap_of(base);
        let mut config = base.clone();
        // librdkafka assigns partitions only to a client with a group: it stays a name, for nothing is committed.
        config
            .set("group.id", name)
            .set("client.id", name)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed");
        for (key, value) in fetch_settings(&Default::default()) {
            config.set(key, value);
        }
        let failed = |reason: String| BrokerError::Failed {
            action: format!("reading {}", topics.join(", ")),
            bootstrap: bootstrap.clone(),
            reason,
        };
        let names = topics.clone();
        let assigned = tokio::task::spawn_blocking(move || assign(&config, &names)).await;
        let assigned = assigned.map_err(|error| failed(error.to_string()))?;
        let (consumer, positions) = assigned.map_err(|error| failed(error.to_string()))?;
        let names = topics.clone();
        let thread = StoppableThread::spawn("topic-tail", move |stop| {
            receive(&consumer, &names, clock, stop, handler);
        });
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { positions, thread })
    }

    /// Where each partition is read from.
    #[must_use]
    pub fn positions(&self) -> &[PartitionOffset] {
        &self.positions
    }

    /// Stops, and waits for the thread.
    pub async fn stop(self) {
        self.thread.stop().await;
    }
}

/// Assigns all partitions of the topics from their ends.
fn assign(
    config: &ClientConfig,
    topics: &[String],
) -> KafkaResult<(BaseConsumer<BrokerContext>, Vec<PartitionOffset>)> {
    let consumer: BaseConsumer<_> = config.create_with_context(BrokerContext::default())?;
    refusal::fetch_token(config, &consumer);
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let (mut positions, mut list) = (Vec::new(), TopicPartitionList::new());
    for (topic, name) in topics.iter().enumerate() {
        let found = metadata.topics().iter().find(|found| found.name() == name);
        for partition in found.into_iter().flat_map(|found| found.partitions()) {
            let partition = partition.id();
            let offset = partition_end(&consumer, name, partition, TIMEOUT)?;
            list.add_partition_offset(name, partition, Offset::Offset(offset))?;
            positions.push(PartitionOffset {
                topic,
                partition,
                offset,
            });
        }
    }
    consumer.assign(&list)?;
    Ok((consumer, positions))
}

fn receive(
    consumer: &BaseConsumer<BrokerContext>,
    topics: &[String],
    clock: Clock,
    stop: &Stop,
    mut handler: impl FnMut(TailEvent<'_>),
) {
    let mut reported = Instant::now();
    while !stop.is_asked() {
        if reported.elapsed() >= BETWEEN_POSITIONS {
            reported = Instant::now();
            for position in positions(consumer, topics) {
                handler(TailEvent::ReadUpTo(position));
            }
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let received = clock.now();
                let topic = topics.iter().position(|name| name == message.topic());
                if let Some(topic) = topic {
                    handler(TailEvent::Record(record(&message, topic, received)));
                }
            }
            Some(Err(error)) => {
                // librdkafka reconnects by itself; the pause keeps a broker that is down from filling the log.
                tracing::warn!(%error, "reading the observed topics");
                std::thread::sleep(POLL);
            }
            None => {}
        }
    }
}

/// How far each partition was read; one of which nothing was read yet is left out.
fn positions(consumer: &BaseConsumer<BrokerContext>, topics: &[String]) -> Vec<PartitionOffset> {
    let Ok(list) = consumer.position() else {
        return Vec::new();
    };
    let elements = list.elements();
    let known = elements.iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        let topic = topics.iter().position(|name| name == element.topic())?;
        Some(PartitionOffset {
            topic,
            partition: element.partition(),
            offset,
        })
    });
    known.collect()
}

fn record<'a>(message: &'a BorrowedMessage<'_>, topic: usize, received: Stamp) -> TailRecord<'a> {
    let headers = message.headers().into_iter().flat_map(|headers| {
        let each = headers.iter();
        each.map(|header| (header.key, header.value))
    });
    let timestamp = message.timestamp();
    TailRecord {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload(),
        headers: headers.collect(),
        timestamp: timestamp.to_millis(),
        is_append_time: matches!(timestamp, Timestamp::LogAppendTime(_)),
        received,
    }
}
