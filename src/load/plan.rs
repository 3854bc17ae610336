//! What a load inserts, where, and how fast.

use std::time::Duration;

use super::LoadControl;
use cdc_bench_model::event::Shards;
use cdc_bench_model::timeline::Stamp;
use cdc_bench_stack::PostgresEndpoint;

/// How much to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many events.
    Events(u64),
    /// The events that are scheduled within this time from the first. At [`Rate::MAX`](super::Rate::MAX), those that are
    /// sent within it.
    Duration(Duration),
}

/// What to insert, where, and how fast.
#[derive(Debug)]
pub struct LoadPlan<'a, I> {
    /// The source database.
    pub endpoint: &'a PostgresEndpoint,
    /// Value of the `run_id` column.
    pub run_id: String,
    /// The rows; the load ends early where they do.
    pub rows: I,
    /// Events a second, and their changes while the load runs.
    pub control: LoadControl,
    /// Where to stop.
    pub limit: Limit,
    /// Rows per transaction; with 1 every event has its own commit. 0 counts as 1.
    pub insert_batch: usize,
    /// Connections that insert in parallel. 0 counts as 1.
    pub connections: usize,
    /// The tables that the rows go into. A transaction of several rows may have some in each.
    pub shards: Shards,
    /// The share of a load of which others insert the rest; `None`: all of it.
    pub share: Option<LoadShare>,
}

/// When the rows of a share are due: when they would be if they were inserted with all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadShare {
    /// When the first row of all is due.
    pub begins: Stamp,
    /// Its `seq`.
    pub first_seq: u64,
}
