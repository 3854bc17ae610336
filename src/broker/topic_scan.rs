//! Reads a topic once, from its beginning, from given offsets, or from where a group has read it to, up to the end that it has now. No
//! group is joined.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::context::BrokerContext;
use super::error::{BrokerError, bootstrap_of};
use super::refusal;
use crate::records::RecordHeader;

/// Longest wait for an answer, and for the next record of a partition that has more.
const TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

/// A record of a topic that was read.
#[derive(Debug)]
pub struct ScannedRecord<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: Vec<RecordHeader>,
}

/// Reads of a topic what is there, and keeps how far a group has come with it.
#[derive(Debug, Clone)]
pub struct TopicScan {
    config: ClientConfig,
    topic: String,
    from: ScanStart,
}

/// Where a scan begins.
#[derive(Debug, Clone)]
pub enum ScanStart {
    /// Where its group has read to; at the beginning of a partition that it has not read.
    Group,
    /// At these offsets, by partition; at the beginning of any other.
    Offsets(BTreeMap<i32, i64>),
}

impl TopicScan {
    /// A scan of a topic that exists. `group` keeps what [`TopicScan::commit`] says.
    #[must_use]
    pub fn new(base: &ClientConfig, topic: &str, group: &str, from: ScanStart) -> Self {
        let mut config = base.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed");
        Self {
            config,
            topic: topic.to_owned(),
            from,
        }
    }

    /// Passes every record to `handler`, on a thread that may block, until it breaks. Returns the offset that each partition
    /// was read to.
    ///
    /// # Errors
    /// When the broker does not answer, or the topic may not be read.
    pub async fn read(
        self,
        handler: impl FnMut(ScannedRecord<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let (topic, bootstrap) = (self.topic.clone(), bootstrap_of(&self.config));
        let failed = |reason: String| BrokerError::Failed {
            action: format!("reading topic \"{topic}\""),
            bootstrap: bootstrap.clone(),
            reason,
        };
        let read = tokio::task::spawn_blocking(move || self.read_blocking(handler)).await;
        read.map_err(|ended| failed(ended.to_string()))?
            .map_err(|error| match error {
                ScanError::Kafka(error) => failed(error.to_string()),
                ScanError::Silent => failed(format!("no record for {} s", TIMEOUT.as_secs())),
            })
    }

    fn read_blocking(
        &self,
        mut handler: impl FnMut(ScannedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<BTreeMap<i32, i64>, ScanError> {
        let consumer = self.consumer()?;
        let (from, ends) = self.bounds(&consumer)?;
        consumer.assign(&from)?;
        let mut read = BTreeMap::new();
        let mut left = ends.clone();
        let mut heard = Instant::now();
        while !left.is_empty() {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (partition, offset) = (message.partition(), message.offset());
                    if offset < ends.get(&partition).copied().unwrap_or(0) {
                        if handler(scanned(&message)).is_break() {
                            return Ok(read);
                        }
                        read.insert(partition, offset + 1);
                    }
                    if left.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                        left.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                Some(Err(error)) => return Err(error.into()),
                None if heard.elapsed() > TIMEOUT => return Err(ScanError::Silent),
                None => {}
            }
        }
        // What stands before the end and is no record counts.
        Ok(ends)
    }

    fn consumer(&self) -> KafkaResult<BaseConsumer<BrokerContext>> {
        let consumer = self.config.create_with_context(BrokerContext::default())?;
        refusal::fetch_token(&self.config, &consumer);
        Ok(consumer)
    }

    /// Where to begin, and the end of every partition that has records from there on.
    fn bounds(
        &self,
        consumer: &BaseConsumer<BrokerContext>,
    ) -> KafkaResult<(TopicPartitionList, BTreeMap<i32, i64>)> {
        let metadata = consumer.fetch_metadata(Some(&self.topic), TIMEOUT)?;
        let topics = metadata.topics().iter();
        let partitions = topics.flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition(&self.topic, *partition);
        }
        let given = match &self.from {
            ScanStart::Group => consumer.committed_offsets(asked, TIMEOUT)?,
            ScanStart::Offsets(offsets) => {
                let mut list = TopicPartitionList::new();
                for (partition, offset) in offsets {
                    list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
                }
                list
            }
        };
        let (mut from, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
        for partition in partitions {
            let (low, end) = consumer.fetch_watermarks(&self.topic, partition, TIMEOUT)?;
            let found = given.find_partition(&self.topic, partition);
            let begin = match found.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => offset.max(low),
                _ => low,
            };
            if begin < end {
                from.add_partition_offset(&self.topic, partition, Offset::Offset(begin))?;
                ends.insert(partition, end);
            }
        }
        Ok((from, ends))
    }

    /// Keeps for the group that each partition was dealt with up to this offset.
    ///
    /// # Errors
    /// When the broker does not answer, or the group may not be written.
    pub async fn commit(self, offsets: BTreeMap<i32, i64>) -> Result<(), BrokerError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let (topic, bootstrap) = (self.topic.clone(), bootstrap_of(&self.config));
        let failed = |reason: String| BrokerError::Failed {
            action: format!("keeping how far topic \"{topic}\" was replayed"),
            bootstrap: bootstrap.clone(),
            reason,
        };
        let committed = tokio::task::spawn_blocking(move || -> KafkaResult<()> {
            let consumer = self.consumer()?;
            let mut list = TopicPartitionList::new();
            for (partition, offset) in offsets {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
            }
            consumer.commit(&list, CommitMode::Sync)
        })
        .await;
        committed
            .map_err(|ended| failed(ended.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }
}

enum ScanError {
    Kafka(KafkaError),
    Silent,
}

impl From<KafkaError> for ScanError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

fn scanned<'m>(message: &'m BorrowedMessage<'_>) -> ScannedRecord<'m> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    ScannedRecord {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key(),
        value: message.payload(),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect(),
    }
}
