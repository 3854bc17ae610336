//! Debezium's envelope.

use super::decoded::Decoded;
use super::values::{Times, is_snapshot, operation, unsigned};
use crate::observe::records::outline::Outline;
use crate::observe::records::record::RecordChange;
use cdc_bench_model::observation::Operation;

/// The change of a record whose value has these fields; `None` if they are no envelope's.
pub(super) fn change(
    decoded: &Decoded<'_>,
    fields: &Outline,
) -> Option<Result<RecordChange, String>> {
    let letter = fields.text("op")?;
    let source = fields.fields("source");
    let is_envelope = source.is_some()
        || ["before", "after", "message"]
            .iter()
            .any(|name| fields.has(name));
    if !is_envelope {
        return None;
    }
    let nothing = Outline::default();
    // A transform may have taken it away.
    let source = source.unwrap_or(&nothing);
    let handed_on = Times::of(|name| fields.integer(name));
    Some(operation(letter).map(|operation| RecordChange {
        schema: source.name("schema").map(str::to_owned),
        table: source.name("table").map(str::to_owned),
        key: decoded.canonical_key(),
        operation: Some(operation),
        lsn: unsigned(source.integer("lsn")),
        tx_id: unsigned(source.integer("txId")),
        is_snapshot: operation == Operation::Read || is_snapshot(source.get("snapshot")),
        committed_at: Times::of(|name| source.integer(name)).micros(),
        handed_on_at: handed_on.micros(),
        resolution_us: handed_on.resolution(),
    }))
}
