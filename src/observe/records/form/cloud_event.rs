//! A change as a CloudEvent, by Debezium's `CloudEventsConverter`.

use jiff::Timestamp;

use super::decoded::Decoded;
use super::values::{Times, is_snapshot, operation, unsigned, unwrapped};
use crate::observe::records::outline::{Outline, Part};
use crate::observe::records::record::RecordChange;
use cdc_bench_model::observation::Operation;

/// The change of a record whose value has these fields; `None` if they are no CloudEvent's, or of another maker.
pub(super) fn change(
    decoded: &Decoded<'_>,
    fields: &Outline,
) -> Option<Result<RecordChange, String>> {
    fields.text("specversion")?;
    let is_debezium = fields.has_prefix(PREFIX)
        || fields
            .text("type")
            .is_some_and(|kind| kind.starts_with("io.debezium."));
    if !is_debezium {
        return None;
    }
    let letter = attribute(fields, "op").and_then(Part::text);
    let operation = match letter.map(operation) {
        Some(Ok(operation)) => Some(operation),
        Some(Err(reason)) => return Some(Err(reason)),
        None => by_rows(fields),
    };
    let source_times = Times::of(|name| attribute(fields, name)?.integer());
    let id = fields.text("id").unwrap_or_default();
    let number = |attribute_name: &str, name_in_id: &str| {
        let number = attribute(fields, attribute_name).and_then(Part::integer);
        unsigned(number.or_else(|| of_id(id, name_in_id)))
    };
    let name = |attribute_name: &str| {
        let text = attribute(fields, attribute_name).and_then(Part::text);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let time = || {
        Some(
            fields
                .text("time")?
                .parse::<Timestamp>()
                .ok()?
                .as_microsecond(),
        )
    };
    Some(Ok(RecordChange {
        schema: name("schema"),
        table: name("table"),
        key: decoded.canonical_key(),
        operation,
        lsn: number("lsn", "lsn"),
        tx_id: number("txid", "txId"),
        is_snapshot: operation == Some(Operation::Read)
            || attribute(fields, "snapshot").is_some_and(is_snapshot),
        committed_at: source_times.micros().or_else(time),
        // It has no field for it.
        handed_on_at: None,
        resolution_us: 1_000,
    }))
}

/// What the attributes begin with that Debezium adds.
const PREFIX: &str = "iodebezium";

/// An attribute that Debezium adds: its field's name without what the specification does not allow.
fn attribute<'a>(fields: &'a Outline, field: &str) -> Option<&'a Part> {
    let name = format!("{PREFIX}{}", field.replace('_', ""));
    Some(fields.get(&name)).filter(|part| **part != Part::Null)
}

/// A number in Debezium's id of an event: `name:shop;lsn:29274832;txId:565`.
fn of_id(id: &str, name: &str) -> Option<i64> {
    let mut entries = id.split(';').filter_map(|entry| entry.split_once(':'));
    entries.find(|(entry, _)| *entry == name)?.1.parse().ok()
}

/// The operation, where the attributes of the extension are switched off.
fn by_rows(fields: &Outline) -> Option<Operation> {
    let Part::Fields(data) = unwrapped(fields.get("data").clone()) else {
        return None;
    };
    match (data.is_null("before"), data.is_null("after")) {
        (false, false) => Some(Operation::Update),
        (false, true) => Some(Operation::Delete),
        // An insert, or an update of a table that logs no old rows.
        (true, _) => None,
    }
}
