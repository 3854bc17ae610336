//! Arguments for the topics that a run makes.

use crate::pipeline::Failure;
use cdc_bench_model::timeline::CapturePath;

/// Most partitions of a topic: a broker and its clients keep files and buffers for each.
pub(super) const MOST_PARTITIONS: i64 = 256;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopicArgs {
    /// Partitions of the topics that this run makes. Their records are then keyed by aggregate, so that the events of one keep their
    /// order [default: 1, keyed by event]
    #[arg(long, value_name = "P", conflicts_with = "connector", value_parser = clap::value_parser!(i32).range(1..=MOST_PARTITIONS))]
    partitions: Option<i32>,
}

impl TopicArgs {
    /// The partitions that are asked for.
    ///
    /// # Errors
    /// When none of the capture paths goes through Kafka.
    pub(super) fn partitions(&self, paths: &[CapturePath]) -> Result<Option<i32>, Failure> {
        let have_topics = paths.iter().any(|path| *path != CapturePath::Embedded);
        if self.partitions.is_some() && !have_topics {
            return Err(Failure::usage(anyhow::anyhow!(
                "--partitions is about topics, and no capture path of this run has one; --capture debezium, wal or both does"
            )));
        }
        Ok(self.partitions)
    }
}
