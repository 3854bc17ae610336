//! What this program and the servers that it started take: memory, descriptors, threads.

use cdc_bench_model::report::Footprint;
use cdc_bench_stack::Stack;

use crate::pipeline::monitor::processes::{memory_of_tree, shape};

/// What they take now; `None` if the system does not tell.
pub(crate) fn footprint(stack: &Stack) -> Option<Footprint> {
    let own = shape(std::process::id())?;
    let servers = stack.processes().into_iter();
    Some(Footprint {
        at: jiff::Timestamp::now(),
        resident: own.resident,
        descriptors: own.descriptors,
        threads: own.threads,
        servers: servers
            .filter_map(|(name, pid)| Some((name, memory_of_tree(pid)?)))
            .collect(),
    })
}
