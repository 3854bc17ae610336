//! Arguments for an outbox of several tables.

use crate::pipeline::Failure;
use cdc_bench_model::event::Shards;
use cdc_bench_model::timeline::CapturePath;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ShardArgs {
    /// Outbox tables that the events go into, by their aggregate: each has a slot of its own on every path, and a connector, for what one
    /// slot cannot carry
    #[arg(
        long,
        value_name = "S",
        default_value = "1",
        value_parser = shards,
        conflicts_with = "connector"
    )]
    shards: Shards,
}

fn shards(text: &str) -> Result<Shards, String> {
    let count = text.parse().ok().and_then(Shards::new);
    count.ok_or_else(|| format!("expected a number from 1 to {}", Shards::MOST))
}

impl ShardArgs {
    /// The tables that are asked for.
    ///
    /// # Errors
    /// When a capture path has one slot by its nature.
    pub(super) fn shards(&self, paths: &[CapturePath]) -> Result<Shards, Failure> {
        if self.shards.are_several() && paths.contains(&CapturePath::Embedded) {
            return Err(Failure::usage(anyhow::anyhow!(
                "--shards: on the path embedded the consumer is in the process of one reader, and reads one slot; --capture debezium, wal or both reads several"
            )));
        }
        Ok(self.shards)
    }
}
