//! Debezium: the envelope it writes, the connector that runs it, and Kafka Connect, where it runs.

mod connect;
mod connector;
mod envelope;

pub use connect::{ConnectClient, ConnectError, ConnectorStatus};
pub use connector::{ConnectorParams, ConnectorProfile, LOW_LATENCY, connector_config, redacted};
pub use envelope::{Envelope, EnvelopeError, OutboxAfter, Source};
