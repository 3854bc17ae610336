//! Processor time of the JIT compilers of local JVMs, from /proc: while they work, they take cores from everything else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cdc_bench_stack::Stack;

use crate::pipeline::monitor::processes::tasks;

/// HotSpot's threads that compile, as the kernel cuts their names.
const NAMES: [&str; 2] = ["C1 CompilerThre", "C2 CompilerThre"];
/// Servers that are JVMs.
const SERVERS: [&str; 2] = ["kafka", "connect"];

/// Processor time that the compilers have used so far.
#[derive(Debug)]
pub(crate) struct CompilerSample {
    taken: Instant,
    threads: BTreeMap<u32, Duration>,
}

impl CompilerSample {
    /// Reads it now; `None` if no JVM of the stack is our own process.
    pub(crate) fn take(stack: &Stack) -> Option<Self> {
        let servers = stack.processes().into_iter();
        let jvms = servers.filter(|(name, _)| SERVERS.contains(&&**name));
        Self::of(jvms.map(|(_, pid)| pid))
    }

    fn of(processes: impl Iterator<Item = u32>) -> Option<Self> {
        let threads: BTreeMap<_, _> = processes
            .flat_map(tasks)
            .filter(|task| task.name().is_some_and(|name| NAMES.contains(&&*name)))
            .filter_map(|task| Some((task.id, task.used()?)))
            .collect();
        (!threads.is_empty()).then(|| Self {
            taken: Instant::now(),
            threads,
        })
    }

    /// Number of cores that they have kept busy since an earlier sample.
    pub(crate) fn cores_since(&self, earlier: &Self) -> f64 {
        let span = (self.taken - earlier.taken).as_secs_f64();
        self.since(earlier).as_secs_f64() / span.max(1e-3)
    }

    /// Processor time that they have used since an earlier sample, without threads that have ended meanwhile.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let used = self.threads.iter().map(|(id, now)| {
            let then = earlier.threads.get(id).copied();
            now.saturating_sub(then.unwrap_or_default())
        });
        used.sum()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn compilers_are_known_by_their_threads_names() {
        let own = || CompilerSample::of(std::iter::once(std::process::id()));
        assert!(own().is_none(), "we are no JVM");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let compiler = std::thread::Builder::new().name("C2 CompilerThread0".to_owned());
            let work = || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            compiler.spawn_scoped(scope, work).unwrap();
            // It has its name a moment after it has begun.
            let before = std::iter::repeat_with(own).find_map(|reading| reading);
            let before = before.unwrap();
            let mut used = Duration::ZERO;
            while used < Duration::from_millis(20) {
                used = own().unwrap().since(&before);
            }
            let cores = own().unwrap().cores_since(&before);
            over.store(true, Ordering::Relaxed);
            assert!((0.001..=1.1).contains(&cores), "{cores}");
        });
    }
}
