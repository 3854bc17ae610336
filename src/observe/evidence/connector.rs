//! The connectors' state and configuration, by Connect's REST interface.

use cdc_bench_model::observation::diagnosis::{ConnectorEvidence, SinkConnectorEvidence};

use super::sink_connector::SinkConnectorWatch;
use crate::debezium::{ConnectClient, KafkaConnectError};

/// Looks at the source's connector, and at the sink's where the same Connect has it.
pub(super) struct ConnectorWatch {
    client: ConnectClient,
    seen: ConnectorEvidence,
    sink: SinkConnectorWatch,
}

impl ConnectorWatch {
    pub(super) fn new(client: ConnectClient, name: String, sink: SinkConnectorWatch) -> Self {
        Self {
            client,
            seen: ConnectorEvidence {
                name,
                ..ConnectorEvidence::default()
            },
            sink,
        }
    }

    /// Asks for their state. One that does not work is said at once.
    pub(super) async fn look(&mut self) -> Result<(), KafkaConnectError> {
        let connectors = self.client.connectors().await?;
        if let Some(state) = self.sink.take(&connectors) {
            tracing::warn!(state, "the sink's connector does not work");
        }
        let seen = &mut self.seen;
        seen.polls += 1;
        let found = connectors.into_iter().find(|known| known.name == seen.name);
        let idle = match found {
            Some(found) => {
                seen.config = found.config;
                found.idle
            }
            None => Some("it is gone".to_owned()),
        };
        if let Some(state) = idle.and_then(|state| seen.noticed(&state)) {
            tracing::warn!(connector = seen.name, state, "the connector does not work");
        }
        Ok(())
    }

    /// The source's connector, and the sink's.
    pub(super) fn seen(self) -> (Option<ConnectorEvidence>, Option<SinkConnectorEvidence>) {
        let source = (self.seen.polls > 0).then_some(self.seen);
        (source, self.sink.seen())
    }
}
