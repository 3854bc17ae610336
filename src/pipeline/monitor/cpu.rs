//! Processor time of our servers and threads: what each capture path costs.
//!
//! The walsender of a path's slot, Connect, the path's reader and its Kafka threads work for that path alone, and are counted for
//! it. What all paths of a trial share is counted for the trial.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{Stack, server_of};
use tokio_postgres::Client;

use crate::pipeline::monitor::processes::{process, process_tree, threads};
use crate::pipeline::monitor::threads::{OwnThreads, Role};

/// Processor time by what used it.
pub(crate) type Used = BTreeMap<String, Duration>;

/// The processes and threads that work for one capture path alone.
pub(crate) struct PathProcesses {
    pub(crate) path: CapturePath,
    /// Slots of the capturing readers or connectors, where they are known.
    pub(crate) slots: Vec<String>,
    /// Slots of our readers that only observe.
    pub(crate) observer_slots: Vec<String>,
    /// Our threads that work for it.
    pub(crate) threads: OwnThreads,
}

/// Processor time used so far, since the start of each process and thread.
#[derive(Debug, Default)]
pub(crate) struct CpuSample {
    /// By server.
    servers: Used,
    /// By server process.
    walsenders: BTreeMap<u32, Duration>,
    /// The walsender of each slot.
    slots: BTreeMap<String, u32>,
    /// By thread of this process.
    threads: BTreeMap<u32, Duration>,
    /// Of this process, with threads that have ended.
    ours: Option<Duration>,
}

impl CpuSample {
    /// Takes a sample. Nothing is known of servers that are not ours.
    pub(crate) async fn take(stack: &Stack, postgres: &Client) -> Self {
        let mut reading = Self {
            threads: used_by_threads(std::process::id()),
            ours: process(std::process::id()),
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
            if let Some(used) = process_tree(pid) {
                let server = server_of(&name).to_owned();
                *reading.servers.entry(server).or_default() += used;
            }
        }
        reading
    }

    /// Processor time since an earlier sample: of each path alone, in the paths' order, and of what they share.
    pub(crate) fn since(&self, earlier: &Self, paths: &[PathProcesses]) -> (Vec<Used>, Used) {
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
        // Connect works for this path alone.
        let mut paths = paths.iter();
        if let Some(debezium) = paths.position(|path| path.path == CapturePath::Debezium)
            && let Some(used) = shared.remove("connect")
        {
            own[debezium].insert("connect".to_owned(), used);
        }
        (own, shared)
    }

    /// Processor time of a slot's walsender since an earlier sample; `None` of a server that is not ours.
    pub(crate) fn walsender(&self, earlier: &Self, slot: &str) -> Option<Duration> {
        let pid = self.slots.get(slot)?;
        let now = self.walsenders.get(pid)?;
        let then = earlier.walsenders.get(pid).copied();
        Some(now.saturating_sub(then.unwrap_or_default()))
    }

    fn own(&self, earlier: &Self, path: &PathProcesses) -> Used {
        let mut used = Used::new();
        for (name, slots) in [
            ("walsender", &path.slots),
            ("observer_walsender", &path.observer_slots),
        ] {
            for walsender in slots
                .iter()
                .filter_map(|slot| self.walsender(earlier, slot))
            {
                *used.entry(name.to_owned()).or_default() += walsender;
            }
        }
        for (role, threads) in path.threads.by_role() {
            let name = match role {
                Role::Reader if path.path == CapturePath::Debezium => "observer_reader",
                Role::Reader => "reader",
                Role::Producer => "producer",
                Role::Receiver => "receiver",
                Role::Consumer => "consumer",
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

/// The process that serves each slot.
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

/// Processor time of each thread of a process.
fn used_by_threads(pid: u32) -> BTreeMap<u32, Duration> {
    threads(pid)
        .map(|thread| (thread.id, thread.used))
        .collect()
}

/// Processor time of a process with one thread.
fn single(pid: u32) -> Option<Duration> {
    used_by_threads(pid).remove(&pid)
}
