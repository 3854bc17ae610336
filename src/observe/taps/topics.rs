//! The topics: records as a plain consumer has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_channel::Sender;
use cdc_bench_model::RunId;
use cdc_bench_model::observation::{
    ChangeId, Operation, RecordPosition, RecordedChange, StampedBy,
};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use tokio::runtime::Handle;

use super::patience::Patience;
use super::sighting::{Passed, Sighting};
use crate::broker::{BrokerError, TailEvent, TailRecord, TopicTail};
use crate::observe::canary::MESSAGE_PREFIX;
use crate::observe::discovery::{FoundCanary, Pipeline};
use crate::observe::evidence::SharedTallies;
use crate::observe::records::{
    NotAChange, Observed, RawRecord, RecordChange, RecordDecoder, RecordError,
};

/// Starts to read all topics from their ends.
pub(in crate::observe) async fn open(
    pipeline: &Pipeline,
    id: &RunId,
    clock: Clock,
    sightings: Sender<Sighting>,
    tallies: Arc<SharedTallies>,
) -> Result<TopicTail, BrokerError> {
    let topics: Vec<_> = pipeline
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let tables = pipeline.tables.iter().map(|table| {
        let name = Arc::clone(&table.name);
        ((table.schema.clone(), table.table.clone()), name)
    });
    let mut reader = RecordReader {
        topics: topics.clone(),
        tables: tables.collect(),
        of_topics: pipeline.table_of_topics(),
        canary_messages: pipeline
            .canary
            .as_ref()
            .filter(|canary| **canary == FoundCanary::Message)
            .map(FoundCanary::table),
        canary_key: serde_json::json!({ "prefix": MESSAGE_PREFIX }).to_string(),
        decoder: RecordDecoder::new(pipeline.records.clone()),
        runtime: Handle::current(),
        patience: Patience::default(),
    };
    let name = format!("cdc-bench-observe-{id}");
    TopicTail::start(&pipeline.kafka, &name, topics, clock, move |event| {
        let sighting = match event {
            TailEvent::Record(record) => {
                let read = bytes(&record);
                tallies.topic_bytes.fetch_add(read, Ordering::Relaxed);
                reader.read(&record)
            }
            TailEvent::ReadUpTo(position) => Sighting::ReadUpTo(RecordPosition {
                topic: position.topic,
                partition: position.partition,
                offset: position.offset,
            }),
        };
        // The observation is over when nobody listens.
        drop(sightings.send_blocking(sighting));
    })
    .await
}

/// Bytes of key, value and headers.
fn bytes(record: &TailRecord<'_>) -> u64 {
    let length = |bytes: &Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + length(value))
        .sum();
    let all = length(&record.key) + length(&record.value) + headers;
    u64::try_from(all).unwrap_or(u64::MAX)
}

struct RecordReader {
    topics: Vec<String>,
    /// By schema and table.
    tables: HashMap<(String, String), Arc<str>>,
    /// Of topics with the records of a single table.
    of_topics: HashMap<usize, Arc<str>>,
    /// What stands for the table of the canary's messages.
    canary_messages: Option<Arc<str>>,
    canary_key: String,
    decoder: RecordDecoder,
    runtime: Handle,
    patience: Patience,
}

impl RecordReader {
    fn read(&mut self, record: &TailRecord<'_>) -> Sighting {
        let position = RecordPosition {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
        };
        let raw = RawRecord {
            topic: &self.topics[record.topic],
            key: record.key,
            value: record.value,
            headers: &record.headers,
        };
        match self.decode(raw) {
            Ok(Observed::Change(change)) => self.change(record, position, change),
            Ok(Observed::Tombstone { .. }) => Sighting::Passed(position, Passed::Tombstone),
            Ok(Observed::NotAChange(kind)) => {
                let passed = |kind| Sighting::Passed(position, kind);
                match kind {
                    NotAChange::Heartbeat => passed(Passed::Heartbeat),
                    NotAChange::TransactionMetadata => passed(Passed::Transaction),
                    NotAChange::SchemaChange => passed(Passed::SchemaChange),
                    NotAChange::Unknown(reason) => Sighting::Unknown(position, reason),
                    NotAChange::Unreadable(reason) => Sighting::Unreadable(position, reason),
                }
            }
            Err(error) => Sighting::Unreadable(position, error.to_string()),
        }
    }

    fn decode(&self, record: RawRecord<'_>) -> Result<Observed, RecordError> {
        self.patience.decode(|| {
            let decoded = self.decoder.decode(record);
            self.runtime.block_on(decoded)
        })
    }

    fn change(
        &self,
        record: &TailRecord<'_>,
        position: RecordPosition,
        change: RecordChange,
    ) -> Sighting {
        let named = match (change.schema, change.table) {
            _ if change.operation == Some(Operation::Message) => {
                let of_canary = self.canary_messages.as_ref();
                match of_canary.filter(|_| change.key == *self.canary_key) {
                    None => return Sighting::Passed(position, Passed::Message),
                    known => known,
                }
            }
            (Some(schema), Some(table)) => self.tables.get(&(schema, table)),
            (None, Some(table)) => {
                let mut known = self.tables.iter();
                known
                    .find(|((_, name), _)| *name == table)
                    .map(|(_, known)| known)
            }
            _ => self.of_topics.get(&position.topic),
        };
        let Some(table) = named else {
            return Sighting::Passed(position, Passed::OtherTable);
        };
        let operation = if change.is_snapshot {
            Operation::Read
        } else {
            change.operation.unwrap_or(Operation::Update)
        };
        Sighting::Recorded(RecordedChange {
            id: ChangeId {
                table: Arc::clone(table),
                key: change.key.into(),
                lsn: change.lsn,
                operation,
            },
            position,
            td: change
                .handed_on_at
                .map(|us| (Stamp(us * 1_000), Nanos(change.resolution_us * 1_000))),
            t2: record.timestamp.map(|ms| Stamp(ms * 1_000_000)),
            stamped_by: if record.is_append_time {
                StampedBy::Broker
            } else {
                StampedBy::Producer
            },
            t3: record.received,
        })
    }
}
