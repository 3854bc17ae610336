//! What was seen of the pipeline's parts while it was observed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connector_evidence::ConnectorEvidence;
use super::sink_evidence::{SinkConnectorEvidence, SinkEvidence};
use crate::analysis::HopStatistics;

/// What was seen; a part that could not be looked at is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedEvidence {
    /// The connector.
    pub connector: Option<ConnectorEvidence>,
    /// Its metrics, where their address was given.
    pub metrics: Option<ConnectorMetrics>,
    /// Its replication slot.
    pub slot: Option<SlotEvidence>,
    /// The transaction that was open for the longest time.
    pub long_transaction: Option<LongTransaction>,
    /// How the changes lay in transactions.
    pub transactions: TransactionEvidence,
    /// The consumer group.
    pub group: Option<GroupEvidence>,
    /// The sink's server.
    pub sink: Option<SinkEvidence>,
    /// The connector that writes into the sink.
    pub sink_connector: Option<SinkConnectorEvidence>,
    /// Whether the sink is tapped: a change ends there, and not with the group's commit.
    pub has_sink: bool,
    /// How long it was observed.
    pub duration: Duration,
}

/// The connector's metrics, by JMX.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectorMetrics {
    /// Records that its queue can hold.
    pub queue_capacity: Option<u64>,
    /// Fewest that were free.
    pub queue_least_free: Option<u64>,
    /// Its `MilliSecondsBehindSource`: the largest.
    pub most_behind_ms: Option<i64>,
    /// The largest batch that its task has handed to the producer.
    pub batch_size_max: Option<u64>,
}

/// The connector's slot, by `pg_replication_slots` and `pg_stat_replication_slots`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotEvidence {
    /// Its name.
    pub name: String,
    /// How often it was looked at.
    pub polls: u64,
    /// How often nobody was reading it.
    pub inactive: u64,
    /// Bytes of WAL that were written and not confirmed, at first, at last and at most.
    pub behind_first: u64,
    /// The same at last.
    pub behind_last: u64,
    /// The same at most.
    pub behind_most: u64,
    /// Bytes of WAL that the server kept for it, at most.
    pub retained_most: u64,
    /// The worst `wal_status`: `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Transactions that were spilled to disk meanwhile; `None` before PostgreSQL 14.
    pub spilled_transactions: Option<u64>,
    /// Their bytes.
    pub spilled_bytes: Option<u64>,
}

/// A transaction that was open for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongTransaction {
    /// Its process, or the name of a prepared one.
    pub holder: Holder,
    /// Its role.
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// Its state, such as `idle in transaction`.
    pub state: String,
    /// How long it was open.
    pub open: Duration,
}

/// Who holds a transaction open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A process of the server.
    Process(i32),
    /// Nobody: a prepared transaction of this name.
    Prepared(String),
}

/// How the changes of the observed tables lay in transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionEvidence {
    /// Transactions.
    pub transactions: u64,
    /// Changes.
    pub changes: u64,
    /// Changes in transactions of more than [`BIG`].
    pub changes_in_big: u64,
    /// Changes of the largest transaction.
    pub largest: u64,
    /// How long our own reader took from the first change of the largest to its last.
    pub largest_took: Duration,
    /// `debezium` by place in those of more than [`BIG`], where some of their changes were followed to their end.
    pub debezium: Option<SpansByPlace>,
}

/// Spans of the changes of big transactions, by their place in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpansByPlace {
    /// Those of the first tenth of each.
    pub first_tenth: HopStatistics,
    /// Those of the last.
    pub last_tenth: HopStatistics,
}

/// Changes of a transaction that is called big.
pub const BIG: u64 = 1_000;

/// The consumer group, by its committed offsets and its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupEvidence {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionEvidence>,
    /// Between two advances of a partition's committed offset, at the median of all; `None` where there were not two.
    pub commit_interval: Option<Duration>,
    /// How often it was found to rebalance, or with other members than before.
    pub rebalances: u64,
    /// How often it was found without a member.
    pub without_members: u64,
    /// How often its state was asked for.
    pub polls: u64,
}

/// A partition that the group reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionEvidence {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Records that came meanwhile.
    pub records: u64,
    /// Records that were not committed, at last.
    pub lag_last: u64,
    /// The same at most.
    pub lag_most: u64,
}
