//! How much to insert, and how fast: the same flags wherever something is inserted.

use std::time::Duration;

use crate::load::{Limit, Rate};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoadArgs {
    /// Events to insert [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "duration")]
    events: Option<u64>,
    /// Seconds to insert for, instead of a number of events
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    duration: Option<u64>,
    /// Events a second on an open-loop schedule, or "max"
    #[arg(
        long,
        value_name = "RATE",
        default_value = "167",
        allow_negative_numbers = true
    )]
    pub(super) rate: Rate,
    #[command(flatten)]
    pub(super) inserter: InserterArgs,
}

/// By what means it is inserted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct InserterArgs {
    /// Rows a transaction
    #[arg(long, value_name = "ROWS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    insert_batch: u16,
    /// Connections that insert
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Seed of the events: same seed, same events
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(super) seed: u64,
}

impl LoadArgs {
    pub(super) fn limit(&self) -> Limit {
        match self.duration {
            Some(seconds) => Limit::Duration(Duration::from_secs(seconds)),
            None => Limit::Events(self.events.unwrap_or(10_000)),
        }
    }
}

impl InserterArgs {
    pub(super) fn insert_batch(&self) -> usize {
        self.insert_batch.into()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.into()
    }
}
