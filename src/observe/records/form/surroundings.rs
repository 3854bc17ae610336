//! Records beside those of changes: heartbeats, transactions, statements.

use super::decoded::Decoded;
use crate::observe::records::outline::{Outline, Part};
use crate::observe::records::record::NotAChange;

/// What the topic of Debezium's heartbeats begins with.
const HEARTBEATS: &str = "__debezium-heartbeat";

/// What a record with these fields is, if it is one of them.
pub(super) fn of(decoded: &Decoded<'_>, fields: &Outline) -> Option<NotAChange> {
    let prefix = decoded
        .settings
        .heartbeat_prefix
        .as_deref()
        .unwrap_or(HEARTBEATS);
    let in_their_topic = decoded
        .record
        .topic
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let is_time_alone = fields.members == 1 && fields.integer("ts_ms").is_some();
    if is_time_alone && (in_their_topic || decoded.key.has("serverName")) {
        return Some(NotAChange::Heartbeat);
    }
    if fields.has("event_count")
        && fields.text("id").is_some()
        && matches!(fields.text("status"), Some("BEGIN" | "END"))
    {
        return Some(NotAChange::TransactionMetadata);
    }
    let is_statement = fields.text("op").is_none()
        && matches!(fields.get("source"), Part::Fields(_))
        && (fields.has("ddl") || fields.has("tableChanges"));
    is_statement.then_some(NotAChange::SchemaChange)
}
