//! The settings that all commands share: servers, topic, group, and how the consumer fetches and writes.

use std::collections::BTreeMap;

use cdc_bench_stack::{
    ClusterRequest, Endpoints, GivenEndpoints, MissingEndpoint, StackKind, StackRequest,
};
use secrecy::SecretString;

/// The settings that all commands share, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The user's servers as far as they were given; `None`: our own stack.
    pub given: Option<GivenEndpoints>,
    /// Where the servers come from.
    pub stack: StackKind,
    /// Properties of Kafka's clients that the user sets.
    pub kafka_properties: Vec<(String, SecretString)>,
    /// The database of the user's that may be loaded although others use its outbox, as `DATABASE@HOST`.
    pub yes_load: Option<String>,
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
    /// Settings of our consumer's fetching, over its defaults.
    pub fetch: BTreeMap<String, String>,
}

impl Settings {
    /// The user's servers, all of them; `None`: our own stack.
    ///
    /// # Errors
    /// When one is missing.
    pub fn endpoints(&self) -> Result<Option<Endpoints>, MissingEndpoint> {
        self.given.as_ref().map(GivenEndpoints::all).transpose()
    }

    /// The request for the servers to start or to find.
    #[must_use]
    pub fn servers(&self) -> StackRequest {
        StackRequest {
            kind: self.stack,
            given: self.given.clone(),
            kafka_properties: self.kafka_properties.clone(),
            kafka_links: Vec::new(),
            connect_exactly_once: false,
            cluster: ClusterRequest::default(),
        }
    }
}
