//! Resource usage during a trial: the machine's load, JIT compilation, PostgreSQL's checkpoints.

use std::time::{Duration, Instant};

use cdc_bench_model::analysis::Checkpoints;
use cdc_bench_stack::Stack;
use tokio_postgres::Client;

use crate::pipeline::monitor::processes::TICK;
use crate::pipeline::monitor::{jvm, postgres_checkpoints};

/// The counters at one moment.
pub(crate) struct UsageSample {
    taken: Instant,
    machine: Option<Machine>,
    jvm: Option<jvm::CompilerSample>,
    checkpoints: Option<Checkpoints>,
}

/// Processor time of all cores together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Machine {
    busy: Duration,
    idle: Duration,
}

/// Resource usage between two samples; sums, if there are several pairs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResourceUsage {
    /// Time between the samples.
    pub(crate) span: Duration,
    machine: Option<Machine>,
    /// Processor time of the JVMs' compilers, if they are our own processes.
    jvm: Option<Duration>,
    /// `None` if the server does not report it.
    pub(crate) checkpoints: Option<Checkpoints>,
}

impl UsageSample {
    pub(crate) async fn take(stack: &Stack, postgres: &Client) -> Self {
        let stat = std::fs::read_to_string("/proc/stat").ok();
        Self {
            taken: Instant::now(),
            machine: stat.as_deref().and_then(machine),
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
            machine: machine.map(|(now, then)| Machine {
                busy: now.busy.saturating_sub(then.busy),
                idle: now.idle.saturating_sub(then.idle),
            }),
            jvm: jvm.map(|(now, then)| now.since(then)),
            checkpoints: checkpoints.map(|(now, then)| Checkpoints {
                count: now.count.saturating_sub(then.count),
                took: now.took.saturating_sub(then.took),
            }),
        }
    }
}

impl ResourceUsage {
    /// Adds those of another trial.
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

    /// The part of the machine's processor time that was not idle, 0 to 1.
    pub(crate) fn busy(&self) -> Option<f64> {
        let machine = self.machine?;
        let all = (machine.busy + machine.idle).as_secs_f64();
        (all > 0.0).then(|| machine.busy.as_secs_f64() / all)
    }

    /// Number of cores that the JVMs' compilers kept busy.
    pub(crate) fn compiling_cores(&self) -> Option<f64> {
        let span = self.span.as_secs_f64();
        self.jvm
            .filter(|_| span > 0.0)
            .map(|used| used.as_secs_f64() / span)
    }
}

/// The first line of proc(5)'s `stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine(stat: &str) -> Option<Machine> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u32> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let sum = |places: &[usize]| {
        let ticks: u32 = places.iter().filter_map(|place| fields.get(*place)).sum();
        TICK * ticks
    };
    Some(Machine {
        busy: sum(&[0, 1, 2, 5, 6, 7]),
        idle: sum(&[3, 4]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_steal_is_not() {
        let stat = "cpu  100 10 40 800 50 5 5 40 0 0\ncpu0 1 2 3\n";
        let read = machine(stat).unwrap();
        assert_eq!(read.busy, Duration::from_secs(2));
        assert_eq!(read.idle, Duration::from_millis(8_500));
        assert_eq!(machine("intr 5"), None);
        let half = ResourceUsage {
            machine: Some(Machine {
                busy: TICK,
                idle: TICK,
            }),
            ..ResourceUsage::default()
        };
        assert_eq!(half.busy(), Some(0.5));
        assert_eq!(ResourceUsage::default().busy(), None);
    }
}
