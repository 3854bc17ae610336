//! What proc(5) says.

use std::time::Duration;

use procfs::process::{Process, Task, all_processes};
use procfs::{CpuTime, CurrentSI, KernelStats, page_size, ticks_per_second};

use super::{MachineTime, ProcessShape, Thread};

/// The machine.
pub(crate) fn machine() -> Option<MachineTime> {
    KernelStats::current()
        .ok()
        .map(|stats| machine_time(&stats.total, ticks_per_second()))
}

fn machine_time(total: &CpuTime, ticks_per_s: u64) -> MachineTime {
    let sum = |ticks: &[Option<u64>]| in_time(ticks.iter().flatten().sum(), ticks_per_s);
    MachineTime {
        busy: sum(&[
            Some(total.user),
            Some(total.nice),
            Some(total.system),
            total.irq,
            total.softirq,
            total.steal,
        ]),
        idle: sum(&[Some(total.idle), total.iowait]),
    }
}

/// Whole seconds and the rest by themselves: 2^64 ticks are no more nanoseconds than a `Duration` holds.
fn in_time(ticks: u64, ticks_per_s: u64) -> Duration {
    let rest = ticks % ticks_per_s * 1_000_000_000 / ticks_per_s;
    Duration::from_secs(ticks / ticks_per_s) + Duration::from_nanos(rest)
}

/// A process, with threads of it that have ended.
pub(crate) fn process(pid: u32) -> Option<Duration> {
    let stat = open(pid)?.stat().ok()?;
    Some(in_time(stat.utime + stat.stime, ticks_per_second()))
}

/// A process with its children, also those that have ended. Of our servers only PostgreSQL has any.
pub(crate) fn process_tree(root: u32) -> Option<Duration> {
    let ticks_of_ended = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
    let root = open(root)?.stat().ok()?;
    let children = all_processes().ok()?.filter_map(|child| {
        let stat = child.ok()?.stat().ok()?;
        (stat.ppid == root.pid).then_some(stat)
    });
    let ticks = std::iter::once(root.clone()).chain(children).map(|stat| {
        let ended = ticks_of_ended(stat.cutime) + ticks_of_ended(stat.cstime);
        stat.utime + stat.stime + ended
    });
    Some(in_time(ticks.sum(), ticks_per_second()))
}

/// What a process takes.
pub(crate) fn shape(pid: u32) -> Option<ProcessShape> {
    let process = open(pid)?;
    Some(ProcessShape {
        resident: process.statm().ok()?.resident * page_size(),
        descriptors: u64::try_from(process.fd_count().ok()?).ok()?,
        threads: u64::try_from(process.stat().ok()?.num_threads).ok()?,
    })
}

/// Resident memory of a process with its children, bytes. What they share counts once, by the one that has most of it.
pub(crate) fn memory_of_tree(root: u32) -> Option<u64> {
    let root = open(root)?;
    // PostgreSQL's are children of its only thread.
    let children = root.task_main_thread().ok()?.children();
    let children = children.unwrap_or_default().into_iter().filter_map(open);
    let (mut own, mut shared) = (0, 0);
    for process in std::iter::once(root).chain(children) {
        // One that has just ended has none.
        let Ok(memory) = process.statm() else {
            continue;
        };
        own += memory.resident.saturating_sub(memory.shared);
        shared = memory.shared.max(shared);
    }
    Some((own + shared) * page_size())
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> impl Iterator<Item = Thread> {
    let tasks = open(pid).and_then(|process| process.tasks().ok());
    let tasks = tasks.into_iter().flatten();
    tasks.filter_map(|task| thread(&task.ok()?))
}

fn thread(task: &Task) -> Option<Thread> {
    let stat = task.stat().ok()?;
    let exact = task.schedstat().ok();
    let exact = exact.map(|times| Duration::from_nanos(times.sum_exec_runtime));
    let used = exact.unwrap_or_else(|| in_time(stat.utime + stat.stime, ticks_per_second()));
    Some(Thread {
        id: u32::try_from(task.tid).ok()?,
        name: stat.comm,
        used,
    })
}

fn open(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use procfs::{FromBufReadSI, current_system_info};

    use super::*;

    fn machine_of(cpu: &str) -> MachineTime {
        let stat = format!("cpu  {cpu}\nctxt 1\nbtime 1\nprocesses 1\n");
        let stats = KernelStats::from_buf_read(stat.as_bytes(), current_system_info()).unwrap();
        machine_time(&stats.total, 100)
    }

    #[test]
    fn waiting_for_a_disk_is_idle_and_steal_is_not() {
        let read = machine_of("100 10 40 800 50 5 5 40 0 0");
        assert_eq!(read.busy, Duration::from_secs(2));
        assert_eq!(read.idle, Duration::from_millis(8_500));
    }

    #[test]
    fn a_machine_that_is_up_for_years_is_no_busier_for_it() {
        let read = machine_of("100 0 0 20000000000 0 0 0 0 0 0");
        assert_eq!(read.busy, Duration::from_secs(1));
        assert_eq!(read.idle, Duration::from_secs(200_000_000));
    }

    #[test]
    fn a_process_takes_what_it_opens() {
        let own = std::process::id();
        let before = shape(own).unwrap();
        let files: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        let with_files = shape(own).unwrap();
        // Other tests open and close some, too.
        assert!(with_files.descriptors >= before.descriptors + 25);
        assert!(with_files.threads >= 1 && with_files.resident > 1 << 20);
        assert!(memory_of_tree(own).unwrap() >= 1 << 20);
        drop(files);
    }

    #[test]
    fn work_shows_in_the_thread_that_does_it() {
        let own = std::process::id();
        let id = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
        let used = || threads(own).find(|thread| thread.id == id).unwrap().used;
        let before = used();
        let mut sum = 0_u64;
        while used() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let tick = in_time(1, ticks_per_second());
        let whole = process(own).unwrap();
        assert!(whole + tick >= Duration::from_millis(20), "{whole:?}");
        assert!(process_tree(own).unwrap() >= whole);
    }
}
