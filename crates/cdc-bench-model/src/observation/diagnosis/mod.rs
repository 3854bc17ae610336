//! What an observation's evidence says of the pipeline: findings as a run's, from what is to be had from outside.
//!
//! Each rule uses quantiles of the observation and what the servers show of the pipeline's parts, and yields nothing where either is
//! missing. No finding is a valid result.

mod connector;
mod connector_evidence;
mod evidence;
mod figures;
#[cfg(test)]
mod fixture;
mod group;
mod rules;
mod sink_connector;
mod sink_evidence;
mod sink_server;
mod source;
mod transactions;

pub use connector_evidence::ConnectorEvidence;
pub use evidence::{
    BIG, ConnectorMetrics, GroupEvidence, Holder, LongTransaction, ObservedEvidence,
    PartitionEvidence, SlotEvidence, SpansByPlace, TransactionEvidence,
};
pub use rules::findings;
pub use sink_evidence::{
    ReplicaSet, ReplicationEvidence, ServerStatusEvidence, SinkConnectorEvidence, SinkEvidence,
    WriteConcernSeen,
};
