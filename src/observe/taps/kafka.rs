//! Topics downstream as the sink: a change is shown when a plain reader has its record; the broker's time is beside it.

use std::collections::HashMap;
use std::sync::Arc;

use async_channel::Sender;
use cdc_bench_model::RunId;
use cdc_bench_model::observation::SinkChange;
use cdc_bench_model::timeline::{Clock, HALF_MILLISECOND, Stamp};
use serde_json::Value;
use tokio::runtime::Handle;

use super::following::Following;
use super::patience::Patience;
use super::sighting::Sighting;
use crate::broker::{BrokerError, TailEvent, TailRecord, TopicTail};
use crate::observe::discovery::{HEADER, KEY, KafkaSink, Pipeline};
use crate::observe::records::{RawRecord, RecordDecoder, Written, WrittenRow, header};

/// Starts to read all topics from their ends.
///
/// # Errors
/// When the broker does not answer, or a topic may not be read.
pub(super) async fn start(
    sink: KafkaSink,
    pipeline: &Pipeline,
    id: &RunId,
    clock: Clock,
    sightings: Sender<Sighting>,
) -> Result<Following, BrokerError> {
    let topics = sink.topics.iter().map(|topic| topic.name.clone());
    let topics = topics.collect();
    let mut reader = SinkReader {
        sink,
        // Whoever writes there has converters of its own.
        decoder: RecordDecoder::new(pipeline.records.of_any_converter()),
        runtime: Handle::current(),
        patience: Patience::default(),
        deleted: HashMap::new(),
    };
    let name = format!("cdc-bench-observe-{id}-sink");
    let tail = TopicTail::start(&pipeline.kafka, &name, topics, clock, move |event| {
        if let TailEvent::Record(record) = event
            && let Some(sighting) = reader.read(&record)
        {
            // The observation is over when nobody listens.
            drop(sightings.send_blocking(sighting));
        }
    });
    Ok(Following::Topics(tail.await?))
}

struct SinkReader {
    sink: KafkaSink,
    decoder: RecordDecoder,
    runtime: Handle,
    patience: Patience,
    /// By topic and partition: the key of its last record, if that was a deletion with a value.
    deleted: HashMap<(usize, i32), Option<String>>,
}

impl SinkReader {
    fn read(&mut self, record: &TailRecord<'_>) -> Option<Sighting> {
        let topic = &self.sink.topics[record.topic];
        let raw = RawRecord {
            topic: &topic.name,
            key: record.key,
            value: record.value,
            headers: &record.headers,
        };
        let decoded = self.patience.decode(|| {
            let written = self.decoder.written(raw);
            self.runtime.block_on(written)
        });
        let row = match decoded {
            Ok(Written::Row(row)) => row,
            Ok(Written::NoRow) => return None,
            Ok(Written::Unreadable(why)) => return Some(unreadable(&topic.name, record, &why)),
            Err(error) => return Some(unreadable(&topic.name, record, &error.to_string())),
        };
        let key = match &topic.key {
            None if !row.has_key() => {
                return Some(unreadable(&topic.name, record, "it has no key"));
            }
            None => row.key(topic.key_column.as_deref()),
            Some(key) => match key.read(|path| part(&row, &raw, path)) {
                Some(key) => key,
                None if row.is_delete && topic.has_key_in_value() => return None,
                None => {
                    let why = "it has no field or header that --sink-key names; of values, those in JSON are read";
                    return Some(unreadable(&topic.name, record, why));
                }
            },
        };
        let place = (record.topic, record.partition);
        let is_deletion = row.is_delete && record.value.is_some();
        let before = self.deleted.insert(place, is_deletion.then(|| key.clone()));
        // Debezium's deletion is followed by a tombstone, which deletes nothing more.
        if record.value.is_none() && before.flatten().as_ref() == Some(&key) {
            return None;
        }
        let appended = record.timestamp.filter(|_| record.is_append_time);
        Some(Sighting::Shown(SinkChange {
            table: Arc::clone(&topic.table),
            key: key.into(),
            is_delete: row.is_delete,
            at: record.received,
            stored: appended.map(|ms| Stamp(ms * 1_000_000) + HALF_MILLISECOND),
        }))
    }
}

/// The part of a record that a path names: of its key, of a value in JSON, or a header, whose name may have dots.
fn part(row: &WrittenRow, record: &RawRecord<'_>, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    let whole = match &**first {
        HEADER => return header(record, &rest.join(".")),
        KEY => row.whole_key(),
        _ => unwrapped(serde_json::from_slice(record.value?).ok()?),
    };
    rest.iter().try_fold(whole, |at, name| match at {
        Value::Object(mut fields) => fields.remove(name),
        _ => None,
    })
}

/// What JsonConverter with `schemas.enable=true` wrapped.
fn unwrapped(value: Value) -> Value {
    match value {
        Value::Object(mut fields)
            if fields.len() == 2
                && fields.get("schema").is_some_and(Value::is_object)
                && fields.contains_key("payload") =>
        {
            fields.remove("payload").unwrap_or_default()
        }
        value => value,
    }
}

fn unreadable(topic: &str, record: &TailRecord<'_>, why: &str) -> Sighting {
    let (partition, offset) = (record.partition, record.offset);
    Sighting::SinkUnreadable(format!(
        "offset {offset} of partition {partition} of topic {topic}: {why}"
    ))
}
