//! The dead letter of a record, and the record of a dead letter in a topic: what is said of it stands in headers. Where it is from and why have the names that Kafka
//! Connect gives them, so that tools for its dead letter queues find them; the rest has names of its own. All are texts.

use super::{Bytes, DeadLetter, DeadLetterReason, Rejected};
use crate::records::{RecordBatch, RecordHeader, Topics};
use cdc_bench_model::event::EventId;

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const MESSAGE: &str = "__connect.errors.exception.message";
/// Connect's word for a reason.
const EXCEPTION: &str = "__connect.errors.exception.class.name";
const REASON: &str = "cdc_bench.reason";
const ATTEMPTS: &str = "cdc_bench.attempts";
const FIRST_SEEN: &str = "cdc_bench.first_seen";
const EVENT_ID: &str = "cdc_bench.event_id";
const STORE_CODE: &str = "cdc_bench.store_code";
const OMITTED: &str = "cdc_bench.omitted_bytes";

/// Ours, of which a record has each once.
const OURS: [&str; 10] = [
    TOPIC, PARTITION, OFFSET, MESSAGE, REASON, ATTEMPTS, FIRST_SEEN, EVENT_ID, STORE_CODE, OMITTED,
];

impl DeadLetter {
    /// The dead letter of a record that was received from one of these topics. One that was a dead letter before keeps its origin, and its
    /// attempts add up.
    pub(super) fn of_record(
        topics: &Topics,
        (batch, index): (&RecordBatch, usize),
        rejected: Rejected,
        attempts: u32,
    ) -> Self {
        let record = batch.get(index);
        let (topic, partition) = topics.place(record.partition);
        let (origin, headers) = split(batch.headers(index));
        let origin = origin.unwrap_or_else(|| Origin {
            topic: topic.to_owned(),
            partition,
            offset: record.offset,
            attempts: 0,
            first_seen: jiff::Timestamp::now(),
        });
        Self {
            reason: rejected.reason,
            message: rejected.message,
            store_code: rejected.store_code,
            topic: origin.topic,
            partition: origin.partition,
            offset: origin.offset,
            id: rejected.id,
            attempts: origin.attempts.saturating_add(attempts),
            first_seen: origin.first_seen,
            key: batch.key(index).map(Bytes::from),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name, value.map(Bytes)))
                .collect(),
            value: record.value.map(Bytes::from),
            omitted_bytes: None,
        }
    }

    /// The headers of its record in a topic: its own, and after them what is said of it.
    #[must_use]
    pub fn topic_headers(&self) -> Vec<RecordHeader> {
        let own = self.headers.iter();
        let own = own.map(|(name, value)| (name.clone(), value.as_ref().map(|v| v.0.clone())));
        own.chain(describe(self)).collect()
    }

    /// The dead letter of a record of a topic of dead letters; that of Kafka Connect has the same place of origin and message.
    /// `None`: the record is none.
    #[must_use]
    pub fn of_topic(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Vec<RecordHeader>,
    ) -> Option<Self> {
        let mut dead_letter = read(headers)?;
        dead_letter.key = key.map(Bytes::from);
        dead_letter.value = value.map(Bytes::from);
        Some(dead_letter)
    }
}

/// What a record keeps of having been a dead letter.
struct Origin {
    topic: String,
    partition: i32,
    offset: i64,
    attempts: u32,
    first_seen: jiff::Timestamp,
}

/// The headers that describe a dead letter.
fn describe(dead_letter: &DeadLetter) -> Vec<RecordHeader> {
    let facts = [
        (REASON, Some(dead_letter.reason.to_string())),
        (MESSAGE, Some(dead_letter.message.clone())),
        (
            STORE_CODE,
            dead_letter.store_code.map(|code| code.to_string()),
        ),
        (TOPIC, Some(dead_letter.topic.clone())),
        (PARTITION, Some(dead_letter.partition.to_string())),
        (OFFSET, Some(dead_letter.offset.to_string())),
        (EVENT_ID, dead_letter.id.map(|id| id.to_string())),
        (ATTEMPTS, Some(dead_letter.attempts.to_string())),
        (FIRST_SEEN, Some(dead_letter.first_seen.to_string())),
        (
            OMITTED,
            dead_letter.omitted_bytes.map(|bytes| bytes.to_string()),
        ),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Some(value?.into_bytes()))))
        .collect()
}

/// The origin of a record that was a dead letter before, and its own headers.
fn split(headers: Vec<RecordHeader>) -> (Option<Origin>, Vec<RecordHeader>) {
    if text(&headers, ATTEMPTS).is_none() {
        // Those of another program stay.
        return (None, headers);
    }
    let origin = read_origin(&headers);
    let own = headers
        .into_iter()
        .filter(|(name, _)| !OURS.contains(&&**name));
    (origin, own.collect())
}

/// The dead letter that headers describe, without key and value; `None` where they describe none.
fn read(headers: Vec<RecordHeader>) -> Option<DeadLetter> {
    let origin = read_origin(&headers)?;
    let reason = text(&headers, REASON).or_else(|| text(&headers, EXCEPTION));
    Some(DeadLetter {
        reason: DeadLetterReason::from(reason.unwrap_or("unknown")),
        message: text(&headers, MESSAGE).unwrap_or_default().to_owned(),
        store_code: number(&headers, STORE_CODE),
        topic: origin.topic,
        partition: origin.partition,
        offset: origin.offset,
        id: number(&headers, EVENT_ID).map(EventId),
        attempts: origin.attempts,
        first_seen: origin.first_seen,
        key: None,
        value: None,
        omitted_bytes: number(&headers, OMITTED),
        headers: headers
            .into_iter()
            .filter(|(name, _)| !OURS.contains(&&**name))
            .map(|(name, value)| (name, value.map(Bytes)))
            .collect(),
    })
}

fn read_origin(headers: &[RecordHeader]) -> Option<Origin> {
    Some(Origin {
        topic: text(headers, TOPIC)?.to_owned(),
        partition: number(headers, PARTITION)?,
        offset: number(headers, OFFSET)?,
        attempts: number(headers, ATTEMPTS).unwrap_or(1),
        first_seen: number(headers, FIRST_SEEN).unwrap_or_default(),
    })
}

/// The last header of a name: who adds one appends it.
fn text<'h>(headers: &'h [RecordHeader], name: &str) -> Option<&'h str> {
    let found = headers.iter().rfind(|header| header.0 == name)?;
    std::str::from_utf8(found.1.as_deref()?).ok()
}

fn number<T: std::str::FromStr>(headers: &[RecordHeader], name: &str) -> Option<T> {
    text(headers, name)?.parse().ok()
}
