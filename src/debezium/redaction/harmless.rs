//! Settings that hold no secret, for a Connect that does not say which do.

/// Settings of Connect, of its own converters and of Debezium's PostgreSQL connector that are no passwords.
const HARMLESS: [&str; 66] = [
    "binary.handling.mode",
    "column.exclude.list",
    "column.include.list",
    "connector.class",
    "database.dbname",
    "database.hostname",
    "database.port",
    "database.sslcert",
    "database.sslfactory",
    "database.sslkey",
    "database.sslmode",
    "database.sslrootcert",
    "database.tcpKeepAlive",
    "database.user",
    "decimal.handling.mode",
    "errors.deadletterqueue.topic.name",
    "errors.log.enable",
    "errors.log.include.messages",
    "errors.max.retries",
    "errors.retry.delay.max.ms",
    "errors.retry.timeout",
    "errors.tolerance",
    "event.processing.failure.handling.mode",
    "exactly.once.support",
    "header.converter",
    "heartbeat.action.query",
    "heartbeat.interval.ms",
    "hstore.handling.mode",
    "include.schema.changes",
    "incremental.snapshot.chunk.size",
    "interval.handling.mode",
    "key.converter",
    "lsn.flush.mode",
    "max.batch.size",
    "max.queue.size",
    "max.queue.size.in.bytes",
    "message.key.columns",
    "message.prefix.include.list",
    "name",
    "plugin.name",
    "poll.interval.ms",
    "predicates",
    "publication.autocreate.mode",
    "publication.name",
    "replica.identity.autoset.values",
    "schema.exclude.list",
    "schema.include.list",
    "schema.name.adjustment.mode",
    "signal.data.collection",
    "signal.enabled.channels",
    "skipped.operations",
    "slot.max.retries",
    "slot.name",
    "slot.retry.delay.ms",
    "snapshot.fetch.size",
    "snapshot.locking.mode",
    "snapshot.mode",
    "snapshot.select.statement.overrides",
    "status.update.interval.ms",
    "table.exclude.list",
    "table.include.list",
    "tasks.max",
    "time.precision.mode",
    "tombstones.on.delete",
    "topic.prefix",
    "value.converter",
];

/// Clients of Connect's workers; which of their settings are passwords, their names say.
const CLIENTS: [&str; 3] = [
    "producer.override.",
    "consumer.override.",
    "admin.override.",
];

/// How Connect creates topics.
const TOPIC_CREATION: &str = "topic.creation.";

/// Whether a value of this setting is no secret, unless its name or the value itself says so.
pub(super) fn is_harmless(key: &str, value: &str) -> bool {
    matches!(value, "" | "true" | "false")
        || HARMLESS.contains(&key)
        || CLIENTS.iter().any(|client| key.starts_with(client))
        || key.starts_with(TOPIC_CREATION)
        || names_class(key)
}

/// Whether a setting names a class, or the classes of a chain.
pub(in crate::debezium) fn names_class(key: &str) -> bool {
    let is_of_chain = key.starts_with("transforms.") || key.starts_with("predicates.");
    ["connector.class", "transforms", "predicates"].contains(&key)
        || ["key.converter", "value.converter", "header.converter"].contains(&key)
        || is_of_chain && key.ends_with(".type")
}
