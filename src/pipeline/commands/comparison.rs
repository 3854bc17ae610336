//! Compares the rows of a run with its documents; a server that is away for a moment is waited for.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::servers::{ServerClients, renewed_postgres};
use crate::pipeline::request::RunNames;
use crate::store::{MongoStore, Scope, StoreVerification, VerifyError, verify};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Compares the measured rows of a path with their documents, those of the run's earlier parts as well. What a server refuses is asked again for as long as a server of a run may
/// be silent.
///
/// # Errors
/// When a server does not come back, or does not sort as it was asked to; when the user has asked to stop.
pub(super) async fn compare(
    (servers, store, silence): (&ServerClients, &MongoStore, Duration),
    names: &RunNames,
    compared: &(dyn Fn(u64) + Sync),
    cancel: &CancellationToken,
) -> Result<StoreVerification, Failure> {
    let began = Instant::now();
    loop {
        let error = match attempt(servers, store, names, compared, cancel).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        match error {
            VerifyError::Cancelled => return Err(Failure::interrupted()),
            VerifyError::Postgres(_) | VerifyError::Store(_) if began.elapsed() < silence => {
                tracing::warn!(%error, "comparing PostgreSQL with the store again");
                tokio::time::sleep(PAUSE).await;
            }
            error => {
                return Err(Failure::server(error).context("comparing PostgreSQL with the store"));
            }
        }
    }
}

async fn attempt(
    servers: &ServerClients,
    store: &MongoStore,
    names: &RunNames,
    compared: &(dyn Fn(u64) + Sync),
    cancel: &CancellationToken,
) -> Result<StoreVerification, VerifyError> {
    let renewed = renewed_postgres(servers).await;
    let renewed = renewed.map_err(|failure| VerifyError::Postgres(failure.to_string()))?;
    let postgres = renewed.as_ref().unwrap_or(&servers.postgres);
    // Its documents are sorted by their ids, which may take a store some time.
    let patient = MongoStore::connect_patiently(&servers.endpoints.store).await?;
    let store = &patient.with_collection(store.collection());
    let of = async |run_id: &String| {
        let scope = Scope::Run(run_id.clone());
        verify(postgres, store, scope, compared, cancel.clone()).await
    };
    let mut found = of(&names.measured).await?;
    for run_id in &names.earlier {
        found = found.and(of(run_id).await?);
    }
    Ok(found)
}
