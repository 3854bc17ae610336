//! Debezium: its change events as records carry them, the connector's configuration, and Kafka Connect, which runs it.
//!
//! Reading an event: [`Envelope`] has its fields. `reader` reads it by the `template` of the previous event, which compares
//! its text, and where that does not match by parsing it (`partial`, with the `scalars` of its fields).

mod connect;
mod connector;
mod envelope;
mod error;
mod event_router;
mod feeding;
mod field;
mod key;
mod partial;
mod reader;
mod redaction;
mod scalars;
mod template;
mod topic_route;
mod trace;

pub use connect::{ConnectClient, ConnectorStatus, KafkaConnectError, RegisteredConnector};
pub use connector::{
    ConnectorParams, ConnectorProfile, LOW_LATENCY, connector_config, is_less_strict,
    requires_exactly_once,
};
pub use envelope::{Envelope, EnvelopeSource, OutboxAfter, RowChange};
pub use error::{ReadEnvelopeError, UnreadableBy};
pub use event_router::event_router_topics;
pub use feeding::{
    Feeding, SourceDatabase, TableCapture, captures_table, feeding, is_listed,
    is_postgres_connector, outbox_topic,
};
pub(crate) use key::{aggregate_key, key_difference};
pub(crate) use reader::EnvelopeReader;
pub(crate) use redaction::holds_secret;
pub use topic_route::{TableTopic, table_topic};
