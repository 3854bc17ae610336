//! A row alone, by `ExtractNewRecordState`, with what that was told to add as fields or headers.

use super::decoded::Decoded;
use super::values::{Times, operation, unsigned};
use crate::observe::records::header::{header, header_text};
use crate::observe::records::outline::{Outline, Part};
use crate::observe::records::record::RecordChange;
use cdc_bench_model::observation::Operation;

/// What `delete.tombstone.handling.mode=rewrite` adds.
const DELETED: &str = "__deleted";

/// The change of a record that is such a row; `None` if nothing speaks for it.
pub(super) fn change(
    decoded: &Decoded<'_>,
    fields: &Outline,
) -> Option<Result<RecordChange, String>> {
    let added = Added { decoded, fields };
    let is_marked =
        fields.has(DELETED) || added.text("op").is_some() || added.integer("source.lsn").is_some();
    if !is_marked && !has_columns_of_key(decoded, fields) {
        return None;
    }
    let is_deleted = match fields.get(DELETED) {
        Part::Flag(flag) => *flag,
        Part::Text(word) => word == "true",
        _ => false,
    };
    Some(match added.text("op").as_deref().map(operation) {
        Some(Ok(operation)) => Ok(added.change(Some(operation))),
        Some(Err(reason)) => Err(reason),
        None => Ok(added.change(is_deleted.then_some(Operation::Delete))),
    })
}

/// The deletion that a record without a value is: by its headers, or where the connector's deletions leave nothing else.
pub(super) fn deletion(decoded: &Decoded<'_>) -> Option<RecordChange> {
    let nothing = Outline::default();
    let added = Added {
        decoded,
        fields: &nothing,
    };
    let flattening = decoded.settings.flattening.as_ref();
    let is_deletion = match added.text("op") {
        Some(letter) => letter == "d",
        None => flattening.is_some_and(|flattening| flattening.tombstone_is_delete),
    };
    is_deletion.then(|| added.change(Some(Operation::Delete)))
}

/// A row has its key's columns, so a record that has not is none.
fn has_columns_of_key(decoded: &Decoded<'_>, fields: &Outline) -> bool {
    let names = decoded.key.names();
    !names.is_empty() && names.iter().all(|name| fields.has(name))
}

/// What was added to the row.
struct Added<'a> {
    decoded: &'a Decoded<'a>,
    fields: &'a Outline,
}

impl Added<'_> {
    /// The names under which a field of the envelope may have been added: those of the configuration, and Debezium's own.
    fn names(&self, origin: &str) -> Vec<String> {
        let settings = self.decoded.settings.flattening.iter();
        let configured = settings.flat_map(|flattening| &flattening.added);
        let configured = configured.filter(|added| added.origin == origin);
        let mut names: Vec<_> = configured.map(|added| added.name.clone()).collect();
        names.push(format!("__{}", origin.replace('.', "_")));
        if let Some(field) = origin.strip_prefix("source.")
            // Without the path it is the envelope's own.
            && !field.starts_with("ts_")
        {
            names.push(format!("__{field}"));
        }
        names
    }

    fn text(&self, origin: &str) -> Option<String> {
        let record = &self.decoded.record;
        self.names(origin).iter().find_map(|name| {
            let field = self.fields.text(name).map(str::to_owned);
            field.or_else(|| header_text(record, name))
        })
    }

    fn integer(&self, origin: &str) -> Option<i64> {
        let record = &self.decoded.record;
        self.names(origin).iter().find_map(|name| {
            let field = self.fields.integer(name);
            field.or_else(|| header(record, name)?.as_i64())
        })
    }

    fn change(&self, operation: Option<Operation>) -> RecordChange {
        let name = |origin: &str| self.text(origin).filter(|text| !text.is_empty());
        let handed_on = Times::of(|name| self.integer(name));
        let committed = Times::of(|name| self.integer(&format!("source.{name}")));
        let snapshot = self.text("source.snapshot");
        RecordChange {
            schema: name("source.schema"),
            table: name("source.table"),
            key: self.decoded.canonical_key(),
            operation,
            lsn: unsigned(self.integer("source.lsn")),
            tx_id: unsigned(self.integer("source.txId")),
            is_snapshot: operation == Some(Operation::Read)
                || snapshot.is_some_and(|word| word != "false"),
            committed_at: committed.micros(),
            handed_on_at: handed_on.micros(),
            resolution_us: handed_on.resolution(),
        }
    }
}
