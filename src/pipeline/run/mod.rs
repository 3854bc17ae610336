//! The execution of a run: trials, phases, workers, and the stamps they take.

pub(crate) mod ack_tracker;
pub(crate) mod capture_worker;
pub(crate) mod clocks;
pub(crate) mod cluster_process;
pub(crate) mod consumer_worker;
pub(crate) mod context;
pub(crate) mod fault_runner;
pub(crate) mod gate;
pub(crate) mod links;
pub(crate) mod live_metrics;
pub(crate) mod measured_clocks;
pub(crate) mod observer;
pub(crate) mod outbox_table;
pub(crate) mod phases;
pub(crate) mod progress_tracker;
pub(crate) mod reader_clock;
pub(crate) mod stage_setup;
mod standstill;
pub(crate) mod test_plan;
pub(crate) mod trial;
pub(crate) mod trial_outcome;
pub(crate) mod trials;
pub(crate) mod wal_sinks;
pub(crate) mod warm_up;
pub(crate) mod workers;
