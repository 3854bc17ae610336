//! The connector's state and configuration, by Connect's REST interface.

use cdc_bench_model::observation::diagnosis::ConnectorEvidence;

use crate::debezium::{ConnectClient, KafkaConnectError};

/// Distinct states that are kept, and bytes of each.
const STATES: usize = 8;
const LONGEST: usize = 300;

/// Looks at one connector.
pub(super) struct ConnectorWatch {
    client: ConnectClient,
    seen: ConnectorEvidence,
}

impl ConnectorWatch {
    pub(super) fn new(client: ConnectClient, name: String) -> Self {
        Self {
            client,
            seen: ConnectorEvidence {
                name,
                ..ConnectorEvidence::default()
            },
        }
    }

    /// Asks for its state. One that does not work is said at once.
    pub(super) async fn look(&mut self) -> Result<(), KafkaConnectError> {
        let connectors = self.client.connectors().await?;
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
        if let Some(mut state) = idle {
            state.truncate(state.floor_char_boundary(LONGEST));
            if !seen.idle.contains_key(&state) {
                tracing::warn!(connector = seen.name, state, "the connector does not work");
            }
            if seen.idle.contains_key(&state) || seen.idle.len() < STATES {
                *seen.idle.entry(state).or_default() += 1;
            }
        }
        Ok(())
    }

    pub(super) fn seen(self) -> Option<ConnectorEvidence> {
        (self.seen.polls > 0).then_some(self.seen)
    }
}
