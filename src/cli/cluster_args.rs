//! Arguments for the size of a local stack.

use cdc_bench_stack::{ClusterRequest, StackKind};
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

use crate::pipeline::Failure;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ClusterArgs {
    /// Brokers of a local stack: 3 keep every record three times, and acknowledge it when two have it [default: 1]
    #[arg(long, value_name = "1|3", value_parser = one_of(&["1", "3"]))]
    brokers: Option<usize>,
    /// Workers of a local stack's Kafka Connect, in one group: when one dies, the other takes its connectors over [default: 1]
    #[arg(long, value_name = "1|2", value_parser = one_of(&["1", "2"]))]
    connect_workers: Option<usize>,
}

fn one_of(values: &'static [&'static str]) -> impl TypedValueParser<Value = usize> {
    PossibleValuesParser::new(values).try_map(|text| text.parse::<usize>())
}

impl ClusterArgs {
    /// What is asked.
    pub(super) fn request(&self) -> ClusterRequest {
        ClusterRequest {
            brokers: self.brokers,
            connect_workers: self.connect_workers,
        }
    }

    /// The same of servers of this kind.
    ///
    /// # Errors
    /// When they are not a local stack.
    pub(super) fn request_of(&self, stack: StackKind) -> Result<ClusterRequest, Failure> {
        let request = self.request();
        if stack != StackKind::Local && !request.is_empty() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--brokers and --connect-workers are the size of a local stack, and these servers are none (--stack {stack}): leave the flags out, or the addresses of your servers"
            )));
        }
        Ok(request)
    }
}
