//! The `source` block of events.

use pgcdc::{Lsn, Operation, SnapshotRow, UnixNanos, Xid};

use super::config::EnvelopeConfig;
use super::json;

/// Where an event comes from.
pub(super) struct Source<'a> {
    /// Time of the commit.
    pub(super) at: UnixNanos,
    pub(super) snapshot: &'static str,
    /// Position of the last commit before.
    pub(super) previous: Option<Lsn>,
    pub(super) lsn: Lsn,
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    pub(super) xid: Option<Xid>,
    pub(super) origin: Option<&'a str>,
}

/// Writes the block, with its name and a comma before it.
pub(super) fn write(out: &mut Vec<u8>, config: &EnvelopeConfig, source: &Source<'_>) {
    json::raw(out, ",\"source\":{\"version\":");
    json::string(out, &config.version);
    json::raw(out, ",\"connector\":\"postgresql\",\"name\":");
    json::string(out, &config.name);
    let nanos = source.at.0;
    json::raw(out, ",\"ts_ms\":");
    json::number(out, nanos.div_euclid(1_000_000));
    json::raw(out, ",\"snapshot\":\"");
    json::raw(out, source.snapshot);
    json::raw(out, "\",\"db\":");
    json::string(out, &config.database);
    json::raw(out, ",\"sequence\":\"[");
    match source.previous {
        Some(lsn) => json::raw(out, &format!("\\\"{}\\\"", lsn.0)),
        None => json::raw(out, "null"),
    }
    json::raw(out, &format!(",\\\"{}\\\"]\",\"ts_us\":", source.lsn.0));
    json::number(out, nanos.div_euclid(1_000));
    json::raw(out, ",\"ts_ns\":");
    json::number(out, nanos);
    json::raw(out, ",\"schema\":");
    json::string(out, source.schema);
    json::raw(out, ",\"table\":");
    json::string(out, source.table);
    json::raw(out, ",\"txId\":");
    match source.xid {
        Some(xid) => json::raw(out, &xid.0.to_string()),
        None => json::raw(out, "null"),
    }
    json::raw(out, &format!(",\"lsn\":{}", source.lsn.0));
    json::raw(out, ",\"xmin\":null,\"origin\":");
    match source.origin {
        Some(origin) => json::string(out, origin),
        None => json::raw(out, "null"),
    }
    json::raw(out, ",\"origin_lsn\":null}");
}

/// `source.snapshot`.
pub(super) fn snapshot(operation: Operation) -> &'static str {
    match operation {
        Operation::Read(SnapshotRow::First) => "first",
        Operation::Read(SnapshotRow::FirstInTable) => "first_in_data_collection",
        Operation::Read(SnapshotRow::Inside) => "true",
        Operation::Read(SnapshotRow::LastInTable) => "last_in_data_collection",
        Operation::Read(SnapshotRow::Last) => "last",
        _ => "false",
    }
}
