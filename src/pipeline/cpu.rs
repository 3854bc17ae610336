//! Processor time of servers of ours and of our own threads, out of /proc: what each path costs.
//!
//! What works for one path alone is told apart: the walsender of its slot, Connect, its reader, its Kafka threads. What
//! all paths of a leg share can be told for the leg alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::Client;

use super::leg::Path;
use super::threads::Role;
use crate::stack::Stack;
use crate::timeline::CapturePath;

/// Unit of `/proc/PID/stat`: 100 a second on every architecture but Alpha and Itanium.
const TICK: Duration = Duration::from_millis(10);

/// Processor time by what used it.
pub(super) type Used = BTreeMap<String, Duration>;

/// Processor time used so far, since the start of each process and thread.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// By server.
    servers: Used,
    /// By server process.
    walsenders: BTreeMap<u32, Duration>,
    /// The walsender of each slot.
    slots: BTreeMap<String, u32>,
    /// By thread of ours.
    threads: BTreeMap<u32, Duration>,
    /// Us, with threads that have ended.
    ours: Option<Duration>,
}

impl Reading {
    /// Reads it now. Of servers that are not ours nothing is known.
    pub(super) async fn take(stack: &Stack, postgres: &Client) -> Self {
        let mut reading = Self {
            threads: tasks(Place::Own),
            ours: process(std::process::id()).map(|own| own.used),
            ..Self::default()
        };
        let servers = stack.processes();
        if servers.is_empty() {
            return reading;
        }
        reading.slots = slots(postgres).await;
        for pid in reading.slots.values() {
            reading.walsenders.extend(Some(*pid).zip(single(*pid)));
        }
        for (name, pid) in servers {
            if let Some(used) = tree(pid) {
                reading.servers.insert(name, used);
            }
        }
        reading
    }

    /// What each path's own parts have used since an earlier reading, in the paths' order, and what all of them share.
    pub(super) fn since(&self, earlier: &Self, paths: &[Path]) -> (Vec<Used>, Used) {
        let mut shared = Used::new();
        let mut add = |name: &str, used: Option<Duration>| {
            shared.extend(used.map(|used| (name.to_owned(), used)));
        };
        for (name, now) in &self.servers {
            let used = earlier
                .servers
                .get(name)
                .map(|then| now.saturating_sub(*then));
            add(name, used);
        }
        let ours = self.ours.zip(earlier.ours);
        add(
            "cdc-bench",
            ours.map(|(now, then)| now.saturating_sub(then)),
        );
        let mut own: Vec<_> = paths.iter().map(|path| self.own(earlier, path)).collect();
        // Connect has nothing else to do.
        let mut paths = paths.iter();
        if let Some(debezium) = paths.position(|path| path.route.path == CapturePath::Debezium)
            && let Some(used) = shared.remove("connect")
        {
            own[debezium].insert("connect".to_owned(), used);
        }
        (own, shared)
    }

    fn own(&self, earlier: &Self, path: &Path) -> Used {
        let mut used = Used::new();
        let walsender = |slot: &Option<String>| {
            let pid = self.slots.get(slot.as_ref()?)?;
            let now = self.walsenders.get(pid)?;
            let then = earlier.walsenders.get(pid).copied();
            Some(now.saturating_sub(then.unwrap_or_default()))
        };
        let route = &path.route;
        for (name, slot) in [
            ("walsender", &route.slot),
            ("observer_walsender", &route.observer_slot),
        ] {
            used.extend(walsender(slot).map(|used| (name.to_owned(), used)));
        }
        for (role, threads) in path.followers.threads.by_role() {
            let name = match role {
                Role::Reader if route.path == CapturePath::Debezium => "observer_reader",
                Role::Reader => "reader",
                Role::Producer => "producer",
                Role::Receiver => "receiver",
            };
            used.insert(name.to_owned(), self.of(earlier, &threads));
        }
        used
    }

    fn of(&self, earlier: &Self, threads: &BTreeSet<u32>) -> Duration {
        let used = threads.iter().filter_map(|id| {
            let then = earlier.threads.get(id).copied().unwrap_or_default();
            Some(self.threads.get(id)?.saturating_sub(then))
        });
        used.sum()
    }
}

/// Which process serves which slot.
async fn slots(postgres: &Client) -> BTreeMap<String, u32> {
    let question =
        "SELECT slot_name::text, active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL";
    let rows = postgres.query(question, &[]).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the slots' processes are not known");
        Vec::new()
    });
    let pid = |row: &tokio_postgres::Row| u32::try_from(row.get::<_, i32>(1)).unwrap_or(0);
    rows.iter().map(|row| (row.get(0), pid(row))).collect()
}

/// Whose threads.
#[derive(Debug, Clone, Copy)]
enum Place {
    Own,
    Of(u32),
}

/// Each thread of a process, to the nanosecond where the kernel tells.
fn tasks(place: Place) -> BTreeMap<u32, Duration> {
    let folder = match place {
        Place::Own => "/proc/self/task".to_owned(),
        Place::Of(pid) => format!("/proc/{pid}/task"),
    };
    let thread = |entry: std::fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let exact = std::fs::read_to_string(entry.path().join("schedstat")).ok();
        let exact = exact.and_then(|text| text.split(' ').next()?.parse().ok());
        let used = match exact {
            Some(nanos) => Duration::from_nanos(nanos),
            None => parse(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?.used,
        };
        Some((id, used))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(thread).collect()
}

/// A process of one thread.
fn single(pid: u32) -> Option<Duration> {
    tasks(Place::Of(pid)).remove(&pid)
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In user and kernel mode, by threads that live and that have ended.
    used: Duration,
    /// The same of children that have ended.
    by_children: Duration,
}

fn process(pid: u32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
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
fn tree(root: u32) -> Option<Duration> {
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
        let before = tasks(Place::Own)[&id];
        let mut sum = 0_u64;
        while tasks(Place::Own)[&id] < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let whole = process(std::process::id()).unwrap();
        assert!(whole.used + TICK >= Duration::from_millis(20), "{whole:?}");
    }
}
