//! What is said of a change that Kafka did not take: which one it is, why, and what to do.

use std::sync::Arc;

use pgcdc::{Lsn, TableName};
use rdkafka::error::RDKafkaErrorCode;

use crate::broker::UndeliveredRecord;

/// Longest part of a key that is shown, characters.
const SHOWN_KEY: usize = 200;

/// What a record is sent with.
#[derive(Debug, Clone)]
pub(super) struct SentChange {
    /// Number of the record.
    pub(super) number: u64,
    pub(super) of: SentOf,
}

/// What a record is of.
#[derive(Debug, Clone)]
pub(super) enum SentOf {
    /// A change of this table, at this position.
    Change(Arc<TableName>, Lsn),
    /// A message of the WAL, at this position.
    Message(Lsn),
    /// The beginning or the end of a transaction.
    Transaction,
}

/// The error of a change that was not delivered.
pub(super) fn describe(record: &UndeliveredRecord<SentChange>, bootstrap: &str) -> String {
    let of = match &record.sent_with.of {
        SentOf::Change(table, lsn) => {
            format!("the change of table {} at {lsn}", table.to_sql())
        }
        SentOf::Message(lsn) => format!("the message at {lsn}"),
        SentOf::Transaction => "the record of a transaction".to_owned(),
    };
    let key = match &record.key {
        Some(key) => {
            let key = String::from_utf8_lossy(key);
            let shown: String = key.chars().take(SHOWN_KEY).collect();
            let rest = if shown.len() < key.len() { "..." } else { "" };
            format!("key {shown}{rest}")
        }
        None => "no key".to_owned(),
    };
    format!(
        "Kafka at {bootstrap} did not take {of}, {key}, {} bytes, for topic \"{}\": {}; {}. It is not acknowledged: the next capture with the same slot begins with it",
        record.size,
        record.topic,
        record.reason,
        advice(record)
    )
}

fn advice(record: &UndeliveredRecord<SentChange>) -> String {
    let topic = &record.topic;
    match record.code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) if record.is_refused_by_client => {
            let enough = record.size.next_multiple_of(1 << 20) + (1 << 20);
            format!(
                "raise the client's limit, --kafka-config message.max.bytes={enough}, and the topic's, max.message.bytes={enough}"
            )
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => format!(
            "raise max.message.bytes of the topic (kafka-configs.sh --alter --topic {topic} --add-config max.message.bytes=...); if this record is smaller than that, its batch was not: --kafka-config batch.size=..."
        ),
        // Records without a key are refused by a compacted topic as invalid.
        Some(RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidMessage)
            if record.key.is_none() =>
        {
            format!(
                "a compacted topic takes no record without a key: give the table a primary key, or set cleanup.policy=delete for topic {topic}"
            )
        }
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => "the topic was deleted: create it again, or let the next capture create it".to_owned(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed,
        ) => "allow WRITE on the topic, and IDEMPOTENT_WRITE on the cluster".to_owned(),
        Some(RDKafkaErrorCode::MessageTimedOut) => {
            "is the broker running? --kafka-config message.timeout.ms=... waits longer".to_owned()
        }
        _ => "see the broker's log for the reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_change_and_the_way_out() {
        let mut record = UndeliveredRecord {
            sent_with: SentChange {
                number: 1,
                of: SentOf::Change(Arc::new(TableName::new("public", "t")), Lsn(0x16_B374_D848)),
            },
            topic: "p.public.t".to_owned(),
            key: Some(b"{\"id\":7}".to_vec()),
            size: 1_200_000,
            code: Some(RDKafkaErrorCode::MessageSizeTooLarge),
            reason: "Message size too large".to_owned(),
            is_refused_by_client: true,
        };
        let error = describe(&record, "here:9092");
        for words in [
            "table public.t at 16/B374D848",
            "key {\"id\":7}",
            "1200000 bytes",
            "topic \"p.public.t\"",
            "message.max.bytes=3145728",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
        record.is_refused_by_client = false;
        assert!(describe(&record, "").contains("max.message.bytes of the topic"));
        record.key = None;
        record.code = Some(RDKafkaErrorCode::InvalidRecord);
        let error = describe(&record, "");
        assert!(
            error.contains("no key") && error.contains("compacted"),
            "{error}"
        );
    }
}
