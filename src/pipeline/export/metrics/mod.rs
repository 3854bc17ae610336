//! Metrics of a run in progress, for Prometheus.
//!
//! | metric | labels | |
//! | --- | --- | --- |
//! | `cdc_bench_hop_seconds` | `path`, `hop` | histogram: the spans of measured events that are in the store |
//! | `cdc_bench_events_total` | `path`, `place` | counter: `inserted`, `captured`, `consumed`, `written` |
//! | `cdc_bench_troubles_total` | `path`, `kind` | counter: `insert_error`, `dead_letter`, `duplicate`, `lsn_mismatch` |
//! | `cdc_bench_dead_letters_total` | `path`, `reason` | counter: dead letters by reason, as `report.json` names them |
//! | `cdc_bench_events_under_way` | `path` | gauge: inserted, and not yet in the store |
//! | `cdc_bench_slot_lag_bytes` | `path` | gauge: WAL that the slot's sender has not sent yet |
//! | `cdc_bench_run_info` | `run`, `capture`, `rate` | 1 |
//! | `cdc_bench_build_info` | `version`, `profile` | 1 |
//!
//! The backlog between two stages is the difference of their counters: `captured` less `consumed` is what waits in Kafka.

mod endpoint;
mod exported;
mod hop_metrics;
mod run_metrics;

pub use endpoint::{Endpoint, EndpointError};
pub use exported::{Exported, ProbeAnswer};
pub(crate) use hop_metrics::HopMetrics;
pub use run_metrics::Metrics;
pub(crate) use run_metrics::PathCounts;
