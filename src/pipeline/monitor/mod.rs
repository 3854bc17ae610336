//! Monitors the servers and this process while events are in flight.

pub(crate) mod connector_watch;
pub(crate) mod cpu;
pub(crate) mod disk_guard;
mod footprint;
mod guarded_slot;
pub(crate) mod jvm;
pub(crate) mod lag_peaks;
mod open_transaction;
mod pings;
pub(crate) mod postgres_checkpoints;
pub(crate) mod postgres_clock;
pub(crate) mod postgres_guard;
mod postgres_session;
pub(crate) mod processes;
pub(crate) mod pulse;
pub(crate) mod resource_usage;
pub(crate) mod server_monitor;
pub(crate) mod silence;
pub(crate) mod slot_lag;
mod slot_watch;
pub(crate) mod store_guard;
pub(crate) mod threads;
mod wal_history;
