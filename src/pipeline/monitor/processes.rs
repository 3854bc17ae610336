//! Processor time of the machine, of processes and of threads, and what processes take, by procfs; where there is no proc(5), none is known.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod none;

#[cfg(target_os = "linux")]
pub(crate) use linux::{machine, memory_of_tree, process, process_tree, shape, threads};
#[cfg(not(target_os = "linux"))]
pub(crate) use none::{machine, memory_of_tree, process, process_tree, shape, threads};

use std::time::Duration;

/// Processor time of all cores together since the machine was booted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MachineTime {
    /// At work, for us or, where this is a virtual machine, for others (`steal`).
    pub(crate) busy: Duration,
    /// Idle, also while waiting for a disk.
    pub(crate) idle: Duration,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) id: u32,
    /// Its name, cut after 15 bytes.
    pub(crate) name: String,
    /// Its processor time, to the nanosecond where the kernel tells.
    pub(crate) used: Duration,
}

/// What a process takes besides processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessShape {
    /// Resident memory, bytes.
    pub(crate) resident: u64,
    /// Open file descriptors.
    pub(crate) descriptors: u64,
    /// Threads.
    pub(crate) threads: u64,
}
