//! What an observation's evidence says of the pipeline: findings as a run's, from what is to be had from outside.
//!
//! Each rule uses quantiles of the observation and what the servers show of the pipeline's parts, and yields nothing where either is
//! missing. No finding is a valid result.

mod connector;
mod evidence;
mod figures;
#[cfg(test)]
mod fixture;
mod group;
mod rules;
mod source;
mod transactions;

pub use evidence::{
    BIG, ConnectorEvidence, ConnectorMetrics, GroupEvidence, Holder, LongTransaction,
    ObservedEvidence, PartitionEvidence, SlotEvidence, TransactionEvidence,
};
pub use rules::findings;
