//! Resource usage during the events of a trial: the machine's load, the JVMs' compilers, PostgreSQL's checkpoints.

use std::time::{Duration, Instant};

use cdc_bench_model::analysis::CheckpointActivity;
use cdc_bench_stack::Stack;
use tokio_postgres::Client;

use crate::pipeline::monitor::processes::{MachineTime, machine};
use crate::pipeline::monitor::{jvm, postgres_checkpoints};

/// The counters at one time.
pub(crate) struct UsageSample {
    taken: Instant,
    machine: Option<MachineTime>,
    jvm: Option<jvm::CompilerSample>,
    checkpoints: Option<CheckpointActivity>,
}

/// The usage between two samples, or the sum of several such spans.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResourceUsage {
    /// Length of the span.
    pub(crate) span: Duration,
    machine: Option<MachineTime>,
    /// Processor time of the JVMs' compilers, if the JVMs are processes of ours.
    jvm: Option<Duration>,
    /// `None` if the server does not answer.
    pub(crate) checkpoints: Option<CheckpointActivity>,
}

impl UsageSample {
    pub(crate) async fn take(stack: &Stack, postgres: &Client) -> Self {
        Self {
            taken: Instant::now(),
            machine: machine(),
            jvm: jvm::CompilerSample::take(stack),
            checkpoints: postgres_checkpoints::counters(postgres).await,
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> ResourceUsage {
        let machine = self.machine.zip(earlier.machine);
        let checkpoints = self.checkpoints.zip(earlier.checkpoints);
        let jvm = self.jvm.as_ref().zip(earlier.jvm.as_ref());
        ResourceUsage {
            span: self.taken - earlier.taken,
            machine: machine.map(|(now, then)| MachineTime {
                busy: now.busy.saturating_sub(then.busy),
                idle: now.idle.saturating_sub(then.idle),
            }),
            jvm: jvm.map(|(now, then)| now.since(then)),
            checkpoints: checkpoints.map(|(now, then)| CheckpointActivity {
                count: now.count.saturating_sub(then.count),
                took: now.took.saturating_sub(then.took),
            }),
        }
    }
}

impl ResourceUsage {
    /// Adds the usage of another trial.
    pub(crate) fn add(&mut self, other: &Self) {
        self.span += other.span;
        if let Some(more) = other.machine {
            let sum = self.machine.get_or_insert_default();
            sum.busy += more.busy;
            sum.idle += more.idle;
        }
        if let Some(more) = other.jvm {
            *self.jvm.get_or_insert_default() += more;
        }
        if let Some(more) = other.checkpoints {
            let sum = self.checkpoints.get_or_insert_default();
            sum.count += more.count;
            sum.took += more.took;
        }
    }

    /// Share of the machine's processor time that was not idle, 0 to 1.
    pub(crate) fn busy(&self) -> Option<f64> {
        let machine = self.machine?;
        let all = (machine.busy + machine.idle).as_secs_f64();
        (all > 0.0).then(|| machine.busy.as_secs_f64() / all)
    }

    /// Number of cores that the JVMs' compilers used.
    pub(crate) fn compiling_cores(&self) -> Option<f64> {
        let span = self.span.as_secs_f64();
        self.jvm
            .filter(|_| span > 0.0)
            .map(|used| used.as_secs_f64() / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_idles_half_the_time_is_half_busy() {
        let half = ResourceUsage {
            machine: Some(MachineTime {
                busy: Duration::from_millis(10),
                idle: Duration::from_millis(10),
            }),
            ..ResourceUsage::default()
        };
        assert_eq!(half.busy(), Some(0.5));
        assert_eq!(ResourceUsage::default().busy(), None);
    }
}
