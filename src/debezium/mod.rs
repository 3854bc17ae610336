//! Debezium: the envelope it writes, the connector that runs it, and Kafka Connect, where it runs.

mod connect;
mod connector;
mod envelope;
mod shape;
mod values;

pub use connect::{ConnectClient, ConnectError, ConnectorStatus};
pub use connector::{ConnectorParams, ConnectorProfile, LOW_LATENCY, connector_config, redacted};
pub(crate) use envelope::EnvelopeReader;
pub use envelope::{Envelope, EnvelopeError, OutboxAfter, Source};
