//! What is to be observed, as far as the user says it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_stack::PostgresEndpoint;

use super::evidence::MetricsAddress;
use super::lines_source::LinesSource;
use super::service::ObservedMetrics;

/// Where changes are looked for behind Kafka.
#[derive(Debug, Clone)]
pub enum SinkChoice {
    /// In MongoDB where its address is known, else nowhere.
    Found,
    /// In MongoDB.
    MongoDb,
    /// In PostgreSQL.
    Postgres(Box<PostgresSinkRequest>),
    /// In topics downstream.
    Kafka(Vec<TopicOf>),
    /// In what the consumer itself says.
    Lines(LinesSource),
    /// Nowhere: the group's committed offset is the end.
    None,
}

/// A topic downstream, and the table whose rows are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOf {
    /// `schema.table`, or the table alone; `None` for the only one that is observed.
    pub table: Option<String>,
    /// The topic.
    pub topic: String,
}

/// PostgreSQL as the sink.
#[derive(Debug, Clone)]
pub struct PostgresSinkRequest {
    /// Its server and database.
    pub endpoint: PostgresEndpoint,
    /// The publication of its tables, if the user says one.
    pub publication: Option<SinkPublication>,
}

/// The publication that the sink's tables are read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkPublication {
    /// This one.
    Named(String),
    /// One that is made of the tables, and removed at the end.
    ToMake,
}

/// Which group's committed offsets are polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChoice {
    /// The one that reads the topics.
    Found,
    /// This one.
    Named(String),
    /// None.
    None,
}

/// A collection or table of the sink, and the table whose rows are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionOf {
    /// `schema.table`, or the table alone.
    pub table: String,
    /// The collection.
    pub collection: String,
}

/// Where the key of a table is in the rows of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkKeyOf {
    /// `schema.table`, or the table alone; `None` for the only one that is observed.
    pub table: Option<String>,
    /// A path for each column of the table's key, in its order: names with dots between them.
    pub paths: Vec<String>,
}

/// Which changes of our own are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanaryTarget {
    /// Rows of this table, as `schema.table`, or a table of `public` alone.
    Table(String),
    /// Messages of `pg_logical_emit_message()`.
    Message,
}

/// The parts of the pipeline that the user names; what is left out is looked for.
#[derive(Debug, Clone)]
pub struct PipelineRequest {
    /// Connector.
    pub connector: Option<String>,
    /// Publication.
    pub publication: Option<String>,
    /// Make a publication of the observed tables, and remove it at the end.
    pub make_publication: bool,
    /// Tables, as `schema.table`, or a table of `public` alone.
    pub tables: Vec<String>,
    /// Topics.
    pub topics: Vec<String>,
    /// Changes of our own.
    pub canary: Option<CanaryTarget>,
    /// Group.
    pub group: GroupChoice,
    /// Sink.
    pub sink: SinkChoice,
    /// Lines in which the application says when it sent its statements.
    pub source_lines: Option<LinesSource>,
    /// Collections whose names are not their tables'.
    pub collections: Vec<CollectionOf>,
    /// Keys of the sink that are not their tables'.
    pub sink_keys: Vec<SinkKeyOf>,
}

/// How to observe.
#[derive(Debug, Clone)]
pub struct ObserveRequest {
    /// Id of the observation.
    pub id: RunId,
    /// Where the result goes.
    pub folder: ResultFolder,
    /// How long; `None` until it is interrupted.
    pub duration: Option<Duration>,
    /// Longest wait for the changes that are under way at its end.
    pub drain: Duration,
    /// The same once the user has asked to stop.
    pub drain_once_asked: Duration,
    /// Interval of the polls of the group's offsets.
    pub poll_interval: Duration,
    /// Mean interval between changes of the canary, where there is one.
    pub canary_interval: Duration,
    /// Where the connector's metrics are.
    pub connect_metrics: Option<MetricsAddress>,
    /// Most bytes of WAL that our slot may hold back.
    pub max_retained_wal: u64,
    /// Bytes that are left free on the disk of the results: below that it ends, with what it has.
    pub free_disk: u64,
    /// Most changes in flight that are followed.
    pub limit: usize,
    /// Objectives: quantiles of the total, ms.
    pub objectives: Vec<LatencyObjective>,
    /// Reports meanwhile; `None` for one at the end.
    pub periods: Option<ReportPeriods>,
    /// What Prometheus is told meanwhile.
    pub metrics: Option<Arc<ObservedMetrics>>,
}

/// A report every so often, each in a folder of its own.
#[derive(Debug, Clone)]
pub struct ReportPeriods {
    /// Length of a period.
    pub every: Duration,
    /// Folders of periods that are kept, the newest ones.
    pub keep: usize,
    /// The folder that they are in.
    pub results: PathBuf,
}

/// A quantile of the total, and what it is to stay below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyObjective {
    /// Its name in reports, such as `p99_ms`.
    pub name: &'static str,
    /// Which quantile, 0 to 1.
    pub quantile: f64,
    /// Milliseconds.
    pub limit_ms: f64,
}
