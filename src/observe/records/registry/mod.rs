//! Schemas of a registry, fetched once each.

mod client;
mod error;
mod schema;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_stack::{RegistryEndpoint, RegistryEndpointError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::wire::SchemaId;
use client::RegistryClient;

pub use error::RegistryError;
pub(super) use schema::Schema;

/// The pause after the first failure; it doubles with every one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A registry and what is known of its schemas. Clones share it.
#[derive(Clone)]
pub(super) struct Registry {
    client: Arc<RegistryClient>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// A schema that cannot be read stays so.
    schemas: HashMap<SchemaId, Result<Arc<Schema>, String>>,
    /// Since the registry answered last.
    failures: u32,
    /// It is not asked before.
    asked_again_at: Option<Instant>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.client.endpoint())
    }
}

impl Registry {
    /// # Errors
    /// When no client can be made of the endpoint's settings.
    pub fn new(endpoint: RegistryEndpoint) -> Result<Self, RegistryEndpointError> {
        Ok(Self {
            client: Arc::new(RegistryClient::new(endpoint)?),
            known: Arc::default(),
        })
    }

    /// The schema of this id, or why it cannot be read. A registry that failed is asked again after a pause, which this waits for.
    ///
    /// # Errors
    /// When the registry does not give it.
    pub async fn schema(
        &self,
        id: &SchemaId,
    ) -> Result<Result<Arc<Schema>, String>, RegistryError> {
        // Held while asking: a schema is fetched once.
        let mut known = self.known.lock().await;
        if let Some(schema) = known.schemas.get(id) {
            return Ok(schema.clone());
        }
        if let Some(at) = known.asked_again_at {
            tokio::time::sleep_until(at).await;
        }
        match self.client.schema(id).await {
            Ok(registered) => {
                (known.failures, known.asked_again_at) = (0, None);
                let schema = Schema::parse(&registered).map(Arc::new);
                known.schemas.insert(id.clone(), schema.clone());
                Ok(schema)
            }
            Err(error) => {
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << known.failures.min(6))
                    .min(LONGEST_PAUSE);
                known.failures += 1;
                known.asked_again_at = Some(Instant::now() + pause);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
