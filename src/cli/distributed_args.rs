//! Arguments for a run that is spread over workers.

use crate::pipeline::{DistributedRequest, Failure};
use crate::settings::Settings;
use cdc_bench_model::timeline::CapturePath;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct DistributedArgs {
    /// Spread the run over this many workers, which load, consume and read the WAL in its stead ("cdc-bench worker --test ID", on any
    /// machine that reaches the same servers); topics have --partitions, a partition a worker unless it says more
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        requires = "test",
        conflicts_with_all = ["resume", "interleave", "faults", "connector", "inject_transform_delay", "shards"]
    )]
    workers: Option<u16>,
    /// Name of the test that the workers take part in. One whose coordinator was killed is taken up where it stands, by the parameters
    /// that it was begun with
    #[arg(long, value_name = "ID", requires = "workers", value_parser = test_name)]
    test: Option<String>,
    /// Begin only when at least this many of the workers load
    #[arg(long, value_name = "K", requires = "workers", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    min_load: u16,
}

/// What may be a part of a topic's name.
pub(super) fn test_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err("1 to 64 letters, digits, \"-\", \"_\" or \".\"".to_owned());
    }
    Ok(text.to_owned())
}

impl DistributedArgs {
    /// The test that is asked for, and the partitions that it has unless the user has said how many.
    ///
    /// # Errors
    /// When workers could not take part.
    pub(super) fn request(
        &self,
        settings: &Settings,
        paths: &[CapturePath],
        partitions: Option<i32>,
    ) -> Result<(Option<DistributedRequest>, Option<i32>), Failure> {
        let (Some(workers), Some(test)) = (self.workers, &self.test) else {
            return Ok((None, partitions));
        };
        let refused = |why: &str| Err(Failure::usage(anyhow::anyhow!("--workers: {why}")));
        if cdc_bench_stack::running_endpoints(&settings.servers()).is_err() {
            return refused(
                "a stack of the run's own ends with it, and nobody else knows its passwords; keep one (cdc-bench stack up), or use your own servers (--stack external)",
            );
        }
        if paths.contains(&CapturePath::Embedded) {
            return refused(
                "on the path embedded one process reads and writes; --capture debezium, wal or both goes through Kafka",
            );
        }
        if self.min_load > workers {
            return refused("--min-load asks for more workers than there are");
        }
        let request = DistributedRequest {
            test: test.clone(),
            workers: workers.into(),
            min_load: self.min_load.into(),
            is_taken_up: false,
        };
        Ok((Some(request), partitions.or(Some(workers.into()))))
    }
}
