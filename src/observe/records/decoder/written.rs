//! A record of a topic downstream, whatever has written it: its key, and whether it deletes.

use cdc_bench_model::observation::Operation;
use serde_json::Value;

use super::{RecordDecoder, RecordError, Unread};
use crate::observe::records::key::Key;
use crate::observe::records::record::{NotAChange, Observed, RawRecord};

/// What a record of a topic downstream is.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// A row's.
    Row(WrittenRow),
    /// No row's: a heartbeat, a row that a snapshot has read.
    NoRow,
    /// Its key cannot be read, or whether it deletes, and why.
    Unreadable(String),
}

/// A row that was written or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenRow {
    key: Key,
    /// Whether the row is deleted.
    pub is_delete: bool,
}

impl WrittenRow {
    /// Whether the record has a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key != Key::None
    }

    /// The key as JSON: an object of columns, or a value.
    #[must_use]
    pub fn whole_key(&self) -> Value {
        match self.key.clone() {
            Key::None => Value::Null,
            Key::Columns(columns) => Value::Object(columns),
            Key::Single(value) => value,
        }
    }

    /// The key's columns as JSON without spaces, sorted by name. `column`: the name of the column that a single value is of.
    #[must_use]
    pub fn key(&self, column: Option<&str>) -> String {
        self.key.clone().into_canonical(column)
    }
}

impl RecordDecoder {
    /// What this record of a topic downstream is. Where its value is of no form that is known, its key alone counts.
    ///
    /// # Errors
    /// When a registry does not give a schema that the record needs.
    pub async fn written(&self, record: RawRecord<'_>) -> Result<Written, RecordError> {
        match self.read_written(record).await {
            Ok(written) => Ok(written),
            Err(Unread::Unreadable(reason)) => Ok(Written::Unreadable(reason)),
            Err(Unread::Failed(error)) => Err(error),
        }
    }

    async fn read_written(&self, record: RawRecord<'_>) -> Result<Written, Unread> {
        let key = match record.key {
            Some(bytes) => self.key(bytes, &record).await?,
            None => Key::None,
        };
        let row = |is_delete| Written::Row(WrittenRow { key, is_delete });
        Ok(match self.read(record).await? {
            Observed::Tombstone { .. } => row(true),
            Observed::Change(change) => match change.operation {
                _ if change.is_snapshot => Written::NoRow,
                Some(Operation::Truncate | Operation::Message) => Written::NoRow,
                operation => row(operation == Some(Operation::Delete)),
            },
            Observed::NotAChange(NotAChange::Unknown(_)) => row(false),
            Observed::NotAChange(NotAChange::Unreadable(why)) => Written::Unreadable(why),
            Observed::NotAChange(
                NotAChange::Heartbeat | NotAChange::TransactionMetadata | NotAChange::SchemaChange,
            ) => Written::NoRow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> Written {
        let record = RawRecord {
            topic: "orders-by-customer",
            key,
            value,
            headers: &[],
        };
        RecordDecoder::default().written(record).await.unwrap()
    }

    #[tokio::test]
    async fn the_key_counts_whatever_the_value_is() {
        for (key, value, expected, is_delete) in [
            (
                &b"{\"b\":1,\"a\":2}"[..],
                Some(&b"{\"sum\":7}"[..]),
                r#"{"a":2,"b":1}"#,
                false,
            ),
            (b"{\"id\":7}", Some(b"not JSON"), r#"{"id":7}"#, false),
            (b"{\"id\":7}", None, r#"{"id":7}"#, true),
            (b"7", Some(b"[1]"), r#"{"id":7}"#, false),
            (&[0, 0, 0, 0, 0, 0, 0, 7], Some(b"{}"), r#"{"id":7}"#, false),
            (
                b"{\"id\":7}",
                Some(b"{\"op\":\"d\",\"before\":{\"id\":7},\"after\":null,\"source\":{}}"),
                r#"{"id":7}"#,
                true,
            ),
            (
                b"{\"id\":7}",
                Some(b"{\"id\":7,\"__deleted\":\"true\"}"),
                r#"{"id":7}"#,
                true,
            ),
        ] {
            let Written::Row(row) = read(Some(key), value).await else {
                panic!("{expected}");
            };
            assert_eq!(
                (row.key(Some("id")), row.is_delete),
                (expected.to_owned(), is_delete)
            );
        }
    }

    #[tokio::test]
    async fn a_row_that_a_snapshot_has_read_is_no_change() {
        let snapshot = b"{\"op\":\"r\",\"before\":null,\"after\":{\"id\":7},\"source\":{}}";
        assert_eq!(
            read(Some(b"{\"id\":7}"), Some(snapshot)).await,
            Written::NoRow
        );
    }

    #[tokio::test]
    async fn a_record_need_not_have_a_key() {
        for (value, is_delete) in [(Some(&b"{\"id\":7}"[..]), false), (None, true)] {
            let Written::Row(row) = read(None, value).await else {
                panic!("{value:?}");
            };
            assert_eq!((row.has_key(), row.is_delete), (false, is_delete));
        }
    }
}
