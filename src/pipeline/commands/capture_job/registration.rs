//! The registry as a capture writes it: topics, and a slot that no publication of ours names. Publications, and slots that come with
//! them, carry a comment that says whose they are.

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use pgcdc::SlotName;
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{ResourceKind, ResourceRegistry};
use crate::pipeline::provision::source::connect_postgres;

/// The entries of a capture. One that cannot be written does not keep the capture from its work, which needs fewer rights.
pub(super) struct CaptureRegistration {
    registry: ResourceRegistry,
    capture: RunId,
}

impl CaptureRegistration {
    /// Registers the capture itself. `None` where the registry may not be written, or would be among the tables that somebody
    /// captures: its rows would be changes in his stream.
    pub(super) async fn begin(
        postgres: &PostgresEndpoint,
        client: &Client,
        capture: &RunId,
    ) -> Option<Self> {
        let begin = async {
            if is_published(client).await? {
                tracing::debug!("the registry is published, or would be: nothing is registered");
                return Ok(None);
            }
            let registry = ResourceRegistry::new(connect_postgres(postgres).await?);
            let kind = ResourceKind::Capture;
            let id = capture.as_str();
            registry.record(kind, id, Some(capture)).await?;
            Ok::<_, Failure>(Some(registry))
        };
        let registry = begin.await.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "nothing is registered");
            None
        })?;
        Some(Self {
            registry,
            capture: capture.clone(),
        })
    }

    /// Registers a topic that is about to be created.
    pub(super) async fn topic(&self, name: &str) {
        let (kind, capture) = (ResourceKind::CaptureTopic, Some(&self.capture));
        let registered = self.registry.record(kind, name, capture).await;
        or_tell(registered.map(drop));
    }

    /// Registers a slot that is about to be created, and that stays for the next capture.
    pub(super) async fn slot(&self, slot: &SlotName) {
        let registered = self
            .registry
            .record(ResourceKind::Slot, slot.as_str(), None);
        or_tell(registered.await.map(drop));
    }

    /// Removes the entry of what was not created, or is gone.
    pub(super) async fn forget(&self, kind: ResourceKind, name: &str) {
        or_tell(self.registry.forget(kind, name).await);
    }

    /// Removes the entries of the capture: what was delivered is the user's.
    pub(super) async fn end(&self) {
        let ending = async {
            self.registry.forget_run(&self.capture).await?;
            self.registry.drop_if_empty().await
        };
        or_tell(ending.await);
    }
}

async fn is_published(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let question = "SELECT EXISTS (SELECT FROM pg_publication WHERE puballtables) \
        OR EXISTS (SELECT FROM pg_publication_tables WHERE schemaname = 'cdc_bench')";
    Ok(client.query_one(question, &[]).await?.get(0))
}

fn or_tell(outcome: Result<(), tokio_postgres::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "the registry was not written");
    }
}
