//! Processes and threads as proc(5) lists them.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Unit of `/proc/stat` and `/proc/PID/stat`: 100 a second on every architecture but Alpha and Itanium.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A thread.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: u32,
    folder: PathBuf,
}

impl Task {
    /// Its name, cut after 15 bytes.
    pub(crate) fn name(&self) -> Option<String> {
        let name = std::fs::read_to_string(self.folder.join("comm")).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// Its processor time, in nanoseconds if the kernel reports them.
    pub(crate) fn used(&self) -> Option<Duration> {
        let exact = std::fs::read_to_string(self.folder.join("schedstat")).ok();
        let exact = exact.and_then(|text| text.split(' ').next()?.parse().ok());
        match exact {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => stat(&self.folder).map(|stat| stat.used),
        }
    }
}

/// The threads of a process; empty if the system does not report them.
pub(crate) fn tasks(pid: u32) -> impl Iterator<Item = Task> {
    let task = |entry: std::fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path();
        Some(Task { id, folder })
    };
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    entries.filter_map(task)
}

/// The contents of `/proc/PID/stat` that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    parent: u32,
    /// In user and kernel mode, by threads that live and that have ended.
    pub(crate) used: Duration,
    /// The same of children that have ended.
    by_children: Duration,
}

pub(crate) fn process(pid: u32) -> Option<Stat> {
    stat(Path::new(&format!("/proc/{pid}")))
}

fn stat(folder: &Path) -> Option<Stat> {
    parse(&std::fs::read_to_string(folder.join("stat")).ok()?)
}

/// Fields 4 and 14 to 17 of proc(5).
fn parse(stat: &str) -> Option<Stat> {
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.trim().parse::<u32>().ok();
    let ticks = |field| Some(TICK * number(field)?);
    Some(Stat {
        parent: number(4)?,
        used: ticks(14)? + ticks(15)?,
        by_children: ticks(16)? + ticks(17)?,
    })
}

/// A process with its children, also those that have ended. Only PostgreSQL has any.
pub(crate) fn tree(root: u32) -> Option<Duration> {
    let own = process(root)?;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(process).filter(|stat| stat.parent == root);
    let children: Duration = children.map(|child| child.used + child.by_children).sum();
    Some(own.used + own.by_children + children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_parentheses_does_not_shift_the_fields() {
        let stat = "412 (postgres: wal (x) y) S 77 412 412 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 1 0 99 1 1";
        let expected = Stat {
            parent: 77,
            used: Duration::from_secs(2),
            by_children: Duration::from_millis(100),
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("412 (cut"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_shows_in_the_thread_that_does_it() {
        let id = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
        let used = || tasks(std::process::id()).find(|task| task.id == id)?.used();
        let before = used().unwrap();
        let mut sum = 0_u64;
        while used().unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let whole = process(std::process::id()).unwrap();
        assert!(whole.used + TICK >= Duration::from_millis(20), "{whole:?}");
    }
}
