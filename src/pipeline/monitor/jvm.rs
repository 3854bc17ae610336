//! Processor time of the just-in-time compilers of local JVMs: while they work, everything else waits for a core.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cdc_bench_stack::{Stack, server_of};

use crate::pipeline::monitor::processes::threads;

/// Names of HotSpot's compiler threads, cut by the kernel after 15 bytes.
const NAMES: [&str; 2] = ["C1 CompilerThre", "C2 CompilerThre"];
/// The servers that are JVMs.
const SERVERS: [&str; 2] = ["kafka", "connect"];

/// Processor time of each compiler thread so far.
#[derive(Debug)]
pub(crate) struct CompilerSample {
    taken: Instant,
    threads: BTreeMap<u32, Duration>,
}

impl CompilerSample {
    /// Takes a sample; `None` if no JVM of the stack is a process of ours.
    pub(crate) fn take(stack: &Stack) -> Option<Self> {
        let servers = stack.processes().into_iter();
        let jvms = servers.filter(|(name, _)| SERVERS.contains(&server_of(name)));
        Self::of(jvms.map(|(_, pid)| pid))
    }

    fn of(processes: impl Iterator<Item = u32>) -> Option<Self> {
        let threads: BTreeMap<_, _> = processes
            .flat_map(threads)
            .filter(|thread| NAMES.contains(&&*thread.name))
            .map(|thread| (thread.id, thread.used))
            .collect();
        (!threads.is_empty()).then(|| Self {
            taken: Instant::now(),
            threads,
        })
    }

    /// Number of cores used since an earlier sample.
    pub(crate) fn cores_since(&self, earlier: &Self) -> f64 {
        let span = (self.taken - earlier.taken).as_secs_f64();
        self.since(earlier).as_secs_f64() / span.max(1e-3)
    }

    /// Processor time used since an earlier sample, without threads that have ended since.
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
