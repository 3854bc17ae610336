//! What every command is told besides its own request: servers, topic, group, how the consumer fetches and writes.

use std::collections::BTreeMap;

use cdc_bench_stack::{Endpoints, GivenEndpoints, MissingEndpoint, StackKind, StackRequest};

/// Endpoints and what else is the same for every command, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The user's servers, as far as they were given; `None`: servers of ours.
    pub given: Option<GivenEndpoints>,
    /// Where the servers come from.
    pub stack: StackKind,
    /// Topic of the outbox.
    pub topic: String,
    /// Whether the user named it.
    pub topic_is_given: bool,
    /// Consumer group.
    pub group: String,
    /// Whether the user named it.
    pub group_is_given: bool,
    /// Most documents in one store write.
    pub batch_size: usize,
    /// Most store writes in flight.
    pub writes_in_flight: usize,
    /// How our consumer fetches, over what it sets itself.
    pub fetch: BTreeMap<String, String>,
}

impl Settings {
    /// The user's servers, all of them; `None`: servers of ours.
    ///
    /// # Errors
    /// When one is missing.
    pub fn endpoints(&self) -> Result<Option<Endpoints>, MissingEndpoint> {
        self.given.as_ref().map(GivenEndpoints::all).transpose()
    }

    /// Which servers to bring up or to find.
    #[must_use]
    pub fn servers(&self) -> StackRequest {
        StackRequest {
            kind: self.stack,
            given: self.given.clone(),
        }
    }
}
