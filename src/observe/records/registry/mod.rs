//! Schemas of a registry, fetched once each.

mod client;
mod error;
mod schema;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cdc_bench_stack::{RegistryEndpoint, RegistryEndpointError};
use tokio::time::Instant;

use super::wire::SchemaId;
use client::RegistryClient;

pub use error::RegistryError;
pub(super) use schema::Schema;

/// The pause after the first failure; it doubles with every one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a schema that the registry has not is not asked for again.
const MISSING: Duration = Duration::from_secs(30);

/// A registry and what is known of its schemas. Clones share it.
#[derive(Clone)]
pub(super) struct Registry {
    client: Arc<RegistryClient>,
    known: Arc<Mutex<HashMap<SchemaId, KnownSchema>>>,
    /// Held while asking: a schema is fetched once.
    pause: Arc<tokio::sync::Mutex<Pause>>,
}

#[derive(Clone)]
enum KnownSchema {
    There(Arc<Schema>),
    /// It cannot be read, and that stays so.
    Unreadable(String),
    /// The registry had it not.
    Missing(Instant, RegistryError),
}

/// The pause of a registry that failed.
#[derive(Default)]
struct Pause {
    /// Since the registry answered last.
    failures: u32,
    /// It is not asked before, and this is why.
    until: Option<(Instant, RegistryError)>,
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
            pause: Arc::default(),
        })
    }

    /// The schema of this id, or why it cannot be read. A registry that failed is asked again after a pause; until
    /// then its last error stands.
    ///
    /// # Errors
    /// When the registry does not give it.
    pub async fn schema(
        &self,
        id: &SchemaId,
    ) -> Result<Result<Arc<Schema>, String>, RegistryError> {
        if let Some(known) = self.known(id) {
            return known;
        }
        let mut pause = self.pause.lock().await;
        // Another may have fetched it in the meantime.
        if let Some(known) = self.known(id) {
            return known;
        }
        if let Some((until, error)) = &pause.until
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let known = match self.client.schema(id).await {
            Ok(registered) => match Schema::parse(&registered) {
                Ok(schema) => KnownSchema::There(Arc::new(schema)),
                Err(reason) => KnownSchema::Unreadable(reason),
            },
            Err(missing @ RegistryError::NoSchema { .. }) => {
                KnownSchema::Missing(Instant::now(), missing)
            }
            Err(error) => {
                let doubled = FIRST_PAUSE.saturating_mul(1 << pause.failures.min(6));
                pause.failures += 1;
                let until = Instant::now() + doubled.min(LONGEST_PAUSE);
                pause.until = Some((until, error.clone()));
                return Err(error);
            }
        };
        *pause = Pause::default();
        self.lock().insert(id.clone(), known.clone());
        known.answer()
    }

    fn known(&self, id: &SchemaId) -> Option<Result<Result<Arc<Schema>, String>, RegistryError>> {
        match self.lock().get(id)? {
            KnownSchema::Missing(since, _) if since.elapsed() > MISSING => None,
            known => Some(known.clone().answer()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SchemaId, KnownSchema>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownSchema {
    fn answer(self) -> Result<Result<Arc<Schema>, String>, RegistryError> {
        match self {
            Self::There(schema) => Ok(Ok(schema)),
            Self::Unreadable(reason) => Ok(Err(reason)),
            Self::Missing(_, error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
