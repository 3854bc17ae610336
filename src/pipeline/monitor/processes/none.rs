//! Where there is no proc(5).

use std::time::Duration;

use super::{MachineTime, ProcessShape, Thread};

/// Not known.
pub(crate) fn machine() -> Option<MachineTime> {
    None
}

/// Not known.
pub(crate) fn process(_: u32) -> Option<Duration> {
    None
}

/// Not known.
pub(crate) fn process_tree(_: u32) -> Option<Duration> {
    None
}

/// None are known.
pub(crate) fn threads(_: u32) -> impl Iterator<Item = Thread> {
    std::iter::empty()
}

/// Not known.
pub(crate) fn shape(_: u32) -> Option<ProcessShape> {
    None
}

/// Not known.
pub(crate) fn memory_of_tree(_: u32) -> Option<u64> {
    None
}
