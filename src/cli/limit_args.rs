//! Arguments for what a run may take at most.

use std::time::Duration;

use cdc_bench_stack::StackKind;

use crate::pipeline::Limits;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct LimitArgs {
    /// Most WAL that a slot of the run may hold back on PostgreSQL's disk, MiB: beyond it the run ends and drops its slot; 0 is no
    /// limit [default: 4096 on your servers, 0 on those that this program starts]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1_073_741_824))]
    max_retained_wal: Option<u64>,
    /// Room that is left free on the disk of the results, MiB: the run ends before it takes that [default: 256]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1_073_741_824))]
    min_free_disk: Option<u64>,
    /// Longest time in which a server answers nothing, or nothing comes through a path although events wait, before the run ends;
    /// --drain-timeout if that is longer, and the longest fault on top [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_silence: Option<u64>,
}

impl LimitArgs {
    /// The limits on servers of this kind.
    pub(super) fn limits(&self, stack: StackKind) -> Limits {
        let by_default = Limits::by_default(stack);
        let retained_wal = match self.max_retained_wal {
            None => by_default.retained_wal,
            Some(0) => None,
            Some(mib) => Some(mib << 20),
        };
        let free_disk = self
            .min_free_disk
            .map_or(by_default.free_disk, |mib| mib << 20);
        let silence = self.max_silence.map(Duration::from_secs);
        Limits {
            retained_wal,
            free_disk,
            silence: silence.unwrap_or(by_default.silence),
        }
    }
}
